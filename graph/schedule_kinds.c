/* The sampler kinds, by name, and the one that a scheduler_config.json is of.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "graph/schedule.h"

#define COMMON (PDAG_TAKES_BETAS | PDAG_TAKES_SPACING)
#define OF_DDIM                                                                \
    (COMMON | PDAG_TAKES_RESCALE | PDAG_TAKES_CLIP | PDAG_TAKES_THRESHOLD)
#define OF_DPM                                                                 \
    (COMMON | PDAG_TAKES_RESCALE | PDAG_TAKES_THRESHOLD | PDAG_TAKES_SIGMAS)
#define DPM_CLASS PDAG_FAMILY_DPM, "DPMSolverMultistepScheduler"

static const pdag_schedule_kind kinds[] = {
    {"ddim", PDAG_FAMILY_DDIM, "DDIMScheduler", 1, false,
     OF_DDIM | PDAG_TAKES_LAST},
    {"ddpm", PDAG_FAMILY_DDPM, "DDPMScheduler", 1, false,
     OF_DDIM | PDAG_TAKES_VARIANCE},
    {"dpmpp-1", DPM_CLASS, 1, false, OF_DPM},
    {"dpmpp-2m", DPM_CLASS, 2, false, OF_DPM},
    {"dpmpp-3m", DPM_CLASS, 3, false, OF_DPM},
    {"sde-dpmpp-1", DPM_CLASS, 1, true, OF_DPM},
    {"sde-dpmpp-2m", DPM_CLASS, 2, true, OF_DPM},
    {"euler", PDAG_FAMILY_EULER, "EulerDiscreteScheduler", 1, false,
     COMMON | PDAG_TAKES_RESCALE | PDAG_TAKES_SIGMAS},
    {"euler-a", PDAG_FAMILY_EULER_A, "EulerAncestralDiscreteScheduler", 1,
     false, COMMON | PDAG_TAKES_RESCALE},
    {"flow-euler", PDAG_FAMILY_FLOW, "FlowMatchEulerDiscreteScheduler", 1,
     false, PDAG_TAKES_SIGMAS},
    {"pndm", PDAG_FAMILY_PNDM, "PNDMScheduler", 5, false,
     COMMON | PDAG_TAKES_LAST},
};

const pdag_schedule_kind *pdag_schedule_kind_at(size_t index)
{
    return index < sizeof kinds / sizeof kinds[0] ? &kinds[index] : NULL;
}

const pdag_schedule_kind *pdag_schedule_kind_find(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(name, kinds[i].name) == 0)
            return &kinds[i];
    return NULL;
}

pdag_status pdag_schedule_kind_get(const char *name,
                                   const pdag_schedule_kind **kind_out)
{
    const pdag_schedule_kind *kind = pdag_schedule_kind_find(name);
    char *list;

    if (kind != NULL) {
        *kind_out = kind;
        return PDAG_OK;
    }
    list = pdag_xstrdup("");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        char *longer = pdag_xasprintf("%s %s", list, kinds[i].name);

        free(list);
        list = longer;
    }
    pdag_error_record("sampler.kind: %s: expected one of%s", name, list);
    free(list);
    return PDAG_ERR_UNSUPPORTED;
}

void pdag_schedule_config_defaults(const char *kind,
                                   pdag_schedule_config *config_out)
{
    const pdag_schedule_kind *of = pdag_schedule_kind_find(kind);
    bool clips = (of->takes & PDAG_TAKES_CLIP) != 0;
    pdag_schedule_config config = {
        .n_train = 1000,
        .beta_schedule = PDAG_BETA_LINEAR,
        .beta_start = 0.0001,
        .beta_end = 0.02,
        .prediction = PDAG_PREDICT_EPSILON,
        .spacing = clips || of->family == PDAG_FAMILY_PNDM
                       ? PDAG_SPACING_LEADING
                       : PDAG_SPACING_LINSPACE,
        .set_alpha_to_one = of->family != PDAG_FAMILY_PNDM,
        .clip_sample = clips,
        .clip_range = 1.0,
        .threshold_ratio = 0.995,
        .sample_max_value = 1.0,
        .variance = PDAG_VARIANCE_FIXED_SMALL,
        .sigma_rule = PDAG_SIGMAS_OF_TIMESTEPS,
        .sigma_min = -1,
        .sigma_max = -1,
        .lower_order_final = true,
        .lambda_min = -INFINITY,
        .shift = 1,
    };

    memcpy(config.class_name, of->class_name, strlen(of->class_name) + 1);
    *config_out = config;
}

void pdag_schedule_config_clear(pdag_schedule_config *config)
{
    free(config->trained_betas);
    config->trained_betas = NULL;
}

/* The DPM kind of algorithm and order; "deis" is diffusers' old name. */
static const char *dpm_kind(const char *algorithm, long order)
{
    bool sde = strcmp(algorithm, "sde-dpmsolver++") == 0;

    if (!sde && strcmp(algorithm, "dpmsolver++") != 0 &&
        strcmp(algorithm, "deis") != 0)
        return NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i].family == PDAG_FAMILY_DPM && kinds[i].sde == sde &&
            kinds[i].order == order)
            return kinds[i].name;
    return NULL;
}

static pdag_status read_dpm(const pdag_json *json, const char **kind_out,
                            char *description)
{
    const char *algorithm;
    long order;
    pdag_status status =
        pdag_json_string(json, "algorithm_type", "dpmsolver++", &algorithm);

    if (status == PDAG_OK)
        status = pdag_json_int(json, "solver_order", 1, 3, 2, &order);
    if (status != PDAG_OK)
        return status;
    *kind_out = dpm_kind(algorithm, order);
    snprintf(description, PDAG_SCHEDULE_TEXT,
             "DPMSolverMultistepScheduler with algorithm_type %.32s, "
             "solver_order %ld",
             algorithm, order);
    return PDAG_OK;
}

/* diffusers' classes for ParaDiGMS: the same samplers with one more method. */
static const char *plain_class(const char *name)
{
    if (strcmp(name, "DDIMParallelScheduler") == 0)
        return "DDIMScheduler";
    return strcmp(name, "DDPMParallelScheduler") == 0 ? "DDPMScheduler" : name;
}

static pdag_status read_kind(const pdag_json *json, const char **kind_out,
                             char *description)
{
    const char *name;
    const pdag_schedule_kind *kind;
    pdag_status status = pdag_json_string(json, "_class_name", NULL, &name);

    if (status != PDAG_OK)
        return status;
    if (name == NULL)
        return pdag_error(PDAG_ERR_FORMAT, "%s: _class_name: missing",
                          json->path);
    snprintf(description, PDAG_SCHEDULE_TEXT, "%s", name);
    for (size_t i = 0; (kind = pdag_schedule_kind_at(i)) != NULL; i++)
        if (strcmp(plain_class(name), kind->class_name) == 0)
            break;
    if (kind != NULL && kind->family == PDAG_FAMILY_DPM)
        return read_dpm(json, kind_out, description);
    *kind_out = kind != NULL ? kind->name : NULL;
    return PDAG_OK;
}

pdag_status pdag_schedule_kind_read(const char *path, const char **kind_out,
                                    char *description_out)
{
    char description[PDAG_SCHEDULE_TEXT];
    const char *kind;
    pdag_json json;
    pdag_status status = pdag_json_read(path, &json);

    if (status != PDAG_OK)
        return status;
    status = read_kind(&json, &kind, description);
    pdag_json_clear(&json);
    if (status != PDAG_OK)
        return status;
    *kind_out = kind;
    if (description_out != NULL)
        memcpy(description_out, description, sizeof description);
    return PDAG_OK;
}
