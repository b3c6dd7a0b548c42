/* graph/transition: coefficients and whole runs against diffusers' step(), and
   against an independent sampler. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "graph/transition.h"
#include "tests/ref_sampler.h"
#include "tests/temporary.h"

#define MAX_DIM 16

static pdag_json cases;
static size_t dim;

static void load(void)
{
    const char *folder = getenv("srcdir");
    char path[1024];
    long number;

    snprintf(path, sizeof path, "%s/tests/data/schedule/cases.json",
             folder != NULL ? folder : ".");
    ck_assert_msg(pdag_json_read(path, &cases) == PDAG_OK, "%s",
                  pdag_error_text());
    ck_assert_int_eq(pdag_json_int(&cases, "dim", 1, MAX_DIM, 0, &number),
                     PDAG_OK);
    dim = (size_t)number;
}

static void unload(void)
{
    temporary_file_remove();
    pdag_json_clear(&cases);
}

static double number(const json_t *list, size_t i)
{
    return json_number_value(json_array_get(list, i));
}

static double member(const json_t *entry, const char *key)
{
    return json_number_value(json_object_get(entry, key));
}

/* make_schedules.py's pattern(), state() and network(). */
static void fill_state(size_t i, float *x)
{
    for (size_t j = 0; j < dim; j++) {
        uint64_t h = ((uint64_t)i * 7919 + j * 104729 + 12345) * 2654435761u;

        x[j] = (float)((double)(h & 0xffffffffu) / 1073741824.0 - 2.0);
    }
}

static void network(const float *x, double t, size_t n_train, float *e)
{
    for (size_t j = 0; j < dim; j++) {
        double v = (double)x[j];

        e[j] = (float)(v / (1 + 0.25 * v * v) + 0.3 * (t / (double)n_train) -
                       0.05);
    }
}

/* The case's transition, or a failed test. */
static pdag_transition *create(const json_t *entry)
{
    const char *kind = json_string_value(json_object_get(entry, "kind"));
    char *text = json_dumps(json_object_get(entry, "config"), 0);
    pdag_schedule_config config;
    pdag_schedule *schedule;
    pdag_transition *tr;

    ck_assert_msg(pdag_schedule_config_read(temporary_file(text), kind,
                                            &config) == PDAG_OK,
                  "%s", pdag_error_text());
    free(text);
    ck_assert_int_eq(pdag_schedule_create(&config, kind,
                                          (size_t)member(entry, "steps"),
                                          &schedule),
                     PDAG_OK);
    ck_assert_msg(pdag_transition_create(kind, &config, schedule,
                                         member(entry, "eta"), dim,
                                         &tr) == PDAG_OK,
                  "%s", pdag_error_text());
    pdag_schedule_destroy(schedule);
    pdag_schedule_config_clear(&config);
    return tr;
}

static void check_near(double value, double expected, double tolerance,
                       const char *what, size_t number_of_case)
{
    ck_assert_msg(fabs(value - expected) <= tolerance * (1 + fabs(expected)),
                  "case %zu: %s: %.12g, diffusers %.12g", number_of_case, what,
                  value, expected);
}

static void check_table(const json_t *entry, size_t k,
                        const pdag_transition *tr)
{
    const json_t *rows = json_object_get(entry, "rows");
    const json_t *table = json_object_get(entry, "table");
    /* torch's exp() and sqrt() differ in the last bit of float32. */
    double tolerance = tr->config.beta_schedule == PDAG_BETA_SIGMOID ||
                               tr->config.rescale_zero_snr
                           ? 1e-5
                           : 3e-10;
    size_t n_draws = 0;

    for (size_t r = 0; r < json_array_size(rows); r++) {
        size_t i = (size_t)number(rows, r);
        const json_t *line = json_array_get(table, r);

        ck_assert_double_eq(tr->t[i], number(json_object_get(entry, "t"), r));
        check_near(tr->a[i], number(line, 0), tolerance, "a", k);
        check_near(tr->b[i], number(line, 1), tolerance, "b", k);
        check_near(tr->c[i], number(line, 2), tolerance, "c", k);
        ck_assert_double_eq(tr->own[i], 0);
        ck_assert_double_eq(tr->weight[i], 1);
        ck_assert_double_eq(tr->input_scale[i], 1);
        check_near(tr->noise_std[i], number(line, 4), tolerance, "std", k);
        ck_assert_int_eq(tr->draws_noise[i],
                         number(json_object_get(entry, "draws"), r) > 0);
    }
    for (size_t i = 0; i < tr->n_rows; i++)
        n_draws += tr->draws_noise[i];
    ck_assert_uint_eq(n_draws, (size_t)member(entry, "n_draws"));
}

