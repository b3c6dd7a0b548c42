#!/bin/sh
# examples/batch/slurm.sbatch under a real Slurm of this one machine: a job that
# gets USR1 stops with a checkpoint, is requeued, resumes and ends with the bytes of
# an unbroken run; so does one that Slurm takes back without a warning, as it does
# when a node dies; one that may not be requeued again ends with status 5; one that
# fails is not requeued.  Slurm, its keys, ports and folders are this test's own.
set -u
PATH=$PATH:/usr/sbin:/sbin
src=$(cd "${srcdir:-.}" && pwd) || exit 1
[ -n "${MPIEXEC:-}" ] || { echo "no MPI"; exit 77; }
[ "$(id -u)" = 0 ] || { echo "not root: cannot start a Slurm"; exit 77; }
for program in munged slurmctld slurmd sbatch scontrol squeue scancel; do
    command -v $program >/dev/null || { echo "no $program"; exit 77; }
done

out=$(mktemp -d) || exit 1
failed=0
. "$src/tests/slurm_machine.sh"
trap 'slurm_stop; rm -rf "$out"' EXIT
trap 'exit 1' HUP INT TERM

complain() {
    echo "run_slurm: $*" >&2
    failed=1
}

# A command and how often to try it, twice a second.
await() {
    tries=$1
    shift
    while ! "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 0.5
    done
}

# Twenty milliseconds a row: some seconds on four tasks.
settings='--set model.delay_ms=20 --set sampler.steps=100 --set solver.window=8
    --set block_rows=1 --set samples=4 --checkpoint-seconds 0.5'

# name, then options of sbatch: submits the example, sets $job.
submit() {
    name=$1
    shift
    # shellcheck disable=SC2086
    job=$(cd "$out" && sbatch --parsable --nodes=1 --ntasks-per-node=4 \
        --time=5 --output="$out/$name.log" "$@" \
        "$src/examples/batch/slurm.sbatch" "$src/examples/gaussian.pb" \
        "$out/$name" $settings -q) || complain "$name: sbatch: status $?"
}

has_checkpoint() {
    ls "$out/$1/checkpoint/"*.ckpt >/dev/null 2>&1
}

in_state() { # job, states
    state=$(scontrol show job "$1" | sed -n 's/^ *JobState=\([A-Z_]*\).*/\1/p')
    case " $2 " in *" $state "*) return 0 ;; *) return 1 ;; esac
}

ended() {
    in_state "$1" "COMPLETED FAILED CANCELLED TIMEOUT NODE_FAIL"
}

has_checkpoint_or_ended() { # name, job
    has_checkpoint "$1" || ended "$2"
}

exit_code() {
    scontrol show job "$1" | sed -n 's/.* ExitCode=\([0-9]*\):.*/\1/p'
}

# Pass the signal of the time limit to the script, once there is a checkpoint.
interrupt() { # name, job
    await 60 has_checkpoint_or_ended "$1" "$2"
    if ! has_checkpoint "$1"; then
        complain "$1: no checkpoint after 30 seconds"
    elif ! scancel --signal=USR1 --batch "$2"; then
        complain "$1: scancel: status $?"
    fi
}

# A job that went on from its checkpoint and ended as if nothing had been.
check_end() { # name, job
    await 120 ended "$2" || complain "$1: still there after a minute"
    in_state "$2" COMPLETED || complain "$1: $state, status $(exit_code "$2")"
    grep -q 'restart 1' "$out/$1.log" || complain "$1: was not requeued"
    [ "$(grep -c 'starting anew' "$out/$1.log")" = 1 ] ||
        complain "$1: the second start did not go on from the checkpoint"
    for index in 0 1 2 3; do
        cmp "$out/unbroken/sample-00$index.npy" "$out/$1/sample-00$index.npy" ||
            complain "$1: sample $index differs from the unbroken run's"
    done
}

slurm_start "$out" || { complain "Slurm did not start"; slurm_logs; exit 1; }
PATH=$(dirname "$PICARD_DAG"):$(dirname "$(command -v "$MPIEXEC")"):$PATH
export PATH

# shellcheck disable=SC2086
"$PICARD_DAG" run "$src/examples/gaussian.pb" $settings -q \
    --set model.delay_ms=0 -o "$out/unbroken" || complain "unbroken: status $?"

submit resumed
interrupt resumed "$job"
check_end resumed "$job"
grep -q 'ended with status 5' "$out/resumed.log" ||
    complain "resumed: was not stopped at a safe point"

submit taken
await 60 has_checkpoint_or_ended taken "$job"
scontrol requeue "$job" || complain "taken: scontrol: status $?"
check_end taken "$job"

PICARD_DAG_MAX_RESTARTS=0 submit limited
interrupt limited "$job"
await 60 ended "$job" || complain "limited: still there after 30 seconds"
[ "$(exit_code "$job")" = 5 ] ||
    complain "limited: status $(exit_code "$job"), expected 5"

settings='--set sampler.steps=-1'
submit refused
await 60 ended "$job" || complain "refused: still there after 30 seconds"
[ "$(exit_code "$job")" = 2 ] ||
    complain "refused: status $(exit_code "$job"), expected 2"

if [ $failed = 1 ]; then
    slurm_logs
    for name in resumed taken limited refused; do
        echo "--- $name.log"
        cat "$out/$name.log"
    done
fi >&2
exit $failed
