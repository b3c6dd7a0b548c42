/* ConditionalUnet1D: configuration and construction. */
#include "models/unet1d.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/mem.h"
#include "models/registry.h"

#define NORM_EPS 1e-5
#define MAX_HORIZON 4096
#define MAX_OBSERVATIONS 1024

/* The first eight are diffusion policy's arguments of the network; the others say
   what its workspace says around it. */
static const pdag_config_rule keys[] = {
    {"input_dim", {NULL}},
    {"local_cond_dim", {"null"}},
    {"global_cond_dim", {NULL}},
    {"diffusion_step_embed_dim", {NULL}},
    {"down_dims", {NULL}},
    {"kernel_size", {NULL}},
    {"n_groups", {NULL}},
    {"cond_predict_scale", {NULL}},
    {"horizon", {NULL}},
    {"n_obs_steps", {NULL}},
    {"n_action_steps", {NULL}},
    {"obs_dim", {NULL}},
    {NULL, {NULL}},
};

/* Configuration. */

static pdag_status wrong(const pdag_json *json, const char *key, size_t value,
                         const char *wanted)
{
    return pdag_error(PDAG_ERR_UNSUPPORTED, "%s: %s: %zu, must be %s",
                      json->path, key, value, wanted);
}

static pdag_status read_widths(const pdag_json *json, pdag_unet1d_config *config)
{
    static const size_t default_widths[] = {256, 512, 1024};

    PDAG_TRY(pdag_config_widths(json, "down_dims", default_widths, 3,
                                config->widths, &config->n_levels));
    PDAG_TRY(pdag_config_size(json, "n_groups", 1, PDAG_CONFIG_MAX_WIDTH, 8,
                              &config->groups));
    for (size_t i = 0; i < config->n_levels; i++)
        if (config->widths[i] % config->groups != 0)
            return pdag_error(PDAG_ERR_UNSUPPORTED,
                              "%s: n_groups: %zu does not divide %zu of "
                              "down_dims",
                              json->path, config->groups, config->widths[i]);
    PDAG_TRY(pdag_config_size(json, "kernel_size", 1, 63, 3, &config->kernel));
    if (config->kernel % 2 == 0)
        return wrong(json, "kernel_size", config->kernel, "odd");
    PDAG_TRY(pdag_config_size(json, "diffusion_step_embed_dim", 4,
                              PDAG_CONFIG_MAX_WIDTH, 256, &config->step_width));
    if (config->step_width % 2 != 0)
        return wrong(json, "diffusion_step_embed_dim", config->step_width,
                     "even");
    return pdag_json_bool(json, "cond_predict_scale", false,
                          &config->predict_scale);
}

static pdag_status read_policy(const pdag_json *json, pdag_policy *policy)
{
    size_t floats;
    size_t given;

    PDAG_TRY(pdag_config_size(json, "n_obs_steps", 1, MAX_OBSERVATIONS, 2,
                              &policy->n_observations));
    PDAG_TRY(pdag_config_size(json, "obs_dim", 0, PDAG_CONFIG_MAX_WIDTH, 0,
                              &policy->observation_dim));
    if (policy->observation_dim == 0)
        return pdag_error(PDAG_ERR_FORMAT, "%s: obs_dim: missing or 0; needed to "
                          "know an observation", json->path);
    floats = policy->n_observations * policy->observation_dim;
    PDAG_TRY(pdag_config_size(json, "global_cond_dim", 1, SIZE_MAX / 8, floats,
                              &given));
    if (given != floats)
        return pdag_error(PDAG_ERR_FORMAT, "%s: global_cond_dim: %zu, but "
                          "n_obs_steps %zu of obs_dim %zu are %zu",
                          json->path, given, policy->n_observations,
                          policy->observation_dim, floats);
    return PDAG_OK;
}

