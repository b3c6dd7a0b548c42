#include <string.h>

#include "cli/cli.h"
#include "cli/setup.h"
#include "cli/signals.h"
#include "comm/mpi.h"
#include "worker/worker.h"

/* cli/remote.c: ranks 1... */

#define WAIT_SECONDS 0.5

static pdag_status work_for(const pdag_msg *msg, pdag_comm *comm,
                            int *exit_status_out)
{
    pdag_setup setup;
    pdag_worker_config config;
    pdag_status status =
        pdag_setup_unpack(pdag_msg_payload_const(msg),
                          (size_t)msg->header.payload_bytes, &setup);

    if (status != PDAG_OK)
        return pdag_worker_refuse(comm, status, exit_status_out);
    pdag_setup_worker_config(&setup, &config);
    config.local =
        pdag_mpi_local((msg->header.status & PDAG_MSG_JOB_DEDICATED) == 0);
    config.share_devices =
        (msg->header.status & PDAG_MSG_JOB_SHARE_DEVICES) != 0;
    status = pdag_worker_run(&config, comm, exit_status_out);
    pdag_setup_clear(&setup);
    return status;
}

static pdag_status say_gone(pdag_comm *comm)
{
    return pdag_comm_send_plain(comm, 0, PDAG_MSG_GONE, 0);
}

int pdag_cli_remote(pdag_comm *comm)
{
    int exit_status = PDAG_EXIT_FAILED;
    pdag_msg *msg = NULL;
    pdag_status status = PDAG_OK;

    pdag_signals_ignore();
    while (status == PDAG_OK && msg == NULL) {
        int peer;

        status = pdag_comm_wait(comm, WAIT_SECONDS, &peer, &msg);
    }
    if (status == PDAG_OK && msg->header.kind == PDAG_MSG_JOB) {
        status = work_for(msg, comm, &exit_status);
    } else if (status == PDAG_OK) { /* STOP: the command needs no workers */
        exit_status = msg->header.status;
        status = say_gone(comm);
    }
    pdag_msg_free(msg);
    if (status == PDAG_OK)
        status = pdag_comm_flush(comm, 30.0);
    if (status != PDAG_OK)
        exit_status = pdag_cli_fail(status);
    /* A rank that cannot speak with rank 0 must not wait for it in
       MPI_Finalize, nor be waited for. */
    if (status != PDAG_OK && status != PDAG_ERR_LOST)
        pdag_mpi_abort(exit_status);
    pdag_comm_destroy(comm);
    return exit_status;
}
