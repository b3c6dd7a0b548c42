/* The definition (backend "ref") against formulas written once more, in
 * float64. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/conf_backend.h"

/* y[m][out] by the textbook, for the linear layer of seed `seed`. */
START_TEST(test_ref_linear)
{
    enum { M = 3, IN = 5, OUT = 4 };
    const size_t out = OUT;
    float weight[OUT * IN], bias[OUT];
    const pdag_tensor_view view = {"w", weight, PDAG_F32, 2, {OUT, IN}};
    const pdag_tensor_view bias_view = {"b", bias, PDAG_F32, 1, {OUT}};
    const pdag_weight_desc desc = {.kind = PDAG_WEIGHT_LINEAR,
                                   .n_parts = 1,
                                   .part = {&view},
                                   .bias = {&bias_view}};
    conf_tensor *x, *plus, *y;
    float *got;
    conf_weight w;

    conf_open(0);
    for (size_t i = 0; i < OUT * IN; i++)
        weight[i] = conf_uniform();
    for (size_t i = 0; i < OUT; i++)
        bias[i] = conf_uniform();
    w = conf_weights(&desc);
    x = conf_input(M * IN);
    plus = conf_input(M * OUT);
    y = conf_output(M * out);
    conf_ok(conf_ref->ops->linear(conf_ref, w.ref, M, &x->ref,
                                  PDAG_ACT_QUICK_GELU, &plus->ref, &y->ref));
    got = conf_fetch(conf_ref, &y->ref, y->n);
    for (size_t i = 0; i < M; i++)
        for (size_t o = 0; o < OUT; o++) {
            double sum = (double)bias[o];

            for (size_t k = 0; k < IN; k++)
                sum += (double)x->host[i * IN + k] * (double)weight[o * IN + k];
            sum *= 1.0 / (1.0 + exp(-1.702 * sum));
            sum += (double)plus->host[i * OUT + o];
            ck_assert_double_eq_tol((double)got[i * OUT + o], sum, 1e-6);
        }
    free(got);
    conf_weights_destroy(w);
    conf_close();
}
END_TEST

START_TEST(test_ref_conv)
{
    enum { B = 2, H = 5, W = 4, IN = 3, OUT = 2, K = 3, OH = 3, OW = 2 };
    float weight[OUT * IN * K * K];
    const pdag_tensor_view view = {"w", weight, PDAG_F32, 4, {OUT, IN, K, K}};
    const pdag_weight_desc desc = {.kind = PDAG_WEIGHT_CONV2D,
                                   .n_parts = 1,
                                   .part = {&view},
                                   .stride = 2,
                                   .pad_top = 1,
                                   .pad_left = 0,
                                   .pad_bottom = 1,
                                   .pad_right = 1};
    conf_tensor *x, *y;
    float *got;
    conf_weight w;

    conf_open(0);
    for (size_t i = 0; i < OUT * IN * K * K; i++)
        weight[i] = conf_uniform();
    w = conf_weights(&desc);
    x = conf_input(B * H * W * IN);
    y = conf_output(B * OH * OW * OUT);
    conf_ok(conf_ref->ops->conv2d(conf_ref, w.ref, B, H, W, &x->ref, NULL,
                                  &y->ref));
    got = conf_fetch(conf_ref, &y->ref, y->n);
    for (int at = 0; at < B * OH * OW * OUT; at++) {
        const int o = at % OUT, j = at / OUT % OW, i = at / OUT / OW % OH;
        const int b = at / OUT / OW / OH;
        double sum = 0.0;

        for (int tap = 0; tap < IN * K * K; tap++) {
            const int xi = 2 * i + tap / K % K - 1;
            const int xj = 2 * j + tap % K;
            const int c = tap / K / K;

            if (xi >= 0 && xi < H && xj >= 0 && xj < W)
                sum += (double)x->host[((b * H + xi) * W + xj) * IN + c] *
                       (double)weight[o * IN * K * K + tap];
        }
        ck_assert_double_eq_tol((double)got[at], sum, 1e-6);
    }
    free(got);
    conf_weights_destroy(w);
    conf_close();
}
END_TEST

START_TEST(test_ref_group_norm)
{
    enum { P = 6, C = 8, G = 2 };
    conf_tensor *x, *add, *y;
    float *got;

    conf_open(0);
    x = conf_input(P * C);
    add = conf_input(C);
    y = conf_output(P * C);
    conf_ok(conf_ref->ops->group_norm(conf_ref, 1, P, C, G, 1e-3f, NULL, NULL,
                                      &add->ref, PDAG_ACT_SILU, &x->ref,
                                      &y->ref));
    got = conf_fetch(conf_ref, &y->ref, y->n);
    for (int at = 0; at < P * C; at++) {
        const int group = at % C / (C / G);
        double mean = 0.0, square = 0.0, value;

        for (int i = 0; i < P * C; i++)
            if (i % C / (C / G) == group) {
                const double v = (double)x->host[i] + (double)add->host[i % C];

                mean += v / (P * C / G);
                square += v * v / (P * C / G);
            }
        value = (double)x->host[at] + (double)add->host[at % C] - mean;
        value /= sqrt(square - mean * mean + 1e-3);
        ck_assert_double_eq_tol((double)got[at], value / (1.0 + exp(-value)),
                                1e-6);
    }
    free(got);
    conf_close();
}
END_TEST

