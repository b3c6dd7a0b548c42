#!/usr/bin/env python3
"""Fixture of tests/test_graph_schedule.c and tests/test_graph_transition.c.

    python tools/reference/make_schedules.py tests/data/schedule/cases.json

Each case is a scheduler_config.json, a sampler kind, a number of steps and eta,
with what diffusers gives: alpha-bar, timesteps, which steps draw noise, the
coefficients of x' = a x + b e + c xi, and a whole run with an analytic network.
Coefficients and runs are computed by diffusers' own step() with its alpha-bar
widened to float64, so that they agree with ours to rounding; `run32` is the
scheduler untouched.  Needs torch, numpy and diffusers.  No random numbers.
"""

import itertools
import json
import os
import sys

import numpy as np
import torch

import diffusers
from diffusers.schedulers import scheduling_ddim, scheduling_ddpm

DIM = 8
CLASSES = {"ddim": diffusers.DDIMScheduler, "ddpm": diffusers.DDPMScheduler}

SD = {
    "_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0",
    "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "beta_start": 0.00085, "num_train_timesteps": 1000,
    "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1,
    "trained_betas": None, "clip_sample": False,
}
SD_NO_CLIP_KEY = {k: v for k, v in SD.items() if k != "clip_sample"}
SD21 = dict(SD, _class_name="DDIMScheduler", prediction_type="v_prediction")
DPM = {
    "_class_name": "DPMSolverMultistepScheduler", "beta_start": 0.00085,
    "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "solver_order": 2, "algorithm_type": "dpmsolver++", "steps_offset": 1,
    "timestep_spacing": "linspace", "num_train_timesteps": 1000,
    "variance_type": None, "thresholding": False, "sample_max_value": 1.0,
}
EULER = {
    "_class_name": "EulerDiscreteScheduler", "beta_start": 0.00085,
    "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1,
    "num_train_timesteps": 1000, "interpolation_type": "linear",
    "timestep_spacing": "leading", "prediction_type": "v_prediction",
}
CELEBA = {
    "_class_name": "DDIMScheduler", "beta_start": 0.0015,
    "beta_end": 0.0195, "beta_schedule": "scaled_linear",
    "clip_sample": False, "num_train_timesteps": 1000,
    "timestep_values": None, "trained_betas": None,
}
CIFAR = {
    "_class_name": "DDPMScheduler", "beta_start": 0.0001, "beta_end": 0.02,
    "beta_schedule": "linear", "clip_sample": True,
    "num_train_timesteps": 1000, "trained_betas": None,
    "variance_type": "fixed_large",
}
CHURCH = dict(CIFAR, variance_type="fixed_small")
PUSHT = {
    "_class_name": "DDPMScheduler", "beta_schedule": "squaredcos_cap_v2",
    "clip_sample": True, "num_train_timesteps": 100,
    "prediction_type": "epsilon",
}
DIFFUSER = dict(PUSHT, num_train_timesteps=20, clip_sample=False,
                variance_type="fixed_small_log")
ZERO_SNR = dict(SD21, rescale_betas_zero_snr=True,
                timestep_spacing="trailing")
SIGMOID = dict(CHURCH, beta_schedule="sigmoid", beta_end=0.05,
               clip_sample=False)
TRAINED = {
    "_class_name": "DDPMScheduler", "num_train_timesteps": 10,
    "clip_sample_range": 0.75,
    "trained_betas": [0.01, 0.02, 0.05, 0.1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.9],
}
THRESHOLD = dict(CHURCH, thresholding=True, sample_max_value=3.0,
                 dynamic_thresholding_ratio=0.9)
EMPTY = {"_class_name": "DDIMScheduler"}


