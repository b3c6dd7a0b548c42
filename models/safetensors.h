/** models/safetensors.h: one mapped safetensors file.
 *  Format: 8 bytes little endian header length, a JSON object name -> {dtype,
 *  shape, data_offsets}, data.  https://github.com/huggingface/safetensors
 *
 *  Files come from strangers: everything is checked before a byte of data is
 *  looked at, and nothing in a file can make the program read outside of it. */
#ifndef PDAG_MODELS_SAFETENSORS_H
#define PDAG_MODELS_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Opaque; owned by the caller.  Its views live as long as it does. */
typedef struct pdag_safetensors pdag_safetensors;

/** Map and check a file.  PDAG_ERR_INPUT (cannot open or map), _FORMAT (header
 *  longer than the file or 100 MB, not JSON, a field missing or of the wrong
 *  type, offsets that leave holes, overlap or pass the end, a length that is
 * not shape times size), _UNSUPPORTED (element type, more than PDAG_MAX_DIMS
 *  dims); the text names file and tensor. */
pdag_status pdag_safetensors_open(const char *path,
                                  pdag_safetensors **file_out);
void pdag_safetensors_close(pdag_safetensors *file); /* NULL is allowed */

const char *pdag_safetensors_path(const pdag_safetensors *file);
uint64_t pdag_safetensors_bytes(const pdag_safetensors *file); /* of the file */

/** A text of the header's __metadata__, borrowed; NULL: there is none. */
const char *pdag_safetensors_metadata(const pdag_safetensors *file,
                                      const char *key);

/** The data of a tensor were copied and are not read again: its pages need not
 *  stay in memory. */
void pdag_safetensors_release(pdag_safetensors *file,
                              const pdag_tensor_view *view);

/** Tensors, in the order of their names. */
size_t pdag_safetensors_count(const pdag_safetensors *file);
const pdag_tensor_view *pdag_safetensors_at(const pdag_safetensors *file,
                                            size_t index);

#ifdef __cplusplus
}
#endif
#endif
