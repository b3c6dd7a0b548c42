/* Group and layer normalisation: two passes, float64 sums. */
#include <math.h>

#include "backend/ref_internal.h"

/* One group of one image: x[p][c] with `n` channels from `first`, the rows `c`
 * apart.  add: [c] or NULL. */
typedef struct group {
    size_t p, c, first, n;
    const float *x, *add, *gamma, *beta;
} group;

static double group_value(const group *g, size_t row, size_t channel)
{
    double value = g->x[row * g->c + channel];

    return g->add != NULL ? value + g->add[channel] : value;
}

static void group_moments(const group *g, double *mean_out, double *var_out)
{
    double count = (double)g->p * (double)g->n;
    double sum = 0.0;
    double squares = 0.0;

    for (size_t r = 0; r < g->p; r++)
        for (size_t c = g->first; c < g->first + g->n; c++)
            sum += group_value(g, r, c);
    sum /= count;
    for (size_t r = 0; r < g->p; r++)
        for (size_t c = g->first; c < g->first + g->n; c++) {
            double d = group_value(g, r, c) - sum;

            squares += d * d;
        }
    *mean_out = sum;
    *var_out = squares / count;
}

static void normalise_group(const group *g, float eps, pdag_activation act,
                            float *y)
{
    double mean;
    double var;
    double factor;

    group_moments(g, &mean, &var);
    factor = 1.0 / sqrt(var + eps);
    for (size_t r = 0; r < g->p; r++)
        for (size_t c = g->first; c < g->first + g->n; c++) {
            double value = (group_value(g, r, c) - mean) * factor;

            if (g->gamma != NULL)
                value *= g->gamma[c];
            if (g->beta != NULL)
                value += g->beta[c];
            y[r * g->c + c] = (float)pdag_ref_activation(act, value);
        }
}

static const float *vector(const pdag_weight *w, size_t n)
{
    if (w == NULL)
        return NULL;
    PDAG_ASSERT(w->kind == PDAG_WEIGHT_VECTOR && w->shape.out == n);
    return w->values;
}

pdag_status pdag_ref_group_norm(pdag_backend *be, size_t b, size_t p, size_t c,
                                size_t groups, float eps,
                                const pdag_weight *gamma,
                                const pdag_weight *beta, const pdag_buf *add,
                                pdag_activation act, const pdag_buf *x,
                                pdag_buf *y)
{
    const float *from = pdag_ref_floats(x, b * p * c);
    const float *plus = add != NULL ? pdag_ref_floats(add, b * c) : NULL;
    float *to = pdag_ref_floats(y, b * p * c);

    (void)be;
    PDAG_ASSERT(groups > 0 && c % groups == 0);
    PDAG_ASSERT(act == PDAG_ACT_NONE || act == PDAG_ACT_SILU ||
                act == PDAG_ACT_MISH);
    for (size_t i = 0; i < b; i++)
        for (size_t g = 0; g < groups; g++) {
            group one = {p,
                         c,
                         g * (c / groups),
                         c / groups,
                         from + i * p * c,
                         plus != NULL ? plus + i * c : NULL,
                         vector(gamma, c),
                         vector(beta, c)};

            normalise_group(&one, eps, act, to + i * p * c);
        }
    return PDAG_OK;
}

pdag_status pdag_ref_layer_norm(pdag_backend *be, size_t m, size_t c, float eps,
                                const pdag_weight *gamma,
                                const pdag_weight *beta, const pdag_buf *x,
                                pdag_buf *y)
{
    /* Every row is an image of one position and one group. */
    return pdag_ref_group_norm(be, m, 1, c, 1, eps, gamma, beta, NULL,
                               PDAG_ACT_NONE, x, y);
}
