#include <stdlib.h>

#include "base/mem.h"
#include "solvers/methods.h"

/* solvers/picard.c: Picard iteration (ParaDiGMS, Shih et al. 2023,
   arXiv:2305.16317, algorithm 1).  The published cumulative sum
       x'_{j+1} = x_begin + sum_{i=begin..j} (f_i - x_i)
   is the sweep x_{i+1}^{new} = f_i + J_i (x_i^{new} - x_i) with J = 1: each row
   passes the change of its own state on.  Written as a sweep it needs a carry of
   one vector between blocks, and other slopes J cost nothing. */

static pdag_status picard_create(const pdag_solver_opts *opts,
                                 pdag_solver **solver_out)
{
    pdag_status status = pdag_method_check(&pdag_solver_picard, opts);
    pdag_solver *s;

    if (status != PDAG_OK)
        return status;
    s = pdag_xcalloc(1, sizeof *s);
    s->ops = &pdag_solver_picard;
    s->opts = *opts;
    s->carry_doubles = opts->dim;
    *solver_out = s;
    return PDAG_OK;
}

static void picard_reset(pdag_solver *solver)
{
    (void)solver; /* keeps nothing between rounds */
}

static pdag_status picard_update(pdag_solver *solver,
                                 const pdag_solver_block *block,
                                 pdag_carry *carry)
{
    const pdag_solver_opts *opts = &solver->opts;
    size_t dim = opts->dim;

    for (size_t i = 0; i < block->n; i++) {
        double slope = opts->slope[block->first + i];
        pdag_row_sums sums = {{{0.0}}, {{0.0}}};
        double extra[PDAG_TILE];
        pdag_status status;

        pdag_method_value(opts, block, i, carry->v);
        for (size_t d = 0; d < dim; d += PDAG_TILE) {
            pdag_vec_scale(pdag_tile(dim, d), slope, carry->v + d, extra);
            pdag_method_finish(opts, block, i, d, extra, carry->v, &sums);
        }
        status = pdag_method_row_end(opts, block, i, &sums);
        if (status != PDAG_OK)
            return status;
    }
    return PDAG_OK;
}

static void picard_destroy(pdag_solver *solver)
{
    free(solver);
}

const pdag_solver_ops pdag_solver_picard = {
    .name = "picard",
    .triangular = true,
    .uses_slope = true,
    .create = picard_create,
    .reset = picard_reset,
    .update = picard_update,
    .destroy = picard_destroy,
};
