/** graph/loops.h: what the scheduler does to every element of a state for each
 *  task, beside the solver.  Outputs may be the inputs. */
#ifndef PDAG_GRAPH_LOOPS_H
#define PDAG_GRAPH_LOOPS_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** f = a x + b e + c xi, in float64 and in this order; without the last where xi is
 *  NULL. */
void pdag_loop_linear(size_t n, double a, const float *x, double b,
                      const float *e, double c, const float *xi, float *f);

/** out = a x, in float64; a 1 keeps the bits. */
void pdag_loop_scale(size_t n, double a, const float *x, float *out);

/** Whether no value is infinite or not a number. */
bool pdag_loop_all_finite(size_t n, const float *values);

#ifdef __cplusplus
}
#endif
#endif