def cases():
    for config, kind, steps, eta in [
        (SD, "ddim", 50, 0), (SD, "ddim", 50, 1), (SD, "ddim", 20, 0.3),
        (SD, "ddim", 7, 0), (SD, "ddim", 1, 0), (SD, "ddim", 333, 0.5),
        (SD, "ddpm", 50, 0), (SD, "ddpm", 30, 0), (SD, "ddpm", 1, 0),
        (SD_NO_CLIP_KEY, "ddim", 10, 0), (SD_NO_CLIP_KEY, "ddpm", 10, 0),
        (SD21, "ddim", 50, 0), (SD21, "ddim", 25, 1), (SD21, "ddpm", 50, 0),
        (DPM, "ddim", 20, 0), (DPM, "ddpm", 20, 0), (EULER, "ddim", 15, 0),
        (CELEBA, "ddim", 50, 0), (CELEBA, "ddim", 200, 1),
        (CELEBA, "ddim", 1000, 0), (CELEBA, "ddpm", 1000, 0),
        (CIFAR, "ddpm", 1000, 0), (CIFAR, "ddpm", 50, 0),
        (CIFAR, "ddim", 50, 0), (CHURCH, "ddpm", 100, 0),
        (CHURCH, "ddpm", 999, 0), (PUSHT, "ddpm", 100, 0),
        (PUSHT, "ddim", 10, 0), (PUSHT, "ddim", 8, 0.7),
        (DIFFUSER, "ddpm", 20, 0), (DIFFUSER, "ddpm", 6, 0),
        (ZERO_SNR, "ddim", 50, 0), (ZERO_SNR, "ddim", 10, 1),
        (ZERO_SNR, "ddpm", 30, 0), (SIGMOID, "ddpm", 25, 0),
        (TRAINED, "ddpm", 10, 0), (TRAINED, "ddim", 3, 0.5),
        (THRESHOLD, "ddpm", 12, 0), (THRESHOLD, "ddim", 12, 0),
        (dict(THRESHOLD, dynamic_thresholding_ratio=1.0, thresholding=True),
         "ddim", 5, 0),
        (EMPTY, "ddim", 10, 0),
    ]:
        yield config, kind, steps, eta
    for spacing, prediction, clip, eta, steps in itertools.product(
            ["leading", "trailing", "linspace"],
            ["epsilon", "sample", "v_prediction"], [False, True], [0, 1],
            [6, 7]):
        if (steps == 6) == clip:
            continue
        yield dict(CELEBA, timestep_spacing=spacing,
                   prediction_type=prediction, clip_sample=clip,
                   clip_sample_range=0.8, set_alpha_to_one=steps == 6,
                   steps_offset=3), "ddim", steps, eta
        if eta == 0:
            yield dict(CIFAR, timestep_spacing=spacing,
                       prediction_type=prediction, clip_sample=clip,
                       variance_type="fixed_small" if clip else
                       "fixed_large", steps_offset=2), "ddpm", steps, 0


def pattern(i, j):
    """A number in [-2, 2) that both languages compute exactly."""
    h = (i * 7919 + j * 104729 + 12345) * 2654435761 % 2 ** 32
    return h / 2.0 ** 30 - 2.0


def state(i):
    return np.array([pattern(i, j) for j in range(DIM)])


def network(x, t, n_train):
    x = np.asarray(x, dtype=np.float64)
    return x / (1 + 0.25 * x * x) + 0.3 * (t / n_train) - 0.05


class Noise:
    """Stands in for randn_tensor; counts how often it is asked."""

    def __init__(self):
        self.value = None
        self.drawn = 0

    def __call__(self, shape, generator=None, device=None, dtype=None):
        self.drawn += 1
        return torch.tensor(self.value, dtype=dtype).reshape(shape)


def step(scheduler, kind, eta, noise, i, t, x, e, dtype):
    noise.value = state(i + 1) if noise.value is None else noise.value
    kwargs = {"eta": float(eta)} if kind == "ddim" else {}
    before = noise.drawn
    out = scheduler.step(torch.tensor(e, dtype=dtype).reshape(1, 1, -1), t,
                         torch.tensor(x, dtype=dtype).reshape(1, 1, -1),
                         **kwargs)
    return (out.prev_sample.numpy().reshape(-1),
            out.pred_original_sample.numpy().reshape(-1),
            noise.drawn > before)


def build(config, kind, steps, wide):
    scheduler = CLASSES[kind].from_config(dict(config))
    if wide:
        scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
        if kind == "ddim":
            final = scheduler.final_alpha_cumprod.double()
            scheduler.final_alpha_cumprod = final
        else:
            scheduler.one = scheduler.one.double()
    scheduler.set_timesteps(steps)
    return scheduler


