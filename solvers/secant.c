#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "solvers/bands.h"
#include "solvers/gram.h"
#include "solvers/history.h"
#include "solvers/methods.h"

/* solvers/secant.c: the sweep with a multisecant model of each row's own value
   (docs/numerics.md, "the secant sweep").  With delta = x_i^{new} - x_i, dX and dM
   the last m - 1 differences of x_i and of the row's value m_i over the rounds,
   and mu the slope of m_i by x_i,

       dm_i = mu delta + (dM - mu dX) g,
       g = (dX^T dX + lam tr / (m-1) I)^{-1} dX^T delta,  every |g| at most 2,
       x_{i+1}^{new} = f_i + own_i delta + sum_j weight_ij dm_{i-j},

   which for one-step samplers is f_i + dm_i with mu = J_i.  delta = 0 gives g = 0
   and f_i to the last bit, so a row is exact as soon as its input is.  With bands
   the slope mu is corrected in radial frequency bands (solvers/bands.h), and the
   secants take what is left. */

#define RIDGE 1e-3       /* lam, relative to the mean of the diagonal */
#define LARGEST 2.0      /* |g| */
#define ROUNDING 1e-12   /* |dX|^2 / |x|^2 below which differences are noise */

typedef struct secant {
    pdag_solver base;
    pdag_history history; /* a: x_i, b: m_i */
    pdag_bands *bands;    /* NULL: none */
} secant;

/* The carry: delta, then dm_{i-1} .. dm_{i-p+1} in a ring, then the bands'. */
static double *value_change(const secant *s, double *v, size_t row)
{
    const pdag_solver_opts *opts = &s->base.opts;

    return v + (1 + row % (opts->n_terms - 1)) * opts->dim;
}

static void secant_destroy(pdag_solver *solver)
{
    secant *s = (secant *)solver;

    if (s == NULL)
        return;
    pdag_history_clear(&s->history);
    pdag_bands_destroy(s->bands);
    free(s);
}

static pdag_status secant_create(const pdag_solver_opts *opts,
                                 pdag_solver **solver_out)
{
    pdag_status status = pdag_method_check(&pdag_solver_secant, opts);
    /* Bands learn from one difference, which the secants then do not use. */
    size_t m = opts->bands && opts->history < 2 ? 2 : opts->history;
    secant *s;

    if (status != PDAG_OK)
        return status;
    s = pdag_xcalloc(1, sizeof *s);
    s->base.ops = &pdag_solver_secant;
    s->base.opts = *opts;
    s->base.carry_doubles = opts->n_terms * opts->dim +
                            (opts->bands ? PDAG_BANDS_CARRY_DOUBLES : 0);
    status = pdag_history_create(pdag_method_window(opts), opts->dim, m,
                                 &s->history);
    if (status == PDAG_OK && opts->bands)
        status = pdag_bands_create(opts, &s->bands);
    if (status != PDAG_OK) {
        secant_destroy(&s->base);
        return status;
    }
    *solver_out = &s->base;
    return PDAG_OK;
}

static void secant_reset(pdag_solver *solver)
{
    secant *s = (secant *)solver;

    pdag_history_reset(&s->history);
    if (s->bands != NULL)
        pdag_bands_reset(s->bands);
}

/* g of the row; returns how many differences it uses, 0: none. */
static size_t coefficients(secant *s, size_t row, const float *x,
                           const double *delta, double *g_out)
{
    size_t age = pdag_history_age(&s->history, row);
    size_t depth = s->history.depth;
    const double *gram = pdag_history_gram(&s->history, row);
    double q[PDAG_SOLVER_MAX_HISTORY];
    double trace = 0.0;
    double x_sq;
    bool any = false;

    if (age == 0)
        return 0;
    pdag_history_dots(&s->history, row, x, delta, q, &x_sq);
    for (size_t h = 0; h < age; h++)
        trace += gram[h * depth + h];
    if (s->base.opts.history < 2 || !(trace >= ROUNDING * x_sq) ||
        !pdag_gram_solve(age, gram, depth, RIDGE * trace / (double)age, q, g_out))
        return 0;
    for (size_t h = 0; h < age; h++) {
        g_out[h] = fmin(fmax(g_out[h], -LARGEST), LARGEST);
        any = any || g_out[h] != 0.0;
    }
    return any ? age : 0;
}

