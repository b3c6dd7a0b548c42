/** models/layout.h: where the parts of a model directory are, as diffusers lays
 *  them out: model_index.json and one folder per part, or (unconditional models
 *  such as google/ddpm-cifar10-32) all files of the network in the root. */
#ifndef PDAG_MODELS_LAYOUT_H
#define PDAG_MODELS_LAYOUT_H

#include <stddef.h>

#include "base/json.h"
#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Base names of weight files, as pdag_weights_open() takes them. */
#define PDAG_WEIGHTS_DIFFUSERS "diffusion_pytorch_model"
#define PDAG_WEIGHTS_TRANSFORMERS "model"

/** Folders of the parts, all owned; NULL: the model has no such part. */
typedef struct pdag_layout {
    char *class_name; /* of the pipeline; a bare network's own class */
    char *network;    /* unet/ or transformer/, never NULL */
    const char *network_name; /* of that folder, also where all is in the root */
    char *vae;            /* vae/, or vqvae/ of an LDMPipeline */
    const char *vae_name; /* of the folder: "vae" or "vqvae" */
    char *text_encoder;
    char *tokenizer;
    char *scheduler_config; /* a file */
    char **ignored; /* [n_ignored]: parts that the model has and that are not
                       used (safety_checker) */
    size_t n_ignored;
} pdag_layout;

/** Read model_index.json, or find a bare network (config.json in `path`).
 *  PDAG_ERR_INPUT (no such folder or file), _FORMAT, _UNSUPPORTED (a pipeline
 * or part class that is not known; the text names file, key and class). */
pdag_status pdag_layout_read(const char *path, pdag_layout *layout_out);
void pdag_layout_clear(pdag_layout *layout);

#ifdef __cplusplus
}
#endif
#endif
