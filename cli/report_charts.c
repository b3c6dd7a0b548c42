#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/chart.h"
#include "cli/report.h"

/* cli/report_charts.c: residual and window against the round, and residual maps. */

#define MOST_NAMED 8   /* samples with marks and a legend of their own */
#define MOST_CURVES 64 /* samples */
#define MOST_MAPS 16   /* samples */
#define MOST_MARKS 400 /* rounds */

/* The first samples with a history, at most `most`: their places; how many. */
static size_t choose(const pdag_report *r, size_t most, size_t *chosen,
                     size_t *rounds_out)
{
    size_t n = 0;

    *rounds_out = 0;
    for (size_t i = 0; i < r->n_samples && n < most; i++)
        if (r->sample[i].n_rounds > 0) {
            chosen[n++] = i;
            if (r->sample[i].n_rounds > *rounds_out)
                *rounds_out = r->sample[i].n_rounds;
        }
    return n;
}

static size_t count_histories(const pdag_report *r)
{
    size_t n = 0;

    for (size_t i = 0; i < r->n_samples; i++)
        n += r->sample[i].n_rounds > 0;
    return n;
}

static void name_sample(const pdag_report_sample *s, char name[32])
{
    snprintf(name, 32, "sample %zu", s->index);
}

/* The tolerance, where it is of the residual itself. */
static void draw_tolerance(const pdag_report *r, const pdag_axes *a,
                           pdag_text *page)
{
    const char *stop = pdag_report_text(r->run.root, "job.solver.stop");

    if (strcmp(stop, "error") == 0 || strcmp(stop, "residual") == 0)
        pdag_chart_bound(a, pdag_report_number(r->run.root,
                                               "job.solver.tolerance"),
                         "tolerance", page);
}

static void draw_residuals(const pdag_report *r, size_t n, const size_t *chosen,
                           size_t rounds, pdag_text *page)
{
    pdag_axes a = {fmax((double)rounds, 2.0), true, 0.0, -6.0};
    double *value = pdag_xcalloc(rounds, sizeof *value);

    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < r->sample[chosen[i]].n_rounds; k++)
            pdag_axes_include(&a, pdag_report_residual(&r->sample[chosen[i]], k));
    a.high = fmax(a.high, a.low + 1.0);
    pdag_text_add(page, "<figure><figcaption>Largest residual of the round, "
                  "before its update</figcaption>\n");
    pdag_chart_open(&a, "largest residual RMS", "Largest residual against round, "
                    "one curve for every sample; the numbers are in run.json",
                    page);
    draw_tolerance(r, &a, page);
    for (size_t i = 0; i < n; i++) {
        const pdag_report_sample *s = &r->sample[chosen[i]];
        char name[32];

        name_sample(s, name);
        for (size_t k = 0; k < s->n_rounds; k++)
            value[k] = pdag_report_residual(s, k);
        pdag_text_add(page, "<g class=\"s%zu%s\">\n", i % PDAG_CHART_COLOURS,
                      n > MOST_NAMED ? " many" : "");
        pdag_chart_curve(&a, i, n <= MOST_NAMED && rounds <= MOST_MARKS, name,
                         s->n_rounds, value, page);
        pdag_text_add(page, "</g>\n");
    }
    pdag_chart_close(page);
    pdag_text_add(page, "</figure>\n");
    free(value);
}

/* The band between begin and end of the window. */
static void draw_band(const pdag_report_sample *s, const pdag_axes *a,
                      pdag_text *page)
{
    size_t begin;
    size_t end;
    bool any = false;

    for (size_t k = 0; k < s->n_rounds; k++)
        if (pdag_report_window(s, k, &begin, &end)) {
            pdag_text_add(page, "%s%.1f,%.1f",
                          any ? " " : "<polygon class=\"band\" points=\"",
                          pdag_axes_x(a, (double)(k + 1)),
                          pdag_axes_y(a, (double)end));
            any = true;
        }
    for (size_t k = s->n_rounds; any && k > 0; k--)
        if (pdag_report_window(s, k - 1, &begin, &end))
            pdag_text_add(page, " %.1f,%.1f", pdag_axes_x(a, (double)k),
                          pdag_axes_y(a, (double)begin));
    if (any)
        pdag_text_add(page, "\"/>\n");
}

