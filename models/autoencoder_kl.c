#include "models/autoencoder_kl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "models/layers_attention.h"
#include "models/layers_resnet.h"

#define NORM_EPS 1e-6 /* of every norm in it, not configurable */

typedef struct vae_config {
    size_t in_channels, out_channels, latent_channels;
    size_t widths[PDAG_CONFIG_MAX_BLOCKS];
    size_t n_blocks;
    size_t layers;
    size_t groups;
    pdag_activation act;
    bool quant, post_quant, mid_attention;
} vae_config;

typedef struct vae_block {
    pdag_resnet *resnets; /* [n_resnets] */
    size_t n_resnets;
    bool has_sampler;
    pdag_conv sampler;
} vae_block;

/* Encoder and decoder have the same shape, apart from the samplers. */
typedef struct vae_half {
    pdag_conv conv_in, conv_out;
    vae_block blocks[PDAG_CONFIG_MAX_BLOCKS];
    pdag_resnet mid[2];
    pdag_attention_block attention;
    pdag_norm norm_out;
} vae_half;

struct pdag_autoencoder_kl {
    pdag_autoencoder_kl_info info;
    vae_config config;
    pdag_backend *be; /* borrowed */
    pdag_weight_list weights;
    pdag_workspace ws;
    bool has_encoder;
    vae_half encoder, decoder;
    pdag_linear quant, post_quant; /* 1x1 convolutions */
};

const pdag_config_rule pdag_autoencoder_kl_keys[] = {
    {"act_fn", {NULL}},
    {"block_out_channels", {NULL}},
    {"down_block_types", {NULL}},
    {"force_upcast", {NULL}},
    {"in_channels", {NULL}},
    {"latent_channels", {NULL}},
    {"latents_mean", {"null"}},
    {"latents_std", {"null"}},
    {"layers_per_block", {NULL}},
    {"mid_block_add_attention", {NULL}},
    {"norm_num_groups", {NULL}},
    {"out_channels", {NULL}},
    {"sample_size", {NULL}},
    {"scaling_factor", {NULL}},
    {"shift_factor", {NULL}},
    {"up_block_types", {NULL}},
    {"use_post_quant_conv", {NULL}},
    {"use_quant_conv", {NULL}},
    {NULL, {NULL}},
};

static void clear_half(vae_half *half)
{
    for (size_t i = 0; i < PDAG_CONFIG_MAX_BLOCKS; i++)
        free(half->blocks[i].resnets);
}

