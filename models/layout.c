#include "models/layout.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

void pdag_layout_clear(pdag_layout *layout)
{
    free(layout->class_name);
    free(layout->network);
    free(layout->vae);
    free(layout->text_encoder);
    free(layout->tokenizer);
    free(layout->scheduler_config);
    for (size_t i = 0; i < layout->n_ignored; i++)
        free(layout->ignored[i]);
    free(layout->ignored);
    memset(layout, 0, sizeof *layout);
}

/* What the network of a DiTPipeline may be called. */
static const char *const transformers[] = {"DiTTransformer2DModel",
                                           "Transformer2DModel", NULL};

static bool is_file(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

static bool is_folder(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* Whether model_index.json names a part; its class must be one of `classes`.
   [null, null] says that a part is absent. */
static pdag_status has_part(const pdag_json *index, const char *key,
                            const char *const *classes, bool *has_out)
{
    const json_t *entry = json_object_get(index->root, key);
    const json_t *class_name = json_array_get(entry, 1);

    *has_out = false;
    if (entry == NULL || json_is_null(entry))
        return PDAG_OK;
    if (json_array_size(entry) != 2)
        return pdag_error(PDAG_ERR_FORMAT, "%s: %s: expected [library, class]",
                          index->path, key);
    if (json_is_null(class_name))
        return PDAG_OK;
    if (!json_is_string(class_name))
        return pdag_error(PDAG_ERR_FORMAT, "%s: %s: class is not a string",
                          index->path, key);
    for (size_t i = 0; classes[i] != NULL; i++)
        if (strcmp(classes[i], json_string_value(class_name)) == 0) {
            *has_out = true;
            return PDAG_OK;
        }
    return pdag_error(PDAG_ERR_UNSUPPORTED,
                      "%s: %s: %.100s is not supported, only %s%s%s", index->path,
                      key, json_string_value(class_name), classes[0],
                      classes[1] != NULL ? " and " : "",
                      classes[1] != NULL ? classes[1] : "");
}

/* diffusers would make the index's class of the other class's numbers. */
static pdag_status check_scheduler(const pdag_json *index, const char *named,
                                   const char *config)
{
    const char *own;
    pdag_json json;
    pdag_status status = pdag_json_read(config, &json);

    if (status != PDAG_OK)
        return status;
    status = pdag_json_string(&json, "_class_name", named, &own);
    if (status == PDAG_OK && strcmp(own, named) != 0)
        status = pdag_error(PDAG_ERR_UNSUPPORTED,
                            "%s: scheduler: %.100s, but %s is of %.100s (they must "
                            "agree)", index->path, named, config, own);
    pdag_json_clear(&json);
    return status;
}

/* A scheduler that the index names must be there: with another one's numbers the
   pictures are wrong.  index: NULL for a network's folder. */
static pdag_status find_scheduler(const char *path, const pdag_json *index,
                                  pdag_layout *layout)
{
    static const char *const names[] = {"scheduler/scheduler_config.json",
                                        "scheduler_config.json"};
    const json_t *entry =
        index != NULL ? json_object_get(index->root, "scheduler") : NULL;
    bool named = json_is_string(json_array_get(entry, 1));

    for (size_t i = 0; i < 2 && layout->scheduler_config == NULL; i++) {
        char *file = pdag_xasprintf("%s/%s", path, names[i]);

        if (is_file(file))
            layout->scheduler_config = file;
        else
            free(file);
    }
    if (!named)
        return PDAG_OK;
    if (layout->scheduler_config == NULL)
        return pdag_error(PDAG_ERR_INPUT,
                          "%s/%s: no such file, but %s names a scheduler", path,
                          names[0], index->path);
    return check_scheduler(index, json_string_value(json_array_get(entry, 1)),
                           layout->scheduler_config);
}

/* Its folder, or the root itself where the network's files are there. */
static pdag_status find_network(const char *path, pdag_layout *layout)
{
    char *folder = pdag_xasprintf("%s/%s", path, layout->network_name);
    char *config = pdag_xasprintf("%s/config.json", path);
    pdag_status status = PDAG_OK;

    if (is_folder(folder)) {
        layout->network = folder;
        folder = NULL;
    } else if (is_file(config)) {
        layout->network = pdag_xstrdup(path);
    } else {
        status = pdag_error(PDAG_ERR_INPUT, "%s: no such folder, and no %s",
                            folder, config);
    }
    free(folder);
    free(config);
    return status;
}

static void set_vae(const char *path, const char *name, pdag_layout *layout)
{
    layout->vae_name = name;
    layout->vae = pdag_xasprintf("%s/%s", path, name);
}

/* Of an LDMPipeline. */
static pdag_status find_vqvae(const pdag_json *index, const char *path,
                              pdag_layout *layout)
{
    static const char *const classes[] = {"VQModel", "AutoencoderKL", NULL};
    bool has_vqvae;
    pdag_status status = has_part(index, "vqvae", classes, &has_vqvae);

    if (status != PDAG_OK)
        return status;
    if (!has_vqvae)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "%s: vqvae: missing; a %s needs it", index->path,
                          layout->class_name);
    set_vae(path, "vqvae", layout);
    return PDAG_OK;
}

/* Of a DiTPipeline, which may also work on pixels. */
static pdag_status find_optional_vae(const pdag_json *index, const char *path,
                                     pdag_layout *layout)
{
    static const char *const classes[] = {"AutoencoderKL", NULL};
    bool has_vae;
    pdag_status status = has_part(index, "vae", classes, &has_vae);

    if (status == PDAG_OK && has_vae)
        set_vae(path, "vae", layout);
    return status;
}

static pdag_status find_text_parts(const pdag_json *index, const char *path,
                                   pdag_layout *layout)
{
    static const char *const vaes[] = {"AutoencoderKL", NULL};
    static const char *const encoders[] = {"CLIPTextModel", NULL};
    static const char *const tokenizers[] = {"CLIPTokenizer",
                                             "CLIPTokenizerFast", NULL};
    bool has_vae;
    bool has_encoder;
    bool has_tokenizer;
    pdag_status status = has_part(index, "vae", vaes, &has_vae);

    if (status == PDAG_OK)
        status = has_part(index, "text_encoder", encoders, &has_encoder);
    if (status == PDAG_OK)
        status = has_part(index, "tokenizer", tokenizers, &has_tokenizer);
    if (status != PDAG_OK)
        return status;
    if (!has_vae || !has_encoder || !has_tokenizer)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "%s: %s: missing; a %s needs it", index->path,
                          !has_vae       ? "vae"
                          : !has_encoder ? "text_encoder"
                                         : "tokenizer",
                          layout->class_name);
    set_vae(path, "vae", layout);
    layout->text_encoder = pdag_xasprintf("%s/text_encoder", path);
    layout->tokenizer = pdag_xasprintf("%s/tokenizer", path);
    return PDAG_OK;
}

