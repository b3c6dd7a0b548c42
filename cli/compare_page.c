#include "cli/compare_page.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "cli/chart.h"
#include "cli/page.h"

#ifndef PDAG_VERSION
#define PDAG_VERSION "unknown"
#endif

#define MOST_PICTURES 32 /* columns */

/* Facts of the job. */

static void add_model(const pdag_job *job, pdag_text *page)
{
    pdag_page_fact("Model", page);
    if (job->gaussian.present)
        pdag_text_add(page, "the oracle, a mixture of %lld Gaussians",
                      (long long)job->gaussian.modes);
    else
        pdag_text_add_escaped(page, job->model.path);
    pdag_text_add(page, "</dd>\n");
}

static void add_prompts(const pdag_compare *c, pdag_text *page)
{
    size_t n_prompts = c->n_cases / c->n_seeds;

    if (c->cases[0].name[0] != '\0') {
        pdag_page_fact(n_prompts > 1 ? "Prompts" : "Prompt", page);
        for (size_t p = 0; p < n_prompts; p++) {
            pdag_text_add(page, p > 0 ? "; " : "");
            pdag_text_add_escaped(page, c->cases[p * c->n_seeds].name);
        }
        pdag_text_add(page, "</dd>\n");
    }
    pdag_page_fact(c->n_seeds > 1 ? "Seeds" : "Seed", page);
    pdag_text_add(page, "%llu", (unsigned long long)c->cases[0].seed);
    if (c->n_seeds > 1)
        pdag_text_add(page, " to %llu",
                      (unsigned long long)c->cases[c->n_seeds - 1].seed);
    pdag_text_add(page, "</dd>\n");
}

static void add_facts(const pdag_compare *c, pdag_text *page)
{
    const pdag_job *job = c->setup.job;
    time_t now = time(NULL);
    struct tm utc;
    char when[32];

    gmtime_r(&now, &utc);
    strftime(when, sizeof when, "%Y-%m-%d %H:%M UTC", &utc);
    pdag_text_add(page, "<dl>\n");
    add_model(job, page);
    pdag_page_fact("Sampler", page);
    pdag_text_add_escaped(page, job->sampler.kind);
    pdag_text_add(page, ", %lld steps", (long long)job->sampler.steps);
    if (job->sampler.eta > 0.0)
        pdag_text_add(page, ", eta %g", job->sampler.eta);
    pdag_text_add(page, "</dd>\n");
    if (job->guidance_scale > 1.0) {
        pdag_page_fact("Guidance", page);
        pdag_text_add(page, "%g</dd>\n", job->guidance_scale);
    }
    add_prompts(c, page);
    pdag_page_fact("Window", page);
    if (job->solver.window > 0)
        pdag_text_add(page, "%lld rows</dd>\n", (long long)job->solver.window);
    else
        pdag_text_add(page, "all rows</dd>\n");
    pdag_page_fact("Stop rule", page);
    pdag_text_add_escaped(page, job->solver.stop);
    pdag_text_add(page, ", tolerance %g</dd>\n", job->solver.tolerance);
    pdag_page_fact("Run", page);
    pdag_text_add(page, "%d rank%s, ", c->n_ranks, c->n_ranks == 1 ? "" : "s");
    pdag_text_add_escaped(page, c->device);
    pdag_text_add(page, ", picard-dag %s, %s</dd>\n</dl>\n", PDAG_VERSION, when);
}

/* The table. */

static bool is_best(const pdag_compare *c, size_t solver, int column)
{
    pdag_spread ours;

    if (column >= PDAG_N_CRITERIA)
        return false;
    ours = pdag_compare_rounds(c, solver, (pdag_criterion)column);
    for (size_t i = 0; i < c->n_solvers; i++) {
        pdag_spread other = pdag_compare_rounds(c, i, (pdag_criterion)column);

        if (other.n == c->n_cases && other.mean < ours.mean)
            return false;
    }
    return ours.n == c->n_cases;
}

