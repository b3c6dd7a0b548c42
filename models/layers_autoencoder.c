#include "models/layers_autoencoder.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

#define NORM_EPS 1e-6 /* of every norm in it, not configurable */

void pdag_half_clear(pdag_half *half)
{
    for (size_t i = 0; i < PDAG_CONFIG_MAX_BLOCKS; i++)
        free(half->blocks[i].resnets);
}

static pdag_status read_block_types(const pdag_json *json, size_t n)
{
    static const char *const down[] = {"DownEncoderBlock2D", NULL};
    static const char *const up[] = {"UpDecoderBlock2D", NULL};
    static const int first[] = {0};
    int ignored[PDAG_CONFIG_MAX_BLOCKS];

    PDAG_TRY(pdag_config_names(json, "down_block_types", n, down, first, 1,
                               ignored));
    return pdag_config_names(json, "up_block_types", n, up, first, 1, ignored);
}

pdag_status pdag_half_read_config(const pdag_json *json, size_t latent_channels,
                                  pdag_half_config *config)
{
    static const size_t default_widths[] = {64};

    PDAG_TRY(pdag_config_size(json, "in_channels", 1, 4096, 3,
                              &config->in_channels));
    PDAG_TRY(pdag_config_size(json, "out_channels", 1, 4096, 3,
                              &config->out_channels));
    PDAG_TRY(pdag_config_size(json, "latent_channels", 1, 4096, latent_channels,
                              &config->latent_channels));
    PDAG_TRY(pdag_config_widths(json, "block_out_channels", default_widths, 1,
                                config->widths, &config->n_blocks));
    PDAG_TRY(read_block_types(json, config->n_blocks));
    PDAG_TRY(pdag_config_size(json, "layers_per_block", 1,
                              PDAG_CONFIG_MAX_LAYERS, 1, &config->layers));
    PDAG_TRY(pdag_config_size(json, "norm_num_groups", 1, PDAG_CONFIG_MAX_WIDTH,
                              32, &config->groups));
    PDAG_TRY(
        pdag_config_activation(json, "act_fn", PDAG_ACT_SILU, &config->act));
    return pdag_json_bool(json, "mid_block_add_attention", true,
                          &config->mid_attention);
}

static pdag_resnet_style resnet_style(const pdag_half_config *config)
{
    pdag_resnet_style style = {.groups = config->groups,
                               .eps = NORM_EPS,
                               .act = config->act,
                               .output_scale_factor = 1.0};

    return style;
}

/* PREFIX.KIND.INDEX */
static void member(const char *prefix, const char *kind, size_t index,
                   char out[PDAG_PREFIX_BYTES])
{
    char number[40];

    snprintf(number, sizeof number, "%s.%zu", kind, index);
    pdag_join(prefix, number, out);
}

static pdag_status build_block(pdag_builder *b, const pdag_half_config *config,
                               const char *prefix, size_t n_resnets, size_t in,
                               size_t out, pdag_half_block *block)
{
    pdag_resnet_style style = resnet_style(config);
    char name[PDAG_PREFIX_BYTES];

    block->resnets = pdag_xcalloc(n_resnets, sizeof *block->resnets);
    block->n_resnets = n_resnets;
    for (size_t i = 0; i < n_resnets; i++) {
        member(prefix, "resnets", i, name);
        PDAG_TRY(pdag_build_resnet(b, name, i == 0 ? in : out, out, &style,
                                   &block->resnets[i]));
    }
    return PDAG_OK;
}

static pdag_status build_mid(pdag_builder *b, const pdag_half_config *config,
                             const char *half_name, pdag_half *half)
{
    pdag_resnet_style style = resnet_style(config);
    size_t width = config->widths[config->n_blocks - 1];
    char prefix[PDAG_PREFIX_BYTES];
    char name[PDAG_PREFIX_BYTES];

    pdag_join(half_name, "mid_block", prefix);
    for (size_t i = 0; i < 2; i++) {
        member(prefix, "resnets", i, name);
        PDAG_TRY(
            pdag_build_resnet(b, name, width, width, &style, &half->mid[i]));
    }
    half->mid_attention = config->mid_attention;
    if (!half->mid_attention)
        return PDAG_OK;
    pdag_join(prefix, "attentions.0", name);
    return pdag_build_attention_block(b, name, width, 0, config->groups,
                                      NORM_EPS, 1.0, &half->attention);
}

pdag_status pdag_build_encoder(pdag_builder *b, const pdag_half_config *config,
                               size_t out, pdag_half *half)
{
    size_t n = config->n_blocks;
    size_t before = config->widths[0];

    half->n_blocks = n;
    PDAG_TRY(pdag_build_conv3(b, "encoder.conv_in", config->in_channels, before,
                              &half->conv_in));
    for (size_t i = 0; i < n; i++) {
        char prefix[PDAG_PREFIX_BYTES];
        char name[PDAG_PREFIX_BYTES];

        member("encoder", "down_blocks", i, prefix);
        PDAG_TRY(build_block(b, config, prefix, config->layers, before,
                             config->widths[i], &half->blocks[i]));
        before = config->widths[i];
        if (i + 1 == n)
            continue;
        half->blocks[i].has_sampler = true;
        pdag_join(prefix, "downsamplers.0.conv", name);
        PDAG_TRY(pdag_build_downsample(b, name, before, 0,
                                       &half->blocks[i].sampler));
    }
    PDAG_TRY(build_mid(b, config, "encoder", half));
    PDAG_TRY(pdag_build_norm(b, "encoder.conv_norm_out", before, config->groups,
                             NORM_EPS, &half->norm_out));
    return pdag_build_conv3(b, "encoder.conv_out", before, out,
                            &half->conv_out);
}

