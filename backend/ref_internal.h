/** backend/ref_internal.h: shared by the ref_*.c files only. */
#ifndef PDAG_BACKEND_REF_INTERNAL_H
#define PDAG_BACKEND_REF_INTERNAL_H

#include <stddef.h>

#include "backend/backend.h"
#include "backend/weight.h"
#include "base/fatal.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_ref {
    pdag_backend base; /* first member */
    double *row;       /* accumulators of one row, row_count of them */
    size_t row_count;
} pdag_ref;

struct pdag_weight {
    pdag_weight_kind kind;
    pdag_weight_shape shape;
    float *values; /* matrices: [kh][kw][in][out]; vectors: [out] */
    float *bias;   /* [out], or NULL */
};

extern const pdag_backend_ops pdag_backend_ref;

/** *row_out: at least `count` accumulators, valid until the next call. */
pdag_status pdag_ref_row(pdag_backend *be, size_t count, double **row_out);

/** The floats of a buffer that must hold n of them. */
static inline float *pdag_ref_floats(const pdag_buf *buf, size_t n)
{
    PDAG_ASSERT(buf->bytes / sizeof(float) >= n);
    return (float *)buf->ptr;
}

/** act(x), in float64. */
double pdag_ref_activation(pdag_activation act, double x);

/* Entries of the table; contracts in backend.h. */
pdag_status pdag_ref_linear(pdag_backend *be, const pdag_weight *w, size_t m,
                            const pdag_buf *x, pdag_activation act,
                            const pdag_buf *residual, pdag_buf *y);
pdag_status pdag_ref_conv2d(pdag_backend *be, const pdag_weight *w, size_t b,
                            size_t h, size_t width, const pdag_buf *x,
                            const pdag_buf *residual, pdag_buf *y);
pdag_status pdag_ref_attention(pdag_backend *be, const pdag_attention *a);
pdag_status pdag_ref_group_norm(pdag_backend *be, size_t b, size_t p, size_t c,
                                size_t groups, float eps,
                                const pdag_weight *gamma,
                                const pdag_weight *beta, const pdag_buf *add,
                                pdag_activation act, const pdag_buf *x,
                                pdag_buf *y);
pdag_status pdag_ref_layer_norm(pdag_backend *be, size_t m, size_t c, float eps,
                                const pdag_weight *gamma,
                                const pdag_weight *beta, const pdag_buf *x,
                                pdag_buf *y);

#ifdef __cplusplus
}
#endif
#endif