START_TEST(test_ref_attention)
{
    enum { T = 4, S = 4, D = 3, HEADS = 2, WIDTH = D * HEADS };
    conf_tensor *q, *k, *v, *y;
    float *got;

    conf_open(0);
    q = conf_input(T * WIDTH);
    k = conf_input(S * WIDTH);
    v = conf_input(S * WIDTH);
    y = conf_output(T * WIDTH);
    for (int causal = 0; causal < 2; causal++) {
        const pdag_attention a = {1,
                                  HEADS,
                                  D,
                                  T,
                                  S,
                                  0.7f,
                                  causal != 0,
                                  conf_slice(&q->ref, 0, 0, WIDTH),
                                  conf_slice(&k->ref, 0, 0, WIDTH),
                                  conf_slice(&v->ref, 0, 0, WIDTH),
                                  conf_slice(&y->ref, 0, 0, WIDTH)};

        conf_ok(conf_ref->ops->attention(conf_ref, &a));
        got = conf_fetch(conf_ref, &y->ref, y->n);
        for (int at = 0; at < T * WIDTH; at++) {
            const int t = at / WIDTH, first = at % WIDTH / D * D;
            double sum = 0.0, value = 0.0;

            for (int s = 0; s < (causal ? t + 1 : S); s++) {
                double score = 0.0;

                for (int c = first; c < first + D; c++)
                    score += (double)q->host[t * WIDTH + c] *
                             (double)k->host[s * WIDTH + c];
                sum += exp((double)0.7f * score);
                value += exp((double)0.7f * score) *
                         (double)v->host[s * WIDTH + at % WIDTH];
            }
            ck_assert_double_eq_tol((double)got[at], value / sum, 1e-6);
        }
        free(got);
    }
    conf_close();
}
END_TEST

START_TEST(test_ref_activations)
{
    conf_tensor *x, *y;

    conf_open(0);
    x = conf_tensor_of(200, conf_floats(200, 8.0f, 0.0f));
    y = conf_output(200);
    for (int act = PDAG_ACT_NONE; act <= PDAG_ACT_RELU; act++) {
        float *got;

        conf_ok(conf_ref->ops->activate(conf_ref, 200, (pdag_activation)act,
                                        &x->ref, &y->ref));
        got = conf_fetch(conf_ref, &y->ref, 200);
        for (int i = 0; i < 200; i++) {
            const double v = (double)x->host[i];
            const double want[] = {v,
                                   v / (1 + exp(-v)),
                                   v * (1 + erf(v / sqrt(2))) / 2,
                                   v *
                                       (1 + tanh(sqrt(2 / acos(-1)) *
                                                 (v + 0.044715 * v * v * v))) /
                                       2,
                                   v / (1 + exp(-1.702 * v)),
                                   v * tanh(log(1 + exp(v))),
                                   v > 0 ? v : 0};

            ck_assert_double_eq_tol((double)got[i], want[act], 1e-6);
        }
        free(got);
    }
    conf_close();
}
END_TEST

/* Columns [C, 2 C) lead both operations. */
START_TEST(test_ref_modulate)
{
    enum { B = 2, P = 3, C = 4, ROW = 3 * C, N = B * P * C };
    conf_tensor *x, *h, *wide, *y;
    float *got;
    pdag_slice scale, shift;

    conf_open(0);
    x = conf_input(N);
    h = conf_input(N);
    wide = conf_input(B * ROW);
    y = conf_output(N);
    scale = conf_slice(&wide->ref, C, ROW, 0);
    shift = conf_slice(&wide->ref, 2 * C, ROW, 0);
    for (int one = 0; one < 2; one++) {
        conf_ok(conf_ref->ops->modulate(conf_ref, B, P, C, (float)one, &scale,
                                        &shift, &x->ref, &y->ref));
        got = conf_fetch(conf_ref, &y->ref, N);
        for (int at = 0; at < N; at++) {
            const float *row = wide->host + at / (P * C) * ROW;
            const double want = (double)x->host[at] *
                                    (one + (double)row[C + at % C]) +
                                (double)row[2 * C + at % C];

            ck_assert_double_eq_tol((double)got[at], want, 1e-6);
        }
        free(got);
    }
    conf_ok(conf_ref->ops->gated_add(conf_ref, B, P, C, &scale, &h->ref, &x->ref,
                                     &y->ref));
    got = conf_fetch(conf_ref, &y->ref, N);
    for (int at = 0; at < N; at++) {
        const float *row = wide->host + at / (P * C) * ROW;

        ck_assert_double_eq_tol((double)got[at],
                                (double)x->host[at] + (double)row[C + at % C] *
                                                          (double)h->host[at],
                                1e-6);
    }
    free(got);
    conf_close();
}
END_TEST

void conf_add_definition(Suite *suite)
{
    TCase *tc = tcase_create("definition");

    tcase_add_test(tc, test_ref_linear);
    tcase_add_test(tc, test_ref_conv);
    tcase_add_test(tc, test_ref_group_norm);
    tcase_add_test(tc, test_ref_attention);
    tcase_add_test(tc, test_ref_activations);
    tcase_add_test(tc, test_ref_modulate);
    suite_add_tcase(suite, tc);
}
