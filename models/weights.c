#include "models/weights.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/mem.h"
#include "models/safetensors.h"

#define NAME_BYTES 512

typedef struct entry {
    const pdag_tensor_view *view;
    pdag_safetensors *file;
    bool used;
} entry;

struct pdag_weights {
    char *path;
    pdag_safetensors **files; /* [n_files] */
    size_t n_files;
    entry *entries; /* [n_entries], by name */
    size_t n_entries;
};

void pdag_weights_close(pdag_weights *weights)
{
    if (weights == NULL)
        return;
    for (size_t i = 0; i < weights->n_files; i++)
        pdag_safetensors_close(weights->files[i]);
    free(weights->files);
    free(weights->entries);
    free(weights->path);
    free(weights);
}

static int compare_entries(const void *left, const void *right)
{
    const entry *a = left;
    const entry *b = right;

    return strcmp(a->view->name, b->view->name);
}

/* One list over all files; a name may occur once. */
static pdag_status merge(pdag_weights *weights)
{
    size_t n = 0;

    for (size_t f = 0; f < weights->n_files; f++)
        n += pdag_safetensors_count(weights->files[f]);
    weights->entries = pdag_xcalloc(n, sizeof *weights->entries);
    for (size_t f = 0; f < weights->n_files; f++)
        for (size_t i = 0; i < pdag_safetensors_count(weights->files[f]); i++) {
            entry *next = &weights->entries[weights->n_entries++];

            next->view = pdag_safetensors_at(weights->files[f], i);
            next->file = weights->files[f];
        }
    qsort(weights->entries, n, sizeof *weights->entries, compare_entries);
    for (size_t i = 1; i < n; i++)
        if (compare_entries(&weights->entries[i - 1], &weights->entries[i]) ==
            0)
            return pdag_error(
                PDAG_ERR_FORMAT, "%s: %s: also in %s",
                pdag_safetensors_path(weights->entries[i].file),
                weights->entries[i].view->name,
                pdag_safetensors_path(weights->entries[i - 1].file));
    return PDAG_OK;
}

static pdag_status open_plain(pdag_weights *weights, const char *path)
{
    pdag_status status;

    weights->files = pdag_xcalloc(1, sizeof *weights->files);
    status = pdag_safetensors_open(path, &weights->files[0]);
    if (status == PDAG_OK)
        weights->n_files = 1;
    return status;
}

/* A shard is named in a file from a stranger: it must lie beside the index. */
static pdag_status check_shard_name(const char *index, const char *tensor,
                                    const char *shard)
{
    if (shard == NULL || shard[0] == '\0' || strchr(shard, '/') != NULL ||
        strcmp(shard, ".") == 0 || strcmp(shard, "..") == 0)
        return pdag_error(
            PDAG_ERR_FORMAT, "%s: weight_map: %s: %.100s is not a file name",
            index, tensor, shard != NULL ? shard : "(not a string)");
    return PDAG_OK;
}

static bool have_shard(const pdag_weights *weights, const char *path)
{
    for (size_t i = 0; i < weights->n_files; i++)
        if (strcmp(pdag_safetensors_path(weights->files[i]), path) == 0)
            return true;
    return false;
}

static pdag_status open_shard(pdag_weights *weights, const char *dir,
                              const char *shard)
{
    char *path = pdag_xasprintf("%s/%s", dir, shard);
    pdag_status status = PDAG_OK;

    if (!have_shard(weights, path)) {
        weights->files = pdag_xrealloc(weights->files, weights->n_files + 1,
                                       sizeof *weights->files);
        status = pdag_safetensors_open(path, &weights->files[weights->n_files]);
        if (status == PDAG_OK)
            weights->n_files++;
    }
    free(path);
    return status;
}

static pdag_status open_sharded(pdag_weights *weights, const char *dir,
                                const char *index)
{
    pdag_json json;
    json_t *map;
    const char *tensor;
    json_t *value;
    pdag_status status = pdag_json_read(index, &json);

    if (status != PDAG_OK)
        return status;
    map = json_object_get(json.root, "weight_map");
    if (!json_is_object(map) || json_object_size(map) == 0)
        status = pdag_error(PDAG_ERR_FORMAT, "%s: weight_map missing", index);
    json_object_foreach(map, tensor, value)
    {
        if (status != PDAG_OK)
            break;
        status = check_shard_name(index, tensor, json_string_value(value));
        if (status == PDAG_OK)
            status = open_shard(weights, dir, json_string_value(value));
    }
    pdag_json_clear(&json);
    return status;
}

static bool exists(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0;
}

/* What comes after the base name, in the order of preference. */
static const char *const plain_endings[] = {".safetensors",
                                            ".fp16.safetensors"};
static const char *const index_endings[] = {
    ".safetensors.index.json", ".safetensors.fp16.index.json",
    ".safetensors.index.fp16.json", ".fp16.safetensors.index.json"};
