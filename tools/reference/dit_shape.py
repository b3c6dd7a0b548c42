"""Make a DiT-XL/2 of the true shape with random weights (256 x 256 pictures; 750 M
parameters, 1.5 GB of disk, 7 GB of memory), and what diffusers computes with it in
float32 for two rows, one with a class and one without:

    python tools/reference/dit_shape.py FOLDER [DEPTH]

Then compare (the error is printed, relative to the RMS; it must be below 1e-4):

    bench/network FOLDER/transformer --check --precision float32

DEPTH: fewer than 28 blocks, for a small machine."""

import pathlib
import sys

import torch
from diffusers import DiTTransformer2DModel
from make_dit import randomize, reload, row_case
from make_fixtures import save_io


def main():
    folder = pathlib.Path(sys.argv[1]) / "transformer"
    depth = int(sys.argv[2]) if len(sys.argv) > 2 else 28
    torch.set_num_threads(1)
    model = DiTTransformer2DModel(out_channels=8, num_layers=depth)
    randomize(model, 1, torch.float16)
    model.to(torch.float16).save_pretrained(folder)
    save_io(folder, **row_case(reload(folder), 2, [951.0, 20.0]))


if __name__ == "__main__":
    main()
