#include "models/layers_time.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Timesteps kept: all of a sampler with a thousand steps. */
#define MAX_KNOWN 1024
#define MAX_PERIOD 10000.0

pdag_status pdag_build_time(pdag_builder *b, const char *prefix,
                            pdag_time *time)
{
    char first[PDAG_PREFIX_BYTES];
    char second[PDAG_PREFIX_BYTES];

    pdag_join(prefix, "linear_1", first);
    pdag_join(prefix, "linear_2", second);
    return pdag_build_time_layers(b, first, second, time->width, time);
}

pdag_status pdag_build_time_layers(pdag_builder *b, const char *first,
                                   const char *second, size_t hidden,
                                   pdag_time *time)
{
    time->sinusoids = pdag_xcalloc(time->channels, sizeof *time->sinusoids);
    time->known = pdag_xcalloc(MAX_KNOWN, sizeof *time->known);
    time->known_t = pdag_xcalloc(MAX_KNOWN, sizeof *time->known_t);
    PDAG_TRY(pdag_build_linear(b, first, time->channels, hidden, true,
                               &time->linear_1));
    return pdag_build_linear(b, second, hidden, time->width, true,
                             &time->linear_2);
}

void pdag_time_clear(pdag_time *time)
{
    for (size_t i = 0; time->known != NULL && i < MAX_KNOWN; i++)
        free(time->known[i]);
    free(time->known);
    free(time->known_t);
    free(time->projections);
    free(time->sinusoids);
    free(time->staging);
    memset(time, 0, sizeof *time);
}

pdag_status pdag_build_time_slot(pdag_builder *b, const char *prefix,
                                 size_t width, pdag_time *time,
                                 pdag_time_slot *slot_out)
{
    pdag_linear projection;

    PDAG_TRY(
        pdag_build_linear(b, prefix, time->width, width, true, &projection));
    pdag_time_add_slot(time, &projection, slot_out);
    return PDAG_OK;
}

void pdag_time_add_slot(pdag_time *time, const pdag_linear *projection,
                        pdag_time_slot *slot_out)
{
    time->projections = pdag_xrealloc(
        time->projections, time->n_projections + 1, sizeof *time->projections);
    time->projections[time->n_projections++] = *projection;
    slot_out->offset = time->total;
    slot_out->width = projection->out;
    time->total += projection->out;
}

void pdag_time_sinusoids(const pdag_time *time, float t, float *out)
{
    size_t half = time->channels / 2;
    size_t sine = time->flip_sin_to_cos ? half : 0;
    size_t cosine = time->flip_sin_to_cos ? 0 : half;

    for (size_t i = 0; i < half; i++) {
        float exponent = (float)-log(MAX_PERIOD) * (float)i /
                         ((float)half - time->freq_shift);
        float angle = t * expf(exponent);

        out[sine + i] = sinf(angle);
        out[cosine + i] = cosf(angle);
    }
    if (time->channels % 2 == 1)
        out[time->channels - 1] = 0.0f;
}

static pdag_status reserve_staging(pdag_time *time, size_t count)
{
    void *memory;

    if (count <= time->staging_room)
        return PDAG_OK;
    PDAG_TRY(
        pdag_alloc_tensor(count, sizeof(float), "time embeddings", &memory));
    free(time->staging);
    time->staging = memory;
    time->staging_room = count;
    return PDAG_OK;
}

/* All projections of one timestep: out [total], host. */
static pdag_status project(pdag_pass *pass, pdag_time *time, float t,
                           float *out)
{
    const pdag_backend_ops *ops = pass->be->ops;
    pdag_buf *sinusoids;
    pdag_buf *hidden;
    pdag_buf *embedding;
    pdag_buf *all;
    size_t offset = 0;

    pdag_time_sinusoids(time, t, time->sinusoids);
    PDAG_TRY(pdag_take(pass, time->channels, &sinusoids));
    PDAG_TRY(pdag_take(pass, time->linear_1.out, &hidden));
    PDAG_TRY(pdag_take(pass, time->width, &embedding));
    PDAG_TRY(pdag_take(pass, time->total, &all));
    PDAG_TRY(ops->upload(pass->be, time->channels, time->sinusoids, sinusoids));
    PDAG_TRY(pdag_run_linear(pass, &time->linear_1, 1, sinusoids, time->act,
                             NULL, hidden));
    PDAG_TRY(pdag_run_linear(pass, &time->linear_2, 1, hidden, time->block_act,
                             NULL, embedding));
    for (size_t i = 0; i < time->n_projections; i++) {
        size_t width = time->projections[i].out;
        pdag_buf part = pdag_piece(pass->be, all, offset, width);

        PDAG_TRY(pdag_run_linear(pass, &time->projections[i], 1, embedding,
                                 PDAG_ACT_NONE, NULL, &part));
        offset += width;
    }
    PDAG_TRY(ops->download(pass->be, time->total, all, out));
    pdag_give(pass, sinusoids);
    pdag_give(pass, hidden);
    pdag_give(pass, embedding);
    pdag_give(pass, all);
    return PDAG_OK;
}

/* The kept projections of t, computed where they are new. */
static pdag_status look_up(pdag_pass *pass, pdag_time *time, float t,
                           const float **row_out)
{
    void *memory;
    size_t at;

    for (size_t i = 0; i < time->n_known; i++)
        if (memcmp(&time->known_t[i], &t, sizeof t) == 0) {
            *row_out = time->known[i];
            return PDAG_OK;
        }
    at = time->next;
    if (time->known[at] == NULL) {
        PDAG_TRY(pdag_alloc_tensor(time->total, sizeof(float), "time embedding",
                                   &memory));
        time->known[at] = memory;
    }
    time->known_t[at] = NAN; /* until the row is there */
    PDAG_TRY(project(pass, time, t, time->known[at]));
    time->known_t[at] = t;
    time->next = (at + 1) % MAX_KNOWN;
    if (at == time->n_known)
        time->n_known++;
    *row_out = time->known[at];
    return PDAG_OK;
}

pdag_status pdag_time_gather(pdag_pass *pass, pdag_time *time, const float *t)
{
    return pdag_time_gather_with(pass, time, t, NULL);
}

pdag_status pdag_time_gather_with(pdag_pass *pass, pdag_time *time,
                                  const float *t, const float *const *add)
{
    size_t rows = pass->rows;
    pdag_buf *gathered;

    PDAG_TRY(reserve_staging(time, rows * time->total));
    for (size_t r = 0; r < rows; r++) {
        const float *known;
        size_t offset = 0;

        PDAG_TRY(look_up(pass, time, t[r], &known));
        for (size_t i = 0; i < time->n_projections; i++) {
            size_t width = time->projections[i].out;
            float *to = time->staging + rows * offset + r * width;

            memcpy(to, known + offset, width * sizeof *known);
            for (size_t c = 0; add != NULL && c < width; c++)
                to[c] += add[r][offset + c];
            offset += width;
        }
    }
    PDAG_TRY(pdag_take(pass, time->total, &gathered));
    PDAG_TRY(pass->be->ops->upload(pass->be, rows * time->total, time->staging,
                                   gathered));
    pass->time = gathered;
    return PDAG_OK;
}

pdag_buf pdag_time_view(const pdag_pass *pass, const pdag_time_slot *slot)
{
    return pdag_piece(pass->be, pass->time, pass->rows * slot->offset,
                      pass->rows * slot->width);
}
