/** backend/onednn_api.h: oneDNN's C API as this backend uses it, alike for 2.x
 *  (operation descriptors, memory descriptors as values) and 3.x (neither).
 *
 *  Every function gives PDAG_ERR_BACKEND, or PDAG_ERR_NOMEM, with oneDNN's
 * reason and `what` in the text. */
#ifndef PDAG_BACKEND_ONEDNN_API_H
#define PDAG_BACKEND_ONEDNN_API_H

#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#if DNNL_VERSION_MAJOR >= 3
/** A memory descriptor, owned; all zero is an empty one (no bias). */
typedef struct pdag_md {
    dnnl_memory_desc_t desc;
} pdag_md;
#else
typedef struct pdag_md {
    dnnl_memory_desc_t desc;
    bool set;
} pdag_md;
typedef const dnnl_memory_desc_t *const_dnnl_memory_desc_t;
#endif

/** PDAG_OK, or an error that says "oneDNN: <what>: <reason>". */
pdag_status pdag_dnn_check(dnnl_status_t status, const char *what);

/** Exactly one of tag and strides is used: strides NULL means tag. */
pdag_status pdag_md_init(int n_dims, const dnnl_dim_t *dims,
                         dnnl_data_type_t type, dnnl_format_tag_t tag,
                         const dnnl_dim_t *strides, pdag_md *md_out);
void pdag_md_clear(pdag_md *md); /* an empty one is allowed */
/** NULL for an empty one. */
const_dnnl_memory_desc_t pdag_md_get(const pdag_md *md);
size_t pdag_md_bytes(const pdag_md *md);
bool pdag_md_equal(const pdag_md *a, const pdag_md *b);

/** Memory object over foreign bytes (NULL: given later by
 *  dnnl_memory_set_data_handle()). */
pdag_status pdag_dnn_memory(const pdag_md *md, dnnl_engine_t engine, void *ptr,
                            dnnl_memory_t *memory_out);

/** y = op(x) -> act(y) -> y + residual. */
typedef enum pdag_dnn_residual {
    PDAG_DNN_RESIDUAL_NONE,
    PDAG_DNN_RESIDUAL_IN_PLACE, /* what is in the destination */
    PDAG_DNN_RESIDUAL_OTHER     /* a tensor shaped as the destination */
} pdag_dnn_residual;

/** A primitive to be made: descriptors borrowed, weights with format "any"
 * where the primitive may choose. */
typedef struct pdag_dnn_op {
    const char *what;
    pdag_md src, weights, bias, dst;
    dnnl_dims_t strides, pad_before, pad_after; /* convolution only */
    dnnl_alg_kind_t act;                        /* dnnl_alg_kind_undef: none */
    float act_alpha;
    pdag_dnn_residual residual;
    bool winograd; /* convolution only: PDAG_ERR_BACKEND where there is none */
} pdag_dnn_op;

/** Argument number of PDAG_DNN_RESIDUAL_OTHER's tensor. */
int pdag_dnn_residual_arg(const pdag_dnn_op *op);

/** Forward inference; the scratchpad is the caller's (DNNL_ARG_SCRATCHPAD). */
pdag_status pdag_dnn_conv_pd(dnnl_engine_t engine, const pdag_dnn_op *op,
                             dnnl_primitive_desc_t *pd_out);
pdag_status pdag_dnn_matmul_pd(dnnl_engine_t engine, const pdag_dnn_op *op,
                               dnnl_primitive_desc_t *pd_out);

/** Copy of what the primitive wants of its weights or scratchpad. */
pdag_status pdag_dnn_query(const_dnnl_primitive_desc_t pd, dnnl_query_t what,
                           pdag_md *md_out);

/** Convert `from` into `to`, waiting for the end. */
pdag_status pdag_dnn_reorder(dnnl_engine_t engine, dnnl_stream_t stream,
                             const pdag_md *from, void *from_ptr,
                             const pdag_md *to, void *to_ptr);

#ifdef __cplusplus
}
#endif
#endif
