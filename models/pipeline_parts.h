/** models/pipeline_parts.h: the inside of a pipeline, shared by pipeline.c
 * (use) and pipeline_load.c (construction) only. */
#ifndef PDAG_MODELS_PIPELINE_PARTS_H
#define PDAG_MODELS_PIPELINE_PARTS_H

#include "models/autoencoder_kl.h"
#include "models/clip_text.h"
#include "models/clip_tokenizer.h"
#include "models/pipeline.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pdag_pipeline {
    pdag_pipeline_opts opts;
    pdag_denoiser *network; /* owned */
    pdag_denoiser *guided;  /* owned, around `network`; NULL: no guidance */
    pdag_clip_tokenizer *tokenizer; /* owned; NULL: no text */
    pdag_clip_text *text;           /* owned; NULL: no text */
    size_t n_tokens;
    pdag_autoencoder_kl *vae; /* owned; NULL: states are pictures, or nothing */
    bool has_picture;
    size_t picture_height, picture_width, picture_channels;
    const pdag_condition **cond; /* scratch: one pointer per row */
    size_t cond_room;
};

/** Check the options and put guidance around the network where it is on. */
pdag_status pdag_pipeline_finish(pdag_pipeline *pipeline,
                                 const pdag_pipeline_opts *opts);

#ifdef __cplusplus
}
#endif
#endif
