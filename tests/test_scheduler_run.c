/* tests/test_scheduler_run.c: whole runs over the loopback transport: against an
 * independent sequential sampler, on any number of workers, with delays and
 * faults. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "scheduler/run.h"
#include "tests/fake_workers.h"
#include "tests/ref_sampler.h"
#include "tests/run_bench.h"

#define D PDAG_BENCH_DIM
#define MAX_SAMPLES 3
#define MAX_STEPS 40

/* What the sink saw. */
typedef struct outcome {
    int n_done;
    pdag_stop_reason stop[MAX_SAMPLES];
    size_t rounds[MAX_SAMPLES], evaluations[MAX_SAMPLES];
    float final[MAX_SAMPLES][D];
    float trajectory[MAX_SAMPLES][MAX_STEPS + 1][D];
    double residual_max[MAX_SAMPLES];
    size_t n_progress;
} outcome;

static pdag_status note_sample(void *user, const pdag_sample_result *r)
{
    outcome *o = user;

    ck_assert_uint_lt(r->index, MAX_SAMPLES);
    ck_assert_uint_eq(r->dim, D);
    o->n_done++;
    o->stop[r->index] = r->stop;
    o->rounds[r->index] = r->rounds;
    o->evaluations[r->index] = r->evaluations;
    memcpy(o->trajectory[r->index], r->trajectory,
           (r->n_rows + 1) * D * sizeof(float));
    memcpy(o->final[r->index], r->trajectory + r->n_rows * D,
           D * sizeof(float));
    for (size_t i = 0; i < r->n_rows; i++)
        if (r->residual_rms[i] > o->residual_max[r->index])
            o->residual_max[r->index] = r->residual_rms[i];
    return PDAG_OK;
}

static void note_progress(void *user, const pdag_progress *p)
{
    outcome *o = user;

    ck_assert_uint_le(p->rows_done, p->n_rows);
    o->n_progress++;
}

static pdag_status run_on(run_bench *b, fake_crew *crew, outcome *o)
{
    pdag_run_result result;
    pdag_status status;

    memset(o, 0, sizeof *o);
    b->setup.sink.sample_done = note_sample;
    b->setup.sink.progress = note_progress;
    b->setup.sink.user = o;
    fake_crew_start(crew);
    status = pdag_scheduler_run(&b->setup, crew->scheduler, &result);
    pdag_run_result_clear(&result);
    fake_crew_end(crew, status == PDAG_OK ? 0 : 1, NULL);
    return status;
}

static void run_plain(size_t n_set, const char *const *set, int workers,
                      unsigned jitter, outcome *o)
{
    run_bench b;
    fake_crew crew;

    run_bench_open(&b, n_set, set);
    fake_crew_create(&crew, workers, D);
    for (int i = 0; i < workers; i++)
        crew.worker[i].jitter = jitter;
    ck_assert_msg(run_on(&b, &crew, o) == PDAG_OK, "%s", pdag_error_text());
    run_bench_close(&b);
}

static void wide_network(void *context, const double *x, double t, double *e)
{
    float narrow[D];
    float out[D];

    (void)context;
    for (size_t d = 0; d < D; d++)
        narrow[d] = (float)x[d];
    fake_network(D, narrow, (float)t, out);
    for (size_t d = 0; d < D; d++)
        e[d] = (double)out[d];
}

/* Final state by the independent sampler, sample 0 of seed `seed`. */
static void reference(const char *kind, size_t steps, uint64_t seed, double *x)
{
    const char *set[2];
    char steps_text[40];
    char kind_text[40];
    run_bench b;
    ref_problem problem;
    float noise[D];
    double xi[MAX_STEPS * D];
    double a[MAX_STEPS], a_next[MAX_STEPS];

    snprintf(steps_text, sizeof steps_text, "sampler.steps=%zu", steps);
    snprintf(kind_text, sizeof kind_text, "sampler.kind=%s", kind);
    set[0] = steps_text;
    set[1] = kind_text;
    run_bench_open(&b, 2, set);
    problem.n = steps;
    problem.d = D;
    problem.timesteps = b.transition->t;
    problem.a = a;
    problem.a_next = a_next;
    for (size_t i = 0; i < steps; i++) {
        double t = b.schedule->timesteps[i];
        double next = strcmp(kind, "ddim") == 0 ? t - (double)(1000 / steps)
                      : i + 1 < steps ? b.schedule->timesteps[i + 1]
                                      : -1.0;

        a[i] = b.schedule->alpha_bar[(size_t)t];
        a_next[i] = next >= 0.0 ? b.schedule->alpha_bar[(size_t)next] : 1.0;
    }
    problem.network = wide_network;
    problem.context = NULL;
    pdag_rng_counter_normal(seed, 0, 0, D, noise);
    for (size_t d = 0; d < D; d++)
        x[d] = (double)noise[d];
    for (size_t i = 0; i < steps; i++) {
        pdag_rng_counter_normal(seed, i + 1, 0, D, noise);
        for (size_t d = 0; d < D; d++)
            xi[i * D + d] = (double)noise[d];
    }
    if (strcmp(kind, "ddim") == 0)
        ref_sample_ddim(&problem, x);
    else
        ref_sample_ddpm(&problem, xi, x);
    run_bench_close(&b);
}

