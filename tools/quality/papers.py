#!/usr/bin/env python3
"""One page of what the papers compare, for the shipped models: made by bench/papers.sh.

    papers.py --results bench/results --out docs/papers

Reads pcm_quality.csv (emoji-sd), fashion_rounds.csv (fashion-dit), pusht.csv (the policy),
neighbour.csv (another prompt's trajectory as the start) and rounds.csv (rounds to convergence), and
published.json beside this file.  Writes OUT/papers.html, self-contained, and its charts as PNG.  A
file that is not there leaves its section out, and says so.
"""

import argparse
import base64
import collections
import csv
import html
import json
import pathlib
import re

import chart

NAMES = {
    "sequential": "sequential, k steps of all", "steps": "sequential, k steps in all",
    "picard": "Picard (ParaDiGMS)", "order-k": "order-k", "triangular-anderson": "ParaTAA",
    "gaussian": "Gaussian slope", "secant": "secant", "pcm-unmixed": "PCM without mixing",
    "pcm-gaussian": "PCM", "pcm-secant": "PCM + secant",
}
LONGEST = 10
POLICY_SAMPLER = "ddpm-100"
START = {"trajectory": "the plan before", "copies": "noise"}


def read(path):
    """Rows as dictionaries, or None where there is no such file."""
    if not path.exists():
        return None
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def number(text):
    return float(text) if text not in ("", None) else None


def shown(value):
    return "" if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


class Page:
    """The HTML text, and the folder of its charts."""

    def __init__(self, folder):
        self.folder, self.parts = folder, []

    def heading(self, text):
        self.parts.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text):
        self.parts.append(f"<p>{html.escape(text)}</p>")

    def table(self, head, rows, published=()):
        """Rows whose number is in `published` are marked so."""
        cells = "".join(f"<th>{html.escape(str(cell))}</th>" for cell in head)
        lines = [f"<tr>{cells}</tr>"]
        for i, row in enumerate(rows):
            kind = ' class="published"' if i in published else ""
            lines.append(f"<tr{kind}>" + "".join(
                f"<td>{html.escape(shown(cell) if isinstance(cell, float) else str(cell))}</td>"
                for cell in row) + "</tr>")
        self.parts.append("<table>" + "\n".join(lines) + "</table>")

    def chart(self, name, panels, names, lines):
        path = self.folder / f"{name}.png"
        chart.write(path, panels, names, lines)
        data = base64.b64encode(path.read_bytes()).decode("ascii")
        self.parts.append(f'<img alt="{html.escape(name)}" src="data:image/png;base64,{data}">')

    def write(self):
        style = ("body{font:15px sans-serif;max-width:1100px;margin:2em auto;padding:0 1em}"
                 "table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ccc;"
                 "padding:.25em .6em;text-align:right}td:first-child,th:first-child{text-align:left}"
                 "img{max-width:100%}.published{background:#fff6dd}")
        text = ("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                "<title>picard-dag beside the papers</title>"
                f"<style>{style}</style></head><body><h1>picard-dag beside the papers</h1>\n"
                + "\n".join(self.parts) + "\n</body></html>\n")
        (self.folder / "papers.html").write_text(text, encoding="utf-8")


def curves(rows, column):
    """{method: [value after round 1, 2, ..]} of the methods that NAMES knows, in its order."""
    found = {name: {} for name in NAMES}
    for row in rows:
        if row["method"] in found and number(row[column]) is not None:
            found[row["method"]][int(row["round"])] = number(row[column])
    return {NAMES[name]: [values[k] for k in sorted(values)] for name, values in found.items() if values}


def positive(values):
    return [max(value, 1e-9) for value in values]