static bool is_used(const pdag_layout *layout, const char *part)
{
    const char *const used[] = {
        "scheduler", layout->network_name, layout->vae_name,
        layout->text_encoder != NULL ? "text_encoder" : NULL,
        layout->tokenizer != NULL ? "tokenizer" : NULL};

    for (size_t i = 0; i < sizeof used / sizeof used[0]; i++)
        if (used[i] != NULL && strcmp(part, used[i]) == 0)
            return true;
    return false;
}

/* Parts that this pipeline has no use for: the safety checker, an autoencoder
   beside a network of pixels. */
static void note_ignored(const pdag_json *index, pdag_layout *layout)
{
    const char *key;
    json_t *value;

    json_object_foreach(index->root, key, value)
    {
        if (!json_is_string(json_array_get(value, 1)) || is_used(layout, key))
            continue;
        layout->ignored = pdag_xgrow(layout->ignored, layout->n_ignored,
                                     sizeof *layout->ignored);
        layout->ignored[layout->n_ignored++] = pdag_xstrdup(key);
    }
}

static pdag_status read_index(const char *path, const pdag_json *index,
                              pdag_layout *layout)
{
    static const char *const known[] = {"StableDiffusionPipeline",
                                        "DDPMPipeline", "DDIMPipeline",
                                        "LDMPipeline",
                                        "DiffusionPolicyPipeline",
                                        "DiTPipeline", NULL};
    static const char *const networks[] = {
        "UNet2DConditionModel", "UNet2DModel", "ConditionalUnet1D", NULL};
    int which = -1;
    bool has_network;
    bool is_dit;
    pdag_status status =
        pdag_json_choice(index, "_class_name", known, -1, &which);

    if (status != PDAG_OK)
        return status;
    if (which < 0)
        return pdag_error(PDAG_ERR_FORMAT, "%s: _class_name: missing",
                          index->path);
    layout->class_name = pdag_xstrdup(known[which]);
    is_dit = strcmp(layout->class_name, "DiTPipeline") == 0;
    layout->network_name = is_dit ? "transformer" : "unet";
    status = has_part(index, layout->network_name,
                      is_dit ? transformers : networks, &has_network);
    if (status == PDAG_OK && !has_network)
        status = pdag_error(PDAG_ERR_UNSUPPORTED, "%s: %s: missing", index->path,
                            layout->network_name);
    if (status == PDAG_OK)
        status = find_network(path, layout);
    if (status == PDAG_OK && which == 0)
        status = find_text_parts(index, path, layout);
    if (status == PDAG_OK && strcmp(layout->class_name, "LDMPipeline") == 0)
        status = find_vqvae(index, path, layout);
    if (status == PDAG_OK && is_dit)
        status = find_optional_vae(index, path, layout);
    if (status == PDAG_OK)
        note_ignored(index, layout);
    return status;
}

