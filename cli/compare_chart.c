#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cli/chart.h"
#include "cli/compare_page.h"

/* cli/compare_chart.c: the drawings of compare.html. */

/* Curves. */

static double value_of(const pdag_compare_run *run, size_t k,
                       pdag_chart_value value)
{
    const pdag_compare_round *round =
        &run->round[k < run->n_round ? k : run->n_round - 1];

    return value == PDAG_CHART_ERROR ? round->error : round->residual;
}

/* Geometric mean over the cases; NaN where one has no value in this round. */
static double mean_of(const pdag_compare *c, size_t solver, size_t k,
                      pdag_chart_value value)
{
    double sum = 0.0;
    size_t n = 0;

    for (size_t i = 0; i < c->n_cases; i++) {
        const pdag_compare_run *run = &c->solver[solver].run[i];
        double v;

        if (run->n_round == 0)
            continue; /* it failed */
        v = value_of(run, k, value);
        if (!isfinite(v))
            return NAN;
        sum += log10(fmax(v, PDAG_CHART_SMALLEST));
        n++;
    }
    return n > 0 ? pow(10.0, sum / (double)n) : NAN;
}

size_t pdag_compare_longest(const pdag_compare *c, size_t solver, size_t n_cases)
{
    size_t most = 0;

    for (size_t i = 0; i < n_cases; i++) {
        const pdag_compare_run *run = &c->solver[solver].run[i];

        if (run->stop != PDAG_STOPPED_SEQUENTIAL && run->n_round > most)
            most = run->n_round;
    }
    return most < c->n_rows ? most : c->n_rows;
}

static pdag_axes fit_axes(const pdag_compare *c, pdag_chart_value value)
{
    pdag_axes a = {2.0, true, 0.0, -6.0};

    for (size_t s = 0; s < c->n_solvers; s++) {
        size_t n = pdag_compare_longest(c, s, c->n_cases);

        a.rounds = fmax(a.rounds, (double)n);
        for (size_t k = 0; k < n; k++)
            pdag_axes_include(&a, mean_of(c, s, k, value));
    }
    if (a.high - a.low < 1.0)
        a.high = a.low + 1.0;
    return a;
}

static void draw_curve(const pdag_compare *c, size_t solver,
                       pdag_chart_value value, const pdag_axes *a,
                       pdag_text *page)
{
    size_t n = pdag_compare_longest(c, solver, c->n_cases);
    double *mean = pdag_xcalloc(n, sizeof *mean);

    for (size_t k = 0; k < n; k++)
        mean[k] = mean_of(c, solver, k, value);
    pdag_text_add(page, "<g class=\"s%zu\">\n", solver % PDAG_CHART_COLOURS);
    pdag_chart_curve(a, solver, true, c->solver[solver].name, n, mean, page);
    pdag_text_add(page, "</g>\n");
    free(mean);
}

void pdag_compare_chart(const pdag_compare *c, pdag_chart_value value,
                        pdag_text *page)
{
    bool error = value == PDAG_CHART_ERROR;
    pdag_axes a = fit_axes(c, value);
    const char *label = error ? "relative RMS error of the final state"
                              : "largest residual RMS of the round";
    char *words = pdag_xasprintf("%s against round, one curve for every solver; "
                                 "the numbers are in compare.json", label);

    pdag_chart_open(&a, label, words, page);
    pdag_chart_bound(&a, error ? PDAG_CRITERION_B_ERROR
                               : PDAG_CRITERION_A_RESIDUAL,
                     error ? "B: 1 %" : "A: 1e-3", page);
    for (size_t s = 0; s < c->n_solvers; s++)
        draw_curve(c, s, value, &a, page);
    pdag_chart_close(page);
    free(words);
}

/* Maps. */

static pdag_status draw_map(const pdag_compare *c, size_t solver, double cell,
                            pdag_text *page)
{
    const pdag_compare_run *run = &c->solver[solver].run[0];
    pdag_status status;

    if (run->n_round == 0)
        return PDAG_OK;
    pdag_text_add(page, "<figure><figcaption>");
    pdag_chart_key(solver, page);
    pdag_text_add_escaped(page, c->solver[solver].name);
    pdag_text_add(page, ", %zu rounds</figcaption>\n", run->n_round);
    status = pdag_map_draw(c->solver[solver].name, run->n_round, c->n_rows,
                           run->map, cell, page);
    pdag_text_add(page, "</figure>\n");
    return status;
}

pdag_status pdag_compare_maps(const pdag_compare *c, pdag_text *page)
{
    size_t most = 1;
    pdag_status status = PDAG_OK;

    for (size_t s = 0; s < c->n_solvers; s++) {
        size_t n = pdag_compare_longest(c, s, 1);

        most = n > most ? n : most;
    }
    pdag_text_add(page, "<div class=\"maps\">\n");
    for (size_t s = 0; status == PDAG_OK && s < c->n_solvers; s++)
        status = draw_map(c, s, pdag_map_cell(most), page);
    pdag_text_add(page, "</div>\n");
    pdag_map_scale(page);
    return status;
}
