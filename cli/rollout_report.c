#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/rollout.h"
#include "comm/mpi.h"

#ifndef PDAG_VERSION
#define PDAG_VERSION "unknown"
#endif

/* Means over the episodes, or over their plans. */
typedef struct means {
    double score, success, rounds, evaluations;
    size_t n_plans, n_converged;
    double median, p95; /* ms of a plan of this start, or the one before */
} means;

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;

    return left < right ? -1 : left > right;
}

/* Between the two neighbours, as numpy's percentile. */
static double quantile(const double *sorted, size_t n, double share)
{
    double at = share * (double)(n - 1);
    size_t low = (size_t)at;
    size_t high = low + 1 < n ? low + 1 : low;

    return sorted[low] + (at - (double)low) * (sorted[high] - sorted[low]);
}

/* Of the rollout that this one goes on from, in rollout.json's milliseconds: the
   same bits come out again.  0 where that does not say. */
static double latency_before(const pdag_rollout *r, const char *name)
{
    const json_t *all = json_object_get(r->before, "latency_ms");

    return json_number_value(json_object_get(all, name));
}

/* Of the episodes that have ended; all 0 where none has. */
static means average(const pdag_rollout *r)
{
    means m = {0};
    double *sorted = pdag_xcalloc(r->n_timed + 1, sizeof *sorted);

    m.median = latency_before(r, "median");
    m.p95 = latency_before(r, "p95");

    for (size_t k = 0; k < r->n_done; k++) {
        const pdag_episode *e = &r->episode[k];

        m.score += e->score / (double)r->n_done;
        m.success += (e->success ? 1.0 : 0.0) / (double)r->n_done;
        m.rounds += (double)e->rounds;
        m.evaluations += (double)e->evaluations;
        m.n_plans += e->plans;
        m.n_converged += e->n_converged;
    }
    if (m.n_plans > 0) {
        m.rounds /= (double)m.n_plans;
        m.evaluations /= (double)m.n_plans;
    }
    if (r->n_timed > 0) {
        memcpy(sorted, r->latency, r->n_timed * sizeof *sorted);
        qsort(sorted, r->n_timed, sizeof *sorted, compare);
        m.median = quantile(sorted, r->n_timed, 0.5);
        m.p95 = quantile(sorted, r->n_timed, 0.95);
    }
    free(sorted);
    return m;
}

static json_t *episodes_json(const pdag_rollout *r)
{
    json_t *list = json_array();

    for (size_t k = 0; k < r->n_done; k++) {
        const pdag_episode *e = &r->episode[k];
        char name[64];

        snprintf(name, sizeof name, "episode-%03zu.png", k);
        json_array_append_new(
            list,
            json_pack("{s:o, s:f, s:b, s:I, s:I, s:I, s:f, s:f, s:s}", "seed",
                      pdag_output_seed_json(e->seed), "score", e->score,
                      "success", e->success, "steps", (json_int_t)e->steps,
                      "plans", (json_int_t)e->plans, "plans_converged",
                      (json_int_t)e->n_converged, "rounds_mean",
                      (double)e->rounds / (double)e->plans, "evaluations_mean",
                      (double)e->evaluations / (double)e->plans, "image", name));
    }
    return list;
}

json_t *pdag_rollout_job_json(const pdag_rollout *r)
{
    json_t *job = pdag_job_to_json(r->setup.job);

    if (r->setup.warm_start)
        json_object_set_new(json_object_get(job, "solver"), "start",
                            json_string("trajectory"));
    return job;
}

json_t *pdag_rollout_files_json(const pdag_rollout *r)
{
    const char *line = r->setup.files;
    json_t *list = json_array();

    while (line != NULL && *line != '\0') {
        size_t n = strcspn(line, "\n");

        json_array_append_new(list, json_stringn(line, n));
        line += n + (line[n] == '\n');
    }
    return list;
}

/* Of the plans of this start, or, where it made none, of the one before. */
static const char *device(const pdag_rollout *r, const pdag_session *session)
{
    const char *before =
        json_string_value(json_object_get(r->before, "device"));

    if (session->last.n_workers > 0)
        return session->last.worker[0].device;
    return before != NULL ? before : "";
}

static json_t *rollout_json(const pdag_rollout *r, const pdag_session *session,
                            int exit_status)
{
    means m = average(r);
    json_t *root = json_pack(
        "{s:s, s:s, s:s, s:i, s:o, s:i, s:s}", "version", PDAG_VERSION, "command",
        "rollout", "started", r->output.started, "exit_status", exit_status, "job",
        pdag_rollout_job_json(r), "ranks", session->n_ranks, "device",
        device(r, session));

    json_object_set_new(root, "model_files", pdag_rollout_files_json(r));
    json_object_set_new(root, "episodes", episodes_json(r));
    json_object_set_new(root, "score_mean", json_real(m.score));
    json_object_set_new(root, "success_rate", json_real(m.success));
    json_object_set_new(root, "plans", json_integer((json_int_t)m.n_plans));
    json_object_set_new(root, "plans_converged",
                        json_integer((json_int_t)m.n_converged));
    json_object_set_new(root, "rounds_mean", json_real(m.rounds));
    json_object_set_new(root, "evaluations_mean", json_real(m.evaluations));
    json_object_set_new(root, "latency_ms",
                        json_pack("{s:f, s:f}", "median", m.median, "p95", m.p95));
    return root;
}

pdag_status pdag_rollout_write(pdag_rollout *r, const pdag_session *session,
                               int exit_status)
{
    json_t *root = rollout_json(r, session, exit_status);
    pdag_status status = pdag_output_json(&r->output, "rollout.json", root);

    json_decref(root);
    return status;
}

int pdag_rollout_status(const pdag_rollout *r)
{
    if (r->n_done < r->n_episodes)
        return PDAG_EXIT_STOPPED;
    for (size_t k = 0; k < r->n_done; k++)
        if (r->episode[k].n_converged < r->episode[k].plans)
            return PDAG_EXIT_NOT_CONVERGED;
    return PDAG_EXIT_OK;
}

void pdag_rollout_print(const pdag_rollout *r)
{
    means m = average(r);

    printf("episodes            %zu\n", r->n_done);
    printf("score_mean          %.4f\n", m.score);
    printf("success_rate        %.3f\n", m.success);
    printf("plans               %zu\n", m.n_plans);
    printf("plans_converged     %zu\n", m.n_converged);
    printf("rounds_mean         %.2f\n", m.rounds);
    printf("evaluations_mean    %.2f\n", m.evaluations);
    printf("latency_ms.median   %.2f\n", m.median);
    printf("latency_ms.p95      %.2f\n", m.p95);
}
