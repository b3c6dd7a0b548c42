#include <pthread.h>
#include <stdlib.h>

#include "base/fatal.h"
#include "base/mem.h"
#include "comm/comm.h"

/* comm/loopback.c: the in-process transport.  One hub with a lock; a message
   changes owner by pointer, nothing is copied. */

typedef struct parcel {
    struct parcel *next;
    pdag_msg *msg;
    int from;
} parcel;

typedef struct mailbox {
    parcel *first;
    parcel **last;
} mailbox;

typedef struct hub {
    pthread_mutex_t lock;
    mailbox *box; /* [n_workers + 1] */
    int n_boxes;
    int n_open;   /* endpoints not yet destroyed */
} hub;

typedef struct endpoint {
    pdag_comm comm;
    hub *hub;
} endpoint;

static pdag_status loopback_send(pdag_comm *comm, int peer, pdag_msg *msg)
{
    hub *h = ((endpoint *)comm)->hub;
    parcel *p;

    PDAG_ASSERT(peer >= 0 && peer < h->n_boxes);
    PDAG_ASSERT(peer == 0 || comm->self == 0);
    p = pdag_xcalloc(1, sizeof *p);
    p->msg = msg;
    p->from = comm->self;
    pthread_mutex_lock(&h->lock);
    *h->box[peer].last = p;
    h->box[peer].last = &p->next;
    pthread_mutex_unlock(&h->lock);
    return PDAG_OK;
}

static pdag_status loopback_receive(pdag_comm *comm, int *peer_out,
                                    pdag_msg **msg_out)
{
    hub *h = ((endpoint *)comm)->hub;
    mailbox *box = &h->box[comm->self];
    parcel *p;

    pthread_mutex_lock(&h->lock);
    p = box->first;
    if (p != NULL) {
        box->first = p->next;
        if (box->first == NULL)
            box->last = &box->first;
    }
    pthread_mutex_unlock(&h->lock);
    *msg_out = NULL;
    if (p != NULL) {
        *peer_out = p->from;
        *msg_out = p->msg;
        free(p);
    }
    return PDAG_OK;
}

static pdag_status loopback_flushed(pdag_comm *comm, int *flushed_out)
{
    (void)comm;
    *flushed_out = 1;
    return PDAG_OK;
}

static void hub_destroy(hub *h)
{
    for (int i = 0; i < h->n_boxes; i++) {
        while (h->box[i].first != NULL) {
            parcel *p = h->box[i].first;

            h->box[i].first = p->next;
            pdag_msg_free(p->msg);
            free(p);
        }
    }
    pthread_mutex_destroy(&h->lock);
    free(h->box);
    free(h);
}

static void loopback_destroy(pdag_comm *comm)
{
    hub *h = ((endpoint *)comm)->hub;
    int n_open;

    pthread_mutex_lock(&h->lock);
    n_open = --h->n_open;
    pthread_mutex_unlock(&h->lock);
    if (n_open == 0)
        hub_destroy(h);
    free(comm);
}

static const pdag_comm_ops loopback_ops = {
    .name = "loopback",
    .send = loopback_send,
    .receive = loopback_receive,
    .flushed = loopback_flushed,
    .destroy = loopback_destroy,
};

pdag_status pdag_loopback_create(int n_workers, pdag_comm **endpoints_out)
{
    hub *h = pdag_xcalloc(1, sizeof *h);

    PDAG_ASSERT(n_workers >= 1);
    pthread_mutex_init(&h->lock, NULL);
    h->n_boxes = n_workers + 1;
    h->n_open = n_workers + 1;
    h->box = pdag_xcalloc((size_t)h->n_boxes, sizeof *h->box);
    for (int i = 0; i < h->n_boxes; i++) {
        endpoint *e = pdag_xcalloc(1, sizeof *e);

        h->box[i].last = &h->box[i].first;
        e->comm.ops = &loopback_ops;
        e->comm.self = i;
        e->comm.n_workers = n_workers;
        e->hub = h;
        endpoints_out[i] = &e->comm;
    }
    return PDAG_OK;
}
