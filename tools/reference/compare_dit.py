"""Compare a run of picard-dag with diffusers: same DiT, class, seed, DDIM, the torch-cpu
stream, float32.

    python tools/reference/compare_dit.py build/picard-dag examples/models/fashion-dit \\
        --label 9 --steps 20

A model with an autoencoder and 1000 classes is sampled by DiTPipeline itself, others by
its loop written out here, since it knows no other null class than 1000.  Prints the
error of the final state and, where there is an autoencoder, the PSNR of the picture;
exit status 0 only where the error is below --max-error."""

import argparse
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


def load(model):
    options = {"torch_dtype": torch.float32}
    transformer = diffusers.DiTTransformer2DModel.from_pretrained(model / "transformer", **options)
    config = json.loads((model / "scheduler/scheduler_config.json").read_text())
    scheduler = diffusers.DDIMScheduler.from_config(config)
    vae = None
    if (model / "vae").is_dir():
        vae = diffusers.AutoencoderKL.from_pretrained(model / "vae", **options)
    return transformer, scheduler, vae


def own_loop(transformer, scheduler, args):
    """DiTPipeline.__call__ without its null class and its autoencoder."""
    c = transformer.config
    shape = (1, c.in_channels, c.sample_size, c.sample_size)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(args.seed))
    labels = torch.tensor([args.label, c.num_embeds_ada_norm])
    scheduler.set_timesteps(args.steps)
    for t in scheduler.timesteps:
        with torch.no_grad():
            out = transformer(x.repeat(2, 1, 1, 1), t.expand(2), class_labels=labels).sample
        cond, none = out[:1, : c.in_channels], out[1:, : c.in_channels]
        x = scheduler.step(none + args.guidance * (cond - none), t, x).prev_sample
    return x


def run_diffusers(args):
    """Final state [C, H, W] and picture [H, W, 3] in [0, 1], or None."""
    transformer, scheduler, vae = load(args.model)
    if vae is None or transformer.config.num_embeds_ada_norm != 1000:
        return own_loop(transformer, scheduler, args)[0].numpy(), None
    pipe = diffusers.DiTPipeline(transformer, vae, scheduler)
    pipe.set_progress_bar_config(disable=True)
    states = []
    step = scheduler.step

    def remember(*arguments, **options):
        result = step(*arguments, **options)
        states[:] = [result.prev_sample[:1]]
        return result

    scheduler.step = remember
    generator = torch.Generator().manual_seed(args.seed)
    picture = pipe([args.label], guidance_scale=args.guidance, generator=generator,
                   num_inference_steps=args.steps, output_type="np").images[0]
    return states[0][0].numpy(), picture


def run_ours(args, folder):
    values = {
        "model.path": args.model.resolve(),
        "sampler.kind": "ddim",
        "sampler.steps": args.steps,
        "class_label": args.label,
        "guidance_scale": args.guidance,
        "random": "torch-cpu",
        "seed": args.seed,
        "solver.method": args.method,
    }
    job = pathlib.Path(folder, "job.pb")
    job.write_bytes(b"")
    command = [args.program.resolve(), "run", job, "-o", folder, "--quiet", "--force"]
    for name, value in values.items():
        command += ["--set", f"{name}={value}"]
    subprocess.run(command, check=True)
    state = np.load(pathlib.Path(folder, "sample-000.npy"))
    path = pathlib.Path(folder, "sample-000.png")
    return state, np.asarray(Image.open(path)) / 255.0 if path.exists() else None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--label", type=int, default=0)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--method", default="sequential")
    parser.add_argument("--max-error", type=float, default=1e-3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        our_state, our_picture = run_ours(args, folder)
    state, picture = run_diffusers(args)
    error = np.sqrt(np.mean((our_state - state) ** 2) / np.mean(state**2))
    print(f"state: relative RMS error {error:.3e}")
    if picture is not None and our_picture is not None:
        gap = np.mean((our_picture - np.round(picture * 255) / 255) ** 2)
        print(f"picture: PSNR {min(200.0, -10 * np.log10(gap + 1e-30)):.2f} dB")
    sys.exit(0 if error < args.max_error else 1)


if __name__ == "__main__":
    main()
