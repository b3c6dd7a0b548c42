#!/usr/bin/env python3
"""How good fashion-dit's samples are: distance to the test split, classes, memorisation, a sheet.

Features and classes come from fashion_classifier.py, the distance from fid.py.  All settings
start from the same noise: sample i from torch.Generator().manual_seed(SEED + i), class i modulo 10.
Samples are made by the program, or by diffusers without --program.

    fashion_quality.py --model examples/models/fashion-dit --program build/picard-dag --job examples/dit.pb \\
        --json DIR/quality.json --sheet docs/fashion-dit-sheet.png
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import torch
from PIL import Image

import fashion_classifier
import fid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "train"))
import fashion_data

CLASSES = len(fashion_data.NAMES)
SIZE = fashion_data.SIZE
ZOOM = 2


def start_noise(args):
    return torch.cat([torch.randn(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(args.seed + i))
                      for i in range(args.count)])


@torch.no_grad()
def draw_diffusers(args, guidance, noise, labels, batch=100):
    """Final states [n, 1, 28, 28] by diffusers' network and scheduler."""
    from diffusers import DDIMScheduler, DiTTransformer2DModel
    model = DiTTransformer2DModel.from_pretrained(args.model / "transformer", torch_dtype=torch.float32).eval()
    extra = {} if args.clip is None else {"clip_sample": args.clip == "true"}
    scheduler = DDIMScheduler.from_pretrained(args.model / "scheduler", **extra)
    parts = []
    for start in range(0, len(noise), batch):
        x, y = noise[start:start + batch], torch.from_numpy(labels[start:start + batch])
        scheduler.set_timesteps(args.steps)
        for time in scheduler.timesteps:
            if guidance == 1:
                epsilon = model(x, time.expand(len(x)), class_labels=y).sample
            else:
                both = model(torch.cat([x, x]), time.expand(2 * len(x)),
                             class_labels=torch.cat([torch.full_like(y, CLASSES), y])).sample
                without, with_class = both.chunk(2)
                epsilon = without + guidance * (with_class - without)
            x = scheduler.step(epsilon, time, x).prev_sample
        parts.append(x)
    return torch.cat(parts)


