#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/rollout.h"

/* cli/rollout_resume.c: rollout --resume: the episodes that have ended come out of
   rollout.json; the one that was stopped begins again, with the same bits. */

#define MOST_MEAN 1e9 /* rounds, evaluations of a plan */

static bool in_range(const pdag_rollout *r, const pdag_episode *e, double rounds,
                     double evaluations)
{
    return e->score >= 0.0 && e->score <= 1.0 && e->plans >= 1 &&
           e->plans <= e->steps &&
           e->steps <= pdag_environment_info_of(r->env)->max_steps &&
           e->n_converged <= e->plans && rounds >= 0.0 && rounds <= MOST_MEAN &&
           evaluations >= 0.0 && evaluations <= MOST_MEAN;
}

/* Entry k of `episodes`. */
static pdag_status read_episode(const pdag_rollout *r, const char *path, size_t k,
                                json_t *entry, pdag_episode *e_out)
{
    json_int_t steps, plans, converged;
    double rounds, evaluations;
    int success;
    pdag_episode e = {.seed = r->first_seed + k};
    json_error_t error;

    if (json_unpack_ex(entry, &error, 0, "{s:F, s:b, s:I, s:I, s:I, s:F, s:F}",
                       "score", &e.score, "success", &success, "steps", &steps,
                       "plans", &plans, "plans_converged", &converged,
                       "rounds_mean", &rounds, "evaluations_mean",
                       &evaluations) != 0)
        return pdag_error(PDAG_ERR_FORMAT, "%s: episodes[%zu]: %s", path, k,
                          error.text);
    e.success = success != 0;
    e.steps = steps > 0 ? (size_t)steps : 0;
    e.plans = plans > 0 ? (size_t)plans : 0;
    e.n_converged = converged >= 0 ? (size_t)converged : SIZE_MAX;
    if (!in_range(r, &e, rounds, evaluations))
        return pdag_error(PDAG_ERR_FORMAT, "%s: episodes[%zu]: score, steps, "
                          "plans, plans_converged, rounds_mean or "
                          "evaluations_mean: no episode of %s has such", path, k,
                          r->setup.job->environment);
    e.rounds = (size_t)llround(rounds * (double)e.plans);
    e.evaluations = (size_t)llround(evaluations * (double)e.plans);
    *e_out = e;
    return PDAG_OK;
}

static pdag_status check_seed(const pdag_rollout *r, const char *path, size_t k,
                              const json_t *entry)
{
    json_t *ours = pdag_output_seed_json(r->first_seed + k);
    json_t *theirs = json_object_get(entry, "seed");
    bool same = json_equal(ours, theirs) == 1;
    char *text = theirs != NULL ? json_dumps(theirs, JSON_ENCODE_ANY) : NULL;
    pdag_status status = PDAG_OK;

    if (!same)
        status = pdag_error(PDAG_ERR_ARG, "--first-seed %llu: episodes[%zu] of %s "
                            "has seed %s (give the --first-seed it began with)",
                            (unsigned long long)r->first_seed, k, path,
                            text != NULL ? text : "none");
    free(text);
    json_decref(ours);
    return status;
}

/* Those that have ended, up to the first without its files. */
static pdag_status take_episodes(pdag_rollout *r, const pdag_json *report)
{
    json_t *list;
    size_t n;
    pdag_status status = pdag_json_array(report, "episodes", &list);

    if (status != PDAG_OK)
        return status;
    n = json_array_size(list);
    if (n > r->n_episodes)
        return pdag_error(PDAG_ERR_ARG, "--episodes %zu: %s has %zu already (ask "
                          "for as many, or more)", r->n_episodes, report->path, n);
    for (size_t k = 0; k < n; k++) {
        json_t *entry = json_array_get(list, k);

        status = check_seed(r, report->path, k, entry);
        if (status == PDAG_OK)
            status = read_episode(r, report->path, k, entry, &r->episode[k]);
        if (status != PDAG_OK)
            return status;
    }
    while (r->n_done < n &&
           pdag_rollout_has_files(r, r->n_done, r->episode[r->n_done].plans))
        r->n_done++;
    if (r->n_done < n)
        fprintf(stderr, "picard-dag: not all files of episode %zu are there: goes "
                "on with it\n", r->n_done);
    else if (!r->options.quiet)
        fprintf(stderr, "picard-dag: goes on after %zu of %zu episodes\n",
                r->n_done, r->n_episodes);
    memset(r->episode + r->n_done, 0,
           (r->n_episodes - r->n_done) * sizeof *r->episode);
    return PDAG_OK;
}

static pdag_status check_model(const pdag_rollout *r, const pdag_json *report)
{
    json_t *ours = pdag_rollout_files_json(r);
    bool same =
        json_equal(ours, json_object_get(report->root, "model_files")) == 1;

    json_decref(ours);
    if (same)
        return PDAG_OK;
    return pdag_error(PDAG_ERR_ARG, "model.path: %s: its files are not those that "
                      "the rollout in %s began with (use another folder, or no "
                      "--resume)", r->setup.job->model.path,
                      r->setup.job->output);
}

static pdag_status go_on_from(pdag_rollout *r, const pdag_json *report)
{
    pdag_status status;

    if (r->whose == PDAG_FOLDER_OTHERS)
        return pdag_error(PDAG_ERR_ARG, "output: %s: its rollout.json is another "
                          "job's (use another folder, or --force without "
                          "--resume)", r->setup.job->output);
    status = check_model(r, report);
    if (status == PDAG_OK)
        status = take_episodes(r, report);
    if (status == PDAG_OK)
        r->before = json_incref(report->root);
    return status;
}

pdag_status pdag_rollout_find(pdag_rollout *r)
{
    const char *folder = r->setup.job->output;
    char *path = pdag_xasprintf("%s/rollout.json", folder);
    bool there = access(path, F_OK) == 0;
    json_t *ours = pdag_rollout_job_json(r);
    pdag_json report = {NULL, NULL};
    pdag_status status = PDAG_OK;

    r->whose = PDAG_FOLDER_UNKNOWN;
    if (there) {
        status = pdag_json_read(path, &report);
        r->whose = status == PDAG_OK &&
                           pdag_output_same_json(
                               ours, json_object_get(report.root, "job"))
                       ? PDAG_FOLDER_OURS
                       : PDAG_FOLDER_OTHERS;
    }
    if (r->resume && there && status == PDAG_OK)
        status = go_on_from(r, &report);
    else if (r->resume && !there)
        fprintf(stderr, "picard-dag: no rollout.json in %s: starting anew\n",
                folder);
    json_decref(ours);
    pdag_json_clear(&report);
    free(path);
    return r->resume ? status : PDAG_OK;
}
