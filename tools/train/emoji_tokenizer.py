#!/usr/bin/env python3
"""Learn a small byte-level BPE vocabulary in CLIP's format from the captions.

Writes WORK/tokenizer/ in both layouts: vocab.json and merges.txt (the hub's
Stable Diffusion 1.x) and tokenizer.json (what transformers saves today).

    emoji_tokenizer.py --work DIR
"""

import argparse
import collections
import json
import pathlib
import re

from transformers import CLIPTokenizer

import emoji_data

VOCABULARY = 3000           # tokens in all, with the two special ones
MAX_LENGTH = 16             # tokens of a prompt, with start and end
START, END = "<|startoftext|>", "<|endoftext|>"


def byte_alphabet():
    """The 256 printable stand-ins of the bytes, in the order of CLIP's vocabulary."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) for byte in plain] + [chr(256 + i) for i in range(len(others))]


def count_words(data):
    """Words as CLIP's pattern cuts them, with counts; a role counts once, whatever its tones."""
    counts = collections.Counter()
    for text, times in [(set(data["name"]), 1), (set(data["role"]), 4), (set(data["keywords"]), 1)]:
        for line in text:
            for word in re.findall(r"[a-z]+|[0-9]", line):
                counts[word] += times
    return counts


def learn_merges(counts, number):
    """Greedy BPE: merge the most frequent pair, `number` times; ties go to the alphabetically first."""
    words = {tuple(word[:-1]) + (word[-1] + "</w>",): count for word, count in counts.items()}
    merges = []
    while len(merges) < number:
        pairs = collections.Counter()
        for symbols, count in words.items():
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = {merge(symbols, best): count for symbols, count in words.items()}
    return merges


def merge(symbols, pair):
    """Join every occurrence of the pair in a word."""
    if pair[0] not in symbols:
        return symbols
    joined, i = [], 0
    while i < len(symbols):
        if symbols[i:i + 2] == pair:
            joined.append(pair[0] + pair[1])
            i += 2
        else:
            joined.append(symbols[i])
            i += 1
    return tuple(joined)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=pathlib.Path, required=True, help="scratch directory")
    args = parser.parse_args()
    data = emoji_data.load(args.work)
    alphabet = byte_alphabet()
    alphabet += [letter + "</w>" for letter in alphabet]
    merges = learn_merges(count_words(data), VOCABULARY - len(alphabet) - 2)
    tokens = alphabet + ["".join(pair) for pair in merges] + [START, END]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    assert len(vocabulary) == len(tokens)

    out = args.work / "tokenizer"
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges, unk_token=END, bos_token=START,
                              eos_token=END, pad_token=END, model_max_length=MAX_LENGTH)
    tokenizer.save_pretrained(out)
    (out / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False) + "\n", encoding="utf-8")
    lines = ["#version: 0.2"] + [" ".join(pair) for pair in merges]
    (out / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    special = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    (out / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n")

    lengths = [len(tokenizer(str(name)).input_ids) for name in data["name"]]
    print(f"{len(tokens)} tokens, names of at most {max(lengths)} tokens, "
          f"mean {sum(lengths) / len(lengths):.1f}")


if __name__ == "__main__":
    main()
