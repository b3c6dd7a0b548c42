#include "graph/loops.h"

#include <stdint.h>
#include <string.h>

#include "base/wide.h"

/* Each loop is a body over `lanes` elements, inlined once with the constant LANES,
   which compilers turn into vector code at -O2, and once for what is left over.
   Bodies read all before they write, so that an output may be an input. */
#define LANES 16

static inline void linear(size_t lanes, double a, const float *x, double b,
                          const float *e, float *f)
{
    double y[LANES];

    for (size_t l = 0; l < lanes; l++)
        y[l] = a * (double)x[l] + b * (double)e[l];
    for (size_t l = 0; l < lanes; l++)
        f[l] = (float)y[l];
}

static inline void linear_noise(size_t lanes, double a, const float *x, double b,
                                const float *e, double c, const float *xi, float *f)
{
    double y[LANES];

    for (size_t l = 0; l < lanes; l++)
        y[l] = a * (double)x[l] + b * (double)e[l];
    for (size_t l = 0; l < lanes; l++)
        y[l] += c * (double)xi[l];
    for (size_t l = 0; l < lanes; l++)
        f[l] = (float)y[l];
}

PDAG_WIDE void pdag_loop_linear(size_t n, double a, const float *x, double b,
                                const float *e, double c, const float *xi, float *f)
{
    size_t d = 0;

    if (xi == NULL) {
        for (; d + LANES <= n; d += LANES)
            linear(LANES, a, x + d, b, e + d, f + d);
        linear(n - d, a, x + d, b, e + d, f + d);
        return;
    }
    for (; d + LANES <= n; d += LANES)
        linear_noise(LANES, a, x + d, b, e + d, c, xi + d, f + d);
    linear_noise(n - d, a, x + d, b, e + d, c, xi + d, f + d);
}

static inline void scale(size_t lanes, double a, const float *x, float *out)
{
    double y[LANES];

    for (size_t l = 0; l < lanes; l++)
        y[l] = a * (double)x[l];
    for (size_t l = 0; l < lanes; l++)
        out[l] = (float)y[l];
}

PDAG_WIDE void pdag_loop_scale(size_t n, double a, const float *x, float *out)
{
    size_t d = 0;

    if (!(a < 1.0) && !(a > 1.0)) {
        memmove(out, x, n * sizeof *out);
        return;
    }
    for (; d + LANES <= n; d += LANES)
        scale(LANES, a, x + d, out + d);
    scale(n - d, a, x + d, out + d);
}

/* The exponent's bits, all set where the value is not finite, then carry into the
   sign's place. */
static inline void carry_exponents(size_t lanes, const float *values,
                                   uint32_t *carried)
{
    uint32_t bits[LANES];

    memcpy(bits, values, lanes * sizeof *bits);
    for (size_t l = 0; l < lanes; l++)
        carried[l] |= (bits[l] & UINT32_C(0x7fffffff)) + UINT32_C(0x00800000);
}

PDAG_WIDE bool pdag_loop_all_finite(size_t n, const float *values)
{
    uint32_t carried[LANES] = {0};
    uint32_t any = 0;
    size_t d = 0;

    for (; d + LANES <= n; d += LANES)
        carry_exponents(LANES, values + d, carried);
    carry_exponents(n - d, values + d, carried);
    for (size_t l = 0; l < LANES; l++)
        any |= carried[l];
    return (any & UINT32_C(0x80000000)) == 0;
}
