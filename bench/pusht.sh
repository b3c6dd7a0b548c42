#!/bin/sh
# bench/pusht.sh [--program build/picard-dag] [--episodes 20] [--parts LIST]
#
# The shipped policy in PushT (examples/pusht.pb): mean score and success over
# episodes with the seeds 100000 ..., rounds, evaluations and milliseconds of a plan.
# Appends rows to a CSV file; what is there already is not run again, so it can be
# stopped and started at will.
#
# Parts:
#   sequential  DDPM-100 and DDIM-50, step by step
#   rounds      cut after 1 to 10 network rounds: picard, order-k,
#               triangular-anderson, secant, each from the noise and from the plan
#               before; and DDIM with as many steps
#   converged   the same solvers until they have converged
#   latency     one episode: sequential, on 1, 2 and 4 ranks, and the whole window
#               as one batch
#
# Options: --job FILE, --csv FILE, --first-seed S, --kinds LIST (ddpm-100,ddim-50),
# --counts LIST (1 to 10), --starts LIST (copies,trajectory), --methods LIST (secant,
# triangular-anderson,picard,order-k,ddim; ddim: fewer steps, one after the other);
# --table: print the rows there are as Markdown, and stop
set -u

top=$(cd "$(dirname "$0")/.." && pwd)
program=$top/build/picard-dag
job=$top/examples/pusht.pb
csv=$top/bench/results/pusht.csv
parts=sequential,rounds,converged,latency
kinds=ddpm-100,ddim-50
counts=1,2,3,4,5,6,7,8,9,10
starts=copies,trajectory
methods=secant,triangular-anderson,picard,order-k,ddim
episodes=20
first=100000
table=
while [ $# -gt 0 ]; do
    case $1 in
        --program) program=$2 ;;
        --job) job=$2 ;;
        --csv) csv=$2 ;;
        --parts) parts=$2 ;;
        --kinds) kinds=$2 ;;
        --counts) counts=$2 ;;
        --starts) starts=$2 ;;
        --methods) methods=$2 ;;
        --episodes) episodes=$2 ;;
        --first-seed) first=$2 ;;
        --table) table=yes; shift; continue ;;
        *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift 2
done
if [ -n "$table" ]; then
    awk -F, 'NR == 1 {
        print "| sampler | solver | from | cut at | ranks | rows a task | episodes |" \
            " score | success | rounds | evaluations | ms a plan (p95) |"
        print "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |" \
            " ---: | ---: |"
        next
    }
    {
        from = ($4 == "trajectory") ? "plan before" : "noise"
        cut = ($5 > 0) ? $5 : "-"
        rows = ($7 > 0) ? $7 : "-"
        printf("| %s | %s | %s | %s | %s | %s | %s | %.3f | %.2f | %.1f | %.0f |" \
            " %.0f (%.0f) |\n", $2, $3, from, cut, $6, rows, $8, $10, $11, $13, $14,
            $15, $16)
    }' "$csv"
    exit
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

header=part,sampler,method,start,most_rounds,ranks,block_rows,episodes,first_seed
header=$header,score_mean,success_rate,plans,rounds_mean,evaluations_mean
header=$header,latency_median_ms,latency_p95_ms
[ -s "$csv" ] || echo "$header" > "$csv"

list() { # a,b,c
    echo "$1" | tr , ' '
}

value() { # name of a number in rollout.json; the last of that name is the whole's
    sed -n "s/^ *\"$1\": \([-0-9.e+]*\),*\$/\1/p" "$out/run/rollout.json" | tail -n 1
}

# One rollout, one row.
measure() { # part, sampler, method, start, most rounds or 0, ranks, block rows, episodes
    key=$1,$2,$3,$4,$5,$6,$7,$8,$first
    grep -q "^$key," "$csv" && return
    count=$8
    kind=${2%-*}
    set -- "$2" "$3" "$4" "$5" "$6" "$7"
    launch=
    [ "$5" -gt 1 ] && launch="mpirun --oversubscribe -np $5"
    rows=
    [ "$6" -gt 0 ] && rows="--set block_rows=$6"
    # shellcheck disable=SC2086
    $launch "$program" rollout "$job" --set "sampler.kind=$kind" \
        --set "sampler.steps=${1#*-}" --set "solver.method=$2" \
        --set "solver.start=$3" --set "solver.max_rounds=$4" $rows \
        --episodes "$count" --first-seed "$first" -q --force -o "$out/run" \
        > /dev/null
    status=$?
    if [ $status != 0 ] && [ $status != 3 ]; then
        echo "bench/pusht.sh: $key: status $status" >&2
        exit 1
    fi
    row=$key
    for name in score_mean success_rate plans rounds_mean evaluations_mean median p95; do
        row=$row,$(value $name)
    done
    echo "$row" | tee -a "$csv"
}

for part in $(list "$parts"); do
    for sampler in $(list "$kinds"); do
        case $part in
        sequential)
            measure "$part" "$sampler" sequential copies 0 1 0 "$episodes" ;;
        converged)
            for method in $(list "$methods"); do
                [ "$method" = ddim ] && continue
                for start in $(list "$starts"); do
                    measure "$part" "$sampler" "$method" "$start" 0 1 0 "$episodes"
                done
            done ;;
        rounds)
            for k in $(list "$counts"); do
                for method in $(list "$methods"); do
                    [ "$method" = ddim ] && continue
                    for start in $(list "$starts"); do
                        measure "$part" "$sampler" "$method" "$start" "$k" 1 0 \
                            "$episodes"
                    done
                done
            done ;;
        latency)
            n=${sampler#*-}
            measure "$part" "$sampler" sequential copies 0 1 0 1
            for ranks in 1 2 4; do
                measure "$part" "$sampler" secant trajectory 0 $ranks 0 1
            done
            measure "$part" "$sampler" secant trajectory 0 1 "$n" 1 ;;
        esac
    done
    case $part,$methods in rounds,*ddim*) ;; *) continue ;; esac
    for k in $(list "$counts"); do
        measure "$part" "ddim-$k" sequential copies 0 1 0 "$episodes"
    done
done