static pdag_status read_config(const pdag_json *json, pdag_unet1d_config *config)
{
    pdag_policy *policy = &config->policy;
    size_t left;

    PDAG_TRY(pdag_config_require(json, keys));
    PDAG_TRY(read_widths(json, config));
    PDAG_TRY(read_policy(json, policy));
    PDAG_TRY(pdag_config_size(json, "input_dim", 1, 4096, 2,
                              &config->action_dim));
    policy->action_dim = config->action_dim;
    PDAG_TRY(pdag_config_size(json, "horizon", 1, MAX_HORIZON, 16,
                              &config->horizon));
    if (config->horizon % ((size_t)1 << (config->n_levels - 1)) != 0)
        return pdag_error(PDAG_ERR_UNSUPPORTED, "%s: horizon: %zu cannot be "
                          "halved %zu times, once between the levels of "
                          "down_dims", json->path, config->horizon,
                          config->n_levels - 1);
    if (policy->n_observations > config->horizon)
        return wrong(json, "n_obs_steps", policy->n_observations,
                     "at most horizon");
    left = config->horizon - policy->n_observations + 1;
    PDAG_TRY(pdag_config_size(json, "n_action_steps", 1, MAX_HORIZON,
                              left < 8 ? left : 8, &policy->n_actions));
    if (policy->n_actions > left)
        return wrong(json, "n_action_steps", policy->n_actions,
                     "at most horizon - n_obs_steps + 1");
    return PDAG_OK;
}

/* Layers. */

/* [out][in][k] is [out][in][1][k]. */
static void keep(const pdag_arrangement *a, const float *weight,
                 const float *bias, float *to_weight, float *to_bias)
{
    size_t n = a->dims[0] * a->dims[1] * a->dims[2];

    for (size_t i = 0; i < n; i++)
        to_weight[i] = weight[i];
    for (size_t i = 0; i < a->n_bias; i++)
        to_bias[i] = bias[i];
}

static pdag_status build_conv(pdag_builder *b, const char *prefix,
                              pdag_conv shape, pdag_conv *conv_out)
{
    pdag_arrangement a = {.kind = PDAG_WEIGHT_CONV2D,
                          .n_dims = 3,
                          .dims = {shape.out, shape.in, shape.kernel},
                          .n_bias = shape.out,
                          .n_to_dims = 4,
                          .to_dims = {shape.out, shape.in, 1, shape.kernel},
                          .stride = shape.stride,
                          .pad_left = shape.pad_before,
                          .pad_right = shape.pad_after,
                          .arrange = keep};

    *conv_out = shape;
    return pdag_build_arranged(b, prefix, &a, &conv_out->weight);
}

/* A transposed convolution, kernel 4, stride 2, padding 1: output 2j reads
   inputs j - 1 and j by taps 3 and 1, output 2j + 1 inputs j and j + 1 by taps 2
   and 0.  File: [in][out][4]; here [2 out][in][1][3]. */
static void spread(const pdag_arrangement *a, const float *weight,
                   const float *bias, float *to_weight, float *to_bias)
{
    size_t in = a->dims[0];
    size_t out = a->dims[1];

    for (size_t o = 0; o < out; o++) {
        for (size_t i = 0; i < in; i++) {
            const float *tap = weight + (i * out + o) * 4;
            float *even = to_weight + (o * in + i) * 3;
            float *odd = to_weight + ((out + o) * in + i) * 3;

            even[0] = tap[3];
            even[1] = tap[1];
            odd[1] = tap[2];
            odd[2] = tap[0];
        }
        to_bias[o] = bias[o];
        to_bias[out + o] = bias[o];
    }
}

static pdag_status build_upsample(pdag_builder *b, const char *prefix,
                                  size_t width, pdag_conv *conv_out)
{
    pdag_arrangement a = {.kind = PDAG_WEIGHT_CONV2D,
                          .n_dims = 3,
                          .dims = {width, width, 4},
                          .n_bias = width,
                          .n_to_dims = 4,
                          .to_dims = {2 * width, width, 1, 3},
                          .stride = 1,
                          .pad_left = 1,
                          .pad_right = 1,
                          .arrange = spread};

    *conv_out = (pdag_conv){.in = width,
                            .out = 2 * width,
                            .kernel = 3,
                            .stride = 1,
                            .pad_before = 1,
                            .pad_after = 1};
    return pdag_build_arranged(b, prefix, &a, &conv_out->weight);
}

