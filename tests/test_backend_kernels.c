/* The loops of every instruction set that this machine has (a backend itself
 * only takes the best), against backend "ref"; and attention through oneDNN's
 * products, which a backend takes on machines with a matrix unit. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu_kernels.h"
#include "backend/onednn_internal.h"
#include "base/mem.h"
#include "base/tensor.h"

#define MAX_N 200000

static const pdag_cpu_kernels *kernels; /* under test */
static bool bf16;
static pdag_backend *ref;
static unsigned state;

static float uniform(float scale)
{
    state = state * 1664525u + 1013904223u;
    return scale * (float)(int)state / 2147483648.0f;
}

static void ok(pdag_status status)
{
    ck_assert_msg(status == PDAG_OK, "%s", pdag_error_text());
}

/* Numbers for both sides: float32 for ref, elements for the kernels. */
typedef struct numbers {
    size_t n;
    pdag_buf ref;
    void *test;
} numbers;

static numbers make(size_t n, float scale)
{
    numbers x = {n, {NULL, 0, PDAG_MEM_HOST, false}, NULL};
    float *values;

    ck_assert(n <= MAX_N);
    ok(ref->ops->alloc(ref, n * sizeof(float), &x.ref));
    x.test = pdag_xcalloc(n, sizeof(float));
    values = x.ref.ptr;
    for (size_t i = 0; i < n; i++) {
        values[i] = uniform(scale);
        if (bf16)
            values[i] = pdag_bf16_to_f32(pdag_f32_to_bf16(values[i]));
    }
    kernels->narrow(n, values, x.test);
    return x;
}

static void drop(numbers *x)
{
    ref->ops->free(ref, &x->ref);
    free(x->test);
}

/* Relative RMS within what one rounding gives; drops y. */
static void compare(numbers *y, const char *what)
{
    const double bound = bf16 ? 4e-3 : 3e-6;
    const float *want = y->ref.ptr;
    float *got = pdag_xcalloc(y->n, sizeof *got);
    double difference = 0.0;
    double size = 1e-30;

    kernels->widen(y->n, y->test, got);
    for (size_t i = 0; i < y->n; i++) {
        difference += pow((double)got[i] - (double)want[i], 2);
        size += pow((double)want[i], 2);
    }
    ck_assert_msg(sqrt(difference / size) <= bound, "%s %s: %s: error %.2e",
                  kernels->isa, bf16 ? "bf16" : "f32", what,
                  sqrt(difference / size));
    free(got);
    drop(y);
}

/* Run `check` for every table. */
static void for_all(void (*check)(void))
{
    ok(pdag_backend_open("ref", 0, PDAG_PRECISION_FLOAT32, &ref));
    for (int type = 0; type < 2; type++) {
        const pdag_cpu_kernels *tables[3];
        const size_t n = pdag_cpu_kernels_list(type == 1, tables);

        ck_assert_uint_ge(n, 1);
        ck_assert_ptr_eq(pdag_cpu_kernels_select(type == 1), tables[0]);
        for (size_t i = 0; i < n; i++) {
            kernels = tables[i];
            bf16 = type == 1;
            state = 1;
            check();
        }
    }
    ref->ops->close(ref);
}

static void check_activations(void)
{
    for (int act = PDAG_ACT_NONE; act <= PDAG_ACT_RELU; act++) {
        numbers x = make(1037, 20.0f);

        ok(ref->ops->activate(ref, x.n, (pdag_activation)act, &x.ref, &x.ref));
        kernels->activate(x.n, (pdag_activation)act, x.test, x.test);
        compare(&x, "activation");
    }
}

START_TEST(test_activations)
{
    for_all(check_activations);
}
END_TEST

/* In float32 the tails keep their relative accuracy, far below the output's
 * rounding in a sum of squares. */
START_TEST(test_tails)
{
    const pdag_cpu_kernels *tables[3];
    const size_t n = pdag_cpu_kernels_list(false, tables);

    for (size_t t = 0; t < n; t++)
        for (int i = -2400; i <= 2400; i++) {
            const float x = (float)i / 200.0f;
            float y = x;
            const double want = 0.5 * (double)x * erfc(-(double)x / sqrt(2.0));

            tables[t]->activate(1, PDAG_ACT_GELU, &y, &y);
            ck_assert_msg(fabs((double)y - want) <= 2e-5 * fabs(want),
                          "%s: gelu(%g) = %g, wanted %g", tables[t]->isa,
                          (double)x, (double)y, want);
            y = x;
            tables[t]->activate(1, PDAG_ACT_SILU, &y, &y);
            ck_assert_msg(fabs((double)y - (double)x / (1 + exp(-(double)x))) <=
                              1e-6 * fabs((double)y),
                          "%s: silu(%g) = %g", tables[t]->isa, (double)x,
                          (double)y);
        }
}
END_TEST

