/** models/clip_text.h: CLIPTextModel, token ids to a sequence of vectors.
 *  Source: Radford et al. 2021, arXiv:2103.00020; layers and names as in
 *  transformers. */
#ifndef PDAG_MODELS_CLIP_TEXT_H
#define PDAG_MODELS_CLIP_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "models/config.h"
#include "models/layers_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Opaque; owned by the caller.  Keeps its weight files mapped (the token table
 *  is read there, row by row).  Not thread safe. */
typedef struct pdag_clip_text pdag_clip_text;

typedef struct pdag_clip_text_info {
    size_t width;      /* floats of one token's vector (hidden_size) */
    size_t max_tokens; /* max_position_embeddings */
    size_t vocabulary; /* ids are below this */
} pdag_clip_text_info;

/** Build from the part that `b` reads; without a backend only checks. */
pdag_status pdag_clip_text_load(pdag_builder *b, pdag_clip_text **clip_out);
void pdag_clip_text_destroy(pdag_clip_text *clip); /* NULL is allowed */

/** Keys of its config.json, for inspect. */
extern const pdag_config_rule pdag_clip_text_keys[];

const pdag_clip_text_info *pdag_clip_text_describe(const pdag_clip_text *clip);

/** ids: [n_tokens]; vectors_out: [n_tokens][width], after the final norm.
 *  PDAG_ERR_ARG (an id outside the vocabulary, too many tokens), _BACKEND,
 *  _NOMEM. */
pdag_status pdag_clip_text_encode(pdag_clip_text *clip, size_t n_tokens,
                                  const int32_t *ids, float *vectors_out);

#ifdef __cplusplus
}
#endif
#endif
