#include "models/clip_text.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "models/layers_attention.h"

typedef struct clip_layer {
    pdag_norm norm1, norm2;
    pdag_attn attn;
    pdag_linear fc1, fc2;
} clip_layer;

struct pdag_clip_text {
    pdag_clip_text_info info;
    size_t heads, wide, n_layers;
    double eps;
    pdag_activation act;
    pdag_backend *be;      /* borrowed */
    pdag_weights *weights; /* owned: the tables below are in its files */
    const pdag_tensor_view *tokens, *positions;
    pdag_weight_list list;
    pdag_workspace ws;
    clip_layer *layers; /* [n_layers] */
    pdag_norm final_norm;
};

const pdag_config_rule pdag_clip_text_keys[] = {
    {"architectures", {NULL}},
    {"attention_dropout", {NULL}},
    {"bos_token_id", {NULL}},
    {"dropout", {NULL}},
    {"dtype", {NULL}},
    {"eos_token_id", {NULL}},
    {"hidden_act", {NULL}},
    {"hidden_size", {NULL}},
    {"initializer_factor", {NULL}},
    {"initializer_range", {NULL}},
    {"intermediate_size", {NULL}},
    {"layer_norm_eps", {NULL}},
    {"max_position_embeddings", {NULL}},
    {"model_type", {"\"clip_text_model\""}},
    {"num_attention_heads", {NULL}},
    {"num_hidden_layers", {NULL}},
    {"pad_token_id", {NULL}},
    {"projection_dim", {NULL}},
    {"tie_word_embeddings", {NULL}},
    {"torch_dtype", {NULL}},
    {"transformers_version", {NULL}},
    {"use_attention_mask", {"false", "null"}},
    {"use_cache", {NULL}},
    {"vocab_size", {NULL}},
    {NULL, {NULL}},
};

void pdag_clip_text_destroy(pdag_clip_text *clip)
{
    if (clip == NULL)
        return;
    pdag_workspace_clear(&clip->ws);
    pdag_weight_list_clear(&clip->list);
    pdag_weights_close(clip->weights);
    free(clip->layers);
    free(clip);
}

static pdag_status read_config(const pdag_json *json, pdag_clip_text *clip)
{
    const size_t most = PDAG_CONFIG_MAX_WIDTH;

    PDAG_TRY(pdag_config_require(json, pdag_clip_text_keys));
    PDAG_TRY(pdag_config_size(json, "vocab_size", 1, 1 << 24, 49408,
                              &clip->info.vocabulary));
    PDAG_TRY(
        pdag_config_size(json, "hidden_size", 1, most, 512, &clip->info.width));
    PDAG_TRY(pdag_config_size(json, "intermediate_size", 1, most, 2048,
                              &clip->wide));
    PDAG_TRY(pdag_config_size(json, "num_hidden_layers", 1, 256, 12,
                              &clip->n_layers));
    PDAG_TRY(pdag_config_size(json, "num_attention_heads", 1, most, 8,
                              &clip->heads));
    PDAG_TRY(pdag_config_size(json, "max_position_embeddings", 2, 65536, 77,
                              &clip->info.max_tokens));
    PDAG_TRY(
        pdag_json_real(json, "layer_norm_eps", 0.0, 1.0, 1e-5, &clip->eps));
    PDAG_TRY(pdag_config_activation(json, "hidden_act", PDAG_ACT_QUICK_GELU,
                                    &clip->act));
    if (clip->info.width % clip->heads != 0)
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: num_attention_heads: %zu does not divide "
                          "hidden_size %zu",
                          json->path, clip->heads, clip->info.width);
    return PDAG_OK;
}

static pdag_status build_layer(pdag_builder *b, const pdag_clip_text *clip,
                               const char *prefix, clip_layer *layer)
{
    static const char *const names[] = {"q_proj", "k_proj", "v_proj"};
    size_t width = clip->info.width;
    char name[PDAG_PREFIX_BYTES];

    layer->attn.heads = clip->heads;
    layer->attn.head_dim = width / clip->heads;
    pdag_join(prefix, "layer_norm1", name);
    PDAG_TRY(pdag_build_norm(b, name, width, 0, clip->eps, &layer->norm1));
    pdag_join(prefix, "self_attn", name);
    PDAG_TRY(pdag_build_linears(b, name, names, 3, width, width, true,
                                &layer->attn.qkv));
    pdag_join(prefix, "self_attn.out_proj", name);
    PDAG_TRY(pdag_build_linear(b, name, width, width, true, &layer->attn.out));
    pdag_join(prefix, "layer_norm2", name);
    PDAG_TRY(pdag_build_norm(b, name, width, 0, clip->eps, &layer->norm2));
    pdag_join(prefix, "mlp.fc1", name);
    PDAG_TRY(pdag_build_linear(b, name, width, clip->wide, true, &layer->fc1));
    pdag_join(prefix, "mlp.fc2", name);
    return pdag_build_linear(b, name, clip->wide, width, true, &layer->fc2);
}

