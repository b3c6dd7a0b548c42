#include "cli/performance.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/costs.h"
#include "cli/forecast.h"
#include "cli/replay.h"

struct pdag_performance {
    const pdag_setup *setup;
    bool dedicated;
    pdag_costs before; /* what was known when the run began */
    pdag_record record;
};

pdag_performance *pdag_performance_open(const pdag_setup *setup, bool dedicated)
{
    pdag_performance *p = pdag_xcalloc(1, sizeof *p);

    p->setup = setup;
    p->dedicated = dedicated;
    p->before = pdag_costs_read(setup);
    return p;
}

void pdag_performance_event(pdag_performance *p, const pdag_event *event)
{
    pdag_record_event(&p->record, event, event->peer == 1 && !p->dedicated);
}

/* Keeping. */

/* What the workers `of` took, which have one device. */
static void keep_worker(const pdag_performance *p, const char *device,
                        const bool *of, pdag_costs *costs)
{
    const pdag_record *record = &p->record;
    char *key = pdag_costs_worker_key(p->setup, record->n_workers, device);
    json_t *entry = pdag_costs_entry(costs, "workers", key);
    json_t *tasks = pdag_costs_member(entry, "task");
    json_t *firsts = pdag_costs_member(entry, "first");

    free(key);
    json_object_set_new(entry, "workers", json_integer(record->n_workers));
    json_object_set_new(entry, "device", json_string(device));
    json_object_set_new(entry, "backend",
                        json_string(p->setup->job->model.backend));
    for (size_t n = 1; n <= pdag_record_most_rows(record); n++) {
        double seconds = pdag_record_task(record, of, n, false);
        char name[32];

        snprintf(name, sizeof name, "%zu", n);
        if (seconds > 0.0) {
            pdag_costs_add(tasks, name, seconds);
            pdag_costs_add(firsts, name, pdag_record_first(record, of, n));
        }
    }
    pdag_costs_add(entry, "encode", pdag_record_encode(record, of));
    pdag_costs_add(entry, "decode", pdag_record_decode(record, of));
}

/* Workers by device; each device once. */
static void keep_workers(const pdag_performance *p,
                         const pdag_run_result *result, pdag_costs *costs)
{
    size_t n = (size_t)p->record.n_workers;
    bool *of = pdag_xcalloc(n + 1, sizeof *of);
    bool *done = pdag_xcalloc(n + 1, sizeof *done);

    for (size_t w = 0; w < n && w < result->n_workers; w++) {
        const char *device = result->worker[w].device;

        if (done[w] || !result->worker[w].ready)
            continue;
        for (size_t v = 0; v < n && v < result->n_workers; v++) {
            of[v] = strcmp(result->worker[v].device, device) == 0;
            done[v] = done[v] || of[v];
        }
        keep_worker(p, device, of, costs);
    }
    free(of);
    free(done);
}

static void keep_link(const pdag_record_link *link, const char *name,
                      pdag_costs *costs)
{
    char bytes[32];

    if (link->n == 0)
        return;
    snprintf(bytes, sizeof bytes, "%zu", link->bytes);
    pdag_costs_add(
        pdag_costs_member(pdag_costs_entry(costs, "links", name), "seconds"),
        bytes, pdag_record_latency(link));
}

static void keep_scheduler(const pdag_performance *p, pdag_costs *costs)
{
    const pdag_record *record = &p->record;
    char *key = pdag_costs_update_key(p->setup);
    json_t *entry = pdag_costs_entry(costs, "updates", key);
    char ranks[32];
    double late = 0.0;

    free(key);
    if (record->update_rows > 0)
        pdag_costs_add(entry, "row",
                       record->update_seconds / (double)record->update_rows);
    for (int w = 0; w < record->n_workers; w++)
        late += pdag_record_ready_after(record, w) / record->n_workers;
    snprintf(ranks, sizeof ranks, "%d", record->n_workers);
    entry = pdag_costs_entry(costs, "ready", ranks);
    pdag_costs_append(entry, "late", json_real(late));
}

/* Whether this sample's rounds are those of its job from the start. */
static bool is_whole(const pdag_shape *shape, const pdag_record_sample *sample)
{
    return sample->n_rounds > 0 && sample->round[0].begin == shape->first_row &&
           sample->round[sample->n_rounds - 1].end == shape->n_rows;
}

static void keep_rounds(const pdag_performance *p, const pdag_shape *shape,
                        pdag_costs *costs)
{
    char *key = pdag_costs_rounds_key(p->setup);
    json_t *entry = pdag_costs_entry(costs, "rounds", key);

    free(key);
    json_object_set_new(entry, "steps", json_integer((json_int_t)shape->n_rows));
    json_object_set_new(entry, "window", json_integer((json_int_t)shape->window));
    json_object_set_new(entry, "method", json_string(shape->method));
    json_object_set_new(entry, "sampler", json_string(shape->sampler));
    for (size_t j = 0; j < p->record.n_samples; j++) {
        const pdag_record_sample *sample = &p->record.sample[j];
        json_t *begin;

        if (!is_whole(shape, sample))
            continue;
        begin = json_array();
        for (size_t k = 0; k < sample->n_rounds; k++)
            json_array_append_new(
                begin, json_integer((json_int_t)sample->round[k].begin));
        pdag_costs_append(entry, "begin", begin);
    }
}

