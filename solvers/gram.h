/** solvers/gram.h: the small regularised least-squares problems, in float64. */
#ifndef PDAG_SOLVERS_GRAM_H
#define PDAG_SOLVERS_GRAM_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Solve (G + ridge I) g = q for the leading n rows and columns of the symmetric
 *  `gram` (row-major, `stride` numbers a row), n <= PDAG_SOLVER_MAX_HISTORY.
 *  false, and g_out all 0, where the matrix is not positive definite or a number
 *  is not finite. */
bool pdag_gram_solve(size_t n, const double *gram, size_t stride, double ridge,
                     const double *q, double *g_out);

#ifdef __cplusplus
}
#endif
#endif
