/** models/unet.h: the U-Net that UNet2DConditionModel and UNet2DModel are two
 *  configurations of.  Sources: Ronneberger et al. 2015, arXiv:1505.04597; Ho
 * et al. 2020, arXiv:2006.11239, appendix B; Rombach et al. 2022,
 * arXiv:2112.10752.
 *
 *  conv_in, down blocks (their results are kept), middle, up blocks (each layer
 *  reads the last kept result beside its input), norm, activation, conv_out.
 *  unet2d_condition.c and unet2d.c read config.json into a pdag_unet_config;
 *  unet_build.c makes the layers from it, unet_run.c evaluates them. */
#ifndef PDAG_MODELS_UNET_H
#define PDAG_MODELS_UNET_H

#include "models/config.h"
#include "models/denoiser.h"
#include "models/layers_attention.h"
#include "models/layers_resnet.h"
#include "models/layers_time.h"
#include "models/recordings.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What follows each residual block of a block. */
typedef enum pdag_unet_attention {
    PDAG_UNET_PLAIN, /* nothing */
    PDAG_UNET_SELF,  /* pdag_attention_block */
    PDAG_UNET_CROSS  /* pdag_transformer */
} pdag_unet_attention;

/** How one block is made. */
typedef struct pdag_unet_block_config {
    pdag_unet_attention attention;
    size_t n_resnets;
    size_t heads;    /* of CROSS */
    size_t head_dim; /* of SELF; 0: a single head */
    size_t depth;    /* of CROSS: layers in each transformer */
    bool only_cross; /* of CROSS */
} pdag_unet_block_config;

typedef struct pdag_unet_config {
    size_t channels, height, width; /* of a state */
    size_t n_blocks;
    size_t widths[PDAG_CONFIG_MAX_BLOCKS]; /* down; up is the reverse */
    pdag_unet_block_config down[PDAG_CONFIG_MAX_BLOCKS];
    pdag_unet_block_config up[PDAG_CONFIG_MAX_BLOCKS];
    bool has_mid;
    pdag_unet_block_config mid; /* attention sits between the residual blocks */
    double mid_scale_factor;
    size_t mid_attention_groups;
    size_t groups;
    double eps;
    size_t downsample_padding; /* 0 or 1 */
    size_t cross_dim;          /* floats of a token; 0: no condition */
    size_t time_width;
    bool flip_sin_to_cos;
    double freq_shift;
    pdag_activation act;      /* of residual blocks */
    pdag_activation time_act; /* inside the time embedding */
    pdag_activation out_act;  /* before conv_out */
} pdag_unet_config;

/** Read what both front-ends have alike: state, widths, norms, activation of
 * the blocks, time embedding.  `channels` and `widths` [4] are the class's
 * defaults. */
pdag_status pdag_unet_read_config(const pdag_json *json, size_t channels,
                                  const size_t *widths,
                                  pdag_unet_config *config);

/** Tokens of a condition where the builder does not say. */
#define PDAG_UNET_DEFAULT_TOKENS 77

typedef struct pdag_unet_block {
    pdag_unet_attention attention;
    pdag_resnet *resnets; /* [n_resnets] */
    size_t n_resnets;
    pdag_attention_block *attentions; /* [n_attentions], of SELF */
    pdag_transformer *transformers;   /* [n_attentions], of CROSS */
    size_t n_attentions;
    bool has_sampler; /* down: a strided conv; up: after an upsampling */
    pdag_conv sampler;
} pdag_unet_block;

typedef struct pdag_unet {
    pdag_denoiser base;
    pdag_unet_config config;
    pdag_backend *be; /* borrowed */
    pdag_weight_list weights;
    pdag_workspace ws;
    pdag_workspace *room; /* `ws`, or that of the network it shares with */
    pdag_time time;
    pdag_kv_layers kv_layers;
    pdag_conv conv_in, conv_out;
    pdag_norm norm_out;
    pdag_unet_block down[PDAG_CONFIG_MAX_BLOCKS];
    pdag_unet_block mid;
    pdag_unet_block up[PDAG_CONFIG_MAX_BLOCKS];
    pdag_map *skips; /* [n_skips]: kept results of one evaluation */
    size_t n_skips;
    pdag_recordings recordings;
    const void **kv; /* [kv_room]: conditions of one evaluation */
    size_t kv_room;
} pdag_unet;

/** Build from the part that `b` reads; `ops` is the front-end's table with the
 *  functions below.  Without a backend only checks, and the result only has
 *  its dimensions. */
pdag_status pdag_unet_load(pdag_builder *b, const pdag_unet_config *config,
                           const pdag_denoiser_ops *ops,
                           pdag_denoiser **model_out);

/** Entries of the ops table; see denoiser.h. */
pdag_status pdag_unet_condition_create(pdag_denoiser *model, const float *cond,
                                       pdag_condition **condition_out);
void pdag_unet_condition_destroy(pdag_denoiser *model,
                                 pdag_condition *condition);
pdag_status pdag_unet_eval(pdag_denoiser *model, size_t n, const float *x,
                           const float *t, const pdag_condition *const *cond,
                           float *eps);
void pdag_unet_destroy(pdag_denoiser *model);

#ifdef __cplusplus
}
#endif
#endif
