#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/page.h"
#include "cli/report.h"
#include "proto/job.h"

/* cli/report_facts.c: what is said in words and tables. */

#define MOST_PROMPTS 16
#define MOST_SAMPLES 1000 /* lines of the table */
#define MOST_OPEN 16      /* lines that need no click */

static void fact_text(const pdag_report *r, const char *name, const char *path,
                      pdag_text *page)
{
    const char *text = pdag_report_text(r->run.root, path);

    if (text[0] == '\0')
        return;
    pdag_page_fact(name, page);
    pdag_text_add_escaped(page, text);
    pdag_text_add(page, "</dd>\n");
}

/* ", 50 steps" where the number is there. */
static void add_number(const json_t *root, const char *before, const char *path,
                       const char *after, pdag_text *page)
{
    double value = pdag_report_number(root, path);

    if (isfinite(value))
        pdag_text_add(page, "%s%.10g%s", before, value, after);
}

static void add_model(const pdag_report *r, pdag_text *page)
{
    const json_t *root = r->run.root;

    if (!json_is_object(json_object_get(json_object_get(root, "job"),
                                        "gaussian"))) {
        fact_text(r, "Model", "job.model.path", page);
        return;
    }
    pdag_page_fact("Model", page);
    pdag_text_add(page, "the oracle, a mixture of ");
    add_number(root, "", "job.gaussian.modes", " ", page);
    pdag_text_add(page, "Gaussians</dd>\n");
}

static void add_sampler(const json_t *root, pdag_text *page)
{
    pdag_page_fact("Sampler", page);
    pdag_text_add_escaped(page, pdag_report_text(root, "job.sampler.kind"));
    add_number(root, ", ", "job.sampler.steps", " steps", page);
    if (pdag_report_number(root, "job.sampler.eta") > 0.0)
        add_number(root, ", eta ", "job.sampler.eta", "", page);
    if (pdag_report_number(root, "job.guidance_scale") > 1.0)
        add_number(root, ", guidance ", "job.guidance_scale", "", page);
    pdag_text_add(page, "</dd>\n");
}

static void add_solver(const json_t *root, pdag_text *page)
{
    double window = pdag_report_number(root, "job.solver.window");

    pdag_page_fact("Solver", page);
    pdag_text_add_escaped(page, pdag_report_text(root, "job.solver.method"));
    pdag_text_add(page, ", window ");
    if (window > 0.0)
        pdag_text_add(page, "%.10g rows", window);
    else
        pdag_text_add(page, "all rows");
    pdag_text_add(page, ", stop rule ");
    pdag_text_add_escaped(page, pdag_report_text(root, "job.solver.stop"));
    add_number(root, " with tolerance ", "job.solver.tolerance", "", page);
    pdag_text_add(page, "</dd>\n");
}

static void add_prompts(const json_t *root, pdag_text *page)
{
    const json_t *list = json_object_get(json_object_get(root, "job"), "prompt");
    size_t n = json_array_size(list);

    if (n == 0)
        return;
    pdag_page_fact(n > 1 ? "Prompts" : "Prompt", page);
    for (size_t i = 0; i < n && i < MOST_PROMPTS; i++) {
        const char *text = json_string_value(json_array_get(list, i));

        pdag_text_add(page, i > 0 ? "; " : "");
        pdag_text_add_escaped(page, text != NULL ? text : "?");
    }
    if (n > MOST_PROMPTS)
        pdag_text_add(page, "; and %zu more", n - MOST_PROMPTS);
    pdag_text_add(page, "</dd>\n");
}

/* "9 of 50 rounds, converged", or from the least to the most of several samples. */
static void add_result(const pdag_report *r, pdag_text *page)
{
    double least = INFINITY;
    double most = 0.0;
    size_t n_converged = 0;

    for (size_t i = 0; i < r->n_samples; i++) {
        least = fmin(least, r->sample[i].rounds);
        most = fmax(most, r->sample[i].rounds);
        n_converged += strcmp(r->sample[i].stop, "converged") == 0;
    }
    pdag_page_fact("Result", page);
    if (r->n_samples == 1)
        pdag_text_add_escaped(page, r->sample[0].stop);
    else
        pdag_text_add(page, "%zu of %zu samples converged", n_converged,
                      r->n_samples);
    if (most > 0.0 && least < most)
        pdag_text_add(page, "; rounds: %.10g to %.10g", least, most);
    else if (most > 0.0)
        pdag_text_add(page, "; rounds: %.10g", most);
    if (most > 0.0 && r->n_rows > 0)
        pdag_text_add(page, "; row after row they would be %zu", r->n_rows);
    pdag_text_add(page, "</dd>\n");
}

