/* tests/test_comm.c: messages, loopback, join. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "comm/comm.h"

static pdag_msg *text_message(pdag_msg_kind kind, const char *text)
{
    pdag_msg *msg;

    ck_assert_int_eq(pdag_msg_create(kind, strlen(text) + 1, &msg), PDAG_OK);
    memcpy(pdag_msg_payload(msg), text, strlen(text) + 1);
    return msg;
}

static void expect(pdag_comm *comm, int from, const char *text)
{
    int peer = -1;
    pdag_msg *msg;

    ck_assert_int_eq(comm->ops->receive(comm, &peer, &msg), PDAG_OK);
    ck_assert_ptr_nonnull(msg);
    ck_assert_int_eq(peer, from);
    ck_assert_str_eq(pdag_msg_payload_const(msg), text);
    pdag_msg_free(msg);
}

static void expect_nothing(pdag_comm *comm)
{
    int peer;
    pdag_msg *msg;

    ck_assert_int_eq(comm->ops->receive(comm, &peer, &msg), PDAG_OK);
    ck_assert_ptr_null(msg);
}

START_TEST(header_is_checked)
{
    pdag_msg *msg = text_message(PDAG_MSG_TASK, "abc");
    size_t bytes = sizeof *msg + 4;

    ck_assert_int_eq(pdag_msg_check(msg, bytes), PDAG_OK);
    ck_assert_int_eq(pdag_msg_check(msg, bytes - 1), PDAG_ERR_COMM);
    ck_assert_int_eq(pdag_msg_check(msg, 3), PDAG_ERR_COMM);
    msg->header.version++;
    ck_assert_int_eq(pdag_msg_check(msg, bytes), PDAG_ERR_COMM);
    msg->header.version--;
    msg->header.kind = 99;
    ck_assert_int_eq(pdag_msg_check(msg, bytes), PDAG_ERR_COMM);
    msg->header.kind = PDAG_MSG_TASK;
    msg->header.magic ^= 1;
    ck_assert_int_eq(pdag_msg_check(msg, bytes), PDAG_ERR_COMM);
    pdag_msg_free(msg);
    pdag_msg_free(NULL);
}
END_TEST

START_TEST(too_large_a_message_is_an_error)
{
    pdag_msg *msg;

    ck_assert_int_eq(pdag_msg_create(PDAG_MSG_TASK, UINT64_MAX - 8, &msg),
                     PDAG_ERR_NOMEM);
}
END_TEST

START_TEST(loopback_keeps_order_and_sender)
{
    pdag_comm *end[3];

    ck_assert_int_eq(pdag_loopback_create(2, end), PDAG_OK);
    expect_nothing(end[0]);
    end[1]->ops->send(end[1], 0, text_message(PDAG_MSG_RESULT, "one"));
    end[1]->ops->send(end[1], 0, text_message(PDAG_MSG_RESULT, "two"));
    end[2]->ops->send(end[2], 0, text_message(PDAG_MSG_RESULT, "three"));
    end[0]->ops->send(end[0], 2, text_message(PDAG_MSG_TASK, "work"));
    expect(end[0], 1, "one");
    expect(end[0], 1, "two");
    expect(end[0], 2, "three");
    expect_nothing(end[0]);
    expect_nothing(end[1]);
    expect(end[2], 0, "work");
    for (int i = 0; i < 3; i++)
        pdag_comm_destroy(end[i]);
}
END_TEST

START_TEST(what_nobody_took_is_freed)
{
    pdag_comm *end[2];

    ck_assert_int_eq(pdag_loopback_create(1, end), PDAG_OK);
    end[1]->ops->send(end[1], 0, text_message(PDAG_MSG_RESULT, "lost"));
    end[0]->ops->send(end[0], 1, text_message(PDAG_MSG_TASK, "lost"));
    pdag_comm_destroy(end[0]);
    pdag_comm_destroy(end[1]);
    pdag_comm_destroy(NULL);
}
END_TEST

START_TEST(join_numbers_the_workers_of_both)
{
    pdag_comm *a[2];
    pdag_comm *b[3];
    pdag_comm *all;
    int flushed = 0;

    ck_assert_int_eq(pdag_loopback_create(1, a), PDAG_OK);
    ck_assert_int_eq(pdag_loopback_create(2, b), PDAG_OK);
    ck_assert_int_eq(pdag_join_create(a[0], b[0], &all), PDAG_OK);
    ck_assert_int_eq(all->n_workers, 3);
    all->ops->send(all, 1, text_message(PDAG_MSG_TASK, "to a1"));
    all->ops->send(all, 2, text_message(PDAG_MSG_TASK, "to b1"));
    all->ops->send(all, 3, text_message(PDAG_MSG_TASK, "to b2"));
    expect(a[1], 0, "to a1");
    expect(b[1], 0, "to b1");
    expect(b[2], 0, "to b2");
    b[2]->ops->send(b[2], 0, text_message(PDAG_MSG_RESULT, "from b2"));
    expect(all, 3, "from b2");
    a[1]->ops->send(a[1], 0, text_message(PDAG_MSG_RESULT, "from a1"));
    expect(all, 1, "from a1");
    expect_nothing(all);
    ck_assert_int_eq(all->ops->flushed(all, &flushed), PDAG_OK);
    ck_assert_int_eq(flushed, 1);
    pdag_comm_destroy(all);
    pdag_comm_destroy(a[1]);
    pdag_comm_destroy(b[1]);
    pdag_comm_destroy(b[2]);
}
END_TEST

START_TEST(waiting_ends_when_the_time_is_over)
{
    pdag_comm *end[2];
    int peer;
    pdag_msg *msg;

    ck_assert_int_eq(pdag_loopback_create(1, end), PDAG_OK);
    ck_assert_int_eq(pdag_comm_wait(end[0], 0.001, &peer, &msg), PDAG_OK);
    ck_assert_ptr_null(msg);
    pdag_comm_destroy(end[0]);
    pdag_comm_destroy(end[1]);
}
END_TEST

static void expect_lost(pdag_comm *comm, int from)
{
    int peer = -1;
    pdag_msg *msg;

    ck_assert_int_eq(comm->ops->receive(comm, &peer, &msg), PDAG_OK);
    ck_assert_ptr_nonnull(msg);
    ck_assert_int_eq(peer, from);
    ck_assert_uint_eq(msg->header.kind, PDAG_MSG_LOST);
    ck_assert_int_eq(pdag_msg_check(msg, sizeof *msg), PDAG_OK);
    pdag_msg_free(msg);
}

START_TEST(a_worker_that_ends_without_gone_is_lost)
{
    pdag_comm *end[4];

    ck_assert_int_eq(pdag_loopback_create(3, end), PDAG_OK);
    end[0]->ops->send(end[0], 2, text_message(PDAG_MSG_TASK, "never taken"));
    end[2]->ops->send(end[2], 0, text_message(PDAG_MSG_RESULT, "last words"));
    end[3]->ops->send(end[3], 0, text_message(PDAG_MSG_RESULT, "alive"));
    pdag_comm_destroy(end[2]);
    end[1]->ops->send(end[1], 0, text_message(PDAG_MSG_GONE, "in order"));
    pdag_comm_destroy(end[1]);
    expect(end[0], 2, "last words");
    expect(end[0], 3, "alive");
    expect_lost(end[0], 2);
    expect(end[0], 1, "in order");
    expect_nothing(end[0]);
    /* To both of them: as if it had been sent. */
    ck_assert_int_eq(end[0]->ops->send(end[0], 2,
                                       text_message(PDAG_MSG_TASK, "dropped")),
                     PDAG_OK);
    ck_assert_int_eq(pdag_comm_send_plain(end[0], 1, PDAG_MSG_STOP, 0), PDAG_OK);
    end[0]->ops->send(end[0], 3, text_message(PDAG_MSG_TASK, "go on"));
    expect(end[3], 0, "go on");
    expect_nothing(end[0]);
    pdag_comm_destroy(end[3]);
    expect_lost(end[0], 3);
    expect_nothing(end[0]);
    pdag_comm_destroy(end[0]);
}
END_TEST

