/** scheduler/ready.h: the queue of nodes that can run now, critical path first:
 *  oldest sample, then lowest round, then lowest block. */
#ifndef PDAG_SCHEDULER_READY_H
#define PDAG_SCHEDULER_READY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "comm/message.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_node {
    pdag_msg_kind kind; /* ENCODE, TASK or DECODE */
    uint32_t sample, round, block;
    uint32_t mix; /* TASK: which weights, see pdag_msg_header */
} pdag_node;

/** A binary heap; zero-initialised is empty. */
typedef struct pdag_ready {
    pdag_node *node; /* owned */
    size_t n, room;
} pdag_ready;

void pdag_ready_push(pdag_ready *ready, pdag_node node);
/** The first node; false when there is none. */
bool pdag_ready_pop(pdag_ready *ready, pdag_node *node_out);
/** The last one instead: what is needed latest. */
bool pdag_ready_pop_back(pdag_ready *ready, pdag_node *node_out);
/** The first node, which stays; NULL when there is none. */
const pdag_node *pdag_ready_first(const pdag_ready *ready);
void pdag_ready_clear(pdag_ready *ready);

#ifdef __cplusplus
}
#endif
#endif
