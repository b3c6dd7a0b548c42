/* VQModel of diffusers, the autoencoder of LDM-CelebA-HQ: a latent becomes the
   nearest vectors of a codebook, and those are decoded.  Sources: van den Oord et
   al. 2017, arXiv:1711.00937, section 3.1; Esser et al. 2021, arXiv:2012.09841,
   section 3.1. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "models/autoencoder.h"
#include "models/layers_autoencoder.h"

#define CODEBOOK "quantize.embedding.weight"
#define MOST_CODES ((size_t)1 << 24)

typedef struct vq_model {
    pdag_autoencoder base;
    pdag_half_config config;
    pdag_weight_list weights;
    pdag_workspace ws;
    pdag_half encoder, decoder;
    pdag_linear quant, post_quant; /* 1x1 convolutions */
    size_t n_codes, code_dim;
    float *codes; /* [n_codes][code_dim] */
} vq_model;

/* force_upcast and lookup_from_codebook say how others call it: a latent that is
   no list of indices is looked up the same way whatever they are. */
static const pdag_config_rule keys[] = {
    {"act_fn", {NULL}},
    {"block_out_channels", {NULL}},
    {"down_block_types", {NULL}},
    {"force_upcast", {NULL}},
    {"in_channels", {NULL}},
    {"latent_channels", {NULL}},
    {"layers_per_block", {NULL}},
    {"lookup_from_codebook", {NULL}},
    {"mid_block_add_attention", {NULL}},
    {"norm_num_groups", {NULL}},
    {"norm_type", {"\"group\""}},
    {"num_vq_embeddings", {NULL}},
    {"out_channels", {NULL}},
    {"sample_size", {NULL}},
    {"scaling_factor", {NULL}},
    {"up_block_types", {NULL}},
    {"vq_embed_dim", {NULL}},
    {NULL, {NULL}},
};

static void destroy(pdag_autoencoder *base)
{
    vq_model *vq = (vq_model *)base;

    pdag_half_clear(&vq->encoder);
    pdag_half_clear(&vq->decoder);
    pdag_workspace_clear(&vq->ws);
    pdag_weight_list_clear(&vq->weights);
    free(vq->codes);
    free(vq);
}

/* Where no scaling factor is stated it is 1: the models of that time were trained
   on latents as they are.  diffusers' default for the key is 0.18215, which came
   later and spoils their pictures (huggingface/diffusers#6725). */
static pdag_status read_config(const pdag_json *json, vq_model *vq)
{
    pdag_autoencoder_info *info = &vq->base.info;

    PDAG_TRY(pdag_config_require(json, keys));
    PDAG_TRY(pdag_half_read_config(json, 3, &vq->config));
    PDAG_TRY(pdag_config_size(json, "num_vq_embeddings", 1, MOST_CODES, 256,
                              &vq->n_codes));
    PDAG_TRY(pdag_config_size(json, "vq_embed_dim", 1, 4096,
                              vq->config.latent_channels, &vq->code_dim));
    info->out_channels = vq->config.out_channels;
    info->latent_channels = vq->code_dim;
    info->factor = (size_t)1 << (vq->config.n_blocks - 1);
    return pdag_json_real(json, "scaling_factor", 1e-12, 1e12, 1.0,
                          &info->scaling_factor);
}

/* All finite: a code that is not would never be, or always be, the nearest. */
static pdag_status build_codebook(pdag_builder *b, vq_model *vq)
{
    const pdag_tensor_view *view;
    size_t count = vq->n_codes * vq->code_dim;
    void *memory;

    PDAG_TRY(pdag_build_tensor(b, CODEBOOK, vq->n_codes, vq->code_dim, &view));
    if (view == NULL)
        return PDAG_OK; /* noted */
    PDAG_TRY(pdag_alloc_tensor(count, sizeof(float), "codebook", &memory));
    vq->codes = memory;
    pdag_tensor_to_f32(view, 0, count, vq->codes);
    for (size_t i = 0; i < count; i++)
        if (!isfinite(vq->codes[i]))
            return pdag_error(PDAG_ERR_FORMAT, "%s: " CODEBOOK ": [%zu][%zu] is "
                              "%g, not a finite number",
                              pdag_weights_path(b->weights), i / vq->code_dim,
                              i % vq->code_dim, (double)vq->codes[i]);
    return PDAG_OK;
}

