/* tests/test_scheduler_faults.c: workers that die, hang and dawdle, and schedulers
 * that are stopped, at random moments: hundreds of runs over the loopback
 * transport, each of which must end with the numbers of an undisturbed one, at once
 * or after as many resumptions as it takes. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "scheduler/run.h"
#include "tests/fake_workers.h"
#include "tests/run_bench.h"

#define D PDAG_BENCH_DIM
#define N_SAMPLES 3
#define N 20

static const char *const base_set[] = {
    "sampler.steps=20", "samples=3", "solver.window=8", "block_rows=1",
    "solver.method=secant", "solver.tolerance=0.01"};
#define N_BASE (sizeof base_set / sizeof base_set[0])

/* What the samples ended with, over all parts of a run. */
typedef struct outcome {
    int n_done[N_SAMPLES];
    pdag_stop_reason stop[N_SAMPLES];
    size_t rounds[N_SAMPLES], evaluations[N_SAMPLES];
    float trajectory[N_SAMPLES][(N + 1) * D];
    double residual_rms[N_SAMPLES][N];
} outcome;

/* One part of a run, and what it leaves. */
typedef struct part {
    outcome *outcome;
    uint32_t random;
    int stop_after;          /* asked so many times: stop; 0: never */
    double task_seconds;     /* after which a worker is taken for hung; 0: never */
    int n_asked;
    int n_saved, n_lost, n_hung, n_dropped;
    bool keep_any;           /* keep one of the checkpoints, not the last one */
    pdag_checkpoint *kept;
} part;

static uint32_t next_random(uint32_t *random)
{
    *random = *random * 1664525u + 1013904223u;
    return *random >> 8;
}

static pdag_status note_sample(void *user, const pdag_sample_result *r)
{
    part *p = user;
    outcome *o = p->outcome;

    if (r->stop == PDAG_STOPPED_STOPPED)
        return PDAG_OK;
    o->n_done[r->index]++;
    o->stop[r->index] = r->stop;
    o->rounds[r->index] = r->rounds;
    o->evaluations[r->index] = r->evaluations;
    memcpy(o->trajectory[r->index], r->trajectory, sizeof o->trajectory[0]);
    memcpy(o->residual_rms[r->index], r->residual_rms, sizeof o->residual_rms[0]);
    return PDAG_OK;
}

static void note_event(void *user, const pdag_event *event)
{
    part *p = user;

    p->n_lost += event->kind == PDAG_EVENT_LOST;
    p->n_hung += event->kind == PDAG_EVENT_HUNG;
    p->n_dropped += event->kind == PDAG_EVENT_DROPPED;
}

static pdag_status keep(void *user, pdag_checkpoint *cp, bool last)
{
    part *p = user;

    p->n_saved++;
    if (p->kept != NULL && p->keep_any &&
        (last || next_random(&p->random) % (uint32_t)p->n_saved != 0)) {
        pdag_checkpoint_destroy(cp);
        return PDAG_OK;
    }
    pdag_checkpoint_destroy(p->kept);
    p->kept = cp;
    return PDAG_OK;
}

static bool stop_asked(void *user)
{
    part *p = user;

    return p->stop_after > 0 && ++p->n_asked >= p->stop_after;
}

/* One scheduler's life with these workers. */
static pdag_status live(part *p, fake_crew *crew, const pdag_checkpoint *resume,
                        const char *policy, pdag_run_result *result)
{
    const char *set[N_BASE + 1];
    run_bench b;
    pdag_status status;

    memcpy(set, base_set, sizeof base_set);
    set[N_BASE] = policy;
    run_bench_open(&b, N_BASE + 1, set);
    b.setup.sink.user = p;
    b.setup.sink.sample_done = note_sample;
    b.setup.sink.event = note_event;
    b.setup.sink.save = keep;
    b.setup.sink.stop_asked = stop_asked;
    b.setup.resume = resume;
    b.setup.checkpoint_seconds = p->keep_any ? 1e-4 : 1e3;
    b.setup.task_seconds = p->task_seconds > 0.0 ? p->task_seconds : 1e6;
    fake_crew_start(crew);
    status = pdag_scheduler_run(&b.setup, crew->scheduler, result);
    fake_crew_end(crew, 0, result);
    run_bench_close(&b);
    return status;
}

