#include <stdlib.h>

#include "base/fatal.h"
#include "base/mem.h"
#include "models/unet.h"

/* The kept results of the down blocks, a stack. */
typedef struct skip_stack {
    pdag_map *items;
    size_t n, room;
} skip_stack;

static void push(skip_stack *skips, const pdag_map *map)
{
    PDAG_ASSERT(skips->n < skips->room);
    skips->items[skips->n++] = *map;
}

static pdag_map pop(skip_stack *skips)
{
    PDAG_ASSERT(skips->n > 0);
    return skips->items[--skips->n];
}

static pdag_status run_attention(pdag_pass *pass, const pdag_unet_block *block,
                                 size_t index, const pdag_map *x,
                                 pdag_map *y_out)
{
    if (block->attention == PDAG_UNET_CROSS)
        return pdag_run_transformer(pass, &block->transformers[index], x,
                                    y_out);
    return pdag_run_attention_block(pass, &block->attentions[index], x, y_out);
}

/* Residual block and what follows it: x stays, *y_out is fresh. */
static pdag_status run_layer(pdag_pass *pass, const pdag_unet_block *block,
                             size_t index, const pdag_map *x, pdag_map *y_out)
{
    pdag_map h;

    PDAG_TRY(pdag_run_resnet(pass, &block->resnets[index], x, &h));
    if (block->attention == PDAG_UNET_PLAIN) {
        *y_out = h;
        return PDAG_OK;
    }
    PDAG_TRY(run_attention(pass, block, index, &h, y_out));
    pdag_give_map(pass, &h);
    return PDAG_OK;
}

/* h on entry and exit is the top of the stack. */
static pdag_status run_down(pdag_pass *pass, const pdag_unet_block *block,
                            skip_stack *skips, pdag_map *h)
{
    for (size_t i = 0; i < block->n_resnets; i++) {
        PDAG_TRY(run_layer(pass, block, i, h, h));
        push(skips, h);
    }
    if (block->has_sampler) {
        PDAG_TRY(pdag_run_conv(pass, &block->sampler, h, NULL, h));
        push(skips, h);
    }
    return PDAG_OK;
}

static void replace(pdag_pass *pass, pdag_map *h, pdag_map next)
{
    pdag_give_map(pass, h);
    *h = next;
}

/* The first residual block must not give h back: it is on the stack. */
static pdag_status run_mid(pdag_pass *pass, const pdag_unet_block *block,
                           pdag_map *h)
{
    pdag_map next;

    PDAG_TRY(pdag_run_resnet(pass, &block->resnets[0], h, h));
    for (size_t i = 1; i < block->n_resnets; i++) {
        if (block->attention != PDAG_UNET_PLAIN) {
            PDAG_TRY(run_attention(pass, block, i - 1, h, &next));
            replace(pass, h, next);
        }
        PDAG_TRY(pdag_run_resnet(pass, &block->resnets[i], h, &next));
        replace(pass, h, next);
    }
    return PDAG_OK;
}

/* [h, skip] side by side; gives the skip back. */
static pdag_status join_skip(pdag_pass *pass, const pdag_map *h, pdag_map *skip,
                             pdag_map *joined_out)
{
    pdag_map joined;

    PDAG_ASSERT(h->h == skip->h && h->w == skip->w);
    PDAG_TRY(pdag_take_map(pass, h->h, h->w, h->c + skip->c, &joined));
    PDAG_TRY(pass->be->ops->concat(pass->be, pass->rows * h->h * h->w, h->c,
                                   h->buf, skip->c, skip->buf, joined.buf));
    pdag_give_map(pass, skip);
    *joined_out = joined;
    return PDAG_OK;
}

/* Upsamples to the size of the next skip, so that odd sides come back. */
static pdag_status run_up(pdag_pass *pass, const pdag_unet_block *block,
                          skip_stack *skips, pdag_map *h)
{
    pdag_map joined;
    pdag_map next;

    for (size_t i = 0; i < block->n_resnets; i++) {
        pdag_map skip = pop(skips);

        /* without a middle block h is the skip itself */
        if (skip.buf == h->buf) {
            pdag_map copy;

            PDAG_TRY(pdag_take_map(pass, h->h, h->w, h->c, &copy));
            PDAG_TRY(pass->be->ops->scale(pass->be,
                                          pass->rows * h->h * h->w * h->c, 1.0f,
                                          h->buf, copy.buf));
            *h = copy;
        }
        PDAG_TRY(join_skip(pass, h, &skip, &joined));
        replace(pass, h, joined);
        PDAG_TRY(run_layer(pass, block, i, h, &next));
        replace(pass, h, next);
    }
    if (block->has_sampler) {
        const pdag_map *wanted = &skips->items[skips->n - 1];

        PDAG_TRY(pdag_run_upsample(pass, &block->sampler, h, wanted->h,
                                   wanted->w, &next));
        replace(pass, h, next);
    }
    return PDAG_OK;
}

