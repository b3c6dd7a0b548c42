#!/usr/bin/env python3
"""Sample the model: a contact sheet of 64 prompts and the nearest-picture score.

The score asks, for prompts of the training set, how often the nearest training
picture (mean squared error of the 64x64 RGB pictures) of a sample carries the
prompted name; and for held-out pairs, whether it has the right role and tone.

    emoji_sheet.py --work DIR --model DIR --sheet docs/emoji-sd-sheet.png --score 192
"""

import argparse
import json
import pathlib

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image, ImageDraw, ImageFont

import emoji_data

# One prompt a cell, eight a row; the last two rows are held-out pairs.
PROMPTS = """
red heart; broken heart; grinning face; face with tears of joy; smiling face with sunglasses; angry face; sleeping face; skull
cat face; dog face; panda; frog; penguin; octopus; butterfly; sunflower
pizza; hamburger; watermelon; red apple; strawberry; ice cream; birthday cake; hot beverage
rocket; automobile; sailboat; airplane; house; full moon; rainbow; snowman
soccer ball; trophy; guitar; light bulb; locked; key; umbrella; crown
warning; recycling symbol; no entry; check mark button; flag japan; woman astronaut; man cook; thumbs up
"""
HELD_OUT = 16
DOCUMENT = """# emoji-sd: what the shipped model draws

`examples/models/emoji-sd` is a miniature Stable Diffusion, trained from scratch by `tools/train/` on the emoji
of Noto Color Emoji: {vae_steps} steps of the autoencoder ({vae_seconds} s, reconstruction {psnr} dB) and {unet_steps} steps
of the text encoder and the U-Net ({unet_seconds} s) on two shared processor cores.  Its card, `README.md` in
the model directory, names data, licence and limits; `tools/train/README.md` the commands.

![64 prompts](emoji-sd-sheet.png)

All 64 pictures: diffusers' `StableDiffusionPipeline` on the shipped half-precision files, DDIM, {steps} steps,
guidance {guidance:g}; picture i starts from `torch.Generator().manual_seed(i + {seed})`.  The prompts were
listed before training (one that turned out to be held out was replaced) and no picture was chosen.
Orange frames: the 16 held-out pairs of role and skin tone, never seen in training
(`tools/train/held_out.txt` lists all {held_out_total}).

## How often the nearest training picture has the prompted name

{prompts} training prompts, drawn with the weights of the training batches (so balanced by group) and seed {seed};
nearest by mean squared error of the 64x64 RGB pictures among {pictures} training pictures.  A sample counts
only if the full name agrees, skin tone included: a good drawing of a neighbour (`cat face` for `cat`) counts
as a miss.

**{right} of {prompts} ({percent:.0f} %)**

| group | right |
| --- | ---: |
{table}

{held_out} of the {held_out_total} held-out pairs, same settings:

| nearest picture | right |
| --- | ---: |
| is the held-out picture itself (among all pictures, held-out ones included) | {held_out_exact} of {held_out} |
| has the right role (among training pictures) | {held_out_role} of {held_out} |
| has the right skin tone (among training pictures) | {held_out_tone} of {held_out} |
| has the right role or the right tone | {held_out_role_or_tone} of {held_out} |

## Limits

The model memorises: where it is sharp it repeats the training picture of the name.  Flags are
not learned: 258 names that have but the word `flag` in common.  Longer training goes on from the shipped
weights: `tools/train/README.md`, "Resume".

To measure again:

    tools/train/emoji_sheet.py --work DIR --model examples/models/emoji-sd --guidance {guidance:g} \\
        --sheet docs/emoji-sd-sheet.png --score {prompts} --document docs/emoji-sd.md
"""
TILE, PAD, LABEL = 128, 10, 30


