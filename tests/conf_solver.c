/* tests/conf_solver.c: what every solver must do, run for each method built in.
 *
 * The problems are random chains (tests/conf_solver.h); the sequential run is the
 * truth.  conf_solver_definitions.c compares methods with their definitions,
 * conf_solver_multistep.c runs samplers of several values, conf_solver_gains.c
 * and conf_solver_bands.c look whether what is meant to help does. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/conf_solver.h"

#define N 17
#define D 23

static const conf_setup usual = {.slope = 0.9, .history = 3, .order = 6};

/* Rounds that slide by one row: row k is exact as soon as all before it are. */
static void slide(conf_run *run, size_t width, size_t rows)
{
    const conf_chain *chain = run->chain;
    size_t bytes = chain->dim * sizeof(float);

    for (size_t k = 0; k < chain->n; k++) {
        size_t last = k + width < chain->n ? k + width : chain->n;

        ck_assert_int_eq(conf_round(run, k, last, rows), PDAG_OK);
        ck_assert_mem_eq(run->x + (k + 1) * chain->dim, conf_truth(chain, k + 1),
                         bytes);
    }
    ck_assert_mem_eq(run->x, chain->truth, (chain->n + 1) * bytes);
}

START_TEST(reaches_the_sequential_run)
{
    static const double slopes[] = {1.0, 0.0, 0.7, -0.4, 1.3};
    const pdag_solver_ops *ops = conf_method(_i);

    for (size_t s = 0; s < sizeof slopes / sizeof slopes[0]; s++) {
        conf_chain *chain = conf_chain_make(100 + s, N, D, 1, 0.2f, 0.0f);
        conf_setup setup = usual;
        conf_run *run;

        setup.slope = slopes[s];
        setup.window = conf_width(ops, N);
        run = conf_run_begin(chain, ops, &setup);
        slide(run, setup.window, 4);
        conf_run_end(run);
        conf_chain_free(chain);
    }
}
END_TEST

/* The window stays: rows behind the front must not move once they are exact. */
START_TEST(a_window_that_stays_is_exact_row_by_row)
{
    const pdag_solver_ops *ops = conf_method(_i);
    conf_chain *chain = conf_chain_make(31, N, D, 1, 0.2f, 0.1f);
    conf_run *run = conf_run_begin(chain, ops, &usual);

    if (conf_width(ops, N) == N) {
        for (size_t k = 0; k < N; k++) {
            ck_assert_int_eq(conf_round(run, 0, N, 4), PDAG_OK);
            ck_assert_mem_eq(run->x, chain->truth, (k + 2) * D * sizeof(float));
        }
        /* And nothing moves any more. */
        ck_assert_int_eq(conf_round(run, 0, N, 4), PDAG_OK);
        ck_assert_mem_eq(run->x, chain->truth, (N + 1) * D * sizeof(float));
        for (size_t i = 0; i < N; i++)
            ck_assert(run->residual[i] == 0.0 && run->change[i] == 0.0);
    }
    conf_run_end(run);
    conf_chain_free(chain);
}
END_TEST

/* Random sizes, slopes, histories, orders, and windows that rows enter late. */
START_TEST(random_problems_end_exactly)
{
    const pdag_solver_ops *ops = conf_method(_i);
    uint64_t state = 4711;

    for (uint64_t seed = 0; seed < 150; seed++) {
        size_t n = conf_pick(&state, 1, 20);
        size_t dim = conf_pick(&state, 1, 40);
        conf_chain *chain = conf_chain_make(1000 + seed, n, dim, 1, 0.3f, 0.1f);
        size_t width = conf_pick(&state, 1, conf_width(ops, n));
        double slopes[20];
        conf_setup setup = {.slopes = slopes,
                            .window = width,
                            .history = conf_pick(&state, 0, 6),
                            .order = conf_pick(&state, 0, n + 2)};
        conf_run *run;

        for (size_t i = 0; i < n; i++)
            slopes[i] = conf_real(&state, -0.5, 1.5);
        run = conf_run_begin(chain, ops, &setup);
        slide(run, width, conf_pick(&state, 1, n));
        conf_run_end(run);
        conf_chain_free(chain);
    }
}
END_TEST

START_TEST(residuals_and_changes_are_what_they_say)
{
    const pdag_solver_ops *ops = conf_method(_i);
    conf_chain *chain = conf_chain_make(7, N, D, 1, 0.2f, 0.0f);
    conf_run *run = conf_run_begin(chain, ops, &usual);
    size_t last = conf_width(ops, N);
    float before[(N + 1) * D];

    for (int k = 0; k < 3; k++) {
        memcpy(before, run->x, sizeof before);
        ck_assert_int_eq(conf_round(run, 0, last, 5), PDAG_OK);
        for (size_t i = 0; i < last; i++) {
            double r = 0.0;
            double c = 0.0;

            for (size_t d = 0; d < D; d++) {
                double old = (double)before[(i + 1) * D + d];
                double to_step = old - (double)run->f[i * D + d];
                double moved = (double)run->x[(i + 1) * D + d] - old;

                r += to_step * to_step;
                c += moved * moved;
            }
            ck_assert_double_eq_tol(run->residual[i], sqrt(r / D), 1e-12);
            ck_assert_double_eq_tol(run->change[i], sqrt(c / D), 1e-12);
        }
    }
    conf_run_end(run);
    conf_chain_free(chain);
}
END_TEST

