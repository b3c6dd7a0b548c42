/** cli/files.h: files appear under their final name only when complete: written
 *  beside it, flushed to disk, renamed. */
#ifndef PDAG_CLI_FILES_H
#define PDAG_CLI_FILES_H

#include <stddef.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** folder/name with these bytes.  PDAG_ERR_IO; then nothing is left behind. */
pdag_status pdag_file_write(const char *folder, const char *name,
                            const void *bytes, size_t n_bytes);

/** folder/name as .npy: float32, C order, dims[n_dims].  PDAG_ERR_IO, _NOMEM. */
pdag_status pdag_file_write_npy(const char *folder, const char *name,
                                const float *data, int n_dims,
                                const size_t *dims);

/** pdag_file_write() piece by piece.  *file_out goes to pdag_file_end() whatever
 *  comes. */
typedef struct pdag_file pdag_file;

pdag_status pdag_file_begin(const char *folder, const char *name,
                            pdag_file **file_out);
pdag_status pdag_file_add(pdag_file *file, const void *bytes, size_t n_bytes);
/** `status`: of what was written; the file appears only where it is PDAG_OK, and
 *  it comes back. */
pdag_status pdag_file_end(pdag_file *file, pdag_status status);

/** Make the folder and its parents; one that is there is fine.  Also tries that
 *  a file can be made in it.  PDAG_ERR_ARG naming the folder. */
pdag_status pdag_folder_make(const char *folder);

/** Keep other runs out of the folder while this process lives, or until *lock_out
 *  is closed; -1 where the file system cannot.  PDAG_ERR_ARG: another run is
 *  there. */
pdag_status pdag_folder_lock(const char *folder, int *lock_out);

/** Picture [height][width][channels] in [0, 1], channels 1, 3 or 4 (the last one
 *  opacity), as PNG bytes (8 bits, rounded to nearest even as numpy does);
 *  malloc'ed. */
pdag_status pdag_png_encode(const float *picture, size_t height, size_t width,
                            size_t channels, void **bytes_out,
                            size_t *n_bytes_out);

#ifdef __cplusplus
}
#endif
#endif
