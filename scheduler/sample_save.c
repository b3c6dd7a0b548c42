#include "scheduler/sample_save.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "scheduler/sample_internal.h"

/* scheduler/sample_save.c: both directions go through the same list of fields, so
   that what is written is what is read. */

/* One direction: `to`, or `from`. */
typedef struct record {
    pdag_checkpoint *to;
    const pdag_checkpoint *from;
    size_t index; /* the sample's */
} record;

static pdag_status field(const record *r, const char *name,
                         pdag_checkpoint_type type, size_t count, size_t size,
                         void *values)
{
    char full[64];
    void *room;
    pdag_status status;

    if (values == NULL)
        return PDAG_OK;
    snprintf(full, sizeof full, "s%zu.%s", r->index, name);
    if (r->from != NULL)
        return pdag_checkpoint_copy(r->from, full, type, count, values);
    status = pdag_checkpoint_add(r->to, full, type, count, &room);
    if (status == PDAG_OK && count > 0)
        memcpy(room, values, count * size);
    return status;
}

static pdag_status floats(const record *r, const char *name, size_t count,
                          float *values)
{
    return field(r, name, PDAG_CHECKPOINT_F32, count, sizeof *values, values);
}

static pdag_status reals(const record *r, const char *name, size_t count,
                         double *values)
{
    return field(r, name, PDAG_CHECKPOINT_F64, count, sizeof *values, values);
}

static pdag_status counts(const record *r, const char *name, size_t count,
                          uint64_t *values)
{
    return field(r, name, PDAG_CHECKPOINT_U64, count, sizeof *values, values);
}

static pdag_status solver_part(void *user, const char *name, void *memory,
                               size_t bytes)
{
    char full[48];

    snprintf(full, sizeof full, "solver.%s", name);
    return field(user, full, PDAG_CHECKPOINT_BYTES, bytes, 1, memory);
}

/* What has a fixed size. */
static pdag_status arrays(pdag_sample *s, record *r)
{
    size_t n = s->plan->transition->n_rows;
    size_t d = s->plan->transition->dim;
    size_t rows = s->plan->graph.block_rows;
    pdag_status status = floats(r, "x", (n + 1) * d, s->x);

    if (status == PDAG_OK)
        status = floats(r, "tail", s->n_slots * d, s->tail);
    if (status == PDAG_OK)
        status = floats(r, "m", s->n_slots * rows * d, s->m);
    if (status == PDAG_OK)
        status = floats(r, "value", n * d, s->value);
    if (status == PDAG_OK)
        status = floats(r, "last_e", d, s->last_e);
    if (status == PDAG_OK)
        status = floats(r, "probe", d, s->probe);
    if (status == PDAG_OK)
        status = reals(r, "slope", n, s->slope);
    if (status == PDAG_OK)
        status = reals(r, "residual_rms", n, s->residual_rms);
    if (status == PDAG_OK)
        status = reals(r, "last_change", s->plan->window_width, s->last_change);
    if (status == PDAG_OK && s->solver->ops->each_state != NULL)
        status = s->solver->ops->each_state(s->solver, solver_part, r);
    return status;
}

/* The numbers, in this order. */
enum { ROUND, EVALUATIONS, N_SWEEPS, ENTERED, N_SET, BEGIN, END, STOP, PROBING,
       PROBE_ROW, N_PROBES, N_NUMBERS };
enum { LARGEST_RESIDUAL, PROBE_SCALE, N_REALS };

static pdag_status save_numbers(const pdag_sample *s, const record *r)
{
    uint64_t numbers[N_NUMBERS] = {
        s->round, s->evaluations, s->n_sweeps, s->entered, s->n_set,
        s->window.begin, s->window.end, (uint64_t)s->stop, s->probing,
        s->probe_row, s->n_probes};
    double real[N_REALS] = {s->largest_residual, s->probe_scale};
    uint64_t *block = pdag_xcalloc(s->n_slots, 2 * sizeof *block);
    pdag_status status = counts(r, "numbers", N_NUMBERS, numbers);

    for (size_t b = 0; b < s->n_slots; b++) {
        block[2 * b] = s->block[b].round;
        block[2 * b + 1] = s->block[b].state == PDAG_BLOCK_ANSWERED;
    }
    if (status == PDAG_OK)
        status = reals(r, "reals", N_REALS, real);
    if (status == PDAG_OK)
        status = counts(r, "blocks", 2 * s->n_slots, block);
    free(block);
    return status;
}

