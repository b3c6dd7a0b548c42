/* The backends of tests/test_backend_choice.c. */
PDAG_BACKEND(abacus)
PDAG_BACKEND(loom)
PDAG_BACKEND(paper)
