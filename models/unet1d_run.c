/* ConditionalUnet1D: evaluation. */
#include <stdlib.h>

#include "base/fatal.h"
#include "base/mem.h"
#include "models/unet1d.h"

/* Maps have one row: h is 1, w positions. */
static pdag_status run_conv(pdag_pass *pass, const pdag_conv *conv,
                            const pdag_map *x, pdag_map *y_out)
{
    size_t length = (x->w + conv->pad_before + conv->pad_after - conv->kernel) /
                        conv->stride +
                    1;
    pdag_map y;

    PDAG_ASSERT(x->c == conv->in);
    PDAG_TRY(pdag_take_map(pass, 1, length, conv->out, &y));
    PDAG_TRY(pass->be->ops->conv2d(pass->be, conv->weight, pass->rows, 1, x->w,
                                   x->buf, NULL, y.buf));
    *y_out = y;
    return PDAG_OK;
}

static pdag_status run_conv_block(pdag_pass *pass, const pdag_unet1d_conv *block,
                                  const pdag_map *x, pdag_map *y_out)
{
    PDAG_TRY(run_conv(pass, &block->conv, x, y_out));
    return pdag_run_group_norm(pass, &block->norm, y_out, NULL, PDAG_ACT_MISH,
                               y_out->buf);
}

/* h = h scale + shift, in place. */
static pdag_status run_film(pdag_pass *pass, const pdag_unet1d *unet,
                            const pdag_time_slot *slot, const pdag_map *h)
{
    pdag_buf film = pdag_time_view(pass, slot);
    pdag_slice scale = {&film, 0, slot->width, 0};
    pdag_slice shift = {&film, h->c, slot->width, 0};
    float one = unet->config.predict_scale ? 0.0f : 1.0f;

    PDAG_ASSERT(slot->width == 2 * h->c);
    return pass->be->ops->modulate(pass->be, pass->rows, h->w, h->c, one, &scale,
                                   &shift, h->buf, h->buf);
}

/* x stays, *y_out is fresh. */
static pdag_status run_resnet(pdag_pass *pass, const pdag_unet1d *unet,
                              const pdag_unet1d_resnet *r, const pdag_map *x,
                              pdag_map *y_out)
{
    pdag_map h;
    pdag_map y;

    PDAG_TRY(run_conv_block(pass, &r->first, x, &h));
    PDAG_TRY(run_film(pass, unet, &r->film, &h));
    PDAG_TRY(run_conv_block(pass, &r->second, &h, &y));
    pdag_give_map(pass, &h);
    if (r->has_shortcut)
        PDAG_TRY(pdag_run_linear(pass, &r->shortcut, pass->rows * x->w, x->buf,
                                 PDAG_ACT_NONE, y.buf, y.buf));
    else
        PDAG_TRY(pass->be->ops->add(pass->be, pass->rows * y.w * y.c, y.buf,
                                    x->buf, y.buf));
    *y_out = y;
    return PDAG_OK;
}

/* *h, which is given back, through `r`. */
static pdag_status through(pdag_pass *pass, const pdag_unet1d *unet,
                           const pdag_unet1d_resnet *r, pdag_map *h)
{
    pdag_map next;

    PDAG_TRY(run_resnet(pass, unet, r, h, &next));
    pdag_give_map(pass, h);
    *h = next;
    return PDAG_OK;
}

/* Down and back up; *h is replaced. */
static pdag_status run_levels(pdag_pass *pass, const pdag_unet1d *unet,
                              pdag_map *h)
{
    size_t n = unet->config.n_levels;
    pdag_map kept[PDAG_CONFIG_MAX_BLOCKS];
    pdag_map joined;

    for (size_t i = 0; i < n; i++) {
        PDAG_TRY(through(pass, unet, &unet->down[i].first, h));
        PDAG_TRY(through(pass, unet, &unet->down[i].second, h));
        kept[i] = *h;
        if (unet->down[i].has_sampler)
            PDAG_TRY(run_conv(pass, &unet->down[i].sampler, h, h));
    }
    /* not given back: it is kept[n - 1] */
    PDAG_TRY(run_resnet(pass, unet, &unet->mid[0], h, h));
    PDAG_TRY(through(pass, unet, &unet->mid[1], h));
    for (size_t i = 0; i + 1 < n; i++) {
        pdag_map *skip = &kept[n - 1 - i];

        PDAG_ASSERT(h->w == skip->w && h->c == skip->c);
        PDAG_TRY(pdag_take_map(pass, 1, h->w, 2 * h->c, &joined));
        PDAG_TRY(pass->be->ops->concat(pass->be, pass->rows * h->w, h->c, h->buf,
                                       skip->c, skip->buf, joined.buf));
        pdag_give_map(pass, h);
        pdag_give_map(pass, skip);
        *h = joined;
        PDAG_TRY(through(pass, unet, &unet->up[i].first, h));
        PDAG_TRY(through(pass, unet, &unet->up[i].second, h));
        PDAG_TRY(run_conv(pass, &unet->up[i].sampler, h, &joined));
        pdag_give_map(pass, h);
        *h = joined;
        h->w = 2 * joined.w; /* [w][2 c] is [2 w][c] */
        h->c = joined.c / 2;
    }
    return PDAG_OK;
}

