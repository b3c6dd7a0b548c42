#include "models/inspect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "models/autoencoder.h"
#include "models/clip_text.h"
#include "models/clip_tokenizer.h"
#include "models/layout.h"
#include "models/lora.h"
#include "models/registry.h"

typedef enum part_kind { PART_NETWORK, PART_VAE, PART_TEXT } part_kind;

static void clear_part(pdag_part_info *part)
{
    for (size_t i = 0; i < part->n_unknown_keys; i++)
        free(part->unknown_keys[i]);
    free(part->unknown_keys);
    pdag_findings_clear(&part->findings);
    free(part->name);
    free(part->path);
    free(part->class_name);
    free(part->error);
}

void pdag_inspection_clear(pdag_inspection *inspection)
{
    for (size_t i = 0; i < inspection->n_parts; i++)
        clear_part(&inspection->parts[i]);
    for (size_t i = 0; i < inspection->n_ignored; i++)
        free(inspection->ignored[i]);
    free(inspection->ignored);
    free(inspection->parts);
    free(inspection->path);
    free(inspection->format);
    free(inspection->class_name);
    free(inspection->error);
    pdag_pipeline_info_clear(&inspection->info);
    memset(inspection, 0, sizeof *inspection);
}

static pdag_part_info *add_part(pdag_inspection *inspection, const char *name,
                                const char *path)
{
    pdag_part_info *part;

    inspection->parts = pdag_xrealloc(
        inspection->parts, inspection->n_parts + 1, sizeof *inspection->parts);
    part = &inspection->parts[inspection->n_parts++];
    memset(part, 0, sizeof *part);
    part->name = pdag_xstrdup(name);
    part->path = pdag_xstrdup(path);
    return part;
}

static void count_weights(const pdag_weights *weights, pdag_part_info *part)
{
    part->n_files = pdag_weights_n_files(weights);
    part->n_tensors = pdag_weights_count(weights);
    part->n_parameters = pdag_weights_elements(weights);
    part->bytes = pdag_weights_bytes(weights);
    for (size_t i = 0; i < part->n_tensors; i++)
        part->n_of_dtype[pdag_weights_at(weights, i)->dtype]++;
}

static void find_unknown_keys(const pdag_json *config,
                              const pdag_config_rule *rules,
                              pdag_part_info *part)
{
    const char *key;
    json_t *value;

    json_object_foreach(config->root, key, value)
    {
        if (pdag_config_knows(rules, key))
            continue;
        part->unknown_keys =
            pdag_xgrow(part->unknown_keys, part->n_unknown_keys,
                       sizeof *part->unknown_keys);
        part->unknown_keys[part->n_unknown_keys++] = pdag_xstrdup(key);
    }
}

/* The class as config.json tells it: diffusers', or transformers' first
   architecture. */
static const char *class_of(const pdag_json *config)
{
    const json_t *list = json_object_get(config->root, "architectures");
    const char *name =
        json_string_value(json_object_get(config->root, "_class_name"));

    if (name == NULL)
        name = json_string_value(json_array_get(list, 0));
    return name != NULL ? name : "";
}

/* Build without a backend: every tensor is looked up, nothing is made. */
static pdag_status check_part(pdag_builder *b, part_kind kind,
                              pdag_part_info *part)
{
    const pdag_network_class *network;
    const pdag_autoencoder_ops *decoder;
    pdag_autoencoder *vae = NULL;
    pdag_clip_text *clip = NULL;
    pdag_denoiser *model = NULL;
    pdag_status status;

    if (kind == PART_VAE) {
        status = pdag_autoencoder_find(&b->config, &decoder);
        if (status != PDAG_OK)
            return status;
        find_unknown_keys(&b->config, decoder->keys, part);
        status = decoder->load(b, true, &vae);
        pdag_autoencoder_destroy(vae);
        return status;
    }
    if (kind == PART_TEXT) {
        find_unknown_keys(&b->config, pdag_clip_text_keys, part);
        status = pdag_clip_text_load(b, &clip);
        pdag_clip_text_destroy(clip);
        return status;
    }
    status = pdag_network_find(&b->config, &network);
    if (status != PDAG_OK)
        return status;
    find_unknown_keys(&b->config, network->keys, part);
    status = network->load(b, &model);
    if (model != NULL)
        model->ops->destroy(model);
    return status;
}

