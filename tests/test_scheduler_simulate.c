/* tests/test_scheduler_simulate.c: makespans that can be computed by hand. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "scheduler/simulate.h"

#define MAX_ROUNDS 64
#define MAX_WORKERS 8

typedef struct bench {
    pdag_sim_setup setup;
    pdag_sim_path path;
    pdag_sim_round round[MAX_ROUNDS];
    pdag_sim_worker worker[MAX_WORKERS];
    pdag_sim_result result;
} bench;

/* Workers that need a second for a task, whatever its size. */
static void make(bench *b, size_t n_rows, size_t block_rows, int n_workers)
{
    memset(b, 0, sizeof *b);
    b->setup.graph = pdag_graph_make(n_rows, block_rows);
    b->setup.n_samples = 1;
    b->setup.n_paths = 1;
    b->setup.path = &b->path;
    b->setup.n_workers = n_workers;
    b->setup.worker = b->worker;
    b->path.round = b->round;
    b->path.final = n_rows;
    for (int w = 0; w < n_workers; w++)
        b->worker[w].fixed = 1.0;
}

static void add_round(bench *b, size_t begin, size_t end)
{
    b->round[b->path.n_rounds].begin = begin;
    b->round[b->path.n_rounds++].end = end;
}

/* Rounds of a window of `width` rows that lose `step` rows each. */
static void add_rounds(bench *b, size_t width, size_t step)
{
    size_t n = b->setup.graph.n_rows;

    for (size_t begin = 0; begin < n; begin += step)
        add_round(b, begin, begin + width < n ? begin + width : n);
}

static double makespan(bench *b)
{
    pdag_sim_result_clear(&b->result);
    ck_assert_int_eq(pdag_simulate(&b->setup, &b->result), PDAG_OK);
    ck_assert_int_eq(b->result.n_workers, b->setup.n_workers);
    return b->result.seconds;
}

static double busy(const bench *b)
{
    double sum = 0.0;

    for (int w = 0; w < b->result.n_workers; w++)
        sum += b->result.worker[w].busy;
    return sum;
}

START_TEST(one_worker_takes_the_sum_of_the_tasks)
{
    const double seconds[3] = {0.5, 0.0, 0.75};
    bench b;

    make(&b, 7, 3, 1);
    b.worker[0] = (pdag_sim_worker){.n_seconds = 3, .seconds = seconds,
                                    .fixed = 0.25, .per_row = 0.125};
    add_round(&b, 0, 7); /* 3, 3, 1 rows: 0.75 + 0.75 + 0.5 */
    add_round(&b, 1, 7); /* 2, 3, 1 rows: (0.25 + 0.25) + 0.75 + 0.5 */
    add_round(&b, 5, 7); /* 1, 1: 1.0 */
    for (int barrier = 0; barrier < 2; barrier++) {
        b.setup.barrier = barrier == 1;
        ck_assert_double_eq(makespan(&b), 2.0 + 1.75 + 1.0);
        ck_assert_double_eq(busy(&b), 4.75);
        ck_assert_double_eq(b.result.idle_share, 0.0);
        ck_assert_uint_eq(b.result.tasks, 8);
        ck_assert_uint_eq(b.result.evaluations, 15);
        ck_assert_uint_eq(b.result.rounds, 3);
    }
    pdag_sim_result_clear(&b.result);
}
END_TEST

START_TEST(a_barrier_costs_whole_turns)
{
    for (int workers = 1; workers <= MAX_WORKERS; workers++) {
        bench b;
        double expected = 0.0;

        make(&b, 20, 2, workers);
        b.setup.barrier = true;
        add_rounds(&b, 12, 3);
        for (size_t k = 0; k < b.path.n_rounds; k++) {
            size_t blocks = (b.round[k].end - 1) / 2 - b.round[k].begin / 2 + 1;

            expected += (double)((blocks + (size_t)workers - 1) /
                                 (size_t)workers);
        }
        ck_assert_double_eq(makespan(&b), expected);
        ck_assert_double_eq_tol(b.result.idle_share,
                                1.0 - busy(&b) / (expected * workers), 1e-12);
        pdag_sim_result_clear(&b.result);
    }
}
END_TEST

START_TEST(dataflow_is_never_later)
{
    for (int workers = 1; workers <= MAX_WORKERS; workers++) {
        for (size_t width = 1; width <= 20; width++) {
            bench b;
            double barrier;

            make(&b, 20, 1, workers);
            add_rounds(&b, width, width > 3 ? width / 3 : 1);
            b.setup.barrier = true;
            barrier = makespan(&b);
            b.setup.barrier = false;
            ck_assert_double_le(makespan(&b), barrier);
            ck_assert_double_ge(b.result.seconds,
                                (double)b.result.tasks / workers);
            ck_assert_double_ge(b.result.seconds, (double)b.path.n_rounds);
            pdag_sim_result_clear(&b.result);
        }
    }
}
END_TEST

