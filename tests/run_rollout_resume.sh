#!/bin/sh
# Rollouts that are stopped, or killed, and go on: the same episodes, pictures and
# plans as one that was never broken off; and what does not go on.
set -u
# shellcheck source=tests/script_lib.sh
. "${srcdir:-.}/tests/script_lib.sh"
# shellcheck source=tests/kill_lib.sh
. "$src/tests/kill_lib.sh"
cp -R "$src/tests/data/models/policy-pusht" "$out/model" && chmod -R u+w "$out/model"
job=$src/examples/pusht.pb
set -- --set "model.path=$out/model" --set sampler.steps=12 --first-seed 7

"$PICARD_DAG" run "$job" --set "model.path=$out/model" --set sampler.steps=2 -q \
    -o "$out/there" 2> "$out/stderr"
grep -q "Chipmunk" "$out/stderr" && exit 77 # built without it

episodes() { # folder
    sed -n '/"episodes": \[/,/^  \],*$/p' "$out/$1/rollout.json"
}

count() { # folder: episodes that have ended
    episodes "$1" | grep -c '"seed":'
}

# The members behind the episodes that are no times.
means() { # folder
    sed -n '/^  "score_mean"/,/^  "evaluations_mean"/p' "$out/$1/rollout.json"
}

# Against a rollout of as many episodes that was never broken off.
check_same() { # folder, whole
    [ "$(episodes "$1")" = "$(episodes "$2")" ] || complain "$1: other episodes"
    [ "$(means "$1")" = "$(means "$2")" ] ||
        complain "$1: $(means "$1") instead of $(means "$2")"
    for file in "$out/$2"/episode-*; do
        cmp "$file" "$out/$1/$(basename "$file")" || complain "$1: another file"
    done
    for file in "$out/$1"/episode-*; do
        [ -e "$out/$2/$(basename "$file")" ] || complain "$1: one more file: $file"
    done
}

# Start a long rollout and send it a signal when two episodes have ended.
break_off() { # signal, folder, program and arguments ..
    signal=$1
    folder=$2
    shift 2
    "$@" --episodes 1000 -o "$out/$folder" > "$out/stdout" 2> "$out/stderr" &
    pid=$!
    wait_for_line "$out/stderr" 600 '^episode 2/1000' ||
        complain "$folder: no second episode: $(cat "$out/stderr")"
    kill -"$signal" $pid
    wait $pid 2> /dev/null
    status=$?
}

# Go on until there is one more.
go_on() { # folder, program and arguments ..
    folder=$1
    shift
    expect 0 "$@" --resume -q --episodes $((n + 1)) -o "$out/$folder"
    [ "$(count "$folder")" = $((n + 1)) ] ||
        complain "$folder: $(count "$folder") episodes, expected $((n + 1))"
}

# A signal ends it after the plan at hand.
break_off TERM term "$PICARD_DAG" rollout "$job" "$@" --save-trajectory
[ $status = 5 ] || complain "term: status $status"
n=$(count term)
{ [ "$n" -ge 2 ] && [ "$n" -lt 1000 ]; } || complain "term: $n episodes"
has stderr "stopped by a signal after $n of 1000 episodes"
grep -q '"exit_status": 5' "$out/term/rollout.json" ||
    complain "term: rollout.json does not say 5"
for file in "$out/term/episode-$(printf %03d "$n")"*; do
    [ -e "$file" ] && complain "term: of the episode that was stopped: $file"
done
go_on term "$PICARD_DAG" rollout "$job" "$@" --save-trajectory
expect 0 "$PICARD_DAG" rollout "$job" "$@" --save-trajectory -q \
    --episodes $((n + 1)) -o "$out/term-whole"
check_same term term-whole

# Killed without a word: what has ended is there, and other plans are kept later.
break_off KILL kill "$PICARD_DAG" rollout "$job" "$@"
n=$(count kill)
[ "$n" -ge 2 ] || complain "kill: $n episodes"
touch "$out/kill/.episode-000.png.12345"
expect 0 "$PICARD_DAG" rollout "$job" "$@" --episodes $((n + 2)) --save-iterates -q \
    -o "$out/kill-whole"
