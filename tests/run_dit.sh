#!/bin/sh
# A class-conditional transformer from job to pictures: classes by number and by name,
# on ranks, stopped and resumed, verified, compared, reported; what is refused says why.
set -u
# shellcheck source=tests/script_lib.sh
. "${srcdir:-.}/tests/script_lib.sh"
XDG_CACHE_HOME=$out/cache
export XDG_CACHE_HOME
model=$src/tests/data/models/dit-odd
pixels=$src/tests/data/models/dit-pixels
job=$out/job.pb
: > "$job" # an empty message is a job of defaults
run() { # folder, further arguments
    folder=$1
    shift
    "$PICARD_DAG" run "$job" -q --set "model.path=$model" --set sampler.steps=10 \
        --set guidance_scale=3 -o "$out/$folder" "$@"
}
same() { # two folders, samples
    for i in $3; do
        cmp "$out/$1/sample-00$i.npy" "$out/$2/sample-00$i.npy" ||
            complain "$1 and $2: sample $i differs"
    done
}

# Names are numbers; without a label it is the class of none.
run numbers --set class_label=0 --set class_label=999 || complain "numbers: $?"
run names --set "class_label=tinca TINCA" --set "class_label=toilet tissue" ||
    complain "names: $?"
same numbers names "0 1"
run none || complain "no label: $?"
cmp -s "$out/none/sample-000.npy" "$out/numbers/sample-000.npy" &&
    complain "the class does not matter"
run plain --set class_label=0 --set guidance_scale=1 || complain "unguided: $?"
cmp -s "$out/plain/sample-000.npy" "$out/numbers/sample-000.npy" &&
    complain "guidance does not matter"
run first --set class_label=0 --set guidance_channels=2 || complain "channels: $?"
cmp -s "$out/first/sample-000.npy" "$out/numbers/sample-000.npy" &&
    complain "guidance_channels does not matter"
cp "$out/names/run.json" "$out/report.json"
has report.json '"class_name": "tench, Tinca tinca"'
has report.json '"class_label": 999'
[ -s "$out/names/sample-001.png" ] || complain "no picture"
expect 0 "$PICARD_DAG" report "$out/names"
cp "$out/names/report.html" "$out/page"
has page 'tench, Tinca tinca'

# The labels are cycled over the samples.
run cycled --set class_label=0 --set class_label=999 --set samples=3 ||
    complain "cycled: $?"
same cycled numbers "0 1"
cmp -s "$out/cycled/sample-002.npy" "$out/cycled/sample-000.npy" &&
    complain "a third sample has the first one's noise"

# Stopped and resumed: the condition comes from the job again.
status=5
lives=0
while [ $status = 5 ] && [ $lives -lt 40 ]; do
    run resumed --set class_label=0 --set class_label=999 --resume \
        --set model.delay_ms=20 --max-wall-time 0.4 2> "$out/text"
    status=$?
    lives=$((lives + 1))
done
[ $status = 0 ] || complain "resume: status $status after $lives lives"
[ $lives -ge 2 ] || complain "resume: it was never stopped"
same numbers resumed "0 1"

if [ -n "${MPIEXEC:-}" ]; then
    "$MPIEXEC" -np 3 "$PICARD_DAG" run "$job" -q \
        --set "model.path=$model" --set sampler.steps=10 --set guidance_scale=3 \
        --set class_label=tench --set class_label=999 -o "$out/ranks" ||
        complain "three ranks: $?"
    same numbers ranks "0 1"
fi

# Other commands.
expect 0 "$PICARD_DAG" verify "$job" -q --set "model.path=$model" \
    --set class_label=goldfish --set sampler.steps=10 -o "$out/verified"
has stdout 'passed *true'
expect 0 "$PICARD_DAG" compare "$job" -q --set "model.path=$model" --set samples=1 \
    --set class_label=goldfish --set class_label=517 --set sampler.steps=6 \
    --solvers secant -o "$out/compared"
cp "$out/compared/compare.csv" "$out/table"
has table 'secant,goldfish,0'
has table 'secant,crane,0'
expect 0 "$PICARD_DAG" plan "$job" --set "model.path=$model" --set class_label=0
expect 0 "$PICARD_DAG" inspect "$model"
has stdout 'classes 0 to 999: 0 tench, Tinca tinca; 1 goldfish'
expect 0 "$PICARD_DAG" inspect --json "$pixels"
has stdout '"classes": 4'

# Pixels: no autoencoder, a grey picture of the state's size.
expect 0 "$PICARD_DAG" run "$job" -q --set "model.path=$pixels" \
    --set class_label=bag --set sampler.steps=5 -o "$out/pixels"
[ -s "$out/pixels/sample-000.png" ] || complain "no picture of the pixels"

# Refused.
refused() { # text, --set
    expect 2 "$PICARD_DAG" run "$job" -q --set "model.path=$model" --set "$2" \
        -o "$out/refused"
    has stderr "^picard-dag: .*$1"
    [ -d "$out/refused" ] && complain "$2: an output folder is left"
}
refused 'class_label: 1000: expected 0 to 999' class_label=1000
refused 'more than one class: 134 (crane), 517 (crane)' class_label=crane
refused 'no class of the model' 'class_label=golden retriever'
refused 'prompt: given' prompt=cat
cp -r "$model" "$out/broken"
chmod -R u+w "$out/broken"
sed 's/"999"/"1000"/' "$model/model_index.json" > "$out/broken/model_index.json"
model=$out/broken
refused 'model.path: .*id2label: 1000: expected a class from 0 to 999' class_label=1
exit $failed
