#!/usr/bin/env python3
"""Write fashion-dit as a diffusers directory in half precision, with its card.

May run at any time while fashion_dit.py does.  Numbers of quality come from the file
that tools/quality/fashion_quality.py writes with --json.

    fashion_export.py --work DIR --out examples/models/fashion-dit [--quality FILE.json]
"""

import argparse
import json
import pathlib
import shutil

import diffusers
import torch
from diffusers import DDIMScheduler, DiTTransformer2DModel

import fashion_data
import fashion_dit
from emoji_export import strip_paths

CARD = """---
license: mit
pipeline_tag: unconditional-image-generation
library_name: diffusers
---

# fashion-dit: a miniature diffusion transformer

Draws 28x28 grey pictures of ten kinds of clothing.  Blocks, conditioning and file layout are those of DiT
(Peebles and Xie 2023, arXiv:2212.09748) as diffusers keeps it, only small: patches of 4x4 pixels (49 tokens),
{layers} blocks {width} wide with {heads} heads, adaLN-zero from time and class, a null class for guidance;
{millions:.2f} M numbers in the files, of which {unique:.2f} M are different (diffusers gives every block a copy of
the shared embedding of time and class).  There is no autoencoder (`vae` is null in
`model_index.json`) and no learned variance: in and out is one channel.  Linear noise schedule, epsilon
prediction; weights are float16.

It exists to have a class-conditional transformer that samples in seconds on one processor core.

## Use

    picard-dag run examples/dit.pb --set class_label=bag

Classes, by name or number:
{classes};
{null} is the null class.
Guidance {guidance:g} with 50 DDIM steps is recommended.  With 3 the classifier (below) agrees more often, 99 of 100
samples against 94, but the distance grew from 10 to 15 (100 samples, 300 steps before the end of training).
`clip_sample` is off: diffusers' DDIM clamps the predicted clean picture but keeps the noise predicted beside
it.  Most pixels lie at the bound, and in 50 steps that ruins the pictures: distance (below) 140 against 26
without, of 100 samples after 1 000 training steps (`fashion_quality.py --clip true`).
A state's picture is clamp(x/2 + 0.5).  diffusers loads `transformer/` and `scheduler/`; its `DiTPipeline` as a
whole wants an autoencoder and a thousand classes, so it does not run this model.

## Quality
{quality}
## Data and licence

Fashion-MNIST (Zalando Research, 2017; Expat licence, as Debian 12 has it in `dataset-fashion-mnist`),
60 000 training pictures, none mirrored or moved.  The 10 000 test pictures were only used to measure.  The
weights are under the same licence.

## Training

One thread of a busy processor, of which it got a fifth to a third (fp32, no GPU), from scratch, with
`tools/train/` of the project:

    fashion_dit.py --work DIR --minutes 99 --workers 1 --batch 64 --lr 4e-3
    fashion_export.py --work DIR --out examples/models/fashion-dit

{steps} steps of {batch} pictures ({epochs:.1f} times the training set), {seconds} wall-clock seconds;
final loss {loss:.4f} (min-SNR weighted); running average of the weights (0.998 a step).  Longer training would make
it better; `--from-model` goes on from these files.
"""
QUALITY = """
Features of a small classifier of the project (`tools/quality/fashion_classifier.py`, {test_accuracy:.1f} % right
on the test split), distance of Frechet to the 10 000 test pictures; {count} samples, classes in equal shares,
{steps} DDIM steps, made by {sampler}.  **Not the published FID**: compare it with nothing but the floor beside it, the
same distance of {count} training pictures (mean of {draws} draws; the classifier has seen them).  Guidance
{guidance:g} was chosen by this distance, among 1.5, 2 and 3 with 100 samples, a little before training ended.

| pictures | distance to the test split | classified as asked for |
| --- | ---: | ---: |
{rows}
| training pictures (floor) | {floor:.2f} | {floor_accuracy:.1f} % |
| all test pictures | 0 | {test_accuracy:.1f} % |

Of each class, at guidance {guidance:g} (real test pictures in brackets):
{per_class}.

Memorisation: the nearest training picture of a sample is {near_sample:.2f} away (median root of the squared
distance, pixels in [-1, 1]; at guidance {guidance:g}), that of a test picture {near_test:.2f}; the closest pair of all
{count} samples {closest_sample:.2f}, of as many test pictures {closest_test:.2f}.  {memory}

![ten classes](../../../docs/fashion-dit-sheet.png)

Left of the line two test pictures a class; right of it samples of the class at guidance {guidance:g}, none chosen.
"""


