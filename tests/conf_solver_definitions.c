/* tests/conf_solver_definitions.c: methods against their definitions, written out,
 * and against each other. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/conf_solver.h"

#define N 17
#define D 23

static void same_states(const conf_run *a, const conf_run *b)
{
    ck_assert_mem_eq(a->x, b->x, (N + 1) * D * sizeof(float));
}

static void close_states(const conf_run *a, const double *expected, size_t first)
{
    for (size_t i = first; i <= N; i++)
        for (size_t d = 0; d < D; d++)
            ck_assert_double_eq_tol((double)a->x[i * D + d], expected[i * D + d],
                                    2e-6 * (1.0 + fabs(expected[i * D + d])));
}

START_TEST(picard_is_the_published_cumulative_sum)
{
    conf_chain *chain = conf_chain_make(19, N, D, 1, 0.2f, 0.1f);
    conf_setup setup = {.slope = 1.0};
    conf_run *run = conf_run_begin(chain, pdag_solver_find("picard"), &setup);
    float old[(N + 1) * D];
    double sum[(N + 1) * D];

    for (int k = 0; k < 3; k++) {
        memcpy(old, run->x, sizeof old);
        ck_assert_int_eq(conf_round(run, 0, N, 3), PDAG_OK);
        for (size_t d = 0; d < D; d++)
            sum[d] = (double)old[d];
        for (size_t at = D; at < (N + 1) * D; at++)
            sum[at] = sum[at - D] + (double)run->f[at - D] - (double)old[at - D];
        close_states(run, sum, 1);
    }
    conf_run_end(run);
    conf_chain_free(chain);
}
END_TEST

/* Definition: each target's own sweep, restarted at x_{max(i+1-k, begin)}. */
static void restarted_sweeps(const conf_run *run, const float *old, size_t begin,
                             size_t order, double *expected)
{
    double y[D];

    for (size_t target = begin + 1; target <= N; target++) {
        size_t all = target - begin;
        size_t reach = order == 0 || order > all ? all : order;

        for (size_t d = 0; d < D; d++)
            y[d] = (double)old[(target - reach) * D + d];
        for (size_t l = target - reach; l < target; l++)
            for (size_t d = 0; d < D; d++)
                y[d] = (double)run->f[l * D + d] +
                       run->slope[l] * (y[d] - (double)old[l * D + d]);
        memcpy(expected + target * D, y, sizeof y);
    }
}

START_TEST(order_k_is_its_definition)
{
    static const size_t orders[] = {1, 2, 3, 7, N - 1, N, N + 5, 0};
    size_t order = orders[_i % 8];
    size_t begin = _i < 8 ? 0 : 4;
    conf_chain *chain = conf_chain_make(23, N, D, 1, 0.2f, 0.1f);
    double slopes[N];
    conf_setup setup = {.slopes = slopes, .order = order};
    uint64_t state = 5;
    conf_run *run;
    float old[(N + 1) * D];
    double expected[(N + 1) * D];

    for (size_t i = 0; i < N; i++)
        slopes[i] = conf_real(&state, 0.4, 1.4);
    run = conf_run_begin(chain, pdag_solver_find("order-k"), &setup);
    for (int k = 0; k < 4; k++) {
        memcpy(old, run->x, sizeof old);
        ck_assert_int_eq(conf_round(run, begin, N, 5), PDAG_OK);
        restarted_sweeps(run, old, begin, order, expected);
        close_states(run, expected, begin + 1);
    }
    conf_run_end(run);
    conf_chain_free(chain);
}
END_TEST

START_TEST(full_order_is_the_sweep_and_order_one_is_jacobi)
{
    conf_chain *chain = conf_chain_make(29, N, D, 1, 0.2f, 0.1f);
    conf_setup setup = {.slope = 1.07};
    conf_run *sweep = conf_run_begin(chain, pdag_solver_find("picard"), &setup);
    conf_run *full = conf_run_begin(chain, pdag_solver_find("order-k"), &setup);
    conf_run *jacobi;
    double expected[(N + 1) * D];

    setup.order = 1;
    jacobi = conf_run_begin(chain, pdag_solver_find("order-k"), &setup);
    for (int k = 0; k < 5; k++) {
        ck_assert_int_eq(conf_round(sweep, 0, N, 4), PDAG_OK);
        ck_assert_int_eq(conf_round(full, 0, N, 6), PDAG_OK);
        for (size_t at = 0; at < (N + 1) * D; at++)
            expected[at] = (double)sweep->x[at];
        close_states(full, expected, 1);
        ck_assert_int_eq(conf_round(jacobi, 0, N, 3), PDAG_OK);
        ck_assert_mem_eq(jacobi->x + D, jacobi->f, N * D * sizeof(float));
    }
    conf_run_end(sweep);
    conf_run_end(full);
    conf_run_end(jacobi);
    conf_chain_free(chain);
}
END_TEST

