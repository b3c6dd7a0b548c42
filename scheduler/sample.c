#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/mem.h"
#include "scheduler/sample_internal.h"

static size_t count_blocks(const pdag_sample *s)
{
    size_t first;
    size_t last;

    pdag_sample_blocks(s, &first, &last);
    return last - first;
}

pdag_status pdag_sample_create(const pdag_sample_plan *plan, size_t index,
                               uint64_t seed, const float *unit_noise,
                               const float *start, pdag_sample **sample_out)
{
    pdag_sample *s = pdag_xcalloc(1, sizeof *s);
    pdag_status status;

    s->plan = plan;
    s->index = index;
    s->seed = seed;
    s->window = pdag_window_make(plan->transition->n_rows, plan->window_width);
    status = pdag_sample_fill_first(s, unit_noise, start);
    if (status != PDAG_OK) {
        pdag_sample_destroy(s);
        return status;
    }
    if (s->stop == PDAG_STOPPED_NOT)
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
    free(s->product);
    free(s->probe);
    free(s->slope);
    free(s->scratch);
    free(s->z);
    free(s->last_e);
    free(s->value_new);
    free(s->value);
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
    size_t first = s->probing ? s->probe_row : s->window.begin;
    size_t last = s->probing ? s->probe_row : s->window.end - 1;

    *first_out = pdag_graph_block_of(&s->plan->graph, first);
    *last_out = pdag_graph_block_of(&s->plan->graph, last) + 1;
}

size_t pdag_sample_task(const pdag_sample *s, size_t block, size_t *first_out)
{
    if (s->probing) {
        *first_out = s->probe_row;
        return 1;
    }
    return pdag_graph_block_rows(&s->plan->graph, block, s->window.begin,
                                 s->window.end, first_out);
}