static void undisturbed(outcome *o)
{
    part p = {.outcome = o};
    fake_crew crew;
    pdag_run_result result;

    memset(o, 0, sizeof *o);
    fake_crew_create(&crew, 2, D);
    ck_assert_int_eq(live(&p, &crew, NULL, "policy=barrier", &result), PDAG_OK);
    ck_assert_int_eq(result.stop, PDAG_STOPPED_CONVERGED);
    pdag_run_result_clear(&result);
}

static void check_same(const outcome *a, const outcome *b)
{
    for (int i = 0; i < N_SAMPLES; i++) {
        ck_assert_int_ge(b->n_done[i], 1);
        ck_assert_int_eq(a->stop[i], b->stop[i]);
        ck_assert_uint_eq(a->rounds[i], b->rounds[i]);
        ck_assert_uint_eq(a->evaluations[i], b->evaluations[i]);
        ck_assert_mem_eq(a->trajectory[i], b->trajectory[i],
                         sizeof a->trajectory[i]);
        ck_assert_mem_eq(a->residual_rms[i], b->residual_rms[i],
                         sizeof a->residual_rms[i]);
    }
}

START_TEST(dead_workers_are_done_without)
{
    outcome *whole = pdag_xcalloc(1, sizeof *whole);
    outcome *o = pdag_xcalloc(1, sizeof *o);
    int n_lost = 0;

    undisturbed(whole);
    for (uint32_t run = 0; run < 100; run++) {
        uint32_t random = run * 2654435761u + 1u;
        int workers = 2 + (int)(next_random(&random) % 6);
        part p = {.outcome = o};
        fake_crew crew;
        pdag_run_result result;

        memset(o, 0, sizeof *o);
        fake_crew_create(&crew, workers, D);
        for (int w = 1; w < workers; w++) /* one stays */
            if (next_random(&random) % 2 == 0)
                crew.worker[w].die_at = 1 + (int)(next_random(&random) % 12);
        ck_assert_msg(live(&p, &crew, NULL, "policy=dataflow", &result) == PDAG_OK,
                      "%s", pdag_error_text());
        for (int w = 0; w < workers; w++)
            ck_assert_int_eq(result.worker[w].lost, crew.worker[w].dead);
        n_lost += p.n_lost;
        check_same(whole, o);
        pdag_run_result_clear(&result);
    }
    ck_assert_int_gt(n_lost, 50);
    free(whole);
    free(o);
}
END_TEST

START_TEST(hung_workers_are_named_and_their_late_results_dropped)
{
    outcome *whole = pdag_xcalloc(1, sizeof *whole);
    outcome *o = pdag_xcalloc(1, sizeof *o);
    int n_hung = 0;
    int n_dropped = 0;

    undisturbed(whole);
    for (uint32_t run = 0; run < 15; run++) {
        uint32_t random = run * 2654435761u + 2u;
        int workers = 2 + (int)(next_random(&random) % 6);
        /* Longer than a busy machine lets a thread wait for its turn: were all
           taken for hung at once, the run would end. */
        part p = {.outcome = o, .task_seconds = 0.2};
        fake_crew crew;
        pdag_run_result result;

        memset(o, 0, sizeof *o);
        fake_crew_create(&crew, workers, D);
        for (int w = 0; w < workers; w++) {
            crew.worker[w].hang_at = 1 + (int)(next_random(&random) % 8);
            crew.worker[w].hang_seconds = w == 0 ? 0.0 : 0.22;
            crew.worker[w].jitter = 10;
        }
        ck_assert_msg(live(&p, &crew, NULL, "policy=dataflow", &result) == PDAG_OK,
                      "%s", pdag_error_text());
        n_hung += p.n_hung;
        n_dropped += p.n_dropped;
        check_same(whole, o);
        pdag_run_result_clear(&result);
    }
    ck_assert_int_gt(n_hung, 10);
    ck_assert_int_gt(n_dropped, 0);
    free(whole);
    free(o);
}
END_TEST

