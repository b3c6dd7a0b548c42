"""Write the policy fixtures of tests/data/models: policy-*.

Tiny ConditionalUnet1D networks of odd configurations with random weights, one input each, and what
conditional_unet1d.py computes for it in float32.  Seeds are in the calls below, so a second run
writes the same files:

    python tools/reference/make_policies.py tests/data/models
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file

from conditional_unet1d import ConditionalUnet1D

NAMES = ("input_dim", "global_cond_dim", "diffusion_step_embed_dim", "down_dims", "kernel_size",
         "n_groups", "cond_predict_scale")


def randomize(model, generator, gain=1.0):
    """Random weights that keep activations near 1, exact in float16."""
    for name, tensor in model.named_parameters():
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("block.1.weight"):
            values = 1 + 0.2 * noise
        elif tensor.ndim == 1:
            values = 0.2 * noise
        else:
            values = gain * noise / tensor[0].numel() ** 0.5
        tensor.data = values.half().float()
    return model.eval()


def normaliser(action, observation):
    names = {"action": action, "obs": observation}
    return {f"normalizer.params_dict.{key}.{part}": value
            for key, parts in names.items() for part, value in zip(("scale", "offset"), parts)}


def write_model(folder, config, tensors, steps=100, clip=True):
    """The whole directory, as the program reads it."""
    (folder / "unet").mkdir(parents=True, exist_ok=True)
    (folder / "scheduler").mkdir(exist_ok=True)
    index = {"_class_name": "DiffusionPolicyPipeline",
             "scheduler": ["diffusers", "DDPMScheduler"],
             "unet": ["diffusion_policy", "ConditionalUnet1D"]}
    scheduler = {"_class_name": "DDPMScheduler", "num_train_timesteps": steps,
                 "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "squaredcos_cap_v2",
                 "variance_type": "fixed_small", "clip_sample": clip, "clip_sample_range": 1.0,
                 "prediction_type": "epsilon", "timestep_spacing": "leading", "steps_offset": 0}
    for name, content in (("model_index.json", index),
                          ("unet/config.json", {"_class_name": "ConditionalUnet1D", **config}),
                          ("scheduler/scheduler_config.json", scheduler)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")
    save_file({k: v.contiguous() for k, v in tensors.items()},
              folder / "unet" / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})


def make_rollout(root):
    """A whole policy for PushT that knows nothing, for tests/run_rollout.sh."""
    config = dict(
        input_dim=2, global_cond_dim=40, diffusion_step_embed_dim=8, down_dims=[8, 16],
        kernel_size=3, n_groups=4, cond_predict_scale=True,
        horizon=16, n_obs_steps=2, n_action_steps=8, obs_dim=20)
    generator = torch.Generator().manual_seed(4)
    model = ConditionalUnet1D(**{k: config[k] for k in NAMES})
    tensors = {k: v.half() for k, v in randomize(model, generator).state_dict().items()}
    tensors |= normaliser(*((torch.full((n,), 2 / 512), torch.full((n,), -1.0)) for n in (2, 20)))
    write_model(root / "policy-pusht", config, tensors)


def make(root, name, seed, config, timesteps):
    folder = root / name
    generator = torch.Generator().manual_seed(seed)
    model = randomize(ConditionalUnet1D(**{k: config[k] for k in NAMES}), generator)
    count, width = config["n_obs_steps"], config["obs_dim"]

    def numbers(n):
        scale = torch.rand(n, generator=generator) + 0.5
        return scale, torch.randn(n, generator=generator) * 0.3

    action, observation = numbers(config["input_dim"]), numbers(width)
    t = torch.tensor(timesteps)
    x = torch.randn(len(t), config["horizon"], config["input_dim"], generator=generator)
    given = torch.randn(2, count, width, generator=generator)
    cond = (given * observation[0] + observation[1]).reshape(2, -1)
    rows = cond[[0 if i < len(t) // 2 else 1 for i in range(len(t))]]
    with torch.no_grad():
        eps = model(x, t, rows)
    tensors = {k: v.half() for k, v in model.state_dict().items()}
    tensors |= normaliser(action, observation)
    write_model(folder, config, tensors)
    actions = (x - action[1]) / action[0]
    save_file({"t": t, "x": x, "cond": given,
               "eps": eps.contiguous(), "actions": actions.contiguous()},
              folder / "expected.safetensors")


def main():
    root = pathlib.Path(sys.argv[1])
    # three levels, as the papers' networks
    make(root, "policy-odd", 1, dict(
        input_dim=3, global_cond_dim=14, diffusion_step_embed_dim=10, down_dims=[6, 15, 9],
        kernel_size=5, n_groups=3, cond_predict_scale=True,
        horizon=12, n_obs_steps=2, n_action_steps=4, obs_dim=7), [0.0, 17.0, 62.5, 99.0])
    # shift only, two levels, kernel 3, one observation
    make(root, "policy-shift", 2, dict(
        input_dim=2, global_cond_dim=5, diffusion_step_embed_dim=4, down_dims=[8, 20],
        kernel_size=3, n_groups=4, cond_predict_scale=False,
        horizon=6, n_obs_steps=1, n_action_steps=6, obs_dim=5), [3.0, 99.0, 40.0])
    # one level, kernel 7 wider than the plan
    make(root, "policy-flat", 3, dict(
        input_dim=1, global_cond_dim=6, diffusion_step_embed_dim=6, down_dims=[10],
        kernel_size=7, n_groups=5, cond_predict_scale=True,
        horizon=5, n_obs_steps=3, n_action_steps=2, obs_dim=2), [5.0, 6.0])
    make_rollout(root)


if __name__ == "__main__":
    main()
