/* tests/test_scheduler_sample.c: one sample's E and U in any order that the graph
 * allows: rounds overlap, and every number is the same as with a barrier. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "scheduler/sample.h"
#include "scheduler/sample_save.h"
#include "tests/fake_workers.h"
#include "tests/run_bench.h"

#define D PDAG_BENCH_DIM
#define MAX_N 64
#define MAX_TASKS 4096

/* Everything that a sample ends with. */
typedef struct outcome {
    pdag_stop_reason stop;
    size_t rounds, evaluations, n;
    size_t overlaps; /* tasks given out before the round before was complete */
    float x[(MAX_N + 1) * D];
    double residual_rms[MAX_N];
    double history[MAX_N][MAX_N];
} outcome;

typedef struct queue {
    const pdag_sample *sample;
    size_t n, overlaps;
    size_t round[MAX_TASKS], block[MAX_TASKS], mix[MAX_TASKS];
} queue;

static void note_ready(void *user, size_t round, size_t block, size_t mix)
{
    queue *q = user;

    ck_assert_uint_lt(q->n, MAX_TASKS);
    ck_assert(pdag_sample_expects(q->sample, round, block, mix));
    ck_assert(!pdag_sample_expects(q->sample, round, block, mix + 7));
    q->overlaps += round > pdag_sample_round(q->sample);
    q->round[q->n] = round;
    q->mix[q->n] = mix;
    q->block[q->n++] = block;
}

static uint32_t next_random(uint32_t *random)
{
    *random = *random * 1664525u + 1013904223u;
    return *random >> 8;
}

/* What a worker would answer, into the sample; another network for each mix. */
static void answer(pdag_sample *sample, size_t round, size_t block, size_t mix)
{
    size_t first = 0;
    size_t n = pdag_sample_task(sample, round, block, &first);
    float payload[MAX_N * (D + 1)];
    float eps[MAX_N * D];

    pdag_sample_fill_task(sample, round, block, payload);
    for (size_t i = 0; i < n; i++)
        fake_network(D, payload + i * D, payload[n * D + i], eps + i * D);
    for (size_t k = 0; k < n * D; k++)
        eps[k] *= 1.0f + 0.1f * (float)mix;
    ck_assert_msg(pdag_sample_result_in(sample, round, block, mix, eps) == PDAG_OK,
                  "%s", pdag_error_text());
    ck_assert(!pdag_sample_expects(sample, round, block, mix));
    ck_assert_msg(pdag_sample_advance(sample, round) == PDAG_OK, "%s",
                  pdag_error_text());
}

static void describe(const pdag_sample *sample, outcome *o)
{
    pdag_sample_result r;

    memset(&r, 0, sizeof r);
    pdag_sample_describe(sample, &r);
    o->stop = r.stop;
    o->rounds = r.rounds;
    o->evaluations = r.evaluations;
    o->n = r.n_rows;
    memcpy(o->x, r.trajectory, (r.n_rows + 1) * D * sizeof *o->x);
    memcpy(o->residual_rms, r.residual_rms, r.n_rows * sizeof(double));
    for (size_t k = 0; k < r.n_history; k++)
        for (size_t i = 0; i < r.history[k].n; i++)
            o->history[k][r.history[k].begin + i] = r.history[k].residual[i];
}

static pdag_sample *fresh(const pdag_sample_plan *plan)
{
    pdag_sample *sample;

    ck_assert(pdag_sample_create(plan, 0, 5, NULL, NULL, &sample) == PDAG_OK);
    return sample;
}

/* The sample goes into a checkpoint and another one comes out; tasks that were out
   are forgotten. */
static void break_off(const pdag_sample_plan *plan, pdag_sample **sample, queue *q)
{
    pdag_checkpoint *cp = pdag_checkpoint_create("job", 3);
    pdag_sample *other = fresh(plan);

    ck_assert_msg(pdag_sample_save(*sample, cp) == PDAG_OK, "%s",
                  pdag_error_text());
    ck_assert_msg(pdag_sample_load(other, cp) == PDAG_OK, "%s", pdag_error_text());
    pdag_checkpoint_destroy(cp);
    pdag_sample_destroy(*sample);
    *sample = other;
    q->sample = other;
    q->n = 0;
}

/* Answer tasks in an order drawn from `random` (0: in order) till the end.  With
   `others`, the sample is broken off now and then, and goes on in another one,
   which may be of another policy. */
