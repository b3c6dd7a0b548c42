/** models/mix.h: what is added to the weights of one part of a model between the
 *  file and the backend: LoRA files, and other weights of the same network.
 *
 *      W = (1 - lambda) (W0 + sum_i f_i D_i) + lambda W1,   or
 *      W = W0 + sum_i f_i D_i,      D_i = (alpha / rank) up down
 *
 *  So et al. 2025 (PCM), section 3.3: f = lambda(k) scale for its LoRA.  Per
 *  element everything is summed in float64, the LoRAs in the order of the
 *  sources and within each over the rank from 0 upwards, and rounded to float32
 *  once: the bits depend on nothing else.  Two adapters of one weight add. */
#ifndef PDAG_MODELS_MIX_H
#define PDAG_MODELS_MIX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "base/tensor.h"
#include "models/lora.h"
#include "models/weights.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_mix_lora {
    pdag_lora *lora; /* borrowed */
    double factor;   /* f_i */
} pdag_mix_lora;

/** Set the first group of fields, zero the rest; clear it in the end. */
typedef struct pdag_mix {
    pdag_lora_part part;
    const pdag_mix_lora *loras; /* [n_loras], borrowed */
    size_t n_loras;
    pdag_weights *other; /* W1, borrowed; NULL: none */
    double lambda;       /* of W1 */

    struct pdag_mix_tensor **made; /* [n_made]: of the layer being built */
    size_t n_made;
} pdag_mix;

/** A layer asks for tensor NAME and found *view in the model's file.  Where a
 *  source changes it, *view becomes the mixed tensor, float32, alive until
 *  pdag_mix_release(); with `check_only` only the shapes are looked at.
 *  PDAG_ERR_SHAPE (a source does not fit the tensor), _FORMAT (W1 lacks it),
 *  _NOMEM. */
pdag_status pdag_mix_apply(pdag_mix *mix, const char *name, bool check_only,
                           const pdag_tensor_view **view);

/** Whether a tensor was mixed since the last release. */
bool pdag_mix_is_pending(const pdag_mix *mix);
/** Free the mixed tensors: the backend has made its own of them. */
void pdag_mix_release(pdag_mix *mix);

#ifdef __cplusplus
}
#endif
#endif
