/** models/weights.h: the tensors of one part of a model, over one or several
 *  safetensors files, with lookup by name.
 *
 *  A lookup also tries the names that older files use: query, key, value,
 *  proj_attn for to_q, to_k, to_v, to_out.0; a leading "text_model.".  Every
 *  tensor found is marked, so that what nobody asked for can be listed. */
#ifndef PDAG_MODELS_WEIGHTS_H
#define PDAG_MODELS_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Opaque; owned by the caller.  Its views live as long as it does. */
typedef struct pdag_weights pdag_weights;

/** Find and open the files of a part in `dir`, whose plain name is
 *  BASE.safetensors: plain, else sharded (BASE.safetensors.index.json), else
 * the same with the variant "fp16".  PDAG_ERR_INPUT (no such files),
 *  _UNSUPPORTED (only pickled files: says how to convert), _FORMAT (index or
 *  shards; a shard outside of `dir`; a tensor in two shards). */
pdag_status pdag_weights_open(const char *dir, const char *base,
                              pdag_weights **weights_out);
/** One file by its own name. */
pdag_status pdag_weights_open_file(const char *path,
                                   pdag_weights **weights_out);
void pdag_weights_close(pdag_weights *weights); /* NULL is allowed */

/** The tensor, marked as used, or NULL. */
const pdag_tensor_view *pdag_weights_find(pdag_weights *weights,
                                          const char *name);

/** pdag_safetensors_release() for a view that find() gave, or one of its name. */
void pdag_weights_release(pdag_weights *weights, const pdag_tensor_view *view);

/** First file's path (of the shards: the index), for messages. */
const char *pdag_weights_path(const pdag_weights *weights);
size_t pdag_weights_n_files(const pdag_weights *weights);
/** Path of file `index`, without the index of shards. */
const char *pdag_weights_file(const pdag_weights *weights, size_t index);
/** Tensors in the order of their names, whether used or not. */
size_t pdag_weights_count(const pdag_weights *weights);
const pdag_tensor_view *pdag_weights_at(const pdag_weights *weights,
                                        size_t index);
/** Whether tensor `index` was asked for, or is known to be harmless: the
 * buffers that old text encoders hold beside their weights (position_ids). */
int pdag_weights_is_used(const pdag_weights *weights, size_t index);
/** Elements of all tensors but the harmless ones, and bytes on disk. */
uint64_t pdag_weights_elements(const pdag_weights *weights);
uint64_t pdag_weights_bytes(const pdag_weights *weights);

/** PDAG_ERR_FORMAT naming the file, the first unused tensor and their number.
 */
pdag_status pdag_weights_check_used(const pdag_weights *weights);

#ifdef __cplusplus
}
#endif
#endif
