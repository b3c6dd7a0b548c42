#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "scheduler/sample_internal.h"

/* scheduler/sample_update.c: U(k,b), the stop test, the end of a round. */

/* m_{row} of this round, or as the sweep has left it, for a row before
   sweep->next: one that is done has its last. */
static const float *value_before(const pdag_sample *s, const pdag_sweep *sweep,
                                 const float *kept, size_t row)
{
    size_t d = s->plan->transition->dim;

    return row < sweep->begin ? s->value + row * d
                              : kept + (sweep->next - row - 1) * d;
}

/* Steps of n rows from the values of this round.  A one-step sampler's values are
   its steps already. */
static void make_steps(pdag_sample *s, const pdag_sweep *sweep, size_t n)
{
    const pdag_transition *tr = s->plan->transition;
    size_t d = tr->dim;
    size_t first = sweep->next;

    for (size_t i = first; tr->n_terms > 1 && i < first + n; i++) {
        const float *values[PDAG_MAX_TERMS] = {NULL};

        for (size_t j = 0; j < tr->n_terms && j <= i; j++)
            values[j] = i - j >= first
                            ? pdag_sample_value_at(s, i - j)
                            : value_before(s, sweep, sweep->before, i - j);
        pdag_transition_step(tr, i, s->x + i * d, values,
                             s->noise != NULL ? s->noise + i * d : NULL,
                             s->f + (i - first) * d);
    }
}

/* The sweep's memory of the last p - 1 values moves n rows on. */
static void move_values(pdag_sample *s, pdag_sweep *sweep, size_t n)
{
    size_t d = s->plan->transition->dim;
    size_t first = sweep->next;
    size_t next = first + n;

    /* From the farthest, so that what is still needed is not written over. */
    for (size_t j = s->plan->transition->n_terms; j-- > 1;) {
        size_t row = next - j;

        if (j > next)
            continue;
        memmove(sweep->before + (j - 1) * d,
                row >= first ? pdag_sample_value_at(s, row)
                             : value_before(s, sweep, sweep->before, row),
                d * sizeof(float));
        memmove(sweep->before_new + (j - 1) * d,
                row >= first ? s->value_new + (row - first) * d
                             : value_before(s, sweep, sweep->before_new, row),
                d * sizeof(float));
    }
    if (s->value != NULL)
        memcpy(s->value + first * d, s->value_new, n * d * sizeof *s->value);
}

/* Residuals and changes in units in which noise has the variance 1, whatever the
   sampler's coordinates: Euler's states begin at sigma_max. */
static void take_residuals(pdag_sample *s, pdag_sweep *sweep, size_t n)
{
    const pdag_transition *tr = s->plan->transition;
    bool mixed = pdag_sample_is_mixed(s, sweep->round);

    for (size_t i = sweep->next; i < sweep->next + n; i++) {
        size_t r = i - sweep->begin;
        double scale = i + 1 < tr->n_rows ? tr->input_scale[i + 1] : 1.0;
        double before = s->residual_rms[i];

        sweep->residual[r] *= scale;
        sweep->change[r] *= scale;
        if (!isnan(before)) { /* else it has just entered */
            sweep->grown_old += before * before;
            sweep->grown_new += sweep->residual[r] * sweep->residual[r];
        }
        /* Everything before the window was final, so its first step is exact; a
           residual of other weights than the base's counts for nothing. */
        s->residual_rms[i] = mixed ? NAN : r > 0 ? sweep->residual[r] : 0.0;
    }
}

/* The new states of n rows take their places. */
static void take_states(pdag_sample *s, pdag_sweep *sweep, size_t n)
{
    const pdag_graph *graph = &s->plan->graph;
    size_t d = s->plan->transition->dim;
    size_t first = sweep->next;
    size_t behind = first + n;
    const float *last = s->x_new + (n - 1) * d;

    if (first > sweep->begin)
        memcpy(s->x + first * d, sweep->x, d * sizeof *s->x);
    memcpy(s->x + (first + 1) * d, s->x_new, (n - 1) * d * sizeof *s->x);
    memcpy(sweep->x, last, d * sizeof *s->x);
    if (behind == sweep->end) /* nobody's row in this round */
        memcpy(s->x + behind * d, last, d * sizeof *s->x);
    if (behind % graph->block_rows == 0 || behind == graph->n_rows)
        memcpy(pdag_sample_tail(s, pdag_graph_block_of(graph, behind - 1)), last,
               d * sizeof *s->x);
}