/* Histories 0 and 1 hold no difference: secant is picard, both Andersons are
   order-k; with history 3 they are not. */
START_TEST(no_history_is_the_plain_sweep)
{
    static const char *const pairs[][2] = {{"secant", "picard"},
                                           {"triangular-anderson", "order-k"},
                                           {"anderson", "order-k"}};
    conf_chain *chain = conf_chain_make(37, N, D, 1, 0.3f, 0.1f);

    for (size_t pair = 0; pair < 3; pair++) {
        for (size_t m = 0; m <= 3; m++) {
            conf_setup setup = {.slope = 0.95, .history = m, .order = 5};
            conf_run *a =
                conf_run_begin(chain, pdag_solver_find(pairs[pair][0]), &setup);
            conf_run *b =
                conf_run_begin(chain, pdag_solver_find(pairs[pair][1]), &setup);

            for (int k = 0; k < 4; k++) {
                ck_assert_int_eq(conf_round(a, 0, N, 4), PDAG_OK);
                ck_assert_int_eq(conf_round(b, 0, N, 5), PDAG_OK);
            }
            if (m < 2)
                same_states(a, b);
            else
                ck_assert_mem_ne(a->x, b->x, (N + 1) * D * sizeof(float));
            conf_run_end(a);
            conf_run_end(b);
        }
    }
    conf_chain_free(chain);
}
END_TEST

/* Solve (G + ridge) g = q by Gauss-Jordan. */
static void solve(size_t n, double gram[4][4], double ridge, const double *q,
                  double *g)
{
    double a[4][5];

    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++)
            a[i][j] = gram[i][j] + (i == j ? ridge : 0.0);
        a[i][n] = q[i];
    }
    for (size_t c = 0; c < n; c++) {
        for (size_t i = 0; i < n; i++) {
            double factor = a[i][c] / a[c][c];

            for (size_t j = 0; i != c && j <= n; j++)
                a[i][j] -= factor * a[c][j];
        }
    }
    for (size_t i = 0; i < n; i++)
        g[i] = a[i][n] / a[i][i];
}

#define ROUNDS 6

/* All rounds' states and values (or residuals) so far, for the definitions. */
typedef double part[ROUNDS][N + 1][D];

typedef struct record {
    part x, y;
} record;

static double column(const part *of, int k, size_t h, size_t i, size_t d)
{
    return (*of)[k - (int)h][i][d] - (*of)[k - (int)h - 1][i][d];
}

/* Round k of the formula of solvers/secant.c; returns how many g were clipped. */
static size_t secant_round(const record *all, int k, const double *slope, size_t m,
                         double (*x_new)[D])
{
    const part *x = &all->x;
    const part *f = &all->y;
    size_t n = (size_t)k < m - 1 ? (size_t)k : m - 1;
    size_t clipped = 0;

    memcpy(x_new[0], all->x[k][0], sizeof x_new[0]);
    for (size_t i = 0; i < N; i++) {
        double gram[4][4] = {{0.0}};
        double q[4] = {0.0};
        double g[4] = {0.0};
        double trace = 0.0;

        for (size_t d = 0; d < D; d++) {
            double delta = x_new[i][d] - all->x[k][i][d];

            for (size_t h = 0; h < n; h++) {
                for (size_t l = 0; l < n; l++)
                    gram[h][l] += column(x, k, h, i, d) * column(x, k, l, i, d);
                q[h] += column(x, k, h, i, d) * delta;
            }
        }
        for (size_t h = 0; h < n; h++)
            trace += gram[h][h];
        if (trace > 1e-10)
            solve(n, gram, 1e-3 * trace / (double)n, q, g);
        for (size_t d = 0; d < D; d++) {
            double v = x_new[i][d] - all->x[k][i][d];
            double sum = all->y[k][i][d];

            for (size_t h = 0; h < n; h++) {
                clipped += fabs(g[h]) > 2.0;
                g[h] = fmin(fmax(g[h], -2.0), 2.0);
                v -= column(x, k, h, i, d) * g[h];
                sum += column(f, k, h, i, d) * g[h];
            }
            x_new[i + 1][d] = sum + slope[i] * v;
        }
    }
    return clipped;
}

static void keep_round(const conf_run *run, const float *old, record *all, int k)
{
    for (size_t i = 0; i <= N; i++)
        for (size_t d = 0; d < D; d++)
            all->x[k][i][d] = (double)old[i * D + d];
    for (size_t i = 0; i < N; i++)
        for (size_t d = 0; d < D; d++)
            all->y[k][i][d] = (double)run->f[i * D + d];
}

