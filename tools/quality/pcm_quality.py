#!/usr/bin/env python3
"""Tables and chart of bench/pcm_quality.sh: quality of the picture after every round.

    pcm_quality.py --work DIR --model examples/models/emoji-sd --csv FILE --chart FILE.png

PSNR of each picture to that of the sequential sampler with all steps, mean over prompts, at most 100
dB.  Frechet distance (fid.py) of the pictures after the round to the sequential sampler's pictures of
the same prompts and noise, and to the training pictures (--emoji, by the weights of the training).
Its features are those of the model's own autoencoder, which encodes the pictures again: of every
quarter of a picture the mean and the deviation of each latent channel (emoji-sd: 8 numbers), four
items a picture.
"""

import argparse
import csv
import pathlib

import numpy
import torch
from diffusers import AutoencoderKL

import chart
import fid
from rounds_collect import padded

LONGEST, BEST_PSNR = 10, 100.0
N_FEW = 4           # prompts of the methods in FEW
NAMES = {
    "sequential": "sequential, k steps of 50",
    "steps": "sequential, k steps in all",
    "picard": "Picard",
    "order-k": "order-k",
    "triangular-anderson": "triangular-anderson",
    "gaussian": "Gaussian slope",
    "secant": "secant",
    "pcm-unmixed": "PCM without mixing",
    "pcm-gaussian": "PCM, Gaussian slope",
    "pcm-secant": "PCM + secant",
}
SEQUENTIAL = ("sequential", "steps")
FEW = {                     # run on the first prompts alone
    "pcm-gaussian-k2": "PCM, Gaussian slope, K = 2",
    "pcm-gaussian-k3": "PCM, Gaussian slope, K = 3",
    "pcm-features-k2": "PCM, Gaussian slope, K = 2, features",
    "pcm-secant-k2": "PCM + secant, K = 2",
    "pcm-secant-k3": "PCM + secant, K = 3",
    "pcm-picard": "PCM + Picard",
    "pcm-triangular-anderson": "PCM + triangular-anderson",
}


