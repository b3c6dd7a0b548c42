#!/bin/sh
# tools/convert/*.py: fixtures in the files that others write, converted, are the
# fixtures again; a checkpoint of DiT gives what the original's formulas give; what is
# damaged leaves nothing behind.  Skipped without PyTorch and safetensors; PYTHON names
# the python.
set -u
# shellcheck source=tests/script_lib.sh
. "${srcdir:-.}/tests/script_lib.sh"
need_python numpy safetensors torch
models=$src/tests/data/models
convert=$src/tools/convert
made=$out/made
new=$out/new # converted, and nothing else is to appear beside it
mkdir "$new"
expect 0 "$python" "$src/tools/reference/make_originals.py" "$models" "$made"
[ "$failed" = 0 ] || exit 1

inspected() { # model, file, status
    expect "$3" "$PICARD_DAG" inspect "$1"
    sed "s|$1|MODEL|" "$out/stdout" > "$out/$2"
}
as_fixture() { # converted, fixture, status: the same to `inspect`
    inspected "$1" converted "$3"
    inspected "$models/$2" fixture "$3"
    has fixture ' tensors, '
    cmp "$out/converted" "$out/fixture" || complain "inspect: $1 is not $2"
}
one_run() { # model, folder
    expect 0 "$PICARD_DAG" run "$out/job.pb" -q --set "model.path=$1" \
        --set sampler.steps=3 --set prompt=ab -o "$out/$2"
}
nothing_left() { # converter, arguments ..: it fails, and leaves nothing
    ls -A "$new" > "$out/before"
    expect 1 "$python" "$@"
    ls -A "$new" | cmp - "$out/before" || complain "$1 leaves something behind"
}

# Pickled weights: beside themselves, into a new folder, in shards.
: > "$out/job.pb"
one_run "$models/sd-odd" wanted
expect 0 "$python" "$convert/pickled.py" "$made/pickled" --to "$new/sd"
as_fixture "$new/sd" sd-odd 0
one_run "$new/sd" moved
cmp "$out/wanted/sample-000.npy" "$out/moved/sample-000.npy" ||
    complain "pickled.py --to: another picture"
[ -z "$(find "$new/sd" -name '*.bin')" ] || complain "pickled.py --to: *.bin is there"
expect 0 "$python" "$convert/pickled.py" "$made/pickled"
one_run "$made/pickled" beside
cmp "$out/wanted/sample-000.npy" "$out/beside/sample-000.npy" ||
    complain "pickled.py: another picture"
expect 0 "$python" "$convert/pickled.py" "$made/shards" --to "$new/shards"
as_fixture "$new/shards" unet-condition-deep 2 # a part: nothing runs

# Policies.
expect 0 "$python" "$convert/diffusion_policy.py" "$made/odd.ckpt" "$new/odd" \
    --horizon 12 --n-action-steps 4 --n-groups 3
as_fixture "$new/odd" policy-odd 0
expect 0 "$python" "$convert/diffusion_policy.py" "$made/pusht" "$new/pusht"
as_fixture "$new/pusht" policy-pusht 0
for name in odd pusht; do
    cmp "$new/$name/unet/diffusion_pytorch_model.safetensors" \
        "$models/policy-$name/unet/diffusion_pytorch_model.safetensors" ||
        complain "diffusion_policy.py: $name: other weights"
done

# DiT: converted, sampled and compared by the script.
expect 0 "$python" "$src/tools/reference/check_dit_pt.py" "$PICARD_DAG"
has stdout 'relative RMS error'

# Damaged.
head -c 3000 "$made/shards/diffusion_pytorch_model-00002-of-00003.bin" > "$out/short"
cp "$out/short" "$made/shards/diffusion_pytorch_model-00002-of-00003.bin"
nothing_left "$convert/pickled.py" "$made/shards" --to "$new/again"
has stderr '00002-of-00003.bin: '
nothing_left "$convert/diffusion_policy.py" "$out/short" "$new/again"
has stderr 'short: cannot be read'
nothing_left "$convert/dit_pt.py" "$out/short" "$new/again"
has stderr 'short: '
nothing_left "$convert/pickled.py" "$made/pickled" --to "$new/sd"
has stderr 'is there already'
nothing_left "$convert/pickled.py" "$out/wanted" --to "$new/again"
has stderr 'no pickled weights'
exit $failed
