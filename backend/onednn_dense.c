/* Linear layers (matmul) and convolutions, with bias, activation and residual
 * inside the primitive. */
#include <string.h>

#include "backend/onednn_internal.h"

static void set_activation(pdag_activation act, pdag_dnn_op *op)
{
    op->act_alpha = 0.0f;
    switch (act) {
    case PDAG_ACT_NONE:
        op->act = dnnl_alg_kind_undef;
        break;
    case PDAG_ACT_SILU:
        op->act = dnnl_eltwise_swish;
        op->act_alpha = 1.0f;
        break;
    case PDAG_ACT_GELU:
        op->act = dnnl_eltwise_gelu_erf;
        break;
    case PDAG_ACT_GELU_TANH:
        op->act = dnnl_eltwise_gelu_tanh;
        break;
    case PDAG_ACT_QUICK_GELU:
        op->act = dnnl_eltwise_swish;
        op->act_alpha = 1.702f;
        break;
    case PDAG_ACT_MISH:
        op->act = dnnl_eltwise_mish;
        break;
    case PDAG_ACT_RELU:
        op->act = dnnl_eltwise_relu;
        break;
    }
}

void pdag_onednn_clear_op(pdag_dnn_op *op)
{
    pdag_md_clear(&op->src);
    pdag_md_clear(&op->weights);
    pdag_md_clear(&op->bias);
    pdag_md_clear(&op->dst);
}

static pdag_dnn_residual residual_kind(const pdag_buf *residual,
                                       const pdag_buf *y)
{
    if (residual == NULL)
        return PDAG_DNN_RESIDUAL_NONE;
    return residual->ptr == y->ptr ? PDAG_DNN_RESIDUAL_IN_PLACE
                                   : PDAG_DNN_RESIDUAL_OTHER;
}

/* Descriptors of a linear layer for m rows. */
static pdag_status describe_linear(const pdag_onednn *dnn, const pdag_weight *w,
                                   size_t m, pdag_dnn_op *op)
{
    const dnnl_dim_t rows = (dnnl_dim_t)m;
    const dnnl_dim_t in = (dnnl_dim_t)w->shape.in;
    const dnnl_dim_t out = (dnnl_dim_t)w->shape.out;
    const dnnl_dims_t x_dims = {rows, in};
    const dnnl_dims_t w_dims = {in, out};
    const dnnl_dims_t b_dims = {1, out};
    const dnnl_dims_t y_dims = {rows, out};
    pdag_status status =
        pdag_md_init(2, x_dims, dnn->type, dnnl_ab, NULL, &op->src);

    if (status == PDAG_OK)
        status = pdag_md_init(2, w_dims, dnn->type, dnnl_format_tag_any, NULL,
                              &op->weights);
    if (status == PDAG_OK && w->bias != NULL)
        status = pdag_md_init(2, b_dims, dnnl_f32, dnnl_ab, NULL, &op->bias);
    if (status == PDAG_OK)
        status = pdag_md_init(2, y_dims, dnn->type, dnnl_ab, NULL, &op->dst);
    return status;
}

pdag_status pdag_onednn_describe_conv(const pdag_weight *w, size_t b, size_t h,
                                      size_t width, dnnl_format_tag_t tag,
                                      dnnl_data_type_t type, pdag_dnn_op *op)
{
    const pdag_weight_shape *s = &w->shape;
    const dnnl_dim_t oh = (dnnl_dim_t)pdag_conv_height(s, h);
    const dnnl_dim_t ow = (dnnl_dim_t)pdag_conv_width(s, width);
    const dnnl_dim_t in = (dnnl_dim_t)s->in;
    const dnnl_dim_t out = (dnnl_dim_t)s->out;
    const dnnl_dims_t x_dims = {(dnnl_dim_t)b, in, (dnnl_dim_t)h,
                                (dnnl_dim_t)width};
    const dnnl_dims_t w_dims = {out, in, (dnnl_dim_t)s->kh, (dnnl_dim_t)s->kw};
    const dnnl_dims_t b_dims = {out};
    const dnnl_dims_t y_dims = {(dnnl_dim_t)b, out, oh, ow};
    pdag_status status = pdag_md_init(4, x_dims, type, tag, NULL, &op->src);

    op->strides[0] = op->strides[1] = (dnnl_dim_t)s->stride;
    op->pad_before[0] = (dnnl_dim_t)s->pad_top;
    op->pad_before[1] = (dnnl_dim_t)s->pad_left;
    op->pad_after[0] = (dnnl_dim_t)s->pad_bottom;
    op->pad_after[1] = (dnnl_dim_t)s->pad_right;
    if (status == PDAG_OK)
        status = pdag_md_init(4, w_dims, type, dnnl_format_tag_any, NULL,
                              &op->weights);
    if (status == PDAG_OK && w->bias != NULL)
        status = pdag_md_init(1, b_dims, dnnl_f32, dnnl_a, NULL, &op->bias);
    if (status == PDAG_OK)
        status = pdag_md_init(4, y_dims, type, tag, NULL, &op->dst);
    return status;
}

/* The plan for one shape is made once; the weight is read-only for callers, its
 * plans and layouts are this backend's own. */
