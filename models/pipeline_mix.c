/* What is added to the weights of a pipeline's parts: LoRAs for all, and the
   second weights of the network. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "models/pipeline_parts.h"

pdag_status pdag_loading_open(pdag_loading *loading)
{
    const pdag_pipeline_opts *opts = loading->opts;

    loading->loras = pdag_xcalloc(opts->n_loras, sizeof *loading->loras);
    for (size_t i = 0; i < opts->n_loras; i++) {
        pdag_mix_lora *next = &loading->loras[i];
        pdag_status status;

        if (!isfinite(opts->loras[i].scale))
            return pdag_error(PDAG_ERR_ARG, "%s: scale: %g, must be finite",
                              opts->loras[i].path, opts->loras[i].scale);
        status = pdag_lora_open(opts->loras[i].path, &next->lora);
        if (status != PDAG_OK)
            return status;
        next->factor = opts->loras[i].scale;
        loading->n_loras = i + 1;
    }
    return PDAG_OK;
}

void pdag_loading_close(pdag_loading *loading)
{
    for (size_t i = 0; i < loading->n_loras; i++)
        pdag_lora_close(loading->loras[i].lora);
    free(loading->loras);
    loading->loras = NULL;
    loading->n_loras = 0;
}

pdag_status pdag_loading_check_used(const pdag_loading *loading)
{
    for (size_t i = 0; i < loading->n_loras; i++) {
        pdag_status status = pdag_lora_check_used(loading->loras[i].lora,
                                                  loading->layout->network);

        if (status != PDAG_OK)
            return status;
    }
    return PDAG_OK;
}

/* Lambda of mix `index` + 1. */
static double lambda_of(const pdag_pcm_opts *pcm, size_t index)
{
    return pcm->features ? 1.0 : pcm->lambda[index];
}

/* How many networks to load. */
static size_t count_mixes(const pdag_loading *loading)
{
    const pdag_pcm_opts *pcm = &loading->opts->pcm;

    return pcm->features || loading->be == NULL ? 1 : pcm->n_mixes;
}

/* Mix `index` + 1 from the model's own files. */
static pdag_status load_mix(pdag_loading *loading, pdag_mix *mix,
                            pdag_pipeline *pipeline)
{
    pdag_denoiser *network;
    pdag_status status = pdag_pipeline_load_network(
        loading, loading->layout->network, pipeline->n_tokens, mix,
        pipeline->network, &network);

    pdag_mix_release(mix);
    if (status == PDAG_OK)
        pdag_pipeline_add_net(pipeline, network);
    return status;
}

/* W0 + lambda scale dW, after the LoRAs of the model. */
static pdag_status load_lora_mixes(pdag_loading *loading, pdag_lora *lora,
                                   pdag_pipeline *pipeline)
{
    const pdag_pcm_opts *pcm = &loading->opts->pcm;
    size_t n = loading->n_loras;
    pdag_mix_lora *loras = pdag_xcalloc(n + 1, sizeof *loras);
    pdag_mix mix = {
        .part = PDAG_LORA_NETWORK, .loras = loras, .n_loras = n + 1};
    pdag_status status = PDAG_OK;

    if (n > 0)
        memcpy(loras, loading->loras, n * sizeof *loras);
    loras[n].lora = lora;
    for (size_t i = 0; status == PDAG_OK && i < count_mixes(loading); i++) {
        loras[n].factor = lambda_of(pcm, i) * pcm->scale;
        status = load_mix(loading, &mix, pipeline);
        if (status == PDAG_OK && i == 0)
            status = pdag_lora_check_used(lora, loading->layout->network);
    }
    free(loras);
    return status;
}

/* Configurations that weights can be mixed between: only keys that start with
   '_', which tell versions, may differ. */
static pdag_status check_configs(const char *base, const char *other)
{
    const char *const folders[2] = {base, other};
    pdag_json json[2] = {{NULL, NULL}, {NULL, NULL}};
    const char *key;
    json_t *value;
    pdag_status status = PDAG_OK;

    for (int i = 0; status == PDAG_OK && i < 2; i++) {
        char *path = pdag_xasprintf("%s/config.json", folders[i]);

        status = pdag_json_read(path, &json[i]);
        free(path);
    }
    for (int i = 0; status == PDAG_OK && i < 2; i++)
        json_object_foreach(json[i].root, key, value)
        {
            json_t *there = json_object_get(json[1 - i].root, key);

            if ((key[0] == '_' && strcmp(key, "_class_name") != 0) ||
                json_is_null(value) || json_equal(value, there))
                continue;
            status = pdag_error(PDAG_ERR_UNSUPPORTED,
                                "%s: %.100s: differs from %s: their weights "
                                "cannot be mixed",
                                json[1].path, key, json[0].path);
            break;
        }
    pdag_json_clear(&json[0]);
    pdag_json_clear(&json[1]);
    return status;
}

