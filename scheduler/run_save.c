#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "scheduler/run_internal.h"
#include "scheduler/sample_save.h"

/* scheduler/run_save.c: a run as a checkpoint and back.  What the scheduler knows
   between two messages is all there is: tasks that workers hold are given out
   again, and their results are the same.
   Arrays: run.phase [samples], run.worst, run.inputs, run.files, run.device, and of
   every sample that is under way s<index>.condition and those of
   scheduler/sample_save.c. */

/* The kind of device, and whether it gave what its like would. */
static const char *device_of(const pdag_run *r)
{
    const char *device = "";

    for (int w = r->n_workers - 1; w >= 0; w--) {
        if (r->worker[w].info.cut)
            return "short of memory";
        if (r->worker[w].info.ready)
            device = r->worker[w].info.device;
    }
    return device;
}

static pdag_status put(pdag_checkpoint *cp, const char *name,
                       pdag_checkpoint_type type, size_t count, size_t size,
                       const void *values)
{
    void *room;
    pdag_status status = pdag_checkpoint_add(cp, name, type, count, &room);

    if (status == PDAG_OK && count > 0)
        memcpy(room, values, count * size);
    return status;
}

/* Of what the job reads besides the model: a run does not go on with another first
   guess than it began with. */
static uint64_t hash_floats(uint64_t hash, const float *values, size_t n)
{
    const unsigned char *bytes = (const unsigned char *)values;

    for (size_t i = 0; values != NULL && i < n * sizeof *values; i++)
        hash = (hash ^ bytes[i]) * 1099511628211ull; /* FNV-1a */
    return hash;
}

static void hash_inputs(const pdag_run *r, uint64_t hash_out[3])
{
    const pdag_run_setup *setup = r->setup;
    size_t states = r->n_samples * (setup->transition->n_rows + 1);
    uint64_t basis = 14695981039346656037ull;

    hash_out[0] = hash_floats(basis, setup->noise, r->n_samples * setup->dim);
    hash_out[1] = hash_floats(basis, setup->start, states * setup->dim);
    hash_out[2] = hash_floats(basis, setup->statistics, 2 * setup->dim);
}

static pdag_status check_inputs(const pdag_run *r)
{
    static const char *const field[3] = {"noise", "solver.start_from",
                                         "solver.statistics"};
    uint64_t ours[3];
    uint64_t theirs[3];
    pdag_status status = pdag_checkpoint_copy(
        r->setup->resume, "run.inputs", PDAG_CHECKPOINT_U64, 3, theirs);

    hash_inputs(r, ours);
    for (int i = 0; status == PDAG_OK && i < 3; i++)
        if (ours[i] != theirs[i])
            status = pdag_error(PDAG_ERR_ARG, "%s: the file has changed since the "
                                "run began", field[i]);
    return status;
}

/* Whether the model's files are those that the run began with: the first line that
   differs has the name after two words. */
static pdag_status check_files(const pdag_run *r)
{
    const char *line = r->setup->files;
    const void *values;
    const char *theirs;
    size_t n;
    size_t same = 0;
    pdag_status status;

    if (line == NULL)
        return PDAG_OK;
    status = pdag_checkpoint_find(r->setup->resume, "run.files",
                                  PDAG_CHECKPOINT_BYTES, &values, &n);
    if (status != PDAG_OK)
        return status;
    theirs = values;
    while (same < n && line[same] != '\0' && line[same] == theirs[same])
        same++;
    if (same == n && line[same] == '\0')
        return PDAG_OK;
    while (same > 0 && line[same - 1] != '\n')
        same--;
    line += same;
    for (int i = 0; i < 2; i++)
        line += strcspn(line, " ") + (line[strcspn(line, " ")] == ' ');
    n = strcspn(line, "\n");
    if (n == 0) /* there were more */
        return pdag_error(PDAG_ERR_ARG, "model.path: files that were there have "
                          "gone since the run began");
    return pdag_error(PDAG_ERR_ARG, "%.*s: has changed since the run began", (int)n,
                      line);
}

static pdag_status put_sample(const pdag_run *r, size_t index,
                              pdag_checkpoint *cp)
{
    const pdag_slot *s = &r->slot[index];
    char name[64];
    pdag_status status = PDAG_OK;

    if (s->sample == NULL)
        return PDAG_OK;
    snprintf(name, sizeof name, "s%zu.condition", index);
    if (s->condition != NULL)
        status = put(cp, name, PDAG_CHECKPOINT_F32, r->setup->cond_floats,
                     sizeof(float), s->condition);
    return status == PDAG_OK ? pdag_sample_save(s->sample, cp) : status;
}

