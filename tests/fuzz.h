/* What the fuzz targets share.  A target takes any bytes and must return; what
   must never happen ends the process.  tests/fuzz.sh runs them under libFuzzer,
   tests/fuzz_main.c runs them over the seeds in tests/fuzz/. */
#ifndef PDAG_TESTS_FUZZ_H
#define PDAG_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* X(name): the target fuzz_<name>() of tests/fuzz_<name>.c. */
#define FUZZ_TARGETS(X)                                                       \
    X(job)                                                                    \
    X(safetensors)                                                            \
    X(lora)                                                                   \
    X(config)                                                                 \
    X(tokenizer)                                                              \
    X(checkpoint)                                                             \
    X(resume)                                                                 \
    X(message)

#define FUZZ_DECLARE(name) void fuzz_##name(const uint8_t *data, size_t size);
FUZZ_TARGETS(FUZZ_DECLARE)
#undef FUZZ_DECLARE

#define FUZZ_CHECK(condition)                                                 \
    ((condition) ? (void)0                                                    \
                 : (fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, \
                            #condition),                                      \
                    abort()))

/* For parsers that take paths: a folder of this process's own, removed when it
   ends, and files in it.  Names may have one folder in front. */
const char *fuzz_folder(void);
const char *fuzz_path(const char *name); /* valid until the next call */
void fuzz_write(const char *name, const void *bytes, size_t n_bytes);
void fuzz_remove(const char *name);

/* A record of the input: from data[*at] up to a form feed, which no JSON holds
   and which keeps seeds readable.  False: none is left. */
typedef struct fuzz_record {
    const uint8_t *bytes;
    size_t n;
} fuzz_record;

int fuzz_next(const uint8_t *data, size_t size, size_t *at,
              fuzz_record *record_out);

#endif
