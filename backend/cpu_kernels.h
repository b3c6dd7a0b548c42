/** backend/cpu_kernels.h: element-wise and row-wise loops of the CPU backends,
 *  compiled once per instruction set and chosen when the program starts, so
 * that one binary runs on every machine of its architecture.
 *
 *  Elements are float32 or bfloat16 (the table says which); arithmetic is in
 *  float32.  Pointers may have any alignment that their element type allows.
 *  Every function may be used by several threads at once. */
#ifndef PDAG_BACKEND_CPU_KERNELS_H
#define PDAG_BACKEND_CPU_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

#include "backend/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/** One image of a group norm; fields as in backend.h.  gamma, beta: float32 [c]
 *  or NULL.  scratch: float32, PDAG_CPU_NORM_SCRATCH * c. */
typedef struct pdag_cpu_norm {
    size_t p, c, groups;
    float eps;
    const float *gamma, *beta;
    const void *add; /* [c] or NULL */
    pdag_activation act;
    const void *x; /* [p][c] */
    void *y;       /* [p][c], may be x */
    float *scratch;
} pdag_cpu_norm;

#define PDAG_CPU_NORM_SCRATCH 8

/** One block of `rows` queries against `n` keys in a softmax that sees the keys
 *  block by block (Milakov and Gimelshein 2018, arXiv:1805.02867).  Row r keeps
 *  the maximum and the sum of its terms so far, and `acc`, the sum of its terms
 *  times the values. */
typedef struct pdag_cpu_softmax {
    size_t rows, n;
    float scale;
    float *scores; /* [rows][stride]: q k^T of this block */
    size_t stride; /* at least n */
    void *terms;   /* [rows][terms_stride] elements: exp(...); may lie over
                      the scores, each row over its own */
    size_t terms_stride;
    size_t visible; /* keys that row 0 may see; row r sees r more; n is all */
    bool first;     /* no block before: max, sum and acc are only written */
    float *max;     /* [rows], of scale * scores */
    float *sum;     /* [rows] */
    float *acc;     /* [rows][head_dim]: multiplied by exp(old - new max) */
    size_t head_dim;
} pdag_cpu_softmax;

/** Attention of one head of one image, as pdag_attention in backend.h: rows are
 *  *_row elements apart.  scratch: pdag_cpu_kernels.head_scratch() floats. */
typedef struct pdag_cpu_head {
    size_t n_q, n_kv, head_dim;
    float scale;
    bool causal;
    const void *q, *k, *v;
    void *y;
    size_t q_row, k_row, v_row, y_row;
    float *scratch; /* 64-byte aligned */
} pdag_cpu_head;

typedef struct pdag_cpu_kernels {
    const char *isa;
    /** float32 -> element and back; n of them. */
    void (*narrow)(size_t n, const float *x, void *y);
    void (*widen)(size_t n, const void *x, float *y);
    /* As the entries of the same names in backend.h. */
    void (*activate)(size_t n, pdag_activation act, const void *x, void *y);
    void (*add)(size_t n, const void *a, const void *b, void *y);
    void (*scale)(size_t n, float s, const void *x, void *y);
    /** As there, of one image: scale, shift, gate: [c]; x, h, y: [p][c]. */
    void (*modulate)(size_t p, size_t c, float one, const void *scale,
                     const void *shift, const void *x, void *y);
    void (*gated_add)(size_t p, size_t c, const void *gate, const void *h,
                      const void *x, void *y);
    void (*geglu)(size_t m, size_t n, const void *x, void *y);
    void (*layer_norm)(size_t m, size_t c, float eps, const float *gamma,
                       const float *beta, const void *x, void *y);
    void (*group_norm)(const pdag_cpu_norm *norm);
    /** One row of output: top and low are two rows of [2 n][c]. */
    void (*avg_pool2)(size_t n, size_t c, const void *top, const void *low,
                      void *y);
    /** x[p][c] -> float32 y[ceil(c/16)][p][16], padded with zeros; and back,
     *  plus residual[p][c] (NULL: none; may be y). */
    void (*to_blocks)(size_t p, size_t c, const void *x, float *y);
    void (*from_blocks)(size_t p, size_t c, const float *x,
                        const void *residual, void *y);
    void (*attend)(const pdag_cpu_head *head);
    size_t (*head_scratch)(size_t n_q, size_t head_dim);
    void (*softmax)(const pdag_cpu_softmax *s);
    /** y[r][c] = acc[r][c] / sum[r]; y's rows are y_stride elements apart. */
    void (*softmax_end)(size_t rows, size_t c, const float *acc,
                        const float *sum, void *y, size_t y_stride);
} pdag_cpu_kernels;

/** The best table for this machine; `bf16` chooses the element type. */
const pdag_cpu_kernels *pdag_cpu_kernels_select(bool bf16);

/** All tables of one element type that this machine can run, best first, for
 *  tests; returns how many. */
size_t pdag_cpu_kernels_list(bool bf16, const pdag_cpu_kernels *tables_out[3]);

#ifdef __cplusplus
}
#endif
#endif
