#include <stdlib.h>

#include "base/fatal.h"
#include "base/mem.h"
#include "comm/comm.h"

/* comm/join.c: two stars seen as one by the scheduler. */

typedef struct joined {
    pdag_comm comm;
    pdag_comm *part[2];
    int next;   /* part asked first at the next receive, so that none starves */
    double nap; /* seconds of the next one */
} joined;

static pdag_status join_send(pdag_comm *comm, int peer, pdag_msg *msg)
{
    joined *j = (joined *)comm;
    int in_first = j->part[0]->n_workers;

    PDAG_ASSERT(peer >= 1 && peer <= comm->n_workers);
    if (peer <= in_first)
        return j->part[0]->ops->send(j->part[0], peer, msg);
    return j->part[1]->ops->send(j->part[1], peer - in_first, msg);
}

static pdag_status join_receive(pdag_comm *comm, int *peer_out,
                                pdag_msg **msg_out)
{
    joined *j = (joined *)comm;

    *msg_out = NULL;
    for (int tried = 0; tried < 2 && *msg_out == NULL; tried++) {
        int which = j->next;
        int peer;
        pdag_status status =
            j->part[which]->ops->receive(j->part[which], &peer, msg_out);

        if (status != PDAG_OK)
            return status;
        j->next = 1 - which;
        if (*msg_out != NULL) {
            *peer_out = which == 0 ? peer : peer + j->part[0]->n_workers;
            j->nap = PDAG_NAP_FIRST;
        }
    }
    return PDAG_OK;
}

static pdag_status join_flushed(pdag_comm *comm, int *flushed_out)
{
    joined *j = (joined *)comm;
    int both[2];

    for (int i = 0; i < 2; i++) {
        pdag_status status = j->part[i]->ops->flushed(j->part[i], &both[i]);

        if (status != PDAG_OK)
            return status;
    }
    *flushed_out = both[0] && both[1];
    return PDAG_OK;
}

/* One part can be slept on; the other must be looked at after a short while. */
static void join_wait(pdag_comm *comm, double seconds)
{
    joined *j = (joined *)comm;
    pdag_comm *bell = j->part[j->part[0]->ops->wait != NULL ? 0 : 1];
    double nap = seconds < j->nap ? seconds : j->nap;

    if (bell->ops->wait != NULL)
        bell->ops->wait(bell, nap);
    else
        pdag_nap(nap);
    j->nap = pdag_nap_longer(j->nap);
}

static void join_destroy(pdag_comm *comm)
{
    joined *j = (joined *)comm;

    pdag_comm_destroy(j->part[0]);
    pdag_comm_destroy(j->part[1]);
    free(j);
}

static const pdag_comm_ops join_ops = {
    .name = "join",
    .send = join_send,
    .receive = join_receive,
    .flushed = join_flushed,
    .wait = join_wait,
    .destroy = join_destroy,
};

pdag_status pdag_join_create(pdag_comm *first, pdag_comm *second,
                             pdag_comm **comm_out)
{
    joined *j;

    PDAG_ASSERT(first != NULL || second != NULL);
    if (first == NULL || second == NULL) {
        *comm_out = first != NULL ? first : second;
        return PDAG_OK;
    }
    j = pdag_xcalloc(1, sizeof *j);
    j->comm.ops = &join_ops;
    j->comm.n_workers = first->n_workers + second->n_workers;
    j->part[0] = first;
    j->part[1] = second;
    j->nap = PDAG_NAP_FIRST;
    *comm_out = &j->comm;
    return PDAG_OK;
}
