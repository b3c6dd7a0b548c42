#include "backend/onednn_api.h"

#include <oneapi/dnnl/dnnl_debug.h>
#include <string.h>

pdag_status pdag_dnn_check(dnnl_status_t status, const char *what)
{
    if (status == dnnl_success)
        return PDAG_OK;
    return pdag_error(status == dnnl_out_of_memory ? PDAG_ERR_NOMEM
                                                   : PDAG_ERR_BACKEND,
                      "oneDNN: %s: %s", what, dnnl_status2str(status));
}

static dnnl_alg_kind_t algorithm(const pdag_dnn_op *op)
{
    return op->winograd ? dnnl_convolution_winograd : dnnl_convolution_direct;
}

#if DNNL_VERSION_MAJOR >= 3

pdag_status pdag_md_init(int n_dims, const dnnl_dim_t *dims,
                         dnnl_data_type_t type, dnnl_format_tag_t tag,
                         const dnnl_dim_t *strides, pdag_md *md_out)
{
    pdag_md md = {NULL};
    dnnl_status_t status;

    if (strides != NULL)
        status = dnnl_memory_desc_create_with_strides(&md.desc, n_dims, dims,
                                                      type, strides);
    else
        status =
            dnnl_memory_desc_create_with_tag(&md.desc, n_dims, dims, type, tag);
    if (status == dnnl_success)
        *md_out = md;
    return pdag_dnn_check(status, "memory descriptor");
}

void pdag_md_clear(pdag_md *md)
{
    if (md->desc != NULL)
        dnnl_memory_desc_destroy(md->desc);
    md->desc = NULL;
}

const_dnnl_memory_desc_t pdag_md_get(const pdag_md *md)
{
    return md->desc;
}

pdag_status pdag_dnn_query(const_dnnl_primitive_desc_t pd, dnnl_query_t what,
                           pdag_md *md_out)
{
    const_dnnl_memory_desc_t desc = dnnl_primitive_desc_query_md(pd, what, 0);
    pdag_md md = {NULL};
    dnnl_status_t status = dnnl_invalid_arguments;

    if (desc != NULL)
        status = dnnl_memory_desc_clone(&md.desc, desc);
    if (status == dnnl_success)
        *md_out = md;
    return pdag_dnn_check(status, "primitive query");
}

static dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_data_type_undef);
}

static dnnl_status_t append_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t kind,
                                    float alpha)
{
    return dnnl_post_ops_append_eltwise(ops, kind, alpha, 0.0f);
}

static dnnl_status_t conv_create(dnnl_engine_t engine, const pdag_dnn_op *op,
                                 const_dnnl_primitive_attr_t attr,
                                 dnnl_primitive_desc_t *pd)
{
    const dnnl_dims_t dilates = {0};

    return dnnl_convolution_forward_primitive_desc_create(
        pd, engine, dnnl_forward_inference, algorithm(op),
        pdag_md_get(&op->src), pdag_md_get(&op->weights),
        pdag_md_get(&op->bias), pdag_md_get(&op->dst), op->strides, dilates,
        op->pad_before, op->pad_after, attr);
}

static dnnl_status_t matmul_create(dnnl_engine_t engine, const pdag_dnn_op *op,
                                   const_dnnl_primitive_attr_t attr,
                                   dnnl_primitive_desc_t *pd)
{
    return dnnl_matmul_primitive_desc_create(
        pd, engine, pdag_md_get(&op->src), pdag_md_get(&op->weights),
        pdag_md_get(&op->bias), pdag_md_get(&op->dst), attr);
}

#else /* 2.x */

pdag_status pdag_md_init(int n_dims, const dnnl_dim_t *dims,
                         dnnl_data_type_t type, dnnl_format_tag_t tag,
                         const dnnl_dim_t *strides, pdag_md *md_out)
{
    pdag_md md;
    dnnl_status_t status;

    memset(&md, 0, sizeof md);
    md.set = true;
    if (strides != NULL)
        status = dnnl_memory_desc_init_by_strides(&md.desc, n_dims, dims, type,
                                                  strides);
    else
        status =
            dnnl_memory_desc_init_by_tag(&md.desc, n_dims, dims, type, tag);
    if (status == dnnl_success)
        *md_out = md;
    return pdag_dnn_check(status, "memory descriptor");
}

void pdag_md_clear(pdag_md *md)
{
    md->set = false;
}

const_dnnl_memory_desc_t pdag_md_get(const pdag_md *md)
{
    return md->set ? &md->desc : NULL;
}

pdag_status pdag_dnn_query(const_dnnl_primitive_desc_t pd, dnnl_query_t what,
                           pdag_md *md_out)
{
    const dnnl_memory_desc_t *desc = dnnl_primitive_desc_query_md(pd, what, 0);

    if (desc == NULL)
        return pdag_dnn_check(dnnl_invalid_arguments, "primitive query");
    md_out->desc = *desc;
    md_out->set = true;
    return PDAG_OK;
}

static dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1.0f);
}

static dnnl_status_t append_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t kind,
                                    float alpha)
{
    return dnnl_post_ops_append_eltwise(ops, 1.0f, kind, alpha, 0.0f);
}

static dnnl_status_t conv_create(dnnl_engine_t engine, const pdag_dnn_op *op,
                                 const_dnnl_primitive_attr_t attr,
                                 dnnl_primitive_desc_t *pd)
{
    dnnl_convolution_desc_t desc;
    dnnl_status_t status = dnnl_convolution_forward_desc_init(
        &desc, dnnl_forward_inference, algorithm(op), pdag_md_get(&op->src),
        pdag_md_get(&op->weights), pdag_md_get(&op->bias),
        pdag_md_get(&op->dst), op->strides, op->pad_before, op->pad_after);

    if (status != dnnl_success)
        return status;
    return dnnl_primitive_desc_create(pd, &desc, attr, engine, NULL);
}

