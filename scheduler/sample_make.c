#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "scheduler/sample_internal.h"

/* scheduler/sample_make.c: a sample before its first round: memory, noise, first
   guess. */

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
    for (size_t i = 0; i < tr->n_rows; i++)
        if (tr->c[i] != 0.0)
            return true;
    return false;
}

size_t pdag_sample_update_room(const pdag_sample_plan *plan)
{
    return plan->solver->triangular ? plan->graph.block_rows : plan->window_width;
}

static pdag_status allocate_states(pdag_sample *s)
{
    const pdag_transition *tr = s->plan->transition;
    size_t room = pdag_sample_update_room(s->plan);
    size_t rows = s->plan->graph.block_rows;
    size_t n = tr->n_rows;
    size_t d = tr->dim;
    pdag_status status = alloc_floats(n + 1, d, "trajectory", &s->x);

    if (status == PDAG_OK)
        status = alloc_floats(s->n_slots, d, "states behind blocks", &s->tail);
    if (status == PDAG_OK)
        status = alloc_floats(s->n_slots * rows, d, "values of a round", &s->m);
    if (status == PDAG_OK && s->plan->features)
        status = alloc_floats(s->n_slots * rows, d, "outputs", &s->other);
    if (status == PDAG_OK)
        status = alloc_floats(room, d, "new states", &s->x_new);
    if (status == PDAG_OK && tr->n_terms > 1)
        status = alloc_floats(room, d, "steps", &s->f);
    if (status == PDAG_OK && tr->n_terms > 1)
        status = alloc_floats(n, d, "values of the rows", &s->value);
    if (status == PDAG_OK && tr->n_terms > 1)
        status = alloc_floats(room, d, "new values", &s->value_new);
    if (status == PDAG_OK)
        status = alloc_floats(1, d, "network output", &s->last_e);
    if (status == PDAG_OK)
        status = alloc_floats(1, d, "held state", &s->z);
    if (status == PDAG_OK)
        status = alloc_floats(2, d, "scratch", &s->scratch);
    if (status == PDAG_OK && s->plan->solver->probes)
        status = alloc_floats(1, d, "probe", &s->probe);
    if (status == PDAG_OK && s->plan->solver->probes)
        status = alloc_floats(1, d, "derivative", &s->product);
    if (status == PDAG_OK && sampler_adds_noise(tr))
        status = alloc_floats(n, d, "noise of the steps", &s->noise);
    return status;
}

static pdag_status allocate(pdag_sample *s)
{
    size_t n = s->plan->transition->n_rows;
    size_t w = s->plan->window_width;
    size_t rows = s->plan->graph.block_rows;
    pdag_status status;

    /* W rows touch at most this many blocks. */
    s->n_slots = (w + rows - 2) / rows + 1;
    s->block = pdag_xcalloc(s->n_slots, sizeof *s->block);
    status = allocate_states(s);
    if (status != PDAG_OK)
        return status;
    s->slope = pdag_xcalloc(n, sizeof *s->slope);
    memcpy(s->slope, s->plan->n_lambda > 0 ? s->plan->pcm_slope : s->plan->slope,
           n * sizeof *s->slope);
    s->last_change = pdag_xcalloc(w, sizeof *s->last_change);
    s->residual_rms = pdag_xcalloc(n, sizeof *s->residual_rms);
    for (size_t i = 0; i < n; i++)
        s->residual_rms[i] = NAN; /* not measured yet */
    s->history = pdag_xcalloc(s->plan->max_rounds, sizeof *s->history);
    return PDAG_OK;
}

