#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/rollout.h"
#include "comm/mpi.h"

#ifndef PDAG_VERSION
#define PDAG_VERSION "unknown"
#endif

/* Means over the episodes, or over their plans. */
typedef struct means {
    double score, success, rounds, evaluations;
    double median, p95; /* seconds of a plan */
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

/* Of the episodes that have ended; all 0 where none has. */
static means average(const pdag_rollout *r)
{
    means m = {0};
    double *sorted = pdag_xcalloc(r->n_plans + 1, sizeof *sorted);
    double plans = 0.0;

    for (size_t k = 0; k < r->n_done; k++) {
        const pdag_episode *e = &r->episode[k];

        m.score += e->score / (double)r->n_done;
        m.success += (e->success ? 1.0 : 0.0) / (double)r->n_done;
        m.rounds += (double)e->rounds;
        m.evaluations += (double)e->evaluations;
        plans += (double)e->plans;
    }
    if (plans > 0.0) {
        m.rounds /= plans;
        m.evaluations /= plans;
    }
    if (r->n_plans > 0) {
        memcpy(sorted, r->latency, r->n_plans * sizeof *sorted);
        qsort(sorted, r->n_plans, sizeof *sorted, compare);
        m.median = quantile(sorted, r->n_plans, 0.5);
        m.p95 = quantile(sorted, r->n_plans, 0.95);
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
            json_pack("{s:o, s:f, s:b, s:I, s:I, s:f, s:f, s:s}", "seed",
                      pdag_output_seed_json(e->seed), "score", e->score,
                      "success", e->success, "steps", (json_int_t)e->steps,
                      "plans", (json_int_t)e->plans, "rounds_mean",
                      (double)e->rounds / (double)e->plans, "evaluations_mean",
                      (double)e->evaluations / (double)e->plans, "image", name));
    }
    return list;
}

/* The job as it was given: plans start from the one before them. */
static json_t *job_json(const pdag_rollout *r)
{
    json_t *job = pdag_job_to_json(r->setup.job);

    if (r->setup.warm_start)
        json_object_set_new(json_object_get(job, "solver"), "start",
                            json_string("trajectory"));
    return job;
}

json_t *pdag_rollout_json(const pdag_rollout *r, const pdag_session *session,
                          int exit_status)
{
    means m = average(r);
    json_t *root = json_pack(
        "{s:s, s:s, s:s, s:i, s:o, s:i, s:s}", "version", PDAG_VERSION, "command",
        "rollout", "started", r->output.started, "exit_status", exit_status, "job",
        job_json(r), "ranks", session->n_ranks, "device",
        session->last.n_workers > 0 ? session->last.worker[0].device : "");

    json_object_set_new(root, "episodes", episodes_json(r));
    json_object_set_new(root, "score_mean", json_real(m.score));
    json_object_set_new(root, "success_rate", json_real(m.success));
    json_object_set_new(root, "plans", json_integer((json_int_t)r->n_plans));
    json_object_set_new(root, "plans_converged",
                        json_integer((json_int_t)r->n_converged));
    json_object_set_new(root, "rounds_mean", json_real(m.rounds));
    json_object_set_new(root, "evaluations_mean", json_real(m.evaluations));
    json_object_set_new(root, "latency_ms",
                        json_pack("{s:f, s:f}", "median", 1e3 * m.median, "p95",
                                  1e3 * m.p95));
    return root;
}

void pdag_rollout_print(const pdag_rollout *r)
{
    means m = average(r);

    printf("episodes            %zu\n", r->n_done);
    printf("score_mean          %.4f\n", m.score);
    printf("success_rate        %.3f\n", m.success);
    printf("plans               %zu\n", r->n_plans);
    printf("plans_converged     %zu\n", r->n_converged);
    printf("rounds_mean         %.2f\n", m.rounds);
    printf("evaluations_mean    %.2f\n", m.evaluations);
    printf("latency_ms.median   %.2f\n", 1e3 * m.median);
    printf("latency_ms.p95      %.2f\n", 1e3 * m.p95);
}
