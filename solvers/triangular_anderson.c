#include <stdlib.h>

#include "base/mem.h"
#include "solvers/gram.h"
#include "solvers/history.h"
#include "solvers/methods.h"
#include "solvers/order.h"

/* solvers/triangular_anderson.c: ParaTAA's triangular Anderson acceleration (Tang
   et al. 2024, arXiv:2402.09970, section 3) of the order-k equations.  With
   R_{i+1} of solvers/order.h and dX_h, dR_h the differences of its last rounds, a
   row takes
       x^{new} = x + R - (dX + dR) gamma,   (G + lam I) gamma = q,
       G = sum_{j=begin..i} dR_j^T dR_j,    q = sum_{j=begin..i} dR_j^T R_j:
   the sums run towards the noise end only, so they pass from block to block in
   the carry.  A row that entered late adds the differences that it has, the
   newest ones, and uses as many columns (the released code pads with zeros).

   Safeguard (theorem 3.6): a row whose inputs in the window all have residual 0
   takes gamma = 0: its input is final, and R alone makes it exact. */

#define RIDGE 1e-3 /* lam of the released code, absolute */

typedef struct triangular {
    pdag_solver base;
    pdag_history history; /* a: R, b: x_{i+1} */
    double *extra;        /* [D] */
    float *r;             /* [D], R as it is kept */
} triangular;

/* Parts of the carry. */
typedef struct parts {
    double *moved; /* not 0 as soon as a residual was not */
    double *delta; /* [D] x_i^{new} - x_i */
    double *order;
    double *gram; /* [m-1][m-1] */
    double *q;    /* [m-1] */
} parts;

static parts parts_of(const triangular *s, double *v)
{
    size_t dim = s->base.opts.dim;
    size_t depth = s->history.depth;
    parts p = {v, v + 1, v + 1 + dim, NULL, NULL};

    p.gram = p.order + pdag_order_doubles(&s->base.opts);
    p.q = p.gram + depth * depth;
    return p;
}

static void triangular_destroy(pdag_solver *solver)
{
    triangular *s = (triangular *)solver;

    if (s == NULL)
        return;
    pdag_history_clear(&s->history);
    free(s->extra);
    free(s->r);
    free(s);
}

static pdag_status triangular_create(const pdag_solver_opts *opts,
                                     pdag_solver **solver_out)
{
    pdag_status status = pdag_method_check(&pdag_solver_triangular_anderson, opts);
    triangular *s;
    void *extra = NULL;
    void *r = NULL;

    if (status != PDAG_OK)
        return status;
    s = pdag_xcalloc(1, sizeof *s);
    status = pdag_history_create(pdag_method_window(opts), opts->dim,
                                 opts->history, &s->history);
    if (status == PDAG_OK)
        status = pdag_alloc_tensor(opts->dim, sizeof(double), "solver workspace",
                                   &extra);
    if (status == PDAG_OK)
        status = pdag_alloc_tensor(opts->dim, sizeof(float), "solver workspace",
                                   &r);
    s->base.ops = &pdag_solver_triangular_anderson;
    s->base.opts = *opts;
    s->base.carry_doubles = 1 + opts->dim + pdag_order_doubles(opts) +
                            s->history.depth * (s->history.depth + 1);
    s->extra = extra;
    s->r = r;
    if (status != PDAG_OK) {
        triangular_destroy(&s->base);
        return status;
    }
    *solver_out = &s->base;
    return PDAG_OK;
}

static void triangular_reset(pdag_solver *solver)
{
    pdag_history_reset(&((triangular *)solver)->history);
}

/* R_{i+1} into the carry and, as it is kept, s->r; what f_i lacks without history
   into s->extra.  Returns whether the row is settled: no residual before it. */
static bool plain_row(triangular *s, const pdag_solver_block *block, size_t i,
                      const parts *p)
{
    const pdag_solver_opts *opts = &s->base.opts;
    size_t dim = opts->dim;
    pdag_order_row row = pdag_order_begin(opts, block->first + i, p->order);
    pdag_lanes rho_sq = {{0.0}};
    bool settled = *p->moved == 0.0;

    for (size_t d = 0; d < dim; d += PDAG_TILE) {
        size_t n = pdag_tile(dim, d);

        pdag_order_tile(&row, block->f + i * dim,
                        pdag_solver_next_state(block, dim, i), d, n,
                        s->extra + d, &rho_sq);
        pdag_vec_narrow(n, row.r + d, s->r + d);
    }
    if (pdag_lanes_sum(&rho_sq) != 0.0)
        *p->moved = 1.0;
    return settled;
}

/* The row's sums into the carry; -gamma out, and how many there are. */
static size_t coefficients(triangular *s, size_t row, bool settled, const parts *p,
                           double *g_out)
{
    size_t age = pdag_history_age(&s->history, row);
    size_t depth = s->history.depth;
    const double *gram = pdag_history_gram(&s->history, row);
    double q[PDAG_SOLVER_MAX_HISTORY];
    double r_sq;

    if (age == 0)
        return 0;
    pdag_history_dots(&s->history, row, s->r, p->order, q, &r_sq);
    for (size_t i = 0; i < age; i++) {
        for (size_t j = 0; j < age; j++)
            p->gram[i * depth + j] += gram[i * depth + j];
        p->q[i] += q[i];
    }
    if (settled || !pdag_gram_solve(age, p->gram, depth, RIDGE, p->q, g_out))
        return 0;
    for (size_t h = 0; h < age; h++)
        g_out[h] = -g_out[h];
    return age;
}

static pdag_status triangular_update(pdag_solver *solver,
                                     const pdag_solver_block *block,
                                     pdag_carry *carry)
{
    triangular *s = (triangular *)solver;
    const pdag_solver_opts *opts = &solver->opts;
    parts p = parts_of(s, carry->v);
    size_t dim = opts->dim;

    pdag_method_check_block(opts, block);
    for (size_t i = 0; i < block->n; i++) {
        const float *old = pdag_solver_next_state(block, dim, i);
        size_t row = block->first + i;
        pdag_row_sums sums = {{{0.0}}, {{0.0}}};
        double g[PDAG_SOLVER_MAX_HISTORY];
        pdag_status status;
        bool settled = plain_row(s, block, i, &p);
        size_t used = coefficients(s, row, settled, &p, g);

        pdag_method_value(opts, block, i, p.delta);
        for (size_t d = 0; d < dim; d += PDAG_TILE) {
            size_t n = pdag_tile(dim, d);

            pdag_history_add(&s->history, row, used, g, -1.0, s->r, old, d, n,
                             s->extra + d);
            pdag_history_store(&s->history, row, s->r, old, d, n);
            pdag_method_finish(opts, block, i, d, s->extra + d, p.delta, &sums);
        }
        pdag_history_advance(&s->history, row);
        status = pdag_method_row_end(opts, block, i, &sums);
        if (status != PDAG_OK)
            return status;
    }
    return PDAG_OK;
}

static pdag_status triangular_each_state(pdag_solver *solver,
                                         pdag_solver_visit visit, void *user)
{
    return pdag_history_each_state(&((triangular *)solver)->history, visit, user);
}

const pdag_solver_ops pdag_solver_triangular_anderson = {
    .name = "triangular-anderson",
    .triangular = true,
    .uses_slope = true,
    .uses_history = true,
    .uses_order = true,
    .create = triangular_create,
    .reset = triangular_reset,
    .update = triangular_update,
    .each_state = triangular_each_state,
    .destroy = triangular_destroy,
};