static pdag_status build_conv_block(pdag_builder *b, const char *prefix,
                                    const pdag_unet1d_config *config, size_t in,
                                    size_t out, pdag_unet1d_conv *block)
{
    pdag_conv shape = {.in = in,
                       .out = out,
                       .kernel = config->kernel,
                       .stride = 1,
                       .pad_before = config->kernel / 2,
                       .pad_after = config->kernel / 2};
    char name[PDAG_PREFIX_BYTES];

    pdag_join(prefix, "block.0", name);
    PDAG_TRY(build_conv(b, name, shape, &block->conv));
    pdag_join(prefix, "block.1", name);
    return pdag_build_norm(b, name, out, config->groups, NORM_EPS, &block->norm);
}

/* Columns [first, first + to_dims[1]) of a linear layer.  Where the file has rows
   for the shift only, the scale's are zero. */
static void take_columns(const pdag_arrangement *a, const float *weight,
                         const float *bias, float *to_weight, float *to_bias)
{
    size_t columns = a->to_dims[1];
    size_t skip = a->to_dims[0] - a->dims[0];

    for (size_t r = 0; r < a->dims[0]; r++) {
        const float *row = weight + r * a->dims[1] + a->first;

        for (size_t c = 0; c < columns; c++)
            to_weight[(skip + r) * columns + c] = row[c];
        to_bias[skip + r] = bias[r];
    }
}

/* The layer reads [timestep embedding, observations]; its two parts are used
   apart, since the one is the same for all plans and the other for all steps. */
static pdag_status build_film(pdag_builder *b, const char *prefix,
                              pdag_unet1d *unet, size_t out,
                              pdag_time_slot *slot)
{
    const pdag_unet1d_config *config = &unet->config;
    size_t step = config->step_width;
    size_t observed = unet->base.cond_dim;
    size_t rows = config->predict_scale ? 2 * out : out;
    pdag_arrangement a = {.kind = PDAG_WEIGHT_LINEAR,
                          .n_dims = 2,
                          .dims = {rows, step + observed},
                          .n_bias = rows,
                          .n_to_dims = 2,
                          .to_dims = {2 * out, step},
                          .arrange = take_columns};
    pdag_linear timestep = {.in = step, .out = 2 * out};
    pdag_linear observation = {.in = observed, .out = 2 * out};

    PDAG_TRY(pdag_build_arranged(b, prefix, &a, &timestep.weight));
    a.to_dims[1] = observed;
    a.first = step;
    a.without_bias = true;
    PDAG_TRY(pdag_build_arranged(b, prefix, &a, &observation.weight));
    unet->observation =
        pdag_xgrow(unet->observation, unet->time.n_projections,
                   sizeof *unet->observation);
    unet->observation[unet->time.n_projections] = observation;
    pdag_time_add_slot(&unet->time, &timestep, slot);
    return PDAG_OK;
}

static pdag_status build_resnet(pdag_builder *b, const char *prefix,
                                pdag_unet1d *unet, size_t in, size_t out,
                                pdag_unet1d_resnet *r)
{
    const pdag_unet1d_config *config = &unet->config;
    char name[PDAG_PREFIX_BYTES];

    pdag_join(prefix, "blocks.0", name);
    PDAG_TRY(build_conv_block(b, name, config, in, out, &r->first));
    pdag_join(prefix, "blocks.1", name);
    PDAG_TRY(build_conv_block(b, name, config, out, out, &r->second));
    pdag_join(prefix, "cond_encoder.1", name);
    PDAG_TRY(build_film(b, name, unet, out, &r->film));
    r->has_shortcut = in != out;
    if (!r->has_shortcut)
        return PDAG_OK;
    pdag_join(prefix, "residual_conv", name);
    return pdag_build_linear(b, name, in, out, true, &r->shortcut);
}

static pdag_status build_level(pdag_builder *b, const char *prefix,
                               pdag_unet1d *unet, size_t in, size_t out,
                               pdag_unet1d_level *level)
{
    char name[PDAG_PREFIX_BYTES];

    pdag_join(prefix, "0", name);
    PDAG_TRY(build_resnet(b, name, unet, in, out, &level->first));
    pdag_join(prefix, "1", name);
    return build_resnet(b, name, unet, out, out, &level->second);
}

