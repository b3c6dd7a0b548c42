"""A trained diffusion policy as a model directory that picard-dag reads:

    python tools/convert/diffusion_policy.py CHECKPOINT.ckpt NEW   # real-stanford/diffusion_policy
    python tools/convert/diffusion_policy.py FOLDER NEW            # lerobot: config.json, model.safetensors

Policies with the convolutional network and observations of numbers (state or keypoints); those that
look at pictures are refused.  Of a .ckpt the averaged (EMA) weights are taken where it has them.  Its
sizes are read off the tensors; what they do not say has the values of the published experiments:
--horizon 16, --n-action-steps 8, --n-groups 8, and the noise schedule of 100 steps (squaredcos_cap_v2,
epsilon, clipped to 1).  A lerobot folder says all of it itself.

A .ckpt is a pickle of whole Python objects.  Only its tensors and numbers are rebuilt here; everything
else becomes a husk without code.  Needs torch and safetensors.
"""

import argparse
import json
import pathlib
import pickle
import sys
import types

import torch
from pickled import new_folder
from safetensors.torch import load_file, save_file

SCHEDULER = {"num_train_timesteps": 100, "beta_start": 0.0001, "beta_end": 0.02,
             "beta_schedule": "squaredcos_cap_v2", "variance_type": "fixed_small",
             "clip_sample": True, "clip_sample_range": 1.0, "prediction_type": "epsilon"}
NORMALISER = "normalizer.params_dict.{}.{}"


class Husk:
    """In place of an object of an unknown class."""

    def __init__(self, *args, **kwargs):
        pass

    def __call__(self, *args, **kwargs):
        return Husk()

    def __setstate__(self, state):
        pass

    def __setitem__(self, key, value):
        pass

    def append(self, value):
        pass

    def extend(self, values):
        pass


class Unpickler(pickle.Unpickler):
    allowed = {("collections", "OrderedDict"), ("torch._utils", "_rebuild_tensor_v2"),
               ("torch._utils", "_rebuild_parameter"), ("torch", "Size"),
               ("torch.nn.parameter", "Parameter")}

    def find_class(self, module, name):
        if (module, name) in self.allowed or (
                module == "torch" and name.endswith("Storage")):
            return super().find_class(module, name)
        return Husk


class Refused(Exception):
    pass