/* A folder with a network's config.json and nothing else that we know. */
static pdag_status read_bare(const char *path, const char *config,
                             pdag_layout *layout)
{
    pdag_json json;
    const char *name;
    pdag_status status = pdag_json_read(config, &json);

    if (status != PDAG_OK)
        return status;
    status = pdag_json_string(&json, "_class_name", NULL, &name);
    if (status == PDAG_OK && name == NULL)
        status =
            pdag_error(PDAG_ERR_FORMAT, "%s: _class_name: missing", config);
    if (status == PDAG_OK) {
        layout->class_name = pdag_xstrdup(name);
        layout->network = pdag_xstrdup(path);
        layout->network_name = "unet";
        for (size_t i = 0; transformers[i] != NULL; i++)
            if (strcmp(name, transformers[i]) == 0)
                layout->network_name = "transformer";
    }
    pdag_json_clear(&json);
    return status;
}

/* A folder without a model may be that of a LoRA, which is a file. */
static pdag_status check_no_lora(const char *path)
{
    char *lora = pdag_xasprintf("%s/pytorch_lora_weights.safetensors", path);
    pdag_status status = PDAG_OK;

    if (is_file(lora))
        status = pdag_error(PDAG_ERR_UNSUPPORTED,
                            "%s: the folder of a LoRA; give its file, %s", path,
                            lora);
    free(lora);
    return status;
}

static pdag_status read_layout(const char *path, const char *index_path,
                               const char *config, pdag_layout *layout)
{
    pdag_json index;
    pdag_status status;

    if (!is_file(index_path) && is_file(config)) {
        status = read_bare(path, config, layout);
        return status == PDAG_OK ? find_scheduler(path, NULL, layout) : status;
    }
    if (!is_file(index_path)) {
        status = check_no_lora(path);
        if (status != PDAG_OK)
            return status;
    }
    status = pdag_json_read(index_path, &index);
    if (status != PDAG_OK)
        return status;
    status = read_index(path, &index, layout);
    if (status == PDAG_OK)
        status = find_scheduler(path, &index, layout);
    pdag_json_clear(&index);
    return status;
}

pdag_status pdag_layout_read(const char *path, pdag_layout *layout_out)
{
    pdag_layout layout = {0};
    struct stat info;
    char *index;
    char *config;
    pdag_status status;

    if (stat(path, &info) != 0)
        return pdag_error(PDAG_ERR_INPUT, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "%s: not a folder; a model is a folder in the "
                          "diffusers layout",
                          path);
    index = pdag_xasprintf("%s/model_index.json", path);
    config = pdag_xasprintf("%s/config.json", path);
    status = read_layout(path, index, config, &layout);
    free(index);
    free(config);
    if (status != PDAG_OK) {
        pdag_layout_clear(&layout);
        return status;
    }
    *layout_out = layout;
    return PDAG_OK;
}
