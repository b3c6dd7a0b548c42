#!/usr/bin/env python3
"""Measure a Picard-consistency model: PSNR of the picture after every round to the converged one,
or with --state the root mean square error of the last state, which every network has.

A schedule is the list of lambda(k) of the first rounds, 0 from then on: base + lambda times the
trained change, with the slope it was trained for while lambda is above 0 and the job's slope after,
where history starts anew.

    pcm_eval.py --data DIR/eval --pcm examples/models/emoji-sd-pcm --schedule 1 --schedule 1,0.5
    pcm_eval.py --data DIR/eval --pcm examples/models/pusht-pcm --state --base --schedule 1
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
        self.job, prompts, truth, iterates = pcm_data.load(args.data)
        n = args.samples
        self.prompts, self.truth = prompts[:n], torch.from_numpy(truth[:n])
        self.guess = self.truth[:, :1].expand_as(self.truth) if iterates is None else \
            torch.from_numpy(iterates[:n, 0]).float()
        self.model, self.folder = args.model, args.pcm
        base = pcm_networks.open_network(self.job, args.model)
        self.chain = pcm_sweep.Chain(self.job, base.signal, args.base_variance)
        variance = args.variance or json.loads(
            (args.pcm / "training_state.json").read_text())["variance"]
        self.trained_chain = pcm_sweep.Chain(self.job, base.signal, variance)
        self.networks = {0.0: base}
        self.first = {}     # f of the first guess, by lambda
        self.noise = 0.0    # of the steps
        if self.chain.noisy:
            self.noise = self.truth[:, 1:] - \
                pcm_sweep.evaluate(base, self.chain, self.truth, self.prompts)
        if args.state:
            self.quality = self.distance
        else:
            self.pipe, self.quality = base.pipe, self.psnr
            self.pictures = pictures(self.pipe, self.truth[:, -1])

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

    def distance(self, x):
        return (x[:, -1] - self.truth[:, -1]).square().flatten(1).mean(1).sqrt()

    def values(self, k, mix, x):
        """f of all rows; the first round's is the same for every solver."""
        if k or mix not in self.first:
            f = self.noise + pcm_sweep.evaluate(self.network(mix), self.chain, x, self.prompts)
            if k:
                return f
            self.first[mix] = f
        return self.first[mix]

    def run(self, schedule, rounds, history, slope=None):
        """Quality [rounds, samples]; history is m - 1."""
        x = self.guess.clone()
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
            found.append(self.quality(x))
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
    parser.add_argument("--base-variance", type=float, help="c^2 of the base's; the job's")
    parser.add_argument("--state", action="store_true", help="error of the last state, no pictures")
    parser.add_argument("--history", type=int, nargs="*", default=[0, 3], help="0: no secants")
    parser.add_argument("--base", action="store_true", help="also the base network alone")
    args = parser.parse_args()
    measure = Measure(args)
    runs = [("Picard", [], 0, [1.0] * measure.chain.steps)] if args.base else []
    for text in ([""] if args.base else []) + args.schedule:
        for m in args.history:
            name = ("PCM " + text + " + " if text else "") + ("secant" if m else "Gaussian")
            runs.append((name, [float(part) for part in text.split(",") if part], m, None))
    ends = [] if args.state else [" to 30 dB", " to 40 dB"]
    print("| rounds: | " + " | ".join(str(k + 1) for k in range(args.rounds)) +
          " |" + "".join(end + " |" for end in ends))
    for name, schedule, history, slope in runs:
        found = measure.run(schedule, args.rounds, history, slope)
        cells = [f"{value:.3f}" if args.state else f"{value:.1f}" for value in found.mean(1)]
        cells += [f"{sum(crossing(curve, level) for curve in found.T) / len(found.T):.2f}"
                  for level in (30, 40)[:len(ends)]]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
