#!/bin/sh
# bench/neighbour.sh --build build [--csv FILE]
#
# Starting from a neighbouring prompt's trajectory (ParaTAA, section 4.2) on
# examples/models/emoji-sd, DDIM-50, guidance 3: rounds and evaluations until every
# residual and change is within 1e-3, by the number of rows that stay the neighbour's
# (solver.start_row; T_init of the paper is 50 less that), and how far the final state
# is then from the prompt's own: relative RMS. The noise is the same. Row 0: nothing is
# kept, all is only a guess, and the result is the prompt's own. Needs a build with its
# tests (`make check`).
#
# Appended to bench/results/neighbour.csv; what is there is not run again. About ten
# minutes of one core. Column start_row: -1 is a run from scratch.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
build=build
csv=$top/bench/results/neighbour.csv
while [ $# -gt 0 ]; do
    case $1 in
        --build) build=$2 ;;
        --csv) csv=$2 ;;
        *) sed -n '2,15s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift 2
done
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
[ -e "$csv" ] ||
    echo "solver,from,prompt,start_row,rounds,evaluations,distance" > "$csv"

fact() { # name: the sample's
    sed -n "/^  \"samples\"/,\$s/^ *\"$1\": *\([0-9]*\),*\$/\1/p" \
        "$out/run/run.json" | head -n 1
}

measure() { # solver, from, prompt, start row
    grep -q "^$1,$2,$3,$4," "$csv" && return
    start="--set solver.start=trajectory --set solver.start_from=$out/from"
    [ "$4" -ge 0 ] && start="$start --set solver.start_row=$4" || start=
    # shellcheck disable=SC2086
    "$program" run "$top/examples/sd.pb" $common --set "solver.method=$1" $start \
        --set "prompt=$3" -q --force -o "$out/run"
    distance=$("$build/tests/npy_distance" "$out/own/sample-000.npy" \
        "$out/run/sample-000.npy" 1e9)
    echo "$1,$2,$3,$4,$(fact rounds),$(fact evaluations),$distance" >> "$csv"
}

program=$build/picard-dag
common="--set guidance_scale=3 --set seed=101 --set solver.window=0
    --set solver.stop=error --set block_rows=5 --set solver.history="
while IFS=, read -r from prompt; do
    # shellcheck disable=SC2086
    "$program" run "$top/examples/sd.pb" $common --set solver.method=sequential \
        --set "prompt=$from" --save-trajectory -q --force -o "$out/from"
    # shellcheck disable=SC2086
    "$program" run "$top/examples/sd.pb" $common --set solver.method=sequential \
        --set "prompt=$prompt" -q --force -o "$out/own"
    for row in -1 0 5 15 25 35; do
        measure secant "$from" "$prompt" $row
        measure triangular-anderson "$from" "$prompt" $row
    done
done <<END
green apple,red apple
blue heart,red heart
thumbs down,thumbs up
END
