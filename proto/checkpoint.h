/** proto/checkpoint.h: what a run needs to go on later: named arrays and the job,
 *  in memory and as one file.
 *
 *  File: 8 bytes magic "PDAGCKP\n", header length (u64, little-endian), CRC-32 of
 *  the header (u32), 4 bytes 0, the header (message pdag.Checkpoint of
 *  proto/checkpoint.proto: format version, program version, the job's bytes, and
 *  for every array its name, type, count, offset and CRC-32), then the arrays,
 *  each at a multiple of 64 bytes from the start.  Numbers are little-endian.
 *
 *  What the names mean is the scheduler's business.  Not thread-safe; a checkpoint
 *  may be handed to another thread as a whole. */
#ifndef PDAG_PROTO_CHECKPOINT_H
#define PDAG_PROTO_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pdag_checkpoint_type {
    PDAG_CHECKPOINT_F32 = 1,
    PDAG_CHECKPOINT_F64,
    PDAG_CHECKPOINT_U64,
    PDAG_CHECKPOINT_BYTES
} pdag_checkpoint_type;

typedef struct pdag_checkpoint pdag_checkpoint;

/** Without arrays; job: pdag_job_pack()'s bytes, copied. */
pdag_checkpoint *pdag_checkpoint_create(const void *job, size_t job_bytes);
void pdag_checkpoint_destroy(pdag_checkpoint *cp); /* NULL is allowed */

/** Borrowed. */
const void *pdag_checkpoint_job(const pdag_checkpoint *cp, size_t *bytes_out);

/** Room for `count` values under this name (1 to 63 printable ASCII characters,
 *  not there yet), zeroed, to be filled in by the caller; borrowed, stays where it
 *  is.  PDAG_ERR_NOMEM; PDAG_ERR_UNSUPPORTED: more than 2^18 arrays. */
pdag_status pdag_checkpoint_add(pdag_checkpoint *cp, const char *name,
                                pdag_checkpoint_type type, size_t count,
                                void **values_out);

/** The array of this name and type, borrowed, and its count; PDAG_ERR_FORMAT,
 *  naming it, where it is not there or of another type. */
pdag_status pdag_checkpoint_find(const pdag_checkpoint *cp, const char *name,
                                 pdag_checkpoint_type type,
                                 const void **values_out, size_t *count_out);

/** The same where exactly `count` values are expected, copied to `values`. */
pdag_status pdag_checkpoint_copy(const pdag_checkpoint *cp, const char *name,
                                 pdag_checkpoint_type type, size_t count,
                                 void *values);

/** Write the file's bytes to an open file, in one pass.  PDAG_ERR_IO. */
pdag_status pdag_checkpoint_write(const pdag_checkpoint *cp, int fd);

/** From the bytes of a file, copied; every length, offset, name and checksum is
 *  checked, and nothing is allocated on the header's word alone.  PDAG_ERR_FORMAT
 *  says what is wrong; `name` is the file's, for the message.  Reading also:
 *  PDAG_ERR_INPUT. */
pdag_status pdag_checkpoint_parse(const char *name, const void *bytes,
                                  size_t n_bytes, pdag_checkpoint **cp_out);
pdag_status pdag_checkpoint_read(const char *path, pdag_checkpoint **cp_out);

#ifdef __cplusplus
}
#endif
#endif
