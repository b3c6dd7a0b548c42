/** backend/cuda_kernels.h: what the CUDA backend runs besides matrix products;
 *  for the backend's own files only.
 *
 *  Every function queues its work on `stream`, waits for nothing and returns the
 *  cudaError_t of the launch as an int (0 is success).  Pointers are device
 *  memory of the current device; sizes are in elements and may be 0 (nothing is
 *  launched).  `type` is the element type of every void pointer; sums, norms and
 *  softmax run in float32 inside.  What an operation computes is said in
 *  backend.h; shapes below name only what is not there.
 *
 *  Equal calls give equal bits: no atomics, and every sum has a fixed order.  A
 *  row (attention, norms: an image) comes out the same in any batch.  Pointers
 *  that are 16-byte aligned, and channels that are multiples of 8, run faster;
 *  nothing needs them.  The header needs no CUDA installation. */
#ifndef PDAG_BACKEND_CUDA_KERNELS_H
#define PDAG_BACKEND_CUDA_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

#include "backend/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What cudaStream_t points to. */
struct CUstream_st;

typedef enum pdag_cuda_type {
    PDAG_CUDA_FLOAT32,
    PDAG_CUDA_BFLOAT16,
    PDAG_CUDA_FLOAT16
} pdag_cuda_type;

/** A queue and the element type of what is worked on. */
typedef struct pdag_cuda_at {
    struct CUstream_st *stream;
    pdag_cuda_type type;
} pdag_cuda_at;

/* cuda_kernels_move.cu */

/** float32 [n] <-> elements [n]; rounds to nearest even. */
int pdag_cuda_narrow(pdag_cuda_at at, size_t n, const float *x, void *y);
int pdag_cuda_widen(pdag_cuda_at at, size_t n, const void *x, float *y);
/** float32 [B][C][P] <-> elements [B][P][C]; B up to 65535, C and P up to two
 *  million. */
int pdag_cuda_from_planes(pdag_cuda_at at, size_t b, size_t c, size_t p,
                          const float *x, void *y);
int pdag_cuda_to_planes(pdag_cuda_at at, size_t b, size_t c, size_t p,
                        const void *x, float *y);
/** Rows of a convolution's weight: float32 [rows][in][taps] as in the file ->
 *  elements [rows][taps][in], rows `y_row` >= taps * in apart, zeros between:
 *  the order of pdag_cuda_gather()'s columns. */
int pdag_cuda_weight_rows(pdag_cuda_at at, size_t rows, size_t in, size_t taps,
                          const float *x, size_t y_row, void *y);

/** The picture side of a convolution x[b][h][w][c]. */
typedef struct pdag_cuda_conv {
    size_t h, w, c;   /* of the input */
    size_t oh, ow;    /* of the output */
    size_t kh, kw, stride, pad_top, pad_left;
} pdag_cuda_conv;

/** Implicit matrix of a convolution, a bounded piece of it: for the output
 *  positions [first, first + n) counted over b*oh*ow, the kh*kw*c inputs that
 *  each one reads, zeros outside the picture: y[n][kh][kw][c], rows `y_row` >=
 *  kh*kw*c apart, zeros between (a row length that matrix units like). */
int pdag_cuda_gather(pdag_cuda_at at, const pdag_cuda_conv *conv, size_t first,
                     size_t n, size_t y_row, const void *x, void *y);

int pdag_cuda_concat(pdag_cuda_at at, size_t m, size_t ca, const void *a,
                     size_t cb, const void *b, void *y);
int pdag_cuda_upsample(pdag_cuda_at at, size_t b, size_t h, size_t w, size_t c,
                       size_t oh, size_t ow, const void *x, void *y);
int pdag_cuda_avg_pool2(pdag_cuda_at at, size_t b, size_t h, size_t w, size_t c,
                        const void *x, void *y);

/* cuda_kernels_elements.cu; y may be x (or a, b, h, residual) everywhere but in
 * geglu */

/** What follows a matrix product: y[m][n] = act(x[m][n] + bias[n]) +
 *  residual[m][n].  x_type: the element type of x, `type` or float32 (y may be x
 *  only if they are the same).  bias: NULL or float32.  residual: NULL, or may be
 *  y. */
int pdag_cuda_epilogue(pdag_cuda_at at, size_t m, size_t n,
                       pdag_cuda_type x_type, const void *x, const float *bias,
                       pdag_activation act, const void *residual, void *y);
int pdag_cuda_geglu(pdag_cuda_at at, size_t m, size_t n, const void *x,
                    void *y);
int pdag_cuda_activate(pdag_cuda_at at, size_t n, pdag_activation act,
                       const void *x, void *y);
int pdag_cuda_add(pdag_cuda_at at, size_t n, const void *a, const void *b,
                  void *y);
int pdag_cuda_scale(pdag_cuda_at at, size_t n, float s, const void *x, void *y);
/** scale, shift, gate: already moved by their slice's offset; image b's numbers
 *  are `..._stride` elements further on. */
int pdag_cuda_modulate(pdag_cuda_at at, size_t b, size_t p, size_t c, float one,
                       const void *scale, size_t scale_stride,
                       const void *shift, size_t shift_stride, const void *x,
                       void *y);
int pdag_cuda_gated_add(pdag_cuda_at at, size_t b, size_t p, size_t c,
                        const void *gate, size_t gate_stride, const void *h,
                        const void *x, void *y);

/* cuda_kernels_norm.cu */

typedef struct pdag_cuda_group_norm {
    size_t b, p, c, groups;
    float eps;
    const float *gamma, *beta; /* NULL: none */
    const void *add;           /* [B][C] or NULL */
    pdag_activation act;
    const void *x;
    void *y;          /* may be x */
    float *workspace; /* pdag_cuda_group_norm_floats() of them */
} pdag_cuda_group_norm;

/** Numbers of workspace; 0 where the pictures are small.  At most 193 * b *
 *  groups. */
size_t pdag_cuda_group_norm_floats(size_t b, size_t p, size_t c, size_t groups);
int pdag_cuda_group_normalise(pdag_cuda_at at, const pdag_cuda_group_norm *norm);
/** gamma and beta: NULL or float32. */
int pdag_cuda_layer_norm(pdag_cuda_at at, size_t m, size_t c, float eps,
                         const float *gamma, const float *beta, const void *x,
                         void *y);

/* cuda_kernels_attention.cu, cuda_kernels_attention_mma.cu */

/** A part of an activation, as pdag_slice, already moved by its offset. */
typedef struct pdag_cuda_rows {
    void *ptr; /* read only for q, k and v */
    size_t batch_stride, row_stride;
} pdag_cuda_rows;

typedef struct pdag_cuda_attention {
    size_t batch, heads, head_dim, n_q, n_kv;
    float scale;
    bool causal;
    bool matrix_unit; /* the device multiplies matrices of `type` itself:
                         float16 from compute capability 7.5 on, bfloat16 from
                         8.0.  Ignored for float32 and beyond 256 columns. */
    pdag_cuda_rows q, k, v, y;
} pdag_cuda_attention;

/** One pass over the keys with a running maximum and sum per query, so that
 *  scores exist only as tiles on the chip.  M. Milakov, N. Gimelshein, "Online
 *  normalizer calculation for softmax", arXiv:1805.02867; T. Dao,
 *  "FlashAttention-2", arXiv:2307.08691. */
int pdag_cuda_attend(pdag_cuda_at at, const pdag_cuda_attention *a);

#ifdef __cplusplus
}
#endif
#endif
