"""An original DiT checkpoint (facebookresearch/DiT) as a model directory:

    python tools/convert/dit_pt.py DiT-XL-2-256x256.pt NEW --vae sd-vae-ft-ema \\
        --labels imagenet.json

The checkpoint holds tensors, or a training state with them under "ema" (taken) or
"model".  Sizes are read off the tensors, the number of heads is that of the published
widths (384, 768, 1024, 1152) or --heads.  --vae is the folder of an AutoencoderKL,
copied as it is; without it the states are the pictures.  --labels is a JSON object
{"0": "tench, Tinca tinca", ...}.

The names become those of diffusers' DiTTransformer2DModel, which has an embedding of
timestep and class in every block where the original has one.  config.json says
freq_shift 0, the original's sinusoids; diffusers does not know this key and computes
with its own 1, so its pictures differ a little.  The original also guides the first
three channels only: guidance_channels=3.

Files are read with torch's restricted unpickler, which runs no code of theirs.  Needs
torch and safetensors."""

import argparse
import json
import math
import pathlib
import shutil
import sys

import torch
from pickled import new_folder, read_tensors, write
from safetensors.torch import save_file

HEADS = {384: 6, 768: 12, 1024: 16, 1152: 16}
# What the sizes are read off, and how many dimensions it has.
SHAPED = {"pos_embed": 3, "x_embedder.proj.weight": 4, "final_layer.linear.bias": 1,
          "y_embedder.embedding_table.weight": 2, "blocks.0.attn.qkv.weight": 2}
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
SCHEDULER = {
    "_class_name": "DDIMScheduler",
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "beta_start": 0.0001,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "set_alpha_to_one": True,
    "steps_offset": 0,
}
# Of the whole network, then of block i; qkv is in three.
NETWORK = {
    "x_embedder.proj": "pos_embed.proj",
    "final_layer.adaLN_modulation.1": "proj_out_1",
    "final_layer.linear": "proj_out_2",
}
BLOCK = {
    "adaLN_modulation.1": "norm1.linear",
    "attn.proj": "attn1.to_out.0",
    "mlp.fc1": "ff.net.0.proj",
    "mlp.fc2": "ff.net.2",
}
EMBEDDERS = {
    "t_embedder.mlp.0.weight": "timestep_embedder.linear_1.weight",
    "t_embedder.mlp.0.bias": "timestep_embedder.linear_1.bias",
    "t_embedder.mlp.2.weight": "timestep_embedder.linear_2.weight",
    "t_embedder.mlp.2.bias": "timestep_embedder.linear_2.bias",
    "y_embedder.embedding_table.weight": "class_embedder.embedding_table.weight",
}


def read_checkpoint(path):
    """{name: tensor}; a training state holds its command's arguments too."""
    tensors = read_tensors(path, ("ema", "model"), [argparse.Namespace])
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def take(tensors, name):
    if name not in tensors:
        raise ValueError(f"no tensor {name}: not a checkpoint of DiT")
    return tensors.pop(name)


def describe(tensors, heads):
    """config.json, from the shapes."""
    for name, n_dims in SHAPED.items():
        if name not in tensors:
            raise ValueError(f"no tensor {name}: not a checkpoint of DiT")
        if tensors[name].ndim != n_dims:
            raise ValueError(f"{name} has the shape {list(tensors[name].shape)}: "
                             f"expected {n_dims} dimensions")
    width, channels, patch, _ = tensors["x_embedder.proj.weight"].shape
    grid = math.isqrt(tensors["pos_embed"].shape[-2])
    heads = heads or HEADS.get(width)
    if heads is None or width % heads:
        raise ValueError(f"a width of {width} is none of the published ones: give --heads, "
                         "which must divide it")
    return {
        "_class_name": "DiTTransformer2DModel",
        "activation_fn": "gelu-approximate",
        "attention_bias": True,
        "attention_head_dim": width // heads,
        "freq_shift": 0,
        "in_channels": channels,
        "norm_elementwise_affine": False,
        "norm_eps": 1e-6,
        "norm_type": "ada_norm_zero",
        "num_attention_heads": heads,
        "num_embeds_ada_norm": tensors["y_embedder.embedding_table.weight"].shape[0] - 1,
        "num_layers": 1 + max(int(k.split(".")[1]) for k in tensors if k.startswith("blocks.")),
        "out_channels": tensors["final_layer.linear.bias"].shape[0] // patch**2,
        "patch_size": patch,
        "sample_size": grid * patch,
    }


