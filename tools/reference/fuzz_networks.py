"""Networks of random configuration against diffusers, on every backend:

    python tools/reference/fuzz_networks.py build/bench/network --count 100 --seed 1

Prints each network that is off by more than 1e-4 of its RMS, or that the program
refuses, with its configuration; exit status 0 only where there is none."""

import argparse
import pathlib
import random
import subprocess
import sys
import tempfile

import diffusers
import torch
from diffusers import (
    AutoencoderKL,
    DiTTransformer2DModel,
    UNet2DConditionModel,
    UNet2DModel,
    VQModel,
)
from make_dit import randomize as randomize_dit
from make_dit import row_case
from make_fixtures import old_attention_names, randomize, rewrite, save_io

BOUND = 1e-4
TOKENS = 77  # what bench/network takes without a pipeline
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


def common_config(rng):
    n = rng.randint(1, 4)
    groups = rng.choice([1, 2, 4])
    widths = [groups * rng.randint(max(1, 8 // groups), 24 // groups) for _ in range(n)]
    return n, {
        "block_out_channels": widths,
        "norm_num_groups": groups,
        "act_fn": rng.choice(["silu", "swish", "gelu", "mish", "relu"]),
    }


def unet_config(rng, n):
    channels = rng.randint(1, 5)
    return {
        "in_channels": channels,
        "out_channels": channels,
        "flip_sin_to_cos": rng.random() < 0.5,
        "freq_shift": rng.choice([0, 1]),
        "mid_block_scale_factor": rng.choice([1, 1.5]),
        "norm_eps": rng.choice([1e-5, 1e-3]),
        "time_embedding_dim": rng.choice([None, 17]),
        "sample_size": [2 ** (n - 1) * rng.randint(1, 3) for _ in range(2)],
        "downsample_padding": rng.choice([0, 1]),
    }


def condition_unet(rng):
    n, config = common_config(rng)
    config |= unet_config(rng, n)
    kinds = ["CrossAttn", "", "Attn"]
    if rng.random() < 0.6:  # sides that do not halve evenly: only these blocks can
        kinds = ["CrossAttn", ""]
        config |= {
            "sample_size": [rng.randint(1, 20) for _ in range(2)],
            "downsample_padding": 1,
        }
    smallest = min(config["block_out_channels"])
    config |= {
        "down_block_types": [rng.choice(kinds) + "DownBlock2D" for _ in range(n)],
        "up_block_types": [rng.choice(kinds) + "UpBlock2D" for _ in range(n)],
        "mid_block_type": rng.choice(["UNetMidBlock2DCrossAttn", "UNetMidBlock2D", None]),
        "layers_per_block": rng.choice([1, 2, [rng.randint(1, 3) for _ in range(n)]]),
        "attention_head_dim": rng.choice(
            [rng.randint(1, 6), [rng.randint(1, smallest) for _ in range(n)]]
        ),
        "cross_attention_dim": rng.randint(2, 20),
        "transformer_layers_per_block": rng.choice([1, 2, [rng.randint(1, 2) for _ in range(n)]]),
        "use_linear_projection": rng.random() < 0.5,
        "only_cross_attention": rng.choice([False, True, [rng.random() < 0.5 for _ in range(n)]]),
    }
    return UNet2DConditionModel(**config)


def plain_unet(rng):
    n, config = common_config(rng)
    config |= unet_config(rng, n)
    kinds = ["", "Attn"]
    config |= {
        "down_block_types": [rng.choice(kinds) + "DownBlock2D" for _ in range(n)],
        "up_block_types": [rng.choice(kinds) + "UpBlock2D" for _ in range(n)],
        "mid_block_type": rng.choice(["UNetMidBlock2D", None]),
        "layers_per_block": rng.randint(1, 3),
        "attention_head_dim": rng.choice([None, 1, 3, min(config["block_out_channels"])]),
        "add_attention": rng.random() < 0.8,
        "attn_norm_num_groups": rng.choice([None, 1]),
    }
    return UNet2DModel(**config)


def autoencoder(rng):
    n, config = common_config(rng)
    config |= {
        "sample_size": rng.randint(1, 8) * 2 ** (n - 1),
        "latent_channels": rng.randint(1, 5),
        "layers_per_block": rng.randint(1, 3),
        "down_block_types": ["DownEncoderBlock2D"] * n,
        "up_block_types": ["UpDecoderBlock2D"] * n,
        "use_quant_conv": rng.random() < 0.7,
        "use_post_quant_conv": rng.random() < 0.7,
        "mid_block_add_attention": rng.random() < 0.7,
    }
    return AutoencoderKL(**config)


def vq_model(rng):
    n, config = common_config(rng)
    config |= {
        "sample_size": rng.randint(1, 8) * 2 ** (n - 1),
        "latent_channels": rng.randint(1, 5),
        "vq_embed_dim": rng.choice([None, rng.randint(1, 6)]),
        "num_vq_embeddings": rng.randint(1, 300),
        "layers_per_block": rng.randint(1, 3),
        "down_block_types": ["DownEncoderBlock2D"] * n,
        "up_block_types": ["UpDecoderBlock2D"] * n,
        "mid_block_add_attention": rng.random() < 0.7,
        "lookup_from_codebook": rng.random() < 0.5,
        "scaling_factor": rng.choice([1.0, 0.3]),
    }
    return VQModel(**config)


def dit(rng):
    heads = rng.randint(1, 5)
    patch = rng.randint(1, 4)
    channels = rng.randint(1, 4)
    config = {
        "num_attention_heads": heads,
        "attention_head_dim": rng.choice([4, 8, 12]) if heads % 2 else 2 * rng.randint(1, 8),
        "in_channels": channels,
        "out_channels": rng.choice([None, channels, 2 * channels]),
        "num_layers": rng.randint(1, 4),
        "sample_size": patch * rng.randint(1, 5),
        "patch_size": patch,
        "num_embeds_ada_norm": rng.randint(1, 20),
        "activation_fn": rng.choice(
            ["gelu-approximate", "gelu", "geglu", "geglu-approximate", "linear-silu"]
        ),
        "attention_bias": rng.random() < 0.7,
        "norm_elementwise_affine": rng.random() < 0.3,
        "norm_eps": rng.choice([1e-6, 1e-5, 1e-3]),
        "upcast_attention": rng.random() < 0.3,
    }
    return DiTTransformer2DModel(**config)


@torch.no_grad()
def expected(model, generator):
    config = model.config
    if isinstance(model, VQModel):
        side = config.sample_size // 2 ** (len(config.block_out_channels) - 1)
        width = config.vq_embed_dim or config.latent_channels
        latent = torch.randn(1, width, side, side, generator=generator)
        return {"latent": latent, "decoded": model.decode(latent).sample}
    if isinstance(model, AutoencoderKL):
        side = config.sample_size // 2 ** (len(config.block_out_channels) - 1)
        latent = torch.randn(1, config.latent_channels, side, side, generator=generator)
        return {"latent": latent, "decoded": model.decode(latent).sample}
    if isinstance(model, DiTTransformer2DModel):
        return row_case(model, generator.initial_seed(), [999.0, 0.0, 321.5])
    x = torch.randn(3, config.in_channels, *config.sample_size, generator=generator)
    t = torch.tensor([999.0, 0.0, 321.5])
    if isinstance(model, UNet2DModel):
        return {"x": x, "t": t, "eps": model(x, t).sample}
    cond = torch.randn(2, TOKENS, config.cross_attention_dim, generator=generator)
    rows = torch.cat([cond[:1], cond[1:], cond[1:]])
    return {"x": x, "t": t, "cond": cond, "eps": model(x, t, rows).sample}


KINDS = {
    "condition-unet": condition_unet,
    "plain-unet": plain_unet,
    "autoencoder": autoencoder,
    "vq-model": vq_model,
    "dit": dit,
}


def check(program, folder, backend):
    """None, or what is wrong."""
    command = [program, str(folder), "--check", "--backend", backend]
    done = subprocess.run(command, capture_output=True, text=True)
    text = (done.stdout + done.stderr).strip()
    if done.returncode == 0 and float(text.split()[-1]) < BOUND:
        return None
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backends", default="ref,onednn")
    parser.add_argument("--only", choices=sorted(KINDS), help="networks of this kind")
    args = parser.parse_args()
    torch.set_num_threads(1)
    diffusers.logging.set_verbosity_error()
    rng = random.Random(args.seed)
    faults = 0
    for number in range(args.count):
        model = KINDS[args.only or rng.choice(list(KINDS))](rng)
        dtype = rng.choice(DTYPES)
        fill = randomize_dit if isinstance(model, DiTTransformer2DModel) else randomize
        fill(model, number, dtype)
        tensors = expected(model, torch.Generator().manual_seed(number))
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            model.to(dtype).save_pretrained(folder)
            old = not isinstance(model, (UNet2DConditionModel, DiTTransformer2DModel))
            if old and rng.random() < 0.3:
                rewrite(folder, rename=old_attention_names)
            save_io(folder, **tensors)
            for backend in args.backends.split(","):
                fault = check(args.program, folder, backend)
                if fault:
                    faults += 1
                    print(f"{number} {backend}: {fault}\n    {dict(model.config)}")
    print(f"{args.count} networks, {faults} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
