/** graph/entry.h: what the states of rows start from (job field solver.entry). */
#ifndef PDAG_GRAPH_ENTRY_H
#define PDAG_GRAPH_ENTRY_H

#include <stddef.h>

#include "graph/transition.h"

#ifdef __cplusplus
extern "C" {
#endif

/** States from + 1 .. to become copies of state `from` (ParaDiGMS).
 *  x: [N + 1][D]. */
void pdag_entry_copies(size_t dim, size_t from, size_t to, float *x);

/** States from + 1 .. to by the sampler's own steps, with the prediction z[D] of
 *  the clean state held and the frozen noise (ParaSolver's roll-out).  noise:
 *  [N][D] or NULL where the sampler adds none.  e: scratch, [D]. */
void pdag_entry_held_x0(const pdag_transition *tr, const float *z,
                        const float *noise, size_t from, size_t to, float *x,
                        float *e);

#ifdef __cplusplus
}
#endif
#endif
