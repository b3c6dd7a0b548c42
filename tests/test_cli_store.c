/* cli/store: what is on disk after checkpoints were handed over, what is found
   again, and what happens when the disk fails. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/store.h"
#include "tests/temporary.h"

static char output[TEMPORARY_BYTES];

static void set_up(void)
{
    temporary_folder(output);
}

/* A path in the output folder; the text of the last four calls stays. */
static const char *path_of(const char *format, ...)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % 4];
    int used = snprintf(path, 256, "%s/", output);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(path + used, 256 - (size_t)used, format, arguments);
    va_end(arguments);
    return path;
}

static bool is_there(const char *name)
{
    struct stat there;

    return lstat(path_of("checkpoint/%s", name), &there) == 0;
}

static void make_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

/* A checkpoint that can be told from others. */
static pdag_checkpoint *numbered(uint64_t number, size_t filler)
{
    pdag_checkpoint *cp = pdag_checkpoint_create("job", 3);
    void *values;

    ck_assert_int_eq(pdag_checkpoint_add(cp, "number", PDAG_CHECKPOINT_U64, 1,
                                         &values), PDAG_OK);
    memcpy(values, &number, sizeof number);
    ck_assert_int_eq(pdag_checkpoint_add(cp, "filler", PDAG_CHECKPOINT_BYTES,
                                         filler, &values), PDAG_OK);
    return cp;
}

static pdag_store *opened(void)
{
    pdag_store *store = NULL;

    ck_assert_msg(pdag_store_open(output, &store) == PDAG_OK, "%s",
                  pdag_error_text());
    return store;
}

static void close_well(pdag_store *store)
{
    ck_assert_msg(pdag_store_close(store) == PDAG_OK, "%s", pdag_error_text());
}

/* Write these, each on disk before the next. */
static void put_each(uint64_t first, uint64_t last)
{
    for (uint64_t number = first; number <= last; number++) {
        pdag_store *store = opened();

        ck_assert_int_eq(pdag_store_put(store, numbered(number, 10)), PDAG_OK);
        close_well(store);
    }
}

/* The number of the newest one; 0: none.  *notes_out: to be freed. */
static uint64_t newest(char **notes_out)
{
    pdag_checkpoint *cp = (pdag_checkpoint *)output;
    uint64_t number = 0;

    *notes_out = output;
    ck_assert_msg(pdag_store_newest(output, &cp, notes_out) == PDAG_OK, "%s",
                  pdag_error_text());
    if (cp == NULL)
        return 0;
    ck_assert_int_eq(pdag_checkpoint_copy(cp, "number", PDAG_CHECKPOINT_U64, 1,
                                          &number), PDAG_OK);
    pdag_checkpoint_destroy(cp);
    return number;
}

static void check_newest(uint64_t expected)
{
    char *notes;

    ck_assert_uint_eq(newest(&notes), expected);
    ck_assert_msg(notes == NULL, "%s", notes);
}

/* Nothing is left of the store, nor of the folder. */
static void remove_all(void)
{
    ck_assert_msg(pdag_store_remove(output) == PDAG_OK, "%s", pdag_error_text());
    ck_assert_int_eq(rmdir(output), 0);
}

START_TEST(test_nothing_put)
{
    close_well(opened());
    ck_assert(access(path_of("checkpoint"), F_OK) != 0);
    check_newest(0);
    remove_all();
}
END_TEST

START_TEST(test_keeps_two)
{
    put_each(1, 5);
    ck_assert(is_there("state-000005.ckpt") && is_there("state-000004.ckpt"));
    ck_assert(!is_there("state-000003.ckpt") && !is_there(".state.partial"));
    check_newest(5);
    put_each(6, 6); /* numbers go on */
    ck_assert(is_there("state-000006.ckpt") && is_there("state-000005.ckpt"));
    ck_assert(!is_there("state-000004.ckpt"));
    check_newest(6);
    remove_all();
}
END_TEST

/* One store, many checkpoints in a row: the last one is on disk in the end. */
START_TEST(test_in_a_row)
{
    pdag_store *store = opened();

    for (uint64_t number = 1; number <= 200; number++)
        ck_assert_int_eq(pdag_store_put(store, numbered(number, 5000)), PDAG_OK);
    close_well(store);
    check_newest(200);
    remove_all();
}
END_TEST