def run(config, kind, steps, eta, noise, wide):
    scheduler = build(config, kind, steps, wide)
    dtype = torch.float64 if wide else torch.float32
    x = state(0).astype(np.float32).astype(np.float64)
    draws = []
    x0 = []
    for i, t in enumerate(scheduler.timesteps):
        noise.value = state(i + 1)
        e = network(x, int(t), len(scheduler.alphas_cumprod))
        x, clean, drawn = step(scheduler, kind, eta, noise, i, t, x, e, dtype)
        draws.append(int(drawn))
        x0.append(clean)
    return x, x0, draws


def table(config, kind, steps, eta, noise, rows):
    scheduler = build(config, kind, steps, True)
    scheduler.register_to_config(clip_sample=False, thresholding=False)
    zero = np.zeros(DIM)
    one = np.ones(DIM)
    out = []
    for i in rows:
        t = scheduler.timesteps[i]
        row = []
        for x, e, xi in [(one, zero, zero), (zero, one, zero),
                         (zero, zero, one)]:
            noise.value = xi
            row.append(step(scheduler, kind, eta, noise, i, t, x, e,
                            torch.float64)[0][0])
        if kind == "ddim":
            prev = int(t) - scheduler.config.num_train_timesteps // steps
            var = scheduler._get_variance(int(t), prev)
            a_next = (scheduler.alphas_cumprod[prev] if prev >= 0
                      else scheduler.final_alpha_cumprod)
        else:
            prev = int(scheduler.previous_timestep(t))
            a_next = (scheduler.alphas_cumprod[prev] if prev >= 0
                      else scheduler.one)
            a_now = scheduler.alphas_cumprod[t]
            var = (1 - a_next) / (1 - a_now) * (1 - a_now / a_next)
        row += [float(a_next), float(var) ** 0.5]
        out.append([float("%.13g" % v) for v in row])
    return out


def record(config, kind, steps, eta, noise):
    plain = build(config, kind, steps, False)
    a_bar = plain.alphas_cumprod.numpy()
    n_train = len(a_bar)
    spots = sorted({0, 1, 2, n_train // 3, n_train // 2, n_train - 2,
                    n_train - 1} & set(range(n_train)))
    rows = sorted({0, 1, steps // 2, steps - 2, steps - 1}
                  & set(range(steps)))
    x, x0, draws = run(config, kind, steps, eta, noise, True)
    x32, _, _ = run(config, kind, steps, eta, noise, False)
    assert np.isfinite(x).all() and len(plain.timesteps) == steps
    return {
        "config": config, "kind": kind, "steps": steps, "eta": eta,
        "alpha_spots": spots, "alpha_bar": [float(a_bar[s]) for s in spots],
        "alpha_sum": float(a_bar.astype(np.float64).sum()),
        "rows": rows, "t": [int(plain.timesteps[i]) for i in rows],
        "t_sum": int(plain.timesteps.sum()),
        "draws": [draws[i] for i in rows], "n_draws": sum(draws),
        "table": table(config, kind, steps, eta, noise, rows),
        "run": [round(float(v), 10) for v in x],
        # null: its float32 takes the root of -1e-8 where alpha-bar is 0
        "run32": [round(float(v), 8) if np.isfinite(v) else None
                  for v in x32],
        "x0_first": [round(float(v), 10) for v in x0[0]],
        "x0_last": [round(float(v), 10) for v in x0[-1]],
    }


def main():
    torch.set_num_threads(1)
    noise = Noise()
    scheduling_ddim.randn_tensor = noise
    scheduling_ddpm.randn_tensor = noise
    out = {"dim": DIM, "cases": [record(*case, noise) for case in cases()]}
    with open(sys.argv[1], "w") as file:
        text = ",\n".join(json.dumps(c, separators=(",", ":"))
                          for c in out["cases"])
        file.write('{"dim": %d, "cases": [\n%s\n]}\n' % (DIM, text))
    print(len(out["cases"]), "cases,", os.path.getsize(sys.argv[1]), "bytes")


if __name__ == "__main__":
    main()