START_TEST(a_lost_worker_of_either_part_has_its_own_number)
{
    pdag_comm *a[2];
    pdag_comm *b[3];
    pdag_comm *all;

    ck_assert_int_eq(pdag_loopback_create(1, a), PDAG_OK);
    ck_assert_int_eq(pdag_loopback_create(2, b), PDAG_OK);
    ck_assert_int_eq(pdag_join_create(a[0], b[0], &all), PDAG_OK);
    pdag_comm_destroy(b[2]);
    expect_lost(all, 3);
    pdag_comm_destroy(a[1]);
    expect_lost(all, 1);
    expect_nothing(all);
    pdag_comm_destroy(b[1]);
    pdag_comm_destroy(all);
}
END_TEST

START_TEST(a_worker_without_scheduler_is_told)
{
    pdag_comm *end[2];
    int peer;
    pdag_msg *msg;

    ck_assert_int_eq(pdag_loopback_create(1, end), PDAG_OK);
    end[0]->ops->send(end[0], 1, text_message(PDAG_MSG_TASK, "never taken"));
    end[0]->ops->send(end[0], 1, text_message(PDAG_MSG_TASK, "nor this"));
    pdag_comm_destroy(end[0]);
    expect(end[1], 0, "never taken");
    expect(end[1], 0, "nor this");
    ck_assert_int_eq(pdag_comm_wait(end[1], 1e6, &peer, &msg), PDAG_ERR_LOST);
    ck_assert_int_eq(pdag_comm_send_plain(end[1], 0, PDAG_MSG_RESULT, 0),
                     PDAG_OK);
    pdag_comm_destroy(end[1]);
}
END_TEST

