#include "graph/entry.h"

#include <string.h>

void pdag_entry_copies(size_t dim, size_t from, size_t to, float *x)
{
    for (size_t i = from + 1; i <= to; i++)
        memcpy(x + i * dim, x + from * dim, dim * sizeof *x);
}

/* One step of a roll-out from state i, where the model says z. */
static void step(const pdag_entry *entry, const float *z, size_t from, size_t i,
                 float *x)
{
    const pdag_transition *tr = entry->tr;
    size_t dim = tr->dim;
    const float *xi = entry->noise != NULL ? entry->noise + i * dim : NULL;
    float *m = tr->n_terms > 1 ? entry->value + i * dim : entry->scratch;
    const float *values[PDAG_MAX_TERMS] = {m};

    pdag_transition_value_of_x0(tr, i, x + i * dim, z, xi, m);
    for (size_t j = 1; j < tr->n_terms && j <= i; j++)
        values[j] = i - j >= from ? entry->value + (i - j) * dim
                                  : entry->before[from - (i - j) - 1];
    pdag_transition_step(tr, i, x + i * dim, values, xi, x + (i + 1) * dim);
}

void pdag_entry_held_x0(const pdag_entry *entry, const float *z, size_t from,
                        size_t to, float *x)
{
    for (size_t i = from; i < to; i++)
        step(entry, z, from, i, x);
}

void pdag_entry_gaussian(const pdag_entry *entry, const float *statistics,
                         size_t from, size_t to, float *x)
{
    size_t dim = entry->tr->dim;
    float *z = entry->scratch + dim;

    for (size_t i = from; i < to; i++) {
        pdag_transition_gaussian_x0(entry->tr, i, x + i * dim, statistics,
                                    statistics + dim, z);
        step(entry, z, from, i, x);
    }
}
