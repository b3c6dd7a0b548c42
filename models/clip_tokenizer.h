/** models/clip_tokenizer.h: CLIP's byte-level BPE tokenizer, equal to
 *  transformers' CLIPTokenizer(text, padding="max_length", max_length=n,
 *  truncation=True): special tokens found in the text as they stand; NFC, white
 *  space, lower case; CLIP's pattern; byte pairs merged by rank (Sennrich et
 *  al. 2016, arXiv:1508.07909) with "</w>" at the end of a word. */
#ifndef PDAG_MODELS_CLIP_TOKENIZER_H
#define PDAG_MODELS_CLIP_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Read-only after load; may be shared by threads. */
typedef struct pdag_clip_tokenizer pdag_clip_tokenizer;

/** Read folder `dir`: tokenizer.json, or else vocab.json and merges.txt; with
 *  special_tokens_map.json, tokenizer_config.json and added_tokens.json where
 *  they are.  As in transformers special_tokens_map.json is above
 *  tokenizer_config.json (Stable Diffusion 2's pad token), unless the latter
 *  has added_tokens_decoder.  PDAG_ERR_INPUT, _FORMAT, _UNSUPPORTED naming file,
 *  key and value. */
pdag_status pdag_clip_tokenizer_load(const char *dir,
                                     pdag_clip_tokenizer **tokenizer_out);
void pdag_clip_tokenizer_destroy(pdag_clip_tokenizer *tokenizer);

/** model_max_length; 0 where the files set no limit (or one above 2^24). */
size_t pdag_clip_tokenizer_max_length(const pdag_clip_tokenizer *tokenizer);

/** One more than the highest id; every id handed out is below it. */
size_t pdag_clip_tokenizer_vocab_size(const pdag_clip_tokenizer *tokenizer);

/** ids_out[n_tokens]: start token, the text's tokens as far as they fit, end
 *  token, padding.  text: UTF-8, invalid bytes count as U+FFFD.
 *  PDAG_ERR_ARG: n_tokens below 2, or a text of over 1 MiB. */
pdag_status pdag_clip_tokenizer_encode(const pdag_clip_tokenizer *tokenizer,
                                       const char *text, size_t n_tokens,
                                       int32_t *ids_out);

#ifdef __cplusplus
}
#endif
#endif
