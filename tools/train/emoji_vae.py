#!/usr/bin/env python3
"""Train the KL autoencoder of emoji-sd: 64x64x3 pictures to 16x16x4 latents.

Checkpoints go to WORK/vae.pt; a second call with the same arguments resumes.
--decoder-only freezes the encoder (latents stay valid) and adds noise to the
latents, so that the decoder forgives what the U-Net gets slightly wrong.

    emoji_vae.py --work DIR --minutes 30
"""

import argparse
import pathlib

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional

import emoji_data
import trainlib

CONFIG = {
    "in_channels": 3, "out_channels": 3, "latent_channels": 4, "sample_size": 64,
    "block_out_channels": (32, 64, 96), "layers_per_block": 1, "norm_num_groups": 8,
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
}


def to_tensor(images):
    """uint8 NHWC pictures to float NCHW in [-1, 1], channels last in memory."""
    x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return x.contiguous(memory_format=torch.channels_last)


def reconstruction_loss(y, x):
    """L1 of the pixels and of their differences at two scales: the differences keep edges crisp."""
    loss = (y - x).abs().mean()
    error = y - x
    for _ in range(2):
        loss = loss + 0.5 * (error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean())
        error = functional.avg_pool2d(error, 2)
    return loss


@torch.no_grad()
def psnr(model, images):
    """Mean PSNR in dB of pictures through the posterior mean."""
    values = []
    for i in range(0, len(images), 32):
        x = to_tensor(images[i:i + 32])
        y = model.decode(model.encode(x).latent_dist.mode()).sample.clamp(-1, 1)
        values.append(10 * torch.log10(4 / (y - x).square().mean(dim=(1, 2, 3))))
    return torch.cat(values).mean().item()


def train(rank, args):
    data = emoji_data.load(args.work)
    images = data["image"]
    weight = torch.from_numpy(0.5 * data["weight"] + 0.5 / len(images))
    model = AutoencoderKL(**CONFIG).to(memory_format=torch.channels_last)
    path = args.work / args.checkpoint
    state = torch.load(path) if path.exists() else {"step": 0, "spent": 0.0, "stage": 0.0}
    if "model" in state:
        model.load_state_dict(state["model"])
    torch.manual_seed(args.seed + 1000 * state["step"] + rank)
    stage = "decoder" if args.decoder_only else "all"
    if args.decoder_only:
        model.encoder.requires_grad_(False)
        model.quant_conv.requires_grad_(False)
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    optimiser = trainlib.Optimiser(trained, args.lr, muon=args.optimizer == "muon",
                                   outer=("conv_in", "conv_out"))
    resumed = state.get("stage") == stage
    if resumed:
        optimiser.load_state_dict(state["optimiser"])
    clock = trainlib.Clock(args.minutes, state["stage_spent"] if resumed else 0.0)
    spent_before = state["spent"] - (state["stage_spent"] if resumed else 0.0)
    step, progress, mean = state["step"], 0.0, None
    while progress < 1.0:
        x = to_tensor(images[torch.multinomial(weight, args.batch, replacement=True).numpy()])
        if args.decoder_only:
            with torch.no_grad():
                z = model.encode(x).latent_dist.mode()
                z = z + args.noise * z.std() * torch.rand(len(z), 1, 1, 1) * torch.randn_like(z)
            loss = reconstruction_loss(model.decode(z).sample, x)
        else:
            posterior = model.encode(x).latent_dist
            loss = reconstruction_loss(model.decode(posterior.sample()).sample, x)
            loss = loss + args.kl * posterior.kl().mean()
        loss.backward()
        value, progress = trainlib.average_gradients(
            optimiser.parameters, loss.item(), clock.progress())
        optimiser.step(clock.factor(step, progress))
        mean = value if mean is None else 0.98 * mean + 0.02 * value
        step += 1
        last = progress >= 1.0
        if rank == 0 and (step % 20 == 0 or last):
            print(f"step {step} seconds {clock.spent():.0f} loss {mean:.4f}", flush=True)
        if rank == 0 and (step % 200 == 0 or last):
            trainlib.save_checkpoint(path, {
                "model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step,
                "stage": stage, "stage_spent": clock.spent(), "loss": mean,
                "spent": spent_before + clock.spent()})
            print(f"step {step} PSNR {psnr(model, images[::len(images) // 96]):.2f} dB", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=pathlib.Path, required=True, help="scratch directory")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8, help="pictures of each worker")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--kl", type=float, default=1e-5, help="weight of the KL term")
    parser.add_argument("--optimizer", choices=("muon", "adamw"), default="muon")
    parser.add_argument("--decoder-only", action="store_true")
    parser.add_argument("--noise", type=float, default=0.2, help="noise of --decoder-only")
    parser.add_argument("--checkpoint", default="vae.pt")
    parser.add_argument("--seed", type=int, default=0)
    trainlib.run_workers(train, parser.parse_args())


if __name__ == "__main__":
    main()
