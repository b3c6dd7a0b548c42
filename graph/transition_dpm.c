/* DPM-Solver++ and its SDE form: Lu et al. 2022, arXiv:2211.01095, equations 12
   to 17 and appendix A, with the orders of the first and the last steps as
   diffusers' DPMSolverMultistepScheduler.  The values are predicted clean
   states m; with lambda = log(signal / noise) and h its step, e^{-h} is the
   ratio of the noise levels. */
#include <math.h>

#include "graph/transition_ops.h"

/* Evaluations that step i combines. */
static int order_of(const pdag_transition *tr, const pdag_schedule_kind *kind,
                    size_t i)
{
    const pdag_schedule_config *c = &tr->config;
    size_t n = tr->n_rows;
    bool few = c->lower_order_final && n < 15;
    int order = i + 1 < (size_t)kind->order ? (int)i + 1 : kind->order;

    if (i + 1 == n && (c->euler_at_final || few || !c->end_at_sigma_min))
        return 1;
    return i + 2 == n && few && order > 2 ? 2 : order;
}

/* One step's numbers. */
typedef struct leap {
    const double *sigmas; /* sigmas[0] of the row, [1] after it, [-1] before */
    double h;
    double signal; /* after it */
    double gain;   /* of m_0 in the first order step */
    double curve;  /* of the first difference quotient, order 2 */
} leap;

static double lambda_step(const double *sigmas)
{
    return log(sigmas[0] / sigmas[1]);
}

static leap measure(const pdag_transition *tr, const pdag_schedule_kind *kind,
                    const double *sigmas)
{
    leap l = {.sigmas = sigmas, .h = lambda_step(sigmas)};
    double span = kind->sde ? 2 * l.h : l.h;
    double rise = -expm1(-span); /* 1 - e^{-h}; 1 where h is infinite */

    l.signal = 1 / sqrt(sigmas[1] * sigmas[1] + 1);
    l.gain = l.signal * rise;
    l.curve = tr->config.heun ? l.signal * (1 - rise / span) : 0.5 * l.gain;
    return l;
}

static void add_second(const leap *l, double *weight)
{
    double r0 = lambda_step(l->sigmas - 1) / l->h;

    weight[0] += l->curve / r0;
    weight[1] -= l->curve / r0;
}

/* Of the ODE form only; diffusers takes no heed of solver_type there. */
static void add_third(const leap *l, double *weight)
{
    double h = l->h;
    double rise = -expm1(-h);
    double first = l->signal * (1 - rise / h);
    double second = -l->signal * ((h - rise) / (h * h) - 0.5);
    double r0 = lambda_step(l->sigmas - 1) / h;
    double r1 = lambda_step(l->sigmas - 2) / h;
    double newer = first * (1 + r0 / (r0 + r1)) + second / (r0 + r1);
    double older = -(first * r0 + second) / (r0 + r1);

    weight[0] += newer / r0;
    weight[1] += older / r1 - newer / r0;
    weight[2] -= older / r1;
}

static void fill(pdag_transition *tr, const pdag_schedule_kind *kind,
                 const pdag_schedule *schedule, double eta, size_t i)
{
    const double *sigmas = schedule->sigmas + i;
    double now = 1 / (sigmas[0] * sigmas[0] + 1);
    double next = 1 / (sigmas[1] * sigmas[1] + 1);
    leap l = measure(tr, kind, sigmas);
    double noise = sigmas[1] * l.signal;
    double own = noise / (sigmas[0] * sqrt(now));
    double *weight = tr->weight + i * tr->n_terms;
    int order = order_of(tr, kind, i);

    (void)eta;
    pdag_transition_fill_step(tr, i, now, next);
    if (kind->sde) {
        own *= exp(-l.h);
        tr->c[i] = noise > 0 ? noise * sqrt(-expm1(-2 * l.h)) : 0;
        tr->draws_noise[i] = true;
    }
    if (kind->order == 1) {
        tr->parts[i].f_x = own;
        tr->parts[i].f_z = l.gain;
        return;
    }
    tr->own[i] = own;
    weight[0] = l.gain;
    if (order == 2)
        add_second(&l, weight);
    else if (order == 3)
        add_third(&l, weight);
}

const pdag_transition_ops pdag_transition_dpm = {
    .multistep = PDAG_VALUE_CLEAN,
    .fill = fill,
};
