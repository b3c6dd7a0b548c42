#!/usr/bin/env python3
"""Render the emoji data set: 64x64 pictures, captions, groups and the held-out list.

Inputs are the Debian 12 packages fonts-noto-color-emoji, unicode-data and
unicode-cldr-core, pinned by checksum.  The result is one file, WORK/emoji.npz,
and tools/train/held_out.txt; both are the same on every run.

    emoji_data.py --work DIR
"""

import argparse
import hashlib
import pathlib
import re
import unicodedata
import xml.etree.ElementTree as ElementTree

import numpy as np
from PIL import Image, ImageDraw, ImageFont, features

FONT = pathlib.Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
EMOJI_TEST = pathlib.Path("/usr/share/unicode/emoji/emoji-test.txt")
CLDR = pathlib.Path("/usr/share/unicode/cldr/common")
SHA256 = {
    FONT: "e5899ed38b8ed83e08bd3ac5de09791e9d19d288333a796de1d35ad17396f1ec",
}

STRIKE = 109                # the only bitmap size of the font
GLYPH = (136, 128)          # of one rendered emoji
SIZE = 64                   # of a training picture

TONES = ("light skin tone", "medium light skin tone", "medium skin tone",
         "medium dark skin tone", "dark skin tone")

# Share of the training samples that each Unicode group gets, in percent.
GROUP_SHARE = {
    "Smileys & Emotion": 12, "People & Body": 19, "Animals & Nature": 12,
    "Food & Drink": 11, "Travel & Places": 14, "Activities": 6,
    "Objects": 15, "Symbols": 9, "Flags": 2,
}


def check_inputs():
    """Stop unless the inputs are the pinned ones and Pillow can shape text."""
    for path, want in SHA256.items():
        have = hashlib.sha256(path.read_bytes()).hexdigest()
        if have != want:
            raise SystemExit(f"{path}: sha256 {have}, want {want}")
    if not features.check("raqm"):
        raise SystemExit("Pillow has no libraqm: joined emoji would not render")


def caption(text):
    """Lower-case ASCII words of an emoji name: the form of every prompt."""
    text = text.replace("#", " hash ").replace("*", " asterisk ").replace("&", " and ")
    text = unicodedata.normalize("NFKD", text.lower())
    text = text.replace("\u2019", "").replace("'", "").replace(".", "")
    text = "".join(c for c in text if not unicodedata.combining(c))
    return " ".join(re.findall(r"[a-z0-9]+", text))


def split_tone(name):
    """Split a name into (role, tones): 'man: dark skin tone, red hair' -> ('man red hair', [...])."""
    head, _, tail = name.partition(":")
    parts = [caption(part) for part in tail.split(",")] if tail else []
    tones = [part for part in parts if part in TONES]
    rest = [part for part in parts if part not in TONES and part]
    return " ".join([caption(head)] + rest), tones


def read_keywords():
    """CLDR keyword lists by emoji, without variation selectors."""
    keywords = {}
    for part in ("annotations", "annotationsDerived"):
        tree = ElementTree.parse(CLDR / part / "en.xml")
        for node in tree.iter("annotation"):
            if node.get("type") != "tts":
                key = node.get("cp").replace("\ufe0f", "")
                words = [caption(word) for word in node.text.split("|")]
                keywords.setdefault(key, " ".join(word for word in words if word))
    return keywords


def read_emoji():
    """Yield (characters, name, group, subgroup, version) of every fully-qualified emoji."""
    group = subgroup = ""
    for line in EMOJI_TEST.read_text(encoding="utf-8").splitlines():
        if line.startswith("# group: "):
            group = line[9:]
        elif line.startswith("# subgroup: "):
            subgroup = line[12:]
        elif "; fully-qualified" in line:
            codes, comment = line.split(";", 1)
            characters = "".join(chr(int(code, 16)) for code in codes.split())
            version, name = re.match(r".*?#\s+\S+\s+E([0-9.]+)\s+(.*)", comment).groups()
            yield characters, name, group, subgroup, float(version)