/* A prediction of the time, where the run had one. */
static void add_prediction(const json_t *root, pdag_text *page)
{
    double error = pdag_report_number(root, "prediction.error_percent");
    double seconds = pdag_report_number(root, "prediction.seconds");

    if (!isfinite(seconds) || !isfinite(error))
        return;
    pdag_page_fact("Predicted", page);
    pdag_text_add(page, "%.3g s, %+.1f&#160;%% off, ", seconds, error);
    pdag_text_add_escaped(page, strcmp(pdag_report_text(root, "prediction.source"),
                                       "stored") == 0
                                    ? "from earlier runs"
                                    : "by a replay from its own figures");
    pdag_text_add(page, "</dd>\n");
}

static void add_seconds(const json_t *root, pdag_text *page)
{
    static const char *const parts[][2] = {
        {"seconds.total", "total"},   {"seconds.load", "loading"},
        {"seconds.encode", "encoding"}, {"seconds.sample", "sampling"},
        {"seconds.decode", "decoding"}};
    bool any = false;

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        double seconds = pdag_report_number(root, parts[i][0]);

        if (!isfinite(seconds))
            continue;
        if (!any)
            pdag_page_fact("Seconds", page);
        pdag_text_add(page, "%s%s %.3f", any ? ", " : "", parts[i][1], seconds);
        any = true;
    }
    if (any)
        pdag_text_add(page, "</dd>\n");
}

void pdag_report_facts(const pdag_report *r, pdag_text *page)
{
    const json_t *root = r->run.root;
    const char *error = pdag_report_text(root, "error");

    if (error[0] != '\0') {
        pdag_text_add(page, "<p class=\"failure\">The run failed: ");
        pdag_text_add_escaped(page, error);
        pdag_text_add(page, "</p>\n");
    }
    pdag_text_add(page, "<dl>\n");
    add_model(r, page);
    add_prompts(root, page);
    add_sampler(root, page);
    add_solver(root, page);
    add_result(r, page);
    pdag_page_fact("Run", page);
    add_number(root, "", "ranks", pdag_report_number(root, "ranks") == 1.0
                                      ? " rank, " : " ranks, ", page);
    pdag_text_add(page, "picard-dag ");
    pdag_text_add_escaped(page, pdag_report_text(root, "version"));
    add_number(root, ", exit status ", "exit_status", "", page);
    pdag_text_add(page, "</dd>\n");
    fact_text(r, "Started", "started", page);
    fact_text(r, "Finished", "finished", page);
    add_seconds(root, page);
    add_prediction(root, page);
    pdag_text_add(page, "</dl>\n");
}

/* The samples. */

static void add_cell(double value, const char *format, pdag_text *page)
{
    pdag_text_add(page, "<td>");
    if (isfinite(value))
        pdag_text_add(page, format[0] == 'e' ? "%.3g" : "%.10g", value);
    else
        pdag_text_add(page, "&#8211;");
    pdag_text_add(page, "</td>");
}

static void add_sample(const pdag_report_sample *s, bool prompts, pdag_text *page)
{
    const char *seed = json_string_value(s->seed);

    pdag_text_add(page, "<tr><th scope=\"row\">%zu</th><td>", s->index);
    if (json_is_integer(s->seed))
        pdag_text_add(page, "%" JSON_INTEGER_FORMAT, json_integer_value(s->seed));
    else
        pdag_text_add_escaped(page, seed != NULL ? seed : "");
    pdag_text_add(page, "</td><td class=\"words\">");
    pdag_text_add_escaped(page, s->stop);
    pdag_text_add(page, "</td>");
    add_cell(s->rounds, "whole", page);
    add_cell(s->evaluations, "whole", page);
    add_cell(s->n_rounds > 0 ? pdag_report_residual(s, s->n_rounds - 1) : NAN,
             "exponent", page);
    add_cell(s->seconds, "exponent", page);
    if (prompts) {
        pdag_text_add(page, "<td class=\"words\">");
        pdag_text_add_escaped(page, s->prompt);
        pdag_text_add(page, "</td>");
    }
    pdag_text_add(page, "</tr>\n");
}

