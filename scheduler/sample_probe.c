#include <math.h>
#include <string.h>

#include "scheduler/sample_internal.h"

/* scheduler/sample_probe.c: the sweep of a solver that needs the step's derivative
   along the change of each row (newton): after the round's evaluations, one more
   evaluation per row, in sequence, of a state moved a little that way. */

/* How far a probe moves a state, as a share of it: the square root of what a
   float32 network's rounding leaves, so that rounding and curvature weigh alike. */
#define PROBE_SHARE 1e-2

static double rms(size_t n, const float *v)
{
    double sum = 0.0;

    for (size_t k = 0; k < n; k++)
        sum += (double)v[k] * (double)v[k];
    return sqrt(sum / (double)n);
}

static double rms_of_delta(const pdag_sample *s)
{
    const double *delta = pdag_sample_oldest(s)->carry.v;
    size_t d = s->plan->transition->dim;
    double sum = 0.0;

    for (size_t k = 0; k < d; k++)
        sum += delta[k] * delta[k];
    return sqrt(sum / (double)d);
}

/* Ask for an evaluation of row `row` at x + h delta. */
static void aim(pdag_sample *s, size_t row, double size)
{
    const double *delta = pdag_sample_oldest(s)->carry.v;
    size_t d = s->plan->transition->dim;
    const float *x = s->x + row * d;
    double h = PROBE_SHARE * rms(d, x) / size;

    s->probe_scale = h < 1.0 ? h : 1.0;
    for (size_t k = 0; k < d; k++)
        s->probe[k] = (float)((double)x[k] + s->probe_scale * delta[k]);
    s->probe_row = row;
    s->probing = true;
}

/* (F(x + h delta) - F(x)) / h; s->probe holds F there. */
static void differentiate(pdag_sample *s)
{
    size_t d = s->plan->transition->dim;
    const float *f = pdag_sample_value_at(s, s->probe_row);

    for (size_t k = 0; k < d; k++)
        s->product[k] = (float)(((double)s->probe[k] - (double)f[k]) /
                                s->probe_scale);
    s->probing = false;
    s->n_probes++;
}

pdag_status pdag_sample_sweep(pdag_sample *s, bool *waiting_out)
{
    pdag_sweep *sweep = pdag_sample_oldest(s);
    size_t d = s->plan->transition->dim;
    pdag_status status = PDAG_OK;

    *waiting_out = false;
    if (s->probing) {
        differentiate(s);
        status = pdag_sample_update_rows(s, sweep, 1);
    }
    while (status == PDAG_OK && sweep->next < sweep->end) {
        double size = rms_of_delta(s);

        if (size > 0.0) {
            aim(s, sweep->next, size);
            *waiting_out = true;
            return PDAG_OK;
        }
        memset(s->product, 0, d * sizeof *s->product);
        status = pdag_sample_update_rows(s, sweep, 1);
    }
    return status;
}
