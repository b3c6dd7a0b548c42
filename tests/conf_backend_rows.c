/* Conformance of norms and attention. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/conf_backend.h"

/* ---- norms ---- */

typedef struct norm_case {
    size_t b, p, c, groups;
    float eps;
    bool add, affine, in_place;
    pdag_activation act;
    float offset; /* mean of the inputs: large means must not cancel */
} norm_case;

static void run_group_norm(const norm_case *c)
{
    char what[96];
    const size_t n = c->b * c->p * c->c;
    conf_tensor *x = conf_tensor_of(n, conf_floats(n, 1.5f, c->offset));
    conf_tensor *add = c->add ? conf_input(c->b * c->c) : NULL;
    conf_tensor *y = c->in_place ? x : conf_output(n);
    conf_weight gamma =
        c->affine ? conf_vector(c->c, 1.0f) : (conf_weight){NULL, NULL};
    conf_weight beta =
        c->affine ? conf_vector(c->c, 0.0f) : (conf_weight){NULL, NULL};

    if (c->in_place)
        conf_give_up(x);
    conf_ok(conf_ref->ops->group_norm(
        conf_ref, c->b, c->p, c->c, c->groups, c->eps, gamma.ref, beta.ref,
        add != NULL ? &add->ref : NULL, c->act, &x->ref, &y->ref));
    conf_ok(conf_test->ops->group_norm(
        conf_test, c->b, c->p, c->c, c->groups, c->eps, gamma.test, beta.test,
        add != NULL ? &add->test : NULL, c->act, &x->test, &y->test));
    snprintf(what, sizeof what, "group norm %zux%zux%zu / %zu", c->b, c->p,
             c->c, c->groups);
    conf_compare(y, what);
    conf_release();
    if (c->affine) {
        conf_weights_destroy(gamma);
        conf_weights_destroy(beta);
    }
}

START_TEST(test_group_norm)
{
    static const norm_case cases[] = {
        {1, 16, 1, 1, 1e-5f, false, true, false, PDAG_ACT_NONE, 0},
        {2, 7, 6, 3, 1e-5f, false, true, false, PDAG_ACT_SILU, 0},
        {3, 16, 40, 8, 1e-5f, false, true, false, PDAG_ACT_MISH, 0},
        {2, 5, 33, 3, 1e-5f, true, true, true, PDAG_ACT_MISH, 0},
        {5, 16, 64, 32, 1e-5f, true, true, false, PDAG_ACT_SILU, 0},
        {3, 33, 33, 11, 1e-6f, true, true, true, PDAG_ACT_NONE, 0},
        {2, 64, 320, 32, 1e-5f, true, true, true, PDAG_ACT_SILU, 0},
        {2, 1025, 48, 8, 1e-5f, false, true, false, PDAG_ACT_SILU, 0},
        {2, 256, 64, 16, 1e-6f, false, true, false, PDAG_ACT_SILU, 50},
        {1, 5, 40, 1, 1e-5f, true, false, false, PDAG_ACT_NONE, 0},
        {4, 1, 32, 8, 1e-5f, false, true, false, PDAG_ACT_SILU, 0},
        {1, 4096, 20, 4, 1e-5f, true, true, false, PDAG_ACT_SILU, -3}};

    conf_open(_i);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        run_group_norm(&cases[i]);
    conf_close();
}
END_TEST

START_TEST(test_layer_norm)
{
    static const size_t shapes[][2] = {{1, 3},   {5, 7},   {33, 64}, {3, 320},
                                       {77, 33}, {2, 768}, {7, 1281}};

    conf_open(_i);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int round = 0; round < 3; round++) {
            const size_t m = shapes[s][0];
            const size_t c = shapes[s][1];
            const bool affine = round != 1;
            char what[96];
            conf_tensor *x = conf_input(m * c);
            conf_tensor *y = round == 2 ? x : conf_output(m * c);
            conf_weight gamma =
                affine ? conf_vector(c, 1.0f) : (conf_weight){NULL, NULL};
            conf_weight beta =
                affine ? conf_vector(c, 0.0f) : (conf_weight){NULL, NULL};

            if (round == 2)
                conf_give_up(x);
            conf_ok(conf_ref->ops->layer_norm(conf_ref, m, c, 1e-5f, gamma.ref,
                                              beta.ref, &x->ref, &y->ref));
            conf_ok(conf_test->ops->layer_norm(conf_test, m, c, 1e-5f,
                                               gamma.test, beta.test, &x->test,
                                               &y->test));
            snprintf(what, sizeof what, "layer norm %zux%zu case %d", m, c,
                     round);
            conf_compare(y, what);
            conf_release();
            if (affine) {
                conf_weights_destroy(gamma);
                conf_weights_destroy(beta);
            }
        }
    conf_close();
}
END_TEST

/* ---- attention ---- */

typedef struct attention_case {
    size_t batch, heads, head_dim, n_q, n_kv;
    bool causal, fused, shared;
    float gain; /* of the scores: large ones make the softmax sharp */
} attention_case;

