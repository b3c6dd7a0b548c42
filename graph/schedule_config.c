/* Reading scheduler_config.json as diffusers' from_config() does: every key
   that the wanted class's constructor knows is taken from the file, whichever
   class wrote it, and the others get the wanted class's own default.  So a PNDM
   file, which has no clip_sample, gives a DDIM sampler that clips. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "graph/schedule.h"

#define PDAG_MAX_TRAIN 100000

#define OF(family) (1u << (PDAG_FAMILY_##family))
#define OF_DDIM_DDPM (OF(DDIM) | OF(DDPM))
#define OF_DISCRETE                                                            \
    (OF_DDIM_DDPM | OF(PNDM) | OF(DPM) | OF(EULER) | OF(EULER_A))
#define OF_SIGMAS (OF(DPM) | OF(EULER) | OF(FLOW))
#define MEMBER(name) offsetof(pdag_schedule_config, name)

static const char *const beta_names[] = {"linear", "scaled_linear",
                                         "squaredcos_cap_v2", "sigmoid", NULL};
static const char *const prediction_names[] = {"epsilon", "sample",
                                               "v_prediction", NULL};
/* EulerDiscreteScheduler has two words for one thing. */
static const char *const euler_predictions[] = {
    "epsilon", "sample", "v_prediction", "original_sample", NULL};
static const char *const spacing_names[] = {"leading", "trailing", "linspace",
                                            NULL};
/* In the enumeration's order; the last three are PDAG_VARIANCE_OTHER. */
static const char *const variance_names[] = {"fixed_small",
                                             "fixed_large",
                                             "fixed_small_log",
                                             "fixed_large_log",
                                             "learned",
                                             "learned_range",
                                             NULL};
/* The last three are older schedulers' words, which diffusers reads as the
   first. */
static const char *const solver_names[] = {"midpoint", "heun", "logrho",
                                           "bh1",      "bh2",  NULL};
static const char *const last_names[] = {"zero", "sigma_min", NULL};
static const char *const interpolation_names[] = {"linear", "log_linear", NULL};

/* Keys with a truth value, and the families that take them. */
static const struct {
    const char *key;
    size_t member;
    unsigned families;
} flags[] = {
    {"rescale_betas_zero_snr", MEMBER(rescale_zero_snr),
     OF_DISCRETE & ~OF(PNDM)},
    {"clip_sample", MEMBER(clip_sample), OF_DDIM_DDPM},
    {"thresholding", MEMBER(thresholding), OF_DDIM_DDPM | OF(DPM)},
    {"set_alpha_to_one", MEMBER(set_alpha_to_one), OF(DDIM) | OF(PNDM)},
    {"lower_order_final", MEMBER(lower_order_final), OF(DPM)},
    {"euler_at_final", MEMBER(euler_at_final), OF(DPM)},
    {"stochastic_sampling", MEMBER(stochastic), OF(FLOW)},
};

/* Those that must be off. */
static const struct {
    const char *key;
    unsigned families;
} refused[] = {
    {"use_beta_sigmas", OF_SIGMAS},
    {"use_flow_sigmas", OF(DPM)},
    {"use_dynamic_shifting", OF(DPM) | OF(FLOW)},
    {"invert_sigmas", OF(FLOW)},
};

static const struct {
    const char *key;
    size_t member;
    unsigned families;
    double low, high;
} reals[] = {
    {"beta_start", MEMBER(beta_start), OF_DISCRETE, 0, 1},
    {"beta_end", MEMBER(beta_end), OF_DISCRETE, 0, 1},
    {"clip_sample_range", MEMBER(clip_range), OF_DDIM_DDPM, 1e-30, 1e30},
    {"dynamic_thresholding_ratio", MEMBER(threshold_ratio),
     OF_DDIM_DDPM | OF(DPM), 0, 1},
    {"sample_max_value", MEMBER(sample_max_value), OF_DDIM_DDPM | OF(DPM),
     1e-30, 1e30},
    {"sigma_min", MEMBER(sigma_min), OF_SIGMAS, 1e-30, 1e30},
    {"sigma_max", MEMBER(sigma_max), OF_SIGMAS, 1e-30, 1e30},
    {"lambda_min_clipped", MEMBER(lambda_min), OF(DPM), -1e308, 1e308},
    {"shift", MEMBER(shift), OF(FLOW), 1e-6, 1e6},
    {"shift_terminal", MEMBER(shift_terminal), OF(FLOW), 0, 0.999999},
};

static pdag_status get_class(const pdag_json *json, const char *fallback,
                             char *class_name_out)
{
    const char *text;
    pdag_status status = pdag_json_string(json, "_class_name", fallback, &text);

    if (status != PDAG_OK)
        return status;
    if (strlen(text) >= sizeof((pdag_schedule_config *)NULL)->class_name)
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: _class_name: %.80s...: over 63 characters",
                          json->path, text);
    memmove(class_name_out, text, strlen(text) + 1);
    return PDAG_OK;
}

