/* graph/: DPM-Solver, Euler, flow matching and PNDM against diffusers'
   sequential schedulers, step by step, and the triangular form of every kind.
 */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "graph/transition.h"
#include "tests/temporary.h"

#define MAX_DIM 16
#define MAX_ROWS 64

static pdag_json entries;
static size_t dim;

static void load(void)
{
    const char *folder = getenv("srcdir");
    char path[1024];
    long number;

    snprintf(path, sizeof path, "%s/tests/data/schedule/samplers.json",
             folder != NULL ? folder : ".");
    ck_assert_msg(pdag_json_read(path, &entries) == PDAG_OK, "%s",
                  pdag_error_text());
    ck_assert_int_eq(pdag_json_int(&entries, "dim", 1, MAX_DIM, 0, &number),
                     PDAG_OK);
    dim = (size_t)number;
}

static void unload(void)
{
    temporary_file_remove();
    pdag_json_clear(&entries);
}

static double number(const json_t *list, size_t i)
{
    return json_number_value(json_array_get(list, i));
}

static double member(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* make_schedules.py's pattern(), state() and network(). */
static void fill_state(size_t i, float *x)
{
    for (size_t j = 0; j < dim; j++) {
        uint64_t h = ((uint64_t)i * 7919 + j * 104729 + 12345) * 2654435761u;

        x[j] = (float)((double)(h & 0xffffffffu) / 1073741824.0 - 2.0);
    }
}

static void network(const pdag_transition *tr, size_t i, const float *x,
                    float *e)
{
    for (size_t j = 0; j < dim; j++) {
        double v = tr->input_scale[i] * (double)x[j];

        e[j] = (float)(v / (1 + 0.25 * v * v) +
                       0.3 * (tr->t[i] / (double)tr->config.n_train) - 0.05);
    }
}

static const char *name_of(const json_t *entry, size_t steps)
{
    static char name[2048];
    char *config = json_dumps(json_object_get(entry, "config"), JSON_COMPACT);

    snprintf(name, sizeof name, "%s, %zu steps, %s",
             json_string_value(json_object_get(entry, "kind")), steps, config);
    free(config);
    return name;
}

static void check_near(double ours, double theirs, double tolerance,
                       const char *what, size_t i, const char *name)
{
    ck_assert_msg(fabs(ours - theirs) <= tolerance * (1 + fabs(theirs)),
                  "%s %zu: %.10g, diffusers %.10g: %s", what, i, ours, theirs,
                  name);
}

/* One run of the chain, keeping every row's value as a solver does. */
typedef struct chain {
    float x[MAX_ROWS + 1][MAX_DIM];
    float m[MAX_ROWS][MAX_DIM];
    float e[MAX_DIM];
} chain;

static void advance(const pdag_transition *tr, size_t i, const float *xi,
                    chain *c)
{
    const float *values[PDAG_MAX_TERMS] = {NULL};

    pdag_transition_value(tr, i, c->x[i], c->e, xi, c->m[i]);
    for (size_t k = 0; k < tr->n_terms && k <= i; k++)
        if (tr->weight[i * tr->n_terms + k] != 0)
            values[k] = c->m[i - k];
    pdag_transition_step(tr, i, c->x[i], values, xi, c->x[i + 1]);
}

static void check_levels(const json_t *run, const pdag_schedule *schedule,
                         const char *name)
{
    const json_t *spots = json_object_get(run, "spots");
    const json_t *sigmas = json_object_get(run, "sigmas");

    check_near(schedule->initial_sigma, member(run, "scale"), 2e-7, "scale", 0,
               name);
    for (size_t k = 0; k < json_array_size(spots); k++) {
        size_t i = (size_t)number(spots, k);

        check_near(schedule->timesteps[i], number(json_object_get(run, "t"), k),
                   1e-6, "t", i, name);
        if (sigmas != NULL)
            check_near(schedule->sigmas[i], number(sigmas, k), 3e-7, "sigma", i,
                       name);
    }
    if (sigmas != NULL)
        check_near(schedule->sigmas[schedule->n_rows],
                   number(sigmas, json_array_size(spots)), 3e-7, "sigma",
                   schedule->n_rows, name);
}

static void check_run(const json_t *run, const pdag_transition *tr,
                      const char *name)
{
    static chain c;
    const json_t *path = json_object_get(run, "path");
    const json_t *clean = json_object_get(run, "clean");
    const json_t *run32 = json_object_get(run, "run32");
    size_t n = tr->n_rows;
    size_t n_draws = 0;
    float z[MAX_DIM];
    double loose = 5e-6; /* float32 states over 50 steps: 2e-6 at most */

    ck_assert_uint_eq(n, (size_t)member(run, "rows"));
    fill_state(0, c.x[0]);
    for (size_t j = 0; j < dim; j++)
        c.x[0][j] = (float)(tr->initial_sigma * (double)c.x[0][j]);
    for (size_t i = 0; i < n; i++) {
        float xi[MAX_DIM];

        fill_state(i + 1, xi);
        network(tr, i, c.x[i], c.e);
        pdag_transition_x0(tr, i, c.x[i], c.e, z);
        advance(tr, i, tr->c[i] > 0 ? xi : NULL, &c);
        if (path != NULL)
            check_near((double)c.x[i + 1][0], number(path, i), loose, "state",
                       i + 1, name);
        n_draws += tr->draws_noise[i];
    }
    ck_assert_uint_eq(n_draws, (size_t)member(run, "n_draws"));
    for (size_t j = 0; j < dim; j++) {
        check_near((double)c.x[n][j], number(json_object_get(run, "run"), j),
                   loose, "run", j, name);
        if (clean != NULL)
            check_near((double)z[j], number(clean, j), loose, "clean", j, name);
        if (run32 != NULL)
            check_near((double)c.x[n][j], number(run32, j), 50 * loose, "run32",
                       j, name);
    }
}

static pdag_transition *create(const char *kind,
                               const pdag_schedule_config *config, size_t n,
                               double eta, pdag_schedule **schedule_out)
{
    pdag_schedule *schedule;
    pdag_transition *tr = NULL;

    ck_assert_msg(pdag_schedule_create(config, kind, n, &schedule) == PDAG_OK,
                  "%s: %s", kind, pdag_error_text());
    ck_assert_msg(pdag_transition_create(kind, config, schedule, eta, dim,
                                         &tr) == PDAG_OK,
                  "%s: %s", kind, pdag_error_text());
    if (schedule_out != NULL)
        *schedule_out = schedule;
    else
        pdag_schedule_destroy(schedule);
    return tr;
}

static void check_entry(const json_t *entry)
{
    const char *kind = json_string_value(json_object_get(entry, "kind"));
    const json_t *runs = json_object_get(entry, "runs");
    char *text = json_dumps(json_object_get(entry, "config"), 0);
    pdag_schedule_config config;

    ck_assert_msg(pdag_schedule_config_read(temporary_file(text), kind,
                                            &config) == PDAG_OK,
                  "%s: %s", name_of(entry, 0), pdag_error_text());
    free(text);
    for (size_t r = 0; r < json_array_size(runs); r++) {
        const json_t *run = json_array_get(runs, r);
        size_t steps = (size_t)member(run, "steps");
        pdag_schedule *schedule;
        pdag_transition *tr = create(kind, &config, steps, 0, &schedule);

        check_levels(run, schedule, name_of(entry, steps));
        check_run(run, tr, name_of(entry, steps));
        pdag_schedule_destroy(schedule);
        pdag_transition_destroy(tr);
    }
    pdag_schedule_config_clear(&config);
}

START_TEST(test_against_diffusers)
{
    json_t *list;

    ck_assert_int_eq(pdag_json_array(&entries, "entries", &list), PDAG_OK);
    ck_assert_uint_ge(json_array_size(list), 100);
    for (size_t i = 0; i < json_array_size(list); i++)
        check_entry(json_array_get(list, i));
}
END_TEST

/* Every kind, with each prediction type that it has, without clipping. */
static pdag_transition *of_kind(size_t k, int prediction, size_t n)
{
    const pdag_schedule_kind *kind = pdag_schedule_kind_at(k);
    pdag_schedule_config config;

    if (prediction == PDAG_PREDICT_SAMPLE &&
        (kind->family == PDAG_FAMILY_PNDM ||
         kind->family == PDAG_FAMILY_EULER_A))
        return NULL;
    pdag_schedule_config_defaults(kind->name, &config);
    config.prediction = (pdag_prediction)prediction;
    config.clip_sample = false;
    if (kind->family == PDAG_FAMILY_FLOW) {
        config.shift = 2;
        config.stochastic = prediction == PDAG_PREDICT_SAMPLE;
    }
    return create(kind->name, &config, n,
                  kind->family == PDAG_FAMILY_DDIM ? 0.7 : 0, NULL);
}

/* The solver's own reading of the header: own, weight and c give the step, a
   and b its slopes by the state and the network's output. */
START_TEST(test_triangular_form)
{
    enum { N = 12 };
    static chain c;

    for (size_t k = 0; pdag_schedule_kind_at(k) != NULL; k++)
        for (int p = 0; p < 3; p++) {
            pdag_transition *tr = of_kind(k, p, N);

            if (tr == NULL)
                continue;
            ck_assert_str_eq(pdag_transition_kind(k),
                             pdag_schedule_kind_at(k)->name);
            fill_state(k, c.x[0]);
            for (size_t i = 0; i < tr->n_rows; i++) {
                const double *weight = tr->weight + i * tr->n_terms;
                float xi[MAX_DIM];

                fill_state(i + 3, xi);
                network(tr, i, c.x[i], c.e);
                advance(tr, i, xi, &c);
                for (size_t j = 0; j < dim; j++) {
                    double f = tr->own[i] * (double)c.x[i][j];
                    double g = tr->a[i] * (double)c.x[i][j] +
                               tr->b[i] * (double)c.e[j] +
                               tr->c[i] * (double)xi[j];

                    for (size_t q = 0; q < tr->n_terms; q++) {
                        if (weight[q] == 0)
                            continue;
                        ck_assert_uint_le(q, i);
                        f += weight[q] * (double)c.m[i - q][j];
                        if (q > 0)
                            g += weight[q] * (double)c.m[i - q][j];
                    }
                    if (tr->value_kind != PDAG_VALUE_STEP)
                        f += tr->c[i] * (double)xi[j];
                    ck_assert_double_eq_tol((double)c.x[i + 1][j], f,
                                            1e-6 * (1 + fabs(f)));
                    ck_assert_double_eq_tol((double)c.x[i + 1][j], g,
                                            1e-5 * (1 + fabs(g)));
                }
            }
            pdag_transition_destroy(tr);
        }
}
END_TEST

START_TEST(test_values_of_clean_states)
{
    for (size_t k = 0; pdag_schedule_kind_at(k) != NULL; k++)
        for (int p = 0; p < 3; p++) {
            pdag_transition *tr = of_kind(k, p, 9);
            float x[MAX_DIM], e[MAX_DIM], xi[MAX_DIM];
            float z[MAX_DIM], m[MAX_DIM], again[MAX_DIM];

            for (size_t i = 0; tr != NULL && i < tr->n_rows; i++) {
                fill_state(2 * i, x);
                fill_state(2 * i + 1, xi);
                for (size_t j = 0; j < dim; j++)
                    x[j] *= (float)fmax(1, tr->sigma[i]);
                network(tr, i, x, e);
                pdag_transition_value(tr, i, x, e, xi, m);
                pdag_transition_x0(tr, i, x, e, z);
                pdag_transition_value_of_x0(tr, i, x, z, xi, again);
                for (size_t j = 0; j < dim; j++)
                    ck_assert_float_eq_tol(
                        again[j], m[j],
                        2e-5f * (1 + fabsf(m[j])) / (float)tr->signal[i] *
                            (tr->value_kind == PDAG_VALUE_OUTPUT ? 10 : 1));
                if (tr->value_kind == PDAG_VALUE_STEP)
                    continue;
                pdag_transition_x0_of_value(tr, i, x, again, m);
                for (size_t j = 0; j < dim; j++)
                    ck_assert_float_eq_tol(m[j], z[j],
                                           1e-5f * (1 + fabsf(z[j])));
            }
            pdag_transition_destroy(tr);
        }
}
END_TEST

/* The network of data N(mean, variance): it predicts gaussian_x0's clean state.
 */
static void gaussian_value(const pdag_transition *tr, size_t i, const float *x,
                           float variance, const float *xi, float *m)
{
    float mean[MAX_DIM], spread[MAX_DIM], z[MAX_DIM];

    for (size_t j = 0; j < dim; j++) {
        mean[j] = 0.3f * (float)j - 1;
        spread[j] = variance;
    }
    pdag_transition_gaussian_x0(tr, i, x, mean, spread, z);
    pdag_transition_value_of_x0(tr, i, x, z, xi, m);
}

START_TEST(test_gaussian_slope)
{
    const float variances[] = {0.27f, 1, 4};
    double slope[MAX_ROWS];

    for (size_t k = 0; pdag_schedule_kind_at(k) != NULL; k++)
        for (int p = 0; p < 9; p++) {
            pdag_transition *tr = of_kind(k, p % 3, 11);
            float variance = variances[p / 3];

            if (tr == NULL)
                continue;
            pdag_transition_gaussian_slope(tr, (double)variance, slope);
            for (size_t i = 0; i < tr->n_rows; i++) {
                float x[2][MAX_DIM], m[2][MAX_DIM], f[2][MAX_DIM];
                float older[MAX_DIM], xi[MAX_DIM];
                /* far apart: the oracle is linear, float32 is not exact */
                float gap = 4 * (float)fmax(1, tr->sigma[i]);

                fill_state(i, x[0]);
                fill_state(i + 1, xi);
                fill_state(i + 2, older);
                for (int q = 0; q < 2; q++) {
                    const float *values[PDAG_MAX_TERMS] = {m[q], older, older,
                                                           older, older};

                    for (size_t j = 0; j < dim; j++)
                        x[q][j] = x[0][j] + (q == 1 ? gap : 0);
                    gaussian_value(tr, i, x[q], variance, xi, m[q]);
                    pdag_transition_step(tr, i, x[q], values, xi, f[q]);
                }
                for (size_t j = 0; j < dim; j++)
                    ck_assert_double_eq_tol((double)(f[1][j] - f[0][j]) /
                                                (double)gap,
                                            slope[i], 1e-5);
            }
            pdag_transition_destroy(tr);
        }
}
END_TEST

/* Algorithms' closed forms for two families (docs/numerics.md). */
START_TEST(test_gaussian_slope_in_closed_form)
{
    const double v = 0.6;
    double slope[MAX_ROWS];

    for (size_t k = 0; pdag_schedule_kind_at(k) != NULL; k++) {
        const pdag_schedule_kind *kind = pdag_schedule_kind_at(k);
        pdag_transition *tr = of_kind(k, PDAG_PREDICT_EPSILON, 10);

        pdag_transition_gaussian_slope(tr, v, slope);
        for (size_t i = 0; i + 1 < tr->n_rows; i++) {
            double now = tr->sigma[i];
            double next = tr->sigma[i + 1];
            double al = 1 - now;
            double wanted = kind->family == PDAG_FAMILY_EULER
                                ? 1 + (next - now) * now / (v + now * now)
                                : 1 + (next - now) * (now - al * v) /
                                          (al * al * v + now * now);

            if (kind->family == PDAG_FAMILY_EULER ||
                kind->family == PDAG_FAMILY_FLOW)
                ck_assert_double_eq_tol(slope[i], wanted, 1e-12);
        }
        pdag_transition_destroy(tr);
    }
}
END_TEST

START_TEST(test_places_may_be_shared)
{
    for (size_t k = 0; pdag_schedule_kind_at(k) != NULL; k++) {
        pdag_transition *tr = of_kind(k, PDAG_PREDICT_EPSILON, 9);

        for (size_t i = 4; i < tr->n_rows; i++) {
            float x[MAX_DIM], e[MAX_DIM], xi[MAX_DIM], m[MAX_DIM];
            float f[MAX_DIM], old[4][MAX_DIM], shared[MAX_DIM];
            const float *values[PDAG_MAX_TERMS] = {m, old[0], old[1], old[2],
                                                   old[3]};

            fill_state(1, x);
            fill_state(2, xi);
            fill_state(3, e);
            for (size_t q = 0; q < 4; q++)
                fill_state(4 + q, old[q]);
            pdag_transition_value(tr, i, x, e, xi, m);
            memcpy(shared, x, sizeof shared);
            pdag_transition_value(tr, i, shared, e, xi, shared);
            ck_assert_mem_eq(shared, m, dim * sizeof *m);
            pdag_transition_step(tr, i, x, values, xi, f);
            memcpy(shared, x, sizeof shared);
            pdag_transition_step(tr, i, shared, values, xi, shared);
            ck_assert_mem_eq(shared, f, dim * sizeof *f);
            memcpy(shared, m, sizeof shared);
            values[0] = shared;
            pdag_transition_step(tr, i, x, values, xi, shared);
            ck_assert_mem_eq(shared, f, dim * sizeof *f);
        }
        pdag_transition_destroy(tr);
    }
}
END_TEST

START_TEST(test_noise_deviations)
{
    for (size_t k = 0; pdag_schedule_kind_at(k) != NULL; k++) {
        const pdag_schedule_kind *kind = pdag_schedule_kind_at(k);
        pdag_transition *tr = of_kind(k, PDAG_PREDICT_EPSILON, 10);

        for (size_t i = 0; i + 1 < tr->n_rows; i++) {
            bool flow = kind->family == PDAG_FAMILY_FLOW;

            ck_assert(flow ? tr->noise_std[i] == 0 : tr->noise_std[i] > 0);
            ck_assert(isfinite(tr->noise_std[i]));
            if (kind->family == PDAG_FAMILY_EULER_A)
                ck_assert_double_eq(tr->noise_std[i], tr->c[i]);
        }
        pdag_transition_destroy(tr);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("graph/samplers");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, load, unload);
    tcase_add_test(tcase, test_against_diffusers);
    tcase_add_test(tcase, test_triangular_form);
    tcase_add_test(tcase, test_values_of_clean_states);
    tcase_add_test(tcase, test_gaussian_slope);
    tcase_add_test(tcase, test_gaussian_slope_in_closed_form);
    tcase_add_test(tcase, test_places_may_be_shared);
    tcase_add_test(tcase, test_noise_deviations);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
