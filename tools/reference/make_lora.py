"""Write the LoRA fixtures of tests/data/lora.

Random adapters for tests/data/models/sd-odd in every style of names, and what
diffusers computes with them in float32.  Needs peft beside diffusers.  Seeds are
in the calls below, so a second run writes the same files:

    python tools/reference/make_lora.py tests/data/models/sd-odd tests/data/lora
"""

import copy
import json
import pathlib
import shutil
import sys
import tempfile

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

# Linear layers, 3x3 convolutions with stride 1 and 2, 1x1 convolutions.
EVERYTHING = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "proj_in",
              "conv1", "conv_shortcut", "conv", "time_emb_proj", "linear_1"]
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]


def randomize(tensors, seed):
    """Adapters whose product is about as large as a tenth of the weight."""
    generator = torch.Generator().manual_seed(seed)
    for name in sorted(tensors):
        noise = torch.randn(tensors[name].shape, generator=generator)
        tensors[name] = 0.3 * noise / tensors[name][0].numel() ** 0.5
    return tensors


def adapters_of(model, config, seed):
    """Random adapters of a model under peft's names (MODULE.lora_A.weight)."""
    model = copy.deepcopy(model)
    model.add_adapter(config, "new")
    tensors = get_peft_model_state_dict(model, adapter_name="new")
    return randomize({k: v.detach().clone() for k, v in tensors.items()}, seed)


def settings(config):
    """As a dictionary whose sets have an order."""
    return {**config.to_dict(), "target_modules": sorted(config.target_modules),
            "base_model_name_or_path": None}


class Reference:
    """The model's results on one input, with LoRA files loaded."""

    def __init__(self, model):
        self.pipe = StableDiffusionPipeline.from_pretrained(model, torch_dtype=torch.float32)
        generator = torch.Generator().manual_seed(50)
        self.x = torch.randn(3, 4, 8, 12, generator=generator)
        self.cond = torch.randn(1, 9, 20, generator=generator)
        self.t = torch.tensor([981.0, 431.25, 1.0])

    def eps(self):
        with torch.no_grad():
            rows = self.cond.expand(3, -1, -1)
            return self.pipe.unet(self.x, self.t, rows).sample.clone()

    def prompt(self, adapters=None, factor=0.0):
        """With adapters under peft's names merged by hand: transformers 5.23 does
        not find all that diffusers 0.42 hands it."""
        kept = self.pipe.text_encoder
        self.pipe.text_encoder = copy.deepcopy(kept)
        with torch.no_grad():
            for name, down in (adapters or {}).items():
                if name.endswith(".lora_A.weight"):
                    up = adapters[name.replace("lora_A", "lora_B")]
                    module = self.pipe.text_encoder.get_submodule(name[: -len(".lora_A.weight")])
                    module.weight += factor * up.float() @ down.float()
            result = self.pipe.encode_prompt("Red cat", "cpu", 1, False)[0].clone()
        self.pipe.text_encoder = kept
        return result

    def load(self, paths, scales):
        names = [f"a{i}" for i in range(len(paths))]
        for name, path in zip(names, paths):
            self.pipe.load_lora_weights(path.parent, weight_name=path.name, adapter_name=name)
        self.pipe.set_adapters(names, scales)

    def with_loras(self, paths, scales):
        self.load(paths, scales)
        result = self.eps()
        self.pipe.unload_lora_weights()
        return result


def write_diffusers(pipe, folder):
    """As save_lora_weights writes it: U-Net and text encoder, alpha in the
    metadata, with patterns."""
    unet = LoraConfig(r=2, lora_alpha=3, target_modules=EVERYTHING,
                      alpha_pattern={"mid_block.attentions.0.transformer_blocks.0.attn1.to_q": 5.0,
                                     "attn2.to_k": 1.0},
                      rank_pattern={"attn1.to_v": 3})
    text = LoraConfig(r=2, lora_alpha=1, target_modules=["q_proj", "out_proj", "fc1"])
    text_adapters = adapters_of(pipe.text_encoder, text, 52)
    StableDiffusionPipeline.save_lora_weights(
        folder,
        unet_lora_layers=adapters_of(pipe.unet, unet, 51),
        text_encoder_lora_layers=text_adapters,
        unet_lora_adapter_metadata=settings(unet),
        text_encoder_lora_adapter_metadata=settings(text),
        weight_name="diffusers.safetensors",
    )
    return folder / "diffusers.safetensors", text_adapters


def write_converted(pipe, folder):
    """As the training scripts of diffusers write it: .lora.down for the attention.
    (diffusers 0.42 leaves those out where other layers of the file have .lora_A.)"""
    config = LoraConfig(r=2, lora_alpha=3, target_modules=ATTENTION,
                        alpha_pattern={"attn2.to_k": 1.0}, rank_pattern={"attn1.to_v": 6})
    StableDiffusionPipeline.save_lora_weights(
        folder,
        unet_lora_layers=convert_state_dict_to_diffusers(adapters_of(pipe.unet, config, 57)),
        unet_lora_adapter_metadata=settings(config),
        weight_name="converted.safetensors",
    )
    return folder / "converted.safetensors"


