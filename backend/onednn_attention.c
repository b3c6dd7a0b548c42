/* Attention without its score matrix: blocks of queries against blocks of keys
 * with a running softmax (Milakov and Gimelshein 2018, arXiv:1805.02867; Dao et
 * al. 2022, arXiv:2205.14135), so that scratch space is some 100 KB whatever
 * the number of tokens.  The two products of a block are oneDNN's. */
#include <string.h>

#include "backend/onednn_internal.h"

/* Rows of a block of queries and keys.  For a causal mask a block of queries
 * must lie within one block of keys: the key block is a multiple. */
#define QUERY_BLOCK 128
#define KEY_BLOCK 512

/* One product c = a b (+ c): a [m][k] and b [k][n] elements, c [m][n] float32.
 */
typedef struct product {
    size_t m, n, k;
    size_t a_row, b_row, b_column, c_row;
    bool accumulate;
} product;

static pdag_status add_product(pdag_onednn *dnn, const product *p,
                               const size_t key[PDAG_PLAN_KEYS])
{
    const dnnl_dims_t a_dims = {(dnnl_dim_t)p->m, (dnnl_dim_t)p->k};
    const dnnl_dims_t b_dims = {(dnnl_dim_t)p->k, (dnnl_dim_t)p->n};
    const dnnl_dims_t c_dims = {(dnnl_dim_t)p->m, (dnnl_dim_t)p->n};
    const dnnl_dims_t a_strides = {(dnnl_dim_t)p->a_row, 1};
    const dnnl_dims_t b_strides = {(dnnl_dim_t)p->b_row,
                                   (dnnl_dim_t)p->b_column};
    const dnnl_dims_t c_strides = {(dnnl_dim_t)p->c_row, 1};
    dnnl_primitive_desc_t pd;
    pdag_dnn_op op;
    pdag_status status;

    memset(&op, 0, sizeof op);
    op.what = "attention product";
    op.act = dnnl_alg_kind_undef;
    op.residual =
        p->accumulate ? PDAG_DNN_RESIDUAL_IN_PLACE : PDAG_DNN_RESIDUAL_NONE;
    status = pdag_md_init(2, a_dims, dnn->type, dnnl_format_tag_undef,
                          a_strides, &op.src);
    if (status == PDAG_OK)
        status = pdag_md_init(2, b_dims, dnn->type, dnnl_format_tag_undef,
                              b_strides, &op.weights);
    if (status == PDAG_OK)
        status = pdag_md_init(2, c_dims, dnnl_f32, dnnl_format_tag_undef,
                              c_strides, &op.dst);
    if (status == PDAG_OK)
        status = pdag_dnn_matmul_pd(dnn->engine, &op, &pd);
    if (status == PDAG_OK)
        status = pdag_onednn_plan_add(dnn, &op, pd, key, &dnn->products);
    pdag_md_clear(&op.src);
    pdag_md_clear(&op.weights);
    pdag_md_clear(&op.dst);
    return status;
}

static pdag_status multiply(pdag_onednn *dnn, const product *p, void *a,
                            void *b, void *c)
{
    const size_t key[PDAG_PLAN_KEYS] = {p->m,     p->n,         p->k,
                                        p->a_row, p->b_row,     p->b_column,
                                        p->c_row, p->accumulate};
    const pdag_onednn_plan *plan = pdag_onednn_plan_find(dnn->products, key);

    if (plan == NULL) {
        pdag_status status = add_product(dnn, p, key);

        if (status != PDAG_OK)
            return status;
        plan = dnn->products;
    }
    return pdag_onednn_plan_run(dnn, plan, a, b, NULL, NULL, c);
}

/* One head of one image. */
typedef struct head {
    const pdag_attention *a;
    size_t size; /* bytes of an element */
    char *q, *k, *v, *y;
    float *scores, *acc, *max, *sum;
} head;

/* Queries [q0, q0 + rows) against keys [k0, k0 + n). */
static pdag_status attend_block(pdag_onednn *dnn, const head *h, size_t q0,
                                size_t rows, size_t k0, size_t n)
{
    const pdag_attention *a = h->a;
    const size_t d = a->head_dim;
    const product qk = {rows,      n,    d, a->q.row_stride, 1, a->k.row_stride,
                        KEY_BLOCK, false};
    const size_t terms_row = KEY_BLOCK * sizeof(float) / h->size;
    const product pv = {rows, d, n, terms_row, a->v.row_stride, 1, d, k0 > 0};
    const pdag_cpu_softmax softmax = {
        .rows = rows,
        .n = n,
        .scale = a->scale,
        .scores = h->scores,
        .stride = KEY_BLOCK,
        .terms = h->scores,
        .terms_stride = terms_row,
        .visible = a->causal ? q0 - k0 + 1 : n,
        .first = k0 == 0,
        .max = h->max,
        .sum = h->sum,
        .acc = h->acc,
        .head_dim = d,
    };
    pdag_status status =
        multiply(dnn, &qk, h->q + q0 * a->q.row_stride * h->size,
                 h->k + k0 * a->k.row_stride * h->size, h->scores);

    if (status != PDAG_OK)
        return status;
    dnn->kernels->softmax(&softmax);
    return multiply(dnn, &pv, h->scores, h->v + k0 * a->v.row_stride * h->size,
                    h->acc);
}