static pdag_status check_numbers(const pdag_sample *s, const uint64_t *numbers)
{
    uint64_t n = s->plan->transition->n_rows;
    bool sound = numbers[ROUND] <= s->plan->max_rounds &&
                 numbers[N_SWEEPS] <= s->plan->max_rounds - numbers[ROUND] &&
                 numbers[BEGIN] <= numbers[END] && numbers[END] <= n &&
                 numbers[END] - numbers[BEGIN] <= s->plan->window_width &&
                 numbers[ENTERED] <= n && numbers[N_SET] <= n + 1 &&
                 numbers[STOP] <= PDAG_STOPPED_STOPPED && numbers[PROBE_ROW] < n &&
                 numbers[N_PROBES] <= n * (numbers[ROUND] + 1) &&
                 (numbers[PROBING] == 0 || s->probe != NULL) &&
                 (numbers[STOP] != PDAG_STOPPED_NOT) == (numbers[N_SWEEPS] == 0) &&
                 numbers[N_SWEEPS] <= n;

    if (sound)
        return PDAG_OK;
    return pdag_error(PDAG_ERR_FORMAT, "s%zu.numbers: not of this job", s->index);
}

static pdag_status load_numbers(pdag_sample *s, const record *r,
                                size_t *n_sweeps_out)
{
    uint64_t numbers[N_NUMBERS];
    double real[N_REALS];
    uint64_t *block = pdag_xcalloc(s->n_slots, 2 * sizeof *block);
    pdag_status status = counts(r, "numbers", N_NUMBERS, numbers);

    if (status == PDAG_OK)
        status = check_numbers(s, numbers);
    if (status == PDAG_OK)
        status = reals(r, "reals", N_REALS, real);
    if (status == PDAG_OK)
        status = counts(r, "blocks", 2 * s->n_slots, block);
    for (size_t b = 0; status == PDAG_OK && b < s->n_slots; b++) {
        s->block[b].round = block[2 * b];
        s->block[b].state =
            block[2 * b + 1] != 0 ? PDAG_BLOCK_ANSWERED : PDAG_BLOCK_WAITS;
    }
    free(block);
    if (status != PDAG_OK)
        return status;
    s->round = numbers[ROUND];
    s->evaluations = numbers[EVALUATIONS];
    s->entered = numbers[ENTERED];
    s->n_set = numbers[N_SET];
    s->window.begin = numbers[BEGIN];
    s->window.end = numbers[END];
    s->stop = (pdag_stop_reason)numbers[STOP];
    s->probing = numbers[PROBING] != 0;
    s->probe_row = numbers[PROBE_ROW];
    s->n_probes = numbers[N_PROBES];
    s->largest_residual = real[LARGEST_RESIDUAL];
    s->probe_scale = real[PROBE_SCALE];
    *n_sweeps_out = numbers[N_SWEEPS];
    return PDAG_OK;
}

/* Residuals of rounds, complete and under way: windows, then all numbers. */

static pdag_status save_history(const pdag_sample *s, const record *r)
{
    size_t n_rounds = s->round + s->n_sweeps;
    uint64_t *window = pdag_xcalloc(n_rounds, 2 * sizeof *window);
    double *residual;
    size_t n = 0;
    pdag_status status;

    for (size_t k = 0; k < n_rounds; k++) {
        window[2 * k] = s->history[k].begin;
        window[2 * k + 1] = s->history[k].n;
        n += s->history[k].n;
    }
    residual = pdag_xcalloc(n, sizeof *residual);
    n = 0;
    for (size_t k = 0; k < n_rounds; k++) {
        memcpy(residual + n, s->history[k].residual,
               s->history[k].n * sizeof *residual);
        n += s->history[k].n;
    }
    status = counts(r, "rounds", 2 * n_rounds, window);
    if (status == PDAG_OK)
        status = reals(r, "residuals", n, residual);
    free(window);
    free(residual);
    return status;
}

static pdag_status load_history(pdag_sample *s, const record *r, size_t n_sweeps)
{
    size_t n_rows = s->plan->transition->n_rows;
    size_t n_rounds = s->round + n_sweeps;
    uint64_t *window = pdag_xcalloc(n_rounds, 2 * sizeof *window);
    double *residual = NULL;
    size_t n = 0;
    pdag_status status = counts(r, "rounds", 2 * n_rounds, window);

    for (size_t k = 0; status == PDAG_OK && k < n_rounds; k++) {
        if (window[2 * k] >= n_rows || window[2 * k + 1] < 1 ||
            window[2 * k + 1] > s->plan->window_width ||
            window[2 * k + 1] > n_rows - window[2 * k])
            status = pdag_error(PDAG_ERR_FORMAT, "s%zu.rounds: not of this job",
                                s->index);
        n += window[2 * k + 1];
    }
    if (status == PDAG_OK) {
        residual = pdag_xcalloc(n, sizeof *residual);
        status = reals(r, "residuals", n, residual);
    }
    n = 0;
    for (size_t k = 0; status == PDAG_OK && k < n_rounds; k++) {
        pdag_round_record *record_k = &s->history[k];

        record_k->begin = window[2 * k];
        record_k->n = window[2 * k + 1];
        record_k->residual = pdag_xcalloc(record_k->n, sizeof *residual);
        memcpy(record_k->residual, residual + n, record_k->n * sizeof *residual);
        n += record_k->n;
    }
    free(window);
    free(residual);
    return status;
}

