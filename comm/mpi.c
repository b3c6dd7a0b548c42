#include "comm/mpi.h"

#include <limits.h>
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#if defined PDAG_HAVE_ULFM && defined OPEN_MPI
#include <mpi-ext.h>
#endif

#include "base/fatal.h"
#include "base/mem.h"

/* comm/mpi.c: one worker a rank.  Sends are MPI_Isend of the message itself, kept
   in a list until MPI is done with it; receives are matched probes, so that the
   memory is taken once the size is known, and MPI_Imrecv, so that a large message
   whose sender computes does not hold up the others.  All calls come from one
   thread.

   A dead rank (PDAG_HAVE_ULFM: the fault tolerance extension): any call may find
   it.  What was under way to it or from it is left to MPI, memory included: the
   library may still look at it. */

#define MESSAGE_TAG 1
#define END_TAG 2 /* rank 0 to all: no abort will come any more */

/* A message of this size has come whole when its header has, with any transport:
   of a dead rank's messages, which are not fetched any more, its GONE is one. */
#define EAGER_BYTES 1024

/* Longer than any start that succeeds. */
#define START_SECONDS 45

/* What the scheduler knows of a rank. */
typedef enum rank_state {
    RANK_ALIVE,
    RANK_GONE, /* has said GONE: nothing follows, and it may end */
    RANK_DEAD, /* without GONE; what it sent before may still be here */
    RANK_LOST  /* LOST was given out: nothing follows */
} rank_state;

/* A message on its way out or in. */
typedef struct transfer {
    MPI_Request request;
    pdag_msg *msg;
    int peer;
    int bytes;
    int done;
} transfer;

typedef struct transfers {
    size_t n, room;
    transfer *item; /* [room]; in order */
} transfers;

typedef struct mpi_comm {
    pdag_comm comm;
    transfers out, in;
    unsigned char *state; /* [n_workers + 1]: rank_state */
    int n_dead;           /* in state RANK_DEAD */
    int said_gone;        /* a worker: its end is no matter of the scheduler's */
} mpi_comm;

static int started;
static int local_number; /* of this process on its machine */
static int beside_rank_0;

int pdag_mpi_has_ulfm(void)
{
#ifdef PDAG_HAVE_ULFM
    return 1;
#else
    return 0;
#endif
}

int pdag_mpi_survives(void)
{
#if defined PDAG_HAVE_ULFM && defined OPEN_MPI
    const char *enabled = getenv("OMPI_MCA_mpi_ft_enable");

    return enabled != NULL &&
           (strcmp(enabled, "1") == 0 || strcmp(enabled, "true") == 0);
#else
    return pdag_mpi_has_ulfm();
#endif
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

static void give_up_starting(int number)
{
    static const char text[] = "picard-dag: MPI_Init did not return: a rank died "
                               "while starting\n";

    (void)number;
    _exit(write(STDERR_FILENO, text, sizeof text - 1) > 0 ? 1 : 2);
}

/* A death within MPI_Init leaves the others waiting in it (Open MPI 5.0). */
static int init_within_bounds(int *provided_out)
{
    int code;

    if (pdag_mpi_survives()) {
        signal(SIGPIPE, SIG_IGN); /* Open MPI writes to dead ranks' sockets */
        signal(SIGALRM, give_up_starting);
        alarm(START_SECONDS);
    }
    /* Rank 0's own worker is a second thread, which never calls MPI. */
    code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, provided_out);
    if (pdag_mpi_survives())
        alarm(0);
    return code;
}

/* Under fault tolerance Open MPI leaves running, stopped or busy processes behind
   when mpirun ends. */
static void die_with_launcher(void)
{
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
}

/* Who is on this machine.  A rank that dies now leaves the numbers at 0, and the
   run without it. */
static void count_local_ranks(int rank)
{
    MPI_Comm machine;

    if (MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank,
                            MPI_INFO_NULL, &machine) != MPI_SUCCESS)
        return;
    MPI_Comm_rank(machine, &local_number);
    MPI_Bcast(&rank, 1, MPI_INT, 0, machine); /* the lowest of them */
    beside_rank_0 = rank == 0;
    MPI_Comm_free(&machine);
}

int pdag_mpi_local(int with_rank_0)
{
    return local_number > 0 && beside_rank_0 && !with_rank_0 ? local_number - 1
                                                             : local_number;
}

