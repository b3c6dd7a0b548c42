#!/bin/sh
# A worker that fails on a real MPI: the run ends on every rank, with one status,
# within seconds.
set -u
[ -n "${MPIEXEC:-}" ] && [ -x tests/mpi_worker_fails ] || {
    echo "no MPI or no Check: skipped"
    exit 77
}
for fault in fail nan; do
    for ranks in 2 3 4; do
        timeout 60 "$MPIEXEC" -np $ranks tests/mpi_worker_fails $fault || {
            echo "run_worker_fails: $fault on $ranks ranks: status $?" >&2
            exit 1
        }
    done
done