def rename(tensors, n_layers):
    """The tensors under diffusers' names; `tensors` is emptied."""
    take(tensors, "pos_embed")  # fixed sines and cosines
    embedders = {new: take(tensors, old) for old, new in EMBEDDERS.items()}
    renamed = {}
    for kind in ("weight", "bias"):
        for old, new in NETWORK.items():
            renamed[f"{new}.{kind}"] = take(tensors, f"{old}.{kind}")
        for i in range(n_layers):
            block, to = f"blocks.{i}.", f"transformer_blocks.{i}."
            for old, new in BLOCK.items():
                renamed[f"{to}{new}.{kind}"] = take(tensors, f"{block}{old}.{kind}")
            for part, tensor in zip("qkv", take(tensors, f"{block}attn.qkv.{kind}").chunk(3)):
                renamed[f"{to}attn1.to_{part}.{kind}"] = tensor
    for i in range(n_layers):
        for new, tensor in embedders.items():
            renamed[f"transformer_blocks.{i}.norm1.emb.{new}"] = tensor
    if tensors:
        raise ValueError(f"{len(tensors)} tensors that DiT has not, {next(iter(tensors))} first")
    return renamed


def read_labels(path, n_classes):
    try:
        labels = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(labels, dict):
        raise ValueError(f"{path}: not a JSON object")
    for key, name in labels.items():
        if not key.isdecimal() or int(key) >= n_classes or not isinstance(name, str):
            raise ValueError(f"{path}: {key!r}: expected a class below {n_classes} and its name")
    return labels


def save_json(path, values):
    text = json.dumps(values, indent=2) + "\n"
    write(path, lambda part: part.write_text(text))


def convert(args, to):
    if args.vae and not (args.vae / "config.json").is_file():
        raise ValueError(f"--vae {args.vae}: no config.json there")
    tensors = read_checkpoint(args.checkpoint)
    config = describe(tensors, args.heads)
    labels = read_labels(args.labels, config["num_embeds_ada_norm"]) if args.labels else None
    renamed = rename(tensors, config["num_layers"])
    dtype = DTYPES.get(args.dtype)
    # each a memory of its own: the copies of the embedders too
    renamed = {k: v.detach().to(dtype or v.dtype).clone().contiguous() for k, v in renamed.items()}
    folder = to / "transformer"
    write(folder / "diffusion_pytorch_model.safetensors",
          lambda part: save_file(renamed, part, metadata={"format": "pt"}))
    save_json(folder / "config.json", config)
    save_json(to / "scheduler/scheduler_config.json", SCHEDULER)
    if args.vae:
        shutil.copytree(args.vae, to / "vae")
    index = {
        "_class_name": "DiTPipeline",
        "scheduler": ["diffusers", "DDIMScheduler"],
        "transformer": ["diffusers", "DiTTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"] if args.vae else [None, None],
    }
    if labels:
        index["id2label"] = labels
    save_json(to / "model_index.json", index)
    count = sum(t.numel() for t in renamed.values())
    print(f"{args.to}: {len(renamed)} tensors, {count} parameters")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("to", type=pathlib.Path)
    parser.add_argument("--vae", type=pathlib.Path)
    parser.add_argument("--labels", type=pathlib.Path)
    parser.add_argument("--heads", type=int)
    parser.add_argument("--dtype", choices=sorted(DTYPES), help="of the weights (as they are)")
    args = parser.parse_args()
    try:
        with new_folder(args.to) as part:
            convert(args, part)
    except (OSError, ValueError) as error:
        sys.exit(f"{args.checkpoint}: {error}")


if __name__ == "__main__":
    main()