def pictures(page, name, title, rows, distances):
    """Quality after every round of a model that makes pictures.  distances: (column, text)."""
    page.heading(title)
    psnr, evaluations = curves(rows, "psnr"), curves(rows, "evaluations")
    names = list(psnr)
    tables = [("psnr", "PSNR to the sequential picture, dB")] + distances
    for column, text in tables:
        values = curves(rows, column)
        if not values:
            continue
        page.text(text)
        page.table(["rounds k:"] + list(range(1, LONGEST + 1)),
                   [[method] + line[:LONGEST] for method, line in values.items()])
    first = curves(rows, distances[0][0])
    flat = [v for line in first.values() for v in positive(line[:LONGEST])]
    low = max(min(flat), 1e-6)
    panels = [chart.Panel("PSNR, dB", "rounds k", (1, LONGEST), (0, 80)),
              chart.Panel("Frechet distance", "rounds k", (1, LONGEST), (low, max(flat)), log_y=True),
              chart.Panel("Pareto: PSNR, dB", "evaluations", (1, 500), (0, 80), log_x=True)]
    lines = [{m: list(enumerate(line[:LONGEST], 1)) for m, line in psnr.items()},
             {m: list(enumerate(positive(line[:LONGEST]), 1)) for m, line in first.items()},
             {m: list(zip(evaluations[m], psnr[m])) for m in names}]
    page.chart(name, panels, names, lines)


def policy_curves(rows):
    """{name: {k: (score, episodes)}} of plans cut off after k rounds, the most episodes there are."""
    found = collections.defaultdict(dict)
    for row in rows:
        k, episodes = int(row["most_rounds"]), int(row["episodes"])
        few = re.fullmatch(r"ddim-(\d+)", row["sampler"]) if row["method"] == "sequential" else None
        if row["part"] != "rounds" or not (few or row["sampler"] == POLICY_SAMPLER):
            continue
        name = "DDIM, k steps in all" if few else f"{NAMES[row['method']]}, from {START[row['start']]}"
        k = int(few[1]) if few else k
        if episodes > found[name].get(k, (0, 0))[1]:
            found[name][k] = number(row["score_mean"]), episodes
    for start in START.values():        # the same after one round
        mixed, unmixed = (found.get(f"{NAMES[m]}, from {start}", {}) for m in ("pcm-secant", "pcm-unmixed"))
        if mixed and 1 in unmixed:
            mixed[1] = unmixed[1]
    return found


def policy_name(row):
    text = f"{row['sampler'].upper()}, {NAMES[row['method']]}"
    return text if row["method"] == "sequential" else f"{text}, from {START[row['start']]}"


def policy(page, rows):
    page.heading("PushT policy: mean score after k rounds a plan")
    page.text("DDPM-100, episodes of the public evaluation's seeds (their number in brackets; the standard "
              "error of a mean is about 0.02 over 50 and 0.03 over 20). The demonstrators' published "
              "level is 0.947.")
    cut = policy_curves(rows)
    page.table(["rounds k:"] + list(range(1, LONGEST + 1)),
               [[name] + [f"{values[k][0]:.3f} ({values[k][1]})" if k in values else ""
                          for k in range(1, LONGEST + 1)] for name, values in cut.items()])
    whole = [row for row in rows if row["part"] in ("sequential", "converged")]
    page.text("Sequential, and to convergence:")
    page.table(["sampler, method", "episodes", "score", "success", "rounds a plan", "evaluations a plan"],
               [[policy_name(r), r["episodes"], number(r["score_mean"]), number(r["success_rate"]),
                 number(r["rounds_mean"]), number(r["evaluations_mean"])] for r in whole])
    lasting = [row for row in rows if row["part"] == "latency"]
    if lasting:
        page.text("Milliseconds a plan (one machine, one run; ratios count):")
        page.table(["sampler, method", "ranks", "rows a block", "median", "p95"],
                   [[policy_name(r), r["ranks"],
                     r["block_rows"] if r["block_rows"] != "0" else "the program's choice",
                     number(r["latency_median_ms"]), number(r["latency_p95_ms"])] for r in lasting])
    if cut:
        level = number(max((row for row in whole if row["method"] == "sequential" and
                            row["sampler"] == POLICY_SAMPLER),
                           key=lambda row: int(row["episodes"]))["score_mean"])
        page.chart("papers-pusht", [chart.Panel("mean score", "rounds k", (1, LONGEST), (0, 1.0))],
                   [*cut, "sequential, 100 steps"],
                   [{name: sorted((k, value[0]) for k, value in values.items())
                     for name, values in cut.items()}
                    | {"sequential, 100 steps": [(1, level), (LONGEST, level)]}])


