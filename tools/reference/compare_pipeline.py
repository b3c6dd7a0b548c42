"""Compare a run of picard-dag with diffusers: same model, prompt, seed, sampler and
steps, the torch-cpu stream, float32.

    python tools/reference/compare_pipeline.py build/picard-dag examples/sd.pb \\
        examples/models/emoji-sd --prompt "red apple" --kind dpmpp-2m
    python tools/reference/compare_pipeline.py build/picard-dag /dev/null \\
        MODEL --kind ddim            # MODEL: an LDM-, DDPM- or DDIMPipeline

Prints the error of the final state and the PSNR of the picture; exit status 0 only
where the PSNR is above 45 dB (--min-psnr)."""

import argparse
import functools
import inspect
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")

import diffusers
import numpy as np
import torch
from PIL import Image

KINDS = {
    "ddim": ("DDIMScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-a": ("EulerAncestralDiscreteScheduler", {}),
    "pndm": ("PNDMScheduler", {}),
}
for order, algorithm in itertools.product([1, 2, 3], ["", "sde-"]):
    KINDS[f"{algorithm}dpmpp-{order}" + ("m" if order > 1 else "")] = (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": f"{algorithm}dpmsolver++", "solver_order": order},
    )


UNCONDITIONAL = ["LDMPipeline", "DDPMPipeline", "DDIMPipeline"]


def read_json(args, *names):
    """The first of these files of the model that is there."""
    paths = [pathlib.Path(args.model, name) for name in names]
    return json.loads(next(path for path in paths if path.exists()).read_text())


def open_pipeline(args):
    kind = read_json(args, "model_index.json")["_class_name"]
    options = {} if kind in UNCONDITIONAL else {"safety_checker": None}
    if pathlib.Path(args.model, "unet").exists():
        pipe = getattr(diffusers, kind).from_pretrained(
            args.model, torch_dtype=torch.float32, **options
        )
    else:  # all files in the root
        unet = diffusers.UNet2DModel.from_pretrained(args.model)
        pipe = getattr(diffusers, kind)(unet, diffusers.DDIMScheduler())
    name, options = KINDS[args.kind]
    config = read_json(args, "scheduler/scheduler_config.json", "scheduler_config.json")
    pipe.scheduler = getattr(diffusers, name).from_config(config, **options)
    # Models older than the key were trained with 1, not with its default.
    if kind == "LDMPipeline" and "scaling_factor" not in read_json(args, "vqvae/config.json"):
        pipe.vqvae.register_to_config(scaling_factor=1.0)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def run_unconditional(args, pipe):
    """These pipelines give no latents: the last step's result is kept.  Not all of
    them hand the generator on to the scheduler, or ask whether it knows eta."""
    states = []
    step = pipe.scheduler.step
    known = inspect.signature(step).parameters
    generator = torch.Generator().manual_seed(args.seed)

    @functools.wraps(step)
    def keep(*arguments, **keywords):
        keywords["generator"] = generator
        result = step(*arguments, **{k: v for k, v in keywords.items() if k in known})
        states.append(result.prev_sample)
        return result

    pipe.scheduler.step = keep
    picture = pipe(
        generator=generator, num_inference_steps=args.steps, output_type="np"
    ).images[0]
    return states[-1][0].numpy(), picture


def run_diffusers(args):
    """Final state [C, H, W] and picture [H, W, channels] in [0, 1]."""
    pipe = open_pipeline(args)
    if type(pipe).__name__ in UNCONDITIONAL:
        return run_unconditional(args, pipe)
    if args.lora:
        names = [f"lora{i}" for i in range(len(args.lora))]
        for name, (path, _) in zip(names, args.lora):
            pipe.load_lora_weights(path.parent, weight_name=path.name, adapter_name=name)
        pipe.set_adapters(names, [scale for _, scale in args.lora])
    common = {
        "prompt": args.prompt,
        "negative_prompt": args.negative_prompt,
        "num_inference_steps": args.steps,
        "guidance_scale": args.guidance,
    }

    def run(output_type):
        generator = torch.Generator().manual_seed(args.seed)
        return pipe(**common, generator=generator, output_type=output_type).images

    return run("latent")[0].numpy(), run("np")[0]


def run_ours(args, folder):
    """The same from sample-000.npy and sample-000.png."""
    values = {
        "model.path": args.model,
        "model.precision": "float32",
        "prompt": args.prompt,
        "negative_prompt": args.negative_prompt,
        "sampler.kind": args.kind,
        "sampler.steps": args.steps,
        "guidance_scale": args.guidance,
        "random": "torch-cpu",
        "seed": args.seed,
        "samples": 1,
        "solver.method": args.method,
    }
    if read_json(args, "model_index.json")["_class_name"] in UNCONDITIONAL:
        values = {k: v for k, v in values.items() if "prompt" not in k and "guid" not in k}
    command = [args.program, "run", args.job, "-o", folder, "--quiet", "--force"]
    for name, value in values.items():
        command += ["--set", f"{name}={value}"]
    for path, scale in args.lora:
        command += ["--set", f"model.lora={path}@{scale}"]
    subprocess.run(command, check=True)
    state = np.load(pathlib.Path(folder, "sample-000.npy"))
    picture = np.asarray(Image.open(pathlib.Path(folder, "sample-000.png"))) / 255.0
    return state, picture if picture.ndim == 3 else picture[..., None]


def lora(text):
    """PATH or PATH@SCALE."""
    path, _, scale = text.rpartition("@") if "@" in text else (text, "", "1")
    return pathlib.Path(path).resolve(), float(scale)


def psnr(a, b):
    return min(200.0, -10 * np.log10(np.mean((a - b) ** 2) + 1e-30))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("job")
    parser.add_argument("model")
    parser.add_argument("--prompt", default="red apple")
    parser.add_argument("--negative-prompt", default="")
    parser.add_argument("--kind", choices=sorted(KINDS), default="ddim")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--guidance", type=float, default=7.5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--method", default="sequential")
    parser.add_argument("--lora", type=lora, action="append", default=[],
                        help="PATH@SCALE, may be repeated (diffusers needs peft for it)")
    parser.add_argument("--min-psnr", type=float, default=45.0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        our_state, our_picture = run_ours(args, folder)
    state, picture = run_diffusers(args)
    error = np.sqrt(np.mean((our_state - state) ** 2) / np.mean(state**2))
    rounded = np.round(picture * 255) / 255
    decibels = psnr(our_picture, rounded)
    print(f"state: relative RMS error {error:.3e}")
    print(f"picture: PSNR {decibels:.2f} dB")
    sys.exit(0 if decibels > args.min_psnr else 1)


if __name__ == "__main__":
    main()
