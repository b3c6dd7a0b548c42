/* tests/conf_solver.c: what every solver must do, run for each method built in.
 *
 * The problem is a random chain x_{i+1} = F_i(x_i) with F_i(x) = p x + q tanh(R x)
 * + s, R a sparse mixing of the coordinates; its sequential run is the truth. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "solvers/solver.h"

#define N 17
#define D 23

static float coefficient[N][3][D]; /* p, q, s */
static float start[D];
static float truth[N + 1][D];

static void step(size_t i, const float *x, float *f)
{
    for (size_t d = 0; d < D; d++) {
        double mixed = (double)x[d] + 0.5 * (double)x[(d + 1) % D] -
                       0.3 * (double)x[(d + 5) % D];

        f[d] = (float)((double)coefficient[i][0][d] * (double)x[d] +
                       (double)coefficient[i][1][d] * tanh(mixed) +
                       (double)coefficient[i][2][d]);
    }
}

static void make_problem(uint64_t seed)
{
    for (size_t i = 0; i < N; i++) {
        float draw[3 * D];

        pdag_rng_counter_normal(seed, i, 0, 3 * D, draw);
        for (size_t d = 0; d < D; d++) {
            coefficient[i][0][d] = 0.95f + 0.05f * draw[d];
            coefficient[i][1][d] = 0.2f * draw[D + d];
            coefficient[i][2][d] = 0.1f * draw[2 * D + d];
        }
    }
    pdag_rng_counter_normal(seed, N, 0, D, start);
    memcpy(truth[0], start, sizeof start);
    for (size_t i = 0; i < N; i++)
        step(i, truth[i], truth[i + 1]);
}

typedef struct iteration {
    pdag_solver *solver;
    pdag_carry carry;
    float x[N + 1][D];
    float x_new[N][D];
    float f[N][D];
    double slope[N], residual[N], change[N];
} iteration;

static void begin(iteration *it, const pdag_solver_ops *ops, double slope)
{
    pdag_solver_opts opts = {N, D};

    ck_assert_int_eq(ops->create(&opts, &it->solver), PDAG_OK);
    ck_assert_int_eq(pdag_carry_create(D, &it->carry), PDAG_OK);
    ops->reset(it->solver);
    for (size_t i = 0; i <= N; i++)
        memcpy(it->x[i], start, sizeof start);
    for (size_t i = 0; i < N; i++)
        it->slope[i] = slope;
}

static void end(iteration *it)
{
    it->solver->ops->destroy(it->solver);
    pdag_carry_clear(&it->carry);
}

/* One round over rows [first, last) in blocks of `rows`. */
static pdag_status one_round(iteration *it, size_t first, size_t last,
                             size_t rows)
{
    memset(it->x_new, 0xff, sizeof it->x_new); /* NaN: everything is written */
    for (size_t i = first; i < last; i++)
        step(i, it->x[i], it->f[i]);
    pdag_carry_zero(&it->carry, D);
    for (size_t i = first; i < last; i += rows) {
        size_t n = last - i < rows ? last - i : rows;
        pdag_status status = it->solver->ops->update(
            it->solver, i, n, it->x[i], it->f[i], it->slope + i, &it->carry,
            it->x_new[i], it->residual + i, it->change + i);

        if (status != PDAG_OK)
            return status;
    }
    memcpy(it->x[first + 1], it->x_new[first],
           (last - first) * sizeof it->x_new[0]);
    return PDAG_OK;
}

static const pdag_solver_ops *method(int i)
{
    return pdag_solver_list()[i];
}

static int n_methods(void)
{
    int n = 0;

    while (pdag_solver_list()[n] != NULL)
        n++;
    return n;
}

static size_t width_of(const pdag_solver_ops *ops)
{
    return ops->max_window != 0 ? ops->max_window : N;
}

START_TEST(reaches_the_sequential_run)
{
    static const double slopes[] = {1.0, 0.0, 0.7, -0.4, 1.3};
    const pdag_solver_ops *ops = method(_i);

    for (size_t s = 0; s < sizeof slopes / sizeof slopes[0]; s++) {
        iteration it;

        make_problem(100 + s);
        begin(&it, ops, slopes[s]);
        for (size_t k = 0; k < N; k++) {
            size_t last = k + width_of(ops) < N ? k + width_of(ops) : N;

            ck_assert_int_eq(one_round(&it, k, last, 4), PDAG_OK);
            /* Row k is exact as soon as everything before it is. */
            ck_assert_mem_eq(it.x[k + 1], truth[k + 1], sizeof truth[0]);
        }
        ck_assert_mem_eq(it.x, truth, sizeof truth);
        end(&it);
    }
}
END_TEST