def quarters(latents):
    """Features [4 n, 2 C] of latents [n, C, H, W]: mean and deviation of each quarter's channels."""
    n, channels, high, wide = latents.shape
    cells = latents.astype(numpy.float64).reshape(n, channels, 2, high // 2, 2, wide // 2)
    both = numpy.stack([cells.mean((3, 5)), cells.std((3, 5))], 1)
    return both.reshape(n, 2 * channels, 4).transpose(0, 2, 1).reshape(4 * n, 2 * channels)


class Autoencoder:
    """Latents to pictures and back."""

    def __init__(self, folder):
        self.model = AutoencoderKL.from_pretrained(folder, subfolder="vae",
                                                   torch_dtype=torch.float32).eval()
        self.model.to(memory_format=torch.channels_last)
        self.scale = self.model.config.scaling_factor

    @torch.inference_mode()
    def decode(self, states):
        """Pictures [n, 3, H, W], 0 to 1."""
        x = torch.from_numpy(states).contiguous(memory_format=torch.channels_last)
        return (self.model.decode(x / self.scale).sample / 2 + 0.5).clamp(0, 1)

    @torch.inference_mode()
    def encode(self, pictures):
        """Latent means, scaled."""
        return (self.model.encode(pictures * 2 - 1).latent_dist.mean * self.scale).numpy()


class Store:
    """Finished runs in a folder, with what was measured of them beside."""

    def __init__(self, work, model):
        self.work, self.vae, self.truths = work, Autoencoder(model), {}
        found = sorted(int(path.stem.rpartition("-")[2]) for path in work.glob("sequential-*.npz")
                       if "measured" not in path.stem)
        self.batches = [first for first in found if all(self.has(name, first) for name in NAMES)]
        if not self.batches:
            raise SystemExit(f"{self.work}: no batch is complete")

    def has(self, name, first):
        name = f"steps{LONGEST}" if name == "steps" else name
        return (self.work / f"{name}-{first}.npz").exists()

    def load(self, name, first):
        with numpy.load(self.work / f"{name}-{first}.npz") as data:
            return {key: data[key] for key in data.files}

    def truth(self, first):
        """Sequential pictures of a batch."""
        if first not in self.truths:
            self.truths[first] = self.vae.decode(self.load("sequential", first)["state"][-1])
        return self.truths[first]

    def measured(self, name, first, states):
        """(psnr [rounds, samples], features [rounds, 4 samples, d]); kept in a file."""
        path = self.work / f"{name}-{first}.measured.npz"
        if not path.exists():
            truth, psnr, features = self.truth(first)[:states.shape[1]], [], []
            for state in states:
                pictures = self.vae.decode(state)
                error = (pictures - truth).square().mean((1, 2, 3))
                psnr.append((-10 * torch.log10(error.clamp(min=1e-12))).clamp(max=BEST_PSNR))
                features.append(quarters(self.vae.encode(pictures)))
            numpy.savez(path, psnr=numpy.stack(psnr), features=numpy.stack(features))
        with numpy.load(path) as data:
            return data["psnr"], data["features"]

    def batch(self, name, first):
        """(psnr, features, evaluations, rounds, converged, features of the sequential pictures)."""
        parts = [f"steps{k}" for k in range(1, LONGEST + 1)] if name == "steps" else [name]
        runs = [self.load(part, first) for part in parts]
        for run in runs:                # of a sequential run with k steps the last
            for key in ("state", "evaluations"):
                run[key] = run[key][:LONGEST] if name == "sequential" else \
                    run[key][-1:] if name == "steps" else run[key]
        both = [self.measured(part, first, run["state"]) for part, run in zip(parts, runs)]
        psnr, features = (numpy.concatenate([found[i] for found in both]) for i in (0, 1))
        truth = quarters(self.vae.encode(self.truth(first)[:psnr.shape[1]]))
        return (psnr, features, numpy.concatenate([run["evaluations"] for run in runs]),
                runs[-1]["rounds"], runs[-1]["converged"], truth)

    def training_statistics(self, path):
        """Mean and covariance of the training pictures' features; kept in a file."""
        kept = self.work / "training.npz"
        if not kept.exists():
            with numpy.load(path) as data:
                pictures, weights = data["image"], data["weight"]
            parts = [torch.from_numpy(pictures[i:i + 32]).permute(0, 3, 1, 2).float() / 255
                     for i in range(0, len(pictures), 32)]
            features = numpy.concatenate([quarters(self.vae.encode(part)) for part in parts])
            mean, covariance = fid.statistics(features, numpy.repeat(weights, 4))
            numpy.savez(kept, mean=mean, covariance=covariance)
        return fid.known_statistics(kept, None)

    def curve(self, name, few=False):
        """A Curve over all batches, or over the first prompts alone."""
        if few:
            psnr, features, evaluations, rounds, converged, truth = self.batch(name, 0)
            return Curve(name, *[padded(part, LONGEST) for part in (
                psnr[:, :N_FEW], features[:, :4 * N_FEW], evaluations[:, :N_FEW])],
                rounds[:N_FEW], converged[:N_FEW], truth[:4 * N_FEW])
        parts = [self.batch(name, first) for first in self.batches]
        longest = max([LONGEST] + [len(part[0]) for part in parts])
        merged = [numpy.concatenate([padded(part[i], longest) for part in parts], 1) for i in range(3)]
        return Curve(name, *merged, *[numpy.concatenate([part[i] for part in parts])
                                      for i in (3, 4, 5)])


class Curve:
    """One method's quality: mean PSNR, distance and mean evaluations after every round."""

    def __init__(self, name, psnr, features, evaluations, rounds, converged, truth):
        self.each, self.rounds = psnr, rounds
        self.converged = None if name in SEQUENTIAL else converged
        self.psnr, self.evaluations = psnr.mean(1), evaluations.mean(1)
        self.truth, self.prompts = fid.statistics(truth), psnr.shape[1]
        self.statistics = [fid.statistics(part) for part in features]
        self.distance = [fid.frechet(part, self.truth) for part in self.statistics]


def equivalent(curve, value, better):
    """Rounds after which `curve` is as good as value for good, between rounds linearly; or None."""
    worst = numpy.array([min(curve[k:], key=better) for k in range(len(curve))])
    if better(worst[-1]) < better(value):
        return None
    k = int(numpy.argmax([better(w) >= better(value) for w in worst]))
    if k == 0:
        return 1.0
    return k + (value - worst[k - 1]) / (worst[k] - worst[k - 1])


def row(cells):
    print("| " + " | ".join(cells) + " |")


def print_table(title, names, rows, shown):
    print(f"\n{title}\n")
    row(["rounds k:"] + [str(k) for k in range(1, LONGEST + 1)])
    row(["---"] + ["---:"] * LONGEST)
    for name, values in rows.items():
        row([names[name]] + [shown(value) for value in values[:LONGEST]])


def print_ends(names, curves):
    print("\nAt the end: rounds to convergence, evaluations, PSNR of the worst picture\n")
    row(["", "rounds", "evaluations", "dB"])
    row(["---"] + ["---:"] * 3)
    for name, curve in curves.items():
        if curve.converged is not None:
            done = int(curve.converged.sum())
            note = "" if done == curve.prompts else f", {done} of {curve.prompts} converged"
            row([names[name], f"{curve.rounds.mean():.1f} ± {curve.rounds.std():.1f}{note}",
                 f"{curve.evaluations[-1]:.0f}", f"{curve.each[-1].min():.0f}"])


def worth_cells(curve, other):
    """For PSNR and distance: rounds of `other` that are as good for good as k of `curve`, over k."""
    rows = []
    for text, values, known, better in (
            ("PSNR", curve.psnr, other.psnr, lambda v: v),
            ("distance", curve.distance, other.distance, lambda v: -v)):
        worth = [equivalent(known, value, better) for value in values[:LONGEST]]
        rows.append([text] + ["-" if w is None else f"{w / (k + 1):.2f}"
                              for k, w in enumerate(worth)])
    return rows


def print_goal(names, curves):
    """Against Picard, and what the model adds to its own sweep."""
    pairs = [(name, "picard") for name in curves if name != "picard" and name not in SEQUENTIAL]
    pairs += [("pcm-gaussian", "gaussian"), ("pcm-secant", "secant")]
    print("\nRounds after which the other is as good for good, divided by k\n")
    row(["", "over", "by"] + [str(k) for k in range(1, LONGEST + 1)])
    row(["---", "---", "---"] + ["---:"] * LONGEST)
    for name, other in pairs:
        for cells in worth_cells(curves[name], curves[other]):
            row([names[name], names[other]] + cells)


def draw(path, names, curves):
    panels = [chart.Panel("PSNR to the converged picture, dB", "rounds k", (1, LONGEST), (0, 80)),
              chart.Panel("Frechet distance to sequential pictures", "rounds k", (1, LONGEST),
                          (1e-6, 30), log_y=True),
              chart.Panel("PSNR, dB", "evaluations", (50, 450), (0, 80))]
    lines = [{}, {}, {}]
    for name, curve in curves.items():
        lines[0][names[name]] = list(enumerate(curve.psnr[:LONGEST], 1))
        lines[1][names[name]] = list(enumerate(curve.distance[:LONGEST], 1))
        if name not in SEQUENTIAL:
            lines[2][names[name]] = list(zip(curve.evaluations, curve.psnr))
    chart.write(path, panels, [names[name] for name in curves], lines)


def write_csv(path, curves, reference):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["method", "prompts", "round", "psnr", "distance", "distance_training",
                         "evaluations"])
        for name, curve in curves.items():
            for k in range(len(curve.psnr)):
                far = fid.frechet(curve.statistics[k], reference) if reference else None
                writer.writerow([name, curve.prompts, k + 1, f"{curve.psnr[k]:.3f}",
                                 f"{curve.distance[k]:.6g}", "" if far is None else f"{far:.5g}",
                                 f"{curve.evaluations[k]:.1f}"])


