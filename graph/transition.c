#include "graph/transition.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/transition_ops.h"

static const pdag_transition_ops *const families[] = {
    &pdag_transition_ddim,
    &pdag_transition_ddpm,
};

const char *pdag_transition_kind(size_t index)
{
    return index < sizeof families / sizeof families[0] ? families[index]->kind
                                                        : NULL;
}

static const pdag_transition_ops *find_family(const char *kind)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (strcmp(kind, families[i]->kind) == 0)
            return families[i];
    return NULL;
}

/* Clean state and noise from x and the network's output e, where
   x = al * clean + s * noise. */
static void fill_prediction(pdag_transition *tr, size_t i)
{
    pdag_step_parts *parts = &tr->parts[i];
    double al = sqrt(tr->alpha_bar[i]);
    double s = sqrt(1 - tr->alpha_bar[i]);

    switch (tr->config.prediction) {
    case PDAG_PREDICT_EPSILON:
        parts->z_x = 1 / al;
        parts->z_e = -s / al;
        parts->eps_x = 0;
        parts->eps_e = 1;
        break;
    case PDAG_PREDICT_SAMPLE:
        parts->z_x = 0;
        parts->z_e = 1;
        parts->eps_x = 1 / s;
        parts->eps_e = -al / s;
        break;
    case PDAG_PREDICT_V:
        parts->z_x = al;
        parts->z_e = -s;
        parts->eps_x = s;
        parts->eps_e = al;
        break;
    }
}

/* Whether every number of step i is finite; schedules with alpha-bar 0 or 1,
   or one that does not fall, leave some undefined. */
static pdag_status check_step(const pdag_transition *tr, size_t i)
{
    if (tr->alpha_bar[i] <= 0 && tr->config.prediction == PDAG_PREDICT_EPSILON)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "noise schedule: alpha-bar is 0 at timestep %g, "
                          "where prediction_type epsilon does not determine "
                          "the clean state (rescale_betas_zero_snr needs "
                          "v_prediction or sample)",
                          tr->t[i]);
    if (!isfinite(tr->a[i]) || !isfinite(tr->b[i]) || !isfinite(tr->c[i]) ||
        !isfinite(tr->noise_std[i]))
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "noise schedule: the step from timestep %g is not "
                          "defined (alpha-bar %.9g to %.9g)",
                          tr->t[i], tr->alpha_bar[i], tr->alpha_bar_next[i]);
    return PDAG_OK;
}

static pdag_status fill_steps(pdag_transition *tr,
                              const pdag_transition_ops *ops,
                              const pdag_schedule *schedule, double eta)
{
    pdag_status status = PDAG_OK;

    for (size_t i = 0; i < tr->n_steps && status == PDAG_OK; i++) {
        pdag_step_parts *parts = &tr->parts[i];
        double t = schedule->timesteps[i];
        double now = schedule->alpha_bar[(size_t)t];
        double next = ops->alpha_bar_next(&tr->config, schedule, i);

        tr->t[i] = t;
        tr->alpha_bar[i] = now;
        tr->alpha_bar_next[i] = next;
        tr->noise_std[i] = sqrt((1 - next) / (1 - now) * (1 - now / next));
        fill_prediction(tr, i);
        ops->fill(tr, i, eta);
        tr->a[i] = parts->f_z * parts->z_x + parts->f_eps * parts->eps_x +
                   parts->f_x;
        tr->b[i] = parts->f_z * parts->z_e + parts->f_eps * parts->eps_e;
        status = check_step(tr, i);
    }
    return status;
}

pdag_status pdag_transition_create(const char *kind,
                                   const pdag_schedule_config *config,
                                   const pdag_schedule *schedule, double eta,
                                   size_t dim, pdag_transition **transition_out)
{
    const pdag_transition_ops *ops = find_family(kind);
    size_t n = schedule->n_steps;
    pdag_transition *tr;
    pdag_status status;

    if (ops == NULL)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "sampler.kind: %s: expected one of ddim ddpm", kind);
    if (!(eta >= 0) || !(eta <= 1))
        return pdag_error(PDAG_ERR_ARG, "sampler.eta: %g: expected 0 to 1",
                          eta);
    tr = pdag_xcalloc(1, sizeof *tr);
    tr->n_steps = n;
    tr->dim = dim;
    tr->t = pdag_xcalloc(n, sizeof *tr->t);
    tr->alpha_bar = pdag_xcalloc(n, sizeof *tr->alpha_bar);
    tr->alpha_bar_next = pdag_xcalloc(n, sizeof *tr->alpha_bar_next);
    tr->a = pdag_xcalloc(n, sizeof *tr->a);
    tr->b = pdag_xcalloc(n, sizeof *tr->b);
    tr->c = pdag_xcalloc(n, sizeof *tr->c);
    tr->noise_std = pdag_xcalloc(n, sizeof *tr->noise_std);
    tr->parts = pdag_xcalloc(n, sizeof *tr->parts);
    tr->draws_noise = pdag_xcalloc(n, sizeof *tr->draws_noise);
    tr->initial_sigma = 1.0;
    tr->config = *config;
    tr->config.trained_betas = NULL;
    tr->linear = !config->clip_sample && !config->thresholding;
    status = fill_steps(tr, ops, schedule, eta);
    if (status != PDAG_OK) {
        pdag_transition_destroy(tr);
        return status;
    }
    *transition_out = tr;
    return PDAG_OK;
}

void pdag_transition_destroy(pdag_transition *tr)
{
    if (tr == NULL)
        return;
    free(tr->t);
    free(tr->alpha_bar);
    free(tr->alpha_bar_next);
    free(tr->a);
    free(tr->b);
    free(tr->c);
    free(tr->noise_std);
    free(tr->parts);
    free(tr->draws_noise);
    free(tr);
}

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
static double threshold(const pdag_transition *tr,
                        const pdag_step_parts *parts, const float *x,
                        const float *e)
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

void pdag_transition_step(const pdag_transition *tr, size_t i, const float *x,
                          const float *e, const float *xi, float *f)
{
    const pdag_step_parts *parts = &tr->parts[i];
    const double a = tr->a[i];
    const double b = tr->b[i];
    const double c = xi != NULL ? tr->c[i] : 0;
    double limit;
    double scale;

    if (tr->linear) {
        for (size_t j = 0; j < tr->dim; j++) {
            double y = a * (double)x[j] + b * (double)e[j];

            f[j] = (float)(c > 0 ? y + c * (double)xi[j] : y);
        }
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

void pdag_transition_e_of_x0(const pdag_transition *tr, size_t i,
                             const float *x, const float *z, float *e)
{
    const pdag_step_parts *parts = &tr->parts[i];

    for (size_t j = 0; j < tr->dim; j++)
        e[j] = (float)(((double)z[j] - parts->z_x * (double)x[j]) /
                       parts->z_e);
}
