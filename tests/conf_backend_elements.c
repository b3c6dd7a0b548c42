/* Conformance of element-wise operations and of moving data. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/conf_backend.h"

/* ---- element-wise ---- */

START_TEST(test_activate)
{
    static const size_t sizes[] = {1, 3, 16, 33, 1000};

    conf_open(_i);
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int act = PDAG_ACT_NONE; act <= PDAG_ACT_RELU; act++)
            for (int in_place = 0; in_place < 2; in_place++) {
                const size_t n = sizes[s];
                /* A few values alone must not all lie in the left tail, where
                   1 + erf(x) cancels and a relative error says nothing. */
                const float range = n < 16 ? 1.0f : 12.0f;
                char what[96];
                conf_tensor *x =
                    conf_tensor_of(n, conf_floats(n, range, 0.0f));
                conf_tensor *y = in_place ? x : conf_output(n);

                if (in_place)
                    conf_give_up(x);
                conf_ok(conf_ref->ops->activate(
                    conf_ref, n, (pdag_activation)act, &x->ref, &y->ref));
                conf_ok(conf_test->ops->activate(
                    conf_test, n, (pdag_activation)act, &x->test, &y->test));
                snprintf(what, sizeof what, "activation %d of %zu", act, n);
                conf_compare(y, what);
                conf_release();
            }
    conf_close();
}
END_TEST

/* Far out the functions are 0 or x, and NaN is never lost. */
START_TEST(test_activate_extreme)
{
    static const float points[] = {-3e38f, -1e4f,  -100.0f, -30.0f, 0.0f,
                                   30.0f,  100.0f, 1e4f,    1e30f,  NAN};
    const size_t n = sizeof points / sizeof points[0];

    conf_open(_i);
    for (int act = PDAG_ACT_NONE; act <= PDAG_ACT_RELU; act++) {
        conf_tensor *x = conf_output(n);
        float *got;

        conf_ok(conf_test->ops->upload(conf_test, n, points, &x->test));
        conf_ok(conf_test->ops->activate(conf_test, n, (pdag_activation)act,
                                         &x->test, &x->test));
        got = conf_fetch(conf_test, &x->test, n);
        for (size_t i = 0; i + 1 < n; i++) {
            const float whole = conf_round(conf_test->precision, points[i]);
            const float want =
                points[i] < 0.0f && act != PDAG_ACT_NONE ? 0.0f : whole;

            if (conf_test->precision == PDAG_PRECISION_FLOAT16 &&
                fabsf(points[i]) > 60000.0f)
                continue;
            ck_assert_msg(fabsf(got[i] - want) <= 1e-5f + fabsf(want) * 0.01f,
                          "activation %d of %g is %g", act, (double)points[i],
                          (double)got[i]);
        }
        ck_assert_msg(isnan(got[n - 1]), "activation %d loses NaN", act);
        free(got);
        conf_release();
    }
    conf_close();
}
END_TEST

START_TEST(test_geglu)
{
    static const size_t shapes[][2] = {{1, 1}, {3, 5}, {7, 33}, {64, 1280}};

    conf_open(_i);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        const size_t m = shapes[s][0];
        const size_t n = shapes[s][1];
        conf_tensor *x =
            conf_tensor_of(2 * m * n, conf_floats(2 * m * n, 4.0f, 0));
        conf_tensor *y = conf_output(m * n);

        conf_ok(conf_ref->ops->geglu(conf_ref, m, n, &x->ref, &y->ref));
        conf_ok(conf_test->ops->geglu(conf_test, m, n, &x->test, &y->test));
        conf_compare(y, "geglu");
        conf_release();
    }
    conf_close();
}
END_TEST

START_TEST(test_add_scale)
{
    static const size_t sizes[] = {1, 5, 32, 77, 4099};

    conf_open(_i);
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int alias = 0; alias < 3; alias++) { /* y apart, is a, is b */
            const size_t n = sizes[s];
            conf_tensor *a = conf_input(n);
            conf_tensor *b = conf_input(n);
            conf_tensor *y = alias == 0 ? conf_output(n) : alias == 1 ? a : b;

            if (alias > 0)
                conf_give_up(y);
            conf_ok(conf_ref->ops->add(conf_ref, n, &a->ref, &b->ref, &y->ref));
            conf_ok(conf_test->ops->add(conf_test, n, &a->test, &b->test,
                                        &y->test));
            conf_compare(y, "add");
            conf_release();
            a = conf_input(n);
            y = alias == 0 ? conf_output(n) : a;
            if (alias > 0)
                conf_give_up(a);
            conf_ok(
                conf_ref->ops->scale(conf_ref, n, -0.37f, &a->ref, &y->ref));
            conf_ok(conf_test->ops->scale(conf_test, n, -0.37f, &a->test,
                                          &y->test));
            conf_compare(y, "scale");
            conf_release();
        }
    conf_close();
}
END_TEST

