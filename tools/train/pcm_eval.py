#!/usr/bin/env python3
"""Measure a Picard-consistency model of Stable Diffusion: PSNR of the picture after every round to the converged one.

A schedule is the list of lambda(k) of the first rounds, 0 from then on: base + lambda times the
trained change, with the slope it was trained for while lambda is above 0 and the job's slope after,
where history starts anew.

    pcm_eval.py --data DIR/eval --pcm examples/models/emoji-sd-pcm --schedule 1 --schedule 1,0.5
"""

import argparse
import json
import pathlib

import torch

import pcm_data
import pcm_networks
import pcm_sweep


@torch.no_grad()
def pictures(pipe, latents):
    """Decoded pictures, 0 to 1."""
    return (pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1)


class Measure:
    """Converged trajectories with their pictures, and the network for every lambda."""

    def __init__(self, args):
        self.job, prompts, truth, _ = pcm_data.load(args.data)
        self.prompts, self.truth = prompts[:args.samples], torch.from_numpy(truth[:args.samples])
        self.model, self.folder = args.model, args.pcm
        base = pcm_networks.TextUnet(args.model or self.job["model"]["path"], self.job)
        self.pipe = base.pipe
        self.chain = pcm_sweep.Chain(self.job, base.signal)
        variance = args.variance or json.loads(
            (args.pcm / "training_state.json").read_text())["variance"]
        self.trained_chain = pcm_sweep.Chain(self.job, base.signal, variance)
        self.pictures = pictures(self.pipe, self.truth[:, -1])
        self.networks = {0.0: base}
        self.first = {}     # f of the first guess, by lambda

    def network(self, mix):
        """The guided network of base + mix * change."""
        if mix not in self.networks:
            network = pcm_networks.open_network(self.job, self.model)
            pcm_networks.merge(dict(network.trained.named_parameters()), network, self.folder, mix)
            self.networks[mix] = network
        return self.networks[mix]

    def psnr(self, x):
        """Of each sample's last state."""
        error = (pictures(self.pipe, x[:, -1]) - self.pictures).square().mean((1, 2, 3))
        return -10 * torch.log10(error.clamp(min=1e-12))

    def values(self, k, mix, x):
        """f of all rows; the first round's is the same for every solver."""
        if k or mix not in self.first:
            f = pcm_sweep.evaluate(self.network(mix), self.chain, x, self.prompts)
            if k:
                return f
            self.first[mix] = f
        return self.first[mix]

    def run(self, schedule, rounds, history, slope=None):
        """PSNR [rounds, samples]; history is m - 1."""
        x = self.truth[:, :1].expand_as(self.truth).clone()
        snapshots, found = [], []
        for k in range(rounds):
            mix = schedule[k] if k < len(schedule) else 0.0
            chain = self.trained_chain if mix else self.chain
            if k <= len(schedule):
                snapshots = []
            f = self.values(k, mix, x)
            new = pcm_sweep.sweep(chain.slope if slope is None else slope, x, f, snapshots)
            snapshots = [(x, f), *snapshots][:history]
            x = new
            found.append(self.psnr(x))
        return torch.stack(found)


def crossing(curve, level):
    """Rounds until a curve [rounds] stays at or above the level."""
    below = (curve < level).nonzero()
    return 1 if len(below) == 0 else int(below[-1]) + 2


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True, help="of pcm_data.py")
    parser.add_argument("--pcm", type=pathlib.Path, required=True, help="of pcm.py")
    parser.add_argument("--model", type=pathlib.Path, help="diffusers directory; the job's")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--schedule", action="append", default=[], help="lambdas, as 1,0.5")
    parser.add_argument("--variance", type=float, help="c^2 of the slope while lambda > 0")
    parser.add_argument("--history", type=int, nargs="*", default=[0, 3], help="0: no secants")
    parser.add_argument("--base", action="store_true", help="also the base network alone")
    args = parser.parse_args()
    measure = Measure(args)
    runs = [("Picard", [], 0, [1.0] * measure.chain.steps)] if args.base else []
    for text in ([""] if args.base else []) + args.schedule:
        for m in args.history:
            name = ("PCM " + text + " + " if text else "") + ("secant" if m else "Gaussian")
            runs.append((name, [float(part) for part in text.split(",") if part], m, None))
    print("| rounds: | " + " | ".join(str(k + 1) for k in range(args.rounds)) +
          " | to 30 dB | to 40 dB |")
    for name, schedule, history, slope in runs:
        found = measure.run(schedule, args.rounds, history, slope)
        reach = [sum(crossing(curve, level) for curve in found.T) / len(found.T)
                 for level in (30, 40)]
        cells = [f"{value:.1f}" for value in found.mean(1)] + [f"{value:.2f}" for value in reach]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
