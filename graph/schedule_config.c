/* Reading scheduler_config.json as diffusers' from_config() does: every key
   that the wanted class's constructor knows is taken from the file, whichever
   class wrote it, and the others get the wanted class's own default.  So a PNDM
   file, which has no clip_sample, gives a DDIM sampler that clips. */
#include "graph/schedule.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

#define PDAG_MAX_TRAIN 100000

static const char *const beta_names[] = {"linear", "scaled_linear",
                                         "squaredcos_cap_v2", "sigmoid", NULL};
static const char *const prediction_names[] = {"epsilon", "sample",
                                               "v_prediction", NULL};
static const char *const spacing_names[] = {"leading", "trailing", "linspace",
                                            NULL};
static const char *const variance_names[] = {"fixed_small", "fixed_large",
                                             "fixed_small_log", NULL};

static const struct {
    const char *class_name;
    const char *kind;
} kinds[] = {
    {"DDIMScheduler", "ddim"},
    {"DDIMParallelScheduler", "ddim"},
    {"DDPMScheduler", "ddpm"},
    {"DDPMParallelScheduler", "ddpm"},
    {"PNDMScheduler", "pndm"},
    {"DPMSolverMultistepScheduler", "dpmpp-2m"},
    {"EulerDiscreteScheduler", "euler"},
    {"EulerAncestralDiscreteScheduler", "euler-a"},
    {"FlowMatchEulerDiscreteScheduler", "flow-euler"},
};

const char *pdag_schedule_kind_of_class(const char *class_name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(class_name, kinds[i].class_name) == 0)
            return kinds[i].kind;
    return NULL;
}

void pdag_schedule_config_defaults(const char *kind,
                                   pdag_schedule_config *config_out)
{
    pdag_schedule_config config = {
        .n_train = 1000,
        .beta_schedule = PDAG_BETA_LINEAR,
        .beta_start = 0.0001,
        .beta_end = 0.02,
        .prediction = PDAG_PREDICT_EPSILON,
        .spacing = PDAG_SPACING_LEADING,
        .set_alpha_to_one = true,
        .clip_sample = true,
        .clip_range = 1.0,
        .threshold_ratio = 0.995,
        .sample_max_value = 1.0,
        .variance = PDAG_VARIANCE_FIXED_SMALL,
    };
    const char *name =
        strcmp(kind, "ddpm") == 0 ? "DDPMScheduler" : "DDIMScheduler";

    memcpy(config.class_name, name, strlen(name) + 1);
    *config_out = config;
}

void pdag_schedule_config_clear(pdag_schedule_config *config)
{
    free(config->trained_betas);
    config->trained_betas = NULL;
}

static pdag_status get_class(const pdag_json *json, const char *fallback,
                             char *class_name_out)
{
    const char *text;
    pdag_status status =
        pdag_json_string(json, "_class_name", fallback, &text);

    if (status != PDAG_OK)
        return status;
    if (text == NULL)
        return pdag_error(PDAG_ERR_FORMAT, "%s: _class_name: missing",
                          json->path);
    if (strlen(text) >= sizeof ((pdag_schedule_config *)NULL)->class_name)
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: _class_name: %.80s...: over 63 characters",
                          json->path, text);
    memmove(class_name_out, text, strlen(text) + 1);
    return PDAG_OK;
}

pdag_status pdag_schedule_class_read(const char *path, char *class_name_out)
{
    pdag_json json;
    pdag_status status = pdag_json_read(path, &json);

    if (status != PDAG_OK)
        return status;
    status = get_class(&json, NULL, class_name_out);
    pdag_json_clear(&json);
    return status;
}

/* trained_betas replaces the schedule's name and its two ends. */
static pdag_status get_trained_betas(const pdag_json *json,
                                     pdag_schedule_config *config)
{
    json_t *list;
    double *betas;
    pdag_status status = pdag_json_array(json, "trained_betas", &list);

    if (status != PDAG_OK || list == NULL)
        return status;
    if (json_array_size(list) != config->n_train)
        return pdag_error(
            PDAG_ERR_FORMAT,
            "%s: trained_betas: %zu numbers: num_train_timesteps is %zu",
            json->path, json_array_size(list), config->n_train);
    betas = pdag_xcalloc(config->n_train, sizeof *betas);
    for (size_t t = 0; t < config->n_train; t++) {
        const json_t *value = json_array_get(list, t);

        betas[t] = json_number_value(value);
        if (!json_is_number(value) || !(betas[t] >= 0) || !(betas[t] <= 1)) {
            free(betas);
            return pdag_error(
                PDAG_ERR_FORMAT,
                "%s: trained_betas: element %zu: expected a number from 0 to 1",
                json->path, t);
        }
    }
    config->trained_betas = betas;
    config->beta_schedule = PDAG_BETA_TRAINED;
    return PDAG_OK;
}