static pdag_status attend_head(pdag_onednn *dnn, const head *h)
{
    const pdag_attention *a = h->a;

    for (size_t q0 = 0; q0 < a->n_q; q0 += QUERY_BLOCK) {
        const size_t rows =
            a->n_q - q0 < QUERY_BLOCK ? a->n_q - q0 : QUERY_BLOCK;

        for (size_t k0 = 0; k0 < a->n_kv; k0 += KEY_BLOCK) {
            const size_t n =
                a->n_kv - k0 < KEY_BLOCK ? a->n_kv - k0 : KEY_BLOCK;
            pdag_status status;

            if (a->causal && k0 > q0)
                break;
            status = attend_block(dnn, h, q0, rows, k0, n);
            if (status != PDAG_OK)
                return status;
        }
        dnn->kernels->softmax_end(rows, a->head_dim, h->acc, h->sum,
                                  h->y + q0 * a->y.row_stride * h->size,
                                  a->y.row_stride);
    }
    return PDAG_OK;
}

/* First row of image b, head i; the slice must fit its buffer. */
static char *slice_head(const pdag_backend *be, const pdag_attention *a,
                        const pdag_slice *slice, size_t rows, size_t b,
                        size_t i)
{
    const size_t end = slice->offset + (a->batch - 1) * slice->batch_stride +
                       (rows - 1) * slice->row_stride + a->heads * a->head_dim;
    const size_t at = slice->offset + b * slice->batch_stride + i * a->head_dim;

    return (char *)pdag_onednn_elements(be, slice->buf, end) +
           at * be->act_size;
}

/* Our own loops, in float32 whatever the elements are. */
static pdag_status attend_plain(pdag_backend *be, const pdag_attention *a)
{
    pdag_onednn *dnn = pdag_onednn_of(be);
    void *work;
    pdag_status status = pdag_onednn_reserve(
        &dnn->work,
        dnn->kernels->head_scratch(a->n_q, a->head_dim) * sizeof(float), &work);

    if (status != PDAG_OK)
        return status;
    for (size_t i = 0; i < a->batch * a->heads; i++) {
        const size_t b = i / a->heads;
        const size_t number = i % a->heads;
        const pdag_cpu_head one = {a->n_q,
                                   a->n_kv,
                                   a->head_dim,
                                   a->scale,
                                   a->causal,
                                   slice_head(be, a, &a->q, a->n_q, b, number),
                                   slice_head(be, a, &a->k, a->n_kv, b, number),
                                   slice_head(be, a, &a->v, a->n_kv, b, number),
                                   slice_head(be, a, &a->y, a->n_q, b, number),
                                   a->q.row_stride,
                                   a->k.row_stride,
                                   a->v.row_stride,
                                   a->y.row_stride,
                                   work};

        dnn->kernels->attend(&one);
    }
    return PDAG_OK;
}

static pdag_status attend_products(pdag_backend *be, const pdag_attention *a)
{
    pdag_onednn *dnn = pdag_onednn_of(be);
    const size_t scores = QUERY_BLOCK * KEY_BLOCK;
    const size_t acc = QUERY_BLOCK * a->head_dim;
    void *work;
    pdag_status status = pdag_onednn_reserve(
        &dnn->work, (scores + acc + 2 * QUERY_BLOCK) * sizeof(float), &work);

    if (status != PDAG_OK)
        return status;
    for (size_t i = 0; i < a->batch * a->heads; i++) {
        const size_t b = i / a->heads;
        const size_t number = i % a->heads;
        float *space = work;
        const head h = {a,
                        be->act_size,
                        slice_head(be, a, &a->q, a->n_q, b, number),
                        slice_head(be, a, &a->k, a->n_kv, b, number),
                        slice_head(be, a, &a->v, a->n_kv, b, number),
                        slice_head(be, a, &a->y, a->n_q, b, number),
                        space,
                        space + scores,
                        space + scores + acc,
                        space + scores + acc + QUERY_BLOCK};

        status = attend_head(dnn, &h);
        if (status != PDAG_OK)
            return status;
    }
    return PDAG_OK;
}

pdag_status pdag_onednn_attention(pdag_backend *be, const pdag_attention *a)
{
    PDAG_ASSERT(!a->causal || a->n_q == a->n_kv);
    if (pdag_onednn_of(be)->matrix_unit && a->n_q >= 64 && a->n_kv >= 64)
        return attend_products(be, a);
    return attend_plain(be, a);
}
