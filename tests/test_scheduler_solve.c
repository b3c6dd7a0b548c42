/* tests/test_scheduler_solve.c: every solver with every sampler, start and slope
 * ends where the same sampler ends in sequence, over the loopback transport. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scheduler/run.h"
#include "solvers/solver.h"
#include "tests/fake_workers.h"
#include "tests/run_bench.h"

#define D PDAG_BENCH_DIM
#define STEPS 23
#define ROWS (STEPS + 1) /* PNDM has one more */

/* What the sink saw of the run's only sample. */
typedef struct outcome {
    pdag_stop_reason stop;
    size_t rounds, evaluations, n_rows;
    float trajectory[ROWS + 1][D];
    double residual_max;
    size_t n_rounds_seen;
    size_t last_set;
    float seen[D]; /* x_N after the last round */
} outcome;

static pdag_status note_sample(void *user, const pdag_sample_result *r)
{
    outcome *o = user;

    ck_assert_uint_le(r->n_rows, ROWS);
    o->stop = r->stop;
    o->rounds = r->rounds;
    o->evaluations = r->evaluations;
    o->n_rows = r->n_rows;
    memcpy(o->trajectory, r->trajectory, (r->n_rows + 1) * D * sizeof(float));
    for (size_t i = 0; i < r->n_rows; i++)
        if (r->residual_rms[i] > o->residual_max)
            o->residual_max = r->residual_rms[i];
    return PDAG_OK;
}

static pdag_status note_round(void *user, const pdag_round_state *round)
{
    outcome *o = user;

    o->n_rounds_seen++;
    ck_assert_uint_ge(round->round, o->n_rounds_seen);
    ck_assert_uint_le(round->begin + round->n, round->n_rows);
    ck_assert_uint_ge(round->n_set, o->last_set);
    o->last_set = round->n_set;
    if (round->n_set == round->n_rows + 1)
        memcpy(o->seen, round->trajectory + round->n_rows * D, sizeof o->seen);
    return PDAG_OK;
}

/* A run of `set` (ends with NULL) from a guess, which may be NULL. */
static pdag_status solve_from(const char *const *set, const float *start,
                              outcome *o)
{
    size_t n = 0;
    run_bench b;
    fake_crew crew;
    pdag_run_result result;
    pdag_status status;

    while (set[n] != NULL)
        n++;
    memset(o, 0, sizeof *o);
    run_bench_open(&b, n, set);
    b.setup.sink.sample_done = note_sample;
    b.setup.sink.round_done = note_round;
    b.setup.sink.user = o;
    b.setup.start = start;
    b.setup.start_row = (size_t)b.job->solver.start_row;
    fake_crew_create(&crew, 3, D);
    fake_crew_start(&crew);
    status = pdag_scheduler_run(&b.setup, crew.scheduler, &result);
    pdag_run_result_clear(&result);
    fake_crew_end(&crew, status == PDAG_OK ? 0 : 1, NULL);
    run_bench_close(&b);
    return status;
}

static void solve(const char *const *set, outcome *o)
{
    ck_assert_msg(solve_from(set, NULL, o) == PDAG_OK, "%s", pdag_error_text());
}

static double distance(const float *x, const float *y)
{
    double sum = 0.0;
    double scale = 0.0;

    for (size_t d = 0; d < D; d++) {
        double difference = (double)x[d] - (double)y[d];

        sum += difference * difference;
        scale += (double)y[d] * (double)y[d];
    }
    return sqrt(sum / scale);
}

#define COMMON "sampler.steps=23", "seed=9"

static const char *const kinds[] = {
    "sampler.kind=ddim",        "sampler.kind=ddpm",
    "sampler.kind=dpmpp-1",     "sampler.kind=dpmpp-2m",
    "sampler.kind=dpmpp-3m",    "sampler.kind=sde-dpmpp-1",
    "sampler.kind=sde-dpmpp-2m", "sampler.kind=euler",
    "sampler.kind=euler-a",     "sampler.kind=flow-euler",
    "sampler.kind=pndm"};
#define N_KINDS (sizeof kinds / sizeof kinds[0])

/* Probing needs one-step samplers. */
static int is_multistep(const char *kind)
{
    return strstr(kind, "2m") != NULL || strstr(kind, "3m") != NULL ||
           strstr(kind, "pndm") != NULL;
}