/* Sweeps. */

static pdag_status sweep_arrays(pdag_sample *s, const record *r, size_t i)
{
    pdag_sweep *sweep = s->sweep[i];
    size_t d = s->plan->transition->dim;
    size_t before = (s->plan->transition->n_terms - 1) * d;
    uint64_t numbers[] = {sweep->next, sweep->n_passed, sweep->decided,
                          sweep->n_done};
    double grown[] = {sweep->grown_old, sweep->grown_new};
    size_t n = sweep->end - sweep->begin;
    char name[48];
    pdag_status status;

#define NAMED(what) (snprintf(name, sizeof name, "w%zu.%s", i, what), name)
    status = counts(r, NAMED("numbers"), 4, numbers);
    if (status == PDAG_OK)
        status = reals(r, NAMED("grown"), 2, grown);
    if (status == PDAG_OK)
        status = reals(r, NAMED("change"), n, sweep->change);
    if (status == PDAG_OK)
        status = reals(r, NAMED("carry"), sweep->carry.n, sweep->carry.v);
    if (status == PDAG_OK)
        status = floats(r, NAMED("x"), d, sweep->x);
    if (status == PDAG_OK)
        status = floats(r, NAMED("before"), before, sweep->before);
    if (status == PDAG_OK)
        status = floats(r, NAMED("before_new"), before, sweep->before_new);
#undef NAMED
    if (status == PDAG_OK &&
        (numbers[0] < sweep->begin || numbers[0] > sweep->end || numbers[1] > n ||
         numbers[3] > n))
        status = pdag_error(PDAG_ERR_FORMAT, "s%zu.w%zu: not of this job", s->index,
                            i);
    if (status != PDAG_OK)
        return status;
    sweep->next = numbers[0];
    sweep->n_passed = numbers[1];
    sweep->decided = numbers[2] != 0;
    sweep->n_done = numbers[3];
    sweep->grown_old = grown[0];
    sweep->grown_new = grown[1];
    return PDAG_OK;
}

/* What of a sample under way depends on each other.  The file's checksums tell of
   bad disks; these tell of files that somebody made. */

static bool is_sound_window(const pdag_sample *s, size_t begin, size_t end,
                            size_t round)
{
    pdag_window window = pdag_window_make(s->window.n_rows, s->plan->window_width);

    if (round == 0 && s->plan->start == PDAG_START_ROLL)
        return begin == 0 && end == 1;
    pdag_window_slide_to(&window, begin);
    return end == window.end;
}

/* Whether a sweep can be where it is said to be, behind the one before (NULL: it
   is the oldest). */
static bool is_sound_sweep(const pdag_sample *s, const pdag_sweep *sweep,
                           const pdag_sweep *before)
{
    const pdag_solver_ops *solver = s->plan->solver;
    size_t known = sweep->next - sweep->begin;
    bool at_border = solver->probes || known == 0 ||
                     (solver->triangular &&
                      sweep->next % s->plan->graph.block_rows == 0);

    if (sweep->begin >= sweep->end || sweep->next >= sweep->end || !at_border ||
        !is_sound_window(s, sweep->begin, sweep->end, sweep->round) ||
        sweep->n_passed > known)
        return false;
    if (solver->probes     ? sweep->decided || sweep->n_passed > 0
        : !sweep->decided  ? sweep->n_passed < known
        : pdag_sample_is_mixed(s, sweep->round)
            ? sweep->n_done != 0
            : sweep->n_done < 1 || sweep->n_done > known)
        return false;
    return before == NULL ||
           (before->decided && sweep->begin == before->begin + before->n_done &&
            sweep->next <= before->next);
}

/* The window is that of the newest round, or behind it where no other follows.
   (With a barrier it moves late; the policy may have been another.) */
static bool is_sound_end(const pdag_sample *s, const pdag_sweep *newest)
{
    if (s->window.begin == newest->begin && s->window.end == newest->end)
        return true;
    return newest->decided && s->window.begin == newest->begin + newest->n_done &&
           is_sound_window(s, s->window.begin, s->window.end, newest->round + 1) &&
           (s->window.begin == s->window.n_rows ||
            newest->round + 1 == s->plan->max_rounds);
}

/* Block b, of which rows are under way, is of the first round that has not passed
   it; it has an answer only where all its rows have entered. */
