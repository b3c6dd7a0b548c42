#include "cli/setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/guess.h"
#include "cli/observe.h"
#include "cli/sampler.h"
#include "models/digest.h"

/* What is added to the model's weights; the paths stay the job's. */
static void fill_pipeline_opts(const pdag_setup *s, pdag_pipeline_opts *opts)
{
    const pdag_job *job = s->job;

    memset(opts, 0, sizeof *opts);
    opts->guidance_scale = (float)job->guidance_scale;
    opts->guidance_channels = (size_t)job->guidance_channels;
    opts->delay_ms = job->model.delay_ms;
    opts->n_loras = job->model.n_lora;
    opts->loras = s->loras;
    if (!job->pcm.present)
        return;
    opts->pcm.path = job->pcm.path;
    opts->pcm.features = strcmp(job->pcm.mixing, "features") == 0;
    opts->pcm.scale = job->pcm.scale;
    opts->pcm.n_mixes = s->n_lambda;
    opts->pcm.lambda = s->lambda;
}

/* Only rank 0 looks: the workers find the same when they load. */
static pdag_status check_adapters(pdag_setup *s, bool schedules)
{
    const pdag_job *job = s->job;
    pdag_pipeline_opts opts;

    if (job->model.n_lora > 0 && !s->has_model)
        return pdag_error(PDAG_ERR_ARG, "model.lora: gaussian has no weights to "
                          "add it to");
    if (job->pcm.present && !s->has_model)
        return pdag_error(PDAG_ERR_ARG, "pcm: gaussian has no second weights");
    s->loras = pdag_xcalloc(job->model.n_lora, sizeof *s->loras);
    for (size_t i = 0; i < job->model.n_lora; i++) {
        s->loras[i].path = job->model.lora[i].path;
        s->loras[i].scale = job->model.lora[i].scale;
    }
    s->lambda = pdag_job_lambdas(job, &s->n_lambda);
    fill_pipeline_opts(s, &opts);
    if (!schedules || !s->has_model ||
        (opts.n_loras == 0 && opts.pcm.path == NULL))
        return PDAG_OK;
    return pdag_pipeline_check(job->model.path, &opts);
}

static pdag_status inspect_model(pdag_setup *s, pdag_job_facts *facts)
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
    facts->has_classes = s->info.n_classes > 0;
    facts->n_classes = s->info.n_classes;
    facts->class_name_of = s->info.class_name_of;
    if (s->info.scheduler_config == NULL)
        return PDAG_OK;
    return pdag_sampler_own_kind(s->info.scheduler_config,
                                 s->job->sampler.kind[0] != '\0',
                                 &facts->sampler_kind);
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

/* What a run that is gone on with must find again. */
static pdag_status digest_files(pdag_setup *s)
{
    pdag_pipeline_opts opts;

    if (!s->has_model)
        return PDAG_OK;
    fill_pipeline_opts(s, &opts);
    return pdag_pipeline_digest(s->job->model.path, &opts, &s->files);
}

static pdag_status read_noise(pdag_setup *s)
{
    pdag_status status;

    if (s->job->noise[0] == '\0')
        return PDAG_OK;
    status = pdag_guess_states(s->job->noise, (size_t)s->job->samples,
                               s->n_state_dims, s->state_dims, &s->noise);
    return status == PDAG_OK ? status : pdag_error_prefix(status, "noise");
}

/* Mean and variance of final states: the job's file, or one that the model brings
   along, whether the method uses them or not: fields that all jobs of a model
   have in common. */
static pdag_status read_statistics(pdag_setup *s, pdag_job_facts *facts)
{
    const char *path = s->job->solver.statistics;

    if (s->has_model && path[0] == '\0') {
        s->own_statistics = pdag_xasprintf("%s/statistics.npy",
                                           s->job->model.path);
        if (access(s->own_statistics, F_OK) != 0)
            return PDAG_OK;
        path = s->own_statistics;
        facts->statistics = path;
    }
    if (path[0] == '\0')
        return PDAG_OK;
    return pdag_guess_statistics(path, s->n_state_dims, s->state_dims,
                                 &s->statistics, &facts->variance);
}

/* Policy and environment belong together, and give plans to start from; the first
   plan has none before it. */
static pdag_status check_control(pdag_setup *s)
{
    pdag_job *job = s->job;
    bool policy = s->has_model && s->info.n_observations > 0;
    bool given = job->environment[0] != '\0';

    if (policy && !given)
        return pdag_error(PDAG_ERR_ARG, "environment: none, but %s plans from "
                          "observations: expected pusht", job->model.path);
    if (given && !policy)
        return pdag_error(PDAG_ERR_ARG, "environment: %s: the model is no policy",
                          job->environment);
    s->warm_start = policy && strcmp(job->solver.start, "trajectory") == 0 &&
                    job->solver.start_from[0] == '\0';
    if (s->warm_start) {
        const char *first = s->statistics != NULL ? "gaussian" : "copies";

        free(job->solver.start);
        job->solver.start = pdag_xstrdup(first);
    }
    return PDAG_OK;
}

static size_t n_conditions_of_sample(const pdag_setup *s)
{
    return s->job->guidance_scale != 1.0 ? 2 : 1;
}

