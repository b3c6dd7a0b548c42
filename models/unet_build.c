#include <stdio.h>
#include <stdlib.h>

#include "base/fatal.h"
#include "base/mem.h"
#include "models/unet.h"

static pdag_status read_state(const pdag_json *json, size_t channels,
                              pdag_unet_config *config)
{
    size_t out_channels;

    PDAG_TRY(pdag_config_sample_size(json, &config->height, &config->width));
    PDAG_TRY(pdag_config_size(json, "in_channels", 1, 4096, channels,
                              &config->channels));
    PDAG_TRY(pdag_config_size(json, "out_channels", 1, 4096, channels,
                              &out_channels));
    if (out_channels == config->channels)
        return PDAG_OK;
    return pdag_error(PDAG_ERR_UNSUPPORTED,
                      "%s: out_channels: %zu, but in_channels is %zu (a network "
                      "that also predicts the variance is not supported)",
                      json->path, out_channels, config->channels);
}

static pdag_status read_time(const pdag_json *json, pdag_unet_config *config)
{
    double half = (double)(config->widths[0] / 2);

    PDAG_TRY(pdag_config_size(json, "time_embedding_dim", 1,
                              PDAG_CONFIG_MAX_WIDTH, 4 * config->widths[0],
                              &config->time_width));
    PDAG_TRY(pdag_json_bool(json, "flip_sin_to_cos", true,
                            &config->flip_sin_to_cos));
    return pdag_json_real(json, "freq_shift", -1e6, half - 0.5, 0.0,
                          &config->freq_shift);
}

pdag_status pdag_unet_read_config(const pdag_json *json, size_t channels,
                                  const size_t *widths,
                                  pdag_unet_config *config)
{
    PDAG_TRY(read_state(json, channels, config));
    PDAG_TRY(pdag_config_widths(json, "block_out_channels", widths, 4,
                                config->widths, &config->n_blocks));
    PDAG_TRY(pdag_config_size(json, "norm_num_groups", 1, PDAG_CONFIG_MAX_WIDTH,
                              32, &config->groups));
    PDAG_TRY(pdag_json_real(json, "norm_eps", 0.0, 1.0, 1e-5, &config->eps));
    PDAG_TRY(pdag_config_size(json, "downsample_padding", 0, 1, 1,
                              &config->downsample_padding));
    PDAG_TRY(
        pdag_config_activation(json, "act_fn", PDAG_ACT_SILU, &config->act));
    PDAG_TRY(pdag_json_real(json, "mid_block_scale_factor", 1e-6, 1e6, 1.0,
                            &config->mid_scale_factor));
    return read_time(json, config);
}

static void clear_block(pdag_unet_block *block)
{
    for (size_t i = 0; block->transformers != NULL && i < block->n_attentions;
         i++)
        pdag_transformer_clear(&block->transformers[i]);
    free(block->transformers);
    free(block->attentions);
    free(block->resnets);
}

void pdag_unet_destroy(pdag_denoiser *model)
{
    pdag_unet *unet = (pdag_unet *)model;

    if (unet == NULL)
        return;
    for (size_t i = 0; i < unet->config.n_blocks; i++) {
        clear_block(&unet->down[i]);
        clear_block(&unet->up[i]);
    }
    clear_block(&unet->mid);
    pdag_time_clear(&unet->time);
    pdag_recordings_clear(&unet->recordings, unet->be);
    pdag_workspace_clear(&unet->ws);
    pdag_weight_list_clear(&unet->weights);
    free(unet->kv_layers.items);
    free(unet->skips);
    free((void *)unet->kv);
    free(unet);
}

/* PREFIX.KIND.INDEX */
static void member(const char *prefix, const char *kind, size_t index,
                   char out[PDAG_PREFIX_BYTES])
{
    char number[40];

    snprintf(number, sizeof number, "%s.%zu", kind, index);
    pdag_join(prefix, number, out);
}

