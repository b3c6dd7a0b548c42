#include "solvers/history.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "solvers/solver.h"
#include "solvers/vec.h"

pdag_status pdag_history_create(size_t width, size_t dim, size_t m,
                                pdag_history *history_out)
{
    pdag_history h = {.width = width, .dim = dim, .depth = m > 1 ? m - 1 : 0};
    size_t vectors;
    void *a = NULL;
    void *b = NULL;
    void *gram = NULL;
    pdag_status status = PDAG_OK;

    if (h.depth == 0) {
        *history_out = h;
        return PDAG_OK;
    }
    if (!pdag_mul_size(width, h.depth, &vectors))
        return pdag_error(PDAG_ERR_NOMEM, "solver.history: too many snapshots");
    status = pdag_alloc_tensor(vectors, dim * sizeof(float), "solver.history", &a);
    if (status == PDAG_OK)
        status = pdag_alloc_tensor(vectors, dim * sizeof(float), "solver.history",
                                   &b);
    if (status == PDAG_OK)
        status = pdag_alloc_tensor(vectors, h.depth * sizeof(double),
                                   "solver.history", &gram);
    if (status != PDAG_OK) {
        free(a);
        free(b);
        return status;
    }
    h.a = a;
    h.b = b;
    h.gram = gram;
    h.row = pdag_xcalloc(width, sizeof *h.row);
    h.age = pdag_xcalloc(width, sizeof *h.age);
    h.head = pdag_xcalloc(width, sizeof *h.head);
    *history_out = h;
    return PDAG_OK;
}

void pdag_history_reset(pdag_history *history)
{
    if (history->depth > 0)
        memset(history->age, 0, history->width * sizeof *history->age);
}

void pdag_history_clear(pdag_history *history)
{
    free(history->a);
    free(history->b);
    free(history->gram);
    free(history->row);
    free(history->age);
    free(history->head);
    memset(history, 0, sizeof *history);
}

pdag_status pdag_history_each_state(pdag_history *history,
                                    pdag_solver_visit visit, void *user)
{
    size_t slots = history->width * history->depth;
    size_t vectors = slots * history->dim * sizeof(float);
    size_t numbers = history->width * sizeof *history->row;
    pdag_status status;

    if (history->depth == 0)
        return PDAG_OK;
    status = visit(user, "history.a", history->a, vectors);
    if (status == PDAG_OK)
        status = visit(user, "history.b", history->b, vectors);
    if (status == PDAG_OK)
        status = visit(user, "history.gram", history->gram,
                       slots * history->depth * sizeof *history->gram);
    if (status == PDAG_OK)
        status = visit(user, "history.row", history->row, numbers);
    if (status == PDAG_OK)
        status = visit(user, "history.age", history->age, numbers);
    if (status == PDAG_OK)
        status = visit(user, "history.head", history->head, numbers);
    for (size_t i = 0; i < history->width && status == PDAG_OK; i++)
        if (history->age[i] > history->depth || history->head[i] >= history->depth)
            status = pdag_error(PDAG_ERR_FORMAT,
                                "solver.history: age %zu, place %zu of %zu",
                                history->age[i], history->head[i], history->depth);
    return status;
}

/* Where the snapshot of h >= 1 rounds ago starts in the rings. */
static size_t snapshot(const pdag_history *history, size_t row, size_t h)
{
    size_t depth = history->depth;
    size_t slot = pdag_history_slot(history, row);
    size_t at = (history->head[slot] + depth - (h - 1)) % depth;

    return (slot * depth + at) * history->dim;
}

static void shift_gram(pdag_history *history, size_t row, const double *newest)
{
    size_t depth = history->depth;
    size_t age = pdag_history_age(history, row);
    double *gram = pdag_history_gram(history, row);

    for (size_t i = age; i-- > 1;)
        for (size_t j = age; j-- > 1;)
            gram[i * depth + j] = gram[(i - 1) * depth + j - 1];
    for (size_t j = 0; j < age; j++) {
        gram[j] = newest[j];
        gram[j * depth] = newest[j];
    }
}

