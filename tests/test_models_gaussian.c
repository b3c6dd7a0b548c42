/* models/gaussian and models/guidance against their formulas, written once
 * more. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "models/denoiser.h"

#define D 4

static const size_t shape[] = {2, 2};
static const double alpha_bar[] = {0.99, 0.7, 0.3, 0.02};

static void must(pdag_status status)
{
    ck_assert_msg(status == PDAG_OK, "%s", pdag_error_text());
}

/* log of the mixture's density up to a constant, the modes drawn as the header
   says: standard normal, mode m from step m of the counter stream. */
static double log_density(size_t modes, double std, double a, const double *x)
{
    double variance = a * std * std + 1.0 - a;
    double sum = 0.0;

    for (size_t m = 0; m < modes; m++) {
        float mean[D];
        double distance_sq = 0.0;

        pdag_rng_counter_normal(9, m, 0, D, mean);
        for (size_t d = 0; d < D; d++)
            distance_sq += pow(x[d] - sqrt(a) * (double)mean[d], 2);
        sum += exp(-0.5 * distance_sq / variance);
    }
    return log(sum);
}

static void check_score(size_t modes, double std, float t, double a)
{
    const float x[D] = {0.3f, -0.8f, 1.1f, 0.05f};
    const double step = 1e-5;
    pdag_denoiser *model;
    float eps[D];

    must(pdag_gaussian_create(shape, 2, modes, std, 9, alpha_bar, 4, &model));
    must(model->ops->eval(model, 1, x, &t, NULL, eps));
    for (size_t d = 0; d < D; d++) {
        double plus[D];
        double minus[D];
        double slope;

        for (size_t i = 0; i < D; i++)
            plus[i] = minus[i] = (double)x[i];
        plus[d] += step;
        minus[d] -= step;
        slope = (log_density(modes, std, a, plus) -
                 log_density(modes, std, a, minus)) /
                (2.0 * step);
        ck_assert_double_eq_tol((double)eps[d], -sqrt(1.0 - a) * slope, 1e-6);
    }
    model->ops->destroy(model);
}

START_TEST(score)
{
    check_score(1, 0.5, 0.0f, 0.99);
    check_score(1, 1.0, 3.0f, 0.02);
    check_score(5, 0.5, 1.0f, 0.7);
    check_score(5, 0.25, 2.0f, 0.3);
    check_score(3, 0.5, 1.5f, sqrt(0.7 * 0.3)); /* log-linear between */
    check_score(3, 0.5, 7.0f, 0.02);            /* constant beyond the last */
}
END_TEST

/* Far from every mode the weights underflow unless shifted. */
START_TEST(far_away)
{
    const float x[D] = {4000.0f, -4000.0f, 4000.0f, 0.0f};
    const float t = 0.0f;
    pdag_denoiser *model;
    float eps[D];

    must(pdag_gaussian_create(shape, 2, 5, 0.01, 9, alpha_bar, 4, &model));
    must(model->ops->eval(model, 1, x, &t, NULL, eps));
    for (size_t d = 0; d < D; d++)
        ck_assert(isfinite(eps[d]));
    model->ops->destroy(model);
}
END_TEST

static void refused(const size_t *dims, int n_dims, size_t modes, double std,
                    const double *schedule, size_t n, const char *field)
{
    pdag_denoiser *model = NULL;

    ck_assert_int_eq(
        pdag_gaussian_create(dims, n_dims, modes, std, 9, schedule, n, &model),
        PDAG_ERR_ARG);
    ck_assert_ptr_null(model);
    ck_assert_msg(strstr(pdag_error_text(), field) != NULL, "%s",
                  pdag_error_text());
}

START_TEST(bad_arguments)
{
    static const size_t zero[] = {2, 0};
    static const size_t huge[] = {(size_t)1 << 40, (size_t)1 << 40};
    static const double wrong[] = {0.5, 0.0};

    refused(shape, 0, 1, 0.5, alpha_bar, 4, "gaussian.shape");
    refused(shape, 4, 1, 0.5, alpha_bar, 4, "gaussian.shape");
    refused(zero, 2, 1, 0.5, alpha_bar, 4, "gaussian.shape");
    refused(huge, 2, 1, 0.5, alpha_bar, 4, "gaussian.shape");
    refused(shape, 2, 0, 0.5, alpha_bar, 4, "gaussian.modes");
    refused(shape, 2, SIZE_MAX, 0.5, alpha_bar, 4, "gaussian.modes");
    refused(shape, 2, 1, 0.0, alpha_bar, 4, "gaussian.std");
    refused(shape, 2, 1, NAN, alpha_bar, 4, "gaussian.std");
    refused(shape, 2, 1, 0.5, alpha_bar, 0, "schedule");
    refused(shape, 2, 1, 0.5, wrong, 2, "alpha_bar[1]");
}
END_TEST

