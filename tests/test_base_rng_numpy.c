/* base/rng_numpy: numpy's own numbers (tools/reference/pusht_reference.py). */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/rng_numpy.h"

static pdag_json reference(void)
{
    const char *folder = getenv("srcdir");
    char path[512];
    pdag_json json;

    snprintf(path, sizeof path, "%s/tests/data/pusht/reference.json",
             folder != NULL ? folder : ".");
    ck_assert_int_eq(pdag_json_read(path, &json), PDAG_OK);
    return json;
}

static double number(const json_t *array, size_t at)
{
    return json_number_value(json_array_get(array, at));
}

START_TEST(test_mixed_draws_are_numpys)
{
    static const int64_t highs[] = {1, 2, 3, 400, 1000, 2147483647};
    pdag_json json = reference();
    json_t *draws = json_object_get(json.root, "draws");

    ck_assert_uint_ge(json_array_size(draws), 8);
    for (size_t j = 0; j < json_array_size(draws); j++) {
        const json_t *one = json_array_get(draws, j);
        const json_t *values = json_object_get(one, "values");
        json_int_t seed = json_integer_value(json_object_get(one, "seed"));
        pdag_rng_numpy *rng = pdag_rng_numpy_create((uint32_t)seed);

        ck_assert_uint_eq(json_array_size(values), 18);
        for (size_t k = 0; k < 6; k++) {
            int64_t integer = pdag_rng_numpy_integer(rng, 0, highs[k]);

            ck_assert_double_eq((double)integer, number(values, 3 * k));
            ck_assert_double_eq(pdag_rng_numpy_uniform(rng),
                                number(values, 3 * k + 1));
            /* The logarithm may differ in its last bit. */
            ck_assert_double_eq_tol(pdag_rng_numpy_normal(rng),
                                    number(values, 3 * k + 2), 1e-14);
        }
        pdag_rng_numpy_destroy(rng);
    }
    pdag_json_clear(&json);
}
END_TEST

START_TEST(test_integers_reach_both_ends)
{
    pdag_rng_numpy *rng = pdag_rng_numpy_create(5);
    int seen[7] = {0};

    for (int j = 0; j < 7000; j++) {
        int64_t value = pdag_rng_numpy_integer(rng, -3, 4);

        ck_assert_int_ge(value, -3);
        ck_assert_int_lt(value, 4);
        seen[value + 3]++;
    }
    for (int j = 0; j < 7; j++) /* six standard deviations */
        ck_assert_int_lt(abs(seen[j] - 1000), 176);
    ck_assert_int_eq(pdag_rng_numpy_integer(rng, 9, 10), 9);
    pdag_rng_numpy_destroy(rng);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/rng_numpy");
    TCase *tcase = tcase_create("numpy");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tcase, test_mixed_draws_are_numpys);
    tcase_add_test(tcase, test_integers_reach_both_ends);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