pdag_sweep *pdag_sweep_take(pdag_sample *s)
{
    size_t d = s->plan->transition->dim;
    size_t before = (s->plan->transition->n_terms - 1) * d;
    pdag_sweep *sweep;

    if (s->n_sweeps + s->n_spare == s->room) {
        s->room = 2 * s->room + 2;
        s->sweep = pdag_xrealloc(s->sweep, s->room, sizeof(pdag_sweep *));
        s->spare = pdag_xrealloc(s->spare, s->room, sizeof(pdag_sweep *));
    }
    if (s->n_spare > 0) {
        sweep = s->spare[--s->n_spare];
        s->sweep[s->n_sweeps++] = sweep;
        return sweep;
    }
    sweep = pdag_xcalloc(1, sizeof *sweep);
    sweep->x = pdag_xcalloc(d, sizeof *sweep->x);
    sweep->before = pdag_xcalloc(before + 1, sizeof *sweep->before);
    sweep->before_new = pdag_xcalloc(before + 1, sizeof *sweep->before_new);
    sweep->change = pdag_xcalloc(s->plan->window_width, sizeof *sweep->change);
    sweep->carry.n = s->solver->carry_doubles;
    sweep->carry.v = pdag_xcalloc(sweep->carry.n + 1, sizeof *sweep->carry.v);
    s->sweep[s->n_sweeps++] = sweep;
    return sweep;
}

void pdag_sweep_destroy(pdag_sweep *sweep)
{
    free(sweep->x);
    free(sweep->before);
    free(sweep->before_new);
    free(sweep->change);
    free(sweep->carry.v);
    free(sweep);
}

static pdag_status make_solver(pdag_sample *s)
{
    pdag_solver_opts opts = s->plan->opts;
    pdag_status status;

    opts.slope = s->slope;
    status = s->plan->solver->create(&opts, &s->solver);
    if (status == PDAG_OK)
        s->plan->solver->reset(s->solver);
    return status;
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
    for (size_t i = 0; status == PDAG_OK && i < tr->n_rows; i++) {
        float *xi = s->noise != NULL ? s->noise + i * d : NULL;

        if (s->plan->random == PDAG_RNG_COUNTER && xi != NULL)
            pdag_rng_counter_normal(s->seed, i + 1, 0, d, xi);
        else if (s->plan->random != PDAG_RNG_COUNTER && tr->draws_noise[i])
            status = pdag_rng_normal(rng, d, xi != NULL ? xi : s->scratch);
    }
    for (size_t k = 0; k < d; k++)
        s->x[k] = (float)(tr->initial_sigma * (double)s->x[k]);
    pdag_rng_destroy(rng);
    return status;
}

/* The first guess of the window's states, or of all. */
static void guess(pdag_sample *s, const float *start)
{
    const pdag_sample_plan *plan = s->plan;
    const pdag_transition *tr = plan->transition;
    size_t d = tr->dim;
    pdag_entry entry = {.tr = tr, .noise = s->noise, .value = s->value,
                        .scratch = s->scratch};

    s->n_set = s->window.end + 1;
    switch (plan->start) {
    case PDAG_START_COPIES:
        pdag_entry_copies(d, 0, s->window.end, s->x);
        break;
    case PDAG_START_ROLL: /* one row now; the others enter after its round */
        s->window.end = 1;
        s->n_set = 2;
        pdag_entry_copies(d, 0, 1, s->x);
        break;
    case PDAG_START_GAUSSIAN:
        pdag_entry_gaussian(&entry, plan->statistics, 0, s->window.end, s->x);
        break;
    case PDAG_START_TRAJECTORY:
        if (plan->start_row > 0) {
            memcpy(s->x, start, d * sizeof *s->x);
            s->window = pdag_window_make(tr->n_rows, plan->window_width);
            pdag_window_slide_to(&s->window, plan->start_row);
            if (s->window.begin == tr->n_rows) /* nothing is left to do */
                s->stop = PDAG_STOPPED_CONVERGED;
        }
        memcpy(s->x + d, start + d, tr->n_rows * d * sizeof *s->x);
        s->n_set = tr->n_rows + 1;
        break;
    }
}

pdag_status pdag_sample_fill_first(pdag_sample *s, const float *unit_noise,
                                   const float *start)
{
    pdag_status status = allocate(s);

    if (status == PDAG_OK)
        status = make_solver(s);
    if (status == PDAG_OK)
        status = draw_noise(s, unit_noise);
    if (status == PDAG_OK)
        guess(s, start);
    return status;
}