/* A network whose result is its condition's one number, plus the row's time. */
typedef struct toy {
    pdag_denoiser base;
    size_t alive;
} toy;

static pdag_status toy_condition(pdag_denoiser *model, const float *cond,
                                 pdag_condition **condition_out)
{
    float *kept;

    if (isnan(cond[0]))
        return pdag_error(PDAG_ERR_NOMEM, "toy");
    kept = malloc(sizeof *kept);
    *kept = cond[0];
    ((toy *)model)->alive++;
    *condition_out = (pdag_condition *)kept;
    return PDAG_OK;
}

static void toy_condition_destroy(pdag_denoiser *model,
                                  pdag_condition *condition)
{
    ((toy *)model)->alive--;
    free(condition);
}

static pdag_status toy_eval(pdag_denoiser *model, size_t n, const float *x,
                            const float *t, const pdag_condition *const *cond,
                            float *eps)
{
    for (size_t i = 0; i < n; i++)
        for (size_t d = 0; d < model->dim; d++)
            eps[i * model->dim + d] =
                *(const float *)cond[i] + t[i] + x[i * model->dim + d];
    return PDAG_OK;
}

static const pdag_denoiser_ops toy_ops = {
    .name = "toy",
    .condition_create = toy_condition,
    .condition_destroy = toy_condition_destroy,
    .eval = toy_eval,
};

static toy make_toy(void)
{
    toy made = {.base = {.ops = &toy_ops,
                         .dim = 6,
                         .n_state_dims = 2,
                         .state_dims = {3, 2},
                         .cond_dim = 1}};

    return made;
}

static void check_guidance(size_t channels, size_t guided)
{
    toy inner = make_toy();
    const float cond[2] = {1.0f, 3.0f};
    const float t[2] = {10.0f, 20.0f};
    const float x[12] = {0.0f, 1.0f, 2.0f, 3.0f, 4.0f, 5.0f};
    pdag_denoiser *model;
    pdag_condition *condition;
    const pdag_condition *rows[2];
    float eps[12];

    must(pdag_guidance_create(&inner.base, 2.5f, channels, &model));
    ck_assert_uint_eq(model->cond_dim, 2);
    must(model->ops->condition_create(model, cond, &condition));
    ck_assert_uint_eq(inner.alive, 2);
    rows[0] = rows[1] = condition;
    must(model->ops->eval(model, 2, x, t, rows, eps));
    for (size_t i = 0; i < 12; i++) {
        float u = cond[0] + t[i / 6] + x[i];
        float c = cond[1] + t[i / 6] + x[i];

        ck_assert_float_eq_tol(eps[i], i % 6 < guided ? u + 2.5f * (c - u) : c,
                               1e-5f);
    }
    model->ops->condition_destroy(model, condition);
    ck_assert_uint_eq(inner.alive, 0);
    model->ops->destroy(model);
}

START_TEST(guidance)
{
    check_guidance(0, 6);
    check_guidance(3, 6);
    check_guidance(1, 2);
}
END_TEST

START_TEST(guidance_faults)
{
    toy inner = make_toy();
    const float cond[2] = {1.0f, NAN};
    pdag_denoiser *model;
    pdag_condition *condition;

    ck_assert_int_eq(pdag_guidance_create(&inner.base, 2.0f, 4, &model),
                     PDAG_ERR_ARG);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "guidance_channels"));
    must(pdag_guidance_create(&inner.base, 2.0f, 0, &model));
    ck_assert_int_eq(model->ops->condition_create(model, cond, &condition),
                     PDAG_ERR_NOMEM);
    ck_assert_uint_eq(inner.alive, 0);
    model->ops->destroy(model);
    inner.base.cond_dim = 0;
    ck_assert_int_eq(pdag_guidance_create(&inner.base, 2.0f, 0, &model),
                     PDAG_ERR_ARG);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("models/gaussian, models/guidance");
    TCase *all = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_test(all, score);
    tcase_add_test(all, far_away);
    tcase_add_test(all, bad_arguments);
    tcase_add_test(all, guidance);
    tcase_add_test(all, guidance_faults);
    suite_add_tcase(suite, all);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