static void check_run(const json_t *entry, size_t k, const pdag_transition *tr)
{
    float x[MAX_DIM];
    float e[MAX_DIM];
    float xi[MAX_DIM];
    float z[MAX_DIM];
    float first[MAX_DIM];
    size_t n_train = tr->config.n_train;
    double loose;

    fill_state(0, x);
    for (size_t i = 0; i < tr->n_rows; i++) {
        network(x, tr->t[i], n_train, e);
        fill_state(i + 1, xi);
        pdag_transition_x0(tr, i, x, e, z);
        if (i == 0)
            memcpy(first, z, sizeof first);
        pdag_transition_value(tr, i, x, e, tr->c[i] > 0 ? xi : NULL, x);
    }
    /* States are float32 here and float64 there; 1 / al at the first step
       magnifies what they differ by, and the steps add up. */
    loose = 3e-6 * sqrt((double)tr->n_rows) + 1e-5;
    for (size_t j = 0; j < dim; j++) {
        const char *names[] = {"x0_first", "x0_last", "run", "run32"};
        float ours[] = {first[j], z[j], x[j], x[j]};

        for (size_t q = 0; q < 4; q++) {
            const json_t *list = json_object_get(entry, names[q]);

            if (!json_is_null(json_array_get(list, j)))
                check_near((double)ours[q], number(list, j),
                           q == 3 ? 20 * loose : loose, names[q], k);
        }
    }
}

START_TEST(test_against_diffusers)
{
    json_t *list;

    ck_assert_int_eq(pdag_json_array(&cases, "cases", &list), PDAG_OK);
    ck_assert_uint_ge(json_array_size(list), 90);
    for (size_t k = 0; k < json_array_size(list); k++) {
        const json_t *entry = json_array_get(list, k);
        pdag_transition *tr = create(entry);

        check_table(entry, k, tr);
        check_run(entry, k, tr);
        pdag_transition_destroy(tr);
    }
}
END_TEST

static pdag_transition *create_simple(const char *kind,
                                      const pdag_schedule_config *config,
                                      size_t n, double eta)
{
    pdag_schedule *schedule;
    pdag_transition *tr = NULL;

    ck_assert_int_eq(pdag_schedule_create(config, kind, n, &schedule), PDAG_OK);
    pdag_transition_create(kind, config, schedule, eta, dim, &tr);
    pdag_schedule_destroy(schedule);
    return tr;
}

START_TEST(test_two_stages_agree_with_one)
{
    pdag_schedule_config config;

    for (int p = 0; p < 6; p++) {
        const char *kind = p < 3 ? "ddim" : "ddpm";
        float x[MAX_DIM], e[MAX_DIM], xi[MAX_DIM], f[MAX_DIM], g[MAX_DIM];
        float z[MAX_DIM], back[MAX_DIM];
        pdag_transition *tr;

        pdag_schedule_config_defaults(kind, &config);
        config.prediction = (pdag_prediction)(p % 3);
        config.clip_range = 1e20;
        tr = create_simple(kind, &config, 10, 0.8);
        ck_assert_ptr_nonnull(tr);
        ck_assert(!tr->linear);
        for (size_t i = 0; i < 10; i++) {
            fill_state(3 * i, x);
            fill_state(3 * i + 1, e);
            fill_state(3 * i + 2, xi);
            pdag_transition_value(tr, i, x, e, xi, f);
            pdag_transition_x0(tr, i, x, e, z);
            pdag_transition_value_of_x0(tr, i, x, z, xi, back);
            for (size_t j = 0; j < dim; j++) {
                g[j] =
                    (float)(tr->a[i] * (double)x[j] + tr->b[i] * (double)e[j] +
                            tr->c[i] * (double)xi[j]);
                ck_assert_float_eq_tol(f[j], g[j], 1e-5f);
                ck_assert_float_eq_tol(back[j], f[j], 2e-5f);
            }
        }
        pdag_transition_destroy(tr);
    }
}
END_TEST

static void ref_eps(void *context, const double *x, double t, double *e)
{
    (void)context;
    for (size_t j = 0; j < dim; j++)
        e[j] = x[j] / (1 + 0.25 * x[j] * x[j]) + 0.3 * (t / 1000) - 0.05;
}

