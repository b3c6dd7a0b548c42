#!/bin/sh
# picard-dag run --trace and report: every task of run.json is in trace.json, once
# and in order; the page is well-formed, needs nothing from outside, and is made
# of any run; what is no run gets one message.
set -u
# shellcheck source=tests/script_lib.sh
. "${srcdir:-.}/tests/script_lib.sh"
job=$src/examples/gaussian.pb

refuse() { # folder, text of the message
    expect 2 "$PICARD_DAG" report "$out/$1"
    has stderr "^picard-dag: .*$2"
    [ "$(wc -l < "$out/stderr")" = 1 ] || complain "$1: not one line of message"
    [ -e "$out/$1/report.html" ] && complain "$1: a page in spite of that"
}

# shellcheck source=tests/page_checks.sh
. "$src/tests/page_checks.sh"

# A trace holds each event on a line of its own.
check_trace() { # folder
    trace=$1/trace.json
    awk '/^ *"rank": / { rank = $2 + 0 } /^ *"tasks": / { print rank, $2 + 0 }' \
        "$1/run.json" | while read -r rank tasks; do
        [ "$(grep -c "\"ph\":\"X\",\"pid\":$rank," "$trace")" = "$tasks" ] ||
            echo "$rank"
    done > "$out/unlike"
    [ -s "$out/unlike" ] && complain "$1: not one X for each task of rank" \
        "$(cat "$out/unlike")"
    [ "$(grep -c '"cat":"network"' "$trace")" -gt 0 ] || complain "$1: no network"
    for ends in 's f' 'B E'; do
        [ "$(grep -c "\"ph\":\"${ends% *}\"" "$trace")" = \
            "$(grep -c "\"ph\":\"${ends#* }\"" "$trace")" ] ||
            complain "$1: $ends do not pair up"
    done
    number='\([0-9.]*\)'
    sed -n "s/.*\"ph\":\"X\",\"pid\":$number,\"tid\":$number,\"ts\":$number,\"dur\":$number.*/\1 \2 \3 \4/p" \
        "$trace" | sort -k1,1n -k2,2n -k3,3n > "$out/spans"
    [ "$(wc -l < "$out/spans")" = "$(grep -c '"ph":"X"' "$trace")" ] ||
        complain "$1: an X without ts or dur"
    awk '$1 == pid && $2 == tid && $3 < end - 0.001 { bad = 1 }
        { pid = $1; tid = $2; end = $3 + $4 } END { exit bad }' "$out/spans" ||
        complain "$1: tasks of one lane overlap"
    grep -Eq '"ts":-|"dur":-|nan|inf' "$trace" && complain "$1: a bad number"
}

# Traced, in one process and on ranks.
expect 0 "$PICARD_DAG" run "$job" --trace -q -o "$out/one"
check_trace "$out/one"
expect 0 "$PICARD_DAG" report "$out/one"
[ "$(cat "$out/stdout")" = "$out/one/report.html" ] || complain "no path on stdout"
[ -s "$out/stderr" ] && complain "words on stderr: $(cat "$out/stderr")"
check_page "$out/one/report.html"
for words in Convergence 'Residual maps' 'sample 0, ' 'rank 0' '<title>E(0,0), ' \
    '<title>U(0,0), ' 'tolerance' 'solver.method'; do
    has one/report.html "$words"
done
cp "$out/one/report.html" "$out/first"
expect 0 "$PICARD_DAG" report "$out/one"
cmp "$out/first" "$out/one/report.html" || complain "another page the second time"
render_page "$out/one/report.html" 'Residual maps' 'rank 0'
if [ -n "${MPIEXEC:-}" ]; then
    expect 0 "$MPIEXEC" -np 3 "$PICARD_DAG" run "$job" --trace -q -o "$out/ranks" \
        --set model.delay_ms=1
    check_trace "$out/ranks"
    expect 0 "$MPIEXEC" -np 2 "$PICARD_DAG" report "$out/ranks"
    check_page "$out/ranks/report.html"
    has ranks/report.html 'rank 2'
fi

# A trace that was cut off costs the timeline; without one there are bars.
head -c 5000 "$out/one/trace.json" > "$out/part" &&
    mv "$out/part" "$out/one/trace.json"
