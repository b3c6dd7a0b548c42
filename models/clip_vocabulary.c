/* The vocabulary and the merges of the CLIP tokenizer. */
#include "models/clip_vocabulary.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "models/unicode.h"

static size_t place_of(int32_t left, int32_t right, size_t n_places)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;

    return (size_t)(key * 0x9E3779B97F4A7C15u >> 20) & (n_places - 1);
}

const pdag_clip_merge *
pdag_clip_find_merge(const pdag_clip_tokenizer *tokenizer, int32_t left,
                     int32_t right)
{
    size_t at = place_of(left, right, tokenizer->n_places);

    while (tokenizer->merges[at].joined >= 0) {
        const pdag_clip_merge *merge = &tokenizer->merges[at];

        if (merge->left == left && merge->right == right)
            return merge;
        at = (at + 1) & (tokenizer->n_places - 1);
    }
    return NULL;
}

/* A pair that comes twice keeps its later rank, as in tokenizers. */
static void put_merge(pdag_clip_tokenizer *tokenizer, pdag_clip_merge merge)
{
    size_t at = place_of(merge.left, merge.right, tokenizer->n_places);

    while (tokenizer->merges[at].joined >= 0 &&
           (tokenizer->merges[at].left != merge.left ||
            tokenizer->merges[at].right != merge.right))
        at = (at + 1) & (tokenizer->n_places - 1);
    tokenizer->merges[at] = merge;
}

static pdag_status make_merge_table(pdag_clip_tokenizer *tokenizer,
                                    const char *path, size_t n_merges)
{
    if (n_merges > PDAG_CLIP_MAX_ID)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "%s: %zu merges: expected %d at most", path, n_merges,
                          PDAG_CLIP_MAX_ID);
    tokenizer->n_places = 16;
    while (tokenizer->n_places < 2 * n_merges)
        tokenizer->n_places *= 2;
    tokenizer->merges =
        pdag_xcalloc(tokenizer->n_places, sizeof *tokenizer->merges);
    for (size_t k = 0; k < tokenizer->n_places; k++)
        tokenizer->merges[k].joined = -1;
    return PDAG_OK;
}

int32_t pdag_clip_token_id(const pdag_clip_vocab *src, const char *token)
{
    const json_t *value = json_object_get(src->vocab, token);

    return value == NULL ? -1 : (int32_t)json_integer_value(value);
}

/* Ids are integers, each used once. */
static pdag_status check_vocab(const pdag_clip_vocab *src,
                               pdag_clip_tokenizer *tokenizer)
{
    const char *token;
    json_t *value;
    json_int_t highest = -1;
    char *seen;
    pdag_status status = PDAG_OK;

    json_object_foreach(src->vocab, token, value) {
        if (!json_is_integer(value) || json_integer_value(value) < 0 ||
            json_integer_value(value) > PDAG_CLIP_MAX_ID)
            return pdag_error(PDAG_ERR_FORMAT,
                              "%s: vocabulary: %.80s: expected an id from 0 to "
                              "%d",
                              src->path, token, PDAG_CLIP_MAX_ID);
        if (json_integer_value(value) > highest)
            highest = json_integer_value(value);
    }
    if (highest < 0)
        return pdag_error(PDAG_ERR_FORMAT, "%s: the vocabulary is empty",
                          src->path);
    tokenizer->vocab_size = (size_t)highest + 1;
    seen = pdag_xcalloc(tokenizer->vocab_size, 1);
    json_object_foreach(src->vocab, token, value) {
        if (seen[json_integer_value(value)]++ && status == PDAG_OK)
            status = pdag_error(PDAG_ERR_FORMAT,
                                "%s: vocabulary: %.80s: id %lld is taken twice",
                                src->path, token,
                                (long long)json_integer_value(value));
    }
    free(seen);
    return status;
}

/* One merge rule; `where` and `number` say which for the message. */
static pdag_status add_merge(const pdag_clip_vocab *src, const char *where,
                             size_t number, const char *left,
                             const char *right,
                             pdag_clip_tokenizer *tokenizer, int32_t rank)
{
    char *joined = pdag_xasprintf("%s%s", left, right);
    pdag_clip_merge merge = {pdag_clip_token_id(src, left),
                             pdag_clip_token_id(src, right), rank,
                             pdag_clip_token_id(src, joined)};
    const char *missing = NULL;
    pdag_status status = PDAG_OK;

    if (merge.left < 0)
        missing = left;
    else if (merge.right < 0)
        missing = right;
    else if (merge.joined < 0)
        missing = joined;
    if (missing != NULL)
        status = pdag_error(PDAG_ERR_FORMAT,
                            "%s: merge %zu: %.80s is not in the vocabulary",
                            where, number, missing);
    else
        put_merge(tokenizer, merge);
    free(joined);
    return status;
}

/* Cut "left right" at its one space; false where there is another number. */
static bool cut_pair(char *text, char **right)
{
    char *space = strchr(text, ' ');

    if (space == NULL || space == text || space[1] == '\0' ||
        strchr(space + 1, ' ') != NULL)
        return false;
    *space = '\0';
    *right = space + 1;
    return true;
}

