#include "cli/iterates.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/files.h"

typedef struct rounds {
    size_t n, room;
    float *x; /* [n][N + 1][D], owned */
} rounds;

struct pdag_iterates {
    const pdag_setup *setup;
    size_t n_states;
    rounds *sample; /* [samples] */
};

pdag_iterates *pdag_iterates_open(const pdag_setup *setup)
{
    pdag_iterates *it = pdag_xcalloc(1, sizeof *it);

    it->setup = setup;
    it->n_states = setup->transition->n_rows + 1;
    it->sample = pdag_xcalloc((size_t)setup->job->samples, sizeof *it->sample);
    return it;
}

void pdag_iterates_close(pdag_iterates *it)
{
    if (it == NULL)
        return;
    for (size_t i = 0; i < (size_t)it->setup->job->samples; i++)
        free(it->sample[i].x);
    free(it->sample);
    free(it);
}

static pdag_status make_room(const pdag_iterates *it, rounds *r)
{
    size_t room = 2 * r->room + 8;
    size_t states;
    size_t floats;
    void *memory;
    pdag_status status;

    if (r->n < r->room)
        return PDAG_OK;
    if (!pdag_mul_size(room, it->n_states, &states) ||
        !pdag_mul_size(states, it->setup->dim, &floats))
        return pdag_error(PDAG_ERR_NOMEM, "--save-iterates: too many rounds");
    status = pdag_alloc_tensor(floats, sizeof(float), "iterates", &memory);
    if (status != PDAG_OK)
        return status;
    if (r->n > 0)
        memcpy(memory, r->x, r->n * it->n_states * it->setup->dim * sizeof *r->x);
    free(r->x);
    r->x = memory;
    r->room = room;
    return PDAG_OK;
}

pdag_status pdag_iterates_add(pdag_iterates *it, const pdag_round_state *round)
{
    rounds *r = &it->sample[round->sample];
    size_t set = round->n_set * it->setup->dim;
    size_t all = it->n_states * it->setup->dim;
    pdag_status status = make_room(it, r);
    float *x;

    if (status != PDAG_OK)
        return status;
    x = r->x + r->n * all;
    memcpy(x, round->trajectory, set * sizeof *x);
    for (size_t k = set; k < all; k++)
        x[k] = NAN;
    r->n++;
    return PDAG_OK;
}

pdag_status pdag_iterates_write(pdag_iterates *it, size_t sample,
                                const char *stem)
{
    const pdag_setup *setup = it->setup;
    rounds *r = &it->sample[sample];
    size_t dims[PDAG_STATE_MAX_DIMS + 2] = {r->n, it->n_states};
    char *name = pdag_xasprintf("%s.iterates.npy", stem);
    pdag_status status;

    for (int d = 0; d < setup->n_state_dims; d++)
        dims[d + 2] = setup->state_dims[d];
    status = pdag_file_write_npy(setup->job->output, name, r->x,
                                 setup->n_state_dims + 2, dims);
    free(name);
    free(r->x);
    memset(r, 0, sizeof *r);
    return status;
}