static void add_table(const pdag_compare *c, pdag_text *page)
{
    pdag_text_add(page, "<h2 id=\"table\">Rounds</h2>\n<p>One round is one "
                  "batch of independent network evaluations. A: every first-order "
                  "residual RMS at most 1e-3. B: final state within 1&#160;%% of "
                  "the sequential run, from that round on. 30&#160;dB, 40&#160;dB: "
                  "PSNR of its picture against the sequential one, likewise.%s A "
                  "sequential run takes %zu rounds.</p>\n"
                  "<div class=\"wide\" role=\"region\" aria-labelledby=\"table\" "
                  "tabindex=\"0\"><table>\n<thead><tr>"
                  "<th scope=\"col\">solver</th>",
                  c->n_cases > 1 ? " Means over all prompts and seeds, with the "
                                   "standard deviation." : "", c->n_rows);
    for (int q = 0; q < PDAG_COMPARE_COLUMNS; q++)
        pdag_text_add(page, "<th scope=\"col\">%s</th>", pdag_compare_titles[q]);
    pdag_text_add(page, "</tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < c->n_solvers; i++) {
        pdag_text_add(page, "<tr><th scope=\"row\">");
        pdag_chart_key(i, page);
        pdag_text_add_escaped(page, c->solver[i].name);
        pdag_text_add(page, "</th>");
        for (int q = 0; q < PDAG_COMPARE_COLUMNS; q++) {
            char cell[PDAG_SPREAD_TEXT];

            pdag_compare_cell(c, i, q, cell);
            pdag_text_add(page, is_best(c, i, q) ? "<td class=\"best\">" : "<td>");
            pdag_text_add_escaped(page, cell);
            pdag_text_add(page, "</td>");
        }
        pdag_text_add(page, "</tr>\n");
    }
    pdag_text_add(page, "</tbody></table></div>\n");
}

static void add_legend(const pdag_compare *c, pdag_text *page)
{
    pdag_text_add(page, "<p>");
    for (size_t i = 0; i < c->n_solvers; i++) {
        pdag_text_add(page, "<span class=\"word\">");
        pdag_chart_key(i, page);
        pdag_text_add_escaped(page, c->solver[i].name);
        pdag_text_add(page, "</span>&#8195; ");
    }
    pdag_text_add(page, "</p>\n");
}

static void add_charts(const pdag_compare *c, pdag_text *page)
{
    pdag_text_add(page, "<h2>Error and residual by round</h2>\n");
    add_legend(c, page);
    pdag_text_add(page, "<div class=\"charts\"><figure><figcaption>Error of the "
                  "final state after the round, against the sequential run%s"
                  "</figcaption>\n",
                  c->n_cases > 1 ? " (geometric mean of all cases)" : "");
    pdag_compare_chart(c, PDAG_CHART_ERROR, page);
    pdag_text_add(page, "</figure><figure><figcaption>Largest residual of the "
                  "round&#8217;s rows, before its update</figcaption>\n");
    pdag_compare_chart(c, PDAG_CHART_RESIDUAL, page);
    pdag_text_add(page, "</figure></div>\n<p class=\"soft\">Point at a mark for "
                  "its number.</p>\n");
}

/* The pictures. */

/* Rounds shown, from the first one with a picture: all, or evenly chosen ones with
   the first and the last; returns how many. */
static size_t choose_rounds(const pdag_compare *c, size_t *chosen)
{
    size_t last = 1;
    size_t first = c->n_rows;
    size_t rounds;
    size_t n;

    for (size_t i = 0; i < c->n_solvers; i++) {
        const pdag_compare_run *run = &c->solver[i].run[0];
        size_t longest = pdag_compare_longest(c, i, 1);

        last = longest > last ? longest : last;
        for (size_t k = longest; k > 0; k--)
            if (run->round[k - 1].picture != NULL && k < first)
                first = k;
    }
    first = first < last ? first : last;
    rounds = last - first;
    n = rounds < MOST_PICTURES ? rounds + 1 : MOST_PICTURES;
    for (size_t i = 0; i < n; i++)
        chosen[i] = first + (n > 1 ? (i * rounds + (n - 1) / 2) / (n - 1) : 0);
    return n;
}