pdag_status pdag_mpi_start(int *rank_out, int *size_out)
{
    int provided;
    int code;

    *rank_out = 0;
    *size_out = 1;
    if (!pdag_mpi_launched())
        return PDAG_OK;
    code = init_within_bounds(&provided);
    if (code != MPI_SUCCESS)
        return pdag_error(PDAG_ERR_COMM, "MPI_Init_thread failed (%d)", code);
    started = 1;
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, rank_out);
    MPI_Comm_size(MPI_COMM_WORLD, size_out);
    pdag_fatal_set_hook(abort_all_ranks);
    pdag_fatal_set_rank(*rank_out);
    count_local_ranks(*rank_out);
    if (*rank_out > 0)
        die_with_launcher();
    if (provided < MPI_THREAD_FUNNELED)
        return pdag_error(PDAG_ERR_UNSUPPORTED, "this MPI does not allow "
                          "threads (MPI_THREAD_FUNNELED)");
    return PDAG_OK;
}

/* Dead ranks. */

static int is_death(int code)
{
#ifdef PDAG_HAVE_ULFM
    int class = MPI_SUCCESS;

    MPI_Error_class(code, &class);
    return class == MPIX_ERR_PROC_FAILED || class == MPIX_ERR_PROC_FAILED_PENDING;
#else
    (void)code;
    return 0;
#endif
}

/* What has not arrived whole from a dead rank, or left for it, never will. */
static void abandon_transfers(transfers *list, int rank)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->n; i++)
        if (list->item[i].peer != rank || list->item[i].done)
            list->item[kept++] = list->item[i];
    list->n = kept;
}

static void note_death(mpi_comm *m, int rank)
{
    if (m->state[rank] != RANK_ALIVE)
        return; /* known, or no loss */
    m->state[rank] = RANK_DEAD;
    m->n_dead++;
    abandon_transfers(&m->in, rank);
}

static void note_gone(mpi_comm *m, int rank)
{
    if (m->state[rank] == RANK_DEAD)
        m->n_dead--;
    m->state[rank] = RANK_GONE;
}

/* Probes of any source fail until every death known to the library has been
   acknowledged. */
static void note_all_deaths(mpi_comm *m)
{
#ifdef PDAG_HAVE_ULFM
    MPI_Group world;
    MPI_Group failed;
    int n = 0;

    MPIX_Comm_failure_ack(MPI_COMM_WORLD);
    MPIX_Comm_failure_get_acked(MPI_COMM_WORLD, &failed);
    MPI_Comm_group(MPI_COMM_WORLD, &world);
    MPI_Group_size(failed, &n);
    for (int i = 0; i < n; i++) {
        int rank = MPI_UNDEFINED;

        MPI_Group_translate_ranks(failed, 1, &i, world, &rank);
        if (rank != MPI_UNDEFINED)
            note_death(m, rank);
    }
    MPI_Group_free(&world);
    MPI_Group_free(&failed);
#else
    (void)m;
#endif
}

/* A worker needs the scheduler only. */
static pdag_status check_scheduler(const mpi_comm *m)
{
    if (m->comm.self != 0 && m->state[0] != RANK_ALIVE && !m->said_gone)
        return pdag_error(PDAG_ERR_LOST, "the scheduler (rank 0) is lost");
    return PDAG_OK;
}

/* Transfers. */

static transfer *add_transfer(transfers *list, int peer, pdag_msg *msg, int bytes)
{
    transfer *t;

    if (list->n == list->room) {
        list->room = 2 * list->room + 16;
        list->item = pdag_xrealloc(list->item, list->room, sizeof *list->item);
    }
    t = &list->item[list->n++];
    t->msg = msg;
    t->peer = peer;
    t->bytes = bytes;
    t->done = 0;
    return t;
}

/* Forget the sends that MPI has finished. */
static pdag_status reap(mpi_comm *m)
{
    size_t kept = 0;
    pdag_status status = PDAG_OK;

    for (size_t i = 0; i < m->out.n; i++) {
        transfer *t = &m->out.item[i];
        int code;

        if (m->state[t->peer] >= RANK_DEAD)
            continue;
        code = MPI_Test(&t->request, &t->done, MPI_STATUS_IGNORE);
        if (is_death(code)) {
            note_death(m, t->peer);
            continue;
        }
        if (code != MPI_SUCCESS)
            status = mpi_failed("MPI_Test", code);
        if (t->done || code != MPI_SUCCESS)
            pdag_msg_free(t->msg);
        else
            m->out.item[kept++] = *t;
    }
    m->out.n = kept;
    return status != PDAG_OK ? status : check_scheduler(m);
}