static pdag_status build_down(pdag_builder *b, pdag_unet1d *unet, size_t i)
{
    const pdag_unet1d_config *config = &unet->config;
    size_t in = i == 0 ? config->action_dim : config->widths[i - 1];
    size_t width = config->widths[i];
    pdag_conv shape = {.in = width,
                       .out = width,
                       .kernel = 3,
                       .stride = 2,
                       .pad_before = 1,
                       .pad_after = 1};
    char prefix[PDAG_PREFIX_BYTES];
    char name[PDAG_PREFIX_BYTES];

    snprintf(prefix, sizeof prefix, "down_modules.%zu", i);
    PDAG_TRY(build_level(b, prefix, unet, in, width, &unet->down[i]));
    unet->down[i].has_sampler = i + 1 < config->n_levels;
    if (!unet->down[i].has_sampler)
        return PDAG_OK;
    pdag_join(prefix, "2.conv", name);
    return build_conv(b, name, shape, &unet->down[i].sampler);
}

/* From level n - 1 - i to the one above it; all of them upsample. */
static pdag_status build_up(pdag_builder *b, pdag_unet1d *unet, size_t i)
{
    const pdag_unet1d_config *config = &unet->config;
    size_t width = config->widths[config->n_levels - 1 - i];
    size_t out = config->widths[config->n_levels - 2 - i];
    char prefix[PDAG_PREFIX_BYTES];
    char name[PDAG_PREFIX_BYTES];

    snprintf(prefix, sizeof prefix, "up_modules.%zu", i);
    PDAG_TRY(build_level(b, prefix, unet, 2 * width, out, &unet->up[i]));
    unet->up[i].has_sampler = true;
    pdag_join(prefix, "2.conv", name);
    return build_upsample(b, name, out, &unet->up[i].sampler);
}

/* The normaliser. */

/* Weights that are mixed have one normaliser, since their plans are in its units:
   NAME of the second file must be these numbers. */
static pdag_status check_second(const pdag_builder *b, const char *name,
                                size_t n, const float *numbers)
{
    pdag_weights *second = b->mix != NULL ? b->mix->other : NULL;
    const pdag_tensor_view *view;
    bool same;

    if (second == NULL)
        return PDAG_OK;
    view = pdag_weights_find(second, name);
    if (view == NULL)
        return pdag_error(PDAG_ERR_FORMAT, "%s: %s: tensor missing",
                          pdag_weights_path(second), name);
    same = pdag_tensor_count(view) == n;
    for (size_t i = 0; same && i < n; i++) {
        float number;

        pdag_tensor_to_f32(view, i, 1, &number);
        same = memcmp(&number, &numbers[i], sizeof number) == 0;
    }
    if (same)
        return PDAG_OK;
    return pdag_error(PDAG_ERR_UNSUPPORTED,
                      "%s: %s: differs from %s: their weights cannot be mixed",
                      pdag_weights_path(second), name,
                      pdag_weights_path(b->weights));
}

/* Tensor NAME [n] into `to`: finite numbers, and not 0 where they are scales. */
static pdag_status read_numbers(pdag_builder *b, const char *name, size_t n,
                                bool scales, float *to)
{
    const pdag_tensor_view *view;

    PDAG_TRY(pdag_build_tensor(b, name, n, 0, &view));
    if (view == NULL)
        return PDAG_OK; /* noted in the findings */
    pdag_tensor_to_f32(view, 0, n, to);
    for (size_t i = 0; i < n; i++)
        if (!isfinite(to[i]) || (scales && to[i] == 0.0f))
            return pdag_error(PDAG_ERR_FORMAT, "%s: %s: element %zu is %g, must be "
                              "finite%s", pdag_weights_path(b->weights), name, i,
                              (double)to[i], scales ? " and not 0" : "");
    return check_second(b, name, n, to);
}

static pdag_status read_normaliser(pdag_builder *b, pdag_unet1d *unet)
{
    pdag_policy *policy = &unet->config.policy;
    size_t actions = policy->action_dim;
    size_t observed = policy->observation_dim;
    float *at = pdag_xcalloc(2 * (actions + observed), sizeof *at);

    unet->normaliser = at;
    policy->action_scale = at;
    policy->action_offset = at + actions;
    policy->observation_scale = at + 2 * actions;
    policy->observation_offset = at + 2 * actions + observed;
    PDAG_TRY(read_numbers(b, "normalizer.params_dict.action.scale", actions,
                          true, at));
    PDAG_TRY(read_numbers(b, "normalizer.params_dict.action.offset", actions,
                          false, at + actions));
    at += 2 * actions;
    PDAG_TRY(read_numbers(b, "normalizer.params_dict.obs.scale", observed, true,
                          at));
    return read_numbers(b, "normalizer.params_dict.obs.offset", observed, false,
                        at + observed);
}

