#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/files.h"
#include "cli/text.h"
#include "cli/trace_internal.h"

/* cli/trace_write.c: trace.json.  Times inside are whole nanoseconds from the run's
   start, so that rounding makes no two spans of a lane overlap. */

#ifndef PDAG_VERSION
#define PDAG_VERSION "unknown"
#endif

enum { LANE_SCHEDULER, LANE_DEVICE, LANE_SENDS };

#define SEND_NS 200    /* how long the moment of sending is drawn */
#define BUFFER 65536   /* bytes gathered before they are written */
#define NO_UPDATE UINT32_MAX

typedef struct writer {
    const pdag_trace *trace;
    size_t n_workers;
    const pdag_worker_info *worker;
    pdag_file *file;
    pdag_text buffer;
    bool any; /* event was written */
    pdag_status status;
    int64_t *send_ns;   /* [tasks]: when the span of its sending begins */
    uint32_t *taken_by; /* [tasks]: its update, or NO_UPDATE */
    int64_t *update_ns; /* [updates]: the middle of its span */
} writer;

static int64_t ns_of(const writer *w, double seconds)
{
    double ns = (seconds - w->trace->began) * 1e9;

    return isfinite(ns) && ns > 0.0 ? (int64_t)llround(fmin(ns, 9e18)) : 0;
}

static int rank_of(const writer *w, uint32_t peer)
{
    return (int)peer - 1 + w->trace->first_rank;
}

static void flush(writer *w)
{
    if (w->status == PDAG_OK && w->buffer.used > 0)
        w->status = pdag_file_add(w->file, w->buffer.at, w->buffer.used);
    w->buffer.used = 0;
}

/* Fields that every event has; the caller adds its own and closes the object. */
static void open_event(writer *w, const char *phase, int rank, int lane,
                       int64_t ns)
{
    if (w->buffer.used > BUFFER)
        flush(w);
    pdag_text_add(&w->buffer,
                  "%s{\"ph\":\"%s\",\"pid\":%d,\"tid\":%d,\"ts\":%" PRId64
                  ".%03d", w->any ? ",\n" : "", phase, rank, lane, ns / 1000,
                  (int)(ns % 1000));
    w->any = true;
}

/* A text of outside as a JSON string; bytes that are no UTF-8 as question marks. */
static void add_string(pdag_text *text, const char *words)
{
    char *copy = pdag_xstrdup(words);
    json_t *string = json_string(copy);
    char *quoted;

    if (string == NULL) {
        for (char *c = copy; *c != '\0'; c++)
            if ((unsigned char)*c >= 128)
                *c = '?';
        string = json_string(copy);
    }
    quoted = json_dumps(string, JSON_ENCODE_ANY);
    pdag_text_add(text, "%s", quoted != NULL ? quoted : "\"\"");
    free(quoted);
    json_decref(string);
    free(copy);
}

/* Names of processes and threads. */

static void name_lane(writer *w, const char *what, int rank, int lane,
                      const char *name)
{
    open_event(w, "M", rank, lane, 0);
    pdag_text_add(&w->buffer, ",\"name\":\"%s\",\"args\":{\"name\":", what);
    add_string(&w->buffer, name);
    pdag_text_add(&w->buffer, "}}");
}

static void sort_lane(writer *w, const char *what, int rank, int lane, int place)
{
    open_event(w, "M", rank, lane, 0);
    pdag_text_add(&w->buffer, ",\"name\":\"%s\",\"args\":{\"sort_index\":%d}}",
                  what, place);
}

static void name_process(writer *w, int rank, const char *host)
{
    char *name = host[0] != '\0' ? pdag_xasprintf("rank %d on %s", rank, host)
                                 : pdag_xasprintf("rank %d", rank);

    name_lane(w, "process_name", rank, 0, name);
    sort_lane(w, "process_sort_index", rank, 0, rank);
    free(name);
}

