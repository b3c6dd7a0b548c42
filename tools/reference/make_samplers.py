#!/usr/bin/env python3
"""Fixture of tests/test_graph_samplers.c.

    python tools/reference/make_samplers.py tests/data/schedule/samplers.json

Each entry is a scheduler_config.json and a sampler kind (DPM-Solver, Euler, flow
matching, PNDM), and what diffusers' sequential scheduler gives for several numbers
of steps: timesteps, noise levels, scale of the initial noise, which steps draw
noise, and a whole run with make_schedules.py's analytic network: element 0 of every
state, the final state, and the last predicted clean state.  `run` uses the
scheduler with its levels widened to float64, `run32` the scheduler as it is.  Needs torch, numpy
and diffusers.  No random numbers.
"""

import itertools
import json
import os
import sys

import numpy as np
import torch

import diffusers
from diffusers.schedulers import (
    scheduling_dpmsolver_multistep as dpm_module,
    scheduling_euler_ancestral_discrete as ancestral_module,
    scheduling_euler_discrete as euler_module,
    scheduling_flow_match_euler_discrete as flow_module)

from make_schedules import (CELEBA, CHURCH, DIM, DPM, EULER, PUSHT, SD, SD21,
                            TRAINED, Noise, network, state)

STEPS = [1, 2, 3, 5, 10, 14, 15, 20, 50]
DPM_KINDS = {
    "dpmpp-1": ("dpmsolver++", 1), "dpmpp-2m": ("dpmsolver++", 2),
    "dpmpp-3m": ("dpmsolver++", 3), "sde-dpmpp-1": ("sde-dpmsolver++", 1),
    "sde-dpmpp-2m": ("sde-dpmsolver++", 2),
}
CLASSES = {
    "euler": diffusers.EulerDiscreteScheduler,
    "euler-a": diffusers.EulerAncestralDiscreteScheduler,
    "flow-euler": diffusers.FlowMatchEulerDiscreteScheduler,
    "pndm": diffusers.PNDMScheduler,
}
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler",
        "num_train_timesteps": 1000, "shift": 3.0,
        "use_dynamic_shifting": False, "base_shift": 0.5, "max_shift": 1.15,
        "time_shift_type": "exponential", "use_beta_sigmas": False}
PNDM = dict(SD)
SPACINGS = ["leading", "trailing", "linspace"]
PREDICTIONS = ["epsilon", "sample", "v_prediction"]


def dpm_cases():
    for kind in DPM_KINDS:
        yield DPM, kind
        yield SD, kind
        yield EULER, kind
        yield dict(SD21, rescale_betas_zero_snr=True), kind
        yield dict(CHURCH, thresholding=True, sample_max_value=3.0,
                   dynamic_thresholding_ratio=0.9), kind
    for (spacing, prediction), kind in zip(
            itertools.product(SPACINGS, PREDICTIONS),
            itertools.cycle(["dpmpp-3m", "sde-dpmpp-2m", "dpmpp-2m",
                             "dpmpp-1"])):
        yield dict(CELEBA, timestep_spacing=spacing,
                   prediction_type=prediction, steps_offset=1), kind
    for kind in ["dpmpp-2m", "dpmpp-3m", "sde-dpmpp-2m"]:
        for options in [
                dict(solver_type="heun"), dict(solver_type="bh2"),
                dict(final_sigmas_type="sigma_min"),
                dict(final_sigmas_type="sigma_min", euler_at_final=True),
                dict(final_sigmas_type="sigma_min", lower_order_final=False),
                dict(lower_order_final=False), dict(euler_at_final=True),
                dict(use_karras_sigmas=True), dict(use_lu_lambdas=True),
                dict(use_exponential_sigmas=True)]:
            yield dict(DPM, **options), kind
    yield dict(DPM, beta_schedule="squaredcos_cap_v2",
               lambda_min_clipped=-5.1), "dpmpp-2m"
    yield dict(DPM, beta_schedule="squaredcos_cap_v2",
               use_karras_sigmas=True), "dpmpp-3m"
    yield dict(EULER, use_karras_sigmas=True, sigma_min=0.05,
               sigma_max=9.0), "dpmpp-2m"
    yield dict(DPM, algorithm_type="dpmsolver", solver_order=3), "dpmpp-2m"
    yield dict(DPM, _use_default_values=["steps_offset", "beta_end"],
               timestep_spacing="leading"), "dpmpp-2m"
    yield PUSHT, "dpmpp-2m"
    yield TRAINED, "dpmpp-3m"


def euler_cases():
    for kind in ["euler", "euler-a"]:
        for config in [EULER, SD, SD21, DPM, PUSHT, TRAINED]:
            yield config, kind
        for spacing, prediction in itertools.product(SPACINGS, PREDICTIONS):
            if prediction == "sample" and kind == "euler-a":
                continue
            yield dict(CELEBA, timestep_spacing=spacing,
                       prediction_type=prediction, steps_offset=2), kind
        yield dict(EULER, rescale_betas_zero_snr=True,
                   timestep_spacing="trailing"), kind
    for options in [
            dict(final_sigmas_type="sigma_min"), dict(use_karras_sigmas=True),
            dict(use_karras_sigmas=True, final_sigmas_type="sigma_min"),
            dict(use_karras_sigmas=True, sigma_min=0.05, sigma_max=9.0),
            dict(use_exponential_sigmas=True),
            dict(interpolation_type="log_linear"),
            dict(interpolation_type="log_linear", use_karras_sigmas=True),
            dict(prediction_type="original_sample"),
            dict(timestep_type="continuous", prediction_type="epsilon")]:
        yield dict(EULER, timestep_spacing="linspace", **options), "euler"