/* Where p > 1, for the tile at d: what f_i lacks, out of delta, this row's value
   change and those before. */
static void combine(const secant *s, const pdag_solver_block *block, size_t i,
                    size_t d, double *carry, double *change, double *extra_out)
{
    const pdag_solver_opts *opts = &s->base.opts;
    size_t n = pdag_tile(opts->dim, d);
    size_t at = i * opts->dim + d;
    size_t row = block->first + i;
    const double *weight = opts->weight + row * opts->n_terms;

    pdag_vec_value(n, block->value + at, change, block->value_new + at);
    pdag_vec_scale(n, opts->own[row], carry + d, extra_out);
    pdag_vec_add(n, weight[0], change, extra_out);
    for (size_t j = 1; j < opts->n_terms && j <= row; j++)
        pdag_vec_add(n, weight[j], value_change(s, carry, row - j) + d, extra_out);
    memcpy(value_change(s, carry, row) + d, change, n * sizeof *change);
}

/* One row; carry: the block's, from delta on. */
static pdag_status update_row(secant *s, const pdag_solver_block *block, size_t i,
                              double *carry)
{
    const pdag_solver_opts *opts = &s->base.opts;
    size_t dim = opts->dim;
    size_t row = block->first + i;
    const float *x = block->x + i * dim;
    const float *value = block->value + i * dim;
    const double *correction = NULL;
    double slope = pdag_method_value_slope(opts, row);
    double g[PDAG_SOLVER_MAX_HISTORY];
    size_t used = coefficients(s, row, x, carry, g);
    pdag_row_sums sums = {{{0.0}}, {{0.0}}};

    if (s->bands != NULL)
        correction = pdag_bands_row(s->bands, &s->history, row, used, g, x, value,
                                    carry, carry + opts->n_terms * dim);
    for (size_t d = 0; d < dim; d += PDAG_TILE) {
        size_t n = pdag_tile(dim, d);
        double change[PDAG_TILE];
        double extra[PDAG_TILE];

        pdag_vec_scale(n, slope, carry + d, change);
        pdag_history_add(&s->history, row, used, g, slope, x, value, d, n, change);
        if (correction != NULL)
            pdag_vec_add(n, 1.0, correction + d, change);
        pdag_history_store(&s->history, row, x, value, d, n);
        if (opts->n_terms > 1)
            combine(s, block, i, d, carry, change, extra);
        pdag_method_finish(opts, block, i, d, opts->n_terms > 1 ? extra : change,
                           carry, &sums);
    }
    pdag_history_advance(&s->history, row);
    return pdag_method_row_end(opts, block, i, &sums);
}

static pdag_status secant_update(pdag_solver *solver,
                                 const pdag_solver_block *block,
                                 pdag_carry *carry)
{
    secant *s = (secant *)solver;
    pdag_status status = PDAG_OK;

    pdag_method_check_block(&solver->opts, block);
    if (s->bands != NULL && block->first == block->begin)
        pdag_bands_begin(s->bands, block->begin,
                         carry->v + solver->opts.n_terms * solver->opts.dim);
    for (size_t i = 0; i < block->n && status == PDAG_OK; i++)
        status = update_row(s, block, i, carry->v);
    return status;
}

static pdag_status secant_each_state(pdag_solver *solver,
                                    pdag_solver_visit visit, void *user)
{
    secant *s = (secant *)solver;
    pdag_status status = pdag_history_each_state(&s->history, visit, user);

    return status == PDAG_OK && s->bands != NULL
               ? pdag_bands_each_state(s->bands, visit, user) : status;
}

const pdag_solver_ops pdag_solver_secant = {
    .name = "secant",
    .triangular = true,
    .uses_slope = true,
    .uses_history = true,
    .create = secant_create,
    .reset = secant_reset,
    .update = secant_update,
    .each_state = secant_each_state,
    .destroy = secant_destroy,
};