static void name_all(writer *w)
{
    const pdag_trace *trace = w->trace;
    size_t n = w->n_workers > trace->n_peers ? w->n_workers : trace->n_peers;

    if (trace->first_rank > 0 || n == 0)
        name_process(w, 0, "");
    name_lane(w, "thread_name", 0, LANE_SCHEDULER, "scheduler");
    name_lane(w, "thread_name", 0, LANE_SENDS, "sends");
    sort_lane(w, "thread_sort_index", 0, LANE_SENDS, 1);
    for (uint32_t peer = 1; peer <= n; peer++) {
        int rank = rank_of(w, peer);
        bool known = peer <= w->n_workers;
        const char *device = known ? w->worker[peer - 1].device : "";

        name_process(w, rank, known ? w->worker[peer - 1].host : "");
        name_lane(w, "thread_name", rank, LANE_DEVICE,
                  device[0] != '\0' ? device : "device");
        sort_lane(w, "thread_sort_index", rank, LANE_DEVICE, 2);
    }
}

/* What each task was sent by and taken by. */

typedef struct place {
    double time;
    uint32_t sample, round, block;
    uint32_t index;
} place;

static int by_time(const void *a, const void *b)
{
    const place *p = a;
    const place *q = b;

    if (p->time != q->time)
        return p->time < q->time ? -1 : 1;
    return (p->index > q->index) - (p->index < q->index);
}

static int by_node(const void *a, const void *b)
{
    const place *p = a;
    const place *q = b;

    if (p->sample != q->sample)
        return p->sample < q->sample ? -1 : 1;
    if (p->round != q->round)
        return p->round < q->round ? -1 : 1;
    return (p->block > q->block) - (p->block < q->block);
}

static void place_sends(writer *w, place *places)
{
    const pdag_trace_list *tasks = &w->trace->task;
    int64_t end = 0;

    for (size_t i = 0; i < tasks->n; i++) {
        const pdag_trace_task *task = pdag_trace_record(tasks, i);

        places[i] = (place){.time = task->sent, .index = (uint32_t)i};
    }
    qsort(places, tasks->n, sizeof *places, by_time);
    for (size_t i = 0; i < tasks->n; i++) {
        int64_t ns = ns_of(w, places[i].time);

        ns = ns > end ? ns : end;
        w->send_ns[places[i].index] = ns;
        end = ns + SEND_NS;
    }
}

static void place_updates(writer *w, place *places)
{
    const pdag_trace_list *updates = &w->trace->update;
    const pdag_trace_list *tasks = &w->trace->task;

    for (size_t i = 0; i < updates->n; i++) {
        const pdag_trace_update *u = pdag_trace_record(updates, i);

        places[i] = (place){u->time, u->sample, u->round, u->block, (uint32_t)i};
    }
    qsort(places, updates->n, sizeof *places, by_node);
    for (size_t i = 0; i < tasks->n; i++) {
        const pdag_trace_task *task = pdag_trace_record(tasks, i);
        place key = {0.0, task->sample, task->round, task->block, 0};
        const place *found = NULL;

        if (task->kind == PDAG_MSG_TASK && updates->n > 0)
            found = bsearch(&key, places, updates->n, sizeof *places, by_node);
        w->taken_by[i] = found != NULL ? found->index : NO_UPDATE;
    }
}

static pdag_status place_all(writer *w)
{
    size_t n_tasks = w->trace->task.n;
    size_t n_updates = w->trace->update.n;
    size_t most = n_tasks > n_updates ? n_tasks : n_updates;
    void *places = NULL;
    void *memory = NULL;
    pdag_status status = pdag_alloc_tensor(most + 1, sizeof(place), "trace.json",
                                           &places);

    if (status == PDAG_OK)
        status = pdag_alloc_tensor(n_tasks + n_updates + 1, sizeof(int64_t),
                                   "trace.json", &memory);
    if (status == PDAG_OK) {
        w->send_ns = memory;
        w->update_ns = w->send_ns + n_tasks;
        status = pdag_alloc_tensor(n_tasks + 1, sizeof(uint32_t), "trace.json",
                                   &memory);
    }
    if (status == PDAG_OK) {
        w->taken_by = memory;
        place_sends(w, places);
        place_updates(w, places);
    }
    free(places);
    return status;
}

/* The scheduler's lane.  Spans follow each other there, being one thread's; what a
   clock's grain makes overlap is cut. */

/* The end of the span in *ns, not before its begin, which is moved to the lane's
   end. */
static int64_t cut_span(int64_t *ns, int64_t end, int64_t *lane_end)
{
    if (*ns < *lane_end)
        *ns = *lane_end;
    *lane_end = end > *ns ? end : *ns;
    return *lane_end;
}

static void close_span(writer *w, int lane, int64_t end)
{
    open_event(w, "E", 0, lane, end);
    pdag_text_add(&w->buffer, "}");
}

