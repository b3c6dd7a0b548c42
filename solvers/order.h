/** solvers/order.h: ParaTAA's order-k equations (arXiv:2402.09970, definition
 *  2.1) as a recursion.
 *
 *  F^{(k)}_{i+1} restarts the sweep from x_{max(i+1-k, begin)}.  With the
 *  first-order residuals rho_i = f_i - x_{i+1}, R = F^{(k)}(X) - X is
 *
 *      R_{i+1} = J_i R_i + rho_i - (J_{i-k+1} .. J_i) rho_{i-k},
 *
 *  where rows before `begin` contribute nothing; the last term is absent for the
 *  full order, which any k is that is not below the window's width.  Its part of
 *  the carry: R_{i+1} and the last k residuals. */
#ifndef PDAG_SOLVERS_ORDER_H
#define PDAG_SOLVERS_ORDER_H

#include "solvers/solver.h"
#include "solvers/vec.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Numbers of the carry that it needs. */
size_t pdag_order_doubles(const pdag_solver_opts *opts);

/** What a row needs besides its vectors. */
typedef struct pdag_order_row {
    double slope, product;
    double *r;          /* [D] R_i in, R_{i+1} out */
    double *rho_before; /* [D] rho_{i-k}, NULL for the full order */
} pdag_order_row;

/** carry: the part of pdag_order_doubles() numbers. */
pdag_order_row pdag_order_begin(const pdag_solver_opts *opts, size_t row,
                                double *carry);

/** Elements [d, d + n) of a row; f: f_i, old: x_{i+1}, [D].  extra_out:
 *  R_{i+1} - rho_i, [n], exactly 0 where all residuals before row i are, so that
 *  x_{i+1}^{new} = f + extra is then f to the last bit.  rho_sq += |rho_i|^2. */
void pdag_order_tile(const pdag_order_row *row, const float *f, const float *old,
                     size_t d, size_t n, double *extra_out, pdag_lanes *rho_sq);

#ifdef __cplusplus
}
#endif
#endif