static void check_elements(void)
{
    static const size_t sizes[] = {1, 7, 16, 31, 500};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const size_t n = sizes[i];
        numbers a = make(n, 2.0f);
        numbers b = make(2 * n, 2.0f);
        numbers y = make(n, 1.0f);
        numbers z = make(n, 1.0f);
        numbers g = make(n, 1.0f);

        ok(ref->ops->add(ref, n, &a.ref, &b.ref, &y.ref));
        kernels->add(n, a.test, b.test, y.test);
        compare(&y, "add");
        ok(ref->ops->scale(ref, n, 0.7f, &a.ref, &z.ref));
        kernels->scale(n, 0.7f, a.test, z.test);
        compare(&z, "scale");
        ok(ref->ops->geglu(ref, 1, n, &b.ref, &g.ref));
        kernels->geglu(1, n, b.test, g.test);
        compare(&g, "geglu");
        drop(&a);
        drop(&b);
    }
}

START_TEST(test_elements)
{
    for_all(check_elements);
}
END_TEST

static void check_modulations(void)
{
    static const size_t shapes[][2] = {{1, 1}, {3, 7}, {2, 16}, {5, 77}};

    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const size_t p = shapes[i][0];
        const size_t c = shapes[i][1];
        numbers x = make(p * c, 2.0f);
        numbers h = make(p * c, 2.0f);
        numbers scale = make(c, 1.0f);
        numbers shift = make(c, 1.0f);
        numbers y = make(p * c, 1.0f);
        numbers z = make(p * c, 1.0f);
        const pdag_slice by = {&scale.ref, 0, 0, 0};
        const pdag_slice plus = {&shift.ref, 0, 0, 0};

        ok(ref->ops->modulate(ref, 1, p, c, 1.0f, &by, &plus, &x.ref, &y.ref));
        kernels->modulate(p, c, 1.0f, scale.test, shift.test, x.test, y.test);
        compare(&y, "modulate");
        ok(ref->ops->gated_add(ref, 1, p, c, &by, &h.ref, &x.ref, &z.ref));
        kernels->gated_add(p, c, scale.test, h.test, x.test, z.test);
        compare(&z, "gated add");
        drop(&x);
        drop(&h);
        drop(&scale);
        drop(&shift);
    }
}

START_TEST(test_modulations)
{
    for_all(check_modulations);
}
END_TEST

static void check_norms(void)
{
    static const size_t shapes[][3] = {
        {1, 3, 3}, {5, 24, 4}, {70, 33, 11}, {300, 64, 16}};
    float *scratch;

    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const size_t p = shapes[i][0];
        const size_t c = shapes[i][1];
        numbers x = make(p * c, 3.0f);
        numbers y = make(p * c, 1.0f);
        numbers add = make(c, 3.0f);
        pdag_cpu_norm norm = {.p = p,
                              .c = c,
                              .groups = shapes[i][2],
                              .eps = 1e-5f,
                              .add = add.test,
                              .act = i % 2 == 0 ? PDAG_ACT_SILU
                                                : PDAG_ACT_MISH,
                              .x = x.test,
                              .y = y.test};

        scratch = pdag_xcalloc(PDAG_CPU_NORM_SCRATCH * c, sizeof *scratch);
        norm.scratch = scratch;
        ok(ref->ops->group_norm(ref, 1, p, c, shapes[i][2], 1e-5f, NULL, NULL,
                                &add.ref, norm.act, &x.ref, &y.ref));
        kernels->group_norm(&norm);
        compare(&y, "group norm");
        ok(ref->ops->layer_norm(ref, p, c, 1e-5f, NULL, NULL, &x.ref, &x.ref));
        kernels->layer_norm(p, c, 1e-5f, NULL, NULL, x.test, x.test);
        compare(&x, "layer norm");
        drop(&add);
        free(scratch);
    }
}

START_TEST(test_norms)
{
    for_all(check_norms);
}
END_TEST

static void check_pool(void)
{
    numbers x = make(2 * 6 * 21, 2.0f);
    numbers y = make(3 * 21, 1.0f);
    const size_t row = 6 * 21 * (bf16 ? 2 : 4);

    ok(ref->ops->avg_pool2(ref, 1, 2, 6, 21, &x.ref, &y.ref));
    kernels->avg_pool2(3, 21, x.test, (char *)x.test + row, y.test);
    compare(&y, "average pool");
    drop(&x);
}