START_TEST(test_large_numbers)
{
    put_each(1, 1);
    ck_assert_int_eq(rename(path_of("checkpoint/state-000001.ckpt"),
                            path_of("checkpoint/state-999999.ckpt")), 0);
    put_each(2, 2);
    ck_assert(is_there("state-1000000.ckpt") && is_there("state-999999.ckpt"));
    check_newest(2);
    put_each(3, 3);
    ck_assert(is_there("state-1000001.ckpt") && !is_there("state-999999.ckpt"));
    check_newest(3);
    remove_all();
}
END_TEST

START_TEST(test_unsound_newest)
{
    pdag_store *store;
    char *notes;

    put_each(1, 2);
    ck_assert_int_eq(truncate(path_of("checkpoint/state-000002.ckpt"), 100), 0);
    ck_assert_uint_eq(newest(&notes), 1);
    ck_assert_ptr_nonnull(notes);
    ck_assert_ptr_nonnull(strstr(notes, "state-000002.ckpt"));
    ck_assert_ptr_null(strchr(notes, '\n'));
    free(notes);

    make_file(path_of("checkpoint/state-000003.ckpt"), "");
    ck_assert_int_eq(mkfifo(path_of("checkpoint/state-000004.ckpt"), 0600), 0);
    ck_assert_uint_eq(newest(&notes), 1);
    ck_assert_ptr_nonnull(strstr(notes, "state-000004.ckpt: not a plain file\n"));
    ck_assert_ptr_nonnull(strstr(notes, "state-000003.ckpt"));
    free(notes);

    store = opened(); /* without a job */
    ck_assert_int_eq(pdag_store_put(store, pdag_checkpoint_create(NULL, 0)),
                     PDAG_OK);
    close_well(store);
    ck_assert_uint_eq(newest(&notes), 0);
    ck_assert_ptr_nonnull(strstr(notes, "state-000005.ckpt: holds no job"));
    free(notes);
    put_each(6, 6);
    check_newest(6);
    remove_all();
}
END_TEST

/* A pipe in place of the partial file lets the test hold the writer: what is put
   meanwhile waits, and only the last of it. */
START_TEST(test_replaces_the_waiting_one)
{
    pdag_store *store = opened();
    char *bytes = pdag_xcalloc(1 << 20, 1);
    int pipe_end;

    ck_assert(pdag_store_idle(store));
    ck_assert_int_eq(mkdir(path_of("checkpoint"), 0777), 0);
    ck_assert_int_eq(mkfifo(path_of("checkpoint/.state.partial"), 0600), 0);
    ck_assert_int_eq(pdag_store_put(store, numbered(1, 1 << 20)), PDAG_OK);
    pipe_end = open(path_of("checkpoint/.state.partial"), O_RDONLY);
    ck_assert_int_ge(pipe_end, 0);
    for (uint64_t number = 2; number <= 4; number++) {
        ck_assert_int_eq(pdag_store_put(store, numbered(number, 0)), PDAG_OK);
        ck_assert(!pdag_store_idle(store));
    }
    while (read(pipe_end, bytes, 1 << 20) > 0)
        continue;
    close(pipe_end);
    close_well(store);
    ck_assert(is_there("state-000002.ckpt") && !is_there("state-000003.ckpt"));
    check_newest(4);
    free(bytes);
    remove_all();
}
END_TEST

START_TEST(test_remove_leaves_foreign_files)
{
    static const char *const foreign[] = {"state-1.ckpt", "state-000001.ckpt.bak",
                                          "state-.ckpt", "notes.txt",
                                          "state-18446744073709551617.ckpt"};
    size_t n = sizeof foreign / sizeof *foreign;

    put_each(1, 3);
    make_file(path_of("checkpoint/.state.partial"), "a killed run's");
    for (size_t i = 0; i < n; i++)
        make_file(path_of("checkpoint/%s", foreign[i]), "not ours");
    check_newest(3);
    put_each(4, 4);
    check_newest(4);
    ck_assert(!is_there(".state.partial"));
    make_file(path_of("checkpoint/.state.partial"), "a killed run's");
    ck_assert_int_eq(pdag_store_remove(output), PDAG_OK);
    ck_assert(!is_there("state-000004.ckpt") && !is_there("state-000003.ckpt"));
    ck_assert(!is_there(".state.partial"));
    for (size_t i = 0; i < n; i++) {
        ck_assert_msg(is_there(foreign[i]), "%s", foreign[i]);
        ck_assert_int_eq(unlink(path_of("checkpoint/%s", foreign[i])), 0);
    }
    remove_all();
    ck_assert_int_eq(pdag_store_remove(output), PDAG_OK); /* nothing there */
}
END_TEST

