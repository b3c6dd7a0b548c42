#include <stdlib.h>

#include "comm/mpi.h"

/* comm/mpi_none.c: built instead of mpi.c without MPI: one process. */

int pdag_mpi_launched(void)
{
    return 0;
}

pdag_status pdag_mpi_start(int *rank_out, int *size_out)
{
    *rank_out = 0;
    *size_out = 1;
    return PDAG_OK;
}

int pdag_mpi_local(int with_rank_0)
{
    (void)with_rank_0;
    return 0;
}

pdag_status pdag_mpi_comm_create(pdag_comm **comm_out)
{
    *comm_out = NULL;
    return PDAG_OK;
}

void pdag_mpi_finish(int exit_status)
{
    (void)exit_status;
}

void pdag_mpi_abort(int exit_status)
{
    exit(exit_status);
}

int pdag_mpi_has_ulfm(void)
{
    return 0;
}

int pdag_mpi_survives(void)
{
    return 0;
}

const char *pdag_mpi_version(void)
{
    return "none";
}
