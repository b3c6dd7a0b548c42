/* tests/test_scheduler_inflight.c: who gets the next node, by what the workers have
 * shown, and the queue that it comes from. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scheduler/inflight.h"

#define MOST 4

/* n workers of one device, ready, that take `seconds` a row (0: unmeasured). */
static void crew(pdag_worker *worker, int n, const double *seconds)
{
    memset(worker, 0, (size_t)n * sizeof *worker);
    for (int w = 0; w < n; w++) {
        worker[w].info.ready = true;
        snprintf(worker[w].info.device, sizeof worker[w].info.device, "cpu");
        if (seconds[w] > 0.0) {
            worker[w].pace[0].seconds = seconds[w];
            worker[w].pace[0].n = 3;
        }
    }
}

static void give(pdag_worker *worker, uint32_t block, double now, double expected)
{
    pdag_flight flight = {.node = {PDAG_MSG_TASK, 0, 0, block, 0}, .attempt = block,
                          .n_rows = 1, .sent = now, .expected = expected};

    pdag_inflight_add(worker, &flight);
}

static int choose(const pdag_worker *worker, int n, size_t n_ready, double now,
                  bool *from_back)
{
    pdag_offer offer = {PDAG_MSG_TASK, 1, n_ready, now};

    return pdag_inflight_choose(worker, n, &offer, from_back);
}

START_TEST(every_idle_worker_gets_one_before_any_gets_two)
{
    static const double seconds[3] = {1.0, 1.2, 0.9};
    pdag_worker worker[MOST];
    bool from_back;
    int seen[MOST + 1] = {0};

    crew(worker, 3, seconds);
    for (uint32_t b = 0; b < 3; b++) {
        int peer = choose(worker, 3, 9, 10.0, &from_back);

        ck_assert(!from_back);
        ck_assert_int_ge(peer, 1);
        seen[peer]++;
        give(&worker[peer - 1], b, 10.0, seconds[peer - 1]);
    }
    for (int peer = 1; peer <= 3; peer++)
        ck_assert_int_eq(seen[peer], 1);
    for (uint32_t b = 3; b < 6; b++) {
        int peer = choose(worker, 3, 9, 10.0, &from_back);

        seen[peer]++;
        give(&worker[peer - 1], b, 10.0, seconds[peer - 1]);
    }
    for (int peer = 1; peer <= 3; peer++)
        ck_assert_int_eq(seen[peer], 2);
    ck_assert(!pdag_inflight_room(worker, 3));
    ck_assert_int_eq(choose(worker, 3, 9, 10.0, &from_back), 0);
}
END_TEST

START_TEST(the_first_task_measures_a_worker)
{
    static const double seconds[3] = {0.001, 0.0, 0.0};
    pdag_worker worker[MOST];
    bool from_back;

    crew(worker, 3, seconds);
    ck_assert_int_eq(choose(worker, 3, 1, 5.0, &from_back), 2);
    give(&worker[1], 0, 5.0, 0.0);
    ck_assert_int_eq(choose(worker, 3, 1, 5.0, &from_back), 3);
    give(&worker[2], 1, 5.0, 0.0);
    ck_assert_int_eq(choose(worker, 3, 1, 5.0, &from_back), 1);
    /* It is expected to be as fast as its like. */
    ck_assert_double_eq(pdag_inflight_expect(worker, 3, 2, PDAG_MSG_TASK, 4),
                        0.004);
    ck_assert_double_eq(pdag_inflight_expect(worker, 3, 2, PDAG_MSG_DECODE, 1),
                        0.0);
}
END_TEST

START_TEST(the_second_task_replaces_the_first)
{
    static const double seconds[1] = {0.0};
    pdag_flight flight = {.node = {PDAG_MSG_TASK, 0, 0, 0, 0}, .n_rows = 2};
    pdag_worker worker[MOST];

    crew(worker, 1, seconds);
    pdag_inflight_measure(worker, &flight, 8.0, 1.0);
    ck_assert_double_eq(worker->pace[0].seconds, 4.0);
    pdag_inflight_measure(worker, &flight, 2.0, 2.0);
    ck_assert_double_eq(worker->pace[0].seconds, 1.0);
    pdag_inflight_measure(worker, &flight, 8.0, 3.0);
    ck_assert_double_eq_tol(worker->pace[0].seconds, 2.0, 1e-12);
    ck_assert_double_eq(worker->answered, 3.0);
}
END_TEST