def write_peft(model, folder):
    """As a model wrapped by peft saves itself: adapter_config.json beside it."""
    unet = UNet2DConditionModel.from_pretrained(model, subfolder="unet", torch_dtype=torch.float32)
    wrapped = get_peft_model(unet, LoraConfig(r=2, lora_alpha=5, use_rslora=True,
                                              target_modules=ATTENTION))
    tensors = randomize(get_peft_model_state_dict(wrapped), 53)
    for name, parameter in wrapped.named_parameters():
        if ".default." in name:
            parameter.data = tensors[name.replace(".default", "")]
    with tempfile.TemporaryDirectory() as scratch:
        wrapped.save_pretrained(scratch)
        (folder / "peft").mkdir(exist_ok=True)
        name = "adapter_model.safetensors"
        shutil.copyfile(pathlib.Path(scratch, name), folder / "peft" / name)
        name = "adapter_config.json"
        config = json.loads(pathlib.Path(scratch, name).read_text())
        config["target_modules"].sort()
        (folder / "peft" / name).write_text(json.dumps(config, indent=2) + "\n")
    return folder / "peft" / "adapter_model.safetensors", wrapped


def write_processor(pipe, folder):
    """Names of 2023: the attention processors own the layers; no alpha."""
    config = LoraConfig(r=2, lora_alpha=2, target_modules=ATTENTION)
    renamed = {}
    for name, tensor in adapters_of(pipe.unet, config, 54).items():
        name = name.replace(".to_out.0.", ".to_out.")
        module, layer, kind, _ = name.rsplit(".", 3)
        side = "down" if kind == "lora_A" else "up"
        renamed[f"unet.{module}.processor.{layer}_lora.{side}.weight"] = tensor.half()
    path = folder / "processor.safetensors"
    save_file(renamed, path)
    return path


def write_kohya(pipe, folder):
    """Underscores for dots, an alpha per module, bfloat16."""
    parts = (
        ("lora_unet_", pipe.unet, EVERYTHING, 55),
        ("lora_te_", pipe.text_encoder, ["k_proj", "fc2"], 56),
    )
    renamed = {}
    for prefix, model, targets, seed in parts:
        config = LoraConfig(r=2, lora_alpha=2, target_modules=targets)
        adapters = {k: v.bfloat16() for k, v in adapters_of(model, config, seed).items()}
        for name, tensor in adapters.items():
            module, kind, _ = name.rsplit(".", 2)
            if prefix == "lora_te_" and not module.startswith("text_model"):
                module = f"text_model.{module}"
            side = "lora_down" if kind == "lora_A" else "lora_up"
            flat = prefix + module.replace(".", "_")
            renamed[f"{flat}.{side}.weight"] = tensor
            renamed[f"{flat}.alpha"] = torch.tensor(1.5)
    path = folder / "kohya.safetensors"
    save_file(renamed, path)
    return path, adapters  # of the text encoder


def main():
    model, folder = map(pathlib.Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    reference = Reference(model)
    pipe = reference.pipe
    diffusers, text_diffusers = write_diffusers(pipe, folder)
    processor = write_processor(pipe, folder)
    converted = write_converted(pipe, folder)
    kohya, text_kohya = write_kohya(pipe, folder)
    _, wrapped = write_peft(model, folder)
    expected = {"x": reference.x, "t": reference.t, "cond": reference.cond,
                "base": reference.eps(), "prompt": reference.prompt()}
    for name in ("0.25", "0.5", "1.0", "-0.75"):
        expected[f"diffusers@{name}"] = reference.with_loras([diffusers], [float(name)])
    for path in (processor, kohya, converted):
        expected[f"{path.stem}@1.0"] = reference.with_loras([path], [1.0])
    for name in ("0.25", "0.5"):
        expected[f"processor@{name}"] = reference.with_loras([processor], [float(name)])
    expected["diffusers@0.5+kohya@-0.75"] = reference.with_loras([diffusers, kohya], [0.5, -0.75])
    with torch.no_grad():
        expected["peft@1.0"] = wrapped(
            reference.x, reference.t, reference.cond.expand(3, -1, -1)).sample
    expected["prompt-diffusers"] = reference.prompt(text_diffusers, 1 / 2)
    expected["prompt-kohya"] = reference.prompt(text_kohya, 1.5 / 2)
    reference.load([diffusers], [1.0])
    pipe.fuse_lora(lora_scale=0.8)
    expected["fused@0.8"] = reference.eps()
    save_file({k: v.detach().contiguous().clone() for k, v in expected.items()},
              folder / "expected.safetensors")
    for name, value in expected.items():
        if value.shape == expected["base"].shape:
            gap = (value - expected["base"]).square().mean() / expected["base"].square().mean()
            print(f"{name}: relative RMS distance from the base {gap.sqrt():.3f}")
    print(len(load_file(diffusers)), "tensors in", diffusers.name)


if __name__ == "__main__":
    main()
