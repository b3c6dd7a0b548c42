#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/compare.h"
#include "cli/output.h"

#ifndef PDAG_VERSION
#define PDAG_VERSION "unknown"
#endif

/* cli/compare_table.c: the numbers, as CSV, as a table for people, as JSON. */

static pdag_spread spread_of(size_t n_cases, const double *values)
{
    pdag_spread s = {0, 0.0, 0.0};
    double squares = 0.0;

    for (size_t k = 0; k < n_cases; k++)
        if (!isnan(values[k])) {
            s.mean += values[k];
            s.n++;
        }
    if (s.n == 0)
        return s;
    s.mean /= (double)s.n;
    for (size_t k = 0; k < n_cases; k++)
        if (!isnan(values[k]))
            squares += (values[k] - s.mean) * (values[k] - s.mean);
    if (s.n > 1)
        s.deviation = sqrt(squares / (double)(s.n - 1));
    return s;
}

/* A failed run has no numbers. */
static double rounds_of(const pdag_compare_run *run, int criterion)
{
    return run->reached[criterion] > 0 ? (double)run->reached[criterion] : NAN;
}

static double evaluations_of(const pdag_compare_run *run, int unused)
{
    (void)unused;
    return run->stop != PDAG_STOPPED_FAILED ? (double)run->evaluations : NAN;
}

static double seconds_of(const pdag_compare_run *run, int unused)
{
    (void)unused;
    return run->stop != PDAG_STOPPED_FAILED ? run->seconds : NAN;
}

static pdag_spread over_cases(const pdag_compare *c, size_t solver,
                              double (*value)(const pdag_compare_run *, int),
                              int which)
{
    double *values = pdag_xcalloc(c->n_cases, sizeof *values);
    pdag_spread spread;

    for (size_t k = 0; k < c->n_cases; k++)
        values[k] = value(&c->solver[solver].run[k], which);
    spread = spread_of(c->n_cases, values);
    free(values);
    return spread;
}

pdag_spread pdag_compare_rounds(const pdag_compare *c, size_t solver,
                                pdag_criterion criterion)
{
    return over_cases(c, solver, rounds_of, (int)criterion);
}

pdag_spread pdag_compare_evaluations(const pdag_compare *c, size_t solver)
{
    return over_cases(c, solver, evaluations_of, 0);
}

pdag_spread pdag_compare_seconds(const pdag_compare *c, size_t solver)
{
    return over_cases(c, solver, seconds_of, 0);
}

void pdag_spread_text(const pdag_spread *s, size_t n_cases, int digits,
                      char *text)
{
    int n;

    if (s->n == 0) {
        snprintf(text, PDAG_SPREAD_TEXT, "-");
        return;
    }
    /* One case: whole numbers stay whole. */
    if (n_cases == 1 && digits == 1)
        digits = 0;
    n = snprintf(text, PDAG_SPREAD_TEXT, "%.*f", digits, s->mean);
    if (s->n > 1)
        n += snprintf(text + n, PDAG_SPREAD_TEXT - (size_t)n, " \302\261%.*f",
                      digits, s->deviation);
    if (s->n < n_cases)
        snprintf(text + n, PDAG_SPREAD_TEXT - (size_t)n, " (%zu/%zu)", s->n,
                 n_cases);
}

/* CSV. */

/* What a line begins with: "solver,prompt,seed". */
static void add_keys(const pdag_compare *c, size_t solver, size_t k,
                     pdag_text *text)
{
    pdag_text_add_csv(text, c->solver[solver].name);
    pdag_text_add(text, ",");
    pdag_text_add_csv(text, c->cases[k].name);
    pdag_text_add(text, ",%llu", (unsigned long long)c->cases[k].seed);
}

void pdag_compare_csv(const pdag_compare *c, pdag_text *text)
{
    pdag_text_add(text, "solver,prompt,seed,rounds_a,rounds_b,rounds_30db,"
                  "rounds_40db,evaluations,seconds\n");
    for (size_t i = 0; i < c->n_solvers; i++)
        for (size_t k = 0; k < c->n_cases; k++) {
            const pdag_compare_run *run = &c->solver[i].run[k];

            add_keys(c, i, k, text);
            for (int q = 0; q < PDAG_N_CRITERIA; q++) {
                pdag_text_add(text, ",");
                if (run->reached[q] > 0)
                    pdag_text_add(text, "%zu", run->reached[q]);
            }
            pdag_text_add(text, ",%zu,%.6g\n", run->evaluations, run->seconds);
        }
}

/* How every run ended; the same lines as the other file. */
void pdag_compare_ends_csv(const pdag_compare *c, pdag_text *text)
{
    pdag_text_add(text, "solver,prompt,seed,rounds,psnr_db,relative_error,stop\n");
    for (size_t i = 0; i < c->n_solvers; i++)
        for (size_t k = 0; k < c->n_cases; k++) {
            const pdag_compare_run *run = &c->solver[i].run[k];
            const pdag_compare_round *last =
                run->n_round > 0 ? &run->round[run->n_round - 1] : NULL;

            add_keys(c, i, k, text);
            pdag_text_add(text, ",%zu,", run->rounds);
            if (last != NULL && !isnan(last->psnr))
                pdag_text_add(text, "%.6g", last->psnr);
            pdag_text_add(text, ",");
            if (last != NULL && !isnan(last->error))
                pdag_text_add(text, "%.6g", last->error);
            pdag_text_add(text, ",%s\n", pdag_stop_reason_text(run->stop));
        }
}