def neighbour(page, rows, published):
    page.heading("Start from a neighbouring prompt's trajectory")
    page.text("emoji-sd, DDIM-50, the same noise: the first rows (start_row) stay the neighbour's, "
              "T_init = 50 - start_row. Distance: relative RMS of the final state to the prompt's "
              "own. " + published["start"]["comment"] + ".")
    keys = {}
    for row in rows:
        keys.setdefault((row["from"], row["prompt"], int(row["start_row"])), {})[row["solver"]] = row
    page.table(["from, to", "T_init", "rounds ParaTAA", "rounds secant", "evaluations secant",
                "distance"],
               [[f"{a} to {b}", "from scratch" if at < 0 else 50 - at,
                 found["triangular-anderson"]["rounds"], found["secant"]["rounds"],
                 found["secant"]["evaluations"], number(found["secant"]["distance"])]
                for (a, b, at), found in keys.items() if len(found) == 2])
    means = collections.defaultdict(lambda: collections.defaultdict(list))
    for (_, _, at), found in keys.items():
        for solver, row in found.items():
            if at >= 0:
                means[solver][50 - at].append(int(row["rounds"]))
    page.chart("papers-neighbour", [chart.Panel("rounds to convergence", "T_init", (10, 50), (0, 20))],
               [NAMES[solver] for solver in means],
               [{NAMES[solver]: sorted((t, sum(n) / len(n)) for t, n in values.items())
                 for solver, values in means.items()}])


def rounds(page, rows, published):
    """Rounds to convergence on emoji-sd; published numbers beside, marked."""
    page.heading("Rounds to convergence")
    page.text("Ours: emoji-sd, guidance 3, full window, mean over prompts, to every residual within "
              "1e-3 and to 30 and 40 dB (bench/rounds.sh). Coloured: published, with other models and "
              "criteria.")
    groups = collections.defaultdict(list)
    wanted = {"picard:start=copies": "Picard (ParaDiGMS)",
              "triangular-anderson:order=20:history=2:start=copies": "ParaTAA as released",
              "secant:slope=gaussian:history=4:start=copies": "secant"}
    for row in rows:
        if row["solver"] in wanted and row["guidance"] == "3":
            groups[row["sampler"], int(row["steps"]), row["solver"]].append(row)
    table = []
    for (sampler, steps, solver), found in sorted(groups.items()):
        cells = [f"{sampler.upper()}-{steps}, emoji-sd", wanted[solver]]
        for column in ("rounds_a", "rounds_30db", "rounds_40db"):
            values = [number(r[column]) for r in found if number(r[column]) is not None]
            cells.append(sum(values) / len(values) if values else "")
        table.append(cells + [f"{len(found)} prompts"])
    ours = len(table)
    table += [[entry["setting"], entry["method"], float(entry["rounds"]), "", "", entry["source"]]
              for entry in published["rounds"]]
    page.table(["setting", "method", "rounds", "to 30 dB", "to 40 dB", "from"], table,
               range(ours, len(table)))


def quality_published(page, published):
    quality = published["quality"]
    page.text("Published, for comparison of the shape of the curve: " + quality["comment"] + ".")
    methods = [key for key in quality if key not in ("comment", "rounds")]
    page.table(["rounds k:"] + quality["rounds"], [[m] + quality[m] for m in methods],
               range(len(methods)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    published = json.loads(pathlib.Path(__file__).with_name("published.json").read_text())
    page = Page(args.out)
    sections = [
        ("rounds.csv", lambda rows: rounds(page, rows, published)),
        ("pcm_quality.csv", lambda rows: (pictures(
            page, "papers-emoji", "emoji-sd: quality after k rounds (DDIM-50, guidance 3)", rows,
            [("distance", "Frechet distance to the sequential pictures (autoencoder features)"),
             ("distance_training", "Frechet distance to the training pictures")]),
            quality_published(page, published))),
        ("fashion_rounds.csv", lambda rows: pictures(
            page, "papers-fashion", "fashion-dit: quality after k rounds (DDIM-50, guided)", rows,
            [("distance_test", "Frechet distance to the test split (classifier features)"),
             ("distance", "Frechet distance to the sequential pictures")])),
        ("pusht.csv", lambda rows: policy(page, rows)),
        ("neighbour.csv", lambda rows: neighbour(page, rows, published)),
    ]
    for name, make in sections:
        rows = read(args.results / name)
        if rows:
            make(rows)
        else:
            print(f"{args.results / name}: not there, its section is left out")
    page.write()
    print(args.out / "papers.html")


if __name__ == "__main__":
    main()
