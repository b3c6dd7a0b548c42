#!/usr/bin/env python3
"""Tables of bench/fashion_rounds.sh: quality of fashion-dit's pictures after every round.

    fashion_rounds.py --work DIR --csv FILE

Frechet distance (fid.py) with the features of fashion_classifier.py: to the test split of
Fashion-MNIST, and to the sequential sampler's pictures of the same classes and noise; PSNR to these,
mean over pictures, at most 100 dB.  With few pictures the distance to the test split has a floor
well above 0, which the sequential sampler's row shows: compare within the table.
"""

import argparse
import csv
import pathlib
import sys

import numpy
import torch

import fashion_classifier
import fid
from rounds_collect import padded

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "train"))
import fashion_data

LONGEST, BEST_PSNR = 10, 100.0
METHODS = ["sequential", "steps", "picard", "order-k", "triangular-anderson", "secant",
           "pcm-unmixed", "pcm-gaussian", "pcm-secant"]
NAMES = {"sequential": "sequential, k steps of 50", "steps": "sequential, k steps in all",
         "pcm-unmixed": "PCM without mixing", "pcm-gaussian": "PCM, Gaussian slope",
         "pcm-secant": "PCM + secant"}


def loaded(work, name):
    """(states [rounds, n, 1, 28, 28], evaluations [rounds], rounds [n]) of all batches together."""
    parts = []
    for path in sorted(work.glob(f"{name}-*.npz"), key=lambda p: int(p.stem.rpartition("-")[2])):
        with numpy.load(path) as data:
            parts.append({key: data[key] for key in data.files})
    if not parts:
        raise SystemExit(f"{work}: no run of {name}")
    longest = max([LONGEST] + [len(part["state"]) for part in parts])
    states = numpy.concatenate([padded(part["state"], longest) for part in parts], 1)
    counts = numpy.concatenate([padded(part["evaluations"], longest) for part in parts], 1)
    return states, counts.mean(1), numpy.concatenate([part["rounds"] for part in parts])


def curve(work, name):
    """The same of one row of the table."""
    if name == "steps":
        runs = [loaded(work, f"steps{k}") for k in range(1, LONGEST + 1)]
        return (numpy.stack([run[0][k] for k, run in enumerate(runs)]),
                numpy.arange(1, LONGEST + 1), None)
    states, counts, rounds = loaded(work, name)
    return states[:LONGEST], counts[:LONGEST], None if name == "sequential" else rounds


def pictures(states):
    return (torch.from_numpy(states).reshape(-1, 1, fashion_data.SIZE, fashion_data.SIZE)
            .clamp(-1, 1))


def psnr(states, truth):
    error = ((pictures(states) - truth) / 2).square().flatten(1).mean(1).clamp(min=1e-12)
    return float((-10 * error.log10()).clamp(max=BEST_PSNR).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=pathlib.Path, required=True, help="of bench/fashion_rounds.sh")
    parser.add_argument("--csv", type=pathlib.Path, required=True)
    parser.add_argument("--data", type=pathlib.Path, default=fashion_data.FOLDER)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = fashion_classifier.load()
    test = fashion_data.to_tensor(fashion_data.load("test", args.data)[0])
    real = fid.statistics(fashion_classifier.evaluate(model, test)[0])
    truth = pictures(loaded(args.work, "sequential")[0][-1])
    ours = fid.statistics(fashion_classifier.evaluate(model, truth)[0])
    print(f"{len(truth)} pictures; the sequential sampler's own distance to the test split: "
          f"{fid.frechet(ours, real):.4g}\n")
    rows, tables = [], {"to the test split": {}, "to the sequential pictures": {}, "PSNR, dB": {}}
    for name in METHODS:
        states, counts, rounds = curve(args.work, name)
        for k, state in enumerate(states):
            found = fid.statistics(fashion_classifier.evaluate(model, pictures(state))[0])
            values = (fid.frechet(found, real), fid.frechet(found, ours), psnr(state, truth))
            for table, value in zip(tables.values(), values):
                table.setdefault(name, []).append(value)
            rows.append([name, len(truth), k + 1, f"{values[2]:.3f}", f"{values[1]:.6g}",
                         f"{values[0]:.6g}", f"{counts[k]:.1f}"])
        if rounds is not None:
            print(f"{name}: {rounds.mean():.1f} rounds to convergence")
    for title, table in tables.items():
        print(f"\n{title}\n\n| rounds k: | " + " | ".join(map(str, range(1, LONGEST + 1))) + " |")
        print("| --- |" + " ---: |" * LONGEST)
        for name, values in table.items():
            print(f"| {NAMES.get(name, name)} | " + " | ".join(f"{v:.3g}" for v in values) + " |")
    with open(args.csv, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["method", "samples", "round", "psnr", "distance", "distance_test",
                         "evaluations"])
        writer.writerows(rows)


if __name__ == "__main__":
    main()
