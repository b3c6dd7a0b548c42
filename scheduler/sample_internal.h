/** scheduler/sample_internal.h: the inside of a sample; private to
 *  scheduler/sample*.c.
 *
 *  Rounds of different blocks overlap, so that each thing is kept where its version
 *  is clear.  A block's own states, x_first .. x_last, are of the block's round
 *  (the next that it is evaluated in).  The state behind them, x_{last+1}, belongs
 *  to the next block, which may be rounds behind: the block keeps a copy of its own
 *  version, the tail.  What U(k,b) hands to U(k,b+1) - the carry, the new
 *  x_{last+1}, the values before - travels in the round's sweep. */
#ifndef PDAG_SCHEDULER_SAMPLE_INTERNAL_H
#define PDAG_SCHEDULER_SAMPLE_INTERNAL_H

#include "graph/entry.h"
#include "scheduler/sample.h"

#define PDAG_BEFORE (PDAG_MAX_TERMS - 1)

/** Round k on its way through the blocks. */
typedef struct pdag_sweep {
    size_t round;
    size_t begin, end;  /* its window */
    size_t next;        /* the next row to update; everything before is */
    size_t n_passed;    /* rows that pass the stop test, from the first on */
    bool decided;       /* how many rows are done is known, */
    size_t n_done;      /* this many */
    pdag_carry carry;
    float *x;           /* [D] new state at `next` */
    float *before;      /* [p - 1][D] this round's m_{next-1}, m_{next-2} .. */
    float *before_new;  /* [p - 1][D] as the sweep left them */
    double *residual;   /* [end - begin], the record's */
    double *change;     /* [W] */
    double grown_old, grown_new; /* squares for solver.restart */
} pdag_sweep;

typedef enum pdag_block_state {
    PDAG_BLOCK_WAITS,   /* for its rows of this round */
    PDAG_BLOCK_ASKED,   /* E(k,b) was given out */
    PDAG_BLOCK_ANSWERED /* and has come back */
} pdag_block_state;

typedef struct pdag_block {
    size_t round;
    pdag_block_state state;
    unsigned awaited; /* while ASKED: bit m: the output with mix m is */
} pdag_block;

struct pdag_sample {
    const pdag_sample_plan *plan;
    size_t index;
    uint64_t seed;
    pdag_solver *solver;
    pdag_window window;   /* of the newest round that is open */
    pdag_stop_reason stop;

    size_t n_sweeps, room; /* rounds under way, oldest first: round .. */
    pdag_sweep **sweep;    /* [room] */
    size_t n_spare;
    pdag_sweep **spare;    /* [room], of which n_spare can be used again */
    size_t entered;       /* rows before this one have a state */

    size_t n_slots;       /* blocks in work at once; block b has slot b % n_slots */
    pdag_block *block;    /* [n_slots] */
    float *tail;          /* [n_slots][D] */
    float *m;             /* [n_slots * block_rows][D] values that E gave; a window
                             in row order for solvers that look ahead */
    float *other;         /* [n_slots * block_rows][D] the first of two outputs that
                             are mixed; NULL where none are */
    float *x;             /* [N + 1][D] */
    float *noise;         /* [N][D] unit noise of the steps, or NULL */
    float *f;             /* [U rows][D] step results; NULL for one-step samplers,
                             whose values are the steps, as the next two */
    float *value;         /* [N][D] values of rows that are done */
    float *value_new;     /* [U rows][D] */
    float *x_new;         /* [U rows][D] */
    float *last_e;        /* [D] network output at the window's last row */
    float *z;             /* [D] held clean state */
    float *scratch;       /* [2][D] */

    bool changed;         /* blocks may be ready that nobody was told of */
    bool probing;         /* a probe of row probe_row is under way, */
    bool probe_asked;     /* and was given out */
    size_t probe_row, n_probes;
    double probe_scale;   /* h */
    float *probe;         /* [D] x + h delta, then its step; NULL without probes */
    float *product;       /* [D] derivative along delta; NULL without probes */

    double *slope;        /* [N] J_i; the plan's until they are measured */
    double *residual_rms; /* [N], last measured before acceptance */
    size_t n_set;         /* states 0 .. n_set - 1 have a value */
    size_t round;         /* rounds complete */
    size_t evaluations;
    double largest_residual; /* of the round completed last, as the next one */
    double *last_change;     /* [W] */
    pdag_round_record *history; /* [max_rounds]; the first `round` are complete */
};

/** Rows that one U may take: a block's, or the window's where the solver looks
 *  ahead. */
size_t pdag_sample_update_room(const pdag_sample_plan *plan);

/** scheduler/sample_make.c: memory, noise and first guess. */
pdag_status pdag_sample_fill_first(pdag_sample *sample, const float *unit_noise,
                                   const float *start);
/** The next of sample->sweep, without contents, new or used again.  As many as the
 *  window has rows can be under way where every round takes a row off. */
pdag_sweep *pdag_sweep_take(pdag_sample *sample);
void pdag_sweep_destroy(pdag_sweep *sweep);

/** The oldest round under way; the only one where rounds wait for each other. */
static inline pdag_sweep *pdag_sample_oldest(const pdag_sample *sample)
{
    return sample->sweep[0];
}

static inline pdag_block *pdag_sample_slot(const pdag_sample *sample, size_t block)
{
    return &sample->block[block % sample->n_slots];
}

static inline float *pdag_sample_tail(const pdag_sample *sample, size_t block)
{
    return sample->tail +
           block % sample->n_slots * sample->plan->transition->dim;
}

/** lambda of round k, and whether it is over 0: then the map changes after it. */
static inline double pdag_sample_lambda(const pdag_sample *sample, size_t round)
{
    return round < sample->plan->n_lambda ? sample->plan->lambda[round] : 0.0;
}

static inline bool pdag_sample_is_mixed(const pdag_sample *sample, size_t round)
{
    return round < sample->plan->n_lambda;
}

/** scheduler/sample.c: where row i's value of this round is. */
float *pdag_sample_value_at(const pdag_sample *sample, size_t row);
/** NULL where round k is complete or not open. */
pdag_sweep *pdag_sample_find_sweep(const pdag_sample *sample, size_t round);
/** The window of the round after `sweep`, and that round where there is one. */
void pdag_sample_go_on_after(pdag_sample *sample, const pdag_sweep *sweep);
/** Block states and tails for rows [from, to), which have just got states. */
void pdag_sample_arm(pdag_sample *sample, size_t from, size_t to, size_t round);

/** scheduler/sample_update.c: U of rows sweep->next .. + n - 1. */
pdag_status pdag_sample_update_rows(pdag_sample *sample, pdag_sweep *sweep,
                                    size_t n);

/** scheduler/sample_probe.c: begin or go on with a sweep that needs probes;
 *  *waiting_out: an evaluation is needed before it can go on. */
pdag_status pdag_sample_sweep(pdag_sample *sample, bool *waiting_out);

/** scheduler/sample_enter.c: states for the rows after old_end up to new_end, when
 *  every round before theirs is complete; `sweep` is the last of those. */
void pdag_sample_enter(pdag_sample *sample, const pdag_sweep *sweep,
                       size_t new_end);
/** c^2 from the clean state that the first round leads to. */
void pdag_sample_measure_variance(pdag_sample *sample, const pdag_sweep *sweep);

#endif
