#include "scheduler/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/mem.h"
#include "graph/entry.h"

struct pdag_sample {
    const pdag_sample_plan *plan;
    size_t index;
    uint64_t seed;
    pdag_solver *solver;
    pdag_carry carry;
    pdag_window window;
    pdag_stop_reason stop;

    float *x;     /* [N + 1][D] */
    float *noise; /* [N][D] unit noise of the steps, or NULL */
    float *f;     /* [W][D] step results of the window's rows */
    float *x_new; /* [W][D] */
    float *last_e; /* [D] network output at the window's last row */
    float *z;     /* [D] held clean state */
    float *e;     /* [D] scratch of the entry */

    double *residual, *change; /* [W] */
    double *residual_rms;      /* [N], last measured before acceptance */
    size_t n_pending;          /* blocks of this round without result */
    size_t round, evaluations;
    double largest_residual;
    pdag_round_record *history; /* [round] */
};

/* Plan. */

pdag_status pdag_sample_plan_create(const pdag_job *job,
                                    const pdag_transition *transition,
                                    pdag_sample_plan *plan_out)
{
    pdag_sample_plan plan;
    size_t n = transition->n_steps;
    pdag_status status;

    memset(&plan, 0, sizeof plan);
    plan.transition = transition;
    plan.solver = pdag_solver_find(job->solver.method);
    if (plan.solver == NULL)
        return pdag_error(PDAG_ERR_UNSUPPORTED, "solver.method: %s: not in this "
                          "version", job->solver.method);
    status = pdag_stop_rule_parse(job->solver.stop, &plan.rule);
    if (status != PDAG_OK)
        return status;
    status = pdag_rng_kind_parse(job->random, &plan.random);
    if (status != PDAG_OK)
        return status;
    plan.graph = pdag_graph_make(n, (size_t)job->block_rows);
    plan.tolerance = job->solver.tolerance;
    plan.window_width = pdag_window_make(n, (size_t)job->solver.window).width;
    if (plan.solver->max_window > 0 &&
        plan.window_width > plan.solver->max_window)
        plan.window_width = plan.solver->max_window;
    plan.max_rounds = (size_t)job->solver.max_rounds;
    if (plan.max_rounds == 0 || plan.max_rounds > n)
        plan.max_rounds = n;
    plan.entry_held_x0 = strcmp(job->solver.entry, "held-x0") == 0;
    plan.scale = pdag_xcalloc(n + 1, sizeof *plan.scale);
    plan.slope = pdag_xcalloc(n, sizeof *plan.slope);
    for (size_t i = 0; i < n; i++)
        plan.slope[i] = 1.0; /* solver.slope `one` */
    if (plan.rule == PDAG_STOP_RELATIVE || plan.rule == PDAG_STOP_PARADIGMS)
        status = pdag_stop_scales(n, transition->noise_std, plan.scale);
    if (status != PDAG_OK) {
        pdag_sample_plan_clear(&plan);
        return status;
    }
    *plan_out = plan;
    return PDAG_OK;
}

void pdag_sample_plan_clear(pdag_sample_plan *plan)
{
    free(plan->scale);
    free(plan->slope);
    plan->scale = NULL;
    plan->slope = NULL;
}

/* Creation. */

static pdag_status alloc_floats(size_t rows, size_t dim, const char *what,
                                float **out)
{
    size_t count;
    void *memory;
    pdag_status status;

    if (!pdag_mul_size(rows, dim, &count))
        return pdag_error(PDAG_ERR_NOMEM, "%s: %zu x %zu overflow", what, rows,
                          dim);
    status = pdag_alloc_tensor(count, sizeof(float), what, &memory);
    if (status == PDAG_OK)
        *out = memory;
    return status;
}

static bool sampler_adds_noise(const pdag_transition *tr)
{
    for (size_t i = 0; i < tr->n_steps; i++)
        if (tr->c[i] != 0.0)
            return true;
    return false;
}

