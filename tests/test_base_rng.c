/* base/rng: published vectors of Philox, torch's CPU stream, cuRAND's values,
   and our own counter stream pinned. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/rng.h"

static void data_path(const char *name, char *path, size_t room)
{
    const char *folder = getenv("srcdir");

    snprintf(path, room, "%s/tests/data/rng/%s", folder != NULL ? folder : ".",
             name);
}

START_TEST(test_philox_known_answers)
{
    /* Random123, tests/kat_vectors, "philox4x32 10". */
    static const uint32_t kat[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff,
         0xffffffff, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822,
         0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
    };

    for (int k = 0; k < 3; k++) {
        uint32_t out[4];

        pdag_philox4x32(kat[k], kat[k] + 4, out);
        for (int j = 0; j < 4; j++)
            ck_assert_uint_eq(out[j], kat[k][6 + j]);
    }
}
END_TEST

static void check_draw(pdag_rng *rng, const json_t *draw)
{
    size_t n = (size_t)json_integer_value(json_object_get(draw, "n"));
    const json_t *values = json_object_get(draw, "values");
    float *x = malloc((n + 1) * sizeof *x);
    double sum = 0;

    ck_assert_ptr_nonnull(x);
    for (size_t j = 0; j <= n; j++)
        x[j] = 1e9f;
    ck_assert_int_eq(pdag_rng_normal(rng, n, x), PDAG_OK);
    for (size_t k = 0; k < json_array_size(values); k++) {
        size_t j = n > 40 && k >= 20 ? n - 40 + k : k;
        double expected = json_number_value(json_array_get(values, k));

        ck_assert_msg(fabs((double)x[j] - expected) <= 2e-6,
                      "n %zu, element %zu: %.9g, torch %.9g", n, j,
                      (double)x[j], expected);
    }
    for (size_t j = 0; j < n; j++)
        sum += (double)x[j];
    ck_assert_double_eq_tol(
        sum, json_number_value(json_object_get(draw, "sum")),
        2e-7 * (double)n + 1e-6);
    ck_assert_float_eq(x[n], 1e9f);
    free(x);
}

START_TEST(test_torch_cpu)
{
    char path[1024];
    pdag_json json;
    json_t *sequences;

    data_path("torch_cpu.json", path, sizeof path);
    ck_assert_msg(pdag_json_read(path, &json) == PDAG_OK, "%s",
                  pdag_error_text());
    ck_assert_int_eq(pdag_json_array(&json, "sequences", &sequences), PDAG_OK);
    ck_assert_uint_ge(json_array_size(sequences), 18);
    for (size_t s = 0; s < json_array_size(sequences); s++) {
        const json_t *sequence = json_array_get(sequences, s);
        const json_t *draws = json_object_get(sequence, "draws");
        uint64_t seed = strtoull(
            json_string_value(json_object_get(sequence, "seed")), NULL, 10);
        pdag_rng *rng;

        ck_assert_int_eq(pdag_rng_create(PDAG_RNG_TORCH_CPU, seed, &rng),
                         PDAG_OK);
        for (size_t k = 0; k < json_array_size(draws); k++)
            check_draw(rng, json_array_get(draws, k));
        pdag_rng_destroy(rng);
    }
    pdag_json_clear(&json);
}
END_TEST

START_TEST(test_torch_cuda)
{
    /* Printed for seed 0 by the stable-diffusion-webui generator that imitates
       a card; it computes in float64. */
    static const float published[] = {
        -0.92466259f, -0.42534415f, -2.6438457f,  0.14518388f,
        -0.12086647f, -0.57972564f, -0.62285122f, -0.32838709f,
        -1.07454231f, -0.36314407f, -1.67105067f, 2.26550497f};
    static float x[40960];
    char path[1024];
    FILE *file;
    pdag_rng *rng = NULL;
    unsigned long long seed, last = 1;
    unsigned draw, at = 0, element, lines = 0;
    double value;

    data_path("torch_cuda.txt", path, sizeof path);
    file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    while (fscanf(file, "%llu %u %u %*x %*x %lf", &seed, &draw, &element,
                  &value) == 4) {
        if (rng == NULL || seed != last) {
            pdag_rng_destroy(rng);
            ck_assert_int_eq(pdag_rng_create(PDAG_RNG_TORCH_CUDA, seed, &rng),
                             PDAG_OK);
            at = 0;
            last = seed;
        }
        for (; at <= draw; at++)
            ck_assert_int_eq(pdag_rng_normal(rng, 40960, x), PDAG_OK);
        ck_assert_msg(fabs((double)x[element] - value) <= 1e-6,
                      "seed %llu draw %u element %u: %.9g, curand %.9g", seed,
                      draw, element, (double)x[element], value);
        lines++;
    }
    fclose(file);
    ck_assert_uint_ge(lines, 100);
    pdag_rng_destroy(rng);

    ck_assert_int_eq(pdag_rng_create(PDAG_RNG_TORCH_CUDA, 0, &rng), PDAG_OK);
    ck_assert_int_eq(pdag_rng_normal(rng, 40961, x), PDAG_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "40961"));
    ck_assert_int_eq(pdag_rng_normal(rng, 12, x), PDAG_OK);
    for (int j = 0; j < 12; j++)
        ck_assert_float_eq_tol(x[j], published[j], 1e-6f);
    pdag_rng_destroy(rng);
}
END_TEST

