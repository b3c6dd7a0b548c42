#!/bin/sh
# An MPI that survives a dead rank (Open MPI 5 under `mpirun --with-ft ulfm`): the
# transport reports the death, and a whole run goes on with the same results.
# Arguments: number of whole runs (3), seed.
set -u
[ -n "${MPIEXEC:-}" ] && [ -x tests/mpi_rank_dies ] &&
    "$PICARD_DAG" info | grep -q 'with-ft' || {
    echo "no MPI that survives a dead rank: skipped"
    exit 77
}
src=${srcdir:-.}
runs=${1:-3}
seed=${2:-$(date +%s)}
out=$(mktemp -d) || exit 1
. "$src/tests/kill_lib.sh"
trap 'end_ranks; rm -rf "$out"' EXIT
random_state=$seed
echo "seed $seed"
failed=0

complain() {
    echo "run_rank_dies: seed $seed: $*" >&2
    failed=1
}


# victims, bytes, status; 0 victims: the scheduler
for case in '1 100 0' '2 20000 3' '3 300000 0' '0 100 6' '0 300000 6'; do
    set -- $case
    draw 10000
    timeout 60 "$MPIEXEC" --with-ft ulfm -np 4 tests/mpi_rank_dies "$1" "$2" \
        "$random" "$3" > "$out/text" 2>&1
    status=$?
    [ $status = "$3" ] || {
        complain "mpi_rank_dies $1 $2 $random $3: status $status"
        cat "$out/text" >&2
    }
done

make_rank_wrapper
set -- --set model.delay_ms=30 --set block_rows=2
"$PICARD_DAG" run "$src/examples/gaussian.pb" --set block_rows=2 -q \
    -o "$out/whole" || complain "the unbroken run: status $?"

# victims, status expected
broken() {
    victims=$1
    expected=$2
    shift 2
    rm -rf "$out/o" "$out/text" "$out"/pid.*
    timeout 120 "$MPIEXEC" --with-ft ulfm -np 4 "$out/rank" "$PICARD_DAG" run \
        "$src/examples/gaussian.pb" "$@" -o "$out/o" > "$out/text" 2>&1 &
    launcher=$!
    wait_for_line "$out/text" 300 'round 1' || complain "no first round"
    draw 700
    nap_ms $random
    for rank in $victims; do
        kill -9 "$(cat "$out/pid.$rank")" ||
            complain "rank $rank had ended before"
    done
    wait $launcher
    status=$?
    [ $status = "$expected" ] || {
        complain "rank $victims killed after $random ms: status $status"
        cat "$out/text" >&2
    }
    ranks_are_gone 50 || complain "rank $victims killed: a process is left"
}

i=0
while [ $i -lt "$runs" ]; do
    for victims in 2 '1 3' '1 2 3'; do
        broken "$victims" 0 "$@"
        same_results "$out/whole" "$out/o" ||
            complain "rank $victims killed after $random ms: other results"
    done
    broken 0 6 "$@" --checkpoint-seconds 0.1
    "$PICARD_DAG" run "$src/examples/gaussian.pb" "$@" -q --resume -o "$out/o" \
        || complain "resume after the scheduler's death: status $?"
    same_results "$out/whole" "$out/o" ||
        complain "the scheduler killed after $random ms: other results"
    i=$((i + 1))
done
exit $failed
