/* Conformance of linear layers and convolutions. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/conf_backend.h"

/* ---- linear ---- */

START_TEST(test_linear)
{
    static const size_t shapes[][3] = {
        {1, 1, 1},      {1, 3, 5},      {2, 16, 16},   {3, 5, 7},
        {5, 7, 33},     {33, 33, 1},    {7, 320, 130}, {77, 65, 48},
        {2, 320, 1280}, {130, 40, 100}, {64, 64, 512}};

    conf_open(_i);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        const size_t *shape = shapes[s];

        for (int round = 0; round < 3; round++) {
            conf_weight w = conf_linear(1, shape[1], &shape[2], round != 1);

            conf_run_linear(w, shape[0], shape[1], shape[2], PDAG_ACT_NONE,
                            (conf_residual)round);
            conf_weights_destroy(w);
        }
    }
    conf_close();
}
END_TEST

START_TEST(test_linear_activations)
{
    const size_t out = 83;
    conf_weight w;

    conf_open(_i);
    w = conf_linear(1, 24, &out, true);
    for (int act = PDAG_ACT_NONE; act <= PDAG_ACT_RELU; act++) {
        conf_run_linear(w, 19, 24, out, (pdag_activation)act, NO_RESIDUAL);
        conf_run_linear(w, 19, 24, out, (pdag_activation)act, OTHER);
        conf_run_linear(w, 19, 24, out, (pdag_activation)act, IN_PLACE);
    }
    conf_weights_destroy(w);
    conf_close();
}
END_TEST

/* One weight with many numbers of rows, and parts of unequal height. */
START_TEST(test_linear_parts)
{
    const size_t out[3] = {40, 24, 9};
    conf_weight w;

    conf_open(_i);
    for (int parts = 1; parts <= 3; parts++) {
        const size_t rows =
            out[0] + (parts > 1 ? out[1] : 0) + (parts > 2 ? out[2] : 0);

        w = conf_linear(parts, 30, out, parts != 2);
        for (size_t m = 1; m <= 300; m = 3 * m + 1)
            conf_run_linear(w, m, 30, rows, PDAG_ACT_NONE, NO_RESIDUAL);
        conf_run_linear(w, 4, 30, rows, PDAG_ACT_NONE, NO_RESIDUAL);
        conf_weights_destroy(w);
    }
    conf_close();
}
END_TEST

/* ---- convolution ---- */

typedef struct conv_case {
    size_t b, h, w, in, out, kh, kw, stride;
    size_t pad[4]; /* top, left, bottom, right */
    bool bias;
} conv_case;

static conf_weight make_conv(const conv_case *c)
{
    const size_t row = c->in * c->kh * c->kw;
    float *numbers = conf_floats(c->out * row, 1.0f / sqrtf((float)row), 0);
    float *bias = conf_floats(c->out, 1.0f, 0.0f);
    const pdag_tensor_view view = {
        "w", numbers, PDAG_F32, 4, {c->out, c->in, c->kh, c->kw}};
    const pdag_tensor_view bias_view = {"b", bias, PDAG_F32, 1, {c->out}};
    const pdag_weight_desc desc = {.kind = PDAG_WEIGHT_CONV2D,
                                   .n_parts = 1,
                                   .part = {&view},
                                   .bias = {c->bias ? &bias_view : NULL},
                                   .stride = c->stride,
                                   .pad_top = c->pad[0],
                                   .pad_left = c->pad[1],
                                   .pad_bottom = c->pad[2],
                                   .pad_right = c->pad[3]};
    conf_weight w = conf_weights(&desc);

    free(numbers);
    free(bias);
    return w;
}

static void run_conv(conf_weight w, const conv_case *c, conf_residual residual)
{
    const size_t oh = (c->h + c->pad[0] + c->pad[2] - c->kh) / c->stride + 1;
    const size_t ow = (c->w + c->pad[1] + c->pad[3] - c->kw) / c->stride + 1;
    const size_t n = c->b * oh * ow * c->out;
    char what[96];
    conf_tensor *x = conf_input(c->b * c->h * c->w * c->in);
    conf_tensor *plus = residual == NO_RESIDUAL ? NULL : conf_input(n);
    conf_tensor *y = residual == IN_PLACE ? plus : conf_output(n);

    if (residual == IN_PLACE)
        conf_give_up(plus);
    conf_ok(conf_ref->ops->conv2d(conf_ref, w.ref, c->b, c->h, c->w, &x->ref,
                                  plus != NULL ? &plus->ref : NULL, &y->ref));
    conf_ok(conf_test->ops->conv2d(conf_test, w.test, c->b, c->h, c->w,
                                   &x->test, plus != NULL ? &plus->test : NULL,
                                   &y->test));
    snprintf(what, sizeof what,
             "conv %zux%zux%zu %zu->%zu k %zux%zu s %zu res %d", c->b, c->h,
             c->w, c->in, c->out, c->kh, c->kw, c->stride, (int)residual);
    conf_compare(y, what);
    conf_release();
}

