/** cli/trace_internal.h: the records of cli/trace.h, between cli/trace.c, which
 *  keeps them, and cli/trace_write.c. */
#ifndef PDAG_CLI_TRACE_INTERNAL_H
#define PDAG_CLI_TRACE_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/trace.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_trace_task {
    double time, sent, began, seconds; /* began: on the worker's clock */
    uint32_t sample, round, block, attempt;
    uint32_t first_row, n_rows;
    uint32_t bytes_out, bytes_in; /* the largest number stands for all above */
    uint32_t peer;
    uint32_t kind; /* pdag_msg_kind */
} pdag_trace_task;

typedef struct pdag_trace_update {
    double began, time;
    uint32_t sample, round, block;
    uint32_t first_row, n_rows;
} pdag_trace_update;

typedef struct pdag_trace_round {
    double time, residual;
    uint32_t sample, round, begin, end;
} pdag_trace_round;

typedef struct pdag_trace_queue {
    double time;
    uint32_t n_ready, n_flying;
} pdag_trace_queue;

/** DROPPED, READY, HUNG, LOST, SAVED and SAMPLE. */
typedef struct pdag_trace_mark {
    double began, time;
    uint32_t kind; /* pdag_event_kind */
    uint32_t task, peer, sample, round, block, attempt;
} pdag_trace_mark;

/** Records of one kind, in pieces that stay where they are. */
typedef struct pdag_trace_list {
    size_t record_bytes;
    size_t n;
    void **piece; /* owned */
    size_t n_pieces;
} pdag_trace_list;

/** Bounds of a worker's clock offset. */
typedef struct pdag_trace_clock {
    double low, high;
} pdag_trace_clock;

struct pdag_trace {
    int first_rank;
    double began;
    size_t bytes;    /* kept */
    size_t left_out; /* events */
    uint32_t n_samples; /* one more than the largest seen */
    uint32_t n_peers;   /* the largest seen */
    pdag_trace_clock *clock; /* [n_peers], of peers 1.. */
    pdag_trace_list task, update, round, queue, mark;
};

const void *pdag_trace_record(const pdag_trace_list *list, size_t i);

#ifdef __cplusplus
}
#endif
#endif
