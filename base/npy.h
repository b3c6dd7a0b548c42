/** base/npy.h: numpy's .npy files, format versions 1 to 3, little endian,
 *  float32 only (others are PDAG_ERR_UNSUPPORTED), C order. */
#ifndef PDAG_BASE_NPY_H
#define PDAG_BASE_NPY_H

#include <stddef.h>

#include "base/status.h"
#include "base/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Read a whole file.  *data_out: float32, owned by the caller (free()).
 *  dims_out: [PDAG_MAX_DIMS].  PDAG_ERR_INPUT, _FORMAT, _UNSUPPORTED, _NOMEM; the
 *  text names the file and what is wrong. */
pdag_status pdag_npy_read(const char *path, float **data_out, int *n_dims_out,
                          size_t *dims_out);

/** Bytes of a version 1.0 file with this data; *bytes_out is malloc'ed. */
pdag_status pdag_npy_encode(const float *data, int n_dims, const size_t *dims,
                            void **bytes_out, size_t *n_bytes_out);

#ifdef __cplusplus
}
#endif
#endif
