#!/usr/bin/env python3
"""Train a Picard-consistency model: a network whose first rounds land near the converged states.

Picard consistency training (So et al., CVPR 2025), row by row: where the network sees a state x_i
of an unfinished trajectory, its guided output should be what lets the sweep with slope J land on
the converged x*,

    target = eps*_i + s_i (x_i - x*_i),   s_i = (J_i - a_i)/b_i,
    loss   = alpha(k) w_i |eps_theta(x_i, t_i) - target|^2,   w_i = |b_i| prod_{l>i} J_l,

w_i not squared: rows err alike, so that their errors add up and not their squares, and
(sum w e)^2 <= sum w  sum w e^2.  alpha(k) is such that the base network's loss of round k is 1.
Rows are drawn more often the more of the loss they still carry (and weighed back), so rows that
are exact anyway take no time.  Data come from pcm_data.py.  WORK/pcm.pt and OUT are written every
minute; a second call with the same arguments goes on from there.

    pcm.py --data DIR/data --work DIR --minutes 60 --out examples/models/emoji-sd-pcm
"""

import argparse
import json
import math
import pathlib
import shutil
import time

import numpy
import torch
from safetensors.torch import load_file, save_file

import pcm_data
import pcm_networks
import pcm_sweep
import trainlib

LAYERS = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d)
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
CARD = """<!-- written by pcm.py; without this line it is left alone -->
# Picard-consistency model of {base}

{what}, trained by `tools/train/pcm.py` of picard-dag: {steps} steps, {seconds} seconds, loss {loss:.4f}
of the base network's.  `training_state.json` has the settings.  Licence: as {base}.
"""
EXPLORE = 0.1               # share of rows drawn evenly
SAVE_SECONDS = 60


class Network:
    """The base and what is trained: low-rank changes W + B A of the chosen layers, or all weights.

    The changes are merged before every call: cheaper on a CPU than the two small layers beside each
    layer that an adapter library runs, whatever the rank, and the same function.
    """

    def __init__(self, base, args):
        self.base, self.full = base, args.full
        if args.full:
            base.requires_grad_(True)
            self.named = dict(base.named_parameters())
            return
        self.named = {}
        for name, layer in base.named_modules():
            if isinstance(layer, LAYERS) and (args.targets == "all" or name.endswith(ATTENTION)):
                self.add(name, layer.weight, args.rank)

    def add(self, name, weight, rank):
        """A has deviation 1/rank, B is 0: the start is the base network."""
        inside = weight.shape[1:]
        down = torch.randn(rank, *inside) / rank
        up = torch.zeros(len(weight), rank, *[1] * (len(inside) - 1))
        self.named[f"{name}.lora_A.weight"] = down.requires_grad_()
        self.named[f"{name}.lora_B.weight"] = up.requires_grad_()

    def merged(self):
        """The changed weights by name."""
        weights = dict(self.base.named_parameters())
        changed = {}
        for key, down in self.named.items():
            if ".lora_A." in key:
                name = key.replace(".lora_A", "")
                up = self.named[key.replace("lora_A", "lora_B")]
                change = up.flatten(1) @ down.flatten(1)
                changed[name] = weights[name] + change.view(weights[name].shape)
        return changed

    def __call__(self, *args, **kwargs):
        if self.full:
            return self.base(*args, **kwargs)
        return torch.func.functional_call(self.base, self.merged(), args, kwargs)