def wrapped(items, each=5):
    """A list with commas, `each` items a line."""
    return ",\n".join(", ".join(items[i:i + each]) for i in range(0, len(items), each))


def quality_text(path):
    """The card's section from the file of fashion_quality.py."""
    if path is None or not path.exists():
        return "\nNot measured yet.\n"
    found = json.loads(path.read_text())
    main = found["main"]
    rows = "\n".join(f"| guidance {r['guidance']:g} | {r['distance']:.2f} | {100 * r['accuracy']:.1f} % |"
                     for r in sorted(found["runs"], key=lambda r: r["guidance"]))
    best = next(r for r in found["runs"] if r["guidance"] == main)
    per_class = wrapped([f"{name} {100 * value:.0f} % ({100 * real:.0f} %)" for name, value, real in
                         zip(fashion_data.NAMES, best["classes"], found["test_classes"])])
    if best["near_median"] > 0.8 * found["test_near_median"]:
        memory = "Samples are no closer to the training set than unseen pictures."
    else:
        memory = "Samples are closer to the training set than unseen pictures, as smooth pictures or copies are."
    return QUALITY.format(
        count=found["count"], steps=found["steps"], sampler=found["sampler"], draws=found["draws"],
        test_accuracy=100 * found["test_accuracy"], rows=rows, floor=found["floor"],
        floor_accuracy=100 * found["train_accuracy"], guidance=main, per_class=per_class,
        near_sample=best["near_median"], near_test=found["test_near_median"],
        closest_sample=best["near_least"], closest_test=found["test_near_least"], memory=memory)


def export(args):
    """Write the model directory."""
    state = torch.load(args.work / "dit.pt")
    tied = fashion_dit.build_model()
    tied.load_state_dict(state["model"])
    if not args.last:
        for parameter, value in zip(tied.parameters(), state["average"]):
            parameter.data.copy_(value)
    model = DiTTransformer2DModel(**fashion_dit.CONFIG)     # a copy of the embedding in every block
    model.load_state_dict(tied.state_dict())
    scheduler = DDIMScheduler(**fashion_dit.SCHEDULE, clip_sample=False)
    temporary = args.out.with_name(f".{args.out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    model.half().save_pretrained(temporary / "transformer")
    scheduler.save_pretrained(temporary / "scheduler")
    index = {
        "_class_name": "DiTPipeline", "_diffusers_version": diffusers.__version__,
        "id2label": {str(k): name for k, name in enumerate(fashion_data.NAMES)},
        "scheduler": ["diffusers", "DDIMScheduler"],
        "transformer": ["diffusers", "DiTTransformer2DModel"], "vae": [None, None],
    }
    (temporary / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    training = {"steps": state["step"], "seconds": round(state["spent"] + state["spent_before"]),
                "batch": state["batch"], "loss": round(state["loss"], 5)}
    (temporary / "training_state.json").write_text(json.dumps(training, indent=2) + "\n")
    (temporary / "README.md").write_text(CARD.format(
        **training, layers=model.config.num_layers, heads=model.config.num_attention_heads,
        width=model.config.num_attention_heads * model.config.attention_head_dim,
        millions=sum(p.numel() for p in model.parameters()) / 1e6,
        unique=sum(p.numel() for p in tied.parameters()) / 1e6,
        classes=wrapped([f"`{name}` ({k})" for k, name in enumerate(fashion_data.NAMES)]),
        null=fashion_dit.CLASSES, guidance=args.guidance, quality=quality_text(args.quality),
        epochs=state["step"] * state["batch"] / 60000), encoding="utf-8")
    strip_paths(temporary)
    for source in sorted(temporary.rglob("*")):
        if source.is_file():
            target = args.out / source.relative_to(temporary)
            target.parent.mkdir(parents=True, exist_ok=True)
            source.chmod(0o644)
            source.replace(target)
    shutil.rmtree(temporary)
    total = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(f"{args.out}: {total / 1e6:.1f} MB, {json.dumps(training)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=pathlib.Path, required=True, help="scratch directory")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="model directory to write")
    parser.add_argument("--quality", type=pathlib.Path, help="file of fashion_quality.py --json")
    parser.add_argument("--guidance", type=float, default=2.0, help="recommended in the card")
    parser.add_argument("--last", action="store_true", help="the last weights, not their average")
    args = parser.parse_args()
    args.out = args.out.resolve()
    torch.set_num_threads(1)
    export(args)


if __name__ == "__main__":
    main()
