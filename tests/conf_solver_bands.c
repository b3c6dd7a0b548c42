/* tests/conf_solver_bands.c: slopes learned in frequency bands. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "solvers/hartley.h"
#include "tests/conf_solver.h"

/* The transform against its definition, and there and back. */
START_TEST(hartley_is_its_definition)
{
    static const size_t sizes[][3] = {{1, 1, 1}, {2, 4, 6}, {3, 5, 9},
                                      {1, 16, 11}, {1, 40, 32}, {2, 2, 24}};
    const size_t *size = sizes[_i];
    size_t h = size[1];
    size_t w = size[2];
    size_t all = size[0] * h * w;
    double *x = pdag_xcalloc(all, sizeof *x);
    double *y = pdag_xcalloc(all, sizeof *y);
    uint64_t state = 3;
    pdag_hartley *hartley;

    for (size_t d = 0; d < all; d++)
        x[d] = y[d] = conf_real(&state, -1.0, 1.0);
    ck_assert_int_eq(pdag_hartley_create(size[0], h, w, &hartley), PDAG_OK);
    pdag_hartley_forward(hartley, y);
    for (size_t d = 0; d < all; d++) {
        size_t k = d % h;
        size_t l = d / h % w;
        const double *channel = x + d / (h * w) * (h * w);
        double sum = 0.0;

        for (size_t r = 0; r < h; r++) {
            for (size_t s = 0; s < w; s++) {
                double u = 6.283185307179586 * (double)(k * r) / (double)h;
                double v = 6.283185307179586 * (double)(l * s) / (double)w;

                sum += (cos(u) + sin(u)) * (cos(v) + sin(v)) * channel[r * w + s];
            }
        }
        ck_assert_double_eq_tol(y[d], sum / sqrt((double)(h * w)), 1e-12);
    }
    pdag_hartley_backward(hartley, y);
    for (size_t d = 0; d < all; d++)
        ck_assert_double_eq_tol(y[d], x[d], 1e-13);
    pdag_hartley_destroy(hartley);
    free(x);
    free(y);
}
END_TEST

/* A linear chain on pictures whose slope is a_i + b_i ((cos k + cos l) / 2 - 1) at
   the frequencies k, l. */
static conf_chain *picture_chain(uint64_t seed, size_t p, size_t height,
                                 size_t width, const double *gain)
{
    conf_chain *chain =
        conf_chain_make(seed, 30, 2 * height * width, p, 0.0f, 0.0f);

    chain->height = height;
    chain->width = width;
    for (size_t i = 0; i < chain->n; i++) {
        for (size_t d = 0; d < chain->dim; d++) {
            chain->a[i * chain->dim + d] = p == 1 ? 1.0f : 0.3f;
            chain->b[i * chain->dim + d] = (float)gain[i];
        }
    }
    conf_chain_solve(chain);
    return chain;
}

START_TEST(bands_save_rounds)
{
    static const size_t sizes[][3] = {{16, 16, 1}, {9, 12, 1}, {16, 16, 3}};
    const size_t *size = sizes[_i % 3];
    size_t history = _i < 3 ? 0 : 3;
    double gain[30];
    conf_chain *chain;
    size_t count[3];

    for (size_t i = 0; i < 30; i++)
        gain[i] = 0.05 + 0.01 * (double)(i % 7);
    chain = picture_chain(80, size[2], size[0], size[1], gain);
    for (size_t c = 0; c < 3; c++) {
        double slopes[30];
        conf_setup setup = {.slopes = slopes, .history = history};
        conf_run *run;

        for (size_t i = 0; i < 30; i++)
            slopes[i] = size[2] == 1 ? 1.0
                                     : chain->own[i] + 0.3 * chain->weight[i * 3];
        setup.bands = c > 0;
        setup.gain = gain;
        setup.height = c == 1 ? size[0] : 0; /* c = 2: one band */
        setup.width = c == 1 ? size[1] : 0;
        run = conf_run_begin(chain, pdag_solver_find("secant"), &setup);
        count[c] = conf_rounds_to(run, 1e-5);
        conf_run_end(run);
    }
    ck_assert_msg(4 * count[1] <= 3 * count[0] && count[2] <= count[0],
                  "%zu rounds with bands, %zu with one band, %zu without",
                  count[1], count[2], count[0]);
    conf_chain_free(chain);
}
END_TEST

#define ROWS 12
#define SCALARS 9

/* Weighted sums of a row over the rounds, for the definition. */
typedef struct learned {
    double cross[ROWS], square[ROWS];
    double x[ROWS][SCALARS], f[ROWS][SCALARS]; /* of the round before */
    bool seen[ROWS];
} learned;

static void learn_row(learned *l, const conf_run *run, const float *old, size_t i)
{
    double cross = 0.0;
    double square = 0.0;

    for (size_t d = 0; d < SCALARS; d++) {
        double x = (double)old[i * SCALARS + d];
        double f = (double)run->f[i * SCALARS + d];
        double dx = x - l->x[i][d];

        if (l->seen[i]) {
            cross += (f - l->f[i][d] - run->slope[i] * dx) * dx;
            square += dx * dx;
        }
        l->x[i][d] = x;
        l->f[i][d] = f;
    }
    if (square > 0.0) {
        l->cross[i] = 0.1 * l->cross[i] + cross;
        l->square[i] = 0.1 * l->square[i] + square;
    }
    l->seen[i] = true;
}

/* States of one band: the formula of solvers/bands.h, over a window that slides
   away from rows whose sums still count. */
