/* UNet2DConditionModel of diffusers: the network of Stable Diffusion. */
#include "models/registry.h"
#include "models/unet.h"

enum { CROSS_DOWN, PLAIN_DOWN, SELF_DOWN };

static const char *const down_names[] = {"CrossAttnDownBlock2D", "DownBlock2D",
                                         "AttnDownBlock2D", NULL};
static const char *const up_names[] = {"CrossAttnUpBlock2D", "UpBlock2D",
                                       "AttnUpBlock2D", NULL};
static const char *const mid_names[] = {"UNetMidBlock2DCrossAttn",
                                        "UNetMidBlock2D", NULL};
static const pdag_unet_attention kinds[] = {PDAG_UNET_CROSS, PDAG_UNET_PLAIN,
                                            PDAG_UNET_SELF};

/* Keys without texts are read below, or have no effect on the result. */
static const pdag_config_rule keys[] = {
    {"act_fn", {NULL}},
    {"addition_embed_type", {"null"}},
    {"addition_embed_type_num_heads", {NULL}},
    {"addition_time_embed_dim", {NULL}},
    {"attention_head_dim", {NULL}},
    {"attention_type", {"\"default\""}},
    {"block_out_channels", {NULL}},
    {"center_input_sample", {"false"}},
    {"class_embed_type", {"null"}},
    {"class_embeddings_concat", {"false"}},
    {"conv_in_kernel", {"3"}},
    {"conv_out_kernel", {"3"}},
    {"cross_attention_dim", {NULL}},
    {"cross_attention_norm", {"null"}},
    {"down_block_types", {NULL}},
    {"downsample_padding", {"1", "0"}},
    {"dropout", {NULL}},
    {"dual_cross_attention", {"false"}},
    {"encoder_hid_dim", {"null"}},
    {"encoder_hid_dim_type", {"null"}},
    {"flip_sin_to_cos", {NULL}},
    {"freq_shift", {NULL}},
    {"in_channels", {NULL}},
    {"layers_per_block", {NULL}},
    {"mid_block_only_cross_attention", {NULL}},
    {"mid_block_scale_factor", {NULL}},
    {"mid_block_type", {NULL}},
    {"norm_eps", {NULL}},
    {"norm_num_groups", {NULL}},
    {"num_attention_heads", {"null"}},
    {"num_class_embeds", {"null"}},
    {"only_cross_attention", {NULL}},
    {"out_channels", {NULL}},
    {"projection_class_embeddings_input_dim", {"null"}},
    {"resnet_out_scale_factor", {"1"}},
    {"resnet_skip_time_act", {"false"}},
    {"resnet_time_scale_shift", {"\"default\""}},
    {"reverse_transformer_layers_per_block", {"null"}},
    {"sample_size", {NULL}},
    {"time_cond_proj_dim", {"null"}},
    {"time_embedding_act_fn", {"null"}},
    {"time_embedding_dim", {NULL}},
    {"time_embedding_type", {"\"positional\""}},
    {"timestep_post_act", {"null"}},
    {"transformer_layers_per_block", {NULL}},
    {"up_block_types", {NULL}},
    {"upcast_attention", {NULL}},
    {"use_linear_projection", {NULL}},
    {NULL, {NULL}},
};

/* A number that may be a list but must be the same for all blocks. */
static pdag_status read_cross_dim(const pdag_json *json,
                                  pdag_unet_config *config)
{
    size_t dims[PDAG_CONFIG_MAX_BLOCKS];

    PDAG_TRY(pdag_config_sizes(json, "cross_attention_dim", config->n_blocks, 1,
                               PDAG_CONFIG_MAX_WIDTH, 1280, dims));
    for (size_t i = 1; i < config->n_blocks; i++)
        if (dims[i] != dims[0])
            return pdag_error(PDAG_ERR_UNSUPPORTED,
                              "%s: cross_attention_dim: %zu and %zu: different "
                              "widths are not supported",
                              json->path, dims[0], dims[i]);
    config->cross_dim = dims[0];
    return PDAG_OK;
}

/* only_cross_attention: one truth value or a list of them.  out: [n]. */
static pdag_status read_only_cross(const pdag_json *json, size_t n, bool *out)
{
    const json_t *value = json_object_get(json->root, "only_cross_attention");
    bool all;

    if (!json_is_array(value)) {
        PDAG_TRY(pdag_json_bool(json, "only_cross_attention", false, &all));
        for (size_t i = 0; i < n; i++)
            out[i] = all;
        return PDAG_OK;
    }
    for (size_t i = 0; i < n; i++) {
        if (json_array_size(value) != n ||
            !json_is_boolean(json_array_get(value, i)))
            return pdag_error(PDAG_ERR_FORMAT,
                              "%s: only_cross_attention: expected %zu truth "
                              "values",
                              json->path, n);
        out[i] = json_is_true(json_array_get(value, i));
    }
    return PDAG_OK;
}

