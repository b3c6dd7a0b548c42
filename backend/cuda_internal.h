/** backend/cuda_internal.h: shared by the cuda*.c files only. */
#ifndef PDAG_BACKEND_CUDA_INTERNAL_H
#define PDAG_BACKEND_CUDA_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "backend/backend.h"
#include "backend/cuda_api.h"
#include "backend/cuda_kernels.h"
#include "backend/weight.h"
#include "base/fatal.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Device memory that grows to the largest request; contents undefined.  What is
 *  queued still finds the old memory: taking and giving are queued too. */
typedef struct pdag_cuda_space {
    void *ptr;
    size_t bytes;
} pdag_cuda_space;

/** Pinned host memory on its way to or from the device. */
typedef struct pdag_cuda_slot {
    void *ptr;
    cudaEvent_t moved; /* the copy that used it last is over */
} pdag_cuda_slot;

#define PDAG_CUDA_SLOTS 2
#define PDAG_CUDA_SLOT_BYTES ((size_t)4 << 20)

/** What a product's plan depends on besides the weight. */
typedef struct pdag_cuda_product {
    size_t m, k, n;       /* y[m][n] = x[m][k] w[n][k]^T */
    unsigned align[3];    /* of x, y and residual in bytes, 256 at most */
    bool bias, residual;  /* added */
    bool gelu;            /* the tanh approximation follows */
    bool wide;            /* y is float32 */
} pdag_cuda_product;

typedef struct pdag_cuda_plan pdag_cuda_plan;
struct pdag_cuda_plan {
    pdag_cuda_plan *next;
    pdag_cuda_product product;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t w, x, y; /* as cuBLAS sees them: columns first */
    bool usable; /* false: cuBLASLt has no algorithm for it */
    cublasLtMatmulAlgo_t algorithm;
    size_t workspace;
};

/** A convolution through cuDNN for one size of picture; usable false: cuDNN has
 *  no algorithm for it that gives the same bits every time. */
typedef struct pdag_cuda_conv_plan pdag_cuda_conv_plan;

typedef struct pdag_cuda {
    pdag_backend base; /* first member */
    int device;
    int capability;    /* 10 major + minor */
    bool pooled;       /* memory is taken in the order of the queue */
    bool recording;    /* what is queued is kept, not run */
    unsigned n_moves;  /* of the spaces below: recordings name their memory */
    pdag_cuda_at at;   /* the queue, and the type of activations */
    cudaStream_t stream;
    pdag_cuda_slot slot[PDAG_CUDA_SLOTS];
    unsigned next_slot;
    const pdag_cublaslt *lt;
    cublasLtHandle_t lt_handle;
    cublasLtMatmulPreference_t preference;
#ifdef PDAG_HAVE_CUDNN
    const pdag_cudnn *dnn; /* NULL: not on this machine */
    cudnnHandle_t dnn_handle;
#endif
    pdag_cuda_space staging; /* float32 on its way in or out */
    pdag_cuda_space work;    /* of a library's call */
    pdag_cuda_space columns; /* a convolution's piece, or its padded picture */
    pdag_cuda_space aside;   /* a product that a kernel goes over */
    pdag_cuda_space sums;    /* of group norm */
} pdag_cuda;

struct pdag_weight {
    pdag_weight_kind kind;
    pdag_weight_shape shape;
    char *name;       /* of the first part, for messages */
    size_t row;       /* elements from one output's numbers to the next's */
    void *matrix;     /* [out][row], a row is [kh][kw][in]; not of a VECTOR */
    float *floats;    /* VECTOR: [out]; else the bias, or NULL */
    void *bias;       /* the bias in the type of activations, or NULL; where that
                         is float32 it is `floats` */
    pdag_cuda_plan *plans; /* newest first */
    pdag_cuda_conv_plan *conv_plans;
};

extern const pdag_backend_ops pdag_backend_cuda;

static inline pdag_cuda *pdag_cuda_of(pdag_backend *be)
{
    return (pdag_cuda *)be;
}

/** The elements of a buffer that must hold n of them. */
static inline void *pdag_cuda_elements(const pdag_backend *be,
                                       const pdag_buf *buf, size_t n)
{
    PDAG_ASSERT(buf->bytes / be->act_size >= n);
    return buf->ptr;
}

/* cuda_memory.c */

/** PDAG_OK, or PDAG_ERR_BACKEND "CUDA: <what>: <reason>"; PDAG_ERR_NOMEM where
 *  the reason is memory.  `code`: a cudaError_t. */
pdag_status pdag_cuda_check(int code, const char *what);
/** PDAG_ERR_NOMEM says how many bytes were wanted and how many are free. */
pdag_status pdag_cuda_take(pdag_cuda *cuda, size_t bytes, const char *what,
                           void **ptr_out);