static pdag_status fill(pdag_run *r, pdag_checkpoint *cp)
{
    uint64_t *phase = pdag_xcalloc(r->n_samples, sizeof *phase);
    uint64_t worst = (uint64_t)r->worst;
    const char *device = device_of(r);
    pdag_status status;

    for (size_t i = 0; i < r->n_samples; i++)
        phase[i] = (uint64_t)r->slot[i].phase;
    status = put(cp, "run.phase", PDAG_CHECKPOINT_U64, r->n_samples,
                 sizeof *phase, phase);
    free(phase);
    if (status == PDAG_OK)
        status = put(cp, "run.worst", PDAG_CHECKPOINT_U64, 1, sizeof worst,
                     &worst);
    if (status == PDAG_OK) {
        if (!r->hashed)
            hash_inputs(r, r->inputs);
        r->hashed = true;
        status = put(cp, "run.inputs", PDAG_CHECKPOINT_U64, 3, sizeof *r->inputs,
                     r->inputs);
    }
    if (status == PDAG_OK && r->setup->files != NULL)
        status = put(cp, "run.files", PDAG_CHECKPOINT_BYTES,
                     strlen(r->setup->files), 1, r->setup->files);
    if (status == PDAG_OK)
        status = put(cp, "run.device", PDAG_CHECKPOINT_BYTES, strlen(device), 1,
                     device);
    for (size_t i = 0; status == PDAG_OK && i < r->n_samples; i++)
        status = put_sample(r, i, cp);
    return status;
}

pdag_status pdag_run_save(pdag_run *r, bool last)
{
    pdag_event event = {.kind = PDAG_EVENT_SAVED};
    pdag_checkpoint *cp;
    void *bytes;
    size_t n_bytes;
    pdag_status status;

    if (r->setup->sink.save == NULL)
        return PDAG_OK;
    event.began = pdag_seconds();
    status = pdag_job_pack(r->setup->job, &bytes, &n_bytes);
    if (status != PDAG_OK)
        return status;
    cp = pdag_checkpoint_create(bytes, n_bytes);
    free(bytes);
    status = fill(r, cp);
    if (status != PDAG_OK) {
        pdag_checkpoint_destroy(cp);
        return pdag_error_prefix(status, "checkpoint");
    }
    status = r->setup->sink.save(r->setup->sink.user, cp, last);
    r->saved = pdag_seconds();
    event.time = r->saved;
    pdag_run_tell(r, &event);
    return status;
}

/* Back. */

/* Whether the part before was made on what the part after is made on. */
static void compare_devices(pdag_run *r)
{
    const void *values;
    size_t n;
    const char *device = device_of(r);

    if (pdag_checkpoint_find(r->setup->resume, "run.device",
                             PDAG_CHECKPOINT_BYTES, &values, &n) == PDAG_OK &&
        n > 0 && device[0] != '\0')
        r->other_device = n != strlen(device) || memcmp(values, device, n) != 0;
}

static pdag_status take_condition(pdag_run *r, size_t index)
{
    size_t floats = r->setup->cond_floats;
    char name[64];
    void *memory;
    pdag_status status;

    if (!pdag_run_encodes(r)) /* given ones come with the setup */
        return PDAG_OK;
    snprintf(name, sizeof name, "s%zu.condition", index);
    status = pdag_alloc_tensor(floats, sizeof(float), "condition", &memory);
    if (status != PDAG_OK)
        return status;
    r->slot[index].condition = memory;
    return pdag_checkpoint_copy(r->setup->resume, name, PDAG_CHECKPOINT_F32, floats,
                                memory);
}

/* A sample that was sampled or decoded goes on; one that was encoded starts. */
static pdag_status take_sample(pdag_run *r, size_t index, uint64_t phase)
{
    pdag_status status = PDAG_OK;

    if (phase == PDAG_ENDED && r->setup->ended != NULL && !r->setup->ended[index])
        return PDAG_OK; /* its results are gone */
    if (phase == PDAG_ENDED) {
        r->slot[index].phase = PDAG_ENDED;
        r->unfinished_samples--;
        r->resumed_samples++;
    } else if (phase == PDAG_SAMPLING || phase == PDAG_DECODING) {
        status = take_condition(r, index);
        if (status == PDAG_OK)
            status = pdag_run_begin_sampling(r, index);
        if (status == PDAG_OK)
            status = pdag_sample_load(r->slot[index].sample, r->setup->resume);
        if (status == PDAG_OK)
            status = pdag_run_go_on(r, index);
    } else if (phase != PDAG_WAITING && phase != PDAG_ENCODING) {
        status = pdag_error(PDAG_ERR_FORMAT, "run.phase: %llu",
                            (unsigned long long)phase);
    }
    return status;
}

pdag_status pdag_run_resume(pdag_run *r)
{
    const pdag_checkpoint *cp = r->setup->resume;
    uint64_t *phase = pdag_xcalloc(r->n_samples, sizeof *phase);
    uint64_t worst = 0;
    pdag_status status = pdag_checkpoint_copy(cp, "run.phase", PDAG_CHECKPOINT_U64,
                                              r->n_samples, phase);

    if (status == PDAG_OK)
        status = pdag_checkpoint_copy(cp, "run.worst", PDAG_CHECKPOINT_U64, 1,
                                      &worst);
    if (status == PDAG_OK && worst > PDAG_STOPPED_STOPPED)
        status = pdag_error(PDAG_ERR_FORMAT, "run.worst: %llu",
                            (unsigned long long)worst);
    if (status == PDAG_OK)
        status = check_inputs(r);
    if (status == PDAG_OK)
        status = check_files(r);
    for (size_t i = 0; status == PDAG_OK && i < r->n_samples; i++)
        status = take_sample(r, i, phase[i]);
    free(phase);
    if (status != PDAG_OK)
        return pdag_error_prefix(status, "checkpoint");
    r->worst = (pdag_stop_reason)worst;
    compare_devices(r);
    return PDAG_OK;
}