static pdag_status allocate(pdag_sample *s)
{
    const pdag_transition *tr = s->plan->transition;
    size_t n = tr->n_steps;
    size_t w = s->plan->window_width;
    size_t d = tr->dim;
    pdag_status status = alloc_floats(n + 1, d, "trajectory", &s->x);

    if (status == PDAG_OK)
        status = alloc_floats(w, d, "steps of the window", &s->f);
    if (status == PDAG_OK)
        status = alloc_floats(w, d, "new states of the window", &s->x_new);
    if (status == PDAG_OK)
        status = alloc_floats(1, d, "network output", &s->last_e);
    if (status == PDAG_OK)
        status = alloc_floats(1, d, "held state", &s->z);
    if (status == PDAG_OK)
        status = alloc_floats(1, d, "scratch", &s->e);
    if (status == PDAG_OK && sampler_adds_noise(tr))
        status = alloc_floats(n, d, "noise of the steps", &s->noise);
    if (status == PDAG_OK)
        status = pdag_carry_create(d, &s->carry);
    if (status != PDAG_OK)
        return status;
    s->residual = pdag_xcalloc(w, sizeof *s->residual);
    s->change = pdag_xcalloc(w, sizeof *s->change);
    s->residual_rms = pdag_xcalloc(n, sizeof *s->residual_rms);
    for (size_t i = 0; i < n; i++)
        s->residual_rms[i] = NAN; /* not measured yet */
    s->history = pdag_xcalloc(s->plan->max_rounds, sizeof *s->history);
    return PDAG_OK;
}

/* Initial noise, then the noise of the steps, in diffusers' order for the torch
   streams; the counter stream has no order. */
static pdag_status draw_noise(pdag_sample *s, const float *unit_noise)
{
    const pdag_transition *tr = s->plan->transition;
    size_t d = tr->dim;
    pdag_rng *rng;
    pdag_status status = pdag_rng_create(s->plan->random, s->seed, &rng);

    if (status != PDAG_OK)
        return status;
    if (s->plan->random == PDAG_RNG_COUNTER)
        pdag_rng_counter_normal(s->seed, 0, 0, d, s->x);
    else if (unit_noise == NULL) /* given noise takes the draw's place */
        status = pdag_rng_normal(rng, d, s->x);
    if (unit_noise != NULL)
        memcpy(s->x, unit_noise, d * sizeof *s->x);
    for (size_t i = 0; status == PDAG_OK && i < tr->n_steps; i++) {
        float *xi = s->noise != NULL ? s->noise + i * d : NULL;

        if (s->plan->random == PDAG_RNG_COUNTER && xi != NULL)
            pdag_rng_counter_normal(s->seed, i + 1, 0, d, xi);
        else if (s->plan->random != PDAG_RNG_COUNTER && tr->draws_noise[i])
            status = pdag_rng_normal(rng, d, xi != NULL ? xi : s->e);
    }
    for (size_t k = 0; k < d; k++)
        s->x[k] = (float)(tr->initial_sigma * (double)s->x[k]);
    pdag_rng_destroy(rng);
    return status;
}

static size_t count_blocks(const pdag_sample *s)
{
    size_t first;
    size_t last;

    pdag_sample_blocks(s, &first, &last);
    return last - first;
}

pdag_status pdag_sample_create(const pdag_sample_plan *plan, size_t index,
                               uint64_t seed, const float *unit_noise,
                               pdag_sample **sample_out)
{
    pdag_sample *s = pdag_xcalloc(1, sizeof *s);
    const pdag_transition *tr = plan->transition;
    pdag_solver_opts opts = {tr->n_steps, tr->dim};
    pdag_status status;

    s->plan = plan;
    s->index = index;
    s->seed = seed;
    s->window = pdag_window_make(tr->n_steps, plan->window_width);
    status = allocate(s);
    if (status == PDAG_OK)
        status = plan->solver->create(&opts, &s->solver);
    if (status == PDAG_OK)
        status = draw_noise(s, unit_noise);
    if (status != PDAG_OK) {
        pdag_sample_destroy(s);
        return status;
    }
    plan->solver->reset(s->solver);
    pdag_entry_copies(tr->dim, 0, s->window.end, s->x);
    s->n_pending = count_blocks(s);
    *sample_out = s;
    return PDAG_OK;
}

void pdag_sample_destroy(pdag_sample *s)
{
    if (s == NULL)
        return;
    if (s->solver != NULL)
        s->solver->ops->destroy(s->solver);
    for (size_t k = 0; k < s->round; k++)
        free(s->history[k].residual);
    pdag_carry_clear(&s->carry);
    free(s->history);
    free(s->residual_rms);
    free(s->change);
    free(s->residual);
    free(s->e);
    free(s->z);
    free(s->last_e);
    free(s->x_new);
    free(s->f);
    free(s->noise);
    free(s->x);
    free(s);
}