/* from_config() drops the keys that the file's writer had only from its own
   defaults. */
static pdag_status drop_defaulted(const pdag_json *json)
{
    json_t *list;
    pdag_status status = pdag_json_array(json, "_use_default_values", &list);

    if (status != PDAG_OK || list == NULL)
        return status;
    json_incref(list);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *key = json_string_value(json_array_get(list, i));

        if (key != NULL)
            json_object_del(json->root, key);
    }
    json_decref(list);
    return PDAG_OK;
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

/* How many training steps, and the betas' formula. */
static pdag_status get_betas(const pdag_json *json,
                             const pdag_schedule_kind *kind,
                             pdag_schedule_config *config)
{
    long n_train;
    int choice;
    pdag_status status =
        pdag_json_int(json, "num_train_timesteps", 1, PDAG_MAX_TRAIN,
                      (long)config->n_train, &n_train);

    if (status != PDAG_OK)
        return status;
    config->n_train = (size_t)n_train;
    if ((kind->takes & PDAG_TAKES_BETAS) == 0)
        return PDAG_OK;
    if ((status = pdag_json_choice(json, "beta_schedule", beta_names,
                                   config->beta_schedule, &choice)) != PDAG_OK)
        return status;
    config->beta_schedule = (pdag_beta_schedule)choice;
    return get_trained_betas(json, config);
}

static pdag_status get_numbers(const pdag_json *json,
                               const pdag_schedule_kind *kind,
                               pdag_schedule_config *config)
{
    unsigned family = 1u << kind->family;
    pdag_status status = PDAG_OK;

    for (size_t i = 0; i < sizeof flags / sizeof flags[0] && status == PDAG_OK;
         i++) {
        bool *flag = (bool *)(void *)((char *)config + flags[i].member);

        if ((flags[i].families & family) != 0)
            status = pdag_json_bool(json, flags[i].key, *flag, flag);
    }
    for (size_t i = 0; i < sizeof reals / sizeof reals[0] && status == PDAG_OK;
         i++) {
        double *real = (double *)(void *)((char *)config + reals[i].member);

        if ((reals[i].families & family) != 0)
            status = pdag_json_real(json, reals[i].key, reals[i].low,
                                    reals[i].high, *real, real);
    }
    return status;
}

static pdag_status refuse(const pdag_json *json, const char *key,
                          const char *value, const pdag_schedule_kind *kind)
{
    return pdag_error(PDAG_ERR_UNSUPPORTED,
                      "%s: %s: %s: not available with sampler.kind %s",
                      json->path, key, value, kind->name);
}

/* Settings of diffusers' schedulers that no sampler here has. */
static pdag_status check_refused(const pdag_json *json,
                                 const pdag_schedule_kind *kind,
                                 const pdag_schedule_config *config)
{
    bool on;
    const char *text;
    pdag_status status = PDAG_OK;

    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if ((refused[i].families & (1u << kind->family)) == 0)
            continue;
        status = pdag_json_bool(json, refused[i].key, false, &on);
        if (status != PDAG_OK)
            return status;
        if (on)
            return refuse(json, refused[i].key, "true", kind);
    }
    if (kind->family == PDAG_FAMILY_PNDM) {
        status = pdag_json_bool(json, "skip_prk_steps", false, &on);
        if (status == PDAG_OK && !on)
            status = refuse(json, "skip_prk_steps", "false", kind);
    } else if (kind->family == PDAG_FAMILY_DPM) {
        status = pdag_json_string(json, "variance_type", "", &text);
        if (status == PDAG_OK && strncmp(text, "learned", 7) == 0)
            status = refuse(json, "variance_type", text, kind);
    } else if (kind->family == PDAG_FAMILY_EULER) {
        status = pdag_json_string(json, "timestep_type", "discrete", &text);
        if (status == PDAG_OK && strcmp(text, "discrete") != 0 &&
            config->prediction == PDAG_PREDICT_V)
            status = refuse(json, "timestep_type", text, kind);
    }
    return status;
}

static pdag_status get_prediction(const pdag_json *json,
                                  const pdag_schedule_kind *kind,
                                  pdag_schedule_config *config)
{
    const char *const *names = kind->family == PDAG_FAMILY_EULER
                                   ? euler_predictions
                                   : prediction_names;
    int choice;
    pdag_status status = pdag_json_choice(json, "prediction_type", names,
                                          config->prediction, &choice);

    if (status != PDAG_OK)
        return status;
    if (choice == 3)
        choice = PDAG_PREDICT_SAMPLE;
    config->prediction = (pdag_prediction)choice;
    if (choice == PDAG_PREDICT_SAMPLE && (kind->family == PDAG_FAMILY_PNDM ||
                                          kind->family == PDAG_FAMILY_EULER_A))
        return refuse(json, "prediction_type", "sample", kind);
    return PDAG_OK;
}

