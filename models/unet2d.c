/* UNet2DModel of diffusers: unconditional, in pixels (ddpm-cifar10) or latents
   (LDM-CelebA). */
#include "models/registry.h"
#include "models/unet.h"

enum { PLAIN_BLOCK, SELF_BLOCK };

static const char *const down_names[] = {"DownBlock2D", "AttnDownBlock2D",
                                         NULL};
static const char *const up_names[] = {"UpBlock2D", "AttnUpBlock2D", NULL};
static const pdag_unet_attention kinds[] = {PDAG_UNET_PLAIN, PDAG_UNET_SELF};

/* Keys without texts are read below, or have no effect on the result. */
static const pdag_config_rule keys[] = {
    {"act_fn", {NULL}},
    {"add_attention", {NULL}},
    {"attention_head_dim", {NULL}},
    {"attn_norm_num_groups", {NULL}},
    {"block_out_channels", {NULL}},
    {"center_input_sample", {"false"}},
    {"class_embed_type", {"null"}},
    {"down_block_types", {NULL}},
    {"downsample_padding", {"1", "0"}},
    {"downsample_type", {"\"conv\""}},
    {"dropout", {NULL}},
    {"flip_sin_to_cos", {NULL}},
    {"freq_shift", {NULL}},
    {"in_channels", {NULL}},
    {"layers_per_block", {NULL}},
    {"mid_block_scale_factor", {NULL}},
    {"mid_block_type", {"\"UNetMidBlock2D\"", "null"}},
    {"norm_eps", {NULL}},
    {"norm_num_groups", {NULL}},
    {"num_class_embeds", {"null"}},
    {"num_train_timesteps", {NULL}},
    {"out_channels", {NULL}},
    {"resnet_time_scale_shift", {"\"default\""}},
    {"sample_size", {NULL}},
    {"time_embedding_dim", {NULL}},
    {"time_embedding_type", {"\"positional\""}},
    {"up_block_types", {NULL}},
    {"upsample_type", {"\"conv\""}},
    {NULL, {NULL}},
};

static pdag_status read_blocks(const pdag_json *json, pdag_unet_config *config)
{
    static const int down_default[] = {PLAIN_BLOCK, SELF_BLOCK, SELF_BLOCK,
                                       SELF_BLOCK};
    static const int up_default[] = {SELF_BLOCK, SELF_BLOCK, SELF_BLOCK,
                                     PLAIN_BLOCK};
    const json_t *head = json_object_get(json->root, "attention_head_dim");
    size_t n = config->n_blocks;
    int down[PDAG_CONFIG_MAX_BLOCKS];
    int up[PDAG_CONFIG_MAX_BLOCKS];
    size_t head_dim;
    size_t layers;

    PDAG_TRY(pdag_config_names(json, "down_block_types", n, down_names,
                               down_default, 4, down));
    PDAG_TRY(pdag_config_names(json, "up_block_types", n, up_names, up_default,
                               4, up));
    PDAG_TRY(pdag_config_size(json, "attention_head_dim", 1,
                              PDAG_CONFIG_MAX_WIDTH, 8, &head_dim));
    if (head != NULL && json_is_null(head))
        head_dim = 0; /* given as null: a single head, not the default */
    PDAG_TRY(pdag_config_size(json, "layers_per_block", 1,
                              PDAG_CONFIG_MAX_LAYERS, 2, &layers));
    for (size_t i = 0; i < n; i++) {
        config->down[i] = (pdag_unet_block_config){.attention = kinds[down[i]],
                                                   .n_resnets = layers,
                                                   .head_dim = head_dim};
        config->up[i] = (pdag_unet_block_config){.attention = kinds[up[i]],
                                                 .n_resnets = layers + 1,
                                                 .head_dim = head_dim};
    }
    config->mid.head_dim = head_dim;
    config->mid.n_resnets = 2;
    return PDAG_OK;
}

static pdag_status read_mid(const pdag_json *json, pdag_unet_config *config)
{
    const json_t *value = json_object_get(json->root, "mid_block_type");
    bool attention;

    config->has_mid = value == NULL || !json_is_null(value);
    PDAG_TRY(pdag_json_bool(json, "add_attention", true, &attention));
    config->mid.attention = attention ? PDAG_UNET_SELF : PDAG_UNET_PLAIN;
    PDAG_TRY(pdag_config_size(json, "attn_norm_num_groups", 1,
                              PDAG_CONFIG_MAX_WIDTH, config->groups,
                              &config->mid_attention_groups));
    return PDAG_OK;
}

static pdag_status read_config(const pdag_json *json, pdag_unet_config *config)
{
    static const size_t default_widths[] = {224, 448, 672, 896};

    PDAG_TRY(pdag_config_require(json, keys));
    PDAG_TRY(pdag_unet_read_config(json, 3, default_widths, config));
    config->time_act = PDAG_ACT_SILU; /* both fixed in this class */
    config->out_act = PDAG_ACT_SILU;
    PDAG_TRY(read_blocks(json, config));
    return read_mid(json, config);
}

static const pdag_denoiser_ops ops = {
    .name = "UNet2DModel",
    .eval = pdag_unet_eval,
    .destroy = pdag_unet_destroy,
};

static pdag_status load(pdag_builder *b, pdag_denoiser **model_out)
{
    pdag_unet_config config = {0};

    PDAG_TRY(read_config(&b->config, &config));
    return pdag_unet_load(b, &config, &ops, model_out);
}

const pdag_network_class pdag_network_unet2d = {
    .name = "UNet2DModel",
    .keys = keys,
    .load = load,
};