/* Conditions of a network of classes: the label, under guidance behind "none"; all
   "none" where the job has no labels. */
static void make_classes(pdag_setup *s)
{
    const pdag_number_list *labels = &s->job->class_label;
    size_t n = (size_t)s->job->samples > labels->n ? (size_t)s->job->samples
                                                   : labels->n;
    size_t floats = n_conditions_of_sample(s);

    if (!s->has_model || s->info.n_classes == 0)
        return;
    s->classes = pdag_xcalloc(n * floats, sizeof *s->classes);
    for (size_t i = 0; i < n; i++) {
        float *condition = s->classes + i * floats;

        condition[0] = (float)s->info.n_classes;
        condition[floats - 1] = labels->n > 0
                                    ? (float)labels->item[i % labels->n]
                                    : (float)s->info.n_classes;
    }
}

/* Everything after the job itself is there.  Ranks 1.. evaluate only: the files
   that the solver starts from are rank 0's. */
static pdag_status complete(pdag_setup *s, bool schedules)
{
    pdag_job_facts facts;
    pdag_status status;

    memset(&facts, 0, sizeof facts);
    status = pdag_precision_parse(s->job->model.precision, &s->precision);
    if (status == PDAG_OK)
        status = s->job->model.path[0] != '\0' ? inspect_model(s, &facts)
                                               : take_gaussian_shape(s);
    if (status == PDAG_OK && schedules)
        status = read_statistics(s, &facts);
    if (status == PDAG_OK)
        status = pdag_job_resolve(s->job, &facts);
    if (status == PDAG_OK)
        status = check_control(s);
    if (status == PDAG_OK)
        status = check_adapters(s, schedules);
    if (status == PDAG_OK)
        status = pdag_sampler_make(
            s->job, s->has_model ? s->info.scheduler_config : NULL, s->dim,
            &s->schedule, &s->transition);
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
        status = complete(&s, true);
    if (status == PDAG_OK)
        status = digest_files(&s);
    if (status == PDAG_OK)
        status = read_noise(&s);
    if (status == PDAG_OK && s.info.n_observations > 0)
        status = pdag_observe_starts(s.job, &s.info, &s.observations);
    if (status == PDAG_OK && s.job->solver.start_from[0] != '\0')
        status = pdag_guess_trajectories(s.job, s.transition->n_rows,
                                         s.n_state_dims, s.state_dims, &s.start);
    if (status == PDAG_OK) {
        pdag_run_setup run;

        make_classes(&s);
        pdag_setup_run(&s, &run);
        status = pdag_scheduler_check(&run);
    }
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
        status = complete(&s, false);
    if (status != PDAG_OK) {
        pdag_setup_clear(&s);
        return status;
    }
    *setup_out = s;
    return PDAG_OK;
}

void pdag_setup_clear(pdag_setup *s)
{
    free(s->files);
    free(s->noise);
    free(s->start);
    free(s->statistics);
    free(s->observations);
    free(s->classes);
    free(s->own_statistics);
    free(s->loras);
    free(s->lambda);
    pdag_transition_destroy(s->transition);
    pdag_schedule_destroy(s->schedule);
    pdag_pipeline_info_clear(&s->info);
    pdag_job_destroy(s->job);
    memset(s, 0, sizeof *s);
}

bool pdag_setup_class(const pdag_setup *s, size_t index, int64_t *label_out,
                      const char **names_out)
{
    const pdag_number_list *labels = &s->job->class_label;
    const char *names = NULL;
    int64_t label;

    if (!s->has_model || labels->n == 0)
        return false;
    label = labels->item[index % labels->n];
    if (s->info.class_name_of != NULL)
        names = s->info.class_name_of[label];
    *label_out = label;
    *names_out = names != NULL ? names : "";
    return true;
}

pdag_status pdag_setup_check_scheduler(const char *scheduler_config)
{
    return pdag_sampler_check(scheduler_config);
}

void pdag_setup_worker_config(const pdag_setup *s, pdag_worker_config *c)
{
    memset(c, 0, sizeof *c);
    c->backend = s->job->model.backend;
    c->precision = s->precision;
    c->model_path = s->has_model ? s->job->model.path : NULL;
    fill_pipeline_opts(s, &c->pipeline);
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
    r->n_state_dims = s->n_state_dims;
    memcpy(r->state_dims, s->state_dims, sizeof r->state_dims);
    r->files = s->files;
    r->noise = s->noise;
    r->start = s->start;
    r->start_row = (size_t)s->job->solver.start_row;
    r->statistics = s->statistics;
    r->run_number = 1;
    if (!s->has_model)
        return;
    r->has_text = s->info.has_text;
    if (s->info.has_text || s->info.n_classes > 0)
        r->cond_floats = s->info.cond_dim * n_conditions_of_sample(s);
    r->conditions = s->classes;
    if (s->info.n_observations > 0) {
        r->cond_floats = s->info.cond_dim;
        r->conditions = s->observations;
    }
    if (s->info.has_picture)
        r->picture_floats = s->info.picture_height * s->info.picture_width *
                            s->info.picture_channels;
}