static pdag_status build(pdag_builder *b, vq_model *vq)
{
    size_t latent;
    pdag_backend *be = b->be;
    pdag_status status;

    PDAG_TRY(read_config(&b->config, vq));
    latent = vq->config.latent_channels;
    b->be = NULL; /* only check the encoder */
    status = pdag_build_encoder(b, &vq->config, latent, &vq->encoder);
    if (status == PDAG_OK)
        status = pdag_build_linear(b, "quant_conv", latent, vq->code_dim, true,
                                   &vq->quant);
    b->be = be;
    if (status != PDAG_OK)
        return status;
    PDAG_TRY(build_codebook(b, vq));
    PDAG_TRY(pdag_build_linear(b, "post_quant_conv", vq->code_dim, latent, true,
                               &vq->post_quant));
    return pdag_build_decoder(b, &vq->config, &vq->decoder);
}

/* Nothing encodes with it, so its encoder is never kept. */
static pdag_status load(pdag_builder *b, bool encoder, pdag_autoencoder **out)
{
    vq_model *vq = pdag_xcalloc(1, sizeof *vq);
    pdag_status status;

    (void)encoder;
    vq->base.ops = &pdag_autoencoder_class_vq;
    vq->weights.be = b->be;
    vq->ws.be = b->be;
    b->list = &vq->weights;
    status = build(b, vq);
    if (status == PDAG_OK)
        status = pdag_builder_finish(b);
    if (status != PDAG_OK) {
        destroy(&vq->base);
        return status;
    }
    *out = &vq->base;
    return PDAG_OK;
}

/* The first of the codes nearest to z, which is every stride-th of the latent;
   NULL where z is not finite. */
static const float *nearest(const vq_model *vq, const float *z, size_t stride)
{
    const float *found = NULL;
    double best = INFINITY;

    for (size_t i = 0; i < vq->n_codes; i++) {
        const float *code = vq->codes + i * vq->code_dim;
        double sum = 0.0;

        for (size_t k = 0; k < vq->code_dim && sum < best; k++) {
            double gap = (double)z[k * stride] - (double)code[k];

            sum += gap * gap;
        }
        if (sum < best) {
            best = sum;
            found = code;
        }
    }
    return found;
}

/* latent, quantized: [code_dim][positions].  What is not finite stays so, to be
   seen in the picture. */
static void look_up(const vq_model *vq, size_t positions, const float *latent,
                    float *quantized)
{
    for (size_t p = 0; p < positions; p++) {
        const float *code = nearest(vq, latent + p, positions);

        for (size_t k = 0; k < vq->code_dim; k++)
            quantized[k * positions + p] = code != NULL ? code[k] : NAN;
    }
}

static pdag_status decode(pdag_autoencoder *base, size_t height, size_t width,
                          const float *latent, float *picture_out)
{
    vq_model *vq = (vq_model *)base;
    void *quantized;
    pdag_status status;

    PDAG_TRY(pdag_alloc_tensor(vq->code_dim * height * width, sizeof(float),
                               "codes of a latent", &quantized));
    look_up(vq, height * width, latent, quantized);
    status = pdag_decode_latent(&vq->ws, &vq->post_quant, &vq->decoder,
                                vq->code_dim, height, width, quantized,
                                picture_out);
    free(quantized);
    return status;
}

const pdag_autoencoder_ops pdag_autoencoder_class_vq = {
    .name = "VQModel",
    .keys = keys,
    .load = load,
    .decode = decode,
    .destroy = destroy,
};
