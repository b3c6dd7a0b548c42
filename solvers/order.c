#include "solvers/order.h"

#include <stddef.h>

#include "solvers/methods.h"

/* k, or 0 for the full order. */
static size_t order_of(const pdag_solver_opts *opts)
{
    return opts->order < pdag_method_window(opts) ? opts->order : 0;
}

size_t pdag_order_doubles(const pdag_solver_opts *opts)
{
    return (1 + order_of(opts)) * opts->dim;
}

pdag_order_row pdag_order_begin(const pdag_solver_opts *opts, size_t row,
                                double *carry)
{
    size_t k = order_of(opts);
    pdag_order_row o = {opts->slope[row], 1.0, carry, NULL};

    if (k > 0) {
        /* Row i - k left its residual where row i puts its own. */
        o.rho_before = carry + (1 + row % k) * opts->dim;
        for (size_t l = 0; l < k && l <= row; l++)
            o.product *= opts->slope[row - l];
    }
    return o;
}

void pdag_order_tile(const pdag_order_row *row, const float *f, const float *old,
                     size_t d, size_t n, double *extra_out, pdag_lanes *rho_sq)
{
    pdag_vec_order(n, row->slope, row->product, f + d, old + d, row->r + d,
                   row->rho_before == NULL ? NULL : row->rho_before + d,
                   extra_out, rho_sq);
}
