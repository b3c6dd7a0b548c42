#!/bin/sh
# bench/makespan.sh --build build [--quick] [--csv bench/results/makespan.csv]
#
# Makespan over ideal of real runs under mpirun, for networks that only sleep
# (bench/makespan.c, made in the build folder by this script): tasks of 1 and 10 ms,
# 2, 4 and 8 ranks, of equal speed and with every second one at half speed, a window
# of 100 rows, one and four samples.  Sleeping workers do not need a core each, but
# rank 0 needs one: on a machine that does other work the shortest of three runs is
# what counts (--quick: one run).  CSV, and a table on stdout.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
build=$top/build
csv=$top/bench/results/makespan.csv
repeats=3

die() {
    echo "makespan.sh: $*" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --build) build=$2; shift 2 ;;
    --csv) csv=$2; shift 2 ;;
    --quick) repeats=1; shift ;;
    *) die "$1: unknown option (see the head of this file)" ;;
    esac
done
make -s -C "$build" bench/makespan || die "bench/makespan does not build in $build"
program=$build/bench/makespan
: "${OMPI_MCA_rmaps_base_oversubscribe=1}"
: "${PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe}"
export OMPI_MCA_rmaps_base_oversubscribe PRTE_MCA_rmaps_default_mapping_policy
OMP_NUM_THREADS=1
export OMP_NUM_THREADS

# ranks, delay_ms, speeds, samples; the line of the shortest run
measure() {
    for repeat in $(seq $repeats); do
        "${MPIEXEC:-mpirun}" -np "$1" "$program" -s "$3" \
            "$top/examples/gaussian.pb" model.delay_ms="$2" sampler.steps=100 \
            solver.window=100 block_rows=1 samples="$4" ||
            die "$1 ranks, $2 ms: status $?"
    done | sort -t, -k 19 -n | head -n 1
}

mkdir -p "$(dirname "$csv")"
"$program" -n > "$csv" || exit 1
for delay in 10 1; do
    for ranks in 2 4 8; do
        for speeds in 1 1,0.5,1,0.5,1,0.5,1,0.5; do
            for samples in 1 4; do
                measure $ranks $delay $speeds $samples >> "$csv"
            done
        done
    done
done
awk -F, '
    NR == 1 { print "| task ms | ranks | speeds | samples | seconds | over ideal | over graph |"
              print "| --- | --- | --- | --- | --- | --- | --- |"; next }
    { printf "| %s | %d | %s | %d | %.3f | %.3f | %.3f |\n", $4, $1, $3, $10, $16,
          $19, $20 }' "$csv"
