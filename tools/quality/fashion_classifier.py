#!/usr/bin/env python3
"""A small classifier of Fashion-MNIST: its features measure what fashion-dit draws.

Trained on the training split alone.  `features` is a feature function for fid.py: the 64 numbers
before the last layer.  The weights lie beside this file in half precision and are read as such.

    fashion_classifier.py --train [--epochs 5]      # writes fashion_classifier.safetensors
    fashion_classifier.py                           # accuracy on both splits
    fid.py A B --features fashion_classifier.py:features
"""

import argparse
import pathlib
import sys

import numpy
import torch
from safetensors.torch import load_file, save_file
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "train"))
import fashion_data

WEIGHTS = pathlib.Path(__file__).with_suffix(".safetensors")
FEATURES = 64


class Classifier(nn.Module):
    """Three convolutions to 64 features to ten classes; pictures [n, 1, 28, 28] in [-1, 1]."""

    def __init__(self):
        super().__init__()
        layers = []
        for before, after in ((1, 24), (24, 48), (48, 64)):
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after),
                       nn.ReLU(), nn.MaxPool2d(2)]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 3 * 3, FEATURES), nn.ReLU())
        self.head = nn.Linear(FEATURES, len(fashion_data.NAMES))

    def forward(self, pictures):
        return self.head(self.body(pictures))


@torch.no_grad()
def evaluate(model, pictures, batch=250):
    """(features [n, 64] float64, classes [n]) of a float tensor [n, 1, 28, 28]."""
    features, classes = [], []
    for start in range(0, len(pictures), batch):
        hidden = model.body(pictures[start:start + batch])
        features.append(hidden)
        classes.append(model.head(hidden).argmax(1))
    return torch.cat(features).double().numpy(), torch.cat(classes).numpy()


def load(path=WEIGHTS):
    model = Classifier()
    model.load_state_dict({name: value.float() if value.is_floating_point() else value
                           for name, value in load_file(path).items()})
    return model.eval()


def features(path=WEIGHTS):
    """For fid.py: items [n, channels, 28, 28] from 0 to 1, of which the channels' mean is taken."""
    model = load(path)

    def function(items):
        grey = numpy.asarray(items, numpy.float32).mean(1, keepdims=True)
        return evaluate(model, torch.from_numpy(grey * 2 - 1))[0]

    return function


def accuracy(model, split, folder):
    """(accuracy, accuracies of the ten classes) on a split."""
    pictures, labels = fashion_data.load(split, folder)
    right = evaluate(model, fashion_data.to_tensor(pictures))[1] == labels
    return right.mean(), [right[labels == k].mean() for k in range(len(fashion_data.NAMES))]


def shifted(pictures):
    """The batch moved by up to two pixels either way, background at the border."""
    dy, dx = torch.randint(5, (2,)).tolist()
    return nn.functional.pad(pictures, (2, 2, 2, 2), value=-1.0)[:, :, dy:dy + 28, dx:dx + 28]


def train(args):
    torch.manual_seed(args.seed)
    pictures, labels = fashion_data.load("train", args.data)
    pictures, labels = torch.from_numpy(pictures.copy()), torch.from_numpy(labels.astype("int64"))
    model = Classifier().train()
    steps = args.epochs * len(labels) // args.batch
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    for step in range(steps):
        if step * args.batch % len(labels) < args.batch:
            order = torch.randperm(len(labels))
        rows = order[step * args.batch % len(labels):][:args.batch]
        loss = nn.functional.cross_entropy(model(shifted(fashion_data.to_tensor(pictures[rows].numpy()))),
                                           labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1} of {steps} loss {loss.item():.4f}", flush=True)
    save_file({name: value.half() if value.is_floating_point() else value
               for name, value in model.state_dict().items()}, args.weights)
    args.weights.chmod(0o644)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--data", type=pathlib.Path, default=fashion_data.FOLDER, help="folder of the idx files")
    parser.add_argument("--weights", type=pathlib.Path, default=WEIGHTS)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=125)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.train:
        train(args)
    model = load(args.weights)
    for split in fashion_data.PREFIX:
        mean, classes = accuracy(model, split, args.data)
        print(f"{split}: {100 * mean:.2f} % right; " + ", ".join(
            f"{name} {100 * value:.1f}" for name, value in zip(fashion_data.NAMES, classes)))


if __name__ == "__main__":
    main()
