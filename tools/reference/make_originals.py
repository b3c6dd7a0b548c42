"""Fixtures of tests/data/models in the files that tools/convert/ reads, for
tests/run_converters.sh, which wants the fixtures back:

    python tools/reference/make_originals.py tests/data/models NEW

NEW/pickled is sd-odd and NEW/shards unet-condition-deep with pickled weights, NEW/odd.ckpt
policy-odd as a checkpoint of diffusion_policy, NEW/pusht policy-pusht as lerobot's folder."""

import argparse
import json
import pathlib
import shutil
import sys

import torch
from safetensors.torch import load_file, save_file

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def pickle_weights(source, to):
    """As save_pretrained(.., safe_serialization=False) writes them."""
    shutil.copytree(source, to, copy_function=shutil.copyfile)
    (to / "expected.safetensors").unlink()
    for path in [*to.rglob("*.safetensors"), *to.rglob("*.safetensors.index.json")]:
        name = path.name.replace(".safetensors", ".bin")
        if name.startswith("model"):
            name = "pytorch_" + name
        if name.endswith(".json"):
            text = path.read_text().replace(".safetensors", ".bin")
            path.with_name(name).write_text(text)
        else:
            torch.save(load_file(path), path.with_name(name))
        path.unlink()


def write_stanford(source, path):
    """The averaged weights, beside others and beside objects that are no tensors."""
    tensors = load_file(source / WEIGHTS)
    state = {k if k.startswith("normalizer.") else f"model.{k}": v for k, v in tensors.items()}
    other = {k: torch.zeros_like(v) for k, v in state.items()}
    torch.save({"cfg": argparse.Namespace(name="policy"),
                "state_dicts": {"model": other, "ema_model": state}}, path)


def lerobot_name(name):
    parts = name.replace("blocks.0", "conv1").replace("blocks.1", "conv2").split(".")
    if parts[0] in ("down_modules", "up_modules") and parts[2] == "2":
        parts.remove("conv")
    return "diffusion.unet." + ".".join(parts)


def write_lerobot(source, folder):
    """Positions in a field of 512, two of them the state, the others the environment's."""
    tensors = load_file(source / WEIGHTS)
    config = json.loads((source / "unet/config.json").read_text())
    state = {lerobot_name(k): v for k, v in tensors.items() if not k.startswith("normalizer.")}
    rest = config["obs_dim"] - 2
    for prefix, width in (("normalize_inputs.buffer_observation_state.", 2),
                          ("normalize_inputs.buffer_observation_environment_state.", rest),
                          ("unnormalize_outputs.buffer_action.", config["input_dim"])):
        state[prefix + "min"] = torch.zeros(width)
        state[prefix + "max"] = torch.full((width,), 512.0)
    folder.mkdir()
    save_file(state, folder / "model.safetensors")
    config = {k: config[k] for k in ("horizon", "n_action_steps", "n_groups", "n_obs_steps")}
    config |= {"type": "diffusion", "noise_scheduler_type": "DDPM",
               "input_features": {"observation.state": {"type": "STATE", "shape": [2]},
                                  "observation.environment_state": {"type": "ENV",
                                                                    "shape": [rest]}}}
    (folder / "config.json").write_text(json.dumps(config))


def main():
    root, to = (pathlib.Path(name) for name in sys.argv[1:3])
    to.mkdir()
    pickle_weights(root / "sd-odd", to / "pickled")
    pickle_weights(root / "unet-condition-deep", to / "shards")
    write_stanford(root / "policy-odd", to / "odd.ckpt")
    write_lerobot(root / "policy-pusht", to / "pusht")


if __name__ == "__main__":
    main()