void pdag_autoencoder_kl_destroy(pdag_autoencoder_kl *vae)
{
    if (vae == NULL)
        return;
    clear_half(&vae->encoder);
    clear_half(&vae->decoder);
    pdag_workspace_clear(&vae->ws);
    pdag_weight_list_clear(&vae->weights);
    free(vae);
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

static pdag_status read_config(const pdag_json *json, vae_config *config)
{
    static const size_t default_widths[] = {64};

    PDAG_TRY(pdag_config_require(json, pdag_autoencoder_kl_keys));
    PDAG_TRY(pdag_config_size(json, "in_channels", 1, 4096, 3,
                              &config->in_channels));
    PDAG_TRY(pdag_config_size(json, "out_channels", 1, 4096, 3,
                              &config->out_channels));
    PDAG_TRY(pdag_config_size(json, "latent_channels", 1, 4096, 4,
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
    PDAG_TRY(pdag_json_bool(json, "use_quant_conv", true, &config->quant));
    PDAG_TRY(
        pdag_json_bool(json, "use_post_quant_conv", true, &config->post_quant));
    return pdag_json_bool(json, "mid_block_add_attention", true,
                          &config->mid_attention);
}

static pdag_status read_info(const pdag_json *json, const vae_config *config,
                             pdag_autoencoder_kl_info *info)
{
    info->in_channels = config->in_channels;
    info->out_channels = config->out_channels;
    info->latent_channels = config->latent_channels;
    info->factor = (size_t)1 << (config->n_blocks - 1);
    PDAG_TRY(pdag_json_real(json, "scaling_factor", 1e-12, 1e12, 0.18215,
                            &info->scaling_factor));
    return pdag_json_real(json, "shift_factor", -1e12, 1e12, 0.0,
                          &info->shift_factor);
}

static pdag_resnet_style resnet_style(const pdag_autoencoder_kl *vae)
{
    pdag_resnet_style style = {.groups = vae->config.groups,
                               .eps = NORM_EPS,
                               .act = vae->config.act,
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

static pdag_status build_block(pdag_builder *b, const pdag_autoencoder_kl *vae,
                               const char *prefix, size_t n_resnets, size_t in,
                               size_t out, vae_block *block)
{
    pdag_resnet_style style = resnet_style(vae);
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

static pdag_status build_mid(pdag_builder *b, const pdag_autoencoder_kl *vae,
                             const char *half_name, vae_half *half)
{
    pdag_resnet_style style = resnet_style(vae);
    size_t width = vae->config.widths[vae->config.n_blocks - 1];
    char prefix[PDAG_PREFIX_BYTES];
    char name[PDAG_PREFIX_BYTES];

    pdag_join(half_name, "mid_block", prefix);
    for (size_t i = 0; i < 2; i++) {
        member(prefix, "resnets", i, name);
        PDAG_TRY(
            pdag_build_resnet(b, name, width, width, &style, &half->mid[i]));
    }
    if (!vae->config.mid_attention)
        return PDAG_OK;
    pdag_join(prefix, "attentions.0", name);
    return pdag_build_attention_block(b, name, width, 0, vae->config.groups,
                                      NORM_EPS, 1.0, &half->attention);
}

static pdag_status build_encoder(pdag_builder *b, pdag_autoencoder_kl *vae)
{
    const vae_config *config = &vae->config;
    size_t n = config->n_blocks;
    size_t latent = 2 * config->latent_channels;
    vae_half *half = &vae->encoder;
    size_t before = config->widths[0];

    PDAG_TRY(pdag_build_conv3(b, "encoder.conv_in", config->in_channels, before,
                              &half->conv_in));
    for (size_t i = 0; i < n; i++) {
        char prefix[PDAG_PREFIX_BYTES];
        char name[PDAG_PREFIX_BYTES];

        member("encoder", "down_blocks", i, prefix);
        PDAG_TRY(build_block(b, vae, prefix, config->layers, before,
                             config->widths[i], &half->blocks[i]));
        before = config->widths[i];
        if (i + 1 == n)
            continue;
        half->blocks[i].has_sampler = true;
        pdag_join(prefix, "downsamplers.0.conv", name);
        PDAG_TRY(pdag_build_downsample(b, name, before, 0,
                                       &half->blocks[i].sampler));
    }
    PDAG_TRY(build_mid(b, vae, "encoder", half));
    PDAG_TRY(pdag_build_norm(b, "encoder.conv_norm_out", before, config->groups,
                             NORM_EPS, &half->norm_out));
    PDAG_TRY(pdag_build_conv3(b, "encoder.conv_out", before, latent,
                              &half->conv_out));
    if (!config->quant)
        return PDAG_OK;
    return pdag_build_linear(b, "quant_conv", latent, latent, true,
                             &vae->quant);
}

static pdag_status build_decoder(pdag_builder *b, pdag_autoencoder_kl *vae)
{
    const vae_config *config = &vae->config;
    size_t n = config->n_blocks;
    size_t latent = config->latent_channels;
    vae_half *half = &vae->decoder;
    size_t before = config->widths[n - 1];

    if (config->post_quant)
        PDAG_TRY(pdag_build_linear(b, "post_quant_conv", latent, latent, true,
                                   &vae->post_quant));
    PDAG_TRY(
        pdag_build_conv3(b, "decoder.conv_in", latent, before, &half->conv_in));
    PDAG_TRY(build_mid(b, vae, "decoder", half));
    for (size_t i = 0; i < n; i++) {
        size_t width = config->widths[n - 1 - i];
        char prefix[PDAG_PREFIX_BYTES];
        char name[PDAG_PREFIX_BYTES];

        member("decoder", "up_blocks", i, prefix);
        PDAG_TRY(build_block(b, vae, prefix, config->layers + 1, before, width,
                             &half->blocks[i]));
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

static pdag_status build(pdag_builder *b, pdag_autoencoder_kl *vae)
{
    pdag_backend *be = b->be;
    pdag_status status;

    PDAG_TRY(read_config(&b->config, &vae->config));
    PDAG_TRY(read_info(&b->config, &vae->config, &vae->info));
    if (!vae->has_encoder)
        b->be = NULL; /* only check this half */
    status = build_encoder(b, vae);
    b->be = be;
    if (status != PDAG_OK)
        return status;
    return build_decoder(b, vae);
}

pdag_status pdag_autoencoder_kl_load(pdag_builder *b, bool encoder,
                                     pdag_autoencoder_kl **vae_out)
{
    pdag_autoencoder_kl *vae = pdag_xcalloc(1, sizeof *vae);
    pdag_status status;

    vae->be = b->be;
    vae->weights.be = b->be;
    vae->ws.be = b->be;
    vae->has_encoder = encoder;
    b->list = &vae->weights;
    status = build(b, vae);
    if (status == PDAG_OK)
        status = pdag_builder_finish(b);
    if (status != PDAG_OK) {
        pdag_autoencoder_kl_destroy(vae);
        return status;
    }
    *vae_out = vae;
    return PDAG_OK;
}

const pdag_autoencoder_kl_info *
pdag_autoencoder_kl_describe(const pdag_autoencoder_kl *vae)
{
    return &vae->info;
}

size_t pdag_autoencoder_kl_latent(const pdag_autoencoder_kl *vae, size_t side)
{
    for (size_t i = 1; i < vae->config.n_blocks; i++)
        side /= 2;
    return side;
}

static void replace(pdag_pass *pass, pdag_map *h, pdag_map next)
{
    pdag_give_map(pass, h);
    *h = next;
}

static pdag_status run_mid(pdag_pass *pass, const pdag_autoencoder_kl *vae,
                           const vae_half *half, pdag_map *h)
{
    pdag_map next;

    PDAG_TRY(pdag_run_resnet(pass, &half->mid[0], h, &next));
    replace(pass, h, next);
    if (vae->config.mid_attention) {
        PDAG_TRY(pdag_run_attention_block(pass, &half->attention, h, &next));
        replace(pass, h, next);
    }
    PDAG_TRY(pdag_run_resnet(pass, &half->mid[1], h, &next));
    replace(pass, h, next);
    return PDAG_OK;
}

static pdag_status run_block(pdag_pass *pass, const vae_block *block,
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
static pdag_status run_out(pdag_pass *pass, const vae_half *half, pdag_map *h)
{
    pdag_map next;

    PDAG_TRY(pdag_run_group_norm(pass, &half->norm_out, h, NULL, PDAG_ACT_SILU,
                                 h->buf));
    PDAG_TRY(pdag_run_conv(pass, &half->conv_out, h, NULL, &next));
    replace(pass, h, next);
    return PDAG_OK;
}

/* A 1x1 convolution that keeps the width. */
static pdag_status run_pointwise(pdag_pass *pass, const pdag_linear *linear,
                                 pdag_map *h)
{
    pdag_map next;

    PDAG_TRY(pdag_take_map(pass, h->h, h->w, h->c, &next));
    PDAG_TRY(pdag_run_linear(pass, linear, h->h * h->w, h->buf, PDAG_ACT_NONE,
                             NULL, next.buf));
    replace(pass, h, next);
    return PDAG_OK;
}

pdag_status pdag_autoencoder_kl_decode(pdag_autoencoder_kl *vae, size_t height,
                                       size_t width, const float *latent,
                                       float *picture_out)
{
    const pdag_backend_ops *ops = vae->be->ops;
    size_t channels = vae->config.latent_channels;
    pdag_pass pass;
    pdag_map h;
    pdag_map next;

    pdag_pass_begin(&pass, &vae->ws, 1);
    PDAG_TRY(pdag_take_map(&pass, height, width, channels, &h));
    PDAG_TRY(ops->upload_planes(vae->be, 1, channels, height * width, latent,
                                h.buf));
    if (vae->config.post_quant)
        PDAG_TRY(run_pointwise(&pass, &vae->post_quant, &h));
    PDAG_TRY(pdag_run_conv(&pass, &vae->decoder.conv_in, &h, NULL, &next));
    replace(&pass, &h, next);
    PDAG_TRY(run_mid(&pass, vae, &vae->decoder, &h));
    for (size_t i = 0; i < vae->config.n_blocks; i++)
        PDAG_TRY(run_block(&pass, &vae->decoder.blocks[i], &h));
    PDAG_TRY(run_out(&pass, &vae->decoder, &h));
    PDAG_TRY(
        ops->download_planes(vae->be, 1, h.c, h.h * h.w, h.buf, picture_out));
    return ops->sync(vae->be);
}

/* The moments [2 latent_channels][h][w] of a picture; *moments_out: free(). */
static pdag_status run_encoder(pdag_autoencoder_kl *vae, size_t height,
                               size_t width, const float *picture,
                               float **moments_out, size_t *positions_out)
{
    const pdag_backend_ops *ops = vae->be->ops;
    size_t channels = vae->config.in_channels;
    void *memory;
    pdag_pass pass;
    pdag_map h;
    pdag_map next;
    pdag_status status;

    pdag_pass_begin(&pass, &vae->ws, 1);
    PDAG_TRY(pdag_take_map(&pass, height, width, channels, &h));
    PDAG_TRY(ops->upload_planes(vae->be, 1, channels, height * width, picture,
                                h.buf));
    PDAG_TRY(pdag_run_conv(&pass, &vae->encoder.conv_in, &h, NULL, &next));
    replace(&pass, &h, next);
    for (size_t i = 0; i < vae->config.n_blocks; i++)
        PDAG_TRY(run_block(&pass, &vae->encoder.blocks[i], &h));
    PDAG_TRY(run_mid(&pass, vae, &vae->encoder, &h));
    PDAG_TRY(run_out(&pass, &vae->encoder, &h));
    if (vae->config.quant)
        PDAG_TRY(run_pointwise(&pass, &vae->quant, &h));
    PDAG_TRY(
        pdag_alloc_tensor(h.c * h.h * h.w, sizeof(float), "moments", &memory));
    status = ops->download_planes(vae->be, 1, h.c, h.h * h.w, h.buf, memory);
    if (status == PDAG_OK)
        status = ops->sync(vae->be);
    if (status != PDAG_OK) {
        free(memory);
        return status;
    }
    *moments_out = memory;
    *positions_out = h.h * h.w;
    return PDAG_OK;
}

pdag_status pdag_autoencoder_kl_encode(pdag_autoencoder_kl *vae, size_t height,
                                       size_t width, const float *picture,
                                       float *mean_out, float *logvar_out)
{
    float *moments;
    size_t positions;
    size_t count;

    if (!vae->has_encoder)
        return pdag_error(PDAG_ERR_ARG, "AutoencoderKL: loaded without its "
                                        "encoder");
    if (pdag_autoencoder_kl_latent(vae, height) == 0 ||
        pdag_autoencoder_kl_latent(vae, width) == 0)
        return pdag_error(PDAG_ERR_ARG,
                          "AutoencoderKL: a %zux%zu picture is smaller than "
                          "one latent of %zux%zu",
                          height, width, vae->info.factor, vae->info.factor);
    PDAG_TRY(run_encoder(vae, height, width, picture, &moments, &positions));
    count = vae->config.latent_channels * positions;
    memcpy(mean_out, moments, count * sizeof *moments);
    for (size_t i = 0; logvar_out != NULL && i < count; i++)
        logvar_out[i] = fminf(fmaxf(moments[count + i], -30.0f), 20.0f);
    free(moments);
    return PDAG_OK;
}
