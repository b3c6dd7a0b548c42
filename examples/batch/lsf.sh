#!/bin/bash
# bsub -env "all,JOB=/path/JOB.pb,OUTPUT=/path/OUTPUT" < examples/batch/lsf.sh
#
# Untested: written from IBM's manual of LSF, never run on one.
#
# Ten minutes before the run limit LSF sends USR1 (-wa, -wt) to the job's processes;
# picard-dag then writes a checkpoint and ends with status 5, and LSF puts the job
# back into the queue (-Q), where it resumes.  Which processes get the signal
# depends on the site, so --max-wall-time stops the run as well.

#BSUB -J picard-dag
#BSUB -n 8
#BSUB -R "span[ptile=4]"
#BSUB -W 60
#BSUB -wa USR1 -wt 10
#BSUB -r
#BSUB -Q "5 6"
#BSUB -o picard-dag-%J.log

# The -W above less two minutes, in seconds.
max_wall_time=3480
# How often one job may be started before a person should look at it; lsb.queues
# may limit it too (MAX_JOB_REQUEUE).
max_restarts=${PICARD_DAG_MAX_RESTARTS:-20}

# module load openmpi

if [ -z "${JOB:-}" ] || [ -z "${OUTPUT:-}" ]; then
    echo "usage: bsub -env all,JOB=JOB.pb,OUTPUT=DIR < lsf.sh" >&2
    exit 2
fi
starts=$OUTPUT.starts-$LSB_JOBID
date >> "$starts" || exit 1
export OMP_NUM_THREADS=1

# An Open MPI built for LSF takes nodes and slots from it.  A trapped signal ends
# wait early, with a status of its own.
trap 'signalled=1; kill -USR1 "$launcher"' USR1
mpirun picard-dag run "$JOB" -o "$OUTPUT" --resume \
    --max-wall-time "$max_wall_time" &
launcher=$!
while :; do
    signalled=0
    wait "$launcher"
    status=$?
    [ "$signalled" = 1 ] && [ "$status" -gt 128 ] || break
done
echo "$(date): picard-dag ended with status $status"

# A status other than 5 and 6 ends the job.
case $status in
5 | 6)
    if [ "$(wc -l < "$starts")" -gt "$max_restarts" ]; then
        echo "started more than $max_restarts times: not again" >&2
        exit 1
    fi
    ;;
esac
exit "$status"
