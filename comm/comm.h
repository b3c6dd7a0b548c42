/** comm/comm.h: a star of endpoints: peer 0 is the scheduler, peers 1..n its
 *  workers; workers speak with the scheduler only.
 *
 *  Three implementations: loopback.c (threads of one process; tests, and rank 0's
 *  own worker), mpi.c (one worker a rank; the only file that knows MPI), join.c
 *  (rank 0's view: its own worker and the ranks as one list).  None of the calls
 *  waits for the other side, and none is collective.  One thread per endpoint.
 *
 *  A worker that ends without having sent GONE is lost.  Where the transport can
 *  survive that, the scheduler receives LOST from it, once, after all that came
 *  from it; what is sent to it afterwards is dropped with PDAG_OK.  A scheduler
 *  that ends while a worker needs it is PDAG_ERR_LOST at the worker. */
#ifndef PDAG_COMM_COMM_H
#define PDAG_COMM_COMM_H

#include "base/status.h"
#include "comm/message.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_comm_ops pdag_comm_ops;

/** An implementation embeds this as its first member. */
typedef struct pdag_comm {
    const pdag_comm_ops *ops;
    int self;      /* this endpoint's number; 0: scheduler */
    int n_workers; /* peers 1..n_workers; the same at every endpoint */
} pdag_comm;

struct pdag_comm_ops {
    const char *name;
    /** Queue `msg` for `peer` and take ownership of it, also on failure.  The
     *  memory is freed when the transport is done with it.  PDAG_ERR_COMM. */
    pdag_status (*send)(pdag_comm *comm, int peer, pdag_msg *msg);
    /** Next message, or NULL when none is there; the caller frees it.
     *  Messages of one sender come in the order sent.  PDAG_ERR_COMM,
     *  PDAG_ERR_LOST. */
    pdag_status (*receive)(pdag_comm *comm, int *peer_out, pdag_msg **msg_out);
    /** Whether all that was sent has left this side. */
    pdag_status (*flushed)(pdag_comm *comm, int *flushed_out);
    /** Sleep until a message may be there, `seconds` at most; returns early at
     *  will.  NULL: nothing tells this side, so it must look again and again. */
    void (*wait)(pdag_comm *comm, double seconds);
    void (*destroy)(pdag_comm *comm); /* drops what was not sent */
};

/** The naps of an endpoint that must look again and again grow from the first to
 *  the longest, which eight waiting ranks on two cores do not notice. */
#define PDAG_NAP_FIRST 30e-6
#define PDAG_NAP_LONGEST 500e-6
double pdag_nap_longer(double seconds);

/** receive(), waiting up to `seconds`: spins some tens of microseconds, then
 *  sleeps until a message wakes it, or in short naps, so that a waiting rank does
 *  not burn the core that another rank's network needs.  *msg_out is NULL when
 *  the time is over. */
pdag_status pdag_comm_wait(pdag_comm *comm, double seconds, int *peer_out,
                           pdag_msg **msg_out);

/** Give what was sent a chance to leave, for `seconds` at most.  A large message
 *  needs this side until the other has taken it; one that goes on to compute would
 *  hold it back until it has done. */
pdag_status pdag_comm_push(pdag_comm *comm, double seconds);

/** Wait until everything sent has left; PDAG_ERR_COMM after `seconds`. */
pdag_status pdag_comm_flush(pdag_comm *comm, double seconds);

void pdag_comm_destroy(pdag_comm *comm); /* NULL is allowed */

/** Send a message without payload. */
pdag_status pdag_comm_send_plain(pdag_comm *comm, int peer, pdag_msg_kind kind,
                                 int status);

/** Endpoints 0..n_workers of one process: endpoints_out[n_workers + 1], each
 *  destroyed by its owner; the hub between them goes with the last one. */
pdag_status pdag_loopback_create(int n_workers, pdag_comm **endpoints_out);

/** The scheduler's view of two stars: workers of `first`, then those of
 *  `second`; owns both (each may be NULL, not both). */
pdag_status pdag_join_create(pdag_comm *first, pdag_comm *second,
                             pdag_comm **comm_out);

/** Monotonic seconds. */
double pdag_seconds(void);
/** Sleep; returns early when a signal comes. */
void pdag_nap(double seconds);

#ifdef __cplusplus
}
#endif
#endif
