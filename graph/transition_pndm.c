/* PNDM without Runge-Kutta steps: Liu et al. 2022, arXiv:2202.09778, equations
   11 and 12, as diffusers' PNDMScheduler with skip_prk_steps.  The values are
   the network's outputs e.  The first step is made twice: with e_0 it gives y',
   row 1, which is evaluated at the second timestep, and with the mean of both
   outputs it gives row 2.  e_1 is used there only. */
#include <math.h>

#include "graph/transition_ops.h"

/* Adams-Bashforth by the outputs at hand; newest first. */
static const double combinations[4][4] = {
    {1},
    {3. / 2, -1. / 2},
    {23. / 12, -16. / 12, 5. / 12},
    {55. / 24, -59. / 24, 37. / 24, -9. / 24},
};

/* The step x' = x_gain x + e_gain e from one alpha-bar to another. */
typedef struct leap {
    double now, next;
    double x_gain, e_gain;
} leap;

/* alpha-bar after the list's end is diffusers' final one; before its start,
   where diffusers has an error, not a number. */
static double alpha_bar_at(const pdag_transition *tr,
                           const pdag_schedule *schedule, double t)
{
    if (t < 0)
        return tr->config.set_alpha_to_one ? 1.0 : schedule->alpha_bar[0];
    return t < (double)schedule->n_train ? schedule->alpha_bar[(size_t)t]
                                         : (double)NAN;
}

static leap measure(const pdag_transition *tr, const pdag_schedule *schedule,
                    double from, double to)
{
    leap l = {.now = alpha_bar_at(tr, schedule, from),
              .next = alpha_bar_at(tr, schedule, to)};
    double s = sqrt(1 - l.now);
    double bottom =
        l.now * sqrt(1 - l.next) + sqrt(l.now * (1 - l.now) * l.next);

    l.x_gain = sqrt(l.next / l.now);
    l.e_gain = -(l.next - l.now) / bottom;
    if (tr->config.prediction == PDAG_PREDICT_V) {
        l.x_gain += l.e_gain * s;
        l.e_gain *= sqrt(l.now);
    }
    return l;
}

/* Every row but row 1; e_1 is left out, whatever its place. */
static void combine(size_t i, double gain, double *weight)
{
    size_t n = i == 0 ? 1 : i < 4 ? i : 4;

    for (size_t j = 0, k = 0; k < n; j++)
        if (i - j != 1)
            weight[j] = gain * combinations[n - 1][k++];
}

static void fill(pdag_transition *tr, const pdag_schedule_kind *kind,
                 const pdag_schedule *schedule, double eta, size_t i)
{
    double stride = (double)(schedule->n_train / schedule->n_steps);
    double t = tr->t[i];
    double *weight = tr->weight + i * tr->n_terms;
    leap l = i == 1 ? measure(tr, schedule, t + stride, t)
                    : measure(tr, schedule, t, t - stride);

    (void)kind;
    (void)eta;
    pdag_transition_fill_step(tr, i, l.now, l.next);
    if (i == 1) {
        /* From x_1 = g x_0 + b e_0 and x_2 = g' x_0 + b' (e_0 + e_1) / 2. */
        leap before = measure(tr, schedule, tr->t[0], tr->t[0] - stride);

        tr->own[i] = l.x_gain / before.x_gain;
        weight[0] = l.e_gain / 2;
        weight[1] = l.e_gain / 2 - tr->own[i] * before.e_gain;
        pdag_transition_fill_vp(tr, i, l.next);
        return;
    }
    tr->own[i] = l.x_gain;
    combine(i, l.e_gain, weight);
}

const pdag_transition_ops pdag_transition_pndm = {
    .multistep = PDAG_VALUE_OUTPUT,
    .fill = fill,
};