/* x_{row} as the rows before it know it. */
static const float *state_behind(const pdag_sample *s, const pdag_sweep *sweep,
                                 size_t row)
{
    const pdag_graph *graph = &s->plan->graph;

    if (row < sweep->end && row % graph->block_rows == 0)
        return pdag_sample_tail(s, pdag_graph_block_of(graph, row - 1));
    return s->x + row * s->plan->transition->dim;
}

pdag_status pdag_sample_update_rows(pdag_sample *s, pdag_sweep *sweep, size_t n)
{
    size_t d = s->plan->transition->dim;
    size_t first = sweep->next;
    size_t at = first - sweep->begin;
    const float *value = pdag_sample_value_at(s, first);
    pdag_solver_block block = {
        .begin = sweep->begin,
        .first = first,
        .n = n,
        .x = s->x + first * d,
        .x_end = state_behind(s, sweep, first + n),
        .f = s->f != NULL ? s->f : value,
        .value = value,
        .x_new = s->x_new,
        .product = s->product,
        .value_new = s->value_new,
        .residual = sweep->residual + at,
        .change = sweep->change + at,
    };
    pdag_status status;

    make_steps(s, sweep, n);
    status = s->solver->ops->update(s->solver, &block, &sweep->carry);
    if (status != PDAG_OK) {
        s->stop = PDAG_STOPPED_FAILED;
        return pdag_error_prefix(status, "sample %zu: round %zu", s->index,
                                 sweep->round);
    }
    take_residuals(s, sweep, n);
    take_states(s, sweep, n);
    move_values(s, sweep, n);
    sweep->next += n;
    return PDAG_OK;
}

/* How many rows are done, as soon as that is clear. */
static void decide(pdag_sample *s, pdag_sweep *sweep)
{
    const pdag_sample_plan *plan = s->plan;
    size_t known = sweep->next - sweep->begin;
    size_t at = sweep->n_passed;

    if (sweep->decided)
        return;
    if (pdag_sample_is_mixed(s, sweep->round)) {
        /* No row is final yet, and the next round is of another map. */
        sweep->decided = true;
        return;
    }
    sweep->n_passed += pdag_stop_passed(
        plan->rule, plan->tolerance, known - at, sweep->residual + at,
        sweep->change + at, plan->scale + sweep->begin + at + 1);
    if (sweep->n_passed == known && sweep->next < sweep->end)
        return;
    sweep->decided = true;
    sweep->n_done = pdag_stop_accept(plan->rule, sweep->n_passed,
                                     sweep->end - sweep->begin);
    if (!plan->barrier)
        pdag_sample_go_on_after(s, sweep);
}

/* Forget a history that led astray (ParaTAA's restart): when the residual of the
   rows that were in the round before too has grown. */
static void restart_if_grown(pdag_sample *s, const pdag_sweep *sweep)
{
    if (s->plan->restart > 0.0 && sweep->grown_old > 0.0 &&
        sqrt(sweep->grown_new) > s->plan->restart * sqrt(sweep->grown_old))
        s->solver->ops->reset(s->solver);
}

static pdag_stop_reason reason_to_stop(const pdag_sample *s,
                                       const pdag_sweep *sweep)
{
    if (sweep->begin + sweep->n_done == s->window.n_rows)
        return s->plan->solver->max_window == 1 ? PDAG_STOPPED_SEQUENTIAL
                                                : PDAG_STOPPED_CONVERGED;
    if (s->round == s->plan->max_rounds)
        return PDAG_STOPPED_MAX_ROUNDS;
    return PDAG_STOPPED_NOT;
}

