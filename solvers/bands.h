/** solvers/bands.h: slopes learned on line in frequency bands.
 *
 *  A state [C][H][W] is split by radial frequency into PDAG_BANDS bands, P_b v.
 *  The split is made with the separable discrete Hartley transform, whose
 *  coefficients at (+-k, +-l) span what the Fourier coefficients there do; a
 *  radial band holds all four.  Band edges: 0.5, 1.6, 2.6, 4.1, 6.1 cycles per
 *  side of a picture of 16 pixels, scaled with the side; the last band is the
 *  rest.  States of other shapes are one band, without a transform.
 *
 *  With dx, dm the newest differences of a row's state and value, and sums over the
 *  rounds so far in which each round weighs ten times the one before (slopes of the
 *  first rounds, far from the solution, would mislead the last ones),
 *
 *      S_ib = sum_{j=i-4..i} sum <dm_jb - mu_j dx_jb, dx_jb> / gain_j
 *             / sum_{j=i-4..i} sum <dx_jb, dx_jb>,
 *
 *  the slope of row i in band b is mu_i + gain_i S_ib.  gain: of opts where p = 1,
 *  else 1; a row with |gain| < 1e-6 neither learns nor is corrected.  The sums of
 *  the four rows before come in the carry, or, before the window, from what those
 *  rows, final now, have left. */
#ifndef PDAG_SOLVERS_BANDS_H
#define PDAG_SOLVERS_BANDS_H

#include "solvers/history.h"
#include "solvers/solver.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PDAG_BANDS 6
#define PDAG_BANDS_ROWS 5 /* rows that share what they learn */

/** <dm, dx> and <dx, dx> of a row by band. */
typedef struct pdag_band_sums {
    double cross[PDAG_BANDS];
    double square[PDAG_BANDS];
} pdag_band_sums;

#define PDAG_BANDS_CARRY_DOUBLES (PDAG_BANDS_ROWS * 2 * PDAG_BANDS)

typedef struct pdag_bands pdag_bands;

/** PDAG_ERR_ARG: no gain where p = 1, or a shape that does not have D scalars;
 *  PDAG_ERR_NOMEM. */
pdag_status pdag_bands_create(const pdag_solver_opts *opts,
                              pdag_bands **bands_out);
void pdag_bands_reset(pdag_bands *bands);
void pdag_bands_destroy(pdag_bands *bands); /* NULL is allowed */

/** For pdag_solver_ops.each_state(). */
pdag_status pdag_bands_each_state(pdag_bands *bands, pdag_solver_visit visit,
                                  void *user);

/** Before the window's first row: its part of the carry,
 *  [PDAG_BANDS_CARRY_DOUBLES]. */
void pdag_bands_begin(const pdag_bands *bands, size_t begin, double *carry);

/** One row: learn from its newest differences (x, value are this round's; history,
 *  a: x_i, b: m_i, has those of the round before), leave its sums in the carry,
 *  and return gain_i sum_b S_ib P_b (delta - sum_{h<n} g_h dX_h), [D], or NULL
 *  where that is 0.  Borrowed until the next call. */
const double *pdag_bands_row(pdag_bands *bands, const pdag_history *history,
                             size_t row, size_t n, const double *g,
                             const float *x, const float *value,
                             const double *delta, double *carry);

#ifdef __cplusplus
}
#endif
#endif
