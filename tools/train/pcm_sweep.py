"""What training and measuring a Picard-consistency model share: the sampler's coefficients,
the guided network and the sweeps, on a whole trajectory at once.

Letters as in docs/numerics.md: x_{i+1} = a_i x_i + b_i e_i, slope J_i, i = 0 .. N - 1.
Arrays over rows are [N] float64, trajectories [samples, N + 1, C, H, W].
"""

import numpy
import torch


class Chain:
    """Coefficients a, b, slopes J and timesteps of a DDIM job (eta 0, no clipping)."""

    def __init__(self, job, scheduler, variance=None):
        sampler = job["sampler"]
        wrong = [key for key, want in (("kind", "ddim"), ("eta", 0.0), ("clip", False),
                                       ("spacing", "leading")) if sampler[key] != want]
        if wrong:
            raise SystemExit(f"sampler.{wrong[0]}: {sampler[wrong[0]]}: training knows only the "
                             "deterministic DDIM without clipping, leading spacing")
        signal = scheduler.alphas_cumprod.double().numpy()
        stride = len(signal) // sampler["steps"]
        self.steps = sampler["steps"]
        self.times = (numpy.arange(self.steps)[::-1] * stride + sampler["steps_offset"]).astype(int)
        last = 1.0 if sampler["set_alpha_to_one"] else signal[0]
        after = self.times - stride
        here, there = signal[self.times], numpy.where(after >= 0, signal[after], last)
        al, s, al1, s1 = here ** 0.5, (1 - here) ** 0.5, there ** 0.5, (1 - there) ** 0.5
        prediction = sampler["prediction"]
        if prediction == "epsilon":
            self.a, self.b = al1 / al, s1 - s * al1 / al
        elif prediction == "sample":
            self.a, self.b = s1 / s, al1 - s1 * al / s
        else:
            self.a, self.b = al1 * al + s1 * s, s1 * al - al1 * s
        self.variance = variance or job["solver"]["variance"]
        self.slope = (al * al1 * self.variance + s * s1) / (here * self.variance + 1 - here)

    def shift(self):
        """s_i = (J_i - a_i)/b_i: what a row adds to its output for each unit its input is off."""
        return (self.slope - self.a) / self.b

    def weight(self):
        """b_i times all later slopes: how far a unit of row i's output moves the final state."""
        tail = numpy.append(numpy.cumprod(self.slope[::-1])[::-1][1:], 1.0)
        return numpy.abs(self.b * tail)

    def outputs(self, trajectory):
        """The network's outputs of all rows of a converged trajectory, from its own steps."""
        a, b = (torch.from_numpy(c).view(-1, 1, 1, 1) for c in (self.a, self.b))
        x = trajectory.double()
        return ((x[..., 1:, :, :, :] - a * x[..., :-1, :, :, :]) / b).float()


class Guided:
    """The network with classifier-free guidance; both branches go through the same weights."""

    def __init__(self, pipe, unet, job):
        self.pipe, self.unet, self.scale = pipe, unet, job["guidance_scale"]
        self.empty = self.context((job["negative_prompt"] or [""])[0])
        self.known = {}

    @torch.no_grad()
    def context(self, text):
        tokenizer = self.pipe.tokenizer
        tokens = tokenizer([text], padding="max_length", truncation=True,
                           max_length=tokenizer.model_max_length, return_tensors="pt").input_ids
        return self.pipe.text_encoder(tokens).last_hidden_state[0]

    def contexts(self, prompts):
        for text in prompts:
            if text not in self.known:
                self.known[text] = self.context(text)
        return torch.stack([self.known[text] for text in prompts])

    def __call__(self, x, times, prompts):
        """x is [rows, C, H, W], one time and one prompt a row."""
        x = x.contiguous(memory_format=torch.channels_last)
        words, times = self.contexts(prompts), torch.as_tensor(times.copy())
        if self.scale == 1:
            return self.unet(x, times, words).sample
        empty = self.empty.expand_as(words)
        both = self.unet(torch.cat([x, x]), torch.cat([times, times]),
                         torch.cat([empty, words])).sample
        plain, worded = both.chunk(2)
        return plain + self.scale * (worded - plain)


@torch.no_grad()
def evaluate(guided, chain, x, prompts, batch=25):
    """f of all rows: [samples, N, ...] from x [samples, N + 1, ...]."""
    rows = []
    for states, text in zip(x, prompts):
        for i in range(0, chain.steps, batch):
            part = slice(i, min(i + batch, chain.steps))
            rows.append(guided(states[part], chain.times[part], [text] * (part.stop - i)))
    values = torch.cat(rows).view(len(x), chain.steps, *x.shape[2:])
    a, b = (torch.from_numpy(c).float().view(-1, 1, 1, 1) for c in (chain.a, chain.b))
    return a * x[:, :-1] + b * values


def sweep(slope, x, f, history=()):
    """One sweep; with a history of (x, f), newest first, the secant sweep of docs/numerics.md."""
    new = x.clone()
    snapshots = [(x, f), *history]
    dx = [p[0][:, :-1] - q[0][:, :-1] for p, q in zip(snapshots, snapshots[1:])]
    df = [p[1] - q[1] for p, q in zip(snapshots, snapshots[1:])]
    for i in range(f.shape[1]):
        delta = new[:, i] - x[:, i]
        step = slope[i] * delta
        if dx:
            columns = torch.stack([d[:, i].flatten(1) for d in dx], 2).double()
            gram = columns.mT @ columns
            trace = gram.diagonal(dim1=1, dim2=2).sum(1)
            ridge = (1e-3 * trace / len(dx) + 1e-30).view(-1, 1, 1) * torch.eye(len(dx)).double()
            right = columns.mT @ delta.flatten(1).double().unsqueeze(2)
            gamma = torch.linalg.solve(gram + ridge, right).clamp(-2, 2).float()
            stale = trace < 1e-12 * x[:, i].flatten(1).square().sum(1)
            gamma[stale] = 0
            moved = torch.stack([d[:, i].flatten(1) for d in dx], 2)
            jump = torch.stack([d[:, i].flatten(1) for d in df], 2)
            step = step + ((jump - slope[i] * moved) @ gamma).view_as(delta)
        new[:, i + 1] = f[:, i] + step
    return new