/* Scale, shift and gate are columns of one wider activation, as a network makes
   them, in an order that the operation must not assume. */
START_TEST(test_modulate)
{
    static const size_t shapes[][3] = {
        {1, 1, 1}, {3, 5, 7}, {2, 33, 48}, {5, 64, 129}};

    conf_open(_i);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int in_place = 0; in_place < 2; in_place++)
            for (int one = 0; one < 2; one++) {
                const size_t b = shapes[s][0];
                const size_t p = shapes[s][1];
                const size_t c = shapes[s][2];
                const size_t row = 3 * c + 5;
                conf_tensor *x = conf_input(b * p * c);
                conf_tensor *wide = conf_input(b * row);
                conf_tensor *y = in_place ? x : conf_output(b * p * c);
                const pdag_slice ref[2] = {conf_slice(&wide->ref, c + 5, row, 0),
                                           conf_slice(&wide->ref, 3, row, 0)};
                const pdag_slice test[2] = {
                    conf_slice(&wide->test, c + 5, row, 0),
                    conf_slice(&wide->test, 3, row, 0)};

                if (in_place)
                    conf_give_up(x);
                conf_ok(conf_ref->ops->modulate(conf_ref, b, p, c, (float)one,
                                                &ref[0], &ref[1], &x->ref,
                                                &y->ref));
                conf_ok(conf_test->ops->modulate(conf_test, b, p, c, (float)one,
                                                 &test[0], &test[1], &x->test,
                                                 &y->test));
                conf_compare(y, "modulate");
                conf_release();
            }
    conf_close();
}
END_TEST

START_TEST(test_gated_add)
{
    static const size_t shapes[][3] = {
        {1, 1, 1}, {3, 5, 7}, {2, 33, 48}, {5, 64, 129}};

    conf_open(_i);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int alias = 0; alias < 3; alias++) { /* y apart, is x, is h */
            const size_t b = shapes[s][0];
            const size_t p = shapes[s][1];
            const size_t c = shapes[s][2];
            const size_t row = 2 * c + 3;
            conf_tensor *x = conf_input(b * p * c);
            conf_tensor *h = conf_input(b * p * c);
            conf_tensor *wide = conf_input(b * row);
            conf_tensor *y =
                alias == 0 ? conf_output(b * p * c) : alias == 1 ? x : h;
            const pdag_slice ref = conf_slice(&wide->ref, c + 1, row, 0);
            const pdag_slice test = conf_slice(&wide->test, c + 1, row, 0);

            if (alias > 0)
                conf_give_up(y);
            conf_ok(conf_ref->ops->gated_add(conf_ref, b, p, c, &ref, &h->ref,
                                             &x->ref, &y->ref));
            conf_ok(conf_test->ops->gated_add(conf_test, b, p, c, &test,
                                              &h->test, &x->test, &y->test));
            conf_compare(y, "gated add");
            conf_release();
        }
    conf_close();
}
END_TEST

/* ---- moving data ---- */

START_TEST(test_concat)
{
    static const size_t shapes[][3] = {
        {1, 1, 1}, {3, 5, 7}, {64, 320, 640}, {33, 16, 1}};

    conf_open(_i);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        const size_t m = shapes[s][0];
        const size_t ca = shapes[s][1];
        const size_t cb = shapes[s][2];
        conf_tensor *a = conf_input(m * ca);
        conf_tensor *b = conf_input(m * cb);
        conf_tensor *y = conf_output(m * (ca + cb));

        conf_ok(conf_ref->ops->concat(conf_ref, m, ca, &a->ref, cb, &b->ref,
                                      &y->ref));
        conf_ok(conf_test->ops->concat(conf_test, m, ca, &a->test, cb, &b->test,
                                       &y->test));
        conf_compare_bits(y, "concat");
        conf_release();
    }
    conf_close();
}
END_TEST

START_TEST(test_upsample)
{
    static const size_t shapes[][6] = {{1, 1, 1, 1, 2, 2},
                                       {2, 3, 5, 7, 6, 10},
                                       {3, 4, 4, 64, 7, 8},
                                       {1, 1, 4, 20, 1, 8},
                                       {5, 8, 8, 33, 16, 16}};

    conf_open(_i);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const size_t *s = shapes[i];
        conf_tensor *x = conf_input(s[0] * s[1] * s[2] * s[3]);
        conf_tensor *y = conf_output(s[0] * s[4] * s[5] * s[3]);

        conf_ok(conf_ref->ops->upsample(conf_ref, s[0], s[1], s[2], s[3], s[4],
                                        s[5], &x->ref, &y->ref));
        conf_ok(conf_test->ops->upsample(conf_test, s[0], s[1], s[2], s[3],
                                         s[4], s[5], &x->test, &y->test));
        conf_compare_bits(y, "upsample");
        conf_release();
    }
    conf_close();
}
END_TEST