/* The table. */

const char *const pdag_compare_titles[PDAG_COMPARE_COLUMNS] = {
    "A", "B", "30 dB", "40 dB", "evaluations", "seconds"};

/* Characters, not bytes. */
static int width_of(const char *text)
{
    int width = 0;

    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void add_cell(pdag_text *text, const char *cell, int width)
{
    pdag_text_add(text, "  %*s%s", width - width_of(cell), "", cell);
}

void pdag_compare_cell(const pdag_compare *c, size_t solver, int column,
                       char *cell)
{
    pdag_spread spread =
        column < PDAG_N_CRITERIA
            ? pdag_compare_rounds(c, solver, (pdag_criterion)column)
        : column == PDAG_N_CRITERIA ? pdag_compare_evaluations(c, solver)
                                    : pdag_compare_seconds(c, solver);

    pdag_spread_text(&spread, c->n_cases,
                     column < PDAG_N_CRITERIA ? 1
                     : column == PDAG_N_CRITERIA ? 0 : 2, cell);
}

void pdag_compare_table(const pdag_compare *c, pdag_text *text)
{
    char cell[PDAG_SPREAD_TEXT];
    int widths[PDAG_COMPARE_COLUMNS];
    int first = 6;

    for (int q = 0; q < PDAG_COMPARE_COLUMNS; q++)
        widths[q] = width_of(pdag_compare_titles[q]);
    for (size_t i = 0; i < c->n_solvers; i++) {
        if (width_of(c->solver[i].name) > first)
            first = width_of(c->solver[i].name);
        for (int q = 0; q < PDAG_COMPARE_COLUMNS; q++) {
            pdag_compare_cell(c, i, q, cell);
            if (width_of(cell) > widths[q])
                widths[q] = width_of(cell);
        }
    }
    pdag_text_add(text, "%-*s", first, "solver");
    for (int q = 0; q < PDAG_COMPARE_COLUMNS; q++)
        add_cell(text, pdag_compare_titles[q], widths[q]);
    pdag_text_add(text, "\n");
    for (size_t i = 0; i < c->n_solvers; i++) {
        pdag_text_add(text, "%s%*s", c->solver[i].name,
                      first - width_of(c->solver[i].name), "");
        for (int q = 0; q < PDAG_COMPARE_COLUMNS; q++) {
            pdag_compare_cell(c, i, q, cell);
            add_cell(text, cell, widths[q]);
        }
        pdag_text_add(text, "\n");
    }
}

/* JSON. */

static json_t *real_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *run_json(const pdag_compare *c, size_t solver, size_t k)
{
    static const char *const names[PDAG_N_CRITERIA] = {
        "rounds_a", "rounds_b", "rounds_30db", "rounds_40db"};
    const pdag_compare_run *run = &c->solver[solver].run[k];
    json_t *errors = json_array();
    json_t *psnrs = json_array();
    json_t *residuals = json_array();
    json_t *entry;

    for (size_t i = 0; i < run->n_round; i++) {
        json_array_append_new(errors, real_or_null(run->round[i].error));
        json_array_append_new(psnrs, real_or_null(run->round[i].psnr));
        json_array_append_new(residuals, real_or_null(run->round[i].residual));
    }
    entry = json_pack(
        "{s:s, s:s, s:o, s:s, s:I, s:I, s:f, s:o, s:o, s:o}", "solver",
        c->solver[solver].name, "prompt", c->cases[k].name, "seed",
        pdag_output_seed_json(c->cases[k].seed), "stop",
        pdag_stop_reason_text(run->stop), "rounds", (json_int_t)run->rounds,
        "evaluations", (json_int_t)run->evaluations, "seconds", run->seconds,
        "relative_rms_error", errors, "psnr_db", psnrs, "residual_rms_max",
        residuals);
    for (int q = 0; q < PDAG_N_CRITERIA; q++)
        json_object_set_new(entry, names[q],
                            run->reached[q] > 0
                                ? json_integer((json_int_t)run->reached[q])
                                : json_null());
    return entry;
}

json_t *pdag_compare_json(const pdag_compare *c)
{
    json_t *solvers = json_array();
    json_t *runs = json_array();

    for (size_t i = 0; i < c->n_solvers; i++) {
        json_t *job = pdag_job_to_json(c->solver[i].setup.job);

        json_array_append_new(
            solvers, json_pack("{s:s, s:O}", "name", c->solver[i].name, "solver",
                               json_object_get(job, "solver")));
        json_decref(job);
        for (size_t k = 0; k < c->n_cases; k++)
            json_array_append_new(runs, run_json(c, i, k));
    }
    return json_pack("{s:s, s:s, s:i, s:s, s:o, s:o, s:o}", "version",
                     PDAG_VERSION, "command", "compare", "ranks", c->n_ranks,
                     "device", c->device, "job", pdag_job_to_json(c->setup.job),
                     "solvers", solvers, "runs", runs);
}
