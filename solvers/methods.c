#include "solvers/methods.h"

#include <math.h>

#include "base/fatal.h"

pdag_status pdag_method_check(const pdag_solver_ops *ops,
                              const pdag_solver_opts *opts)
{
    if (opts->n_rows == 0 || opts->dim == 0)
        return pdag_error(PDAG_ERR_ARG, "solver.method: %s: no rows, or states "
                          "of no size", ops->name);
    if (opts->n_terms < 1 || opts->n_terms > PDAG_SOLVER_MAX_TERMS)
        return pdag_error(PDAG_ERR_ARG, "solver.method: %s: steps of %zu values, "
                          "expected 1..%d", ops->name, opts->n_terms,
                          PDAG_SOLVER_MAX_TERMS);
    if (opts->n_terms > 1 && (opts->own == NULL || opts->weight == NULL))
        return pdag_error(PDAG_ERR_ARG, "solver.method: %s: a step of several "
                          "values without its weights", ops->name);
    if (ops->uses_slope && opts->slope == NULL)
        return pdag_error(PDAG_ERR_ARG, "solver.slope: %s needs slopes",
                          ops->name);
    if (ops->uses_history && opts->history > PDAG_SOLVER_MAX_HISTORY)
        return pdag_error(PDAG_ERR_ARG, "solver.history: %zu, expected 0..%d",
                          opts->history, PDAG_SOLVER_MAX_HISTORY);
    if (opts->bands && ops != &pdag_solver_secant)
        return pdag_error(PDAG_ERR_ARG, "solver.slope: %s learns no bands",
                          ops->name);
    return PDAG_OK;
}

size_t pdag_method_window(const pdag_solver_opts *opts)
{
    return opts->window == 0 || opts->window > opts->n_rows ? opts->n_rows
                                                            : opts->window;
}

void pdag_method_check_block(const pdag_solver_opts *opts,
                             const pdag_solver_block *block)
{
    PDAG_ASSERT(block->first >= block->begin &&
                block->first + block->n - block->begin <=
                    pdag_method_window(opts));
}

double pdag_method_value_slope(const pdag_solver_opts *opts, size_t i)
{
    double weight;

    if (opts->n_terms == 1)
        return opts->slope[i];
    weight = opts->weight[i * opts->n_terms];
    return weight != 0.0 ? (opts->slope[i] - opts->own[i]) / weight : 0.0;
}

void pdag_method_value(const pdag_solver_opts *opts,
                       const pdag_solver_block *block, size_t i,
                       const double *delta)
{
    double slope;

    if (opts->n_terms == 1)
        return;
    slope = pdag_method_value_slope(opts, block->first + i);
    for (size_t d = 0; d < opts->dim; d += PDAG_TILE) {
        size_t n = pdag_tile(opts->dim, d);
        size_t at = i * opts->dim + d;
        double change[PDAG_TILE];

        pdag_vec_scale(n, slope, delta + d, change);
        pdag_vec_value(n, block->value + at, change, block->value_new + at);
    }
}

void pdag_method_finish(const pdag_solver_opts *opts,
                        const pdag_solver_block *block, size_t i, size_t d,
                        const double *extra, double *delta, pdag_row_sums *sums)
{
    size_t at = i * opts->dim + d;

    pdag_vec_finish(pdag_tile(opts->dim, d), block->f + at,
                    pdag_solver_next_state(block, opts->dim, i) + d, extra,
                    block->x_new + at, delta + d, sums);
}

pdag_status pdag_method_row_end(const pdag_solver_opts *opts,
                                const pdag_solver_block *block, size_t i,
                                const pdag_row_sums *sums)
{
    double residual_sq = pdag_lanes_sum(&sums->residual_sq);
    double change_sq = pdag_lanes_sum(&sums->change_sq);

    if (!isfinite(residual_sq) || !isfinite(change_sq))
        return pdag_error(PDAG_ERR_NAN, "row %zu: the update is not finite",
                          block->first + i);
    block->residual[i] = sqrt(residual_sq / (double)opts->dim);
    block->change[i] = sqrt(change_sq / (double)opts->dim);
    return PDAG_OK;
}
