#!/bin/sh
# picard-dag verify: every sampler with every solver, in one process and on ranks;
# what is refused says why; what is not within bounds has its own status.
set -u
# shellcheck source=tests/script_lib.sh
. "${srcdir:-.}/tests/script_lib.sh"
job=$src/examples/gaussian.pb
small="--set gaussian.shape=16 --set sampler.steps=12"

# expected status, then the command; output in $out/stdout and $out/stderr
fact() {
    awk -v name="$1" '$1 == name { print $2 }' "$out/stdout"
}

# One pair: passed, or refused by name.
pair() {
    kind=$1
    method=$2
    shift 2
    # shellcheck disable=SC2086
    "$@" verify "$job" $small --set "sampler.kind=$kind" \
        --set "solver.method=$method" -q --force -o "$out/pair" \
        > "$out/stdout" 2> "$out/stderr"
    got=$?
    if [ $got = 0 ]; then
        [ "$(fact passed)" = true ] || complain "$kind, $method: status 0, not passed"
        passed=$((passed + 1))
    elif [ $got = 2 ] && grep -q "^picard-dag: .*$method" "$out/stderr"; then
        refused="$refused $kind:$method"
    else
        complain "$kind, $method: status $got: $(cat "$out/stderr" "$out/stdout")"
    fi
}

# All pairs; those on ranks are with a one-step, a multistep and a noisy sampler.
"$PICARD_DAG" info > "$out/info"
kinds=$(awk '$1 == "sampler" { print $2 }' "$out/info")
methods=$(awk '$1 == "solver" { print $2 }' "$out/info")
passed=0
refused=
for kind in $kinds; do
    for method in $methods; do
        pair "$kind" "$method" "$PICARD_DAG"
        [ -n "${MPIEXEC:-}" ] || continue
        case $kind in
        ddim|dpmpp-2m|euler-a)
            alone=$(cat "$out/stdout")
            pair "$kind" "$method" "$MPIEXEC" -np 3 "$PICARD_DAG"
            [ "$alone" = "$(cat "$out/stdout")" ] ||
                complain "$kind, $method: 3 ranks say otherwise" ;;
        esac
    done
done
[ $passed -ge 40 ] || complain "only $passed pairs were tried"
for pair in $refused; do
    case $pair in
    *:newton) ;; # one-step samplers only
    *) complain "refused: $pair" ;;
    esac
done

# What it leaves behind: run's outputs, verify.json, and the same in run.json.
# shellcheck disable=SC2086
expect 0 "$PICARD_DAG" verify "$job" $small --set samples=3 -q -o "$out/three"
for file in sample-000.npy sample-001.npy sample-002.npy verify.json run.json; do
    [ -e "$out/three/$file" ] || complain "verify does not write $file"
done
cp "$out/three/verify.json" "$out/verify.json"
cp "$out/three/run.json" "$out/run.json"
for key in rounds evaluations max_abs_error relative_rms_error psnr_db \
    residual_rms_max passed; do
    [ -n "$(fact $key)" ] || complain "$key is not printed"
    [ "$(grep -c "\"$key\"" "$out/verify.json")" = 4 ] ||
        complain "verify.json: $key is not there for all and for each of 3"
done
has run.json '"command": "verify"'
has run.json '"verify": {'
[ "$(fact psnr_db)" = null ] || complain "PSNR without pictures"
# The samples are those of `run`, bit for bit.
# shellcheck disable=SC2086
expect 0 "$PICARD_DAG" run "$job" $small --set samples=3 -q -o "$out/plain"
cmp "$out/plain/sample-002.npy" "$out/three/sample-002.npy" ||
    complain "verify and run end in different samples"

# Bounds: a loose tolerance is not within tight ones; pictures have theirs.
# shellcheck disable=SC2086
expect 4 "$PICARD_DAG" verify "$job" $small --set solver.tolerance=0.5 \
    --max-error 1e-6 -q -o "$out/bounds"
