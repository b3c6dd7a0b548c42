/** models/clip_vocabulary.h: what the CLIP tokenizer's files say, in the form
 *  that encoding needs; private to the tokenizer: clip_vocabulary.c reads
 *  tokens and merges, clip_tokenizer_load.c finds the files and the special
 *  tokens, clip_tokenizer.c encodes. */
#ifndef PDAG_MODELS_CLIP_VOCABULARY_H
#define PDAG_MODELS_CLIP_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/status.h"
#include "models/clip_tokenizer.h"

#define PDAG_CLIP_MAX_ID ((1 << 24) - 1)
#define PDAG_CLIP_MAX_ADDED (1 << 16) /* each is looked for all over a text */
#define PDAG_CLIP_END_OF_WORD "</w>"

/** left and right may be joined to `joined`; the lowest rank goes first.  An
 *  empty place of the hash table has joined < 0. */
typedef struct pdag_clip_merge {
    int32_t left, right;
    int32_t rank, joined;
} pdag_clip_merge;

/** A token that is looked for in the text before anything else: in the text as
 *  it stands, or, if `normalized`, in its normal form. */
typedef struct pdag_clip_added {
    uint32_t *points; /* owned, [n] */
    size_t n;
    int32_t id;
    bool normalized;
} pdag_clip_added;

struct pdag_clip_tokenizer {
    int32_t byte_ids[256];     /* token of each byte within a word, */
    int32_t byte_end_ids[256]; /* and as the last of one */
    pdag_clip_merge *merges;   /* owned hash table, [n_places] */
    size_t n_places;           /* a power of 2 */
    pdag_clip_added *added;    /* owned, [n_added] */
    size_t n_added;
    int32_t start_id, end_id, pad_id, unknown_id;
    size_t max_length; /* 0: no limit */
    size_t vocab_size;
};

/** Where the vocabulary is. */
typedef struct pdag_clip_vocab {
    const char *path;  /* borrowed: the file that has it, for messages */
    json_t *vocab;     /* borrowed object: token -> id */
    json_t *merges;    /* borrowed list of tokenizer.json, or NULL: */
    char *merges_path; /* owned: merges.txt */
} pdag_clip_vocab;

/** Check the ids (PDAG_ERR_FORMAT), set vocab_size and the merges. */
pdag_status pdag_clip_read_vocab(const pdag_clip_vocab *src,
                                 pdag_clip_tokenizer *tokenizer);

/** Id of a token of a checked vocabulary, or -1. */
int32_t pdag_clip_token_id(const pdag_clip_vocab *src, const char *token);

/** Set byte_ids and byte_end_ids; what is missing becomes unknown_id. */
void pdag_clip_fill_bytes(const pdag_clip_vocab *src,
                          pdag_clip_tokenizer *tokenizer);

/** The merge of a pair, or NULL. */
const pdag_clip_merge *
pdag_clip_find_merge(const pdag_clip_tokenizer *tokenizer, int32_t left,
                     int32_t right);

#endif
