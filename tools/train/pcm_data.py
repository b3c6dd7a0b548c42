#!/usr/bin/env python3
"""Trajectories for Picard-consistency training, made by the program itself.

Every shard DIR/shard-00000.npz is one run of the job with other prompts (or class labels) and
seeds: `trajectory` [samples, N + 1, ...] float32 is converged, `iterates` [samples, K, N + 1, ...]
float16 holds the first K first guess and rounds of the job's own solver, `prompt` the texts or
labels.  Without --rounds none are kept (the first guess is copies of the noise) and the sequential
sampler, whose states are the fixed point of every solver, makes the trajectories: 50 evaluations
each instead of some 250.  With --episodes a shard is one episode of a policy and a sample one of
its plans, which start from the plans before them, so --rounds is needed; `prompt` [samples, ...] is
what had been observed.  DIR/job.json is the job as the program understood it.
A second call goes on where the first was stopped.

    pcm_data.py build/picard-dag examples/sd-pcm.pb --out DIR/data --emoji DIR --count 600
    pcm_data.py build/picard-dag examples/dit.pb --out DIR/data --classes 10 --count 1000
    pcm_data.py build/picard-dag examples/pusht.pb --out DIR/data --episodes --rounds 1 --count 60
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


def run(args, folder, command, settings):
    """The job by the program, its results in `folder`; returns what it says of itself."""
    words = [args.program, command, args.job, "--quiet", "--force", "-o", folder,
             "--save-trajectory"]
    words += ["--checkpoint-seconds", "0"] if command == "run" else []
    words += ["--save-iterates"] if args.rounds else []
    settings = ["solver.window=0"] + settings + args.set
    subprocess.run(words + [word for setting in settings for word in ("--set", setting)],
                   check=True, stdout=subprocess.DEVNULL)
    return folder / ("run.json" if command == "run" else "rollout.json")


def draw_prompts(args, rng):
    """Of one shard: lines of a file, captions by the weights of emoji-sd's training, classes."""
    if args.classes:
        return [str(label) for label in rng.integers(args.classes, size=args.per_run)]
    if args.prompts:
        lines = [line for line in args.prompts.read_text(encoding="utf-8").splitlines() if line]
        return [str(text) for text in rng.choice(lines, args.per_run, len(lines) < args.per_run)]
    with numpy.load(args.emoji / "emoji.npz") as data:     # held-out names have weight 0
        return [str(text) for text in rng.choice(data["name"], args.per_run, p=data["weight"])]


def make_samples(args, number, folder):
    """(job, prompts, stems of the files) of one shard."""
    prompts = draw_prompts(args, numpy.random.default_rng((args.seed, number)))
    field = "class_label" if args.classes else "prompt"
    settings = [f"{field}={text}" for text in prompts]
    settings += [f"samples={args.per_run}", f"seed={args.first_seed + number * args.per_run}"]
    if not args.rounds:
        settings += ["solver.method=sequential", "pcm="]
    job = run(args, folder, "run", settings)
    return job, prompts, [f"sample-{i:03d}" for i in range(args.per_run)]


def make_episode(args, number, folder):
    """The same, of an episode's plans."""
    job = run(args, folder, "rollout", [f"seed={args.first_seed + number}"])
    stems = sorted(path.name.removesuffix(".observations.npy")
                   for path in folder.glob("episode-000-plan-*.observations.npy"))
    return job, [numpy.load(folder / f"{stem}.observations.npy") for stem in stems], stems


def make_shard(args, number):
    """Run the job once and write one shard; returns its share of --count."""
    path = args.out / f"shard-{number:05d}.npz"
    each = 1 if args.episodes else args.per_run
    if path.exists():
        return each
    with tempfile.TemporaryDirectory(dir=args.out) as folder:
        folder = pathlib.Path(folder)
        make = make_episode if args.episodes else make_samples
        job, prompts, stems = make(args, number, folder)
        arrays = {"prompt": numpy.array(prompts), "trajectory": numpy.stack(
            [numpy.load(folder / f"{stem}.trajectory.npy") for stem in stems])}
        if args.rounds:
            arrays["iterates"] = numpy.stack(
                [first_rounds(folder / f"{stem}.iterates.npy", args.rounds) for stem in stems])
        if not (args.out / "job.json").exists():
            shutil.copy(job, args.out / "job.json")
        numpy.savez(path.with_suffix(".tmp.npz"), **arrays)
        path.with_suffix(".tmp.npz").replace(path)
    return each


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
    return (job, [prompt for shard in shards for prompt in shard["prompt"]],
            numpy.concatenate([shard["trajectory"] for shard in shards]), iterates)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("job")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the shards")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--prompts", type=pathlib.Path, help="text file, a prompt a line")
    source.add_argument("--emoji", type=pathlib.Path, help="folder of emoji_data.py's emoji.npz")
    source.add_argument("--classes", type=int, help="number of the model's classes")
    source.add_argument("--episodes", action="store_true", help="of a policy, in its environment")
    parser.add_argument("--count", type=int, default=600, help="trajectories, or episodes")
    parser.add_argument("--per-run", type=int, default=8, help="trajectories of a shard")
    parser.add_argument("--rounds", type=int, default=0, help="K, iterates kept of each")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], help="of the job, as in run")
    parser.add_argument("--seed", type=int, default=0, help="draws the prompts")
    parser.add_argument("--first-seed", type=int, default=TRAINING_SEEDS, help="of the samples")
    args = parser.parse_args()
    if args.episodes and not args.rounds:
        parser.error("--episodes: --rounds is needed")
    args.out.mkdir(parents=True, exist_ok=True)
    start, done = time.time(), 0
    with concurrent.futures.ThreadPoolExecutor(args.processes) as pool:
        shards = range(args.count if args.episodes else -(-args.count // args.per_run))
        for made in pool.map(lambda number: make_shard(args, number), shards):
            done += made
            print(f"done {done} seconds {time.time() - start:.0f}", flush=True)


if __name__ == "__main__":
    main()
