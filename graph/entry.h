/** graph/entry.h: what the states of rows start from: the first guess
 *  (solver.start) and the rows that enter the window later (solver.entry). */
#ifndef PDAG_GRAPH_ENTRY_H
#define PDAG_GRAPH_ENTRY_H

#include <stddef.h>

#include "graph/transition.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What a roll-out of the sampler's steps needs besides the states. */
typedef struct pdag_entry {
    const pdag_transition *tr;
    const float *noise; /* [N][D] unit noise, or NULL where the sampler has none */
    float *value;       /* [N][D] values: the guessed ones of rows from `from` on
                           are written; NULL for one-step samplers */
    float *scratch;     /* [2][D] */
    const float *before[PDAG_MAX_TERMS]; /* values of rows from - 1, from - 2 ..,
                           [D] each, as many as one step reads and there are */
} pdag_entry;

/** States from + 1 .. to become copies of state `from` (ParaDiGMS).
 *  x: [N + 1][D]. */
void pdag_entry_copies(size_t dim, size_t from, size_t to, float *x);

/** States from + 1 .. to by the sampler's own steps, with the prediction z[D] of
 *  the clean state held and the frozen noise (ParaSolver's roll-out). */
void pdag_entry_held_x0(const pdag_entry *entry, const float *z, size_t from,
                        size_t to, float *x);

/** The same with the clean state that independent Gaussian data would have: the
 *  exact sampler of N(mean, variance).  statistics: [2][D] mean, variance. */
void pdag_entry_gaussian(const pdag_entry *entry, const float *statistics,
                         size_t from, size_t to, float *x);

#ifdef __cplusplus
}
#endif
#endif
