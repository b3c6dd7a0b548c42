"""The networks that Picard-consistency training knows, all called the same way: rows of states, a
time and a condition (prompt, class label, observations) a row, with guidance.

A network's `trained` is the torch module whose weights change, PREFIX what diffusers puts before
their names in a LoRA file, FILE the weights in the model directory.
"""

import json
import pathlib
import sys

import torch
from diffusers import DDPMScheduler, DiTTransformer2DModel, StableDiffusionPipeline
from safetensors.torch import load_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "reference"))
from conditional_unet1d import ConditionalUnet1D  # noqa: E402
from make_policies import NAMES as POLICY_NAMES  # noqa: E402

LORA = "pytorch_lora_weights.safetensors"


class Guided:
    """Classifier-free guidance; both branches go through the same weights."""

    def __init__(self, trained, signal, scale, empty):
        self.trained, self.signal = trained.requires_grad_(False).eval(), signal
        self.scale, self.empty, self.known = scale, empty, {}

    @staticmethod
    def key(prompt):
        return prompt.tobytes() if hasattr(prompt, "tobytes") else prompt

    def contexts(self, prompts):
        for prompt in prompts:
            if self.key(prompt) not in self.known:
                self.known[self.key(prompt)] = self.context(prompt)
        return torch.stack([self.known[self.key(prompt)] for prompt in prompts])

    def __call__(self, x, times, prompts, trained=None):
        """x is [rows, ...state], one time and one prompt a row; `trained` stands for its own."""
        trained = trained or self.trained
        contexts, times = self.contexts(prompts), torch.as_tensor(times.copy())
        if self.scale == 1:
            return self.outputs(trained, x, times, contexts)
        both = self.outputs(trained, torch.cat([x, x]), torch.cat([times, times]),
                            torch.cat([self.empty.expand_as(contexts), contexts]))
        plain, asked = both.chunk(2)
        return plain + self.scale * (asked - plain)


class TextUnet(Guided):
    """A Stable Diffusion directory; conditions are prompts."""

    PREFIX, FILE = "unet.", "unet/diffusion_pytorch_model.safetensors"

    def __init__(self, folder, job):
        self.pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None,
                                                            torch_dtype=torch.float32)
        self.pipe.set_progress_bar_config(disable=True)
        super().__init__(self.pipe.unet.to(memory_format=torch.channels_last),
                         self.pipe.scheduler.alphas_cumprod, job["guidance_scale"],
                         self.context((job["negative_prompt"] or [""])[0]))

    @torch.no_grad()
    def context(self, text):
        tokenizer = self.pipe.tokenizer
        tokens = tokenizer([str(text)], padding="max_length", truncation=True,
                           max_length=tokenizer.model_max_length, return_tensors="pt").input_ids
        return self.pipe.text_encoder(tokens).last_hidden_state[0]

    @staticmethod
    def outputs(trained, x, times, contexts):
        x = x.contiguous(memory_format=torch.channels_last)
        return trained(x, times, contexts, return_dict=False)[0]


class ClassTransformer(Guided):
    """A DiT directory; conditions are numbers of classes, guidance is on all channels."""

    PREFIX, FILE = "transformer.", "transformer/diffusion_pytorch_model.safetensors"

    def __init__(self, folder, job):
        trained = DiTTransformer2DModel.from_pretrained(folder, subfolder="transformer",
                                                        torch_dtype=torch.float32)
        scheduler = DDPMScheduler.from_pretrained(folder, subfolder="scheduler")
        if job["guidance_channels"]:
            raise SystemExit("guidance_channels: training knows only guidance on all")
        super().__init__(trained, scheduler.alphas_cumprod, job["guidance_scale"],
                         torch.tensor(trained.config.num_embeds_ada_norm))

    @staticmethod
    def context(label):
        return torch.tensor(int(label))

    @staticmethod
    def outputs(trained, x, times, contexts):
        found = trained(x, times, contexts, return_dict=False)[0]
        return found[:, :x.shape[1]]    # without a learned variance


class Policy(Guided):
    """A diffusion policy's directory; conditions are what its environment showed."""

    PREFIX, FILE = "unet.", "unet/diffusion_pytorch_model.safetensors"

    def __init__(self, folder, job):
        config = json.loads((pathlib.Path(folder) / "unet" / "config.json").read_text())
        tensors = {k: v.float() for k, v in load_file(pathlib.Path(folder) / self.FILE).items()}
        self.scale_of, self.offset = (
            tensors.pop(f"normalizer.params_dict.obs.{part}") for part in ("scale", "offset"))
        trained = ConditionalUnet1D(**{k: config[k] for k in POLICY_NAMES})
        trained.load_state_dict({k: v for k, v in tensors.items() if "normalizer." not in k})
        scheduler = DDPMScheduler.from_pretrained(folder, subfolder="scheduler")
        super().__init__(trained, scheduler.alphas_cumprod, 1, None)

    def context(self, observations):
        return (torch.from_numpy(observations) * self.scale_of + self.offset).flatten()

    @staticmethod
    def outputs(trained, x, times, contexts):
        return trained(x, times, contexts)


def merge(weights, family, folder, scale):
    """Add `scale` times what was trained, a LoRA's change or a whole model's, to weights by name."""
    lora = folder / LORA
    found = {k: v.float() for k, v in
             load_file(lora if lora.exists() else folder / family.FILE).items()}
    if not lora.exists():
        for name, weight in weights.items():
            weight.data.lerp_(found[name], scale)
        return
    for key, down in found.items():
        if ".lora_A." in key:
            weight = weights[key.removeprefix(family.PREFIX).replace(".lora_A", "")]
            change = found[key.replace("lora_A", "lora_B")].flatten(1) @ down.flatten(1)
            weight.data += scale * change.view(weight.shape)


FAMILIES = {"StableDiffusionPipeline": TextUnet, "DiTPipeline": ClassTransformer,
            "DiffusionPolicyPipeline": Policy}


def family_of(folder):
    """The class above for a model directory."""
    name = json.loads((folder / "model_index.json").read_text())["_class_name"]
    if name not in FAMILIES:
        raise SystemExit(f"{folder}: {name}: expected {', '.join(FAMILIES)}")
    return FAMILIES[name]


def open_network(job, folder=None):
    """The network of a job that pcm_data.py has kept, of its model's directory or another."""
    folder = pathlib.Path(folder or job["model"]["path"])
    return family_of(folder)(folder, job)
