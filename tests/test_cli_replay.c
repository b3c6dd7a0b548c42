/* tests/test_cli_replay.c: what is kept of a run, and what is made of it: events
 * with times that can be added up by hand. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/costs.h"
#include "cli/forecast.h"
#include "cli/performance.h"
#include "cli/replay.h"
#include "tests/temporary.h"

static char folder[TEMPORARY_BYTES];

static void make_cache(void)
{
    temporary_folder(folder);
    ck_assert_int_eq(setenv("XDG_CACHE_HOME", folder, 1), 0);
}

static void remove_cache(void)
{
    temporary_folder_remove(folder);
}

/* Four rows in blocks of two, of which a window of all. */
static pdag_setup make_setup(const char *more)
{
    const char *srcdir = getenv("srcdir");
    char *job = pdag_xasprintf("%s/examples/gaussian.pb",
                               srcdir != NULL ? srcdir : ".");
    const char *set[] = {"sampler.steps=4", "block_rows=2", "gaussian.shape=3",
                         more};
    pdag_setup setup;

    memset(&setup, 0xAA, sizeof setup);
    ck_assert_int_eq(
        pdag_setup_create(job, more != NULL ? 4 : 3, set, &setup), PDAG_OK);
    free(job);
    return setup;
}

static pdag_event task(int peer, uint32_t rows, double sent, double seconds,
                       double time)
{
    pdag_event event = {.kind = PDAG_EVENT_TASK, .task = PDAG_MSG_TASK};

    event.peer = peer;
    event.n_rows = rows;
    event.sent = sent;
    event.worker_seconds = seconds;
    event.time = time;
    event.bytes_out = 100;
    event.bytes_in = 200;
    return event;
}

static pdag_event round_of(size_t begin, size_t end)
{
    pdag_event event = {.kind = PDAG_EVENT_ROUND};

    event.begin = begin;
    event.end = end;
    return event;
}

/* Two rounds on one worker: blocks of two rows take 2 s, the very first 5 s; a
   block of one row 1.5 s, once; an update of a row 0.25 s, a message's way
   nothing. */
static size_t make_events(pdag_event *event)
{
    pdag_event update = {.kind = PDAG_EVENT_UPDATE, .began = 20, .time = 21.75};
    size_t n = 0;

    event[n++] = (pdag_event){.kind = PDAG_EVENT_READY, .peer = 1, .time = 9};
    event[n++] = task(1, 2, 10, 5, 15);
    event[n++] = task(1, 2, 10, 2, 17);
    event[n++] = round_of(0, 4);
    event[n++] = task(1, 1, 18, 1.5, 19.5);
    event[n++] = task(1, 2, 18, 2, 21.5);
    event[n++] = update; /* all of them */
    event[n++] = round_of(1, 4);
    return n;
}

START_TEST(a_replay_adds_up)
{
    pdag_setup setup = make_setup(NULL);
    pdag_record record;
    pdag_event event[16];
    size_t n = make_events(event);
    pdag_sim_result result;

    memset(&record, 0, sizeof record);
    for (size_t i = 0; i < n; i++)
        pdag_record_event(&record, &event[i], true);
    ck_assert_double_eq(pdag_record_task(&record, NULL, 2, false), 2.0);
    ck_assert_double_eq(pdag_record_task(&record, NULL, 2, true), 3.0);
    ck_assert_double_eq(pdag_record_first(&record, NULL, 2), 5.0);
    ck_assert_double_eq(pdag_record_task(&record, NULL, 1, false), 1.5);
    ck_assert_double_eq(pdag_record_task(&record, NULL, 3, false), 0.0);
    ck_assert_double_eq(pdag_record_latency(&record.local), 0.0);
    ck_assert_uint_eq(record.remote.n, 0);
    ck_assert_int_eq(pdag_replay(&setup, &record, false, &result), PDAG_OK);
    /* E00 0-5, E01 5-7, U00 meanwhile; E10 7-8.5, U01 meanwhile, E11 8.5-10.5, U10
       meanwhile, U11. */
    ck_assert_double_eq(result.seconds_sample, 10.5 + 2 * 0.25);
    ck_assert_uint_eq(result.tasks, 4);
    ck_assert_uint_eq(result.rounds, 2);
    pdag_sim_result_clear(&result);
    record.n_samples = 0; /* of a run that was not whole */
    result.tasks = 77;
    ck_assert_int_eq(pdag_replay(&setup, &record, false, &result), PDAG_ERR_ARG);
    ck_assert_uint_eq(result.tasks, 77);
    record.n_samples = 1;
    pdag_record_clear(&record);
    pdag_setup_clear(&setup);
}
END_TEST

