#include "models/autoencoder_kl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "models/layers_autoencoder.h"

typedef struct autoencoder_kl {
    pdag_autoencoder base;
    pdag_half_config config;
    pdag_backend *be; /* borrowed */
    pdag_weight_list weights;
    pdag_workspace ws;
    bool has_encoder;
    pdag_half encoder, decoder;
    bool has_quant, has_post_quant;
    pdag_linear quant, post_quant; /* 1x1 convolutions */
} autoencoder_kl;

static const pdag_config_rule keys[] = {
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

static void destroy(pdag_autoencoder *base)
{
    autoencoder_kl *vae = (autoencoder_kl *)base;

    pdag_half_clear(&vae->encoder);
    pdag_half_clear(&vae->decoder);
    pdag_workspace_clear(&vae->ws);
    pdag_weight_list_clear(&vae->weights);
    free(vae);
}

static pdag_status read_config(const pdag_json *json, autoencoder_kl *vae)
{
    pdag_autoencoder_info *info = &vae->base.info;

    PDAG_TRY(pdag_config_require(json, keys));
    PDAG_TRY(pdag_half_read_config(json, 4, &vae->config));
    PDAG_TRY(pdag_json_bool(json, "use_quant_conv", true, &vae->has_quant));
    PDAG_TRY(pdag_json_bool(json, "use_post_quant_conv", true,
                            &vae->has_post_quant));
    info->out_channels = vae->config.out_channels;
    info->latent_channels = vae->config.latent_channels;
    info->factor = (size_t)1 << (vae->config.n_blocks - 1);
    /* `shift_factor` is left alone, as diffusers' pipelines of them do. */
    return pdag_json_real(json, "scaling_factor", 1e-12, 1e12, 0.18215,
                          &info->scaling_factor);
}

static pdag_status build_encoder(pdag_builder *b, autoencoder_kl *vae)
{
    size_t latent = 2 * vae->config.latent_channels; /* mean and log-variance */

    PDAG_TRY(pdag_build_encoder(b, &vae->config, latent, &vae->encoder));
    if (!vae->has_quant)
        return PDAG_OK;
    return pdag_build_linear(b, "quant_conv", latent, latent, true,
                             &vae->quant);
}

static pdag_status build(pdag_builder *b, autoencoder_kl *vae)
{
    size_t latent;
    pdag_backend *be = b->be;
    pdag_status status;

    PDAG_TRY(read_config(&b->config, vae));
    if (!vae->has_encoder)
        b->be = NULL; /* only check this half */
    status = build_encoder(b, vae);
    b->be = be;
    if (status != PDAG_OK)
        return status;
    latent = vae->config.latent_channels;
    if (vae->has_post_quant)
        PDAG_TRY(pdag_build_linear(b, "post_quant_conv", latent, latent, true,
                                   &vae->post_quant));
    return pdag_build_decoder(b, &vae->config, &vae->decoder);
}

static pdag_status load(pdag_builder *b, bool encoder,
                        pdag_autoencoder **vae_out)
{
    autoencoder_kl *vae = pdag_xcalloc(1, sizeof *vae);
    pdag_status status;

    vae->base.ops = &pdag_autoencoder_class_kl;
    vae->be = b->be;
    vae->weights.be = b->be;
    vae->ws.be = b->be;
    vae->has_encoder = encoder;
    b->list = &vae->weights;
    status = build(b, vae);
    if (status == PDAG_OK)
        status = pdag_builder_finish(b);
    if (status != PDAG_OK) {
        destroy(&vae->base);
        return status;
    }
    *vae_out = &vae->base;
    return PDAG_OK;
}

size_t pdag_autoencoder_kl_latent(const pdag_autoencoder *vae, size_t side)
{
    for (size_t i = 1; i < ((const autoencoder_kl *)vae)->config.n_blocks; i++)
        side /= 2;
    return side;
}

static pdag_status decode(pdag_autoencoder *base, size_t height, size_t width,
                          const float *latent, float *picture_out)
{
    autoencoder_kl *vae = (autoencoder_kl *)base;

    return pdag_decode_latent(
        &vae->ws, vae->has_post_quant ? &vae->post_quant : NULL, &vae->decoder,
        vae->config.latent_channels, height, width, latent, picture_out);
}

/* The moments [2 latent_channels][h][w] of a picture; *moments_out: free(). */
static pdag_status run_moments(autoencoder_kl *vae, size_t height, size_t width,
                               const float *picture, float **moments_out,
                               size_t *positions_out)
{
    const pdag_backend_ops *ops = vae->be->ops;
    size_t channels = vae->config.in_channels;
    void *memory;
    pdag_pass pass;
    pdag_map h;
    pdag_status status;

    pdag_pass_begin(&pass, &vae->ws, 1);
    PDAG_TRY(pdag_take_map(&pass, height, width, channels, &h));
    PDAG_TRY(ops->upload_planes(vae->be, 1, channels, height * width, picture,
                                h.buf));
    PDAG_TRY(pdag_run_encoder(&pass, &vae->encoder, &h));
    if (vae->has_quant)
        PDAG_TRY(pdag_run_pointwise(&pass, &vae->quant, &h));
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

pdag_status pdag_autoencoder_kl_encode(pdag_autoencoder *base, size_t height,
                                       size_t width, const float *picture,
                                       float *mean_out, float *logvar_out)
{
    autoencoder_kl *vae = (autoencoder_kl *)base;
    float *moments;
    size_t positions;
    size_t count;

    if (!vae->has_encoder)
        return pdag_error(PDAG_ERR_ARG, "AutoencoderKL: loaded without its "
                                        "encoder");
    if (pdag_autoencoder_kl_latent(base, height) == 0 ||
        pdag_autoencoder_kl_latent(base, width) == 0)
        return pdag_error(PDAG_ERR_ARG,
                          "AutoencoderKL: a %zux%zu picture is smaller than "
                          "one latent of %zux%zu",
                          height, width, base->info.factor, base->info.factor);
    PDAG_TRY(run_moments(vae, height, width, picture, &moments, &positions));
    count = vae->config.latent_channels * positions;
    memcpy(mean_out, moments, count * sizeof *moments);
    for (size_t i = 0; logvar_out != NULL && i < count; i++)
        logvar_out[i] = fminf(fmaxf(moments[count + i], -30.0f), 20.0f);
    free(moments);
    return PDAG_OK;
}

const pdag_autoencoder_ops pdag_autoencoder_class_kl = {
    .name = "AutoencoderKL",
    .keys = keys,
    .load = load,
    .decode = decode,
    .destroy = destroy,
};