/* The arrays that are given per block; up blocks take them in reverse, save the
   head dimension, which diffusers does not reverse. */
static pdag_status read_blocks(const pdag_json *json, pdag_unet_config *config)
{
    static const int down_default[] = {CROSS_DOWN, CROSS_DOWN, CROSS_DOWN,
                                       PLAIN_DOWN};
    static const int up_default[] = {PLAIN_DOWN, CROSS_DOWN, CROSS_DOWN,
                                     CROSS_DOWN};
    size_t n = config->n_blocks;
    int down[PDAG_CONFIG_MAX_BLOCKS];
    int up[PDAG_CONFIG_MAX_BLOCKS];
    size_t heads[PDAG_CONFIG_MAX_BLOCKS];
    size_t layers[PDAG_CONFIG_MAX_BLOCKS];
    size_t depth[PDAG_CONFIG_MAX_BLOCKS];
    bool only_cross[PDAG_CONFIG_MAX_BLOCKS];

    PDAG_TRY(pdag_config_names(json, "down_block_types", n, down_names,
                               down_default, 4, down));
    PDAG_TRY(pdag_config_names(json, "up_block_types", n, up_names, up_default,
                               4, up));
    PDAG_TRY(pdag_config_sizes(json, "attention_head_dim", n, 1,
                               PDAG_CONFIG_MAX_WIDTH, 8, heads));
    PDAG_TRY(pdag_config_sizes(json, "layers_per_block", n, 1,
                               PDAG_CONFIG_MAX_LAYERS, 2, layers));
    PDAG_TRY(pdag_config_sizes(json, "transformer_layers_per_block", n, 1,
                               PDAG_CONFIG_MAX_LAYERS, 1, depth));
    PDAG_TRY(read_only_cross(json, n, only_cross));
    for (size_t i = 0; i < n; i++) {
        size_t r = n - 1 - i;

        config->down[i] = (pdag_unet_block_config){.attention = kinds[down[i]],
                                                   .n_resnets = layers[i],
                                                   .heads = heads[i],
                                                   .head_dim = heads[i],
                                                   .depth = depth[i],
                                                   .only_cross = only_cross[i]};
        config->up[i] = (pdag_unet_block_config){.attention = kinds[up[i]],
                                                 .n_resnets = layers[r] + 1,
                                                 .heads = heads[r],
                                                 .head_dim = heads[i],
                                                 .depth = depth[r],
                                                 .only_cross = only_cross[r]};
    }
    config->mid =
        (pdag_unet_block_config){.heads = heads[n - 1], .depth = depth[n - 1]};
    return PDAG_OK;
}

static pdag_status read_mid(const pdag_json *json, pdag_unet_config *config)
{
    const json_t *value = json_object_get(json->root, "mid_block_type");
    int kind;

    PDAG_TRY(pdag_json_choice(json, "mid_block_type", mid_names, 0, &kind));
    config->has_mid = value == NULL || !json_is_null(value);
    config->mid.attention = kind == 0 ? PDAG_UNET_CROSS : PDAG_UNET_PLAIN;
    config->mid.n_resnets = kind == 0 ? 2 : 1;
    config->mid_attention_groups = config->groups;
    return PDAG_OK;
}

static pdag_status read_config(const pdag_json *json, pdag_unet_config *config)
{
    static const size_t default_widths[] = {320, 640, 1280, 1280};

    PDAG_TRY(pdag_config_require(json, keys));
    PDAG_TRY(pdag_unet_read_config(json, 4, default_widths, config));
    config->time_act = config->act;
    config->out_act = config->act;
    PDAG_TRY(read_cross_dim(json, config));
    PDAG_TRY(read_blocks(json, config));
    return read_mid(json, config);
}

static const pdag_denoiser_ops ops = {
    .name = "UNet2DConditionModel",
    .condition_create = pdag_unet_condition_create,
    .condition_destroy = pdag_unet_condition_destroy,
    .eval = pdag_unet_eval,
    .destroy = pdag_unet_destroy,
};

static pdag_status load(pdag_builder *b, pdag_denoiser **model_out)
{
    pdag_unet_config config = {0};

    PDAG_TRY(read_config(&b->config, &config));
    return pdag_unet_load(b, &config, &ops, model_out);
}

const pdag_network_class pdag_network_unet2d_condition = {
    .name = "UNet2DConditionModel",
    .keys = keys,
    .load = load,
};