static void drive(const run_bench *b, const run_bench *others, uint32_t random,
                  outcome *o)
{
    pdag_sample_plan plan[2];
    pdag_sample *sample;
    queue q = {.n = 0};

    memset(o, 0, sizeof *o);
    for (int i = 0; i < 2; i++)
        ck_assert_msg(pdag_sample_plan_create(i == 0 || others == NULL
                                                  ? &b->setup : &others->setup,
                                              &plan[i]) == PDAG_OK,
                      "%s", pdag_error_text());
    sample = fresh(&plan[0]);
    q.sample = sample;
    while (pdag_sample_stop(sample) == PDAG_STOPPED_NOT) {
        size_t at = 0;
        size_t round;
        size_t block;
        size_t mix;

        if (others != NULL && next_random(&random) % 6 == 0)
            break_off(&plan[next_random(&random) % 2], &sample, &q);
        pdag_sample_each_ready(sample, note_ready, &q);
        ck_assert_msg(q.n > 0, "nothing is ready, and it has not ended");
        if (random != 0)
            at = next_random(&random) % q.n;
        round = q.round[at];
        block = q.block[at];
        mix = q.mix[at];
        q.n--;
        memmove(q.round + at, q.round + at + 1, (q.n - at) * sizeof *q.round);
        memmove(q.block + at, q.block + at + 1, (q.n - at) * sizeof *q.block);
        memmove(q.mix + at, q.mix + at + 1, (q.n - at) * sizeof *q.mix);
        answer(sample, round, block, mix);
    }
    ck_assert_uint_eq(q.n, 0);
    describe(sample, o);
    o->overlaps = q.overlaps;
    pdag_sample_destroy(sample);
    pdag_sample_plan_clear(&plan[0]);
    pdag_sample_plan_clear(&plan[1]);
}

static void check_same(const outcome *a, const outcome *b, const char *what)
{
    ck_assert_msg(a->stop == b->stop, "%s", what);
    ck_assert_msg(a->rounds == b->rounds, "%s: %zu and %zu rounds", what, a->rounds,
                  b->rounds);
    ck_assert_msg(a->evaluations == b->evaluations, "%s", what);
    ck_assert_msg(memcmp(a->x, b->x, sizeof a->x) == 0, "%s: trajectories", what);
    ck_assert_msg(memcmp(a->residual_rms, b->residual_rms,
                         sizeof a->residual_rms) == 0, "%s: residuals", what);
    ck_assert_msg(memcmp(a->history, b->history, sizeof a->history) == 0,
                  "%s: residual history", what);
}

static const char *const solvers[] = {"picard", "order-k", "triangular-anderson",
                                      "secant", "sequential"};
static const char *const samplers[] = {"ddim", "ddpm", "dpmpp-2m", "dpmpp-3m",
                                       "sde-dpmpp-2m", "euler-a", "pndm"};
static const char *const settings[][3] = {
    {"solver.window=0", "block_rows=1", "solver.start=copies"},
    {"solver.window=0", "block_rows=5", "solver.start=roll"},
    {"solver.window=7", "block_rows=3", "solver.entry=held-x0"},
    {"solver.window=6", "block_rows=1", "solver.entry=held-x0"},
    {"solver.window=9", "block_rows=4", "solver.entry=copies"},
    {"solver.window=4", "block_rows=8", "solver.stop=relative"},
    {"solver.window=12", "block_rows=2", "solver.max_rounds=5"},
};
#define N_SETTINGS (sizeof settings / sizeof settings[0])

/* Solver, sampler and setting of test number i. */
static size_t overlaps_of(size_t i, unsigned orders)
{
    size_t n_solvers = sizeof solvers / sizeof solvers[0];
    size_t n_samplers = sizeof samplers / sizeof samplers[0];
    const char *solver = solvers[i % n_solvers];
    const char *sampler = samplers[i / n_solvers % n_samplers];
    const char *const *setting = settings[i / n_solvers / n_samplers];
    char *texts[2] = {pdag_xasprintf("solver.method=%s", solver),
                      pdag_xasprintf("sampler.kind=%s", sampler)};
    const char *set[] = {texts[0], texts[1], setting[0], setting[1], setting[2],
                         "sampler.steps=24", "solver.tolerance=0.01",
                         "policy=barrier"};
    size_t n_set = sizeof set / sizeof set[0];
    char *what = pdag_xasprintf("%s %s %s %s %s", solver, sampler, setting[0],
                                setting[1], setting[2]);
    size_t overlaps = 0;
    outcome *barrier = pdag_xcalloc(1, sizeof *barrier);
    outcome *dataflow = pdag_xcalloc(1, sizeof *dataflow);
    run_bench b;
    run_bench d;

    run_bench_open(&b, n_set, set);
    drive(&b, NULL, 0, barrier);
    ck_assert_uint_eq(barrier->overlaps, 0);
    drive(&b, NULL, 77, dataflow);
    check_same(barrier, dataflow, what);
    set[n_set - 1] = "policy=dataflow";
    run_bench_open(&d, n_set, set);
    for (uint32_t order = 0; order < orders; order++) {
        uint32_t random = order * 2654435761u + (uint32_t)i;

        drive(&d, NULL, order == 0 ? 0 : random, dataflow);
        check_same(barrier, dataflow, what);
        overlaps += dataflow->overlaps;
        drive(&d, &b, random, dataflow);
        check_same(barrier, dataflow, what);
    }
    run_bench_close(&b);
    run_bench_close(&d);
    free(barrier);
    free(dataflow);
    free(what);
    free(texts[0]);
    free(texts[1]);
    return overlaps;
}

