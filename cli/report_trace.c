#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/report.h"

/* cli/report_trace.c: the tasks of trace.json. */

/* What a number in an event may be: the rest is not ours. */
static bool whole_in(const json_t *event, const char *key, double most,
                     double *value_out)
{
    double value = pdag_report_number(event, key);

    if (!(value >= 0.0 && value <= most))
        return false;
    *value_out = value;
    return true;
}

#define MOST_LANES 4096

/* The lane of a rank, new if need be; MOST_LANES where there are too many. */
static size_t lane_of(pdag_timeline *t, int rank)
{
    for (size_t l = 0; l < t->n_lanes; l++)
        if (t->lane[l].rank == rank)
            return l;
    if (t->n_lanes == MOST_LANES)
        return MOST_LANES;
    t->lane = pdag_xrealloc(t->lane, t->n_lanes + 1, sizeof *t->lane);
    t->lane[t->n_lanes] = (pdag_report_lane){rank, "", 0.0};
    return t->n_lanes++;
}

static unsigned argument(const json_t *event, const char *path)
{
    double value;

    return whole_in(event, path, 4294967295.0, &value) ? (unsigned)value : 0;
}

static pdag_report_task take_event(const json_t *event, double begin, double end)
{
    return (pdag_report_task){
        .begin = begin, .end = end, .sample = argument(event, "args.sample"),
        .round = argument(event, "args.round"),
        .block = argument(event, "args.block"),
        .network = strcmp(pdag_report_text(event, "cat"), "network") == 0};
}

static bool take_task(pdag_timeline *t, const json_t *event)
{
    double begin;
    double seconds;
    double rank;
    pdag_report_task *task = &t->task[t->n_tasks];

    if (!whole_in(event, "ts", 1e18, &begin) ||
        !whole_in(event, "dur", 1e18, &seconds) ||
        !whole_in(event, "pid", 1e6, &rank))
        return false;
    *task = take_event(event, begin, begin + seconds);
    task->lane = lane_of(t, (int)rank);
    if (task->lane == MOST_LANES)
        return false;
    t->lane[task->lane].busy += seconds;
    t->end = fmax(t->end, task->end);
    t->n_tasks++;
    return true;
}

/* A span of the scheduler: its begin, then its end. */
static void take_update(pdag_timeline *t, const json_t *begin, const json_t *end)
{
    double from;
    double to;

    if (strcmp(pdag_report_text(end, "ph"), "E") != 0 ||
        !whole_in(begin, "ts", 1e18, &from) || !whole_in(end, "ts", 1e18, &to))
        return;
    t->update[t->n_updates++] = take_event(begin, from, to);
}

/* Names of the lanes, where they have tasks. */
static void take_name(pdag_timeline *t, const json_t *event)
{
    double rank;
    size_t lane;

    if (strcmp(pdag_report_text(event, "name"), "process_name") != 0 ||
        !whole_in(event, "pid", 1e6, &rank))
        return;
    lane = lane_of(t, (int)rank);
    if (lane < MOST_LANES)
        t->lane[lane].name = pdag_report_text(event, "args.name");
}

static bool take_events(pdag_timeline *t, const json_t *events)
{
    const json_t *event;
    size_t i;

    json_array_foreach(events, i, event) {
        const char *phase = pdag_report_text(event, "ph");

        if (strcmp(phase, "X") == 0) {
            if (!take_task(t, event))
                return false;
        } else if (strcmp(phase, "M") == 0) {
            take_name(t, event);
        } else if (strcmp(phase, "B") == 0 &&
                   strcmp(pdag_report_text(event, "cat"), "send") != 0) {
            take_update(t, event, json_array_get(events, i + 1));
        }
    }
    return true;
}

static int by_rank(const void *a, const void *b)
{
    const pdag_report_lane *p = a;
    const pdag_report_lane *q = b;

    return (p->rank > q->rank) - (p->rank < q->rank);
}

static void sort_lanes(pdag_timeline *t)
{
    size_t *place = pdag_xcalloc(t->n_lanes, sizeof *place);
    int *rank = pdag_xcalloc(t->n_lanes, sizeof *rank);

    for (size_t l = 0; l < t->n_lanes; l++)
        rank[l] = t->lane[l].rank;
    if (t->n_lanes > 1)
        qsort(t->lane, t->n_lanes, sizeof *t->lane, by_rank);
    for (size_t l = 0; l < t->n_lanes; l++)
        for (size_t m = 0; m < t->n_lanes; m++)
            if (t->lane[m].rank == rank[l])
                place[l] = m;
    for (size_t i = 0; i < t->n_tasks; i++)
        t->task[i].lane = place[t->task[i].lane];
    free(rank);
    free(place);
}

static pdag_status read_timeline(const char *path, pdag_timeline *t)
{
    const json_t *events;
    size_t n;

    if (pdag_json_read(path, &t->json) != PDAG_OK)
        return PDAG_ERR_FORMAT;
    events = json_object_get(t->json.root, "traceEvents");
    n = json_array_size(events);
    t->task = pdag_xcalloc(n, sizeof *t->task);
    t->update = pdag_xcalloc(n, sizeof *t->update);
    if (!json_is_array(events))
        return pdag_error(PDAG_ERR_FORMAT, "%s: it has no array 'traceEvents'",
                          path);
    if (!take_events(t, events))
        return pdag_error(PDAG_ERR_FORMAT, "%s: a complete event without 'ts', "
                          "'dur' or 'pid', or more than %d ranks", path,
                          MOST_LANES);
    sort_lanes(t);
    return PDAG_OK;
}

pdag_status pdag_timeline_read(const char *folder, pdag_timeline *timeline_out,
                               bool *there_out)
{
    char *path = pdag_xasprintf("%s/trace.json", folder);
    pdag_timeline t;
    pdag_status status = PDAG_OK;

    memset(&t, 0, sizeof t);
    *there_out = access(path, F_OK) == 0;
    if (*there_out)
        status = read_timeline(path, &t);
    free(path);
    if (status != PDAG_OK) {
        pdag_timeline_clear(&t);
        return status;
    }
    *timeline_out = t;
    return PDAG_OK;
}

void pdag_timeline_clear(pdag_timeline *timeline)
{
    free(timeline->update);
    free(timeline->task);
    free(timeline->lane);
    pdag_json_clear(&timeline->json);
}
