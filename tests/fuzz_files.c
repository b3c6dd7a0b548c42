#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fuzz.h"

#define MAX_NAMES 64

static char folder[256];
static char names[MAX_NAMES][64]; /* files and folders made, in that order */
static int n_names;

const char *fuzz_path(const char *name)
{
    static char path[512];

    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
    return path;
}

static void remove_all(void)
{
    while (n_names > 0)
        remove(fuzz_path(names[--n_names]));
    rmdir(folder);
}

const char *fuzz_folder(void)
{
    const char *parent = getenv("TMPDIR");

    if (folder[0] == '\0') {
        snprintf(folder, sizeof folder, "%s/pdag-fuzz-XXXXXX",
                 parent != NULL ? parent : "/tmp");
        FUZZ_CHECK(mkdtemp(folder) != NULL);
        FUZZ_CHECK(atexit(remove_all) == 0);
    }
    return folder;
}

static void note_name(const char *name)
{
    for (int i = 0; i < n_names; i++)
        if (strcmp(names[i], name) == 0)
            return;
    FUZZ_CHECK(n_names < MAX_NAMES && strlen(name) < sizeof names[0]);
    strcpy(names[n_names++], name);
}

void fuzz_write(const char *name, const void *bytes, size_t n_bytes)
{
    const char *slash = strchr(name, '/');
    FILE *file;

    if (slash != NULL) {
        char part[64] = "";

        memcpy(part, name, (size_t)(slash - name));
        if (mkdir(fuzz_path(part), 0777) == 0)
            note_name(part);
    }
    file = fopen(fuzz_path(name), "wb");
    FUZZ_CHECK(file != NULL);
    note_name(name);
    FUZZ_CHECK(fwrite(bytes, 1, n_bytes, file) == n_bytes);
    FUZZ_CHECK(fclose(file) == 0);
}

void fuzz_remove(const char *name)
{
    remove(fuzz_path(name));
}

int fuzz_next(const uint8_t *data, size_t size, size_t *at,
              fuzz_record *record_out)
{
    const uint8_t *end;

    if (*at >= size)
        return 0;
    end = memchr(data + *at, '\f', size - *at);
    record_out->bytes = data + *at;
    record_out->n = end == NULL ? size - *at : (size_t)(end - data) - *at;
    *at += record_out->n + 1;
    return 1;
}