START_TEST(dataflow_fills_the_last_turn)
{
    bench b;

    /* Two workers, three blocks, twice: E00 E01 | E02 E10 | E11 E12. */
    make(&b, 3, 1, 2);
    add_round(&b, 0, 3);
    add_round(&b, 0, 3);
    b.setup.barrier = true;
    ck_assert_double_eq(makespan(&b), 4.0);
    b.setup.barrier = false;
    ck_assert_double_eq(makespan(&b), 3.0);
    ck_assert_double_eq(b.result.idle_share, 0.0);
    /* Where row 2 is the first to fail, round 1 waits for block 2. */
    b.round[1].begin = 2;
    ck_assert_double_eq(makespan(&b), 3.0);
    ck_assert_uint_eq(b.result.tasks, 4);
    pdag_sim_result_clear(&b.result);
}
END_TEST

START_TEST(rows_that_enter_wait_for_the_sweep)
{
    bench b;

    /* One worker for each block; block 1 of round 0 takes three seconds. */
    make(&b, 3, 1, 2);
    b.worker[1].fixed = 3.0;
    add_round(&b, 0, 2);
    add_round(&b, 0, 3); /* rows 0 and 1 again, and row 2 */
    /* E00 0-1, E01 0-3 (worker 2), E10 1-2; E11 and E12 not before 3: worker 1 has
       done both before worker 2 had one. */
    ck_assert_double_eq(makespan(&b), 5.0);
    ck_assert_uint_eq(b.result.worker[0].tasks, 4);
    pdag_sim_result_clear(&b.result);
}
END_TEST

START_TEST(a_window_of_one_is_the_sequence)
{
    for (int workers = 1; workers <= 3; workers++) {
        bench b;

        make(&b, 12, 1, workers);
        add_rounds(&b, 1, 1);
        b.setup.seconds_per_row = 0.25;
        b.setup.header_bytes = 64;
        b.setup.row_bytes = 96;
        for (int w = 0; w < workers; w++) {
            b.worker[w].latency = 0.125;
            b.worker[w].bytes_per_second = 64.0;
        }
        /* 64 + 100 bytes there, 64 + 96 back. */
        ck_assert_double_eq_tol(
            makespan(&b), 12 * (1.0 + 0.25 + 2 * 0.125 + 324.0 / 64.0), 1e-9);
        for (int w = 0; w < workers; w++) {
            const pdag_sim_load *load = &b.result.worker[w];

            ck_assert_uint_eq(load->bytes_out, load->tasks * 164);
            ck_assert_uint_eq(load->bytes_in, load->tasks * 160);
        }
        ck_assert_uint_eq(b.result.tasks, 12);
        ck_assert_double_eq(b.result.seconds_scheduler, 3.0);
        ck_assert_double_eq(busy(&b), 12.0);
        pdag_sim_result_clear(&b.result);
    }
}
END_TEST

START_TEST(a_second_task_hides_the_messages)
{
    bench b;

    make(&b, 10, 1, 1);
    b.worker[0].latency = 0.25;
    add_round(&b, 0, 10);
    ck_assert_double_eq(makespan(&b), 0.25 + 10.0 + 0.25);
    b.worker[0].latency = 0.75; /* longer than a task hides */
    ck_assert_double_gt(makespan(&b), 0.75 + 10.0 + 0.75);
    pdag_sim_result_clear(&b.result);
}
END_TEST

START_TEST(the_faster_worker_does_more)
{
    bench b;

    make(&b, 3, 1, 2);
    b.worker[1].fixed = 3.0;
    b.setup.barrier = true;
    add_round(&b, 0, 3); /* worker 1 has two done before worker 2 has one */
    ck_assert_double_eq(makespan(&b), 3.0);
    ck_assert_uint_eq(b.result.worker[0].tasks, 2);
    ck_assert_uint_eq(b.result.worker[1].tasks, 1);
    ck_assert_double_eq_tol(b.result.idle_share, 1.0 - 5.0 / 6.0, 1e-12);
    pdag_sim_result_clear(&b.result);
}
END_TEST

START_TEST(workers_come_when_they_are_ready)
{
    bench b;

    make(&b, 6, 1, 2);
    b.setup.barrier = true;
    add_round(&b, 0, 6);
    b.worker[1].ready_after = 2.5;
    /* Worker 1 has four, the last of which was queued by then; worker 2 has two. */
    ck_assert_double_eq(makespan(&b), 4.5);
    ck_assert_uint_eq(b.result.worker[0].tasks, 4);
    b.worker[0].ready_after = 1.0;
    b.setup.n_workers = 1;
    ck_assert_double_eq(makespan(&b), 7.0);
    ck_assert_double_eq(b.result.seconds_sample, 6.0);
    pdag_sim_result_clear(&b.result);
}
END_TEST

START_TEST(first_tasks_cost_more)
{
    const double seconds[2] = {1.0, 1.5};
    const double first[2] = {4.0, 0.0};
    bench b;

    make(&b, 4, 2, 1);
    b.worker[0] = (pdag_sim_worker){.n_seconds = 2, .seconds = seconds,
                                    .first = first};
    add_round(&b, 0, 4); /* 1.5 + 1.5 */
    add_round(&b, 1, 4); /* 4 + 1.5 */
    add_round(&b, 3, 4); /* 1 */
    ck_assert_double_eq(makespan(&b), 9.5);
    b.setup.n_samples = 2; /* a worker's first, not a sample's */
    ck_assert_double_eq(makespan(&b), 9.5 + 6.5);
    pdag_sim_result_clear(&b.result);
}
END_TEST

