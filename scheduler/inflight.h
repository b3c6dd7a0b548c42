/** scheduler/inflight.h: the workers as the scheduler sees them: who is there,
 *  what each was sent, who gets the next node. */
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
    bool used;
    pdag_node node;
    uint32_t attempt;
} pdag_flight;

typedef struct pdag_worker {
    pdag_worker_info info;
    pdag_flight flight[PDAG_TASKS_PER_WORKER];
    int n_flights;
    unsigned char *has_condition; /* [samples], owned */
} pdag_worker;

/** Peer (1..n) for the next node: a ready worker with nothing to do, else one
 *  with room for a second task, lowest peer first; 0 when all are full. */
int pdag_inflight_choose(const pdag_worker *worker, int n_workers);

/** Take down what READY says of a worker. */
void pdag_inflight_ready(pdag_worker_info *info, const pdag_msg *msg);

/** Note that `node` went to a worker (which must have room). */
void pdag_inflight_add(pdag_worker *worker, pdag_node node, uint32_t attempt);

/** Take the node that a RESULT or FAIL answers off the worker's list; false for
 *  a late, repeated or foreign one, which the caller drops. */
bool pdag_inflight_remove(pdag_worker *worker, const pdag_msg_header *header,
                          pdag_node *node_out);

#ifdef __cplusplus
}
#endif
#endif
