/* tests/conf_solver_multistep.c: samplers whose step uses several values. */
#include <math.h>
#include <string.h>

#include "tests/conf_solver.h"

static const size_t terms[] = {2, 3, 5};

/* newton is for one-step samplers and says so. */
static bool takes_several(const pdag_solver_ops *ops)
{
    return !ops->probes;
}

START_TEST(reaches_the_sequential_run)
{
    const pdag_solver_ops *ops = conf_method(_i);
    uint64_t state = 99;

    for (uint64_t seed = 0; takes_several(ops) && seed < 60; seed++) {
        size_t n = conf_pick(&state, 1, 18);
        size_t dim = conf_pick(&state, 1, 30);
        conf_chain *chain =
            conf_chain_make(seed, n, dim, terms[seed % 3], 0.2f, 0.1f);
        size_t width = conf_pick(&state, 1, conf_width(ops, n));
        size_t rows = conf_pick(&state, 1, n);
        conf_setup setup = {.slope = conf_real(&state, 0.0, 1.2),
                            .window = width,
                            .history = conf_pick(&state, 0, 5),
                            .order = conf_pick(&state, 0, n)};
        conf_run *run = conf_run_begin(chain, ops, &setup);

        /* Rows before the window keep their value_new. */
        for (size_t k = 0; k < n; k++) {
            size_t last = k + width < n ? k + width : n;

            ck_assert_int_eq(conf_round(run, k, last, rows), PDAG_OK);
            ck_assert_mem_eq(run->x + (k + 1) * dim, conf_truth(chain, k + 1),
                             dim * sizeof(float));
        }
        ck_assert_mem_eq(run->x, chain->truth, (n + 1) * dim * sizeof(float));
        conf_run_end(run);
        conf_chain_free(chain);
    }
}
END_TEST

/* A window that stays at the front: at most N rounds. */
START_TEST(ends_after_as_many_rounds_as_rows)
{
    const pdag_solver_ops *ops = conf_method(_i);

    for (size_t t = 0; takes_several(ops) && t < 3; t++) {
        conf_chain *chain = conf_chain_make(3 + t, 13, 19, terms[t], 0.3f, 0.1f);
        conf_setup setup = {.slope = 0.9, .history = 4, .order = 5};
        conf_run *run = conf_run_begin(chain, ops, &setup);

        if (conf_width(ops, 13) == 13) {
            for (size_t k = 0; k < 13; k++) {
                ck_assert_int_eq(conf_round(run, 0, 13, 4), PDAG_OK);
                ck_assert_mem_eq(run->x, chain->truth,
                                 (k + 2) * 19 * sizeof(float));
            }
        }
        conf_run_end(run);
        conf_chain_free(chain);
    }
}
END_TEST

/* secant: (1) of solver.h holds between new states and new values. */
START_TEST(secant_sweeps_the_values)
{
    for (size_t t = 0; t < 3; t++) {
        conf_chain *chain = conf_chain_make(50 + t, 12, 21, terms[t], 0.3f, 0.1f);
        conf_setup setup = {.slope = 0.8, .history = 3};
        conf_run *run =
            conf_run_begin(chain, pdag_solver_find("secant"), &setup);

        for (int k = 0; k < 4; k++) {
            ck_assert_int_eq(conf_round(run, 0, 12, 5), PDAG_OK);
            for (size_t i = 0; i < 12; i++) {
                for (size_t d = 0; d < 21; d++) {
                    size_t at = i * 21 + d;
                    double sum = chain->own[i] * (double)run->x[at] +
                                 (double)chain->noise[at];

                    for (size_t j = 0; j < chain->p && j <= i; j++)
                        sum += chain->weight[i * chain->p + j] *
                               (double)run->value[at - j * 21];
                    ck_assert_double_eq_tol((double)run->x[at + 21], sum,
                                            3e-6 * (1.0 + fabs(sum)));
                }
            }
        }
        conf_run_end(run);
        conf_chain_free(chain);
    }
}
END_TEST

/* A linear diagonal chain with the right slope is solved in one round by the
   sweep over values: all p terms count. */
START_TEST(secant_with_the_right_slope_needs_one_round)
{
    for (size_t t = 0; t < 3; t++) {
        conf_chain *chain = conf_chain_make(70 + t, 15, 11, terms[t], 0.0f, 0.0f);
        double slopes[15];
        conf_setup setup = {.slopes = slopes};
        conf_run *run;

        for (size_t at = 0; at < 15 * 11; at++)
            chain->a[at] = 0.3f;
        conf_chain_solve(chain);
        for (size_t i = 0; i < 15; i++)
            slopes[i] = chain->own[i] + chain->weight[i * chain->p] * 0.3f;
        run = conf_run_begin(chain, pdag_solver_find("secant"), &setup);
        ck_assert_uint_eq(conf_rounds_to(run, 1e-5), 1);
        conf_run_end(run);
        run = conf_run_begin(chain, pdag_solver_find("picard"), &setup);
        ck_assert_uint_gt(conf_rounds_to(run, 1e-5), 1);
        conf_run_end(run);
        conf_chain_free(chain);
    }
}
END_TEST

TCase *conf_solver_multistep(void)
{
    TCase *tcase = tcase_create("multistep");

    tcase_add_loop_test(tcase, reaches_the_sequential_run, 0, conf_n_methods());
    tcase_add_loop_test(tcase, ends_after_as_many_rounds_as_rows, 0,
                        conf_n_methods());
    tcase_add_test(tcase, secant_sweeps_the_values);
    tcase_add_test(tcase, secant_with_the_right_slope_needs_one_round);
    return tcase;
}
