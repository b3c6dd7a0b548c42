/** scheduler/event.h: what happens in a run, told as it happens: the source of the
 *  trace, of the performance model and of the replay.  Cheap: a struct handed to a
 *  callback on the scheduler's thread, only where one is asked for. */
#ifndef PDAG_SCHEDULER_EVENT_H
#define PDAG_SCHEDULER_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "comm/message.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pdag_event_kind {
    PDAG_EVENT_TASK,     /* a task's result was taken: ENCODE, TASK or DECODE */
    PDAG_EVENT_DROPPED,  /* a late or repeated result was not */
    PDAG_EVENT_UPDATE,   /* U(k,b) at the scheduler: began..time */
    PDAG_EVENT_ROUND,    /* the last block of a sample's round was updated */
    PDAG_EVENT_QUEUE,    /* n_ready and n_flying have changed */
    PDAG_EVENT_READY,    /* a worker has loaded its model */
    PDAG_EVENT_HUNG,     /* a worker let a deadline pass */
    PDAG_EVENT_LOST,     /* a worker is dead */
    PDAG_EVENT_SAVED,    /* a checkpoint was taken: began..time */
    PDAG_EVENT_SAMPLE    /* a sample has ended */
} pdag_event_kind;

/** What does not belong to the kind is 0.  Times are pdag_seconds() of the
 *  scheduler but for worker_began: that of the worker's machine, which is another
 *  clock where it is another host. */
typedef struct pdag_event {
    pdag_event_kind kind;
    double time;              /* now */
    int peer;                 /* worker 1..n; TASK, DROPPED, READY, HUNG, LOST */
    pdag_msg_kind task;       /* ENCODE, TASK or DECODE */
    uint32_t sample, round, block, attempt;
    uint32_t first_row, n_rows;
    double sent;              /* TASK: when it was handed to the transport */
    double worker_began;      /* TASK: see above; it ended worker_seconds later, */
    double worker_seconds;    /* and its result was taken at `time` */
    double began;             /* UPDATE, SAVED */
    size_t bytes_out, bytes_in; /* TASK: messages with headers */
    size_t n_ready, n_flying; /* QUEUE */
    size_t begin, end;        /* ROUND: the round's window [begin, end) */
    double residual;          /* ROUND: the largest in it */
} pdag_event;

#ifdef __cplusplus
}
#endif
#endif