START_TEST(residuals_and_changes_are_what_they_say)
{
    iteration it;
    float before[N + 1][D];
    size_t last = width_of(method(_i));

    make_problem(7);
    begin(&it, method(_i), 1.0);
    for (int k = 0; k < 3; k++) {
        memcpy(before, it.x, sizeof before);
        ck_assert_int_eq(one_round(&it, 0, last, 5), PDAG_OK);
        for (size_t i = 0; i < last; i++) {
            double r = 0.0;
            double c = 0.0;

            for (size_t d = 0; d < D; d++) {
                double to_step = (double)before[i + 1][d] - (double)it.f[i][d];
                double moved = (double)it.x[i + 1][d] - (double)before[i + 1][d];

                r += to_step * to_step;
                c += moved * moved;
            }
            ck_assert_double_eq_tol(it.residual[i], sqrt(r / D), 1e-12);
            ck_assert_double_eq_tol(it.change[i], sqrt(c / D), 1e-12);
        }
    }
    end(&it);
}
END_TEST

START_TEST(any_cut_into_blocks_gives_the_same_bits)
{
    static const size_t rows[] = {1, 2, 3, 7, 16, N};
    iteration whole;
    size_t last = width_of(method(_i));

    make_problem(11);
    begin(&whole, method(_i), 0.9);
    for (int k = 0; k < 4; k++)
        ck_assert_int_eq(one_round(&whole, 0, last, N), PDAG_OK);
    for (size_t c = 0; c < sizeof rows / sizeof rows[0]; c++) {
        iteration cut;

        begin(&cut, method(_i), 0.9);
        for (int k = 0; k < 4; k++)
            ck_assert_int_eq(one_round(&cut, 0, last, rows[c]), PDAG_OK);
        ck_assert_mem_eq(cut.x, whole.x, sizeof whole.x);
        ck_assert_mem_eq(cut.residual, whole.residual, last * sizeof(double));
        end(&cut);
    }
    end(&whole);
}
END_TEST

START_TEST(reset_equals_fresh)
{
    iteration used;
    iteration fresh;
    size_t last = width_of(method(_i));

    make_problem(13);
    begin(&used, method(_i), 1.0);
    for (int k = 0; k < 3; k++)
        ck_assert_int_eq(one_round(&used, 0, last, 4), PDAG_OK);
    make_problem(14);
    begin(&fresh, method(_i), 1.0);
    used.solver->ops->reset(used.solver);
    for (size_t i = 0; i <= N; i++)
        memcpy(used.x[i], start, sizeof start);
    for (int k = 0; k < 3; k++) {
        ck_assert_int_eq(one_round(&used, 0, last, 4), PDAG_OK);
        ck_assert_int_eq(one_round(&fresh, 0, last, 4), PDAG_OK);
    }
    ck_assert_mem_eq(used.x, fresh.x, sizeof fresh.x);
    end(&used);
    end(&fresh);
}
END_TEST

START_TEST(not_a_number_is_an_error_that_names_the_row)
{
    iteration it;
    size_t row = width_of(method(_i)) == 1 ? 0 : 6;
    pdag_status status;

    make_problem(17);
    begin(&it, method(_i), 1.0);
    coefficient[row][2][3] = NAN;
    status = one_round(&it, 0, width_of(method(_i)), 4);
    ck_assert_int_eq(status, PDAG_ERR_NAN);
    ck_assert_ptr_nonnull(
        strstr(pdag_error_text(), row == 0 ? "row 0" : "row 6"));
    end(&it);
}
END_TEST

START_TEST(picard_is_the_published_cumulative_sum)
{
    iteration it;
    float old[N + 1][D];
    double sum[D];

    make_problem(19);
    begin(&it, pdag_solver_find("picard"), 1.0);
    for (int k = 0; k < 3; k++) {
        memcpy(old, it.x, sizeof old);
        ck_assert_int_eq(one_round(&it, 0, N, 3), PDAG_OK);
        for (size_t d = 0; d < D; d++)
            sum[d] = (double)old[0][d];
        for (size_t i = 0; i < N; i++) {
            for (size_t d = 0; d < D; d++) {
                sum[d] += (double)it.f[i][d] - (double)old[i][d];
                ck_assert_double_eq_tol((double)it.x[i + 1][d], sum[d], 1e-5);
            }
        }
    }
    end(&it);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("solvers");
    TCase *each = tcase_create("each method");
    TCase *one = tcase_create("picard");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(each, reaches_the_sequential_run, 0, n_methods());
    tcase_add_loop_test(each, residuals_and_changes_are_what_they_say, 0,
                        n_methods());
    tcase_add_loop_test(each, any_cut_into_blocks_gives_the_same_bits, 0,
                        n_methods());
    tcase_add_loop_test(each, reset_equals_fresh, 0, n_methods());
    tcase_add_loop_test(each, not_a_number_is_an_error_that_names_the_row, 0,
                        n_methods());
    tcase_add_test(one, picard_is_the_published_cumulative_sum);
    suite_add_tcase(suite, each);
    suite_add_tcase(suite, one);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
