#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "solvers/gram.h"
#include "solvers/history.h"
#include "solvers/methods.h"
#include "solvers/order.h"

/* solvers/anderson.c: Anderson acceleration of type II (Walker and Ni 2011,
   doi:10.1137/10078356X) of the order-k equations, as if the window were one
   vector: the sums of solvers/triangular_anderson.c run over all rows, so that a
   row's update reads rows after it, and one gamma serves all.  Rows that have
   fewer differences than others take the solution for as many as they have.  The
   safeguard is the same: rows whose inputs are final take gamma = 0. */

#define RIDGE 1e-3 /* lam of ParaTAA's released code, absolute */

typedef struct anderson {
    pdag_solver base;
    pdag_history history; /* a: R, b: x_{i+1} */
    double *delta;        /* [D] */
    float *r;             /* [W][D], R of this round's rows */
    double *gram;         /* [m-1][m-1] */
    double *q;            /* [m-1] */
} anderson;

static void anderson_destroy(pdag_solver *solver)
{
    anderson *s = (anderson *)solver;

    if (s == NULL)
        return;
    pdag_history_clear(&s->history);
    free(s->delta);
    free(s->r);
    free(s->gram);
    free(s->q);
    free(s);
}

static pdag_status allocate(anderson *s)
{
    const pdag_solver_opts *opts = &s->base.opts;
    void *delta = NULL;
    void *r = NULL;
    size_t width = pdag_method_window(opts);
    pdag_status status =
        pdag_history_create(width, opts->dim, opts->history, &s->history);

    if (status == PDAG_OK)
        status = pdag_alloc_tensor(opts->dim, sizeof(double), "solver workspace",
                                   &delta);
    if (status == PDAG_OK)
        status = pdag_alloc_tensor(width, opts->dim * sizeof(float),
                                   "solver workspace", &r);
    s->delta = delta;
    s->r = r;
    s->gram = pdag_xcalloc(PDAG_SOLVER_MAX_HISTORY * PDAG_SOLVER_MAX_HISTORY,
                           sizeof *s->gram);
    s->q = pdag_xcalloc(PDAG_SOLVER_MAX_HISTORY, sizeof *s->q);
    return status;
}

static pdag_status anderson_create(const pdag_solver_opts *opts,
                                   pdag_solver **solver_out)
{
    pdag_status status = pdag_method_check(&pdag_solver_anderson, opts);
    anderson *s;

    if (status != PDAG_OK)
        return status;
    s = pdag_xcalloc(1, sizeof *s);
    s->base.ops = &pdag_solver_anderson;
    s->base.opts = *opts;
    s->base.carry_doubles = pdag_order_doubles(opts);
    status = allocate(s);
    if (status != PDAG_OK) {
        anderson_destroy(&s->base);
        return status;
    }
    *solver_out = &s->base;
    return PDAG_OK;
}

static void anderson_reset(pdag_solver *solver)
{
    pdag_history_reset(&((anderson *)solver)->history);
}

static void add_sums(anderson *s, size_t row, const float *r, const double *exact)
{
    size_t depth = s->history.depth;
    size_t age = pdag_history_age(&s->history, row);
    const double *gram = pdag_history_gram(&s->history, row);
    double q[PDAG_SOLVER_MAX_HISTORY];
    double r_sq;

    if (age == 0)
        return;
    pdag_history_dots(&s->history, row, r, exact, q, &r_sq);
    for (size_t i = 0; i < age; i++) {
        for (size_t j = 0; j < age; j++)
            s->gram[i * depth + j] += gram[i * depth + j];
        s->q[i] += q[i];
    }
}

/* The order-k step of the block's row i, R into s->r; returns |rho_i|^2. */
static double plain_row(anderson *s, const pdag_solver_block *block, size_t i,
                        double *carry)
{
    const pdag_solver_opts *opts = &s->base.opts;
    size_t dim = opts->dim;
    pdag_order_row row = pdag_order_begin(opts, block->first + i, carry);
    pdag_row_sums sums = {{{0.0}}, {{0.0}}};
    pdag_lanes rho_sq = {{0.0}};
    double extra[PDAG_TILE];

    for (size_t d = 0; d < dim; d += PDAG_TILE) {
        size_t n = pdag_tile(dim, d);

        pdag_order_tile(&row, block->f + i * dim,
                        pdag_solver_next_state(block, dim, i), d, n,
                        extra, &rho_sq);
        pdag_vec_narrow(n, row.r + d, s->r + i * dim + d);
        pdag_method_finish(opts, block, i, d, extra, s->delta, &sums);
    }
    return pdag_lanes_sum(&rho_sq);
}