pdag_status pdag_onednn_add_plan(pdag_onednn *dnn, const pdag_weight *weight,
                                 const pdag_dnn_op *op,
                                 const size_t key[PDAG_PLAN_KEYS])
{
    union {
        const pdag_weight *shared;
        pdag_weight *own;
    } w = {weight};
    dnnl_primitive_desc_t pd;
    pdag_md wanted;
    void *data;
    pdag_status status = weight->kind == PDAG_WEIGHT_LINEAR
                             ? pdag_dnn_matmul_pd(dnn->engine, op, &pd)
                             : pdag_dnn_conv_pd(dnn->engine, op, &pd);

    if (status != PDAG_OK)
        return pdag_error_prefix(status, "%s", weight->name);
    status = pdag_dnn_query(pd, dnnl_query_weights_md, &wanted);
    if (status == PDAG_OK)
        status = pdag_onednn_weight_layout(dnn, w.own, &wanted, &data);
    if (status != PDAG_OK) {
        dnnl_primitive_desc_destroy(pd);
        return status;
    }
    status = pdag_onednn_plan_add(dnn, op, pd, key, &w.own->plans);
    if (status == PDAG_OK)
        w.own->plans->weights_ptr = data;
    return status;
}

static pdag_status run_dense(pdag_onednn *dnn, const pdag_weight *w,
                             const size_t key[PDAG_PLAN_KEYS],
                             const pdag_buf *x, const pdag_buf *residual,
                             pdag_buf *y)
{
    const pdag_onednn_plan *plan = pdag_onednn_plan_find(w->plans, key);

    return pdag_onednn_plan_run(dnn, plan, x->ptr, plan->weights_ptr, w->bias,
                                residual != NULL ? residual->ptr : NULL,
                                y->ptr);
}

pdag_status pdag_onednn_linear(pdag_backend *be, const pdag_weight *w, size_t m,
                               const pdag_buf *x, pdag_activation act,
                               const pdag_buf *residual, pdag_buf *y)
{
    pdag_onednn *dnn = pdag_onednn_of(be);
    const pdag_dnn_residual kind = residual_kind(residual, y);
    const size_t key[PDAG_PLAN_KEYS] = {m, (size_t)act, (size_t)kind};

    PDAG_ASSERT(w->kind == PDAG_WEIGHT_LINEAR);
    pdag_onednn_elements(be, x, m * w->shape.in);
    pdag_onednn_elements(be, y, m * w->shape.out);
    if (residual != NULL)
        pdag_onednn_elements(be, residual, m * w->shape.out);
    if (pdag_onednn_plan_find(w->plans, key) == NULL) {
        pdag_dnn_op op;
        pdag_status status;

        memset(&op, 0, sizeof op);
        op.what = "linear layer";
        op.residual = kind;
        set_activation(act, &op);
        status = describe_linear(dnn, w, m, &op);
        if (status == PDAG_OK)
            status = pdag_onednn_add_plan(dnn, w, &op, key);
        pdag_onednn_clear_op(&op);
        if (status != PDAG_OK)
            return status;
    }
    return run_dense(dnn, w, key, x, residual, y);
}

static pdag_status conv_direct(pdag_onednn *dnn, const pdag_weight *w, size_t b,
                               size_t h, size_t width, const pdag_buf *x,
                               bool accumulate, pdag_buf *y)
{
    const size_t key[PDAG_PLAN_KEYS] = {b, h, width, accumulate};

    if (pdag_onednn_plan_find(w->plans, key) == NULL) {
        pdag_dnn_op op;
        pdag_status status;

        memset(&op, 0, sizeof op);
        op.what = "convolution";
        op.act = dnnl_alg_kind_undef;
        op.residual =
            accumulate ? PDAG_DNN_RESIDUAL_IN_PLACE : PDAG_DNN_RESIDUAL_NONE;
        status = pdag_onednn_describe_conv(w, b, h, width, dnnl_nhwc, dnn->type,
                                           &op);
        if (status == PDAG_OK)
            status = pdag_onednn_add_plan(dnn, w, &op, key);
        pdag_onednn_clear_op(&op);
        if (status != PDAG_OK)
            return status;
    }
    return run_dense(dnn, w, key, x, NULL, y);
}

pdag_status pdag_onednn_conv2d(pdag_backend *be, const pdag_weight *w, size_t b,
                               size_t h, size_t width, const pdag_buf *x,
                               const pdag_buf *residual, pdag_buf *y)
{
    pdag_onednn *dnn = pdag_onednn_of(be);
    const size_t n_out = b * w->shape.out * pdag_conv_height(&w->shape, h) *
                         pdag_conv_width(&w->shape, width);
    bool done;
    pdag_status status;

    PDAG_ASSERT(w->kind == PDAG_WEIGHT_CONV2D);
    pdag_onednn_elements(be, x, b * h * width * w->shape.in);
    pdag_onednn_elements(be, y, n_out);
    if (residual != NULL)
        pdag_onednn_elements(be, residual, n_out);
    status = pdag_onednn_winograd(dnn, w, b, h, width, x, residual, y, &done);
    if (status != PDAG_OK || done)
        return status;
    /* oneDNN 2.6 leaves its fast kernels for an added second tensor, and its
     * gemm one then gives wrong sums; adding to the destination is fast. */
    if (residual != NULL && residual->ptr != y->ptr)
        memcpy(y->ptr, residual->ptr, n_out * be->act_size);
    return conv_direct(dnn, w, b, h, width, x, residual != NULL, y);
}