def print_all(store, curves, few, reference):
    print(f"{8 * len(store.batches)} prompts")
    print_table("PSNR to the sequential picture, dB", NAMES,
                {name: curve.psnr for name, curve in curves.items()}, lambda v: f"{v:.1f}")
    print_table("Frechet distance to the sequential pictures", NAMES,
                {name: curve.distance for name, curve in curves.items()}, lambda v: f"{v:.2g}")
    if reference:
        full = fid.frechet(curves["picard"].truth, reference)
        print_table(f"Frechet distance to the training pictures; sequential: {full:.3g}", NAMES,
                    {name: [fid.frechet(part, reference) for part in curve.statistics]
                     for name, curve in curves.items()}, lambda v: f"{v:.3g}")
    print_ends(NAMES, curves)
    print_goal(NAMES, curves)
    print_table(f"First {N_FEW} prompts: PSNR, dB", NAMES | FEW,
                {name: curve.psnr for name, curve in few.items()}, lambda v: f"{v:.1f}")
    print_ends(NAMES | FEW, few)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=pathlib.Path, required=True, help="of bench/pcm_quality.sh")
    parser.add_argument("--model", type=pathlib.Path, required=True, help="diffusers directory")
    parser.add_argument("--emoji", type=pathlib.Path, help="training pictures, of emoji_data.py")
    parser.add_argument("--csv", type=pathlib.Path, required=True)
    parser.add_argument("--chart", type=pathlib.Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    store = Store(args.work, args.model)
    reference = store.training_statistics(args.emoji) if args.emoji else None
    curves = {name: store.curve(name) for name in NAMES}
    few = {name: store.curve(name, True) for name in NAMES | FEW if store.has(name, 0)}
    print_all(store, curves, few, reference)
    write_csv(args.csv, curves | {name: few[name] for name in FEW if name in few}, reference)
    draw(args.chart, NAMES, curves)


if __name__ == "__main__":
    main()
