#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "solvers/methods.h"

/* solvers/sequential.c: the ordinary sampler, one row a round; the truth that the
   other methods are compared with, through the same scheduler and workers. */

static pdag_status sequential_create(const pdag_solver_opts *opts,
                                     pdag_solver **solver_out)
{
    pdag_status status = pdag_method_check(&pdag_solver_sequential, opts);
    pdag_solver *s;

    if (status != PDAG_OK)
        return status;
    s = pdag_xcalloc(1, sizeof *s);
    s->ops = &pdag_solver_sequential;
    s->opts = *opts;
    *solver_out = s;
    return PDAG_OK;
}

static void sequential_reset(pdag_solver *solver)
{
    (void)solver;
}

static pdag_status sequential_update(pdag_solver *solver,
                                     const pdag_solver_block *block,
                                     pdag_carry *carry)
{
    size_t dim = solver->opts.dim;
    size_t bytes = block->n * dim * sizeof *block->x_new;

    (void)carry;
    memcpy(block->x_new, block->f, bytes);
    if (block->value_new != NULL)
        memcpy(block->value_new, block->value, bytes);
    for (size_t i = 0; i < block->n; i++) {
        pdag_row_sums sums = {{{0.0}}, {{0.0}}};
        pdag_status status;

        pdag_vec_distance_sq(dim, block->f + i * dim,
                             pdag_solver_next_state(block, dim, i),
                             &sums.residual_sq);
        sums.change_sq = sums.residual_sq;
        status = pdag_method_row_end(&solver->opts, block, i, &sums);
        if (status != PDAG_OK)
            return status;
    }
    return PDAG_OK;
}

static void sequential_destroy(pdag_solver *solver)
{
    free(solver);
}

const pdag_solver_ops pdag_solver_sequential = {
    .name = "sequential",
    .triangular = true,
    .max_window = 1,
    .create = sequential_create,
    .reset = sequential_reset,
    .update = sequential_update,
    .destroy = sequential_destroy,
};
