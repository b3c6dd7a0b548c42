#include "cli/setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/npy.h"

static pdag_status inspect_model(pdag_setup *s, pdag_job_facts *facts,
                                 char *class_name)
{
    pdag_status status = pdag_pipeline_inspect(s->job->model.path, &s->info);

    if (status != PDAG_OK)
        return pdag_error_prefix(status, "model.path");
    s->has_model = true;
    s->dim = s->info.dim;
    s->n_state_dims = s->info.n_state_dims;
    memcpy(s->state_dims, s->info.state_dims, sizeof s->state_dims);
    facts->has_text = s->info.has_text;
    facts->is_latent = s->info.is_latent;
    if (s->info.scheduler_config == NULL)
        return PDAG_OK;
    status = pdag_schedule_class_read(s->info.scheduler_config, class_name);
    if (status != PDAG_OK)
        return status;
    facts->sampler_kind = pdag_schedule_kind_of_class(class_name);
    if (facts->sampler_kind == NULL && s->job->sampler.kind[0] == '\0')
        return pdag_error(PDAG_ERR_UNSUPPORTED, "%s: _class_name: %s: no sampler "
                          "of this kind (choose one with sampler.kind)",
                          s->info.scheduler_config, class_name);
    return PDAG_OK;
}

/* To tell the user when the model's own sampler gave way to another. */
static void note_sampler(pdag_setup *s, bool chosen, const char *own_kind,
                         const char *class_name)
{
    if (!chosen && own_kind != NULL &&
        strcmp(own_kind, s->job->sampler.kind) != 0)
        snprintf(s->replaced_sampler, sizeof s->replaced_sampler, "%s",
                 class_name);
}

static pdag_status take_gaussian_shape(pdag_setup *s)
{
    const pdag_number_list *shape = &s->job->gaussian.shape;

    if (shape->n < 1 || shape->n > PDAG_STATE_MAX_DIMS)
        return pdag_error(PDAG_ERR_ARG, "gaussian.shape: %zu numbers: expected "
                          "1 to %d", shape->n, PDAG_STATE_MAX_DIMS);
    s->dim = 1;
    s->n_state_dims = (int)shape->n;
    for (size_t i = 0; i < shape->n; i++) {
        s->state_dims[i] = (size_t)shape->item[i];
        if (!pdag_mul_size(s->dim, s->state_dims[i], &s->dim))
            return pdag_error(PDAG_ERR_ARG, "gaussian.shape: too large");
    }
    return PDAG_OK;
}

/* The job's words, in the order of the enumerations of graph/schedule.h. */
static const char *const spacings[] = {"leading", "trailing", "linspace"};
static const char *const predictions[] = {"epsilon", "sample", "v_prediction"};
static const char *const variances[] = {"fixed_small", "fixed_large",
                                        "fixed_small_log"};

/* The job's own words about the sampler go over the model's config. */
static void override_schedule(const pdag_job *job, pdag_schedule_config *c)
{
    for (int i = 0; i < 3; i++) {
        if (strcmp(job->sampler.spacing, spacings[i]) == 0)
            c->spacing = (pdag_spacing)i;
        if (strcmp(job->sampler.prediction, predictions[i]) == 0)
            c->prediction = (pdag_prediction)i;
        if (strcmp(job->sampler.variance, variances[i]) == 0)
            c->variance = (pdag_variance)i;
    }
    if (job->sampler.clip[0] != '\0')
        c->clip_sample = strcmp(job->sampler.clip, "true") == 0;
    if (job->sampler.clip_range > 0.0)
        c->clip_range = job->sampler.clip_range;
    if (job->sampler.steps_offset >= 0)
        c->steps_offset = (int)job->sampler.steps_offset;
    if (job->sampler.set_alpha_to_one[0] != '\0')
        c->set_alpha_to_one =
            strcmp(job->sampler.set_alpha_to_one, "true") == 0;
}

static void replace_text(char **text, const char *new_text)
{
    free(*text);
    *text = pdag_xstrdup(new_text);
}

/* run.json says what was used, not where it came from. */
static void note_schedule(const pdag_schedule_config *c, pdag_job *job)
{
    replace_text(&job->sampler.spacing, spacings[c->spacing]);
    replace_text(&job->sampler.prediction, predictions[c->prediction]);
    replace_text(&job->sampler.clip, c->clip_sample ? "true" : "false");
    replace_text(&job->sampler.set_alpha_to_one,
                 c->set_alpha_to_one ? "true" : "false");
    replace_text(&job->sampler.variance, variances[c->variance]);
    job->sampler.clip_range = c->clip_range;
    if (c->steps_offset >= 0)
        job->sampler.steps_offset = c->steps_offset;
}

static pdag_status make_sampler(pdag_setup *s)
{
    const char *kind = s->job->sampler.kind;
    pdag_schedule_config config;
    pdag_status status = PDAG_OK;

    if (s->has_model && s->info.scheduler_config != NULL) {
        status = pdag_schedule_config_read(s->info.scheduler_config, kind,
                                           &config);
    } else {
        pdag_schedule_config_defaults(kind, &config);
        config.clip_sample = false; /* the oracle's states are unbounded */
    }
    if (status != PDAG_OK)
        return status;
    override_schedule(s->job, &config);
    status = pdag_schedule_create(&config, kind, (size_t)s->job->sampler.steps,
                                  &s->schedule);
    if (status == PDAG_OK)
        status = pdag_transition_create(kind, &config, s->schedule,
                                        s->job->sampler.eta, s->dim,
                                        &s->transition);
    note_schedule(&config, s->job);
    pdag_schedule_config_clear(&config);
    return status;
}

