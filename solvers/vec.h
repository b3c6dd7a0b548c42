/** solvers/vec.h: the loops over D that all methods share.
 *
 *  Sums run in float64 over PDAG_LANES partial sums: element d belongs to lane
 *  d % PDAG_LANES, so a sum has the same bits however a vector is cut into tiles
 *  (which start at multiples of PDAG_LANES) and the compiler may use vector
 *  registers without reordering anything. */
#ifndef PDAG_SOLVERS_VEC_H
#define PDAG_SOLVERS_VEC_H

#include <stddef.h>

#include "base/wide.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PDAG_LANES 8
#define PDAG_TILE 512 /* elements, a multiple of PDAG_LANES: stays in L1 */

/** Elements of the tile that starts at d. */
static inline size_t pdag_tile(size_t n, size_t d)
{
    return n - d < PDAG_TILE ? n - d : PDAG_TILE;
}

typedef struct pdag_lanes {
    double v[PDAG_LANES];
} pdag_lanes;

double pdag_lanes_sum(const pdag_lanes *lanes);

/** What one row adds up; starts as zero. */
typedef struct pdag_row_sums {
    pdag_lanes residual_sq; /* |old - f|^2 */
    pdag_lanes change_sq;   /* |new - old|^2 */
} pdag_row_sums;

/** x_new = f + extra in float32; delta_out = x_new - old.  No two overlap. */
void pdag_vec_finish(size_t n, const float *f, const float *old,
                     const double *extra, float *x_new, double *delta_out,
                     pdag_row_sums *sums);

/** out = a x */
void pdag_vec_scale(size_t n, double a, const double *x, double *out);

/** out += a x */
void pdag_vec_add(size_t n, double a, const double *x, double *out);
void pdag_vec_add_float(size_t n, double a, const float *x, double *out);

/** value_new = value + change in float32; change becomes value_new - value. */
void pdag_vec_value(size_t n, const float *value, double *change,
                    float *value_new);

/** out = x, rounded to float32 or widened */
void pdag_vec_narrow(size_t n, const double *x, float *out);
void pdag_vec_widen(size_t n, const float *x, double *out);

/** out = a - b */
void pdag_vec_diff(size_t n, const float *a, const float *b, double *out);

/** sum += <x, y> */
void pdag_vec_dot(size_t n, const double *x, const double *y, pdag_lanes *sum);

/** sum += |x|^2 */
void pdag_vec_norm_sq(size_t n, const float *x, pdag_lanes *sum);

/** sum += |a - b|^2 */
void pdag_vec_distance_sq(size_t n, const float *a, const float *b,
                          pdag_lanes *sum);

/** sum_u += <a - b, u>, sum_w += <a - b, w> */
void pdag_vec_dot_diff(size_t n, const float *a, const float *b,
                       const double *u, const double *w, pdag_lanes *sum_u,
                       pdag_lanes *sum_w);

/** One row of the order-k recursion (solvers/order.h), with rho = f - old:
 *  extra = slope r - product rho_before, r = rho + extra, rho_before = rho, and
 *  rho_sq += |rho|^2.  rho_before NULL: that term is 0. */
void pdag_vec_order(size_t n, double slope, double product, const float *f,
                    const float *old, double *r, double *rho_before,
                    double *extra, pdag_lanes *rho_sq);

/** out += c (b - s a) */
void pdag_vec_add_pair(size_t n, double c, double s, const float *a,
                       const float *b, double *out);

#ifdef __cplusplus
}
#endif
#endif
