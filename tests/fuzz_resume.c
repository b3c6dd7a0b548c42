/* Fuzz target: what a checkpoint says of a sample, where its checksums are right.
   Input: a setting, how many tasks are answered before the sample is saved, then
   edits of four bytes each: array, element, what to do, with what.  A sample that
   is let in must go on to its end. */
#include <math.h>
#include <string.h>

#include "base/fatal.h"
#include "base/mem.h"
#include "proto/checkpoint.pb-c.h"
#include "scheduler/sample.h"
#include "scheduler/sample_save.h"
#include "tests/fuzz.h"
#include "tests/run_bench.h"

#define D PDAG_BENCH_DIM
#define N_STEPS 12
#define MAX_TASKS (4 * N_STEPS * N_STEPS)

static const char *const settings[][5] = {
    {"solver.method=secant", "policy=dataflow", "block_rows=2",
     "solver.window=7", "sampler.kind=ddim"},
    {"solver.method=triangular-anderson", "policy=dataflow", "block_rows=1",
     "solver.window=5", "sampler.kind=dpmpp-2m"},
    {"solver.method=secant", "policy=barrier", "block_rows=3",
     "solver.window=0", "solver.start=roll"},
    {"solver.method=anderson", "policy=barrier", "block_rows=4",
     "solver.window=8", "sampler.kind=ddpm"},
    {"solver.method=newton", "policy=barrier", "block_rows=2",
     "solver.window=6", "sampler.kind=ddim"},
    {"solver.method=picard", "policy=dataflow", "block_rows=3",
     "solver.max_rounds=3", "sampler.kind=dpmpp-3m"},
    {"solver.method=sequential", "policy=dataflow", "block_rows=1",
     "solver.window=0", "sampler.kind=pndm"},
    {"solver.method=secant", "policy=dataflow", "block_rows=2",
     "solver.window=6", "solver.slope=bands"},
};

#define N_SETTINGS (sizeof settings / sizeof settings[0])

typedef struct queue {
    size_t n, round[MAX_TASKS], block[MAX_TASKS], mix[MAX_TASKS];
} queue;

static void note_ready(void *user, size_t round, size_t block, size_t mix)
{
    queue *q = user;

    FUZZ_CHECK(q->n < MAX_TASKS);
    q->round[q->n] = round;
    q->mix[q->n] = mix;
    q->block[q->n++] = block;
}

/* What a worker would answer; false where the sample fails, which it may. */
static bool answer(pdag_sample *sample, size_t round, size_t block, size_t mix)
{
    float payload[(N_STEPS + 1) * (D + 1)];
    float eps[(N_STEPS + 1) * D];
    size_t first = 0;
    size_t n = pdag_sample_task(sample, round, block, &first);

    FUZZ_CHECK(n <= N_STEPS + 1);
    pdag_sample_fill_task(sample, round, block, payload);
    for (size_t k = 0; k < n * D; k++)
        eps[k] = 0.8f * sinf(payload[k]);
    return pdag_sample_result_in(sample, round, block, mix, eps) == PDAG_OK &&
           pdag_sample_advance(sample, round) == PDAG_OK;
}

/* Answer `most` tasks, or all till the end. */
static void drive(pdag_sample *sample, size_t most)
{
    queue q = {.n = 0};
    size_t next = 0;

    for (size_t k = 0; k < most; k++) {
        if (pdag_sample_stop(sample) != PDAG_STOPPED_NOT)
            return;
        pdag_sample_each_ready(sample, note_ready, &q);
        FUZZ_CHECK(next < q.n);
        if (!answer(sample, q.round[next], q.block[next], q.mix[next]))
            return;
        next++;
    }
    FUZZ_CHECK(most < MAX_TASKS);
}

/* What an edit does to eight bytes of an array, or those that it has. */
static void edit(uint8_t *values, size_t bytes, const uint8_t *with)
{
    size_t at = bytes > 8 ? with[1] * (size_t)8 % (bytes - 7) / 8 * 8 : 0;
    size_t n = bytes < 8 ? bytes : 8;
    uint64_t word = 0;

    memcpy(&word, values + at, n);
    switch (with[2] % 5) {
    case 0:
        word = with[3];
        break;
    case 1:
        word += with[3];
        break;
    case 2:
        word -= with[3];
        break;
    case 3:
        word ^= (uint64_t)with[3] << with[1] % 57;
        break;
    default:
        word = UINT64_MAX - with[3];
        break;
    }
    memcpy(values + at, &word, n);
}

