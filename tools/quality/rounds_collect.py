#!/usr/bin/env python3
"""Keep of a finished run's folder what quality after every round needs, in one small file.

FILE.npz: `state` [rounds, samples, C, H, W] float32, the last state after every round of a run with
--save-iterates, or, of a sequential one with --save-trajectory, the state after every step (a sample
that ended earlier keeps its result); `evaluations` [rounds, samples], rows evaluated up to then;
`rounds` [samples]; `converged` [samples].

    rounds_collect.py DIR FILE.npz
"""

import argparse
import json
import pathlib

import numpy


def last_states(folder, sample):
    """[rounds, ...] of one sample."""
    stem = f"sample-{sample['index']:03d}"
    if sample["stop"] == "sequential":
        return numpy.load(folder / f"{stem}.trajectory.npy")[1:]
    return numpy.load(folder / f"{stem}.iterates.npy", mmap_mode="r")[1:, -1]


def evaluated(sample):
    """Rows evaluated up to the end of every round; a row has a residual where it was."""
    if sample["stop"] == "sequential":
        return numpy.arange(1, sample["evaluations"] + 1)
    return numpy.cumsum([sum(value is not None for value in row)
                         for row in sample["residual_history"]])


def padded(rows, length):
    """The last row repeated until there are `length` or more."""
    rows = numpy.asarray(rows)
    return numpy.concatenate([rows, numpy.repeat(rows[-1:], max(length - len(rows), 0), 0)])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=pathlib.Path, help="output folder of `picard-dag run`")
    parser.add_argument("file", type=pathlib.Path)
    args = parser.parse_args()
    samples = json.loads((args.run / "run.json").read_text())["samples"]
    states = [last_states(args.run, sample) for sample in samples]
    counts = [evaluated(sample) for sample in samples]
    n = max(len(rows) for rows in states)
    part = args.file.with_suffix(".part.npz")
    numpy.savez(part, state=numpy.stack([padded(rows, n) for rows in states], 1),
                evaluations=numpy.stack([padded(rows, n) for rows in counts], 1),
                rounds=[sample["rounds"] for sample in samples],
                converged=[sample["stop"] == "converged" for sample in samples])
    part.rename(args.file)


if __name__ == "__main__":
    main()
