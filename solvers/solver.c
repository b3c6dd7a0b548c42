#include "solvers/solver.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "solvers/methods.h"

static const pdag_solver_ops *const methods[] = {
    &pdag_solver_picard,
    &pdag_solver_sequential,
    NULL,
};

const pdag_solver_ops *const *pdag_solver_list(void)
{
    return methods;
}

const pdag_solver_ops *pdag_solver_find(const char *name)
{
    for (size_t i = 0; methods[i] != NULL; i++)
        if (strcmp(methods[i]->name, name) == 0)
            return methods[i];
    return NULL;
}

pdag_status pdag_carry_create(size_t dim, pdag_carry *carry_out)
{
    void *delta;
    pdag_status status =
        pdag_alloc_tensor(dim, sizeof(double), "solver carry", &delta);

    if (status == PDAG_OK)
        carry_out->delta = delta;
    return status;
}

void pdag_carry_zero(pdag_carry *carry, size_t dim)
{
    memset(carry->delta, 0, dim * sizeof *carry->delta);
}

void pdag_carry_clear(pdag_carry *carry)
{
    free(carry->delta);
    carry->delta = NULL;
}
