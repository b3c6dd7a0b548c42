/** solvers/stop.h: residuals and changes of a round -> how many rows are done.
 *  Rules and their reasons: docs/numerics.md, "when a row is done". */
#ifndef PDAG_SOLVERS_STOP_H
#define PDAG_SOLVERS_STOP_H

#include <stddef.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** solver.stop */
typedef enum pdag_stop_rule {
    PDAG_STOP_ERROR,    /* residual and change <= tolerance */
    PDAG_STOP_RESIDUAL, /* residual <= tolerance (ParaTAA's test) */
    PDAG_STOP_RELATIVE, /* as error, tolerance times the step's deviation v */
    PDAG_STOP_PARADIGMS /* change <= tolerance v (arXiv:2305.16317, line 9) */
} pdag_stop_rule;

/** Why a sample ended; not an error code. */
typedef enum pdag_stop_reason {
    PDAG_STOPPED_NOT, /* still going */
    PDAG_STOPPED_CONVERGED,
    PDAG_STOPPED_MAX_ROUNDS,
    PDAG_STOPPED_SEQUENTIAL,
    PDAG_STOPPED_FAILED,
    PDAG_STOPPED_STOPPED
} pdag_stop_reason;

/** run.json's word for it. */
const char *pdag_stop_reason_text(pdag_stop_reason reason);

pdag_status pdag_stop_rule_parse(const char *name, pdag_stop_rule *rule_out);

/** v_j of a whole trajectory, the scale of the relative rules: [N + 1], the
 *  DDPM posterior deviation of the step that starts at state j, where the last
 *  two (0 or tiny) take the one before; noise_std: [N].  A model without noise
 *  there (all zero) has no scale: PDAG_ERR_ARG. */
pdag_status pdag_stop_scales(size_t n_steps, const double *noise_std,
                             double *scale_out);

/** How many of n rows pass, counted from the first up to one that does not.
 *  residual, change: RMS, [n]; scale: v_{i+1} of row i, [n] (used by the relative
 *  rules only). */
size_t pdag_stop_passed(pdag_stop_rule rule, double tolerance, size_t n,
                        const double *residual, const double *change,
                        const double *scale);

/** Rows to take off the front of a window of n rows of which the first `passed`
 *  passed: 1..n.  The first row is exact by construction.  `error` and `residual`
 *  take those that passed; `relative` and `paradigms` take one more, the first
 *  failing one, since its input passed (the window moves onto the first failing
 *  state, arXiv:2305.16317). */
size_t pdag_stop_accept(pdag_stop_rule rule, size_t passed, size_t n);

#ifdef __cplusplus
}
#endif
#endif
