#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/report.h"

/* cli/report_read.c: run.json. */

/* A map of more entries has no picture that anybody could look at. */
#define MOST_HISTORY ((size_t)4 << 20)

/* The value at "a.b", or NULL. */
static json_t *find(const json_t *root, const char *path)
{
    const char *dot = strchr(path, '.');
    char *key;
    json_t *child;

    if (dot == NULL)
        return json_object_get(root, path);
    key = pdag_xstrndup(path, (size_t)(dot - path));
    child = json_object_get(root, key);
    free(key);
    return find(child, dot + 1);
}

double pdag_report_number(const json_t *root, const char *path)
{
    const json_t *value = find(root, path);

    return json_is_number(value) ? json_number_value(value) : NAN;
}

const char *pdag_report_text(const json_t *root, const char *path)
{
    const char *text = json_string_value(find(root, path));

    return text != NULL ? text : "";
}

/* Residuals of the rounds; entries that are no numbers were not evaluated. */
static pdag_status read_history(pdag_report *r, const json_t *rounds,
                                pdag_report_sample *s)
{
    size_t n_rounds = json_array_size(rounds);
    size_t n_rows = 0;
    void *memory;
    pdag_status status;

    for (size_t k = 0; k < n_rounds; k++) {
        size_t n = json_array_size(json_array_get(rounds, k));

        n_rows = n > n_rows ? n : n_rows;
    }
    if (n_rounds == 0 || n_rows == 0)
        return PDAG_OK;
    if (n_rounds > MOST_HISTORY / n_rows) {
        pdag_text_add(&r->notes, "sample %zu: no curves of %zu rounds of %zu "
                      "rows\n", s->index, n_rounds, n_rows);
        return PDAG_OK;
    }
    status = pdag_alloc_tensor(n_rounds * n_rows, sizeof(float), "run.json",
                               &memory);
    if (status != PDAG_OK)
        return status;
    s->history = memory;
    s->n_rounds = n_rounds;
    s->n_rows = n_rows;
    for (size_t k = 0; k < n_rounds; k++)
        for (size_t i = 0; i < n_rows; i++) {
            const json_t *value =
                json_array_get(json_array_get(rounds, k), i);

            s->history[k * n_rows + i] =
                json_is_number(value) ? (float)json_number_value(value) : NAN;
        }
    return PDAG_OK;
}

static pdag_status read_sample(pdag_report *r, const json_t *entry, size_t place,
                               pdag_report_sample *s)
{
    double index = pdag_report_number(entry, "index");

    if (!json_is_object(entry))
        return pdag_error(PDAG_ERR_FORMAT, "%s: samples[%zu] is not an object",
                          r->run.path, place);
    s->index = index >= 0.0 && index < 1e15 ? (size_t)index : place;
    s->prompt = pdag_report_text(entry, "prompt");
    if (s->prompt[0] == '\0')
        s->prompt = pdag_report_text(entry, "class_name");
    s->stop = pdag_report_text(entry, "stop");
    s->image = pdag_report_text(entry, "image");
    s->state = pdag_report_text(entry, "state");
    s->seed = json_object_get(entry, "seed");
    s->rounds = pdag_report_number(entry, "rounds");
    s->evaluations = pdag_report_number(entry, "evaluations");
    s->seconds = pdag_report_number(entry, "seconds.sample");
    return read_history(r, json_object_get(entry, "residual_history"), s);
}

static pdag_status read_samples(pdag_report *r)
{
    const json_t *samples = json_object_get(r->run.root, "samples");
    pdag_status status = PDAG_OK;

    if (!json_is_array(samples) ||
        !json_is_object(json_object_get(r->run.root, "job")))
        return pdag_error(PDAG_ERR_FORMAT, "%s: not a run's report: it has no %s",
                          r->run.path, json_is_array(samples)
                                           ? "object 'job'" : "array 'samples'");
    r->n_samples = json_array_size(samples);
    r->sample = pdag_xcalloc(r->n_samples, sizeof *r->sample);
    for (size_t i = 0; status == PDAG_OK && i < r->n_samples; i++)
        status = read_sample(r, json_array_get(samples, i), i, &r->sample[i]);
    return status;
}

static void find_rows(pdag_report *r)
{
    double rows = pdag_report_number(r->run.root, "graph.rows");

    if (rows >= 1.0 && rows <= 1e9)
        r->n_rows = (size_t)rows;
    for (size_t i = 0; i < r->n_samples; i++)
        if (r->sample[i].n_rows > r->n_rows)
            r->n_rows = r->sample[i].n_rows;
}

pdag_status pdag_report_read(const char *folder, pdag_report *report_out)
{
    char *path = pdag_xasprintf("%s/run.json", folder);
    char *compared = pdag_xasprintf("%s/compare.html", folder);
    char *rollout = pdag_xasprintf("%s/rollout.json", folder);
    pdag_report r;
    pdag_status status;

    memset(&r, 0, sizeof r);
    r.folder = folder;
    if (access(path, F_OK) != 0 && access(compared, F_OK) == 0)
        status = pdag_error(PDAG_ERR_INPUT, "%s: not the folder of a run; the "
                            "report of a comparison is its compare.html", folder);
    else if (access(path, F_OK) != 0 && access(rollout, F_OK) == 0)
        status = pdag_error(PDAG_ERR_INPUT, "%s: not the folder of a run; a "
                            "rollout has rollout.json and its pictures", folder);
    else
        status = pdag_json_read(path, &r.run);
    if (status == PDAG_OK)
        status = read_samples(&r);
    free(rollout);
    free(compared);
    free(path);
    if (status != PDAG_OK) {
        pdag_report_clear(&r);
        return status;
    }
    find_rows(&r);
    *report_out = r;
    return PDAG_OK;
}

void pdag_report_clear(pdag_report *report)
{
    for (size_t i = 0; i < report->n_samples; i++)
        free(report->sample[i].history);
    free(report->sample);
    if (report->has_timeline)
        pdag_timeline_clear(&report->timeline);
    pdag_json_clear(&report->run);
    pdag_text_clear(&report->notes);
}

bool pdag_report_window(const pdag_report_sample *s, size_t k, size_t *begin_out,
                        size_t *end_out)
{
    const float *row = s->history + k * s->n_rows;
    bool any = false;

    for (size_t i = 0; i < s->n_rows; i++)
        if (!isnan(row[i])) {
            if (!any)
                *begin_out = i;
            *end_out = i + 1;
            any = true;
        }
    return any;
}

double pdag_report_residual(const pdag_report_sample *s, size_t k)
{
    double largest = NAN;

    for (size_t i = 0; i < s->n_rows; i++)
        largest = fmax(largest, (double)s->history[k * s->n_rows + i]);
    return largest;
}
