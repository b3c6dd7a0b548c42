#!/usr/bin/env python3
# OMP_NUM_THREADS=1 python3 bench/backend_ops.py [-p float32|bfloat16] PROGRAM [FILTER]
"""Time of single operations: PROGRAM (bench/backend_ops) beside PyTorch on one
thread, channels last, in inference mode.  The two alternate, so that a change of
the machine's speed meets both; the best of all rounds counts."""
import argparse
import math
import re
import subprocess
import time

import torch
import torch.nn.functional as F


def time_calls(run, calls):
    start = time.process_time()
    for _ in range(calls):
        run()
    return (time.process_time() - start) / calls


def best(run, seconds):
    start = time.process_time()
    least = time_calls(run, 3)
    calls = int(1e-3 / (least + 1e-7)) + 1
    while time.process_time() - start < seconds:
        least = min(least, time_calls(run, calls))
    return 1e6 * least


def image(b, c, h, w, dtype):
    x = torch.randn(b, c, h, w, dtype=dtype)
    return x.to(memory_format=torch.channels_last)


def conv(add, b, size, _, c_in, c_out, k, stride, dtype):
    layer = torch.nn.Conv2d(c_in, c_out, k, stride, k // 2).to(dtype)
    layer = layer.to(memory_format=torch.channels_last)
    x = image(b, c_in, size, size, dtype)
    z = image(b, c_out, size // stride, size // stride, dtype)
    return (lambda: layer(x) + z) if add else (lambda: layer(x))


def linear(kind, m, c_in, c_out, dtype):
    layer = torch.nn.Linear(c_in, c_out).to(dtype)
    x = torch.randn(m, c_in, dtype=dtype)
    z = torch.randn(m, c_out, dtype=dtype)
    if kind == "+silu":
        return lambda: F.silu(layer(x))
    return (lambda: layer(x) + z) if kind else (lambda: layer(x))


def attention(b, n_q, n_kv, heads, dim, dtype):
    def head(n):
        return torch.randn(b, n, heads, dim, dtype=dtype).transpose(1, 2)

    q, k, v = head(n_q), head(n_kv), head(n_kv)

    def run():
        y = F.scaled_dot_product_attention(q, k, v)
        return y.transpose(1, 2).reshape(b, n_q, heads * dim)

    return run


def group_norm(more, b, p, c, groups, dtype):
    size = math.isqrt(p)
    layer = torch.nn.GroupNorm(groups, c).to(dtype)
    x, add = image(b, c, size, size, dtype), torch.randn(b, c, 1, 1).to(dtype)
    return (lambda: F.silu(layer(x + add))) if more else (lambda: layer(x))


def layer_norm(b, p, c, _, dtype):
    layer = torch.nn.LayerNorm(c).to(dtype)
    x = torch.randn(b, p, c, dtype=dtype)
    return lambda: layer(x)


def geglu(m, n, dtype):
    x = torch.randn(m, 2 * n, dtype=dtype)

    def run():
        value, gate = x.chunk(2, dim=-1)
        return value * F.gelu(gate)

    return run


def concat(m, ca, cb, dtype):
    x, z = image(1, ca, m, 1, dtype), image(1, cb, m, 1, dtype)
    return lambda: torch.cat([x, z], 1)


def upsample(b, size, _, c, dtype):
    x = image(b, c, size, size, dtype)
    return lambda: F.interpolate(x, scale_factor=2.0, mode="nearest")


CASES = [
    (r"conv(\+add)? b(\d+) (\d+)x(\d+) (\d+)->(\d+) k(\d+) s(\d+)", conv),
    (r"linear(\+\w+)? m(\d+) (\d+)->(\d+)", linear),
    (r"attention b(\d+) q(\d+) kv(\d+) (\d+)x(\d+)", attention),
    (r"groupnorm(\+add\+silu)? b(\d+) p(\d+) c(\d+) g(\d+)", group_norm),
    (r"layernorm b(\d+) p(\d+) c(\d+) g(\d+)", layer_norm),
    (r"geglu m(\d+) n(\d+)", geglu),
    (r"concat m(\d+) (\d+)\+(\d+)", concat),
    (r"upsample b(\d+) (\d+)x(\d+) c(\d+)", upsample),
]


def build(name, dtype):
    for pattern, make in CASES:
        match = re.fullmatch(r"\w+ " + pattern, name)
        if match:
            args = [int(g) if g and g.isdigit() else g for g in match.groups()]
            return make(*args, dtype)
    raise SystemExit(f"unknown operation: {name}")


def ours(program, name, options):
    lines = subprocess.run([program, *options, name], check=True, text=True,
                           stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL).stdout.splitlines()
    for line in lines:
        if line.split(",")[1] == name:
            return float(line.split(",")[2])
    raise SystemExit(f"{program} does not know {name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-p", default="float32", metavar="PRECISION")
    parser.add_argument("-n", type=float, default=0.1, metavar="SECONDS")
    parser.add_argument("-r", type=int, default=3, metavar="ROUNDS")
    parser.add_argument("program")
    parser.add_argument("filter", nargs="?", default="")
    args = parser.parse_args()
    torch.set_num_threads(1)
    names = subprocess.run([args.program, "-l", args.filter], check=True,
                           text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL).stdout.splitlines()
    options = ["-p", args.p, "-n", str(args.n)]
    print(f"{'ours us':>11} {'torch us':>11} {'ours/torch':>10}  operation")
    with torch.inference_mode():
        for name in names:
            run = build(name, getattr(torch, args.p))
            our_best = their_best = math.inf
            for _ in range(args.r):
                our_best = min(our_best, ours(args.program, name, options))
                their_best = min(their_best, best(run, args.n))
            print(f"{our_best:11.1f} {their_best:11.1f} "
                  f"{our_best / their_best:10.2f}  {args.p} {name}", flush=True)


if __name__ == "__main__":
    main()
