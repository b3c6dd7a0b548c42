/** solvers/methods.h: the ops tables that solvers/solver.c lists; a new method is
 *  one file and one line here and there. */
#ifndef PDAG_SOLVERS_METHODS_H
#define PDAG_SOLVERS_METHODS_H

#include "solvers/solver.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const pdag_solver_ops pdag_solver_picard;
extern const pdag_solver_ops pdag_solver_sequential;

#ifdef __cplusplus
}
#endif

#endif
