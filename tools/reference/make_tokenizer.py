#!/usr/bin/env python3
"""Fixture of tests/test_models_tokenizer.c: small CLIP tokenizers in three
layouts and what transformers' CLIPTokenizer makes of odd texts.

    python tools/reference/make_tokenizer.py tests/data/tokenizer

`saved` is what save_pretrained writes today, `hub15` and `hub21` have the files
of Stable Diffusion 1.5 and 2.1 on the hub (2.1: pad token "!" in the map, the
end token in the config).  300 merges are learnt from this script's own text.
Random texts: seed 20240607.  Needs transformers.
"""

import collections
import json
import os
import random
import re
import shutil
import sys
import unicodedata

from transformers import CLIPTokenizer

N_MERGES = 300
START, END = "<|startoftext|>", "<|endoftext|>"

TEXTS = [
    "", " ", "a", "a photo of an astronaut riding a horse on mars",
    "A Photo Of The RED Apple!", "it's we're I'd you'll they've I'm don't",
    "it''s 'tis 'Twas o'clock 'sour 'revolver 'll'll'd's't'm", "'", "''", "'s",
    "2023 12.5% 3,000 x2 4k 10:30", "wow!!! ... ?! -- (really) [yes] {no} #tag",
    "tab\tand\nnew\r\nline\x0b\x0c page  double   triple",
    "nbsp\u00a0em\u2003ideo\u3000line\u2028para\u2029next\u0085end",
    "\x1c\x1d\x1e\x1f separators", "caf\u00e9 na\u00efve \u00c5ngstr\u00f6m",
    "cafe\u0301 nai\u0308ve A\u030angstro\u0308m", "q\u0323\u0307 q\u0307\u0323",
    "a\u0315\u0300\u05ae\u0300b", "\u1e9b\u0323 \u2126 \u212b \u212a",
    "\u0130stanbul I\u0307 \u0131 DZ\u01c5 \u01c4 \u03a3\u03a3 \u1e9e",
    "\u0391\u03a3 \u039f\u0394\u039f\u03a3 final sigma",
    "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab\u1100\u116e\u11a8 \uac00\u11a8",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8 \u304b\u3099\u304c",
    "\u4e2d\u6587\uff0c\u6d4b\u8bd5\u3002 \uf900 \ufa0e \ufb1d \u0344",
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd",
    "\u0928\u093f\u0915 \u0958 \u09cb \u09c7\u09be \u0b94",
    "\U0001f600 smile \U0001f469\u200d\U0001f680\ufe0f \U0001f1e9\U0001f1ea",
    "\u2764\ufe0f love \u2122 \u00ae \u20ac5 \u00a35", "\U0001d400\U0001d7d8",
    "\u00bd \u2460 \u2167 \u0663\u0664 \u00b2x", "x\u200bzero\ufeffwidth\u00ad",
    "<|startoftext|>", "<|endoftext|>", "a<|endoftext|>b", "<|endoftext|>!",
    "<|ENDOFTEXT|> <|StartOfText|>!", "!<|ENDOFTEXT|>!", "<|endoftext|",
    "<|endoftext|><|endoftext|> <|startoftext|>x", "< |endoftext| >",
    "<|endoftext|>\u0301 cafe\u0301<|startoftext|>", "a!b !! hello! !",
    "the quick brown fox jumps over the lazy dog " * 12,
    "antidisestablishmentarianism" * 5, "!" * 300, "1" * 100, "a" * 333,
    "\U00010ffff \uffff \ue000 private", "\u1c89 \ua7cb \U00010d50 \u0378",
    "photorealistic, trending on artstation, 8k; (masterpiece:1.2)",
    "S\u0323\u0307 \u1e69 \u1e63\u0307 s\u0307\u0323", "\u0fb2\u0f71\u0f80",
]


def byte_alphabet():
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(len(rest))]


