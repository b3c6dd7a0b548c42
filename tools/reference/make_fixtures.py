"""Write the network fixtures of tests/data/models.

Tiny networks of odd configurations with random weights, one input each, and what
diffusers and transformers compute for it in float32.  Seeds are the order of the
calls below, so a second run writes the same files:

    python tools/reference/make_fixtures.py tests/data/models
"""

import json
import pathlib
import sys

import torch
from diffusers import (
    AutoencoderKL,
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    LDMPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UNet2DModel,
    VQModel,
)
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

IO_NAME = "expected.safetensors"


def randomize(model, seed, dtype=torch.float32):
    """Random weights that keep activations near 1, rounded to dtype."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.named_parameters():
        noise = torch.randn(tensor.shape, generator=generator)
        if "norm" in name and name.endswith("weight"):
            values = 1 + 0.2 * noise
        elif tensor.ndim == 1:
            values = 0.2 * noise
        elif "embedding.weight" in name:
            values = 0.5 * noise
        else:
            values = noise / tensor[0].numel() ** 0.5
        tensor.data = values.to(dtype).float()
    return model.eval()


def save_io(folder, **tensors):
    tensors = {k: v.detach().contiguous().clone() for k, v in tensors.items()}
    save_file(tensors, folder / IO_NAME)


def rewrite(folder, rename=None, dtype=None, base="diffusion_pytorch_model"):
    """Rename tensors or change their type in a saved part."""
    path = folder / f"{base}.safetensors"
    tensors = load_file(path)
    if rename:
        tensors = {rename(k): v for k, v in tensors.items()}
    if dtype:
        tensors = {k: v.to(dtype) for k, v in tensors.items()}
    save_file(tensors, path)


def old_attention_names(name):
    for new, old in (
        (".to_q.", ".query."),
        (".to_k.", ".key."),
        (".to_v.", ".value."),
        (".to_out.0.", ".proj_attn."),
    ):
        name = name.replace(new, old)
    return name


def save_condition_case(folder, model, seed, height, width, tokens, timesteps):
    """Rows; the first half shares one condition, the second half another."""
    generator = torch.Generator().manual_seed(seed)
    n = len(timesteps)
    channels = model.config.in_channels
    dim = model.config.cross_attention_dim
    x = torch.randn(n, channels, height, width, generator=generator)
    cond = torch.randn(2, tokens, dim, generator=generator)
    t = torch.tensor(timesteps, dtype=torch.float32)
    per_row = torch.cat([cond[:1].expand(n // 2, -1, -1), cond[1:].expand(n - n // 2, -1, -1)])
    with torch.no_grad():
        eps = model(x, t, per_row).sample
    save_io(folder, x=x, t=t, cond=cond, eps=eps)


def make_unet_condition_odd(root):
    """Odd sides, layers per block as a list, heads as a list, 1x1 convolutions."""
    folder = root / "unet-condition-odd"
    model = UNet2DConditionModel(
        sample_size=[9, 7],
        in_channels=4,
        out_channels=4,
        block_out_channels=[12, 20],
        down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"],
        up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"],
        layers_per_block=[1, 2],
        attention_head_dim=[2, 4],
        cross_attention_dim=10,
        norm_num_groups=4,
    )
    randomize(model, 1, torch.float16)
    model.to(torch.float16).save_pretrained(folder)
    model.float()
    save_condition_case(folder, model, 2, 9, 7, 5, [999.0, 431.25, 0.0])


def make_unet_condition_deep(root):
    """Linear projections, three layers of transformers, heads that do not divide
    the width, cross-attention only, other activation and time embedding; bfloat16
    in shards."""
    folder = root / "unet-condition-deep"
    model = UNet2DConditionModel(
        sample_size=13,
        in_channels=3,
        out_channels=3,
        block_out_channels=[8, 12, 20],
        down_block_types=["AttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        mid_block_type="UNetMidBlock2DCrossAttn",
        up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "AttnUpBlock2D"],
        layers_per_block=1,
        transformer_layers_per_block=[1, 3, 2],
        attention_head_dim=[2, 3, 3],
        only_cross_attention=[False, True, False],
        use_linear_projection=True,
        upcast_attention=True,
        cross_attention_dim=14,
        norm_num_groups=2,
        norm_eps=1e-4,
        act_fn="gelu",
        flip_sin_to_cos=False,
        freq_shift=1,
        time_embedding_dim=24,
        mid_block_scale_factor=1.25,
    )
    randomize(model, 3, torch.bfloat16)
    model.to(torch.bfloat16).save_pretrained(folder, max_shard_size="150KB")
    save_condition_case(folder, model.float(), 4, 13, 13, 6, [500.0, 20.0])


def make_unet_condition_plain_mid(root):
    """A middle without attention, no skips of the strided kind but one, Mish."""
    folder = root / "unet-condition-plain-mid"
    model = UNet2DConditionModel(
        sample_size=6,
        in_channels=1,
        out_channels=1,
        block_out_channels=[8, 8],
        down_block_types=["DownBlock2D", "CrossAttnDownBlock2D"],
        mid_block_type="UNetMidBlock2D",
        up_block_types=["CrossAttnUpBlock2D", "UpBlock2D"],
        layers_per_block=1,
        attention_head_dim=2,
        cross_attention_dim=6,
        norm_num_groups=4,
        downsample_padding=0,
        act_fn="mish",
    )
    randomize(model, 5)
    model.save_pretrained(folder, variant="fp16")
    rewrite(folder, dtype=torch.float16, base="diffusion_pytorch_model.fp16")
    tensors = load_file(folder / "diffusion_pytorch_model.fp16.safetensors")
    model.load_state_dict({k: v.float() for k, v in tensors.items()})
    save_condition_case(folder, model, 6, 6, 6, 3, [10.0, 700.0])


def save_plain_case(folder, model, seed, height, width, timesteps):
    generator = torch.Generator().manual_seed(seed)
    shape = (len(timesteps), model.config.in_channels, height, width)
    x = torch.randn(shape, generator=generator)
    t = torch.tensor(timesteps, dtype=torch.float32)
    with torch.no_grad():
        eps = model(x, t).sample
    save_io(folder, x=x, t=t, eps=eps)


def make_unet_cifar(root):
    """All files in the root, as google/ddpm-cifar10-32, in the names of 2022."""
    folder = root / "ddpm-root"
    model = UNet2DModel(
        sample_size=8,
        block_out_channels=[8, 12],
        down_block_types=["DownBlock2D", "AttnDownBlock2D"],
        up_block_types=["AttnUpBlock2D", "UpBlock2D"],
        layers_per_block=2,
        attention_head_dim=None,
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
        norm_eps=1e-6,
        norm_num_groups=4,
        mid_block_scale_factor=1,
    )
    randomize(model, 7)
    model.save_pretrained(folder)
    rewrite(folder, rename=old_attention_names)
    scheduler = DDPMScheduler(num_train_timesteps=1000, variance_type="fixed_large")
    scheduler.save_pretrained(folder)
    index = {
        "_class_name": "DDPMPipeline",
        "_diffusers_version": "0.1.1",
        "scheduler": ["diffusers", "DDPMScheduler"],
        "unet": ["diffusers", "UNet2DModel"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    save_plain_case(folder, model, 8, 8, 8, [999.0, 3.0, 250.5])


def make_unet_celeba(root):
    """Heads of a given dimension, unlike sides, a scaled middle with its own
    groups; a pipeline folder; bfloat16."""
    folder = root / "ddpm-heads"
    model = UNet2DModel(
        sample_size=[12, 8],
        in_channels=1,
        out_channels=1,
        block_out_channels=[8, 12, 16],
        down_block_types=["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
        up_block_types=["AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
        layers_per_block=1,
        attention_head_dim=4,
        norm_num_groups=4,
        attn_norm_num_groups=2,
        mid_block_scale_factor=1.4142135,
    )
    randomize(model, 9, torch.bfloat16)
    DDPMPipeline(model.to(torch.bfloat16), DDPMScheduler()).save_pretrained(folder)
    save_plain_case(folder, model.float(), 10, 12, 8, [42.0, 998.0])


def make_vae(root):
    """Unlike widths, the attention names of 2022, an odd picture."""
    folder = root / "vae-old-names"
    model = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=3,
        block_out_channels=[8, 12, 16],
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        layers_per_block=1,
        norm_num_groups=4,
        scaling_factor=0.3,
        shift_factor=0.1,
    )
    randomize(model, 11, torch.float16)
    model.save_pretrained(folder)
    rewrite(folder, rename=old_attention_names, dtype=torch.float16)
    generator = torch.Generator().manual_seed(12)
    picture = torch.rand(1, 3, 17, 14, generator=generator) * 2 - 1
    latent = torch.randn(1, 3, 5, 3, generator=generator)
    with torch.no_grad():
        posterior = model.encode(picture).latent_dist
        decoded = model.decode(latent).sample
    save_io(
        folder,
        picture=picture,
        mean=posterior.mean,
        logvar=posterior.logvar,
        latent=latent,
        decoded=decoded,
    )


def drop_keys(folder, *keys):
    """As config.json was before diffusers had these keys."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in config.items() if k not in keys}, indent=2) + "\n")


