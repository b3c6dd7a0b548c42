#include "solvers/vec.h"

/* Each loop is a body over `lanes` elements, inlined once with the constant
   PDAG_LANES, which compilers turn into vector code at -O2, and once for what is
   left over. */
#define FOR_LANES(n, call_full, call_rest)                                    \
    do {                                                                      \
        size_t d = 0;                                                         \
        for (; d + PDAG_LANES <= (n); d += PDAG_LANES)                        \
            call_full;                                                        \
        if (d < (n))                                                          \
            call_rest;                                                        \
    } while (0)

double pdag_lanes_sum(const pdag_lanes *lanes)
{
    const double *v = lanes->v;

    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

static inline void finish(size_t lanes, const float *restrict f,
                          const float *restrict old,
                          const double *restrict extra, float *restrict x_new,
                          double *restrict delta,
                          double *restrict residual_sq,
                          double *restrict change_sq)
{
    for (size_t l = 0; l < lanes; l++) {
        double r = (double)old[l] - (double)f[l];
        float swept = (float)((double)f[l] + extra[l]);
        double change = (double)swept - (double)old[l];

        x_new[l] = swept;
        delta[l] = change;
        residual_sq[l] += r * r;
        change_sq[l] += change * change;
    }
}

PDAG_WIDE void pdag_vec_finish(size_t n, const float *f, const float *old,
                               const double *extra, float *x_new, double *delta_out,
                               pdag_row_sums *sums)
{
    pdag_row_sums s = *sums;

    FOR_LANES(n,
              finish(PDAG_LANES, f + d, old + d, extra + d, x_new + d,
                     delta_out + d, s.residual_sq.v, s.change_sq.v),
              finish(n - d, f + d, old + d, extra + d, x_new + d,
                     delta_out + d, s.residual_sq.v, s.change_sq.v));
    *sums = s;
}

static inline void scale(size_t lanes, double a, const double *restrict x,
                         double *restrict out)
{
    for (size_t l = 0; l < lanes; l++)
        out[l] = a * x[l];
}

PDAG_WIDE void pdag_vec_scale(size_t n, double a, const double *x, double *out)
{
    FOR_LANES(n, scale(PDAG_LANES, a, x + d, out + d),
              scale(n - d, a, x + d, out + d));
}

static inline void add(size_t lanes, double a, const double *restrict x,
                       double *restrict out)
{
    for (size_t l = 0; l < lanes; l++)
        out[l] += a * x[l];
}

PDAG_WIDE void pdag_vec_add(size_t n, double a, const double *x, double *out)
{
    FOR_LANES(n, add(PDAG_LANES, a, x + d, out + d),
              add(n - d, a, x + d, out + d));
}

static inline void add_float(size_t lanes, double a, const float *restrict x,
                             double *restrict out)
{
    for (size_t l = 0; l < lanes; l++)
        out[l] += a * (double)x[l];
}

PDAG_WIDE void pdag_vec_add_float(size_t n, double a, const float *x, double *out)
{
    FOR_LANES(n, add_float(PDAG_LANES, a, x + d, out + d),
              add_float(n - d, a, x + d, out + d));
}

static inline void move_value(size_t lanes, const float *restrict value,
                              double *restrict change,
                              float *restrict value_new)
{
    for (size_t l = 0; l < lanes; l++) {
        float moved = (float)((double)value[l] + change[l]);

        value_new[l] = moved;
        change[l] = (double)moved - (double)value[l];
    }
}

PDAG_WIDE void pdag_vec_value(size_t n, const float *value, double *change,
                              float *value_new)
{
    FOR_LANES(n, move_value(PDAG_LANES, value + d, change + d, value_new + d),
              move_value(n - d, value + d, change + d, value_new + d));
}

static inline void narrow(size_t lanes, const double *restrict x,
                          float *restrict out)
{
    for (size_t l = 0; l < lanes; l++)
        out[l] = (float)x[l];
}

PDAG_WIDE void pdag_vec_narrow(size_t n, const double *x, float *out)
{
    FOR_LANES(n, narrow(PDAG_LANES, x + d, out + d), narrow(n - d, x + d, out + d));
}

static inline void widen(size_t lanes, const float *restrict x,
                         double *restrict out)
{
    for (size_t l = 0; l < lanes; l++)
        out[l] = (double)x[l];
}

PDAG_WIDE void pdag_vec_widen(size_t n, const float *x, double *out)
{
    FOR_LANES(n, widen(PDAG_LANES, x + d, out + d), widen(n - d, x + d, out + d));
}

static inline void diff(size_t lanes, const float *restrict a,
                        const float *restrict b, double *restrict out)
{
    for (size_t l = 0; l < lanes; l++)
        out[l] = (double)a[l] - (double)b[l];
}

PDAG_WIDE void pdag_vec_diff(size_t n, const float *a, const float *b, double *out)
{
    FOR_LANES(n, diff(PDAG_LANES, a + d, b + d, out + d),
              diff(n - d, a + d, b + d, out + d));
}

static inline void dot(size_t lanes, const double *x, const double *y,
                       double *restrict sum)
{
    for (size_t l = 0; l < lanes; l++)
        sum[l] += x[l] * y[l];
}

PDAG_WIDE void pdag_vec_dot(size_t n, const double *x, const double *y,
                            pdag_lanes *sum)
{
    pdag_lanes s = *sum;

    FOR_LANES(n, dot(PDAG_LANES, x + d, y + d, s.v),
              dot(n - d, x + d, y + d, s.v));
    *sum = s;
}

static inline void norm_sq(size_t lanes, const float *x, double *restrict sum)
{
    for (size_t l = 0; l < lanes; l++)
        sum[l] += (double)x[l] * (double)x[l];
}

PDAG_WIDE void pdag_vec_norm_sq(size_t n, const float *x, pdag_lanes *sum)
{
    pdag_lanes s = *sum;

    FOR_LANES(n, norm_sq(PDAG_LANES, x + d, s.v), norm_sq(n - d, x + d, s.v));
    *sum = s;
}

static inline void distance_sq(size_t lanes, const float *a, const float *b,
                               double *restrict sum)
{
    for (size_t l = 0; l < lanes; l++) {
        double t = (double)a[l] - (double)b[l];

        sum[l] += t * t;
    }
}

PDAG_WIDE void pdag_vec_distance_sq(size_t n, const float *a, const float *b,
                                    pdag_lanes *sum)
{
    pdag_lanes s = *sum;

    FOR_LANES(n, distance_sq(PDAG_LANES, a + d, b + d, s.v),
              distance_sq(n - d, a + d, b + d, s.v));
    *sum = s;
}

static inline void dot_diff(size_t lanes, const float *a, const float *b,
                            const double *u, const double *w,
                            double *restrict sum_u, double *restrict sum_w)
{
    for (size_t l = 0; l < lanes; l++) {
        double t = (double)a[l] - (double)b[l];

        sum_u[l] += t * u[l];
        sum_w[l] += t * w[l];
    }
}

PDAG_WIDE void pdag_vec_dot_diff(size_t n, const float *a, const float *b,
                                 const double *u, const double *w,
                                 pdag_lanes *sum_u, pdag_lanes *sum_w)
{
    pdag_lanes su = *sum_u;
    pdag_lanes sw = *sum_w;

    FOR_LANES(n, dot_diff(PDAG_LANES, a + d, b + d, u + d, w + d, su.v, sw.v),
              dot_diff(n - d, a + d, b + d, u + d, w + d, su.v, sw.v));
    *sum_u = su;
    *sum_w = sw;
}

static inline void add_pair(size_t lanes, double c, double s,
                            const float *restrict a, const float *restrict b,
                            double *restrict out)
{
    for (size_t l = 0; l < lanes; l++)
        out[l] += c * ((double)b[l] - s * (double)a[l]);
}

PDAG_WIDE void pdag_vec_add_pair(size_t n, double c, double s, const float *a,
                                 const float *b, double *out)
{
    FOR_LANES(n, add_pair(PDAG_LANES, c, s, a + d, b + d, out + d),
              add_pair(n - d, c, s, a + d, b + d, out + d));
}

static inline void order_full(size_t lanes, double slope,
                              const float *restrict f, const float *restrict old,
                              double *restrict r, double *restrict extra,
                              double *restrict rho_sq)
{
    for (size_t l = 0; l < lanes; l++) {
        double rho = (double)f[l] - (double)old[l];

        extra[l] = slope * r[l];
        r[l] = rho + extra[l];
        rho_sq[l] += rho * rho;
    }
}

static inline void order_k(size_t lanes, double slope, double product,
                           const float *restrict f, const float *restrict old,
                           double *restrict r, double *restrict rho_before,
                           double *restrict extra, double *restrict rho_sq)
{
    for (size_t l = 0; l < lanes; l++) {
        double rho = (double)f[l] - (double)old[l];

        extra[l] = slope * r[l] - product * rho_before[l];
        r[l] = rho + extra[l];
        rho_before[l] = rho;
        rho_sq[l] += rho * rho;
    }
}

PDAG_WIDE void pdag_vec_order(size_t n, double slope, double product,
                              const float *f, const float *old, double *r,
                              double *rho_before, double *extra,
                              pdag_lanes *rho_sq)
{
    pdag_lanes s = *rho_sq;

    if (rho_before == NULL)
        FOR_LANES(n,
                  order_full(PDAG_LANES, slope, f + d, old + d, r + d, extra + d,
                             s.v),
                  order_full(n - d, slope, f + d, old + d, r + d, extra + d,
                             s.v));
    else
        FOR_LANES(n,
                  order_k(PDAG_LANES, slope, product, f + d, old + d, r + d,
                          rho_before + d, extra + d, s.v),
                  order_k(n - d, slope, product, f + d, old + d, r + d,
                          rho_before + d, extra + d, s.v));
    *rho_sq = s;
}
