/** solvers/methods.h: the ops tables that solvers/solver.c lists, and what the
 *  methods share; a new method is one file and one line here and there. */
#ifndef PDAG_SOLVERS_METHODS_H
#define PDAG_SOLVERS_METHODS_H

#include "solvers/solver.h"
#include "solvers/vec.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const pdag_solver_ops pdag_solver_anderson;
extern const pdag_solver_ops pdag_solver_newton;
extern const pdag_solver_ops pdag_solver_order_k;
extern const pdag_solver_ops pdag_solver_picard;
extern const pdag_solver_ops pdag_solver_secant;
extern const pdag_solver_ops pdag_solver_sequential;
extern const pdag_solver_ops pdag_solver_triangular_anderson;

/** Sizes, NULL arrays and `bands`, which only secant may have: PDAG_ERR_ARG. */
pdag_status pdag_method_check(const pdag_solver_ops *ops,
                              const pdag_solver_opts *opts);

/** W, 1..N: opts->window with what 0 stands for. */
size_t pdag_method_window(const pdag_solver_opts *opts);

/** Asserts that the block lies within W rows of its window's first: methods with
 *  a history would mix rows. */
void pdag_method_check_block(const pdag_solver_opts *opts,
                             const pdag_solver_block *block);

/** Slope of row i's value by x_i: J_i where p = 1; 0 where the step does not use
 *  the row's own value. */
double pdag_method_value_slope(const pdag_solver_opts *opts, size_t i);

/** Where p > 1: value_new of the block's row i = value + (its slope) delta;
 *  delta: x^{new} - x of the row, [D].  Else nothing. */
void pdag_method_value(const pdag_solver_opts *opts,
                       const pdag_solver_block *block, size_t i,
                       const double *delta);

/** The tile at d of the block's row i: x_new = f + extra, and the change of this
 *  state into delta, [D]; extra: [PDAG_TILE]. */
void pdag_method_finish(const pdag_solver_opts *opts,
                        const pdag_solver_block *block, size_t i, size_t d,
                        const double *extra, double *delta, pdag_row_sums *sums);

/** residual and change of the block's row i from its sums; PDAG_ERR_NAN, naming
 *  the row, where one is not finite. */
pdag_status pdag_method_row_end(const pdag_solver_opts *opts,
                                const pdag_solver_block *block, size_t i,
                                const pdag_row_sums *sums);

#ifdef __cplusplus
}
#endif

#endif
