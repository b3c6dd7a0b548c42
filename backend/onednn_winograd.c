/* 3x3 convolutions by Winograd's algorithm (Lavin and Gray 2015,
 * arXiv:1509.09308): half to a third of the time, float32 only, relative error
 * 2e-6 where the direct sum has 2e-7.  oneDNN has it up to 2.x for AVX-512,
 * with activations in blocks of 16 channels; elsewhere the direct way is taken.
 */
#include <string.h>

#include "backend/onednn_internal.h"

/* The transformed weights take 4 times the memory: bounded by 200 MB, which in
 * Stable Diffusion 1.5 leaves out the levels of 16x16 and 8x8. */
#define MAX_CHANNEL_PAIRS (1400u * 1000u)

/* Fewer tiles of 4x4 outputs than this do not pay for the transforms. */
#define MIN_TILES 8

/* Part of the key that no direct convolution has. */
#define WINOGRAD_KEY 2

bool pdag_onednn_winograd_suits(const pdag_onednn *dnn, const pdag_weight *w)
{
    const pdag_weight_shape *s = &w->shape;

    return dnn->winograd && w->kind == PDAG_WEIGHT_CONV2D && s->kh == 3 &&
           s->kw == 3 && s->stride == 1 && s->in >= 16 && s->out >= 16 &&
           s->in <= MAX_CHANNEL_PAIRS / s->out;
}

/* The plan, or NULL where oneDNN has none; then never asked again. */
static pdag_status find_plan(pdag_onednn *dnn, const pdag_weight *weight,
                             size_t b, size_t h, size_t width,
                             const pdag_onednn_plan **plan_out)
{
    const size_t key[PDAG_PLAN_KEYS] = {b, h, width, WINOGRAD_KEY};
    union {
        const pdag_weight *shared;
        pdag_weight *own;
    } w = {weight};
    pdag_dnn_op op;
    pdag_status status;

    *plan_out = pdag_onednn_plan_find(weight->plans, key);
    if (*plan_out != NULL)
        return PDAG_OK;
    memset(&op, 0, sizeof op);
    op.what = "convolution (Winograd)";
    op.act = dnnl_alg_kind_undef;
    op.winograd = true;
    status = pdag_onednn_describe_conv(weight, b, h, width, dnnl_nChw16c,
                                       dnnl_f32, &op);
    if (status == PDAG_OK)
        status = pdag_onednn_add_plan(dnn, weight, &op, key);
    pdag_onednn_clear_op(&op);
    if (status == PDAG_ERR_BACKEND) {
        w.own->winograd = false;
        w.own->unused = weight->plans == NULL; /* the file's layout may go */
        return PDAG_OK;
    }
    if (status == PDAG_OK)
        *plan_out = weight->plans;
    return status;
}

static size_t blocked(size_t channels)
{
    return (channels + 15) / 16 * 16;
}

/* One convolution: b images h x width to oh x ow. */
typedef struct extent {
    size_t b, h, width, oh, ow;
} extent;

static pdag_status run_blocked(pdag_onednn *dnn, const pdag_weight *w,
                               const pdag_onednn_plan *plan, const extent *e,
                               const char *x, const char *residual, char *y)
{
    const size_t size = dnn->base.act_size;
    const size_t in = w->shape.in;
    const size_t out = w->shape.out;
    const size_t p_in = e->h * e->width;
    const size_t p_out = e->oh * e->ow;
    const size_t n_from = e->b * p_in * blocked(in);
    const size_t n_to = e->b * p_out * blocked(out);
    void *work;
    float *from, *to;
    pdag_status status =
        pdag_onednn_reserve(&dnn->work, (n_from + n_to) * sizeof(float), &work);

    if (status != PDAG_OK)
        return status;
    from = work;
    to = from + n_from;
    for (size_t i = 0; i < e->b; i++)
        dnn->kernels->to_blocks(p_in, in, x + i * p_in * in * size,
                                from + i * p_in * blocked(in));
    status = pdag_onednn_plan_run(dnn, plan, from, plan->weights_ptr, w->bias,
                                  NULL, to);
    if (status != PDAG_OK)
        return status;
    for (size_t i = 0; i < e->b; i++) {
        const size_t at = i * p_out * out * size;

        dnn->kernels->from_blocks(p_out, out, to + i * p_out * blocked(out),
                                  residual != NULL ? residual + at : NULL,
                                  y + at);
    }
    return PDAG_OK;
}

pdag_status pdag_onednn_winograd(pdag_onednn *dnn, const pdag_weight *w,
                                 size_t b, size_t h, size_t width,
                                 const pdag_buf *x, const pdag_buf *residual,
                                 pdag_buf *y, bool *done_out)
{
    const pdag_onednn_plan *plan;
    extent e = {b, h, width, 0, 0};
    pdag_status status;

    *done_out = false;
    if (!w->winograd)
        return PDAG_OK;
    e.oh = pdag_conv_height(&w->shape, h);
    e.ow = pdag_conv_width(&w->shape, width);
    if (b * ((e.oh + 3) / 4) * ((e.ow + 3) / 4) < MIN_TILES)
        return PDAG_OK;
    status = find_plan(dnn, w, b, h, width, &plan);
    if (status != PDAG_OK || plan == NULL)
        return status;
    status = run_blocked(dnn, w, plan, &e, x->ptr,
                         residual != NULL ? residual->ptr : NULL, y->ptr);
    *done_out = status == PDAG_OK;
    return status;
}
