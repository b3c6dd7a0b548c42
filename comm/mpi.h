/** comm/mpi.h: the MPI transport, and what a program needs of MPI besides.
 *  Without MPI (configure --without-mpi) comm/mpi_none.c gives one process. */
#ifndef PDAG_COMM_MPI_H
#define PDAG_COMM_MPI_H

#include "base/status.h"
#include "comm/comm.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Whether a launcher (mpirun, srun) started this process as one of several;
 *  reads the environment only. */
int pdag_mpi_launched(void);

/** MPI_Init where a launcher started us (else one process, rank 0 of 1), and the
 *  abort hook of base/fatal.h.  Collective over the launched processes. */
pdag_status pdag_mpi_start(int *rank_out, int *size_out);

/** Number of this process among those of its machine, from 0 in the order of ranks;
 *  rank 0 does not count unless `with_rank_0`.  0 before pdag_mpi_start(). */
int pdag_mpi_local(int with_rank_0);

/** Endpoint of this rank: rank 0 the scheduler, ranks 1.. its workers.
 *  *comm_out is NULL when size is 1.  Collective. */
pdag_status pdag_mpi_comm_create(pdag_comm **comm_out);

/** The end, of every rank: MPI_Finalize, which is collective.  Where ranks may
 *  die the process ends here instead, with this exit status (Open MPI's
 *  MPI_Finalize hangs or crashes after a death). */
void pdag_mpi_finish(int exit_status);

/** End all ranks now, with this exit status; the last resort. */
void pdag_mpi_abort(int exit_status);

/** Whether this MPI library can go on after a rank's death (ULFM), and whether
 *  this process was started so: `mpirun --with-ft ulfm`. */
int pdag_mpi_has_ulfm(void);
int pdag_mpi_survives(void);

/** "Open MPI v4.1.4 ..." or "none"; borrowed, for `info` and run.json. */
const char *pdag_mpi_version(void);

#ifdef __cplusplus
}
#endif
#endif