static pdag_status mpi_send(pdag_comm *comm, int peer, pdag_msg *msg)
{
    mpi_comm *m = (mpi_comm *)comm;
    uint64_t bytes = sizeof *msg + msg->header.payload_bytes;
    pdag_status status = reap(m);
    transfer *t;
    int code;

    if (status == PDAG_OK && bytes > INT_MAX)
        status = pdag_error(PDAG_ERR_COMM, "message of %llu bytes is over MPI's "
                            "limit", (unsigned long long)bytes);
    if (status != PDAG_OK || m->state[peer] != RANK_ALIVE) {
        pdag_msg_free(msg);
        return status;
    }
    if (comm->self != 0 && msg->header.kind == PDAG_MSG_GONE)
        m->said_gone = 1;
    t = add_transfer(&m->out, peer, msg, (int)bytes);
    code = MPI_Isend(msg, t->bytes, MPI_BYTE, peer, MESSAGE_TAG, MPI_COMM_WORLD,
                     &t->request);
    if (code == MPI_SUCCESS)
        return PDAG_OK;
    m->out.n--;
    pdag_msg_free(msg);
    if (!is_death(code))
        return mpi_failed("MPI_Isend", code);
    note_death(m, peer);
    return check_scheduler(m);
}

/* Begin to receive the next message that is there; *there_out is 0 when none
   is. */
static pdag_status take_arrival(mpi_comm *m, int *there_out)
{
    int source = m->comm.self == 0 ? MPI_ANY_SOURCE : 0;
    MPI_Message matched;
    MPI_Status from;
    pdag_msg *msg;
    transfer *t;
    pdag_status status;
    int bytes = 0;
    int code = MPI_Improbe(source, MESSAGE_TAG, MPI_COMM_WORLD, there_out,
                           &matched, &from);

    if (is_death(code)) {
        *there_out = 0;
        note_all_deaths(m);
        return check_scheduler(m);
    }
    if (code != MPI_SUCCESS)
        return mpi_failed("MPI_Improbe", code);
    if (!*there_out)
        return PDAG_OK;
    MPI_Get_count(&from, MPI_BYTE, &bytes);
    if (m->state[from.MPI_SOURCE] == RANK_LOST ||
        (m->state[from.MPI_SOURCE] == RANK_DEAD && bytes > EAGER_BYTES))
        return PDAG_OK;
    status = pdag_msg_create(PDAG_MSG_STOP,
                             bytes > (int)sizeof *msg
                                 ? (uint64_t)bytes - sizeof *msg : 0, &msg);
    if (status != PDAG_OK)
        return status;
    t = add_transfer(&m->in, from.MPI_SOURCE, msg, bytes);
    code = MPI_Imrecv(msg, bytes, MPI_BYTE, &matched, &t->request);
    if (code == MPI_SUCCESS)
        return PDAG_OK;
    m->in.n--;
    if (!is_death(code))
        return mpi_failed("MPI_Imrecv", code);
    note_death(m, from.MPI_SOURCE);
    return check_scheduler(m);
}

static int is_behind(const transfers *list, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (list->item[i].peer == list->item[index].peer)
            return 1;
    return 0;
}

/* The first message that is complete, and no earlier one of its sender is still
   under way; NULL if there is none. */
static pdag_status finish_arrival(mpi_comm *m, int *peer_out, pdag_msg **msg_out)
{
    for (size_t i = 0; i < m->in.n; i++) {
        transfer *t = &m->in.item[i];
        transfer whole;
        int code = MPI_SUCCESS;

        if (!t->done)
            code = MPI_Test(&t->request, &t->done, MPI_STATUS_IGNORE);
        if (is_death(code) || (!t->done && m->state[t->peer] == RANK_DEAD)) {
            int dead = t->peer;

            t->done = 0;
            note_death(m, dead);
            abandon_transfers(&m->in, dead);
            i = (size_t)-1;
            continue;
        }
        if (code != MPI_SUCCESS)
            return mpi_failed("MPI_Test", code);
        if (!t->done || is_behind(&m->in, i))
            continue;
        whole = *t;
        m->in.n--;
        memmove(t, t + 1, (m->in.n - i) * sizeof *t);
        if (pdag_msg_check(whole.msg, (size_t)whole.bytes) != PDAG_OK) {
            pdag_msg_free(whole.msg);
            return PDAG_ERR_COMM;
        }
        *peer_out = whole.peer;
        *msg_out = whole.msg;
        return PDAG_OK;
    }
    return check_scheduler(m);
}

