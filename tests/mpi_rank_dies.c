/* tests/mpi_rank_dies.c: started by tests/run_rank_dies.sh on several ranks of an
 * MPI that survives a death.
 *
 *     mpi_rank_dies VICTIMS BYTES SEED STATUS
 *
 * Ranks 1..VICTIMS kill themselves at a random moment while messages of BYTES bytes
 * go both ways.  The scheduler must hear LOST from each of them, once and after all
 * else, and GONE from the others; then every rank ends with STATUS.  With 0
 * victims the scheduler is the victim, and the others must find out. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fatal.h"
#include "base/mem.h"
#include "comm/mpi.h"

#define TASKS 1500
#define IN_FLIGHT 2
#define SCHEDULER_LOST 6

typedef struct plan {
    int rank, size;
    int victims;
    size_t bytes;
    int exit_status;
    int dies_after; /* messages */
} plan;

static void die(void)
{
    kill(getpid(), SIGKILL);
}

static pdag_msg *make(pdag_msg_kind kind, size_t bytes, int fill)
{
    pdag_msg *msg;

    PDAG_ASSERT(pdag_msg_create(kind, bytes, &msg) == PDAG_OK);
    memset(pdag_msg_payload(msg), fill, bytes);
    return msg;
}

static int is_filled(const pdag_msg *msg, size_t bytes, int fill)
{
    const unsigned char *payload = pdag_msg_payload_const(msg);

    if (msg->header.payload_bytes != bytes)
        return 0;
    for (size_t i = 0; i < bytes; i++)
        if (payload[i] != fill)
            return 0;
    return 1;
}

static int work(const plan *p, pdag_comm *comm)
{
    int n = 0;

    for (;;) {
        int peer;
        pdag_msg *msg;
        pdag_status status = pdag_comm_wait(comm, 1.0, &peer, &msg);

        if (status == PDAG_ERR_LOST)
            return SCHEDULER_LOST;
        PDAG_ASSERT(status == PDAG_OK);
        if (msg == NULL)
            continue;
        if (msg->header.kind == PDAG_MSG_STOP)
            break;
        PDAG_ASSERT(is_filled(msg, p->bytes, 0));
        pdag_msg_free(msg);
        status = comm->ops->send(comm, 0,
                                 make(PDAG_MSG_RESULT, p->bytes, p->rank));
        if (status == PDAG_ERR_LOST)
            return SCHEDULER_LOST;
        if (++n == p->dies_after && p->rank <= p->victims)
            die();
    }
    PDAG_ASSERT(pdag_comm_send_plain(comm, 0, PDAG_MSG_GONE, 0) == PDAG_OK);
    PDAG_ASSERT(pdag_comm_flush(comm, 10.0) == PDAG_OK);
    return p->exit_status;
}

static void give(pdag_comm *comm, int peer, size_t bytes)
{
    PDAG_ASSERT(comm->ops->send(comm, peer, make(PDAG_MSG_TASK, bytes, 0)) ==
                PDAG_OK);
}

/* One message; returns whether its sender has ended with it. */
static int take(const plan *p, pdag_comm *comm, int *ended, int *results)
{
    int peer;
    pdag_msg *msg;
    int last;

    PDAG_ASSERT(pdag_comm_wait(comm, 20.0, &peer, &msg) == PDAG_OK);
    PDAG_ASSERT(msg != NULL);
    PDAG_ASSERT(!ended[peer]);
    last = msg->header.kind != PDAG_MSG_RESULT;
    if (msg->header.kind == PDAG_MSG_LOST)
        PDAG_ASSERT(peer <= p->victims);
    else if (msg->header.kind == PDAG_MSG_GONE)
        PDAG_ASSERT(peer > p->victims);
    else
        PDAG_ASSERT(is_filled(msg, p->bytes, peer));
    ended[peer] = last;
    *results += !last;
    if (!last && (*results < TASKS || peer <= p->victims))
        give(comm, peer, p->bytes);
    pdag_msg_free(msg);
    return last;
}

static int schedule(const plan *p, pdag_comm *comm)
{
    int *ended = pdag_xcalloc((size_t)p->size, sizeof *ended);
    int n_ended = 0;
    int results = 0;

    for (int i = 0; i < IN_FLIGHT; i++)
        for (int peer = 1; peer < p->size; peer++)
            give(comm, peer, p->bytes);
    while ((results < TASKS || n_ended < p->victims) && n_ended < p->size - 1) {
        n_ended += take(p, comm, ended, &results);
        if (p->victims == 0 && results == p->dies_after)
            die();
    }
    /* To the dead too: dropped. */
    for (int peer = 1; peer < p->size; peer++)
        PDAG_ASSERT(pdag_comm_send_plain(comm, peer, PDAG_MSG_STOP, 0) ==
                    PDAG_OK);
    while (n_ended < p->size - 1)
        n_ended += take(p, comm, ended, &results);
    PDAG_ASSERT(pdag_comm_flush(comm, 10.0) == PDAG_OK);
    free(ended);
    return p->exit_status;
}

int main(int argc, char **argv)
{
    plan p;
    pdag_comm *comm;
    int exit_status;

    if (pdag_mpi_start(&p.rank, &p.size) != PDAG_OK || argc != 5 ||
        p.size < 2 || !pdag_mpi_survives() ||
        pdag_mpi_comm_create(&comm) != PDAG_OK)
        return 77;
    p.victims = atoi(argv[1]);
    p.bytes = strtoul(argv[2], NULL, 10);
    srand((unsigned)atoi(argv[3]) * 1009u + (unsigned)p.rank);
    p.dies_after = 1 + rand() % 100;
    p.exit_status = atoi(argv[4]);
    exit_status = p.rank == 0 ? schedule(&p, comm) : work(&p, comm);
    pdag_comm_destroy(comm);
    pdag_mpi_finish(exit_status);
    return exit_status;
}
