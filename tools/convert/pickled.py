"""Pickled weights of a model in the diffusers layout (*.bin) to safetensors:

    python tools/convert/pickled.py MODEL            # beside them, *.bin stays
    python tools/convert/pickled.py MODEL --to NEW   # into a new folder, without *.bin

MODEL is a pipeline's folder (CompVis/ldm-celebahq-256, google/ddpm-cifar10-32) or a
part's.  Tensors keep their names and types, and configurations are copied as they
are: saving a model anew would write today's defaults into them, such as the
scaling_factor that the autoencoder of LDM-CelebA-HQ was not trained with.

Files are read with torch's restricted unpickler, which runs no code of theirs.  Needs
torch and safetensors."""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import sys
import tempfile

import torch
from safetensors.torch import save_file

# What the weights of a part are called without their ending, before and after.
BASES = {"pytorch_model": "model", "diffusion_pytorch_model": "diffusion_pytorch_model"}
INDEX = ".bin.index.json"


def new_name(name):
    """diffusion_pytorch_model.fp16.bin -> ...fp16.safetensors; None: not weights."""
    for ending, new_ending in ((INDEX, ".safetensors.index.json"), (".bin", ".safetensors")):
        for base, new_base in BASES.items():
            middle = name[len(base) : -len(ending)]
            if name == base + middle + ending and (not middle or middle[0] in ".-"):
                return new_base + middle + new_ending
    return None


def write(path, save):
    """The file appears complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    save(part)
    part.chmod(0o666 & ~umask())
    os.replace(part, path)


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def new_folder(to):
    """A folder to be filled, which is called `to` when all has gone well and is gone
    otherwise."""
    if to.exists():
        sys.exit(f"{to}: is there already")
    to.parent.mkdir(parents=True, exist_ok=True)
    part = pathlib.Path(tempfile.mkdtemp(prefix=f".{to.name}.", dir=to.parent))
    try:
        yield part
        part.chmod(0o777 & ~umask())
        part.rename(to)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def read_tensors(path, inside=("state_dict",), allowed=()):
    """{name: tensor} of a pickled state dictionary, or of the first of the dictionaries
    `inside` that it has; `allowed`: classes that may be in the file besides."""
    try:
        with torch.serialization.safe_globals(list(allowed)):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # of whatever kind the unpickler stumbles into
        raise ValueError("holds more than tensors, is cut off, or is no file of torch") from error
    for key in inside:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict):
        raise ValueError(f"a {type(content).__name__}, not a dictionary of tensors")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise ValueError(f"{name!r} is a {type(value).__name__}, not a tensor")
    return content


def convert_weights(source, target):
    # each with memory of its own, as safetensors wants them
    tensors = {k: v.detach().contiguous().clone() for k, v in read_tensors(source).items()}
    write(target, lambda part: save_file(tensors, part, metadata={"format": "pt"}))
    count = sum(t.numel() for t in tensors.values())
    print(f"{source}: {len(tensors)} tensors, {count} parameters")


def convert_index(source, target):
    index = json.loads(source.read_text())
    index["weight_map"] = {k: new_name(v) or v for k, v in index["weight_map"].items()}
    text = json.dumps(index, indent=2, sort_keys=True) + "\n"
    write(target, lambda part: part.write_text(text))


def convert(model, to):
    found = 0
    files = sorted(p for p in model.rglob("*") if p.is_file() and ".git" not in p.parts)
    for source in files:
        target = to / source.relative_to(model)
        name = new_name(source.name)
        if name is None:
            if to != model:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
        elif source.with_name(name).exists():
            print(f"{source.with_name(name)}: is there already, and is kept")
            found += 1
        else:
            try:
                if source.name.endswith(INDEX):
                    convert_index(source, target.with_name(name))
                else:
                    convert_weights(source, target.with_name(name))
            except Exception as error:
                sys.exit(f"{source}: {error}")
            found += 1
    if found == 0:
        sys.exit(f"{model}: no pickled weights ({', '.join(b + '.bin' for b in BASES)})")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--to", type=pathlib.Path, help="a new folder")
    args = parser.parse_args()
    if not args.model.is_dir():
        sys.exit(f"{args.model}: not a folder")
    if args.to is None:
        convert(args.model, args.model)
        return
    if args.model.resolve() in args.to.resolve().parents:
        sys.exit(f"{args.to}: inside of {args.model}")
    with new_folder(args.to) as part:
        convert(args.model, part)


if __name__ == "__main__":
    main()
