/* Finding and reading the CLIP tokenizer's files as transformers' CLIPTokenizer
   does. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "models/clip_vocabulary.h"
#include "models/unicode.h"

/* The named special tokens, in the order in which transformers adds them. */
enum { START, END, UNKNOWN, SEPARATOR, PAD, CLASS, MASK, N_SPECIAL };

static const struct {
    const char *key;
    const char *fallback;
} special_names[N_SPECIAL] = {
    {"bos_token", "<|startoftext|>"}, {"eos_token", "<|endoftext|>"},
    {"unk_token", "<|endoftext|>"},   {"sep_token", NULL},
    {"pad_token", "<|endoftext|>"},   {"cls_token", NULL},
    {"mask_token", NULL},
};

typedef struct token_text {
    const char *content; /* borrowed from a file's tree */
    bool normalized;
} token_text;

/* The files while they are read; a member without path is absent. */
typedef struct sources {
    pdag_json tokenizer;  /* tokenizer.json */
    pdag_json vocab_file; /* vocab.json */
    pdag_json config;     /* tokenizer_config.json */
    pdag_json map;        /* special_tokens_map.json */
    pdag_json added;      /* added_tokens.json */
    pdag_clip_vocab vocab;
    token_text special[N_SPECIAL];
    json_t *known; /* owned object: added token -> its number among them */
} sources;

/* A token given as text, or as an object with `content`.  Like AddedToken's,
   its default is to be normalized unless it is special. */
static pdag_status get_token(const pdag_json *json, const char *key,
                             const json_t *value, bool special,
                             token_text *out)
{
    const json_t *content = value;
    bool normalized = false;

    if (json_is_object(value)) {
        const json_t *given = json_object_get(value, "normalized");

        special =
            special || json_is_true(json_object_get(value, "special"));
        normalized = given != NULL ? json_is_true(given) : !special;
        content = json_object_get(value, "content");
        if (json_is_true(json_object_get(value, "single_word")))
            return pdag_error(PDAG_ERR_UNSUPPORTED,
                              "%s: %s: single_word: true: expected false",
                              json->path, key);
    }
    if (json_string_length(content) == 0)
        return pdag_error(PDAG_ERR_FORMAT, "%s: %s: expected a token",
                          json->path, key);
    out->content = json_string_value(content);
    out->normalized = normalized;
    return PDAG_OK;
}

static pdag_status get_specials(const pdag_json *json, bool special,
                                token_text *out)
{
    pdag_status status = PDAG_OK;

    for (int k = 0; k < N_SPECIAL && status == PDAG_OK; k++) {
        const char *key = special_names[k].key;
        const json_t *value = json_object_get(json->root, key);

        if (value != NULL && !json_is_null(value))
            status = get_token(json, key, value, special, &out[k]);
    }
    return status;
}

/* Id of a token of the vocabulary or added before, or -1. */
static int32_t known_id(const sources *src, const char *content,
                        const pdag_clip_tokenizer *tokenizer)
{
    int32_t id = pdag_clip_token_id(&src->vocab, content);
    const json_t *number = json_object_get(src->known, content);

    if (id < 0 && number != NULL)
        id = tokenizer->added[json_integer_value(number)].id;
    return id;
}

/* The entry of `content` among the added tokens, new or not. */
static pdag_clip_added *entry_of(sources *src, const char *content,
                                 pdag_clip_tokenizer *tokenizer)
{
    const json_t *number = json_object_get(src->known, content);
    size_t k = tokenizer->n_added;
    int32_t id;

    if (number != NULL)
        return &tokenizer->added[json_integer_value(number)];
    id = known_id(src, content, tokenizer);
    tokenizer->added =
        pdag_xgrow(tokenizer->added, k, sizeof *tokenizer->added);
    tokenizer->added[k].points = NULL;
    tokenizer->added[k].id = id >= 0 ? id : (int32_t)tokenizer->vocab_size++;
    tokenizer->n_added++;
    json_object_set_new(src->known, content, json_integer((json_int_t)k));
    return &tokenizer->added[k];
}

/* Make `token` one that is found in texts; a later word on the same token
   replaces the earlier, and a new token gets the next id. */
static pdag_status add_token(sources *src, const char *path, token_text token,
                             pdag_clip_tokenizer *tokenizer)
{
    pdag_points raw = {NULL, 0, 0};
    pdag_points normal = {NULL, 0, 0};
    pdag_clip_added *entry;

    if (tokenizer->n_added == PDAG_CLIP_MAX_ADDED)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "%s: %.80s: more than %d added tokens",
                          path, token.content, PDAG_CLIP_MAX_ADDED);
    entry = entry_of(src, token.content, tokenizer);
    free(entry->points);
    pdag_points_decode(&raw, token.content, strlen(token.content));
    if (token.normalized) {
        pdag_points_normalize(&normal, raw.data, raw.n);
        pdag_points_clear(&raw);
        raw = normal;
    }
    entry->points = raw.data;
    entry->n = raw.n;
    entry->normalized = token.normalized;
    return PDAG_OK;
}

