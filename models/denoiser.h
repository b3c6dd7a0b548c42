/** models/denoiser.h: the noise predictor eps(x, t, condition); one ops table per
 *  network.  Source: Ho et al. 2020, arXiv:2006.11239, section 3.2.
 *
 *  Who calls what, in order: the pipeline (models/pipeline.h) finds the ops by
 *  the class name of the model's config.json in models/registry.c, calls load();
 *  condition_create() once per sample; eval() many times; condition_destroy(),
 *  destroy().  A network is one file and one row of the registry; knowledge of a
 *  network in any other file is a defect.  models/gaussian.c is the smallest
 *  implementation.  Not thread safe: one thread per denoiser. */
#ifndef PDAG_MODELS_DENOISER_H
#define PDAG_MODELS_DENOISER_H

#include <stddef.h>

#include "backend/backend.h"
#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PDAG_STATE_MAX_DIMS 3

typedef struct pdag_denoiser_ops pdag_denoiser_ops;

/** What a network keeps of one sample's condition (projected keys and values of
 *  the prompt, a class label); opaque, made and freed by the network's ops. */
typedef struct pdag_condition pdag_condition;

/** A network that plans actions from observations.  Inside it both are normalised:
 *  normalised = given * scale + offset, per number.  A condition is
 *  [n_observations][observation_dim] as the environment gives them, the oldest
 *  first; a state is [horizon][action_dim] normalised actions, the first of which
 *  belongs to the oldest observation. */
typedef struct pdag_policy {
    size_t n_observations, observation_dim;
    size_t action_dim;
    size_t n_actions; /* to execute, from that of the newest observation on */
    const float *action_scale, *action_offset;           /* [action_dim] */
    const float *observation_scale, *observation_offset; /* [observation_dim] */
} pdag_policy;

/** A network embeds this as its first member. */
typedef struct pdag_denoiser {
    const pdag_denoiser_ops *ops;
    size_t dim;                         /* D = product of the state's dims */
    int n_state_dims;                   /* 1..3 */
    size_t state_dims[PDAG_STATE_MAX_DIMS]; /* e.g. C, H, W */
    size_t cond_dim; /* floats of one condition (tokens * width); 0: none */
    size_t n_classes; /* of a network of classes, whose condition is one number:
                         a label below it, or n_classes itself for "none" */
    const pdag_policy *policy; /* of a policy, alive as the network; else NULL */
} pdag_denoiser;

struct pdag_denoiser_ops {
    const char *name; /* diffusers class name, e.g. "UNet2DConditionModel" */

    /** Prepare one condition, cond: host float32 [cond_dim], copied.
     *  NULL entry: the network takes no condition. */
    pdag_status (*condition_create)(pdag_denoiser *model, const float *cond,
                                    pdag_condition **condition_out);
    void (*condition_destroy)(pdag_denoiser *model, pdag_condition *condition);

    /** eps[i] = network(x[i], t[i], cond[i]), 0 <= i < n; rows independent.
     *  x, eps: host float32 [n][D], eps written, no overlap.  t: [n],
     *  training-step index in [0, T), may be fractional.  cond: [n] borrowed
     *  conditions of this model, or NULL where cond_dim is 0.  Waits for the
     *  device.  A row may move in its last bits with n (docs/numerics.md).
     *  PDAG_ERR_BACKEND, PDAG_ERR_NOMEM. */
    pdag_status (*eval)(pdag_denoiser *model, size_t n, const float *x,
                        const float *t, const pdag_condition *const *cond,
                        float *eps);
    void (*destroy)(pdag_denoiser *model); /* NULL is allowed */
};

/** Classifier-free guidance, a denoiser around a denoiser (Ho and Salimans 2022,
 *  arXiv:2207.12598): its condition is [2][inner cond_dim], unconditional first;
 *  it evaluates 2n rows, unconditional first, and gives
 *  eps_u + scale (eps_c - eps_u) in float32.  `channels` > 0 guides the first
 *  `channels` channels of the state only, the rest take eps_c; 0: all.  Borrows
 *  `inner`, which must outlive it. */
pdag_status pdag_guidance_create(pdag_denoiser *inner, float scale,
                                 size_t channels, pdag_denoiser **model_out);

/** Exact denoiser of the equal mixture of `modes` Gaussians N(mean_m, std^2 I),
 *  means drawn standard normal from `seed`; the oracle of the solver tests.
 *  shape: [n_dims], n_dims 1..3.  alpha_bar: [T] of the training schedule,
 *  copied.  eps(x, t) = -sqrt(1 - A) grad log p_t(x); fractional t interpolates
 *  log A linearly.  PDAG_ERR_ARG. */
pdag_status pdag_gaussian_create(const size_t *shape, int n_dims, size_t modes,
                                 double std, uint64_t seed,
                                 const double *alpha_bar, size_t n_train,
                                 pdag_denoiser **model_out);

#ifdef __cplusplus
}
#endif
#endif