/* Read again: another run may have ended in the meantime. */
static char *keep(const pdag_performance *p, const pdag_run_result *result)
{
    pdag_costs costs = pdag_costs_read(p->setup);
    pdag_shape shape;
    char *note;

    pdag_costs_count(&costs);
    keep_workers(p, result, &costs);
    keep_link(&p->record.local, "local", &costs);
    keep_link(&p->record.remote, "remote", &costs);
    keep_scheduler(p, &costs);
    if (result->stop == PDAG_STOPPED_CONVERGED &&
        pdag_shape_make(p->setup, &shape) == PDAG_OK)
        keep_rounds(p, &shape, &costs);
    pdag_costs_write(&costs);
    note = costs.note;
    costs.note = NULL;
    pdag_costs_clear(&costs);
    return note;
}

/* Predicting. */

/* From what was known before; false where that was not enough. */
static bool predict(const pdag_performance *p, int n_workers,
                    pdag_accuracy *accuracy)
{
    pdag_speeds speeds = pdag_speeds_make(p->setup, &p->before, 0.0, n_workers);
    pdag_sim_result result;
    pdag_shape shape;
    pdag_paths paths;
    bool known = speeds.source == PDAG_SOURCE_STORED &&
                 pdag_shape_make(p->setup, &shape) == PDAG_OK &&
                 pdag_paths_make(p->setup, &shape, &p->before, 0, &paths) ==
                     PDAG_OK;

    if (known) {
        known = (paths.source == PDAG_SOURCE_STORED ||
                 paths.source == PDAG_SOURCE_EXACT) &&
                pdag_forecast(p->setup, &shape, &paths, &speeds, n_workers,
                              p->dedicated, &result) == PDAG_OK;
        if (known) {
            accuracy->seconds = result.seconds_sample;
            accuracy->rounds = paths.rounds;
            pdag_sim_result_clear(&result);
        }
        pdag_paths_clear(&paths);
    }
    pdag_speeds_clear(&speeds);
    return known;
}

static double error_percent(double predicted, double measured)
{
    return 100.0 * (predicted - measured) / measured;
}

static void compare(const pdag_performance *p, const pdag_run_result *result,
                    pdag_accuracy *accuracy)
{
    pdag_sim_result replayed;

    accuracy->measured = result->seconds_sample;
    if (p->record.disturbed || !(accuracy->measured > 0.0))
        return;
    if (pdag_replay(p->setup, &p->record, p->dedicated, &replayed) == PDAG_OK) {
        accuracy->there = true;
        accuracy->replay_seconds = replayed.seconds_sample;
        accuracy->seconds = replayed.seconds_sample;
        accuracy->replay_error_percent =
            error_percent(accuracy->seconds, accuracy->measured);
        if (p->record.n_samples > 0)
            accuracy->rounds = p->record.sample[0].n_rounds;
        pdag_sim_result_clear(&replayed);
    }
    if (predict(p, p->record.n_workers, accuracy)) {
        accuracy->there = true;
        accuracy->stored = true;
    }
    if (accuracy->there)
        accuracy->error_percent =
            error_percent(accuracy->seconds, accuracy->measured);
}

void pdag_performance_close(pdag_performance *p, const pdag_run_result *result,
                            pdag_accuracy *accuracy_out)
{
    memset(accuracy_out, 0, sizeof *accuracy_out);
    if (result != NULL && p->record.n_workers > 0 && !p->record.disturbed &&
        result->stop != PDAG_STOPPED_FAILED &&
        result->stop != PDAG_STOPPED_STOPPED) {
        compare(p, result, accuracy_out);
        accuracy_out->note = keep(p, result);
    }
    pdag_record_clear(&p->record);
    pdag_costs_clear(&p->before);
    free(p);
}

void pdag_accuracy_clear(pdag_accuracy *accuracy)
{
    free(accuracy->note);
    memset(accuracy, 0, sizeof *accuracy);
}

json_t *pdag_accuracy_json(const pdag_accuracy *accuracy)
{
    if (!accuracy->there)
        return json_null();
    return json_pack("{s:f, s:f, s:f, s:s, s:I, s:f, s:f}", "seconds",
                     accuracy->seconds, "measured", accuracy->measured,
                     "error_percent", accuracy->error_percent, "source",
                     accuracy->stored ? "stored" : "measured", "rounds",
                     (json_int_t)accuracy->rounds, "replay_seconds",
                     accuracy->replay_seconds, "replay_error_percent",
                     accuracy->replay_error_percent);
}