START_TEST(test_conv)
{
    static const conv_case cases[] = {
        {1, 1, 1, 1, 1, 1, 1, 1, {0, 0, 0, 0}, true},
        {1, 1, 1, 3, 5, 3, 3, 1, {1, 1, 1, 1}, true},
        {2, 5, 7, 3, 20, 3, 3, 1, {1, 1, 1, 1}, true},
        {5, 8, 8, 4, 64, 3, 3, 1, {1, 1, 1, 1}, true},
        {3, 7, 5, 33, 17, 3, 3, 1, {1, 1, 1, 1}, false},
        {2, 8, 8, 16, 32, 3, 3, 2, {1, 1, 1, 1}, true},
        {2, 8, 6, 16, 32, 3, 3, 2, {0, 0, 1, 1}, true},
        {1, 9, 9, 24, 24, 3, 3, 2, {0, 0, 1, 1}, false},
        {4, 4, 4, 128, 64, 3, 3, 1, {1, 1, 1, 1}, true},
        {2, 16, 16, 64, 64, 3, 3, 1, {1, 1, 1, 1}, true},
        {2, 16, 16, 64, 3, 3, 3, 1, {1, 1, 1, 1}, true},
        {3, 6, 6, 40, 24, 1, 1, 1, {0, 0, 0, 0}, true},
        {2, 9, 9, 7, 9, 5, 5, 1, {2, 2, 2, 2}, true},
        {2, 8, 8, 4, 48, 2, 2, 2, {0, 0, 0, 0}, true},
        {3, 1, 16, 20, 33, 1, 5, 1, {0, 2, 0, 2}, true},
        {3, 1, 16, 32, 32, 1, 3, 2, {0, 1, 0, 1}, true},
        {2, 32, 32, 32, 48, 3, 3, 1, {1, 1, 1, 1}, true},
        {3, 13, 17, 33, 40, 3, 3, 1, {1, 1, 1, 1}, true},
        {16, 4, 4, 64, 64, 3, 3, 1, {1, 1, 1, 1}, false},
        {2, 14, 11, 64, 32, 3, 3, 1, {0, 1, 2, 0}, true},
        {1, 12, 10, 96, 80, 3, 3, 1, {2, 0, 1, 3}, true}};

    conf_open(_i);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        conf_weight w = make_conv(&cases[i]);

        run_conv(w, &cases[i], NO_RESIDUAL);
        run_conv(w, &cases[i], OTHER);
        run_conv(w, &cases[i], IN_PLACE);
        conf_weights_destroy(w);
    }
    conf_close();
}
END_TEST

/* One weight, many shapes, back and forth. */
START_TEST(test_conv_shapes)
{
    conv_case c = {1, 4, 4, 32, 48, 3, 3, 1, {1, 1, 1, 1}, true};
    conf_weight w;

    conf_open(_i);
    w = make_conv(&c);
    for (int round = 0; round < 2; round++)
        for (c.b = 1; c.b <= 5; c.b += 2)
            for (c.h = c.w = 1; c.w <= 33; c.w = c.h = 2 * c.w + 1)
                run_conv(w, &c, NO_RESIDUAL);
    conf_weights_destroy(w);
    conf_close();
}
END_TEST

/* Equal calls give equal bits, also after other shapes were in between. */
START_TEST(test_repeatable)
{
    conv_case c = {3, 8, 8, 48, 40, 3, 3, 1, {1, 1, 1, 1}, true};
    float *first = NULL;
    conf_weight w;

    conf_open(_i);
    w = make_conv(&c);
    for (int round = 0; round < 3; round++) {
        conf_tensor *x, *y;
        float *got;

        conf_random_state = 7;
        x = conf_input(3 * 64 * 48);
        y = conf_output(3 * 64 * 40);
        conf_ok(conf_test->ops->conv2d(conf_test, w.test, 3, 8, 8, &x->test,
                                       NULL, &y->test));
        got = conf_fetch(conf_test, &y->test, y->n);
        if (first == NULL)
            first = got;
        else {
            ck_assert(memcmp(first, got, y->n * sizeof *got) == 0);
            free(got);
        }
        conf_release();
        c.b = 1 + (size_t)round;
        c.h = 5;
        run_conv(w, &c, NO_RESIDUAL);
    }
    free(first);
    conf_weights_destroy(w);
    conf_close();
}
END_TEST

void conf_add_dense(Suite *suite)
{
    TCase *tc = tcase_create("dense");

    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, test_linear, 0, conf_n_variants);
    tcase_add_loop_test(tc, test_linear_activations, 0, conf_n_variants);
    tcase_add_loop_test(tc, test_linear_parts, 0, conf_n_variants);
    tcase_add_loop_test(tc, test_conv, 0, conf_n_variants);
    tcase_add_loop_test(tc, test_conv_shapes, 0, conf_n_variants);
    tcase_add_loop_test(tc, test_repeatable, 0, conf_n_variants);
    suite_add_tcase(suite, tc);
}
