/** graph/schedule.h: the sampler kinds, the training noise schedule and the
 *  sampler's timesteps and noise levels, as diffusers' schedulers define them
 *  (DDIM, DDPM, PNDM, DPMSolverMultistep, EulerDiscrete, EulerAncestralDiscrete,
 *  FlowMatchEulerDiscrete).
 *
 *  Letters as in docs/numerics.md: T training steps, N sampler steps, A[t]
 *  alpha-bar.  A is a float32 cumulative product in torch's order, widened to
 *  float64 afterwards.  Missing keys of scheduler_config.json take diffusers'
 *  constructor defaults of the class that the sampler kind stands for. */
#ifndef PDAG_GRAPH_SCHEDULE_H
#define PDAG_GRAPH_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Samplers that share their formulas; one diffusers class each. */
typedef enum pdag_family {
    PDAG_FAMILY_DDIM,
    PDAG_FAMILY_DDPM,
    PDAG_FAMILY_DPM,
    PDAG_FAMILY_EULER,
    PDAG_FAMILY_EULER_A,
    PDAG_FAMILY_FLOW,
    PDAG_FAMILY_PNDM
} pdag_family;

/** What a kind takes of scheduler_config.json and of the job's sampler.*. */
enum {
    PDAG_TAKES_BETAS = 1,
    PDAG_TAKES_RESCALE = 2,   /* rescale_betas_zero_snr */
    PDAG_TAKES_SPACING = 4,   /* timestep_spacing, steps_offset, prediction_type */
    PDAG_TAKES_CLIP = 8,      /* clip_sample, clip_sample_range */
    PDAG_TAKES_THRESHOLD = 16, /* thresholding and its two numbers */
    PDAG_TAKES_LAST = 32,     /* set_alpha_to_one */
    PDAG_TAKES_VARIANCE = 64, /* variance_type */
    PDAG_TAKES_SIGMAS = 128   /* use_*_sigmas, sigma_min, sigma_max */
};

typedef struct pdag_schedule_kind {
    const char *name;       /* sampler.kind */
    pdag_family family;
    const char *class_name; /* diffusers' */
    int order;              /* evaluations that a step combines */
    bool sde;               /* DPM-Solver with noise */
    unsigned takes;         /* PDAG_TAKES_* */
} pdag_schedule_kind;

/** By sampler.kind, NULL where there is none; by number from 0, NULL past the
 *  last. */
const pdag_schedule_kind *pdag_schedule_kind_find(const char *name);
const pdag_schedule_kind *pdag_schedule_kind_at(size_t index);
/** The same, or PDAG_ERR_UNSUPPORTED listing the kinds. */
pdag_status pdag_schedule_kind_get(const char *name,
                                   const pdag_schedule_kind **kind_out);

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
    PDAG_VARIANCE_FIXED_SMALL_LOG, /* as diffusers: std = exp(0.5 log var) */
    PDAG_VARIANCE_OTHER /* fixed_large_log, learned, learned_range: no sampler
                           here has them, one of the others must replace it */
} pdag_variance;

/** How the noise levels are spread. */
typedef enum pdag_sigma_rule {
    PDAG_SIGMAS_OF_TIMESTEPS,
    PDAG_SIGMAS_KARRAS,      /* use_karras_sigmas, arXiv:2206.00364 eq. 5 */
    PDAG_SIGMAS_EXPONENTIAL, /* use_exponential_sigmas */
    PDAG_SIGMAS_LU           /* use_lu_lambdas, DPM only */
} pdag_sigma_rule;

/** One scheduler_config.json, resolved for the sampler kind that the job asks
 *  for (another kind than the file's own behaves as OtherScheduler.from_config
 *  of this file; for the DPM kinds with algorithm_type and solver_order given by
 *  the kind).  Members that the kind does not take have the values that change
 *  nothing. */
typedef struct pdag_schedule_config {
    char class_name[64];      /* `_class_name` of the file */
    size_t n_train;           /* num_train_timesteps, 1..100000 */
    pdag_beta_schedule beta_schedule;
    double beta_start, beta_end;
    double *trained_betas;    /* owned, [n_train], or NULL */
    bool rescale_zero_snr;    /* rescale_betas_zero_snr */
    pdag_prediction prediction; /* flow-euler: not used */
    pdag_spacing spacing;     /* timestep_spacing; flow-euler: not used */
    int steps_offset;
    bool set_alpha_to_one;    /* DDIM and PNDM */
    bool clip_sample;
    double clip_range;        /* clip_sample_range */
    bool thresholding;
    double threshold_ratio;   /* dynamic_thresholding_ratio */
    double sample_max_value;
    pdag_variance variance;   /* variance_type, DDPM only */
    pdag_sigma_rule sigma_rule;
    double sigma_min, sigma_max; /* ends for sigma_rule; below 0: the schedule's */
    bool end_at_sigma_min;    /* final_sigmas_type, Euler and DPM */
    bool log_linear;          /* interpolation_type, Euler */
    bool heun;                /* solver_type, DPM */
    bool lower_order_final;   /* DPM */
    bool euler_at_final;      /* DPM */
    double lambda_min;        /* lambda_min_clipped, DPM; -INFINITY: none */
    double shift;             /* flow-euler */
    double shift_terminal;    /* flow-euler; 0: none */
    bool stochastic;          /* stochastic_sampling, flow-euler */
} pdag_schedule_config;

/** Read `path` (scheduler_config.json) for sampler `kind`.  PDAG_ERR_INPUT,
 *  _FORMAT (type or range, naming file and key), _UNSUPPORTED (a value that no
 *  sampler here knows, naming file, key, value). */
pdag_status pdag_schedule_config_read(const char *path, const char *kind,
                                      pdag_schedule_config *config_out);
/** Defaults of the constructor of diffusers' class for this (known) kind. */
void pdag_schedule_config_defaults(const char *kind,
                                   pdag_schedule_config *config_out);
void pdag_schedule_config_clear(pdag_schedule_config *config);

#define PDAG_SCHEDULE_TEXT 128

/** The sampler kind of the file's own class ("ddim" for DDIMScheduler), or NULL
 *  where the program has none, and how to call that class in a message
 *  (description_out: PDAG_SCHEDULE_TEXT bytes or NULL).  PDAG_ERR_FORMAT for a
 *  file without `_class_name`. */
pdag_status pdag_schedule_kind_read(const char *path, const char **kind_out,
                                    char *description_out);

typedef struct pdag_schedule {
    size_t n_train;     /* T */
    double *alpha_bar;  /* [T], owned: float32 values widened */
    size_t n_steps;     /* the sampler's steps */
    size_t n_rows;      /* N: evaluations; n_steps, PNDM one more */
    double *timesteps;  /* [N], not rising, owned; what the network is given.
                           Integers but for Euler and flow matching */
    double *sigmas;     /* [N + 1], owned: noise level of each row and of the end,
                           float32 values; noise over signal, for flow-euler the
                           noise's share.  NULL for DDIM, DDPM, PNDM */
    double initial_sigma; /* x_0 = initial_sigma * unit noise */
} pdag_schedule;

/** PDAG_ERR_ARG: n_steps not in 1..T (naming sampler.steps), or a spacing that
 *  gives another number of steps; PDAG_ERR_UNSUPPORTED: a prediction type that
 *  the kind does not have. */
pdag_status pdag_schedule_create(const pdag_schedule_config *config,
                                 const char *kind, size_t n_steps,
                                 pdag_schedule **schedule_out);
void pdag_schedule_destroy(pdag_schedule *schedule); /* NULL is allowed */

#ifdef __cplusplus
}
#endif
#endif
