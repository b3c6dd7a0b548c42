#!/bin/sh
# picard-dag compare: the CSV file's header and rows, the same numbers on ranks,
# and a page that is well-formed, needs nothing from outside and renders.
set -u
# shellcheck source=tests/script_lib.sh
. "${srcdir:-.}/tests/script_lib.sh"
job=$src/examples/gaussian.pb
small="--set gaussian.shape=16 --set sampler.steps=12"
header=solver,prompt,seed,rounds_a,rounds_b,rounds_30db,rounds_40db,evaluations,seconds

# shellcheck source=tests/page_checks.sh
. "$src/tests/page_checks.sh"

# The default list, two seeds, on one process; a row for each.
# shellcheck disable=SC2086
expect 0 "$PICARD_DAG" compare "$job" $small --seeds 2 -q -o "$out/all"
[ "$(head -n 1 "$out/all/compare.csv")" = "$header" ] || complain "CSV header"
for solver in picard order-k:order=20 triangular-anderson:order=20:history=2 \
    triangular-anderson:order=0:history=3 secant; do
    [ "$(grep -c "^$solver,,[12]," "$out/all/compare.csv")" = 2 ] ||
        complain "not two rows of $solver"
    has stdout "^$solver "
done
# Without pictures the cells of the pictures' criteria are empty.
awk -F, 'NR > 1 && (NF != 9 || $4 == "" || $5 == "" || $6 != "" || $7 != "" ||
    $8 < 1 || $9 == "") { bad = 1 } END { exit bad }' "$out/all/compare.csv" ||
    complain "CSV cells: $(cat "$out/all/compare.csv")"
[ -s "$out/stderr" ] && complain "--quiet is not"
check_page "$out/all/compare.html"

# The same rounds on ranks.
if [ -n "${MPIEXEC:-}" ]; then
    # shellcheck disable=SC2086
    expect 0 "$MPIEXEC" -np 3 "$PICARD_DAG" compare "$job" $small --seeds 2 -q \
        -o "$out/ranks"
    for name in all ranks; do
        cut -d, -f1-8 "$out/$name/compare.csv" > "$out/$name.csv"
    done
    cmp "$out/all.csv" "$out/ranks.csv" || complain "3 ranks count otherwise"
fi

# Pictures; prompts with everything that HTML and CSV must not let through.
prompt='<script>alert("1")</script> & '"it's, one"
expect 0 "$PICARD_DAG" compare "$src/examples/sd.pb" --set sampler.steps=4 \
    --set "prompt=$prompt" --set prompt=rocket \
    --solvers 'picard,secant:history=2:start=gaussian,sequential' -o "$out/sd"
check_page "$out/sd/compare.html"
[ "$(grep -c '^"\{0,1\}' "$out/sd/compare.csv")" = 7 ] ||
    complain "not 3 solvers on 2 prompts: $(cat "$out/sd/compare.csv")"
grep -Fq 'picard,"<script>alert(""1"")</script> & it'"'"'s, one",8,' \
    "$out/sd/compare.csv" || complain "CSV does not quote the prompt"
grep -Fq '&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; it&#39;s' \
    "$out/sd/compare.html" || complain "the page does not escape the prompt"
grep -q '^sequential,rocket,8,4,4,[34],[34],4,' "$out/sd/compare.csv" ||
    complain "the sequential row: $(grep '^seq' "$out/sd/compare.csv")"
[ "$(grep -o 'alt="picard, round ' "$out/sd/compare.html" | wc -l)" -ge 2 ] ||
    complain "the page has no pictures of picard's rounds"
render_page "$out/sd/compare.html" 'Residual maps'

# Misuse, told before anything starts.
expect 2 "$PICARD_DAG" compare "$job" --solvers picard,frob -o "$out/never"
has stderr '^picard-dag: --solvers: frob: '
expect 2 "$PICARD_DAG" compare "$job" --solvers secant:frob=1 -o "$out/never"
expect 2 "$PICARD_DAG" compare "$job" --solvers secant:history -o "$out/never"
expect 2 "$PICARD_DAG" compare "$job" --solvers secant+pcm -o "$out/never"
has stderr '^picard-dag: --solvers: secant+pcm: .*: the job has no pcm.path'
expect 2 "$PICARD_DAG" compare "$job" --solvers '' -o "$out/never"
expect 2 "$PICARD_DAG" compare "$job" --seeds 0
expect 2 "$PICARD_DAG" compare "$job" --seeds 1.5
expect 2 "$PICARD_DAG" compare
[ -e "$out/never" ] && complain "output folder made for a bad command line"
# shellcheck disable=SC2086
expect 2 "$PICARD_DAG" compare "$job" $small --set seed=9 -q -o "$out/all"
has stderr "another job's results"
# shellcheck disable=SC2086
expect 0 "$PICARD_DAG" compare "$job" $small --solvers job -q -o "$out/all"
exit $failed
