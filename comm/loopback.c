#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

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
    pthread_cond_t filled;
    int closed; /* its endpoint is no more: what comes is dropped */
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
    parcel *lost; /* of a worker: posted when it ends without GONE, and made
                     beforehand since the end may come for want of memory */
} endpoint;

static void drop(parcel *p)
{
    pdag_msg_free(p->msg);
    free(p);
}

static void empty(mailbox *box)
{
    while (box->first != NULL) {
        parcel *p = box->first;

        box->first = p->next;
        drop(p);
    }
    box->last = &box->first;
}

/* With the lock held. */
static void post(mailbox *box, parcel *p)
{
    if (box->closed) {
        drop(p);
        return;
    }
    *box->last = p;
    box->last = &p->next;
    pthread_cond_signal(&box->filled);
}

static pdag_status loopback_send(pdag_comm *comm, int peer, pdag_msg *msg)
{
    endpoint *e = (endpoint *)comm;
    hub *h = e->hub;
    parcel *p;

    PDAG_ASSERT(peer >= 0 && peer < h->n_boxes);
    PDAG_ASSERT(peer == 0 || comm->self == 0);
    if (msg->header.kind == PDAG_MSG_GONE && e->lost != NULL) {
        drop(e->lost);
        e->lost = NULL;
    }
    p = pdag_xcalloc(1, sizeof *p);
    p->msg = msg;
    p->from = comm->self;
    pthread_mutex_lock(&h->lock);
    post(&h->box[peer], p);
    pthread_mutex_unlock(&h->lock);
    return PDAG_OK;
}

static pdag_status loopback_receive(pdag_comm *comm, int *peer_out,
                                    pdag_msg **msg_out)
{
    hub *h = ((endpoint *)comm)->hub;
    mailbox *box = &h->box[comm->self];
    int alone;
    parcel *p;

    pthread_mutex_lock(&h->lock);
    p = box->first;
    if (p != NULL) {
        box->first = p->next;
        if (box->first == NULL)
            box->last = &box->first;
    }
    alone = h->box[0].closed;
    pthread_mutex_unlock(&h->lock);
    *msg_out = NULL;
    if (p != NULL) {
        *peer_out = p->from;
        *msg_out = p->msg;
        free(p);
    } else if (alone) {
        return pdag_error(PDAG_ERR_LOST, "the scheduler is lost");
    }
    return PDAG_OK;
}

static pdag_status loopback_flushed(pdag_comm *comm, int *flushed_out)
{
    (void)comm;
    *flushed_out = 1;
    return PDAG_OK;
}

static void loopback_wait(pdag_comm *comm, double seconds)
{
    hub *h = ((endpoint *)comm)->hub;
    mailbox *box = &h->box[comm->self];
    double until = pdag_seconds() + seconds;
    struct timespec end;
    int over = 0;

    end.tv_sec = (time_t)until;
    end.tv_nsec = (long)((until - (double)end.tv_sec) * 1e9);
    pthread_mutex_lock(&h->lock);
    while (box->first == NULL && !h->box[0].closed && !over)
        over = pthread_cond_timedwait(&box->filled, &h->lock, &end) == ETIMEDOUT;
    pthread_mutex_unlock(&h->lock);
}

static void hub_destroy(hub *h)
{
    for (int i = 0; i < h->n_boxes; i++) {
        empty(&h->box[i]);
        pthread_cond_destroy(&h->box[i].filled);
    }
    pthread_mutex_destroy(&h->lock);
    free(h->box);
    free(h);
}

static void loopback_destroy(pdag_comm *comm)
{
    endpoint *e = (endpoint *)comm;
    hub *h = e->hub;
    int n_open;

    pthread_mutex_lock(&h->lock);
    h->box[comm->self].closed = 1;
    empty(&h->box[comm->self]);
    if (e->lost != NULL)
        post(&h->box[0], e->lost);
    if (comm->self == 0)
        for (int i = 1; i < h->n_boxes; i++)
            pthread_cond_signal(&h->box[i].filled);
    n_open = --h->n_open;
    pthread_mutex_unlock(&h->lock);
    if (n_open == 0)
        hub_destroy(h);
    free(e);
}

static const pdag_comm_ops loopback_ops = {
    .name = "loopback",
    .send = loopback_send,
    .receive = loopback_receive,
    .flushed = loopback_flushed,
    .wait = loopback_wait,
    .destroy = loopback_destroy,
};

static hub *hub_create(int n_boxes)
{
    hub *h = pdag_xcalloc(1, sizeof *h);
    pthread_condattr_t monotonic;

    pthread_mutex_init(&h->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    h->n_boxes = n_boxes;
    h->n_open = n_boxes;
    h->box = pdag_xcalloc((size_t)n_boxes, sizeof *h->box);
    for (int i = 0; i < n_boxes; i++) {
        h->box[i].last = &h->box[i].first;
        pthread_cond_init(&h->box[i].filled, &monotonic);
    }
    pthread_condattr_destroy(&monotonic);
    return h;
}

static parcel *lost_parcel(int worker)
{
    parcel *p = pdag_xcalloc(1, sizeof *p);

    p->from = worker;
    if (pdag_msg_create(PDAG_MSG_LOST, 0, &p->msg) != PDAG_OK)
        pdag_fatal_at(__FILE__, __LINE__, "%s", pdag_error_text());
    return p;
}

pdag_status pdag_loopback_create(int n_workers, pdag_comm **endpoints_out)
{
    hub *h;

    PDAG_ASSERT(n_workers >= 1);
    h = hub_create(n_workers + 1);
    for (int i = 0; i < h->n_boxes; i++) {
        endpoint *e = pdag_xcalloc(1, sizeof *e);

        e->comm.ops = &loopback_ops;
        e->comm.self = i;
        e->comm.n_workers = n_workers;
        e->hub = h;
        e->lost = i > 0 ? lost_parcel(i) : NULL;
        endpoints_out[i] = &e->comm;
    }
    return PDAG_OK;
}