/* Relative: the fake network is no denoiser, states grow. */
static double distance(const float *x, const double *y)
{
    double sum = 0.0;
    double scale = 0.0;

    for (size_t d = 0; d < D; d++) {
        sum += ((double)x[d] - y[d]) * ((double)x[d] - y[d]);
        scale += y[d] * y[d];
    }
    return sqrt(sum / scale);
}

static const char *const base_set[] = {"sampler.steps=37", "seed=9",
                                       "solver.tolerance=1e-5"};
#define N_BASE 3

/* base_set and two more. */
static void with(const char **set, const char *one, const char *two)
{
    memcpy(set, base_set, sizeof base_set);
    set[N_BASE] = one;
    set[N_BASE + 1] = two;
}

START_TEST(picard_ends_where_the_sequential_sampler_ends)
{
    static const char *const kinds[] = {"ddim", "ddpm"};
    static const char *const windows[] = {"0", "1", "5", "16"};

    for (size_t k = 0; k < 2; k++) {
        double truth[D];

        reference(kinds[k], 37, 9, truth);
        for (size_t w = 0; w < 4; w++) {
            const char *set[N_BASE + 2];
            char kind[40];
            char window[40];
            outcome o;

            snprintf(kind, sizeof kind, "sampler.kind=%s", kinds[k]);
            snprintf(window, sizeof window, "solver.window=%s", windows[w]);
            with(set, kind, window);
            run_plain(N_BASE + 2, set, 2, 0, &o);
            ck_assert_int_eq(o.n_done, 1);
            ck_assert_int_eq(o.stop[0], PDAG_STOPPED_CONVERGED);
            ck_assert_uint_le(o.rounds[0], 37);
            ck_assert_double_le(o.residual_max[0], 1e-5);
            ck_assert_double_lt(distance(o.final[0], truth), 3e-4);
            if (w == 1) { /* window 1 is the sequential sampler */
                ck_assert_uint_eq(o.rounds[0], 37);
                ck_assert_double_lt(distance(o.final[0], truth), 2e-6);
            }
        }
    }
}
END_TEST

START_TEST(sequential_is_the_sequential_sampler)
{
    const char *set[N_BASE + 2];
    double truth[D];
    outcome o;

    with(set, "solver.method=sequential", "sampler.kind=ddpm");
    reference("ddpm", 37, 9, truth);
    run_plain(N_BASE + 2, set, 3, 0, &o);
    ck_assert_int_eq(o.stop[0], PDAG_STOPPED_SEQUENTIAL);
    ck_assert_uint_eq(o.rounds[0], 37);
    ck_assert_uint_eq(o.evaluations[0], 37);
    ck_assert_double_lt(distance(o.final[0], truth), 2e-6);
    ck_assert_double_eq(o.residual_max[0], 0.0);
}
END_TEST

START_TEST(same_bits_on_any_number_of_workers_in_any_timing)
{
    const char *set[N_BASE + 2];
    outcome one;

    with(set, "solver.window=11", "samples=3");
    run_plain(N_BASE + 2, set, 1, 0, &one);
    ck_assert_int_eq(one.n_done, 3);
    for (int workers = 1; workers <= FAKE_MAX_WORKERS; workers++) {
        outcome o;

        run_plain(N_BASE + 2, set, workers, 4, &o);
        ck_assert_mem_eq(o.trajectory, one.trajectory, sizeof o.trajectory);
        ck_assert_mem_eq(o.rounds, one.rounds, sizeof o.rounds);
        ck_assert_mem_eq(o.evaluations, one.evaluations, sizeof o.evaluations);
    }
    /* More workers than blocks, and samples differ among each other. */
    ck_assert_mem_ne(one.final[0], one.final[1], sizeof one.final[0]);
}
END_TEST

START_TEST(sample_j_is_the_run_of_seed_plus_j)
{
    const char *three[N_BASE + 2];
    const char *alone[N_BASE + 2];
    outcome many;
    outcome single;

    with(three, "samples=3", "sampler.kind=ddpm");
    with(alone, "seed=11", "sampler.kind=ddpm");
    run_plain(N_BASE + 2, three, 2, 2, &many);
    run_plain(N_BASE + 2, alone, 2, 2, &single);
    ck_assert_mem_eq(many.trajectory[2], single.trajectory[0],
                     sizeof single.trajectory[0]);
}
END_TEST

