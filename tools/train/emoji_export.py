#!/usr/bin/env python3
"""Write the trained parts as a diffusers directory in half precision, with its card.

Every file is written beside the model first and renamed into place, so that a
reader never sees half of one.

    emoji_export.py --work DIR --out examples/models/emoji-sd
"""

import argparse
import json
import pathlib
import shutil

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

import emoji_data
import emoji_unet
import emoji_vae

CARD = """---
license: apache-2.0
pipeline_tag: text-to-image
library_name: diffusers
---

# emoji-sd: a miniature Stable Diffusion

Text to 64x64 pictures in the style of Noto Color Emoji.  The parts and the file layout are those of
Stable Diffusion 1.x, only small: CLIP byte-level BPE tokenizer (3 000 tokens, prompts of at most 16),
CLIP-shaped text encoder ({text_millions:.1f} M parameters), KL autoencoder (64x64x3 to 16x16x4,
{vae_millions:.1f} M), cross-attention U-Net ({unet_millions:.1f} M), scaled-linear noise schedule,
epsilon prediction.  It opens in diffusers' `StableDiffusionPipeline`; weights are float16.

It exists to have a real text-to-image model that samples in seconds on one processor core.

## Use

Prompts are lower-case emoji names of Unicode 15.0 without punctuation: `red heart`, `cat face`,
`woman firefighter medium skin tone`.  Guidance {guidance:g} with 50 DDIM steps is recommended.

## What it can and cannot do

It was trained on {pictures} pictures and **memorises single emoji**: a sharp sample is a close copy of the
training picture of that name, and a name that is not learned yet comes out as a blob of its colours.  New combinations work where the names are compositional (role x skin
tone; {held_out} such pairs were kept out of training).  Free text and styles do not work.  `docs/emoji-sd.md`
of the project has a contact sheet and measurements.

## Data and licence

* Pictures: Noto Color Emoji 2.042 (Debian 12 `fonts-noto-color-emoji`), images Apache-2.0, font OFL-1.1.
* Names and keywords: Unicode emoji-test 15.0 and CLDR 41 (Debian 12 `unicode-data`, `unicode-cldr-core`),
  Unicode licence.
* The weights are under Apache-2.0, as the pictures they come from.

## Training

Two processor cores (fp32, no GPU), everything from scratch, with `tools/train/` of the project:

    emoji_data.py --work DIR
    emoji_tokenizer.py --work DIR
    emoji_vae.py --work DIR
    emoji_unet.py --work DIR
    emoji_export.py --work DIR --out examples/models/emoji-sd --last

| part | steps | seconds | final loss | quality |
| --- | ---: | ---: | ---: | --- |
| autoencoder | {vae_steps} | {vae_seconds:.0f} | {vae_loss:.4f} | PSNR {psnr:.1f} dB over every eighth picture |
| text encoder and U-Net | {unet_steps} | {unet_seconds:.0f} | {unet_loss:.4f} (min-SNR weighted) | {score} |

Seconds are wall-clock seconds on a machine shared with other work.  The U-Net was trained in stages: peak
learning rate 0.002 to step 600, 0.003 to step 1987, 0.002 beyond; batches of 64.
"""


def load_parts(work, averaged):
    """The trained parts (U-Net and text encoder averaged, or as last stepped) and their training states."""
    vae_state = torch.load(work / "vae.pt")
    unet_state = torch.load(work / "unet.pt")
    latents = torch.load(work / "latents.pt")
    vae = AutoencoderKL(**emoji_vae.CONFIG, scaling_factor=latents["scaling_factor"])
    vae.load_state_dict(vae_state["model"])
    models = torch.nn.ModuleDict({
        "text": CLIPTextModel(CLIPTextConfig(**emoji_unet.TEXT_CONFIG)),
        "unet": UNet2DConditionModel(**emoji_unet.UNET_CONFIG)})
    models.load_state_dict(unet_state["models"])
    if averaged:
        for parameter, value in zip(models.parameters(), unet_state["average"]):
            parameter.data.copy_(value)
    return vae.eval(), models["text"].eval(), models["unet"].eval(), vae_state, unet_state


def count(model):
    return sum(p.numel() for p in model.parameters())


def export(work, out, guidance, averaged):
    """Write the model directory."""
    vae, text, unet, vae_state, unet_state = load_parts(work, averaged)
    data = emoji_data.load(work)
    score_file = work / "score.json"
    score = "not measured yet"
    if score_file.exists():
        score = json.loads(score_file.read_text())["summary"]
    state = {
        "vae_steps": vae_state["step"], "vae_seconds": round(vae_state["spent"]),
        "vae_loss": round(vae_state["loss"], 5), "psnr": round(emoji_vae.psnr(vae, data["image"][::8]), 2),
        "unet_steps": unet_state["step"], "unet_seconds": round(unet_state["spent"] + unet_state["spent_before"]),
        "unet_loss": round(unet_state["loss"], 5),
    }
    card = CARD.format(
        **state, guidance=guidance, pictures=(~data["held_out"]).sum(), held_out=data["held_out"].sum(),
        text_millions=count(text) / 1e6, vae_millions=count(vae) / 1e6,
        unet_millions=count(unet) / 1e6, score=score)
    scheduler = DDIMScheduler(**emoji_unet.SCHEDULE, clip_sample=False, set_alpha_to_one=False,
                              steps_offset=1)
    tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
    pipeline = StableDiffusionPipeline(
        vae=vae.half(), text_encoder=text.half(), tokenizer=tokenizer, unet=unet.half(),
        scheduler=scheduler, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False)

    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    pipeline.save_pretrained(temporary)
    # As Stable Diffusion's own config: PNDM without its Runge-Kutta steps, for whoever asks for it.
    path = temporary / "scheduler" / "scheduler_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "skip_prk_steps": True}, indent=2, sort_keys=True) + "\n")
    for name in ("vocab.json", "merges.txt", "special_tokens_map.json"):
        shutil.copyfile(work / "tokenizer" / name, temporary / "tokenizer" / name)
    (temporary / "training_state.json").write_text(json.dumps(state, indent=2) + "\n")
    (temporary / "README.md").write_text(card, encoding="utf-8")
    strip_paths(temporary)
    for source in sorted(temporary.rglob("*")):
        if source.is_file():
            target = out / source.relative_to(temporary)
            target.parent.mkdir(parents=True, exist_ok=True)
            source.chmod(0o644)
            source.replace(target)
    shutil.rmtree(temporary)
    total = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {total / 1e6:.1f} MB, {json.dumps(state)}")


def strip_paths(directory):
    """Configurations must not say where they were loaded from."""
    for path in directory.rglob("*config.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        for key in ("_name_or_path", "is_local", "local_files_only"):
            config.pop(key, None)
        path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=pathlib.Path, required=True, help="scratch directory")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="model directory to write")
    parser.add_argument("--guidance", type=float, default=4.0, help="recommended in the card")
    parser.add_argument("--last", action="store_true", help="the last weights, not their average")
    args = parser.parse_args()
    torch.set_num_threads(1)
    export(args.work, args.out.resolve(), args.guidance, not args.last)


if __name__ == "__main__":
    main()
