/* DiTTransformer2DModel: configuration, construction, conditions.
 *
 * A condition is one class label.  The table of a block's labels stays in the
 * weight file, of which a condition holds one row per block. */
#include "models/dit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/mem.h"
#include "models/config.h"
#include "models/registry.h"

#define MAX_PERIOD 10000.0
#define MAX_CLASSES 1000000
#define MAX_DEPTH 256

/* The keys of DiTTransformer2DModel, of Transformer2DModel, as which the
   published models were saved, and freq_shift, which is ours: the original's
   sinusoids have 0 where diffusers has a fixed 1. */
static const pdag_config_rule keys[] = {
    {"activation_fn", {NULL}},
    {"attention_bias", {NULL}},
    {"attention_head_dim", {NULL}},
    {"attention_type", {"\"default\""}},
    {"caption_channels", {"null"}},
    {"cross_attention_dim", {"null"}},
    {"double_self_attention", {"false"}},
    {"dropout", {NULL}},
    {"freq_shift", {NULL}},
    {"in_channels", {NULL}},
    {"interpolation_scale", {NULL}},
    {"norm_elementwise_affine", {NULL}},
    {"norm_eps", {NULL}},
    {"norm_num_groups", {NULL}},
    {"norm_type", {"\"ada_norm_zero\""}},
    {"num_attention_heads", {NULL}},
    {"num_embeds_ada_norm", {NULL}},
    {"num_layers", {NULL}},
    {"num_vector_embeds", {"null"}},
    {"only_cross_attention", {"false"}},
    {"out_channels", {NULL}},
    {"patch_size", {NULL}},
    {"sample_size", {NULL}},
    {"upcast_attention", {NULL}},
    {"use_additional_conditions", {NULL}},
    {"use_linear_projection", {NULL}},
    {NULL, {NULL}},
};

/* Construction. */

static void dit_destroy(pdag_denoiser *model)
{
    pdag_dit *d = (pdag_dit *)model;

    if (d == NULL)
        return;
    for (size_t i = 0; d->blocks != NULL && i < d->config.depth; i++)
        free(d->blocks[i].own_labels);
    free(d->blocks);
    pdag_recordings_clear(&d->recordings, d->be);
    if (d->be != NULL)
        d->be->ops->free(d->be, &d->positions);
    pdag_workspace_clear(&d->ws);
    pdag_weight_list_clear(&d->weights);
    pdag_weights_close(d->file);
    free(d->patches);
    free(d->lead);
    free(d);
}

static pdag_status read_activation(const pdag_json *json,
                                   pdag_dit_config *config)
{
    static const char *const names[] = {
        "gelu-approximate",  "gelu",        "geglu",
        "geglu-approximate", "linear-silu", NULL};
    static const pdag_activation acts[] = {PDAG_ACT_GELU_TANH, PDAG_ACT_GELU,
                                           PDAG_ACT_NONE, PDAG_ACT_QUICK_GELU,
                                           PDAG_ACT_SILU};
    int which;

    PDAG_TRY(pdag_json_choice(json, "activation_fn", names, 0, &which));
    config->act = acts[which];
    config->gated = which == 2;
    return PDAG_OK;
}

/* The picture and its patches. */
static pdag_status read_state(const pdag_json *json, pdag_dit_config *c)
{
    PDAG_TRY(pdag_config_size(json, "in_channels", 1, 4096, 4, &c->channels));
    PDAG_TRY(pdag_config_size(json, "out_channels", 1, 8192, c->channels,
                              &c->out_channels));
    PDAG_TRY(pdag_config_size(json, "sample_size", 1, 8192, 32, &c->side));
    PDAG_TRY(pdag_config_size(json, "patch_size", 1, 256, 2, &c->patch));
    if (c->out_channels != c->channels && c->out_channels != 2 * c->channels)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "%s: out_channels: %zu, must be in_channels (%zu) or "
                          "twice that (with a variance)",
                          json->path, c->out_channels, c->channels);
    if (c->side % c->patch != 0)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "%s: patch_size: %zu does not divide sample_size %zu",
                          json->path, c->patch, c->side);
    c->grid = c->side / c->patch;
    return PDAG_OK;
}

