"""Train examples/models/pusht: a diffusion policy that pushes the T, from its keypoints.

    python tools/train/pusht_policy.py train DEMONSTRATIONS WORK --minutes 90
    python tools/train/pusht_policy.py export WORK examples/models/pusht
    python tools/train/pusht_policy.py statistics DEMONSTRATIONS examples/models/pusht

DEMONSTRATIONS is what tools/train/pusht_demos has written.  The learning rate follows the clock:
--minutes is the length of the schedule, and a second start goes on from WORK/checkpoint.pt.  The task
is its own mirror image along the goal's axis of symmetry, so every other sample is mirrored.
"""

import argparse
import pathlib
import sys
import time

import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "reference"))

from conditional_unet1d import ConditionalUnet1D  # noqa: E402
from make_policies import NAMES, normaliser, write_model  # noqa: E402
from trainlib import Clock, Optimiser, save_checkpoint  # noqa: E402

CONFIG = dict(
    input_dim=2, global_cond_dim=40, diffusion_step_embed_dim=128, down_dims=[64, 128, 256],
    kernel_size=3, n_groups=8, cond_predict_scale=True,
    horizon=16, n_obs_steps=2, n_action_steps=8, obs_dim=20)
STEPS = 100         # of the noise schedule
SIZE = 512          # pixels of the world

# The nine points of an observation in the block's own frame, as control/tee.c has them.
KEYPOINTS = np.array([
    [9.26978671, 90.04097352], [-60.98347236, -1.18672976], [60.91275558, -1.39336422],
    [-0.27050344, 25.54362499], [-14.06492758, 122.81585355], [39.0027385, 32.85740428],
    [-39.96641442, 32.72965545], [-16.82434438, 62.86317892], [23.54146122, -1.70028811]])


def poses(observations):
    """Cosine, sine and origin [n, 4] of the blocks in observations [n, 20], by least squares."""
    points = observations[:, :18].reshape(-1, 9, 2).astype(np.float64)
    rows = np.zeros((18, 4))
    rows[0::2] = np.c_[KEYPOINTS[:, 0], -KEYPOINTS[:, 1], np.ones(9), np.zeros(9)]
    rows[1::2] = np.c_[KEYPOINTS[:, 1], KEYPOINTS[:, 0], np.zeros(9), np.ones(9)]
    return points.reshape(-1, 18) @ np.linalg.pinv(rows).T


def mirror_points(points):
    """Along the line x + y = 512, on which the goal lies symmetrically."""
    return SIZE - points[..., ::-1]


def mirror(observations):
    cosine, sine, x, y = poses(observations).T
    # the mirrored block, its own left and right exchanged, is turned by pi/2 - angle
    cosine, sine, x, y = sine, cosine, SIZE - y, SIZE - x
    mirrored = np.empty_like(observations)
    for k, (px, py) in enumerate(KEYPOINTS):
        mirrored[:, 2 * k] = x + cosine * px - sine * py
        mirrored[:, 2 * k + 1] = y + sine * px + cosine * py
    mirrored[:, 18:] = mirror_points(observations[:, 18:])
    return mirrored


def read_demonstrations(folder):
    """Observations [n, 20], actions [n, 2] and where the episodes end, in steps."""
    folder = pathlib.Path(folder)
    data = tuple(np.load(folder / f"{name}.npy")
                 for name in ("keypoints", "actions", "episode_ends"))
    if not len(data[0]) == len(data[1]) == data[2][-1]:
        raise ValueError(f"{folder}: the files are not of the same demonstrations")
    return data[0], data[1], data[2].astype(np.int64)


class Windows:
    """All windows of the demonstrations, an episode's first and last step repeated outside it."""

    def __init__(self, observations, actions, ends):
        seen, horizon = CONFIG["n_obs_steps"], CONFIG["horizon"]
        both = [(observations, actions),
                (mirror(observations), mirror_points(actions))]
        self.observations = np.stack([o for o, _ in both])
        self.actions = np.stack([a for _, a in both])
        # the world's edges to -1 and 1, whatever the demonstrations have visited
        self.action, self.observation = (
            (torch.full((n,), 2 / SIZE), torch.full((n,), -1.0)) for n in (2, 20))
        rows = {"train": [], "held out": []}
        starts = np.concatenate([[0], ends[:-1]])
        for episode, (start, end) in enumerate(zip(starts, ends)):
            first = np.arange(start - seen + 1, end - horizon + CONFIG["n_action_steps"])
            which = first[:, None] + np.arange(horizon)
            part = "held out" if episode % 25 == 0 else "train"
            rows[part].append(np.clip(which, start, end - 1))
        self.rows = {k: np.concatenate(v) for k, v in rows.items()}

    def batch(self, part, generator, count):
        rows = self.rows[part][generator.integers(len(self.rows[part]), size=count)]
        side = generator.integers(2, size=count)[:, None]
        plans = torch.tensor(self.actions[side, rows]).float()
        seen = torch.tensor(self.observations[side, rows[:, :CONFIG["n_obs_steps"]]]).float()
        plans = plans * self.action[0] + self.action[1]
        seen = seen * self.observation[0] + self.observation[1]
        return plans, seen.flatten(1)