[ "$(fact passed)" = false ] || complain "passed in spite of --max-error"
has stdout relative_rms_error
# shellcheck disable=SC2086
expect 0 "$PICARD_DAG" verify "$job" $small --set solver.method=sequential \
    --max-error 0 -q -o "$out/sequential"
# shellcheck disable=SC2086
expect 3 "$PICARD_DAG" verify "$job" $small --set solver.max_rounds=2 -q \
    -o "$out/short"
[ "$(fact passed)" = false ] || complain "passed without convergence"
# Fewer rounds than steps do for the solver; the reference takes all its steps.
# shellcheck disable=SC2086
expect 0 "$PICARD_DAG" verify "$job" $small --set sampler.steps=30 \
    --set solver.max_rounds=25 -q -o "$out/enough"
picture="--set sampler.steps=6 --set solver.stop=error --set solver.window=0
    --set solver.tolerance=0.5"
# shellcheck disable=SC2086
expect 0 "$PICARD_DAG" verify "$src/examples/sd.pb" $picture --max-error 10 \
    --min-psnr 1 -q -o "$out/picture"
[ "$(fact psnr_db)" != null ] || complain "no PSNR of a picture"
[ -e "$out/picture/sample-000.png" ] || complain "no picture"
# shellcheck disable=SC2086
expect 4 "$PICARD_DAG" verify "$src/examples/sd.pb" $picture --max-error 10 \
    --min-psnr 200 -q -o "$out/picture"

# Misuse.
expect 2 "$PICARD_DAG" verify "$job" --max-error frob
has stderr '^picard-dag: verify: --max-error: frob'
expect 2 "$PICARD_DAG" verify "$job" --min-psnr nan
expect 2 "$PICARD_DAG" verify "$job" --max-error -1
expect 2 "$PICARD_DAG" verify
expect 2 "$PICARD_DAG" verify "$job" --set solver.method=frob -o "$out/never"
expect 2 "$PICARD_DAG" verify "$job" -q --set seed=3 -o "$out/three"
has stderr "another job's results"
[ -e "$out/never" ] && complain "output folder made for a bad job"
# shellcheck disable=SC2086
"$PICARD_DAG" verify - $small -q -o "$out/stdin" < "$job" > /dev/null ||
    complain "a job from standard input"

# run's relatives: statistics of the samples, and a start from an earlier run.
# shellcheck disable=SC2086
expect 0 "$PICARD_DAG" run "$job" $small --set samples=5 -q --save-trajectory \
    --save-statistics "$out/statistics.npy" -o "$out/five"
[ "$(wc -c < "$out/statistics.npy")" = $((128 + 2 * 16 * 4)) ] ||
    complain "statistics.npy has another size"
if [ -n "${MPIEXEC:-}" ]; then
    # shellcheck disable=SC2086
    expect 0 "$MPIEXEC" -np 3 "$PICARD_DAG" run "$job" $small --set samples=5 \
        -q --save-statistics "$out/ranks.npy" -o "$out/ranks"
    cmp "$out/statistics.npy" "$out/ranks.npy" ||
        complain "statistics differ on 3 ranks"
fi
# shellcheck disable=SC2086
expect 2 "$PICARD_DAG" run "$job" $small -q --save-statistics "$out/one.npy" \
    -o "$out/never"
has stderr 'at least 2 samples'
# shellcheck disable=SC2086
expect 2 "$PICARD_DAG" run "$job" $small --set samples=2 -q \
    --save-statistics "$out/none/x.npy" -o "$out/never"
[ -e "$out/never" ] && complain "output folder made in spite of a bad option"
# shellcheck disable=SC2086
expect 0 "$PICARD_DAG" verify "$job" $small --set samples=5 -q \
    --set solver.start=trajectory --set "solver.start_from=$out/five" \
    -o "$out/warm"
[ "$(fact rounds)" -le 2 ] || complain "a start from the solution: $(fact rounds)"
# shellcheck disable=SC2086
expect 0 "$PICARD_DAG" run "$job" $small --set samples=5 -q \
    --start-from "$out/five" -o "$out/again"
exit $failed