class Rows:
    """Random rows of unfinished trajectories: of the first guess and of stored rounds."""

    def __init__(self, args, chain, guided, rank):
        self.args, self.chain, self.guided = args, chain, guided
        self.draws = numpy.random.default_rng((args.seed, rank, int(time.time())))
        self.reload()
        # The part of the loss that round k's row i carries, as a running mean.
        self.carried = numpy.ones((self.rounds, chain.steps))

    def reload(self):
        """Read all shards there are now: more may be written while this trains."""
        _, self.prompts, trajectory, iterates = pcm_data.load(self.args.data)
        self.truth = torch.from_numpy(trajectory)
        stored = 1 if iterates is None else iterates.shape[1]
        self.iterates = None if iterates is None else torch.from_numpy(iterates)
        self.rounds = min(self.args.rounds, stored)
        if self.rounds < self.args.rounds:
            raise SystemExit(f"{self.args.data}: {stored} iterates, --rounds {self.args.rounds}")

    def draw(self, count):
        """(x, rounds, row numbers, target, prompts, factor): factor weighs the choice back."""
        share = self.carried ** 0.5
        share = (1 - EXPLORE) * share / share.sum() + EXPLORE / share.size
        chosen = self.draws.choice(share.size, count, p=share.ravel())
        k, i = numpy.divmod(chosen, self.chain.steps)
        j = self.draws.integers(len(self.prompts), size=count)
        x = torch.stack([self.state(*place) for place in zip(j, k, i)])
        factor = 1 / (share.ravel()[chosen] * share.size)
        return x, k, i, self.target(x, j, i), [self.prompts[n] for n in j], factor

    def state(self, j, k, i):
        """Sample j's state i after k rounds: stored, or the copied noise."""
        return self.truth[j, 0] if self.iterates is None else self.iterates[j, k, i].float()

    @torch.no_grad()
    def converged(self, j, i):
        """e* at rows i of samples j: from their own steps, or where these have noise by the base."""
        chain, here = self.chain, self.truth[j, i]
        if chain.noisy or chain.range is not None:
            e = self.guided(here, chain.times[i], [self.prompts[n] for n in j])
            return chain.clipped(here, e, i)
        a, b = (chain.at(c, i, here) for c in (chain.a, chain.b))
        return (self.truth[j, i + 1].double() - a * here.double()) / b

    def target(self, x, j, i):
        """What the network should say at rows i of samples j, whose states are x."""
        shift = self.chain.at(self.chain.shift(), i, x)
        off = x.double() - self.truth[j, i].double()
        return self.chain.clipped(x, self.converged(j, i) + shift * off, i)

    def learn(self, k, i, carried):
        """Fold measured parts of the loss into the running means that choose rows."""
        for place, value in zip(zip(k, i), carried):
            self.carried[place] = 0.9 * self.carried[place] + 0.1 * value


@torch.no_grad()
def base_error(guided, rows, chain, samples=6):
    """Weighted mean square error [rounds, N] of the base network, for alpha and the draws."""
    found = numpy.zeros((rows.rounds, chain.steps))
    everything = numpy.arange(chain.steps)
    for k in range(rows.rounds):
        for j in numpy.linspace(0, len(rows.prompts) - 1, samples).astype(int):
            x = torch.stack([rows.state(j, k, i) for i in everything])
            target = rows.target(x, numpy.full(chain.steps, j), everything)
            value = guided(x, chain.times, [rows.prompts[j]] * chain.steps)
            found[k] += row_errors(chain, x, value, target, everything).numpy() / samples
    return chain.weight() * found


def row_errors(chain, x, value, target, i):
    """Mean square error of every row, as the sampler's step sees it."""
    return (chain.clipped(x, value, i) - target).square().flatten(1).mean(1)


class Average:
    """Running mean of the parameters, by 0.999 once there were enough steps."""

    def __init__(self, parameters):
        self.parameters = parameters
        self.mean = [p.detach().clone() for p in parameters]

    def update(self, step, decay):
        keep = min(decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.mean, [p.detach() for p in self.parameters], 1 - keep)

    def swap(self):
        """Exchange the running mean and the parameters; twice is nothing."""
        for p, mean in zip(self.parameters, self.mean):
            kept = p.detach().clone()
            p.data.copy_(mean)
            mean.copy_(kept)


def start_state(args, parameters, path, family):
    """The checkpoint; else the shipped file of --from-model; else nothing."""
    if path.exists():
        return torch.load(path)
    state = {"step": 0, "spent": 0.0, "spent_before": 0.0, "loss": None}
    if args.from_model:
        shipped = json.loads((args.from_model / "training_state.json").read_text())
        load_weights(parameters, args.from_model, args.full, family)
        state |= {"step": shipped["steps"], "spent_before": shipped["seconds"]}
    return state


def load_weights(parameters, folder, full, family):
    """Shipped half-precision weights into the parameters, by diffusers' names."""
    file, prefix = (family.FILE, "") if full else (pcm_networks.LORA, family.PREFIX)
    found = load_file(folder / file)
    for name, parameter in parameters.items():
        value = found.get(prefix + name)
        if value is None or value.shape != parameter.shape:
            raise SystemExit(f"{folder / file}: {prefix + name}: missing or of another shape")
        parameter.data.copy_(value)


def save_weights(guided, network, args, state):
    """The trained weights in the form that diffusers loads, float16."""
    args.out.mkdir(parents=True, exist_ok=True)
    weights = {name: p.detach().half().contiguous() for name, p in network.named.items()}
    if args.full:
        shutil.copytree(args.model, args.out, dirs_exist_ok=True)
        weights = {**load_file(args.out / guided.FILE), **weights}      # a policy's normaliser
        save_file(weights, args.out / guided.FILE, {"format": "pt"})
    else:
        save_file({guided.PREFIX + name: value for name, value in weights.items()},
                  args.out / pcm_networks.LORA, {"format": "pt"})
    seconds = round(state["spent_before"] + state["spent"])
    card = args.out / "README.md"
    if not card.exists() or args.full or card.read_text().startswith(CARD.partition("\n")[0]):
        card.write_text(CARD.format(
            base=args.model.name, what="All weights" if args.full else "A LoRA",
            steps=state["step"], seconds=seconds, loss=state["loss"]))
    (args.out / "training_state.json").write_text(json.dumps({
        "steps": state["step"], "seconds": seconds, "loss": round(state["loss"], 5),
        "rounds": args.rounds, "variance": args.variance,
        "targets": "full" if args.full else args.targets, "rank": 0 if args.full else args.rank,
    }, indent=2) + "\n")


