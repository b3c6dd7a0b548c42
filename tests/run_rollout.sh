#!/bin/sh
# picard-dag rollout: a policy that knows nothing in PushT: its files, the same
# episodes in one process and on ranks, those of the sequential sampler within
# the solver's tolerance, fewer rounds from the plan before; and what is refused.
set -u
# shellcheck source=tests/script_lib.sh
. "${srcdir:-.}/tests/script_lib.sh"
model=$src/tests/data/models/policy-pusht
job=$src/examples/pusht.pb
small="--set model.path=$model --set sampler.steps=12"

"$PICARD_DAG" run "$job" --set "model.path=$model" --set sampler.steps=2 -q \
    -o "$out/there" 2> "$out/stderr"
grep -q "Chipmunk" "$out/stderr" && exit 77 # built without it

# The member of rollout.json.
value() { # folder, name
    sed -n "s/^ *\"$2\": \([-0-9.e]*\),*\$/\1/p" "$out/$1/rollout.json" | tail -n 1
}

# What must not depend on who did the work, nor when.
episodes() { # folder
    sed -n '/"episodes": \[/,/^  \],*$/p' "$out/$1/rollout.json"
}

# shellcheck disable=SC2086
expect 0 "$PICARD_DAG" rollout "$job" $small --episodes 2 --first-seed 7 -q \
    -o "$out/one"
has stdout "^score_mean "
has stdout "^latency_ms.median "
[ -s "$out/stderr" ] && complain "--quiet is not"
for name in rollout.json episode-000.png episode-001.png; do
    [ -s "$out/one/$name" ] || complain "no $name"
done
for name in '"seed": 7' '"seed": 8' '"score_mean"' '"success_rate"' \
    '"rounds_mean"' '"latency_ms"' '"median"' '"p95"' '"start": "trajectory"' \
    '"environment": "pusht"'; do
    grep -q "$name" "$out/one/rollout.json" || complain "no $name in rollout.json"
done

# Every episode alone is the same as in a row.
# shellcheck disable=SC2086
expect 0 "$PICARD_DAG" rollout "$job" $small --first-seed 8 -q -o "$out/second"
cmp "$out/one/episode-001.png" "$out/second/episode-000.png" ||
    complain "episode 8 depends on the one before it"

# What a plan was: its trajectory and rounds as those of `run`, whose first episode
# and noise have the same seed where that is 0; and what it saw.
there() { # folder, pattern: whether a file there fits it
    for file in "$out/$1/"$2; do
        [ -e "$file" ] && return 0
    done
    return 1
}

floats() { # file: its numbers
    tail -c +129 "$1"
}

shape() { # file, shape
    head -c 128 "$out/$1" | grep -aq "'<f4', .*'shape': ($2)" ||
        complain "$1: not ($2): $(head -c 128 "$out/$1" | tail -c +11)"
}

# shellcheck disable=SC2086
{
    expect 0 "$PICARD_DAG" rollout "$job" $small --episodes 2 --first-seed 0 -q \
        -o "$out/plain"
    expect 0 "$PICARD_DAG" rollout "$job" $small --episodes 2 --first-seed 0 -q \
        --save-trajectory --save-iterates -o "$out/kept"
    expect 0 "$PICARD_DAG" run "$job" $small --set seed=0 -q --save-trajectory \
        --save-iterates -o "$out/run"
}
there plain "*plan*" && complain "plans are kept unasked"
[ "$(episodes plain)" = "$(episodes kept)" ] || complain "other episodes when kept"
for plan in 000 001; do
    stem=kept/episode-001-plan-$plan
    for file in trajectory iterates observations; do
        [ -s "$out/$stem.$file.npy" ] || complain "no $stem.$file.npy"
    done
    shape $stem.trajectory.npy "13, 16, 2"
    shape $stem.iterates.npy "[0-9]*, 13, 16, 2"
    shape $stem.observations.npy "2, 20"
    floats "$out/$stem.trajectory.npy" > "$out/trajectory"
    floats "$out/$stem.iterates.npy" | tail -c $((13 * 16 * 2 * 4)) |
        cmp - "$out/trajectory" || complain "$stem: ends elsewhere"
    floats "$out/$stem.observations.npy" > "$out/seen"
    head -c 80 "$out/seen" > "$out/before"
    tail -c 80 "$out/seen" | cmp -s - "$out/before" && still=000 || still=001
    [ "$still" = $plan ] || complain "$stem: observations"
done
for file in trajectory iterates; do
    cmp "$out/run/sample-000.$file.npy" \
        "$out/kept/episode-000-plan-000.$file.npy" ||
        complain "$file: not that of the same plan by run"
done
for episode in 0 1; do
    plans=$(sed -n 's/^ *"plans": \([0-9]*\),$/\1/p' "$out/kept/rollout.json" |
        sed -n $((episode + 1))p)
    for file in trajectory iterates observations; do
        n=0
        for there in "$out/kept/episode-00$episode-plan-"*."$file.npy"; do
            [ -s "$there" ] && n=$((n + 1))
        done
        [ "$n" = "$plans" ] || complain "episode $episode: $n of $plans plans: $file"
    done