/* Fused: q, k and v are columns of one buffer, as one linear layer gives them;
 * y's rows have 3 more elements, which stay NaN. */
static void run_attention(const attention_case *c)
{
    const size_t width = c->heads * c->head_dim;
    const size_t y_row = width + 3;
    const size_t row = c->fused ? 3 * width : width;
    const size_t kv_batch = c->shared ? 0 : c->n_kv * row;
    char what[96];
    conf_tensor *q = conf_input(c->batch * c->n_q * row);
    conf_tensor *k =
        c->fused ? q : conf_input((c->shared ? 1 : c->batch) * c->n_kv * row);
    conf_tensor *v =
        c->fused ? q : conf_input((c->shared ? 1 : c->batch) * c->n_kv * row);
    conf_tensor *y = conf_output(c->batch * c->n_q * y_row);
    pdag_attention a = {
        c->batch,
        c->heads,
        c->head_dim,
        c->n_q,
        c->n_kv,
        c->gain / sqrtf((float)c->head_dim),
        c->causal,
        conf_slice(&q->ref, 0, c->n_q * row, row),
        conf_slice(&k->ref, c->fused ? width : 0, kv_batch, row),
        conf_slice(&v->ref, c->fused ? 2 * width : 0, kv_batch, row),
        conf_slice(&y->ref, 0, c->n_q * y_row, y_row)};
    float *got;

    conf_ok(conf_ref->ops->attention(conf_ref, &a));
    a.q.buf = &q->test;
    a.k.buf = &k->test;
    a.v.buf = &v->test;
    a.y.buf = &y->test;
    conf_ok(conf_test->ops->attention(conf_test, &a));
    snprintf(what, sizeof what, "attention b %zu heads %zu d %zu q %zu kv %zu",
             c->batch, c->heads, c->head_dim, c->n_q, c->n_kv);
    /* What lies between the rows must still be NaN; then it is made comparable.
     */
    got = conf_fetch(conf_test, &y->test, y->n);
    for (size_t i = 0; i < c->batch * c->n_q; i++)
        for (size_t j = width; j < y_row; j++) {
            ck_assert_msg(isnan(got[i * y_row + j]), "%s: wrote beside a row",
                          what);
            got[i * y_row + j] = 0.0f;
        }
    conf_ok(conf_test->ops->upload(conf_test, y->n, got, &y->test));
    free(got);
    got = conf_fetch(conf_ref, &y->ref, y->n);
    for (size_t i = 0; i < c->batch * c->n_q; i++)
        memset(got + i * y_row + width, 0, 3 * sizeof *got);
    conf_ok(conf_ref->ops->upload(conf_ref, y->n, got, &y->ref));
    free(got);
    conf_compare_within(y, what, c->gain > 100.0f ? 8.0 : 1.0);
    conf_release();
}

START_TEST(test_attention)
{
    static const attention_case cases[] = {
        {1, 1, 1, 1, 1, false, false, false, 1},
        {2, 3, 5, 7, 3, false, false, false, 1},
        {1, 1, 33, 5, 65, false, false, false, 1},
        {3, 4, 16, 16, 16, false, true, false, 1},
        {5, 2, 32, 16, 32, false, false, false, 1},
        {5, 2, 32, 33, 32, false, false, true, 1},
        {2, 8, 40, 64, 77, false, false, false, 1},
        {3, 8, 40, 64, 77, false, false, true, 1},
        {2, 4, 32, 256, 256, false, true, false, 1},
        {1, 2, 40, 600, 1100, false, false, false, 1},
        {1, 2, 24, 131, 700, false, false, false, 40},
        {2, 3, 20, 77, 77, true, true, false, 1},
        {1, 2, 16, 1, 1, true, false, false, 1},
        {1, 1, 12, 700, 700, true, true, false, 1},
        {2, 1, 160, 49, 49, false, true, false, 1},
        {1, 1, 512, 100, 100, false, false, false, 1}};

    conf_open(_i);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        run_attention(&cases[i]);
    conf_close();
}
END_TEST

/* Scores around -300 and +300 must neither vanish nor overflow. */
START_TEST(test_attention_extreme)
{
    const attention_case c = {1, 1, 64, 20, 600, false, false, false, 300};

    conf_open(_i);
    run_attention(&c);
    conf_close();
}
END_TEST

START_TEST(test_attention_64x64)
{
    const attention_case c = {1, 1, 40, 4096, 4096, false, true, false, 4};

    conf_open(_i);
    run_attention(&c);
    conf_close();
}
END_TEST

void conf_add_rows(Suite *suite)
{
    TCase *tc = tcase_create("rows");

    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, test_group_norm, 0, conf_n_variants);
    tcase_add_loop_test(tc, test_layer_norm, 0, conf_n_variants);
    tcase_add_loop_test(tc, test_attention, 0, conf_n_variants);
    tcase_add_loop_test(tc, test_attention_extreme, 0, conf_n_variants);
    if (getenv("CONF_BACKEND_SMALL") == NULL)
        tcase_add_loop_test(tc, test_attention_64x64, 0, conf_n_variants);
    suite_add_tcase(suite, tc);
}