static pdag_status build_attention(pdag_builder *b, pdag_unet *unet,
                                   const char *prefix, size_t channels,
                                   const pdag_unet_block_config *config,
                                   size_t groups, double scale_factor,
                                   size_t index, pdag_unet_block *block)
{
    pdag_transformer_style style = {.groups = groups,
                                    .cross_dim = unet->config.cross_dim,
                                    .only_cross = config->only_cross,
                                    .kv_layers = &unet->kv_layers};
    char name[PDAG_PREFIX_BYTES];

    member(prefix, "attentions", index, name);
    if (block->attention == PDAG_UNET_CROSS)
        return pdag_build_transformer(b, name, channels, config->heads,
                                      config->depth, &style,
                                      &block->transformers[index]);
    return pdag_build_attention_block(b, name, channels, config->head_dim,
                                      groups, unet->config.eps, scale_factor,
                                      &block->attentions[index]);
}

static void reserve(pdag_unet_block *block,
                    const pdag_unet_block_config *config, size_t n_attentions)
{
    block->attention = config->attention;
    block->n_resnets = config->n_resnets;
    block->resnets = pdag_xcalloc(config->n_resnets, sizeof *block->resnets);
    if (config->attention == PDAG_UNET_PLAIN)
        return;
    block->n_attentions = n_attentions;
    if (config->attention == PDAG_UNET_CROSS)
        block->transformers =
            pdag_xcalloc(n_attentions, sizeof *block->transformers);
    else
        block->attentions =
            pdag_xcalloc(n_attentions, sizeof *block->attentions);
}

static pdag_resnet_style resnet_style(pdag_unet *unet, double scale_factor)
{
    pdag_resnet_style style = {.groups = unet->config.groups,
                               .eps = unet->config.eps,
                               .act = unet->config.act,
                               .output_scale_factor = scale_factor,
                               .time = &unet->time};

    return style;
}

/* A down or up block; `in` [n_resnets] are the widths its residual blocks
   read. */
static pdag_status build_block(pdag_builder *b, pdag_unet *unet,
                               const char *prefix,
                               const pdag_unet_block_config *config,
                               const size_t *in, size_t out,
                               pdag_unet_block *block)
{
    pdag_resnet_style style = resnet_style(unet, 1.0);
    char name[PDAG_PREFIX_BYTES];

    reserve(block, config, config->n_resnets);
    for (size_t i = 0; i < config->n_resnets; i++) {
        member(prefix, "resnets", i, name);
        PDAG_TRY(
            pdag_build_resnet(b, name, in[i], out, &style, &block->resnets[i]));
        if (block->attention != PDAG_UNET_PLAIN)
            PDAG_TRY(build_attention(b, unet, prefix, out, config,
                                     unet->config.groups, 1.0, i, block));
    }
    return PDAG_OK;
}

static pdag_status build_down(pdag_builder *b, pdag_unet *unet)
{
    const pdag_unet_config *config = &unet->config;
    size_t before = config->widths[0];

    for (size_t i = 0; i < config->n_blocks; i++) {
        pdag_unet_block *block = &unet->down[i];
        size_t in[PDAG_CONFIG_MAX_LAYERS + 1];
        char prefix[PDAG_PREFIX_BYTES];
        char name[PDAG_PREFIX_BYTES];

        member("", "down_blocks", i, prefix);
        for (size_t r = 0; r < config->down[i].n_resnets; r++)
            in[r] = r == 0 ? before : config->widths[i];
        PDAG_TRY(build_block(b, unet, prefix, &config->down[i], in,
                             config->widths[i], block));
        before = config->widths[i];
        unet->n_skips += config->down[i].n_resnets;
        if (i + 1 == config->n_blocks)
            continue;
        block->has_sampler = true;
        unet->n_skips++;
        pdag_join(prefix, "downsamplers.0.conv", name);
        PDAG_TRY(pdag_build_downsample(
            b, name, before, config->downsample_padding, &block->sampler));
    }
    return PDAG_OK;
}

static pdag_status build_mid(pdag_builder *b, pdag_unet *unet)
{
    const pdag_unet_config *config = &unet->config;
    pdag_resnet_style style = resnet_style(unet, config->mid_scale_factor);
    size_t width = config->widths[config->n_blocks - 1];
    char name[PDAG_PREFIX_BYTES];

    if (!config->has_mid)
        return PDAG_OK;
    reserve(&unet->mid, &config->mid, config->mid.n_resnets - 1);
    for (size_t i = 0; i < config->mid.n_resnets; i++) {
        if (i > 0 && config->mid.attention != PDAG_UNET_PLAIN)
            PDAG_TRY(build_attention(b, unet, "mid_block", width, &config->mid,
                                     config->mid_attention_groups,
                                     config->mid_scale_factor, i - 1,
                                     &unet->mid));
        member("mid_block", "resnets", i, name);
        PDAG_TRY(pdag_build_resnet(b, name, width, width, &style,
                                   &unet->mid.resnets[i]));
    }
    return PDAG_OK;
}

