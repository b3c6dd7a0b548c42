#include <stdlib.h>

#include "base/mem.h"
#include "solvers/methods.h"
#include "solvers/order.h"

/* solvers/order_k.c: fixed-point iteration on the order-k equations (ParaTAA, Tang
   et al. 2024, arXiv:2402.09970, section 2).  The full order with the slopes of
   picard is picard. */

/* Carry: x_i^{new} - x_i, then the equations' own. */
static pdag_status order_k_create(const pdag_solver_opts *opts,
                                  pdag_solver **solver_out)
{
    pdag_status status = pdag_method_check(&pdag_solver_order_k, opts);
    pdag_solver *s;

    if (status != PDAG_OK)
        return status;
    s = pdag_xcalloc(1, sizeof *s);
    s->ops = &pdag_solver_order_k;
    s->opts = *opts;
    s->carry_doubles = opts->dim + pdag_order_doubles(opts);
    *solver_out = s;
    return PDAG_OK;
}

static void order_k_reset(pdag_solver *solver)
{
    (void)solver; /* keeps nothing between rounds */
}

static pdag_status order_k_update(pdag_solver *solver,
                                  const pdag_solver_block *block,
                                  pdag_carry *carry)
{
    const pdag_solver_opts *opts = &solver->opts;
    size_t dim = opts->dim;

    for (size_t i = 0; i < block->n; i++) {
        const float *f = block->f + i * dim;
        const float *old = pdag_solver_next_state(block, dim, i);
        pdag_order_row row =
            pdag_order_begin(opts, block->first + i, carry->v + dim);
        pdag_row_sums sums = {{{0.0}}, {{0.0}}};
        pdag_lanes rho_sq = {{0.0}};
        double extra[PDAG_TILE];
        pdag_status status;

        pdag_method_value(opts, block, i, carry->v);
        for (size_t d = 0; d < dim; d += PDAG_TILE) {
            pdag_order_tile(&row, f, old, d, pdag_tile(dim, d), extra, &rho_sq);
            pdag_method_finish(opts, block, i, d, extra, carry->v, &sums);
        }
        status = pdag_method_row_end(opts, block, i, &sums);
        if (status != PDAG_OK)
            return status;
    }
    return PDAG_OK;
}

static void order_k_destroy(pdag_solver *solver)
{
    free(solver);
}

const pdag_solver_ops pdag_solver_order_k = {
    .name = "order-k",
    .triangular = true,
    .uses_slope = true,
    .uses_order = true,
    .create = order_k_create,
    .reset = order_k_reset,
    .update = order_k_update,
    .destroy = order_k_destroy,
};
