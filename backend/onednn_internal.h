/** backend/onednn_internal.h: shared by the onednn_*.c files only. */
#ifndef PDAG_BACKEND_ONEDNN_INTERNAL_H
#define PDAG_BACKEND_ONEDNN_INTERNAL_H

#include <stddef.h>

#include "backend/backend.h"
#include "backend/cpu_kernels.h"
#include "backend/onednn_api.h"
#include "backend/weight.h"
#include "base/fatal.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Memory that grows to the largest request; contents undefined. */
typedef struct pdag_onednn_space {
    void *ptr;
    size_t bytes;
} pdag_onednn_space;

#define PDAG_PLAN_KEYS 8

/** A primitive for one shape, made at the shape's first use and kept. */
typedef struct pdag_onednn_plan pdag_onednn_plan;
struct pdag_onednn_plan {
    pdag_onednn_plan *next;
    size_t key[PDAG_PLAN_KEYS];
    dnnl_primitive_t primitive;
    dnnl_memory_t src, weights, bias, dst, residual, scratch; /* NULL: unused */
    int residual_arg;
    size_t scratch_bytes;
    void *weights_ptr; /* the weight's copy that this primitive reads */
};

typedef struct pdag_onednn {
    pdag_backend base; /* first member */
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_data_type_t type; /* of activations and weights */
    const pdag_cpu_kernels *kernels;
    bool winograd;    /* worth asking for */
    bool matrix_unit; /* bfloat16 products are many times faster than float32 */
    pdag_onednn_space scratch;  /* the running primitive's */
    pdag_onednn_space work;     /* the running operation's own */
    pdag_onednn_plan *products; /* attention's */
} pdag_onednn;

/** One layout of a weight's numbers. */
typedef struct pdag_onednn_copy {
    pdag_md md;
    void *data;
} pdag_onednn_copy;

struct pdag_weight {
    pdag_weight_kind kind;
    pdag_weight_shape shape;
    float *vector; /* VECTOR only: [out] */
    float *bias;   /* [out] or NULL */
    char *name;    /* of the first part, for messages */
    bool winograd; /* may run so; copy[0] then stays as in the file, the
                      only layout that can be transformed */
    bool unused;   /* copy[0] is as in the file and no plan reads it */
    size_t n_copies;
    pdag_onednn_copy *copy;
    pdag_onednn_plan *plans; /* newest first */
};

extern const pdag_backend_ops pdag_backend_onednn;

static inline pdag_onednn *pdag_onednn_of(pdag_backend *be)
{
    return (pdag_onednn *)be;
}

/** The elements of a buffer that must hold n of them. */
static inline void *pdag_onednn_elements(const pdag_backend *be,
                                         const pdag_buf *buf, size_t n)
{
    PDAG_ASSERT(buf->bytes / be->act_size >= n);
    return buf->ptr;
}

/** *ptr_out: `bytes` of the space, valid until its next use. */
pdag_status pdag_onednn_reserve(pdag_onednn_space *space, size_t bytes,
                                void **ptr_out);

/* onednn_plan.c */

pdag_onednn_plan *pdag_onednn_plan_find(pdag_onednn_plan *list,
                                        const size_t key[PDAG_PLAN_KEYS]);
/** Make the primitive of `pd` (destroyed in every case) and its memory
 *  objects, and put the plan at the head of *list. */
pdag_status pdag_onednn_plan_add(pdag_onednn *dnn, const pdag_dnn_op *op,
                                 dnnl_primitive_desc_t pd,
                                 const size_t key[PDAG_PLAN_KEYS],
                                 pdag_onednn_plan **list);
/** Run it; bias and residual only where the operation has them. */
pdag_status pdag_onednn_plan_run(pdag_onednn *dnn, const pdag_onednn_plan *plan,
                                 void *src, void *weights, void *bias,
                                 void *residual, void *dst);
void pdag_onednn_plans_destroy(pdag_onednn_plan *list);

/* onednn_weight.c */

pdag_status pdag_onednn_weight_create(pdag_backend *be,
                                      const pdag_weight_desc *desc,
                                      pdag_weight **weight_out);
void pdag_onednn_weight_destroy(pdag_backend *be, pdag_weight *weight);
/** The weight's numbers laid out as `wanted`, which is consumed; the copy that
 *  came from the file goes when a layout replaces it. */
pdag_status pdag_onednn_weight_layout(pdag_onednn *dnn, pdag_weight *weight,
                                      pdag_md *wanted, void **data_out);

/* onednn_dense.c */

/** Descriptors of a convolution of b images, in numbers of `type` and with
 *  activations laid out as `tag`. */
pdag_status pdag_onednn_describe_conv(const pdag_weight *w, size_t b, size_t h,
                                      size_t width, dnnl_format_tag_t tag,
                                      dnnl_data_type_t type, pdag_dnn_op *op);
void pdag_onednn_clear_op(pdag_dnn_op *op);
/** Make a plan for `op` with the weight's numbers in the layout it asks for. */
pdag_status pdag_onednn_add_plan(pdag_onednn *dnn, const pdag_weight *weight,
                                 const pdag_dnn_op *op,
                                 const size_t key[PDAG_PLAN_KEYS]);

/* Entries of the table; contracts in backend.h. */

pdag_status pdag_onednn_linear(pdag_backend *be, const pdag_weight *w, size_t m,
                               const pdag_buf *x, pdag_activation act,
                               const pdag_buf *residual, pdag_buf *y);
pdag_status pdag_onednn_conv2d(pdag_backend *be, const pdag_weight *w, size_t b,
                               size_t h, size_t width, const pdag_buf *x,
                               const pdag_buf *residual, pdag_buf *y);
/** The same by Winograd's algorithm; *done_out: whether it applies here,
 * otherwise nothing was written. */
pdag_status pdag_onednn_winograd(pdag_onednn *dnn, const pdag_weight *w,
                                 size_t b, size_t h, size_t width,
                                 const pdag_buf *x, const pdag_buf *residual,
                                 pdag_buf *y, bool *done_out);
/** Whether a convolution is of the kind for it. */
bool pdag_onednn_winograd_suits(const pdag_onednn *dnn, const pdag_weight *w);
pdag_status pdag_onednn_attention(pdag_backend *be, const pdag_attention *a);

#ifdef __cplusplus
}
#endif
#endif
