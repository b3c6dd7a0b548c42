#!/usr/bin/env python3
"""Frechet distance between two sets of pictures or results, with features of one's own.

    d^2 = |m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2))       (Heusel et al. 2017, arXiv:1706.08500)

m and C: mean and covariance of the features of either set.  This is not the published FID: its
features are those of an Inception network and 2 048 wide; numbers compare only with numbers of the
same features and the same number of pictures.  C has rank n - 1 at most, so take many more pictures
than features, or sets of the same noise, whose distance falls to 0 as the pictures become the same.

A feature function takes an array of items (pictures: [n, 3, H, W] float32, 0 to 1) and returns
[n, d] floats.  Import `frechet`, `statistics` and `distance`, or name one:

    fid.py A B --features vae:examples/models/emoji-sd
    fid.py A B --features MODULE.py:FUNCTION[:ARGUMENT]      # FUNCTION(ARGUMENT) makes the function

where A and B are folders of PNG pictures, .npy arrays of items, or .npz files of `statistics`
(--write FILE.npz makes one from A).
"""

import argparse
import importlib.util
import pathlib

import numpy


def statistics(features, weights=None):
    """Mean [d] and covariance [d, d], float64, of features [n, d], weighted by weights [n] where
    given; n is at least 2."""
    features = numpy.asarray(features, dtype=numpy.float64)
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"features of shape {features.shape}: expected [2 or more, d]")
    covariance = numpy.cov(features, rowvar=False, aweights=weights)
    return numpy.average(features, 0, weights), numpy.atleast_2d(covariance)


def root(matrix):
    """Square root of a symmetric positive semidefinite matrix."""
    values, vectors = numpy.linalg.eigh(matrix)
    return (vectors * numpy.sqrt(values.clip(0))) @ vectors.T


def frechet(one, other):
    """Squared Frechet distance of two (mean, covariance) pairs, at least 0."""
    (m1, c1), (m2, c2) = one, other
    if m1.shape != m2.shape:
        raise ValueError(f"features of {m1.shape[0]} and {m2.shape[0]} numbers")
    half = root(c1)
    cross = numpy.sqrt(numpy.linalg.eigvalsh(half @ c2 @ half).clip(0)).sum()
    return max(float((m1 - m2) @ (m1 - m2) + numpy.trace(c1) + numpy.trace(c2) - 2 * cross), 0.0)


def distance(features, others):
    """Squared Frechet distance of two sets of features [n, d] and [m, d]."""
    return frechet(statistics(features), statistics(others))


def vae(folder, grid=4, batch=32):
    """Features of a diffusers autoencoder: its latent means, averaged over `grid` x `grid` cells
    and scaled; channels * grid * grid numbers (emoji-sd: 64)."""
    import torch
    from diffusers import AutoencoderKL

    model = AutoencoderKL.from_pretrained(folder, subfolder="vae", torch_dtype=torch.float32).eval()

    @torch.no_grad()
    def features(pictures):
        parts = []
        for start in range(0, len(pictures), batch):
            x = torch.from_numpy(numpy.ascontiguousarray(pictures[start:start + batch])) * 2 - 1
            latents = model.encode(x).latent_dist.mean * model.config.scaling_factor
            parts.append(torch.nn.functional.adaptive_avg_pool2d(latents, grid).flatten(1))
        return torch.cat(parts).double().numpy()

    return features


def feature_function(text):
    """The function that `vae:FOLDER` or `MODULE.py:FUNCTION[:ARGUMENT]` names."""
    name, _, rest = text.partition(":")
    if name == "vae" and rest:
        return vae(rest)
    maker, _, argument = rest.partition(":")
    if not maker:
        raise SystemExit(f"--features: {text}: expected vae:FOLDER or MODULE.py:FUNCTION[:ARGUMENT]")
    spec = importlib.util.spec_from_file_location(pathlib.Path(name).stem, name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = getattr(module, maker)
    return made(argument) if argument else made()


def read_items(path):
    """Items of a .npy file, or pictures [n, 3, H, W], 0 to 1, of a folder of PNG files."""
    path = pathlib.Path(path)
    if path.is_file():
        return numpy.load(path)
    from PIL import Image
    files = sorted(path.rglob("*.png"))
    if not files:
        raise SystemExit(f"{path}: neither a file nor a folder with PNG pictures")
    pictures = [numpy.asarray(Image.open(file).convert("RGB"), dtype=numpy.float32) for file in files]
    return numpy.stack(pictures).transpose(0, 3, 1, 2) / 255


def known_statistics(path, features):
    """Statistics of what `path` holds; features is a feature function, or None."""
    if str(path).endswith(".npz"):
        with numpy.load(path) as data:
            return data["mean"], data["covariance"]
    if features is None:
        raise SystemExit(f"{path}: --features is needed")
    return statistics(features(read_items(path)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("a", help="PNG folder, .npy of items, .npz of statistics")
    parser.add_argument("b", nargs="?", help="the same")
    parser.add_argument("--features", help="vae:FOLDER or MODULE.py:FUNCTION[:ARGUMENT]")
    parser.add_argument("--write", help="write the statistics of A, .npz")
    args = parser.parse_args()
    features = feature_function(args.features) if args.features else None
    one = known_statistics(args.a, features)
    if args.write:
        numpy.savez(args.write, mean=one[0], covariance=one[1])
    if args.b:
        print(f"{frechet(one, known_statistics(args.b, features)):.6g}")


if __name__ == "__main__":
    main()
