/* Euler and Euler ancestral in the coordinates of Karras et al. 2022,
   arXiv:2206.00364: x = clean + sigma * noise, as diffusers'
   EulerDiscreteScheduler and EulerAncestralDiscreteScheduler.  The network's
   output is that of x / sqrt(sigma^2 + 1). */
#include <math.h>

#include "graph/transition_ops.h"

static void fill_prediction(pdag_prediction prediction, double sigma,
                            pdag_step_parts *parts)
{
    double square = sigma * sigma + 1;

    switch (prediction) {
    case PDAG_PREDICT_EPSILON:
        parts->z_x = 1;
        parts->z_e = -sigma;
        parts->eps_x = 0;
        parts->eps_e = 1;
        break;
    case PDAG_PREDICT_SAMPLE:
        parts->z_x = 0;
        parts->z_e = 1;
        parts->eps_x = 1 / sigma;
        parts->eps_e = -1 / sigma;
        break;
    case PDAG_PREDICT_V:
        parts->z_x = 1 / square;
        parts->z_e = -sigma / sqrt(square);
        parts->eps_x = sigma / square;
        parts->eps_e = 1 / sqrt(square);
        break;
    }
}

static void fill(pdag_transition *tr, const pdag_schedule_kind *kind,
                 const pdag_schedule *schedule, double eta, size_t i)
{
    pdag_step_parts *parts = &tr->parts[i];
    double now = schedule->sigmas[i];
    double next = schedule->sigmas[i + 1];
    bool ancestral = kind->family == PDAG_FAMILY_EULER_A;
    /* Where the schedule ends at sigma_min its last level is the one before it, or
       above by a rounding: a step to there draws nothing. */
    double fall = ancestral ? now * now - next * next
                            : fmax(now * now - next * next, 0);
    double up = next / now * sqrt(fall);

    (void)eta;
    fill_prediction(tr->config.prediction, now, parts);
    tr->input_scale[i] = 1 / sqrt(now * now + 1);
    tr->signal[i] = 1;
    tr->sigma[i] = now;
    tr->noise_std[i] = up;
    /* The step goes to the part of the next noise level that is not drawn. */
    parts->f_z = 1;
    parts->f_eps = ancestral ? next * next / now : next;
    parts->f_x = 0;
    tr->c[i] = ancestral ? up : 0;
    tr->draws_noise[i] = ancestral;
}

const pdag_transition_ops pdag_transition_euler = {.fill = fill};
