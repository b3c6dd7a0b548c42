/** solvers/solver.h: the update of one block of rows, U(k,b) of the task graph.
 *
 *  Row i is (x_i, m_i): the state of the round before and the value that the
 *  network's output gave there.  The sampler is linear in values,
 *
 *      x_{i+1} = own_i x_i + sum_{j<p} weight_ij m_{i-j} + noise_i          (1)
 *
 *  with p = n_terms values in one step.  A one-step sampler (p = 1) takes its own
 *  step for the value, m_i = f_i = F_i(x_i), with own = 0 and weight = 1, so that
 *  clipping and noise are inside; a multistep sampler's value is its prediction
 *  of the clean state (or the network's output).  f_i is (1) from the states and
 *  values of this round.  A round of update() calls, in row order, sweeps
 *
 *      x_{i+1}^{new} = f_i + (a model of F_i) (x_i^{new} - x_i)
 *
 *  over the window; whatever the model is, the fixed point is the sequential run,
 *  and a row is exact as soon as everything before it is.  A solver knows neither
 *  network nor sampler nor MPI.  Sources: Shih et al. 2023, arXiv:2305.16317
 *  (picard); Tang et al. 2024, arXiv:2402.09970 (order-k, triangular-anderson);
 *  the common form and the secant sweep are in docs/numerics.md.
 *
 *  Order of calls: create(); reset() before each sample; per round update() for
 *  every block of the window, first block with a zero carry (a solver that is not
 *  triangular gets the whole window as one block); destroy().  The window may be
 *  narrower than opts.window and moves only forward: a row that it has left does
 *  not come back before reset().  A triangular solver is called in this order for
 *  each block, but the rounds of different blocks may overlap: block b may be
 *  updated in round k + 1 before block b + 1 is in round k, each round with a carry
 *  of its own; what update() reads besides the carry belongs to the block's rows or
 *  to rows before the window.
 *
 *  The smallest implementation is solvers/picard.c; tests/conf_solver.c is the
 *  suite that every variant passes. */
#ifndef PDAG_SOLVERS_SOLVER_H
#define PDAG_SOLVERS_SOLVER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PDAG_SOLVER_MAX_TERMS 5    /* p: PNDM reaches back over y' */
#define PDAG_SOLVER_MAX_HISTORY 64 /* m */

/** What a block hands to the next one of its round.  All zero is right for the
 *  window's first block; the layout is the solver's own. */
typedef struct pdag_carry {
    size_t n; /* solver->carry_doubles */
    double *v;
} pdag_carry;

/** PDAG_ERR_NOMEM.  Starts as zero. */
pdag_status pdag_carry_create(size_t n, pdag_carry *carry_out);
void pdag_carry_zero(pdag_carry *carry);
void pdag_carry_clear(pdag_carry *carry);

/** The arrays are borrowed and must outlive the solver. */
typedef struct pdag_solver_opts {
    size_t n_rows;        /* N */
    size_t window;        /* W: rows in work at once, begin .. begin + W - 1 at
                             most; 0 or over N: N.  History takes memory for W
                             rows, whatever N is */
    size_t dim;           /* D */
    size_t n_terms;       /* p, 1..PDAG_SOLVER_MAX_TERMS */
    const double *own;    /* [N]; NULL where p = 1 (all 0) */
    const double *weight; /* [N][p], weight_ij of m_{i-j}; NULL where p = 1 */
    const double *slope;  /* [N] J_i, slope of x_{i+1} by x_i; where p > 1 that of
                             the value is (J_i - own_i) / weight_i0.  May change
                             between rounds, for all rows at once */
    const double *gain;   /* [N] slope of x_{i+1} by the clean state predicted at
                             row i: what makes learned slopes of neighbouring rows
                             comparable; `bands` only, else may be NULL */
    size_t history;       /* m, snapshots with the newest, 0..MAX_HISTORY;
                             0 and 1: none */
    size_t order;         /* k of the order-k equations; 0: full */
    bool bands;           /* learn slopes in frequency bands (secant) */
    int n_state_dims;     /* 1..3; 3 is [C][H][W], else bands are one band */
    size_t state_dims[3];
} pdag_solver_opts;