START_TEST(every_stop_rule_and_entry_converges)
{
    static const char *const rules[] = {
        "solver.stop=error", "solver.stop=residual", "solver.stop=relative",
        "solver.stop=paradigms"};
    static const char *const entries[] = {"solver.entry=copies",
                                          "solver.entry=held-x0"};
    double truth[D];

    reference("ddpm", 37, 9, truth);
    for (size_t r = 0; r < 4; r++) {
        for (size_t e = 0; e < 2; e++) {
            const char *set[] = {"sampler.steps=37", "seed=9",
                                 "sampler.kind=ddpm", "solver.window=8",
                                 rules[r], entries[e]};
            outcome o;

            run_plain(6, set, 2, 0, &o);
            ck_assert_int_eq(o.stop[0], PDAG_STOPPED_CONVERGED);
            ck_assert_double_lt(distance(o.final[0], truth), 0.05);
            ck_assert_uint_lt(o.rounds[0], 37);
        }
    }
}
END_TEST

/* Given conditions go to the workers as they are, before the first task of their
   sample and once; nothing is encoded, though the model could (the crew would not
   answer, and the run not end). */
START_TEST(given_conditions_are_not_encoded)
{
    enum { FLOATS = 3 };
    static const float conditions[MAX_SAMPLES * FLOATS] = {5, 1, 1, 6, 2,
                                                           2, 7, 3, 3};
    const char *set[N_BASE + 2];
    run_bench b;
    fake_crew crew;
    outcome o;

    with(set, "solver.window=11", "samples=3");
    run_bench_open(&b, N_BASE + 2, set);
    b.setup.has_text = true;
    b.setup.cond_floats = FLOATS;
    b.setup.conditions = conditions;
    fake_crew_create(&crew, 2, D);
    crew.worker[0].first_condition = crew.worker[1].first_condition = 5.0f;
    ck_assert_msg(run_on(&b, &crew, &o) == PDAG_OK, "%s", pdag_error_text());
    ck_assert_int_eq(o.n_done, 3);
    for (int w = 0; w < 2; w++) {
        ck_assert_int_eq(crew.worker[w].n_unconditioned, 0);
        ck_assert_int_eq(crew.worker[w].n_other, 0);
        ck_assert_int_le(crew.worker[w].n_conditions, 3);
        for (int i = 0; i < 3; i++) /* taken back at the sample's end */
            ck_assert_double_eq((double)crew.worker[w].condition[i], 0.0);
    }
    ck_assert_int_ge(crew.worker[0].n_conditions + crew.worker[1].n_conditions, 3);
    run_bench_close(&b);
}
END_TEST

/* What the user was told, one line behind the other. */
static void note_notice(void *user, const char *text)
{
    char *notices = user;

    ck_assert_uint_lt(strlen(notices) + strlen(text) + 1, 2048);
    strcat(strcat(notices, text), "\n");
}

static void run_noticed(fake_crew *crew, char notices[2048],
                        pdag_run_result *result)
{
    const char *set[N_BASE];
    run_bench b;

    memcpy(set, base_set, sizeof base_set);
    run_bench_open(&b, N_BASE, set);
    notices[0] = '\0';
    b.setup.sink.notice = note_notice;
    b.setup.sink.user = notices;
    fake_crew_start(crew);
    ck_assert_msg(pdag_scheduler_run(&b.setup, crew->scheduler, result) ==
                  PDAG_OK, "%s", pdag_error_text());
    fake_crew_end(crew, 0, NULL);
    run_bench_close(&b);
}

/* One worker's memory holds half a block: told once, and the run is marked. */
START_TEST(a_worker_short_of_memory_is_told_of)
{
    for (int parts = 0; parts <= 2; parts++) {
        fake_crew crew;
        pdag_run_result result;
        char notices[2048];
        const char *found;

        fake_crew_create(&crew, 1, D);
        crew.worker[0].parts = parts;
        run_noticed(&crew, notices, &result);
        found = strstr(notices, "short of memory");
        ck_assert_int_eq(result.reproducible, parts < 2);
        ck_assert_int_eq(result.cut, parts == 2);
        ck_assert_int_eq(result.worker[0].cut, parts == 2);
        ck_assert_int_eq(found != NULL, parts == 2);
        ck_assert(found == NULL || strstr(found + 1, "short of memory") == NULL);
        pdag_run_result_clear(&result);
    }
}
END_TEST

