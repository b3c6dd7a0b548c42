/** base/tensor.h: element types, and a borrowed view of a tensor in host memory
 *  (a weight in a mapped file).  Row-major, contiguous. */
#ifndef PDAG_BASE_TENSOR_H
#define PDAG_BASE_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PDAG_MAX_DIMS 8

typedef enum pdag_dtype {
    PDAG_F64,
    PDAG_F32,
    PDAG_F16,
    PDAG_BF16,
    PDAG_I64,
    PDAG_I32,
    PDAG_U8
} pdag_dtype;

typedef struct pdag_tensor_view {
    const char *name;           /* borrowed, for messages */
    const void *data;           /* may be unaligned: read through memcpy or
                                   pdag_tensor_to_f32() */
    pdag_dtype dtype;
    int n_dims;                 /* 0: a scalar */
    size_t dims[PDAG_MAX_DIMS]; /* outermost first */
} pdag_tensor_view;

/** Bytes of one element: 8, 4, 2 or 1. */
size_t pdag_dtype_size(pdag_dtype dtype);

/** "F32", "BF16", ... as safetensors spells them. */
const char *pdag_dtype_name(pdag_dtype dtype);

/** Product of the dims; 1 for a scalar. */
size_t pdag_tensor_count(const pdag_tensor_view *view);

/** Widen or narrow the elements [first, first + count) to float32. */
void pdag_tensor_to_f32(const pdag_tensor_view *view, size_t first,
                        size_t count, float *out);

/** Scalar conversions; narrowing rounds to nearest even, NaN stays NaN. */
float pdag_f16_to_f32(uint16_t half);
float pdag_bf16_to_f32(uint16_t half);
uint16_t pdag_f32_to_f16(float value);
uint16_t pdag_f32_to_bf16(float value);

#ifdef __cplusplus
}
#endif
#endif
