/* What configure writes for the program; here: what runs under the emulator. */
PDAG_BACKEND(ref)
PDAG_BACKEND(cuda)
