/* What a sampler's row does for Gaussian data, for which the clean state's
   prediction is known: x = signal * clean + sigma * noise gives, element by
   element, clean = mean + k (x - signal * mean) with
   k = signal * variance / (signal^2 * variance + sigma^2). */
#include <math.h>

#include "graph/transition_ops.h"

double pdag_step_output(const pdag_step_parts *parts, double x, double z,
                        double eps)
{
    if (fabs(parts->z_e) >= fabs(parts->eps_e))
        return (z - parts->z_x * x) / parts->z_e;
    return (eps - parts->eps_x * x) / parts->eps_e;
}

void pdag_transition_gaussian_slope(const pdag_transition *tr, double variance,
                                    double *slope_out)
{
    for (size_t i = 0; i < tr->n_rows; i++) {
        const pdag_step_parts *parts = &tr->parts[i];
        double al = tr->signal[i];
        double s = tr->sigma[i];
        double spread = al * al * variance + s * s;
        double clean = al * variance / spread;
        double noise = s / spread;
        double value = 0;

        switch (tr->value_kind) {
        case PDAG_VALUE_STEP:
            value = parts->f_z * clean + parts->f_eps * noise + parts->f_x;
            break;
        case PDAG_VALUE_CLEAN:
            value = clean;
            break;
        case PDAG_VALUE_OUTPUT:
            value = pdag_step_output(parts, 1, clean, noise);
            break;
        }
        slope_out[i] = tr->own[i] + tr->weight[i * tr->n_terms] * value;
    }
}

void pdag_transition_gaussian_x0(const pdag_transition *tr, size_t i,
                                 const float *x, const float *mean,
                                 const float *variance, float *x0)
{
    const double al = tr->signal[i];
    const double s = tr->sigma[i];

    for (size_t j = 0; j < tr->dim; j++) {
        double v = (double)variance[j];
        double spread = al * al * v + s * s;
        double k = spread > 0 ? al * v / spread : 0;

        x0[j] = (float)((double)mean[j] +
                        k * ((double)x[j] - al * (double)mean[j]));
    }
}