static void add_update(writer *w, size_t index, int64_t *lane_end)
{
    const pdag_trace_update *u = pdag_trace_record(&w->trace->update, index);
    int64_t ns = ns_of(w, u->began);
    int64_t end = cut_span(&ns, ns_of(w, u->time), lane_end);

    w->update_ns[index] = ns + (end - ns) / 2;
    open_event(w, "B", 0, LANE_SCHEDULER, ns);
    pdag_text_add(&w->buffer,
                  ",\"name\":\"U(%" PRIu32 ",%" PRIu32 ")\",\"cat\":\"update\","
                  "\"args\":{\"sample\":%" PRIu32 ",\"round\":%" PRIu32
                  ",\"block\":%" PRIu32 ",\"first_row\":%" PRIu32
                  ",\"rows\":%" PRIu32 "}}", u->round, u->block, u->sample,
                  u->round, u->block, u->first_row, u->n_rows);
    close_span(w, LANE_SCHEDULER, end);
}

static void add_saved(writer *w, const pdag_trace_mark *mark, int64_t *lane_end)
{
    int64_t ns = ns_of(w, mark->began);
    int64_t end = cut_span(&ns, ns_of(w, mark->time), lane_end);

    open_event(w, "B", 0, LANE_SCHEDULER, ns);
    pdag_text_add(&w->buffer, ",\"name\":\"checkpoint\",\"cat\":\"checkpoint\"}");
    close_span(w, LANE_SCHEDULER, end);
}

/* Updates and checkpoints in the order of their beginning. */
static void add_scheduler(writer *w)
{
    const pdag_trace_list *updates = &w->trace->update;
    const pdag_trace_list *marks = &w->trace->mark;
    int64_t lane_end = 0;
    size_t u = 0;

    for (size_t m = 0; m < marks->n; m++) {
        const pdag_trace_mark *mark = pdag_trace_record(marks, m);

        if (mark->kind != PDAG_EVENT_SAVED)
            continue;
        for (; u < updates->n; u++) {
            const pdag_trace_update *next = pdag_trace_record(updates, u);

            if (next->began > mark->began)
                break;
            add_update(w, u, &lane_end);
        }
        add_saved(w, mark, &lane_end);
    }
    for (; u < updates->n; u++)
        add_update(w, u, &lane_end);
}

/* Tasks. */

static void add_task_name(pdag_text *text, uint32_t kind, uint32_t round,
                          uint32_t block)
{
    if (kind == PDAG_MSG_ENCODE || kind == PDAG_MSG_DECODE)
        pdag_text_add(text, "\"%s\"",
                      kind == PDAG_MSG_ENCODE ? "encode" : "decode");
    else
        pdag_text_add(text, "\"E(%" PRIu32 ",%" PRIu32 ")\"", round, block);
}

static const char *task_category(uint32_t kind)
{
    if (kind == PDAG_MSG_ENCODE)
        return "encode";
    return kind == PDAG_MSG_DECODE ? "decode" : "network";
}

static void add_arrow(writer *w, const char *phase, int rank, int lane, int64_t ns,
                      size_t id)
{
    open_event(w, phase, rank, lane, ns);
    pdag_text_add(&w->buffer, ",\"name\":\"task\",\"cat\":\"flow\",\"id\":%zu%s}",
                  id + 1, phase[0] == 'f' ? ",\"bp\":\"e\"" : "");
}

/* The task's span, [ns, end), on its lane: by the worker's clock, but not before it
   was sent nor after it was taken. */
static int64_t task_span(const writer *w, const pdag_trace_task *task,
                         double offset, int64_t *lane_end, int64_t *end_out)
{
    double latest = task->time - task->seconds;
    double began = fmax(fmin(task->began + offset, latest), task->sent);
    int64_t ns = ns_of(w, began);

    *end_out = cut_span(&ns, ns_of(w, began + task->seconds), lane_end);
    return ns;
}

