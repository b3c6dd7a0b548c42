/* Every fuzz target over its seeds, tests/fuzz/<target>/, and over spoilt copies
   of them: what a fuzzer found once stays found, on every compiler. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz.h"

#define MAX_SEED ((size_t)1 << 20)
#define N_SPOILT 40

typedef void (*target)(const uint8_t *data, size_t size);

static uint64_t random_state = 1;

/* xorshift64*, a number below n. */
static size_t random_below(size_t n)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (size_t)(random_state * 2685821657736338717ull >> 33) % n;
}

/* The target sees a copy of exactly these bytes. */
static void run(target of, const uint8_t *bytes, size_t n)
{
    uint8_t *copy = malloc(n > 0 ? n : 1);

    FUZZ_CHECK(copy != NULL);
    memcpy(copy, bytes, n);
    of(copy, n);
    free(copy);
}

/* Some bytes changed, cut out or doubled. */
static size_t spoil(const uint8_t *seed, size_t n, uint8_t *bytes)
{
    size_t from = random_below(n);
    size_t length = random_below(n - from < 16 ? n - from : 16) + 1;

    memcpy(bytes, seed, n);
    switch (random_below(4)) {
    case 0:
        bytes[from] ^= (uint8_t)(1u << random_below(8));
        return n;
    case 1:
        return from;
    case 2:
        memmove(bytes + from, bytes + from + length, n - from - length);
        return n - length;
    default:
        memmove(bytes + from + length, bytes + from, n - from);
        return n + length;
    }
}

static void run_file(target of, const char *path)
{
    static uint8_t seed[MAX_SEED], bytes[MAX_SEED + 16];
    FILE *file = fopen(path, "rb");
    size_t n;

    FUZZ_CHECK(file != NULL);
    n = fread(seed, 1, sizeof seed, file);
    FUZZ_CHECK(n < sizeof seed && !ferror(file));
    fclose(file);
    run(of, seed, n);
    for (int i = 0; i < N_SPOILT && n > 0; i++)
        run(of, bytes, spoil(seed, n, bytes));
}

static int run_folder(const char *name, target of)
{
    const char *srcdir = getenv("srcdir");
    char folder[512], path[1024];
    struct dirent **entries;
    int n, n_seeds = 0;

    snprintf(folder, sizeof folder, "%s/tests/fuzz/%s",
             srcdir != NULL ? srcdir : ".", name);
    n = scandir(folder, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        if (entries[i]->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
            printf("%s\n", path);
            fflush(stdout);
            run_file(of, path);
            n_seeds++;
        }
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    if (n_seeds == 0)
        fprintf(stderr, "%s: no seeds\n", folder);
    return n_seeds;
}

int main(void)
{
    int failed = 0;

#define FUZZ_RUN(name) failed |= run_folder(#name, fuzz_##name) == 0;
    FUZZ_TARGETS(FUZZ_RUN)
#undef FUZZ_RUN
    return failed;
}