/* Merges of tokenizer.json: "a b", or ["a", "b"]. */
static pdag_status read_merge_list(const pdag_clip_vocab *src,
                                   pdag_clip_tokenizer *tokenizer)
{
    pdag_status status =
        make_merge_table(tokenizer, src->path, json_array_size(src->merges));

    for (size_t k = 0; k < json_array_size(src->merges) && status == PDAG_OK;
         k++) {
        const json_t *entry = json_array_get(src->merges, k);
        char *text = NULL;
        const char *left = json_string_value(json_array_get(entry, 0));
        char *right = NULL;

        if (json_is_string(entry)) {
            text = pdag_xstrdup(json_string_value(entry));
            left = cut_pair(text, &right) ? text : NULL;
        } else if (json_array_size(entry) == 2 &&
                   json_is_string(json_array_get(entry, 1))) {
            right = pdag_xstrdup(json_string_value(json_array_get(entry, 1)));
        }
        if (left == NULL || right == NULL)
            status = pdag_error(PDAG_ERR_FORMAT,
                                "%s: model.merges: element %zu: expected two "
                                "tokens",
                                src->path, k);
        else
            status = add_merge(src, src->path, k, left, right, tokenizer,
                               (int32_t)k);
        free(text != NULL ? text : right);
    }
    return status;
}

/* Merges of merges.txt, one a line; `tokenizer` NULL only counts them. */
static pdag_status read_merge_lines(const pdag_clip_vocab *src, FILE *file,
                                    pdag_clip_tokenizer *tokenizer,
                                    size_t *count_out)
{
    char *line = NULL;
    size_t room = 0;
    size_t number = 0;
    size_t count = 0;
    ssize_t length;
    pdag_status status = PDAG_OK;

    while (status == PDAG_OK && (length = getline(&line, &room, file)) >= 0) {
        char *right;

        number++;
        while (length > 0 &&
               (line[length - 1] == '\n' || line[length - 1] == '\r'))
            line[--length] = '\0';
        if (strncmp(line, "#version", 8) == 0)
            continue;
        if (!cut_pair(line, &right))
            status = pdag_error(PDAG_ERR_FORMAT,
                                "%s: line %zu: expected two tokens and one "
                                "space",
                                src->merges_path, number);
        else if (tokenizer != NULL)
            status = add_merge(src, src->merges_path, number, line, right,
                               tokenizer, (int32_t)count);
        count++;
    }
    if (status == PDAG_OK && ferror(file))
        status = pdag_error(PDAG_ERR_INPUT, "%s: %s", src->merges_path,
                            strerror(errno));
    free(line);
    *count_out = count;
    return status;
}

static pdag_status read_merge_file(const pdag_clip_vocab *src,
                                   pdag_clip_tokenizer *tokenizer)
{
    struct stat info;
    FILE *file;
    size_t count;
    pdag_status status;

    if (stat(src->merges_path, &info) == 0 && !S_ISREG(info.st_mode))
        return pdag_error(PDAG_ERR_INPUT, "%s: not a regular file",
                          src->merges_path);
    file = fopen(src->merges_path, "r");
    if (file == NULL)
        return pdag_error(PDAG_ERR_INPUT, "%s: %s", src->merges_path,
                          strerror(errno));
    status = read_merge_lines(src, file, NULL, &count);
    if (status == PDAG_OK)
        status = make_merge_table(tokenizer, src->merges_path, count);
    if (status == PDAG_OK) {
        rewind(file);
        status = read_merge_lines(src, file, tokenizer, &count);
    }
    fclose(file);
    return status;
}

pdag_status pdag_clip_read_vocab(const pdag_clip_vocab *src,
                                 pdag_clip_tokenizer *tokenizer)
{
    pdag_status status = check_vocab(src, tokenizer);

    if (status != PDAG_OK)
        return status;
    return src->merges != NULL ? read_merge_list(src, tokenizer)
                               : read_merge_file(src, tokenizer);
}

/* CLIP's printable stand-in of a byte: itself where it is a visible Latin-1
   character, else the next point from U+0100. */
void pdag_clip_fill_bytes(const pdag_clip_vocab *src,
                          pdag_clip_tokenizer *tokenizer)
{
    uint32_t spare = 0x100;

    for (uint32_t byte = 0; byte < 256; byte++) {
        bool visible = (byte >= 33 && byte <= 126) ||
                       (byte >= 161 && byte <= 172) || byte >= 174;
        char token[4 + sizeof PDAG_CLIP_END_OF_WORD] = "";
        unsigned char utf8[4];
        size_t n = pdag_utf8_encode(visible ? byte : spare++, utf8);
        int32_t id;

        memcpy(token, utf8, n);
        id = pdag_clip_token_id(src, token);
        tokenizer->byte_ids[byte] = id >= 0 ? id : tokenizer->unknown_id;
        memcpy(token + n, PDAG_CLIP_END_OF_WORD, sizeof PDAG_CLIP_END_OF_WORD);
        id = pdag_clip_token_id(src, token);
        tokenizer->byte_end_ids[byte] = id >= 0 ? id : tokenizer->unknown_id;
    }
}
