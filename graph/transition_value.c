/* What a transition does to the numbers of one row. */
#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "graph/loops.h"
#include "graph/transition_ops.h"

static double clean(const pdag_step_parts *parts, const float *x,
                    const float *e, size_t j)
{
    return parts->z_x * (double)x[j] + parts->z_e * (double)e[j];
}

/* |clean state| as the bits of a float32: for numbers that are not negative the
   bits sort as the numbers do. */
static uint32_t clean_bits(const pdag_step_parts *parts, const float *x,
                           const float *e, size_t j)
{
    float value = (float)fabs(clean(parts, x, e, j));
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* The element of rank k (0 the smallest) among the |clean state|, found byte by
   byte from the top, so that no workspace is needed. */
static uint32_t select_bits(const pdag_step_parts *parts, const float *x,
                            const float *e, size_t dim, size_t k)
{
    uint32_t prefix = 0;

    for (int shift = 24; shift >= 0; shift -= 8) {
        size_t counts[256] = {0};
        uint32_t byte = 0;

        for (size_t j = 0; j < dim; j++) {
            uint32_t bits = clean_bits(parts, x, e, j);

            if (((uint64_t)bits >> (shift + 8)) ==
                ((uint64_t)prefix >> (shift + 8)))
                counts[(bits >> shift) & 255]++;
        }
        while (byte < 255 && k >= counts[byte])
            k -= counts[byte++];
        prefix |= byte << shift;
    }
    return prefix;
}

/* torch.quantile(|clean state|, ratio), linear between the two neighbours, then
   clamped as Saharia et al. 2022 (arXiv:2205.11487) and diffusers do. */
static double threshold(const pdag_transition *tr, const pdag_step_parts *parts,
                        const float *x, const float *e)
{
    float rank = (float)tr->config.threshold_ratio * (float)(tr->dim - 1);
    size_t below = (size_t)rank;
    size_t above = below + 1 < tr->dim ? below + 1 : below;
    uint32_t bits = select_bits(parts, x, e, tr->dim, below);
    float low;
    float high;
    double s;

    memcpy(&low, &bits, sizeof low);
    bits = select_bits(parts, x, e, tr->dim, above);
    memcpy(&high, &bits, sizeof high);
    s = (double)low + (double)(rank - (float)below) * (double)(high - low);
    return fmin(fmax(s, 1.0), tr->config.sample_max_value);
}

/* How row i's prediction is bounded: clamp to +-limit, then divide by scale. */
static void bounds(const pdag_transition *tr, const pdag_step_parts *parts,
                   const float *x, const float *e, double *limit_out,
                   double *scale_out)
{
    if (tr->config.thresholding) {
        *limit_out = threshold(tr, parts, x, e);
        *scale_out = *limit_out;
    } else {
        *limit_out = tr->config.clip_sample ? tr->config.clip_range : INFINITY;
        *scale_out = 1;
    }
}

/* Not fmin and fmax: a value that is not a number must stay one. */
static double clamp(double value, double limit)
{
    if (value > limit)
        return limit;
    return value < -limit ? -limit : value;
}

/* F_i of a one-step sampler. */
static void apply_step(const pdag_transition *tr, size_t i, const float *x,
                       const float *e, const float *xi, float *f)
{
    const pdag_step_parts *parts = &tr->parts[i];
    const double a = tr->a[i];
    const double b = tr->b[i];
    const double c = xi != NULL ? tr->c[i] : 0;
    double limit;
    double scale;

    if (tr->linear) {
        pdag_loop_linear(tr->dim, a, x, b, e, c, c > 0 ? xi : NULL, f);
        return;
    }
    bounds(tr, parts, x, e, &limit, &scale);
    for (size_t j = 0; j < tr->dim; j++) {
        double z = clamp(clean(parts, x, e, j), limit) / scale;
        double eps = parts->eps_x * (double)x[j] + parts->eps_e * (double)e[j];
        double y =
            parts->f_z * z + parts->f_eps * eps + parts->f_x * (double)x[j];

        f[j] = (float)(c > 0 ? y + c * (double)xi[j] : y);
    }
}

void pdag_transition_value(const pdag_transition *tr, size_t i, const float *x,
                           const float *e, const float *xi, float *m)
{
    switch (tr->value_kind) {
    case PDAG_VALUE_STEP:
        apply_step(tr, i, x, e, xi, m);
        break;
    case PDAG_VALUE_CLEAN:
        pdag_transition_x0(tr, i, x, e, m);
        break;
    case PDAG_VALUE_OUTPUT:
        memmove(m, e, tr->dim * sizeof *m);
        break;
    }
}

/* f = own x + sum of weight * value + c xi, a piece at a time so that every sum
   is made in float64 without workspace and each loop runs over one operand. */
static void combine(const pdag_transition *tr, size_t i, const float *x,
                    const float *const *values, const float *xi, float *f)
{
    enum { PIECE = 256 };
    const double *weight = tr->weight + i * tr->n_terms;
    const double c = xi != NULL ? tr->c[i] : 0;
    double sum[PIECE];

    for (size_t from = 0; from < tr->dim; from += PIECE) {
        size_t n = tr->dim - from < PIECE ? tr->dim - from : PIECE;

        for (size_t j = 0; j < n; j++)
            sum[j] = tr->own[i] * (double)x[from + j];
        for (size_t k = 0; k < tr->n_terms; k++) {
            if (weight[k] == 0)
                continue;
            for (size_t j = 0; j < n; j++)
                sum[j] += weight[k] * (double)values[k][from + j];
        }
        for (size_t j = 0; c > 0 && j < n; j++)
            sum[j] += c * (double)xi[from + j];
        for (size_t j = 0; j < n; j++)
            f[from + j] = (float)sum[j];
    }
}

void pdag_transition_step(const pdag_transition *tr, size_t i, const float *x,
                          const float *const *values, const float *xi, float *f)
{
    if (tr->value_kind == PDAG_VALUE_STEP)
        memmove(f, values[0], tr->dim * sizeof *f);
    else
        combine(tr, i, x, values, xi, f);
}

void pdag_transition_x0(const pdag_transition *tr, size_t i, const float *x,
                        const float *e, float *x0)
{
    const pdag_step_parts *parts = &tr->parts[i];
    double limit;
    double scale;

    bounds(tr, parts, x, e, &limit, &scale);
    for (size_t j = 0; j < tr->dim; j++)
        x0[j] = (float)(clamp(clean(parts, x, e, j), limit) / scale);
}

void pdag_transition_x0_of_value(const pdag_transition *tr, size_t i,
                                 const float *x, const float *m, float *x0)
{
    assert(tr->value_kind != PDAG_VALUE_STEP);
    if (tr->value_kind == PDAG_VALUE_CLEAN)
        memmove(x0, m, tr->dim * sizeof *x0);
    else
        pdag_transition_x0(tr, i, x, m, x0);
}

void pdag_transition_value_of_x0(const pdag_transition *tr, size_t i,
                                 const float *x, const float *z,
                                 const float *xi, float *m)
{
    const pdag_step_parts *parts = &tr->parts[i];
    const double c = xi != NULL ? tr->c[i] : 0;

    for (size_t j = 0; j < tr->dim; j++) {
        double clean_state = (double)z[j];
        double y = (double)x[j];
        double eps = tr->sigma[i] > 0
                         ? (y - tr->signal[i] * clean_state) / tr->sigma[i]
                         : 0;

        switch (tr->value_kind) {
        case PDAG_VALUE_STEP:
            y = parts->f_z * clean_state + parts->f_eps * eps + parts->f_x * y;
            m[j] = (float)(c > 0 ? y + c * (double)xi[j] : y);
            break;
        case PDAG_VALUE_CLEAN:
            m[j] = z[j];
            break;
        case PDAG_VALUE_OUTPUT:
            m[j] = (float)pdag_step_output(parts, y, clean_state, eps);
            break;
        }
    }
}