static pdag_status build_up(pdag_builder *b, pdag_unet *unet)
{
    const pdag_unet_config *config = &unet->config;
    size_t n = config->n_blocks;
    size_t before = config->widths[n - 1];

    for (size_t i = 0; i < n; i++) {
        pdag_unet_block *block = &unet->up[i];
        size_t width = config->widths[n - 1 - i];
        size_t below = config->widths[i + 1 < n ? n - 2 - i : 0];
        size_t in[PDAG_CONFIG_MAX_LAYERS + 1];
        char prefix[PDAG_PREFIX_BYTES];
        char name[PDAG_PREFIX_BYTES];

        member("", "up_blocks", i, prefix);
        for (size_t r = 0; r < config->up[i].n_resnets; r++) {
            bool last = r + 1 == config->up[i].n_resnets;

            in[r] = (r == 0 ? before : width) + (last ? below : width);
        }
        PDAG_TRY(
            build_block(b, unet, prefix, &config->up[i], in, width, block));
        before = width;
        if (i + 1 == n)
            continue;
        block->has_sampler = true;
        pdag_join(prefix, "upsamplers.0.conv", name);
        PDAG_TRY(pdag_build_conv3(b, name, width, width, &block->sampler));
    }
    return PDAG_OK;
}

static pdag_status build_all(pdag_builder *b, pdag_unet *unet)
{
    const pdag_unet_config *config = &unet->config;
    size_t first = config->widths[0];

    unet->time.channels = first;
    unet->time.width = config->time_width;
    unet->time.flip_sin_to_cos = config->flip_sin_to_cos;
    unet->time.freq_shift = (float)config->freq_shift;
    unet->time.act = config->time_act;
    unet->time.block_act = config->act;
    PDAG_TRY(pdag_build_time(b, "time_embedding", &unet->time));
    PDAG_TRY(pdag_build_conv3(b, "conv_in", config->channels, first,
                              &unet->conv_in));
    unet->n_skips = 1;
    PDAG_TRY(build_down(b, unet));
    PDAG_TRY(build_mid(b, unet));
    PDAG_TRY(build_up(b, unet));
    PDAG_TRY(pdag_build_norm(b, "conv_norm_out", first, config->groups,
                             config->eps, &unet->norm_out));
    unet->skips = pdag_xcalloc(unet->n_skips, sizeof *unet->skips);
    return pdag_build_conv3(b, "conv_out", first, config->channels,
                            &unet->conv_out);
}

pdag_status pdag_unet_load(pdag_builder *b, const pdag_unet_config *config,
                           const pdag_denoiser_ops *ops,
                           pdag_denoiser **model_out)
{
    pdag_unet *unet = pdag_xcalloc(1, sizeof *unet);
    pdag_status status;

    unet->base.ops = ops;
    unet->base.n_state_dims = 3;
    unet->base.state_dims[0] = config->channels;
    unet->base.state_dims[1] = config->height;
    unet->base.state_dims[2] = config->width;
    unet->base.dim = config->channels * config->height * config->width;
    if (config->cross_dim > 0)
        unet->base.cond_dim =
            config->cross_dim *
            (b->n_tokens > 0 ? b->n_tokens : PDAG_UNET_DEFAULT_TOKENS);
    unet->config = *config;
    unet->be = b->be;
    unet->weights.be = b->be;
    unet->ws.be = b->be;
    unet->room = &unet->ws;
    if (b->base != NULL) {
        const pdag_unet *base = (const pdag_unet *)b->base;

        PDAG_ASSERT(b->base->ops == ops);
        unet->weights.base = &base->weights;
        unet->room = base->room;
    }
    b->list = &unet->weights;
    status = build_all(b, unet);
    if (status == PDAG_OK)
        status = pdag_builder_finish(b);
    if (status != PDAG_OK) {
        pdag_unet_destroy(&unet->base);
        return status;
    }
    *model_out = &unet->base;
    return PDAG_OK;
}
