#include <math.h>
#include <stdlib.h>

#include "scheduler/sample_internal.h"

/* scheduler/sample_enter.c: what rows start from that enter the window late. */

/* Prediction of the clean state from the window's last row after the sweep: from
   its value as the sweep predicts it; a one-step sampler's value is inverted for
   the network's output where that can be done, else the output is taken as
   evaluated. */
static void predict_clean_state(pdag_sample *s, size_t last)
{
    const pdag_transition *tr = s->plan->transition;
    size_t d = tr->dim;
    const float *x = s->x + last * d;
    const float *x_next = s->x + (last + 1) * d;
    const float *e = s->last_e;

    if (s->value != NULL) {
        pdag_transition_x0_of_value(tr, last, x, s->value + last * d, s->z);
        return;
    }
    if (tr->linear && fabs(tr->b[last]) > 1e-6) {
        const float *xi = s->noise != NULL ? s->noise + last * d : NULL;

        for (size_t k = 0; k < d; k++) {
            double rest = (double)x_next[k] - tr->a[last] * (double)x[k];

            if (xi != NULL)
                rest -= tr->c[last] * (double)xi[k];
            s->scratch[k] = (float)(rest / tr->b[last]);
        }
        e = s->scratch;
    }
    pdag_transition_x0(tr, last, x, e, s->z);
}

void pdag_sample_enter(pdag_sample *s, const pdag_sweep *sweep, size_t new_end)
{
    const pdag_sample_plan *plan = s->plan;
    size_t d = plan->transition->dim;
    pdag_entry entry = {.tr = plan->transition, .noise = s->noise,
                        .value = s->value, .scratch = s->scratch};

    if (new_end + 1 <= s->n_set)
        return;
    if (plan->entry_held_x0 ||
        (plan->start == PDAG_START_ROLL && sweep->round == 0)) {
        /* Of this round, while rows before it may have gone on. */
        for (size_t j = 1; j < plan->transition->n_terms && j <= sweep->end; j++)
            entry.before[j - 1] = sweep->before_new + (j - 1) * d;
        predict_clean_state(s, sweep->end - 1);
        pdag_entry_held_x0(&entry, s->z, sweep->end, new_end, s->x);
    } else {
        pdag_entry_copies(d, sweep->end, new_end, s->x);
    }
    s->n_set = new_end + 1;
}

void pdag_sample_measure_variance(pdag_sample *s, const pdag_sweep *sweep)
{
    size_t d = s->plan->transition->dim;
    double sum = 0.0;
    double square = 0.0;
    double variance;

    predict_clean_state(s, sweep->end - 1);
    for (size_t k = 0; k < d; k++) {
        sum += (double)s->z[k];
        square += (double)s->z[k] * (double)s->z[k];
    }
    sum /= (double)d;
    variance = square / (double)d - sum * sum;
    if (variance > 1e-4 && variance < 1e4)
        pdag_sample_plan_slopes(s->plan, variance, s->slope);
}