/* W0 + lambda (W1 - W0). */
static pdag_status load_weight_mixes(pdag_loading *loading, const char *folder,
                                     pdag_pipeline *pipeline)
{
    const pdag_pcm_opts *pcm = &loading->opts->pcm;
    pdag_mix mix = {.part = PDAG_LORA_NETWORK,
                    .loras = loading->loras,
                    .n_loras = loading->n_loras};
    pdag_status status = check_configs(loading->layout->network, folder);

    if (status == PDAG_OK)
        status = pdag_weights_open(folder, PDAG_WEIGHTS_DIFFUSERS, &mix.other);
    for (size_t i = 0; status == PDAG_OK && i < count_mixes(loading); i++) {
        mix.lambda = lambda_of(pcm, i);
        status = load_mix(loading, &mix, pipeline);
        if (status == PDAG_OK && i == 0)
            status = pdag_weights_check_used(mix.other);
    }
    pdag_weights_close(mix.other);
    return status;
}

/* Whether the plans of two policies with states of one shape are in the same
   units; what is no policy has states of another. */
static bool same_actions(const pdag_policy *a, const pdag_policy *b)
{
    size_t bytes;

    if (a == NULL || b == NULL)
        return a == b;
    bytes = a->action_dim * sizeof(float);
    return memcmp(a->action_scale, b->action_scale, bytes) == 0 &&
           memcmp(a->action_offset, b->action_offset, bytes) == 0;
}

/* The second network as it is. */
static pdag_status load_other(pdag_loading *loading, const char *folder,
                              pdag_pipeline *pipeline)
{
    const pdag_denoiser *base = pipeline->network;
    pdag_denoiser *network;
    bool same;
    pdag_status status = pdag_pipeline_load_network(
        loading, folder, pipeline->n_tokens, NULL, NULL, &network);

    if (status != PDAG_OK)
        return status;
    same = network->dim == base->dim && network->cond_dim == base->cond_dim &&
           network->n_state_dims == base->n_state_dims &&
           memcmp(network->state_dims, base->state_dims,
                  sizeof base->state_dims) == 0;
    pdag_pipeline_add_net(pipeline, network);
    if (!same)
        return pdag_error(PDAG_ERR_SHAPE,
                          "%s: states or conditions are not those of %s", folder,
                          loading->layout->network);
    if (!same_actions(base->policy, network->policy))
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "%s: the actions' normaliser differs from that of %s",
                          folder, loading->layout->network);
    return PDAG_OK;
}

static pdag_status load_folder(pdag_loading *loading, pdag_pipeline *pipeline)
{
    const pdag_pcm_opts *pcm = &loading->opts->pcm;
    pdag_layout layout;
    pdag_status status = pdag_layout_read(pcm->path, &layout);

    if (status != PDAG_OK)
        return status;
    status = pcm->features ? load_other(loading, layout.network, pipeline)
                           : load_weight_mixes(loading, layout.network,
                                               pipeline);
    pdag_layout_clear(&layout);
    return status;
}

static pdag_status load_lora(pdag_loading *loading, pdag_pipeline *pipeline)
{
    pdag_lora *lora;
    pdag_status status = pdag_lora_open(loading->opts->pcm.path, &lora);

    if (status != PDAG_OK)
        return status;
    status = load_lora_mixes(loading, lora, pipeline);
    pdag_lora_close(lora);
    return status;
}

static pdag_status check_options(const pdag_pcm_opts *pcm)
{
    if (!isfinite(pcm->scale))
        return pdag_error(PDAG_ERR_ARG, "pcm.scale: %g, must be finite",
                          pcm->scale);
    if (pcm->features)
        return PDAG_OK;
    if (pcm->n_mixes == 0)
        return pdag_error(PDAG_ERR_ARG, "pcm: no mixes");
    for (size_t i = 0; i < pcm->n_mixes; i++)
        if (!isfinite(pcm->lambda[i]))
            return pdag_error(PDAG_ERR_ARG, "pcm: lambda: %g, must be finite",
                              pcm->lambda[i]);
    return PDAG_OK;
}

pdag_status pdag_pipeline_load_mixes(pdag_loading *loading,
                                     pdag_pipeline *pipeline)
{
    const pdag_pcm_opts *pcm = &loading->opts->pcm;
    struct stat info;
    pdag_status status;

    if (pcm->path == NULL)
        return PDAG_OK;
    status = check_options(pcm);
    if (status != PDAG_OK)
        return status;
    if (stat(pcm->path, &info) != 0)
        return pdag_error(PDAG_ERR_INPUT, "%s: %s", pcm->path, strerror(errno));
    return S_ISDIR(info.st_mode) ? load_folder(loading, pipeline)
                                 : load_lora(loading, pipeline);
}