expect 0 "$PICARD_DAG" report "$out/one"
has stderr '^picard-dag: .*trace.json.*no timeline'
has one/report.html 'Seconds of each worker'
has one/report.html 'Not shown'
check_page "$out/one/report.html"
for text in '{}' '{"traceEvents":7}' '{"traceEvents":[{"ph":"X"}]}' '[]'; do
    echo "$text" > "$out/one/trace.json"
    expect 0 "$PICARD_DAG" report "$out/one"
    has stderr '^picard-dag: .*trace.json'
done

# Many samples; pixels, and a picture of each.
expect 0 "$PICARD_DAG" run "$job" -q -o "$out/many" --set samples=20 \
    --set gaussian.shape=3 --set gaussian.shape=8 --set gaussian.shape=8
expect 0 "$PICARD_DAG" report "$out/many"
check_page "$out/many/report.html"
[ "$(grep -c '<img src="data:image/png' "$out/many/report.html")" = 20 ] ||
    complain "not 20 pictures"
has many/report.html 'sample 15, '
has many/report.html 'The first 16 samples of 20'

# A decoded picture; a prompt with everything that HTML must not let through.
prompt='<script>alert("1")</script> & '"it's, one"
expect 0 "$PICARD_DAG" run "$src/examples/sd.pb" --set sampler.steps=4 -q \
    --set "prompt=$prompt" -o "$out/sd"
expect 0 "$PICARD_DAG" report "$out/sd"
check_page "$out/sd/report.html"
has sd/report.html '&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; it&#39'
[ "$(grep -c '<img ' "$out/sd/report.html")" = 1 ] || complain "not one picture"
rm "$out/sd/sample-000.png"
expect 0 "$PICARD_DAG" report "$out/sd"
has sd/report.html 'no picture sample-000.png'

# Runs that failed, and what older versions left out.
write() { # folder, run.json
    mkdir -p "$out/$1" && printf '%s\n' "$2" > "$out/$1/run.json"
}
write failed '{"version":"0.1.0","exit_status":1,"error":"rank 3 on <b>: no memory",
    "job":{"solver":{"method":"picard"}},"workers":[],"samples":[]}'
write old '{"job":{"gaussian":{}},"samples":[{"rounds":3,
    "residual_history":[[0.5,null],[],[null,1e-9,0.25]],"image":"../sd/x.png"}]}'
write odd '{"job":{"prompt":[7,"a"],"seed":"18446744073709551615"},"ranks":"2",
    "workers":[7,{"rank":-1,"seconds_busy":1e308}],"seconds":[],"graph":7,
    "samples":[{"index":-1,"seed":[],"residual_history":{"a":1}},
    {"residual_history":[7,"x",[true]],"state":"../run.json"}]}'
for name in failed old odd; do
    expect 0 "$PICARD_DAG" report "$out/$name"
    check_page "$out/$name/report.html"
done
has failed/report.html 'The run failed: rank 3 on &lt;b&gt;: no memory'
has old/report.html 'sample 0, 3 rounds'
has old/report.html 'no picture ../sd/x.png'
has odd/report.html '18446744073709551615'

# No run.
mkdir "$out/compared" "$out/rolled" "$out/empty"
echo > "$out/compared/compare.html"
echo > "$out/rolled/rollout.json"
head -c 700 "$out/sd/run.json" > "$out/part"
write cut "$(cat "$out/part")"
write nothing '{}'
write number '{"job":{},"samples":[1]}'
write list '[]'
refuse missing 'run.json'
refuse empty 'run.json'
refuse compared 'compare.html'
refuse rolled 'rollout.json'
refuse cut 'run.json'
refuse nothing "not a run's report"
refuse number 'samples\[0\]'
refuse list 'run.json'
mkdir "$out/failed/report.html.d" && rm "$out/failed/report.html" &&
    mv "$out/failed/report.html.d" "$out/failed/report.html"
expect 1 "$PICARD_DAG" report "$out/failed"
has stderr '^picard-dag: .*report.html'
expect 2 "$PICARD_DAG" report
expect 2 "$PICARD_DAG" report "$out/one" "$out/many"
expect 2 "$PICARD_DAG" report --frob
expect 0 "$PICARD_DAG" report --help
has stdout 'report.html'
exit $failed
