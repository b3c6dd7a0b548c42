"""What the training scripts share: the optimiser, workers, schedule, checkpoints, and the
loop of those that train a denoiser."""

import os
import pathlib
import time

import torch
import torch.distributed as dist
import torch.multiprocessing


def orthogonalise(matrices, steps=5):
    """Newton-Schulz iteration of Muon: push the singular values of a stack of matrices towards 1.

    The iteration runs on the small Gram matrices: every step multiplies by a polynomial of them, so
    the long side enters only the first and the last product.
    """
    flip = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if flip else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    gram = x @ x.mT
    identity = torch.eye(gram.shape[1])
    product = identity.expand_as(gram)
    for step in range(steps):
        factor = 3.4445 * identity - 4.7750 * gram + 2.0315 * gram @ gram
        product = factor @ product if step else factor
        if step + 1 < steps:
            gram = factor @ gram @ factor
    x = product @ x
    return x.mT if flip else x


class Muon:
    """Momentum with orthogonalised updates, scaled to the step size of Adam (0.2 root mean square).

    The workers share the orthogonalisation: each does every n-th matrix of a shape.
    """

    def __init__(self, parameters, momentum=0.95):
        self.parameters = list(parameters)
        self.momentum = momentum
        self.buffers = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self, lr, decay):
        shared = dist.is_initialized()
        rank, workers = (dist.get_rank(), dist.get_world_size()) if shared else (0, 1)
        updates = torch.zeros(sum(p.numel() for p in self.parameters))
        shapes, offset = {}, 0
        for i, (parameter, buffer) in enumerate(zip(self.parameters, self.buffers)):
            buffer.lerp_(parameter.grad, 1 - self.momentum)
            slot = updates[offset:offset + parameter.numel()].view(len(parameter), -1)
            offset += parameter.numel()
            shapes.setdefault(slot.shape, []).append((i, slot))
        for shape, members in shapes.items():
            mine = members[rank::workers]
            if not mine:
                continue
            stack = torch.stack([
                self.parameters[i].grad.lerp(self.buffers[i], self.momentum).reshape(shape)
                for i, _ in mine])
            for (_, slot), update in zip(mine, orthogonalise(stack)):
                slot.copy_(update)
        if shared:
            dist.all_reduce(updates)
        offset = 0
        for parameter in self.parameters:
            update = updates[offset:offset + parameter.numel()].view(parameter.shape)
            offset += parameter.numel()
            parameter.mul_(1 - lr * decay)
            scale = 0.2 * max(len(parameter), parameter[0].numel()) ** 0.5
            parameter.add_(update, alpha=-lr * scale)


class Optimiser:
    """Muon for the inner matrices and kernels, AdamW for all other parameters."""

    def __init__(self, named_parameters, lr, decay=0.01, muon=True, outer=()):
        inner, rest = [], []
        for name, parameter in named_parameters:
            small = parameter.dim() < 2 or min(len(parameter), parameter[0].numel()) < 16
            is_outer = small or any(part in name for part in outer)
            (rest if is_outer or not muon else inner).append(parameter)
        self.lr, self.decay = lr, decay
        self.muon = Muon(inner)
        self.adam = torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
        self.parameters = inner + rest
        if dist.is_initialized():       # every worker starts from the weights of the first
            for parameter in self.parameters:
                value = parameter.detach().contiguous()
                dist.broadcast(value, 0)
                parameter.data.copy_(value)

    def step(self, factor):
        """One update at `factor` times the peak learning rate; clears the gradients."""
        self.adam.param_groups[0]["lr"] = self.lr * factor
        self.adam.step()
        if self.muon.parameters:
            self.muon.step(self.lr * factor, self.decay)
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self):
        return {"adam": self.adam.state_dict(), "muon": self.muon.buffers}

    def load_state_dict(self, state):
        self.adam.load_state_dict(state["adam"])
        self.muon.buffers = [buffer.clone() for buffer in state["muon"]]


class Clock:
    """Wall-clock schedule: the learning rate depends on the share of --minutes that has passed."""

    def __init__(self, minutes, spent=0.0, warm_up=50, hold=0.3):
        self.start = time.time() - spent
        self.seconds = 60 * minutes
        self.warm_up, self.hold = warm_up, hold
        self.first_step = None

    def spent(self):
        return time.time() - self.start

    def progress(self):
        return min(1.0, self.spent() / self.seconds)

    def factor(self, step, progress):
        """Short warm-up after every start, then flat, then linear to zero."""
        if self.first_step is None:
            self.first_step = step
        rise = min(1.0, (step - self.first_step + 1) / self.warm_up)
        return rise * min(1.0, (1.0 - progress) / (1.0 - self.hold))


