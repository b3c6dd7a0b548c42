#include "tests/temporary.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char file_path[TEMPORARY_BYTES]; /* "": there is none */

/* Not check's assertions: a main() may call these before its tests. */
static void need(bool done, const char *what)
{
    if (done)
        return;
    perror(what);
    abort();
}

/* A name for mkdtemp() and mkstemp(). */
static void name_in_parent(char out[TEMPORARY_BYTES])
{
    const char *parent = getenv("TMPDIR");

    snprintf(out, TEMPORARY_BYTES, "%s/pdag-test-XXXXXX",
             parent != NULL ? parent : "/tmp");
}

void temporary_folder(char out[TEMPORARY_BYTES])
{
    name_in_parent(out);
    need(mkdtemp(out) != NULL, out);
}

void temporary_folder_remove(const char *folder)
{
    char command[TEMPORARY_BYTES + 16];

    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    need(system(command) == 0, command);
}

const char *temporary_file(const char *text)
{
    FILE *file;

    if (file_path[0] == '\0') {
        int number;

        name_in_parent(file_path);
        number = mkstemp(file_path);
        need(number >= 0, file_path);
        close(number);
    }
    file = fopen(file_path, "wb");
    need(file != NULL, file_path);
    need(fwrite(text, 1, strlen(text), file) == strlen(text), file_path);
    need(fclose(file) == 0, file_path);
    return file_path;
}

void temporary_file_remove(void)
{
    if (file_path[0] != '\0')
        remove(file_path);
    file_path[0] = '\0';
}
