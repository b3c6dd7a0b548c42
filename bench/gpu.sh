#!/bin/sh
# bench/gpu.sh [--build build] [--python python3] [--sd FOLDER] [--backend cuda]
#     [--quick] > bench/results/gpu.csv
#
# On a machine with a device: one evaluation of emoji-sd's U-Net and, where --sd names
# the folder of one (it is made with random weights where it is empty), of Stable
# Diffusion 1.5's at 64x64, ours beside PyTorch eager and compiled on the same device
# and against what the device can do at best (bench/gpu.py); then the whole of
# examples/sd.pb, one step after the other and in parallel, on one device. Without a
# device: status 77. --backend onednn or ref and --quick show on any machine that it
# all works; such numbers say nothing of a GPU.
set -eu
build=build python=python3 sd='' backend=cuda quick=
while [ $# -gt 0 ]; do
    case $1 in
        --build) build=$2; shift ;;
        --python) python=$2; shift ;;
        --sd) sd=$2; shift ;;
        --backend) backend=$2; shift ;;
        --quick) quick=yes ;;
        *) sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift
done
top=$(cd "$(dirname "$0")/.." && pwd)
program=$build/picard-dag
line=$("$program" info | sed -n "s/^backend *$backend: *//p")
case $line in
    ''|'not usable'*) echo "gpu.sh: backend $backend: ${line:-not built in}" >&2; exit 77 ;;
esac
echo "# $line"
make -s -C "$build" bench/network bench/peak >&2

set -- --build "$build" --backend "$backend"
if [ "$backend" != cuda ]; then
    set -- "$@" --torch-device cpu --peak-side 512 --peak-mib 16
fi
"$python" -c 'import torch, diffusers' 2> /dev/null || set -- "$@" --torch-device none
if [ -n "$quick" ]; then
    set -- "$@" --rows 1 2 --repeats 2 --no-compile --precisions float32
fi
set -- "$@" --models "emoji-sd=$top/examples/models/emoji-sd/unet"
if [ -n "$sd" ]; then
    [ -e "$sd/config.json" ] || "$python" "$top/bench/gpu.py" --make-unet "$sd"
    set -- "$@" "sd-1.5=$sd"
fi
"$python" "$top/bench/gpu.py" "$@"

# seconds NAME SETTINGS..: of sampling alone, best of three.
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
seconds() {
    name=$1
    shift
    for _ in $tries; do
        "$program" run "$top/examples/sd.pb" -q --force --set model.backend="$backend" \
            "$@" -o "$out/$name" > /dev/null
        sed -n 's/.*"sample": *\([0-9.eE+-]*\).*/\1/p' "$out/$name/run.json" | head -n 1
    done | sort -g | head -n 1
}
tries='1 2 3' precisions='float32 bfloat16 float16'
[ -z "$quick" ] || tries=1 precisions=float32
echo "job,precision,sequential_seconds,parallel_seconds,ratio"
for precision in $precisions; do
    set -- --set model.precision="$precision"
    one=$(seconds sequential "$@" --set solver.method=sequential) || continue
    # The whole window is one batch of one device.
    all=$(seconds parallel "$@" --set solver.window=0 --set solver.stop=error \
        --set block_rows=50) || continue
    [ -n "$one" ] && [ -n "$all" ] || continue
    echo "sd.pb,$precision,$one,$all,$(awk "BEGIN { print $one / $all }")"
done
