#!/bin/bash
# qsub -v JOB=/path/JOB.pb,OUTPUT=/path/OUTPUT examples/batch/pbs.sh
#
# Untested: written from the manual of OpenPBS / PBS Professional, never run on one.
#
# PBS sends TERM at the time limit and KILL a few seconds later, too late to rely
# on; so picard-dag is told the limit itself, stops two minutes before it with a
# checkpoint and status 5, and this script submits itself again.

#PBS -N picard-dag
#PBS -l select=2:ncpus=4:mpiprocs=4
#PBS -l walltime=01:00:00
#PBS -j oe

# The walltime above less two minutes, in seconds.
max_wall_time=3480
# How often one job may be submitted again before a person should look at it.
max_restarts=${PICARD_DAG_MAX_RESTARTS:-20}
restarts=${RESTARTS:-0}

# module load openmpi

cd "$PBS_O_WORKDIR" || exit 1
if [ -z "${JOB:-}" ] || [ -z "${OUTPUT:-}" ]; then
    echo "usage: qsub -v JOB=JOB.pb,OUTPUT=DIR pbs.sh" >&2
    exit 2
fi
export OMP_NUM_THREADS=1

# An Open MPI built for PBS finds the nodes itself; others need the file.
mpirun --hostfile "$PBS_NODEFILE" picard-dag run "$JOB" -o "$OUTPUT" --resume \
    --max-wall-time "$max_wall_time"
status=$?
echo "$(date): picard-dag ended with status $status"

case $status in
5 | 6) # stopped at a safe point; a rank was lost: both go on with --resume
    if [ "$restarts" -ge "$max_restarts" ]; then
        echo "submitted again $restarts times already: not again" >&2
        exit "$status"
    fi
    # PBS runs a copy; this is the script as it was submitted.
    script=${SCRIPT:-$PBS_O_WORKDIR/examples/batch/pbs.sh}
    qsub -v "JOB=$JOB,OUTPUT=$OUTPUT,SCRIPT=$script,RESTARTS=$((restarts + 1))" \
        "$script" && exit 0
    ;;
esac
exit "$status"
