#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "solvers/methods.h"

/* solvers/newton.c: Newton's method on the whole chain (DEER, DeepPCR; So et al.
   2025, supplement 2): x_{i+1}^{new} = f_i + F_i'(x_i) (x_i^{new} - x_i), the
   derivative along the row's own change given by the caller.  Rows in sequence, so
   a round takes as long as the sequential sampler: a reference for what first-order
   information could give, not a way to save time. */

static pdag_status newton_create(const pdag_solver_opts *opts,
                                 pdag_solver **solver_out)
{
    pdag_status status = pdag_method_check(&pdag_solver_newton, opts);
    pdag_solver *s;

    if (status != PDAG_OK)
        return status;
    if (opts->n_terms > 1)
        return pdag_error(PDAG_ERR_ARG, "solver.method: newton: only with "
                          "one-step samplers");
    s = pdag_xcalloc(1, sizeof *s);
    s->ops = &pdag_solver_newton;
    s->opts = *opts;
    s->carry_doubles = opts->dim;
    *solver_out = s;
    return PDAG_OK;
}

static void newton_reset(pdag_solver *solver)
{
    (void)solver; /* keeps nothing between rounds */
}

static pdag_status newton_update(pdag_solver *solver,
                                 const pdag_solver_block *block,
                                 pdag_carry *carry)
{
    size_t dim = solver->opts.dim;
    double *delta = carry->v;

    for (size_t i = 0; i < block->n; i++) {
        const float *old = pdag_solver_next_state(block, dim, i);
        const float *f = block->f + i * dim;
        const float *product = block->product + i * dim;
        float *new = block->x_new + i * dim;
        double residual_sq = 0.0;
        double change_sq = 0.0;

        for (size_t d = 0; d < dim; d++) {
            double r = (double)old[d] - (double)f[d];

            new[d] = (float)((double)f[d] + (double)product[d]);
            delta[d] = (double)new[d] - (double)old[d];
            residual_sq += r * r;
            change_sq += delta[d] * delta[d];
        }
        block->residual[i] = sqrt(residual_sq / (double)dim);
        block->change[i] = sqrt(change_sq / (double)dim);
        if (!isfinite(block->residual[i]) || !isfinite(block->change[i]))
            return pdag_error(PDAG_ERR_NAN, "row %zu: the update is not finite",
                              block->first + i);
    }
    return PDAG_OK;
}

static void newton_destroy(pdag_solver *solver)
{
    free(solver);
}

const pdag_solver_ops pdag_solver_newton = {
    .name = "newton",
    .triangular = true,
    .probes = true,
    .create = newton_create,
    .reset = newton_reset,
    .update = newton_update,
    .destroy = newton_destroy,
};