START_TEST(test_avg_pool2)
{
    static const size_t shapes[][4] = {
        {1, 2, 2, 1}, {3, 4, 6, 5}, {2, 8, 8, 33}, {5, 2, 4, 64}};

    conf_open(_i);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const size_t *s = shapes[i];
        conf_tensor *x = conf_input(s[0] * s[1] * s[2] * s[3]);
        conf_tensor *y = conf_output(s[0] * s[1] * s[2] * s[3] / 4);

        conf_ok(conf_ref->ops->avg_pool2(conf_ref, s[0], s[1], s[2], s[3],
                                         &x->ref, &y->ref));
        conf_ok(conf_test->ops->avg_pool2(conf_test, s[0], s[1], s[2], s[3],
                                          &x->test, &y->test));
        conf_compare(y, "average pool");
        conf_release();
    }
    conf_close();
}
END_TEST

START_TEST(test_planes)
{
    static const size_t shapes[][3] = {
        {1, 1, 1}, {2, 4, 4096}, {5, 3, 35}, {1, 77, 33}};

    conf_open(_i);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const size_t b = shapes[i][0];
        const size_t c = shapes[i][1];
        const size_t p = shapes[i][2];
        float *host = conf_floats(b * c * p, 3.0f, 0.0f);
        float *back = pdag_xcalloc(b * c * p, sizeof *back);
        conf_tensor *y = conf_output(b * c * p);
        float *rows;

        conf_ok(
            conf_test->ops->upload_planes(conf_test, b, c, p, host, &y->test));
        rows = conf_fetch(conf_test, &y->test, y->n);
        for (size_t j = 0; j < y->n; j++) {
            const size_t image = j / (c * p);
            const size_t row = j / c % p;

            ck_assert(rows[j] == host[(image * c + j % c) * p + row]);
        }
        conf_ok(conf_test->ops->download_planes(conf_test, b, c, p, &y->test,
                                                back));
        conf_ok(conf_test->ops->sync(conf_test));
        ck_assert(memcmp(host, back, y->n * sizeof *host) == 0);
        free(rows);
        free(host);
        free(back);
        conf_release();
    }
    conf_close();
}
END_TEST

/* Rounding of upload() is to nearest even, and NaN and infinity survive. */
START_TEST(test_upload_rounding)
{
    static const float points[] = {1.00390625f, 1.01171875f, -1.00390625f,
                                   3.0f,        0.0f,        INFINITY,
                                   -INFINITY,   NAN,         1e-3f};
    const size_t n = sizeof points / sizeof points[0];
    conf_tensor *x;
    float *got;

    conf_open(_i);
    x = conf_output(n);
    conf_ok(conf_test->ops->upload(conf_test, n, points, &x->test));
    got = conf_fetch(conf_test, &x->test, n);
    for (size_t i = 0; i < n; i++) {
        const float want = conf_round(conf_test->precision, points[i]);

        ck_assert_msg(got[i] == want || (isnan(want) && isnan(got[i])),
                      "%g became %g", (double)points[i], (double)got[i]);
    }
    free(got);
    conf_close();
}
END_TEST

void conf_add_elements(Suite *suite)
{
    TCase *tc = tcase_create("elements");

    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, test_activate, 0, conf_n_variants);
    tcase_add_loop_test(tc, test_activate_extreme, 0, conf_n_variants);
    tcase_add_loop_test(tc, test_geglu, 0, conf_n_variants);
    tcase_add_loop_test(tc, test_add_scale, 0, conf_n_variants);
    tcase_add_loop_test(tc, test_modulate, 0, conf_n_variants);
    tcase_add_loop_test(tc, test_gated_add, 0, conf_n_variants);
    tcase_add_loop_test(tc, test_concat, 0, conf_n_variants);
    tcase_add_loop_test(tc, test_upsample, 0, conf_n_variants);
    tcase_add_loop_test(tc, test_avg_pool2, 0, conf_n_variants);
    tcase_add_loop_test(tc, test_planes, 0, conf_n_variants);
    tcase_add_loop_test(tc, test_upload_rounding, 0, conf_n_variants);
    suite_add_tcase(suite, tc);
}