static void add_task(writer *w, size_t index, double offset, int64_t *lane_end)
{
    const pdag_trace_task *task = pdag_trace_record(&w->trace->task, index);
    int rank = rank_of(w, task->peer);
    int64_t end;
    int64_t ns = task_span(w, task, offset, lane_end, &end);
    uint32_t update = w->taken_by[index];

    open_event(w, "X", rank, LANE_DEVICE, ns);
    pdag_text_add(&w->buffer, ",\"dur\":%" PRId64 ".%03d,\"name\":",
                  (end - ns) / 1000, (int)((end - ns) % 1000));
    add_task_name(&w->buffer, task->kind, task->round, task->block);
    pdag_text_add(&w->buffer,
                  ",\"cat\":\"%s\",\"args\":{\"sample\":%" PRIu32,
                  task_category(task->kind), task->sample);
    if (task->kind == PDAG_MSG_TASK)
        pdag_text_add(&w->buffer, ",\"round\":%" PRIu32 ",\"block\":%" PRIu32
                      ",\"first_row\":%" PRIu32 ",\"rows\":%" PRIu32, task->round,
                      task->block, task->first_row, task->n_rows);
    pdag_text_add(&w->buffer, ",\"attempt\":%" PRIu32 ",\"bytes_out\":%" PRIu32
                  ",\"bytes_in\":%" PRIu32 "}}", task->attempt, task->bytes_out,
                  task->bytes_in);
    add_arrow(w, "s", 0, LANE_SENDS, w->send_ns[index] + SEND_NS / 2, index);
    add_arrow(w, update != NO_UPDATE ? "t" : "f", rank, LANE_DEVICE,
              ns + (end - ns) / 2, index);
    if (update != NO_UPDATE)
        add_arrow(w, "f", 0, LANE_SCHEDULER, w->update_ns[update], index);
}

static void add_send(writer *w, size_t index)
{
    const pdag_trace_task *task = pdag_trace_record(&w->trace->task, index);
    int64_t ns = w->send_ns[index];

    open_event(w, "B", 0, LANE_SENDS, ns);
    pdag_text_add(&w->buffer, ",\"cat\":\"send\",\"name\":");
    add_task_name(&w->buffer, task->kind, task->round, task->block);
    pdag_text_add(&w->buffer, ",\"args\":{\"to\":%d,\"bytes\":%" PRIu32 "}}",
                  rank_of(w, task->peer), task->bytes_out);
    close_span(w, LANE_SENDS, ns + SEND_NS);
}

static void add_tasks(writer *w)
{
    const pdag_trace *trace = w->trace;
    double *offset = pdag_xcalloc(trace->n_peers + 1, sizeof *offset);
    int64_t *lane_end = pdag_xcalloc(trace->n_peers + 1, sizeof *lane_end);

    for (uint32_t peer = 1; peer <= trace->n_peers; peer++) {
        double uncertainty;

        pdag_trace_offset(trace, (int)peer, &offset[peer], &uncertainty);
    }
    for (size_t i = 0; i < trace->task.n; i++) {
        const pdag_trace_task *task = pdag_trace_record(&trace->task, i);

        add_send(w, i);
        add_task(w, i, offset[task->peer], &lane_end[task->peer]);
    }
    free(lane_end);
    free(offset);
}

/* Counters. */

/* "window", or "window 3" where there are more samples than one. */
static void open_counter(writer *w, const char *name, const uint32_t *sample,
                         double time)
{
    open_event(w, "C", 0, LANE_SCHEDULER, ns_of(w, time));
    pdag_text_add(&w->buffer, ",\"name\":\"%s", name);
    if (sample != NULL && w->trace->n_samples > 1)
        pdag_text_add(&w->buffer, " %" PRIu32, *sample);
    pdag_text_add(&w->buffer, "\",\"args\":{");
}

static void add_rounds(writer *w)
{
    for (size_t i = 0; i < w->trace->round.n; i++) {
        const pdag_trace_round *r = pdag_trace_record(&w->trace->round, i);

        open_counter(w, "window", &r->sample, r->time);
        pdag_text_add(&w->buffer, "\"begin\":%" PRIu32 ",\"end\":%" PRIu32 "}}",
                      r->begin, r->end);
        if (!isfinite(r->residual) || r->residual < 0.0)
            continue;
        open_counter(w, "residual", &r->sample, r->time);
        pdag_text_add(&w->buffer, "\"largest\":%.9g}}", r->residual);
        if (r->residual == 0.0)
            continue;
        open_counter(w, "residual, decades", &r->sample, r->time);
        pdag_text_add(&w->buffer, "\"log10\":%.6g}}", log10(r->residual));
    }
}

