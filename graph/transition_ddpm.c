/* DDPM: Ho et al. 2020, arXiv:2006.11239, equations 6 and 7, as diffusers'
   DDPMScheduler. */
#include <math.h>

#include "graph/transition_ops.h"

/* The next entry of the list; the last step ends at the clean state. */
static double alpha_bar_next(const pdag_schedule *schedule, size_t i)
{
    if (i + 1 == schedule->n_steps)
        return 1.0;
    return schedule->alpha_bar[(size_t)schedule->timesteps[i + 1]];
}

static void fill(pdag_transition *tr, const pdag_schedule_kind *kind,
                 const pdag_schedule *schedule, double eta, size_t i)
{
    pdag_step_parts *parts = &tr->parts[i];
    double now = schedule->alpha_bar[(size_t)tr->t[i]];
    double next = alpha_bar_next(schedule, i);
    double alpha = now / next;
    double beta = 1 - alpha;
    double noise = 1 - now;

    (void)kind;
    (void)eta;
    pdag_transition_fill_step(tr, i, now, next);
    parts->f_z = sqrt(next) * beta / noise;
    parts->f_eps = 0;
    parts->f_x = sqrt(alpha) * (1 - next) / noise;
    tr->draws_noise[i] = tr->t[i] > 0;
    if (!tr->draws_noise[i])
        tr->c[i] = 0;
    else if (tr->config.variance == PDAG_VARIANCE_FIXED_LARGE)
        tr->c[i] = sqrt(beta);
    else /* diffusers clamps the variance, for the sake of its logarithm */
        tr->c[i] = fmax(tr->noise_std[i], 1e-10);
}

const pdag_transition_ops pdag_transition_ddpm = {.fill = fill};
