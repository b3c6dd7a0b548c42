#include "scheduler/sample.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* scheduler/plan.c: from a resolved job to what all its samples share. */

static pdag_status parse_words(const pdag_job *job, pdag_sample_plan *plan)
{
    static const char *const starts[] = {"copies", "roll", "gaussian",
                                         "trajectory"};
    static const char *const slopes[] = {"one", "sampler", "gaussian", "bands"};
    pdag_status status = pdag_stop_rule_parse(job->solver.stop, &plan->rule);

    if (status == PDAG_OK)
        status = pdag_rng_kind_parse(job->random, &plan->random);
    for (int i = 0; i < 4; i++) {
        if (strcmp(job->solver.start, starts[i]) == 0)
            plan->start = (pdag_start)i;
        if (strcmp(job->solver.slope, slopes[i]) == 0)
            plan->slope_kind = (pdag_slope)i;
    }
    plan->entry_held_x0 = strcmp(job->solver.entry, "held-x0") == 0;
    plan->measure_variance = strcmp(job->solver.measure_variance, "true") == 0;
    return status;
}

/* What the job's numbers may be for this sampler. */
static pdag_status check(const pdag_sample_plan *plan)
{
    const pdag_transition *tr = plan->transition;

    if (plan->start_row > tr->n_rows)
        return pdag_error(PDAG_ERR_ARG, "solver.start_row: %zu: expected 0 to %zu",
                          plan->start_row, tr->n_rows);
    if (plan->start_row > 0 && tr->n_terms > 1)
        return pdag_error(PDAG_ERR_UNSUPPORTED, "solver.start_row: %zu: only with "
                          "one-step samplers, since the kept rows' network outputs "
                          "are not in the trajectory", plan->start_row);
    if (plan->solver->probes && tr->n_terms > 1)
        return pdag_error(PDAG_ERR_UNSUPPORTED, "solver.method: %s: only with "
                          "one-step samplers", plan->solver->name);
    return PDAG_OK;
}

/* What looks at later rows, or at a whole round, before it says what is next. */
static const char *needs_barrier(const pdag_sample_plan *plan)
{
    if (!plan->solver->triangular || plan->solver->probes)
        return "solver.method";
    if (plan->restart > 0.0)
        return "solver.restart";
    return plan->measure_variance ? "solver.measure_variance" : NULL;
}

/* A round_done sink sees the state after a round, which is never there as a whole
   where rounds overlap; the numbers are the same either way. */
static pdag_status choose_policy(const pdag_run_setup *setup,
                                 pdag_sample_plan *plan)
{
    const char *policy = setup->job->policy;
    const char *reason = needs_barrier(plan);

    if (reason != NULL && strcmp(policy, "dataflow") == 0)
        return pdag_error(PDAG_ERR_ARG, "policy: dataflow: expected barrier, which "
                          "%s asks for", reason);
    plan->barrier = reason != NULL || strcmp(policy, "barrier") == 0 ||
                    setup->sink.round_done != NULL;
    return PDAG_OK;
}

/* lambda(k), and room for the rounds that the sampler needs after it. */
static void fill_mixing(const pdag_job *job, pdag_sample_plan *plan)
{
    size_t most = plan->transition->n_rows;

    plan->lambda = pdag_job_lambdas(job, &plan->n_lambda);
    plan->features = job->pcm.present && strcmp(job->pcm.mixing, "features") == 0;
    most += plan->n_lambda;
    plan->max_rounds = (size_t)job->solver.max_rounds;
    if (plan->max_rounds == 0 || plan->max_rounds > most)
        plan->max_rounds = most;
}

static void fill_opts(const pdag_run_setup *setup, pdag_sample_plan *plan)
{
    const pdag_transition *tr = plan->transition;
    pdag_solver_opts *opts = &plan->opts;

    opts->n_rows = tr->n_rows;
    opts->dim = tr->dim;
    opts->window = plan->window_width;
    opts->n_terms = tr->n_terms;
    opts->own = tr->n_terms > 1 ? tr->own : NULL;
    opts->weight = tr->n_terms > 1 ? tr->weight : NULL;
    for (size_t i = 0; i < tr->n_rows; i++)
        plan->gain[i] = tr->b[i] / tr->parts[i].z_e;
    opts->gain = plan->gain;
    opts->history = (size_t)setup->job->solver.history;
    opts->order = (size_t)setup->job->solver.order;
    opts->bands = plan->slope_kind == PDAG_SLOPE_BANDS;
    opts->n_state_dims = setup->n_state_dims;
    memcpy(opts->state_dims, setup->state_dims, sizeof opts->state_dims);
}