/* Tasks and results. */

size_t pdag_sample_round(const pdag_sample *s)
{
    return s->round;
}

void pdag_sample_blocks(const pdag_sample *s, size_t *first_out,
                        size_t *last_out)
{
    *first_out = pdag_graph_block_of(&s->plan->graph, s->window.begin);
    *last_out = pdag_graph_block_of(&s->plan->graph, s->window.end - 1) + 1;
}

size_t pdag_sample_task(const pdag_sample *s, size_t block, size_t *first_out,
                        const float **x_out, const double **t_out)
{
    size_t first = 0;
    size_t n = pdag_graph_block_rows(&s->plan->graph, block, s->window.begin,
                                     s->window.end, &first);

    *first_out = first;
    *x_out = s->x + first * s->plan->transition->dim;
    *t_out = s->plan->transition->t + first;
    return n;
}

bool pdag_sample_all_finite(size_t n, const float *values)
{
    /* The sum of magnitudes is not finite as soon as one value is not; float64
       cannot overflow on finite float32. */
    double sum = 0.0;

    for (size_t k = 0; k < n; k++)
        sum += fabs((double)values[k]);
    return isfinite(sum);
}

pdag_status pdag_sample_result_in(pdag_sample *s, size_t block,
                                  const float *eps)
{
    const pdag_transition *tr = s->plan->transition;
    size_t d = tr->dim;
    size_t first = 0;
    size_t n = pdag_graph_block_rows(&s->plan->graph, block, s->window.begin,
                                     s->window.end, &first);

    for (size_t r = 0; r < n; r++) {
        size_t i = first + r;

        if (!pdag_sample_all_finite(d, eps + r * d)) {
            s->stop = PDAG_STOPPED_FAILED;
            return pdag_error(PDAG_ERR_NAN, "sample %zu: row %zu, round %zu: the "
                              "network's output is not finite", s->index, i,
                              s->round);
        }
        pdag_transition_step(tr, i, s->x + i * d, eps + r * d,
                             s->noise != NULL ? s->noise + i * d : NULL,
                             s->f + (i - s->window.begin) * d);
    }
    if (first + n == s->window.end)
        memcpy(s->last_e, eps + (n - 1) * d, d * sizeof *eps);
    s->evaluations += n;
    s->n_pending--;
    return PDAG_OK;
}

bool pdag_sample_round_complete(const pdag_sample *s)
{
    return s->n_pending == 0;
}

/* The end of a round. */

/* U(k,b) of all blocks, each with the carry of the one before. */
static pdag_status update_blocks(pdag_sample *s)
{
    size_t d = s->plan->transition->dim;
    size_t first_block;
    size_t last_block;

    pdag_carry_zero(&s->carry, d);
    pdag_sample_blocks(s, &first_block, &last_block);
    for (size_t b = first_block; b < last_block; b++) {
        size_t first = 0;
        size_t n = pdag_graph_block_rows(&s->plan->graph, b, s->window.begin,
                                         s->window.end, &first);
        size_t at = first - s->window.begin;
        pdag_status status = s->solver->ops->update(
            s->solver, first, n, s->x + first * d, s->f + at * d,
            s->plan->slope + first, &s->carry, s->x_new + at * d,
            s->residual + at, s->change + at);

        if (status != PDAG_OK) {
            s->stop = PDAG_STOPPED_FAILED;
            return pdag_error_prefix(status, "sample %zu: round %zu", s->index,
                                     s->round);
        }
    }
    return PDAG_OK;
}

static void record_round(pdag_sample *s, size_t n)
{
    pdag_round_record *record = &s->history[s->round];

    record->begin = s->window.begin;
    record->n = n;
    record->residual = pdag_xcalloc(n, sizeof *record->residual);
    memcpy(record->residual, s->residual, n * sizeof *record->residual);
    s->largest_residual = 0.0;
    for (size_t r = 0; r < n; r++) {
        s->residual_rms[s->window.begin + r] = s->residual[r];
        if (s->residual[r] > s->largest_residual)
            s->largest_residual = s->residual[r];
    }
    /* Everything before the first row was final, so its step is exact. */
    s->residual_rms[s->window.begin] = 0.0;
}

