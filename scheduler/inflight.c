#include "scheduler/inflight.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/mem.h"

int pdag_inflight_choose(const pdag_worker *worker, int n_workers)
{
    int chosen = 0;
    int fewest = PDAG_TASKS_PER_WORKER;

    for (int w = 0; w < n_workers; w++) {
        if (worker[w].info.ready && worker[w].n_flights < fewest) {
            fewest = worker[w].n_flights;
            chosen = w + 1;
        }
    }
    return chosen;
}

void pdag_inflight_ready(pdag_worker_info *info, const pdag_msg *msg)
{
    char *text = pdag_xstrndup(pdag_msg_payload_const(msg),
                               (size_t)msg->header.payload_bytes);
    char *device = strchr(text, '\n');

    if (device != NULL)
        *device++ = '\0';
    snprintf(info->host, sizeof info->host, "%s", text);
    snprintf(info->device, sizeof info->device, "%s",
             device != NULL ? device : "");
    info->ready = true;
    free(text);
}

void pdag_inflight_add(pdag_worker *worker, pdag_node node, uint32_t attempt)
{
    for (int i = 0; i < PDAG_TASKS_PER_WORKER; i++) {
        if (!worker->flight[i].used) {
            worker->flight[i].used = true;
            worker->flight[i].node = node;
            worker->flight[i].attempt = attempt;
            worker->n_flights++;
            return;
        }
    }
    pdag_fatal_at(__FILE__, __LINE__, "worker has no room for a task");
}

bool pdag_inflight_remove(pdag_worker *worker, const pdag_msg_header *header,
                          pdag_node *node_out)
{
    for (int i = 0; i < PDAG_TASKS_PER_WORKER; i++) {
        const pdag_flight *f = &worker->flight[i];

        if (f->used && (uint32_t)f->node.kind == header->task &&
            f->node.sample == header->sample &&
            f->node.round == header->round && f->node.block == header->block &&
            f->attempt == header->attempt) {
            *node_out = f->node;
            worker->flight[i].used = false;
            worker->n_flights--;
            return true;
        }
    }
    return false;
}
