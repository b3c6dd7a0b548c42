/** models/layers_autoencoder.h: the two halves that AutoencoderKL and VQModel
 *  have alike: Encoder and Decoder of diffusers.  Source: Rombach et al. 2022,
 *  arXiv:2112.10752, section 3.1; Esser et al. 2021, arXiv:2012.09841, table 7. */
#ifndef PDAG_MODELS_LAYERS_AUTOENCODER_H
#define PDAG_MODELS_LAYERS_AUTOENCODER_H

#include <stdbool.h>
#include <stddef.h>

#include "models/config.h"
#include "models/layers_attention.h"
#include "models/layers_resnet.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_half_config {
    size_t in_channels, out_channels; /* of pictures */
    size_t latent_channels;           /* that the decoder reads */
    size_t widths[PDAG_CONFIG_MAX_BLOCKS]; /* from the picture's side */
    size_t n_blocks;
    size_t layers; /* residual blocks of a block; of the decoder one more */
    size_t groups;
    pdag_activation act;
    bool mid_attention;
} pdag_half_config;

typedef struct pdag_half_block {
    pdag_resnet *resnets; /* [n_resnets], owned */
    size_t n_resnets;
    bool has_sampler;
    pdag_conv sampler; /* stride 2: down; 1: after an upsampling */
} pdag_half_block;

/** Encoder and decoder have the same shape, apart from the samplers.  Zero it. */
typedef struct pdag_half {
    pdag_conv conv_in, conv_out;
    pdag_half_block blocks[PDAG_CONFIG_MAX_BLOCKS];
    size_t n_blocks;
    pdag_resnet mid[2];
    bool mid_attention;
    pdag_attention_block attention;
    pdag_norm norm_out;
} pdag_half;
void pdag_half_clear(pdag_half *half);

/** What both classes say in the same keys; `latent_channels` is the class's
 *  default of that key. */
pdag_status pdag_half_read_config(const pdag_json *json, size_t latent_channels,
                                  pdag_half_config *config);

/** Tensors encoder.*, to `out` channels; decoder.*, from latent_channels. */
pdag_status pdag_build_encoder(pdag_builder *b, const pdag_half_config *config,
                               size_t out, pdag_half *half);
pdag_status pdag_build_decoder(pdag_builder *b, const pdag_half_config *config,
                               pdag_half *half);

/** h is replaced by what becomes of it. */
pdag_status pdag_run_encoder(pdag_pass *pass, const pdag_half *half,
                             pdag_map *h);
/** A 1x1 convolution. */
pdag_status pdag_run_pointwise(pdag_pass *pass, const pdag_linear *linear,
                               pdag_map *h);

/** A whole pass: latent [channels][height][width] through `before`, a 1x1
 *  convolution or NULL, and the decoder to picture_out [out_channels][..][..]; both
 *  on the host. */
pdag_status pdag_decode_latent(pdag_workspace *ws, const pdag_linear *before,
                               const pdag_half *decoder, size_t channels,
                               size_t height, size_t width, const float *latent,
                               float *picture_out);

#ifdef __cplusplus
}
#endif
#endif
