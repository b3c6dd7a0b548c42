#!/usr/bin/env python3
"""Fashion-MNIST from the idx files of the Debian package dataset-fashion-mnist.

The training split trains the model and the classifier; the test split is kept for
distances and accuracies.  Called as a program it checks the files and says what is
in them.

    fashion_data.py [--data DIR]
"""

import argparse
import gzip
import hashlib
import pathlib
import struct

import numpy
import torch

FOLDER = pathlib.Path("/usr/share/datasets/fashion-mnist")      # of the Debian package
NAMES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
SIZE = 28
PREFIX = {"train": "train", "test": "t10k"}
PIXELS_SHA256 = {
    "train": "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
    "test": "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
}


def read_idx(path, dimensions):
    """The bytes of one idx file (magic number, sizes, data), plain or gzipped."""
    if not path.exists():
        path = path.with_name(path.name + ".gz")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SystemExit(f"{error.filename}: {error.strerror} (apt-get install dataset-fashion-mnist, or --data DIR)")
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    head = 4 + 4 * dimensions
    if len(data) < head or data[:4] != bytes((0, 0, 8, dimensions)):
        raise SystemExit(f"{path}: not an idx file of bytes in {dimensions} dimensions")
    shape = struct.unpack(f">{dimensions}I", data[4:head])
    if len(data) - head != numpy.prod(shape, dtype=numpy.int64):
        raise SystemExit(f"{path}: {len(data) - head} bytes of data where its head says {shape}")
    return numpy.frombuffer(data, numpy.uint8, offset=head).reshape(shape)


def load(split, folder=FOLDER):
    """(pictures uint8 [N, 28, 28], labels uint8 [N]) of "train" or "test"."""
    prefix = PREFIX[split]
    pictures = read_idx(pathlib.Path(folder) / f"{prefix}-images-idx3-ubyte", 3)
    labels = read_idx(pathlib.Path(folder) / f"{prefix}-labels-idx1-ubyte", 1)
    if pictures.shape != (len(labels), SIZE, SIZE) or labels.max() >= len(NAMES):
        raise SystemExit(f"{folder}: pictures {pictures.shape}, labels {labels.shape} up to {labels.max()}")
    return pictures, labels


def to_tensor(pictures):
    """uint8 [N, H, W] to float [N, 1, H, W] in [-1, 1]."""
    return torch.from_numpy(pictures.astype(numpy.float32)).unsqueeze(1) / 127.5 - 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, default=FOLDER, help="folder of the idx files")
    args = parser.parse_args()
    for split in PREFIX:
        pictures, labels = load(split, args.data)
        if hashlib.sha256(pictures.tobytes()).hexdigest() != PIXELS_SHA256[split]:
            raise SystemExit(f"{args.data}: the {split} pictures are not those the shipped model was trained on")
        counts = numpy.bincount(labels, minlength=len(NAMES))
        print(f"{split}: {len(labels)} pictures of {SIZE}x{SIZE}, {counts.min()} to {counts.max()} of a class")


if __name__ == "__main__":
    main()
