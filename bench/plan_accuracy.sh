#!/bin/sh
# bench/plan_accuracy.sh --program build/picard-dag > bench/results/plan_accuracy.csv
#
# How far `picard-dag plan` is from the run that it plans, with tasks that sleep (so
# that ranks need not have cores of their own): the seconds of sampling predicted
# from --task-seconds and --rounds with nothing known, those predicted by the
# second run from what the first has left, and the third run's replay from its own
# figures; each error in percent of the seconds that the run took.
#
#     --delay MS       of a row (default 10)
#     --ranks "1 2 .." (default "1 2 4 8")
#     --job JOB        (default examples/gaussian.pb)
set -u
program=picard-dag
delay=10
ranks="1 2 4 8"
job=$(dirname "$0")/../examples/gaussian.pb
while [ $# -gt 1 ]; do
    case $1 in
    --program) program=$2 ;;
    --delay) delay=$2 ;;
    --ranks) ranks=$2 ;;
    --job) job=$2 ;;
    *) break ;;
    esac
    shift 2
done
[ $# = 0 ] || { sed -n '2,14s/^# \{0,1\}//p' "$0" >&2; exit 2; }
out=$(mktemp -d) || exit 1
trap 'rm -rf "$out"' EXIT

number() { # file, key: the first number of this name
    sed -n "s/^ *\"$2\": *\([-0-9.e+]*\),*\$/\1/p" "$1" | head -n 1
}

run() { # ranks, settings: into $out/run
    n=$1
    shift
    ${MPIEXEC:-mpirun} -np "$n" "$program" run "$job" -q --force -o "$out/run" \
        --set model.delay_ms="$delay" "$@" || exit 1
}

plan() { # ranks, settings
    n=$1
    shift
    "$program" plan "$job" --json -q --ranks "$n" --set model.delay_ms="$delay" \
        "$@" > "$out/plan.json" || exit 1
}

percent() { # predicted, measured
    awk -v p="$1" -v m="$2" 'BEGIN { printf "%.1f", 100 * (p - m) / m }'
}

echo "ranks,window,block_rows,rounds,measured,given,given_percent,again,stored,\
stored_percent,replay_percent"
for n in $ranks; do
    for window in 0 8; do
        for block in 1 4; do
            settings="--set solver.window=$window --set block_rows=$block"
            XDG_CACHE_HOME=$out/cache-$n-$window-$block
            export XDG_CACHE_HOME
            # shellcheck disable=SC2086
            run "$n" $settings
            measured=$(sed -n '/"seconds": {/,/}/s/^ *"sample": *\([0-9.e+-]*\),*$/\1/p' \
                "$out/run/run.json" | head -n 1)
            rounds=$(number "$out/run/run.json" rounds)
            seconds=$(awk -v d="$delay" -v b="$block" 'BEGIN { print d * b / 1000 }')
            # shellcheck disable=SC2086
            XDG_CACHE_HOME=$out/none plan "$n" $settings --task-seconds "$seconds" \
                --rounds "$rounds"
            given=$(number "$out/plan.json" sample)
            # shellcheck disable=SC2086
            run "$n" $settings
            sed -n '/"prediction": {/,/}/p' "$out/run/run.json" > "$out/prediction"
            stored=$(number "$out/prediction" seconds)
            again=$(number "$out/prediction" measured)
            replay=$(number "$out/prediction" replay_seconds)
            printf '%s,%s,%s,%s,%.4f,%.4f,%s,%.4f,%.4f,%s,%s\n' "$n" "$window" \
                "$block" "$rounds" "$measured" "$given" \
                "$(percent "$given" "$measured")" "$again" "$stored" \
                "$(percent "$stored" "$again")" "$(percent "$replay" "$again")"
        done
    done
done
