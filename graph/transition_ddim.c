/* DDIM: Song et al. 2021, arXiv:2010.02502, equations 12 and 16, with the
   previous timestep as diffusers' DDIMScheduler counts it. */
#include <math.h>

#include "graph/transition_ops.h"

/* t - T / N, whatever the next entry of the list is (with trailing or linspace
   spacing the two differ where N does not divide T). */
static double alpha_bar_next(const pdag_schedule_config *config,
                             const pdag_schedule *schedule, size_t i)
{
    double next = schedule->timesteps[i] -
                  (double)(schedule->n_train / schedule->n_steps);

    if (next >= 0)
        return schedule->alpha_bar[(size_t)next];
    return config->set_alpha_to_one ? 1.0 : schedule->alpha_bar[0];
}

static void fill(pdag_transition *tr, const pdag_schedule_kind *kind,
                 const pdag_schedule *schedule, double eta, size_t i)
{
    pdag_step_parts *parts = &tr->parts[i];
    double now = schedule->alpha_bar[(size_t)tr->t[i]];
    double next = alpha_bar_next(&tr->config, schedule, i);
    double sigma;

    (void)kind;
    pdag_transition_fill_step(tr, i, now, next);
    sigma = eta * tr->noise_std[i];
    parts->f_z = sqrt(next);
    parts->f_eps = sqrt(fmax(1 - next - sigma * sigma, 0));
    parts->f_x = 0;
    tr->c[i] = sigma;
    tr->draws_noise[i] = eta > 0;
}

const pdag_transition_ops pdag_transition_ddim = {.fill = fill};