def render(font, characters):
    """One emoji on white at SIZE x SIZE, or None if the font has no single glyph for it.

    The strike is 136x128 with empty margins; its middle 128x128 is halved by 2x2 means.
    """
    canvas = Image.new("RGBA", (2 * GLYPH[0], 2 * GLYPH[1]), (255, 255, 255, 0))
    ImageDraw.Draw(canvas).text((0, 0), characters, font=font, embedded_color=True)
    box = canvas.getbbox()
    if box is None or box[2] > GLYPH[0]:
        return None
    white = Image.new("RGBA", canvas.size, (255, 255, 255, 255))
    white.alpha_composite(canvas)
    margin = (GLYPH[0] - 2 * SIZE) // 2
    middle = white.convert("RGB").crop((margin, 0, margin + 2 * SIZE, 2 * SIZE))
    return np.asarray(middle.resize((SIZE, SIZE), Image.Resampling.BOX))


def is_held_out(role, tone):
    """About one (role, skin tone) pair in ten, by a checksum of its words."""
    digest = hashlib.sha256(f"{role}|{tone}".encode()).digest()
    return digest[0] < 26


def build(held_out_file):
    """Render everything; return the arrays of emoji.npz."""
    check_inputs()
    font = ImageFont.truetype(str(FONT), STRIKE, layout_engine=ImageFont.Layout.RAQM)
    keywords = read_keywords()
    rows, images, seen = [], [], set()
    for characters, name, group, subgroup, version in read_emoji():
        role, tones = split_tone(name)
        if len(set(tones)) > 1:
            continue            # couples of two tones: 500 near-copies
        image = render(font, characters)
        if image is None or image.tobytes() in seen:
            continue
        seen.add(image.tobytes())
        tone = tones[0] if tones else ""
        held_out = bool(tone) and group == "People & Body" and is_held_out(role, tone)
        plain = characters.replace("\ufe0f", "")
        rows.append((caption(name), keywords.get(plain, ""), group, subgroup, role, tone, held_out,
                     version))
        images.append(image)

    columns = list(zip(*rows))
    data = {key: np.array(column) for key, column in
            zip(("name", "keywords", "group", "subgroup", "role", "tone", "held_out", "version"),
                columns)}
    data["image"] = np.stack(images)
    data["weight"] = sample_weights(data)
    held = data["name"][data["held_out"]]
    held_out_file.write_text("".join(f"{name}\n" for name in held), encoding="utf-8")
    return data


def sample_weights(data):
    """Probability of each picture in a training batch: GROUP_SHARE, then inside the group.

    The first emoji sets (versions below 1), which everybody knows, count double.  People are even
    by role first, and the toneless picture counts for two.
    """
    weight = np.zeros(len(data["name"]))
    for group, share in GROUP_SHARE.items():
        inside = (data["group"] == group) & ~data["held_out"]
        part = inside * np.where(data["version"] < 1, 2.0, 1.0)
        if group == "People & Body":
            for role in set(data["role"][inside]):
                rows = inside & (data["role"] == role)
                each = np.where(data["tone"][rows] == "", 2.0, 1.0)
                part[rows] = each / each.sum() * len(each) ** 0.5
        weight += share * part / part.sum()
    return weight / weight.sum()


def load(work):
    """The arrays of WORK/emoji.npz as a dictionary."""
    with np.load(pathlib.Path(work) / "emoji.npz") as archive:
        return {key: archive[key] for key in archive.files}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=pathlib.Path, required=True, help="scratch directory")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    data = build(pathlib.Path(__file__).with_name("held_out.txt"))
    np.savez_compressed(args.work / "emoji.npz", **data)
    for group in GROUP_SHARE:
        inside = data["group"] == group
        print(f"{group}: {inside.sum()} pictures, {(inside & data['held_out']).sum()} held out, "
              f"share {data['weight'][inside].sum():.3f}")
    print(f"all: {len(inside)} pictures, longest name {max(len(n.split()) for n in data['name'])} words")


if __name__ == "__main__":
    main()
