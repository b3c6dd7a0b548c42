#!/usr/bin/env python3
"""Write a Picard-consistency LoRA, added to its base model, as a model directory: what the field
`pcm.path` takes with `pcm.mixing` features.

    pcm_merge.py --model examples/models/emoji-sd --pcm examples/models/emoji-sd-pcm --out DIR
"""

import argparse
import pathlib

import pcm
import pcm_eval


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=pathlib.Path, required=True, help="diffusers directory")
    parser.add_argument("--pcm", type=pathlib.Path, required=True, help="folder of the LoRA")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--scale", type=float, default=1.0, help="of the LoRA")
    args = parser.parse_args()
    pipe = pcm.open_model(args.model)
    pcm_eval.merge(pipe.unet, args.pcm, args.scale)
    pipe.save_pretrained(args.out)


if __name__ == "__main__":
    main()