static void inspect_part(pdag_inspection *inspection, const char *name,
                         const char *folder, part_kind kind)
{
    pdag_part_info *part = add_part(inspection, name, folder);
    pdag_builder b;
    pdag_status status = pdag_builder_open(
        &b, folder,
        kind == PART_TEXT ? PDAG_WEIGHTS_TRANSFORMERS : PDAG_WEIGHTS_DIFFUSERS,
        NULL);

    part->class_name =
        pdag_xstrdup(b.config.root != NULL ? class_of(&b.config) : "");
    if (status == PDAG_OK) {
        count_weights(b.weights, part);
        b.findings = &part->findings;
        status = check_part(&b, kind, part);
    }
    if (status != PDAG_OK)
        part->error = pdag_xstrdup(pdag_error_text());
    else if (part->findings.n_missing > 0)
        part->error = pdag_xstrdup(part->findings.missing[0]);
    else if (part->findings.n_unused > 0)
        part->error =
            pdag_xasprintf("%s: %s: the configuration has no place for this "
                           "tensor (%zu such)",
                           pdag_weights_path(b.weights),
                           part->findings.unused[0], part->findings.n_unused);
    pdag_builder_close(&b);
}

static void inspect_tokenizer(pdag_inspection *inspection, const char *folder)
{
    pdag_part_info *part = add_part(inspection, "tokenizer", folder);
    pdag_clip_tokenizer *tokenizer = NULL;

    part->class_name = pdag_xstrdup("CLIPTokenizer");
    if (pdag_clip_tokenizer_load(folder, &tokenizer) != PDAG_OK)
        part->error = pdag_xstrdup(pdag_error_text());
    else
        pdag_clip_tokenizer_destroy(tokenizer);
}

/* Takes the list of ignored parts over. */
static void inspect_layout(pdag_layout *layout, pdag_inspection *inspection)
{
    inspection->ignored = layout->ignored;
    inspection->n_ignored = layout->n_ignored;
    layout->ignored = NULL;
    layout->n_ignored = 0;
    inspection->class_name = pdag_xstrdup(layout->class_name);
    if (layout->tokenizer != NULL)
        inspect_tokenizer(inspection, layout->tokenizer);
    if (layout->text_encoder != NULL)
        inspect_part(inspection, "text_encoder", layout->text_encoder,
                     PART_TEXT);
    inspect_part(inspection, layout->network_name, layout->network, PART_NETWORK);
    if (layout->vae != NULL)
        inspect_part(inspection, layout->vae_name, layout->vae, PART_VAE);
}

static void judge(const char *path, pdag_inspection *inspection)
{
    for (size_t i = 0; i < inspection->n_parts; i++)
        if (inspection->parts[i].error != NULL) {
            inspection->error = pdag_xstrdup(inspection->parts[i].error);
            return;
        }
    if (pdag_pipeline_inspect(path, &inspection->info) == PDAG_OK)
        inspection->runnable = true;
    else
        inspection->error = pdag_xstrdup(pdag_error_text());
}

/* A folder with config.json of a part that is no network of its own. */
static bool is_lone_part(const char *path, part_kind *kind_out)
{
    char *file = pdag_xasprintf("%s/config.json", path);
    struct stat info;
    pdag_json config;
    bool found = false;

    if (stat(file, &info) == 0 && pdag_json_read(file, &config) == PDAG_OK) {
        const char *name = class_of(&config);

        if (strcmp(name, "AutoencoderKL") == 0 || strcmp(name, "VQModel") == 0) {
            *kind_out = PART_VAE;
            found = true;
        } else if (strcmp(name, "CLIPTextModel") == 0) {
            *kind_out = PART_TEXT;
            found = true;
        }
        pdag_json_clear(&config);
    }
    free(file);
    return found;
}