def other_cases():
    for options in [
            dict(), dict(shift=1.0), dict(shift_terminal=0.1),
            dict(use_karras_sigmas=True), dict(use_exponential_sigmas=True),
            dict(stochastic_sampling=True), dict(num_train_timesteps=100)]:
        yield dict(FLOW, **options), "flow-euler"
    yield EULER, "flow-euler"
    yield PNDM, "pndm"
    yield dict(PNDM, set_alpha_to_one=True), "pndm"
    yield dict(EULER, skip_prk_steps=True), "pndm"
    for spacing, prediction in itertools.product(
            SPACINGS, ["epsilon", "v_prediction"]):
        yield dict(PNDM, timestep_spacing=spacing,
                   prediction_type=prediction), "pndm"


def build(config, kind, steps, wide):
    if kind in DPM_KINDS:
        algorithm, order = DPM_KINDS[kind]
        scheduler = diffusers.DPMSolverMultistepScheduler.from_config(
            dict(config), algorithm_type=algorithm, solver_order=order)
    else:
        scheduler = CLASSES[kind].from_config(dict(config))
    scheduler.set_timesteps(steps)
    # Where the first timestep is there twice, diffusers would begin with the
    # second and run out of noise levels.
    if kind != "pndm":
        scheduler.set_begin_index(0)
    if wide and hasattr(scheduler, "sigmas"):
        scheduler.sigmas = scheduler.sigmas.double()
    if wide and kind == "pndm":
        scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
        final = scheduler.final_alpha_cumprod.double()
        scheduler.final_alpha_cumprod = final
    return scheduler


def run(scheduler, kind, noise, wide):
    dtype = torch.float64 if wide else torch.float32
    n_train = scheduler.config.num_train_timesteps
    scale = float(scheduler.init_noise_sigma) if hasattr(
        scheduler, "init_noise_sigma") else 1.0
    x = torch.tensor(state(0), dtype=torch.float32).to(dtype) * scale
    path = []
    draws = []
    clean = None
    for i, t in enumerate(scheduler.timesteps):
        noise.value = state(i + 1)
        before = noise.drawn
        x = x.reshape(1, 1, -1)
        inside = (scheduler.scale_model_input(x, t)
                  if hasattr(scheduler, "scale_model_input") else x)
        e = torch.tensor(network(inside.numpy(), float(t), n_train),
                         dtype=dtype)
        out = scheduler.step(e, t, x)
        x = out.prev_sample.to(dtype)
        draws.append(int(noise.drawn > before))
        path.append(float(x[0, 0, 0]))
        if kind in DPM_KINDS:
            clean = scheduler.model_outputs[-1]
        else:
            clean = getattr(out, "pred_original_sample", None)
    return x, path, draws, clean, scale


def numbers(values, digits):
    return [float("%.*g" % (digits, float(v)))
            for v in torch.as_tensor(values).reshape(-1)]


def record_run(config, kind, steps, noise):
    try:
        plain = build(config, kind, steps, False)
    except (ValueError, ZeroDivisionError):
        return None
    with np.errstate(all="ignore"):
        x, path, draws, clean, scale = run(build(config, kind, steps, True),
                                           kind, noise, True)
        x32 = run(plain, kind, noise, False)[0]
    if not torch.isfinite(x).all() or len(plain.timesteps) != len(path):
        return None
    spots = sorted({0, 1, len(path) // 2, len(path) - 1} & set(
        range(len(path))))
    out = {
        "steps": steps, "scale": float("%.9g" % scale), "spots": spots,
        "t": numbers(plain.timesteps[spots].double(), 9),
        "rows": len(path), "n_draws": sum(draws), "run": numbers(x, 8),
    }
    # the whole way, and the untouched scheduler, for some numbers of steps
    if steps in (3, 5, 15):
        out["path"] = numbers(path, 8)
    if steps in (10, 20) and torch.isfinite(x32).all():
        out["run32"] = numbers(x32, 7)
    if kind != "pndm":
        out["sigmas"] = numbers(plain.sigmas[spots + [len(path)]].double(), 9)
    if clean is not None:
        out["clean"] = numbers(clean, 8)
    return out


def main():
    torch.set_num_threads(1)
    noise = Noise()
    for module in [dpm_module, ancestral_module, euler_module, flow_module]:
        module.randn_tensor = noise
    entries = []
    for config, kind in itertools.chain(dpm_cases(), euler_cases(),
                                        other_cases()):
        # a whole sweep of steps for every other one keeps the file small
        steps = STEPS if len(entries) % 2 == 0 else [2, 5, 15, 20]
        runs = [record_run(config, kind, n, noise) for n in steps
                if n <= config.get("num_train_timesteps", 1000)]
        runs = [r for r in runs if r is not None]
        assert runs, (config, kind)
        entries.append({"config": config, "kind": kind, "runs": runs})
    with open(sys.argv[1], "w") as file:
        text = ",\n".join(json.dumps(e, separators=(",", ":"))
                          for e in entries)
        file.write('{"dim": %d, "entries": [\n%s\n]}\n' % (DIM, text))
    print(len(entries), "entries,", sum(len(e["runs"]) for e in entries),
          "runs,", os.path.getsize(sys.argv[1]), "bytes")


if __name__ == "__main__":
    main()
