"""Make LDM-CelebA-HQ 256 (CompVis/ldm-celebahq-256), ddpm-cifar10-32 and
ddpm-church-256 of the true shapes with random weights, and what diffusers computes
with them in float32 (4 GB of memory, 2 GB of disk for all):

    python tools/reference/ldm_shape.py FOLDER [celeba] [cifar] [church]

Then compare each part with (the error is printed, relative to the RMS; it must be
below 1e-4), and run the whole:

    bench/network FOLDER/celeba/unet --check --precision float32
    bench/network FOLDER/celeba/vqvae --check --precision float32
    bench/network FOLDER/cifar --check --precision float32
    bench/network FOLDER/church --check --precision float32
    python tools/reference/compare_pipeline.py picard-dag /dev/null FOLDER/celeba \\
        --steps 5

The layouts are the hub's: celeba in folders, without a scaling factor; the others with
all files in the root."""

import json
import pathlib
import sys

import torch
from diffusers import DDIMScheduler, DDPMScheduler, LDMPipeline, UNet2DModel, VQModel
from make_fixtures import drop_keys, old_attention_names, randomize, rewrite, save_io

TOTALS = {"unet": 274056163, "vqvae": 55322782, "cifar": 35746307, "church": 113673219}


def check_total(model, name):
    total = sum(p.numel() for p in model.parameters())
    if total != TOTALS[name]:
        sys.exit(f"{name}: {total} parameters, published: {TOTALS[name]}")


@torch.no_grad()
def expected_eps(model, seed, n):
    config = model.config
    generator = torch.Generator().manual_seed(seed)
    side = config.sample_size
    x = torch.randn(n, config.in_channels, side, side, generator=generator)
    t = torch.tensor([951.0, 20.0][:n])
    return {"x": x, "t": t, "eps": model(x, t).sample}


def make_celeba(folder):
    unet = UNet2DModel(
        sample_size=64,
        block_out_channels=[224, 448, 672, 896],
        down_block_types=["DownBlock2D"] + ["AttnDownBlock2D"] * 3,
        up_block_types=["AttnUpBlock2D"] * 3 + ["UpBlock2D"],
        attention_head_dim=32,
    )
    vqvae = VQModel(
        block_out_channels=[128, 256, 512],
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        layers_per_block=2,
        sample_size=256,
        num_vq_embeddings=8192,
        scaling_factor=1.0,
    )
    check_total(unet, "unet")
    check_total(vqvae, "vqvae")
    randomize(unet, 1, torch.float16)
    randomize(vqvae, 2, torch.float16)
    latent = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        decoded = vqvae.decode(latent).sample
    eps = expected_eps(unet, 4, 2)
    scheduler = DDIMScheduler(
        beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear", clip_sample=False
    )
    LDMPipeline(vqvae.half(), unet.half(), scheduler).save_pretrained(folder)
    drop_keys(folder / "vqvae", "scaling_factor")
    for part in ["unet", "vqvae"]:
        rewrite(folder / part, rename=old_attention_names)
    save_io(folder / "unet", **eps)
    save_io(folder / "vqvae", latent=latent, decoded=decoded)


def make_root(folder, name, seed, n, variance, **config):
    model = UNet2DModel(
        downsample_padding=0, flip_sin_to_cos=False, freq_shift=1, norm_eps=1e-6, **config
    )
    check_total(model, name)
    randomize(model, seed, torch.float16)
    eps = expected_eps(model, seed + 1, n)
    model.half().save_pretrained(folder)
    rewrite(folder, rename=old_attention_names)
    DDPMScheduler(variance_type=variance).save_pretrained(folder)
    index = {
        "_class_name": "DDPMPipeline",
        "scheduler": ["diffusers", "DDPMScheduler"],
        "unet": ["diffusers", "UNet2DModel"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    save_io(folder, **eps)


def make_cifar(folder):
    make_root(
        folder,
        "cifar",
        5,
        2,
        "fixed_large",
        sample_size=32,
        block_out_channels=[128, 256, 256, 256],
        down_block_types=["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
        up_block_types=["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
        attention_head_dim=None,
    )


def make_church(folder):
    make_root(
        folder,
        "church",
        7,
        1,
        "fixed_small",
        sample_size=256,
        block_out_channels=[128, 128, 256, 256, 512, 512],
        down_block_types=["DownBlock2D"] * 4 + ["AttnDownBlock2D", "DownBlock2D"],
        up_block_types=["UpBlock2D", "AttnUpBlock2D"] + ["UpBlock2D"] * 4,
        attention_head_dim=None,
    )


MODELS = {"celeba": make_celeba, "cifar": make_cifar, "church": make_church}


def main():
    root = pathlib.Path(sys.argv[1])
    torch.set_num_threads(1)
    for name in sys.argv[2:] or MODELS:
        MODELS[name](root / name)


if __name__ == "__main__":
    main()
