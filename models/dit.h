/** models/dit.h: DiTTransformer2DModel of diffusers: a transformer over patches of
 *  the state, led by timestep and class through its norms (adaLN-zero).  Source:
 *  Peebles and Xie 2022, arXiv:2212.09748; names and constants are those of
 *  diffusers 0.42.
 *
 *  dit.c reads config.json and makes the layers, dit_run.c evaluates them; private
 *  to both. */
#ifndef PDAG_MODELS_DIT_H
#define PDAG_MODELS_DIT_H

#include "models/denoiser.h"
#include "models/layers_attention.h"
#include "models/layers_time.h"
#include "models/recordings.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PDAG_DIT_TIME_CHANNELS 256 /* sinusoids of a timestep */
#define PDAG_DIT_PARTS 6 /* of a block's modulation: shift, scale and gate of the
                            attention, then of the feed-forward layer */

typedef struct pdag_dit_config {
    size_t channels, out_channels, side; /* of a state: [channels][side][side] */
    size_t patch, grid;                  /* side = grid * patch */
    size_t heads, head_dim, width;       /* width = heads * head_dim */
    size_t depth;
    size_t n_classes; /* and one more: none of them */
    bool attention_bias, affine;
    double norm_eps, freq_shift;
    pdag_activation act; /* of the feed-forward layer */
    bool gated;          /* it is GEGLU */
} pdag_dit_config;

typedef struct pdag_dit_block {
    pdag_linear time_1, time_2, modulation;
    pdag_attn attn;
    pdag_norm norm_2; /* with weights only where the config says so */
    pdag_linear ff_in, ff_out;
    const pdag_tensor_view *labels; /* [n_classes + 1][width], in the file */
    float *own_labels;              /* the same mixed with others, or NULL */
} pdag_dit_block;

typedef struct pdag_dit {
    pdag_denoiser base;
    pdag_dit_config config;
    pdag_backend *be;   /* borrowed */
    pdag_weights *file; /* owned: `labels` are in it */
    pdag_weight_list weights;
    pdag_workspace ws;
    pdag_workspace *room;            /* `ws`, or of the network it shares with */
    pdag_linear embed, project, out; /* out: [channels][patch][patch] columns */
    pdag_dit_block *blocks;          /* [depth] */
    pdag_buf positions;              /* [grid * grid][width] */
    float *patches; /* [rows][grid * grid][channels * patch * patch], host */
    float *lead; /* sinusoids [rows][PDAG_DIT_TIME_CHANNELS], then the rows of the
                    labels [depth][rows][width], host */
    size_t n_rows; /* that the last two have room for */
    pdag_recordings recordings;
} pdag_dit;

/** Entry of the ops table; see denoiser.h. */
pdag_status pdag_dit_eval(pdag_denoiser *model, size_t n, const float *x,
                          const float *t, const pdag_condition *const *cond,
                          float *eps);

#ifdef __cplusplus
}
#endif
#endif