static pdag_status read_config(const pdag_json *json, pdag_dit_config *c)
{
    PDAG_TRY(pdag_config_require(json, keys));
    PDAG_TRY(read_state(json, c));
    PDAG_TRY(read_activation(json, c));
    PDAG_TRY(
        pdag_config_size(json, "num_attention_heads", 1, 4096, 16, &c->heads));
    PDAG_TRY(pdag_config_size(json, "attention_head_dim", 1, 4096, 72,
                              &c->head_dim));
    c->width = c->heads * c->head_dim;
    if (c->width % 4 != 0 || c->width > PDAG_CONFIG_MAX_WIDTH)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "%s: num_attention_heads: %zu heads of %zu: their "
                          "product must be a multiple of 4, at most %d",
                          json->path, c->heads, c->head_dim,
                          PDAG_CONFIG_MAX_WIDTH);
    PDAG_TRY(pdag_config_size(json, "num_layers", 1, MAX_DEPTH, 28, &c->depth));
    if (json_is_null(json_object_get(json->root, "num_embeds_ada_norm")))
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "%s: num_embeds_ada_norm: null: a network without "
                          "classes is not supported",
                          json->path);
    PDAG_TRY(pdag_config_size(json, "num_embeds_ada_norm", 1, MAX_CLASSES, 1000,
                              &c->n_classes));
    PDAG_TRY(pdag_json_bool(json, "attention_bias", true, &c->attention_bias));
    PDAG_TRY(
        pdag_json_bool(json, "norm_elementwise_affine", false, &c->affine));
    PDAG_TRY(pdag_json_real(json, "norm_eps", 0.0, 1.0, 1e-5, &c->norm_eps));
    return pdag_json_real(json, "freq_shift", -1e6,
                          PDAG_DIT_TIME_CHANNELS / 2 - 0.5, 1.0,
                          &c->freq_shift);
}

/* The patch embedding: in the file a convolution whose kernel is its stride. */
static void arrange_embed(const pdag_arrangement *a, const float *weight,
                          const float *bias, float *to_weight, float *to_bias)
{
    size_t n = a->to_dims[0] * a->to_dims[1];

    memcpy(to_weight, weight, n * sizeof *to_weight);
    memcpy(to_bias, bias, a->n_bias * sizeof *to_bias);
}

typedef struct unpatch {
    pdag_arrangement base; /* first member */
    size_t points;         /* of a patch */
    size_t out_channels;
} unpatch;

/* Columns [point][out channel] in the file, [channel][point] here, as patches
   are; of a learned variance nothing remains. */
static void arrange_out(const pdag_arrangement *a, const float *weight,
                        const float *bias, float *to_weight, float *to_bias)
{
    const unpatch *u = (const unpatch *)a;
    size_t width = a->dims[1];

    for (size_t i = 0; i < a->to_dims[0]; i++) {
        size_t from = i % u->points * u->out_channels + i / u->points;

        memcpy(to_weight + i * width, weight + from * width,
               width * sizeof *to_weight);
        to_bias[i] = bias[from];
    }
}

static pdag_status build_ends(pdag_builder *b, pdag_dit *d)
{
    const pdag_dit_config *c = &d->config;
    size_t points = c->patch * c->patch;
    size_t columns = points * c->out_channels;
    pdag_arrangement embed = {
        .kind = PDAG_WEIGHT_LINEAR,
        .n_dims = 4,
        .dims = {c->width, c->channels, c->patch, c->patch},
        .n_bias = c->width,
        .n_to_dims = 2,
        .to_dims = {c->width, c->channels * points},
        .arrange = arrange_embed};
    unpatch out = {{.kind = PDAG_WEIGHT_LINEAR,
                    .n_dims = 2,
                    .dims = {columns, c->width},
                    .n_bias = columns,
                    .n_to_dims = 2,
                    .to_dims = {c->channels * points, c->width},
                    .arrange = arrange_out},
                   points,
                   c->out_channels};

    d->embed.in = d->out.out = c->channels * points;
    d->embed.out = d->out.in = c->width;
    PDAG_TRY(
        pdag_build_arranged(b, "pos_embed.proj", &embed, &d->embed.weight));
    PDAG_TRY(pdag_build_linear(b, "proj_out_1", c->width, 2 * c->width, true,
                               &d->project));
    return pdag_build_arranged(b, "proj_out_2", &out.base, &d->out.weight);
}

/* A table that is mixed with others is copied: what a mix makes does not last.
 */
