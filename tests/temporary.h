/* tests/temporary.h: what a test program writes, below TMPDIR or /tmp. */
#ifndef PDAG_TESTS_TEMPORARY_H
#define PDAG_TESTS_TEMPORARY_H

#define TEMPORARY_BYTES 96

/* A new, empty folder; its end, with all that is in it. */
void temporary_folder(char out[TEMPORARY_BYTES]);
void temporary_folder_remove(const char *folder);

/* The path, borrowed, of the program's one file, which now holds this text; its
   end, where there is one.  The path stays the same until then. */
const char *temporary_file(const char *text);
void temporary_file_remove(void);

#endif