/* Which timesteps the sampler visits and what the network's output means. */
static pdag_status get_sampling(const pdag_json *json,
                                const pdag_schedule_kind *kind,
                                pdag_schedule_config *config)
{
    int choice;
    long offset;
    pdag_status status;

    if ((kind->takes & PDAG_TAKES_SPACING) == 0)
        return PDAG_OK;
    if ((status = get_prediction(json, kind, config)) != PDAG_OK)
        return status;
    if ((status = pdag_json_choice(json, "timestep_spacing", spacing_names,
                                   config->spacing, &choice)) != PDAG_OK)
        return status;
    config->spacing = (pdag_spacing)choice;
    if ((status = pdag_json_int(json, "steps_offset", 0, PDAG_MAX_TRAIN,
                                config->steps_offset, &offset)) != PDAG_OK)
        return status;
    config->steps_offset = (int)offset;
    if ((kind->takes & PDAG_TAKES_VARIANCE) == 0)
        return PDAG_OK;
    if ((status = pdag_json_choice(json, "variance_type", variance_names,
                                   config->variance, &choice)) != PDAG_OK)
        return status;
    config->variance = choice < PDAG_VARIANCE_OTHER ? (pdag_variance)choice
                                                    : PDAG_VARIANCE_OTHER;
    return PDAG_OK;
}

/* How the noise levels are spread; where several are set, diffusers' order. */
static pdag_status get_sigma_rule(const pdag_json *json,
                                  const pdag_schedule_kind *kind,
                                  pdag_schedule_config *config)
{
    bool karras;
    bool exponential;
    bool lu = false;
    pdag_status status;

    if ((kind->takes & PDAG_TAKES_SIGMAS) == 0)
        return PDAG_OK;
    status = pdag_json_bool(json, "use_karras_sigmas", false, &karras);
    if (status == PDAG_OK)
        status =
            pdag_json_bool(json, "use_exponential_sigmas", false, &exponential);
    if (status == PDAG_OK && kind->family == PDAG_FAMILY_DPM)
        status = pdag_json_bool(json, "use_lu_lambdas", false, &lu);
    if (status != PDAG_OK)
        return status;
    if (karras && exponential)
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: use_karras_sigmas, use_exponential_sigmas: only "
                          "one can be true",
                          json->path);
    config->sigma_rule = karras        ? PDAG_SIGMAS_KARRAS
                         : lu          ? PDAG_SIGMAS_LU
                         : exponential ? PDAG_SIGMAS_EXPONENTIAL
                                       : PDAG_SIGMAS_OF_TIMESTEPS;
    return PDAG_OK;
}

/* Choices that only the families with noise levels have. */
static pdag_status get_sigma_choices(const pdag_json *json,
                                     const pdag_schedule_kind *kind,
                                     pdag_schedule_config *config)
{
    int choice;
    pdag_status status = get_sigma_rule(json, kind, config);

    if (status != PDAG_OK ||
        (kind->family != PDAG_FAMILY_DPM && kind->family != PDAG_FAMILY_EULER))
        return status;
    if ((status = pdag_json_choice(json, "final_sigmas_type", last_names, 0,
                                   &choice)) != PDAG_OK)
        return status;
    config->end_at_sigma_min = choice == 1;
    if (kind->family == PDAG_FAMILY_DPM) {
        status =
            pdag_json_choice(json, "solver_type", solver_names, 0, &choice);
        config->heun = status == PDAG_OK && choice == 1;
        return status;
    }
    status = pdag_json_choice(json, "interpolation_type", interpolation_names,
                              0, &choice);
    config->log_linear = status == PDAG_OK && choice == 1;
    return status;
}

static pdag_status get_all(const pdag_json *json,
                           const pdag_schedule_kind *kind,
                           pdag_schedule_config *config)
{
    pdag_status status =
        get_class(json, config->class_name, config->class_name);

    if (status == PDAG_OK)
        status = drop_defaulted(json);
    if (status == PDAG_OK)
        status = get_betas(json, kind, config);
    if (status == PDAG_OK)
        status = get_numbers(json, kind, config);
    if (status == PDAG_OK)
        status = get_sampling(json, kind, config);
    if (status == PDAG_OK)
        status = get_sigma_choices(json, kind, config);
    return status == PDAG_OK ? check_refused(json, kind, config) : status;
}

pdag_status pdag_schedule_config_read(const char *path, const char *kind,
                                      pdag_schedule_config *config_out)
{
    const pdag_schedule_kind *of;
    pdag_schedule_config config;
    pdag_json json;
    pdag_status status = pdag_schedule_kind_get(kind, &of);

    if (status != PDAG_OK)
        return pdag_error_prefix(status, "%s", path);
    status = pdag_json_read(path, &json);
    if (status != PDAG_OK)
        return status;
    pdag_schedule_config_defaults(kind, &config);
    status = get_all(&json, of, &config);
    pdag_json_clear(&json);
    if (status != PDAG_OK) {
        pdag_schedule_config_clear(&config);
        return status;
    }
    *config_out = config;
    return PDAG_OK;
}