#define N_CASES (sizeof solvers / sizeof solvers[0] * \
                 (sizeof samplers / sizeof samplers[0]) * N_SETTINGS)

START_TEST(any_order_gives_the_numbers_of_a_barrier)
{
    size_t i = (size_t)_i;
    size_t overlaps = overlaps_of(i, 12);

    /* Where the window has several blocks. */
    if (strcmp(solvers[i % 5], "sequential") != 0 && i / 35 != 5)
        ck_assert_uint_gt(overlaps, 0);
}
END_TEST

START_TEST(what_looks_ahead_refuses_dataflow)
{
    static const char *const wish[] = {"solver.method=anderson",
                                       "solver.method=newton",
                                       "solver.restart=1.5",
                                       "solver.measure_variance=true"};
    const char *set[] = {wish[_i], "policy=dataflow"};
    run_bench b;

    run_bench_open(&b, 2, set);
    ck_assert_int_eq(pdag_scheduler_check(&b.setup), PDAG_ERR_ARG);
    ck_assert_msg(strstr(pdag_error_text(), "policy: dataflow") != NULL, "%s",
                  pdag_error_text());
    run_bench_close(&b);
    run_bench_open(&b, 1, set);
    ck_assert_str_eq(b.job->policy, "barrier");
    ck_assert_int_eq(pdag_scheduler_check(&b.setup), PDAG_OK);
    run_bench_close(&b);
}
END_TEST

START_TEST(what_looks_ahead_can_be_broken_off)
{
    static const char *const wish[][2] = {
        {"solver.method=anderson", "solver.history=3"},
        {"solver.method=newton", "solver.window=6"},
        {"solver.method=triangular-anderson", "solver.restart=1.01"},
        {"solver.method=secant", "solver.measure_variance=true"},
        {"solver.method=secant", "solver.slope=bands"}};
    const char *set[] = {wish[_i][0], wish[_i][1], "sampler.steps=18",
                         "sampler.kind=ddpm", "block_rows=4"};
    outcome *whole = pdag_xcalloc(1, sizeof *whole);
    outcome *parts = pdag_xcalloc(1, sizeof *parts);
    run_bench b;

    run_bench_open(&b, 5, set);
    drive(&b, NULL, 0, whole);
    for (uint32_t order = 1; order < 20; order++) {
        drive(&b, &b, order * 2654435761u, parts);
        check_same(whole, parts, wish[_i][0]);
    }
    run_bench_close(&b);
    free(whole);
    free(parts);
}
END_TEST

/* Fields of a Picard-consistency model, and how many rounds it has a part in. */
static const struct {
    const char *rounds, *stiffness, *mixing;
    size_t n;
} consistency[] = {
    {"pcm.rounds=1", "pcm.stiffness=1", "pcm.mixing=weights", 1},
    {"pcm.rounds=4", "pcm.stiffness=1", "pcm.mixing=weights", 4},
    {"pcm.rounds=5", "pcm.stiffness=2", "pcm.mixing=features", 3},
    {"pcm.rounds=2", "pcm.stiffness=0.5", "pcm.mixing=features", 4},
};

