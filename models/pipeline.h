/** models/pipeline.h: a model directory as a whole: encode a prompt, evaluate the
 *  network, decode a state into a picture.
 *
 *  pdag_pipeline_inspect() reads configurations and weight-file headers only and
 *  is what rank 0 does before anything runs; pdag_pipeline_load() reads weights
 *  and is what every worker does.  Layouts known: StableDiffusionPipeline
 *  (unet/ vae/ text_encoder/ tokenizer/ scheduler/), LDMPipeline (unet/ vqvae/
 *  scheduler/), DDPMPipeline and DDIMPipeline (unet/ scheduler/, or all files in
 *  the root as google/ddpm-cifar10-32), DiTPipeline (transformer/ scheduler/, vae/
 *  or none), DiffusionPolicyPipeline (unet/ scheduler/; our own, see
 *  docs/pusht.md).  Files are found as diffusers finds them: plain, sharded
 *  (index.json) and variant (".fp16.") names. */
#ifndef PDAG_MODELS_PIPELINE_H
#define PDAG_MODELS_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"
#include "base/status.h"
#include "models/denoiser.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_pipeline_info {
    char class_name[64];     /* "StableDiffusionPipeline", ... */
    char network_class[64];  /* "UNet2DConditionModel", ... */
    char *scheduler_config;  /* owned: path of scheduler_config.json, or NULL */
    int n_state_dims;
    size_t state_dims[PDAG_STATE_MAX_DIMS];
    size_t dim;              /* D */
    bool has_text;           /* takes prompts */
    bool has_picture;        /* decodes to a picture */
    bool is_latent;          /* has an autoencoder (slopes: c^2 about 1) */
    size_t picture_height, picture_width, picture_channels; /* 1 or 3 */
    size_t cond_dim;         /* floats of one unguided condition: n_tokens * width
                                of a text, 1 of a class (its number), the numbers
                                of an observation as the environment gives them */
    size_t n_classes;        /* labels 0 .. n_classes - 1, and the null class
                                n_classes, which guidance takes for "none"; 0: the
                                network knows no classes */
    char **class_name_of;    /* owned: [n_classes] names from model_index.json, some
                                NULL; or NULL */
    size_t n_observations, observation_dim; /* of a policy: observations of one
                                condition, numbers of each; 0: no policy */
    size_t n_actions; /* of a policy: actions of a plan that are executed, from
                         that of the newest observation, n_observations - 1, on */
    size_t n_tokens;         /* of one prompt */
    uint64_t n_parameters;   /* of all parts, from the weight files' headers */
    uint64_t weight_bytes;   /* on disk */
} pdag_pipeline_info;

/** Configs complete and supported, every tensor that the program needs present
 *  with the right shape.  Tensors nobody needs are an error too, save the known
 *  harmless ones (models.md: position_ids).  The error names file, key, value.
 *  PDAG_ERR_INPUT, _FORMAT, _UNSUPPORTED, _SHAPE.  Clear with _info_clear(). */
pdag_status pdag_pipeline_inspect(const char *path, pdag_pipeline_info *info_out);
void pdag_pipeline_info_clear(pdag_pipeline_info *info); /* NULL is allowed */

typedef struct pdag_pipeline pdag_pipeline;

/** A LoRA file (models/lora.h) and its factor. */
typedef struct pdag_lora_opts {
    const char *path;
    double scale;
} pdag_lora_opts;

/** A second set of weights of the network.  So et al. 2025 (PCM), section 3.3. */
typedef struct pdag_pcm_opts {
    const char *path; /* a LoRA file or a model directory; NULL: none */
    bool features;    /* the scheduler mixes results, not this pipeline weights */
    double scale;     /* of a LoRA */
    size_t n_mixes;   /* of weights: 1 or more; with `features` not read, it is 1 */
    const double *lambda; /* [n_mixes], of the mixes 1 .. n_mixes; read while
                             loading; with `features` not read, it is 1 */
} pdag_pcm_opts;

typedef struct pdag_pipeline_opts {
    float guidance_scale;     /* 1: no guidance, one condition */
    size_t guidance_channels; /* 0: all */
    double delay_ms;          /* extra sleep per row of every evaluation */
    size_t n_loras;
    const pdag_lora_opts *loras; /* [n_loras], merged into every mix; read while
                                    loading */
    pdag_pcm_opts pcm;
} pdag_pipeline_opts;

/** Whether the LoRAs and the second weights of `opts` fit the model: headers and
 *  configurations only, as inspect.  PDAG_ERR_INPUT, _FORMAT (keys that match
 *  nothing, with their number and the first ten), _SHAPE, _UNSUPPORTED, _ARG. */
pdag_status pdag_pipeline_check(const char *path,
                                const pdag_pipeline_opts *opts);

/** Load all parts into `be`, which is borrowed and must outlive the pipeline.
 *  Mix 0 is the model with opts->loras; with opts->pcm mix i > 0 is
 *
 *      W0 + lambda[i - 1] scale dW             pcm.path is a LoRA file
 *      W0 + lambda[i - 1] (W1 - W0)            pcm.path is a model directory
 *
 *  of the network (models/mix.h says how it is rounded); text encoder and
 *  autoencoder are the model's.  Every mix is prepared here, once; weights that a
 *  LoRA does not touch are shared by all.  A directory's network must have the
 *  configuration of the model's, save with `features`. */
pdag_status pdag_pipeline_load(const char *path, pdag_backend *be,
                               const pdag_pipeline_opts *opts,
                               pdag_pipeline **pipeline_out);
/** A pipeline around one denoiser without text or pictures (the Gaussian
 *  oracle); takes ownership of `model`. */
pdag_status pdag_pipeline_wrap(pdag_denoiser *model,
                               const pdag_pipeline_opts *opts,
                               pdag_pipeline **pipeline_out);
void pdag_pipeline_destroy(pdag_pipeline *pipeline); /* NULL is allowed */

/** Floats that encode() writes: cond_dim, twice that with guidance, or 0. */
size_t pdag_pipeline_cond_floats(const pdag_pipeline *pipeline);

/** Text to condition.  cond_out: [cond_floats], negative prompt first where
 *  guidance is on.  Prompts longer than the text encoder are cut as CLIP does. */
pdag_status pdag_pipeline_encode(pdag_pipeline *pipeline, const char *prompt,
                                 const char *negative, float *cond_out);

/** Prepare / free the condition of one sample; cond: [cond_floats], copied. */
pdag_status pdag_pipeline_condition(pdag_pipeline *pipeline, const float *cond,
                                    pdag_condition **condition_out);
void pdag_pipeline_condition_destroy(pdag_pipeline *pipeline,
                                     pdag_condition *condition);

/** Highest mix that eval() takes; 0 without opts->pcm. */
size_t pdag_pipeline_n_mixes(const pdag_pipeline *pipeline);

/** n rows of one sample with the weights of `mix`; shapes as in denoiser.h;
 *  guided, delayed as asked.  `condition` is NULL where cond_floats is 0.
 *  PDAG_ERR_ARG (no such mix). */
pdag_status pdag_pipeline_eval(pdag_pipeline *pipeline, size_t n,
                               const float *x, const float *t,
                               const pdag_condition *condition, size_t mix,
                               float *eps_out);

/** Final state [D] to picture, float32 [height][width][channels] in [0, 1] (not
 *  rounded); of a policy to actions as the environment takes them, [horizon]
 *  [action_dim].  PDAG_ERR_ARG where the model makes neither. */
pdag_status pdag_pipeline_decode(pdag_pipeline *pipeline, const float *state,
                                 float *picture_out);

#ifdef __cplusplus
}
#endif
#endif
