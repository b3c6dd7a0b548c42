#include "comm/comm.h"

#include <time.h>

/* Spinning hides the wake-up time of short tasks. */
#define SPIN_SECONDS 40e-6

double pdag_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void pdag_nap(double seconds)
{
    struct timespec pause;

    if (seconds <= 0.0)
        return;
    pause.tv_sec = (time_t)seconds;
    pause.tv_nsec = (long)((seconds - (double)pause.tv_sec) * 1e9);
    nanosleep(&pause, NULL);
}

double pdag_nap_longer(double seconds)
{
    double longer = 1.5 * seconds;

    return longer < PDAG_NAP_LONGEST ? longer : PDAG_NAP_LONGEST;
}

pdag_status pdag_comm_wait(pdag_comm *comm, double seconds, int *peer_out,
                           pdag_msg **msg_out)
{
    double begin = pdag_seconds();
    double nap = PDAG_NAP_FIRST;

    for (;;) {
        pdag_status status = comm->ops->receive(comm, peer_out, msg_out);
        double waited;

        if (status != PDAG_OK || *msg_out != NULL)
            return status;
        waited = pdag_seconds() - begin;
        if (waited >= seconds)
            return PDAG_OK;
        if (waited < SPIN_SECONDS)
            continue;
        if (comm->ops->wait != NULL) {
            comm->ops->wait(comm, seconds - waited);
        } else {
            pdag_nap(nap);
            nap = pdag_nap_longer(nap);
        }
    }
}

static pdag_status leave(pdag_comm *comm, double seconds, int *flushed_out)
{
    double begin = pdag_seconds();
    double nap = PDAG_NAP_FIRST;

    for (;;) {
        pdag_status status = comm->ops->flushed(comm, flushed_out);
        double waited;

        if (status != PDAG_OK || *flushed_out)
            return status;
        waited = pdag_seconds() - begin;
        if (waited > seconds)
            return PDAG_OK;
        if (waited < SPIN_SECONDS)
            continue;
        pdag_nap(nap);
        nap = pdag_nap_longer(nap);
    }
}

pdag_status pdag_comm_push(pdag_comm *comm, double seconds)
{
    int flushed;

    return leave(comm, seconds, &flushed);
}

pdag_status pdag_comm_flush(pdag_comm *comm, double seconds)
{
    int flushed;
    pdag_status status = leave(comm, seconds, &flushed);

    if (status == PDAG_OK && !flushed)
        return pdag_error(PDAG_ERR_COMM, "a message was not taken within "
                          "%g seconds", seconds);
    return status;
}

void pdag_comm_destroy(pdag_comm *comm)
{
    if (comm != NULL)
        comm->ops->destroy(comm);
}

pdag_status pdag_comm_send_plain(pdag_comm *comm, int peer, pdag_msg_kind kind,
                                 int status)
{
    pdag_msg *msg;
    pdag_status created = pdag_msg_create(kind, 0, &msg);

    if (created != PDAG_OK)
        return created;
    msg->header.status = status;
    return comm->ops->send(comm, peer, msg);
}