void pdag_cuda_give(pdag_cuda *cuda, void *ptr); /* NULL is allowed */
/** *ptr_out: `bytes` of the space, valid until its next use. */
pdag_status pdag_cuda_reserve(pdag_cuda *cuda, pdag_cuda_space *space,
                              size_t bytes, const char *what, void **ptr_out);
pdag_status pdag_cuda_slots_create(pdag_cuda *cuda);
void pdag_cuda_slots_destroy(pdag_cuda *cuda);
/** Bytes from or to host memory, through the slots.  to_device() has read the
 *  host's bytes when it returns, to_host() has written them. */
pdag_status pdag_cuda_to_device(pdag_cuda *cuda, size_t bytes, const void *host,
                                void *device);
pdag_status pdag_cuda_to_host(pdag_cuda *cuda, size_t bytes, const void *device,
                              void *host);

/* cuda_record.c */

pdag_status pdag_cuda_record_begin(pdag_backend *be);
pdag_status pdag_cuda_record_end(pdag_backend *be,
                                 pdag_recording **recording_out);
pdag_status pdag_cuda_replay(pdag_backend *be, pdag_recording *recording);
void pdag_cuda_recording_destroy(pdag_backend *be, pdag_recording *recording);

/* cuda_weight.c */

pdag_status pdag_cuda_weight_create(pdag_backend *be,
                                    const pdag_weight_desc *desc,
                                    pdag_weight **weight_out);
void pdag_cuda_weight_destroy(pdag_backend *be, pdag_weight *weight);

/* cuda_dense.c */

pdag_status pdag_cuda_lt_open(pdag_cuda *cuda);
void pdag_cuda_lt_close(pdag_cuda *cuda);
/** y[m][out] = x[m][row of the weight] w^T + bias + residual (NULL, or may be y);
 *  gelu: the tanh approximation of it, then without residual. */
pdag_status pdag_cuda_multiply(pdag_cuda *cuda, const pdag_weight *w, size_t m,
                               const void *x, bool gelu, const void *residual,
                               void *y);
void pdag_cuda_plans_destroy(pdag_cuda *cuda, pdag_cuda_plan *list);

/* cuda_conv.c */

/** The picture side of a convolution; oh and ow are set. */
pdag_cuda_conv pdag_cuda_describe_conv(const pdag_weight *w, size_t h,
                                       size_t width);

/* cuda_cudnn.c, or cuda_cudnn_none.c */

pdag_status pdag_cuda_dnn_open(pdag_cuda *cuda);
void pdag_cuda_dnn_close(pdag_cuda *cuda);
/** "cuDNN 9.1.0" or "no cuDNN". */
void pdag_cuda_dnn_version(const pdag_cuda *cuda, size_t bytes, char *text);
bool pdag_cuda_has_dnn(const pdag_cuda *cuda);
/** y = conv(x) + bias + residual (NULL, or may be y); *done_out: whether cuDNN
 *  could, otherwise nothing was written. */
pdag_status pdag_cuda_dnn_conv(pdag_cuda *cuda, const pdag_weight *w, size_t b,
                               const pdag_cuda_conv *conv, const void *x,
                               const void *residual, void *y, bool *done_out);
void pdag_cuda_conv_plans_destroy(pdag_cuda *cuda, pdag_cuda_conv_plan *list);

/* Entries of the table; contracts in backend.h. */

pdag_status pdag_cuda_alloc(pdag_backend *be, size_t bytes, pdag_buf *buf_out);
void pdag_cuda_free(pdag_backend *be, pdag_buf *buf);
pdag_status pdag_cuda_sync(pdag_backend *be);
pdag_status pdag_cuda_upload(pdag_backend *be, size_t n, const float *host,
                             pdag_buf *y);
pdag_status pdag_cuda_download(pdag_backend *be, size_t n, const pdag_buf *x,
                               float *host);
pdag_status pdag_cuda_upload_planes(pdag_backend *be, size_t b, size_t c,
                                    size_t p, const float *host, pdag_buf *y);
pdag_status pdag_cuda_download_planes(pdag_backend *be, size_t b, size_t c,
                                      size_t p, const pdag_buf *x, float *host);
pdag_status pdag_cuda_linear(pdag_backend *be, const pdag_weight *w, size_t m,
                             const pdag_buf *x, pdag_activation act,
                             const pdag_buf *residual, pdag_buf *y);
pdag_status pdag_cuda_conv2d(pdag_backend *be, const pdag_weight *w, size_t b,
                             size_t h, size_t width, const pdag_buf *x,
                             const pdag_buf *residual, pdag_buf *y);

#ifdef __cplusplus
}
#endif
#endif
