/** solvers/solver.h: the update of one block of rows, U(k,b) of the task graph.
 *
 *  Row i is (x_i, f_i): the state of the round before and the sampler's own step
 *  f_i = F_i(x_i) from it.  A round of update() calls, in row order, sweeps
 *
 *      x_{i+1}^{new} = f_i + (a model of F_i) (x_i^{new} - x_i)
 *
 *  over the window; whatever the model is, the fixed point is the sequential run,
 *  and a row is exact as soon as everything before it is.  A solver knows neither
 *  network nor sampler nor MPI.  Sources: Shih et al. 2023, arXiv:2305.16317; the
 *  common form is in docs/numerics.md.
 *
 *  Order of calls: create(); reset() before each sample; per round update() for
 *  every block of the window, first block with a zero carry; destroy().
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

/** What a block hands to the next one of its round. */
typedef struct pdag_carry {
    double *delta; /* [D]: x_i^{new} - x_i at the block's first row */
} pdag_carry;

/** PDAG_ERR_NOMEM.  Starts as zero, which is right for the window's first row. */
pdag_status pdag_carry_create(size_t dim, pdag_carry *carry_out);
void pdag_carry_zero(pdag_carry *carry, size_t dim);
void pdag_carry_clear(pdag_carry *carry);

typedef struct pdag_solver_opts {
    size_t n_rows; /* N */
    size_t dim;    /* D */
} pdag_solver_opts;

typedef struct pdag_solver_ops pdag_solver_ops;

/** An implementation embeds this as its first member. */
typedef struct pdag_solver {
    const pdag_solver_ops *ops;
    pdag_solver_opts opts;
} pdag_solver;

struct pdag_solver_ops {
    const char *name;  /* solver.method */
    bool triangular;   /* x_{i+1} reads rows <= i only */
    size_t max_window; /* rows it works on at most; 0: any number */

    /** PDAG_ERR_NOMEM; the caller owns *solver_out. */
    pdag_status (*create)(const pdag_solver_opts *opts, pdag_solver **solver_out);
    /** Forget everything of the sample before. */
    void (*reset)(pdag_solver *solver);
    /** Rows first .. first + n - 1 of one round.
     *  x: [n + 1][D] states x_first .. x_{first+n} of the round before.
     *  f: [n][D].  slope: J_i, [n].  carry: in, delta at row first; out, delta at
     *  row first + n.  x_new: [n][D], states first + 1 .. first + n; not x.
     *  residual: [n], RMS of x_{i+1} - f_i.  change: [n], RMS of
     *  x_{i+1}^{new} - x_{i+1}.  Sums in float64.
     *  PDAG_ERR_NAN names the row; then nothing that was kept is changed. */
    pdag_status (*update)(pdag_solver *solver, size_t first, size_t n,
                          const float *x, const float *f, const double *slope,
                          pdag_carry *carry, float *x_new, double *residual,
                          double *change);
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
