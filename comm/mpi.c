#include "comm/mpi.h"

#include <limits.h>
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/mem.h"

/* comm/mpi.c: one worker a rank.  Sends are MPI_Isend of the message itself, kept
   in a list until MPI is done with it; receives are matched probes, so that the
   memory is taken once the size is known.  All calls come from one thread. */

#define MESSAGE_TAG 1

typedef struct mpi_comm {
    pdag_comm comm;
    MPI_Comm world; /* own duplicate, errors returned */
    size_t n_sends, room;
    MPI_Request *request; /* [room] */
    pdag_msg **sent;      /* [room] */
} mpi_comm;

static int started;

int pdag_mpi_launched(void)
{
    static const char *const marks[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK",
                                        "PMI_SIZE", "PMI_RANK",
                                        "MPI_LOCALNRANKS"};

    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (getenv(marks[i]) != NULL)
            return 1;
    return 0;
}

static pdag_status mpi_failed(const char *call, int code)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;

    MPI_Error_string(code, text, &length);
    return pdag_error(PDAG_ERR_COMM, "%s: %s", call, text);
}

static void abort_all_ranks(void)
{
    pdag_mpi_abort(1);
}

pdag_status pdag_mpi_start(int *rank_out, int *size_out)
{
    int provided;
    int code;

    *rank_out = 0;
    *size_out = 1;
    if (!pdag_mpi_launched())
        return PDAG_OK;
    /* Rank 0's own worker is a second thread, which never calls MPI. */
    code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
    if (code != MPI_SUCCESS)
        return pdag_error(PDAG_ERR_COMM, "MPI_Init_thread failed (%d)", code);
    started = 1;
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, rank_out);
    MPI_Comm_size(MPI_COMM_WORLD, size_out);
    pdag_fatal_set_hook(abort_all_ranks);
    pdag_fatal_set_rank(*rank_out);
    if (provided < MPI_THREAD_FUNNELED)
        return pdag_error(PDAG_ERR_UNSUPPORTED, "this MPI does not allow "
                          "threads (MPI_THREAD_FUNNELED)");
    return PDAG_OK;
}

/* Forget the sends that MPI has finished. */
static pdag_status reap(mpi_comm *m)
{
    size_t kept = 0;
    pdag_status status = PDAG_OK;

    for (size_t i = 0; i < m->n_sends; i++) {
        int done = 0;
        int code = MPI_Test(&m->request[i], &done, MPI_STATUS_IGNORE);

        if (code != MPI_SUCCESS)
            status = mpi_failed("MPI_Test", code);
        if (done || code != MPI_SUCCESS) {
            pdag_msg_free(m->sent[i]);
            continue;
        }
        m->request[kept] = m->request[i];
        m->sent[kept++] = m->sent[i];
    }
    m->n_sends = kept;
    return status;
}

static pdag_status mpi_send(pdag_comm *comm, int peer, pdag_msg *msg)
{
    mpi_comm *m = (mpi_comm *)comm;
    uint64_t bytes = sizeof *msg + msg->header.payload_bytes;
    pdag_status status = reap(m);
    int code;

    if (status == PDAG_OK && bytes > INT_MAX)
        status = pdag_error(PDAG_ERR_COMM, "message of %llu bytes is over MPI's "
                            "limit", (unsigned long long)bytes);
    if (status != PDAG_OK) {
        pdag_msg_free(msg);
        return status;
    }
    if (m->n_sends == m->room) {
        m->room = 2 * m->room + 16;
        m->request = pdag_xrealloc(m->request, m->room, sizeof *m->request);
        m->sent = pdag_xrealloc(m->sent, m->room, sizeof *m->sent);
    }
    code = MPI_Isend(msg, (int)bytes, MPI_BYTE, peer, MESSAGE_TAG, m->world,
                     &m->request[m->n_sends]);
    if (code != MPI_SUCCESS) {
        pdag_msg_free(msg);
        return mpi_failed("MPI_Isend", code);
    }
    m->sent[m->n_sends++] = msg;
    return PDAG_OK;
}

static pdag_status mpi_receive(pdag_comm *comm, int *peer_out,
                               pdag_msg **msg_out)
{
    mpi_comm *m = (mpi_comm *)comm;
    MPI_Message matched;
    MPI_Status from;
    pdag_msg *msg;
    pdag_status status = reap(m);
    int there = 0;
    int bytes = 0;
    int code;

    *msg_out = NULL;
    if (status != PDAG_OK)
        return status;
    code = MPI_Improbe(MPI_ANY_SOURCE, MESSAGE_TAG, m->world, &there, &matched,
                       &from);
    if (code != MPI_SUCCESS)
        return mpi_failed("MPI_Improbe", code);
    if (!there)
        return PDAG_OK;
    MPI_Get_count(&from, MPI_BYTE, &bytes);
    status = pdag_msg_create(PDAG_MSG_STOP,
                             bytes > (int)sizeof *msg
                                 ? (uint64_t)bytes - sizeof *msg : 0, &msg);
    if (status != PDAG_OK)
        return status;
    code = MPI_Mrecv(msg, bytes, MPI_BYTE, &matched, MPI_STATUS_IGNORE);
    status = code != MPI_SUCCESS ? mpi_failed("MPI_Mrecv", code)
                                 : pdag_msg_check(msg, (size_t)bytes);
    if (status != PDAG_OK) {
        pdag_msg_free(msg);
        return status;
    }
    *peer_out = from.MPI_SOURCE;
    *msg_out = msg;
    return PDAG_OK;
}

static pdag_status mpi_flushed(pdag_comm *comm, int *flushed_out)
{
    mpi_comm *m = (mpi_comm *)comm;
    pdag_status status = reap(m);

    *flushed_out = m->n_sends == 0;
    return status;
}

static void mpi_destroy(pdag_comm *comm)
{
    mpi_comm *m = (mpi_comm *)comm;

    /* What is still under way after pdag_comm_flush() gave up belongs to MPI:
       its memory is left alone. */
    if (m->n_sends == 0)
        MPI_Comm_free(&m->world);
    free(m->request);
    free(m->sent);
    free(m);
}

static const pdag_comm_ops mpi_ops = {
    .name = "mpi",
    .send = mpi_send,
    .receive = mpi_receive,
    .flushed = mpi_flushed,
    .destroy = mpi_destroy,
};

pdag_status pdag_mpi_comm_create(pdag_comm **comm_out)
{
    mpi_comm *m;
    int size = 1;
    int code;

    *comm_out = NULL;
    if (!started)
        return PDAG_OK;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (size == 1)
        return PDAG_OK;
    m = pdag_xcalloc(1, sizeof *m);
    code = MPI_Comm_dup(MPI_COMM_WORLD, &m->world);
    if (code != MPI_SUCCESS) {
        free(m);
        return mpi_failed("MPI_Comm_dup", code);
    }
    MPI_Comm_set_errhandler(m->world, MPI_ERRORS_RETURN);
    MPI_Comm_rank(m->world, &m->comm.self);
    m->comm.ops = &mpi_ops;
    m->comm.n_workers = size - 1;
    *comm_out = &m->comm;
    return PDAG_OK;
}

void pdag_mpi_finish(void)
{
    if (started)
        MPI_Finalize();
    started = 0;
}

void pdag_mpi_abort(int exit_status)
{
    if (started)
        MPI_Abort(MPI_COMM_WORLD, exit_status);
    exit(exit_status);
}

const char *pdag_mpi_version(void)
{
    static char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int length = 0;

    if (text[0] == '\0') {
        MPI_Get_library_version(text, &length);
        text[strcspn(text, ",\n")] = '\0';
    }
    return text;
}
