/* tests/test_backend_choice.c: which process gets which device: a table of three
 * backends, "loom" with devices of its own, "abacus" and "paper" without. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#define PDAG_BACKEND_TABLE "tests/backend_choice.h"
#include "backend/backend.c"

static int n_looms;
static int opened_device;
static pdag_backend abacus = {.ops = &pdag_backend_abacus};
static pdag_backend loom = {.ops = &pdag_backend_loom};
static pdag_backend paper = {.ops = &pdag_backend_paper};

static pdag_status abacus_open(int device, pdag_precision precision,
                               pdag_backend **be_out)
{
    if (device != 0 || precision == PDAG_PRECISION_FLOAT16)
        return pdag_error(PDAG_ERR_UNSUPPORTED, "abacus: not that");
    *be_out = &abacus;
    return PDAG_OK;
}

static pdag_status loom_open(int device, pdag_precision precision,
                             pdag_backend **be_out)
{
    (void)precision;
    if (n_looms == 0)
        return pdag_error(PDAG_ERR_UNSUPPORTED, "loom: no thread");
    if (device >= n_looms)
        return pdag_error(PDAG_ERR_UNSUPPORTED, "loom: not so many");
    opened_device = device;
    *be_out = &loom;
    return PDAG_OK;
}

static pdag_status paper_open(int device, pdag_precision precision,
                              pdag_backend **be_out)
{
    (void)device;
    (void)precision;
    *be_out = &paper;
    return pdag_error(PDAG_ERR_BACKEND, "paper: burnt");
}

static int loom_count(void)
{
    return n_looms;
}

const pdag_backend_ops pdag_backend_abacus = {
    .name = "abacus", .priority = 5, .open = abacus_open};
const pdag_backend_ops pdag_backend_loom = {.name = "loom",
                                            .priority = 7,
                                            .open = loom_open,
                                            .n_devices = loom_count};
const pdag_backend_ops pdag_backend_paper = {
    .name = "paper", .priority = 1, .open = paper_open};

/* What process `local` gets: its device, or -1 for the abacus. */
static int given(const char *name, int local, bool share, pdag_status wanted)
{
    pdag_backend *be = NULL;
    int device = -2;

    opened_device = -3;
    ck_assert_int_eq(pdag_backend_open_local(name, local, share,
                                             PDAG_PRECISION_FLOAT32, &be,
                                             &device),
                     wanted);
    if (wanted != PDAG_OK) {
        ck_assert_int_eq(device, -2);
        return -2;
    }
    ck_assert_ptr_eq(be, device < 0 ? &abacus : &loom);
    if (device >= 0)
        ck_assert_int_eq(opened_device, device);
    return device;
}

START_TEST(test_each_its_own)
{
    n_looms = 3;
    for (int local = 0; local < 3; local++) {
        ck_assert_int_eq(given("auto", local, false, PDAG_OK), local);
        ck_assert_int_eq(given("loom", local, false, PDAG_OK), local);
        ck_assert_int_eq(given("auto", local, true, PDAG_OK), local);
    }
}
END_TEST

START_TEST(test_more_processes_than_devices)
{
    n_looms = 2;
    ck_assert_int_eq(given("auto", 2, false, PDAG_OK), -1);
    ck_assert_int_eq(given("auto", 2, true, PDAG_OK), 0);
    ck_assert_int_eq(given("auto", 7, true, PDAG_OK), 1);
    given("loom", 2, false, PDAG_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "2 devices"));
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "--share-devices"));
    ck_assert_int_eq(given("loom", 2, true, PDAG_OK), 0);
}
END_TEST

START_TEST(test_no_device)
{
    n_looms = 0;
    for (int local = 0; local < 3; local++) {
        ck_assert_int_eq(given("auto", local, local == 1, PDAG_OK), -1);
        given("loom", local, local == 1, PDAG_ERR_UNSUPPORTED);
        ck_assert_str_eq(pdag_error_text(), "loom: no thread");
        ck_assert_int_eq(given("abacus", local, false, PDAG_OK), -1);
    }
}
END_TEST

/* A device by its number, for tests and benchmarks; a failure that is not one of
   being absent ends the search. */
START_TEST(test_by_number)
{
    pdag_backend *be = NULL;

    n_looms = 2;
    ck_assert_int_eq(
        pdag_backend_open("auto", 1, PDAG_PRECISION_FLOAT32, &be), PDAG_OK);
    ck_assert_int_eq(opened_device, 1);
    ck_assert_int_eq(
        pdag_backend_open("loom", 2, PDAG_PRECISION_FLOAT32, &be),
        PDAG_ERR_UNSUPPORTED);
    ck_assert_int_eq(
        pdag_backend_open("abacus", 1, PDAG_PRECISION_FLOAT32, &be),
        PDAG_ERR_UNSUPPORTED);
    n_looms = 0;
    ck_assert_int_eq(
        pdag_backend_open("auto", 0, PDAG_PRECISION_FLOAT16, &be),
        PDAG_ERR_BACKEND);
    ck_assert_str_eq(pdag_error_text(), "paper: burnt");
    ck_assert_int_eq(
        pdag_backend_open("quipu", 0, PDAG_PRECISION_FLOAT32, &be),
        PDAG_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "abacus, loom, paper"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("backend choice");
    TCase *tc = tcase_create("choice");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, test_each_its_own);
    tcase_add_test(tc, test_more_processes_than_devices);
    tcase_add_test(tc, test_no_device);
    tcase_add_test(tc, test_by_number);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
