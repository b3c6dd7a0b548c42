"""What training and measuring a Picard-consistency model share: the sampler's coefficients
and the sweeps, on a whole trajectory at once.

Letters as in docs/numerics.md: x_{i+1} = a_i x_i + b_i e_i, slope J_i, i = 0 .. N - 1.
Arrays over rows are [N] float64, trajectories [samples, N + 1, ...state].
"""

import numpy
import torch


class Chain:
    """Coefficients a, b, slopes J and timesteps of a DDPM or DDIM job (eta 0).

    x_{i+1} = f_z clip(z) + f_e eps + f_x x + noise, where the network's output e gives the clean
    state z = z_x x + z_e e; without clipping that is a x + b e + noise.
    """

    def __init__(self, job, signal, variance=None):
        sampler = job["sampler"]
        wrong = [key for key, known in (("kind", ("ddim", "ddpm")), ("eta", (0.0,)),
                                        ("spacing", ("leading",))) if sampler[key] not in known]
        if wrong:
            raise SystemExit(f"sampler.{wrong[0]}: {sampler[wrong[0]]}: training knows only DDPM "
                             "and the deterministic DDIM, leading spacing")
        signal = signal.double().numpy()
        stride = len(signal) // sampler["steps"]
        self.noisy = sampler["kind"] == "ddpm"
        self.range = sampler["clip_range"] if sampler["clip"] else None
        self.steps = sampler["steps"]
        self.times = (numpy.arange(self.steps)[::-1] * stride + sampler["steps_offset"]).astype(int)
        last = 1.0 if self.noisy or sampler["set_alpha_to_one"] else signal[0]
        after = self.times - stride
        here, there = signal[self.times], numpy.where(after >= 0, signal[after], last)
        al, s, al1, s1 = here ** 0.5, (1 - here) ** 0.5, there ** 0.5, (1 - there) ** 0.5
        zero = numpy.zeros(self.steps)
        self.z_x, self.z_e, e_x, e_e = {
            "epsilon": (1 / al, -s / al, zero, zero + 1),
            "sample": (zero, zero + 1, 1 / s, -al / s),
            "v_prediction": (al, -s, s, al)}[sampler["prediction"]]
        if self.noisy:
            kept = here / there
            self.f_z, f_e, f_x = al1 * (1 - kept) / (1 - here), zero, \
                kept ** 0.5 * (1 - there) / (1 - here)
        else:
            self.f_z, f_e, f_x = al1, s1, zero
        self.a = self.f_z * self.z_x + f_e * e_x + f_x
        self.b = self.f_z * self.z_e + f_e * e_e
        self.variance = variance or job["solver"]["variance"]
        total = here * self.variance + 1 - here
        self.slope = self.f_z * al * self.variance / total + f_e * s / total + f_x

    def at(self, coefficient, i, like):
        """Rows i of a coefficient, to be multiplied with states."""
        return torch.from_numpy(coefficient[i]).view(-1, *[1] * (like.dim() - 1))

    def shift(self):
        """s_i = (J_i - a_i)/b_i: what a row adds to its output for each unit its input is off."""
        return (self.slope - self.a) / self.b

    def weight(self):
        """b_i times all later slopes: how far a unit of row i's output moves the final state."""
        tail = numpy.append(numpy.cumprod(self.slope[::-1])[::-1][1:], 1.0)
        return numpy.abs(self.b * tail)

    def clipped(self, x, e, i):
        """The output that makes without clipping the step that e makes with it; float64 for rows i
        of states x.  Its gradient is as without clipping, so that no row is stuck outside."""
        x, e = x.double(), e.double()
        if self.range is None:
            return e
        with torch.no_grad():
            z = self.at(self.z_x, i, x) * x + self.at(self.z_e, i, x) * e
            off = self.at(self.f_z / self.b, i, x) * (z.clamp(-self.range, self.range) - z)
        return e + off

    def step(self, x, e, i):
        """The sampler's steps from rows i without their noise, float64."""
        return self.at(self.a, i, x) * x.double() + self.at(self.b, i, x) * self.clipped(x, e, i)


@torch.no_grad()
def outputs(guided, chain, x, prompts, batch=25):
    """The network's outputs of all rows: [samples, N, ...] from x [samples, N + 1, ...]."""
    found = torch.empty_like(x[:, :-1])
    for states, text, into in zip(x, prompts, found):
        for i in range(0, chain.steps, batch):
            part = slice(i, min(i + batch, chain.steps))
            into[part] = guided(states[part], chain.times[part], [text] * (part.stop - i))
    return found


def evaluate(guided, chain, x, prompts):
    """f of all rows, without the steps' noise: [samples, N, ...]."""
    rows = numpy.arange(chain.steps)
    return torch.stack([chain.step(states[:-1], e, rows).float()
                        for states, e in zip(x, outputs(guided, chain, x, prompts))])


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
