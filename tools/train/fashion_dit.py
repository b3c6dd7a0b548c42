#!/usr/bin/env python3
"""Train fashion-dit: a class-conditional diffusion transformer on the pixels of Fashion-MNIST.

The network is diffusers' own DiTTransformer2DModel, so what is saved is its format.
Checkpoints go to WORK/dit.pt; a second call with the same arguments resumes.
Without the scratch directory, --from-model DIR starts from shipped half-precision
weights with a fresh optimiser and a short warm-up.

    fashion_dit.py --work DIR --minutes 90
"""

import argparse
import json
import pathlib

import torch
from diffusers import DDPMScheduler, DiTTransformer2DModel

import fashion_data
import trainlib

CLASSES = len(fashion_data.NAMES)       # labels 0 to 9; 10 is the null class
CONFIG = {
    "sample_size": fashion_data.SIZE, "patch_size": 4, "in_channels": 1, "out_channels": 1,
    "num_layers": 5, "num_attention_heads": 5, "attention_head_dim": 32,
    "num_embeds_ada_norm": CLASSES, "norm_eps": 1e-6,
}
SCHEDULE = {
    "num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02,
    "beta_schedule": "linear", "prediction_type": "epsilon",
}
GAMMA = 5.0                 # of the min-SNR weighting
DROP = 0.1                  # share of labels replaced by the null class


def build_model(config=None):
    """A fresh network whose blocks share one embedding of time and class, as in the paper.

    diffusers gives every block a copy.  Labels are dropped by the training loop, once for all
    blocks: diffusers' own dropping would draw anew in every block.
    """
    model = DiTTransformer2DModel(**(config or CONFIG))
    shared = model.transformer_blocks[0].norm1.emb
    shared.class_embedder.dropout_prob = 0.0
    for block in model.transformer_blocks:
        block.norm1.emb = shared
        torch.nn.init.zeros_(block.norm1.linear.weight)
        torch.nn.init.zeros_(block.norm1.linear.bias)
    for layer in (model.proj_out_1, model.proj_out_2):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    return model


def restore(work, folder):
    """Refill an empty scratch directory from shipped half-precision weights."""
    if (work / "dit.pt").exists():
        return
    shipped = json.loads((folder / "training_state.json").read_text())
    model = build_model()
    model.load_state_dict(DiTTransformer2DModel.from_pretrained(folder / "transformer").float().state_dict())
    trainlib.save_checkpoint(work / "dit.pt", {
        "model": model.state_dict(), "step": shipped["steps"], "spent": 0.0, "loss": shipped["loss"],
        "spent_before": shipped["seconds"]})


class Batches:
    """Random batches of (pictures, labels); a share of the labels is the null class."""

    def __init__(self, args):
        pictures, labels = fashion_data.load("train", args.data)
        self.pictures = torch.from_numpy(pictures.copy())
        self.labels = torch.from_numpy(labels.astype("int64"))
        self.batch = args.batch

    def draw(self):
        rows = torch.randint(len(self.labels), (self.batch,))
        labels = self.labels[rows]
        labels[torch.rand(self.batch) < DROP] = CLASSES
        return fashion_data.to_tensor(self.pictures[rows].numpy()), labels


def train(rank, args):
    path = args.work / "dit.pt"
    state = torch.load(path) if path.exists() else {"step": 0, "spent": 0.0}
    torch.manual_seed(args.seed)
    model = build_model().train()
    if "model" in state:
        model.load_state_dict(state["model"])
    torch.manual_seed(args.seed + 1000 * state["step"] + rank)
    batches = Batches(args)
    optimiser = trainlib.Optimiser(model.named_parameters(), args.lr,
                                   outer=("norm1", "pos_embed", "proj_out"))
    average = [p.detach().clone() for p in model.parameters()]
    if "optimiser" in state:
        optimiser.load_state_dict(state["optimiser"])
        average = [p.clone() for p in state["average"]]
    scheduler = DDPMScheduler(**SCHEDULE)
    signal = scheduler.alphas_cumprod
    snr = signal / (1 - signal)
    weight = snr.clamp(max=GAMMA) / snr
    clock = trainlib.Clock(args.minutes, state["spent"], warm_up=10 if "optimiser" in state else 100)
    step, progress, mean = state["step"], 0.0, state.get("loss")
    last = False
    while not last:
        pictures, labels = batches.draw()
        noise = torch.randn_like(pictures)
        strata = (torch.arange(args.batch) + torch.rand(args.batch)) / args.batch
        times = (strata * len(signal)).long().clamp(max=len(signal) - 1)
        noisy = scheduler.add_noise(pictures, noise, times)
        predicted = model(noisy, times, class_labels=labels).sample
        error = (predicted - noise).square().mean(dim=(1, 2, 3))
        loss = (weight[times] * error).mean()
        loss.backward()
        value, progress = trainlib.average_gradients(
            optimiser.parameters, loss.item(), clock.progress())
        optimiser.step(clock.factor(step, progress))
        mean = value if mean is None else 0.98 * mean + 0.02 * value
        step += 1
        last = progress >= 1.0 or step == args.steps
        if rank != 0:
            continue
        keep = min(0.998, (1 + step) / (10 + step))
        torch._foreach_lerp_(average, list(model.parameters()), 1 - keep)
        if step % 20 == 0 or last:
            print(f"step {step} seconds {clock.spent():.0f} loss {mean:.4f}", flush=True)
        if step % 200 == 0 or last:
            trainlib.save_checkpoint(path, {
                "model": model.state_dict(), "optimiser": optimiser.state_dict(), "loss": mean,
                "average": average, "step": step, "spent": clock.spent(), "batch": args.batch * args.workers,
                "spent_before": state.get("spent_before", 0.0)})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=pathlib.Path, required=True, help="scratch directory")
    parser.add_argument("--data", type=pathlib.Path, default=fashion_data.FOLDER, help="folder of the idx files")
    parser.add_argument("--from-model", type=pathlib.Path, help="shipped model directory to go on from")
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--steps", type=int, help="stop after so many steps in all, whatever the time")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32, help="pictures of each worker")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.from_model:
        restore(args.work, args.from_model)
    trainlib.run_workers(train, args)


if __name__ == "__main__":
    main()
