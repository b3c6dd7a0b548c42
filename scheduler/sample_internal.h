/** scheduler/sample_internal.h: the inside of a sample; private to
 *  scheduler/sample*.c. */
#ifndef PDAG_SCHEDULER_SAMPLE_INTERNAL_H
#define PDAG_SCHEDULER_SAMPLE_INTERNAL_H

#include "graph/entry.h"
#include "scheduler/sample.h"

struct pdag_sample {
    const pdag_sample_plan *plan;
    size_t index;
    uint64_t seed;
    pdag_solver *solver;
    pdag_carry carry;
    pdag_window window;
    pdag_stop_reason stop;

    float *x;         /* [N + 1][D] */
    float *noise;     /* [N][D] unit noise of the steps, or NULL */
    float *f;         /* [W][D] step results of the window's rows */
    float *x_new;     /* [W][D] */
    float *value;     /* [N][D] values; NULL for one-step samplers, as the next */
    float *value_new; /* [W][D] */
    float *last_e;    /* [D] network output at the window's last row */
    float *z;         /* [D] held clean state */
    float *scratch;   /* [2][D] */

    bool probing;     /* a probe of row probe_row is under way */
    size_t probe_row, n_probes;
    double probe_scale; /* h */
    float *probe;     /* [D] x + h delta, then its step; NULL without probes */
    float *product;   /* [D] derivative along delta; NULL without probes */

    double *slope;             /* [N] J_i; the plan's until they are measured */
    double *residual, *change; /* [W] */
    double *residual_rms;      /* [N], last measured before acceptance */
    size_t n_pending;          /* blocks of this round without result */
    size_t n_set;              /* states 0 .. n_set - 1 have a value */
    size_t round, evaluations;
    double largest_residual;
    pdag_round_record *history; /* [round] */
};

/** scheduler/sample_make.c: memory, noise and first guess. */
pdag_status pdag_sample_fill_first(pdag_sample *sample, const float *unit_noise,
                                   const float *start);

/** scheduler/sample.c: U(k,b) of rows first .. first + n - 1. */
pdag_status pdag_sample_update_rows(pdag_sample *sample, size_t first, size_t n);

/** scheduler/sample_probe.c: begin or go on with a sweep that needs probes;
 *  *waiting_out: an evaluation is needed before it can go on. */
pdag_status pdag_sample_sweep(pdag_sample *sample, bool *waiting_out);

#endif