static void near_states(const conf_run *run, double (*expected)[D], double bound)
{
    for (size_t i = 1; i <= N; i++)
        for (size_t d = 0; d < D; d++)
            ck_assert_double_eq_tol((double)run->x[i * D + d], expected[i][d],
                                    bound * (1.0 + fabs(expected[i][d])));
}

START_TEST(secant_is_its_formula)
{
    conf_chain *chain = conf_chain_make(41, N, D, 1, 0.3f, 0.1f);
    conf_setup setup = {.slope = 0.9, .history = 4};
    conf_run *run = conf_run_begin(chain, pdag_solver_find("secant"), &setup);
    size_t clipped = 0;
    record *all = calloc(1, sizeof *all);
    float old[(N + 1) * D];
    double expected[N + 1][D];

    for (int k = 0; k < ROUNDS; k++) {
        memcpy(old, run->x, sizeof old);
        ck_assert_int_eq(conf_round(run, 0, N, 3), PDAG_OK);
        keep_round(run, old, all, k);
        clipped += secant_round(all, k, run->slope, 4, expected);
        near_states(run, expected, 1e-4);
        /* Steps much shorter than the sweep's make g large. */
        for (size_t at = D; _i == 1 && at < (N + 1) * D; at++)
            run->x[at] = old[at] + 0.2f * (run->x[at] - old[at]);
    }
    ck_assert(_i == 0 || clipped > 0);
    free(all);
    conf_run_end(run);
    conf_chain_free(chain);
}
END_TEST

/* Round k of the formula of solvers/triangular_anderson.c, or, over all rows, of
   solvers/anderson.c; all->y is R by state. */
static void anderson_round(const record *all, int k, size_t m, bool over_all_rows,
                           double (*x_new)[D])
{
    const part *x = &all->x;
    const part *r = &all->y;
    size_t n = (size_t)k < m - 1 ? (size_t)k : m - 1;

    for (size_t i = 1; i <= N; i++) {
        size_t last = over_all_rows ? N : i;
        double gram[4][4] = {{0.0}};
        double q[4] = {0.0};
        double gamma[4] = {0.0};

        for (size_t j = 1; j <= last; j++) {
            for (size_t d = 0; d < D; d++) {
                for (size_t h = 0; h < n; h++) {
                    for (size_t l = 0; l < n; l++)
                        gram[h][l] += column(r, k, h, j, d) * column(r, k, l, j, d);
                    q[h] += column(r, k, h, j, d) * all->y[k][j][d];
                }
            }
        }
        if (i > 1) /* the first row is plain, and in round k the first k + 1 */
            solve(n, gram, 1e-3, q, gamma);
        for (size_t d = 0; d < D; d++) {
            double sum = all->x[k][i][d] + all->y[k][i][d];

            for (size_t h = 0; h < n && i > (size_t)k + 1; h++)
                sum -= gamma[h] *
                       (column(x, k, h, i, d) + column(r, k, h, i, d));
            x_new[i][d] = sum;
        }
    }
}

START_TEST(anderson_is_its_formula)
{
    bool over_all_rows = _i == 1;
    conf_chain *chain = conf_chain_make(43, N, D, 1, 0.3f, 0.1f);
    conf_setup setup = {.slope = 0.9, .history = 3, .order = 4};
    conf_run *run = conf_run_begin(
        chain,
        pdag_solver_find(over_all_rows ? "anderson" : "triangular-anderson"),
        &setup);
    record *all = calloc(1, sizeof *all);
    float old[(N + 1) * D];
    double expected[N + 1][D];
    double swept[(N + 1) * D];

    for (int k = 0; k < ROUNDS; k++) {
        memcpy(old, run->x, sizeof old);
        ck_assert_int_eq(conf_round(run, 0, N, 3), PDAG_OK);
        keep_round(run, old, all, k);
        restarted_sweeps(run, old, 0, 4, swept);
        for (size_t i = 1; i <= N; i++)
            for (size_t d = 0; d < D; d++)
                all->y[k][i][d] = swept[i * D + d] - (double)old[i * D + d];
        anderson_round(all, k, 3, over_all_rows, expected);
        near_states(run, expected, 1e-3);
    }
    free(all);
    conf_run_end(run);
    conf_chain_free(chain);
}
END_TEST

TCase *conf_solver_definitions(void)
{
    TCase *tcase = tcase_create("definitions");

    tcase_add_test(tcase, picard_is_the_published_cumulative_sum);
    tcase_add_loop_test(tcase, order_k_is_its_definition, 0, 16);
    tcase_add_test(tcase, full_order_is_the_sweep_and_order_one_is_jacobi);
    tcase_add_test(tcase, no_history_is_the_plain_sweep);
    tcase_add_loop_test(tcase, secant_is_its_formula, 0, 2);
    tcase_add_loop_test(tcase, anderson_is_its_formula, 0, 2);
    return tcase;
}