static pdag_status build_labels(pdag_builder *b, const char *prefix,
                                const pdag_dit_config *c, pdag_dit_block *block)
{
    size_t count = (c->n_classes + 1) * c->width;
    const pdag_tensor_view *view;
    char name[PDAG_PREFIX_BYTES];
    void *memory;

    pdag_join(prefix, "norm1.emb.class_embedder.embedding_table.weight", name);
    PDAG_TRY(
        pdag_build_tensor(b, name, c->n_classes + 1, c->width, &block->labels));
    view = block->labels;
    if (b->mix == NULL || view == NULL)
        return PDAG_OK;
    PDAG_TRY(pdag_mix_apply(b->mix, name, b->be == NULL, &view));
    if (view == block->labels)
        return PDAG_OK;
    PDAG_TRY(pdag_alloc_tensor(count, sizeof(float), name, &memory));
    block->own_labels = memory;
    pdag_tensor_to_f32(view, 0, count, block->own_labels);
    pdag_mix_release(b->mix);
    return PDAG_OK;
}

static pdag_status build_block(pdag_builder *b, const pdag_dit_config *c,
                               const char *prefix, pdag_dit_block *block)
{
    static const char *const qkv[] = {"to_q", "to_k", "to_v"};
    const char *embedder = "norm1.emb.timestep_embedder";
    size_t width = c->width;
    char part[PDAG_PREFIX_BYTES];
    char name[PDAG_PREFIX_BYTES];

    pdag_join(prefix, embedder, part);
    pdag_join(part, "linear_1", name);
    PDAG_TRY(pdag_build_linear(b, name, PDAG_DIT_TIME_CHANNELS, width, true,
                               &block->time_1));
    pdag_join(part, "linear_2", name);
    PDAG_TRY(pdag_build_linear(b, name, width, width, true, &block->time_2));
    PDAG_TRY(build_labels(b, prefix, c, block));
    pdag_join(prefix, "norm1.linear", name);
    PDAG_TRY(pdag_build_linear(b, name, width, PDAG_DIT_PARTS * width, true,
                               &block->modulation));
    block->attn.heads = c->heads;
    block->attn.head_dim = c->head_dim;
    pdag_join(prefix, "attn1", part);
    PDAG_TRY(pdag_build_linears(b, part, qkv, 3, width, width,
                                c->attention_bias, &block->attn.qkv));
    pdag_join(part, "to_out.0", name);
    PDAG_TRY(pdag_build_linear(b, name, width, width, true, &block->attn.out));
    block->norm_2 = (pdag_norm){.channels = width, .eps = (float)c->norm_eps};
    pdag_join(prefix, "norm3", name);
    if (c->affine)
        PDAG_TRY(
            pdag_build_norm(b, name, width, 0, c->norm_eps, &block->norm_2));
    pdag_join(prefix, "ff.net.0.proj", name);
    PDAG_TRY(pdag_build_linear(b, name, width, (c->gated ? 8 : 4) * width, true,
                               &block->ff_in));
    pdag_join(prefix, "ff.net.2", name);
    return pdag_build_linear(b, name, 4 * width, width, true, &block->ff_out);
}

/* Fixed positions: sines and cosines of the column, then of the row. */
static void fill_positions(const pdag_dit_config *c, float *out)
{
    size_t n = c->width / 4;

    for (size_t token = 0; token < c->grid * c->grid; token++)
        for (size_t axis = 0; axis < 2; axis++) {
            double at = (double)(axis == 0 ? token % c->grid : token / c->grid);
            float *half = out + token * c->width + axis * 2 * n;

            for (size_t i = 0; i < n; i++) {
                double angle =
                    at * (1.0 / pow(MAX_PERIOD, (double)i / (double)n));

                half[i] = (float)sin(angle);
                half[n + i] = (float)cos(angle);
            }
        }
}

static pdag_status make_positions(pdag_dit *d)
{
    size_t count = d->config.grid * d->config.grid * d->config.width;
    const pdag_backend_ops *ops = d->be->ops;
    void *host;
    pdag_status status =
        pdag_alloc_tensor(count, sizeof(float), "positions", &host);

    if (status != PDAG_OK)
        return status;
    fill_positions(&d->config, host);
    status = ops->alloc(d->be, count * d->be->act_size, &d->positions);
    if (status == PDAG_OK)
        status = ops->upload(d->be, count, host, &d->positions);
    if (status == PDAG_OK)
        status = ops->sync(d->be);
    free(host);
    return status;
}