def draw_program(args, guidance, noise, labels):
    """The same by the program, sequentially."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        numpy.save(folder / "noise.npy", noise.numpy())
        command = [args.program, "run", args.job, "--quiet", "-o", folder / "out",
                   "--set", f"model.path={args.model.resolve()}", "--set", "solver.method=sequential",
                   "--set", f"sampler.steps={args.steps}", "--set", f"guidance_scale={guidance:g}",
                   "--set", f"noise={folder / 'noise.npy'}", "--set", f"samples={args.count}"]
        for label in labels[:CLASSES]:
            command += ["--set", f"class_label={label}"]
        if args.clip is not None:
            command += ["--set", f"sampler.clip={args.clip}"]
        subprocess.run(command, check=True)
        report = json.loads((folder / "out" / "run.json").read_text())
        states = [numpy.load(folder / "out" / sample["state"]) for sample in report["samples"]]
    return torch.from_numpy(numpy.stack(states)).reshape(-1, 1, SIZE, SIZE)


def nearest(pictures, references):
    """Root of the squared distance to the nearest reference, for every picture."""
    a, b = pictures.flatten(1), references.flatten(1)
    squares = b.square().sum(1)
    return torch.cat([(part.square().sum(1, keepdim=True) - 2 * part @ b.T + squares).min(1).values
                      for part in a.split(250)]).clamp(min=0).sqrt().numpy()


def measure(model, pictures, labels, test_statistics, train):
    """Distance, accuracies and nearest training pictures of one set of samples."""
    features, seen = fashion_classifier.evaluate(model, pictures)
    right = seen == labels
    near = nearest(pictures, train)
    return {
        "distance": fid.frechet(fid.statistics(features), test_statistics), "accuracy": float(right.mean()),
        "classes": [float(right[labels == k].mean()) for k in range(CLASSES)],
        "near_median": float(numpy.median(near)), "near_least": float(near.min()),
    }


def write_sheet(path, pictures, labels, test, test_labels, columns=16, real=2):
    """A row a class: `real` test pictures, a line, `columns` samples."""
    tile = SIZE * ZOOM
    sheet = numpy.full((CLASSES * tile, (real + columns) * tile + 6), 255, numpy.uint8)
    for k in range(CLASSES):
        row = torch.cat([test[test_labels == k][:real], pictures[labels == k][:columns]])
        tiles = ((row[:, 0] / 2 + 0.5).clamp(0, 1) * 255).round().byte().numpy()
        for i, picture in enumerate(tiles):
            left = i * tile + (6 if i >= real else 0)
            sheet[k * tile:(k + 1) * tile, left:left + tile] = picture.repeat(ZOOM, 0).repeat(ZOOM, 1)
    Image.fromarray(sheet).save(path, optimize=True)


def write_statistics(path, pictures, labels):
    """For solver.statistics: the mean of all states and their variance within a class, [2, 1, 28, 28]."""
    variance = torch.stack([pictures[labels == k].var(0) for k in range(CLASSES)]).mean(0)
    numpy.save(path, torch.stack([pictures.mean(0), variance]).numpy().astype(numpy.float32))
    print(f"mean variance within a class {variance.mean():.4f}")


def floor(args, model, test_statistics, draws=5):
    """Mean distance and accuracy of `count` training pictures, classes in equal shares."""
    pictures, labels = fashion_data.load("train", args.data)
    random = numpy.random.default_rng(args.seed)
    found = []
    for _ in range(draws):
        rows = numpy.concatenate([random.choice(numpy.flatnonzero(labels == k), args.count // CLASSES, False)
                                  for k in range(CLASSES)])
        features, seen = fashion_classifier.evaluate(model, fashion_data.to_tensor(pictures[rows]))
        found.append((fid.frechet(fid.statistics(features), test_statistics), (seen == labels[rows]).mean()))
    return {"draws": draws, "floor": float(numpy.mean(found, 0)[0]), "train_accuracy": float(numpy.mean(found, 0)[1])}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--program", help="picard-dag; without it diffusers")
    parser.add_argument("--job", default="examples/dit.pb", help="job of the program")
    parser.add_argument("--data", type=pathlib.Path, default=fashion_data.FOLDER, help="folder of the idx files")
    parser.add_argument("--count", type=int, default=1000, help="samples of each setting; a multiple of 10")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0, 1.5, 2.0, 3.0])
    parser.add_argument("--main", type=float, default=2.0, help="the guidance of the sheet and the statistics")
    parser.add_argument("--clip", choices=("true", "false"), help="clip_sample other than the model's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--sheet", type=pathlib.Path)
    parser.add_argument("--statistics", type=pathlib.Path, help="write solver.statistics of the --main guidance, .npy")
    args = parser.parse_args()
    if args.count % CLASSES or args.count < 10 * CLASSES:
        parser.error("--count: a multiple of 10, 100 at least")
    torch.set_num_threads(1)
    model = fashion_classifier.load()
    test, test_labels = fashion_data.load("test", args.data)
    test = fashion_data.to_tensor(test)
    train = fashion_data.to_tensor(fashion_data.load("train", args.data)[0])
    test_features, seen = fashion_classifier.evaluate(model, test)
    test_statistics = fid.statistics(test_features)
    test_near = nearest(test[:args.count], train)
    found = {"count": args.count, "steps": args.steps, "main": args.main, "clip": args.clip,
             "sampler": "the program" if args.program else "diffusers",
             "test_accuracy": float((seen == test_labels).mean()),
             "test_classes": [float((seen == k)[test_labels == k].mean()) for k in range(CLASSES)],
             "test_near_median": float(numpy.median(test_near)), "test_near_least": float(test_near.min()),
             **floor(args, model, test_statistics), "runs": []}
    print(f"floor {found['floor']:.2f}, nearest of test pictures {found['test_near_median']:.2f}", flush=True)
    labels = numpy.arange(args.count) % CLASSES
    noise = start_noise(args)
    for guidance in args.guidance:
        draw = draw_program if args.program else draw_diffusers
        states = draw(args, guidance, noise, labels)
        pictures = states.clamp(-1, 1)
        run = {"guidance": guidance, **measure(model, pictures, labels, test_statistics, train)}
        found["runs"].append(run)
        print(json.dumps(run), flush=True)
        if args.sheet and guidance == args.main:
            write_sheet(args.sheet, pictures, labels, test, test_labels)
        if args.statistics and guidance == args.main:
            write_statistics(args.statistics, states, labels)
        if args.json:
            args.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