pdag_status pdag_build_decoder(pdag_builder *b, const pdag_half_config *config,
                               pdag_half *half)
{
    size_t n = config->n_blocks;
    size_t before = config->widths[n - 1];

    half->n_blocks = n;
    PDAG_TRY(pdag_build_conv3(b, "decoder.conv_in", config->latent_channels,
                              before, &half->conv_in));
    PDAG_TRY(build_mid(b, config, "decoder", half));
    for (size_t i = 0; i < n; i++) {
        size_t width = config->widths[n - 1 - i];
        char prefix[PDAG_PREFIX_BYTES];
        char name[PDAG_PREFIX_BYTES];

        member("decoder", "up_blocks", i, prefix);
        PDAG_TRY(build_block(b, config, prefix, config->layers + 1, before,
                             width, &half->blocks[i]));
        before = width;
        if (i + 1 == n)
            continue;
        half->blocks[i].has_sampler = true;
        pdag_join(prefix, "upsamplers.0.conv", name);
        PDAG_TRY(
            pdag_build_conv3(b, name, width, width, &half->blocks[i].sampler));
    }
    PDAG_TRY(pdag_build_norm(b, "decoder.conv_norm_out", before, config->groups,
                             NORM_EPS, &half->norm_out));
    return pdag_build_conv3(b, "decoder.conv_out", before, config->out_channels,
                            &half->conv_out);
}

static void replace(pdag_pass *pass, pdag_map *h, pdag_map next)
{
    pdag_give_map(pass, h);
    *h = next;
}

static pdag_status run_in(pdag_pass *pass, const pdag_half *half, pdag_map *h)
{
    pdag_map next;

    PDAG_TRY(pdag_run_conv(pass, &half->conv_in, h, NULL, &next));
    replace(pass, h, next);
    return PDAG_OK;
}

static pdag_status run_mid(pdag_pass *pass, const pdag_half *half, pdag_map *h)
{
    pdag_map next;

    PDAG_TRY(pdag_run_resnet(pass, &half->mid[0], h, &next));
    replace(pass, h, next);
    if (half->mid_attention) {
        PDAG_TRY(pdag_run_attention_block(pass, &half->attention, h, &next));
        replace(pass, h, next);
    }
    PDAG_TRY(pdag_run_resnet(pass, &half->mid[1], h, &next));
    replace(pass, h, next);
    return PDAG_OK;
}

static pdag_status run_block(pdag_pass *pass, const pdag_half_block *block,
                             pdag_map *h)
{
    pdag_map next;

    for (size_t i = 0; i < block->n_resnets; i++) {
        PDAG_TRY(pdag_run_resnet(pass, &block->resnets[i], h, &next));
        replace(pass, h, next);
    }
    if (!block->has_sampler)
        return PDAG_OK;
    if (block->sampler.stride == 1)
        PDAG_TRY(pdag_run_upsample(pass, &block->sampler, h, 2 * h->h, 2 * h->w,
                                   &next));
    else
        PDAG_TRY(pdag_run_conv(pass, &block->sampler, h, NULL, &next));
    replace(pass, h, next);
    return PDAG_OK;
}

/* Norm, SiLU, conv_out. */
static pdag_status run_out(pdag_pass *pass, const pdag_half *half, pdag_map *h)
{
    pdag_map next;

    PDAG_TRY(pdag_run_group_norm(pass, &half->norm_out, h, NULL, PDAG_ACT_SILU,
                                 h->buf));
    PDAG_TRY(pdag_run_conv(pass, &half->conv_out, h, NULL, &next));
    replace(pass, h, next);
    return PDAG_OK;
}

pdag_status pdag_run_encoder(pdag_pass *pass, const pdag_half *half,
                             pdag_map *h)
{
    PDAG_TRY(run_in(pass, half, h));
    for (size_t i = 0; i < half->n_blocks; i++)
        PDAG_TRY(run_block(pass, &half->blocks[i], h));
    PDAG_TRY(run_mid(pass, half, h));
    return run_out(pass, half, h);
}

static pdag_status run_decoder(pdag_pass *pass, const pdag_half *half,
                               pdag_map *h)
{
    PDAG_TRY(run_in(pass, half, h));
    PDAG_TRY(run_mid(pass, half, h));
    for (size_t i = 0; i < half->n_blocks; i++)
        PDAG_TRY(run_block(pass, &half->blocks[i], h));
    return run_out(pass, half, h);
}

pdag_status pdag_run_pointwise(pdag_pass *pass, const pdag_linear *linear,
                               pdag_map *h)
{
    pdag_map next;

    PDAG_TRY(pdag_take_map(pass, h->h, h->w, linear->out, &next));
    PDAG_TRY(pdag_run_linear(pass, linear, h->h * h->w, h->buf, PDAG_ACT_NONE,
                             NULL, next.buf));
    replace(pass, h, next);
    return PDAG_OK;
}

pdag_status pdag_decode_latent(pdag_workspace *ws, const pdag_linear *before,
                               const pdag_half *decoder, size_t channels,
                               size_t height, size_t width, const float *latent,
                               float *picture_out)
{
    const pdag_backend_ops *ops = ws->be->ops;
    pdag_pass pass;
    pdag_map h;

    pdag_pass_begin(&pass, ws, 1);
    PDAG_TRY(pdag_take_map(&pass, height, width, channels, &h));
    PDAG_TRY(
        ops->upload_planes(ws->be, 1, channels, height * width, latent, h.buf));
    if (before != NULL)
        PDAG_TRY(pdag_run_pointwise(&pass, before, &h));
    PDAG_TRY(run_decoder(&pass, decoder, &h));
    PDAG_TRY(
        ops->download_planes(ws->be, 1, h.c, h.h * h.w, h.buf, picture_out));
    return ops->sync(ws->be);
}
