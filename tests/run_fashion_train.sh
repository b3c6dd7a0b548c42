#!/bin/sh
# tools/train/fashion_*.py from scratch: ten steps on made-up pictures, two more after
# a resume, two from the exported half-precision weights; damaged data is refused by
# name.  Skipped without PyTorch, diffusers and safetensors; PYTHON names the python.
set -u
# shellcheck source=tests/script_lib.sh
. "${srcdir:-.}/tests/script_lib.sh"
need_python diffusers safetensors torch
data=$out/data
mkdir "$data"
"$python" - "$data" <<'END' || exit 1
import pathlib, random, struct, sys

folder = pathlib.Path(sys.argv[1])
random.seed(4)
for prefix, count in (("train", 200), ("t10k", 20)):
    pixels = random.randbytes(784 * count)
    labels = bytes(i % 10 for i in range(count))
    (folder / f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, count, 28, 28) + pixels)
    (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, count) + labels)
END

train() { # scratch folder, further arguments ..
    work=$1
    shift
    expect 0 "$python" "$src/tools/train/fashion_dit.py" --work "$work" --data "$data" \
        --workers 1 --batch 8 "$@"
}

train "$out/work" --steps 10
has stdout '^step 10 '
train "$out/work" --steps 12
has stdout '^step 12 '
expect 0 "$python" "$src/tools/train/fashion_export.py" --work "$out/work" \
    --out "$out/model"
for file in model_index.json transformer/config.json scheduler/scheduler_config.json \
    transformer/diffusion_pytorch_model.safetensors README.md; do
    [ -s "$out/model/$file" ] || complain "the exported model has no $file"
done
grep -q "$out" -r "$out/model" --include='*.json' --include='*.md' &&
    complain "the exported model names a path"
train "$out/again" --from-model "$out/model" --steps 14
has stdout '^step 14 '

head -c 5000 "$data/train-images-idx3-ubyte" > "$out/short"
mv "$out/short" "$data/train-images-idx3-ubyte"
expect 1 "$python" "$src/tools/train/fashion_data.py" --data "$data"
has stderr 'train-images-idx3-ubyte: 4984 bytes of data where its head says'
rm "$data/train-images-idx3-ubyte"
expect 1 "$python" "$src/tools/train/fashion_data.py" --data "$data"
has stderr 'apt-get install dataset-fashion-mnist'
exit $failed
