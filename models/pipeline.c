#include "models/pipeline.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "models/pipeline_parts.h"

pdag_status pdag_pipeline_finish(pdag_pipeline *pipeline,
                                 const pdag_pipeline_opts *opts)
{
    if (!isfinite(opts->guidance_scale))
        return pdag_error(PDAG_ERR_ARG, "guidance_scale: %g, must be finite",
                          (double)opts->guidance_scale);
    if (!(opts->delay_ms >= 0.0) || !isfinite(opts->delay_ms))
        return pdag_error(PDAG_ERR_ARG, "model.delay_ms: %g, must be 0 or more",
                          opts->delay_ms);
    pipeline->opts = *opts;
    if (opts->guidance_scale == 1.0f || pipeline->network->cond_dim == 0)
        return PDAG_OK;
    for (size_t i = 0; i < pipeline->n_nets; i++) {
        pdag_pipeline_net *net = &pipeline->nets[i];
        pdag_status status =
            pdag_guidance_create(net->network, opts->guidance_scale,
                                 opts->guidance_channels, &net->guided);

        if (status != PDAG_OK)
            return status;
    }
    return PDAG_OK;
}

void pdag_pipeline_add_net(pdag_pipeline *pipeline, pdag_denoiser *network)
{
    pdag_pipeline_net *net;

    pipeline->nets =
        pdag_xgrow(pipeline->nets, pipeline->n_nets, sizeof *pipeline->nets);
    net = &pipeline->nets[pipeline->n_nets++];
    net->network = network;
    net->guided = NULL;
    pipeline->network = pipeline->nets[0].network;
}

pdag_status pdag_pipeline_wrap(pdag_denoiser *model,
                               const pdag_pipeline_opts *opts,
                               pdag_pipeline **pipeline_out)
{
    pdag_pipeline *pipeline = pdag_xcalloc(1, sizeof *pipeline);
    pdag_status status;

    pdag_pipeline_add_net(pipeline, model);
    status = pdag_pipeline_finish(pipeline, opts);
    if (status != PDAG_OK) {
        pdag_pipeline_destroy(pipeline);
        return status;
    }
    *pipeline_out = pipeline;
    return PDAG_OK;
}

void pdag_pipeline_destroy(pdag_pipeline *pipeline)
{
    if (pipeline == NULL)
        return;
    /* the last first: the others share weights with the first */
    while (pipeline->n_nets > 0) {
        pdag_pipeline_net *net = &pipeline->nets[--pipeline->n_nets];

        if (net->guided != NULL)
            net->guided->ops->destroy(net->guided);
        net->network->ops->destroy(net->network);
    }
    free(pipeline->nets);
    pdag_clip_tokenizer_destroy(pipeline->tokenizer);
    pdag_clip_text_destroy(pipeline->text);
    pdag_autoencoder_destroy(pipeline->vae);
    free((void *)pipeline->cond);
    free(pipeline);
}

/* The denoiser that evaluations of a mix go to. */
static pdag_denoiser *active(const pdag_pipeline *pipeline, size_t mix)
{
    const pdag_pipeline_net *net = &pipeline->nets[mix];

    return net->guided != NULL ? net->guided : net->network;
}

size_t pdag_pipeline_cond_floats(const pdag_pipeline *pipeline)
{
    return active(pipeline, 0)->cond_dim;
}

size_t pdag_pipeline_n_mixes(const pdag_pipeline *pipeline)
{
    return pipeline->n_nets - 1;
}

static pdag_status encode_one(pdag_pipeline *pipeline, const char *prompt,
                              int32_t *ids, float *cond_out)
{
    pdag_status status = pdag_clip_tokenizer_encode(pipeline->tokenizer, prompt,
                                                    pipeline->n_tokens, ids);

    if (status != PDAG_OK)
        return status;
    return pdag_clip_text_encode(pipeline->text, pipeline->n_tokens, ids,
                                 cond_out);
}

pdag_status pdag_pipeline_encode(pdag_pipeline *pipeline, const char *prompt,
                                 const char *negative, float *cond_out)
{
    int32_t *ids;
    pdag_status status = PDAG_OK;

    if (pdag_pipeline_cond_floats(pipeline) == 0)
        return PDAG_OK;
    if (pipeline->text == NULL)
        return pdag_error(PDAG_ERR_ARG,
                          "prompt: the model has no text encoder");
    ids = pdag_xcalloc(pipeline->n_tokens, sizeof *ids);
    if (pipeline->nets[0].guided != NULL) {
        status = encode_one(pipeline, negative != NULL ? negative : "", ids,
                            cond_out);
        cond_out += pipeline->network->cond_dim;
    }
    if (status == PDAG_OK)
        status =
            encode_one(pipeline, prompt != NULL ? prompt : "", ids, cond_out);
    free(ids);
    return status;
}

