#include <stdlib.h>

#include "comm/mpi.h"

/* comm/mpi_launch.c: what a launcher leaves in the environment. */

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
