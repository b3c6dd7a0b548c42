/* What the tests of checkpoints share: the bytes of one, and files of bytes made
   up by the test. */
#ifndef PDAG_TESTS_CHECKPOINT_BYTES_H
#define PDAG_TESTS_CHECKPOINT_BYTES_H

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/mem.h"
#include "proto/checkpoint.h"
#include "proto/checkpoint.pb-c.h"

typedef struct file_bytes {
    uint8_t *at; /* owned */
    size_t n;
} file_bytes;

/* What pdag_checkpoint_write() writes. */
static inline file_bytes written(const pdag_checkpoint *cp)
{
    FILE *file = tmpfile();
    file_bytes bytes;
    long end;

    ck_assert_ptr_nonnull(file);
    ck_assert_msg(pdag_checkpoint_write(cp, fileno(file)) == PDAG_OK, "%s",
                  pdag_error_text());
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    end = ftell(file);
    ck_assert_int_ge(end, 0);
    rewind(file);
    bytes.n = (size_t)end;
    bytes.at = pdag_xcalloc(bytes.n + 1, 1);
    ck_assert_uint_eq(fread(bytes.at, 1, bytes.n, file), bytes.n);
    fclose(file);
    return bytes;
}

/* A file with this header and n_data bytes behind it, lengths and the header's
   checksum as they should be. */
static inline file_bytes made_up(const void *header, size_t n_header,
                                 const void *data, size_t n_data)
{
    file_bytes bytes = {pdag_xcalloc(24 + n_header + n_data, 1),
                        24 + n_header + n_data};
    uint64_t length = n_header;
    uint32_t crc = (uint32_t)crc32_z(0, header, n_header);

    memcpy(bytes.at, "PDAGCKP\n", 8);
    memcpy(bytes.at + 8, &length, 8);
    memcpy(bytes.at + 16, &crc, 4);
    memcpy(bytes.at + 24, header, n_header);
    if (n_data > 0)
        memcpy(bytes.at + 24 + n_header, data, n_data);
    return bytes;
}

#endif