/* A condition of a pipeline is one of each mix's network: [n_nets] pointers. */
pdag_status pdag_pipeline_condition(pdag_pipeline *pipeline, const float *cond,
                                    pdag_condition **condition_out)
{
    pdag_condition **all;

    if (pdag_pipeline_cond_floats(pipeline) == 0) {
        *condition_out = NULL;
        return PDAG_OK;
    }
    all = pdag_xcalloc(pipeline->n_nets, sizeof *all);
    for (size_t i = 0; i < pipeline->n_nets; i++) {
        pdag_denoiser *model = active(pipeline, i);
        pdag_status status = model->ops->condition_create(model, cond, &all[i]);

        if (status != PDAG_OK) {
            pdag_pipeline_condition_destroy(pipeline, (pdag_condition *)all);
            return status;
        }
    }
    *condition_out = (pdag_condition *)all;
    return PDAG_OK;
}

void pdag_pipeline_condition_destroy(pdag_pipeline *pipeline,
                                     pdag_condition *condition)
{
    pdag_condition **all = (pdag_condition **)condition;

    for (size_t i = 0; all != NULL && i < pipeline->n_nets; i++) {
        pdag_denoiser *model = active(pipeline, i);

        if (all[i] != NULL)
            model->ops->condition_destroy(model, all[i]);
    }
    free(all);
}

/* The extra cost of a model that is to behave like a slower one. */
static void sleep_ms(double ms)
{
    struct timespec left;

    left.tv_sec = (time_t)(ms / 1e3);
    left.tv_nsec = (long)((ms - 1e3 * (double)left.tv_sec) * 1e6);
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

pdag_status pdag_pipeline_eval(pdag_pipeline *pipeline, size_t n,
                               const float *x, const float *t,
                               const pdag_condition *condition, size_t mix,
                               float *eps_out)
{
    const pdag_condition *const *cond = NULL;
    pdag_denoiser *model;

    if (mix >= pipeline->n_nets)
        return pdag_error(PDAG_ERR_ARG, "mix %zu of the weights: there are %zu",
                          mix, pipeline->n_nets);
    model = active(pipeline, mix);
    if (model->cond_dim != 0) {
        if (n > pipeline->cond_room) {
            pipeline->cond = pdag_xrealloc((void *)pipeline->cond, n,
                                           sizeof *pipeline->cond);
            pipeline->cond_room = n;
        }
        for (size_t i = 0; i < n; i++)
            pipeline->cond[i] = ((pdag_condition *const *)condition)[mix];
        cond = pipeline->cond;
    }
    if (pipeline->opts.delay_ms > 0.0)
        sleep_ms(pipeline->opts.delay_ms * (double)n);
    return model->ops->eval(model, n, x, t, cond, eps_out);
}

/* [channels][positions] in [-1, 1] to [positions][channels] in [0, 1]. */
static void to_picture(size_t channels, size_t positions, const float *planes,
                       float *picture)
{
    for (size_t c = 0; c < channels; c++)
        for (size_t p = 0; p < positions; p++) {
            float value = planes[c * positions + p] / 2.0f + 0.5f;

            /* Not fmaxf(), which takes not-a-number to 0: it must be seen. */
            picture[p * channels + c] =
                value < 0.0f ? 0.0f : value > 1.0f ? 1.0f : value;
        }
}

static pdag_status decode_latent(pdag_pipeline *pipeline, const float *state,
                                 float *planes)
{
    pdag_autoencoder *vae = pipeline->vae;
    const pdag_denoiser *network = pipeline->network;
    float scale = (float)vae->info.scaling_factor;
    void *memory;
    float *latent;
    pdag_status status =
        pdag_alloc_tensor(network->dim, sizeof(float), "latent", &memory);

    if (status != PDAG_OK)
        return status;
    latent = memory;
    for (size_t d = 0; d < network->dim; d++)
        latent[d] = state[d] / scale;
    status = vae->ops->decode(vae, network->state_dims[1], network->state_dims[2],
                              latent, planes);
    free(latent);
    return status;
}

/* Normalised actions to those of the environment. */
static void to_actions(const pdag_denoiser *network, const float *state,
                       float *actions)
{
    const pdag_policy *policy = network->policy;

    for (size_t d = 0; d < network->dim; d++) {
        size_t a = d % policy->action_dim;

        actions[d] = (state[d] - policy->action_offset[a]) /
                     policy->action_scale[a];
    }
}

pdag_status pdag_pipeline_decode(pdag_pipeline *pipeline, const float *state,
                                 float *picture_out)
{
    size_t positions = pipeline->picture_height * pipeline->picture_width;
    void *memory;
    pdag_status status;

    if (pipeline->network->policy != NULL) {
        to_actions(pipeline->network, state, picture_out);
        return PDAG_OK;
    }
    if (!pipeline->has_picture)
        return pdag_error(PDAG_ERR_ARG, "%s makes no pictures",
                          pipeline->network->ops->name);
    if (pipeline->vae == NULL) {
        to_picture(pipeline->picture_channels, positions, state, picture_out);
        return PDAG_OK;
    }
    status = pdag_alloc_tensor(positions * pipeline->picture_channels,
                               sizeof(float), "picture", &memory);
    if (status != PDAG_OK)
        return status;
    status = decode_latent(pipeline, state, memory);
    if (status == PDAG_OK)
        to_picture(pipeline->picture_channels, positions, memory, picture_out);
    free(memory);
    return status;
}