/* The whole. */

static pdag_status build_all(pdag_builder *b, pdag_unet1d *unet)
{
    const pdag_unet1d_config *config = &unet->config;
    size_t deepest = config->widths[config->n_levels - 1];

    unet->time.channels = config->step_width;
    unet->time.width = config->step_width;
    unet->time.freq_shift = 1.0f;
    unet->time.act = PDAG_ACT_MISH;
    unet->time.block_act = PDAG_ACT_MISH;
    PDAG_TRY(pdag_build_time_layers(b, "diffusion_step_encoder.1",
                                    "diffusion_step_encoder.3",
                                    4 * config->step_width, &unet->time));
    for (size_t i = 0; i < config->n_levels; i++)
        PDAG_TRY(build_down(b, unet, i));
    PDAG_TRY(build_resnet(b, "mid_modules.0", unet, deepest, deepest,
                          &unet->mid[0]));
    PDAG_TRY(build_resnet(b, "mid_modules.1", unet, deepest, deepest,
                          &unet->mid[1]));
    for (size_t i = 0; i + 1 < config->n_levels; i++)
        PDAG_TRY(build_up(b, unet, i));
    PDAG_TRY(build_conv_block(b, "final_conv.0", config, config->widths[0],
                              config->widths[0], &unet->final));
    PDAG_TRY(pdag_build_linear(b, "final_conv.1", config->widths[0],
                               config->action_dim, true, &unet->final_out));
    return read_normaliser(b, unet);
}

static void destroy(pdag_denoiser *model)
{
    pdag_unet1d *unet = (pdag_unet1d *)model;

    if (unet == NULL)
        return;
    pdag_recordings_clear(&unet->recordings, unet->be);
    pdag_time_clear(&unet->time);
    pdag_workspace_clear(&unet->ws);
    pdag_weight_list_clear(&unet->weights);
    free(unet->observation);
    free(unet->normaliser);
    free((void *)unet->film);
    free(unet);
}

static const pdag_denoiser_ops ops = {
    .name = "ConditionalUnet1D",
    .condition_create = pdag_unet1d_condition_create,
    .condition_destroy = pdag_unet1d_condition_destroy,
    .eval = pdag_unet1d_eval,
    .destroy = destroy,
};

static void set_sizes(pdag_unet1d *unet)
{
    const pdag_policy *policy = &unet->config.policy;
    pdag_denoiser *base = &unet->base;

    base->ops = &ops;
    base->n_state_dims = 2;
    base->state_dims[0] = unet->config.horizon;
    base->state_dims[1] = unet->config.action_dim;
    base->dim = unet->config.horizon * unet->config.action_dim;
    base->cond_dim = policy->n_observations * policy->observation_dim;
    base->policy = policy;
}

static pdag_status load(pdag_builder *b, pdag_denoiser **model_out)
{
    pdag_unet1d *unet = pdag_xcalloc(1, sizeof *unet);
    pdag_status status = read_config(&b->config, &unet->config);

    set_sizes(unet);
    unet->be = b->be;
    unet->weights.be = b->be;
    unet->ws.be = b->be;
    unet->room = &unet->ws;
    if (b->base != NULL) {
        const pdag_unet1d *base = (const pdag_unet1d *)b->base;

        PDAG_ASSERT(b->base->ops == &ops);
        unet->weights.base = &base->weights;
        unet->room = base->room;
    }
    b->list = &unet->weights;
    if (status == PDAG_OK)
        status = build_all(b, unet);
    if (status == PDAG_OK)
        status = pdag_builder_finish(b);
    if (status != PDAG_OK) {
        destroy(&unet->base);
        return status;
    }
    *model_out = &unet->base;
    return PDAG_OK;
}

const pdag_network_class pdag_network_unet1d = {
    .name = "ConditionalUnet1D",
    .keys = keys,
    .load = load,
};
