#include "scheduler/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/mem.h"
#include "graph/loops.h"
#include "scheduler/sample_internal.h"

/* scheduler/sample.c: E and U of one sample as their inputs come.  Every value is
   fixed by the graph: U(k,b) reads the values that E(k,b) gave, the carry of
   U(k,b-1), and what its own rows have kept of the rounds before; the window of
   round k + 1 is known as soon as the sweep of round k has met a row that is not
   done; a row enters in round k + 1 when round k is complete.  Nothing here asks
   who evaluated, or when. */

static void begin_round(pdag_sample *s, size_t round);

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
    if (s->stop == PDAG_STOPPED_NOT) {
        s->entered = s->window.end;
        pdag_sample_arm(s, s->window.begin, s->window.end, 0);
        begin_round(s, 0);
    }
    *sample_out = s;
    return PDAG_OK;
}

void pdag_sample_destroy(pdag_sample *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->n_sweeps; i++)
        pdag_sweep_destroy(s->sweep[i]);
    for (size_t i = 0; i < s->n_spare; i++)
        pdag_sweep_destroy(s->spare[i]);
    for (size_t k = 0; s->history != NULL && k < s->plan->max_rounds; k++)
        free(s->history[k].residual);
    if (s->solver != NULL)
        s->solver->ops->destroy(s->solver);
    free(s->sweep);
    free(s->spare);
    free(s->block);
    free(s->tail);
    free(s->m);
    free(s->other);
    free(s->history);
    free(s->residual_rms);
    free(s->last_change);
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

/* Rounds. */

pdag_sweep *pdag_sample_find_sweep(const pdag_sample *s, size_t round)
{
    return round >= s->round && round - s->round < s->n_sweeps
               ? s->sweep[round - s->round] : NULL;
}

/* Open round k on the window as it is now. */
static void begin_round(pdag_sample *s, size_t round)
{
    pdag_round_record *record = &s->history[round];
    size_t rows = s->window.end - s->window.begin;
    pdag_sweep *sweep;

    sweep = pdag_sweep_take(s);
    sweep->round = round;
    sweep->begin = s->window.begin;
    sweep->end = s->window.end;
    sweep->next = sweep->begin;
    sweep->decided = false;
    sweep->n_done = 0;
    sweep->n_passed = 0;
    sweep->grown_old = 0.0;
    sweep->grown_new = 0.0;
    pdag_carry_zero(&sweep->carry);
    record->begin = sweep->begin;
    record->n = rows;
    record->residual = pdag_xcalloc(rows, sizeof *record->residual);
    sweep->residual = record->residual;
    s->changed = true;
}

void pdag_sample_go_on_after(pdag_sample *s, const pdag_sweep *sweep)
{
    size_t round = sweep->round + 1;

    pdag_window_slide_to(&s->window, sweep->begin + sweep->n_done);
    if (s->window.begin < s->window.n_rows && round < s->plan->max_rounds)
        begin_round(s, round);
}

void pdag_sample_arm(pdag_sample *s, size_t from, size_t to, size_t round)
{
    const pdag_graph *graph = &s->plan->graph;
    size_t d = s->plan->transition->dim;
    size_t first = pdag_graph_block_of(graph, from);

    for (size_t b = first; b * graph->block_rows < to; b++) {
        pdag_block *block = pdag_sample_slot(s, b);
        size_t behind = (b + 1) * graph->block_rows;

        block->round = round;
        block->state = PDAG_BLOCK_WAITS;
        if (behind <= to && behind <= graph->n_rows)
            memcpy(pdag_sample_tail(s, b), s->x + behind * d, d * sizeof *s->x);
    }
}

/* Tasks. */

size_t pdag_sample_round(const pdag_sample *s)
{
    return s->round;
}

/* Whether E of this block can run in the sweep's round: its rows are of that round,
   and all of them have entered. */
