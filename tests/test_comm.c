/* tests/test_comm.c: messages, loopback, join. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

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
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