def train(rank, args):
    job = pcm_data.load(args.data)[0]
    args.model = args.model or pathlib.Path(job["model"]["path"])
    guided = pcm_networks.open_network(job, args.model)
    chain = pcm_sweep.Chain(job, guided.signal, args.variance)
    args.variance = chain.variance
    rows = Rows(args, chain, guided, rank)
    torch.manual_seed(args.seed)
    path = args.work / "pcm.pt"
    state = torch.load(path) if path.exists() else {}
    error = state["error"].numpy() if "error" in state else base_error(guided, rows, chain)
    alpha = 1 / error.sum(1)
    network = Network(guided.trained, args)
    state = start_state(args, network.named, path, guided)
    parameters = list(network.named.values())
    if "parameters" in state:
        for p, value in zip(parameters, state["parameters"]):
            p.data.copy_(value)
    optimiser = trainlib.Optimiser(list(network.named.items()), args.lr, 0.0, args.muon)
    average = Average(optimiser.parameters)
    if "optimiser" in state:
        optimiser.load_state_dict(state["optimiser"])
        average.mean = [value.clone() for value in state["average"]]
        rows.carried = state["carried"].numpy()
    else:
        rows.carried = error * alpha[:, None]
    weight = chain.weight() * chain.steps * alpha[:, None]
    clock = trainlib.Clock(args.minutes, state["spent"], args.warm_up)
    step, mean, saved = state["step"], state["loss"], time.time()
    first, done = step, False
    if rank == 0:
        print(f"{sum(p.numel() for p in parameters)} parameters, {len(rows.prompts)} trajectories, "
              f"base loss by round {error.sum(1)}", flush=True)
    while not done:
        x, k, i, target, prompts, factor = rows.draw(args.batch)
        value = guided(x, chain.times[i], prompts, network)
        each = row_errors(chain, x, value, target, i) * torch.from_numpy(weight[k, i])
        loss = (each * torch.from_numpy(factor)).mean()
        loss.backward()
        rows.learn(k, i, each.detach().numpy() / chain.steps)
        value, progress = trainlib.average_gradients(parameters, loss.item(), clock.progress())
        norm = torch.nn.utils.clip_grad_norm_(parameters, args.clip)
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        optimiser.step(min(1.0, (step - first + 1) / args.warm_up) * cosine)
        step, done = step + 1, progress >= 1.0
        average.update(step, args.decay)
        mean = value if mean is None else 0.98 * mean + 0.02 * value
        if rank == 0 and (step % 10 == 0 or done):
            print(f"step {step} seconds {clock.spent():.0f} loss {mean:.4f} now {value:.4f} "
                  f"gradient {norm:.3f} carried {rows.carried.sum(1).round(3)}", flush=True)
        if done or time.time() - saved > SAVE_SECONDS:
            saved = time.time()
            if rank == 0:
                state |= {"step": step, "spent": clock.spent(), "loss": mean,
                          "error": torch.from_numpy(error), "optimiser": optimiser.state_dict(),
                          "parameters": [p.detach() for p in parameters],
                          "average": average.mean, "carried": torch.from_numpy(rows.carried)}
                trainlib.save_checkpoint(path, state)
                average.swap()
                save_weights(guided, network, args, state)
                average.swap()
            rows.reload()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True, help="of pcm_data.py")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="scratch directory")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the result")
    parser.add_argument("--model", type=pathlib.Path, help="model directory; the job's")
    parser.add_argument("--from-model", type=pathlib.Path, help="shipped result to go on from")
    parser.add_argument("--targets", choices=("attention", "all"), default="all")
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--full", action="store_true", help="train all weights, no LoRA")
    parser.add_argument("--rounds", type=int, default=1, help="K, rounds trained on")
    parser.add_argument("--variance", type=float, help="c^2 of the slope; the job's")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=24, help="rows of each worker")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--muon", action="store_true", help="Muon for matrices instead of Adam")
    parser.add_argument("--clip", type=float, default=1.0, help="gradient norm")
    parser.add_argument("--decay", type=float, default=0.999, help="of the running mean")
    parser.add_argument("--warm-up", type=int, default=30, help="steps")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    trainlib.run_workers(train, args)


if __name__ == "__main__":
    main()