static pdag_status build(pdag_builder *b, pdag_clip_text *clip)
{
    PDAG_TRY(read_config(&b->config, clip));
    PDAG_TRY(pdag_build_tensor(b, "embeddings.token_embedding.weight",
                               clip->info.vocabulary, clip->info.width,
                               &clip->tokens));
    PDAG_TRY(pdag_build_tensor(b, "embeddings.position_embedding.weight",
                               clip->info.max_tokens, clip->info.width,
                               &clip->positions));
    clip->layers = pdag_xcalloc(clip->n_layers, sizeof *clip->layers);
    for (size_t i = 0; i < clip->n_layers; i++) {
        char prefix[PDAG_PREFIX_BYTES];

        snprintf(prefix, sizeof prefix, "encoder.layers.%zu", i);
        PDAG_TRY(build_layer(b, clip, prefix, &clip->layers[i]));
    }
    return pdag_build_norm(b, "final_layer_norm", clip->info.width, 0,
                           clip->eps, &clip->final_norm);
}

pdag_status pdag_clip_text_load(pdag_builder *b, pdag_clip_text **clip_out)
{
    pdag_clip_text *clip = pdag_xcalloc(1, sizeof *clip);
    pdag_status status;

    clip->be = b->be;
    clip->list.be = b->be;
    clip->ws.be = b->be;
    b->list = &clip->list;
    status = build(b, clip);
    if (status == PDAG_OK)
        status = pdag_builder_finish(b);
    if (status != PDAG_OK) {
        pdag_clip_text_destroy(clip);
        return status;
    }
    if (b->be != NULL) {
        clip->weights = b->weights;
        b->weights = NULL;
    }
    *clip_out = clip;
    return PDAG_OK;
}

const pdag_clip_text_info *pdag_clip_text_describe(const pdag_clip_text *clip)
{
    return &clip->info;
}

/* Token and position vectors added up: out [n_tokens][width]. */
static pdag_status embed(const pdag_clip_text *clip, size_t n_tokens,
                         const int32_t *ids, float *out, float *position)
{
    size_t width = clip->info.width;

    for (size_t i = 0; i < n_tokens; i++) {
        if (ids[i] < 0 || (size_t)ids[i] >= clip->info.vocabulary)
            return pdag_error(PDAG_ERR_ARG,
                              "CLIPTextModel: token %zu is %ld, the vocabulary "
                              "has %zu",
                              i, (long)ids[i], clip->info.vocabulary);
        pdag_tensor_to_f32(clip->tokens, (size_t)ids[i] * width, width,
                           out + i * width);
        pdag_tensor_to_f32(clip->positions, i * width, width, position);
        for (size_t c = 0; c < width; c++)
            out[i * width + c] += position[c];
    }
    return PDAG_OK;
}

/* h = h + attn(norm1 h); h = h + mlp(norm2 h); n, wide: room. */
static pdag_status run_layer(pdag_pass *pass, const pdag_clip_text *clip,
                             const clip_layer *layer, size_t n_tokens,
                             pdag_buf *h, pdag_buf *n, pdag_buf *wide)
{
    PDAG_TRY(pdag_run_layer_norm(pass, &layer->norm1, n_tokens, h, n));
    PDAG_TRY(pdag_run_attn(pass, &layer->attn, n_tokens, true, n, h, h));
    PDAG_TRY(pdag_run_layer_norm(pass, &layer->norm2, n_tokens, h, n));
    PDAG_TRY(
        pdag_run_linear(pass, &layer->fc1, n_tokens, n, clip->act, NULL, wide));
    return pdag_run_linear(pass, &layer->fc2, n_tokens, wide, PDAG_ACT_NONE, h,
                           h);
}

static pdag_status run(pdag_clip_text *clip, size_t n_tokens, float *vectors)
{
    size_t count = n_tokens * clip->info.width;
    const pdag_backend_ops *ops = clip->be->ops;
    pdag_pass pass;
    pdag_buf *h;
    pdag_buf *n;
    pdag_buf *wide;

    pdag_pass_begin(&pass, &clip->ws, 1);
    PDAG_TRY(pdag_take(&pass, count, &h));
    PDAG_TRY(pdag_take(&pass, count, &n));
    PDAG_TRY(pdag_take(&pass, n_tokens * clip->wide, &wide));
    PDAG_TRY(ops->upload(clip->be, count, vectors, h));
    for (size_t i = 0; i < clip->n_layers; i++)
        PDAG_TRY(
            run_layer(&pass, clip, &clip->layers[i], n_tokens, h, n, wide));
    PDAG_TRY(pdag_run_layer_norm(&pass, &clip->final_norm, n_tokens, h, n));
    PDAG_TRY(ops->download(clip->be, count, n, vectors));
    return ops->sync(clip->be);
}

pdag_status pdag_clip_text_encode(pdag_clip_text *clip, size_t n_tokens,
                                  const int32_t *ids, float *vectors_out)
{
    float *position;
    pdag_status status;

    if (n_tokens == 0 || n_tokens > clip->info.max_tokens)
        return pdag_error(PDAG_ERR_ARG,
                          "CLIPTextModel: %zu tokens, not 1 to %zu", n_tokens,
                          clip->info.max_tokens);
    position = pdag_xcalloc(clip->info.width, sizeof *position);
    status = embed(clip, n_tokens, ids, vectors_out, position);
    free(position);
    if (status != PDAG_OK)
        return status;
    return run(clip, n_tokens, vectors_out);
}