static bool can_be_asked(const pdag_sample *s, const pdag_sweep *sweep, size_t b)
{
    const pdag_block *block = pdag_sample_slot(s, b);
    size_t last = (b + 1) * s->plan->graph.block_rows;

    if (last > sweep->end)
        last = sweep->end;
    return block->round == sweep->round && block->state == PDAG_BLOCK_WAITS &&
           last <= s->entered;
}

/* Which weights the sweep's round needs; bit m: mix m.  Mixed weights are numbered
   by round from 1; where outputs are mixed, 1 is the other network. */
static unsigned long mixes_of(const pdag_sample *s, size_t round)
{
    double lambda = pdag_sample_lambda(s, round);

    if (lambda <= 0.0)
        return 1ul;
    if (s->plan->features)
        return lambda < 1.0 ? 3ul : 2ul;
    return 0ul;
}

static void tell(pdag_sample *s, size_t round, size_t b, pdag_sample_ready take,
                 void *user)
{
    pdag_block *block = pdag_sample_slot(s, b);
    unsigned long mixes = mixes_of(s, round);

    block->state = PDAG_BLOCK_ASKED;
    block->awaited = mixes == 0ul ? 1u : (unsigned)mixes;
    if (mixes == 0ul) {
        take(user, round, b, round + 1);
        return;
    }
    for (size_t mix = 0; mix < 2; mix++)
        if (mixes >> mix & 1ul)
            take(user, round, b, mix);
}

/* The bit of `awaited` that stands for this mix; 0 for one not asked for. */
static unsigned bit_of(const pdag_sample *s, size_t round, size_t mix)
{
    if (mixes_of(s, round) == 0ul)
        return mix == round + 1 ? 1u : 0u;
    return mix < 2 ? 1u << mix : 0u;
}

void pdag_sample_each_ready(pdag_sample *s, pdag_sample_ready take, void *user)
{
    if (s->probing && !s->probe_asked) {
        s->probe_asked = true;
        take(user, s->round, pdag_graph_block_of(&s->plan->graph, s->probe_row), 0);
    }
    for (size_t i = 0; i < s->n_sweeps && s->changed; i++) {
        const pdag_sweep *sweep = s->sweep[i];
        size_t b = pdag_graph_block_of(&s->plan->graph, sweep->next);
        size_t last = pdag_graph_block_of(&s->plan->graph, sweep->end - 1);

        for (; sweep->next < sweep->end && b <= last; b++)
            if (can_be_asked(s, sweep, b))
                tell(s, sweep->round, b, take, user);
    }
    s->changed = false;
}

bool pdag_sample_expects(const pdag_sample *s, size_t round, size_t block,
                         size_t mix)
{
    const pdag_sweep *sweep = pdag_sample_find_sweep(s, round);
    size_t first;

    if (s->probing)
        return round == s->round && s->probe_asked && mix == 0 &&
               block == pdag_graph_block_of(&s->plan->graph, s->probe_row);
    return sweep != NULL &&
           pdag_graph_block_rows(&s->plan->graph, block, sweep->begin, sweep->end,
                                 &first) > 0 &&
           pdag_sample_slot(s, block)->round == round &&
           pdag_sample_slot(s, block)->state == PDAG_BLOCK_ASKED &&
           (pdag_sample_slot(s, block)->awaited & bit_of(s, round, mix)) != 0;
}

size_t pdag_sample_task(const pdag_sample *s, size_t round, size_t block,
                        size_t *first_out)
{
    const pdag_sweep *sweep = pdag_sample_find_sweep(s, round);

    if (s->probing) {
        *first_out = s->probe_row;
        return 1;
    }
    PDAG_ASSERT(sweep != NULL);
    return pdag_graph_block_rows(&s->plan->graph, block, sweep->begin, sweep->end,
                                 first_out);
}

