#!/bin/sh
# Failures from outside: one message, the documented status, nothing half-written,
# no rank left behind.
set -u
src=${srcdir:-.}
out=$(mktemp -d) || exit 1
trap 'rm -rf "$out"' EXIT
failed=0
gaussian=$src/examples/gaussian.pb
model=$src/examples/models/emoji-sd

complain() {
    echo "run_bad_input: $*" >&2
    failed=1
}

# expected status, text the message must hold, command ..
expect() {
    status=$1
    text=$2
    shift 2
    "$@" > "$out/stdout" 2> "$out/stderr"
    got=$?
    [ $got = "$status" ] || complain "status $got, expected $status: $*"
    grep -q "^picard-dag: .*$text" "$out/stderr" ||
        complain "no message with '$text': $* gave: $(cat "$out/stderr")"
    [ "$(grep -c '^picard-dag: ' "$out/stderr")" = 1 ] ||
        complain "not one message: $*: $(cat "$out/stderr")"
    [ -s "$out/stdout" ] && complain "wrote to stdout: $*"
}

# Arguments.
expect 2 "no such command" "$PICARD_DAG" frobnicate
expect 2 "unknown option: --frobnicate" "$PICARD_DAG" run --frobnicate x
expect 2 "no job file given" "$PICARD_DAG" run
expect 2 "option needs a value: --set" "$PICARD_DAG" run "$gaussian" --set
expect 2 "one job at a time" "$PICARD_DAG" run "$gaussian" other.pb
expect 2 "two ranks" "$PICARD_DAG" run "$gaussian" --dedicated-scheduler
"$PICARD_DAG" > /dev/null 2>&1
[ $? = 2 ] || complain "no command: not status 2"
for command in "" run verify compare inspect info; do
    # shellcheck disable=SC2086
    "$PICARD_DAG" $command --help > "$out/help" 2> "$out/stderr" ||
        complain "$command --help fails"
    [ -s "$out/stderr" ] && complain "$command --help writes to stderr"
    [ "$(wc -l < "$out/help")" -le 24 ] || complain "$command --help is long"
done
"$PICARD_DAG" --version | grep -q '^picard-dag [0-9]' || complain "--version"

# The output folder.
touch "$out/file"
expect 2 "output: " "$PICARD_DAG" run "$gaussian" -o "$out/file"
expect 2 "output: " "$PICARD_DAG" run "$gaussian" -o "$out/file/below"
"$PICARD_DAG" run "$gaussian" -q -o "$out/kept" || complain "plain run"
expect 2 "another job's results" "$PICARD_DAG" run "$gaussian" -q \
    --set seed=5 -o "$out/kept"
"$PICARD_DAG" run "$gaussian" -q -o "$out/kept" ||
    complain "the same job again is refused"
"$PICARD_DAG" run "$gaussian" -q --set seed=5 --force -o "$out/kept" ||
    complain "--force"
# Old results survive a run that never starts, foreign files survive --force, and
# a folder of a run that was cut off is not mixed with another's.
touch "$out/kept/sample-data.csv"
expect 2 "model.backend" "$PICARD_DAG" run "$gaussian" -q --force \
    --set model.backend=cuda -o "$out/kept"
[ -e "$out/kept/sample-000.npy" ] || complain "--force removed results too early"
expect 2 "model.precision" "$PICARD_DAG" run "$gaussian" -q \
    --set model.precision=float16 -o "$out/never"
[ -e "$out/never" ] && complain "output folder made without a backend"
"$PICARD_DAG" run "$gaussian" -q --force -o "$out/kept" || complain "--force"
[ -e "$out/kept/sample-data.csv" ] || complain "--force removed a foreign file"
rm "$out/kept/run.json"
expect 2 "cut off (use another folder, --resume" \
    "$PICARD_DAG" run "$gaussian" -q -o "$out/kept"
expect 2 "option needs a value: -o" "$PICARD_DAG" run "$gaussian" -q -o ""
for again in 1 2; do
    "$PICARD_DAG" run "$gaussian" -q --set solver.tolerance=0.00123456789012 \
        -o "$out/digits" || complain "the same job, many digits, time $again"
done
if [ -w /dev/full ] && [ "$(id -u)" = 0 ] && command -v mount > /dev/null &&
   mkdir "$out/disk" && mount -t tmpfs -o size=64k none "$out/disk" 2> /dev/null
then
    dd if=/dev/zero of="$out/disk/filler" bs=1k count=56 2> /dev/null
    expect 1 "No space left" "$PICARD_DAG" run "$gaussian" -q \
        --set gaussian.shape=4 --set gaussian.shape=64 --set gaussian.shape=64 \
        -o "$out/disk/out"
    # run.json, which says what failed, may have found room, and a checkpoint.
    ls -A "$out/disk/out" | grep -vE '^(run.json|checkpoint)$' | grep -q . &&
        complain "half-written: $(ls -A "$out/disk/out")"
    umount "$out/disk"
fi
"$PICARD_DAG" info > /dev/full 2> /dev/null && complain "full stdout passes"

