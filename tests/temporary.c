#include "tests/temporary.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char file_path[TEMPORARY_BYTES]; /* "": there is none */

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
    ck_assert_ptr_nonnull(mkdtemp(out));
}

void temporary_folder_remove(const char *folder)
{
    char command[TEMPORARY_BYTES + 16];

    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

const char *temporary_file(const char *text)
{
    FILE *file;

    if (file_path[0] == '\0') {
        int number;

        name_in_parent(file_path);
        number = mkstemp(file_path);
        ck_assert_int_ge(number, 0);
        close(number);
    }
    file = fopen(file_path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, strlen(text), file), strlen(text));
    ck_assert_int_eq(fclose(file), 0);
    return file_path;
}

void temporary_file_remove(void)
{
    if (file_path[0] != '\0')
        remove(file_path);
    file_path[0] = '\0';
}
