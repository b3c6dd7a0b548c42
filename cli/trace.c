#include "cli/trace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/trace_internal.h"

/* cli/trace.c: keeps what happens. */

#define PIECE 4096 /* records */

/* More ranks than any machine has; keeps a broken number from costing memory. */
#define MOST_PEERS 1000000

/* Lists. */

const void *pdag_trace_record(const pdag_trace_list *list, size_t i)
{
    return (const char *)list->piece[i / PIECE] + i % PIECE * list->record_bytes;
}

/* Room for one more record; NULL where there is none. */
static void *add(pdag_trace *trace, pdag_trace_list *list)
{
    if (list->n == list->n_pieces * PIECE) {
        size_t bytes = PIECE * list->record_bytes;
        void *piece;

        if (trace->bytes + bytes > PDAG_TRACE_MOST_BYTES ||
            (piece = malloc(bytes)) == NULL) {
            trace->left_out++;
            return NULL;
        }
        trace->bytes += bytes;
        list->piece = pdag_xrealloc(list->piece, list->n_pieces + 1,
                                    sizeof *list->piece);
        list->piece[list->n_pieces++] = piece;
    }
    list->n++;
    return (char *)list->piece[(list->n - 1) / PIECE] +
           (list->n - 1) % PIECE * list->record_bytes;
}

static void clear(pdag_trace_list *list)
{
    for (size_t p = 0; p < list->n_pieces; p++)
        free(list->piece[p]);
    free(list->piece);
}

pdag_trace *pdag_trace_create(int first_rank, double began)
{
    pdag_trace *trace = pdag_xcalloc(1, sizeof *trace);

    trace->first_rank = first_rank;
    trace->began = began;
    trace->task.record_bytes = sizeof(pdag_trace_task);
    trace->update.record_bytes = sizeof(pdag_trace_update);
    trace->round.record_bytes = sizeof(pdag_trace_round);
    trace->queue.record_bytes = sizeof(pdag_trace_queue);
    trace->mark.record_bytes = sizeof(pdag_trace_mark);
    return trace;
}

void pdag_trace_destroy(pdag_trace *trace)
{
    if (trace == NULL)
        return;
    clear(&trace->task);
    clear(&trace->update);
    clear(&trace->round);
    clear(&trace->queue);
    clear(&trace->mark);
    free(trace->clock);
    free(trace);
}

/* Events. */

static uint32_t clip(size_t number)
{
    return number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
}

/* The worker's number, known from here on; 0 of one that cannot be. */
static uint32_t see_peer(pdag_trace *trace, int peer)
{
    uint32_t number = (uint32_t)peer;

    if (peer < 1 || peer > MOST_PEERS)
        return 0;
    if (number > trace->n_peers) {
        trace->clock = pdag_xrealloc(trace->clock, number, sizeof *trace->clock);
        for (uint32_t p = trace->n_peers; p < number; p++) {
            trace->clock[p].low = -INFINITY;
            trace->clock[p].high = INFINITY;
        }
        trace->n_peers = number;
    }
    return number;
}

static void bound_clock(pdag_trace *trace, const pdag_event *e)
{
    pdag_trace_clock *clock = &trace->clock[e->peer - 1];

    clock->low = fmax(clock->low, e->sent - e->worker_began);
    clock->high = fmin(clock->high,
                       e->time - (e->worker_began + e->worker_seconds));
}

static void keep_task(pdag_trace *trace, const pdag_event *e)
{
    uint32_t peer = see_peer(trace, e->peer);
    pdag_trace_task *record;

    if (peer == 0 || !isfinite(e->worker_began) || !(e->worker_seconds >= 0.0) ||
        (record = add(trace, &trace->task)) == NULL)
        return;
    bound_clock(trace, e);
    *record = (pdag_trace_task){
        .time = e->time, .sent = e->sent, .began = e->worker_began,
        .seconds = e->worker_seconds, .sample = e->sample, .round = e->round,
        .block = e->block, .attempt = e->attempt, .first_row = e->first_row,
        .n_rows = e->n_rows, .bytes_out = clip(e->bytes_out),
        .bytes_in = clip(e->bytes_in), .peer = peer, .kind = (uint32_t)e->task};
}

static void keep_update(pdag_trace *trace, const pdag_event *e)
{
    pdag_trace_update *record = add(trace, &trace->update);

    if (record != NULL)
        *record = (pdag_trace_update){e->began, e->time, e->sample, e->round,
                                      e->block, e->first_row, e->n_rows};
}

static void keep_round(pdag_trace *trace, const pdag_event *e)
{
    pdag_trace_round *record = add(trace, &trace->round);

    if (record != NULL)
        *record = (pdag_trace_round){e->time, e->residual, e->sample, e->round,
                                     clip(e->begin), clip(e->end)};
}

static void keep_queue(pdag_trace *trace, const pdag_event *e)
{
    pdag_trace_queue *record = add(trace, &trace->queue);

    if (record != NULL)
        *record = (pdag_trace_queue){e->time, clip(e->n_ready),
                                     clip(e->n_flying)};
}

static void keep_mark(pdag_trace *trace, const pdag_event *e)
{
    uint32_t peer = see_peer(trace, e->peer);
    pdag_trace_mark *record = add(trace, &trace->mark);

    if (record != NULL)
        *record = (pdag_trace_mark){
            .began = e->began, .time = e->time, .kind = (uint32_t)e->kind,
            .task = (uint32_t)e->task, .peer = peer, .sample = e->sample,
            .round = e->round, .block = e->block, .attempt = e->attempt};
}

void pdag_trace_event(pdag_trace *trace, const pdag_event *event)
{
    if (event->sample >= trace->n_samples && event->sample < UINT32_MAX)
        trace->n_samples = event->sample + 1;
    switch (event->kind) {
    case PDAG_EVENT_TASK:
        keep_task(trace, event);
        break;
    case PDAG_EVENT_UPDATE:
        keep_update(trace, event);
        break;
    case PDAG_EVENT_ROUND:
        keep_round(trace, event);
        break;
    case PDAG_EVENT_QUEUE:
        keep_queue(trace, event);
        break;
    case PDAG_EVENT_DROPPED:
    case PDAG_EVENT_READY:
    case PDAG_EVENT_HUNG:
    case PDAG_EVENT_LOST:
    case PDAG_EVENT_SAVED:
    case PDAG_EVENT_SAMPLE:
        keep_mark(trace, event);
        break;
    }
}

void pdag_trace_offset(const pdag_trace *trace, int peer, double *offset_out,
                       double *uncertainty_out)
{
    const pdag_trace_clock *clock;

    *offset_out = 0.0;
    *uncertainty_out = INFINITY;
    if (peer < 1 || (uint32_t)peer > trace->n_peers)
        return;
    clock = &trace->clock[peer - 1];
    if (isinf(clock->low) || isinf(clock->high))
        return;
    if (clock->low > 0.0 || clock->high < 0.0)
        *offset_out = clock->low + (clock->high - clock->low) / 2.0;
    *uncertainty_out = fmax(fabs(*offset_out - clock->low),
                            fabs(clock->high - *offset_out));
}
