#include "cli/replay.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* A link's way is asked of so many tasks at most. */
#define MOST_WAYS 2000

/* Taking down. */

static pdag_record_worker *worker_at(pdag_record *record, int peer)
{
    int had = record->n_workers;

    if (peer > had) {
        record->worker =
            pdag_xrealloc(record->worker, (size_t)peer, sizeof *record->worker);
        memset(record->worker + had, 0,
               (size_t)(peer - had) * sizeof *record->worker);
        record->n_workers = peer;
    }
    return &record->worker[peer - 1];
}

static void add_task(pdag_record_tasks *tasks, double seconds)
{
    if (tasks->n++ == 0)
        tasks->first = seconds;
    tasks->sum += seconds;
}

static pdag_record_tasks *tasks_of_rows(pdag_record_worker *worker, size_t n)
{
    size_t had = worker->n_tasks;

    if (n > had) {
        worker->task = pdag_xrealloc(worker->task, n, sizeof *worker->task);
        memset(worker->task + had, 0, (n - had) * sizeof *worker->task);
        worker->n_tasks = n;
    }
    return &worker->task[n - 1];
}

static void add_way(pdag_record_link *link, const pdag_event *e)
{
    double way = (e->time - e->sent - e->worker_seconds) / 2;

    if (e->n_rows < link->n_rows || way < 0.0)
        return;
    if (e->n_rows > link->n_rows)
        link->n = 0;
    link->n_rows = e->n_rows;
    link->bytes = (e->bytes_out + e->bytes_in) / 2;
    if (link->n == MOST_WAYS)
        return;
    if (link->n == link->room) {
        link->room = 2 * link->room + 32;
        link->seconds =
            pdag_xrealloc(link->seconds, link->room, sizeof *link->seconds);
    }
    link->seconds[link->n++] = way;
}

static void take_task(pdag_record *record, const pdag_event *e, bool local)
{
    pdag_record_worker *worker = worker_at(record, e->peer);

    if (!(record->first_sent > 0.0) || e->sent < record->first_sent)
        record->first_sent = e->sent;
    if (e->task == PDAG_MSG_ENCODE) {
        add_task(&worker->encode, e->worker_seconds);
    } else if (e->task == PDAG_MSG_DECODE) {
        add_task(&worker->decode, e->worker_seconds);
    } else if (e->n_rows > 0) {
        add_task(tasks_of_rows(worker, e->n_rows), e->worker_seconds);
        record->update_rows += e->n_rows;
        /* Answers come in order, so this one found the worker idle.  Before its
           first a worker sleeps deeper. */
        if (worker->answered > 0.0 && e->sent >= worker->answered)
            add_way(local ? &record->local : &record->remote, e);
    }
    worker->answered = e->time;
}

static void take_round(pdag_record *record, const pdag_event *e)
{
    pdag_record_sample *sample;
    size_t had = record->n_samples;

    if (e->sample >= had) {
        record->sample = pdag_xrealloc(record->sample, (size_t)e->sample + 1,
                                       sizeof *record->sample);
        record->n_samples = (size_t)e->sample + 1;
        memset(record->sample + had, 0,
               (record->n_samples - had) * sizeof *record->sample);
    }
    sample = &record->sample[e->sample];
    if (sample->n_rounds == sample->room) {
        sample->room = 2 * sample->room + 16;
        sample->round =
            pdag_xrealloc(sample->round, sample->room, sizeof *sample->round);
    }
    sample->round[sample->n_rounds].begin = e->begin;
    sample->round[sample->n_rounds++].end = e->end;
}

void pdag_record_event(pdag_record *record, const pdag_event *e, bool local)
{
    switch (e->kind) {
    case PDAG_EVENT_TASK:
        take_task(record, e, local);
        break;
    case PDAG_EVENT_UPDATE:
        record->update_seconds += e->time - e->began;
        break;
    case PDAG_EVENT_ROUND:
        take_round(record, e);
        break;
    case PDAG_EVENT_READY:
        worker_at(record, e->peer)->ready = e->time;
        break;
    case PDAG_EVENT_HUNG:
    case PDAG_EVENT_LOST:
        record->disturbed = true;
        break;
    default:
        break;
    }
}

void pdag_record_clear(pdag_record *record)
{
    for (int w = 0; w < record->n_workers; w++)
        free(record->worker[w].task);
    for (size_t j = 0; j < record->n_samples; j++)
        free(record->sample[j].round);
    free(record->worker);
    free(record->sample);
    free(record->local.seconds);
    free(record->remote.seconds);
    memset(record, 0, sizeof *record);
}

/* Figures. */

typedef struct mean {
    double sum;
    size_t n;
} mean;

static void mean_add(mean *m, const pdag_record_tasks *tasks, bool first)
{
    bool leave_out = !first && tasks->n >= 2;

    m->sum += tasks->sum - (leave_out ? tasks->first : 0.0);
    m->n += tasks->n - (leave_out ? 1 : 0);
}

static double mean_of(const mean *m)
{
    return m->n > 0 ? m->sum / (double)m->n : 0.0;
}

double pdag_record_task(const pdag_record *record, const bool *of, size_t n,
                        bool first)
{
    mean m = {0.0, 0};

    for (int w = 0; w < record->n_workers; w++)
        if ((of == NULL || of[w]) && n <= record->worker[w].n_tasks)
            mean_add(&m, &record->worker[w].task[n - 1], first);
    return mean_of(&m);
}