/* Once nothing more has come from it. */
static pdag_status report_death(mpi_comm *m, int *peer_out, pdag_msg **msg_out)
{
    int rank = 1;
    pdag_status status = pdag_msg_create(PDAG_MSG_LOST, 0, msg_out);

    if (status != PDAG_OK)
        return status;
    while (m->state[rank] != RANK_DEAD)
        rank++;
    m->state[rank] = RANK_LOST;
    m->n_dead--;
    *peer_out = rank;
    return PDAG_OK;
}

/* A dead scheduler's tasks are not worth their time. */
static pdag_status check_sender(mpi_comm *m, pdag_msg **msg)
{
    pdag_status status;

    if (m->comm.self == 0 || !pdag_mpi_survives())
        return PDAG_OK;
    note_all_deaths(m);
    status = check_scheduler(m);
    if (status != PDAG_OK) {
        pdag_msg_free(*msg);
        *msg = NULL;
    }
    return status;
}

static pdag_status mpi_receive(pdag_comm *comm, int *peer_out,
                               pdag_msg **msg_out)
{
    mpi_comm *m = (mpi_comm *)comm;
    pdag_status status = reap(m);
    int there = 0;

    *msg_out = NULL;
    if (status == PDAG_OK)
        status = take_arrival(m, &there);
    if (status == PDAG_OK && m->in.n > 0)
        status = finish_arrival(m, peer_out, msg_out);
    if (status != PDAG_OK)
        return status;
    if (*msg_out != NULL) {
        if ((*msg_out)->header.kind == PDAG_MSG_GONE)
            note_gone(m, *peer_out);
        return check_sender(m, msg_out);
    }
    if (m->n_dead > 0 && !there && comm->self == 0)
        return report_death(m, peer_out, msg_out);
    return PDAG_OK;
}

static pdag_status mpi_flushed(pdag_comm *comm, int *flushed_out)
{
    mpi_comm *m = (mpi_comm *)comm;
    pdag_status status = reap(m);

    *flushed_out = m->out.n == 0;
    return status;
}

static void mpi_destroy(pdag_comm *comm)
{
    mpi_comm *m = (mpi_comm *)comm;

    /* What is still under way after pdag_comm_flush() gave up belongs to MPI:
       its memory is left alone. */
    free(m->out.item);
    free(m->in.item);
    free(m->state);
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

    *comm_out = NULL;
    if (!started)
        return PDAG_OK;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (size == 1)
        return PDAG_OK;
    /* The world itself: nothing else in the process speaks over it, and making a
       duplicate would be a collective, which a rank's death breaks. */
    m = pdag_xcalloc(1, sizeof *m);
    MPI_Comm_rank(MPI_COMM_WORLD, &m->comm.self);
    m->comm.ops = &mpi_ops;
    m->comm.n_workers = size - 1;
    m->state = pdag_xcalloc((size_t)size, 1);
    *comm_out = &m->comm;
    return PDAG_OK;
}

/* A rank that waits in MPI_Finalize while another aborts makes the mpirun of Open
   MPI 4.1 crash or hang: nobody goes there before rank 0 does. */
static void end_together(void)
{
    MPI_Request word;
    int rank = 0;
    int size = 1;
    int there = 0;

    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (rank == 0) {
        for (int peer = 1; peer < size; peer++)
            MPI_Send(NULL, 0, MPI_BYTE, peer, END_TAG, MPI_COMM_WORLD);
        return;
    }
    MPI_Irecv(NULL, 0, MPI_BYTE, 0, END_TAG, MPI_COMM_WORLD, &word);
    while (MPI_Test(&word, &there, MPI_STATUS_IGNORE) == MPI_SUCCESS && !there)
        pdag_nap(PDAG_NAP_LONGEST);
}

void pdag_mpi_finish(int exit_status)
{
    if (!started)
        return;
    /* MPI_Finalize is a collective: after a death Open MPI 5.0 hangs or crashes
       in it, and under fault tolerance its mpirun takes a process that leaves
       without it for one that ended well. */
    if (pdag_mpi_survives()) {
        fflush(NULL);
        _exit(exit_status);
    }
    end_together();
    MPI_Finalize();
    started = 0;
}

void pdag_mpi_abort(int exit_status)
{
    /* Under fault tolerance an abort with status 0 is taken for a rank's end, and
       mpirun waits for the others. */
    if (started && exit_status == 0 && pdag_mpi_survives())
        exit_status = 1;
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