def learn_merges():
    with open(__file__, encoding="utf-8") as file:
        counts = collections.Counter(
            re.findall(r"[a-z]+", file.read().lower()))
    words = {tuple(w[:-1]) + (w[-1] + "</w>",): n for w, n in counts.items()}
    merges = [("!", "!"), ("!", "!</w>"), ("!!", "!!</w>"), ("a", "a"),
              ("aa", "aa"), ("\u00f0", "\u0141")]
    while len(merges) < N_MERGES:
        pairs = collections.Counter()
        for symbols, n in words.items():
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += n
        best = min(pairs, key=lambda p: (-pairs[p], p))
        if best not in merges:
            merges.append(best)
        joined = {}
        for symbols, n in words.items():
            out = []
            for symbol in symbols:
                if out and (out[-1], symbol) == best:
                    out[-1] += symbol
                else:
                    out.append(symbol)
            joined[tuple(out)] = n
        words = joined
    return merges


def random_texts(count):
    rng = random.Random(20240607)
    points = [c for c in range(0x20, 0x30000) if not 0xD800 <= c < 0xE000]
    marks = [c for c in points if unicodedata.combining(chr(c))]
    composed = [c for c in points if unicodedata.decomposition(chr(c))]
    ascii_points = [ord(c) for c in "aAbBeEiIoOsStTdDlLmMvVrR''!!<|> 019.,"]
    for _ in range(count):
        text = "".join(chr(rng.choice(rng.choice(
            [points, marks, composed, ascii_points, ascii_points])))
            for _ in range(rng.randrange(1, 14)))
        yield rng.choice([text, unicodedata.normalize("NFD", text)])


def write(path, value, indent=None):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=indent)
        file.write("\n")


def added(content, kind=False):
    token = {"content": content, "lstrip": False, "normalized": True,
             "rstrip": False, "single_word": False}
    return dict(token, __type="AddedToken") if kind else token


def write_hub(folder, vocab, merges, pad):
    os.makedirs(folder)
    write(folder + "/vocab.json", vocab)
    with open(folder + "/merges.txt", "w", encoding="utf-8") as file:
        file.write("#version: 0.2\n")
        file.writelines(a + " " + b + "\n" for a, b in merges)
    write(folder + "/special_tokens_map.json",
          {"bos_token": added(START), "eos_token": added(END),
           "pad_token": pad, "unk_token": added(END)}, 2)
    write(folder + "/tokenizer_config.json",
          {"add_prefix_space": False, "bos_token": added(START, True),
           "do_lower_case": True, "eos_token": added(END, True),
           "errors": "replace", "model_max_length": 77, "pad_token": END,
           "tokenizer_class": "CLIPTokenizer",
           "unk_token": added(END, True)}, 2)


def main():
    root = sys.argv[1]
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(root)
    merges = learn_merges()
    alphabet = byte_alphabet()
    tokens = alphabet + [c + "</w>" for c in alphabet]
    tokens += ["".join(pair) for pair in merges] + [START, END]
    vocab = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    CLIPTokenizer(vocab=vocab, merges=merges).save_pretrained(root + "/saved")
    write_hub(root + "/hub15", vocab, merges, END)
    write_hub(root + "/hub21", vocab, merges, "!")
    lines = []
    for name in ["saved", "hub15", "hub21"]:
        tokenizer = CLIPTokenizer.from_pretrained(root + "/" + name)
        texts = TEXTS + list(random_texts(60)) if name == "saved" else TEXTS
        for k, text in enumerate(texts):
            n = [24, 77, 16, 5, 2][k % 5]
            ids = tokenizer(text, padding="max_length", max_length=n,
                            truncation=True).input_ids
            while len(ids) > 1 and ids[-1] == ids[-2]:
                ids.pop()  # the last id fills the rest
            lines.append(json.dumps({"dir": name, "n": n, "text": text,
                                     "ids": ids}, separators=(",", ":")))
    with open(root + "/cases.json", "w", encoding="utf-8") as file:
        file.write('{"cases": [\n' + ",\n".join(lines) + "\n]}\n")


if __name__ == "__main__":
    main()