void pdag_report_samples(const pdag_report *r, pdag_text *page)
{
    size_t n = r->n_samples < MOST_SAMPLES ? r->n_samples : MOST_SAMPLES;
    bool prompts = false;
    json_t *labels = json_object_get(json_object_get(r->run.root, "job"),
                                     "class_label");

    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        prompts = prompts || r->sample[i].prompt[0] != '\0';
    pdag_text_add(page, "<h2 id=\"samples\">Samples</h2>\n");
    if (n > MOST_OPEN)
        pdag_text_add(page, "<details><summary>Table of %zu</summary>\n", n);
    pdag_text_add(page, "<div class=\"wide\" "
                  "role=\"region\" aria-labelledby=\"samples\" tabindex=\"0\">"
                  "<table>\n<thead><tr><th scope=\"col\">sample</th><th "
                  "scope=\"col\">seed</th>"
                  "<th scope=\"col\" class=\"words\">end</th>"
                  "<th scope=\"col\">rounds</th><th scope=\"col\">evaluations</th>"
                  "<th scope=\"col\">last residual</th><th scope=\"col\">seconds"
                  "</th>%s</tr></thead>\n<tbody>\n",
                  !prompts ? ""
                  : json_array_size(labels) > 0
                      ? "<th scope=\"col\" class=\"words\">class</th>"
                      : "<th scope=\"col\" class=\"words\">prompt</th>");
    for (size_t i = 0; i < n; i++)
        add_sample(&r->sample[i], prompts, page);
    pdag_text_add(page, "</tbody></table></div>\n");
    if (n < r->n_samples)
        pdag_text_add(page, "<p class=\"soft\">And %zu more.</p>\n",
                      r->n_samples - n);
    if (n > MOST_OPEN)
        pdag_text_add(page, "</details>\n");
}

/* The job. */

/* A field's value as one writes it for --set; malloc'ed. */
static char *value_text(const json_t *value)
{
    if (json_is_string(value))
        return pdag_xstrdup(json_string_value(value));
    if (json_is_boolean(value))
        return pdag_xstrdup(json_is_true(value) ? "true" : "false");
    if (json_is_integer(value))
        return pdag_xasprintf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    if (json_is_real(value))
        return pdag_xasprintf("%.10g", json_real_value(value));
    if (json_is_array(value) && json_array_size(value) > 0)
        return json_dumps(value, JSON_REAL_PRECISION(10));
    return pdag_xstrdup("");
}

static bool same_value(const char *value, const char *other)
{
    char *end;
    char *other_end;
    double number = strtod(value, &end);
    double other_number = strtod(other, &other_end);

    if (strcmp(value, other) == 0)
        return true;
    return end != value && *end == '\0' && other_end != other &&
           *other_end == '\0' && number == other_number;
}

/* What a table of fields shows: those that differ from a default that the field
   has in itself, or those whose default comes from model and method. */
typedef enum which_fields { DIFFERING, DEPENDING } which_fields;

static void add_field(const char *name, const json_t *value, which_fields which,
                      pdag_text *rows)
{
    const char *fallback = pdag_job_field_default(name);
    char *text = value_text(value);
    bool depends = fallback != NULL && fallback[0] == '\0';
    bool shown = which == DEPENDING
                     ? depends && text[0] != '\0'
                     : !depends && !same_value(text, fallback != NULL ? fallback
                                                                      : "");

    if (shown) {
        pdag_text_add(rows, "<dt><code>");
        pdag_text_add_escaped(rows, name);
        pdag_text_add(rows, "</code></dt><dd>");
        pdag_text_add_escaped(rows, text[0] != '\0' ? text : "none");
        if (which == DIFFERING && fallback != NULL) {
            pdag_text_add(rows, " <span class=\"soft\">(default ");
            pdag_text_add_escaped(rows, fallback);
            pdag_text_add(rows, ")</span>");
        }
        pdag_text_add(rows, "</dd>\n");
    }
    free(text);
}

static void add_fields(json_t *job, which_fields which, pdag_text *rows)
{
    const char *key;
    json_t *value;

    json_object_foreach(job, key, value) {
        const char *inner_key;
        json_t *inner;

        if (!json_is_object(value)) {
            add_field(key, value, which, rows);
            continue;
        }
        json_object_foreach(value, inner_key, inner) {
            char *name = pdag_xasprintf("%s.%s", key, inner_key);

            add_field(name, inner, which, rows);
            free(name);
        }
    }
}

void pdag_report_job(const pdag_report *r, pdag_text *page)
{
    json_t *job = json_object_get(r->run.root, "job");
    pdag_text rows = {NULL, 0, 0};

    pdag_text_add(page, "<h2>Job</h2>\n<p class=\"soft\">Fields that differ from "
                  "their defaults.</p>\n<dl>\n");
    add_fields(job, DIFFERING, page);
    pdag_text_add(page, "</dl>\n");
    add_fields(job, DEPENDING, &rows);
    if (rows.used > 0)
        pdag_text_add(page, "<details><summary>Fields whose defaults come from the "
                      "model or the method</summary>\n<dl>\n%s</dl></details>\n",
                      rows.at);
    pdag_text_clear(&rows);
}
