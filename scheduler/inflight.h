/** scheduler/inflight.h: the workers as the scheduler sees them: who is there, how
 *  fast each is, what each was sent and when it should have answered, who gets the
 *  next node. */
#ifndef PDAG_SCHEDULER_INFLIGHT_H
#define PDAG_SCHEDULER_INFLIGHT_H

#include "comm/comm.h"
#include "scheduler/ready.h"
#include "scheduler/run.h"

#ifdef __cplusplus
extern "C" {
#endif

/** One task running and one queued hides the transfer behind the evaluation. */
#define PDAG_TASKS_PER_WORKER 2

typedef struct pdag_flight {
    pdag_node node;
    uint32_t attempt;
    size_t n_rows;    /* of a TASK; else 1 */
    size_t bytes_out;
    double sent;      /* pdag_seconds() */
    double expected;  /* seconds that it should take; 0: nobody knows yet */
    bool given_up;    /* sent again to another worker */
} pdag_flight;

/** What a worker takes for one unit of a kind of work: a row, a text, a picture.
 *  The first task pays for what is made once, so that the second replaces it;
 *  later ones count with a share of a third. */
typedef struct pdag_pace {
    double seconds;
    size_t n; /* tasks measured */
} pdag_pace;

typedef struct pdag_worker {
    pdag_worker_info info;
    pdag_flight flight[PDAG_TASKS_PER_WORKER]; /* in the order sent */
    int n_flights;
    double answered;  /* when it last did, or was sent something while idle */
    pdag_pace pace[3]; /* TASK, ENCODE, DECODE */
    unsigned char *has_condition; /* [samples], owned */
} pdag_worker;

/** What is to be given to somebody. */
typedef struct pdag_offer {
    pdag_msg_kind kind;
    size_t n_rows;  /* of a TASK; else 1 */
    size_t n_ready; /* nodes that wait, this one included */
    double now;
} pdag_offer;

/** Peer (1..n) that should get the offered node, or 0: none now.  The one that
 *  will have finished it first, by what it has measured; workers without work come
 *  before those that would only queue it, unmeasured ones before all.  A worker
 *  with room that is so slow that others will be free again before it has finished
 *  gets nothing, unless there are so many nodes that it finishes before those
 *  others have done them all: then *from_back_out, since what is needed last
 *  should wait for it. */
int pdag_inflight_choose(const pdag_worker *worker, int n_workers,
                         const pdag_offer *offer, bool *from_back_out);

/** Seconds that a task is expected to take on a worker: by its own pace, else by
 *  the mean of workers with the same device, else of all; 0 where nobody has done
 *  one. */
double pdag_inflight_expect(const pdag_worker *worker, int n_workers, int peer,
                            pdag_msg_kind kind, size_t n_rows);

/** Whether somebody has room, and could be asked to work. */
bool pdag_inflight_room(const pdag_worker *worker, int n_workers);
/** Workers that can work: ready, neither hung nor lost; and those that may come. */
int pdag_inflight_usable(const pdag_worker *worker, int n_workers);
int pdag_inflight_loading(const pdag_worker *worker, int n_workers);
size_t pdag_inflight_count(const pdag_worker *worker, int n_workers);

/** Take down what READY says of a worker. */
void pdag_inflight_ready(pdag_worker_info *info, const pdag_msg *msg);

/** Note that a task went to a worker (which must have room). */
void pdag_inflight_add(pdag_worker *worker, const pdag_flight *flight);

/** Take the task that a RESULT or FAIL answers off the worker's list; false for a
 *  late, repeated or foreign one, which the caller drops. */
bool pdag_inflight_remove(pdag_worker *worker, const pdag_msg_header *header,
                          pdag_flight *flight_out);

/** After a RESULT: what the worker's pace is now. */
void pdag_inflight_measure(pdag_worker *worker, const pdag_flight *flight,
                           double seconds, double now);

/** Since when the worker has been working on its first flight. */
double pdag_inflight_began(const pdag_worker *worker);

#ifdef __cplusplus
}
#endif
#endif