START_TEST(test_counter_is_pinned)
{
    /* From the header's formula, written out in Python; a change breaks every
       stored seed. */
    static const struct {
        uint64_t seed, step, element;
        float value;
    } pins[] = {
        {0, 0, 0, -0.397667527f},
        {0, 0, 1, -0.310395479f},
        {0, 0, 2, 1.3868444f},
        {0, 1, 0, -0.351141006f},
        {1, 0, 0, -0.113680199f},
        {1, 50, 16383, -0.282393992f},
        {42, 7, 12345, 1.78190398f},
        {4294967301u, 3, 4, 0.491144359f},
        {9223372036854775809u, 1000, 99, -1.48716843f},
        {7, 1099511627779u, 17179869185u, -0.15760012f},
    };

    for (size_t k = 0; k < sizeof pins / sizeof pins[0]; k++) {
        float value = 1e9f;

        pdag_rng_counter_normal(pins[k].seed, pins[k].step, pins[k].element, 1,
                                &value);
        ck_assert_msg(fabsf(value - pins[k].value) <=
                          2e-7f * (1 + fabsf(value)),
                      "pin %zu: %.9g, expected %.9g", k, (double)value,
                      (double)pins[k].value);
    }
}
END_TEST

START_TEST(test_counter_does_not_depend_on_cuts)
{
    enum { N = 1001 };
    float whole[N];
    float parts[N];
    size_t at = 0;

    pdag_rng_counter_normal(7, 3, 5, N, whole);
    for (size_t length = 0; at < N; at += length) {
        length = length % 7 + 1;
        if (length > N - at)
            length = N - at;
        pdag_rng_counter_normal(7, 3, 5 + at, length, parts + at);
    }
    ck_assert_mem_eq(whole, parts, sizeof whole);
}
END_TEST

START_TEST(test_counter_object_counts_draws)
{
    float a[10], b[10];
    pdag_rng *rng;

    ck_assert_int_eq(pdag_rng_create(PDAG_RNG_COUNTER, 99, &rng), PDAG_OK);
    for (uint64_t step = 0; step < 3; step++) {
        ck_assert_int_eq(pdag_rng_normal(rng, 10, a), PDAG_OK);
        pdag_rng_counter_normal(99, step, 0, 10, b);
        ck_assert_mem_eq(a, b, sizeof a);
    }
    pdag_rng_destroy(rng);
}
END_TEST

/* Mean, variance, kurtosis and the correlation of neighbours, at five
   deviations: a wrong transform would be far out. */
static void check_moments(const float *x, size_t n)
{
    double s1 = 0, s2 = 0, s4 = 0, s12 = 0;
    double root = sqrt((double)n);

    for (size_t j = 0; j < n; j++) {
        double v = (double)x[j];

        ck_assert(isfinite(v));
        s1 += v;
        s2 += v * v;
        s4 += v * v * v * v;
        s12 += j > 0 ? v * (double)x[j - 1] : 0;
    }
    ck_assert_double_le(fabs(s1 / (double)n), 5 / root);
    ck_assert_double_le(fabs(s2 / (double)n - 1), 5 * sqrt(2.0) / root);
    ck_assert_double_le(fabs(s4 / (double)n - 3), 5 * sqrt(96.0) / root);
    ck_assert_double_le(fabs(s12 / (double)n), 5 / root);
}

START_TEST(test_moments)
{
    enum { N = 40000 };
    static float x[N];
    pdag_rng *rng;

    for (int kind = PDAG_RNG_COUNTER; kind <= PDAG_RNG_TORCH_CUDA; kind++) {
        ck_assert_int_eq(pdag_rng_create((pdag_rng_kind)kind, 4, &rng),
                         PDAG_OK);
        ck_assert_int_eq(pdag_rng_normal(rng, N, x), PDAG_OK);
        check_moments(x, N);
        pdag_rng_destroy(rng);
    }
}
END_TEST

START_TEST(test_kind_names)
{
    pdag_rng_kind kind = PDAG_RNG_COUNTER;

    ck_assert_int_eq(pdag_rng_kind_parse("torch-cuda", &kind), PDAG_OK);
    ck_assert_int_eq(kind, PDAG_RNG_TORCH_CUDA);
    ck_assert_int_eq(pdag_rng_kind_parse("torch-cpu", &kind), PDAG_OK);
    ck_assert_int_eq(kind, PDAG_RNG_TORCH_CPU);
    ck_assert_int_eq(pdag_rng_kind_parse("counter", &kind), PDAG_OK);
    ck_assert_int_eq(kind, PDAG_RNG_COUNTER);
    ck_assert_int_eq(pdag_rng_kind_parse("mt19937", &kind), PDAG_ERR_ARG);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "mt19937"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/rng");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, test_philox_known_answers);
    tcase_add_test(tcase, test_torch_cpu);
    tcase_add_test(tcase, test_torch_cuda);
    tcase_add_test(tcase, test_counter_is_pinned);
    tcase_add_test(tcase, test_counter_does_not_depend_on_cuts);
    tcase_add_test(tcase, test_counter_object_counts_draws);
    tcase_add_test(tcase, test_moments);
    tcase_add_test(tcase, test_kind_names);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