START_TEST(test_pool)
{
    for_all(check_pool);
}
END_TEST

/* q, k, v of one head, side by side in rows of 3 d. */
static void attend_one(size_t n_q, size_t n_kv, size_t d, bool causal)
{
    const size_t rows = n_q > n_kv ? n_q : n_kv;
    const size_t size = bf16 ? 2 : 4;
    numbers x = make(rows * 3 * d, 2.0f);
    numbers y = make(n_q * d, 1.0f);
    const pdag_attention a = {1,
                              1,
                              d,
                              n_q,
                              n_kv,
                              0.3f,
                              causal,
                              {&x.ref, 0, 0, 3 * d},
                              {&x.ref, d, 0, 3 * d},
                              {&x.ref, 2 * d, 0, 3 * d},
                              {&y.ref, 0, 0, d}};
    void *scratch;
    pdag_cpu_head head = {n_q,
                          n_kv,
                          d,
                          0.3f,
                          causal,
                          x.test,
                          (char *)x.test + d * size,
                          (char *)x.test + 2 * d * size,
                          y.test,
                          3 * d,
                          3 * d,
                          3 * d,
                          d,
                          NULL};

    ok(pdag_alloc_tensor(kernels->head_scratch(n_q, d), sizeof(float), "head",
                         &scratch));
    head.scratch = scratch;
    ok(ref->ops->attention(ref, &a));
    kernels->attend(&head);
    compare(&y, "attention");
    free(scratch);
    drop(&x);
}

static void check_attention(void)
{
    attend_one(1, 1, 1, false);
    attend_one(13, 5, 7, false);
    attend_one(16, 16, 64, false);
    attend_one(33, 77, 40, false);
    attend_one(9, 1100, 21, false);
    attend_one(77, 77, 24, true);
    attend_one(600, 600, 5, true);
}

START_TEST(test_attention)
{
    for_all(check_attention);
}
END_TEST

/* The path for matrix units runs on every machine that has the precision. */
static void products(pdag_precision precision, size_t n_q, size_t n_kv,
                     bool causal)
{
    const size_t d = 40;
    const size_t width = 2 * d;
    pdag_buf x, y;
    pdag_attention a = {2,
                        2,
                        d,
                        n_q,
                        n_kv,
                        0.2f,
                        causal,
                        {&x, 0, n_q * width, width},
                        {&x, 0, n_kv * width, width},
                        {&x, 7, n_kv * width, width},
                        {&y, 0, n_q * width, width}};
    const size_t n_x = 2 * (n_q > n_kv ? n_q : n_kv) * width + 7;
    const size_t n_y = 2 * n_q * width;
    float *values = pdag_xcalloc(n_x, sizeof *values);
    float *results[2];
    pdag_backend *be;

    if (pdag_backend_onednn.open(0, precision, &be) != PDAG_OK) {
        free(values);
        return; /* no bfloat16 here */
    }
    for (size_t i = 0; i < n_x; i++)
        values[i] = uniform(2.0f);
    ok(be->ops->alloc(be, n_x * be->act_size, &x));
    ok(be->ops->alloc(be, n_y * be->act_size, &y));
    ok(be->ops->upload(be, n_x, values, &x));
    for (int path = 0; path < 2; path++) {
        results[path] = pdag_xcalloc(n_y, sizeof(float));
        pdag_onednn_of(be)->matrix_unit = path == 1;
        ok(be->ops->attention(be, &a));
        ok(be->ops->download(be, n_y, &y, results[path]));
    }
    for (size_t i = 0; i < n_y; i++)
        ck_assert_float_eq_tol(results[0][i], results[1][i],
                               be->act_size == 4 ? 1e-5f : 2e-2f);
    free(values);
    free(results[0]);
    free(results[1]);
    be->ops->free(be, &x);
    be->ops->free(be, &y);
    be->ops->close(be);
}

START_TEST(test_products)
{
    for (int p = PDAG_PRECISION_FLOAT32; p <= PDAG_PRECISION_BFLOAT16; p++) {
        products((pdag_precision)p, 64, 77, false);
        products((pdag_precision)p, 300, 1100, false);
        products((pdag_precision)p, 77, 77, true);
        products((pdag_precision)p, 700, 700, true);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("backend kernels");
    TCase *tc = tcase_create("loops");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, test_activations);
    tcase_add_test(tc, test_tails);
    tcase_add_test(tc, test_elements);
    tcase_add_test(tc, test_modulations);
    tcase_add_test(tc, test_norms);
    tcase_add_test(tc, test_pool);
    tcase_add_test(tc, test_attention);
    tcase_add_test(tc, test_products);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
