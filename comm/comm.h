/** comm/comm.h: a star of endpoints: peer 0 is the scheduler, peers 1..n its
 *  workers; workers speak with the scheduler only.
 *
 *  Three implementations: loopback.c (threads of one process; tests, and rank 0's
 *  own worker), mpi.c (one worker a rank; the only file that knows MPI), join.c
 *  (rank 0's view: its own worker and the ranks as one list).  None of the calls
 *  waits for the other side, and none is collective.  One thread per endpoint. */
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
     *  Messages of one sender come in the order sent.  PDAG_ERR_COMM. */
    pdag_status (*receive)(pdag_comm *comm, int *peer_out, pdag_msg **msg_out);
    /** Whether all that was sent has left this side. */
    pdag_status (*flushed)(pdag_comm *comm, int *flushed_out);
    void (*destroy)(pdag_comm *comm); /* drops what was not sent */
};

/** receive(), waiting up to `seconds`: spins some tens of microseconds, then
 *  sleeps in short naps, so that a waiting rank does not burn the core that
 *  another rank's network needs.  *msg_out is NULL when the time is over. */
pdag_status pdag_comm_wait(pdag_comm *comm, double seconds, int *peer_out,
                           pdag_msg **msg_out);

/** Wait until everything sent has left, `seconds` at most. */
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