START_TEST(any_cut_into_blocks_gives_the_same_bits)
{
    static const size_t rows[] = {1, 2, 3, 7, 16, N};
    const pdag_solver_ops *ops = conf_method(_i);
    size_t p = ops->probes ? 1 : 3;
    size_t width = conf_width(ops, N - 4);

    for (p = ops->probes ? 1 : p; p > 0; p -= 2) {
        conf_chain *chain = conf_chain_make(11, N, D, p, 0.2f, 0.1f);

        for (size_t c = 0; c < sizeof rows / sizeof rows[0]; c++) {
            conf_run *whole = conf_run_begin(chain, ops, &usual);
            conf_run *cut = conf_run_begin(chain, ops, &usual);

            /* The window slides, so that rows differ in age. */
            for (size_t k = 0; k < 5; k++) {
                ck_assert_int_eq(conf_round(whole, k, k + width, N), PDAG_OK);
                ck_assert_int_eq(conf_round(cut, k, k + width, rows[c]), PDAG_OK);
            }
            ck_assert_mem_eq(cut->x, whole->x, (N + 1) * D * sizeof(float));
            ck_assert_mem_eq(cut->value, whole->value, N * D * sizeof(float));
            ck_assert_mem_eq(cut->residual, whole->residual, N * sizeof(double));
            ck_assert_mem_eq(cut->change, whole->change, N * sizeof(double));
            conf_run_end(whole);
            conf_run_end(cut);
        }
        conf_chain_free(chain);
        if (p == 1)
            break;
    }
}
END_TEST

/* The same rounds by a solver with place for all rows and by one with place for
   `width` of them: from one row on (start = roll), then sliding, resting and now
   and then forgetting. */
static void compare_places(const conf_chain *chain, const pdag_solver_ops *ops,
                           conf_setup setup, size_t width, uint64_t *state)
{
    size_t n = chain->n;
    size_t d = chain->dim;
    conf_run *all = conf_run_begin(chain, ops, &setup);
    conf_run *few;
    size_t begin = 0;
    size_t last = 1;

    setup.window = width;
    few = conf_run_begin(chain, ops, &setup);
    while (begin < n) {
        size_t done = conf_pick(state, 0, 2);
        size_t rows = conf_pick(state, 1, n);

        ck_assert_int_eq(conf_round(all, begin, last, rows), PDAG_OK);
        ck_assert_int_eq(conf_round(few, begin, last, rows), PDAG_OK);
        ck_assert_mem_eq(few->x, all->x, (n + 1) * d * sizeof(float));
        ck_assert_mem_eq(few->value, all->value, n * d * sizeof(float));
        ck_assert_mem_eq(few->residual, all->residual, n * sizeof(double));
        ck_assert_mem_eq(few->change, all->change, n * sizeof(double));
        if (conf_pick(state, 0, 9) == 0) {
            ops->reset(all->solver);
            ops->reset(few->solver);
        }
        begin += done < last - begin ? done : last - begin;
        last = begin + width < n ? begin + width : n;
    }
    conf_run_end(all);
    conf_run_end(few);
}

START_TEST(history_for_the_window_gives_the_bits_of_history_for_all_rows)
{
    const pdag_solver_ops *ops = conf_method(_i);
    bool secant = strcmp(ops->name, "secant") == 0;
    uint64_t state = 815;
    double gain[30];

    for (size_t i = 0; i < 30; i++)
        gain[i] = -0.1;
    for (uint64_t seed = 0; seed < 60; seed++) {
        size_t n = conf_pick(&state, 1, 30);
        size_t p = ops->probes ? 1 : 1 + 2 * conf_pick(&state, 0, 2);
        size_t width = conf_pick(&state, 1, conf_width(ops, n));
        conf_chain *chain = conf_chain_make(seed, n, D, p, 0.2f, 0.1f);
        conf_setup setup = {.slope = conf_real(&state, 0.0, 1.1),
                            .history = conf_pick(&state, 0, 5),
                            .order = conf_pick(&state, 0, n),
                            .bands = secant && seed % 2 == 1,
                            .gain = gain};

        compare_places(chain, ops, setup, width, &state);
        conf_chain_free(chain);
    }
}
END_TEST

/* So many rows that a vector for each of them would not fit in any machine's
   addresses; the window's four do. */
START_TEST(memory_is_for_the_window_not_for_all_rows)
{
    const pdag_solver_ops *ops = conf_method(_i);
    size_t dim = 4096;
    size_t n = SIZE_MAX / (8 * dim * sizeof(float));
    double slope = 1.0; /* create() reads none */
    pdag_solver_opts opts = {.n_rows = n,
                             .window = 4,
                             .dim = dim,
                             .n_terms = 1,
                             .slope = &slope,
                             .history = 4,
                             .order = n - 1};
    pdag_solver *solver;
    pdag_carry carry;

    ck_assert_int_eq(ops->create(&opts, &solver), PDAG_OK);
    ck_assert_int_eq(pdag_carry_create(solver->carry_doubles, &carry), PDAG_OK);
    ops->reset(solver);
    pdag_carry_clear(&carry);
    ops->destroy(solver);
}
END_TEST