START_TEST(ways_are_of_idle_workers)
{
    pdag_record record;
    pdag_event e;

    memset(&record, 0, sizeof record);
    e = task(2, 2, 0, 1, 1.9);
    pdag_record_event(&record, &e, false); /* its first */
    e = task(2, 2, 1, 1, 2.9);
    pdag_record_event(&record, &e, false); /* was queued */
    ck_assert_uint_eq(record.remote.n, 0);
    e = task(2, 2, 3, 1, 4.5);
    pdag_record_event(&record, &e, false);
    ck_assert_double_eq(pdag_record_latency(&record.remote), 0.25);
    e = task(2, 1, 5, 1, 6.9);
    pdag_record_event(&record, &e, false); /* a smaller one */
    ck_assert_double_eq(pdag_record_latency(&record.remote), 0.25);
    ck_assert_uint_eq(record.remote.bytes, 150);
    ck_assert_uint_eq(record.local.n, 0);
    pdag_record_clear(&record);
}
END_TEST

/* A run of these events that took so long. */
static pdag_accuracy run(const pdag_setup *setup, double seconds, bool hung)
{
    pdag_performance *performance = pdag_performance_open(setup, false);
    pdag_worker_info worker = {.host = "here", .device = "a device\377",
                               .ready = true};
    pdag_run_result result = {.stop = PDAG_STOPPED_CONVERGED, .n_workers = 1,
                              .worker = &worker, .seconds_sample = seconds};
    pdag_event lost = {.kind = PDAG_EVENT_HUNG, .peer = 1};
    pdag_event event[16];
    size_t n = make_events(event);
    pdag_accuracy accuracy;

    for (size_t i = 0; i < n; i++)
        pdag_performance_event(performance, &event[i]);
    if (hung)
        pdag_performance_event(performance, &lost);
    memset(&accuracy, 0xAA, sizeof accuracy);
    pdag_performance_close(performance, &result, &accuracy);
    return accuracy;
}

START_TEST(a_second_run_is_predicted)
{
    pdag_setup setup = make_setup(NULL);
    pdag_setup other = make_setup("gaussian.std=0.75");
    pdag_accuracy first;
    pdag_accuracy second;
    pdag_shape shape;
    pdag_paths paths;
    pdag_costs costs;

    first = run(&setup, 11.0, true);
    ck_assert(!first.there);
    pdag_accuracy_clear(&first);
    first = run(&setup, 11.0, false);
    ck_assert(first.there && !first.stored);
    ck_assert_double_eq(first.measured, 11.0);
    ck_assert_double_eq_tol(first.error_percent,
                            100 * (first.seconds - 11.0) / 11.0, 1e-9);
    ck_assert_ptr_null(first.note);
    second = run(&setup, 12.0, false);
    ck_assert(second.there && second.stored);
    /* Nothing idle was asked, so that a message's way is a default. */
    ck_assert_double_ge(second.seconds, first.seconds);
    ck_assert_double_le(second.seconds, first.seconds + 4e-3);
    ck_assert_double_eq(second.replay_seconds, first.seconds);
    ck_assert_uint_eq(second.rounds, 2);
    pdag_accuracy_clear(&first);
    pdag_accuracy_clear(&second);

    ck_assert_int_eq(pdag_shape_make(&setup, &shape), PDAG_OK);
    costs = pdag_costs_read(&setup);
    ck_assert_int_eq(pdag_paths_make(&setup, &shape, &costs, 0, &paths), PDAG_OK);
    ck_assert_int_eq(paths.source, PDAG_SOURCE_STORED);
    ck_assert_uint_eq(paths.n, 2);
    ck_assert_uint_eq(paths.evaluations, 7);
    pdag_paths_clear(&paths);
    pdag_costs_clear(&costs);
    /* Nothing of it is known of another model. */
    costs = pdag_costs_read(&other);
    ck_assert_uint_eq(json_object_size(costs.root), 0);
    pdag_costs_clear(&costs);
    pdag_setup_clear(&setup);
    pdag_setup_clear(&other);
}
END_TEST

