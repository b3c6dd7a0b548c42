"""ConditionalUnet1D of Diffusion Policy (Chi et al. 2023, arXiv:2303.04137) in torch.

Written from the paper's description and the tensor names of its released checkpoints, which it can
load.  Used to train examples/models/pusht and to make the fixtures of tests/data/models.
"""

import math

import torch
from torch import nn


class StepEmbedding(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.width = width

    def forward(self, t):
        half = self.width // 2
        rates = torch.exp(torch.arange(half, device=t.device) * (-math.log(10000.0) / (half - 1)))
        angles = t[:, None].float() * rates[None]
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


class ConvBlock(nn.Module):
    """Convolution, group norm, Mish."""

    def __init__(self, inputs, outputs, kernel, groups):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2),
            nn.GroupNorm(groups, outputs),
            nn.Mish(),
        )

    def forward(self, x):
        return self.block(x)


class ResidualBlock(nn.Module):
    def __init__(self, inputs, outputs, cond, kernel, groups, predict_scale):
        super().__init__()
        self.predict_scale = predict_scale
        self.blocks = nn.ModuleList([
            ConvBlock(inputs, outputs, kernel, groups),
            ConvBlock(outputs, outputs, kernel, groups),
        ])
        self.cond_encoder = nn.Sequential(
            nn.Mish(), nn.Linear(cond, 2 * outputs if predict_scale else outputs))
        self.residual_conv = (
            nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity())

    def forward(self, x, cond):
        h = self.blocks[0](x)
        film = self.cond_encoder(cond)[:, :, None]
        if self.predict_scale:
            scale, shift = film.chunk(2, dim=1)
            h = scale * h + shift
        else:
            h = h + film
        return self.blocks[1](h) + self.residual_conv(x)


class Down(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, 2, 1)

    def forward(self, x):
        return self.conv(x)


class Up(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.ConvTranspose1d(width, width, 4, 2, 1)

    def forward(self, x):
        return self.conv(x)


class ConditionalUnet1D(nn.Module):
    """Noise in plans [rows, horizon, input_dim] at timesteps t [rows], given [rows, global_cond_dim]."""

    def __init__(self, input_dim, global_cond_dim, diffusion_step_embed_dim=256,
                 down_dims=(256, 512, 1024), kernel_size=3, n_groups=8, cond_predict_scale=False):
        super().__init__()
        step = diffusion_step_embed_dim
        dims = [input_dim, *down_dims]
        pairs = list(zip(dims[:-1], dims[1:]))

        def residual(inputs, outputs):
            return ResidualBlock(inputs, outputs, step + global_cond_dim, kernel_size, n_groups,
                                 cond_predict_scale)

        self.diffusion_step_encoder = nn.Sequential(
            StepEmbedding(step), nn.Linear(step, 4 * step), nn.Mish(), nn.Linear(4 * step, step))
        self.mid_modules = nn.ModuleList([residual(dims[-1], dims[-1]) for _ in range(2)])
        self.down_modules = nn.ModuleList([
            nn.ModuleList([residual(a, b), residual(b, b),
                           Down(b) if i + 1 < len(pairs) else nn.Identity()])
            for i, (a, b) in enumerate(pairs)])
        self.up_modules = nn.ModuleList([
            nn.ModuleList([residual(2 * b, a), residual(a, a), Up(a)])
            for a, b in reversed(pairs[1:])])
        self.final_conv = nn.Sequential(
            ConvBlock(down_dims[0], down_dims[0], kernel_size, n_groups),
            nn.Conv1d(down_dims[0], input_dim, 1))

    def forward(self, plans, t, cond):
        x = plans.mT
        cond = torch.cat([self.diffusion_step_encoder(t), cond], dim=-1)
        skips = []
        for first, second, sampler in self.down_modules:
            x = second(first(x, cond), cond)
            skips.append(x)
            x = sampler(x)
        for block in self.mid_modules:
            x = block(x, cond)
        for first, second, sampler in self.up_modules:
            x = torch.cat([x, skips.pop()], dim=1)
            x = sampler(second(first(x, cond), cond))
        return self.final_conv(x).mT
