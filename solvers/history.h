/** solvers/history.h: the last snapshots of each row, and sums over them.
 *
 *  A row has two vectors of D scalars, a and b, whose last m - 1 values are kept
 *  in float32; with the values of this round they give up to m - 1 differences of
 *  successive rounds, newest first:
 *
 *      da_0 = a(now) - a(1),   da_h = a(h) - a(h + 1),   a(h): h rounds ago.
 *
 *  A row that entered the window late has fewer.  The Gram matrix of a row's
 *  da_h is kept and gets one new row a round.
 *  There is place for W rows: row i has slot i % W, so that any W rows in
 *  sequence have one each.  A slot belongs to the row last advanced; other rows
 *  have age 0, and what a row before has left is never read.
 *  Per round and row: dots(); then, for each tile [d, d + n) of the D scalars,
 *  add() and store(); then advance().  Vectors are given from their element 0,
 *  `out` from d.
 */
#ifndef PDAG_SOLVERS_HISTORY_H
#define PDAG_SOLVERS_HISTORY_H

#include <stddef.h>

#include "base/status.h"
#include "solvers/solver.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_history {
    size_t width; /* W */
    size_t dim;
    size_t depth;  /* m - 1, 0 where m <= 1: then there is nothing in it */
    float *a, *b;  /* [W][depth][dim], a ring each */
    size_t *row;   /* [W] whose the slot is */
    size_t *age;   /* [W] snapshots kept = differences there are */
    size_t *head;  /* [W] place of the newest in the ring */
    double *gram;  /* [W][depth][depth], <da_g, da_h> */
} pdag_history;

/** Of W = width >= 1 rows; m snapshots with this round's.  PDAG_ERR_NOMEM. */
pdag_status pdag_history_create(size_t width, size_t dim, size_t m,
                                pdag_history *history_out);
void pdag_history_reset(pdag_history *history);
void pdag_history_clear(pdag_history *history); /* zeroed is allowed */

/** All of it, for pdag_solver_ops.each_state(). */
pdag_status pdag_history_each_state(pdag_history *history,
                                    pdag_solver_visit visit, void *user);

static inline size_t pdag_history_slot(const pdag_history *history, size_t row)
{
    return row % history->width;
}

static inline size_t pdag_history_age(const pdag_history *history, size_t row)
{
    size_t slot = pdag_history_slot(history, row);

    return history->depth > 0 && history->row[slot] == row ? history->age[slot]
                                                           : 0;
}

/** The row's Gram matrix, `depth` numbers a row, leading age x age in use. */
static inline double *pdag_history_gram(const pdag_history *history, size_t row)
{
    return history->gram +
           pdag_history_slot(history, row) * history->depth * history->depth;
}

/** With a: this round's vector, [dim], bring the row's Gram matrix up to date and
 *  give q_out[h] = <da_h, u>, h < age, and |a|^2; u: [dim].  age > 0. */
void pdag_history_dots(pdag_history *history, size_t row, const float *a,
                       const double *u, double *q_out, double *a_sq_out);

/** out += sum_{h<used} g_h (db_h - s da_h), used <= age; a, b: this round's. */
void pdag_history_add(const pdag_history *history, size_t row, size_t used,
                      const double *g, double s, const float *a, const float *b,
                      size_t d, size_t n, double *out);

/** out += sum_{h<used} g_h da_h */
void pdag_history_add_a(const pdag_history *history, size_t row, size_t used,
                        const double *g, const float *a, size_t d, size_t n,
                        double *out);

/** The round before's, [dim]; age > 0. */
const float *pdag_history_newest_a(const pdag_history *history, size_t row);
const float *pdag_history_newest_b(const pdag_history *history, size_t row);

/** This round's vectors take the place of the oldest snapshots. */
void pdag_history_store(pdag_history *history, size_t row, const float *a,
                        const float *b, size_t d, size_t n);
/** What was stored is the newest snapshot now, and the slot the row's. */
void pdag_history_advance(pdag_history *history, size_t row);

#ifdef __cplusplus
}
#endif
#endif