/* Workers that answer a random number of tasks and then end, half of them without
   a word, each at its own time. */

#define CROWD 16
#define ANSWERS_MOST 40

typedef struct mortal {
    pdag_comm *endpoint;
    pthread_t thread;
    int answers;
    int says_gone;
} mortal;

static void *live(void *argument)
{
    mortal *w = argument;

    for (int i = 0; i < w->answers; i++) {
        int peer;
        pdag_msg *msg;

        PDAG_ASSERT(pdag_comm_wait(w->endpoint, 1e6, &peer, &msg) == PDAG_OK &&
                    msg != NULL);
        msg->header.kind = PDAG_MSG_RESULT;
        w->endpoint->ops->send(w->endpoint, 0, msg);
    }
    if (w->says_gone)
        pdag_comm_send_plain(w->endpoint, 0, PDAG_MSG_GONE, 0);
    pdag_comm_destroy(w->endpoint);
    return NULL;
}

static void raise_crowd(mortal *crowd, uint32_t random, pdag_comm **scheduler_out)
{
    pdag_comm *end[CROWD + 1];

    ck_assert_int_eq(pdag_loopback_create(CROWD, end), PDAG_OK);
    *scheduler_out = end[0];
    for (int i = 0; i < CROWD; i++) {
        random = random * 1664525u + 1013904223u;
        crowd[i].endpoint = end[i + 1];
        crowd[i].answers = (int)((random >> 16) % ANSWERS_MOST);
        crowd[i].says_gone = random >> 31 != 0;
        ck_assert_int_eq(
            pthread_create(&crowd[i].thread, NULL, live, &crowd[i]), 0);
    }
}

