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
#   rounds      cut after 1 to 10 network rounds: every method, each from the noise and
#               from the plan before; and DDIM with as many steps
#   converged   the same solvers until they have converged
#   latency     one episode: sequential, on 1, 2 and 4 ranks, and the whole window
#               as one batch
#
# Options: --job FILE, --csv FILE, --first-seed S, --kinds LIST (ddpm-100,ddim-50),
# --counts LIST (1 to 10), --starts LIST (copies,trajectory), --methods LIST (picard,
# order-k,triangular-anderson,secant,pcm-unmixed,pcm-secant,ddim); --table: print
# what there is as Markdown (scores after k rounds, episodes in brackets), and stop.
#
# pcm-secant has the trained change in the first round (and, since it is near then, a
# slope of small variance after it), pcm-unmixed in all, on the plain sweep; after one
# round they are the same.  They are measured only as they were trained: with DDPM-100,
# from the plan before.  ddim: fewer steps, one after the other.
set -u

top=$(cd "$(dirname "$0")/.." && pwd)
program=$top/build/picard-dag
job=$top/examples/pusht.pb
csv=$top/bench/results/pusht.csv
parts=sequential,rounds,converged,latency
kinds=ddpm-100,ddim-50
counts=1,2,3,4,5,6,7,8,9,10
starts=copies,trajectory
methods=picard,order-k,triangular-anderson,secant,pcm-unmixed,pcm-secant,ddim
lora=$top/examples/models/pusht-pcm/pytorch_lora_weights.safetensors
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
    awk -F, '
        function from(start) { return start == "trajectory" ? "plan before" : "noise" }
        NR == 1 { next }
        $1 != "rounds" || $3 == "sequential" {
            others[++n] = sprintf("| %s | %s | %s | %s | %s | %s | %.3f | %.2f | %.1f" \
                " | %.0f | %.0f (%.0f) |", $2, $3, from($4), $6, $7 > 0 ? $7 : "-", $8,
                $10, $11, $13, $14, $15, $16)
            next
        }
        {
            key = $3 " | " from($4)
            if (!(key in known)) names[++m] = key
            known[key]
            if ($8 + 0 > most[key, $5]) {
                most[key, $5] = $8
                score[key, $5] = sprintf("%.3f (%d)", $10, $8)
            }
        }
        END {
            print "| solver | from | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 |"
            print "| --- | --- |" " ---: | ---: | ---: | ---: | ---: | ---: | ---: |" \
                " ---: | ---: | ---: |"
            for (i = 1; i <= m; i++) {
                line = "| " names[i] " |"
                for (k = 1; k <= 10; k++) line = line " " score[names[i], k] " |"
                print line
            }
            print "\n| sampler | solver | from | ranks | rows a task | episodes | score" \
                " | success | rounds | evaluations | ms a plan (p95) |"
            print "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |" \
                " ---: |"
            for (i = 1; i <= n; i++) print others[i]
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

# What a method's name sets.
settings() {
    case $1 in
        pcm-unmixed) echo "solver.method=secant solver.history=0 model.lora=$lora" ;;
        pcm-secant)
            echo "solver.method=secant pcm.path=$lora pcm.rounds=1" \
                "pcm.variance=0.03 solver.variance=0.001"
            ;;
        *) echo "solver.method=$1" ;;
    esac
}

# One rollout, one row.
measure() { # part, sampler, method, start, most rounds or 0, ranks, block rows, episodes
    case $2,$3,$4 in *,pcm-*,*) [ "$2,$4" = ddpm-100,trajectory ] || return 0 ;; esac
    key=$1,$2,$3,$4,$5,$6,$7,$8,$first
    grep -q "^$key," "$csv" && return
    count=$8
    kind=${2%-*}
    set -- "$2" "$3" "$4" "$5" "$6" "$7"
    launch=
    [ "$5" -gt 1 ] && launch="mpirun --oversubscribe -np $5"
    rows=
    [ "$6" -gt 0 ] && rows="--set block_rows=$6"
    method=
    for setting in $(settings "$2"); do
        method="$method --set $setting"
    done
    # shellcheck disable=SC2086
    $launch "$program" rollout "$job" --set "sampler.kind=$kind" \
        --set "sampler.steps=${1#*-}" $method \
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
                    case $k,$method in *,ddim | 1,pcm-secant) continue ;; esac
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