START_TEST(a_consistency_model_leaves_the_end_to_the_base)
{
    static const char *const methods[] = {
        "solver.method=picard", "solver.method=triangular-anderson",
        "solver.method=secant", "solver.method=anderson"};
    const char *set[] = {"sampler.steps=18", "block_rows=2", "solver.window=7",
                         "solver.tolerance=1e-4", methods[_i / 4],
                         consistency[_i % 4].rounds, consistency[_i % 4].stiffness,
                         consistency[_i % 4].mixing, "pcm.path=x"};
    size_t n = consistency[_i % 4].n;
    outcome *base = pdag_xcalloc(1, sizeof *base);
    outcome *one = pdag_xcalloc(1, sizeof *one);
    outcome *other = pdag_xcalloc(1, sizeof *other);
    double apart = 0.0;
    run_bench b;

    run_bench_open(&b, 5, set);
    drive(&b, NULL, 0, base);
    run_bench_close(&b);
    run_bench_open(&b, 9, set);
    drive(&b, NULL, 0, one);
    for (uint32_t order = 1; order < 10; order++) {
        drive(&b, NULL, order * 2654435761u, other);
        check_same(one, other, set[4]);
        drive(&b, &b, order * 2654435761u, other);
        check_same(one, other, set[4]);
    }
    run_bench_close(&b);
    ck_assert_int_eq(one->stop, PDAG_STOPPED_CONVERGED);
    ck_assert_uint_gt(one->rounds, n);
    /* No row was taken as done before: round n begins at row 0. */
    for (size_t k = 0; k <= n; k++)
        ck_assert(one->history[k][0] > 0.0 || one->history[k][1] > 0.0);
    for (size_t k = 0; k < (one->n + 1) * D; k++)
        apart = fmax(apart, fabs((double)one->x[k] - (double)base->x[k]));
    ck_assert_double_lt(apart, 2e-3);
    ck_assert_double_gt(apart, 0.0);
    free(base);
    free(one);
    free(other);
}
END_TEST

START_TEST(what_never_comes_to_the_base_is_refused)
{
    static const char *const wish[][3] = {
        {"pcm.rounds=4", "solver.max_rounds=4", "solver.max_rounds"},
        {"pcm.stiffness=0.0001", "pcm.rounds=4", "pcm.stiffness"},
        {"pcm.rounds=4", "solver.method=sequential", "pcm"},
        {"pcm.rounds=4", "pcm.path=", "pcm.path"}};
    const char *set[] = {"pcm.path=x", wish[_i][0], wish[_i][1]};
    const char *srcdir = getenv("srcdir");
    char *path = pdag_xasprintf("%s/examples/gaussian.pb",
                                srcdir != NULL ? srcdir : ".");
    pdag_job_facts facts = {.sampler_kind = NULL};
    pdag_job *job;

    ck_assert_msg(pdag_job_read(path, 3, set, &job) == PDAG_OK, "%s",
                  pdag_error_text());
    ck_assert_int_eq(pdag_job_resolve(job, &facts), PDAG_ERR_ARG);
    ck_assert_msg(strstr(pdag_error_text(), wish[_i][2]) == pdag_error_text(), "%s",
                  pdag_error_text());
    pdag_job_destroy(job);
    free(path);
}
END_TEST

START_TEST(another_jobs_checkpoint_is_refused)
{
    static const char *const other[] = {"sampler.steps=20", "solver.window=5",
                                        "solver.history=2", "block_rows=3",
                                        "sampler.kind=dpmpp-2m",
                                        "solver.method=picard"};
    const char *set[] = {"sampler.steps=18", "solver.window=9",
                         "solver.method=secant", other[_i]};
    pdag_checkpoint *cp = pdag_checkpoint_create("job", 3);
    pdag_sample_plan plan;
    pdag_sample *sample;
    run_bench b;

    run_bench_open(&b, 4, set);
    ck_assert(pdag_sample_plan_create(&b.setup, &plan) == PDAG_OK);
    sample = fresh(&plan);
    ck_assert(pdag_sample_save(sample, cp) == PDAG_OK);
    pdag_sample_destroy(sample);
    pdag_sample_plan_clear(&plan);
    run_bench_close(&b);

    run_bench_open(&b, 3, set);
    ck_assert(pdag_sample_plan_create(&b.setup, &plan) == PDAG_OK);
    sample = fresh(&plan);
    ck_assert_int_eq(pdag_sample_load(sample, cp), PDAG_ERR_FORMAT);
    pdag_sample_destroy(sample);
    pdag_sample_plan_clear(&plan);
    run_bench_close(&b);
    pdag_checkpoint_destroy(cp);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scheduler_sample");
    TCase *tcase = tcase_create("orders");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, any_order_gives_the_numbers_of_a_barrier, 0,
                        (int)N_CASES);
    tcase_add_loop_test(tcase, what_looks_ahead_refuses_dataflow, 0, 4);
    tcase_add_loop_test(tcase, what_looks_ahead_can_be_broken_off, 0, 5);
    tcase_add_loop_test(tcase, another_jobs_checkpoint_is_refused, 0, 6);
    tcase_add_loop_test(tcase, a_consistency_model_leaves_the_end_to_the_base, 0,
                        16);
    tcase_add_loop_test(tcase, what_never_comes_to_the_base_is_refused, 0, 4);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