def alpha_bar():
    """squaredcos_cap_v2 with betas up to 0.999 (Nichol and Dhariwal 2021, arXiv:2102.09672)."""
    def level(u):
        return np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2
    betas = [min(1 - level((t + 1) / STEPS) / level(t / STEPS), 0.999) for t in range(STEPS)]
    return torch.tensor(np.cumprod(1 - np.array(betas))).float()


def noisy(plans, levels, generator):
    """Noisy plans, their timesteps and the noise."""
    t = torch.tensor(generator.integers(STEPS, size=len(plans)))
    noise = torch.tensor(generator.standard_normal(plans.shape, dtype=np.float32))
    level = levels[t][:, None, None]
    return level.sqrt() * plans + (1 - level).sqrt() * noise, t, noise


def make_network():
    return ConditionalUnet1D(**{k: CONFIG[k] for k in NAMES})


def held_out_loss(network, windows, levels):
    generator = np.random.default_rng(12345)
    total = 0.0
    with torch.no_grad():
        for _ in range(4):
            plans, seen = windows.batch("held out", generator, 256)
            x, t, noise = noisy(plans, levels, generator)
            total += (network(x, t, seen) - noise).square().mean().item() / 4
    return total


def train(args):
    work = pathlib.Path(args.work)
    work.mkdir(parents=True, exist_ok=True)
    checkpoint = work / "checkpoint.pt"
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    windows = Windows(*read_demonstrations(args.demonstrations))
    levels = alpha_bar()
    network, average = make_network(), make_network()
    average.load_state_dict(network.state_dict())
    optimiser = Optimiser(network.named_parameters(), args.lr, decay=1e-3, muon=False)
    step, spent = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["spent"]
    clock = Clock(args.minutes, spent)
    generator = np.random.default_rng([args.seed, step])
    forward = torch.compile(network, dynamic=False) if args.compile else network
    print(f"{len(windows.rows['train'])} windows, "
          f"{sum(p.numel() for p in network.parameters())} parameters, step {step}", flush=True)
    mean, told, saved, read = 0.0, time.time(), time.time(), time.time()
    while clock.progress() < 1:
        plans, seen = windows.batch("train", generator, args.batch)
        x, t, noise = noisy(plans, levels, generator)
        loss = (forward(x, t, seen) - noise).square().mean()
        loss.backward()
        optimiser.step(clock.factor(step, clock.progress()))
        step += 1
        decay = min(0.999, 1 - (1 + step) ** -0.75)
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
        mean += 0.01 * (loss.item() - mean) if step > 100 else (loss.item() - mean) / step
        done = clock.progress() >= 1
        if done or time.time() - told > 60:
            print(f"step {step}, {clock.spent():.0f} s: loss {mean:.4f}, "
                  f"held out {held_out_loss(average, windows, levels):.4f}", flush=True)
            told = time.time()
        if args.follow and time.time() - read > 240:
            try:
                windows = Windows(*read_demonstrations(args.demonstrations))
                print(f"{len(windows.rows['train'])} windows", flush=True)
            except (OSError, ValueError):
                pass        # being written
            read = time.time()
        if done or time.time() - saved > 120:
            save_checkpoint(checkpoint, {
                "network": network.state_dict(), "average": average.state_dict(),
                "optimiser": optimiser.state_dict(), "step": step, "spent": clock.spent(),
                "action": windows.action, "observation": windows.observation})
            saved = time.time()


def export(args):
    state = torch.load(pathlib.Path(args.work) / "checkpoint.pt", weights_only=True)
    tensors = {k: v.half() for k, v in state["average"].items()}
    tensors |= normaliser(state["action"], state["observation"])
    write_model(pathlib.Path(args.model), CONFIG, tensors)
    print(f"step {state['step']}, {state['spent']:.0f} s")


def statistics(args):
    """For solver.statistics: mean and variance of all plans in the demonstrations, normalised."""
    windows = Windows(*read_demonstrations(args.demonstrations))
    plans = torch.tensor(windows.actions[:, windows.rows["train"]]).flatten(0, 1).double()
    plans = plans * windows.action[0] + windows.action[1]
    both = torch.stack([plans.mean(0), plans.var(0)]).float()
    np.save(pathlib.Path(args.model) / "statistics.npy", both.numpy())
    print(f"{len(plans)} plans, variance {both[1].mean():.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("train")
    one.add_argument("demonstrations")
    one.add_argument("work")
    one.add_argument("--minutes", type=float, default=90)
    one.add_argument("--batch", type=int, default=128)
    one.add_argument("--lr", type=float, default=1e-3)
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--follow", action="store_true", help="read what pusht_demos has added since")
    one.add_argument("--compile", action="store_true", help="faster steps where a compiler is there")
    one.set_defaults(do=train)
    two = commands.add_parser("export")
    two.add_argument("work")
    two.add_argument("model")
    two.set_defaults(do=export)
    three = commands.add_parser("statistics")
    three.add_argument("demonstrations")
    three.add_argument("model")
    three.set_defaults(do=statistics)
    args = parser.parse_args()
    args.do(args)


if __name__ == "__main__":
    main()
