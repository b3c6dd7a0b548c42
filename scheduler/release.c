#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "scheduler/run.h"

/* scheduler/release.c: the end of a run, with or without one before it. */

/* A hung worker is told to stop too, but the others' user does not wait for it; one
   that has nothing to do answers at once, or has been stopped. */
#define HUNG_SECONDS 1.0
#define IDLE_SECONDS 10.0
#define LOADING_SECONDS 30.0 /* its model, which others have done */

typedef struct leaving {
    pdag_comm *comm;
    pdag_run_result *result; /* or NULL */
    unsigned char *gone;     /* [n_workers] */
    int n_gone;
} leaving;

static const pdag_worker_info *info_of(const leaving *l, int peer)
{
    return l->result != NULL && (size_t)peer <= l->result->n_workers
               ? &l->result->worker[peer - 1] : NULL;
}

static void note_gone(leaving *l, int peer, const pdag_msg *msg)
{
    if (l->gone[peer - 1])
        return;
    l->gone[peer - 1] = 1;
    l->n_gone++;
    if (msg != NULL && info_of(l, peer) != NULL &&
        msg->header.payload_bytes == sizeof(pdag_worker_stats))
        memcpy(&l->result->worker[peer - 1].stats, pdag_msg_payload_const(msg),
               sizeof(pdag_worker_stats));
}

/* The first that has not gone, and for how long the last of those may be silent. */
static int first_silent(const leaving *l, double seconds, double *patience_out)
{
    int first = 0;

    *patience_out = 0.0;
    for (int peer = 1; peer <= l->comm->n_workers; peer++) {
        const pdag_worker_info *info = info_of(l, peer);
        double patience = info == NULL   ? seconds
                          : info->hung   ? HUNG_SECONDS
                          : info->busy   ? seconds
                          : info->ready  ? IDLE_SECONDS
                                         : LOADING_SECONDS;

        if (l->gone[peer - 1])
            continue;
        if (first == 0)
            first = peer;
        if (patience > *patience_out)
            *patience_out = patience;
    }
    if (*patience_out > seconds)
        *patience_out = seconds;
    return first;
}

static pdag_status tell_all(leaving *l, int exit_status)
{
    pdag_status status = PDAG_OK;

    for (int peer = 1; status == PDAG_OK && peer <= l->comm->n_workers; peer++) {
        const pdag_worker_info *info = info_of(l, peer);

        if (info != NULL && info->lost)
            note_gone(l, peer, NULL);
        else
            status = pdag_comm_send_plain(l->comm, peer, PDAG_MSG_STOP,
                                          exit_status);
    }
    return status;
}

static pdag_status wait_for_all(leaving *l, double seconds)
{
    double began = pdag_seconds();
    pdag_status status = PDAG_OK;

    while (status == PDAG_OK && l->n_gone < l->comm->n_workers) {
        double patience;
        int silent = first_silent(l, seconds, &patience);
        double left = began + patience - pdag_seconds();
        int peer;
        pdag_msg *msg;

        status = pdag_comm_wait(l->comm, left > 0.0 ? left : 0.0, &peer, &msg);
        if (status != PDAG_OK)
            break;
        if (msg == NULL)
            return pdag_error(PDAG_ERR_COMM, "worker %d of %d%s%s did not answer "
                              "for %g seconds after the end", silent,
                              l->comm->n_workers,
                              info_of(l, silent) != NULL ? " on " : "",
                              info_of(l, silent) != NULL
                                  ? info_of(l, silent)->host : "", patience);
        if (msg->header.kind == PDAG_MSG_GONE)
            note_gone(l, peer, msg);
        else if (msg->header.kind == PDAG_MSG_LOST)
            note_gone(l, peer, NULL);
        pdag_msg_free(msg);
    }
    return status;
}

pdag_status pdag_run_stop_workers(pdag_comm *comm, int exit_status,
                                  double seconds, pdag_run_result *result)
{
    leaving l = {.comm = comm, .result = result};
    pdag_status status;

    l.gone = pdag_xcalloc((size_t)comm->n_workers, 1);
    status = tell_all(&l, exit_status);
    if (status == PDAG_OK)
        status = wait_for_all(&l, seconds);
    if (status == PDAG_OK)
        status = pdag_comm_flush(comm, seconds);
    free(l.gone);
    return status;
}
