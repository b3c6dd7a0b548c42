/** models/pipeline_parts.h: the inside of a pipeline, shared by pipeline.c
 * (use), pipeline_load.c and pipeline_mix.c (construction) only. */
#ifndef PDAG_MODELS_PIPELINE_PARTS_H
#define PDAG_MODELS_PIPELINE_PARTS_H

#include <stdint.h>

#include "models/autoencoder.h"
#include "models/clip_text.h"
#include "models/clip_tokenizer.h"
#include "models/layout.h"
#include "models/mix.h"
#include "models/pipeline.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The network with one set of weights. */
typedef struct pdag_pipeline_net {
    pdag_denoiser *network; /* owned; may share weights with that of mix 0 */
    pdag_denoiser *guided;  /* owned, around `network`; NULL: no guidance */
} pdag_pipeline_net;

struct pdag_pipeline {
    pdag_pipeline_opts opts; /* its pointers are not used after loading */
    pdag_denoiser *network; /* borrowed: that of mix 0 */
    pdag_pipeline_net *nets; /* [n_nets], by mix; owned */
    size_t n_nets;
    pdag_clip_tokenizer *tokenizer; /* owned; NULL: no text */
    pdag_clip_text *text;           /* owned; NULL: no text */
    size_t n_tokens;
    pdag_autoencoder *vae; /* owned; NULL: states are pictures, or nothing */
    bool has_picture;
    size_t picture_height, picture_width, picture_channels;
    const pdag_condition **cond; /* scratch: one pointer per row */
    size_t cond_room;
};

/** What a model is loaded from. */
typedef struct pdag_loading {
    const pdag_layout *layout;
    pdag_backend *be; /* NULL: check only */
    const pdag_pipeline_opts *opts;
    pdag_mix_lora *loras; /* [n_loras]: opts->loras, open */
    size_t n_loras;
    uint64_t n_elements, n_bytes; /* of the weight files read so far */
} pdag_loading;

/** Open opts->loras; close in any case. */
pdag_status pdag_loading_open(pdag_loading *loading);
void pdag_loading_close(pdag_loading *loading);
/** Every adapter of opts->loras found its weight. */
pdag_status pdag_loading_check_used(const pdag_loading *loading);

/** The network in `folder`.  mix, base: as in pdag_builder, or NULL. */
pdag_status pdag_pipeline_load_network(pdag_loading *loading,
                                       const char *folder, size_t n_tokens,
                                       pdag_mix *mix, const pdag_denoiser *base,
                                       pdag_denoiser **network_out);
/** Networks of the mixes 1 .. n_mixes beside that of mix 0; when only checking,
 *  of mix 1. */
pdag_status pdag_pipeline_load_mixes(pdag_loading *loading,
                                     pdag_pipeline *pipeline);
/** One more net; takes `network` over. */
void pdag_pipeline_add_net(pdag_pipeline *pipeline, pdag_denoiser *network);

/** Check the options and put guidance around the networks where it is on. */
pdag_status pdag_pipeline_finish(pdag_pipeline *pipeline,
                                 const pdag_pipeline_opts *opts);

#ifdef __cplusplus
}
#endif
#endif