static const char *const pickle_endings[] = {".bin", ".fp16.bin",
                                             ".bin.index.json"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char *first_existing(const char *const *endings, size_t n,
                            const char *dir, const char *base)
{
    for (size_t i = 0; i < n; i++) {
        char *path = pdag_xasprintf("%s/%s%s", dir, base, endings[i]);

        if (exists(path))
            return path;
        free(path);
    }
    return NULL;
}

static pdag_status open_files(pdag_weights *weights, const char *dir,
                              const char *base)
{
    char *pickle;
    pdag_status status;
    bool sharded = false;

    /* plain, sharded, then the variants of both */
    weights->path = first_existing(plain_endings, 1, dir, base);
    if (weights->path == NULL) {
        weights->path = first_existing(index_endings, 1, dir, base);
        sharded = weights->path != NULL;
    }
    if (weights->path == NULL)
        weights->path =
            first_existing(plain_endings, COUNT(plain_endings), dir, base);
    if (weights->path == NULL) {
        weights->path =
            first_existing(index_endings, COUNT(index_endings), dir, base);
        sharded = weights->path != NULL;
    }
    if (weights->path != NULL)
        return sharded ? open_sharded(weights, dir, weights->path)
                       : open_plain(weights, weights->path);

    pickle = first_existing(pickle_endings, COUNT(pickle_endings), dir, base);
    if (pickle == NULL)
        pickle = first_existing(pickle_endings, COUNT(pickle_endings), dir,
                                "pytorch_model");
    if (pickle == NULL)
        return pdag_error(PDAG_ERR_INPUT, "%s/%s.safetensors: no such file",
                          dir, base);
    status = pdag_error(PDAG_ERR_UNSUPPORTED,
                        "%s: pickled weights are not read; convert them: python "
                        "tools/convert/pickled.py %s",
                        pickle, dir);
    free(pickle);
    return status;
}

/* The end of an opening that went so far with `status`. */
static pdag_status finish(pdag_weights *weights, pdag_status status,
                          pdag_weights **weights_out)
{
    if (status == PDAG_OK)
        status = merge(weights);
    if (status == PDAG_OK)
        *weights_out = weights;
    else
        pdag_weights_close(weights);
    return status;
}

pdag_status pdag_weights_open(const char *dir, const char *base,
                              pdag_weights **weights_out)
{
    pdag_weights *weights = pdag_xcalloc(1, sizeof *weights);

    return finish(weights, open_files(weights, dir, base), weights_out);
}

pdag_status pdag_weights_open_file(const char *path, pdag_weights **weights_out)
{
    pdag_weights *weights = pdag_xcalloc(1, sizeof *weights);

    weights->path = pdag_xstrdup(path);
    return finish(weights, open_plain(weights, path), weights_out);
}

static entry *find_exact(pdag_weights *weights, const char *name)
{
    pdag_tensor_view view = {.name = name};
    entry key = {.view = &view};

    return bsearch(&key, weights->entries, weights->n_entries,
                   sizeof *weights->entries, compare_entries);
}

static entry *find_prefixed(pdag_weights *weights, const char *name)
{
    char longer[NAME_BYTES + 16];
    entry *found = find_exact(weights, name);

    if (found != NULL)
        return found;
    snprintf(longer, sizeof longer, "text_model.%s", name);
    return find_exact(weights, longer);
}

/* diffusers renames these on load (modeling_utils,
   _convert_deprecated_attention_blocks). */
static const char *const old_names[][2] = {{".to_q.", ".query."},
                                           {".to_k.", ".key."},
                                           {".to_v.", ".value."},
                                           {".to_out.0.", ".proj_attn."}};

const pdag_tensor_view *pdag_weights_find(pdag_weights *weights,
                                          const char *name)
{
    entry *found = find_prefixed(weights, name);

    for (size_t i = 0; found == NULL && i < COUNT(old_names); i++) {
        const char *at = strstr(name, old_names[i][0]);
        char older[NAME_BYTES];

        if (at == NULL)
            continue;
        snprintf(older, sizeof older, "%.*s%s%s", (int)(at - name), name,
                 old_names[i][1], at + strlen(old_names[i][0]));
        found = find_prefixed(weights, older);
    }
    if (found == NULL)
        return NULL;
    found->used = true;
    return found->view;
}

void pdag_weights_release(pdag_weights *weights, const pdag_tensor_view *view)
{
    entry *found = find_exact(weights, view->name);

    if (found != NULL)
        pdag_safetensors_release(found->file, found->view);
}

const char *pdag_weights_path(const pdag_weights *weights)
{
    return weights->path;
}

size_t pdag_weights_n_files(const pdag_weights *weights)
{
    return weights->n_files;
}

const char *pdag_weights_file(const pdag_weights *weights, size_t index)
{
    return pdag_safetensors_path(weights->files[index]);
}

size_t pdag_weights_count(const pdag_weights *weights)
{
    return weights->n_entries;
}

const pdag_tensor_view *pdag_weights_at(const pdag_weights *weights,
                                        size_t index)
{
    return weights->entries[index].view;
}

static bool is_harmless(const char *name)
{
    static const char suffix[] = "embeddings.position_ids";
    size_t length = strlen(name);

    return length >= strlen(suffix) &&
           strcmp(name + length - strlen(suffix), suffix) == 0;
}

int pdag_weights_is_used(const pdag_weights *weights, size_t index)
{
    const entry *e = &weights->entries[index];

    return e->used || is_harmless(e->view->name);
}

uint64_t pdag_weights_elements(const pdag_weights *weights)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < weights->n_entries; i++)
        if (!is_harmless(weights->entries[i].view->name))
            sum += pdag_tensor_count(weights->entries[i].view);
    return sum;
}

uint64_t pdag_weights_bytes(const pdag_weights *weights)
{
    uint64_t sum = 0;

    for (size_t f = 0; f < weights->n_files; f++)
        sum += pdag_safetensors_bytes(weights->files[f]);
    return sum;
}

pdag_status pdag_weights_check_used(const pdag_weights *weights)
{
    const entry *first = NULL;
    size_t n = 0;

    for (size_t i = 0; i < weights->n_entries; i++)
        if (!pdag_weights_is_used(weights, i)) {
            if (first == NULL)
                first = &weights->entries[i];
            n++;
        }
    if (first == NULL)
        return PDAG_OK;
    return pdag_error(PDAG_ERR_FORMAT,
                      "%s: %s: the configuration has no place for this tensor "
                      "(%zu such)",
                      pdag_safetensors_path(first->file), first->view->name, n);
}