/* Every row's order-k step, and the sums; returns how many rows from the front
   have final inputs. */
static size_t plain_round(anderson *s, const pdag_solver_block *block,
                          double *carry)
{
    size_t depth = s->history.depth;
    size_t settled = 0;
    bool moved = false;

    for (size_t i = 0; i < depth * depth; i++)
        s->gram[i] = 0.0;
    for (size_t i = 0; i < depth; i++)
        s->q[i] = 0.0;
    for (size_t i = 0; i < block->n; i++) {
        settled += !moved;
        if (plain_row(s, block, i, carry) != 0.0)
            moved = true;
        add_sums(s, block->first + i, s->r + i * s->base.opts.dim, carry);
    }
    return settled;
}

/* The block's row i: x_new from that of the plain step, in place, and its sums. */
static void accelerate(anderson *s, const pdag_solver_block *block, size_t i,
                       size_t used, const double *g, pdag_row_sums *sums)
{
    size_t dim = s->base.opts.dim;
    size_t row = block->first + i;
    const float *r = s->r + i * dim;
    const float *old = pdag_solver_next_state(block, dim, i);
    const float *f = block->f + i * dim;
    float *x_new = block->x_new + i * dim;
    double sum[PDAG_TILE];

    for (size_t d = 0; d < dim; d += PDAG_TILE) {
        size_t n = pdag_tile(dim, d);

        pdag_vec_widen(n, x_new + d, sum);
        pdag_history_add(&s->history, row, used, g, -1.0, r, old, d, n, sum);
        pdag_history_store(&s->history, row, r, old, d, n);
        pdag_vec_narrow(n, sum, x_new + d);
        pdag_vec_distance_sq(n, old + d, f + d, &sums->residual_sq);
        pdag_vec_diff(n, x_new + d, old + d, s->delta + d);
        pdag_vec_dot(n, s->delta + d, s->delta + d, &sums->change_sq);
    }
    pdag_history_advance(&s->history, row);
}

static pdag_status anderson_update(pdag_solver *solver,
                                   const pdag_solver_block *block,
                                   pdag_carry *carry)
{
    anderson *s = (anderson *)solver;
    const pdag_solver_opts *opts = &solver->opts;
    size_t settled;

    pdag_method_check_block(opts, block);
    settled = plain_round(s, block, carry->v);
    memset(s->delta, 0, opts->dim * sizeof *s->delta);
    for (size_t i = 0; i < block->n; i++) {
        size_t age = pdag_history_age(&s->history, block->first + i);
        pdag_row_sums sums = {{{0.0}}, {{0.0}}};
        double g[PDAG_SOLVER_MAX_HISTORY];
        pdag_status status;

        if (i < settled ||
            !pdag_gram_solve(age, s->gram, s->history.depth, RIDGE, s->q, g))
            age = 0;
        for (size_t h = 0; h < age; h++)
            g[h] = -g[h];
        pdag_method_value(opts, block, i, s->delta);
        accelerate(s, block, i, age, g, &sums);
        status = pdag_method_row_end(opts, block, i, &sums);
        if (status != PDAG_OK)
            return status;
    }
    return PDAG_OK;
}

static pdag_status anderson_each_state(pdag_solver *solver,
                                       pdag_solver_visit visit, void *user)
{
    return pdag_history_each_state(&((anderson *)solver)->history, visit, user);
}

const pdag_solver_ops pdag_solver_anderson = {
    .name = "anderson",
    .triangular = false,
    .uses_slope = true,
    .uses_history = true,
    .uses_order = true,
    .create = anderson_create,
    .reset = anderson_reset,
    .update = anderson_update,
    .each_state = anderson_each_state,
    .destroy = anderson_destroy,
};
