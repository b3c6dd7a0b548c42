/** graph/transition.h: the sampler's own step x_{i+1} = F_i(x_i) and its
 *  coefficients.  One ops table per family (transition_ddim.c, transition_ddpm.c),
 *  found by the job's sampler.kind; the solver sees only what comes out of here.
 *
 *  Without clipping or thresholding every step is
 *      F_i(x) = a_i x + b_i eps(x, t_i) + c_i xi_i
 *  with a, b, c for the model's prediction type (eps is the network's output,
 *  whatever it predicts).  Formulas: docs/numerics.md; DDIM arXiv:2010.02502
 *  eq. 12, DDPM arXiv:2006.11239 eq. 6, 7; rules of the last and the previous
 *  step as diffusers' DDIMScheduler and DDPMScheduler. */
#ifndef PDAG_GRAPH_TRANSITION_H
#define PDAG_GRAPH_TRANSITION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "graph/schedule.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A step in two stages, for clipping in between (z: predicted clean state,
 *  eps: predicted noise, both from the network's output e):
 *      z = z_x x + z_e e,  eps = eps_x x + eps_e e,
 *      F = f_z clip(z) + f_eps eps + f_x x + c xi. */
typedef struct pdag_step_parts {
    double z_x, z_e;
    double eps_x, eps_e;
    double f_z, f_eps, f_x;
} pdag_step_parts;

/** Everything is read-only after create and may be shared by threads. */
typedef struct pdag_transition {
    size_t n_steps;       /* N */
    size_t dim;           /* D */
    double *t;            /* [N] time given to the network for row i */
    double *alpha_bar;    /* [N] A of row i */
    double *alpha_bar_next; /* [N] A of the state that step i leads to, by the
                               sampler's own previous-timestep rule */
    double *a, *b, *c;    /* [N] coefficients above; c is 0 where no noise */
    double *noise_std;    /* [N] DDPM posterior deviation of step i even for DDIM
                             (ParaDiGMS' scale of the tolerance, arXiv:2305.16317);
                             may be 0 at the last step */
    pdag_step_parts *parts; /* [N] */
    bool *draws_noise;    /* [N] whether the torch streams draw at this step
                             (DDIM eta > 0: all; DDPM: not where t = 0) */
    double initial_sigma; /* x_0 = initial_sigma * unit noise */
    pdag_schedule_config config; /* copy (without trained_betas) */
    bool linear;          /* no clipping or thresholding: the form above is exact */
} pdag_transition;

/** Kind of the sampler families built in, by number from 0; NULL past the last. */
const char *pdag_transition_kind(size_t index);

/** kind: "ddim" (eta 0..1) or "ddpm" (eta ignored).  PDAG_ERR_UNSUPPORTED for
 *  another kind and for a step that the schedule leaves undefined, such as
 *  epsilon prediction where alpha-bar is 0; PDAG_ERR_ARG for eta. */
pdag_status pdag_transition_create(const char *kind,
                                   const pdag_schedule_config *config,
                                   const pdag_schedule *schedule, double eta,
                                   size_t dim, pdag_transition **transition_out);
void pdag_transition_destroy(pdag_transition *tr); /* NULL is allowed */

/** f[D] = F_i(x) from x[D], the network's output e[D] and the frozen unit noise
 *  xi[D] (NULL where c_i is 0).  Clipping and thresholding included, as diffusers
 *  does them.  Arithmetic in float64 per element, stored float32.  f may be x. */
void pdag_transition_step(const pdag_transition *tr, size_t i, const float *x,
                          const float *e, const float *xi, float *f);

/** x0[D]: the model's prediction of the clean state at row i (clipped as the
 *  sampler does). */
void pdag_transition_x0(const pdag_transition *tr, size_t i, const float *x,
                        const float *e, float *x0);

/** e[D] that makes row i predict the clean state z[D] from x[D] (held x0 entry,
 *  ParaSolver's roll-out): the inverse of pdag_transition_x0 without clipping. */
void pdag_transition_e_of_x0(const pdag_transition *tr, size_t i,
                             const float *x, const float *z, float *e);

#ifdef __cplusplus
}
#endif
#endif