/* More tasks than any of them takes; each waits until it is woken. */
START_TEST(many_ends_in_any_order)
{
    mortal crowd[CROWD];
    int answered[CROWD] = {0};
    int ended[CROWD] = {0};
    int n_ended = 0;
    pdag_comm *scheduler;

    raise_crowd(crowd, 2024u + 7919u * (uint32_t)_i, &scheduler);
    for (int i = 0; i < ANSWERS_MOST; i++)
        for (int peer = 1; peer <= CROWD; peer++)
            ck_assert_int_eq(pdag_comm_send_plain(scheduler, peer, PDAG_MSG_TASK,
                                                  0), PDAG_OK);
    while (n_ended < CROWD) {
        int peer;
        pdag_msg *msg;

        ck_assert_int_eq(pdag_comm_wait(scheduler, 1e6, &peer, &msg), PDAG_OK);
        ck_assert_ptr_nonnull(msg);
        ck_assert_int_eq(ended[peer - 1], 0);
        if (msg->header.kind == PDAG_MSG_RESULT) {
            answered[peer - 1]++;
        } else {
            ck_assert_uint_eq(msg->header.kind,
                              crowd[peer - 1].says_gone ? PDAG_MSG_GONE
                                                        : PDAG_MSG_LOST);
            ended[peer - 1] = 1;
            n_ended++;
        }
        pdag_msg_free(msg);
    }
    for (int i = 0; i < CROWD; i++) {
        pthread_join(crowd[i].thread, NULL);
        ck_assert_int_eq(answered[i], crowd[i].answers);
    }
    expect_nothing(scheduler);
    pdag_comm_destroy(scheduler);
}
END_TEST

/* A part that can be slept on and one that cannot, as on rank 0. */
START_TEST(a_joined_wait_hears_both)
{
    pdag_comm *a[2];
    pdag_comm *b[2];
    pdag_comm_ops deaf;
    pdag_comm *all;
    int peer;
    pdag_msg *msg;

    for (int swapped = 0; swapped < 2; swapped++) {
        ck_assert_int_eq(pdag_loopback_create(1, a), PDAG_OK);
        ck_assert_int_eq(pdag_loopback_create(1, b), PDAG_OK);
        deaf = *b[0]->ops;
        deaf.wait = NULL;
        b[0]->ops = &deaf;
        ck_assert_int_eq(swapped ? pdag_join_create(b[0], a[0], &all)
                                 : pdag_join_create(a[0], b[0], &all), PDAG_OK);
        ck_assert_int_eq(pdag_comm_wait(all, 0.003, &peer, &msg), PDAG_OK);
        ck_assert_ptr_null(msg);
        b[1]->ops->send(b[1], 0, text_message(PDAG_MSG_RESULT, "b"));
        ck_assert_int_eq(pdag_comm_wait(all, 1e6, &peer, &msg), PDAG_OK);
        ck_assert_int_eq(peer, swapped ? 1 : 2);
        pdag_msg_free(msg);
        a[1]->ops->send(a[1], 0, text_message(PDAG_MSG_RESULT, "a"));
        ck_assert_int_eq(pdag_comm_wait(all, 1e6, &peer, &msg), PDAG_OK);
        ck_assert_int_eq(peer, swapped ? 2 : 1);
        pdag_msg_free(msg);
        pdag_comm_destroy(a[1]);
        pdag_comm_destroy(b[1]);
        pdag_comm_destroy(all);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("comm");
    TCase *tcase = tcase_create("comm");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, header_is_checked);
    tcase_add_test(tcase, too_large_a_message_is_an_error);
    tcase_add_test(tcase, loopback_keeps_order_and_sender);
    tcase_add_test(tcase, what_nobody_took_is_freed);
    tcase_add_test(tcase, join_numbers_the_workers_of_both);
    tcase_add_test(tcase, waiting_ends_when_the_time_is_over);
    tcase_add_test(tcase, a_worker_that_ends_without_gone_is_lost);
    tcase_add_test(tcase, a_lost_worker_of_either_part_has_its_own_number);
    tcase_add_test(tcase, a_worker_without_scheduler_is_told);
    tcase_add_loop_test(tcase, many_ends_in_any_order, 0, 100);
    tcase_add_test(tcase, a_joined_wait_hears_both);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
