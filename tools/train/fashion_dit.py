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
    state = trainlib.load_checkpoint(path)
    model = build_model().train()
    if "model" in state:
        model.load_state_dict(state["model"])

    def predict(noisy, times, labels):
        return model(noisy, times, class_labels=labels).sample

    trainlib.train_denoiser(
        rank, args, path, state, model, Batches(args), predict, scheduler=DDPMScheduler(**SCHEDULE),
        outer=("norm1", "pos_embed", "proj_out"), warm_up=(100, 10), most_average=0.998)


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