START_TEST(learned_slopes_are_their_formula)
{
    conf_chain *chain = conf_chain_make(77, ROWS, SCALARS, 1, 0.4f, 0.2f);
    double gain[ROWS];
    conf_setup setup = {.slope = 0.8, .bands = true, .gain = gain};
    learned l = {.seen = {false}};
    conf_run *run;

    for (size_t i = 0; i < ROWS; i++)
        gain[i] = i == 5 ? 0.0 : 0.1 + 0.03 * (double)i;
    run = conf_run_begin(chain, pdag_solver_find("secant"), &setup);
    for (size_t k = 0; k < 5; k++) {
        size_t last = k + 8 < ROWS ? k + 8 : ROWS;
        double delta[SCALARS] = {0.0};
        float old[(ROWS + 1) * SCALARS];

        memcpy(old, run->x, sizeof old);
        ck_assert_int_eq(conf_round(run, k, last, 3), PDAG_OK);
        for (size_t i = k; i < last; i++) {
            double cross = 0.0;
            double square = 0.0;
            double slope = run->slope[i];

            if (gain[i] != 0.0)
                learn_row(&l, run, old, i);
            for (size_t j = i < 4 ? 0 : i - 4; j <= i; j++) {
                cross += gain[j] == 0.0 ? 0.0 : l.cross[j] / gain[j];
                square += l.square[j];
            }
            if (square > 0.0)
                slope += gain[i] * cross / square;
            for (size_t d = 0; d < SCALARS; d++) {
                size_t at = i * SCALARS + d;
                double swept = (double)run->f[at] + slope * delta[d];

                ck_assert_double_eq_tol((double)run->x[at + SCALARS], swept,
                                        3e-6 * (1.0 + fabs(swept)));
                delta[d] = (double)run->x[at + SCALARS] -
                           (double)old[at + SCALARS];
            }
        }
    }
    conf_run_end(run);
    conf_chain_free(chain);
}
END_TEST

/* Exactness does not depend on what was learned, nor the cut into blocks. */
START_TEST(bands_end_exactly_whatever_the_blocks)
{
    uint64_t state = 8;

    for (uint64_t seed = 0; seed < 24; seed++) {
        size_t height = conf_pick(&state, 1, 6);
        size_t width = conf_pick(&state, 1, 6);
        size_t p = seed % 3 == 2 ? 3 : 1;
        size_t dim = 2 * height * width;
        conf_chain *chain = conf_chain_make(seed, 14, dim, p, 0.3f, 0.1f);
        size_t window = conf_pick(&state, 1, 14);
        double gain[14];
        conf_setup setup = {.slope = 0.9,
                            .history = conf_pick(&state, 0, 4),
                            .bands = true,
                            .gain = gain,
                            .height = height,
                            .width = seed % 4 == 3 ? 0 : width};
        conf_run *whole;
        conf_run *cut;

        for (size_t i = 0; i < 14; i++)
            gain[i] = i % 5 == 4 ? 0.0 : conf_real(&state, -0.3, -0.05);
        whole = conf_run_begin(chain, pdag_solver_find("secant"), &setup);
        cut = conf_run_begin(chain, pdag_solver_find("secant"), &setup);
        for (size_t k = 0; k < 14; k++) {
            size_t last = k + window < 14 ? k + window : 14;

            ck_assert_int_eq(conf_round(whole, k, last, 14), PDAG_OK);
            ck_assert_int_eq(conf_round(cut, k, last, 1 + seed % 5), PDAG_OK);
            ck_assert_mem_eq(whole->x, cut->x, 15 * dim * sizeof(float));
            ck_assert_mem_eq(whole->x + (k + 1) * dim, conf_truth(chain, k + 1),
                             dim * sizeof(float));
        }
        conf_run_end(whole);
        conf_run_end(cut);
        conf_chain_free(chain);
    }
}
END_TEST

START_TEST(bands_are_forgotten_by_reset)
{
    double gain[30];
    conf_chain *first;
    conf_chain *second;
    conf_setup setup = {.slope = 1.0, .history = 2, .bands = true, .gain = gain,
                        .height = 8, .width = 8};
    conf_run *used;
    conf_run *fresh;

    for (size_t i = 0; i < 30; i++)
        gain[i] = 0.1;
    first = picture_chain(90, 1, 8, 8, gain);
    second = picture_chain(91, 1, 8, 8, gain);
    used = conf_run_begin(first, pdag_solver_find("secant"), &setup);
    fresh = conf_run_begin(second, pdag_solver_find("secant"), &setup);
    for (int k = 0; k < 3; k++)
        ck_assert_int_eq(conf_round(used, 0, 30, 4), PDAG_OK);
    conf_run_again(used, second);
    for (int k = 0; k < 3; k++) {
        ck_assert_int_eq(conf_round(used, 0, 30, 4), PDAG_OK);
        ck_assert_int_eq(conf_round(fresh, 0, 30, 4), PDAG_OK);
    }
    ck_assert_mem_eq(used->x, fresh->x, 31 * 128 * sizeof(float));
    conf_run_end(used);
    conf_run_end(fresh);
    conf_chain_free(first);
    conf_chain_free(second);
}
END_TEST

TCase *conf_solver_bands(void)
{
    TCase *tcase = tcase_create("bands");

    tcase_add_loop_test(tcase, hartley_is_its_definition, 0, 6);
    tcase_add_loop_test(tcase, bands_save_rounds, 0, 6);
    tcase_add_test(tcase, learned_slopes_are_their_formula);
    tcase_add_test(tcase, bands_end_exactly_whatever_the_blocks);
    tcase_add_test(tcase, bands_are_forgotten_by_reset);
    return tcase;
}
