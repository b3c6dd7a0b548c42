/** graph/transition.h: the sampler's own step and its coefficients.  One ops table
 *  per family (transition_<family>.c), found by the job's sampler.kind; the solver
 *  sees only what comes out of here.
 *
 *  Row i's state is x_i = signal_i * clean + sigma_i * noise: (sqrt A, sqrt(1-A))
 *  for DDIM, DDPM, DPM-Solver, PNDM; (1, sigma) for Euler; (1 - sigma, sigma) for
 *  flow matching.  Every step is linear in the rows' values (Tang et al. 2024,
 *  arXiv:2402.09970, definition 2.1, widened to multistep samplers):
 *
 *      x_{i+1} = own_i x_i + sum_{j<p} weight_ij m_{i-j} + c_i xi_i
 *
 *  One-step samplers (p = 1): the value m_i is the step's own result F_i(x_i),
 *  clipping and noise inside; own = 0, weight = 1.  Multistep samplers: m_i is the
 *  predicted clean state (DPM-Solver++) or the network's output (PNDM).
 *
 *  Formulas: docs/numerics.md.  DDIM arXiv:2010.02502, DDPM arXiv:2006.11239,
 *  DPM-Solver++ arXiv:2211.01095, Euler arXiv:2206.00364, flow matching
 *  arXiv:2210.02747, PNDM arXiv:2202.09778; first, last and previous steps as
 *  diffusers' schedulers. */
#ifndef PDAG_GRAPH_TRANSITION_H
#define PDAG_GRAPH_TRANSITION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "graph/schedule.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PDAG_MAX_TERMS 5 /* p */

/** A step in two stages, for clipping in between (z: predicted clean state,
 *  eps: predicted noise, both from the network's output e):
 *      z = z_x x + z_e e,  eps = eps_x x + eps_e e,
 *  and for one-step samplers
 *      F = f_z clip(z) + f_eps eps + f_x x + c xi. */
typedef struct pdag_step_parts {
    double z_x, z_e;
    double eps_x, eps_e;
    double f_z, f_eps, f_x; /* 0 for multistep samplers */
} pdag_step_parts;

/** What a row's value is. */
typedef enum pdag_value_kind {
    PDAG_VALUE_STEP,  /* F_i(x_i): one-step samplers */
    PDAG_VALUE_CLEAN, /* predicted clean state, clipped as the sampler does */
    PDAG_VALUE_OUTPUT /* the network's output */
} pdag_value_kind;

/** Everything is read-only after create and may be shared by threads. */
typedef struct pdag_transition {
    size_t n_rows;        /* N: the sampler's steps (PNDM: one more, the second
                             evaluation of its first step) */
    size_t dim;           /* D */
    double *t;            /* [N] time given to the network for row i */
    double *input_scale;  /* [N] the network gets input_scale_i x_i (Euler:
                             1 / sqrt(sigma^2 + 1); else 1) */
    double *signal, *sigma; /* [N] of row i, see above */
    pdag_step_parts *parts; /* [N] */
    pdag_value_kind value_kind;
    size_t n_terms;       /* p, 1..PDAG_MAX_TERMS */
    double *own;          /* [N] */
    double *weight;       /* [N][p]; 0 for values before row 0 */
    double *a, *b, *c;    /* [N] of step i: slope by x_i with the network's outputs
                             held; slope by the network's output of row i; deviation
                             of the noise, 0 where none */
    double *noise_std;    /* [N] v_i, scale of the tolerance for the stop rules
                             relative and paradigms: DDPM posterior deviation of
                             step i even for DDIM (arXiv:2305.16317); Euler: the
                             ancestral sigma_up; flow matching: all 0 (the rules are
                             refused); may be 0 at the last step */
    bool *draws_noise;    /* [N] whether the torch streams draw at this step
                             (docs/job-file.md, field `random`) */
    double initial_sigma; /* x_0 = initial_sigma * unit noise */
    pdag_schedule_config config; /* copy (without trained_betas) */
    bool linear;          /* no clipping or thresholding */
} pdag_transition;

/** Kind of the sampler families built in, by number from 0; NULL past the last. */
const char *pdag_transition_kind(size_t index);

/** kind: sampler.kind.  eta: 0..1, used by ddim only.  PDAG_ERR_UNSUPPORTED for
 *  another kind, for PDAG_VARIANCE_OTHER where the kind takes a variance, and for
 *  a step that the schedule leaves undefined, such as epsilon prediction where
 *  alpha-bar is 0; PDAG_ERR_ARG for eta. */
pdag_status pdag_transition_create(const char *kind,
                                   const pdag_schedule_config *config,
                                   const pdag_schedule *schedule, double eta,
                                   size_t dim, pdag_transition **transition_out);
void pdag_transition_destroy(pdag_transition *tr); /* NULL is allowed */

/** m[D], the value of row i, from x[D], the network's output e[D] and, for
 *  one-step samplers, the frozen unit noise xi[D] (NULL where c_i is 0; ignored
 *  by multistep samplers).  Clipping and thresholding included, as diffusers does
 *  them.  Arithmetic in float64 per element, stored float32.  m may be x. */
void pdag_transition_value(const pdag_transition *tr, size_t i, const float *x,
                           const float *e, const float *xi, float *m);

/** f[D] = x_{i+1} from x_i and values m_i, m_{i-1} .. (values[j] is m_{i-j}; those
 *  with weight 0 are not read and may be NULL).  One-step samplers: a copy of
 *  values[0].  f may be x or one of the values. */
void pdag_transition_step(const pdag_transition *tr, size_t i, const float *x,
                          const float *const *values, const float *xi, float *f);

/** x0[D]: the model's prediction of the clean state at row i (clipped as the
 *  sampler does) from the network's output. */
void pdag_transition_x0(const pdag_transition *tr, size_t i, const float *x,
                        const float *e, float *x0);

/** The same from the row's value as a solver predicts it (multistep samplers only:
 *  a one-step value does not always determine the output). */
void pdag_transition_x0_of_value(const pdag_transition *tr, size_t i,
                                 const float *x, const float *m, float *x0);

/** m[D]: the value of row i when the model predicts the clean state z[D] there
 *  (held x0 entry, ParaSolver's roll-out), not clipped again.  xi as above.
 *  m may be x. */
void pdag_transition_value_of_x0(const pdag_transition *tr, size_t i,
                                 const float *x, const float *z,
                                 const float *xi, float *m);

/** slope_out[N]: J_i, the slope of x_{i+1} by x_i for data N(mean, variance I),
 *  variance > 0: the exact Jacobian of such a model, with the values before row i
 *  held. */
void pdag_transition_gaussian_slope(const pdag_transition *tr, double variance,
                                    double *slope_out);

/** Prediction of the clean state at row i for independent Gaussian data of the
 *  given mean[D] and variance[D] (each >= 0): x0[D] from x[D]. */
void pdag_transition_gaussian_x0(const pdag_transition *tr, size_t i,
                                 const float *x, const float *mean,
                                 const float *variance, float *x0);

#ifdef __cplusplus
}
#endif
#endif
