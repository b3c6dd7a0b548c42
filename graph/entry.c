#include "graph/entry.h"

#include <string.h>

void pdag_entry_copies(size_t dim, size_t from, size_t to, float *x)
{
    for (size_t i = from + 1; i <= to; i++)
        memcpy(x + i * dim, x + from * dim, dim * sizeof *x);
}

void pdag_entry_held_x0(const pdag_transition *tr, const float *z,
                        const float *noise, size_t from, size_t to, float *x,
                        float *e)
{
    size_t dim = tr->dim;

    for (size_t i = from; i < to; i++) {
        const float *xi = noise != NULL ? noise + i * dim : NULL;

        pdag_transition_e_of_x0(tr, i, x + i * dim, z, e);
        pdag_transition_step(tr, i, x + i * dim, e, xi, x + (i + 1) * dim);
    }
}