static pdag_status build(pdag_builder *b, pdag_dit *d)
{
    d->blocks = pdag_xcalloc(d->config.depth, sizeof *d->blocks);
    PDAG_TRY(build_ends(b, d));
    for (size_t i = 0; i < d->config.depth; i++) {
        char prefix[PDAG_PREFIX_BYTES];

        snprintf(prefix, sizeof prefix, "transformer_blocks.%zu", i);
        PDAG_TRY(build_block(b, &d->config, prefix, &d->blocks[i]));
    }
    PDAG_TRY(pdag_builder_finish(b));
    return b->be != NULL ? make_positions(d) : PDAG_OK;
}

/* A condition is [depth][width]: the rows of one label. */
static pdag_status condition_create(pdag_denoiser *model, const float *cond,
                                    pdag_condition **condition_out)
{
    const pdag_dit *d = (const pdag_dit *)model;
    const pdag_dit_config *c = &d->config;
    size_t label;
    void *memory;
    float *rows;

    if (!(cond[0] >= 0.0f && cond[0] <= (float)c->n_classes) ||
        cond[0] > floorf(cond[0]))
        return pdag_error(PDAG_ERR_ARG,
                          "DiTTransformer2DModel: class %g: expected 0 to %zu",
                          (double)cond[0], c->n_classes);
    label = (size_t)cond[0];
    PDAG_TRY(pdag_alloc_tensor(c->depth * c->width, sizeof(float), "class rows",
                               &memory));
    rows = memory;
    for (size_t i = 0; i < c->depth; i++) {
        const pdag_dit_block *block = &d->blocks[i];
        float *row = rows + i * c->width;

        if (block->own_labels != NULL)
            memcpy(row, block->own_labels + label * c->width,
                   c->width * sizeof *row);
        else
            pdag_tensor_to_f32(block->labels, label * c->width, c->width, row);
    }
    *condition_out = memory;
    return PDAG_OK;
}

static void condition_destroy(pdag_denoiser *model, pdag_condition *condition)
{
    (void)model;
    free(condition);
}

static const pdag_denoiser_ops ops = {
    .name = "DiTTransformer2DModel",
    .condition_create = condition_create,
    .condition_destroy = condition_destroy,
    .eval = pdag_dit_eval,
    .destroy = dit_destroy,
};

static void describe(pdag_builder *b, pdag_dit *d)
{
    const pdag_dit_config *c = &d->config;

    d->base.ops = &ops;
    d->base.n_state_dims = 3;
    d->base.state_dims[0] = c->channels;
    d->base.state_dims[1] = c->side;
    d->base.state_dims[2] = c->side;
    d->base.dim = c->channels * c->side * c->side;
    d->base.cond_dim = 1;
    d->base.n_classes = c->n_classes;
    d->be = b->be;
    d->weights.be = b->be;
    d->ws.be = b->be;
    d->room = &d->ws;
    if (b->base != NULL) {
        const pdag_dit *base = (const pdag_dit *)b->base;

        PDAG_ASSERT(b->base->ops == &ops);
        d->weights.base = &base->weights;
        d->room = base->room;
    }
}

static pdag_status load(pdag_builder *b, pdag_denoiser **model_out)
{
    pdag_dit_config config = {0};
    pdag_status status;
    pdag_dit *d;

    PDAG_TRY(read_config(&b->config, &config));
    d = pdag_xcalloc(1, sizeof *d);
    d->config = config;
    describe(b, d);
    b->list = &d->weights;
    status = build(b, d);
    if (status != PDAG_OK) {
        dit_destroy(&d->base);
        return status;
    }
    if (b->be != NULL) {
        d->file = b->weights;
        b->weights = NULL;
    }
    *model_out = &d->base;
    return PDAG_OK;
}

const pdag_network_class pdag_network_dit = {
    .name = "DiTTransformer2DModel",
    .keys = keys,
    .load = load,
};

/* As which diffusers saved these networks before they had a class of their own;
   its default norm is another. */
static pdag_status load_older(pdag_builder *b, pdag_denoiser **model_out)
{
    if (json_object_get(b->config.root, "norm_type") == NULL)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "%s: norm_type: missing; of Transformer2DModel only "
                          "ada_norm_zero is supported",
                          b->config.path);
    return load(b, model_out);
}

const pdag_network_class pdag_network_transformer2d = {
    .name = "Transformer2DModel",
    .keys = keys,
    .load = load_older,
};