static pdag_status read_noise(pdag_setup *s)
{
    int n_dims;
    size_t dims[PDAG_MAX_DIMS];
    pdag_status status;
    int fits;

    if (s->job->noise[0] == '\0')
        return PDAG_OK;
    status = pdag_npy_read(s->job->noise, &s->noise, &n_dims, dims);
    if (status != PDAG_OK)
        return pdag_error_prefix(status, "noise");
    fits = n_dims == s->n_state_dims + 1 && dims[0] == (size_t)s->job->samples;
    for (int d = 0; fits && d < s->n_state_dims; d++)
        fits = dims[d + 1] == s->state_dims[d];
    if (!fits) {
        char *wanted = pdag_xasprintf("[%lld", (long long)s->job->samples);

        for (int d = 0; d < s->n_state_dims; d++) {
            char *longer = pdag_xasprintf("%s, %zu", wanted, s->state_dims[d]);

            free(wanted);
            wanted = longer;
        }
        status = pdag_error(PDAG_ERR_SHAPE, "noise: %s: %d dimensions, first "
                            "%zu: expected shape %s]", s->job->noise, n_dims,
                            n_dims > 0 ? dims[0] : 0, wanted);
        free(wanted);
    }
    return status;
}

/* Everything after the job itself is there. */
static pdag_status complete(pdag_setup *s)
{
    pdag_job_facts facts;
    char class_name[64] = "";
    bool chosen = s->job->sampler.kind[0] != '\0';
    pdag_status status;

    memset(&facts, 0, sizeof facts);
    status = pdag_precision_parse(s->job->model.precision, &s->precision);
    if (status == PDAG_OK)
        status = s->job->model.path[0] != '\0'
                     ? inspect_model(s, &facts, class_name)
                     : take_gaussian_shape(s);
    if (status == PDAG_OK)
        status = pdag_job_resolve(s->job, &facts);
    if (status == PDAG_OK) {
        note_sampler(s, chosen, facts.sampler_kind, class_name);
        status = make_sampler(s);
    }
    return status;
}

pdag_status pdag_setup_create(const char *job_path, size_t n_set,
                              const char *const *set, pdag_setup *setup_out)
{
    pdag_setup s;
    pdag_status status;

    memset(&s, 0, sizeof s);
    status = pdag_job_read(job_path, n_set, set, &s.job);
    if (status == PDAG_OK)
        status = complete(&s);
    if (status == PDAG_OK)
        status = read_noise(&s);
    if (status != PDAG_OK) {
        pdag_setup_clear(&s);
        return status;
    }
    *setup_out = s;
    return PDAG_OK;
}

pdag_status pdag_setup_unpack(const void *bytes, size_t n_bytes,
                              pdag_setup *setup_out)
{
    pdag_setup s;
    pdag_status status;

    memset(&s, 0, sizeof s);
    status = pdag_job_unpack(bytes, n_bytes, &s.job);
    if (status == PDAG_OK)
        status = complete(&s);
    if (status != PDAG_OK) {
        pdag_setup_clear(&s);
        return status;
    }
    *setup_out = s;
    return PDAG_OK;
}

void pdag_setup_clear(pdag_setup *s)
{
    free(s->noise);
    pdag_transition_destroy(s->transition);
    pdag_schedule_destroy(s->schedule);
    pdag_pipeline_info_clear(&s->info);
    pdag_job_destroy(s->job);
    memset(s, 0, sizeof *s);
}

pdag_status pdag_setup_check_scheduler(const char *scheduler_config)
{
    char class_name[64];
    const char *kind;
    pdag_schedule_config config;
    pdag_status status = pdag_schedule_class_read(scheduler_config, class_name);

    if (status != PDAG_OK)
        return status;
    kind = pdag_schedule_kind_of_class(class_name);
    if (kind == NULL)
        return pdag_error(PDAG_ERR_UNSUPPORTED, "%s: _class_name: %s: no sampler "
                          "of this kind", scheduler_config, class_name);
    status = pdag_schedule_config_read(
        scheduler_config,
        kind != NULL && strcmp(kind, "ddpm") == 0 ? kind : "ddim", &config);
    if (status == PDAG_OK)
        pdag_schedule_config_clear(&config);
    return status;
}

void pdag_setup_worker_config(const pdag_setup *s, pdag_worker_config *c)
{
    memset(c, 0, sizeof *c);
    c->backend = s->job->model.backend;
    c->precision = s->precision;
    c->model_path = s->has_model ? s->job->model.path : NULL;
    c->pipeline.guidance_scale = (float)s->job->guidance_scale;
    c->pipeline.guidance_channels = (size_t)s->job->guidance_channels;
    c->pipeline.delay_ms = s->job->model.delay_ms;
    if (s->has_model)
        return;
    c->gaussian_dims = s->n_state_dims;
    memcpy(c->gaussian_shape, s->state_dims, sizeof c->gaussian_shape);
    c->gaussian_modes = (size_t)s->job->gaussian.modes;
    c->gaussian_std = s->job->gaussian.std;
    c->gaussian_seed = s->job->gaussian.seed;
    c->alpha_bar = s->schedule->alpha_bar;
    c->n_train = s->schedule->n_train;
}

void pdag_setup_run(const pdag_setup *s, pdag_run_setup *r)
{
    memset(r, 0, sizeof *r);
    r->job = s->job;
    r->transition = s->transition;
    r->dim = s->dim;
    r->noise = s->noise;
    r->run_number = 1;
    if (!s->has_model)
        return;
    r->has_text = s->info.has_text;
    if (s->info.has_text)
        r->cond_floats = s->info.cond_dim *
                         (s->job->guidance_scale != 1.0 ? 2 : 1);
    if (s->info.has_picture)
        r->picture_floats = s->info.picture_height * s->info.picture_width *
                            s->info.picture_channels;
}
