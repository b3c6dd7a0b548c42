/** models/unet1d.h: ConditionalUnet1D, the policy network of Diffusion Policy.
 *  Source: Chi et al. 2023, arXiv:2303.04137, section 3 and appendix A.1; the
 *  convolutional variant goes back to Janner et al. 2022, arXiv:2205.09991.
 *
 *  A state is an action plan [horizon][action_dim], normalised.  It runs through
 *  levels of two residual blocks each, halved in length between them, two blocks
 *  in the middle, and back up.  A residual block is two of convolution (kernel
 *  k) - group norm - Mish, with scale and shift (FiLM, Perez et al. 2018,
 *  arXiv:1709.07871) of the timestep and of the observations after the first.
 *  Upsampling is a transposed convolution, done as one of kernel 3 with twice the
 *  channels: position j's two halves are positions 2j and 2j + 1.
 *
 *  unet1d.c reads the configuration and makes the layers, unet1d_run.c evaluates
 *  them. */
#ifndef PDAG_MODELS_UNET1D_H
#define PDAG_MODELS_UNET1D_H

#include "models/config.h"
#include "models/denoiser.h"
#include "models/layers_base.h"
#include "models/layers_time.h"
#include "models/recordings.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Convolution along the plan, group norm, Mish. */
typedef struct pdag_unet1d_conv {
    pdag_conv conv; /* of one row: only its width has padding and stride */
    pdag_norm norm;
} pdag_unet1d_conv;

typedef struct pdag_unet1d_resnet {
    pdag_unet1d_conv first, second;
    pdag_time_slot film; /* [2 * out]: scale, then shift */
    bool has_shortcut;   /* 1x1, where the widths differ */
    pdag_linear shortcut;
} pdag_unet1d_resnet;

typedef struct pdag_unet1d_level {
    pdag_unet1d_resnet first, second;
    bool has_sampler;
    pdag_conv sampler; /* down: stride 2; up: kernel 3, 2 * width channels */
} pdag_unet1d_level;

typedef struct pdag_unet1d_config {
    size_t horizon, action_dim;
    size_t n_levels;
    size_t widths[PDAG_CONFIG_MAX_BLOCKS];
    size_t kernel, groups;
    size_t step_width; /* of the timestep embedding */
    bool predict_scale; /* false: FiLM only shifts */
    pdag_policy policy;
} pdag_unet1d_config;

typedef struct pdag_unet1d {
    pdag_denoiser base;
    pdag_unet1d_config config;
    float *normaliser; /* owned: the scales and offsets of config.policy */
    pdag_backend *be;  /* borrowed */
    pdag_weight_list weights;
    pdag_workspace ws;
    pdag_workspace *room; /* `ws`, or that of the network it shares with */
    pdag_time time;       /* its projections are the FiLM of the timesteps */
    pdag_linear *observation; /* [time.n_projections]: of the observations */
    pdag_unet1d_level down[PDAG_CONFIG_MAX_BLOCKS];
    pdag_unet1d_resnet mid[2];
    pdag_unet1d_level up[PDAG_CONFIG_MAX_BLOCKS];
    pdag_unet1d_conv final;
    pdag_linear final_out;
    pdag_recordings recordings; /* name no condition: theirs are in pass->time */
    const float **film; /* [film_room]: conditions of one evaluation */
    size_t film_room;
} pdag_unet1d;

/** Entries of the ops table; see denoiser.h.  A condition is the FiLM of its
 *  observations, host float32 [time.total]. */
pdag_status pdag_unet1d_condition_create(pdag_denoiser *model,
                                         const float *cond,
                                         pdag_condition **condition_out);
void pdag_unet1d_condition_destroy(pdag_denoiser *model,
                                   pdag_condition *condition);
pdag_status pdag_unet1d_eval(pdag_denoiser *model, size_t n, const float *x,
                             const float *t, const pdag_condition *const *cond,
                             float *eps);

#ifdef __cplusplus
}
#endif
#endif