void pdag_history_dots(pdag_history *history, size_t row, const float *a,
                       const double *u, double *q_out, double *a_sq_out)
{
    size_t age = pdag_history_age(history, row);
    pdag_lanes with_newest[PDAG_SOLVER_MAX_HISTORY];
    pdag_lanes with_u[PDAG_SOLVER_MAX_HISTORY];
    pdag_lanes a_sq = {{0.0}};
    double newest[PDAG_SOLVER_MAX_HISTORY];
    double tile[PDAG_TILE];

    memset(with_newest, 0, age * sizeof *with_newest);
    memset(with_u, 0, age * sizeof *with_u);
    for (size_t d = 0; d < history->dim; d += PDAG_TILE) {
        size_t n = pdag_tile(history->dim, d);
        const float *later = a + d;

        pdag_vec_norm_sq(n, later, &a_sq);
        pdag_vec_diff(n, later, history->a + snapshot(history, row, 1) + d, tile);
        for (size_t h = 0; h < age; h++) {
            const float *earlier = history->a + snapshot(history, row, h + 1) + d;

            pdag_vec_dot_diff(n, later, earlier, tile, u + d, with_newest + h,
                              with_u + h);
            later = earlier;
        }
    }
    for (size_t h = 0; h < age; h++) {
        newest[h] = pdag_lanes_sum(with_newest + h);
        q_out[h] = pdag_lanes_sum(with_u + h);
    }
    *a_sq_out = pdag_lanes_sum(&a_sq);
    shift_gram(history, row, newest);
}

/* sum_h g_h (y_h - y_{h+1}) by snapshots: y_0 has g_0, y_h has g_h - g_{h-1}. */
static double snapshot_weight(size_t used, const double *g, size_t h)
{
    return (h < used ? g[h] : 0.0) - g[h - 1];
}

void pdag_history_add(const pdag_history *history, size_t row, size_t used,
                      const double *g, double s, const float *a, const float *b,
                      size_t d, size_t n, double *out)
{
    if (used == 0)
        return;
    pdag_vec_add_pair(n, g[0], s, a + d, b + d, out);
    for (size_t h = 1; h <= used; h++) {
        size_t at = snapshot(history, row, h) + d;

        pdag_vec_add_pair(n, snapshot_weight(used, g, h), s, history->a + at,
                          history->b + at, out);
    }
}

void pdag_history_add_a(const pdag_history *history, size_t row, size_t used,
                        const double *g, const float *a, size_t d, size_t n,
                        double *out)
{
    if (used == 0)
        return;
    pdag_vec_add_float(n, g[0], a + d, out);
    for (size_t h = 1; h <= used; h++)
        pdag_vec_add_float(n, snapshot_weight(used, g, h),
                           history->a + snapshot(history, row, h) + d, out);
}

const float *pdag_history_newest_a(const pdag_history *history, size_t row)
{
    return history->a + snapshot(history, row, 1);
}

const float *pdag_history_newest_b(const pdag_history *history, size_t row)
{
    return history->b + snapshot(history, row, 1);
}

void pdag_history_store(pdag_history *history, size_t row, const float *a,
                        const float *b, size_t d, size_t n)
{
    size_t depth = history->depth;
    size_t slot = pdag_history_slot(history, row);
    size_t at;

    if (depth == 0)
        return;
    /* The place after the newest: free, or the oldest's. */
    at = (slot * depth + (history->head[slot] + 1) % depth) * history->dim + d;
    memcpy(history->a + at, a + d, n * sizeof *a);
    memcpy(history->b + at, b + d, n * sizeof *b);
}

void pdag_history_advance(pdag_history *history, size_t row)
{
    size_t depth = history->depth;
    size_t slot = pdag_history_slot(history, row);

    if (depth == 0)
        return;
    if (history->row[slot] != row) {
        history->row[slot] = row;
        history->age[slot] = 0;
    }
    history->head[slot] = (history->head[slot] + 1) % depth;
    if (history->age[slot] < depth)
        history->age[slot]++;
}
