#include "cli/sampler.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* The job's words, in the order of the enumerations of graph/schedule.h. */
static const char *const spacings[] = {"leading", "trailing", "linspace"};
static const char *const predictions[] = {"epsilon", "sample", "v_prediction"};
static const char *const variances[] = {"fixed_small", "fixed_large",
                                        "fixed_small_log"};

pdag_status pdag_sampler_own_kind(const char *scheduler_config, bool chosen,
                                  const char **kind_out)
{
    char description[PDAG_SCHEDULE_TEXT];
    const char *kind;
    pdag_status status =
        pdag_schedule_kind_read(scheduler_config, &kind, description);

    if (status != PDAG_OK)
        return status;
    if (kind == NULL && !chosen)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "%s: _class_name: %s: no sampler of this kind "
                          "(choose one with sampler.kind)",
                          scheduler_config, description);
    *kind_out = kind;
    return PDAG_OK;
}

/* Fields that mean nothing to the kind are refused rather than ignored. */
static pdag_status check_fields(const pdag_job *job)
{
    const pdag_schedule_kind *kind;
    pdag_status status = pdag_schedule_kind_get(job->sampler.kind, &kind);
    const struct {
        const char *name;
        bool given;
        unsigned takes;
    } fields[] = {
        {"spacing", job->sampler.spacing[0] != '\0', PDAG_TAKES_SPACING},
        {"prediction", job->sampler.prediction[0] != '\0', PDAG_TAKES_SPACING},
        {"steps_offset", job->sampler.steps_offset >= 0, PDAG_TAKES_SPACING},
        {"clip", job->sampler.clip[0] != '\0', PDAG_TAKES_CLIP},
        {"clip_range", job->sampler.clip_range > 0, PDAG_TAKES_CLIP},
        {"set_alpha_to_one", job->sampler.set_alpha_to_one[0] != '\0',
         PDAG_TAKES_LAST},
        {"variance", job->sampler.variance[0] != '\0', PDAG_TAKES_VARIANCE},
    };

    for (size_t i = 0;
         i < sizeof fields / sizeof fields[0] && status == PDAG_OK; i++)
        if (fields[i].given && (kind->takes & fields[i].takes) == 0)
            status = pdag_error(PDAG_ERR_ARG,
                                "sampler.%s: given, but sampler.kind %s has no "
                                "such setting",
                                fields[i].name, kind->name);
    return status;
}

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

/* run.json says what was used, not where it came from; what the kind does not
   take stays unset, so that the other ranks read the same job. */
static void note_schedule(const pdag_schedule_config *c, pdag_job *job)
{
    unsigned takes = pdag_schedule_kind_find(job->sampler.kind)->takes;

    if ((takes & PDAG_TAKES_SPACING) != 0) {
        replace_text(&job->sampler.spacing, spacings[c->spacing]);
        replace_text(&job->sampler.prediction, predictions[c->prediction]);
        if (c->steps_offset >= 0)
            job->sampler.steps_offset = c->steps_offset;
    }
    if ((takes & PDAG_TAKES_CLIP) != 0) {
        replace_text(&job->sampler.clip, c->clip_sample ? "true" : "false");
        job->sampler.clip_range = c->clip_range;
    }
    if ((takes & PDAG_TAKES_LAST) != 0)
        replace_text(&job->sampler.set_alpha_to_one,
                     c->set_alpha_to_one ? "true" : "false");
    if ((takes & PDAG_TAKES_VARIANCE) != 0)
        replace_text(&job->sampler.variance, variances[c->variance]);
}

pdag_status pdag_sampler_make(pdag_job *job, const char *scheduler_config,
                              size_t dim, pdag_schedule **schedule_out,
                              pdag_transition **transition_out)
{
    const char *kind = job->sampler.kind;
    pdag_schedule_config config;
    pdag_schedule *schedule = NULL;
    pdag_transition *transition = NULL;
    pdag_status status = check_fields(job);

    if (status != PDAG_OK)
        return status;
    if (scheduler_config != NULL) {
        status = pdag_schedule_config_read(scheduler_config, kind, &config);
        if (status != PDAG_OK)
            return status;
    } else {
        pdag_schedule_config_defaults(kind, &config);
        config.clip_sample = false; /* the oracle's states are unbounded */
    }
    override_schedule(job, &config);
    status = pdag_schedule_create(&config, kind, (size_t)job->sampler.steps,
                                  &schedule);
    if (status == PDAG_OK)
        status = pdag_transition_create(kind, &config, schedule,
                                        job->sampler.eta, dim, &transition);
    if (status == PDAG_OK) {
        note_schedule(&config, job);
        *schedule_out = schedule;
        *transition_out = transition;
    } else {
        pdag_schedule_destroy(schedule);
    }
    pdag_schedule_config_clear(&config);
    return status;
}

/* A job's usual number of steps, or as many as there are. */
static pdag_status try_steps(const pdag_schedule_config *config, const char *kind)
{
    size_t n = config->n_train < 50 ? config->n_train : 50;
    pdag_schedule *schedule = NULL;
    pdag_transition *transition = NULL;
    pdag_status status = pdag_schedule_create(config, kind, n, &schedule);

    if (status == PDAG_OK)
        status = pdag_transition_create(kind, config, schedule, 0.0, 1,
                                        &transition);
    pdag_transition_destroy(transition);
    pdag_schedule_destroy(schedule);
    return status;
}

pdag_status pdag_sampler_check(const char *scheduler_config)
{
    const char *kind;
    pdag_schedule_config config;
    pdag_status status = pdag_sampler_own_kind(scheduler_config, false, &kind);

    if (status == PDAG_OK)
        status = pdag_schedule_config_read(scheduler_config, kind, &config);
    if (status != PDAG_OK)
        return status;
    status = try_steps(&config, kind);
    pdag_schedule_config_clear(&config);
    return status;
}
