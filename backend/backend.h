/** backend/backend.h: one compute device, its memory and the dense operations
 *  that networks are built from.
 *
 *  Letters: B images (rows of a batch), H W picture height and width, C
 *  channels, T tokens, M rows of a matrix.  Activations are channels last:
 *  [B][H][W][C], or [M][C] where a picture is a list of M = B*H*W positions, so
 *  that a 1x1 convolution is a linear layer and attention needs no transpose.
 *  Their element type is the backend's (`act`): float32, or bfloat16/float16
 *  when it was opened so; sums, norms and softmax run in float32 inside.
 *
 *  Order of calls: open() .. weight_create() for every weight .. operations ..
 *  sync() .. weight_destroy(), free(), close().  Work is queued in call order;
 *  sync() waits and gives the first failure since the last sync.  A backend is
 *  used by one thread at a time.  Nothing here is collective.
 *
 *  The smallest implementation, and the definition of every operation, is
 *  backend/ref.c: plain loops in float32 with float64 sums.  A new device is one
 *  more file and one line in configure's backend table; it touches no other
 *  folder.  tests/conf_backend.c is the suite that every variant passes. */
#ifndef PDAG_BACKEND_BACKEND_H
#define PDAG_BACKEND_BACKEND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "base/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pdag_mem { PDAG_MEM_HOST, PDAG_MEM_PINNED, PDAG_MEM_DEVICE } pdag_mem;

/** A buffer is a value: pointer, bytes, kind of memory, owned or not. */
typedef struct pdag_buf {
    void *ptr;
    size_t bytes;
    pdag_mem mem;
    bool owned;
} pdag_buf;

/** Precision of network arithmetic (job field model.precision). */
typedef enum pdag_precision {
    PDAG_PRECISION_FLOAT32,
    PDAG_PRECISION_BFLOAT16,
    PDAG_PRECISION_FLOAT16,
    PDAG_PRECISION_TF32
} pdag_precision;

typedef enum pdag_activation {
    PDAG_ACT_NONE,
    PDAG_ACT_SILU,       /* x sigmoid(x) */
    PDAG_ACT_GELU,       /* x Phi(x), by erf */
    PDAG_ACT_GELU_TANH,  /* the tanh approximation */
    PDAG_ACT_QUICK_GELU, /* x sigmoid(1.702 x) */
    PDAG_ACT_MISH,       /* x tanh(softplus(x)) */
    PDAG_ACT_RELU
} pdag_activation;

/** What a weight is for; decides layout and what the view must look like. */
typedef enum pdag_weight_kind {
    PDAG_WEIGHT_LINEAR, /* parts [out_i][in] (or [out_i][in][1][1]), stacked
                           along out: a fused q,k,v projection has three */
    PDAG_WEIGHT_CONV2D, /* one part [out][in][kh][kw]; 1-D: kh = 1 */
    PDAG_WEIGHT_VECTOR  /* one part [n]: gamma or beta of a norm; float32 */
} pdag_weight_kind;

#define PDAG_WEIGHT_MAX_PARTS 3

typedef struct pdag_weight_desc {
    pdag_weight_kind kind;
    int n_parts;                                      /* 1..3 */
    const pdag_tensor_view *part[PDAG_WEIGHT_MAX_PARTS];
    const pdag_tensor_view *bias[PDAG_WEIGHT_MAX_PARTS]; /* NULL: no bias; all
                                                            parts or none */
    size_t stride, pad_top, pad_left, pad_bottom, pad_right; /* CONV2D only;
                                                                stride 1 or 2 */
} pdag_weight_desc;

/** A weight prepared for one backend (converted, reordered, on the device).
 *  Opaque; the views may go away after weight_create().  Read-only in use. */
typedef struct pdag_weight pdag_weight;

/** Part of an activation: element (b, m, c) is at offset + b * batch_stride +
 *  m * row_stride + c, all in elements. */
typedef struct pdag_slice {
    const pdag_buf *buf;
    size_t offset, batch_stride, row_stride;
} pdag_slice;

/** softmax(scale q k^T) v per head; head h is columns [h*head_dim, (h+1)*head_dim).
 *  batch_stride 0 of k and v shares one condition over the batch. */
typedef struct pdag_attention {
    size_t batch, heads, head_dim, n_q, n_kv;
    float scale;
    bool causal; /* query m sees keys 0..m; needs n_q == n_kv */
    pdag_slice q, k, v, y;
} pdag_attention;

/** Operations that were recorded, to be run again; opaque. */
typedef struct pdag_recording pdag_recording;

