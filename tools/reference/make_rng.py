#!/usr/bin/env python3
"""Fixture tests/data/rng/torch_cpu.json: torch.randn on a CPU generator.

    python tools/reference/make_rng.py tests/data/rng/torch_cpu.json

For each seed, draws of several sizes with one generator, one after the other;
of a draw of more than 40 values the first and last 20 and the sum are kept.
Needs torch.
"""

import json
import sys

import torch

SEEDS = [0, 1, 42, 2 ** 32 + 5, 2 ** 63 + 1, 2 ** 64 - 1]
FRESH = [1, 2, 3, 5, 15, 16, 17, 31, 32, 33, 100, 1024]
MIXED = [3, 5, 16, 1, 17, 2, 100, 1024, 1, 33, 15, 2, 4096, 7]


def draws(seed, sizes):
    generator = torch.Generator().manual_seed(seed)
    out = []
    for n in sizes:
        x = torch.randn(n, generator=generator)
        shown = x.tolist() if n <= 40 else x[:20].tolist() + x[-20:].tolist()
        out.append({"n": n, "sum": float(x.double().sum()),
                    "values": [float("%.9g" % v) for v in shown]})
    return out


def main():
    torch.set_num_threads(1)
    sequences = [{"seed": str(seed), "draws": draws(seed, sizes)}
                 for seed in SEEDS
                 for sizes in [MIXED] + ([[n] for n in FRESH]
                                         if seed == 42 else [])]
    with open(sys.argv[1], "w") as file:
        lines = ",\n".join(json.dumps(s, separators=(",", ":"))
                           for s in sequences)
        file.write('{"sequences": [\n%s\n]}\n' % lines)


if __name__ == "__main__":
    main()