/* Prediction of the clean state from the window's last row after the sweep:
   its network output as the sweep predicts it where the step can be inverted for
   it, else as evaluated. */
static void predict_clean_state(pdag_sample *s, size_t last)
{
    const pdag_transition *tr = s->plan->transition;
    size_t d = tr->dim;
    const float *x = s->x + last * d;
    const float *x_next = s->x + (last + 1) * d;
    const float *e = s->last_e;

    if (tr->linear && fabs(tr->b[last]) > 1e-6) {
        const float *xi = s->noise != NULL ? s->noise + last * d : NULL;

        for (size_t k = 0; k < d; k++) {
            double rest = (double)x_next[k] - tr->a[last] * (double)x[k];

            if (xi != NULL)
                rest -= tr->c[last] * (double)xi[k];
            s->e[k] = (float)(rest / tr->b[last]);
        }
        e = s->e;
    }
    pdag_transition_x0(tr, last, x, e, s->z);
}

/* States old_end + 1 .. new_end get their first guess. */
static void enter_rows(pdag_sample *s, size_t old_end, size_t new_end)
{
    const pdag_transition *tr = s->plan->transition;

    if (new_end <= old_end)
        return;
    if (s->plan->entry_held_x0) {
        predict_clean_state(s, old_end - 1);
        pdag_entry_held_x0(tr, s->z, s->noise, old_end, new_end, s->x, s->e);
    } else {
        pdag_entry_copies(tr->dim, old_end, new_end, s->x);
    }
}

static pdag_stop_reason reason_to_stop(const pdag_sample *s)
{
    if (s->window.begin == s->window.n_rows)
        return s->plan->solver->max_window == 1 ? PDAG_STOPPED_SEQUENTIAL
                                                : PDAG_STOPPED_CONVERGED;
    if (s->round == s->plan->max_rounds)
        return PDAG_STOPPED_MAX_ROUNDS;
    return PDAG_STOPPED_NOT;
}

pdag_status pdag_sample_advance(pdag_sample *s)
{
    size_t d = s->plan->transition->dim;
    size_t begin = s->window.begin;
    size_t n = s->window.end - begin;
    size_t old_end = s->window.end;
    size_t accepted;
    pdag_status status;

    PDAG_ASSERT(s->n_pending == 0 && s->stop == PDAG_STOPPED_NOT);
    status = update_blocks(s);
    if (status != PDAG_OK)
        return status;
    memcpy(s->x + (begin + 1) * d, s->x_new, n * d * sizeof *s->x);
    record_round(s, n);
    accepted = pdag_stop_accept(s->plan->rule, s->plan->tolerance, n,
                                s->residual, s->change,
                                s->plan->scale + begin + 1);
    s->round++;
    pdag_window_slide(&s->window, accepted);
    s->stop = reason_to_stop(s);
    /* A run cut short still ends in a picture: the rows that never entered are
       rolled out from what is known. */
    enter_rows(s, old_end, s->stop == PDAG_STOPPED_MAX_ROUNDS
                               ? s->window.n_rows : s->window.end);
    if (s->stop == PDAG_STOPPED_NOT)
        s->n_pending = count_blocks(s);
    return PDAG_OK;
}

/* What it is now. */

pdag_stop_reason pdag_sample_stop(const pdag_sample *s)
{
    return s->stop;
}

void pdag_sample_describe(const pdag_sample *s, pdag_sample_result *result_out)
{
    result_out->index = s->index;
    result_out->seed = s->seed;
    result_out->stop = s->stop;
    result_out->rounds = s->round;
    result_out->evaluations = s->evaluations;
    result_out->n_rows = s->window.n_rows;
    result_out->dim = s->plan->transition->dim;
    result_out->residual_rms = s->residual_rms;
    result_out->history = s->history;
    result_out->n_history = s->round;
    result_out->trajectory = s->x;
}

const float *pdag_sample_final(const pdag_sample *s)
{
    return s->x + s->window.n_rows * s->plan->transition->dim;
}

size_t pdag_sample_rows_done(const pdag_sample *s)
{
    return s->window.begin;
}

double pdag_sample_residual(const pdag_sample *s)
{
    return s->largest_residual;
}
