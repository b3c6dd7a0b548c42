"""Compare a run of picard-dag with diffusers: same model, prompt, seed, sampler and
steps, the torch-cpu stream, float32.

    python tools/reference/compare_pipeline.py build/picard-dag examples/sd.pb \\
        examples/models/emoji-sd --prompt "red apple" --kind dpmpp-2m

Prints the error of the final state and the PSNR of the picture; exit status 0 only
where the PSNR is above 45 dB (--min-psnr)."""

import argparse
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


def run_diffusers(args):
    """Final state [C, H, W] and picture [H, W, 3] in [0, 1]."""
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(
        args.model, torch_dtype=torch.float32, safety_checker=None
    )
    name, options = KINDS[args.kind]
    config = json.loads(pathlib.Path(args.model, "scheduler/scheduler_config.json").read_text())
    pipe.scheduler = getattr(diffusers, name).from_config(config, **options)
    pipe.set_progress_bar_config(disable=True)
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
    command = [args.program, "run", args.job, "-o", folder, "--quiet", "--force"]
    for name, value in values.items():
        command += ["--set", f"{name}={value}"]
    for path, scale in args.lora:
        command += ["--set", f"model.lora={path}@{scale}"]
    subprocess.run(command, check=True)
    state = np.load(pathlib.Path(folder, "sample-000.npy"))
    picture = np.asarray(Image.open(pathlib.Path(folder, "sample-000.png")).convert("RGB"))
    return state, picture / 255.0


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
