#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "graph/loops.h"

/* Lengths around the vector code's pieces. */
#define MOST 67

static float x[MOST + 1];
static float e[MOST + 1];
static float xi[MOST + 1];

static void fill(float *values, unsigned seed)
{
    for (size_t j = 0; j <= MOST; j++) {
        seed = seed * 1664525u + 1013904223u;
        values[j] = (float)(seed >> 8) / 1048576.0f - 8.0f;
    }
}

static void fill_all(void)
{
    fill(x, 1);
    fill(e, 2);
    fill(xi, 3);
}

/* Bits of the definition, nothing beyond n, also in place. */
START_TEST(linear_is_its_definition)
{
    const double a = 0.937, b = -0.2113, c = 0.071;

    fill_all();
    for (size_t n = 0; n <= MOST; n++) {
        for (int kind = 0; kind < 4; kind++) {
            float out[MOST + 1];
            float *f = out;

            for (size_t j = 0; j <= MOST; j++)
                out[j] = kind < 2 ? -77.0f : x[j];
            pdag_loop_linear(n, a, kind < 2 ? x : out, b, e, c,
                             kind % 2 == 0 ? NULL : xi, f);
            for (size_t j = 0; j < n; j++) {
                double y = a * (double)x[j] + b * (double)e[j];

                if (kind % 2 == 1)
                    y = y + c * (double)xi[j];
                ck_assert(f[j] == (float)y);
            }
            ck_assert(f[n] == (kind < 2 ? -77.0f : x[n]));
        }
    }
}
END_TEST

START_TEST(scale_is_its_definition)
{
    static const double factors[] = {1.0, 0.31, -2.5};

    fill_all();
    for (size_t n = 0; n <= MOST; n++) {
        for (size_t k = 0; k < sizeof factors / sizeof factors[0]; k++) {
            float out[MOST + 1];

            for (size_t j = 0; j <= MOST; j++)
                out[j] = -77.0f;
            pdag_loop_scale(n, factors[k], x, out);
            for (size_t j = 0; j < n; j++)
                ck_assert(out[j] == (float)(factors[k] * (double)x[j]));
            ck_assert(out[n] == -77.0f);
        }
    }
}
END_TEST

START_TEST(one_bad_value_is_found_anywhere)
{
    const float bad[] = {INFINITY, -INFINITY, NAN, -NAN};

    fill_all();
    x[0] = 3.4028235e38f;
    x[1] = -3.4028235e38f;
    x[2] = 1e-45f;
    x[3] = -0.0f;
    for (size_t n = 0; n <= MOST; n++) {
        x[n] = NAN; /* behind the end */
        ck_assert(pdag_loop_all_finite(n, x));
        x[n] = 1.0f;
    }
    for (size_t j = 0; j < MOST; j++) {
        for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
            float kept = x[j];

            x[j] = bad[k];
            ck_assert(!pdag_loop_all_finite(MOST, x));
            x[j] = kept;
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("graph/loops");
    TCase *tests = tcase_create("loops");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tests, linear_is_its_definition);
    tcase_add_test(tests, scale_is_its_definition);
    tcase_add_test(tests, one_bad_value_is_found_anywhere);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
