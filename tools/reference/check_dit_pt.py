"""Check tools/convert/dit_pt.py and the network against the original DiT: a random
checkpoint with its names, converted, sampled by the program with guidance on the first
three channels, and by the formulas of Peebles and Xie 2022 (arXiv:2212.09748) here:

    python tools/reference/check_dit_pt.py build/picard-dag

Prints the relative RMS error of the final state; exit status 0 below 1e-4."""

import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F

WIDTH, HEADS, DEPTH, PATCH, CHANNELS, GRID, CLASSES = 24, 2, 3, 2, 4, 5, 11
STEPS, SCALE, LABEL = 6, 3.0, 7


def random_checkpoint():
    generator = torch.Generator().manual_seed(90)

    def normal(*shape):
        return torch.randn(shape, generator=generator) / math.prod(shape[1:]) ** 0.5

    def linear(name, rows, columns):
        tensors[f"{name}.weight"] = normal(rows, columns)
        tensors[f"{name}.bias"] = 0.3 * torch.randn(rows, generator=generator)

    tensors = {"pos_embed": positions()[None]}
    tensors["x_embedder.proj.weight"] = normal(WIDTH, CHANNELS, PATCH, PATCH)
    tensors["x_embedder.proj.bias"] = normal(WIDTH)
    linear("t_embedder.mlp.0", WIDTH, 256)
    linear("t_embedder.mlp.2", WIDTH, WIDTH)
    tensors["y_embedder.embedding_table.weight"] = torch.randn(CLASSES + 1, WIDTH,
                                                               generator=generator)
    for i in range(DEPTH):
        linear(f"blocks.{i}.attn.qkv", 3 * WIDTH, WIDTH)
        linear(f"blocks.{i}.attn.proj", WIDTH, WIDTH)
        linear(f"blocks.{i}.mlp.fc1", 4 * WIDTH, WIDTH)
        linear(f"blocks.{i}.mlp.fc2", WIDTH, 4 * WIDTH)
        linear(f"blocks.{i}.adaLN_modulation.1", 6 * WIDTH, WIDTH)
    linear("final_layer.adaLN_modulation.1", 2 * WIDTH, WIDTH)
    linear("final_layer.linear", PATCH**2 * 2 * CHANNELS, WIDTH)
    return tensors


def positions():
    """[GRID * GRID][WIDTH]: of the column, then of the row."""
    rates = 10000.0 ** -(np.arange(WIDTH // 4) / (WIDTH // 4))
    rows, columns = np.divmod(np.arange(GRID * GRID), GRID)
    halves = [np.outer(at, rates) for at in (columns, rows)]
    parts = [f(half) for half in halves for f in (np.sin, np.cos)]
    return torch.tensor(np.concatenate(parts, axis=1), dtype=torch.float32)


def original(w, x, t, labels):
    """eps and variance [n][2 * CHANNELS][side][side] of states x at time t."""

    def linear(name, h):
        return F.linear(h, w[name + ".weight"], w[name + ".bias"])

    def modulate(h, shift, scale):
        return F.layer_norm(h, (WIDTH,), eps=1e-6) * (1 + scale[:, None]) + shift[:, None]

    angles = t * torch.exp(-math.log(10000) * torch.arange(128) / 128)
    time = torch.cat([angles.cos(), angles.sin()])[None]
    time = linear("t_embedder.mlp.2", F.silu(linear("t_embedder.mlp.0", time)))
    lead = F.silu(time + w["y_embedder.embedding_table.weight"][labels])
    h = F.conv2d(x, w["x_embedder.proj.weight"], w["x_embedder.proj.bias"], stride=PATCH)
    h = h.flatten(2).transpose(1, 2) + w["pos_embed"]
    for i in range(DEPTH):
        block = f"blocks.{i}."
        parts = linear(block + "adaLN_modulation.1", lead).chunk(6, dim=1)
        qkv = linear(block + "attn.qkv", modulate(h, parts[0], parts[1]))
        q, k, v = (y.unflatten(-1, (HEADS, -1)).transpose(1, 2) for y in qkv.chunk(3, dim=-1))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        h = h + parts[2][:, None] * linear(block + "attn.proj", y)
        y = linear(block + "mlp.fc1", modulate(h, parts[3], parts[4]))
        h = h + parts[5][:, None] * linear(block + "mlp.fc2", F.gelu(y, approximate="tanh"))
    shift, scale = linear("final_layer.adaLN_modulation.1", lead).chunk(2, dim=1)
    y = linear("final_layer.linear", modulate(h, shift, scale))
    y = y.reshape(-1, GRID, GRID, PATCH, PATCH, 2 * CHANNELS).permute(0, 5, 1, 3, 2, 4)
    return y.reshape(-1, 2 * CHANNELS, GRID * PATCH, GRID * PATCH)


def sample(w, x):
    """DDIM with the first three channels guided."""
    alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)
    stride = 1000 // STEPS
    for t in range((STEPS - 1) * stride, -1, -stride):
        out = original(w, torch.cat([x, x]), t, torch.tensor([LABEL, CLASSES]))[:, :CHANNELS]
        cond, none = out[:1], out[1:]
        guided = none + SCALE * (cond - none)
        eps = torch.cat([guided[:, :3], cond[:, 3:]], dim=1)
        a = alpha_bar[t]
        b = alpha_bar[t - stride] if t >= stride else torch.tensor(1.0)
        x = b.sqrt() * (x - (1 - a).sqrt() * eps) / a.sqrt() + (1 - b).sqrt() * eps
    return x


def run_ours(program, folder, noise):
    convert = pathlib.Path(__file__).resolve().parents[1] / "convert/dit_pt.py"
    subprocess.run([sys.executable, convert, folder / "dit.pt", folder / "model", "--heads",
                    str(HEADS), "--labels", folder / "labels.json"], check=True)
    np.save(folder / "noise.npy", noise)
    settings = {"model.path": folder / "model", "sampler.steps": STEPS, "class_label": "umbrella",
                "guidance_scale": SCALE, "guidance_channels": 3, "noise": folder / "noise.npy",
                "solver.method": "sequential"}
    command = [program, "run", "-q", "-o", folder / "out", folder / "job.pb"]
    for name, value in settings.items():
        command += ["--set", f"{name}={value}"]
    (folder / "job.pb").write_bytes(b"")
    subprocess.run(command, check=True)
    return np.load(folder / "out/sample-000.npy")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=pathlib.Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    weights = random_checkpoint()
    side = GRID * PATCH
    noise = torch.randn(1, CHANNELS, side, side, generator=torch.Generator().manual_seed(91))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        torch.save({"ema": weights, "args": argparse.Namespace(lr=1e-4)}, folder / "dit.pt")
        (folder / "labels.json").write_text(json.dumps({str(LABEL): "umbrella"}))
        ours = run_ours(args.program.resolve(), folder, noise.numpy())
    with torch.no_grad():
        wanted = sample(weights, noise)[0].numpy()
    error = np.sqrt(np.mean((ours - wanted) ** 2) / np.mean(wanted**2))
    print(f"state: relative RMS error {error:.3e}")
    sys.exit(0 if error < 1e-4 else 1)


if __name__ == "__main__":
    main()