START_TEST(test_against_independent_sampler)
{
    enum { STEPS = 40 };
    pdag_schedule_config config;

    pdag_schedule_config_defaults("ddim", &config);
    config.clip_sample = false;
    for (int ddpm = 0; ddpm < 2; ddpm++) {
        const char *kind = ddpm ? "ddpm" : "ddim";
        pdag_transition *tr = create_simple(kind, &config, STEPS, 0);
        double a[STEPS];
        double a_next[STEPS];
        ref_problem problem = {STEPS, dim, tr->t, a, a_next, ref_eps, NULL};
        double wide[MAX_DIM];
        double noise[STEPS * MAX_DIM];
        float x[MAX_DIM], e[MAX_DIM], xi[MAX_DIM];

        /* 40 divides 1000: both samplers step to the next timestep. */
        for (size_t i = 0; i < STEPS; i++)
            a[i] = tr->signal[i] * tr->signal[i];
        for (size_t i = 0; i < STEPS; i++)
            a_next[i] = i + 1 < STEPS ? a[i + 1] : 1;
        fill_state(77, x);
        for (size_t j = 0; j < dim; j++)
            wide[j] = (double)x[j];
        for (size_t i = 0; i < STEPS; i++) {
            fill_state(i, xi);
            for (size_t j = 0; j < dim; j++)
                noise[i * dim + j] = (double)xi[j];
            network(x, tr->t[i], 1000, e);
            pdag_transition_value(tr, i, x, e, ddpm ? xi : NULL, x);
        }
        if (ddpm)
            ref_sample_ddpm(&problem, noise, wide);
        else
            ref_sample_ddim(&problem, wide);
        for (size_t j = 0; j < dim; j++)
            ck_assert_double_eq_tol((double)x[j], wide[j],
                                    1e-5 * (1 + fabs(wide[j])));
        pdag_transition_destroy(tr);
    }
}
END_TEST

START_TEST(test_not_a_number_stays_visible)
{
    pdag_schedule_config config;
    pdag_transition *tr;
    float x[MAX_DIM], e[MAX_DIM], f[MAX_DIM];

    pdag_schedule_config_defaults("ddim", &config);
    tr = create_simple("ddim", &config, 10, 0);
    fill_state(1, x);
    fill_state(2, e);
    e[1] = NAN;
    pdag_transition_value(tr, 5, x, e, NULL, f);
    ck_assert(isnan(f[1]));
    ck_assert(isfinite(f[0]));
    pdag_transition_destroy(tr);
}
END_TEST

/* Levels by a rule down to sigma_min, which is also the level behind the last step;
   one of the two may be above the other by a rounding. */
START_TEST(test_last_step_of_no_length)
{
    pdag_schedule_config config;

    pdag_schedule_config_defaults("euler", &config);
    config.sigma_rule = PDAG_SIGMAS_EXPONENTIAL;
    config.beta_schedule = PDAG_BETA_SQUAREDCOS_CAP_V2;
    config.log_linear = true;
    config.end_at_sigma_min = true;
    for (size_t steps = 2; steps < 12; steps++) {
        pdag_transition *tr = create_simple("euler", &config, steps, 0);

        ck_assert_msg(tr != NULL, "%zu steps: %s", steps, pdag_error_text());
        ck_assert_double_eq_tol(tr->a[steps - 1], 1, 1e-6);
        ck_assert_double_eq_tol(tr->b[steps - 1], 0, 1e-6);
        pdag_transition_destroy(tr);
    }
}
END_TEST

START_TEST(test_undefined_steps_are_refused)
{
    pdag_schedule_config config;
    double flat[3] = {0, 0, 0.5};

    pdag_schedule_config_defaults("ddim", &config);
    config.rescale_zero_snr = true;
    config.spacing = PDAG_SPACING_TRAILING;
    ck_assert_ptr_null(create_simple("ddim", &config, 10, 0));
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "epsilon"));
    ck_assert_ptr_null(create_simple("ddpm", &config, 10, 0));
    config.spacing = PDAG_SPACING_LEADING; /* never visits the last timestep */
    pdag_transition_destroy(create_simple("ddim", &config, 10, 0));

    pdag_schedule_config_defaults("ddim", &config);
    ck_assert_ptr_null(create_simple("ddim", &config, 10, 1.5));
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "sampler.eta"));
    ck_assert_ptr_null(create_simple("ddim", &config, 10, (double)NAN));

    config.n_train = 3;
    config.beta_schedule = PDAG_BETA_TRAINED;
    config.trained_betas = flat;
    ck_assert_ptr_null(create_simple("ddim", &config, 3, 0));
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "not defined"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("graph/transition");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, load, unload);
    tcase_add_test(tcase, test_against_diffusers);
    tcase_add_test(tcase, test_two_stages_agree_with_one);
    tcase_add_test(tcase, test_against_independent_sampler);
    tcase_add_test(tcase, test_not_a_number_stays_visible);
    tcase_add_test(tcase, test_last_step_of_no_length);
    tcase_add_test(tcase, test_undefined_steps_are_refused);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
