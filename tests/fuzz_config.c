/* Fuzz target: the JSON configurations of a model directory.  Input: a letter
   that says which, a second one (of the scheduler: which sampler kind), the
   file's text.

       n  a network's config.json        s  scheduler_config.json
       v  the autoencoder's              m  model_index.json
       t  the text encoder's             w  index of a sharded weight file */
#include <math.h>
#include <string.h>

#include "graph/schedule.h"
#include "models/autoencoder.h"
#include "models/clip_text.h"
#include "models/labels.h"
#include "models/layout.h"
#include "models/registry.h"
#include "tests/fuzz.h"

#define CONFIG "part/config.json"
#define WEIGHTS "part/" PDAG_WEIGHTS_DIFFUSERS ".safetensors"
#define INDEX "shards/" PDAG_WEIGHTS_DIFFUSERS ".safetensors.index.json"

/* A weight file without tensors: all that a configuration wants is missing, which
   is noted, so that the whole network is gone through. */
static const uint8_t no_tensors[] = {3, 0, 0, 0, 0, 0, 0, 0, '{', '}', ' '};

static pdag_status load_part(pdag_builder *b, char which)
{
    const pdag_network_class *network;
    pdag_autoencoder *vae = NULL;
    pdag_clip_text *clip = NULL;
    pdag_denoiser *model = NULL;
    pdag_status status;

    if (which == 'v') {
        status = pdag_autoencoder_load(b, true, &vae);
        pdag_autoencoder_destroy(vae);
        return status;
    }
    if (which == 't') {
        status = pdag_clip_text_load(b, &clip);
        pdag_clip_text_destroy(clip);
        return status;
    }
    status = pdag_network_find(&b->config, &network);
    if (status == PDAG_OK)
        status = network->load(b, &model);
    if (model != NULL)
        model->ops->destroy(model);
    return status;
}

static void check_part(char which, const uint8_t *text, size_t n)
{
    pdag_findings findings = {0};
    pdag_builder b;
    char folder[300];

    fuzz_write(CONFIG, text, n);
    fuzz_write(WEIGHTS, no_tensors, sizeof no_tensors);
    snprintf(folder, sizeof folder, "%s", fuzz_path("part"));
    if (pdag_builder_open(&b, folder, PDAG_WEIGHTS_DIFFUSERS, NULL) == PDAG_OK) {
        b.findings = &findings;
        (void)load_part(&b, which);
    }
    pdag_builder_close(&b);
    pdag_findings_clear(&findings);
}

static void check_schedule(char which, const uint8_t *text, size_t n)
{
    const pdag_schedule_kind *kind =
        pdag_schedule_kind_at((size_t)(which - 'a') % 11);
    char description[PDAG_SCHEDULE_TEXT];
    pdag_schedule_config config;
    pdag_schedule *schedule;
    const char *own;

    fuzz_write("scheduler_config.json", text, n);
    (void)pdag_schedule_kind_read(fuzz_path("scheduler_config.json"), &own,
                                  description);
    if (kind == NULL ||
        pdag_schedule_config_read(fuzz_path("scheduler_config.json"), kind->name,
                                  &config) != PDAG_OK)
        return;
    if (pdag_schedule_create(&config, kind->name, 10, &schedule) == PDAG_OK) {
        FUZZ_CHECK(schedule->n_rows >= 10);
        for (size_t i = 0; i < schedule->n_rows; i++)
            FUZZ_CHECK(isfinite(schedule->timesteps[i]));
        pdag_schedule_destroy(schedule);
    }
    pdag_schedule_config_clear(&config);
}

static void check_layout(const uint8_t *text, size_t n)
{
    const size_t n_classes = 1000;
    pdag_layout layout;
    char **names;
    char folder[300];

    fuzz_write("model/model_index.json", text, n);
    fuzz_write("model/config.json", "{}", 2);
    snprintf(folder, sizeof folder, "%s", fuzz_path("model"));
    if (pdag_layout_read(folder, &layout) == PDAG_OK)
        pdag_layout_clear(&layout);
    if (pdag_labels_read(folder, n_classes, &names) == PDAG_OK)
        pdag_labels_free(names, n_classes);
}

static void check_index(const uint8_t *text, size_t n)
{
    pdag_weights *weights;
    char folder[300];

    fuzz_write(INDEX, text, n);
    fuzz_write("shards/a", no_tensors, sizeof no_tensors);
    fuzz_write("shards/b", no_tensors, sizeof no_tensors);
    snprintf(folder, sizeof folder, "%s", fuzz_path("shards"));
    if (pdag_weights_open(folder, PDAG_WEIGHTS_DIFFUSERS, &weights) == PDAG_OK)
        pdag_weights_close(weights);
}

void fuzz_config(const uint8_t *data, size_t size)
{
    if (size < 2 || data[1] < 'a' || data[1] > 'z')
        return;
    switch (data[0]) {
    case 'n':
    case 'v':
    case 't':
        check_part((char)data[0], data + 2, size - 2);
        break;
    case 's':
        check_schedule((char)data[1], data + 2, size - 2);
        break;
    case 'm':
        check_layout(data + 2, size - 2);
        break;
    case 'w':
        check_index(data + 2, size - 2);
        break;
    }
}
