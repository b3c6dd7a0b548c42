#include "solvers/solver.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "solvers/methods.h"

static const pdag_solver_ops *const methods[] = {
    &pdag_solver_picard,
    &pdag_solver_order_k,
    &pdag_solver_triangular_anderson,
    &pdag_solver_anderson,
    &pdag_solver_secant,
    &pdag_solver_newton,
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

pdag_status pdag_carry_create(size_t n, pdag_carry *carry_out)
{
    void *v = NULL;
    pdag_status status = PDAG_OK;

    if (n > 0)
        status = pdag_alloc_tensor(n, sizeof(double), "solver carry", &v);
    if (status == PDAG_OK) {
        carry_out->n = n;
        carry_out->v = v;
    }
    return status;
}

void pdag_carry_zero(pdag_carry *carry)
{
    if (carry->n > 0)
        memset(carry->v, 0, carry->n * sizeof *carry->v);
}

void pdag_carry_clear(pdag_carry *carry)
{
    free(carry->v);
    carry->v = NULL;
    carry->n = 0;
}