double pdag_record_first(const pdag_record *record, const bool *of, size_t n)
{
    mean m = {0.0, 0};

    for (int w = 0; w < record->n_workers; w++) {
        const pdag_record_worker *one = &record->worker[w];

        if ((of != NULL && !of[w]) || n > one->n_tasks || one->task[n - 1].n == 0)
            continue;
        m.sum += one->task[n - 1].first;
        m.n++;
    }
    return mean_of(&m);
}

double pdag_record_encode(const pdag_record *record, const bool *of)
{
    mean m = {0.0, 0};

    for (int w = 0; w < record->n_workers; w++)
        if (of == NULL || of[w])
            mean_add(&m, &record->worker[w].encode, true);
    return mean_of(&m);
}

double pdag_record_decode(const pdag_record *record, const bool *of)
{
    mean m = {0.0, 0};

    for (int w = 0; w < record->n_workers; w++)
        if (of == NULL || of[w])
            mean_add(&m, &record->worker[w].decode, true);
    return mean_of(&m);
}

size_t pdag_record_most_rows(const pdag_record *record)
{
    size_t most = 0;

    for (int w = 0; w < record->n_workers; w++)
        if (record->worker[w].n_tasks > most)
            most = record->worker[w].n_tasks;
    return most;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

double pdag_record_latency(const pdag_record_link *link)
{
    double *sorted;
    double middle;

    if (link->n == 0)
        return 0.0;
    sorted = pdag_xcalloc(link->n, sizeof *sorted);
    memcpy(sorted, link->seconds, link->n * sizeof *sorted);
    qsort(sorted, link->n, sizeof *sorted, ascending);
    middle = sorted[link->n / 2];
    free(sorted);
    return middle;
}

double pdag_record_ready_after(const pdag_record *record, int w)
{
    double after = record->worker[w].ready - record->first_sent;

    return record->first_sent > 0.0 && after > 0.0 ? after : 0.0;
}

/* The replay. */

/* Of the sizes a worker did not have, the others' mean; of those nobody had, in
   proportion. */
static void fill_worker(const pdag_record *record, int w, double *seconds,
                        double *first, pdag_sim_worker *out)
{
    size_t n = pdag_record_most_rows(record);
    bool *only = pdag_xcalloc((size_t)record->n_workers, sizeof *only);
    double rows = 0.0;
    double sum = 0.0;

    only[w] = true;
    for (size_t r = 1; r <= n; r++) {
        double own = pdag_record_task(record, only, r, false);

        seconds[r - 1] = own > 0.0 ? own
                                   : pdag_record_task(record, NULL, r, false);
        first[r - 1] = pdag_record_first(record, own > 0.0 ? only : NULL, r);
        if (seconds[r - 1] > 0.0) {
            sum += seconds[r - 1];
            rows += (double)r;
        }
    }
    free(only);
    memset(out, 0, sizeof *out);
    out->n_seconds = n;
    out->seconds = seconds;
    out->first = first;
    out->per_row = rows > 0.0 ? sum / rows : 0.0;
    out->kind = w; /* each is measured by itself */
    out->ready_after = pdag_record_ready_after(record, w);
}

static pdag_paths paths_of(const pdag_setup *setup, const pdag_record *record)
{
    pdag_paths paths;

    memset(&paths, 0, sizeof paths);
    paths.n = record->n_samples;
    paths.path = pdag_xcalloc(paths.n, sizeof *paths.path);
    for (size_t j = 0; j < paths.n; j++) {
        const pdag_record_sample *sample = &record->sample[j];

        paths.path[j].n_rounds = sample->n_rounds;
        paths.path[j].round = sample->round;
        paths.path[j].final =
            sample->n_rounds > 0 ? sample->round[sample->n_rounds - 1].end
                                 : setup->transition->n_rows;
    }
    return paths;
}

pdag_status pdag_replay(const pdag_setup *setup, const pdag_record *record,
                        bool dedicated, pdag_sim_result *result_out)
{
    size_t n_workers = (size_t)record->n_workers;
    size_t n_sizes = pdag_record_most_rows(record);
    pdag_sim_worker *worker = pdag_xcalloc(n_workers + 1, sizeof *worker);
    double *seconds = pdag_xcalloc(2 * n_workers * n_sizes + 1, sizeof *seconds);
    pdag_paths paths = paths_of(setup, record);
    double update = record->update_rows > 0
                        ? record->update_seconds / (double)record->update_rows
                        : 0.0;
    pdag_speeds speeds = {.update = update};
    pdag_shape shape;
    pdag_sim_setup sim;
    pdag_status status = pdag_shape_make(setup, &shape);

    if (status == PDAG_OK && record->n_samples != shape.n_samples)
        status = pdag_error(PDAG_ERR_ARG, "%zu samples of %zu were recorded",
                            record->n_samples, shape.n_samples);
    if (status == PDAG_OK) {
        pdag_forecast_setup(setup, &shape, &paths, &speeds, record->n_workers,
                            dedicated, worker, &sim);
        for (int w = 0; w < record->n_workers; w++) {
            bool local = w == 0 && !dedicated;

            fill_worker(record, w, seconds + (size_t)w * n_sizes,
                        seconds + (n_workers + (size_t)w) * n_sizes, &worker[w]);
            worker[w].encode = pdag_record_encode(record, NULL);
            worker[w].decode = pdag_record_decode(record, NULL);
            worker[w].latency = pdag_record_latency(local ? &record->local
                                                          : &record->remote);
        }
        status = pdag_simulate(&sim, result_out);
    }
    free(paths.path); /* the rounds are the record's */
    free(seconds);
    free(worker);
    return status;
}
