#include "models/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "models/layers_base.h"
#include "models/layout.h"
#include "models/weights.h"

#define WHOLE_BYTES ((off_t)1 << 20)
#define PIECE_BYTES 4096
#define N_PIECES (WHOLE_BYTES / PIECE_BYTES)

typedef struct digest {
    const char *field;
    char *text;
} digest;

/* FNV-1a over the bytes from `at` on, PIECE_BYTES at most. */
static bool hash_piece(int fd, off_t at, uint64_t *hash)
{
    unsigned char bytes[PIECE_BYTES];
    ssize_t n;

    do
        n = pread(fd, bytes, sizeof bytes, at);
    while (n < 0 && errno == EINTR);
    for (ssize_t i = 0; i < n; i++)
        *hash = (*hash ^ bytes[i]) * UINT64_C(1099511628211);
    return n >= 0;
}

static bool hash_file(int fd, off_t size, uint64_t *hash_out)
{
    off_t n = (size + PIECE_BYTES - 1) / PIECE_BYTES;
    bool good = true;

    *hash_out = UINT64_C(14695981039346656037);
    if (size <= WHOLE_BYTES) {
        for (off_t i = 0; good && i < n; i++)
            good = hash_piece(fd, i * PIECE_BYTES, hash_out);
        return good;
    }
    for (off_t i = 0; good && i < N_PIECES; i++)
        good = hash_piece(fd, (size - PIECE_BYTES) / (N_PIECES - 1) * i, hash_out);
    return good && hash_piece(fd, size - PIECE_BYTES, hash_out);
}

static void add_line(digest *d, uint64_t hash, off_t size, const char *path)
{
    char *longer =
        pdag_xasprintf("%s%016" PRIx64 " %lld %s: %s\n", d->text, hash,
                       (long long)size, d->field, path);

    free(d->text);
    d->text = longer;
}

static pdag_status add_file(digest *d, const char *path)
{
    struct stat info;
    uint64_t hash;
    bool good;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return pdag_error(PDAG_ERR_INPUT, "%s: %s", path, strerror(errno));
    good = fstat(fd, &info) == 0 && hash_file(fd, info.st_size, &hash);
    if (!good)
        pdag_error(PDAG_ERR_INPUT, "%s: %s", path, strerror(errno));
    close(fd);
    if (!good)
        return PDAG_ERR_INPUT;
    add_line(d, hash, info.st_size, path);
    return PDAG_OK;
}

/* A file of a folder, where it is there. */
static pdag_status add_optional(digest *d, const char *folder, const char *name)
{
    char *path = pdag_xasprintf("%s/%s", folder, name);
    pdag_status status =
        access(path, F_OK) == 0 ? add_file(d, path) : PDAG_OK;

    free(path);
    return status;
}

/* config.json and weights; `folder` NULL: the model has no such part. */
static pdag_status add_part(digest *d, const char *folder, const char *base)
{
    pdag_weights *weights;
    pdag_status status;

    if (folder == NULL)
        return PDAG_OK;
    PDAG_TRY(add_optional(d, folder, "config.json"));
    PDAG_TRY(pdag_weights_open(folder, base, &weights));
    status = PDAG_OK;
    for (size_t i = 0; status == PDAG_OK && i < pdag_weights_n_files(weights); i++)
        status = add_file(d, pdag_weights_file(weights, i));
    pdag_weights_close(weights);
    return status;
}

static pdag_status add_tokenizer(digest *d, const char *folder)
{
    static const char *const names[] = {
        "tokenizer.json",          "tokenizer_config.json",
        "special_tokens_map.json", "added_tokens.json",
        "vocab.json",              "merges.txt"};

    for (size_t i = 0; folder != NULL && i < sizeof names / sizeof names[0]; i++)
        PDAG_TRY(add_optional(d, folder, names[i]));
    return PDAG_OK;
}

static pdag_status add_layout(digest *d, const char *path,
                              const pdag_layout *layout)
{
    PDAG_TRY(add_optional(d, path, "model_index.json"));
    if (layout->scheduler_config != NULL)
        PDAG_TRY(add_file(d, layout->scheduler_config));
    PDAG_TRY(add_tokenizer(d, layout->tokenizer));
    PDAG_TRY(add_part(d, layout->text_encoder, PDAG_WEIGHTS_TRANSFORMERS));
    PDAG_TRY(add_part(d, layout->network, PDAG_WEIGHTS_DIFFUSERS));
    return add_part(d, layout->vae, PDAG_WEIGHTS_DIFFUSERS);
}

static pdag_status add_model(digest *d, const char *path)
{
    pdag_layout layout;
    pdag_status status;

    PDAG_TRY(pdag_layout_read(path, &layout));
    status = add_layout(d, path, &layout);
    pdag_layout_clear(&layout);
    return status;
}

/* Of a second model only its network counts. */
static pdag_status add_second(digest *d, const char *path)
{
    pdag_layout layout;
    struct stat info;
    pdag_status status;

    if (stat(path, &info) == 0 && !S_ISDIR(info.st_mode))
        return add_file(d, path);
    PDAG_TRY(pdag_layout_read(path, &layout));
    status = add_part(d, layout.network, PDAG_WEIGHTS_DIFFUSERS);
    pdag_layout_clear(&layout);
    return status;
}

static pdag_status add_all(digest *d, const char *path,
                           const pdag_pipeline_opts *opts)
{
    d->field = "model.path";
    PDAG_TRY(add_model(d, path));
    d->field = "model.lora";
    for (size_t i = 0; i < opts->n_loras; i++)
        PDAG_TRY(add_file(d, opts->loras[i].path));
    d->field = "pcm.path";
    return opts->pcm.path != NULL ? add_second(d, opts->pcm.path) : PDAG_OK;
}

pdag_status pdag_pipeline_digest(const char *path,
                                 const pdag_pipeline_opts *opts, char **text_out)
{
    digest d = {.text = pdag_xstrdup("")};
    pdag_status status = add_all(&d, path, opts);

    if (status != PDAG_OK) {
        free(d.text);
        return status;
    }
    *text_out = d.text;
    return PDAG_OK;
}
