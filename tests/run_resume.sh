#!/bin/sh
# Runs that are stopped, or killed, and go on: the same bytes, rounds and evaluations
# as one that was never broken off.
set -u
# shellcheck source=tests/script_lib.sh
. "${srcdir:-.}/tests/script_lib.sh"
XDG_CACHE_HOME=$out/cache
export XDG_CACHE_HOME
job="$src/examples/gaussian.pb"
set -- --set samples=4 --set sampler.steps=40 --set solver.window=10

# What must not depend on how often a run was broken off.
facts() {
    sed -n '/"samples": \[/,/^  \]/p' "$1/run.json" |
        grep -E '"(index|stop|rounds|evaluations)":|^ {8}[0-9-]' | head -400
}

check_same() {
    for i in 0 1 2 3; do
        cmp "$out/whole/sample-00$i.npy" "$out/$1/sample-00$i.npy" ||
            complain "$1: sample $i differs"
    done
    facts "$out/whole" > "$out/facts.whole"
    facts "$out/$1" > "$out/facts.part"
    cmp -s "$out/facts.whole" "$out/facts.part" ||
        complain "$1: rounds, evaluations or residuals differ"
    [ -d "$out/$1/checkpoint" ] && complain "$1: checkpoints are left"
}

"$PICARD_DAG" run "$job" "$@" -q -o "$out/whole" || complain "whole: status $?"
[ -s "$out/whole/run.json" ] && [ "$(facts "$out/whole" | wc -l)" -gt 40 ] ||
    complain "the facts are not found in run.json"

# A time limit, again and again.
lives=0
status=5
while [ $status = 5 ] && [ $lives -lt 60 ]; do
    "$PICARD_DAG" run "$job" "$@" -q --set model.delay_ms=2 -o "$out/limit" \
        --resume --max-wall-time 0.25 2> "$out/text"
    status=$?
    [ $lives = 0 ] && { grep -q 'starting anew' "$out/text" ||
        complain "limit: does not say that it starts anew"; }
    [ $status != 5 ] || grep -q 'stopped by the time limit' "$out/text" ||
        complain "limit: $(cat "$out/text")"
    [ $status != 5 ] || grep -q '"exit_status": 5' "$out/limit/run.json" ||
        complain "limit: run.json does not say 5"
    [ $status != 5 ] || ls "$out/limit/checkpoint/"state-*.ckpt > /dev/null ||
        complain "limit: no checkpoint"
    lives=$((lives + 1))
done
[ $status = 0 ] || complain "limit: status $status after $lives lives"
[ $lives -ge 2 ] || complain "limit: it was never stopped"
check_same limit

# A signal; then a sample whose files have gone is made again.
"$PICARD_DAG" run "$job" "$@" -q --set model.delay_ms=4 -o "$out/signal" &
pid=$!
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ -s "$out/signal/sample-001.npy" ] && break
    sleep 0.2
done
kill -TERM $pid
wait $pid 2> /dev/null
[ $? = 5 ] || complain "signal: SIGTERM did not end it with status 5"
rm -f "$out/signal/sample-000.npy"
"$PICARD_DAG" run "$job" "$@" -q -o "$out/signal" --resume 2> "$out/text" ||
    complain "signal: resume: status $?"
check_same signal

# Killed without a word; the newest checkpoint is broken, the one before is used.
"$PICARD_DAG" run "$job" "$@" -q --set model.delay_ms=4 -o "$out/kill" \
    --checkpoint-seconds 0.1 &
pid=$!
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ -e "$out/kill/checkpoint/state-000003.ckpt" ] && break
    sleep 0.2
done
kill -KILL $pid
wait $pid 2> /dev/null
newest=$(ls "$out/kill/checkpoint/"state-*.ckpt 2> /dev/null | tail -1)
[ -n "$newest" ] || complain "kill: no checkpoint"
# Two, or three where it was killed before the oldest had gone.
[ "$(ls "$out/kill/checkpoint/" | grep -c '^state-.*ckpt$')" -le 3 ] ||
    complain "kill: $(ls "$out/kill/checkpoint/")"
"$PICARD_DAG" run "$job" "$@" -q --set seed=9 -o "$out/kill" 2> "$out/text"
[ $? = 2 ] || complain "kill: another job took the folder"
"$PICARD_DAG" run "$job" "$@" -q --set seed=9 -o "$out/kill" --resume \
    2> "$out/text"
[ $? = 2 ] && grep -q "another job" "$out/text" ||
    complain "kill: another job went on: $(cat "$out/text")"
printf 'x' | dd of="$newest" bs=1 seek=5000 conv=notrunc 2> /dev/null
runner=
[ -n "${MPIEXEC:-}" ] && runner="$MPIEXEC -np 3"
$runner "$PICARD_DAG" run "$job" "$@" -q -o "$out/kill" --resume \
    2> "$out/text" || complain "kill: resume: status $?"
