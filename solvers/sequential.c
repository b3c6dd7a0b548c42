#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "solvers/methods.h"

/* solvers/sequential.c: the ordinary sampler, one row a round; the truth that the
   other methods are compared with, through the same scheduler and workers. */

static pdag_status sequential_create(const pdag_solver_opts *opts,
                                     pdag_solver **solver_out)
{
    pdag_solver *s = pdag_xcalloc(1, sizeof *s);

    s->ops = &pdag_solver_sequential;
    s->opts = *opts;
    *solver_out = s;
    return PDAG_OK;
}

static void sequential_reset(pdag_solver *solver)
{
    (void)solver;
}

static pdag_status sequential_update(pdag_solver *solver, size_t first,
                                     size_t n, const float *x, const float *f,
                                     const double *slope, pdag_carry *carry,
                                     float *x_new, double *residual,
                                     double *change)
{
    size_t dim = solver->opts.dim;

    (void)slope;
    for (size_t i = 0; i < n; i++) {
        const float *old = x + (i + 1) * dim;
        double sum_sq = 0.0;

        for (size_t d = 0; d < dim; d++) {
            carry->delta[d] = (double)f[i * dim + d] - (double)old[d];
            sum_sq += carry->delta[d] * carry->delta[d];
        }
        if (!isfinite(sum_sq))
            return pdag_error(PDAG_ERR_NAN, "row %zu: the step is not finite",
                              first + i);
        memcpy(x_new + i * dim, f + i * dim, dim * sizeof *x_new);
        residual[i] = sqrt(sum_sq / (double)dim);
        change[i] = residual[i];
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