/* One entry of a list or of added_tokens_decoder. */
static pdag_status add_entry(sources *src, const pdag_json *json,
                             const char *key, const json_t *value,
                             bool special, pdag_clip_tokenizer *tokenizer)
{
    token_text token;
    pdag_status status = get_token(json, key, value, special, &token);

    return status == PDAG_OK ? add_token(src, json->path, token, tokenizer)
                             : status;
}

static pdag_status add_list(sources *src, const pdag_json *json,
                            const char *key, bool special,
                            pdag_clip_tokenizer *tokenizer)
{
    json_t *list;
    pdag_status status;

    if (json->path == NULL)
        return PDAG_OK;
    status = pdag_json_array(json, key, &list);
    for (size_t k = 0; status == PDAG_OK && k < json_array_size(list); k++)
        status = add_entry(src, json, key, json_array_get(list, k), special,
                           tokenizer);
    return status;
}

/* Tokens listed by id: tokenizer_config.json's added_tokens_decoder alone where
   it is there, else added_tokens.json and tokenizer.json. */
static pdag_status add_listed(sources *src, pdag_clip_tokenizer *tokenizer)
{
    const char *const decoder = "added_tokens_decoder";
    json_t *object = json_object_get(src->config.root, decoder);
    const char *key;
    json_t *value;
    pdag_status status = PDAG_OK;

    if (object != NULL) {
        json_object_foreach(object, key, value) {
            if (status == PDAG_OK)
                status = add_entry(src, &src->config, decoder, value, false,
                                   tokenizer);
        }
        return status;
    }
    json_object_foreach(src->added.root, key, value) {
        token_text token = {key, true};

        for (int k = 0; k < N_SPECIAL; k++)
            if (src->special[k].content != NULL &&
                strcmp(src->special[k].content, key) == 0)
                token.normalized = false;
        if (status == PDAG_OK)
            status = add_token(src, src->added.path, token, tokenizer);
    }
    if (status != PDAG_OK)
        return status;
    return add_list(src, &src->tokenizer, "added_tokens", false, tokenizer);
}

static pdag_status add_all(sources *src, pdag_clip_tokenizer *tokenizer)
{
    static const char *const extra[] = {"extra_special_tokens",
                                        "additional_special_tokens"};
    pdag_status status = add_listed(src, tokenizer);
    json_t *listed = json_copy(src->known);

    for (int k = 0; k < N_SPECIAL && status == PDAG_OK; k++)
        if (src->special[k].content != NULL &&
            json_object_get(listed, src->special[k].content) == NULL)
            status = add_token(src, src->vocab.path, src->special[k], tokenizer);
    json_decref(listed);
    for (int k = 0; k < 2 && status == PDAG_OK; k++) {
        status = add_list(src, &src->config, extra[k], true, tokenizer);
        if (status == PDAG_OK)
            status = add_list(src, &src->map, extra[k], true, tokenizer);
    }
    return status;
}

/* model_max_length may be 10^30 ("none"), which is no integer to Jansson. */
static pdag_status read_config(const char *path, pdag_json *json)
{
    json_error_t error;
    json_t *root = json_load_file(
        path, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &error);

    if (!json_is_object(root)) {
        json_decref(root);
        return pdag_error(PDAG_ERR_FORMAT, "%s: line %d: %s", path, error.line,
                          root == NULL ? error.text : "not a JSON object");
    }
    json->path = pdag_xstrdup(path);
    json->root = root;
    return PDAG_OK;
}

static pdag_status apply_config(const pdag_json *config,
                                pdag_clip_tokenizer *tokenizer)
{
    static const char *const sides[] = {"right", NULL};
    double length;
    int side;
    pdag_status status = pdag_json_real(config, "model_max_length", 2,
                                        INFINITY, INFINITY, &length);

    if (status == PDAG_OK)
        status = pdag_json_choice(config, "padding_side", sides, 0, &side);
    if (status == PDAG_OK)
        status = pdag_json_choice(config, "truncation_side", sides, 0, &side);
    if (status == PDAG_OK)
        tokenizer->max_length =
            length > (double)PDAG_CLIP_MAX_ID ? 0 : (size_t)length;
    return status;
}