static void inspect_lone_part(const char *path, part_kind kind,
                              pdag_inspection *inspection)
{
    const char *name = kind == PART_VAE ? "vae" : "text_encoder";

    inspection->format = pdag_xstrdup("part");
    inspect_part(inspection, name, path, kind);
    inspection->class_name = pdag_xstrdup(inspection->parts[0].class_name);
    if (inspection->parts[0].error != NULL)
        inspection->error = pdag_xstrdup(inspection->parts[0].error);
    else
        inspection->error = pdag_xasprintf(
            "%s: a part of a model; run the folder above it", path);
}

static bool is_lora(const pdag_weights *weights)
{
    for (size_t i = 0; i < pdag_weights_count(weights); i++)
        if (pdag_lora_is_name(pdag_weights_at(weights, i)->name))
            return true;
    return false;
}

static void inspect_lora(const char *path, pdag_part_info *part,
                         pdag_inspection *inspection)
{
    pdag_lora_info *info = &inspection->lora;
    pdag_lora *lora;

    free(inspection->format);
    inspection->format = pdag_xstrdup("lora");
    if (pdag_lora_open(path, &lora) != PDAG_OK) {
        part->error = pdag_xstrdup(pdag_error_text());
        inspection->error = pdag_xstrdup(part->error);
        return;
    }
    free(inspection->class_name);
    inspection->class_name = pdag_xstrdup(pdag_lora_style(lora));
    info->n_adapters = pdag_lora_count(lora);
    for (size_t i = 0; i < info->n_adapters; i++) {
        const pdag_lora_adapter *adapter = pdag_lora_at(lora, i);

        if (adapter->part == PDAG_LORA_TEXT)
            info->n_text++;
        if (i == 0 || adapter->rank < info->min_rank)
            info->min_rank = adapter->rank;
        if (adapter->rank > info->max_rank)
            info->max_rank = adapter->rank;
    }
    pdag_lora_close(lora);
    inspection->error = pdag_xasprintf(
        "%s: a LoRA; run it with its model: --set model.lora=%s@1", path, path);
}

void pdag_inspection_try_model(pdag_inspection *inspection, const char *model)
{
    const pdag_lora_opts lora = {inspection->path, 1.0};
    const pdag_pipeline_opts opts = {
        .guidance_scale = 1.0f, .n_loras = 1, .loras = &lora};

    free(inspection->error);
    inspection->error = NULL;
    inspection->runnable = pdag_pipeline_check(model, &opts) == PDAG_OK;
    if (!inspection->runnable)
        inspection->error = pdag_xstrdup(pdag_error_text());
}

static void inspect_file(const char *path, pdag_inspection *inspection)
{
    pdag_part_info *part = add_part(inspection, "weights", path);
    pdag_weights *weights;

    inspection->format = pdag_xstrdup("weights");
    inspection->class_name = pdag_xstrdup("");
    part->class_name = pdag_xstrdup("");
    if (pdag_weights_open_file(path, &weights) != PDAG_OK) {
        part->error = pdag_xstrdup(pdag_error_text());
        inspection->error = pdag_xstrdup(part->error);
        return;
    }
    count_weights(weights, part);
    if (is_lora(weights)) {
        pdag_weights_close(weights);
        inspect_lora(path, part, inspection);
        return;
    }
    pdag_weights_close(weights);
    inspection->error = pdag_xasprintf(
        "%s: weights without a configuration; run the folder of the model",
        path);
}

pdag_status pdag_inspect(const char *path, pdag_inspection *inspection_out)
{
    pdag_inspection inspection = {0};
    pdag_layout layout;
    struct stat info;
    part_kind kind;
    pdag_status status;

    if (stat(path, &info) != 0)
        return pdag_error(PDAG_ERR_INPUT, "%s: %s", path, strerror(errno));
    inspection.path = pdag_xstrdup(path);
    if (!S_ISDIR(info.st_mode)) {
        inspect_file(path, &inspection);
    } else if (is_lone_part(path, &kind)) {
        inspect_lone_part(path, kind, &inspection);
    } else {
        status = pdag_layout_read(path, &layout);
        if (status != PDAG_OK) {
            pdag_inspection_clear(&inspection);
            return status;
        }
        inspection.format = pdag_xstrdup("pipeline");
        inspect_layout(&layout, &inspection);
        judge(path, &inspection);
        pdag_layout_clear(&layout);
    }
    *inspection_out = inspection;
    return PDAG_OK;
}