START_TEST(samples_overlap_with_encode_and_decode)
{
    bench b;

    make(&b, 4, 2, 1);
    add_round(&b, 0, 4);
    add_round(&b, 2, 4);
    b.setup.encodes = true;
    b.setup.decodes = true;
    b.setup.condition_bytes = 10;
    b.setup.n_samples = 5;
    b.worker[0].encode = 0.5;
    b.worker[0].decode = 2.0;
    ck_assert_double_eq(makespan(&b), 5 * (0.5 + 3.0 + 2.0));
    ck_assert_uint_eq(b.result.rounds, 10);
    ck_assert_uint_eq(b.result.evaluations, 30);
    ck_assert_uint_eq(b.result.worker[0].tasks, 15);
    ck_assert_double_le(b.result.seconds_sample, b.result.seconds);
    b.setup.encodes = false;
    b.setup.decodes = false;
    ck_assert_double_eq(makespan(&b), 15.0);
    ck_assert_double_eq(b.result.seconds_sample, 15.0);
    pdag_sim_result_clear(&b.result);
    /* Many samples keep all workers at work that one leaves idle. */
    make(&b, 8, 1, 4);
    add_rounds(&b, 1, 1);
    b.setup.n_samples = 12;
    ck_assert_double_eq(makespan(&b), 8.0 * 12.0 / 4.0);
    ck_assert_double_eq(b.result.idle_share, 0.0);
    pdag_sim_result_clear(&b.result);
}
END_TEST

START_TEST(rank_0_can_be_what_is_full)
{
    bench b;

    make(&b, 64, 1, 8);
    add_round(&b, 0, 64);
    b.setup.seconds_per_message = 0.5; /* 128 messages */
    ck_assert_double_ge(makespan(&b), 64.0);
    ck_assert_double_eq(b.result.seconds_scheduler, 64.0);
    pdag_sim_result_clear(&b.result);
}
END_TEST

START_TEST(nothing_to_do_takes_no_time)
{
    bench b;

    make(&b, 4, 2, 2);
    b.setup.n_samples = 3;
    ck_assert_double_eq(makespan(&b), 0.0);
    ck_assert_double_eq(b.result.idle_share, 0.0);
    pdag_sim_result_clear(&b.result);
}
END_TEST

static void expect_refused(bench *b)
{
    pdag_sim_result r = {.n_workers = 77};

    ck_assert_int_eq(pdag_simulate(&b->setup, &r), PDAG_ERR_ARG);
    ck_assert_int_eq(r.n_workers, 77);
}

START_TEST(impossible_paths_are_refused)
{
    bench b;

    make(&b, 4, 1, 1);
    add_round(&b, 0, 2);
    b.path.final = 2;
    ck_assert_double_eq(makespan(&b), 2.0);
    pdag_sim_result_clear(&b.result);
    b.path.final = 3; /* a row that was never there */
    expect_refused(&b);
    b.path.final = 2;
    b.round[0].end = 5;
    expect_refused(&b);
    b.round[0] = (pdag_sim_round){2, 2};
    expect_refused(&b);
    b.round[0] = (pdag_sim_round){1, 3};
    b.path.final = 4;
    add_round(&b, 0, 4); /* back */
    expect_refused(&b);
    b.round[1] = (pdag_sim_round){2, 2};
    expect_refused(&b);
    b.round[1] = (pdag_sim_round){2, 4};
    ck_assert_double_eq(makespan(&b), 4.0);
    pdag_sim_result_clear(&b.result);
    b.setup.n_workers = 0;
    expect_refused(&b);
    b.setup.n_workers = 1;
    b.setup.n_samples = 0;
    expect_refused(&b);
    b.setup.n_samples = 1;
    b.setup.n_paths = 0;
    expect_refused(&b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("simulate");
    TCase *tc = tcase_create("makespan");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, one_worker_takes_the_sum_of_the_tasks);
    tcase_add_test(tc, a_barrier_costs_whole_turns);
    tcase_add_test(tc, dataflow_is_never_later);
    tcase_add_test(tc, dataflow_fills_the_last_turn);
    tcase_add_test(tc, rows_that_enter_wait_for_the_sweep);
    tcase_add_test(tc, a_window_of_one_is_the_sequence);
    tcase_add_test(tc, a_second_task_hides_the_messages);
    tcase_add_test(tc, the_faster_worker_does_more);
    tcase_add_test(tc, workers_come_when_they_are_ready);
    tcase_add_test(tc, first_tasks_cost_more);
    tcase_add_test(tc, samples_overlap_with_encode_and_decode);
    tcase_add_test(tc, rank_0_can_be_what_is_full);
    tcase_add_test(tc, nothing_to_do_takes_no_time);
    tcase_add_test(tc, impossible_paths_are_refused);
    suite_add_tcase(suite, tc);
    sr = srunner_create(suite);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