def load_pipeline(model):
    pipeline = StableDiffusionPipeline.from_pretrained(model, torch_dtype=torch.float32,
                                                       local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def sample(pipeline, prompts, args):
    """uint8 pictures of the prompts; picture i starts from its own generator, seed + i."""
    pictures = []
    for i in range(0, len(prompts), args.batch):
        part = [str(prompt) for prompt in prompts[i:i + args.batch]]
        generators = [torch.Generator().manual_seed(args.seed + i + j) for j in range(len(part))]
        images = pipeline(part, num_inference_steps=args.steps, guidance_scale=args.guidance,
                          generator=generators, output_type="np").images
        pictures.append(np.round(images * 255).astype(np.uint8))
    return np.concatenate(pictures)


def nearest(pictures, references):
    """Index of the nearest reference of each picture, by mean squared error."""
    a = pictures.reshape(len(pictures), -1).astype(np.float32) / 255
    b = references.reshape(len(references), -1).astype(np.float32) / 255
    distance = (a * a).sum(1)[:, None] - 2 * a @ b.T + (b * b).sum(1)[None]
    return distance.argmin(1)


def score(pipeline, data, args):
    """The numbers of the document, as a dictionary."""
    trained = {key: data[key][~data["held_out"]] for key in data}
    held = {key: data[key][data["held_out"]] for key in data}
    rng = np.random.default_rng(args.seed)
    rows = rng.choice(len(trained["name"]), args.score, replace=False, p=trained["weight"])
    pictures = sample(pipeline, trained["name"][rows], args)
    hit = nearest(pictures, trained["image"])
    right = trained["name"][hit] == trained["name"][rows]
    groups = {group: f"{right[trained['group'][rows] == group].sum()} of "
                     f"{(trained['group'][rows] == group).sum()}" for group in emoji_data.GROUP_SHARE}
    missed = [f"{trained['name'][rows[i]]} -> {trained['name'][hit[i]]}" for i in np.flatnonzero(~right)]

    pick = rng.choice(len(held["name"]), min(args.score_held_out, len(held["name"])), replace=False)
    pictures = sample(pipeline, held["name"][pick], args)
    hit = nearest(pictures, data["image"])
    among_trained = nearest(pictures, trained["image"])
    role = trained["role"][among_trained] == held["role"][pick]
    tone = trained["tone"][among_trained] == held["tone"][pick]
    exact = data["name"][hit] == held["name"][pick]
    return {
        "guidance": args.guidance, "steps": args.steps, "seed": args.seed,
        "prompts": len(rows), "right": int(right.sum()), "groups": groups, "missed": missed,
        "held_out": len(pick), "held_out_exact": int(exact.sum()), "held_out_role": int(role.sum()),
        "held_out_tone": int(tone.sum()),
        "held_out_role_or_tone": int((role | tone).sum()),
        "summary": f"nearest training picture has the prompted name: {right.sum()} of {len(rows)}",
    }


def write_document(path, result, model, data):
    """The document around the sheet: every number comes from the score and the training state."""
    state = json.loads((model / "training_state.json").read_text())
    table = "\n".join(f"| {group} | {right} |" for group, right in result["groups"].items())
    path.write_text(DOCUMENT.format(
        **result, **state, table=table, percent=100 * result["right"] / result["prompts"],
        held_out_total=data["held_out"].sum(), pictures=(~data["held_out"]).sum()), encoding="utf-8")


def draw_sheet(pictures, prompts, held_out, path):
    """Eight tiles a row with their prompts; held-out ones have an orange frame."""
    rows = -(-len(pictures) // 8)
    cell = TILE + 2 * PAD, TILE + PAD + LABEL
    sheet = Image.new("RGB", (8 * cell[0], rows * cell[1] + PAD), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=11)
    for i, (picture, prompt) in enumerate(zip(pictures, prompts)):
        x, y = i % 8 * cell[0] + PAD, i // 8 * cell[1] + PAD
        sheet.paste(Image.fromarray(picture).resize((TILE, TILE), Image.Resampling.BICUBIC), (x, y))
        frame = "darkorange" if prompt in held_out else "lightgrey"
        draw.rectangle((x - 2, y - 2, x + TILE + 1, y + TILE + 1), outline=frame, width=2)
        line, lines = "", []
        for word in prompt.split():
            if draw.textlength(f"{line} {word}", font=font) > TILE + PAD:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}".strip()
        draw.text((x, y + TILE + 3), "\n".join(lines + [line]), font=font, fill="black", spacing=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=pathlib.Path, required=True, help="scratch directory")
    parser.add_argument("--model", type=pathlib.Path, required=True, help="model directory")
    parser.add_argument("--sheet", type=pathlib.Path, help="contact sheet to write")
    parser.add_argument("--document", type=pathlib.Path, help="document to write from the score")
    parser.add_argument("--score", type=int, default=0, help="prompts of the score (0: none)")
    parser.add_argument("--score-held-out", type=int, default=48)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    data = emoji_data.load(args.work)
    pipeline = load_pipeline(args.model)
    if args.sheet:
        held_out = [str(name) for name in data["name"][data["held_out"]]]
        prompts = [p.strip() for p in PROMPTS.replace("\n", ";").split(";") if p.strip()]
        unknown = set(prompts) - set(data["name"])
        if unknown:
            raise SystemExit(f"no such emoji: {sorted(unknown)}")
        step = len(held_out) // HELD_OUT
        prompts += held_out[step // 2::step][:HELD_OUT]
        draw_sheet(sample(pipeline, prompts, args), prompts, set(held_out), args.sheet)
    if args.score:
        result = score(pipeline, data, args)
        (args.work / "score.json").write_text(json.dumps(result, indent=2) + "\n")
        print(json.dumps(result, indent=2))
    if args.document:
        result = json.loads((args.work / "score.json").read_text())
        write_document(args.document, result, args.model, data)


if __name__ == "__main__":
    main()