/* Everything between the picture's way in and its way out; gives x back. */
static pdag_status run_layers(pdag_pass *pass, void *network, const pdag_map *x,
                              pdag_map *y_out)
{
    pdag_unet *unet = network;
    const pdag_unet_config *config = &unet->config;
    skip_stack skips = {unet->skips, 0, unet->n_skips};
    pdag_map h;

    PDAG_TRY(pdag_run_conv(pass, &unet->conv_in, x, NULL, &h));
    pdag_give(pass, x->buf);
    push(&skips, &h);
    for (size_t i = 0; i < config->n_blocks; i++)
        PDAG_TRY(run_down(pass, &unet->down[i], &skips, &h));
    if (config->has_mid)
        PDAG_TRY(run_mid(pass, &unet->mid, &h));
    for (size_t i = 0; i < config->n_blocks; i++)
        PDAG_TRY(run_up(pass, &unet->up[i], &skips, &h));
    PDAG_TRY(pdag_run_group_norm(pass, &unet->norm_out, &h, NULL,
                                 config->out_act, h.buf));
    return pdag_run_conv(pass, &unet->conv_out, &h, NULL, y_out);
}

static pdag_status run(pdag_pass *pass, pdag_unet *unet, const float *x,
                       const float *t, float *eps)
{
    const pdag_unet_config *config = &unet->config;
    size_t positions = config->height * config->width;
    const pdag_backend_ops *ops = pass->be->ops;
    pdag_map in;
    pdag_map out;

    PDAG_TRY(pdag_time_gather(pass, &unet->time, t));
    PDAG_TRY(pdag_take_map(pass, config->height, config->width,
                           config->channels, &in));
    PDAG_TRY(ops->upload_planes(pass->be, pass->rows, config->channels,
                                positions, x, in.buf));
    PDAG_TRY(pdag_recordings_run(&unet->recordings, pass, run_layers, unet, &in,
                                 &out));
    PDAG_TRY(ops->download_planes(pass->be, pass->rows, config->channels,
                                  positions, out.buf, eps));
    return ops->sync(pass->be);
}

pdag_status pdag_unet_eval(pdag_denoiser *model, size_t n, const float *x,
                           const float *t, const pdag_condition *const *cond,
                           float *eps)
{
    pdag_unet *unet = (pdag_unet *)model;
    pdag_pass pass;

    if (n == 0)
        return PDAG_OK;
    pdag_pass_begin(&pass, unet->room, n);
    if (model->cond_dim > 0) {
        if (n > unet->kv_room) {
            unet->kv = pdag_xrealloc((void *)unet->kv, n, sizeof *unet->kv);
            unet->kv_room = n;
        }
        for (size_t i = 0; i < n; i++)
            unet->kv[i] = cond[i];
        pass.kv = unet->kv;
    }
    return run(&pass, unet, x, t, eps);
}

pdag_status pdag_unet_condition_create(pdag_denoiser *model, const float *cond,
                                       pdag_condition **condition_out)
{
    pdag_unet *unet = (pdag_unet *)model;
    size_t width = unet->config.cross_dim;
    pdag_pass pass = {.be = unet->be, .ws = unet->room, .rows = 1};
    pdag_kv *kv;

    PDAG_TRY(pdag_kv_create(&pass, &unet->kv_layers, model->cond_dim / width,
                            width, cond, &kv));
    *condition_out = (pdag_condition *)kv;
    return PDAG_OK;
}

void pdag_unet_condition_destroy(pdag_denoiser *model,
                                 pdag_condition *condition)
{
    pdag_unet *unet = (pdag_unet *)model;

    pdag_recordings_clear(&unet->recordings, unet->be); /* they may name it */
    pdag_kv_destroy(unet->be, (pdag_kv *)condition);
}
