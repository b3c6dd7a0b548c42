# python bench/network.py BUILD/bench/network examples/models/emoji-sd/unet --rows 2 --precision bfloat16
"""One evaluation of a U-Net: ours against PyTorch eager, one thread, same precision.

Prints milliseconds (wall; processor, the better measure where others use the machine
too), the ratio (above 1: ours is faster) and peak memory."""

import argparse
import os
import resource
import subprocess
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import diffusers
import torch


def torch_milliseconds(folder, rows, precision, repeats):
    torch.set_num_threads(1)
    dtype = getattr(torch, precision)
    name = diffusers.ConfigMixin._dict_from_json_file(folder + "/config.json")["_class_name"]
    model = getattr(diffusers, name).from_pretrained(folder, torch_dtype=dtype).eval()
    size = model.config.sample_size
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    inputs = [
        torch.randn(rows, model.config.in_channels, height, width, dtype=dtype),
        20.0 * torch.arange(rows) + 1,
    ]
    if name == "UNet2DConditionModel":
        inputs.append(torch.randn(rows, 77, model.config.cross_attention_dim, dtype=dtype))
    wall = cpu = float("inf")
    with torch.inference_mode():
        for _ in range(repeats + 1):
            begin = time.perf_counter(), time.process_time()
            model(*inputs)
            wall = min(wall, time.perf_counter() - begin[0])
            cpu = min(cpu, time.process_time() - begin[1])
    return 1e3 * wall, 1e3 * cpu


def our_fields(program, folder, rows, precision, repeats):
    command = [program, folder, "--rows", str(rows), "--precision", precision]
    command += ["--repeats", str(repeats)]
    words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return dict(zip(words[::2], words[1::2]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("folder")
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    ours = our_fields(args.program, args.folder, args.rows, args.precision, args.repeats)
    wall, cpu = torch_milliseconds(args.folder, args.rows, args.precision, args.repeats)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    our_wall, our_cpu = float(ours["ms"]), float(ours["cpu_ms"])
    print(f"{args.folder} rows {args.rows} {args.precision} backend {ours['backend']}")
    print(f"ours   {our_wall:10.2f} ms  processor {our_cpu:10.2f} ms  peak {ours['peak_mib']} MiB")
    print(f"torch  {wall:10.2f} ms  processor {cpu:10.2f} ms  peak {peak} MiB")
    print(f"ratio  {wall / our_wall:10.2f}     processor {cpu / our_cpu:10.2f}")


if __name__ == "__main__":
    main()
