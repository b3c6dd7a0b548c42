# python bench/gpu.py --build build --models emoji=examples/models/emoji-sd/unet
"""Table of bench/gpu.sh: one evaluation of U-Nets, ours beside PyTorch and the floor.

For every model, precision and number of rows: milliseconds of ours (bench/network), of
PyTorch eager and compiled on the same device, of the floor (the larger of operations
over the measured matrix rate and bytes over the measured bandwidth, bench/peak), and
the ratio of PyTorch's better time to ours.  A line of CSV each on standard output."""

import argparse
import pathlib
import subprocess
import sys
import time


def fields(*command):
    """Pairs of words that a program of ours prints, or its complaint."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip() or f"status {done.returncode}")
    words = done.stdout.split()
    return dict(zip(words[::2], words[1::2]))


def make_unet(folder):
    """Stable Diffusion 1.5's U-Net with random weights, 1.7 GB."""
    import diffusers
    import torch

    torch.manual_seed(1)
    model = diffusers.UNet2DConditionModel(
        sample_size=64, cross_attention_dim=768, attention_head_dim=8
    )
    model.to(torch.float16).save_pretrained(folder)


class Torch:
    """The same evaluation in PyTorch, channels last, without TF32."""

    def __init__(self, folder, device, precision):
        import diffusers
        import torch

        self.torch = torch
        self.device = torch.device(device)
        self.type = getattr(torch, precision)
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True
        name = diffusers.ConfigMixin._dict_from_json_file(folder + "/config.json")["_class_name"]
        self.model = getattr(diffusers, name).from_pretrained(folder, torch_dtype=self.type)
        self.model = self.model.eval().to(self.device, memory_format=torch.channels_last)

    def inputs(self, rows):
        torch, config = self.torch, self.model.config
        size = config.sample_size
        height, width = size if isinstance(size, (list, tuple)) else (size, size)
        shape = (rows, config.in_channels, height, width)
        x = torch.randn(shape, dtype=self.type, device=self.device)
        given = [
            x.to(memory_format=torch.channels_last),
            20.0 * torch.arange(rows, device=self.device) + 1,
        ]
        width = getattr(config, "cross_attention_dim", None)
        if width is not None and hasattr(self.model, "encoder_hid_proj"):
            given.append(torch.randn(rows, 77, width, dtype=self.type, device=self.device))
        return given

    def wait(self):
        if self.device.type == "cuda":
            self.torch.cuda.synchronize(self.device)

    def milliseconds(self, model, rows, repeats):
        given = self.inputs(rows)
        best = float("inf")
        with self.torch.inference_mode():
            for i in range(repeats + 3):  # the first ones choose kernels
                self.wait()
                began = time.perf_counter()
                model(*given)
                self.wait()
                if i >= 3:
                    best = min(best, time.perf_counter() - began)
        return 1e3 * best

    def eager(self, rows, repeats):
        return self.milliseconds(self.model, rows, repeats)

    def compiled(self, rows, repeats):
        self.torch.compiler.reset()
        model = self.torch.compile(self.model, mode="reduce-overhead")
        return self.milliseconds(model, rows, repeats)


def attempt(what, function, *arguments):
    """A number, or NaN and the reason on standard error: one cell must not cost the table."""
    try:
        return function(*arguments)
    except Exception as reason:  # noqa: BLE001
        print(f"gpu.py: {what}: {str(reason).splitlines()[0]}", file=sys.stderr)
        return float("nan")


def lines_of(args, name, folder, precision, peak):
    reference = None
    if args.torch_device != "none":
        try:
            reference = Torch(folder, args.torch_device, precision)
        except Exception as reason:  # noqa: BLE001
            print(f"gpu.py: PyTorch: {str(reason).splitlines()[0]}", file=sys.stderr)
    for rows in args.rows:
        what = f"{name} {precision} {rows} rows"
        try:
            ours = fields(
                args.build / "bench/network", folder, "--backend", args.backend,
                "--precision", precision, "--rows", rows, "--repeats", args.repeats,
            )  # fmt: skip
        except RuntimeError as reason:
            print(f"gpu.py: {what}: {reason}", file=sys.stderr)
            continue
        eager = compiled = float("nan")
        if reference is not None:
            eager = attempt(what + " eager", reference.eager, rows, args.repeats)
            if not args.no_compile:
                compiled = attempt(what + " compiled", reference.compiled, rows, args.repeats)
        compute = float(ours["gflop"]) / float(peak["tflops"])
        traffic = float(ours["mbyte"]) / float(peak["gbytes_per_second"])
        mine = float(ours["ms"])
        better = min([t for t in (eager, compiled) if t == t], default=float("nan"))
        yield [
            name, precision, rows, f"{mine:.3f}", f"{eager:.3f}", f"{compiled:.3f}",
            f"{max(compute, traffic):.3f}", f"{mine / max(compute, traffic):.2f}",
            f"{better / mine:.2f}",
        ]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--backend", default="cuda")
    parser.add_argument("--torch-device", default="cuda", help="cuda, cpu or none")
    parser.add_argument("--models", nargs="+", default=[], help="NAME=FOLDER of a network")
    parser.add_argument("--precisions", nargs="+", default=["float16", "bfloat16", "float32"])
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--peak-side", type=int, default=8192)
    parser.add_argument("--peak-mib", type=int, default=1024)
    parser.add_argument("--make-unet", metavar="FOLDER", help="only write the random U-Net")
    args = parser.parse_args()
    if args.make_unet:
        make_unet(args.make_unet)
        return
    print("model,precision,rows,ours_ms,eager_ms,compiled_ms,floor_ms,times_floor,torch_over_ours")
    for precision in args.precisions:
        try:
            peak = fields(
                args.build / "bench/peak", "--backend", args.backend, "--precision", precision,
                "--side", args.peak_side, "--mib", args.peak_mib,
            )  # fmt: skip
        except RuntimeError as reason:
            print(f"gpu.py: {precision}: {reason}", file=sys.stderr)
            continue
        print(
            f"# {precision}: {peak['tflops']} TFLOP/s, {peak['gbytes_per_second']} GB/s",
            flush=True,
        )
        for model in args.models:
            name, folder = model.split("=", 1)
            for line in lines_of(args, name, folder, precision, peak):
                print(",".join(str(cell) for cell in line), flush=True)


if __name__ == "__main__":
    main()