done

# The rounds of the kept plans are those that rollout.json tells of.
rounds=0
for file in "$out/kept/"episode-000-plan-*.iterates.npy; do
    n=$(head -c 128 "$file" | tail -c +11 |
        sed -n "s/.*'shape': (\([0-9]*\),.*/\1/p")
    rounds=$((rounds + n - 1))
done
awk -v rounds=$rounds '
    /"plans":/ && !plans { plans = $2 + 0 }
    /"rounds_mean":/ && !mean { mean = $2 + 0 }
    END { exit !(rounds > 0 && int(mean * plans + 0.5) == rounds) }
    ' "$out/kept/rollout.json" || complain "$rounds rounds in the iterates"
if [ -n "${MPIEXEC:-}" ]; then
    for ranks in 1 3; do
        # shellcheck disable=SC2086
        expect 0 "$MPIEXEC" -np $ranks "$PICARD_DAG" rollout "$job" $small \
            --episodes 2 --first-seed 7 -q -o "$out/on-$ranks"
        [ "$(episodes one)" = "$(episodes on-$ranks)" ] ||
            complain "$ranks ranks: other episodes"
        cmp "$out/one/episode-000.png" "$out/on-$ranks/episode-000.png" ||
            complain "$ranks ranks: another picture"
    done
fi

# Without a rollout: the plan of the start, against the sequential sampler.
# shellcheck disable=SC2086
expect 0 "$PICARD_DAG" verify "$job" $small -q -o "$out/verify"
has stdout "^passed  *true"

# Fewer episodes into the same folder, with a seed that only --first-seed makes
# one of the environment's: nothing of the others stays.
cp -r "$out/one" "$out/again"
# shellcheck disable=SC2086
expect 0 "$PICARD_DAG" rollout "$job" $small --set seed=4294967303 --first-seed 7 \
    --force -q -o "$out/again"
[ -e "$out/again/episode-001.png" ] && complain "an older episode stays"

# The same job again, without its plans and with fewer episodes: theirs do not stay.
# shellcheck disable=SC2086
expect 0 "$PICARD_DAG" rollout "$job" $small --first-seed 0 -q -o "$out/kept"
{ there kept "*plan*" || there kept "episode-001*"; } &&
    complain "files of the rollout before stay"
cmp "$out/one/episode-000.png" "$out/again/episode-000.png" ||
    complain "the job's seed in spite of --first-seed"

# Cut off: outputs are there, and the status says so.
# shellcheck disable=SC2086
expect 3 "$PICARD_DAG" rollout "$job" $small --set solver.max_rounds=2 -q \
    -o "$out/cut"
[ "$(value cut rounds_mean)" = 2.0 ] || complain "rounds of a cut rollout"
[ "$(value cut plans_converged)" = 0 ] || complain "converged after 2 rounds"

# A network that answers not-a-number, by its file's last weight.
cp -r "$model" "$out/broken"
chmod -R u+w "$out/broken"
weights=$out/broken/unet/diffusion_pytorch_model.safetensors
printf '\000\176' | dd of="$weights" bs=1 seek=$(($(wc -c < "$weights") - 2)) \
    conv=notrunc 2> /dev/null
# shellcheck disable=SC2086
for method in secant sequential; do
    expect 1 "$PICARD_DAG" rollout "$job" $small --set "model.path=$out/broken" \
        --set solver.method=$method -q -o "$out/not-finite"
    has stderr "network's output is not finite"
    [ -e "$out/not-finite" ] && complain "a folder of no plan"
done

# Refused, before anything is made.
refused() { # text, arguments ..
    text=$1
    shift
    # shellcheck disable=SC2086
    expect 2 "$PICARD_DAG" rollout "$@" -q -o "$out/refused"
    has stderr "$text"
    [ -e "$out/refused" ] && complain "made a folder: $*"
}

# shellcheck disable=SC2086
{
    refused "environment: none" "$src/examples/gaussian.pb"
    refused "environment: none" "$job" $small --set environment= \
        --set solver.start=copies
    refused "the model is no policy" "$src/examples/gaussian.pb" \
        --set environment=pusht
    refused "samples: 2" "$job" $small --set samples=2
    refused "guidance_scale: 2" "$job" $small --set guidance_scale=2
    refused "prompt: given" "$job" $small --set prompt=push
    refused "seeds up to 4294967295" "$job" $small --first-seed 4294967296
    refused "seeds up to 4294967295" "$job" $small --first-seed 4294967290 \
        --episodes 7
    refused "\-\-episodes: expected" "$job" $small --episodes 0
    refused "\-\-episodes: expected" "$job" $small --episodes 2.5
    refused "\-\-first-seed: expected" "$job" $small --first-seed -1
    refused "actions of 3" "$job" --set "model.path=$src/tests/data/models/policy-odd"
}
exit $failed