cp -R "$out/kill" "$out/bare"
expect 0 "$PICARD_DAG" rollout "$job" "$@" --episodes $((n + 2)) --save-iterates \
    --resume -o "$out/kill"
has stderr "not all files of episode 0 are there"
[ -e "$out/kill/.episode-000.png.12345" ] && complain "a partial file is left"
check_same kill kill-whole

# All is there: nothing is made, not even a latency; then a file has gone.
# The latencies are some that a change of unit and back would not leave alone.
sed 's/"median": [0-9.e+]*/"median": 41.829903149118763/
    s/"p95": [0-9.e+]*/"p95": 60.360364627079356/' "$out/kill/rollout.json" > "$out/report"
cp "$out/report" "$out/kill/rollout.json"
expect 0 "$PICARD_DAG" rollout "$job" "$@" --episodes $((n + 2)) --resume -q \
    -o "$out/kill"
grep -v '"started"' "$out/report" > "$out/this"
grep -v '"started"' "$out/kill/rollout.json" | diff - "$out/this" ||
    complain "a rollout that was whole has changed"
rm "$out/kill/episode-$(printf %03d "$n")-plan-003.iterates.npy"
expect 0 "$PICARD_DAG" rollout "$job" "$@" --episodes $((n + 2)) --save-iterates \
    --resume -o "$out/kill"
has stderr "not all files of episode $n are there"
check_same kill kill-whole

# Without the option they are whole as they are; on other ranks.
n=$((n + 1))
runner=
[ -n "${MPIEXEC:-}" ] && runner="$MPIEXEC -np 3"
# shellcheck disable=SC2086
expect 0 $runner "$PICARD_DAG" rollout "$job" "$@" --episodes $n --resume \
    -o "$out/bare"
has stderr "goes on after $((n - 1)) of $n episodes"
has_not stderr "not all files"
if [ -n "${MPIEXEC:-}" ]; then
    break_off USR1 ranks "$MPIEXEC" -np 2 "$PICARD_DAG" rollout "$job" "$@"
    [ $status = 5 ] || complain "ranks: status $status"
    n=$(count ranks)
    go_on ranks "$PICARD_DAG" rollout "$job" "$@"
    expect 0 "$PICARD_DAG" rollout "$job" "$@" -q --episodes $((n + 1)) \
        -o "$out/ranks-whole"
    check_same ranks ranks-whole
fi

# Nothing there.
expect 0 "$PICARD_DAG" rollout "$job" "$@" --resume -q -o "$out/new"
has stderr "no rollout.json in .*: starting anew"

# What does not go on leaves everything as it was.
refused() { # text, arguments ..
    text=$1
    shift
    cp "$out/bare/rollout.json" "$out/report"
    expect 2 "$PICARD_DAG" rollout "$job" "$@" --resume -q -o "$out/bare"
    has stderr "$text"
    cmp "$out/report" "$out/bare/rollout.json" || complain "$text: another report"
}

refused "another job's" "$@" --set sampler.steps=13
refused "another job's" "$@" --set seed=9
refused "episodes 1: .* already" "$@" --episodes 1
set -- "$@" --episodes 1000
refused "first-seed 8: .* has seed 7" "$@" --first-seed 8
weights=$out/model/unet/diffusion_pytorch_model.safetensors
cp "$weights" "$out/weights"
printf 'ab' | dd of="$weights" bs=1 conv=notrunc 2> /dev/null \
    seek=$(($(wc -c < "$weights") - 2))
refused "model.path: .*its files are not those" "$@"
cp "$out/weights" "$weights"
sed 's/"plans": .*/"plans": 0,/' "$out/bare/rollout.json" > "$out/edited"
cp "$out/edited" "$out/bare/rollout.json"
refused "episodes\[0\]: .*plans.*: no episode of pusht" "$@"
sed 's/"score": .*/"score": "much",/' "$out/edited" > "$out/bare/rollout.json"
refused "episodes\[0\]: " "$@"
echo '{"version": "0.1.0"' > "$out/bare/rollout.json"
refused "rollout.json" "$@"
exit $failed
