#include "models/clip_tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "models/clip_vocabulary.h"
#include "models/unicode.h"

#define MAX_TEXT ((size_t)1 << 20)

static const char start_text[] = "<|startoftext|>";
static const char end_text[] = "<|endoftext|>";

/* One part of a word, in a list by index; gone once joined to its left. */
typedef struct symbol {
    int32_t id;
    int32_t previous, next; /* -1 at the ends */
    bool gone;
} symbol;

/* A merge waiting its turn: lowest rank, then leftmost. */
typedef struct waiting {
    int32_t rank, at, joined;
} waiting;

/* What one call of encode works with. */
typedef struct encoder {
    const pdag_clip_tokenizer *tokenizer;
    int32_t *ids; /* [room] */
    size_t n, room;
    symbol *symbols;
    size_t n_symbols, symbols_room;
    waiting *queue; /* binary heap */
    size_t n_queue, queue_room;
} encoder;

static bool before(const waiting *a, const waiting *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void queue_push(encoder *enc, waiting item)
{
    size_t at;

    if (enc->n_queue == enc->queue_room) {
        enc->queue_room = enc->queue_room == 0 ? 64 : 2 * enc->queue_room;
        enc->queue =
            pdag_xrealloc(enc->queue, enc->queue_room, sizeof *enc->queue);
    }
    at = enc->n_queue++;
    while (at > 0 && before(&item, &enc->queue[(at - 1) / 2])) {
        enc->queue[at] = enc->queue[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    enc->queue[at] = item;
}

static waiting queue_pop(encoder *enc)
{
    waiting top = enc->queue[0];
    waiting last = enc->queue[--enc->n_queue];
    size_t at = 0;

    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= enc->n_queue)
            break;
        if (child + 1 < enc->n_queue &&
            before(&enc->queue[child + 1], &enc->queue[child]))
            child++;
        if (!before(&enc->queue[child], &last))
            break;
        enc->queue[at] = enc->queue[child];
        at = child;
    }
    if (enc->n_queue > 0)
        enc->queue[at] = last;
    return top;
}

/* Queue the merge of symbol `at` with the one behind it, if there is one. */
static void consider(encoder *enc, int32_t at)
{
    const symbol *left = &enc->symbols[at];
    const pdag_clip_merge *merge;

    if (left->next < 0)
        return;
    merge = pdag_clip_find_merge(enc->tokenizer, left->id,
                                 enc->symbols[left->next].id);
    if (merge != NULL)
        queue_push(enc, (waiting){merge->rank, at, merge->joined});
}

static void merge_symbols(encoder *enc)
{
    for (size_t k = 0; k + 1 < enc->n_symbols; k++)
        consider(enc, (int32_t)k);
    while (enc->n_queue > 0) {
        waiting top = queue_pop(enc);
        symbol *left = &enc->symbols[top.at];
        const pdag_clip_merge *merge;
        symbol *right;

        if (left->gone || left->next < 0)
            continue;
        right = &enc->symbols[left->next];
        merge = pdag_clip_find_merge(enc->tokenizer, left->id, right->id);
        if (merge == NULL || merge->joined != top.joined)
            continue; /* what was queued has changed since */
        left->id = top.joined;
        right->gone = true;
        left->next = right->next;
        if (left->next >= 0)
            enc->symbols[left->next].previous = top.at;
        if (left->previous >= 0)
            consider(enc, left->previous);
        consider(enc, top.at);
    }
}

static void push_byte(encoder *enc, unsigned char byte)
{
    if (enc->n_symbols == enc->symbols_room) {
        enc->symbols_room = enc->symbols_room == 0 ? 64 : 2 * enc->symbols_room;
        enc->symbols = pdag_xrealloc(enc->symbols, enc->symbols_room,
                                     sizeof *enc->symbols);
    }
    enc->symbols[enc->n_symbols] =
        (symbol){enc->tokenizer->byte_ids[byte], (int32_t)enc->n_symbols - 1,
                 (int32_t)enc->n_symbols + 1, false};
    enc->n_symbols++;
}

static void push_id(encoder *enc, int32_t id)
{
    if (enc->n < enc->room)
        enc->ids[enc->n++] = id;
}

/* The tokens of one word, text[n] with n > 0. */
static void encode_word(encoder *enc, const uint32_t *text, size_t n)
{
    unsigned char bytes[4];
    size_t length = 0;
    symbol *last;

    enc->n_symbols = 0;
    for (size_t j = 0; j < n; j++) {
        length = pdag_utf8_encode(text[j], bytes);
        for (size_t k = 0; k < length; k++)
            push_byte(enc, bytes[k]);
    }
    last = &enc->symbols[enc->n_symbols - 1];
    last->id = enc->tokenizer->byte_end_ids[bytes[length - 1]];
    last->next = -1;
    merge_symbols(enc);
    for (int32_t at = 0; at >= 0; at = enc->symbols[at].next)
        push_id(enc, enc->symbols[at].id);
}

/* Whether text[n] begins with this ASCII. */
static bool begins(const uint32_t *text, size_t n, const char *ascii)
{
    size_t length = strlen(ascii);

    if (n < length)
        return false;
    for (size_t j = 0; j < length; j++)
        if (text[j] != (unsigned char)ascii[j])
            return false;
    return true;
}

/* Length of 's, 't, 're, 've, 'm, 'll or 'd at the head of text[n], or 0. */
static size_t contraction(const uint32_t *text, size_t n)
{
    static const char *const all[] = {"'s", "'t",  "'re", "'ve",
                                      "'m", "'ll", "'d"};

    for (size_t k = 0; k < sizeof all / sizeof all[0]; k++)
        if (begins(text, n, all[k]))
            return strlen(all[k]);
    return 0;
}

static bool is_mark(uint32_t point)
{
    return !pdag_is_space(point) && !pdag_is_letter(point) &&
           !pdag_is_number(point);
}

/* Length of the word at the head of text[n], which is no space:
   's|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+ */
static size_t word_length(const uint32_t *text, size_t n)
{
    size_t length = contraction(text, n);

    if (length > 0)
        return length;
    if (pdag_is_number(text[0]))
        return 1;
    if (pdag_is_letter(text[0])) {
        while (length < n && pdag_is_letter(text[length]))
            length++;
        return length;
    }
    while (length < n && is_mark(text[length]))
        length++;
    return length;
}

/* Words of normal text.  The pattern also has the two special tokens, which
   come here where their case was folded; the byte-level stage behind it cuts
   them once more, "<|" and "|>" off. */
static void encode_words(encoder *enc, const uint32_t *text, size_t n)
{
    size_t at = 0;

    while (at < n && enc->n < enc->room) {
        size_t inner = 0;
        size_t length;

        if (pdag_is_space(text[at])) {
            at++;
            continue;
        }
        if (begins(text + at, n - at, start_text))
            inner = strlen(start_text) - 4;
        else if (begins(text + at, n - at, end_text))
            inner = strlen(end_text) - 4;
        if (inner > 0) {
            encode_word(enc, text + at, 2);
            encode_word(enc, text + at + 2, inner);
            encode_word(enc, text + at + 2 + inner, 2);
            at += inner + 4;
            continue;
        }
        length = word_length(text + at, n - at);
        encode_word(enc, text + at, length);
        at += length;
    }
}

/* The longest added token at the head of text[n], or NULL. */
static const pdag_clip_added *find_added(const pdag_clip_tokenizer *tokenizer,
                                         const uint32_t *text, size_t n,
                                         bool normalized)
{
    const pdag_clip_added *best = NULL;

    for (size_t k = 0; k < tokenizer->n_added; k++) {
        const pdag_clip_added *added = &tokenizer->added[k];

        if (added->normalized == normalized && added->n <= n &&
            (best == NULL || added->n > best->n) &&
            memcmp(added->points, text, added->n * sizeof *text) == 0)
            best = added;
    }
    return best;
}

/* Cut text[n] at its added tokens; what lies between goes one stage down: raw
   text to its normal form, normal text to words. */
static void encode_stage(encoder *enc, const uint32_t *text, size_t n,
                         bool normalized)
{
    size_t start = 0;
    size_t at = 0;

    while (start < n && enc->n < enc->room) {
        const pdag_clip_added *added =
            at < n ? find_added(enc->tokenizer, text + at, n - at, normalized)
                   : NULL;

        if (added == NULL && at < n) {
            at++;
            continue;
        }
        if (normalized) {
            encode_words(enc, text + start, at - start);
        } else {
            pdag_points normal = {NULL, 0, 0};

            pdag_points_normalize(&normal, text + start, at - start);
            encode_stage(enc, normal.data, normal.n, true);
            pdag_points_clear(&normal);
        }
        if (added != NULL) {
            push_id(enc, added->id);
            at += added->n;
        }
        start = at;
    }
}

pdag_status pdag_clip_tokenizer_encode(const pdag_clip_tokenizer *tokenizer,
                                       const char *text, size_t n_tokens,
                                       int32_t *ids_out)
{
    encoder enc = {.tokenizer = tokenizer, .ids = ids_out};
    pdag_points points = {NULL, 0, 0};
    size_t bytes = strlen(text);

    if (n_tokens < 2)
        return pdag_error(PDAG_ERR_ARG,
                          "tokenizer: room for %zu tokens: expected at least 2",
                          n_tokens);
    if (bytes > MAX_TEXT)
        return pdag_error(PDAG_ERR_ARG,
                          "prompt: %zu bytes of text: expected at most %zu",
                          bytes, MAX_TEXT);
    enc.room = n_tokens - 1;
    push_id(&enc, tokenizer->start_id);
    pdag_points_decode(&points, text, bytes);
    encode_stage(&enc, points.data, points.n, false);
    pdag_points_clear(&points);
    free(enc.symbols);
    free(enc.queue);
    ids_out[enc.n++] = tokenizer->end_id;
    while (enc.n < n_tokens)
        ids_out[enc.n++] = tokenizer->pad_id;
    return PDAG_OK;
}

size_t pdag_clip_tokenizer_max_length(const pdag_clip_tokenizer *tokenizer)
{
    return tokenizer->max_length;
}

size_t pdag_clip_tokenizer_vocab_size(const pdag_clip_tokenizer *tokenizer)
{
    return tokenizer->vocab_size;
}
