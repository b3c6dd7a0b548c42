/* The conformance suite of backend/backend.h: every backend that is built in
 * and opens here, in every precision it knows, against "ref"; and "ref" against
 * formulas of this suite's own.
 *
 * Inputs are rounded to the precision under test before both sides see them, so
 * that only an operation's own rounding is measured.  Outputs start as NaN and
 * have a guard behind them; inputs must come out unchanged.
 *
 * Environment: CONF_BACKEND_ONLY names the one backend to test (skipped, 77, where
 * it does not open); CONF_BACKEND_SMALL leaves out the cases that take seconds;
 * CONF_BACKEND_VERBOSE prints every error. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/conf_backend.h"

START_TEST(test_names)
{
    pdag_backend *be = NULL;
    pdag_precision precision;

    ck_assert_int_eq(
        pdag_backend_open("abacus", 0, PDAG_PRECISION_FLOAT32, &be),
        PDAG_ERR_UNSUPPORTED);
    ck_assert_msg(strstr(pdag_error_text(), "ref") != NULL, "%s",
                  pdag_error_text());
    ck_assert_int_eq(pdag_backend_open("ref", 0, PDAG_PRECISION_FLOAT16, &be),
                     PDAG_ERR_UNSUPPORTED);
    ck_assert_int_eq(pdag_backend_open("ref", 1, PDAG_PRECISION_FLOAT32, &be),
                     PDAG_ERR_UNSUPPORTED);
    ck_assert_int_eq(
        pdag_backend_open("auto", 4321, PDAG_PRECISION_FLOAT32, &be),
        PDAG_ERR_UNSUPPORTED);
    ck_assert(be == NULL);
    conf_ok(pdag_backend_open("auto", 0, PDAG_PRECISION_FLOAT32, &be));
    for (int i = 0; pdag_backend_list()[i] != NULL; i++)
        ck_assert(pdag_backend_list()[i]->priority <= be->ops->priority ||
                  strcmp(pdag_backend_list()[i]->name, "cuda") == 0);
    be->ops->close(be);
    for (int p = PDAG_PRECISION_FLOAT32; p <= PDAG_PRECISION_TF32; p++) {
        const char *name = pdag_precision_name((pdag_precision)p);

        conf_ok(pdag_precision_parse(name, &precision));
        ck_assert_int_eq((int)precision, p);
    }
    ck_assert_int_eq(pdag_precision_parse("int8", &precision), PDAG_ERR_ARG);
}
END_TEST

static void find_variants(const char *only)
{
    const pdag_backend_ops *const *list = pdag_backend_list();

    for (int i = 0; list[i] != NULL; i++)
        for (int p = PDAG_PRECISION_FLOAT32; p <= PDAG_PRECISION_TF32; p++) {
            pdag_backend *be;

            if (only != NULL && strcmp(list[i]->name, only) != 0)
                continue;
            if (list[i]->open(0, (pdag_precision)p, &be) != PDAG_OK) {
                if (only != NULL)
                    printf("%s\n", pdag_error_text());
                continue;
            }
            printf("%s %s: %s\n", list[i]->name,
                   pdag_precision_name((pdag_precision)p), be->description);
            list[i]->close(be);
            conf_variants[conf_n_variants++] =
                (conf_variant){list[i], (pdag_precision)p};
        }
}

static void add_names(Suite *suite)
{
    TCase *tc = tcase_create("names");

    tcase_add_test(tc, test_names);
    suite_add_tcase(suite, tc);
}

int main(void)
{
    Suite *suite = suite_create("backend");
    SRunner *runner;
    int failed;

    find_variants(getenv("CONF_BACKEND_ONLY"));
    if (conf_n_variants == 0)
        return 77;
    add_names(suite);
    conf_add_definition(suite);
    conf_add_dense(suite);
    conf_add_weights(suite);
    conf_add_rows(suite);
    conf_add_elements(suite);
    runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* a GPU does not survive it */
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
