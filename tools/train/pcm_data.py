#!/usr/bin/env python3
"""Trajectories for Picard-consistency training, made by the program itself.

Every shard DIR/shard-00000.npz is one run of the job with other prompts and seeds:
`trajectory` [samples, N + 1, ...] float32 is converged, `iterates` [samples, K, N + 1, ...]
float16 holds the first K first guess and rounds of the job's own solver, `prompt` the texts.
Without --rounds none are kept (the first guess is copies of the noise) and the sequential
sampler, whose states are the fixed point of every solver, makes the trajectories: 50
evaluations each instead of some 250.  DIR/job.json is the job as the program understood it.
A second call goes on where the first was stopped.

    pcm_data.py build/picard-dag examples/sd-pcm.pb --out DIR/data --emoji DIR --count 600
"""

import argparse
import concurrent.futures
import json
import pathlib
import shutil
import subprocess
import tempfile
import time

import numpy

TRAINING_SEEDS = 1_000_000      # what is measured uses small seeds


def draw_prompts(args, rng):
    """Prompts of one shard: lines of a file, or captions by the weights of emoji-sd's training."""
    if args.prompts:
        lines = [line for line in args.prompts.read_text(encoding="utf-8").splitlines() if line]
        return [str(text) for text in rng.choice(lines, args.per_run, len(lines) < args.per_run)]
    with numpy.load(args.emoji / "emoji.npz") as data:     # held-out names have weight 0
        return [str(text) for text in rng.choice(data["name"], args.per_run, p=data["weight"])]


def make_shard(args, number):
    """Run the job once and write one shard; returns the number of its samples."""
    path = args.out / f"shard-{number:05d}.npz"
    if path.exists():
        return args.per_run
    prompts = draw_prompts(args, numpy.random.default_rng((args.seed, number)))
    settings = ["solver.window=0", f"samples={args.per_run}",
                f"seed={args.first_seed + number * args.per_run}"] + args.set
    settings += [f"prompt={text}" for text in prompts]
    if not args.rounds:
        settings += ["solver.method=sequential", "pcm="]
    with tempfile.TemporaryDirectory(dir=args.out) as folder:
        command = [args.program, "run", args.job, "--quiet", "--force", "-o", folder,
                   "--checkpoint-seconds", "0", "--save-trajectory"]
        command += ["--save-iterates"] if args.rounds else []
        subprocess.run(command + [word for setting in settings for word in ("--set", setting)],
                       check=True)
        folder = pathlib.Path(folder)
        each = [f"sample-{i:03d}" for i in range(args.per_run)]
        arrays = {"prompt": numpy.array(prompts), "trajectory": numpy.stack(
            [numpy.load(folder / f"{name}.trajectory.npy") for name in each])}
        if args.rounds:
            arrays["iterates"] = numpy.stack(
                [first_rounds(folder / f"{name}.iterates.npy", args.rounds) for name in each])
        if not (args.out / "job.json").exists():
            shutil.copy(folder / "run.json", args.out / "job.json")
        numpy.savez(path.with_suffix(".tmp.npz"), **arrays)
        path.with_suffix(".tmp.npz").replace(path)
    return args.per_run


def first_rounds(path, rounds):
    """The first guess and the rounds after it; a run that was done earlier repeats its last."""
    iterates = numpy.load(path, mmap_mode="r")
    chosen = [min(k, len(iterates) - 1) for k in range(rounds)]
    return iterates[chosen].astype(numpy.float16)


def load(folder):
    """(job, prompts, trajectories, iterates or None) of all shards there."""
    folder = pathlib.Path(folder)
    job = json.loads((folder / "job.json").read_text())["job"]
    shards = [numpy.load(path) for path in sorted(folder.glob("shard-?????.npz"))]
    if not shards:
        raise SystemExit(f"{folder}: no shards")
    iterates = None
    if all("iterates" in shard.files for shard in shards):
        iterates = numpy.concatenate([shard["iterates"] for shard in shards])
    return (job, [str(text) for shard in shards for text in shard["prompt"]],
            numpy.concatenate([shard["trajectory"] for shard in shards]), iterates)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("job")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the shards")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--prompts", type=pathlib.Path, help="text file, a prompt a line")
    source.add_argument("--emoji", type=pathlib.Path, help="folder of emoji_data.py's emoji.npz")
    parser.add_argument("--count", type=int, default=600, help="trajectories")
    parser.add_argument("--per-run", type=int, default=8, help="trajectories of a shard")
    parser.add_argument("--rounds", type=int, default=0, help="K, iterates kept of each")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], help="of the job, as in run")
    parser.add_argument("--seed", type=int, default=0, help="draws the prompts")
    parser.add_argument("--first-seed", type=int, default=TRAINING_SEEDS, help="of the samples")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    start, done = time.time(), 0
    with concurrent.futures.ThreadPoolExecutor(args.processes) as pool:
        shards = range(-(-args.count // args.per_run))
        for made in pool.map(lambda number: make_shard(args, number), shards):
            done += made
            print(f"trajectories {done} seconds {time.time() - start:.0f}", flush=True)


if __name__ == "__main__":
    main()
