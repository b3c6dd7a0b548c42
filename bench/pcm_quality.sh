#!/bin/sh
# bench/pcm_quality.sh --build build --work DIR [--batches 3] [--python PYTHON]
#                      [--emoji emoji.npz]
#
# Quality of the picture after every round, with and without the Picard-consistency
# model, on examples/sd-pcm.pb: PSNR to the sequential picture and a Frechet distance
# with the features of the model's own autoencoder (tools/quality/fid.py), beside the
# sequential sampler. Writes bench/results/pcm_quality.csv, docs/pcm.png and the tables
# of docs/pcm.md on standard output. --emoji: the distance to the training pictures too
# (tools/train/emoji_data.py makes the file).
#
# Prompts: bench/pcm_prompts.txt, in batches of eight, at most eight; prompt j has seed
# j. About five minutes of one core for a batch. DIR keeps finished runs, so it can be
# stopped and started at will. PYTHON has what tools/train/requirements.txt lists.
set -eu
build=build work='' batches=3 python=python3 emoji=''
while [ $# -gt 0 ]; do
    case $1 in
        --build) build=$2 ;;
        --work) work=$2 ;;
        --batches) batches=$2 ;;
        --python) python=$2 ;;
        --emoji) emoji=$2 ;;
        *) sed -n '2,15s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift 2
done
: "${work:?bench/pcm_quality.sh: --work DIR is needed}"
top=$(cd "$(dirname "$0")/.." && pwd)
model=$top/examples/models/emoji-sd
lora=$top/examples/models/emoji-sd-pcm/pytorch_lora_weights.safetensors
trained_variance=0.03
mkdir -p "$work"

# run_once NAME FIRST COUNT SETTING..: prompts FIRST .. FIRST + COUNT - 1, with seeds of
# the same numbers, into DIR/NAME-FIRST.npz
run_once()
{
    name=$1 first=$2 count=$3
    shift 3
    [ -e "$work/$name-$first.npz" ] && return
    for setting in "$@"; do
        set -- "$@" --set "$setting"
        shift
    done
    while read -r prompt; do
        set -- "$@" --set "prompt=$prompt"
    done <<END
$(sed -n "$((first + 1)),$((first + count))p" "$top/bench/pcm_prompts.txt")
END
    "$build/picard-dag" run "$top/examples/sd-pcm.pb" -q --force -o "$work/run" \
        --save-iterates --save-trajectory --checkpoint-seconds 0 \
        --set "seed=$first" "$@" ||
        [ $? -eq 3 ] # its rounds ended first
    "$python" "$top/tools/quality/rounds_collect.py" "$work/run" \
        "$work/$name-$first.npz"
    echo "$name, prompts $first to $((first + count - 1))" >&2
}

base=pcm=
gaussian=solver.history=0
batch=0
while [ "$batch" -lt "$batches" ]; do
    first=$((8 * batch))
    run_once sequential $first 8 "$base" solver.method=sequential
    for k in 1 2 3 4 5 6 7 8 9 10; do
        run_once "steps$k" $first 8 "$base" solver.method=sequential \
            "sampler.steps=$k"
    done
    run_once pcm-secant $first 8
    run_once pcm-gaussian $first 8 $gaussian
    run_once pcm-unmixed $first 8 "$base" $gaussian "model.lora=$lora" \
        "solver.variance=$trained_variance" solver.max_rounds=10
    run_once secant $first 8 "$base"
    run_once gaussian $first 8 "$base" $gaussian
    run_once picard $first 8 "$base" solver.method=picard
    run_once order-k $first 8 "$base" solver.method=order-k solver.max_rounds=10
    run_once triangular-anderson $first 8 "$base" solver.method=triangular-anderson
    batch=$((batch + 1))
done
for k in 2 3; do
    run_once "pcm-gaussian-k$k" 0 4 $gaussian "pcm.rounds=$k"
done
if [ ! -e "$work/full/model_index.json" ]; then
    "$python" "$top/tools/train/pcm_merge.py" --model "$model" \
        --pcm "$(dirname "$lora")" --out "$work/full" >&2
fi
run_once pcm-features-k2 0 4 $gaussian pcm.rounds=2 pcm.mixing=features \
    "pcm.path=$work/full"
run_once pcm-picard 0 4 solver.method=picard
run_once pcm-triangular-anderson 0 4 solver.method=triangular-anderson

"$python" "$top/tools/quality/pcm_quality.py" --work "$work" --model "$model" \
    ${emoji:+--emoji "$emoji"} --csv "$top/bench/results/pcm_quality.csv" \
    --chart "$top/docs/pcm.png"