START_TEST(reset_equals_fresh)
{
    const pdag_solver_ops *ops = conf_method(_i);
    conf_chain *first = conf_chain_make(13, N, D, 1, 0.2f, 0.1f);
    conf_chain *second = conf_chain_make(14, N, D, 1, 0.2f, 0.1f);
    conf_run *used = conf_run_begin(first, ops, &usual);
    conf_run *fresh = conf_run_begin(second, ops, &usual);
    size_t last = conf_width(ops, N);

    for (int k = 0; k < 4; k++)
        ck_assert_int_eq(conf_round(used, 0, last, 4), PDAG_OK);
    conf_run_again(used, second);
    for (int k = 0; k < 4; k++) {
        ck_assert_int_eq(conf_round(used, 0, last, 4), PDAG_OK);
        ck_assert_int_eq(conf_round(fresh, 0, last, 4), PDAG_OK);
    }
    ck_assert_mem_eq(used->x, fresh->x, (N + 1) * D * sizeof(float));
    conf_run_end(used);
    conf_run_end(fresh);
    conf_chain_free(first);
    conf_chain_free(second);
}
END_TEST

START_TEST(not_a_number_is_an_error_that_names_the_row)
{
    const pdag_solver_ops *ops = conf_method(_i);
    size_t width = conf_width(ops, N);
    size_t row = width == 1 ? 0 : 6;

    /* In the first round, and later, with a history. */
    for (size_t sound = 0; sound < 3; sound++) {
        conf_chain *chain = conf_chain_make(17, N, D, 1, 0.2f, 0.1f);
        conf_run *run = conf_run_begin(chain, ops, &usual);

        for (size_t k = 0; k < sound; k++)
            ck_assert_int_eq(conf_round(run, 0, width, 4), PDAG_OK);
        chain->s[row * D + 3] = NAN;
        ck_assert_int_eq(conf_round(run, 0, width, 4), PDAG_ERR_NAN);
        ck_assert_ptr_nonnull(
            strstr(pdag_error_text(), row == 0 ? "row 0:" : "row 6:"));
        conf_run_end(run);
        conf_chain_free(chain);
    }
}
END_TEST

START_TEST(what_a_method_has_no_meaning_for_is_refused)
{
    const pdag_solver_ops *ops = conf_method(_i);
    double slope[2] = {1.0, 1.0};
    pdag_solver *solver = NULL;
    pdag_solver_opts opts = {
        .n_rows = 2, .dim = 3, .n_terms = 1, .slope = slope, .bands = true};

    /* secant: bands without the gain; others: no bands. */
    ck_assert_int_eq(ops->create(&opts, &solver), PDAG_ERR_ARG);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "solver.slope"));
    ck_assert_ptr_null(solver);
    opts.bands = false;
    opts.history = PDAG_SOLVER_MAX_HISTORY + 1;
    if (ops->uses_history) {
        ck_assert_int_eq(ops->create(&opts, &solver), PDAG_ERR_ARG);
        ck_assert_ptr_nonnull(strstr(pdag_error_text(), "solver.history"));
    }
    opts.history = PDAG_SOLVER_MAX_HISTORY;
    ck_assert_int_eq(ops->create(&opts, &solver), PDAG_OK);
    ops->destroy(solver);
    ops->destroy(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("solvers");
    TCase *each = tcase_create("each method");
    int n = conf_n_methods();
    SRunner *runner;
    int failed;

    tcase_add_loop_test(each, reaches_the_sequential_run, 0, n);
    tcase_add_loop_test(each, a_window_that_stays_is_exact_row_by_row, 0, n);
    tcase_add_loop_test(each, random_problems_end_exactly, 0, n);
    tcase_add_loop_test(each, residuals_and_changes_are_what_they_say, 0, n);
    tcase_add_loop_test(each, any_cut_into_blocks_gives_the_same_bits, 0, n);
    tcase_add_loop_test(
        each, history_for_the_window_gives_the_bits_of_history_for_all_rows, 0, n);
    tcase_add_loop_test(each, memory_is_for_the_window_not_for_all_rows, 0, n);
    tcase_add_loop_test(each, reset_equals_fresh, 0, n);
    tcase_add_loop_test(each, not_a_number_is_an_error_that_names_the_row, 0, n);
    tcase_add_loop_test(each, what_a_method_has_no_meaning_for_is_refused, 0, n);
    suite_add_tcase(suite, each);
    suite_add_tcase(suite, conf_solver_definitions());
    suite_add_tcase(suite, conf_solver_multistep());
    suite_add_tcase(suite, conf_solver_gains());
    suite_add_tcase(suite, conf_solver_bands());
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
