/* What configure writes for the program; here: what runs under the emulator. */
PDAG_BACKEND(cuda)
PDAG_BACKEND(ref)