START_TEST(every_solver_ends_where_every_sampler_ends)
{
    const char *kind = kinds[_i];
    const char *plain[] = {COMMON, kind, "solver.method=sequential", NULL};
    outcome truth;

    solve(plain, &truth);
    ck_assert_int_eq(truth.stop, PDAG_STOPPED_SEQUENTIAL);
    ck_assert_uint_eq(truth.rounds, truth.n_rows);
    for (int m = 0; pdag_solver_list()[m] != NULL; m++) {
        const pdag_solver_ops *ops = pdag_solver_list()[m];
        static const char *const windows[] = {"solver.window=0",
                                              "solver.window=7"};

        for (int w = 0; w < 2; w++) {
            char method[60];
            const char *set[] = {COMMON, kind, method, windows[w],
                                 "solver.tolerance=1e-6", NULL};
            outcome o;

            snprintf(method, sizeof method, "solver.method=%s", ops->name);
            if (ops->probes && is_multistep(kind)) {
                ck_assert_int_eq(solve_from(set, NULL, &o),
                                 PDAG_ERR_UNSUPPORTED);
                continue;
            }
            solve(set, &o);
            if (ops->max_window != 1)
                ck_assert_msg(o.stop == PDAG_STOPPED_CONVERGED, "%s %s", method,
                              kind);
            ck_assert_msg(distance(o.trajectory[o.n_rows],
                                   truth.trajectory[o.n_rows]) < 2e-5,
                          "%s %s %s: %g", method, kind, windows[w],
                          distance(o.trajectory[o.n_rows],
                                   truth.trajectory[o.n_rows]));
            ck_assert_double_le(o.residual_max, 1e-6);
            if (!ops->probes)
                ck_assert_uint_eq(o.n_rounds_seen, o.rounds);
            ck_assert_mem_eq(o.seen, o.trajectory[o.n_rows], sizeof o.seen);
        }
    }
}
END_TEST

/* Multistep history is carried across every slide: with windows of one row and a
   tolerance that accepts only the exact row, the run is the sequential one. */
START_TEST(a_window_of_one_row_is_the_sequential_sampler)
{
    const char *plain[] = {COMMON, kinds[_i], "solver.method=sequential", NULL};
    const char *one[] = {COMMON, kinds[_i], "solver.method=secant",
                         "solver.window=1", NULL};
    outcome truth;
    outcome o;

    solve(plain, &truth);
    solve(one, &o);
    ck_assert_uint_eq(o.rounds, truth.rounds);
    ck_assert_double_lt(distance(o.trajectory[o.n_rows],
                                 truth.trajectory[o.n_rows]), 1e-6);
}
END_TEST

START_TEST(every_start_slope_and_entry_ends_there_too)
{
    static const char *const starts[] = {"solver.start=copies",
                                         "solver.start=roll",
                                         "solver.start=gaussian"};
    static const char *const slopes[] = {
        "solver.slope=one", "solver.slope=sampler", "solver.slope=gaussian",
        "solver.slope=bands"};
    static const char *const some[] = {"sampler.kind=ddim", "sampler.kind=ddpm",
                                       "sampler.kind=dpmpp-2m",
                                       "sampler.kind=pndm"};
    static const char *const others[] = {"solver.restart=1.2",
                                         "solver.measure_variance=true",
                                         "solver.entry=copies"};

    for (size_t k = 0; k < 4; k++) {
        const char *plain[] = {COMMON, some[k], "solver.method=sequential", NULL};
        outcome truth;

        solve(plain, &truth);
        for (size_t i = 0; i < 3 * 4; i++) {
            const char *set[] = {COMMON, some[k], starts[i / 4], slopes[i % 4],
                                 others[i % 3], i % 2 ? "solver.window=9"
                                                      : "solver.window=0",
                                 "solver.tolerance=1e-6", "solver.method=secant",
                                 NULL};
            outcome o;

            solve(set, &o);
            ck_assert_int_eq(o.stop, PDAG_STOPPED_CONVERGED);
            ck_assert_msg(distance(o.trajectory[o.n_rows],
                                   truth.trajectory[o.n_rows]) < 2e-5,
                          "%s %s %s %s", some[k], starts[i / 4], slopes[i % 4],
                          others[i % 3]);
        }
    }
}
END_TEST

START_TEST(a_roll_out_takes_one_evaluation_in_its_first_round)
{
    const char *roll[] = {COMMON, "solver.start=roll", "solver.max_rounds=1",
                          NULL};
    outcome o;

    solve(roll, &o);
    ck_assert_int_eq(o.stop, PDAG_STOPPED_MAX_ROUNDS);
    ck_assert_uint_eq(o.evaluations, 1);
    ck_assert_mem_ne(o.trajectory[5], o.trajectory[6], sizeof o.trajectory[5]);
}
END_TEST

START_TEST(its_own_trajectory_is_accepted_at_once)
{
    for (size_t k = 0; k < N_KINDS; k++) {
        const char *first[] = {COMMON, kinds[k], "solver.method=sequential",
                               NULL};
        const char *again[] = {COMMON, kinds[k], "solver.start_from=/earlier",
                               "solver.tolerance=1e-5", NULL};
        const char *other[] = {COMMON, kinds[k], "solver.start_from=/earlier",
                               "seed=10", "solver.tolerance=1e-6", NULL};
        const char *others_own[] = {COMMON, kinds[k], "seed=10",
                                    "solver.method=sequential", NULL};
        outcome a, b, c, d;

        solve(first, &a);
        ck_assert_int_eq(solve_from(again, a.trajectory[0], &b), PDAG_OK);
        ck_assert_uint_eq(b.rounds, 1);
        ck_assert_double_lt(distance(b.trajectory[b.n_rows],
                                     a.trajectory[b.n_rows]), 1e-5);
        /* A guess from another seed costs rounds, not exactness. */
        ck_assert_int_eq(solve_from(other, a.trajectory[0], &c), PDAG_OK);
        solve(others_own, &d);
        ck_assert_double_lt(distance(c.trajectory[c.n_rows],
                                     d.trajectory[c.n_rows]), 2e-5);
    }
}
END_TEST