START_TEST(a_slow_worker_waits_while_fast_ones_are_sooner_through)
{
    static const double seconds[2] = {0.1, 3.0};
    pdag_worker worker[MOST];
    bool from_back;

    crew(worker, 2, seconds);
    ck_assert_int_eq(choose(worker, 2, 5, 0.0, &from_back), 1);
    give(&worker[0], 0, 0.0, 0.1);
    ck_assert_int_eq(choose(worker, 2, 5, 0.0, &from_back), 1);
    give(&worker[0], 1, 0.0, 0.1);
    /* Five more take the fast one half a second: the slow one gets nothing. */
    ck_assert_int_eq(choose(worker, 2, 5, 0.0, &from_back), 0);
    /* Of fifty it finishes one in time: that which is needed last. */
    ck_assert_int_eq(choose(worker, 2, 50, 0.0, &from_back), 2);
    ck_assert(from_back);
    worker[0].info.hung = true;
    ck_assert_int_eq(choose(worker, 2, 5, 0.0, &from_back), 2);
    ck_assert(!from_back);
}
END_TEST

START_TEST(hung_lost_and_loading_workers_get_nothing)
{
    static const double seconds[4] = {1.0, 1.0, 0.0, 1.0};
    pdag_worker worker[MOST];
    bool from_back;

    crew(worker, 4, seconds);
    worker[0].info.hung = true;
    worker[1].info.lost = true;
    worker[2].info.ready = false;
    ck_assert_int_eq(choose(worker, 4, 1, 0.0, &from_back), 4);
    ck_assert_int_eq(pdag_inflight_usable(worker, 4), 1);
    ck_assert_int_eq(pdag_inflight_loading(worker, 4), 1);
    worker[3].info.lost = true;
    ck_assert_int_eq(choose(worker, 4, 1, 0.0, &from_back), 0);
    ck_assert(!pdag_inflight_room(worker, 4));
}
END_TEST

START_TEST(results_come_off_the_list_in_any_order_once)
{
    static const double seconds[1] = {1.0};
    pdag_msg_header header = {.task = PDAG_MSG_TASK, .block = 7, .attempt = 7};
    pdag_worker worker[MOST];
    pdag_flight flight;

    crew(worker, 1, seconds);
    give(worker, 3, 0.0, 1.0);
    give(worker, 7, 0.5, 1.0);
    ck_assert(pdag_inflight_remove(worker, &header, &flight));
    ck_assert_uint_eq(flight.node.block, 7);
    ck_assert_double_eq(flight.sent, 0.5);
    ck_assert(!pdag_inflight_remove(worker, &header, &flight));
    header.block = 3;
    ck_assert(!pdag_inflight_remove(worker, &header, &flight)); /* attempt 7 */
    header.attempt = 3;
    ck_assert(pdag_inflight_remove(worker, &header, &flight));
    ck_assert_int_eq(worker->n_flights, 0);
}
END_TEST

static bool before(const pdag_node *a, const pdag_node *b)
{
    if (a->sample != b->sample)
        return a->sample < b->sample;
    return a->round != b->round ? a->round < b->round : a->block < b->block;
}

START_TEST(the_queue_gives_the_first_and_the_last)
{
    pdag_ready ready = {NULL, 0, 0};
    pdag_node out[200];
    uint32_t random = 5;
    size_t low = 0;
    size_t high = 200;
    pdag_node node;

    for (int i = 0; i < 200; i++) {
        random = random * 1664525u + 1013904223u;
        node = (pdag_node){PDAG_MSG_TASK, random >> 30, random >> 27 & 7,
                           (uint32_t)i, 0};
        pdag_ready_push(&ready, node);
    }
    while (ready.n > 0) {
        random = random * 1664525u + 1013904223u;
        if (random >> 31) {
            ck_assert_ptr_nonnull(pdag_ready_first(&ready));
            ck_assert(pdag_ready_pop(&ready, &out[low++]));
        } else {
            ck_assert(pdag_ready_pop_back(&ready, &out[--high]));
        }
    }
    ck_assert_uint_eq(low, high);
    for (int i = 1; i < 200; i++)
        ck_assert(before(&out[i - 1], &out[i]));
    ck_assert(!pdag_ready_pop(&ready, &node));
    ck_assert(!pdag_ready_pop_back(&ready, &node));
    ck_assert_ptr_null(pdag_ready_first(&ready));
    pdag_ready_clear(&ready);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scheduler_inflight");
    TCase *tcase = tcase_create("choice");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, every_idle_worker_gets_one_before_any_gets_two);
    tcase_add_test(tcase, the_first_task_measures_a_worker);
    tcase_add_test(tcase, the_second_task_replaces_the_first);
    tcase_add_test(tcase, a_slow_worker_waits_while_fast_ones_are_sooner_through);
    tcase_add_test(tcase, hung_lost_and_loading_workers_get_nothing);
    tcase_add_test(tcase, results_come_off_the_list_in_any_order_once);
    tcase_add_test(tcase, the_queue_gives_the_first_and_the_last);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
