#!/bin/sh
# bench/pcm.sh --build build [--ranks 2] [--seeds 1] > bench/results/pcm.csv
#
# Solvers with and without the shipped Picard-consistency model on examples/sd-pcm.pb:
# rounds to four criteria (compare.csv, on standard output) and, on standard error, the
# quality of the picture after each round. Eight prompts, about five minutes on two
# cores.
set -eu
build=build ranks=2 seeds=1
while [ $# -gt 0 ]; do
    case $1 in
        --build) build=$2 ;;
        --ranks) ranks=$2 ;;
        --seeds) seeds=$2 ;;
        *) sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift 2
done
top=$(cd "$(dirname "$0")/.." && pwd)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
set --
for prompt in "red heart" "rocket" "cat face" "green apple" "hot beverage" "sailboat" \
    "thumbs up" "crescent moon"; do
    set -- "$@" --set "prompt=$prompt"
done
mpirun --oversubscribe -np "$ranks" "$build/picard-dag" compare \
    "$top/examples/sd-pcm.pb" "$@" --seeds "$seeds" -q -o "$out" --solvers \
    picard,picard+pcm,triangular-anderson,triangular-anderson+pcm,secant,secant+pcm >&2
cat "$out/compare.csv"
if [ -n "${REPORT:-}" ]; then
    cp "$out/compare.html" "$out/compare.json" "$REPORT/"
fi