START_TEST(kept_rows_stay_as_they_are)
{
    const char *first[] = {COMMON, "solver.method=sequential", NULL};
    const char *go_on[] = {COMMON, "seed=77", "solver.start_from=/earlier",
                           "solver.start_row=9", "solver.tolerance=1e-6", NULL};
    const char *multistep[] = {COMMON, "sampler.kind=dpmpp-2m",
                               "solver.start_from=/earlier",
                               "solver.start_row=9", NULL};
    const char *too_far[] = {COMMON, "solver.start_from=/earlier",
                             "solver.start_row=24", NULL};
    const char *nothing[] = {COMMON, "solver.start_from=/earlier",
                             "solver.start_row=23", NULL};
    outcome a, b;

    solve(first, &a);
    ck_assert_int_eq(solve_from(go_on, a.trajectory[0], &b), PDAG_OK);
    ck_assert_mem_eq(a.trajectory, b.trajectory, 10 * sizeof a.trajectory[0]);
    /* DDIM without noise: the rest follows from row 9, whatever the seed. */
    ck_assert_double_lt(distance(b.trajectory[STEPS], a.trajectory[STEPS]), 2e-5);
    ck_assert_int_eq(solve_from(multistep, a.trajectory[0], &b),
                     PDAG_ERR_UNSUPPORTED);
    ck_assert_int_eq(solve_from(too_far, a.trajectory[0], &b), PDAG_ERR_ARG);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "solver.start_row: 24"));
    ck_assert_int_eq(solve_from(nothing, a.trajectory[0], &b), PDAG_OK);
    ck_assert_int_eq(b.stop, PDAG_STOPPED_CONVERGED);
    ck_assert_uint_eq(b.evaluations, 0);
    ck_assert_mem_eq(a.trajectory, b.trajectory, sizeof a.trajectory);
}
END_TEST

/* Several runs on one crew, as compare does it. */
START_TEST(runs_share_their_workers)
{
    run_bench b;
    fake_crew crew;
    pdag_run_result one, two;
    outcome first, second;
    const char *set[] = {COMMON};

    run_bench_open(&b, 2, set);
    memset(&first, 0, sizeof first);
    memset(&second, 0, sizeof second);
    b.setup.sink.sample_done = note_sample;
    b.setup.sink.user = &first;
    fake_crew_create(&crew, 3, D);
    fake_crew_start(&crew);
    ck_assert_int_eq(pdag_scheduler_run(&b.setup, crew.scheduler, &one), PDAG_OK);
    b.setup.sink.user = &second;
    b.setup.before = &one;
    b.setup.run_number++;
    ck_assert_int_eq(pdag_scheduler_run(&b.setup, crew.scheduler, &two), PDAG_OK);
    ck_assert_mem_eq(first.trajectory, second.trajectory, sizeof first.trajectory);
    pdag_run_result_clear(&one);
    pdag_run_result_clear(&two);
    fake_crew_end(&crew, 0, NULL);
    run_bench_close(&b);
}
END_TEST

START_TEST(newton_counts_every_evaluation_it_waits_for)
{
    const char *set[] = {COMMON, "solver.method=newton", "solver.max_rounds=2",
                         "solver.tolerance=1e-7", NULL};
    outcome o;

    solve(set, &o);
    ck_assert_uint_eq(o.n_rounds_seen, 2);
    /* Round 1: 23 rows and 22 probes; round 2: 22 rows and 21 probes. */
    ck_assert_uint_eq(o.evaluations, 23 + 22 + 22 + 21);
    ck_assert_uint_eq(o.rounds, 2 + 22 + 21);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scheduler_solve");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 240.0);
    tcase_add_loop_test(tcase, every_solver_ends_where_every_sampler_ends, 0,
                        (int)N_KINDS);
    tcase_add_loop_test(tcase, a_window_of_one_row_is_the_sequential_sampler, 0,
                        (int)N_KINDS);
    tcase_add_test(tcase, every_start_slope_and_entry_ends_there_too);
    tcase_add_test(tcase, a_roll_out_takes_one_evaluation_in_its_first_round);
    tcase_add_test(tcase, its_own_trajectory_is_accepted_at_once);
    tcase_add_test(tcase, kept_rows_stay_as_they_are);
    tcase_add_test(tcase, runs_share_their_workers);
    tcase_add_test(tcase, newton_counts_every_evaluation_it_waits_for);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