def average_gradients(parameters, *scalars):
    """Mean of all gradients and of some numbers over the workers; returns the numbers."""
    if not dist.is_initialized():
        return scalars
    grads = [p.grad for p in parameters]
    flat = torch.cat([g.reshape(-1) for g in grads] + [torch.tensor(scalars)])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    offset = 0
    for grad in grads:
        grad.copy_(flat[offset:offset + grad.numel()].view_as(grad))
        offset += grad.numel()
    return flat[offset:].tolist()


def _worker(rank, workers, rendezvous, function, args):
    torch.set_num_threads(1)
    if workers > 1:
        dist.init_process_group("gloo", init_method=f"file://{rendezvous}",
                                rank=rank, world_size=workers)
    torch.manual_seed(args.seed)
    function(rank, args)


def run_workers(function, args):
    """Call function(rank, args) in --workers processes of one thread each."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    rendezvous = pathlib.Path(args.work).resolve() / f"rendezvous-{os.getpid()}"
    try:
        torch.multiprocessing.spawn(_worker, (args.workers, rendezvous, function, args), args.workers)
    finally:
        rendezvous.unlink(missing_ok=True)


def save_checkpoint(path, state):
    """Write and rename, so that a cut leaves the old file."""
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def load_checkpoint(path):
    return torch.load(path) if path.exists() else {"step": 0, "spent": 0.0}


def snr_weights(signal, gamma=5.0):
    """Of the squared error of predicted noise, by timestep: min-SNR (arXiv:2303.09556)."""
    snr = signal / (1 - signal)
    return snr.clamp(max=gamma) / snr


def train_denoiser(rank, args, path, state, model, batches, predict, *, scheduler, outer,
                   warm_up, most_average, key="model"):
    """Train `model` until --minutes have passed or --steps are done, from the checkpoint `state`
    on, whose weights it has already; checkpoints, with the weights as `key`, go to `path`.

    batches.draw() gives clean samples and what they depend on; predict(noisy, times, condition)
    the noise.  warm_up: steps of it for a fresh and for a loaded optimiser; most_average: of the
    average of the weights, how much is kept of it in a step.
    """
    torch.manual_seed(args.seed + 1000 * state["step"] + rank)
    optimiser = Optimiser(model.named_parameters(), args.lr, outer=outer)
    average = [p.detach().clone() for p in model.parameters()]
    if "optimiser" in state:
        optimiser.load_state_dict(state["optimiser"])
        average = [p.clone() for p in state["average"]]
    weight = snr_weights(scheduler.alphas_cumprod)
    clock = Clock(args.minutes, state["spent"], warm_up=warm_up["optimiser" in state])
    step, mean, last = state["step"], state.get("loss"), False
    while not last:
        clean, condition = batches.draw()
        noise = torch.randn_like(clean)
        strata = (torch.arange(args.batch) + torch.rand(args.batch)) / args.batch
        times = (strata * len(weight)).long().clamp(max=len(weight) - 1)
        predicted = predict(scheduler.add_noise(clean, noise, times), times, condition)
        error = (predicted - noise).square().mean(dim=(1, 2, 3))
        loss = (weight[times] * error).mean()
        loss.backward()
        value, progress = average_gradients(optimiser.parameters, loss.item(), clock.progress())
        optimiser.step(clock.factor(step, progress))
        mean = value if mean is None else 0.98 * mean + 0.02 * value
        step += 1
        last = progress >= 1.0 or step == args.steps
        if rank != 0:
            continue
        keep = min(most_average, (1 + step) / (10 + step))
        torch._foreach_lerp_(average, list(model.parameters()), 1 - keep)
        if step % 20 == 0 or last:
            print(f"step {step} seconds {clock.spent():.0f} loss {mean:.4f}", flush=True)
        if step % 200 == 0 or last:
            save_checkpoint(path, {
                key: model.state_dict(), "optimiser": optimiser.state_dict(), "loss": mean,
                "average": average, "step": step, "spent": clock.spent(),
                "batch": args.batch * args.workers, "spent_before": state.get("spent_before", 0.0)})