typedef struct pdag_solver_ops pdag_solver_ops;

/** An implementation embeds this as its first member. */
typedef struct pdag_solver {
    const pdag_solver_ops *ops;
    pdag_solver_opts opts;
    size_t carry_doubles; /* of the carry that update() needs; set by create() */
} pdag_solver;

/** Rows first .. first + n - 1 of one round; all arrays start at row `first`. */
typedef struct pdag_solver_block {
    size_t begin; /* the window's first row; begin <= first */
    size_t first, n; /* first + n <= begin + opts.window */
    const float *x;     /* [n][D] states x_first .. x_{first+n-1} before, */
    const float *x_end; /* [D] and x_{first+n}, which may lie elsewhere: rounds of
                           neighbouring blocks may differ */
    const float *f;     /* [n][D] the step results f_i */
    const float *value; /* [n][D] m_i; the same pointer as f where p = 1 */
    const float *product; /* [n][D] derivative of F_i along delta_i, which the carry
                           begins with; NULL but for solvers with `probes` */
    /* Results; none overlaps an input. */
    float *x_new;     /* [n][D], states first + 1 .. first + n */
    float *value_new; /* [n][D], the values as the sweep predicts them, so that
                         (1) holds between new states and values (up to rounding
                         for secant; other methods give m_i + (slope of the
                         value) delta_i); NULL where p = 1 */
    double *residual; /* [n], RMS of x_{i+1} - f_i */
    double *change;   /* [n], RMS of x_{i+1}^{new} - x_{i+1} */
} pdag_solver_block;

/** x_{first+i+1} before. */
static inline const float *pdag_solver_next_state(const pdag_solver_block *block,
                                                  size_t dim, size_t i)
{
    return i + 1 < block->n ? block->x + (i + 1) * dim : block->x_end;
}

/** What each_state() calls for every piece of a solver's memory. */
typedef pdag_status (*pdag_solver_visit)(void *user, const char *name,
                                         void *memory, size_t bytes);

struct pdag_solver_ops {
    const char *name;  /* solver.method */
    bool triangular;   /* x_{i+1} reads rows <= i only */
    size_t max_window; /* rows it works on at most; 0: any number */
    bool probes;       /* takes rows one by one, each with its `product`; one-step
                          samplers only */
    bool uses_slope, uses_history, uses_order; /* what of opts it reads */

    /** PDAG_ERR_NOMEM; PDAG_ERR_ARG for opts that the method has no meaning for,
     *  naming the job's field.  The caller owns *solver_out. */
    pdag_status (*create)(const pdag_solver_opts *opts, pdag_solver **solver_out);
    /** Forget everything: of the sample before, or a history that misleads. */
    void (*reset)(pdag_solver *solver);
    /** carry: in and out, see pdag_carry.  Sums in float64.  PDAG_ERR_NAN names
     *  the row; then only reset() and destroy() may follow. */
    pdag_status (*update)(pdag_solver *solver, const pdag_solver_block *block,
                          pdag_carry *carry);
    /** Visit all that update() remembers from one round to the next, always in the
     *  same order with the same names and sizes for the same opts: read, it is what
     *  a checkpoint keeps; written over, the solver goes on from there.  NULL where
     *  nothing is remembered. */
    pdag_status (*each_state)(pdag_solver *solver, pdag_solver_visit visit,
                              void *user);
    void (*destroy)(pdag_solver *solver); /* NULL is allowed */
};

/** All methods built in, NULL-terminated. */
const pdag_solver_ops *const *pdag_solver_list(void);

/** By name, or NULL. */
const pdag_solver_ops *pdag_solver_find(const char *name);

#ifdef __cplusplus
}
#endif
#endif