def spread_codes(model, latent):
    """Codes among the latents, two of them equal, all exact in float16."""
    vectors = latent.permute(0, 2, 3, 1).reshape(-1, latent.shape[1])
    codes = model.quantize.embedding.weight.data
    n = min(len(codes), len(vectors))
    codes[:n] = (vectors[:n] + 0.25 * codes[:n]).half().float()
    codes[-1] = codes[0]


def make_vq(root):
    """Codes of another width than the decoder reads, a middle without attention;
    and one of the shape and with the names of 2022."""
    folder = root / "vq-odd"
    model = VQModel(
        in_channels=2,
        out_channels=1,
        latent_channels=5,
        block_out_channels=[8, 12],
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        layers_per_block=2,
        norm_num_groups=2,
        num_vq_embeddings=23,
        vq_embed_dim=4,
        scaling_factor=0.7,
        mid_block_add_attention=False,
        lookup_from_codebook=True,
        force_upcast=True,
        act_fn="gelu",
    )
    randomize(model, 40, torch.bfloat16)
    generator = torch.Generator().manual_seed(41)
    latent = torch.randn(1, 4, 5, 7, generator=generator)
    spread_codes(model, latent)
    model.to(torch.bfloat16).save_pretrained(folder)
    with torch.no_grad():
        decoded = model.float().decode(latent).sample
    save_io(folder, latent=latent, decoded=decoded)


