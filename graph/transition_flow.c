/* Flow matching with straight paths, x = (1 - sigma) clean + sigma noise:
   Lipman et al. 2023, arXiv:2210.02747, as diffusers'
   FlowMatchEulerDiscreteScheduler. The network's output is the velocity, noise
   - clean. */
#include "graph/transition_ops.h"

static void fill(pdag_transition *tr, const pdag_schedule_kind *kind,
                 const pdag_schedule *schedule, double eta, size_t i)
{
    pdag_step_parts *parts = &tr->parts[i];
    double now = schedule->sigmas[i];
    double next = schedule->sigmas[i + 1];
    bool draws = tr->config.stochastic;

    (void)kind;
    (void)eta;
    parts->z_x = 1;
    parts->z_e = -now;
    parts->eps_x = 1;
    parts->eps_e = 1 - now;
    tr->signal[i] = 1 - now;
    tr->sigma[i] = now;
    tr->noise_std[i] = 0;
    parts->f_z = 1 - next;
    parts->f_eps = draws ? 0 : next;
    parts->f_x = 0;
    tr->c[i] = draws ? next : 0;
    tr->draws_noise[i] = draws;
}

const pdag_transition_ops pdag_transition_flow = {.fill = fill};
