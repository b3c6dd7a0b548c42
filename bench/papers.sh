#!/bin/sh
# bench/papers.sh --build build --work DIR [--python VENV/bin/python] [--page-only]
#
# The comparisons of the papers on the shipped models: quality after every round,
# rounds and evaluations to convergence, the score of the policy, the start from a
# neighbouring prompt's trajectory; tables and charts in docs/papers (papers.html, one
# page). Every part keeps its results (bench/results/*.csv, DIR) and goes on where it
# was stopped; from nothing it takes some hours of two cores. --page-only: only the
# page, of what there is.
#
# Needs a build with its tests (`make check`), Python with tools/train/requirements.txt
# and, for fashion-dit, the Debian package dataset-fashion-mnist.
set -eu
build=build work='' python=python3 page_only=
while [ $# -gt 0 ]; do
    case $1 in
        --build) build=$2 && shift ;;
        --work) work=$2 && shift ;;
        --python) python=$2 && shift ;;
        --page-only) page_only=yes ;;
        *) sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift
done
top=$(cd "$(dirname "$0")/.." && pwd)
if [ -z "$page_only" ]; then
    : "${work:?bench/papers.sh: --work DIR is needed}"
    "$top/bench/rounds.sh" --program "$build/picard-dag"
    "$top/bench/pcm_quality.sh" --build "$build" --work "$work/emoji" --python "$python"
    "$top/bench/fashion_rounds.sh" --build "$build" --work "$work/fashion" \
        --python "$python"
    "$top/bench/pusht.sh" --program "$build/picard-dag"
    "$top/bench/neighbour.sh" --build "$build"
fi
"$python" "$top/tools/quality/papers.py" --results "$top/bench/results" \
    --out "$top/docs/papers"
