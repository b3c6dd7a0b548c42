/** graph/schedule.h: the training noise schedule and the sampler's timesteps, as
 *  diffusers' schedulers define them (DDIMScheduler, DDPMScheduler).
 *
 *  Letters as in docs/numerics.md: T training steps, N sampler steps, A[t]
 *  alpha-bar.  A is a float32 cumulative product in torch's order, widened to
 *  float64 afterwards.  Missing keys of scheduler_config.json take diffusers'
 *  constructor defaults of the class that the file names. */
#ifndef PDAG_GRAPH_SCHEDULE_H
#define PDAG_GRAPH_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pdag_beta_schedule {
    PDAG_BETA_LINEAR,
    PDAG_BETA_SCALED_LINEAR,
    PDAG_BETA_SQUAREDCOS_CAP_V2,
    PDAG_BETA_SIGMOID,
    PDAG_BETA_TRAINED /* explicit trained_betas */
} pdag_beta_schedule;

typedef enum pdag_prediction {
    PDAG_PREDICT_EPSILON,
    PDAG_PREDICT_SAMPLE,
    PDAG_PREDICT_V
} pdag_prediction;

typedef enum pdag_spacing {
    PDAG_SPACING_LEADING,
    PDAG_SPACING_TRAILING,
    PDAG_SPACING_LINSPACE
} pdag_spacing;

typedef enum pdag_variance {
    PDAG_VARIANCE_FIXED_SMALL,
    PDAG_VARIANCE_FIXED_LARGE,
    PDAG_VARIANCE_FIXED_SMALL_LOG /* as diffusers: std = exp(0.5 log var) */
} pdag_variance;

/** One scheduler_config.json, resolved for the sampler kind that the job asks
 *  for (another kind than the file's own behaves as OtherScheduler.from_config
 *  of this file). */
typedef struct pdag_schedule_config {
    char class_name[64];      /* `_class_name` of the file */
    size_t n_train;           /* num_train_timesteps, 1..100000 */
    pdag_beta_schedule beta_schedule;
    double beta_start, beta_end;
    double *trained_betas;    /* owned, [n_train], or NULL */
    bool rescale_zero_snr;    /* rescale_betas_zero_snr */
    pdag_prediction prediction;
    pdag_spacing spacing;     /* timestep_spacing */
    int steps_offset;
    bool set_alpha_to_one;    /* DDIM and PNDM */
    bool clip_sample;
    double clip_range;        /* clip_sample_range */
    bool thresholding;
    double threshold_ratio;   /* dynamic_thresholding_ratio */
    double sample_max_value;
    pdag_variance variance;   /* variance_type, DDPM only */
} pdag_schedule_config;

/** Read `path` (scheduler_config.json) for sampler `kind`: "ddim" or "ddpm" (more
 *  with issue 4).  PDAG_ERR_INPUT, _FORMAT (type or range, naming file and key),
 *  _UNSUPPORTED (a value that no sampler here knows, naming file, key, value). */
pdag_status pdag_schedule_config_read(const char *path, const char *kind,
                                      pdag_schedule_config *config_out);
/** Sampler kind of the file's own class ("DDIMScheduler" -> "ddim"), or NULL for
 *  one that the program has no sampler for. */
const char *pdag_schedule_kind_of_class(const char *class_name);
/** Reads only `_class_name`; buffer of at least 64 bytes. */
pdag_status pdag_schedule_class_read(const char *path, char *class_name_out);
/** Defaults of diffusers' DDIMScheduler / DDPMScheduler constructor. */
void pdag_schedule_config_defaults(const char *kind,
                                   pdag_schedule_config *config_out);
void pdag_schedule_config_clear(pdag_schedule_config *config);

typedef struct pdag_schedule {
    size_t n_train;     /* T */
    double *alpha_bar;  /* [T], owned: float32 values widened */
    size_t n_steps;     /* N */
    double *timesteps;  /* [N], descending, owned; integers for DDIM and DDPM */
} pdag_schedule;

/** PDAG_ERR_ARG: n_steps not in 1..T (naming sampler.steps). */
pdag_status pdag_schedule_create(const pdag_schedule_config *config,
                                 const char *kind, size_t n_steps,
                                 pdag_schedule **schedule_out);
void pdag_schedule_destroy(pdag_schedule *schedule); /* NULL is allowed */

#ifdef __cplusplus
}
#endif
#endif
