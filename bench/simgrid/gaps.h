/** bench/simgrid/gaps.h: what comm/mpi.c uses of MPI and SimGrid 3.32 has not.  Put
 *  before it with -include.
 *
 *  Matched probes are declared there and end the program.  With one thread a rank
 *  the message that a probe saw is the one that a receive from the same sender gets
 *  next, so a plain probe and receive do the same; a blocking one, since the
 *  message is there, and since each test of a request there takes longer the more
 *  requests there have been.  A test of no request is an error there and does not
 *  say that it is done.  MPI_THREAD_FUNNELED is refused; with a dedicated scheduler
 *  no rank has a second thread. */
#ifndef PDAG_BENCH_SIMGRID_GAPS_H
#define PDAG_BENCH_SIMGRID_GAPS_H

#include <mpi.h>
#include <stddef.h>

static MPI_Status gaps_seen;
static MPI_Comm gaps_comm;

static inline int gaps_probe(int source, int tag, MPI_Comm comm, int *there,
                             MPI_Message *message, MPI_Status *status)
{
    int code = MPI_Iprobe(source, tag, comm, there, status);

    (void)message;
    if (code == MPI_SUCCESS && *there) {
        gaps_seen = *status;
        gaps_comm = comm;
    }
    return code;
}

static inline int gaps_begin_receive(void *buffer, int count, MPI_Datatype type,
                                     MPI_Message *message, MPI_Request *request)
{
    (void)message;
    *request = MPI_REQUEST_NULL;
    return MPI_Recv(buffer, count, type, gaps_seen.MPI_SOURCE, gaps_seen.MPI_TAG,
                    gaps_comm, MPI_STATUS_IGNORE);
}

static inline int gaps_test(MPI_Request *request, int *done, MPI_Status *status)
{
    if (*request != MPI_REQUEST_NULL)
        return MPI_Test(request, done, status);
    *done = 1;
    return MPI_SUCCESS;
}

static inline int gaps_init(int wanted, int *provided)
{
    int code = MPI_Init(NULL, NULL);

    *provided = wanted;
    return code;
}

#define MPI_Improbe gaps_probe
#define MPI_Test gaps_test
#define MPI_Imrecv gaps_begin_receive
#define MPI_Init_thread(argc, argv, wanted, provided) gaps_init(wanted, provided)

#endif
