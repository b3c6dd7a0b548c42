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
    return pdag_guidance_create(pipeline->network, opts->guidance_scale,
                                opts->guidance_channels, &pipeline->guided);
}

pdag_status pdag_pipeline_wrap(pdag_denoiser *model,
                               const pdag_pipeline_opts *opts,
                               pdag_pipeline **pipeline_out)
{
    pdag_pipeline *pipeline = pdag_xcalloc(1, sizeof *pipeline);
    pdag_status status;

    pipeline->network = model;
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
    if (pipeline->guided != NULL)
        pipeline->guided->ops->destroy(pipeline->guided);
    if (pipeline->network != NULL)
        pipeline->network->ops->destroy(pipeline->network);
    pdag_clip_tokenizer_destroy(pipeline->tokenizer);
    pdag_clip_text_destroy(pipeline->text);
    pdag_autoencoder_kl_destroy(pipeline->vae);
    free((void *)pipeline->cond);
    free(pipeline);
}

/* The denoiser that evaluations go to. */
static pdag_denoiser *active(const pdag_pipeline *pipeline)
{
    return pipeline->guided != NULL ? pipeline->guided : pipeline->network;
}

size_t pdag_pipeline_cond_floats(const pdag_pipeline *pipeline)
{
    return active(pipeline)->cond_dim;
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
    if (pipeline->guided != NULL) {
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

pdag_status pdag_pipeline_condition(pdag_pipeline *pipeline, const float *cond,
                                    pdag_condition **condition_out)
{
    pdag_denoiser *model = active(pipeline);

    if (model->cond_dim == 0) {
        *condition_out = NULL;
        return PDAG_OK;
    }
    return model->ops->condition_create(model, cond, condition_out);
}

void pdag_pipeline_condition_destroy(pdag_pipeline *pipeline,
                                     pdag_condition *condition)
{
    pdag_denoiser *model = active(pipeline);

    if (condition != NULL)
        model->ops->condition_destroy(model, condition);
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
                               const pdag_condition *condition, float *eps_out)
{
    pdag_denoiser *model = active(pipeline);
    const pdag_condition *const *cond = NULL;

    if (model->cond_dim != 0) {
        if (n > pipeline->cond_room) {
            pipeline->cond = pdag_xrealloc((void *)pipeline->cond, n,
                                           sizeof *pipeline->cond);
            pipeline->cond_room = n;
        }
        for (size_t i = 0; i < n; i++)
            pipeline->cond[i] = condition;
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

            /* fmaxf also takes not-a-number to 0 */
            /* Comparisons that a NaN passes through: it must be seen. */
            picture[p * channels + c] =
                value < 0.0f ? 0.0f : value > 1.0f ? 1.0f : value;
        }
}

static pdag_status decode_latent(pdag_pipeline *pipeline, const float *state,
                                 float *planes)
{
    const pdag_autoencoder_kl_info *info =
        pdag_autoencoder_kl_describe(pipeline->vae);
    const pdag_denoiser *network = pipeline->network;
    float scale = (float)info->scaling_factor;
    float shift = (float)info->shift_factor;
    void *memory;
    float *latent;
    pdag_status status =
        pdag_alloc_tensor(network->dim, sizeof(float), "latent", &memory);

    if (status != PDAG_OK)
        return status;
    latent = memory;
    for (size_t d = 0; d < network->dim; d++)
        latent[d] = state[d] / scale + shift;
    status = pdag_autoencoder_kl_decode(pipeline->vae, network->state_dims[1],
                                        network->state_dims[2], latent, planes);
    free(latent);
    return status;
}

pdag_status pdag_pipeline_decode(pdag_pipeline *pipeline, const float *state,
                                 float *picture_out)
{
    size_t positions = pipeline->picture_height * pipeline->picture_width;
    void *memory;
    pdag_status status;

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
