#!/bin/sh
# bench/fashion_rounds.sh --build build --work DIR [--batches 4] [--python VENV/bin/python]
#
# Quality of the picture after every round on examples/dit.pb (the class-conditional
# DiT, DDIM-50, guided): Frechet distance to the test split of Fashion-MNIST with a
# classifier's features, beside the sequential sampler with k steps. Writes
# bench/results/fashion_rounds.csv and the tables on standard output.
#
# Batches of 50 pictures, five of each class; about four minutes of one core for a
# batch. DIR keeps finished runs, so it can be stopped and started at will; a second
# call with a finished DIR only measures.
set -eu
build=build work='' batches=4 python=python3
while [ $# -gt 0 ]; do
    case $1 in
        --build) build=$2 ;;
        --work) work=$2 ;;
        --batches) batches=$2 ;;
        --python) python=$2 ;;
        *) sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift 2
done
: "${work:?bench/fashion_rounds.sh: --work DIR is needed}"
top=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$work"

run_once() { # name, first seed, setting ..
    name=$1 first=$2
    shift 2
    [ -e "$work/$name-$first.npz" ] && return
    for setting in "$@"; do
        set -- "$@" --set "$setting"
        shift
    done
    "$build/picard-dag" run "$top/examples/dit.pb" -q --force -o "$work/run" \
        --save-iterates --save-trajectory --checkpoint-seconds 0 --set samples=50 \
        --set "seed=$first" "$@" || [ $? -eq 3 ] # its rounds ended first
    "$python" "$top/tools/quality/rounds_collect.py" "$work/run" \
        "$work/$name-$first.npz"
    rm -r "$work/run"
    echo "$name, seeds $first to $((first + 49))" >&2
}

lora=$top/examples/models/fashion-dit-pcm/pytorch_lora_weights.safetensors
batch=0
while [ "$batch" -lt "$batches" ]; do
    first=$((50 * batch))
    run_once sequential $first solver.method=sequential
    for k in 1 2 3 4 5 6 7 8 9 10; do
        run_once "steps$k" $first solver.method=sequential "sampler.steps=$k"
    done
    for method in picard order-k triangular-anderson secant; do
        run_once $method $first "solver.method=$method"
    done
    run_once pcm-unmixed $first solver.method=secant solver.history=0 \
        solver.max_rounds=10 "model.lora=$lora"
    run_once pcm-gaussian $first solver.method=secant solver.history=0 "pcm.path=$lora"
    run_once pcm-secant $first solver.method=secant "pcm.path=$lora"
    batch=$((batch + 1))
done
"$python" "$top/tools/quality/fashion_rounds.py" --work "$work" \
    --csv "$top/bench/results/fashion_rounds.csv"