static void add_queue(writer *w)
{
    for (size_t i = 0; i < w->trace->queue.n; i++) {
        const pdag_trace_queue *q = pdag_trace_record(&w->trace->queue, i);

        open_counter(w, "ready queue", NULL, q->time);
        pdag_text_add(&w->buffer, "\"tasks\":%" PRIu32 "}}", q->n_ready);
        open_counter(w, "in flight", NULL, q->time);
        pdag_text_add(&w->buffer, "\"tasks\":%" PRIu32 "}}", q->n_flying);
    }
}

/* Instants. */

static void add_mark(writer *w, const pdag_trace_mark *mark)
{
    bool of_worker = mark->peer > 0;
    bool all = mark->kind == PDAG_EVENT_HUNG || mark->kind == PDAG_EVENT_LOST;

    open_event(w, "i", of_worker ? rank_of(w, mark->peer) : 0,
               of_worker ? LANE_DEVICE : LANE_SCHEDULER, ns_of(w, mark->time));
    pdag_text_add(&w->buffer, ",\"s\":\"%s\",\"cat\":\"run\",\"name\":",
                  all ? "g" : "p");
    switch ((pdag_event_kind)mark->kind) {
    case PDAG_EVENT_DROPPED:
        pdag_text_add(&w->buffer, "\"late result dropped\",\"args\":{\"task\":");
        add_task_name(&w->buffer, mark->task, mark->round, mark->block);
        pdag_text_add(&w->buffer, ",\"sample\":%" PRIu32 ",\"attempt\":%" PRIu32
                      "}}", mark->sample, mark->attempt);
        break;
    case PDAG_EVENT_SAMPLE:
        pdag_text_add(&w->buffer, "\"sample %" PRIu32 " ended\"}", mark->sample);
        break;
    case PDAG_EVENT_HUNG:
        pdag_text_add(&w->buffer, "\"rank %d hangs\"}", rank_of(w, mark->peer));
        break;
    case PDAG_EVENT_LOST:
        pdag_text_add(&w->buffer, "\"rank %d lost\"}", rank_of(w, mark->peer));
        break;
    default:
        pdag_text_add(&w->buffer, "\"ready\"}");
    }
}

static void add_marks(writer *w)
{
    for (size_t i = 0; i < w->trace->mark.n; i++) {
        const pdag_trace_mark *mark = pdag_trace_record(&w->trace->mark, i);

        if (mark->kind != PDAG_EVENT_SAVED)
            add_mark(w, mark);
    }
}

/* The file. */

static void add_facts(writer *w)
{
    const pdag_trace *trace = w->trace;

    pdag_text_add(&w->buffer,
                  "{\"displayTimeUnit\":\"ms\",\n\"otherData\":{\"program\":"
                  "\"picard-dag %s\",\"events_left_out\":%zu,\"clocks\":[",
                  PDAG_VERSION, trace->left_out);
    for (uint32_t peer = 1; peer <= trace->n_peers; peer++) {
        double offset;
        double uncertainty;

        pdag_trace_offset(trace, (int)peer, &offset, &uncertainty);
        if (isfinite(uncertainty))
            pdag_text_add(&w->buffer, "%s{\"rank\":%d,\"offset_seconds\":%.9f,"
                          "\"uncertainty_seconds\":%.9f}", w->any ? "," : "",
                          rank_of(w, peer), offset, uncertainty);
        w->any = w->any || isfinite(uncertainty);
    }
    w->any = false;
    pdag_text_add(&w->buffer, "]},\n\"traceEvents\":[\n");
}

pdag_status pdag_trace_write(const pdag_trace *trace, const char *folder,
                             size_t n_workers, const pdag_worker_info *worker)
{
    writer w = {.trace = trace, .worker = worker, .status = PDAG_OK,
                .n_workers = worker != NULL ? n_workers : 0};
    pdag_status status = place_all(&w);

    if (status == PDAG_OK)
        status = pdag_file_begin(folder, "trace.json", &w.file);
    if (status == PDAG_OK) {
        add_facts(&w);
        name_all(&w);
        add_scheduler(&w);
        add_tasks(&w);
        add_rounds(&w);
        add_queue(&w);
        add_marks(&w);
        pdag_text_add(&w.buffer, "\n]}\n");
        flush(&w);
        status = pdag_file_end(w.file, w.status);
    }
    pdag_text_clear(&w.buffer);
    free(w.taken_by);
    free(w.send_ns);
    return status;
}
