#!/bin/sh
# picard-dag plan: keys, exit statuses, arithmetic that is exact, and a store of
# earlier runs that may be missing, broken or not writable.
set -u
# shellcheck source=tests/script_lib.sh
. "${srcdir:-.}/tests/script_lib.sh"
job=$src/examples/gaussian.pb
XDG_CACHE_HOME=$out/cache
export XDG_CACHE_HOME

plan() { # options ..: the plan of the job as JSON, which must come
    expect 0 "$PICARD_DAG" plan "$job" --json "$@"
    [ -s "$out/stderr" ] && complain "plan $*: $(cat "$out/stderr")"
}

value() { # key: the first number of this name
    sed -n "s/^ *\"$1\": *\([-0-9.e+]*\),*\$/\1/p" "$out/stdout" | head -n 1
}

is() { # key, arithmetic over numbers, share that messages may add
    awk -v got="$(value "$1")" "BEGIN { want = $2
        exit !(got != \"\" && got >= want * (1 - 1e-9) &&
               got <= want * (1 + 1e-9 + ${3:-0})) }" ||
        complain "$1 is '$(value "$1")', expected $2"
}

refuses() { # text, options ..
    text=$1
    shift
    expect 2 "$PICARD_DAG" plan "$job" "$@"
    has stderr "$text"
    [ -s "$out/stdout" ] && complain "plan $*: something on standard output"
    [ "$(wc -l < "$out/stderr")" = 1 ] || complain "plan $*: not one line"
}

# All keys that scripts rely on, and where each number comes from.
plan --ranks 4
for key in ranks rounds evaluations seconds sample sequential idle_share \
    memory_bytes window advice speedup links bytes_out bytes_in sources; do
    has stdout "\"$key\":"
done
is ranks 4
has stdout '"source": "default"'
[ -e "$XDG_CACHE_HOME" ] && complain "a plan has written something"
expect 0 "$PICARD_DAG" plan "$job" --ranks 4
[ "$(wc -l < "$out/stdout")" -le 24 ] || complain "more than a screen"
for word in rounds sampling idle memory advice default; do
    has stdout "$word"
done

# Fifty rows, one a task, a thousand seconds each, beside which messages are nothing:
# in sequence 50 000 s.  Seven rounds of a full window on one worker: as long as
# there are evaluations.
one="--task-seconds 1000 --set block_rows=1"
no=1e-5
# shellcheck disable=SC2086
{
    plan $one --rounds 7
    is sequential 50000 $no
    is rounds 7
    is sample "1000 * $(value evaluations)" $no
    awk -v idle="$(value idle_share)" 'BEGIN { exit !(idle < 1e-6) }' ||
        complain "one worker is idle"
    has stdout '"source": "given"'
    has stdout 'sequential sampling is the better choice'
    evaluations=$(value evaluations)
    plan $one --rounds 7 --task-seconds 250
    is sample "250 * $evaluations" $no
    is sequential 12500 $no
    # As many ranks as rows: a round takes one task.
    for rounds in 3 7 50; do
        plan $one --ranks 50 --rounds $rounds
        is sample "1000 * $rounds" $no
        is rounds $rounds
    done
    # A task is a block: its rows share what it costs.
    plan --task-seconds 4000 --set block_rows=4
    is sequential 50000 $no
    # Samples one after the other on one worker.
    plan $one --rounds 7 --set samples=3
    is sample "3000 * $evaluations" $no
    is sequential 150000 $no
    # The sequential sampler takes every step.
    plan $one --set solver.method=sequential
    is rounds 50
    is evaluations 50
    is sample 50000 $no
    is speedup 1
    # A window of eight on eight ranks: a round is a turn, and two messages.
    plan $one --set solver.window=8 --ranks 8 --rounds 10
    is sample 10000 $no
    is window 8
    plan --set block_rows=1 --set solver.window=8 --ranks 8 --rounds 10 \
        --task-seconds 0.01
    message=$(value message)
    is sample 0.1 "20 * $message / 0.1"
    # Under a barrier no faster than without.
    for policy in barrier dataflow; do
        plan $one --set policy=$policy --ranks 7 --rounds 9
        value sample > "$out/$policy"
    done
}
awk 'NR == FNR { barrier = $1; next } { exit !($1 <= barrier && $1 > 0) }' \
    "$out/barrier" "$out/dataflow" || complain "a barrier is faster"

# A Picard-consistency model: two sets of weights, and no other window than the job's.
pcm=$src/examples/sd-pcm.pb
expect 0 "$PICARD_DAG" plan "$pcm" --ranks 8
has stdout 'the first 1 with weights of pcm.path'
expect 0 "$PICARD_DAG" plan "$pcm" --json --ranks 8
is window 50
weights=$(value weights)
expect 0 "$PICARD_DAG" plan "$pcm" --json --ranks 8 --set pcm=
is weights "$weights / 2"