static void add_picture(const char *base64, const char *solver, size_t round,
                        double psnr, pdag_text *page)
{
    pdag_text_add(page, "<td><img width=\"80\" src=\"data:image/png;base64,%s\" "
                  "alt=\"", base64);
    pdag_text_add_escaped(page, solver);
    pdag_text_add(page, ", round %zu\"/>%.1f dB</td>", round, psnr);
}

/* A solver's mark and words, each on one line. */
static void add_name(const pdag_compare *c, size_t solver, pdag_text *page)
{
    char *copy = pdag_xstrdup(c->solver[solver].name);
    char *word = copy;

    while (word != NULL) {
        char *end = strchr(word, ':');

        if (end != NULL)
            *end = '\0';
        pdag_text_add(page, "<span class=\"word\">");
        if (word == copy)
            pdag_chart_key(solver, page);
        pdag_text_add_escaped(page, word);
        pdag_text_add(page, end != NULL ? ":</span><wbr/>" : "</span>");
        word = end != NULL ? end + 1 : NULL;
    }
    free(copy);
}

static void add_picture_row(const pdag_compare *c, size_t solver, size_t n,
                            const size_t *chosen, pdag_text *page)
{
    const pdag_compare_solver *s = &c->solver[solver];
    const pdag_compare_run *run = &s->run[0];

    pdag_text_add(page, "<tr><th scope=\"row\">");
    add_name(c, solver, page);
    pdag_text_add(page, "</th>");
    for (size_t i = 0; i < n; i++) {
        size_t k = chosen[i] - 1;

        if (k < run->n_round && run->round[k].picture != NULL)
            add_picture(run->round[k].picture, s->name, k + 1,
                        run->round[k].psnr, page);
        else
            pdag_text_add(page, "<td>%s</td>",
                          k < run->n_round ? "&#8211;" : "");
    }
    pdag_text_add(page, "</tr>\n");
}

static void add_pictures(const pdag_compare *c, pdag_text *page)
{
    size_t chosen[MOST_PICTURES];
    size_t n = choose_rounds(c, chosen);

    if (c->reference_picture == NULL)
        return;
    pdag_text_add(page, "<h2 id=\"pictures\">Pictures after each round</h2>\n<p>Of "
                  "the final state as it is then, with its PSNR against the "
                  "sequential picture; a dash where there is none yet.");
    if (c->cases[0].name[0] != '\0') {
        pdag_text_add(page, " First case: ");
        pdag_text_add_escaped(page, c->cases[0].name);
        pdag_text_add(page, ", seed %llu.", (unsigned long long)c->cases[0].seed);
    }
    pdag_text_add(page, "</p>\n<figure><figcaption>Sequential, %zu rounds"
                  "</figcaption><img width=\"80\" "
                  "src=\"data:image/png;base64,%s\" alt=\"Picture of the "
                  "sequential run\"/></figure>\n<div class=\"wide\" "
                  "role=\"region\" aria-labelledby=\"pictures\" tabindex=\"0\">"
                  "<table class=\"pictures\"><thead><tr><th "
                  "scope=\"col\">solver</th>", c->n_rows, c->reference_picture);
    for (size_t i = 0; i < n; i++)
        pdag_text_add(page, "<th scope=\"col\">round %zu</th>", chosen[i]);
    pdag_text_add(page, "</tr></thead>\n<tbody>\n");
    for (size_t s = 0; s < c->n_solvers; s++)
        if (c->solver[s].run[0].stop != PDAG_STOPPED_SEQUENTIAL)
            add_picture_row(c, s, n, chosen, page);
    pdag_text_add(page, "</tbody></table></div>\n");
}

pdag_status pdag_compare_page(const pdag_compare *c, pdag_text *page)
{
    pdag_status status;

    pdag_page_begin("Solvers compared", page);
    add_facts(c, page);
    add_table(c, page);
    add_charts(c, page);
    pdag_text_add(page, "<h2>Residual maps</h2>\n<p>Residual RMS of each row "
                  "(step) in each round, first row left, first round on top; plain "
                  "where a row was not evaluated: before it enters the window, and "
                  "after it is accepted.%s</p>\n",
                  c->n_cases > 1 ? " First prompt and seed." : "");
    status = pdag_compare_maps(c, page);
    add_pictures(c, page);
    pdag_page_end(page);
    return status;
}