typedef struct pdag_backend_ops pdag_backend_ops;

/** An implementation embeds this as its first member. */
typedef struct pdag_backend {
    const pdag_backend_ops *ops;
    pdag_precision precision;
    size_t act_size;       /* bytes of one activation element */
    char description[128]; /* device and library, for `info` and run.json */
} pdag_backend;

/** Errors of all operations: PDAG_ERR_BACKEND (a library call failed; text names
 *  it), PDAG_ERR_NOMEM.  Buffers too short are a bug of the caller and assert.
 *  Unless said otherwise outputs must not overlap inputs. */
struct pdag_backend_ops {
    const char *name; /* model.backend: "ref", "onednn", "cuda" */
    int priority;     /* "auto" takes the highest whose open() succeeds */

    /* REQUIRED */

    /** PDAG_ERR_UNSUPPORTED where the device is absent or does not know the
     *  precision.  `device` counts from 0. */
    pdag_status (*open)(int device, pdag_precision precision,
                        pdag_backend **be_out);
    void (*close)(pdag_backend *be); /* NULL is allowed */

    /** 64-byte aligned, contents undefined. */
    pdag_status (*alloc)(pdag_backend *be, size_t bytes, pdag_buf *buf_out);
    void (*free)(pdag_backend *be, pdag_buf *buf); /* no-op if !owned or NULL */
    pdag_status (*sync)(pdag_backend *be);

    /** Checked against the desc: PDAG_ERR_SHAPE names the tensor. */
    pdag_status (*weight_create)(pdag_backend *be, const pdag_weight_desc *desc,
                                 pdag_weight **weight_out);
    void (*weight_destroy)(pdag_backend *be, pdag_weight *weight);

    /** Host float32 [n] <-> activation [n] (rounds to the element type). */
    pdag_status (*upload)(pdag_backend *be, size_t n, const float *host,
                          pdag_buf *y);
    pdag_status (*download)(pdag_backend *be, size_t n, const pdag_buf *x,
                            float *host);
    /** The same with a change of layout: host [B][C][P] <-> activation
     *  [B][P][C], P = H*W positions. */
    pdag_status (*upload_planes)(pdag_backend *be, size_t b, size_t c, size_t p,
                                 const float *host, pdag_buf *y);
    pdag_status (*download_planes)(pdag_backend *be, size_t b, size_t c,
                                   size_t p, const pdag_buf *x, float *host);

