#include "cli/measure.h"

#include <math.h>

static double squared_distance(size_t n, const float *x, const float *y)
{
    double sum = 0.0;

    for (size_t k = 0; k < n; k++) {
        double off = (double)x[k] - (double)y[k];

        sum += off * off;
    }
    return sum;
}

double pdag_relative_rms_error(size_t n, const float *x, const float *reference)
{
    double distance = squared_distance(n, x, reference);
    double norm = 0.0;

    for (size_t k = 0; k < n; k++)
        norm += (double)reference[k] * (double)reference[k];
    if (!isfinite(distance))
        return INFINITY;
    return norm > 0.0 ? sqrt(distance / norm) : sqrt(distance);
}

double pdag_max_abs_error(size_t n, const float *x, const float *reference)
{
    double most = 0.0;

    for (size_t k = 0; k < n; k++)
        most = fmax(most, fabs((double)x[k] - (double)reference[k]));
    return most;
}

double pdag_psnr(size_t n, const float *p, const float *q)
{
    double mean = squared_distance(n, p, q) / (double)n;

    return mean > 0.0 ? fmin(-10.0 * log10(mean), PDAG_MOST_PSNR)
                      : PDAG_MOST_PSNR;
}