void pdag_sample_fill_task(const pdag_sample *s, size_t block,
                           float *payload_out)
{
    const pdag_transition *tr = s->plan->transition;
    size_t d = tr->dim;
    size_t first = 0;
    size_t n = pdag_sample_task(s, block, &first);

    for (size_t r = 0; r < n; r++) {
        const float *x = s->probing ? s->probe : s->x + (first + r) * d;
        float *input = payload_out + r * d;
        double scale = tr->input_scale[first + r];

        for (size_t k = 0; k < d; k++)
            input[k] = (float)(scale * (double)x[k]);
        payload_out[n * d + r] = (float)tr->t[first + r];
    }
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
    size_t n = pdag_sample_task(s, block, &first);

    for (size_t r = 0; r < n; r++) {
        size_t i = first + r;
        const float *x = s->probing ? s->probe : s->x + i * d;
        float *m = s->value != NULL ? s->value + i * d
                   : s->probing     ? s->probe
                                    : s->f + (i - s->window.begin) * d;

        if (!pdag_sample_all_finite(d, eps + r * d)) {
            s->stop = PDAG_STOPPED_FAILED;
            return pdag_error(PDAG_ERR_NAN, "sample %zu: row %zu, round %zu: the "
                              "network's output is not finite", s->index, i,
                              s->round);
        }
        pdag_transition_value(tr, i, x, eps + r * d,
                              s->noise != NULL ? s->noise + i * d : NULL, m);
    }
    if (first + n == s->window.end && !s->probing)
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

/* Steps of n rows from the values of this round and, before the window, of the
   accepted rows.  A one-step sampler's values are its steps already. */
static void make_steps(pdag_sample *s, size_t first, size_t n)
{
    const pdag_transition *tr = s->plan->transition;
    size_t d = tr->dim;

    for (size_t i = first; s->value != NULL && i < first + n; i++) {
        const float *values[PDAG_MAX_TERMS] = {NULL};

        for (size_t j = 0; j < tr->n_terms && j <= i; j++)
            values[j] = s->value + (i - j) * d;
        pdag_transition_step(tr, i, s->x + i * d, values,
                             s->noise != NULL ? s->noise + i * d : NULL,
                             s->f + (i - s->window.begin) * d);
    }
}

pdag_status pdag_sample_update_rows(pdag_sample *s, size_t first, size_t n)
{
    size_t d = s->plan->transition->dim;
    size_t at = first - s->window.begin;
    pdag_solver_block block = {
        .begin = s->window.begin,
        .first = first,
        .n = n,
        .x = s->x + first * d,
        .f = s->f + at * d,
        .value = s->value != NULL ? s->value + first * d : s->f + at * d,
        .x_new = s->x_new + at * d,
        .product = s->product,
        .value_new = s->value_new != NULL ? s->value_new + at * d : NULL,
        .residual = s->residual + at,
        .change = s->change + at,
    };
    pdag_status status;

    make_steps(s, first, n);
    status = s->solver->ops->update(s->solver, &block, &s->carry);
    if (status == PDAG_OK)
        return PDAG_OK;
    s->stop = PDAG_STOPPED_FAILED;
    return pdag_error_prefix(status, "sample %zu: round %zu", s->index,
                             s->round);
}

/* All blocks, each with the carry of the one before; a solver that looks ahead
   takes the window as one. */
static pdag_status update_blocks(pdag_sample *s)
{
    size_t begin = s->window.begin;
    size_t rows = s->window.end - begin;
    size_t first_block;
    size_t last_block;
    pdag_status status = PDAG_OK;

    pdag_carry_zero(&s->carry);
    pdag_sample_blocks(s, &first_block, &last_block);
    if (!s->solver->ops->triangular) {
        status = pdag_sample_update_rows(s, begin, rows);
    } else {
        for (size_t b = first_block; status == PDAG_OK && b < last_block; b++) {
            size_t first = 0;
            size_t n = pdag_sample_task(s, b, &first);

            status = pdag_sample_update_rows(s, first, n);
        }
    }
    return status;
}

/* Residuals and changes in units in which noise has the variance 1, whatever the
   sampler's coordinates: Euler's states begin at sigma_max. */
static void scale_to_unit(pdag_sample *s)
{
    const pdag_transition *tr = s->plan->transition;

    for (size_t i = s->window.begin; i < s->window.end; i++) {
        size_t r = i - s->window.begin;
        double scale = i + 1 < tr->n_rows ? tr->input_scale[i + 1] : 1.0;

        s->residual[r] *= scale;
        s->change[r] *= scale;
    }
}

/* The round's new states and values take the places of the old ones. */
static void take_new(pdag_sample *s)
{
    size_t d = s->plan->transition->dim;
    size_t begin = s->window.begin;
    size_t rows = s->window.end - begin;

    memcpy(s->x + (begin + 1) * d, s->x_new, rows * d * sizeof *s->x);
    if (s->value != NULL)
        memcpy(s->value + begin * d, s->value_new, rows * d * sizeof *s->value);
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

/* Prediction of the clean state from the window's last row after the sweep: from
   its value as the sweep predicts it; a one-step sampler's value is inverted for
   the network's output where that can be done, else the output is taken as
   evaluated. */
static void predict_clean_state(pdag_sample *s, size_t last)
{
    const pdag_transition *tr = s->plan->transition;
    size_t d = tr->dim;
    const float *x = s->x + last * d;
    const float *x_next = s->x + (last + 1) * d;
    const float *e = s->last_e;

    if (s->value != NULL) {
        pdag_transition_x0_of_value(tr, last, x, s->value + last * d, s->z);
        return;
    }
    if (tr->linear && fabs(tr->b[last]) > 1e-6) {
        const float *xi = s->noise != NULL ? s->noise + last * d : NULL;

        for (size_t k = 0; k < d; k++) {
            double rest = (double)x_next[k] - tr->a[last] * (double)x[k];

            if (xi != NULL)
                rest -= tr->c[last] * (double)xi[k];
            s->scratch[k] = (float)(rest / tr->b[last]);
        }
        e = s->scratch;
    }
    pdag_transition_x0(tr, last, x, e, s->z);
}

/* States old_end + 1 .. new_end get their first guess. */
static void enter_rows(pdag_sample *s, size_t old_end, size_t new_end)
{
    const pdag_sample_plan *plan = s->plan;
    pdag_entry entry = {plan->transition, s->noise, s->value, s->scratch};

    if (new_end + 1 <= s->n_set)
        return;
    if (plan->entry_held_x0 ||
        (plan->start == PDAG_START_ROLL && s->round == 1)) {
        predict_clean_state(s, old_end - 1);
        pdag_entry_held_x0(&entry, s->z, old_end, new_end, s->x);
    } else {
        pdag_entry_copies(plan->transition->dim, old_end, new_end, s->x);
    }
    s->n_set = new_end + 1;
}

/* c^2 from the clean state that the first round leads to. */
static void measure_variance(pdag_sample *s)
{
    size_t d = s->plan->transition->dim;
    double sum = 0.0;
    double square = 0.0;
    double variance;

    predict_clean_state(s, s->window.end - 1);
    for (size_t k = 0; k < d; k++) {
        sum += (double)s->z[k];
        square += (double)s->z[k] * (double)s->z[k];
    }
    sum /= (double)d;
    variance = square / (double)d - sum * sum;
    if (variance > 1e-4 && variance < 1e4)
        pdag_sample_plan_slopes(s->plan, variance, s->slope);
}

/* Forget a history that led astray (ParaTAA's restart): when the residual of the
   rows that were in the round before too has grown. */
static void restart_if_grown(pdag_sample *s, size_t n)
{
    const double *before = s->residual_rms + s->window.begin;
    double old_sq = 0.0;
    double new_sq = 0.0;

    for (size_t r = 0; r < n; r++) {
        if (isnan(before[r]))
            continue; /* has just entered */
        old_sq += before[r] * before[r];
        new_sq += s->residual[r] * s->residual[r];
    }
    if (s->plan->restart > 0.0 && old_sq > 0.0 &&
        sqrt(new_sq) > s->plan->restart * sqrt(old_sq))
        s->solver->ops->reset(s->solver);
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
    size_t begin = s->window.begin;
    size_t n = s->window.end - begin;
    size_t old_end = s->window.end;
    size_t accepted;
    bool waiting = false;
    pdag_status status;

    PDAG_ASSERT(s->n_pending == 0 && s->stop == PDAG_STOPPED_NOT);
    status = s->solver->ops->probes ? pdag_sample_sweep(s, &waiting)
                                    : update_blocks(s);
    if (status != PDAG_OK || waiting)
        return status;
    take_new(s);
    scale_to_unit(s);
    restart_if_grown(s, n);
    record_round(s, n);
    if (s->plan->measure_variance && s->round == 0)
        measure_variance(s);
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
    result_out->rounds = s->round + s->n_probes;
    result_out->evaluations = s->evaluations;
    result_out->n_rows = s->window.n_rows;
    result_out->dim = s->plan->transition->dim;
    result_out->residual_rms = s->residual_rms;
    result_out->history = s->history;
    result_out->n_history = s->round;
    result_out->trajectory = s->x;
}

void pdag_sample_describe_round(const pdag_sample *s,
                                pdag_round_state *round_out)
{
    const pdag_round_record *record = &s->history[s->round - 1];

    round_out->sample = s->index;
    round_out->round = s->round + s->n_probes;
    round_out->evaluations = s->evaluations;
    round_out->begin = record->begin;
    round_out->n = record->n;
    round_out->residual = s->residual;
    round_out->change = s->change;
    round_out->trajectory = s->x;
    round_out->n_set = s->n_set;
    round_out->n_rows = s->window.n_rows;
    round_out->dim = s->plan->transition->dim;
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
