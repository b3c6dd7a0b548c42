/* Fuzz target: a checkpoint file: the bytes as they are; the bytes as a header,
   with the right length and checksum in front; and that header with offsets and
   checksums that fit, so that only names, types and counts can be wrong. */
#include <string.h>
#include <zlib.h>

#include "proto/checkpoint.h"
#include "proto/checkpoint.pb-c.h"
#include "tests/fuzz.h"

#define START_BYTES 24
#define DATA_BYTES 4096

/* What is accepted can be written, and is then the same. */
static void check_write(const pdag_checkpoint *cp)
{
    FILE *file = fopen(fuzz_path("state.ckpt"), "w+b");
    pdag_checkpoint *back;
    const void *job, *job_again;
    size_t n, n_again;

    FUZZ_CHECK(file != NULL);
    FUZZ_CHECK(pdag_checkpoint_write(cp, fileno(file)) == PDAG_OK);
    FUZZ_CHECK(fclose(file) == 0);
    FUZZ_CHECK(pdag_checkpoint_read(fuzz_path("state.ckpt"), &back) == PDAG_OK);
    job = pdag_checkpoint_job(cp, &n);
    job_again = pdag_checkpoint_job(back, &n_again);
    FUZZ_CHECK(n == n_again && memcmp(job, job_again, n) == 0);
    pdag_checkpoint_destroy(back);
    fuzz_remove("state.ckpt");
}

static void check_parse(const uint8_t *bytes, size_t n_bytes)
{
    pdag_checkpoint *cp;

    if (pdag_checkpoint_parse("fuzzed", bytes, n_bytes, &cp) != PDAG_OK) {
        FUZZ_CHECK(strstr(pdag_error_text(), "fuzzed") != NULL);
        return;
    }
    check_write(cp);
    pdag_checkpoint_destroy(cp);
}

/* The header, and n_data zero bytes behind it. */
static void check_header(const uint8_t *header, size_t n, size_t n_data)
{
    uint8_t *bytes = calloc(START_BYTES + n + n_data, 1);
    uint64_t length = n;
    uint32_t crc = (uint32_t)crc32_z(0, header, n);

    FUZZ_CHECK(bytes != NULL);
    memcpy(bytes, "PDAGCKP\n", 8);
    memcpy(bytes + 8, &length, 8);
    memcpy(bytes + 16, &crc, 4);
    if (n > 0)
        memcpy(bytes + START_BYTES, header, n);
    check_parse(bytes, START_BYTES + n + n_data);
    free(bytes);
}

/* Places the arrays one behind the other; all values are zero. */
static size_t place(Pdag__Checkpoint *header, size_t at)
{
    static const uint8_t zeros[DATA_BYTES];
    static const size_t sizes[] = {1, 4, 8, 8, 1};

    for (size_t i = 0; i < header->n_array; i++) {
        Pdag__CheckpointArray *array = header->array[i];
        size_t bytes = (size_t)array->count % 100 * sizes[array->type % 5];

        array->has_offset = array->has_crc = 1;
        if (array->count < 200)
            array->count %= 100;
        at = (at + 63) / 64 * 64;
        array->offset = at;
        array->crc = (uint32_t)crc32_z(0, zeros, bytes);
        at += bytes;
    }
    return at;
}

static void check_placed(const uint8_t *data, size_t size)
{
    Pdag__Checkpoint *header = pdag__checkpoint__unpack(NULL, size, data);
    uint8_t *packed;
    size_t n, end;

    if (header == NULL)
        return;
    header->has_format = header->has_job = 1;
    header->format = 1;
    (void)place(header, 0); /* so that all fields are there */
    n = pdag__checkpoint__get_packed_size(header);
    end = place(header, START_BYTES + n);
    packed = malloc(n + 1);
    FUZZ_CHECK(packed != NULL);
    pdag__checkpoint__pack(header, packed);
    pdag__checkpoint__free_unpacked(header, NULL);
    check_header(packed, n, end - START_BYTES - n);
    free(packed);
}

void fuzz_checkpoint(const uint8_t *data, size_t size)
{
    uint8_t *copy = calloc(size + 1, 1);

    FUZZ_CHECK(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    check_parse(copy, size);
    free(copy);
    check_header(data, size, 0);
    check_header(data, size, DATA_BYTES);
    check_placed(data, size);
    if (size > START_BYTES) /* a seed's own header, wherever it ends */
        check_placed(data + START_BYTES, size - START_BYTES);
}