static bool is_sound_block(const pdag_sample *s, size_t b)
{
    const pdag_block *block = pdag_sample_slot(s, b);
    size_t end = (b + 1) * s->plan->graph.block_rows;
    size_t k = 0;

    /* Where there are probes, blocks pass when the whole sweep is through. */
    while (k < s->n_sweeps && s->sweep[k]->next >= end && !s->probing)
        k++;
    if (k == s->n_sweeps) /* of the round to come, where it is in that */
        return end <= s->window.begin ||
               (block->round == s->round + k && block->state == PDAG_BLOCK_WAITS);
    if (end > s->sweep[k]->end)
        end = s->sweep[k]->end;
    return block->round == s->round + k &&
           (block->state == PDAG_BLOCK_WAITS || end <= s->entered);
}

/* Whether the update of the sweep's next rows has what it waits for. */
static bool can_go_on(const pdag_sample *s, const pdag_sweep *sweep)
{
    const pdag_graph *graph = &s->plan->graph;
    size_t b = pdag_graph_block_of(graph, sweep->next);
    size_t last = s->plan->solver->triangular && !s->plan->solver->probes
                      ? b : pdag_graph_block_of(graph, sweep->end - 1);

    for (; b <= last; b++)
        if (pdag_sample_slot(s, b)->round != sweep->round ||
            pdag_sample_slot(s, b)->state != PDAG_BLOCK_ANSWERED)
            return false;
    return true;
}

/* Every sweep waits for a block, or the only one for a probe of its next row. */
static bool is_sound_wait(const pdag_sample *s)
{
    const pdag_sweep *oldest = pdag_sample_oldest(s);

    if (s->probing)
        return s->probe_row == oldest->next && can_go_on(s, oldest);
    for (size_t i = 0; i < s->n_sweeps; i++)
        if (can_go_on(s, s->sweep[i]))
            return false;
    return !s->plan->solver->probes || oldest->next == oldest->begin;
}

static pdag_status check_progress(const pdag_sample *s)
{
    const pdag_graph *graph = &s->plan->graph;
    bool sound = true;
    size_t b;

    if (s->stop != PDAG_STOPPED_NOT)
        return PDAG_OK;
    for (size_t i = 0; i < s->n_sweeps; i++)
        sound = sound && is_sound_sweep(s, s->sweep[i],
                                        i > 0 ? s->sweep[i - 1] : NULL);
    sound = sound && is_sound_end(s, s->sweep[s->n_sweeps - 1]) &&
            s->entered == s->sweep[0]->end && s->n_set > s->entered &&
            is_sound_wait(s);
    b = pdag_graph_block_of(graph, s->sweep[0]->begin);
    for (; sound && b <= pdag_graph_block_of(graph, s->entered - 1); b++)
        sound = is_sound_block(s, b);
    return sound ? PDAG_OK
                 : pdag_error(PDAG_ERR_FORMAT, "s%zu: rounds do not fit together",
                              s->index);
}

pdag_status pdag_sample_save(pdag_sample *s, pdag_checkpoint *cp)
{
    record r = {.to = cp, .index = s->index};
    pdag_status status = save_numbers(s, &r);

    if (status == PDAG_OK)
        status = arrays(s, &r);
    if (status == PDAG_OK)
        status = save_history(s, &r);
    for (size_t i = 0; status == PDAG_OK && i < s->n_sweeps; i++)
        status = sweep_arrays(s, &r, i);
    return status;
}

/* As if nothing had been opened. */
static void close_rounds(pdag_sample *s)
{
    while (s->n_sweeps > 0) {
        pdag_sweep *sweep = s->sweep[--s->n_sweeps];

        free(s->history[sweep->round].residual);
        s->history[sweep->round].residual = NULL;
        s->spare[s->n_spare++] = sweep;
    }
}

pdag_status pdag_sample_load(pdag_sample *s, const pdag_checkpoint *cp)
{
    record r = {.from = cp, .index = s->index};
    size_t n_sweeps = 0;
    pdag_status status;

    close_rounds(s);
    status = load_numbers(s, &r, &n_sweeps);
    if (status == PDAG_OK)
        status = arrays(s, &r);
    if (status == PDAG_OK)
        status = load_history(s, &r, n_sweeps);
    for (size_t i = 0; status == PDAG_OK && i < n_sweeps; i++) {
        pdag_sweep *sweep = pdag_sweep_take(s);
        const pdag_round_record *window = &s->history[s->round + i];

        sweep->round = s->round + i;
        sweep->begin = window->begin;
        sweep->end = window->begin + window->n;
        sweep->next = sweep->begin;
        sweep->residual = window->residual;
        status = sweep_arrays(s, &r, i);
    }
    s->probe_asked = false;
    s->changed = true;
    return status == PDAG_OK ? check_progress(s) : status;
}