def read_stanford(path, args):
    module = types.SimpleNamespace(Unpickler=Unpickler, __name__="husks",
                                   load=lambda file, **kw: Unpickler(file, **kw).load())
    content = torch.load(path, map_location="cpu", pickle_module=module, weights_only=False)
    states = content.get("state_dicts") if isinstance(content, dict) else None
    if not isinstance(states, dict) or not ({"model", "ema_model"} & states.keys()):
        raise Refused("no state_dicts of a model: not a checkpoint of diffusion_policy")
    state = {k: v for k, v in states.get("ema_model", states.get("model")).items()
             if isinstance(v, torch.Tensor)}
    if any(k.startswith(("obs_encoder.", "obs_nets.")) for k in state):
        raise Refused("the policy looks at pictures (obs_encoder); only observations of numbers are "
                      "supported")
    tensors = {k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")}
    numbers = {(key, part): state.get(NORMALISER.format(key, part))
               for key in ("action", "obs") for part in ("scale", "offset")}
    if any(v is None for v in numbers.values()):
        raise Refused("no normalizer of `obs` and `action`")
    extra = {"horizon": args.horizon, "n_action_steps": args.n_action_steps,
             "n_groups": args.n_groups}
    return tensors, numbers, extra, dict(SCHEDULER)


def from_lerobot_name(name):
    """lerobot's name of a tensor of the network, without `diffusion.unet.`, in the original's."""
    parts = name.split(".")
    names = {"conv1": "blocks.0", "conv2": "blocks.1"}
    parts = [names.get(part, part) for part in parts]
    if parts[0] in ("down_modules", "up_modules") and parts[2] == "2" and parts[3] != "conv":
        parts.insert(3, "conv")
    return ".".join(parts)


def statistics(state, config, side, key):
    """Scale and offset of lerobot's buffers of one input or output."""
    kinds = config.get("normalization_mapping") or {}
    kind = {"action": "ACTION", "observation.environment_state": "ENV"}.get(key, "STATE")
    mode = kinds.get(kind, "MIN_MAX")
    prefix = f"{side}.buffer_{key.replace('.', '_')}."
    low, high = (("min", "max") if mode == "MIN_MAX" else ("mean", "std"))
    if prefix + low not in state or prefix + high not in state:
        raise Refused(f"no {prefix}{low}")
    first, second = state[prefix + low].float(), state[prefix + high].float()
    if mode == "MIN_MAX":
        scale = 2 / (second - first)
        return scale, -1 - first * scale
    if mode == "MEAN_STD":
        return 1 / second, -first / second
    raise Refused(f"normalization_mapping: {kind}: {mode} is not supported")


def read_lerobot(folder, args):
    config = json.loads((folder / "config.json").read_text())
    state = load_file(folder / "model.safetensors")
    if any(".rgb_encoder." in k for k in state):
        raise Refused("the policy looks at pictures (rgb_encoder); only observations of numbers are "
                      "supported")
    tensors = {from_lerobot_name(k.removeprefix("diffusion.unet.")): v for k, v in state.items()
               if k.startswith("diffusion.unet.")}
    inputs = config.get("input_features") or config.get("input_shapes") or {}
    seen = [statistics(state, config, "normalize_inputs", key)
            for key in ("observation.state", "observation.environment_state") if key in inputs]
    if not seen:
        raise Refused("config.json: neither observation.state nor observation.environment_state")
    action = statistics(state, config, "unnormalize_outputs", "action")
    numbers = {("action", "scale"): action[0], ("action", "offset"): action[1],
               ("obs", "scale"): torch.cat([s for s, _ in seen]),
               ("obs", "offset"): torch.cat([o for _, o in seen])}
    extra = {k: config[k] for k in ("horizon", "n_action_steps", "n_groups", "n_obs_steps")}
    scheduler = {k: config.get(k, v) for k, v in SCHEDULER.items()}
    scheduler["_class_name"] = config.get("noise_scheduler_type", "DDPM") + "Scheduler"
    return tensors, numbers, extra, scheduler


def network_config(tensors, numbers, extra):
    """What the shapes say."""
    def shape(name):
        if name not in tensors:
            raise Refused(f"no {name}: not a ConditionalUnet1D")
        return tensors[name].shape

    widths = []
    while f"down_modules.{len(widths)}.0.blocks.0.block.0.weight" in tensors:
        widths.append(shape(f"down_modules.{len(widths)}.0.blocks.0.block.0.weight")[0])
    first = shape("down_modules.0.0.blocks.0.block.0.weight")
    film = shape("down_modules.0.0.cond_encoder.1.weight")
    step = shape("diffusion_step_encoder.1.weight")[1]
    if any(k.startswith("local_cond_encoder.") for k in tensors):
        raise Refused("local_cond_encoder: observations as local conditions are not supported")
    width = len(numbers["obs", "scale"])
    seen = film[1] - step
    if seen <= 0 or seen % width != 0:
        raise Refused(f"the network reads {seen} numbers, but an observation has {width}")
    if extra.get("n_obs_steps", seen // width) != seen // width:
        raise Refused(f"n_obs_steps is {extra['n_obs_steps']}, but the network reads {seen // width}")
    return {"_class_name": "ConditionalUnet1D", "input_dim": first[1], "global_cond_dim": seen,
            "diffusion_step_embed_dim": step, "down_dims": widths, "kernel_size": first[2],
            "cond_predict_scale": film[0] == 2 * widths[0], **extra, "n_obs_steps": seen // width,
            "obs_dim": width}


def write(to, config, tensors, numbers, scheduler):
    tensors = tensors | {NORMALISER.format(*k): v.float() for k, v in numbers.items()}
    (to / "unet").mkdir()
    (to / "scheduler").mkdir()
    scheduler = {"_class_name": "DDPMScheduler", "timestep_spacing": "leading", "steps_offset": 0,
                 **scheduler}
    index = {"_class_name": "DiffusionPolicyPipeline",
             "scheduler": ["diffusers", scheduler["_class_name"]],
             "unet": ["diffusion_policy", "ConditionalUnet1D"]}
    for name, content in (("model_index.json", index), ("unet/config.json", config),
                          ("scheduler/scheduler_config.json", scheduler)):
        (to / name).write_text(json.dumps(content, indent=2) + "\n")
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()},
              to / "unet" / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("policy", type=pathlib.Path)
    parser.add_argument("to", type=pathlib.Path, help="a new folder")
    parser.add_argument("--horizon", type=int, default=16)
    parser.add_argument("--n-action-steps", type=int, default=8)
    parser.add_argument("--n-groups", type=int, default=8)
    args = parser.parse_args()
    read = read_lerobot if args.policy.is_dir() else read_stanford
    with new_folder(args.to) as part:
        try:
            tensors, numbers, extra, scheduler = read(args.policy, args)
            config = network_config(tensors, numbers, extra)
        except Refused as error:
            sys.exit(f"{args.policy}: {error}")
        except Exception as error:
            sys.exit(f"{args.policy}: cannot be read: {error}")
        write(part, config, tensors, numbers, scheduler)
    print(f"{args.to}: {len(tensors)} tensors, {sum(t.numel() for t in tensors.values())} parameters")


if __name__ == "__main__":
    main()
