/* tests/test_worker_evaluate.c: a device whose memory holds some rows only. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "worker/evaluate.h"

#define DIM 5

/* eps depends on the row alone; more than `fits` rows do not fit. */
typedef struct small_network {
    pdag_denoiser base; /* first member */
    size_t fits;
    size_t calls, refused, largest;
    pdag_status failure; /* of evaluations that fit */
} small_network;

static pdag_status small_eval(pdag_denoiser *model, size_t n, const float *x,
                              const float *t, const pdag_condition *const *cond,
                              float *eps)
{
    small_network *net = (small_network *)model;

    (void)cond;
    net->calls++;
    if (n > net->fits) {
        net->refused++;
        memset(eps, 0xff, n * DIM * sizeof *eps);
        return pdag_error(PDAG_ERR_NOMEM, "%zu rows do not fit", n);
    }
    if (net->failure != PDAG_OK)
        return pdag_error(net->failure, "asked to fail");
    if (n > net->largest)
        net->largest = n;
    for (size_t i = 0; i < n; i++)
        for (size_t d = 0; d < DIM; d++)
            eps[i * DIM + d] = 2.0f * x[i * DIM + d] + t[i];
    return PDAG_OK;
}

static void small_destroy(pdag_denoiser *model)
{
    free(model);
}

static const pdag_denoiser_ops small_ops = {
    .name = "small", .eval = small_eval, .destroy = small_destroy};

static small_network *make_network(size_t fits, pdag_pipeline **pipeline_out)
{
    const pdag_pipeline_opts opts = {.guidance_scale = 1.0f};
    small_network *net = pdag_xcalloc(1, sizeof *net);

    net->base.ops = &small_ops;
    net->base.dim = DIM;
    net->base.n_state_dims = 1;
    net->base.state_dims[0] = DIM;
    net->fits = fits;
    ck_assert_int_eq(pdag_pipeline_wrap(&net->base, &opts, pipeline_out),
                     PDAG_OK);
    return net;
}

/* n rows with fresh numbers; the results must be right, whatever was cut. */
static pdag_status evaluate(pdag_pipeline *pipeline, size_t n,
                            size_t *most_rows, int *parts_out)
{
    static uint64_t seed;
    float *x = pdag_xcalloc(n * DIM, sizeof *x);
    float *t = pdag_xcalloc(n, sizeof *t);
    float *eps = pdag_xcalloc((n + 1) * DIM, sizeof *eps);
    const pdag_worker_rows rows = {.n = n, .dim = DIM, .x = x, .t = t};
    pdag_status status;

    pdag_rng_counter_normal(++seed, 0, 0, n * DIM, x);
    pdag_rng_counter_normal(seed, 1, 0, n, t);
    for (size_t i = 0; i < (n + 1) * DIM; i++)
        eps[i] = NAN;
    status = pdag_worker_evaluate(pipeline, &rows, most_rows, eps, parts_out);
    for (size_t i = 0; status == PDAG_OK && i < n * DIM; i++)
        ck_assert_msg(eps[i] == 2.0f * x[i] + t[i / DIM], "row %zu", i / DIM);
    for (size_t i = n * DIM; i < (n + 1) * DIM; i++)
        ck_assert_msg(isnan(eps[i]), "written behind the rows");
    free(x);
    free(t);
    free(eps);
    return status;
}

START_TEST(test_whole)
{
    pdag_pipeline *pipeline;
    small_network *net = make_network(16, &pipeline);
    size_t most_rows = 0;
    int parts = -1;

    ck_assert_int_eq(evaluate(pipeline, 16, &most_rows, &parts), PDAG_OK);
    ck_assert_int_eq(parts, 1);
    ck_assert_uint_eq(most_rows, 0);
    ck_assert_uint_eq(net->calls, 1);
    pdag_pipeline_destroy(pipeline);
}
END_TEST

START_TEST(test_parts)
{
    static const size_t fits[] = {1, 2, 3, 7, 15};

    for (size_t f = 0; f < sizeof fits / sizeof fits[0]; f++) {
        pdag_pipeline *pipeline;
        small_network *net = make_network(fits[f], &pipeline);
        size_t most_rows = 0;
        size_t refused;
        int parts = -1;

        ck_assert_int_eq(evaluate(pipeline, 16, &most_rows, &parts), PDAG_OK);
        ck_assert_int_ge(parts, 2);
        ck_assert_uint_ge(most_rows, 1);
        ck_assert_uint_le(most_rows, fits[f]);
        ck_assert_uint_le(net->largest, fits[f]);
        ck_assert_uint_eq(net->calls, net->refused + (size_t)parts);
        /* What was learnt stays: nothing too large is tried again. */
        refused = net->refused;
        for (size_t n = 1; n <= 20; n++)
            ck_assert_int_eq(evaluate(pipeline, n, &most_rows, &parts), PDAG_OK);
        ck_assert_uint_eq(net->refused, refused);
        pdag_pipeline_destroy(pipeline);
    }
}
END_TEST

START_TEST(test_too_small)
{
    pdag_pipeline *pipeline;
    small_network *net = make_network(0, &pipeline);
    size_t most_rows = 0;
    int parts = -1;

    ck_assert_int_eq(evaluate(pipeline, 9, &most_rows, &parts), PDAG_ERR_NOMEM);
    ck_assert_int_eq(parts, -1);
    ck_assert_uint_eq(net->calls, 5); /* 9, 5, 3, 2, 1 rows */
    ck_assert_str_eq(pdag_error_text(), "1 rows do not fit");
    pdag_pipeline_destroy(pipeline);
}
END_TEST

START_TEST(test_other_failures)
{
    pdag_pipeline *pipeline;
    small_network *net = make_network(4, &pipeline);
    size_t most_rows = 0;
    int parts = -1;

    net->failure = PDAG_ERR_BACKEND;
    ck_assert_int_eq(evaluate(pipeline, 4, &most_rows, &parts),
                     PDAG_ERR_BACKEND);
    ck_assert_uint_eq(net->calls, 1);
    ck_assert_uint_eq(most_rows, 0);
    pdag_pipeline_destroy(pipeline);
}
END_TEST

START_TEST(test_advice)
{
    pdag_error_record("device 3: wanted 7 bytes");
    ck_assert_int_eq(pdag_worker_advise(PDAG_ERR_BACKEND, "to decode a picture"),
                     PDAG_ERR_BACKEND);
    ck_assert_str_eq(pdag_error_text(), "device 3: wanted 7 bytes");
    ck_assert_int_eq(pdag_worker_advise(PDAG_ERR_NOMEM, "to decode a picture"),
                     PDAG_ERR_NOMEM);
    ck_assert_ptr_nonnull(
        strstr(pdag_error_text(), "not enough memory to decode a picture"));
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "fewer ranks"));
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), ": device 3: wanted 7 bytes"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker evaluate");
    TCase *tc = tcase_create("parts");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, test_whole);
    tcase_add_test(tc, test_parts);
    tcase_add_test(tc, test_too_small);
    tcase_add_test(tc, test_other_failures);
    tcase_add_test(tc, test_advice);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