START_TEST(every_number_of_rounds_has_a_path)
{
    for (size_t window = 1; window <= 12; window++) {
        char set[32];
        pdag_setup setup;
        pdag_costs costs;
        pdag_shape shape;

        snprintf(set, sizeof set, "solver.window=%zu", window);
        setup = make_setup(set);
        costs = pdag_costs_read(&setup);
        ck_assert_int_eq(pdag_shape_make(&setup, &shape), PDAG_OK);
        shape.n_rows = 12;
        shape.max_rounds = 12;
        shape.window = window;
        for (int roll = 0; roll < 2; roll++) {
            pdag_graph graph = pdag_graph_make(12, 2);
            size_t fewest;
            pdag_paths paths;

            shape.roll = roll == 1 && window > 1;
            fewest = pdag_shape_fewest_rounds(&shape);
            ck_assert_int_eq(
                pdag_paths_make(&setup, &shape, &costs, fewest - 1 > 0 ? fewest - 1
                                                                       : 13,
                                &paths), PDAG_ERR_ARG);
            for (size_t n = fewest; n <= 12; n++) {
                ck_assert_int_eq(
                    pdag_paths_make(&setup, &shape, &costs, n, &paths), PDAG_OK);
                ck_assert_uint_eq(paths.rounds, n);
                ck_assert_int_eq(pdag_sim_path_check(&graph, &paths.path[0]),
                                 PDAG_OK);
                ck_assert_uint_eq(paths.path[0].round[0].begin, 0);
                ck_assert_uint_eq(paths.path[0].round[n - 1].end, 12);
                for (size_t k = 1; k < n; k++)
                    ck_assert_uint_gt(paths.path[0].round[k].begin,
                                      paths.path[0].round[k - 1].begin);
                pdag_paths_clear(&paths);
            }
        }
        pdag_costs_clear(&costs);
        pdag_setup_clear(&setup);
    }
}
END_TEST

START_TEST(costs_are_medians_on_a_line)
{
    pdag_setup setup = make_setup("model.delay_ms=3");
    pdag_costs costs = pdag_costs_read(&setup);
    char *key = pdag_costs_worker_key(&setup, 4, "a device");
    json_t *entry;
    json_t *tasks;
    pdag_cost cost;

    ck_assert(!pdag_costs_worker(&costs, &setup, 4, &cost));
    pdag_costs_count(&costs);
    entry = pdag_costs_entry(&costs, "workers", key);
    json_object_set_new(entry, "workers", json_integer(4));
    tasks = pdag_costs_member(entry, "task");
    for (int i = 0; i < 2 * PDAG_COSTS_KEPT; i++)
        pdag_costs_add(tasks, "1", i < PDAG_COSTS_KEPT ? 100.0 : 1.0 + i % 2);
    for (int i = 0; i < 3; i++)
        pdag_costs_add(tasks, "3", (double[]){9.0, 2.5, 0.1}[i]);
    ck_assert(pdag_costs_worker(&costs, &setup, 1, &cost));
    ck_assert_uint_eq(cost.n_seconds, 3);
    ck_assert_double_eq(cost.seconds[0], 1.5); /* of the last eight */
    ck_assert_double_eq(cost.seconds[1], 0.0);
    ck_assert_double_eq(cost.seconds[2], 2.5);
    ck_assert_double_eq_tol(cost.per_row, 0.5, 1e-12);
    ck_assert_double_eq_tol(cost.fixed, 1.0, 1e-12);
    ck_assert_int_eq(cost.n_workers, 4);
    pdag_cost_clear(&cost);
    free(key);
    pdag_costs_clear(&costs);
    pdag_setup_clear(&setup);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("replay");
    TCase *tc = tcase_create("replay");
    SRunner *sr;
    int failed;

    tcase_add_unchecked_fixture(tc, make_cache, remove_cache);
    tcase_add_test(tc, a_replay_adds_up);
    tcase_add_test(tc, ways_are_of_idle_workers);
    tcase_add_test(tc, a_second_run_is_predicted);
    tcase_add_test(tc, every_number_of_rounds_has_a_path);
    tcase_add_test(tc, costs_are_medians_on_a_line);
    suite_add_tcase(suite, tc);
    sr = srunner_create(suite);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