/* Everything between the plan's way in and its way out; gives x back. */
static pdag_status run_layers(pdag_pass *pass, void *network, const pdag_map *x,
                              pdag_map *y_out)
{
    pdag_unet1d *unet = network;
    pdag_map h = *x;
    pdag_map last;

    PDAG_TRY(run_levels(pass, unet, &h));
    PDAG_TRY(run_conv_block(pass, &unet->final, &h, &last));
    pdag_give_map(pass, &h);
    PDAG_TRY(pdag_take_map(pass, 1, last.w, unet->config.action_dim, y_out));
    PDAG_TRY(pdag_run_linear(pass, &unet->final_out, pass->rows * last.w,
                             last.buf, PDAG_ACT_NONE, NULL, y_out->buf));
    pdag_give_map(pass, &last);
    return PDAG_OK;
}

static pdag_status run(pdag_pass *pass, pdag_unet1d *unet, const float *x,
                       const float *t, float *eps)
{
    const pdag_unet1d_config *config = &unet->config;
    const pdag_backend_ops *ops = pass->be->ops;
    size_t count = pass->rows * unet->base.dim;
    pdag_map in;
    pdag_map out;

    PDAG_TRY(pdag_time_gather_with(pass, &unet->time, t, unet->film));
    PDAG_TRY(pdag_take_map(pass, 1, config->horizon, config->action_dim, &in));
    PDAG_TRY(ops->upload(pass->be, count, x, in.buf));
    PDAG_TRY(pdag_recordings_run(&unet->recordings, pass, run_layers, unet, &in,
                                 &out));
    PDAG_TRY(ops->download(pass->be, count, out.buf, eps));
    return ops->sync(pass->be);
}

pdag_status pdag_unet1d_eval(pdag_denoiser *model, size_t n, const float *x,
                             const float *t, const pdag_condition *const *cond,
                             float *eps)
{
    pdag_unet1d *unet = (pdag_unet1d *)model;
    pdag_pass pass;

    if (n == 0)
        return PDAG_OK;
    if (n > unet->film_room) {
        unet->film = pdag_xrealloc((void *)unet->film, n, sizeof *unet->film);
        unet->film_room = n;
    }
    for (size_t i = 0; i < n; i++)
        unet->film[i] = (const float *)(const void *)cond[i];
    pdag_pass_begin(&pass, unet->room, n);
    return run(&pass, unet, x, t, eps);
}

/* Observations [cond_dim] to the FiLM they add: film [time.total]. */
static pdag_status observe(pdag_unet1d *unet, const float *observations,
                           float *film)
{
    const pdag_backend_ops *ops = unet->be->ops;
    size_t n = unet->base.cond_dim;
    pdag_pass pass;
    pdag_buf *seen;
    pdag_buf *out;

    pdag_pass_begin(&pass, unet->room, 1);
    PDAG_TRY(pdag_take(&pass, n, &seen));
    PDAG_TRY(ops->upload(unet->be, n, observations, seen));
    PDAG_TRY(ops->activate(unet->be, n, PDAG_ACT_MISH, seen, seen));
    for (size_t i = 0; i < unet->time.n_projections; i++) {
        const pdag_linear *layer = &unet->observation[i];

        PDAG_TRY(pdag_take(&pass, layer->out, &out));
        PDAG_TRY(pdag_run_linear(&pass, layer, 1, seen, PDAG_ACT_NONE, NULL,
                                 out));
        PDAG_TRY(ops->download(unet->be, layer->out, out, film));
        pdag_give(&pass, out);
        film += layer->out;
    }
    return ops->sync(unet->be);
}

pdag_status pdag_unet1d_condition_create(pdag_denoiser *model, const float *cond,
                                         pdag_condition **condition_out)
{
    pdag_unet1d *unet = (pdag_unet1d *)model;
    const pdag_policy *policy = &unet->config.policy;
    float *observations = pdag_xcalloc(model->cond_dim, sizeof *observations);
    float *film = pdag_xcalloc(unet->time.total, sizeof *film);
    pdag_status status;

    for (size_t i = 0; i < model->cond_dim; i++) {
        size_t d = i % policy->observation_dim;

        observations[i] = cond[i] * policy->observation_scale[d] +
                          policy->observation_offset[d];
    }
    status = observe(unet, observations, film);
    free(observations);
    if (status != PDAG_OK) {
        free(film);
        return status;
    }
    *condition_out = (pdag_condition *)(void *)film;
    return PDAG_OK;
}

void pdag_unet1d_condition_destroy(pdag_denoiser *model,
                                   pdag_condition *condition)
{
    (void)model;
    free(condition);
}
