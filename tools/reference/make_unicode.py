#!/usr/bin/env python3
"""Writes models/unicode_tables.c.

    python tools/reference/make_unicode.py models/unicode_tables.c

Letters, numbers, white space and lower case are asked of Hugging Face's
tokenizers, so that texts are cut where transformers cuts them; canonical
decompositions and combining classes come from Python's unicodedata, less what
the normalizer of tokenizers, of an earlier Unicode, does not know.
"""

import sys
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers

POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def members(pattern):
    split = pre_tokenizers.Split(Regex(pattern), behavior="removed",
                                 invert=True)
    return [c for c in POINTS if split.pre_tokenize_str(chr(c))]


def ranges(points):
    out = []
    for c in points:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def lower_runs():
    """(first, last, stride, difference) of code points that one other replaces;
    those that several replace are for the code to know."""
    lower = normalizers.Lowercase()
    runs = []
    for c in POINTS:
        small = lower.normalize_str(chr(c))
        if small == chr(c):
            continue
        if len(small) > 1:
            assert c == 0x130 and small == "i\u0307"
            continue
        difference = ord(small) - c
        for stride in (1, 2):
            if runs and runs[-1][3] == difference and \
                    c - runs[-1][1] == stride and \
                    runs[-1][2] in (0, stride):
                runs[-1][1:3] = [c, stride]
                break
        else:
            runs.append([c, c, 0, difference])
    return [[a, b, stride or 1, d] for a, b, stride, d in runs]


def is_mark(c, k):
    """Whether tokenizers puts c, of class k, in its place among marks."""
    other = "\u0334" if k > 1 else "\u05b0"  # of classes 1 and 10
    pair = chr(c) + other if k > 1 else other + chr(c)
    return normalizers.NFD().normalize_str("a" + pair) != "a" + pair


def combining_runs():
    out = []
    for c in POINTS:
        k = unicodedata.combining(chr(c))
        if k == 0 or not is_mark(c, k):
            continue
        if out and out[-1][1] == c - 1 and out[-1][2] == k:
            out[-1][1] = c
        else:
            out.append([c, c, k])
    return out


def decompositions():
    """(point, first, second): second 0 where one point replaces it; the top bit
    of `first` marks what composition leaves alone."""
    out = []
    for c in POINTS:
        text = unicodedata.decomposition(chr(c))
        if not text or text.startswith("<") or \
                normalizers.NFD().normalize_str(chr(c)) == chr(c):
            continue
        parts = [int(p, 16) for p in text.split()]
        first, second = parts[0], parts[1] if len(parts) > 1 else 0
        if unicodedata.normalize("NFC", chr(c)) != chr(c):
            first |= 0x80000000
        out.append([c, first, second])
    return out


def emit(file, kind, name, rows):
    file.write("\nconst %s %s[] = {\n" % (kind, name))
    line = "   "
    for row in rows:
        text = " {" + ",".join("%d" % v if v < 10 else "0x%X" % v
                               for v in row) + "},"
        if len(line) + len(text) > 80:
            file.write(line + "\n")
            line = "   "
        line += text
    file.write(line + "\n};\n")
    file.write("const size_t %s_count =\n    sizeof %s / sizeof %s[0];\n"
               % (name, name, name))


def main():
    with open(sys.argv[1], "w") as file:
        file.write("/* Made by tools/reference/make_unicode.py; "
                   "see models/unicode_tables.h. */\n"
                   '#include "models/unicode_tables.h"\n')
        emit(file, "pdag_range", "pdag_letters", ranges(members(r"\p{L}")))
        emit(file, "pdag_range", "pdag_numbers", ranges(members(r"\p{N}")))
        emit(file, "pdag_range", "pdag_spaces", ranges(members(r"\s")))
        emit(file, "pdag_lower_run", "pdag_lower_runs", lower_runs())
        emit(file, "pdag_combining_run", "pdag_combining_runs",
             combining_runs())
        emit(file, "pdag_decomposition", "pdag_decompositions",
             decompositions())


if __name__ == "__main__":
    main()
