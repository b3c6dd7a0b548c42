#!/bin/sh
# Whole runs of the program: the same bytes in one process and on 1, 2, 3 and 8
# ranks, and the sequential sampler's result within tolerance.
set -u
# shellcheck source=tests/script_lib.sh
. "${srcdir:-.}/tests/script_lib.sh"

# job, then settings
check_job() {
    job=$1
    shift
    name=$(basename "$job" .pb)
    "$PICARD_DAG" run "$job" "$@" -q -o "$out/$name-0" ||
        complain "$name: one process: status $?"
    if [ -n "${MPIEXEC:-}" ]; then
        for ranks in 1 2 3 8; do
            "$MPIEXEC" -np $ranks "$PICARD_DAG" run "$job" "$@" -q \
                -o "$out/$name-$ranks" ||
                complain "$name: $ranks ranks: status $?"
            for file in sample-000.npy sample-000.png sample-001.npy; do
                [ -e "$out/$name-0/$file" ] || continue
                cmp "$out/$name-0/$file" "$out/$name-$ranks/$file" ||
                    complain "$name: $file differs on $ranks ranks"
            done
            grep -q "\"ranks\": $ranks," "$out/$name-$ranks/run.json" ||
                complain "$name: run.json does not say $ranks ranks"
        done
        "$MPIEXEC" -np 3 "$PICARD_DAG" run "$job" "$@" -q \
            --dedicated-scheduler -o "$out/$name-d" ||
            complain "$name: dedicated scheduler: status $?"
        cmp "$out/$name-0/sample-000.npy" "$out/$name-d/sample-000.npy" ||
            complain "$name: differs with a dedicated scheduler"
        "$MPIEXEC" -np 3 "$PICARD_DAG" run "$job" "$@" -q \
            --set policy=barrier -o "$out/$name-b" ||
            complain "$name: policy barrier: status $?"
        cmp "$out/$name-0/sample-000.npy" "$out/$name-b/sample-000.npy" ||
            complain "$name: differs with a barrier between rounds"
    fi
    grep -q '"stop": "converged"' "$out/$name-0/run.json" ||
        complain "$name: did not converge"
}

# The parallel run ends where the sequential one does: a final state within 1 %,
# the bound of `verify`; in the picture that is above 40 dB.
check_sequential() {
    name=$(basename "$1" .pb)
    "$PICARD_DAG" run "$1" -q -o "$out/$name-p" || complain "$name: status $?"
    "$PICARD_DAG" run "$1" -q --set solver.method=sequential \
        -o "$out/$name-s" || complain "$name: sequential: status $?"
    tests/npy_distance "$out/$name-p/sample-000.npy" \
        "$out/$name-s/sample-000.npy" 0.01 ||
        complain "$name: parallel and sequential end in different states"
    grep -q '"stop": "sequential"' "$out/$name-s/run.json" ||
        complain "$name: the sequential run does not say so"
}

check_job "$src/examples/gaussian.pb" --set samples=2 --set sampler.steps=30
check_job "$src/examples/sd.pb" --set sampler.steps=6 --set solver.window=4
check_job "$src/examples/sd-pcm.pb" --set sampler.steps=6 --set pcm.rounds=3 \
    --set block_rows=1
check_sequential "$src/examples/gaussian.pb"
check_sequential "$src/examples/sd.pb"
[ -n "${MPIEXEC:-}" ] || { [ $failed = 0 ] && echo "no MPI: one process only"; }
exit $failed