static dnnl_status_t matmul_create(dnnl_engine_t engine, const pdag_dnn_op *op,
                                   const_dnnl_primitive_attr_t attr,
                                   dnnl_primitive_desc_t *pd)
{
    dnnl_matmul_desc_t desc;
    dnnl_status_t status = dnnl_matmul_desc_init(
        &desc, pdag_md_get(&op->src), pdag_md_get(&op->weights),
        pdag_md_get(&op->bias), pdag_md_get(&op->dst));

    if (status != dnnl_success)
        return status;
    return dnnl_primitive_desc_create(pd, &desc, attr, engine, NULL);
}

#endif

size_t pdag_md_bytes(const pdag_md *md)
{
    return dnnl_memory_desc_get_size(pdag_md_get(md));
}

bool pdag_md_equal(const pdag_md *a, const pdag_md *b)
{
    return dnnl_memory_desc_equal(pdag_md_get(a), pdag_md_get(b)) != 0;
}

pdag_status pdag_dnn_memory(const pdag_md *md, dnnl_engine_t engine, void *ptr,
                            dnnl_memory_t *memory_out)
{
    return pdag_dnn_check(
        dnnl_memory_create(memory_out, pdag_md_get(md), engine, ptr), "memory");
}

int pdag_dnn_residual_arg(const pdag_dnn_op *op)
{
    int index = op->act == dnnl_alg_kind_undef ? 0 : 1;

    return DNNL_ARG_ATTR_MULTIPLE_POST_OP(index) | DNNL_ARG_SRC_1;
}

static dnnl_status_t fill_post_ops(const pdag_dnn_op *op, dnnl_post_ops_t ops)
{
    dnnl_status_t status = dnnl_success;

    if (op->act != dnnl_alg_kind_undef)
        status = append_eltwise(ops, op->act, op->act_alpha);
    if (status == dnnl_success && op->residual == PDAG_DNN_RESIDUAL_IN_PLACE)
        status = append_sum(ops);
    if (status == dnnl_success && op->residual == PDAG_DNN_RESIDUAL_OTHER)
        status = dnnl_post_ops_append_binary(ops, dnnl_binary_add,
                                             pdag_md_get(&op->dst));
    return status;
}

static dnnl_status_t make_attr(const pdag_dnn_op *op,
                               dnnl_primitive_attr_t *attr_out)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(&attr);

    if (status != dnnl_success)
        return status;
    status = dnnl_primitive_attr_set_scratchpad_mode(attr,
                                                     dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = dnnl_post_ops_create(&ops);
    if (status == dnnl_success)
        status = fill_post_ops(op, ops);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(attr, ops);
    if (ops != NULL)
        dnnl_post_ops_destroy(ops);
    if (status == dnnl_success)
        *attr_out = attr;
    else
        dnnl_primitive_attr_destroy(attr);
    return status;
}

pdag_status pdag_dnn_conv_pd(dnnl_engine_t engine, const pdag_dnn_op *op,
                             dnnl_primitive_desc_t *pd_out)
{
    dnnl_primitive_attr_t attr;
    dnnl_status_t status = make_attr(op, &attr);

    if (status == dnnl_success) {
        status = conv_create(engine, op, attr, pd_out);
        dnnl_primitive_attr_destroy(attr);
    }
    return pdag_dnn_check(status, op->what);
}

pdag_status pdag_dnn_matmul_pd(dnnl_engine_t engine, const pdag_dnn_op *op,
                               dnnl_primitive_desc_t *pd_out)
{
    dnnl_primitive_attr_t attr;
    dnnl_status_t status = make_attr(op, &attr);

    if (status == dnnl_success) {
        status = matmul_create(engine, op, attr, pd_out);
        dnnl_primitive_attr_destroy(attr);
    }
    return pdag_dnn_check(status, op->what);
}

static dnnl_status_t run_reorder(dnnl_primitive_desc_t pd, dnnl_stream_t stream,
                                 dnnl_memory_t from, dnnl_memory_t to)
{
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    dnnl_primitive_t primitive;
    dnnl_status_t status = dnnl_primitive_create(&primitive, pd);

    if (status != dnnl_success)
        return status;
    status = dnnl_primitive_execute(primitive, stream, 2, args);
    if (status == dnnl_success)
        status = dnnl_stream_wait(stream);
    dnnl_primitive_destroy(primitive);
    return status;
}

pdag_status pdag_dnn_reorder(dnnl_engine_t engine, dnnl_stream_t stream,
                             const pdag_md *from, void *from_ptr,
                             const pdag_md *to, void *to_ptr)
{
    dnnl_memory_t source = NULL;
    dnnl_memory_t target = NULL;
    dnnl_primitive_desc_t pd = NULL;
    pdag_status status = pdag_dnn_memory(from, engine, from_ptr, &source);

    if (status == PDAG_OK)
        status = pdag_dnn_memory(to, engine, to_ptr, &target);
    if (status == PDAG_OK)
        status = pdag_dnn_check(
            dnnl_reorder_primitive_desc_create(&pd, pdag_md_get(from), engine,
                                               pdag_md_get(to), engine, NULL),
            "reorder descriptor");
    if (status == PDAG_OK)
        status =
            pdag_dnn_check(run_reorder(pd, stream, source, target), "reorder");
    if (pd != NULL)
        dnnl_primitive_desc_destroy(pd);
    if (target != NULL)
        dnnl_memory_destroy(target);
    if (source != NULL)
        dnnl_memory_destroy(source);
    return status;
}
