#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "models/labels.h"
#include "models/layout.h"
#include "models/pipeline_parts.h"
#include "models/registry.h"

static void add_weights(const pdag_weights *weights, pdag_loading *loading)
{
    loading->n_elements += pdag_weights_elements(weights);
    loading->n_bytes += pdag_weights_bytes(weights);
}

static pdag_status load_text(pdag_loading *loading, pdag_pipeline *pipeline)
{
    const pdag_layout *layout = loading->layout;
    pdag_mix mix = {.part = PDAG_LORA_TEXT,
                    .loras = loading->loras,
                    .n_loras = loading->n_loras};
    pdag_builder b;
    size_t longest;
    pdag_status status =
        pdag_builder_open(&b, layout->text_encoder, PDAG_WEIGHTS_TRANSFORMERS,
                          loading->be);

    if (status == PDAG_OK) {
        add_weights(b.weights, loading);
        b.mix = loading->n_loras > 0 ? &mix : NULL;
        status = pdag_clip_text_load(&b, &pipeline->text);
    }
    pdag_builder_close(&b);
    pdag_mix_release(&mix);
    if (status == PDAG_OK)
        status =
            pdag_clip_tokenizer_load(layout->tokenizer, &pipeline->tokenizer);
    if (status != PDAG_OK)
        return status;
    longest = pdag_clip_text_describe(pipeline->text)->max_tokens;
    pipeline->n_tokens = pdag_clip_tokenizer_max_length(pipeline->tokenizer);
    if (pipeline->n_tokens == 0 || pipeline->n_tokens > longest)
        pipeline->n_tokens = longest;
    return PDAG_OK;
}

pdag_status pdag_pipeline_load_network(pdag_loading *loading,
                                       const char *folder, size_t n_tokens,
                                       pdag_mix *mix, const pdag_denoiser *base,
                                       pdag_denoiser **network_out)
{
    const pdag_network_class *class;
    pdag_builder b;
    pdag_status status =
        pdag_builder_open(&b, folder, PDAG_WEIGHTS_DIFFUSERS, loading->be);

    if (status == PDAG_OK) {
        if (base == NULL)
            add_weights(b.weights, loading);
        b.n_tokens = n_tokens;
        b.mix = mix;
        b.base = base;
        status = pdag_network_find(&b.config, &class);
    }
    if (status == PDAG_OK)
        status = class->load(&b, network_out);
    pdag_builder_close(&b);
    return status;
}

/* The network of mix 0: the model's own, with opts->loras. */
static pdag_status load_network(pdag_loading *loading, pdag_pipeline *pipeline)
{
    pdag_mix mix = {.part = PDAG_LORA_NETWORK,
                    .loras = loading->loras,
                    .n_loras = loading->n_loras};
    pdag_denoiser *network;
    pdag_status status = pdag_pipeline_load_network(
        loading, loading->layout->network, pipeline->n_tokens,
        loading->n_loras > 0 ? &mix : NULL, NULL, &network);

    pdag_mix_release(&mix);
    if (status == PDAG_OK)
        pdag_pipeline_add_net(pipeline, network);
    return status;
}

static pdag_status load_vae(pdag_loading *loading, pdag_pipeline *pipeline)
{
    pdag_builder b;
    pdag_status status = pdag_builder_open(
        &b, loading->layout->vae, PDAG_WEIGHTS_DIFFUSERS, loading->be);

    if (status == PDAG_OK) {
        add_weights(b.weights, loading);
        status = pdag_autoencoder_load(&b, false, &pipeline->vae);
    }
    pdag_builder_close(&b);
    return status;
}

/* What the parts must agree on. */
static pdag_status check_fit(const pdag_layout *layout,
                             const pdag_pipeline *pipeline)
{
    const pdag_denoiser *network = pipeline->network;
    size_t floats = 0;

    if (pipeline->text != NULL)
        floats =
            pipeline->n_tokens * pdag_clip_text_describe(pipeline->text)->width;
    if (network->policy != NULL) /* its condition is the environment's */
        return PDAG_OK;
    if (network->n_classes > 0) /* it is led by a number alone */
        floats = network->cond_dim;
    else if (network->cond_dim > 0 && pipeline->text == NULL)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "%s: %s takes prompts, but there is no text encoder; "
                          "give the folder of the whole pipeline",
                          layout->network, network->ops->name);
    if (network->cond_dim != floats)
        return pdag_error(PDAG_ERR_SHAPE,
                          "%s: the network reads conditions of %zu floats, but "
                          "the text encoder gives %zu",
                          layout->network, network->cond_dim, floats);
    if (pipeline->vae != NULL &&
        pipeline->vae->info.latent_channels != network->state_dims[0])
        return pdag_error(PDAG_ERR_SHAPE,
                          "%s: its latents have %zu channels, but the network's "
                          "states have %zu",
                          layout->vae, pipeline->vae->info.latent_channels,
                          network->state_dims[0]);
    return PDAG_OK;
}

static void set_picture(pdag_pipeline *pipeline)
{
    const pdag_denoiser *network = pipeline->network;
    size_t factor = 1;

    if (network->n_state_dims != 3)
        return;
    pipeline->picture_channels = network->state_dims[0];
    if (pipeline->vae != NULL) {
        pipeline->picture_channels = pipeline->vae->info.out_channels;
        factor = pipeline->vae->info.factor;
    }
    pipeline->picture_height = network->state_dims[1] * factor;
    pipeline->picture_width = network->state_dims[2] * factor;
    pipeline->has_picture =
        pipeline->picture_channels == 1 || pipeline->picture_channels == 3;
}

