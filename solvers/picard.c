#include <math.h>
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
    pdag_solver *s = pdag_xcalloc(1, sizeof *s);

    s->ops = &pdag_solver_picard;
    s->opts = *opts;
    *solver_out = s;
    return PDAG_OK;
}

static void picard_reset(pdag_solver *solver)
{
    (void)solver; /* keeps nothing between rounds */
}

static pdag_status picard_update(pdag_solver *solver, size_t first, size_t n,
                                 const float *x, const float *f,
                                 const double *slope, pdag_carry *carry,
                                 float *x_new, double *residual, double *change)
{
    size_t dim = solver->opts.dim;
    double *delta = carry->delta;

    for (size_t i = 0; i < n; i++) {
        const float *old = x + (i + 1) * dim;
        const float *step = f + i * dim;
        float *new = x_new + i * dim;
        double residual_sq = 0.0;
        double change_sq = 0.0;

        for (size_t d = 0; d < dim; d++) {
            double r = (double)old[d] - (double)step[d];

            new[d] = (float)((double)step[d] + slope[i] * delta[d]);
            delta[d] = (double)new[d] - (double)old[d];
            residual_sq += r * r;
            change_sq += delta[d] * delta[d];
        }
        residual[i] = sqrt(residual_sq / (double)dim);
        change[i] = sqrt(change_sq / (double)dim);
        if (!isfinite(residual[i]) || !isfinite(change[i]))
            return pdag_error(PDAG_ERR_NAN, "row %zu: the update is not finite",
                              first + i);
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
    .create = picard_create,
    .reset = picard_reset,
    .update = picard_update,
    .destroy = picard_destroy,
};