/* Mean 0 and the job's variance where there is no statistics file. */
static pdag_status fill_statistics(const pdag_run_setup *setup,
                                   pdag_sample_plan *plan)
{
    size_t dim = plan->transition->dim;
    void *memory;
    pdag_status status;

    plan->statistics = setup->statistics;
    if (setup->statistics != NULL || plan->start != PDAG_START_GAUSSIAN)
        return PDAG_OK;
    status = pdag_alloc_tensor(2 * dim, sizeof(float), "statistics", &memory);
    if (status != PDAG_OK)
        return status;
    plan->made_statistics = memory;
    plan->statistics = memory;
    for (size_t k = 0; k < dim; k++) {
        plan->made_statistics[k] = 0.0f;
        plan->made_statistics[dim + k] = (float)setup->job->solver.variance;
    }
    return PDAG_OK;
}

void pdag_sample_plan_slopes(const pdag_sample_plan *plan, double variance,
                             double *slope_out)
{
    const pdag_transition *tr = plan->transition;

    if (plan->slope_kind == PDAG_SLOPE_GAUSSIAN ||
        plan->slope_kind == PDAG_SLOPE_BANDS)
        pdag_transition_gaussian_slope(tr, variance, slope_out);
    else
        for (size_t i = 0; i < tr->n_rows; i++)
            slope_out[i] = plan->slope_kind == PDAG_SLOPE_ONE ? 1.0 : tr->a[i];
}

pdag_status pdag_sample_plan_create(const pdag_run_setup *setup,
                                    pdag_sample_plan *plan_out)
{
    const pdag_job *job = setup->job;
    const pdag_transition *tr = setup->transition;
    size_t n = tr->n_rows;
    pdag_sample_plan plan;
    pdag_status status;

    memset(&plan, 0, sizeof plan);
    plan.transition = tr;
    plan.solver = pdag_solver_find(job->solver.method);
    if (plan.solver == NULL)
        return pdag_error(PDAG_ERR_UNSUPPORTED, "solver.method: %s: not in this "
                          "version", job->solver.method);
    plan.graph = pdag_graph_make(n, (size_t)job->block_rows);
    plan.tolerance = job->solver.tolerance;
    plan.restart = job->solver.restart;
    plan.start_row = setup->start_row;
    plan.window_width = pdag_window_make(n, (size_t)job->solver.window).width;
    if (plan.solver->max_window > 0 &&
        plan.window_width > plan.solver->max_window)
        plan.window_width = plan.solver->max_window;
    status = parse_words(job, &plan);
    if (status == PDAG_OK)
        status = check(&plan);
    if (status == PDAG_OK)
        status = choose_policy(setup, &plan);
    if (status == PDAG_OK)
        status = fill_statistics(setup, &plan);
    if (status != PDAG_OK)
        return status;
    fill_mixing(job, &plan);
    plan.gain = pdag_xcalloc(n, sizeof *plan.gain);
    fill_opts(setup, &plan);
    plan.scale = pdag_xcalloc(n + 1, sizeof *plan.scale);
    plan.slope = pdag_xcalloc(n, sizeof *plan.slope);
    pdag_sample_plan_slopes(&plan, job->solver.variance, plan.slope);
    plan.pcm_slope = pdag_xcalloc(n, sizeof *plan.pcm_slope);
    pdag_sample_plan_slopes(&plan, job->pcm.present ? job->pcm.variance
                                                    : job->solver.variance,
                            plan.pcm_slope);
    if (plan.rule == PDAG_STOP_RELATIVE || plan.rule == PDAG_STOP_PARADIGMS)
        status = pdag_stop_scales(n, tr->noise_std, plan.scale);
    for (size_t j = 0; j < n; j++) /* as the residuals are scaled */
        plan.scale[j] *= tr->input_scale[j];
    if (status != PDAG_OK) {
        pdag_sample_plan_clear(&plan);
        return status;
    }
    *plan_out = plan;
    return PDAG_OK;
}

void pdag_sample_plan_clear(pdag_sample_plan *plan)
{
    free(plan->gain);
    free(plan->lambda);
    free(plan->scale);
    free(plan->slope);
    free(plan->pcm_slope);
    free(plan->made_statistics);
    memset(plan, 0, sizeof *plan);
}