static void draw_windows(const pdag_report *r, size_t n, const size_t *chosen,
                         size_t rounds, pdag_text *page)
{
    pdag_axes a = {fmax((double)rounds, 2.0), false, 0.0, (double)r->n_rows};
    double *value[2];

    value[0] = pdag_xcalloc(2 * rounds, sizeof **value);
    value[1] = value[0] + rounds;
    pdag_text_add(page, "<figure><figcaption>Rows evaluated in the round: "
                  "begin and end of the window</figcaption>\n");
    pdag_chart_open(&a, "row", "Begin and end of the window against round, a band "
                    "for every sample", page);
    for (size_t i = 0; i < n; i++) {
        const pdag_report_sample *s = &r->sample[chosen[i]];
        bool marks = n == 1 && rounds <= MOST_MARKS;

        for (size_t k = 0; k < s->n_rounds; k++) {
            size_t begin;
            size_t end;
            bool any = pdag_report_window(s, k, &begin, &end);

            value[0][k] = any ? (double)begin : NAN;
            value[1][k] = any ? (double)end : NAN;
        }
        pdag_text_add(page, "<g class=\"s%zu%s\">\n", i % PDAG_CHART_COLOURS,
                      n > MOST_NAMED ? " many" : "");
        if (n <= MOST_NAMED)
            draw_band(s, &a, page);
        pdag_chart_curve(&a, i, marks, "begin", s->n_rounds, value[0], page);
        pdag_chart_curve(&a, i, marks, "end", s->n_rounds, value[1], page);
        pdag_text_add(page, "</g>\n");
    }
    pdag_chart_close(page);
    pdag_text_add(page, "</figure>\n");
    free(value[0]);
}

static void add_legend(const pdag_report *r, size_t n, const size_t *chosen,
                       pdag_text *page)
{
    if (n < 2 || n > MOST_NAMED)
        return;
    pdag_text_add(page, "<p>");
    for (size_t i = 0; i < n; i++) {
        char name[32];

        name_sample(&r->sample[chosen[i]], name);
        pdag_text_add(page, "<span class=\"word\">");
        pdag_chart_key(i, page);
        pdag_text_add(page, "%s</span>&#8195; ", name);
    }
    pdag_text_add(page, "</p>\n");
}

static void add_more(size_t n, size_t all, pdag_text *page)
{
    if (n < all)
        pdag_text_add(page, "<p class=\"soft\">The first %zu samples of %zu.</p>\n",
                      n, all);
}

void pdag_report_curves(const pdag_report *r, pdag_text *page)
{
    size_t chosen[MOST_CURVES];
    size_t rounds;
    size_t n = choose(r, MOST_CURVES, chosen, &rounds);

    if (n == 0)
        return;
    pdag_text_add(page, "<h2>Convergence</h2>\n");
    add_legend(r, n, chosen, page);
    pdag_text_add(page, "<div class=\"charts\">");
    draw_residuals(r, n, chosen, rounds, page);
    draw_windows(r, n, chosen, rounds, page);
    pdag_text_add(page, "</div>\n");
    add_more(n, count_histories(r), page);
}

pdag_status pdag_report_maps(const pdag_report *r, pdag_text *page)
{
    size_t chosen[MOST_MAPS];
    size_t rounds;
    size_t n = choose(r, MOST_MAPS, chosen, &rounds);
    pdag_status status = PDAG_OK;

    if (n == 0)
        return PDAG_OK;
    pdag_text_add(page, "<h2>Residual maps</h2>\n<p>Residual RMS of each row "
                  "(step) in each round, first row left, first round on top; plain "
                  "where a row was not evaluated: before it enters the window, and "
                  "after it is accepted.</p>\n<div class=\"maps\">\n");
    for (size_t i = 0; status == PDAG_OK && i < n; i++) {
        const pdag_report_sample *s = &r->sample[chosen[i]];
        char name[32];

        name_sample(s, name);
        pdag_text_add(page, "<figure><figcaption>%s, %zu round%s</figcaption>\n",
                      name, s->n_rounds, s->n_rounds == 1 ? "" : "s");
        status = pdag_map_draw(name, s->n_rounds, s->n_rows, s->history,
                               pdag_map_cell(rounds), page);
        pdag_text_add(page, "</figure>\n");
    }
    pdag_text_add(page, "</div>\n");
    pdag_map_scale(page);
    add_more(n, count_histories(r), page);
    return status;
}