/* Wait for the thread; a put would replace what waits. */
static void wait_until_idle(pdag_store *store)
{
    while (!pdag_store_idle(store))
        continue;
}

START_TEST(test_failure_is_told_once)
{
    pdag_store *store = opened();

    make_file(path_of("checkpoint"), "a file where the folder should be");
    ck_assert_int_eq(pdag_store_put(store, numbered(1, 10)), PDAG_OK);
    wait_until_idle(store);
    ck_assert_int_eq(unlink(path_of("checkpoint")), 0);
    ck_assert_int_eq(pdag_store_put(store, numbered(2, 10)), PDAG_ERR_IO);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), path_of("checkpoint")));
    wait_until_idle(store);
    check_newest(2); /* it was written all the same */
    ck_assert_int_eq(pdag_store_put(store, numbered(3, 10)), PDAG_OK);
    close_well(store);
    check_newest(3);
    remove_all();
}
END_TEST

START_TEST(test_full_disk)
{
    pdag_store *store;

    if (access("/dev/full", W_OK) != 0)
        return;
    put_each(1, 1);
    ck_assert_int_eq(symlink("/dev/full", path_of("checkpoint/.state.partial")),
                     0);
    store = opened();
    ck_assert_int_eq(pdag_store_put(store, numbered(2, 10)), PDAG_OK);
    ck_assert_int_eq(pdag_store_close(store), PDAG_ERR_IO);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "state-000002.ckpt"));
    ck_assert(!is_there("state-000002.ckpt") && !is_there(".state.partial"));
    check_newest(1);
    remove_all();
}
END_TEST

static volatile sig_atomic_t n_signals;

static void count_signal(int number)
{
    (void)number;
    n_signals = n_signals + 1;
}

/* The thread takes no signals: while this one blocks SIGTERM, it stays pending. */
START_TEST(test_signals_are_not_for_the_thread)
{
    pdag_store *store = opened();
    sigset_t term, pending;

    ck_assert(signal(SIGTERM, count_signal) != SIG_ERR);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    ck_assert_int_eq(sigprocmask(SIG_BLOCK, &term, NULL), 0);
    ck_assert_int_eq(kill(getpid(), SIGTERM), 0);
    ck_assert_int_eq(pdag_store_put(store, numbered(1, 10)), PDAG_OK);
    close_well(store);
    ck_assert_int_eq(n_signals, 0);
    ck_assert_int_eq(sigpending(&pending), 0);
    ck_assert_int_eq(sigismember(&pending, SIGTERM), 1);
    ck_assert_int_eq(sigprocmask(SIG_UNBLOCK, &term, NULL), 0);
    ck_assert_int_eq(n_signals, 1);
    check_newest(1);
    remove_all();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli_store");
    TCase *all = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_set_timeout(all, 60);
    tcase_add_checked_fixture(all, set_up, NULL);
    tcase_add_test(all, test_nothing_put);
    tcase_add_test(all, test_keeps_two);
    tcase_add_test(all, test_in_a_row);
    tcase_add_test(all, test_large_numbers);
    tcase_add_test(all, test_unsound_newest);
    tcase_add_test(all, test_replaces_the_waiting_one);
    tcase_add_test(all, test_remove_leaves_foreign_files);
    tcase_add_test(all, test_failure_is_told_once);
    tcase_add_test(all, test_full_disk);
    tcase_add_test(all, test_signals_are_not_for_the_thread);
    suite_add_tcase(suite, all);
    srunner_run_all(runner, CK_NORMAL);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
