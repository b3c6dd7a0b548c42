#!/bin/sh
# tools/train/pcm*.py from nothing, for each family of networks: data by the program,
# a few steps, a few more after a resume, some from the written file; what comes out
# fits its model and runs.  Skipped without PyTorch, diffusers, transformers and
# safetensors; PYTHON names the python.
set -u
# shellcheck source=tests/script_lib.sh
. "${srcdir:-.}/tests/script_lib.sh"
need_python diffusers numpy safetensors torch transformers
program=$(command -v "$PICARD_DAG")
models=$src/tests/data/models
lora=pytorch_lora_weights.safetensors
: > "$out/job.pb" # an empty message is a job of defaults

# steps FOLDER: how many training_state.json says.
steps() {
    sed -n 's/^ *"steps": \([0-9]*\),*$/\1/p' "$1/training_state.json"
}

# train FOLDER ARGUMENT ..: half a second of training on FOLDER's data.
train() {
    work=$1
    shift
    expect 0 "$python" "$src/tools/train/pcm.py" --data "$work/data" --workers 1 \
        --batch 4 --rank 2 "$@"
}

# family NAME MODEL JOB DATA-ARGUMENT ..: all of it for one network.
family() {
    work=$out/$1 model=$models/$2 job=$3
    shift 3
    mkdir "$work"
    expect 0 "$python" "$src/tools/train/pcm_data.py" "$program" "$job" \
        --out "$work/data" --processes 1 --set "model.path=$model" \
        --set sampler.steps=8 "$@"
    has stdout '^done 2 '
    train "$work" --work "$work/first" --minutes 0.01 --out "$work/pcm"
    expect 0 "$PICARD_DAG" inspect "$work/pcm/$lora" --model "$model"
    has stdout 'each matches a weight of the model'
    grep -q "$out" "$work/pcm/README.md" && complain "the card names a path"
}

family text sd-odd "$out/job.pb" --prompts "$src/COPYING" --per-run 2 --count 2 \
    --set sampler.kind=ddim --set sampler.spacing=leading --set sampler.clip=false
expect 0 "$PICARD_DAG" run "$out/job.pb" -q --set "model.path=$models/sd-odd" \
    --set sampler.steps=8 --set "pcm.path=$out/text/pcm/$lora" -o "$out/text/run"
family classes dit-pixels "$out/job.pb" --classes 2 --per-run 2 --count 2 \
    --set sampler.kind=ddim --set sampler.spacing=leading
expect 0 "$PICARD_DAG" run "$out/job.pb" -q --set "model.path=$models/dit-pixels" \
    --set sampler.steps=8 --set "pcm.path=$out/classes/pcm/$lora" \
    -o "$out/classes/run"

begun=$(steps "$out/classes/pcm")
train "$out/classes" --work "$out/classes/first" --minutes 0.03 --out "$out/classes/pcm"
resumed=$(steps "$out/classes/pcm")
[ "$resumed" -gt "$begun" ] || complain "no step after a resume"
train "$out/classes" --work "$out/classes/second" --from-model "$out/classes/pcm" \
    --minutes 0.01 --out "$out/again"
[ "$(steps "$out/again")" -gt "$resumed" ] || complain "no step from the written file"

# A whole model, and a LoRA that was added to its base.
train "$out/classes" --full --work "$out/full" --minutes 0.01 --out "$out/full-model"
expect 0 "$PICARD_DAG" inspect "$out/full-model"
expect 0 "$python" "$src/tools/train/pcm_merge.py" --model "$models/dit-pixels" \
    --pcm "$out/classes/pcm" --out "$out/merged"
expect 0 "$PICARD_DAG" inspect "$out/merged"

"$PICARD_DAG" run "$src/examples/pusht.pb" --set "model.path=$models/policy-pusht" \
    --set sampler.steps=2 -q -o "$out/there" 2> "$out/stderr"
grep -q "Chipmunk" "$out/stderr" && exit $failed # built without it
family policy policy-pusht "$src/examples/pusht.pb" --episodes --rounds 2 --count 2
expect 0 "$PICARD_DAG" rollout "$src/examples/pusht.pb" -q --set sampler.steps=8 \
    --set "model.path=$models/policy-pusht" \
    --set "pcm.path=$out/policy/pcm/$lora" -o "$out/policy/run"
expect 2 "$python" "$src/tools/train/pcm_data.py" "$program" \
    "$src/examples/pusht.pb" --out "$out/none" --episodes
has stderr '--rounds is needed'
exit $failed