# The graph for Graphviz.
expect 0 "$PICARD_DAG" plan "$job" --dot --set sampler.steps=6 --rounds 3
has stdout '^digraph plan {'
has stdout '^}'
has stdout 'E_0_0 -> U_0_0;'
has stdout 'U_0_0 -> U_0_1 \[style=dashed\];'
[ "$(grep -c '{' "$out/stdout")" = "$(grep -c '}' "$out/stdout")" ] ||
    complain "braces"
if command -v dot > /dev/null; then
    expect 0 dot -Tsvg -o "$out/graph.svg" "$out/stdout"
fi
expect 0 "$PICARD_DAG" plan "$job" --dot --set sampler.steps=1000 --set block_rows=1 \
    --set solver.window=64
[ "$(wc -c < "$out/stdout")" -lt 200000 ] || complain "an endless graph"
has stdout 'more rounds'

# Misuse.
refuses 'one job at a time' "$job"
refuses '--ranks: 0: expected' --ranks 0
refuses '--ranks: two: expected' --ranks two
refuses '--task-seconds: -1: expected' --task-seconds -1
refuses '--task-seconds: nan: expected' --task-seconds nan
refuses '--rounds: 51: expected 1 to 50' --rounds 51
refuses '--rounds: 6: expected 7 to 50' --rounds 6 --set solver.window=8
refuses 'at least two ranks' --dedicated-scheduler --ranks 1
refuses 'solver.method: newton' --set solver.method=newton
refuses 'sampler.steps' --set sampler.steps=0
expect 0 "$PICARD_DAG" plan --help
has stdout '^usage: picard-dag plan'
plan --dedicated-scheduler --ranks 3
is workers 2

# A run leaves what it took, and the plan of the same job knows its rounds.
small="--set sampler.steps=12 --set gaussian.shape=16"
# shellcheck disable=SC2086
{
    expect 0 "$PICARD_DAG" run "$job" $small -q -o "$out/run"
    [ -s "$out/stderr" ] && complain "run -q: $(cat "$out/stderr")"
    rounds=$(sed -n 's/^ *"rounds": *\([0-9]*\),*$/\1/p' "$out/run/run.json" |
        tail -n 1)
    has run/run.json '"prediction": {'
    has run/run.json '"source": "measured"'
    [ "$(find "$XDG_CACHE_HOME" -type f | wc -l)" = 1 ] ||
        complain "not one file: $(find "$XDG_CACHE_HOME")"
    plan $small
    is rounds "$rounds"
    has stdout '"source": "stored"'
    plan $small --set solver.window=6
    has stdout '"source": "nearest"'
    expect 0 "$PICARD_DAG" run "$job" $small -q -o "$out/run"
    has run/run.json '"source": "stored"'
    # Another model has a file of its own.
    plan --set sampler.steps=12 --set gaussian.shape=17
    grep -q '"source": "stored"' "$out/stdout" && complain "of another model"

    # Broken, of another version, full of nonsense: as if it were not there.
    file=$(find "$XDG_CACHE_HOME" -type f)
    for text in '' '{' '[1, 2]' '{"format": 99}' '{"format": 1, "rounds": 5}' \
        '{"format": 1, "runs": -3, "workers": {"float32 plain delay 0: x": 7}}' \
        '{"format": 1, "workers": {"float32 plain delay 0: x": {"task": {"0": [1],
          "-4": [2], "1e300": [3], "1": ["a", -1, null]}}}}'; do
        printf '%s' "$text" > "$file"
        expect 0 "$PICARD_DAG" plan "$job" --json -q $small
        has stdout '"source": "default"'
        expect 0 "$PICARD_DAG" run "$job" $small -q -o "$out/run"
        grep -q '"format": 1' "$file" || complain "is not mended: $text"
        plan $small
        is rounds "$rounds"
    done
    sed 's/[0-9][0-9]*,*$/999999999/' "$file" > "$out/changed"
    cp "$out/changed" "$file"
    expect 0 "$PICARD_DAG" plan "$job" --json -q $small
    expect 0 "$PICARD_DAG" run "$job" $small -q -o "$out/run"
    printf '{' > "$file"
    expect 0 "$PICARD_DAG" plan "$job" $small
    has stderr 'stored costs are not used'
}

# Nowhere to keep it: the run is none the worse, and nothing appears.
mkdir "$out/empty"
cp "$job" "$out/job.pb"
# shellcheck disable=SC2086
(
    unset XDG_CACHE_HOME HOME
    cd "$out/empty" || exit 1
    "$PICARD_DAG" run "$out/job.pb" $small -o "$out/run-0" 2> "$out/stderr"
) || complain "without HOME: $(cat "$out/stderr")"
has stderr 'costs are not kept'
[ -z "$(ls -A "$out/empty")" ] || complain "without HOME: $(ls -A "$out/empty")"
# shellcheck disable=SC2086
XDG_CACHE_HOME=/dev/null/nowhere expect 0 "$PICARD_DAG" run "$job" $small \
    -o "$out/run"
has stderr 'costs are not kept'

exit $failed