# The model directory: each fault in a copy.
broken() {
    rm -rf "$out/model"
    cp -r "$model" "$out/model"
    chmod -R u+w "$out/model"
}
try() { # text
    expect 2 "$1" "$PICARD_DAG" run "$src/examples/sd.pb" -q \
        --set "model.path=$out/model" -o "$out/never"
    "$PICARD_DAG" inspect "$out/model" > /dev/null 2>&1
    [ $? = 2 ] || complain "inspect accepts what run refuses: $1"
    [ -e "$out/never" ] && complain "output folder made in spite of: $1"
}
# Not-a-number weights (all bits set) are found wherever they are.
nan_from() { # part, bytes from the end, text
    broken
    file=$(ls "$out/model/$1/"*.safetensors)
    keep=$(($(wc -c < "$file") - $2))
    { head -c "$keep" "$file"; head -c "$2" /dev/zero | tr '\0' '\377'; } > "$out/cut"
    mv "$out/cut" "$file"
    rm -rf "$out/nan"
    expect 1 "$3" "$PICARD_DAG" run "$src/examples/sd.pb" -q \
        --set "model.path=$out/model" --set sampler.steps=2 -o "$out/nan"
    [ -e "$out/nan/sample-000.png" ] && complain "a picture of NaN: $1"
}
nan_from vae 3300000 "decoder's output is not finite"
nan_from text_encoder 1000000 "text encoder's output is not finite"
nan_from unet 1000000 "row 0, round 0: the network's output is not finite"

unet=$out/model/unet/diffusion_pytorch_model.safetensors
rm -rf "$out/model"
try "model"
broken; rm "$out/model/model_index.json"; try "model"
broken; echo '{' > "$out/model/unet/config.json"; try "unet/config.json"
broken; rm "$unet"; try "unet"
broken; head -c 1000 "$unet" > "$out/cut"; mv "$out/cut" "$unet"; try "safetensors"
broken; printf '\377\377\377\377\377\377\377\177' |
    dd of="$unet" conv=notrunc 2> /dev/null; try "safetensors"
broken; sed 's/"conv_in.bias"/"conv_xx.bias"/' "$unet" > "$out/cut"
mv "$out/cut" "$unet"; try "conv_"
broken; sed -i 's/"act_fn": *"silu"/"act_fn": "frob"/' "$out/model/unet/config.json"
try "act_fn"
broken; sed -i 's/"block_out_channels": *\[/&33, /' "$out/model/unet/config.json"
try "unet"
broken; rm "$out/model/tokenizer/vocab.json" "$out/model/tokenizer/tokenizer.json"
try "tokenizer"
broken; echo '[]' > "$out/model/scheduler/scheduler_config.json"; try "scheduler"
broken; sed -i 's/"beta_schedule": *"[a-z_]*"/"beta_schedule": "frob"/' \
    "$out/model/scheduler/scheduler_config.json"; try "beta_schedule"
broken; sed -i 's/"_class_name": *"[A-Za-z]*"/"_class_name": "FooScheduler"/' \
    "$out/model/scheduler/scheduler_config.json"; try "FooScheduler"
if [ "$(id -u)" != 0 ]; then
    broken; chmod 000 "$out/model/unet"; try "unet"; chmod 755 "$out/model/unet"
fi

# A LoRA with the model that it is for, and with another; its folder is no model.
lora=$src/examples/models/emoji-sd-pcm/pytorch_lora_weights.safetensors
"$PICARD_DAG" inspect "$lora" 2>&1 | grep -q " weights: [0-9]* tensors" ||
    complain "inspect of a LoRA alone"
"$PICARD_DAG" inspect "$(dirname "$lora")" 2> "$out/stderr"
[ $? = 2 ] || complain "inspect of a LoRA's folder: not status 2"
grep -q "give its file, .*$lora" "$out/stderr" ||
    complain "a LoRA's folder: $(cat "$out/stderr")"
"$PICARD_DAG" inspect "$lora" --model "$model" > "$out/stdout" 2>&1 ||
    complain "inspect of a LoRA: $(cat "$out/stdout")"
grep -q "each matches a weight of the model" "$out/stdout" ||
    complain "inspect of a LoRA does not say that it fits: $(cat "$out/stdout")"
"$PICARD_DAG" inspect "$lora" --model "$src/tests/data/models/sd-odd" --json \
    > "$out/stdout" 2> "$out/stderr"
[ $? = 2 ] || complain "inspect of a LoRA with another model: not status 2"
grep -q '"matched": null' "$out/stdout" || complain "a LoRA that fits nothing"
grep -q "does not fit the weight" "$out/stderr" ||
    complain "no reason: $(cat "$out/stderr")"

# Noise.
printf 'no npy' > "$out/noise.npy"
expect 2 "noise" "$PICARD_DAG" run "$gaussian" -q --set "noise=$out/noise.npy" \
    -o "$out/never"
expect 2 "noise" "$PICARD_DAG" run "$gaussian" -q --set "noise=$out/none.npy" \
    -o "$out/never"

# The same on several ranks: one message, one status, and it ends.
if [ -n "${MPIEXEC:-}" ]; then
    rm -rf "$out/model"
    timeout 60 "$MPIEXEC" -np 3 "$PICARD_DAG" run "$src/examples/sd.pb" -q \
        --set "model.path=$out/model" -o "$out/never" > "$out/stdout" 2> "$out/stderr"
    [ $? = 2 ] || complain "missing model on 3 ranks: not status 2"
    [ "$(grep -c '^picard-dag: ' "$out/stderr")" = 1 ] ||
        complain "missing model on 3 ranks: $(cat "$out/stderr")"
    timeout 60 "$MPIEXEC" -np 3 "$PICARD_DAG" run "$gaussian" -q \
        --set solver.max_rounds=2 -o "$out/short" > /dev/null 2>&1
    [ $? = 3 ] || complain "max_rounds on 3 ranks: not status 3"
    timeout 60 "$MPIEXEC" -np 3 "$PICARD_DAG" run "$gaussian" -q \
        --set model.backend=cuda -o "$out/never" > "$out/stdout" 2> "$out/stderr"
    [ $? = 2 ] || complain "no cuda on 3 ranks: not status 2"
fi
exit $failed
