/** backend/weight.h: what every backend asks of a weight before it prepares it.
 *  For implementations of backend.h only. */
#ifndef PDAG_BACKEND_WEIGHT_H
#define PDAG_BACKEND_WEIGHT_H

#include <stddef.h>

#include "backend/backend.h"
#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Shape of a checked weight.  LINEAR: kh = kw = 1 and `out` is the sum over
 *  the parts.  VECTOR: in = kh = kw = 1.  The rest is the desc's, of CONV2D. */
typedef struct pdag_weight_shape {
    size_t out, in, kh, kw;
    size_t stride, pad_top, pad_left, pad_bottom, pad_right;
} pdag_weight_shape;

/** Check kind, parts, dims, bias and stride of `desc`.  PDAG_ERR_SHAPE names
 * the tensor, what it is and what was wanted. */
pdag_status pdag_weight_check(const pdag_weight_desc *desc,
                              pdag_weight_shape *shape_out);

/** All biases behind each other: out[shape.out], float32.  The desc has some.
 */
void pdag_weight_read_bias(const pdag_weight_desc *desc, float *out);

/** Rows [first, first + n) of a LINEAR or CONV2D weight, counted over all
 * parts: out[n][in * kh * kw], float32, the innermost index as in the file. */
void pdag_weight_read_rows(const pdag_weight_desc *desc,
                           const pdag_weight_shape *shape, size_t first,
                           size_t n, float *out);

/** Output positions of a CONV2D over h rows, or `width` columns:
 *  (n + pads - kernel) / stride + 1. */
size_t pdag_conv_height(const pdag_weight_shape *shape, size_t h);
size_t pdag_conv_width(const pdag_weight_shape *shape, size_t width);

#ifdef __cplusplus
}
#endif
#endif
