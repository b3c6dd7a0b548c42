#!/bin/sh
# Signals and kills at random moments of a run on a real MPI: nothing is left
# running, the end comes within seconds, and `run --resume`, on another number of
# ranks, ends with the results of an unbroken run.  A worker that only hangs does
# not even end the run.
# Arguments: number of such runs (12), seed.
set -u
[ -n "${MPIEXEC:-}" ] || {
    echo "no MPI: skipped"
    exit 77
}
src=${srcdir:-.}
runs=${1:-12}
seed=${2:-$(date +%s)}
out=$(mktemp -d) || exit 1
. "$src/tests/kill_lib.sh"
trap 'end_ranks; rm -rf "$out"' EXIT
random_state=$seed
echo "seed $seed"
failed=0
job=$src/examples/gaussian.pb
MPIEXEC_TIMEOUT=120
export MPIEXEC_TIMEOUT

complain() {
    echo "run_signals: seed $seed: run $i: $*" >&2
    failed=1
}

# A run that stopped by itself says so; where mpirun itself ends the job, its own
# status comes out.
check_status() {
    case $what in
        STOP*) expected=0 ;;
        USR1*) expected='0 5' ;;
        *) expected='0 1 5 6 137 143' ;;
    esac
    case " $expected " in
        *" $status "*) ;;
        *)
            complain "$what after $moment ms: status $status"
            cat "$out/text" >&2
            ;;
    esac
}

# Break a run on $ranks ranks at a random moment; $what is "SIGNAL mpirun" or
# "SIGNAL RANK".
break_run() {
    rm -rf "$out/o" "$out/text" "$out"/pid.*
    # A worker is stopped in mid-run: one that is stopped when all is done is waited
    # for by mpirun itself.
    case $what in STOP*) draw 600 ;; *) draw 2000 ;; esac
    moment=$random
    "$MPIEXEC" -np $ranks "$out/rank" "$PICARD_DAG" run "$job" "$@" \
        --checkpoint-seconds 0.2 --task-timeout 1 -o "$out/o" > "$out/text" 2>&1 &
    launcher=$!
    wait_for_line "$out/text" 300 'round 1' || complain 'no first round'
    nap_ms $moment
    target=${what#* }
    if [ "$target" = mpirun ]; then
        kill -"${what% *}" $launcher 2> /dev/null
    else
        kill -"${what% *}" "$(cat "$out/pid.$target")" 2> /dev/null
    fi
    wait $launcher 2> /dev/null
    status=$?
    [ $status = 0 ] || broken=$((broken + 1))
    check_status
    ranks_are_gone 50 || {
        complain "$what after $moment ms: a process is left"
        end_ranks
    }
}

go_on() {
    [ -d "$out/o/checkpoint" ] && resumed=$((resumed + 1))
    if [ $((i % 3)) = 0 ]; then
        "$PICARD_DAG" run "$job" "$@" -q --resume -o "$out/o"
    else
        "$MPIEXEC" -np $((2 + (ranks + i) % 3)) "$PICARD_DAG" run "$job" "$@" -q \
            --resume -o "$out/o"
    fi > "$out/text" 2>&1 || {
        complain "$what after $moment ms: resume: status $?"
        cat "$out/text" >&2
    }
    same_results "$out/whole" "$out/o" ||
        complain "$what after $moment ms: resume: other results"
    ls "$out/o"/checkpoint/* > /dev/null 2>&1 &&
        complain 'the checkpoint outlives the run'
}

i=0
broken=0
resumed=0
"$PICARD_DAG" run "$job" --set block_rows=2 -q -o "$out/whole" ||
    complain "the unbroken run: status $?"
make_rank_wrapper
set -- --set model.delay_ms=30 --set block_rows=2
while [ $i -lt "$runs" ]; do
    i=$((i + 1))
    ranks=$((2 + i % 3))
    case $((i % 6)) in
        0) what="KILL 0" ;;
        1) what="USR1 mpirun" ;;
        2) what="TERM mpirun" ;;
        3) what="KILL $((ranks - 1))" ;;
        4) what="KILL mpirun" ;;
        5) what="STOP $((ranks - 1))" ;;
    esac
    break_run "$@"
    go_on "$@"
done
echo "$runs runs, $broken broken, $resumed resumed from a checkpoint"
[ "$runs" -lt 10 ] || [ $resumed -gt 0 ] || complain 'nothing to resume'
exit $failed