def unconditional_run(pipe, seed):
    """Unit noise, the state after five steps of DDIM, and its picture."""
    noise = torch.randn(
        1,
        pipe.unet.config.in_channels,
        pipe.unet.config.sample_size,
        pipe.unet.config.sample_size,
        generator=torch.Generator().manual_seed(seed),
    )
    pipe.set_progress_bar_config(disable=True)
    last = {}
    step = pipe.scheduler.step

    def remember(*arguments, **options):
        result = step(*arguments, **options)
        last["state"] = result.prev_sample
        return result

    pipe.scheduler.step = remember
    picture = pipe(
        generator=torch.Generator().manual_seed(seed), num_inference_steps=5, output_type="np"
    ).images
    times = pipe.scheduler.timesteps
    alphas = pipe.scheduler.alphas_cumprod[times]
    pipe.scheduler.step = step
    return {
        "noise": noise,
        "timesteps": times.float(),
        "alpha_bar": torch.cat([alphas, pipe.scheduler.final_alpha_cumprod[None]]),
        "state": last["state"],
        "picture": torch.from_numpy(picture),
    }


def make_ldm(root):
    """LDM-CelebA-HQ as of 2022: no scaling factor, old names; a run of DDIM."""
    folder = root / "ldm-odd"
    unet = UNet2DModel(
        sample_size=8,
        block_out_channels=[8, 12, 16],
        down_block_types=["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
        up_block_types=["AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
        layers_per_block=2,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    vqvae = VQModel(
        block_out_channels=[8, 16],
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        norm_num_groups=4,
        num_vq_embeddings=51,
        scaling_factor=1.0,
    )
    randomize(unet, 42, torch.float16)
    randomize(vqvae, 43, torch.float16)
    scheduler = DDIMScheduler(
        beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear", clip_sample=False
    )
    pipe = LDMPipeline(vqvae, unet, scheduler)
    spread_codes(vqvae, unconditional_run(pipe, 44)["state"])
    expected = unconditional_run(pipe, 44)
    pipe.to(torch.float16).save_pretrained(folder)
    save_io(folder, **expected)
    for part in ["unet", "vqvae"]:
        rewrite(folder / part, rename=old_attention_names)
    drop_keys(
        folder / "vqvae",
        "scaling_factor",
        "norm_type",
        "mid_block_add_attention",
        "lookup_from_codebook",
        "force_upcast",
        "vq_embed_dim",
    )


def make_ddim(root):
    """A DDIMPipeline in folders: clipped, no middle, attention on one way only."""
    folder = root / "ddim-clipped"
    unet = UNet2DModel(
        sample_size=6,
        block_out_channels=[6, 9],
        down_block_types=["DownBlock2D", "DownBlock2D"],
        up_block_types=["UpBlock2D", "AttnUpBlock2D"],
        mid_block_type=None,
        layers_per_block=1,
        attention_head_dim=3,
        norm_num_groups=3,
        act_fn="gelu",
        downsample_padding=0,
    )
    randomize(unet, 46, torch.float16)
    scheduler = DDIMScheduler(clip_sample=True, clip_sample_range=0.7)
    pipe = DDIMPipeline(unet, scheduler)
    expected = unconditional_run(pipe, 47)
    pipe.to(torch.float16).save_pretrained(folder)
    save_io(folder, **expected)


def make_clip(root, name, seed, old_names, **config):
    folder = root / name
    model = CLIPTextModel(CLIPTextConfig(bos_token_id=0, eos_token_id=1, **config))
    randomize(model, seed)
    model.save_pretrained(folder)
    if old_names:
        path = folder / "model.safetensors"
        tensors = load_file(path)
        tensors = {k.removeprefix("text_model."): v for k, v in tensors.items()}
        tensors = {"text_model." + k: v for k, v in tensors.items()}
        tensors["text_model.embeddings.position_ids"] = torch.arange(
            config["max_position_embeddings"]
        )[None]
        save_file(tensors, path)
    generator = torch.Generator().manual_seed(seed + 1)
    tokens = config["max_position_embeddings"] - 2
    ids = torch.randint(0, config["vocab_size"], (1, tokens), generator=generator)
    with torch.no_grad():
        vectors = model(ids).last_hidden_state
    save_io(folder, ids=ids, vectors=vectors)


def tiny_tokenizer(max_length):
    """Byte-level alphabet, a few merges, the two special tokens."""
    keep = list(range(ord("!"), ord("~") + 1)) + list(range(0xA1, 0xAD)) + list(range(0xAE, 0x100))
    rest = [b for b in range(256) if b not in keep]
    alphabet = [chr(b) for b in keep] + [chr(256 + i) for i in range(len(rest))]
    merges = [("r", "e"), ("re", "d</w>"), ("c", "a"), ("ca", "t</w>"), ("a", "n")]
    words = alphabet + [c + "</w>" for c in alphabet] + ["".join(m) for m in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {word: i for i, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=max_length), len(vocab)


def make_pipeline(root):
    """A whole Stable Diffusion of odd shape, as save_pretrained writes it."""
    folder = root / "sd-odd"
    tokenizer, vocab_size = tiny_tokenizer(9)
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocab_size,
            hidden_size=20,
            intermediate_size=28,
            num_hidden_layers=2,
            num_attention_heads=5,
            max_position_embeddings=9,
            bos_token_id=vocab_size - 2,
            eos_token_id=vocab_size - 1,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=[8, 12],
        block_out_channels=[12, 16],
        down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"],
        up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"],
        layers_per_block=1,
        attention_head_dim=3,
        cross_attention_dim=20,
        norm_num_groups=4,
    )
    vae = AutoencoderKL(
        block_out_channels=[8, 12],
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        norm_num_groups=4,
    )
    half = torch.float16
    parts = {"text_encoder": text, "unet": unet, "vae": vae}
    for seed, part in enumerate(parts.values(), 20):
        randomize(part, seed, half).to(half)
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    pipe = StableDiffusionPipeline(
        tokenizer=tokenizer,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        **parts,
    )
    pipe.save_pretrained(folder)
    save_pipeline_run(folder, pipe.to(torch.float32))


def save_pipeline_run(folder, pipe):
    """Prompt vectors, one guided run of DDIM, and its picture."""
    generator = torch.Generator().manual_seed(30)
    noise = torch.randn(1, 4, 8, 12, generator=generator)
    pipe.set_progress_bar_config(disable=True)
    arguments = {
        "prompt": "Red cat, and a very long tail",
        "negative_prompt": "an",
        "num_inference_steps": 5,
        "guidance_scale": 2.5,
        "latents": noise,
        "height": 16,
        "width": 24,
    }
    cond, uncond = pipe.encode_prompt(arguments["prompt"], "cpu", 1, True, arguments["negative_prompt"])
    state = pipe(**arguments, output_type="latent").images
    picture = torch.from_numpy(pipe(**arguments, output_type="np").images)
    scheduler = pipe.scheduler
    times = scheduler.timesteps
    alphas = scheduler.alphas_cumprod[times]
    save_io(
        folder,
        noise=noise,
        cond=torch.cat([uncond, cond]),
        timesteps=times.float(),
        alpha_bar=torch.cat([alphas, scheduler.final_alpha_cumprod[None]]),
        state=state,
        picture=picture,
    )


def main():
    root = pathlib.Path(sys.argv[1])
    torch.set_num_threads(1)
    make_unet_condition_odd(root)
    make_unet_condition_deep(root)
    make_unet_condition_plain_mid(root)
    make_unet_cifar(root)
    make_unet_celeba(root)
    make_vae(root)
    make_vq(root)
    make_ldm(root)
    make_ddim(root)
    shape = {"vocab_size": 50, "hidden_size": 20, "intermediate_size": 36}
    make_clip(
        root,
        "clip-old-names",
        13,
        True,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=11,
        hidden_act="gelu",
        **shape,
    )
    make_pipeline(root)


if __name__ == "__main__":
    main()