/* tokenizer.json: model.type, model.vocab, model.merges. */
static pdag_status find_model(sources *src)
{
    const json_t *model = json_object_get(src->tokenizer.root, "model");
    const json_t *type = json_object_get(model, "type");
    const json_t *suffix = json_object_get(model, "end_of_word_suffix");

    src->vocab.path = src->tokenizer.path;
    src->vocab.vocab = json_object_get(model, "vocab");
    src->vocab.merges = json_object_get(model, "merges");
    if (type != NULL && (!json_is_string(type) ||
                         strcmp(json_string_value(type), "BPE") != 0))
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "%s: model.type: %.40s: expected BPE",
                          src->vocab.path,
                          json_is_string(type) ? json_string_value(type)
                                               : "not a text");
    if (json_is_string(suffix) &&
        strcmp(json_string_value(suffix), PDAG_CLIP_END_OF_WORD) != 0)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "%s: model.end_of_word_suffix: %.40s: expected %s",
                          src->vocab.path, json_string_value(suffix),
                          PDAG_CLIP_END_OF_WORD);
    if (!json_is_object(src->vocab.vocab))
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: model.vocab: expected an object",
                          src->vocab.path);
    if (!json_is_array(src->vocab.merges))
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: model.merges: expected a list", src->vocab.path);
    return PDAG_OK;
}

/* Read `name` in `dir` if it is there. */
static pdag_status read_optional(const char *dir, const char *name,
                                 pdag_json *json)
{
    char *path = pdag_xasprintf("%s/%s", dir, name);
    pdag_status status = PDAG_OK;

    if (access(path, F_OK) == 0)
        status = strcmp(name, "tokenizer_config.json") == 0
                     ? read_config(path, json)
                     : pdag_json_read(path, json);
    free(path);
    return status;
}

static pdag_status read_sources(const char *dir, sources *src)
{
    pdag_status status =
        read_optional(dir, "tokenizer_config.json", &src->config);

    if (status == PDAG_OK)
        status = read_optional(dir, "special_tokens_map.json", &src->map);
    if (status == PDAG_OK)
        status = read_optional(dir, "added_tokens.json", &src->added);
    if (status == PDAG_OK)
        status = read_optional(dir, "tokenizer.json", &src->tokenizer);
    if (status != PDAG_OK)
        return status;
    if (src->tokenizer.path != NULL)
        return find_model(src);
    status = read_optional(dir, "vocab.json", &src->vocab_file);
    if (status != PDAG_OK)
        return status;
    if (src->vocab_file.path == NULL)
        return pdag_error(PDAG_ERR_INPUT,
                          "%s: neither tokenizer.json nor vocab.json is there",
                          dir);
    src->vocab.merges_path = pdag_xasprintf("%s/merges.txt", dir);
    src->vocab.path = src->vocab_file.path;
    src->vocab.vocab = src->vocab_file.root;
    return PDAG_OK;
}

static void clear_sources(sources *src)
{
    pdag_json *files[] = {&src->tokenizer, &src->vocab_file, &src->config,
                          &src->map, &src->added};

    for (size_t k = 0; k < sizeof files / sizeof files[0]; k++)
        if (files[k]->path != NULL)
            pdag_json_clear(files[k]);
    free(src->vocab.merges_path);
    json_decref(src->known);
}

static pdag_status build(sources *src, pdag_clip_tokenizer *tokenizer)
{
    pdag_status status = PDAG_OK;

    src->known = json_object();
    for (int k = 0; k < N_SPECIAL; k++)
        src->special[k].content = special_names[k].fallback;
    if (src->config.path != NULL)
        status = apply_config(&src->config, tokenizer);
    if (status == PDAG_OK)
        status = get_specials(&src->config, false, src->special);
    if (status == PDAG_OK &&
        json_object_get(src->config.root, "added_tokens_decoder") == NULL)
        status = get_specials(&src->map, true, src->special);
    if (status == PDAG_OK)
        status = pdag_clip_read_vocab(&src->vocab, tokenizer);
    if (status == PDAG_OK)
        status = add_all(src, tokenizer);
    if (status != PDAG_OK)
        return status;
    tokenizer->start_id = known_id(src, src->special[START].content, tokenizer);
    tokenizer->end_id = known_id(src, src->special[END].content, tokenizer);
    tokenizer->pad_id = known_id(src, src->special[PAD].content, tokenizer);
    tokenizer->unknown_id = known_id(src, src->special[UNKNOWN].content, tokenizer);
    pdag_clip_fill_bytes(&src->vocab, tokenizer);
    return PDAG_OK;
}

pdag_status pdag_clip_tokenizer_load(const char *dir,
                                     pdag_clip_tokenizer **tokenizer_out)
{
    pdag_clip_tokenizer *tokenizer = pdag_xcalloc(1, sizeof *tokenizer);
    sources src = {0};
    pdag_status status = read_sources(dir, &src);

    if (status == PDAG_OK)
        status = build(&src, tokenizer);
    clear_sources(&src);
    if (status != PDAG_OK) {
        pdag_clip_tokenizer_destroy(tokenizer);
        return status;
    }
    *tokenizer_out = tokenizer;
    return PDAG_OK;
}

void pdag_clip_tokenizer_destroy(pdag_clip_tokenizer *tokenizer)
{
    if (tokenizer == NULL)
        return;
    for (size_t k = 0; k < tokenizer->n_added; k++)
        free(tokenizer->added[k].points);
    free(tokenizer->added);
    free(tokenizer->merges);
    free(tokenizer);
}
