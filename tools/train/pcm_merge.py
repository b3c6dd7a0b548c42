#!/usr/bin/env python3
"""Write a Picard-consistency LoRA, added to its base model, as a model directory: what the field
`pcm.path` takes with `pcm.mixing` features.

    pcm_merge.py --model examples/models/emoji-sd --pcm examples/models/emoji-sd-pcm --out DIR
"""

import argparse
import pathlib
import shutil

from safetensors.torch import load_file, save_file

import pcm_networks


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=pathlib.Path, required=True, help="model directory")
    parser.add_argument("--pcm", type=pathlib.Path, required=True, help="folder of the LoRA")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--scale", type=float, default=1.0, help="of the LoRA")
    args = parser.parse_args()
    family = pcm_networks.family_of(args.model)
    weights = {k: v.float() for k, v in load_file(args.model / family.FILE).items()}
    pcm_networks.merge(weights, family, args.pcm, args.scale)
    shutil.copytree(args.model, args.out, dirs_exist_ok=True)
    save_file(weights, args.out / family.FILE, {"format": "pt"})


if __name__ == "__main__":
    main()