/* Until it converges: stopped, broken off or left by all its workers, then gone on
   with from a checkpoint, with other workers and another policy. */
static int until_done(uint32_t random, outcome *o)
{
    pdag_checkpoint *from = NULL;
    int lives = 0;
    bool done = false;

    while (!done && lives < 60) {
        int workers = 1 + (int)(next_random(&random) % 5);
        part p = {.outcome = o, .random = random};
        fake_crew crew;
        pdag_run_result result;
        pdag_status status;

        p.keep_any = next_random(&random) % 2 == 0;
        p.stop_after = 2 + (int)(next_random(&random) % 60);
        fake_crew_create(&crew, workers, D);
        for (int w = 0; w < workers; w++) {
            if (next_random(&random) % 3 == 0)
                crew.worker[w].die_at = 1 + (int)(next_random(&random) % 20);
            crew.worker[w].jitter = next_random(&random) % 2 == 0 ? 0 : 8;
        }
        if (from != NULL) /* what came after the checkpoint is lost */
            for (int i = 0; i < N_SAMPLES; i++)
                ck_assert(o->n_done[i] <= lives);
        status = live(&p, &crew, from,
                      next_random(&random) % 2 == 0 ? "policy=dataflow"
                                                    : "policy=barrier",
                      &result);
        ck_assert_msg(status == PDAG_OK || status == PDAG_ERR_LOST, "%s",
                      pdag_error_text());
        done = status == PDAG_OK && result.stop != PDAG_STOPPED_STOPPED;
        pdag_run_result_clear(&result);
        if (!done) {
            ck_assert_int_gt(p.n_saved, 0);
            pdag_checkpoint_destroy(from);
            from = p.kept;
        } else {
            pdag_checkpoint_destroy(p.kept);
        }
        lives++;
    }
    pdag_checkpoint_destroy(from);
    ck_assert(done);
    return lives;
}

START_TEST(broken_off_anywhere_it_ends_the_same)
{
    outcome *whole = pdag_xcalloc(1, sizeof *whole);
    outcome *o = pdag_xcalloc(1, sizeof *o);
    int lives = 0;

    undisturbed(whole);
    for (uint32_t run = 0; run < 100; run++) {
        memset(o, 0, sizeof *o);
        lives += until_done(run * 2654435761u + 3u, o);
        check_same(whole, o);
    }
    ck_assert_int_gt(lives, 200);
    free(whole);
    free(o);
}
END_TEST

START_TEST(without_any_worker_it_ends_with_a_checkpoint)
{
    outcome *o = pdag_xcalloc(1, sizeof *o);
    part p = {.outcome = o};
    fake_crew crew;
    pdag_run_result result;

    fake_crew_create(&crew, 3, D);
    for (int w = 0; w < 3; w++)
        crew.worker[w].die_at = 2 + w;
    ck_assert_int_eq(live(&p, &crew, NULL, "policy=dataflow", &result),
                     PDAG_ERR_LOST);
    ck_assert_msg(strstr(pdag_error_text(), "no worker is left") != NULL, "%s",
                  pdag_error_text());
    ck_assert_int_eq(p.n_lost, 3);
    ck_assert_ptr_nonnull(p.kept);
    pdag_checkpoint_destroy(p.kept);
    pdag_run_result_clear(&result);
    free(o);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scheduler_faults");
    TCase *tcase = tcase_create("faults");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 240);
    tcase_add_test(tcase, dead_workers_are_done_without);
    tcase_add_test(tcase, hung_workers_are_named_and_their_late_results_dropped);
    tcase_add_test(tcase, broken_off_anywhere_it_ends_the_same);
    tcase_add_test(tcase, without_any_worker_it_ends_with_a_checkpoint);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