    /** y[m][out] = act(x[m][in] W^T + bias) + residual[m][out].  residual: NULL,
     *  or a buffer that may be y itself (accumulate). */
    pdag_status (*linear)(pdag_backend *be, const pdag_weight *w, size_t m,
                          const pdag_buf *x, pdag_activation act,
                          const pdag_buf *residual, pdag_buf *y);
    /** y[b][oh][ow][out] = conv(x[b][h][w][in]) + bias + residual, with the
     *  stride and zero padding of the weight; oh = (h + pads - kh)/stride + 1. */
    pdag_status (*conv2d)(pdag_backend *be, const pdag_weight *w, size_t b,
                          size_t h, size_t width, const pdag_buf *x,
                          const pdag_buf *residual, pdag_buf *y);
    /** Statistics over P positions and C/groups channels of x + add; y =
     *  act((x + add - mean)/sqrt(var + eps) gamma + beta).  x, y: [B][P][C], y
     *  may be x.  add: NULL or [B][C] (a time embedding).  act: NONE, SILU or
     *  MISH. */
    pdag_status (*group_norm)(pdag_backend *be, size_t b, size_t p, size_t c,
                              size_t groups, float eps, const pdag_weight *gamma,
                              const pdag_weight *beta, const pdag_buf *add,
                              pdag_activation act, const pdag_buf *x,
                              pdag_buf *y);
    /** Per row of [M][C]; gamma and beta may be NULL (no affine); y may be x. */
    pdag_status (*layer_norm)(pdag_backend *be, size_t m, size_t c, float eps,
                              const pdag_weight *gamma, const pdag_weight *beta,
                              const pdag_buf *x, pdag_buf *y);
    pdag_status (*attention)(pdag_backend *be, const pdag_attention *a);
    /** y[m][n] = x[m][0..n) * gelu_erf(x[m][n..2n)). */
    pdag_status (*geglu)(pdag_backend *be, size_t m, size_t n,
                         const pdag_buf *x, pdag_buf *y);
    /** y[n] = act(x[n]); y may be x. */
    pdag_status (*activate)(pdag_backend *be, size_t n, pdag_activation act,
                            const pdag_buf *x, pdag_buf *y);
    /** y[n] = a[n] + b[n]; y may be a or b. */
    pdag_status (*add)(pdag_backend *be, size_t n, const pdag_buf *a,
                       const pdag_buf *b, pdag_buf *y);
    /** y[n] = s x[n]; y may be x. */
    pdag_status (*scale)(pdag_backend *be, size_t n, float s, const pdag_buf *x,
                         pdag_buf *y);
    /** y[b][p][c] = x[b][p][c] (one + scale[b][c]) + shift[b][c]; one: 0 (FiLM) or
     *  1 (adaLN).  scale and shift are parts of activations, of which only
     *  offset and batch_stride count.  x, y: [B][P][C], y may be x. */
    pdag_status (*modulate)(pdag_backend *be, size_t b, size_t p, size_t c,
                            float one, const pdag_slice *scale,
                            const pdag_slice *shift, const pdag_buf *x,
                            pdag_buf *y);
    /** y[b][p][c] = x[b][p][c] + gate[b][c] h[b][p][c]; gate as scale above; y may
     *  be x or h. */
    pdag_status (*gated_add)(pdag_backend *be, size_t b, size_t p, size_t c,
                             const pdag_slice *gate, const pdag_buf *h,
                             const pdag_buf *x, pdag_buf *y);
    /** y[m][ca + cb] = a[m][ca] beside b[m][cb]. */
    pdag_status (*concat)(pdag_backend *be, size_t m, size_t ca,
                          const pdag_buf *a, size_t cb, const pdag_buf *b,
                          pdag_buf *y);
    /** Nearest neighbour: y[b][i][j][c] = x[b][floor(i h/oh)][floor(j w/ow)][c]. */
    pdag_status (*upsample)(pdag_backend *be, size_t b, size_t h, size_t w,
                            size_t c, size_t oh, size_t ow, const pdag_buf *x,
                            pdag_buf *y);
    /** 2x2 mean with stride 2; h and w even. */
    pdag_status (*avg_pool2)(pdag_backend *be, size_t b, size_t h, size_t w,
                             size_t c, const pdag_buf *x, pdag_buf *y);

    /* OPTIONAL: NULL where a backend has none */

    /** Devices on this machine, each of which is for one process.  NULL: one
     *  that all processes of a machine share (its processors). */
    int (*n_devices)(void);

    /* The next four are all there or all NULL. */

    /** What is queued up to record_end() is kept instead of run, with the
     *  buffers and weights it names.  In between nothing may be allocated, given
     *  back, moved from or to the host or waited for, so that the same must have
     *  been run before. */
    pdag_status (*record_begin)(pdag_backend *be);
    /** Ends the recording in any case; PDAG_ERR_BACKEND where it failed. */
    pdag_status (*record_end)(pdag_backend *be, pdag_recording **recording_out);
    /** Queue what was recorded.  PDAG_ERR_UNSUPPORTED, and nothing is queued, where
     *  the backend's own memory has moved since: record it anew. */
    pdag_status (*replay)(pdag_backend *be, pdag_recording *recording);
    void (*recording_destroy)(pdag_backend *be, pdag_recording *recording);
};

/** Backends built in, NULL-terminated, from configure (backend/backend_table.h). */
const pdag_backend_ops *const *pdag_backend_list(void);

/** Open `name` ("auto": highest priority first) on `device`.  The caller closes
 *  with be->ops->close().  PDAG_ERR_UNSUPPORTED lists what is built in. */
pdag_status pdag_backend_open(const char *name, int device,
                              pdag_precision precision, pdag_backend **be_out);

/** Open `name` for process `local` (from 0) of those that compute on this machine:
 *  a backend that has devices gives each process its own.  Where they do not
 *  suffice: with `share` several processes take one, else "auto" goes on to a
 *  backend that they share anyway and a named one is PDAG_ERR_UNSUPPORTED.
 *  *device_out: number of the process's device, -1 where it has none of its own.
 *  Otherwise as pdag_backend_open(). */
pdag_status pdag_backend_open_local(const char *name, int local, bool share,
                                    pdag_precision precision,
                                    pdag_backend **be_out, int *device_out);

/** "float32" ... into a precision; PDAG_ERR_ARG. */
pdag_status pdag_precision_parse(const char *name, pdag_precision *out);
const char *pdag_precision_name(pdag_precision precision);

#ifdef __cplusplus
}
#endif
#endif
