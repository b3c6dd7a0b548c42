/* tests/mpi_worker_fails.c: started by tests/run_worker_fails.sh on several ranks.
 * The worker on the last rank fails (argument "fail") or gives a NaN ("nan") at
 * its third task; every rank must end by itself with the status that rank 0
 * announces.  Exit status 0: it all happened so. */
#include <stdio.h>
#include <string.h>

#include "comm/mpi.h"
#include "tests/fake_workers.h"
#include "tests/run_bench.h"

#define ANNOUNCED 7

static int schedule(pdag_comm *comm, pdag_status expected, const char *text)
{
    run_bench b;
    pdag_run_result result;
    pdag_status status;
    int ok;

    run_bench_open(&b, 0, NULL);
    status = pdag_scheduler_run(&b.setup, comm, &result);
    ok = status == expected && strstr(pdag_error_text(), text) != NULL;
    if (!ok)
        fprintf(stderr, "mpi_worker_fails: %d: %s\n", status,
                pdag_error_text());
    if (pdag_run_stop_workers(comm, ANNOUNCED, 30.0, &result) != PDAG_OK)
        ok = 0;
    pdag_run_result_clear(&result);
    run_bench_close(&b);
    return ok;
}

int main(int argc, char **argv)
{
    int nan = argc > 1 && strcmp(argv[1], "nan") == 0;
    pdag_comm *comm;
    int rank;
    int size;
    int ok;

    if (pdag_mpi_start(&rank, &size) != PDAG_OK || size < 2 ||
        pdag_mpi_comm_create(&comm) != PDAG_OK)
        return 77;
    if (rank == 0) {
        ok = nan ? schedule(comm, PDAG_ERR_NAN, "not finite")
                 : schedule(comm, PDAG_ERR_BACKEND, "on fire");
    } else {
        fake_worker worker;

        memset(&worker, 0, sizeof worker);
        worker.endpoint = comm;
        worker.dim = PDAG_BENCH_DIM;
        /* Whichever is the first to have done so many. */
        if (nan)
            worker.nan_at = 3;
        else
            worker.fail_at = 3;
        fake_worker_loop(&worker);
        ok = worker.exit_status == ANNOUNCED;
        pdag_comm_flush(comm, 10.0);
    }
    pdag_comm_destroy(comm);
    pdag_mpi_finish(ok ? 0 : 1);
    return ok ? 0 : 1;
}
