#!/usr/bin/env python3
"""Mean and variance of emoji-sd's final states, for solver.statistics.

What tells a solver how far a row's change carries is how much pictures of one prompt
differ, not how much all pictures do: the variance is that of the samples of a prompt
around their own mean, averaged over prompts.  The program makes the samples.

    emoji_statistics.py build/picard-dag examples/sd.pb examples/models/emoji-sd
"""

import argparse
import pathlib
import subprocess
import tempfile

import numpy

import emoji_sheet


def statistics(args, prompt, folder):
    """[2, C, H, W] of the samples of one prompt."""
    path = pathlib.Path(folder) / "statistics.npy"
    subprocess.run([
        args.program, "run", args.job, "--quiet", "--force", "-o", folder,
        "--set", f"model.path={args.model}", "--set", f"prompt={prompt}",
        "--set", f"samples={args.samples}", "--set", "sampler.steps=20",
        "--set", "solver.method=sequential", "--set", "solver.statistics=",
        "--save-statistics", path], check=True)
    return numpy.load(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("job")
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--samples", type=int, default=6)
    args = parser.parse_args()
    names = [name.strip(" !") for line in emoji_sheet.PROMPTS.strip().splitlines()
             for name in line.split(";")]
    chosen = names[::max(1, len(names) // args.prompts)][:args.prompts]
    with tempfile.TemporaryDirectory() as folder:
        found = numpy.stack([statistics(args, name, folder) for name in chosen])
    result = found.mean(axis=0)
    result[1] *= args.samples / (args.samples - 1)
    numpy.save(args.model / "statistics.npy", result.astype(numpy.float32))
    print(f"{len(chosen)} prompts, {args.samples} samples each: mean variance {result[1].mean():.4f}")


if __name__ == "__main__":
    main()
