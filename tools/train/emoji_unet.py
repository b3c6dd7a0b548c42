#!/usr/bin/env python3
"""Train the text encoder and the cross-attention U-Net of emoji-sd on precomputed latents.

Needs WORK/emoji.npz, WORK/tokenizer and WORK/vae.pt.  Checkpoints go to
WORK/unet.pt; a second call with the same arguments resumes.  Without the
scratch directory, --from-model DIR starts from shipped half-precision weights
with a fresh optimiser and a short warm-up.

    emoji_unet.py --work DIR --minutes 90
"""

import argparse
import json
import pathlib
import shutil

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

import emoji_data
import emoji_tokenizer
import emoji_vae
import trainlib

TEXT_CONFIG = {
    "vocab_size": emoji_tokenizer.VOCABULARY, "hidden_size": 160, "intermediate_size": 640,
    "num_hidden_layers": 3, "num_attention_heads": 5, "projection_dim": 160,
    "max_position_embeddings": emoji_tokenizer.MAX_LENGTH, "hidden_act": "quick_gelu",
    "bos_token_id": emoji_tokenizer.VOCABULARY - 2, "eos_token_id": emoji_tokenizer.VOCABULARY - 1,
    "pad_token_id": emoji_tokenizer.VOCABULARY - 1,
}
UNET_CONFIG = {
    "sample_size": 16, "in_channels": 4, "out_channels": 4, "cross_attention_dim": 160,
    "block_out_channels": (64, 128, 224), "layers_per_block": 1, "norm_num_groups": 16,
    "attention_head_dim": (2, 4, 7),        # numbers of heads, 32 wide each
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
}
SCHEDULE = {
    "num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012,
    "beta_schedule": "scaled_linear", "prediction_type": "epsilon",
}


@torch.no_grad()
def encode_latents(work, data, scaling_factor=None):
    """Posterior means of all pictures and the scaling factor, kept in WORK/latents.pt."""
    path = work / "latents.pt"
    if path.exists():
        return torch.load(path)
    vae = AutoencoderKL(**emoji_vae.CONFIG)
    vae.load_state_dict(torch.load(work / "vae.pt")["model"])
    means = torch.cat([vae.encode(emoji_vae.to_tensor(data["image"][i:i + 64])).latent_dist.mode()
                       for i in range(0, len(data["image"]), 64)])
    if scaling_factor is None:
        scaling_factor = round(1.0 / means[torch.from_numpy(~data["held_out"])].std().item(), 4)
    state = {"latents": means.contiguous(), "scaling_factor": scaling_factor}
    trainlib.save_checkpoint(path, state)
    return state


def restore(work, model):
    """Refill an empty scratch directory from shipped half-precision weights."""
    shipped = json.loads((model / "training_state.json").read_text())
    if not (work / "tokenizer").exists():
        shutil.copytree(model / "tokenizer", work / "tokenizer")
    if not (work / "vae.pt").exists():
        vae = AutoencoderKL.from_pretrained(model / "vae").float()
        trainlib.save_checkpoint(work / "vae.pt", {
            "model": vae.state_dict(), "step": shipped["vae_steps"],
            "spent": shipped["vae_seconds"], "loss": shipped["vae_loss"]})
        encode_latents(work, emoji_data.load(work), vae.config.scaling_factor)
    if not (work / "unet.pt").exists():
        text = CLIPTextModel.from_pretrained(model / "text_encoder", dtype=torch.float32)
        unet = UNet2DConditionModel.from_pretrained(model / "unet").float()
        trainlib.save_checkpoint(work / "unet.pt", {
            "models": torch.nn.ModuleDict({"text": text, "unet": unet}).state_dict(),
            "step": shipped["unet_steps"], "spent": 0.0, "loss": shipped["unet_loss"],
            "spent_before": shipped["unet_seconds"]})


def tokenize(tokenizer, texts):
    """Token ids, padded to the longest length the model knows."""
    return tokenizer([str(text) for text in texts], padding="max_length", truncation=True,
                     return_tensors="pt").input_ids


class Batches:
    """Random batches of (latents, tokens): by weight, captions dropped or replaced by keywords."""

    def __init__(self, args, data):
        state = encode_latents(args.work, data)
        tokenizer = CLIPTokenizer.from_pretrained(args.work / "tokenizer")
        self.latents = state["latents"] * state["scaling_factor"]
        self.names = tokenize(tokenizer, data["name"])
        self.keywords = tokenize(tokenizer, data["keywords"])
        self.empty = tokenize(tokenizer, [""])
        self.weight = torch.from_numpy(data["weight"])
        self.batch = args.batch

    def draw(self):
        rows = torch.multinomial(self.weight, self.batch, replacement=True)
        tokens = self.names[rows].clone()
        chance = torch.rand(self.batch)
        tokens[chance < 0.13] = self.keywords[rows[chance < 0.13]]
        tokens[chance < 0.10] = self.empty
        return self.latents[rows].contiguous(memory_format=torch.channels_last), tokens


def build_models(state):
    """Text encoder and U-Net: from the checkpoint, or fresh."""
    models = torch.nn.ModuleDict({"text": CLIPTextModel(CLIPTextConfig(**TEXT_CONFIG)),
                                  "unet": UNet2DConditionModel(**UNET_CONFIG)})
    if "models" in state:
        models.load_state_dict(state["models"])
    return models.train().to(memory_format=torch.channels_last)


def train(rank, args):
    path = args.work / "unet.pt"
    state = trainlib.load_checkpoint(path)
    models = build_models(state)

    def predict(noisy, times, tokens):
        context = models["text"](tokens).last_hidden_state
        return models["unet"](noisy, times, context).sample

    trainlib.train_denoiser(
        rank, args, path, state, models, Batches(args, emoji_data.load(args.work)), predict,
        scheduler=DDPMScheduler(**SCHEDULE), outer=("embedding.weight", "conv_in", "conv_out"),
        warm_up=(50, 1), most_average=0.995, key="models")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=pathlib.Path, required=True, help="scratch directory")
    parser.add_argument("--from-model", type=pathlib.Path, help="shipped model to go on from")
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--steps", type=int, help="stop after so many steps in all, whatever the time")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32, help="latents of each worker")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.from_model:
        restore(args.work, args.from_model)
    encode_latents(args.work, emoji_data.load(args.work))
    trainlib.run_workers(train, args)


if __name__ == "__main__":
    main()