grep -q "$(basename "$newest")" "$out/text" ||
    complain "kill: the broken checkpoint is not named: $(cat "$out/text")"
check_same kill

# Killed before any periodic checkpoint, with a partial file left; meanwhile another
# run is kept out.
"$PICARD_DAG" run "$job" "$@" -q --set model.delay_ms=4 -o "$out/early" \
    --checkpoint-seconds 0 &
pid=$!
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ -s "$out/early/sample-000.npy" ] && break
    sleep 0.2
done
"$PICARD_DAG" run "$job" "$@" -q -o "$out/early" 2> "$out/text"
[ $? = 2 ] && grep -q 'another run' "$out/text" ||
    complain "early: two runs in one folder: $(cat "$out/text")"
kill -KILL $pid
wait $pid 2> /dev/null
touch "$out/early/.sample-002.npy.12345"
"$PICARD_DAG" run "$job" "$@" -q -o "$out/early" --resume 2> "$out/text" ||
    complain "early: resume: status $? $(cat "$out/text")"
[ -e "$out/early/.sample-002.npy.12345" ] && complain "early: a partial file is left"
check_same early

# The noise is another one than the run began with.
noise() {
    { printf '\223NUMPY\001\000v\000'
      printf "%-117s\n" \
          "{'descr': '<f4', 'fortran_order': False, 'shape': ($2, $3), }"
      head -c $(($2 * $3 * 4)) "$1"; } > "$out/noise.npy"
}
dim=$(($(wc -c < "$out/whole/sample-000.npy") / 4 - 32))
head -c $((dim * 16)) /dev/zero > "$out/zeros"
noise "$out/zeros" 4 $dim
"$PICARD_DAG" run "$job" "$@" -q --set noise="$out/noise.npy" \
    --set model.delay_ms=4 --max-wall-time 0.3 -o "$out/noisy" 2> /dev/null
status=$?
if [ $status = 5 ]; then
    { cat "$out/whole/sample-000.npy" "$out/zeros"; } > "$out/mixed"
    noise "$out/mixed" 4 $dim
    "$PICARD_DAG" run "$job" "$@" -q --set noise="$out/noise.npy" \
        -o "$out/noisy" --resume 2> "$out/text"
    [ $? = 2 ] && grep -q 'noise: the file has changed' "$out/text" ||
        complain "noisy: other noise was taken: $(cat "$out/text")"
else
    complain "noisy: status $status"
fi

# The model's weights are others than the run began with, or there again.
cp -R "$src/tests/data/models/ldm-odd" "$out/model" && chmod -R u+w "$out/model"
weights=$out/model/vqvae/diffusion_pytorch_model.safetensors
model() {
    "$PICARD_DAG" run /dev/null --set model.path="$out/model" --set samples=2 \
        --set sampler.steps=12 --set solver.method=sequential -q "$@" 2> "$out/text"
}
model -o "$out/model-whole" || complain "model: $(cat "$out/text")"
model -o "$out/models" --set model.delay_ms=150 --max-wall-time 1
[ $? = 5 ] || complain "model: not stopped: $(cat "$out/text")"
cp "$weights" "$out/weights"
printf 'ab' | dd of="$weights" bs=1 conv=notrunc 2> /dev/null \
    seek=$(($(wc -c < "$weights") - 2))
model -o "$out/models" --resume
[ $? = 2 ] && grep -q 'model.path: .*vqvae/.*: has changed since' "$out/text" ||
    complain "model: other weights were taken: $(cat "$out/text")"
cp "$out/weights" "$weights"
model -o "$out/models" --resume || complain "model: resume: $(cat "$out/text")"
for i in 0 1; do
    cmp "$out/model-whole/sample-00$i.npy" "$out/models/sample-00$i.npy" ||
        complain "model: sample $i differs"
done

# Misuse.
for option in "--checkpoint-seconds -1" "--max-wall-time soon" \
    "--task-timeout nan" "--save-iterates --resume"; do
    "$PICARD_DAG" run "$job" $option -q -o "$out/misuse" 2> /dev/null
    [ $? = 2 ] || complain "$option: not refused"
done
[ -e "$out/misuse" ] && complain "misuse left a folder"

# Every round's states.
"$PICARD_DAG" run "$job" "$@" -q --save-iterates -o "$out/iterates" ||
    complain "iterates: status $?"
for i in 0 1 2 3; do
    cmp "$out/whole/sample-00$i.npy" "$out/iterates/sample-00$i.npy" ||
        complain "iterates: sample $i differs"
done
rounds=$(sed -n 's/^ *"rounds": \([0-9]*\),$/\1/p' "$out/iterates/run.json" | head -1)
head -c 128 "$out/iterates/sample-000.iterates.npy" |
    grep -aq "($((rounds + 1)), 41, " ||
    complain "iterates: not [$rounds + 1, 41, ..]"
exit $failed
