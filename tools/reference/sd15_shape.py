"""Make a Stable Diffusion 1.5 of the true shape with random weights, and what
diffusers and transformers compute with it in float32 (needs 9 GB of memory for the
U-Net, 2.6 GB of disk):

    python tools/reference/sd15_shape.py FOLDER [unet] [vae] [text_encoder]

Then compare each part with (the error is printed, relative to the RMS; it must be
below 1e-4):

    bench/network FOLDER/unet --check --precision float32
    bench/network FOLDER/vae --check --precision float32
    bench/network FOLDER/text_encoder --check --precision float32
"""

import pathlib
import sys

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from make_fixtures import randomize, save_io
from transformers import CLIPTextConfig, CLIPTextModel


def make_unet(folder):
    model = UNet2DConditionModel(
        sample_size=64, cross_attention_dim=768, attention_head_dim=8
    )
    randomize(model, 1, torch.float16)
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(2, 4, 64, 64, generator=generator)
    t = torch.tensor([951.0, 20.0])
    cond = torch.randn(2, 77, 768, generator=generator)
    with torch.no_grad():
        eps = model(x, t, cond).sample
    model.to(torch.float16).save_pretrained(folder)
    save_io(folder, x=x, t=t, cond=cond, eps=eps)


def make_vae(folder):
    widths = [128, 256, 512, 512]
    model = AutoencoderKL(
        block_out_channels=widths,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        layers_per_block=2,
        sample_size=512,
    )
    randomize(model, 3, torch.float16)
    generator = torch.Generator().manual_seed(4)
    latent = torch.randn(1, 4, 64, 64, generator=generator)
    with torch.no_grad():
        decoded = model.decode(latent).sample
    model.to(torch.float16).save_pretrained(folder)
    save_io(folder, latent=latent, decoded=decoded)


def make_text_encoder(folder):
    config = CLIPTextConfig(
        hidden_size=768,
        intermediate_size=3072,
        num_attention_heads=12,
        num_hidden_layers=12,
    )
    model = randomize(CLIPTextModel(config), 5, torch.float16)
    generator = torch.Generator().manual_seed(6)
    ids = torch.randint(0, config.vocab_size, (1, 77), generator=generator)
    with torch.no_grad():
        vectors = model(ids).last_hidden_state
    model.to(torch.float16).save_pretrained(folder)
    save_io(folder, ids=ids, vectors=vectors)


PARTS = {"unet": make_unet, "vae": make_vae, "text_encoder": make_text_encoder}


def main():
    root = pathlib.Path(sys.argv[1])
    torch.set_num_threads(1)
    for part in sys.argv[2:] or PARTS:
        PARTS[part](root / part)


if __name__ == "__main__":
    main()