/* All parts; without a backend they are only checked. */
static pdag_status load_parts(pdag_loading *loading, pdag_pipeline *pipeline)
{
    const pdag_layout *layout = loading->layout;
    pdag_status status = pdag_loading_open(loading);

    if (status == PDAG_OK && layout->text_encoder != NULL)
        status = load_text(loading, pipeline);
    if (status == PDAG_OK)
        status = load_network(loading, pipeline);
    if (status == PDAG_OK)
        status = pdag_loading_check_used(loading);
    if (status == PDAG_OK)
        status = pdag_pipeline_load_mixes(loading, pipeline);
    if (status == PDAG_OK && layout->vae != NULL)
        status = load_vae(loading, pipeline);
    if (status == PDAG_OK)
        status = check_fit(layout, pipeline);
    if (status == PDAG_OK)
        set_picture(pipeline);
    pdag_loading_close(loading);
    return status;
}

pdag_status pdag_pipeline_load(const char *path, pdag_backend *be,
                               const pdag_pipeline_opts *opts,
                               pdag_pipeline **pipeline_out)
{
    pdag_pipeline *pipeline;
    pdag_layout layout;
    pdag_loading loading = {.layout = &layout, .be = be, .opts = opts};
    pdag_status status = pdag_layout_read(path, &layout);

    if (status != PDAG_OK)
        return status;
    pipeline = pdag_xcalloc(1, sizeof *pipeline);
    status = load_parts(&loading, pipeline);
    if (status == PDAG_OK)
        status = pdag_pipeline_finish(pipeline, opts);
    pdag_layout_clear(&layout);
    if (status != PDAG_OK) {
        pdag_pipeline_destroy(pipeline);
        return status;
    }
    *pipeline_out = pipeline;
    return PDAG_OK;
}

static void fill_info(const pdag_loading *loading,
                      const pdag_pipeline *pipeline, pdag_pipeline_info *info)
{
    const pdag_layout *layout = loading->layout;
    const pdag_denoiser *network = pipeline->network;

    memset(info, 0, sizeof *info);
    snprintf(info->class_name, sizeof info->class_name, "%s",
             layout->class_name);
    snprintf(info->network_class, sizeof info->network_class, "%s",
             network->ops->name);
    if (layout->scheduler_config != NULL)
        info->scheduler_config = pdag_xstrdup(layout->scheduler_config);
    info->n_state_dims = network->n_state_dims;
    memcpy(info->state_dims, network->state_dims, sizeof info->state_dims);
    info->dim = network->dim;
    info->has_text = pipeline->text != NULL;
    info->has_picture = pipeline->has_picture;
    info->is_latent = pipeline->vae != NULL;
    info->picture_height = pipeline->picture_height;
    info->picture_width = pipeline->picture_width;
    info->picture_channels = pipeline->picture_channels;
    info->cond_dim = network->cond_dim;
    info->n_classes = network->n_classes;
    info->n_tokens = pipeline->n_tokens;
    if (network->policy != NULL) {
        info->n_observations = network->policy->n_observations;
        info->observation_dim = network->policy->observation_dim;
        info->n_actions = network->policy->n_actions;
    }
    info->n_parameters = loading->n_elements;
    info->weight_bytes = loading->n_bytes;
}

/* Load without a backend; info_out may be NULL. */
static pdag_status check(const char *path, const pdag_pipeline_opts *opts,
                         pdag_pipeline_info *info_out)
{
    char **names = NULL;
    pdag_pipeline *pipeline;
    pdag_layout layout;
    pdag_loading loading = {.layout = &layout, .opts = opts};
    pdag_status status = pdag_layout_read(path, &layout);

    if (status != PDAG_OK)
        return status;
    pipeline = pdag_xcalloc(1, sizeof *pipeline);
    status = load_parts(&loading, pipeline);
    if (status == PDAG_OK && pipeline->network->n_classes > 0)
        status = pdag_labels_read(path, pipeline->network->n_classes, &names);
    if (status == PDAG_OK && info_out != NULL) {
        fill_info(&loading, pipeline, info_out);
        info_out->class_name_of = names;
    } else if (status == PDAG_OK) {
        pdag_labels_free(names, pipeline->network->n_classes);
    }
    pdag_layout_clear(&layout);
    pdag_pipeline_destroy(pipeline);
    return status;
}

pdag_status pdag_pipeline_inspect(const char *path,
                                  pdag_pipeline_info *info_out)
{
    const pdag_pipeline_opts plain = {.guidance_scale = 1.0f};

    return check(path, &plain, info_out);
}

pdag_status pdag_pipeline_check(const char *path,
                                const pdag_pipeline_opts *opts)
{
    return check(path, opts, NULL);
}

void pdag_pipeline_info_clear(pdag_pipeline_info *info)
{
    if (info == NULL)
        return;
    pdag_labels_free(info->class_name_of, info->n_classes);
    info->class_name_of = NULL;
    free(info->scheduler_config);
    info->scheduler_config = NULL;
}