/* The oldest round has gone through all its rows. */
static void complete_round(pdag_sample *s)
{
    pdag_sweep *sweep = pdag_sample_oldest(s);
    size_t n = sweep->end - sweep->begin;
    size_t old_end = sweep->end;
    size_t new_end;

    s->largest_residual = 0.0;
    for (size_t r = 0; r < n; r++)
        if (sweep->residual[r] > s->largest_residual)
            s->largest_residual = sweep->residual[r];
    memcpy(s->last_change, sweep->change, n * sizeof *sweep->change);
    restart_if_grown(s, sweep);
    /* What was learned of one map misleads about the next. */
    if (pdag_sample_is_mixed(s, sweep->round)) {
        s->solver->ops->reset(s->solver);
        if (!pdag_sample_is_mixed(s, sweep->round + 1))
            memcpy(s->slope, s->plan->slope, s->window.n_rows * sizeof *s->slope);
    }
    if (s->plan->measure_variance && s->round == 0)
        pdag_sample_measure_variance(s, sweep);
    if (s->n_sweeps == 1)
        pdag_sample_go_on_after(s, sweep);
    s->round++;
    s->n_sweeps--;
    memmove(s->sweep, s->sweep + 1, s->n_sweeps * sizeof(pdag_sweep *));
    s->stop = reason_to_stop(s, sweep);
    /* A run cut short still ends in a picture: the rows that never entered are
       rolled out from what is known. */
    new_end = s->stop == PDAG_STOPPED_MAX_ROUNDS ? s->window.n_rows
              : s->n_sweeps > 0                  ? s->sweep[0]->end
                                                 : old_end;
    if (new_end > old_end)
        pdag_sample_enter(s, sweep, new_end);
    if (s->stop == PDAG_STOPPED_NOT && new_end > old_end) {
        s->entered = new_end;
        pdag_sample_arm(s, old_end, new_end, s->round);
    }
    s->spare[s->n_spare++] = sweep;
}

/* Rows that the sweep's next U takes; 0: their values are not all there. */
static size_t rows_to_update(const pdag_sample *s, const pdag_sweep *sweep)
{
    const pdag_graph *graph = &s->plan->graph;
    bool all = !s->plan->solver->triangular || s->plan->solver->probes;
    size_t row = sweep->next;

    while (row < sweep->end) {
        const pdag_block *block =
            pdag_sample_slot(s, pdag_graph_block_of(graph, row));

        if (block->round != sweep->round || block->state != PDAG_BLOCK_ANSWERED)
            return 0;
        row = (pdag_graph_block_of(graph, row) + 1) * graph->block_rows;
        if (row > sweep->end)
            row = sweep->end;
        if (!all)
            break;
    }
    return row - sweep->next;
}

/* The blocks of n rows before sweep->next are of the next round now. */
static void release_blocks(pdag_sample *s, const pdag_sweep *sweep, size_t n)
{
    const pdag_graph *graph = &s->plan->graph;
    size_t last = pdag_graph_block_of(graph, sweep->next - 1);

    for (size_t b = pdag_graph_block_of(graph, sweep->next - n); b <= last; b++) {
        pdag_sample_slot(s, b)->round = sweep->round + 1;
        pdag_sample_slot(s, b)->state = PDAG_BLOCK_WAITS;
    }
}

pdag_status pdag_sample_advance(pdag_sample *s, size_t round)
{
    pdag_sweep *sweep = pdag_sample_find_sweep(s, round);
    bool probes = s->plan->solver->probes;
    bool waiting = false;
    pdag_status status = PDAG_OK;

    PDAG_ASSERT(sweep != NULL && s->stop == PDAG_STOPPED_NOT);
    while (sweep->next < sweep->end) {
        size_t n = rows_to_update(s, sweep);
        size_t all = sweep->end - sweep->begin;

        if (n == 0)
            return PDAG_OK;
        status = probes ? pdag_sample_sweep(s, &waiting)
                        : pdag_sample_update_rows(s, sweep, n);
        if (status != PDAG_OK || waiting)
            return status;
        release_blocks(s, sweep, probes ? all : n);
        s->changed = true;
        decide(s, sweep);
    }
    complete_round(s);
    return PDAG_OK;
}
