"""Write the DiT fixtures of tests/data/models.

Tiny transformers of odd configurations with random weights, rows of input and what
diffusers computes for them in float32; one of them in a whole DiTPipeline, with a
guided run of it.  Seeds are in the calls below, so a second run writes the same
files:

    python tools/reference/make_dit.py tests/data/models
"""

import json
import pathlib
import sys

import torch
from diffusers import AutoencoderKL, DDIMScheduler, DiTPipeline, DiTTransformer2DModel
from make_fixtures import save_io
from make_fixtures import randomize as randomize_part

LABELS = {0: "tench, Tinca tinca", 1: "goldfish", 134: "crane", 517: "crane", 999: "toilet tissue"}


def randomize(model, seed, dtype):
    """As of the other parts; but linear layers live in what is called a norm here."""
    randomize_part(model, seed, dtype)
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.named_parameters():
        if "norm1" in name and tensor.ndim == 2:
            scale = 0.5 if "embedding_table" in name else tensor.shape[1] ** -0.5
            values = scale * torch.randn(tensor.shape, generator=generator)
            tensor.data = values.to(dtype).float()
    return model.eval()


def edit(path, change):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values, indent=2) + "\n")


def reload(folder):
    """In float32: the fixed positions, which no file holds, are not rounded then."""
    return DiTTransformer2DModel.from_pretrained(folder, torch_dtype=torch.float32)


def row_case(model, seed, timesteps):
    """Rows; the first half shares one class, the others have none."""
    generator = torch.Generator().manual_seed(seed)
    n = len(timesteps)
    c = model.config
    x = torch.randn(n, c.in_channels, c.sample_size, c.sample_size, generator=generator)
    t = torch.tensor(timesteps, dtype=torch.float32)
    none = c.num_embeds_ada_norm
    labels = torch.tensor([none // 2] * (n // 2) + [none] * (n - n // 2))
    with torch.no_grad():
        eps = model(x, t, class_labels=labels).sample[:, : c.in_channels]
    cond = torch.tensor([[none // 2], [none]], dtype=torch.float32)
    return {"x": x, "t": t, "cond": cond, "eps": eps}


def guided_run(pipe, label, seed):
    """Unit noise, the state after five guided steps of DDIM, and its picture."""
    c = pipe.transformer.config
    shape = (1, c.in_channels, c.sample_size, c.sample_size)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    pipe.set_progress_bar_config(disable=True)
    last = {}
    step = pipe.scheduler.step

    def remember(*arguments, **options):
        result = step(*arguments, **options)
        last["state"] = result.prev_sample[:1]
        return result

    pipe.scheduler.step = remember
    picture = pipe(
        [label],
        guidance_scale=2.5,
        generator=torch.Generator().manual_seed(seed),
        num_inference_steps=5,
        output_type="np",
    ).images
    pipe.scheduler.step = step
    times = pipe.scheduler.timesteps
    alphas = pipe.scheduler.alphas_cumprod[times]
    return {
        "noise": noise,
        "label": torch.tensor([float(label)]),
        "timesteps": times.float(),
        "alpha_bar": torch.cat([alphas, pipe.scheduler.final_alpha_cumprod[None]]),
        "state": last["state"],
        "picture": torch.from_numpy(picture),
    }


def make_pipeline(root):
    """A learned variance, patches of 5, an odd number of heads, an autoencoder;
    configured as in 2022, when the network's class was Transformer2DModel."""
    folder = root / "dit-odd"
    transformer = DiTTransformer2DModel(
        num_attention_heads=3,
        attention_head_dim=4,
        in_channels=3,
        out_channels=6,
        num_layers=2,
        sample_size=10,
        patch_size=5,
        num_embeds_ada_norm=1000,
    )
    vae = AutoencoderKL(
        latent_channels=3,
        block_out_channels=[8, 12],
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        norm_num_groups=4,
        scaling_factor=0.4,
    )
    half = torch.float16
    for seed, part in enumerate([transformer, vae], 60):
        randomize(part, seed, half).to(half)
    pipe = DiTPipeline(transformer, vae, DDIMScheduler(clip_sample=False), id2label=LABELS)
    pipe.save_pretrained(folder)
    pipe = DiTPipeline(reload(folder / "transformer"), vae.float(), pipe.scheduler)
    save_io(
        folder,
        **row_case(pipe.transformer, 62, [999.0, 431.0, 0.0]),
        **guided_run(pipe, 134, 63),
    )

    def as_in_2022(config):
        config["_class_name"] = "Transformer2DModel"
        config["cross_attention_dim"] = None
        config["only_cross_attention"] = False
        config["num_vector_embeds"] = None
        config["use_linear_projection"] = False
        del config["norm_eps"]

    def with_labels(index):
        index["id2label"] = {str(k): v for k, v in LABELS.items()}
        index["transformer"] = ["diffusers", "Transformer2DModel"]

    edit(folder / "transformer/config.json", as_in_2022)
    edit(folder / "model_index.json", with_labels)


def make_pixels(root):
    """No autoencoder and no variance; GEGLU, norms with weights, attention without
    bias; names to labels the other way round; bfloat16."""
    folder = root / "dit-pixels"
    model = DiTTransformer2DModel(
        num_attention_heads=5,
        attention_head_dim=4,
        in_channels=1,
        out_channels=1,
        num_layers=3,
        sample_size=9,
        patch_size=3,
        num_embeds_ada_norm=4,
        activation_fn="geglu",
        attention_bias=False,
        norm_elementwise_affine=True,
        norm_eps=1e-3,
    )
    randomize(model, 64, torch.bfloat16)
    model.to(torch.bfloat16).save_pretrained(folder / "transformer")
    DDIMScheduler().save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "DiTPipeline",
        "labels": {"bag": 3, "coat": 1, "shirt": 0},
        "scheduler": ["diffusers", "DDIMScheduler"],
        "transformer": ["diffusers", "DiTTransformer2DModel"],
        "vae": [None, None],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    save_io(folder, **row_case(reload(folder / "transformer"), 65, [12.0, 980.5]))


def make_bare(root, name, seed, **config):
    """A network alone."""
    folder = root / name
    model = DiTTransformer2DModel(**config)
    randomize(model, seed, torch.float16)
    model.to(torch.float16).save_pretrained(folder)
    save_io(folder, **row_case(reload(folder), seed + 1, [500.0, 1.0, 77.25]))


def main():
    root = pathlib.Path(sys.argv[1])
    torch.set_num_threads(1)
    make_pipeline(root)
    make_pixels(root)
    shape = {"num_attention_heads": 1, "num_embeds_ada_norm": 2, "num_layers": 1}
    make_bare(
        root,
        "dit-one-head",
        66,
        attention_head_dim=12,
        in_channels=2,
        sample_size=3,
        patch_size=1,
        activation_fn="linear-silu",
        **shape,
    )
    make_bare(
        root,
        "dit-one-patch",
        68,
        attention_head_dim=4,
        in_channels=1,
        out_channels=2,
        sample_size=4,
        patch_size=4,
        activation_fn="geglu-approximate",
        **shape,
    )


if __name__ == "__main__":
    main()