void pdag_sample_fill_task(const pdag_sample *s, size_t round, size_t block,
                           float *payload_out)
{
    const pdag_transition *tr = s->plan->transition;
    size_t d = tr->dim;
    size_t first = 0;
    size_t n = pdag_sample_task(s, round, block, &first);

    for (size_t r = 0; r < n; r++) {
        const float *x = s->probing ? s->probe : s->x + (first + r) * d;

        pdag_loop_scale(d, tr->input_scale[first + r], x, payload_out + r * d);
        payload_out[n * d + r] = (float)tr->t[first + r];
    }
}

float *pdag_sample_value_at(const pdag_sample *s, size_t row)
{
    size_t rows = s->plan->graph.block_rows;
    size_t at = s->plan->solver->triangular
                    ? row / rows % s->n_slots * rows + row % rows
                    : row - s->window.begin;

    return s->m + at * s->plan->transition->dim;
}

/* The network's output at n rows, as their values. */
static pdag_status take_output(pdag_sample *s, size_t round, size_t first,
                               size_t n, const float *eps)
{
    const pdag_transition *tr = s->plan->transition;
    size_t d = tr->dim;

    for (size_t r = 0; r < n; r++) {
        size_t i = first + r;

        if (!pdag_loop_all_finite(d, eps + r * d)) {
            s->stop = PDAG_STOPPED_FAILED;
            return pdag_error(PDAG_ERR_NAN, "sample %zu: row %zu, round %zu: the "
                              "network's output is not finite", s->index, i,
                              round);
        }
        pdag_transition_value(tr, i, s->probing ? s->probe : s->x + i * d,
                              eps + r * d,
                              s->noise != NULL ? s->noise + i * d : NULL,
                              s->probing ? s->probe : pdag_sample_value_at(s, i));
    }
    s->evaluations += n;
    return PDAG_OK;
}

/* lambda e_1 + (1 - lambda) e_0 in the place of the output that came first, which
   was e_0 if e_1 comes now; the sum is the same either way. */
static void mix_outputs(double lambda, bool base_first, size_t n, const float *eps,
                        float *other)
{
    double now = base_first ? lambda : 1.0 - lambda;
    double then = base_first ? 1.0 - lambda : lambda;

    for (size_t k = 0; k < n; k++)
        other[k] = (float)(now * (double)eps[k] + then * (double)other[k]);
}

pdag_status pdag_sample_result_in(pdag_sample *s, size_t round, size_t block,
                                  size_t mix, const float *eps)
{
    size_t d = s->plan->transition->dim;
    size_t first = 0;
    size_t n = pdag_sample_task(s, round, block, &first);
    unsigned bit = bit_of(s, round, mix);
    pdag_block *state = pdag_sample_slot(s, block);
    float *other;

    PDAG_ASSERT(pdag_sample_expects(s, round, block, mix));
    if (s->probing) {
        s->probe_asked = false;
        return take_output(s, round, first, n, eps);
    }
    state->awaited &= ~bit;
    if (mixes_of(s, round) == 3ul) {
        other = s->other + block % s->n_slots * s->plan->graph.block_rows * d;
        if (state->awaited != 0) {
            memcpy(other, eps, n * d * sizeof *eps);
            return PDAG_OK;
        }
        s->evaluations += n; /* of the one before; take_output() counts this one */
        mix_outputs(pdag_sample_lambda(s, round), bit == 2u, n * d, eps, other);
        eps = other;
    }
    state->state = PDAG_BLOCK_ANSWERED;
    if (first + n == pdag_sample_find_sweep(s, round)->end)
        memcpy(s->last_e, eps + (n - 1) * d, d * sizeof *eps);
    return take_output(s, round, first, n, eps);
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

    pdag_sample_describe_states(s, round_out);
    round_out->round = s->round + s->n_probes;
    round_out->begin = record->begin;
    round_out->n = record->n;
    round_out->residual = record->residual;
    round_out->change = s->last_change;
}

void pdag_sample_describe_states(const pdag_sample *s, pdag_round_state *round_out)
{
    round_out->sample = s->index;
    round_out->evaluations = s->evaluations;
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
