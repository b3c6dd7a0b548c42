#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "scheduler/run.h"

/* scheduler/release.c: the end of a run, with or without one before it. */

pdag_status pdag_run_stop_workers(pdag_comm *comm, int exit_status,
                                  double seconds, pdag_run_result *result)
{
    int n = comm->n_workers;
    int n_gone = 0;
    unsigned char *gone = pdag_xcalloc((size_t)n, 1);
    double deadline = pdag_seconds() + seconds;
    pdag_status status = PDAG_OK;

    for (int peer = 1; status == PDAG_OK && peer <= n; peer++)
        status = pdag_comm_send_plain(comm, peer, PDAG_MSG_STOP, exit_status);
    while (status == PDAG_OK && n_gone < n) {
        double left = deadline - pdag_seconds();
        int peer;
        pdag_msg *msg;

        status = pdag_comm_wait(comm, left > 0.0 ? left : 0.0, &peer, &msg);
        if (status != PDAG_OK)
            break;
        if (msg == NULL) {
            for (peer = 1; peer < n && gone[peer - 1]; peer++)
                ;
            status = pdag_error(PDAG_ERR_COMM, "worker %d of %d did not answer "
                                "for %g seconds after the end", peer, n,
                                seconds);
            break;
        }
        if (msg->header.kind == PDAG_MSG_GONE && !gone[peer - 1]) {
            gone[peer - 1] = 1;
            n_gone++;
            if (result != NULL && (size_t)peer <= result->n_workers &&
                msg->header.payload_bytes == sizeof(pdag_worker_stats))
                memcpy(&result->worker[peer - 1].stats,
                       pdag_msg_payload_const(msg), sizeof(pdag_worker_stats));
        }
        pdag_msg_free(msg);
    }
    if (status == PDAG_OK)
        status = pdag_comm_flush(comm, seconds);
    free(gone);
    return status;
}