/* One worker at a time: of two, one may do it all before the other is ready. */
START_TEST(devices_are_told_of_where_ranks_have_their_own)
{
    static const struct {
        const char *ready, *notices;
    } cases[] = {
        {"here\nAbacus 9\n3", "rank 0 on here has device 3: Abacus 9\n"},
        {"there\nAbacus 9", ""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fake_crew crew;
        pdag_run_result result;
        char notices[2048];

        fake_crew_create(&crew, 1, D);
        crew.worker[0].ready = cases[i].ready;
        run_noticed(&crew, notices, &result);
        ck_assert_str_eq(notices, cases[i].notices);
        ck_assert(result.reproducible);
        ck_assert_str_eq(result.worker[0].device, "Abacus 9");
        pdag_run_result_clear(&result);
    }
}
END_TEST

START_TEST(too_few_rounds_end_as_max_rounds)
{
    const char *set[N_BASE + 2];
    outcome o;

    with(set, "solver.max_rounds=3", "solver.window=6");
    run_plain(N_BASE + 2, set, 2, 0, &o);
    ck_assert_int_eq(o.stop[0], PDAG_STOPPED_MAX_ROUNDS);
    ck_assert_uint_eq(o.rounds[0], 3);
    /* The rows that never entered were rolled out, not left as noise. */
    ck_assert_mem_ne(o.trajectory[0][37], o.trajectory[0][36],
                     D * sizeof(float));
}
END_TEST

START_TEST(repeated_results_are_dropped)
{
    run_bench b;
    fake_crew crew;
    outcome plain;
    outcome o;

    run_plain(N_BASE, base_set, 2, 0, &plain);
    run_bench_open(&b, N_BASE, base_set);
    fake_crew_create(&crew, 2, D);
    crew.worker[0].repeat_results = 1;
    crew.worker[1].repeat_results = 1;
    crew.worker[1].jitter = 3;
    ck_assert_int_eq(run_on(&b, &crew, &o), PDAG_OK);
    ck_assert_mem_eq(o.trajectory, plain.trajectory, sizeof o.trajectory);
    ck_assert_uint_eq(o.evaluations[0], plain.evaluations[0]);
    run_bench_close(&b);
}
END_TEST

START_TEST(a_failing_worker_ends_the_run_with_its_message)
{
    for (int at = 1; at <= 6; at++) {
        run_bench b;
        fake_crew crew;
        outcome o;

        run_bench_open(&b, N_BASE, base_set);
        fake_crew_create(&crew, 4, D);
        /* Each of them, since the others may do all the tasks before one has done
           so many. */
        for (int i = 0; i < 4; i++)
            crew.worker[i].fail_at = at;
        ck_assert_int_eq(run_on(&b, &crew, &o), PDAG_ERR_BACKEND);
        ck_assert_ptr_nonnull(strstr(pdag_error_text(), " on here: the fake device "
                                     "is on fire"));
        ck_assert_int_eq(strncmp(pdag_error_text(), "rank ", 5), 0);
        ck_assert_int_lt(pdag_error_text()[5] - '0', 4);
        for (int i = 0; i < 4; i++)
            ck_assert_int_eq(crew.worker[i].exit_status, 1);
        run_bench_close(&b);
    }
}
END_TEST

START_TEST(not_a_number_names_sample_row_and_round)
{
    run_bench b;
    fake_crew crew;
    outcome o;

    run_bench_open(&b, N_BASE, base_set);
    fake_crew_create(&crew, 1, D);
    crew.worker[0].nan_at = 4;
    ck_assert_int_eq(run_on(&b, &crew, &o), PDAG_ERR_NAN);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "sample 0: row "));
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "round 0"));
    ck_assert_int_eq(o.n_done, 1);
    ck_assert_int_eq(o.stop[0], PDAG_STOPPED_FAILED);
    run_bench_close(&b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scheduler");
    TCase *tcase = tcase_create("runs over loopback");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 120.0);
    tcase_add_test(tcase, picard_ends_where_the_sequential_sampler_ends);
    tcase_add_test(tcase, sequential_is_the_sequential_sampler);
    tcase_add_test(tcase, same_bits_on_any_number_of_workers_in_any_timing);
    tcase_add_test(tcase, sample_j_is_the_run_of_seed_plus_j);
    tcase_add_test(tcase, every_stop_rule_and_entry_converges);
    tcase_add_test(tcase, given_conditions_are_not_encoded);
    tcase_add_test(tcase, a_worker_short_of_memory_is_told_of);
    tcase_add_test(tcase, devices_are_told_of_where_ranks_have_their_own);
    tcase_add_test(tcase, too_few_rounds_end_as_max_rounds);
    tcase_add_test(tcase, repeated_results_are_dropped);
    tcase_add_test(tcase, a_failing_worker_ends_the_run_with_its_message);
    tcase_add_test(tcase, not_a_number_names_sample_row_and_round);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