/* The betas: how many, which formula, between which ends. */
static pdag_status get_betas(const pdag_json *json,
                             pdag_schedule_config *config)
{
    long n_train;
    int choice;
    pdag_status status = pdag_json_int(json, "num_train_timesteps", 1,
                                       PDAG_MAX_TRAIN, (long)config->n_train,
                                       &n_train);

    if (status != PDAG_OK)
        return status;
    config->n_train = (size_t)n_train;
    if ((status = pdag_json_choice(json, "beta_schedule", beta_names,
                                   config->beta_schedule, &choice)) != PDAG_OK)
        return status;
    config->beta_schedule = (pdag_beta_schedule)choice;
    if ((status = pdag_json_real(json, "beta_start", 0, 1, config->beta_start,
                                 &config->beta_start)) != PDAG_OK)
        return status;
    if ((status = pdag_json_real(json, "beta_end", 0, 1, config->beta_end,
                                 &config->beta_end)) != PDAG_OK)
        return status;
    if ((status = pdag_json_bool(json, "rescale_betas_zero_snr", false,
                                 &config->rescale_zero_snr)) != PDAG_OK)
        return status;
    return get_trained_betas(json, config);
}

/* Bounds on the predicted clean state. */
static pdag_status get_clipping(const pdag_json *json,
                                pdag_schedule_config *config)
{
    pdag_status status = pdag_json_bool(
        json, "clip_sample", config->clip_sample, &config->clip_sample);

    if (status != PDAG_OK)
        return status;
    if ((status = pdag_json_real(json, "clip_sample_range", 1e-30, 1e30,
                                 config->clip_range, &config->clip_range)) !=
        PDAG_OK)
        return status;
    if ((status = pdag_json_bool(json, "thresholding", false,
                                 &config->thresholding)) != PDAG_OK)
        return status;
    if ((status = pdag_json_real(json, "dynamic_thresholding_ratio", 0, 1,
                                 config->threshold_ratio,
                                 &config->threshold_ratio)) != PDAG_OK)
        return status;
    return pdag_json_real(json, "sample_max_value", 1e-30, 1e30,
                          config->sample_max_value, &config->sample_max_value);
}

/* Which timesteps the sampler visits and what the network's output means. */
static pdag_status get_sampling(const pdag_json *json, bool ddpm,
                                pdag_schedule_config *config)
{
    int choice;
    long offset;
    pdag_status status = pdag_json_choice(json, "prediction_type",
                                          prediction_names, config->prediction,
                                          &choice);

    if (status != PDAG_OK)
        return status;
    config->prediction = (pdag_prediction)choice;
    if ((status = pdag_json_choice(json, "timestep_spacing", spacing_names,
                                   config->spacing, &choice)) != PDAG_OK)
        return status;
    config->spacing = (pdag_spacing)choice;
    if ((status = pdag_json_int(json, "steps_offset", 0, PDAG_MAX_TRAIN,
                                config->steps_offset, &offset)) != PDAG_OK)
        return status;
    config->steps_offset = (int)offset;
    if (!ddpm) /* DDIM's constructor has no variance_type */
        return pdag_json_bool(json, "set_alpha_to_one",
                              config->set_alpha_to_one,
                              &config->set_alpha_to_one);
    if ((status = pdag_json_choice(json, "variance_type", variance_names,
                                   config->variance, &choice)) != PDAG_OK)
        return status;
    config->variance = (pdag_variance)choice;
    return PDAG_OK;
}

pdag_status pdag_schedule_config_read(const char *path, const char *kind,
                                      pdag_schedule_config *config_out)
{
    bool ddpm = strcmp(kind, "ddpm") == 0;
    pdag_schedule_config config;
    pdag_json json;
    pdag_status status;

    if (!ddpm && strcmp(kind, "ddim") != 0)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "%s: sampler.kind: %s: expected one of ddim ddpm",
                          path, kind);
    status = pdag_json_read(path, &json);
    if (status != PDAG_OK)
        return status;
    pdag_schedule_config_defaults(kind, &config);
    status = get_class(&json, config.class_name, config.class_name);
    if (status == PDAG_OK)
        status = get_betas(&json, &config);
    if (status == PDAG_OK)
        status = get_clipping(&json, &config);
    if (status == PDAG_OK)
        status = get_sampling(&json, ddpm, &config);
    pdag_json_clear(&json);
    if (status != PDAG_OK) {
        pdag_schedule_config_clear(&config);
        return status;
    }
    *config_out = config;
    return PDAG_OK;
}