/* The names are in the header of the written file. */
static Pdag__Checkpoint *header_of(const pdag_checkpoint *cp)
{
    FILE *file = fopen(fuzz_path("resume.ckpt"), "w+b");
    Pdag__Checkpoint *header;
    uint64_t length;
    uint8_t *bytes;

    FUZZ_CHECK(file != NULL);
    FUZZ_CHECK(pdag_checkpoint_write(cp, fileno(file)) == PDAG_OK);
    FUZZ_CHECK(fseek(file, 8, SEEK_SET) == 0);
    FUZZ_CHECK(fread(&length, sizeof length, 1, file) == 1);
    FUZZ_CHECK(fseek(file, 24, SEEK_SET) == 0);
    bytes = pdag_xcalloc((size_t)length, 1);
    FUZZ_CHECK(fread(bytes, 1, (size_t)length, file) == length);
    fclose(file);
    fuzz_remove("resume.ckpt");
    header = pdag__checkpoint__unpack(NULL, (size_t)length, bytes);
    FUZZ_CHECK(header != NULL);
    free(bytes);
    return header;
}

/* A copy with the edits; array number k has edits that begin with k. */
static pdag_checkpoint *edited(const pdag_checkpoint *cp, const uint8_t *edits,
                               size_t n_edits)
{
    static const size_t sizes[] = {0, 4, 8, 8, 1};
    pdag_checkpoint *other = pdag_checkpoint_create("job", 3);
    Pdag__Checkpoint *header = header_of(cp);

    for (size_t k = 0; k < header->n_array; k++) {
        const Pdag__CheckpointArray *array = header->array[k];
        pdag_checkpoint_type type = (pdag_checkpoint_type)array->type;
        char *name = pdag_xstrndup((const char *)array->name.data,
                                   array->name.len);
        void *values;
        size_t bytes = (size_t)array->count * sizes[type];

        FUZZ_CHECK(pdag_checkpoint_add(other, name, type, (size_t)array->count,
                                       &values) == PDAG_OK);
        FUZZ_CHECK(pdag_checkpoint_copy(cp, name, type, (size_t)array->count,
                                        values) == PDAG_OK);
        for (size_t i = 0; i < n_edits && bytes > 0; i++)
            if (edits[4 * i] % header->n_array == k)
                edit(values, bytes, edits + 4 * i);
        free(name);
    }
    pdag__checkpoint__free_unpacked(header, NULL);
    return other;
}

static pdag_sample *fresh(const pdag_sample_plan *plan)
{
    pdag_sample *sample;

    FUZZ_CHECK(pdag_sample_create(plan, 0, 5, NULL, NULL, &sample) == PDAG_OK);
    return sample;
}

void fuzz_resume(const uint8_t *data, size_t size)
{
    const char *set[7];
    pdag_checkpoint *cp, *other;
    pdag_sample_plan plan;
    pdag_sample *sample;
    run_bench bench;

    if (size < 2)
        return;
    memcpy(set, settings[data[0] % N_SETTINGS], 5 * sizeof *set);
    set[5] = "sampler.steps=12";
    set[6] = "solver.tolerance=0.05";
    run_bench_open(&bench, 7, set);
    FUZZ_CHECK(pdag_sample_plan_create(&bench.setup, &plan) == PDAG_OK);
    sample = fresh(&plan);
    drive(sample, data[1] % 64);
    cp = pdag_checkpoint_create("job", 3);
    FUZZ_CHECK(pdag_sample_save(sample, cp) == PDAG_OK);
    pdag_sample_destroy(sample);

    other = edited(cp, data + 2, (size - 2) / 4);
    sample = fresh(&plan);
    if (pdag_sample_load(sample, other) == PDAG_OK)
        drive(sample, MAX_TASKS);
    else if (size < 6) /* unchanged, it must be let in */
        pdag_fatal_at(__FILE__, __LINE__, "%s", pdag_error_text());
    pdag_sample_destroy(sample);
    pdag_checkpoint_destroy(cp);
    pdag_checkpoint_destroy(other);
    pdag_sample_plan_clear(&plan);
    run_bench_close(&bench);
}
