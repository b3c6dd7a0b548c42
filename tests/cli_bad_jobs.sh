#!/bin/sh
# Bad jobs and bad --set texts at the command line: exit status 2, one line on
# stderr that begins with "picard-dag: " and names the fault, nothing written.
#
# PICARD_DAG: path of the program.  srcdir: top of the sources (default ".").
set -u
: "${PICARD_DAG:?path of the program}"
case $PICARD_DAG in
/*) ;;
*) PICARD_DAG=$PWD/$PICARD_DAG ;;
esac
top=$(cd "${srcdir:-.}" && pwd) || exit 99
work=$(mktemp -d "${TMPDIR:-/tmp}/pdag-bad-jobs.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
trap 'exit 99' HUP INT TERM
cd "$work" || exit 99
cp "$top/examples/gaussian.pb" good.pb || exit 99
n_bad=0
n_cases=0

fail()
{
    n_bad=$((n_bad + 1))
    echo "FAIL: $*"
    sed 's/^/    stderr: /' err
}

# expect TEXT ARGUMENT..: `picard-dag run ARGUMENT.. -o out` is refused and says
# TEXT.
expect()
{
    text=$1
    shift
    n_cases=$((n_cases + 1))
    rm -rf out
    "$PICARD_DAG" run "$@" -o out >stdout 2>err </dev/null
    status=$?
    [ "$status" -eq 2 ] || fail "status $status, not 2: run $*"
    [ "$(wc -l <err)" -eq 1 ] || fail "not one line: run $*"
    grep -q '^picard-dag: ' err || fail "no program name: run $*"
    grep -qF -e "$text" err || fail "does not say '$text': run $*"
    [ ! -s stdout ] || fail "something on stdout: run $*"
    [ -z "$(ls -A out 2>/dev/null)" ] || fail "something was written: run $*"
}

# bytes TEXT OCTAL: a job file of these bytes (printf escapes) is refused.
bytes()
{
    printf "$2" >bad.pb
    expect "$1" bad.pb
}

# set_to TEXT FIELD=VALUE: the good job with this --set is refused.
set_to()
{
    expect "$1" good.pb --set "$2"
}

# The good job itself must be accepted as far as its fields go, or the rest
# shows nothing.
"$PICARD_DAG" run good.pb -o fine --quiet >stdout 2>err </dev/null
[ -s fine/run.json ] || {
    fail "the good job does not run"
    exit 1
}

# Files.
expect missing.pb missing.pb
mkdir folder.pb
expect folder.pb folder.pb
: >empty.pb
expect model.path empty.pb
expect model.path -
printf 'seed: 1\nsamples: 1\n' >text.txtpb
expect 'protoc --encode' text.txtpb
dd if=/dev/zero of=huge.pb bs=1048576 seek=64 count=1 2>/dev/null
expect '64 MiB' huge.pb
dd if=good.pb of=short.pb bs=1 count=4 2>/dev/null
expect short.pb short.pb

# Bytes: no protobuf, cut short, unknown numbers, wrong types, texts.
bytes bad.pb '\377\377\377\377\377\377\377\377\377\377\377'
bytes bad.pb '\000\000\000'
bytes 'cut short' '\022\005\010\004'
bytes 'field number 99' '\022\002\010\004\230\006\001'
bytes 'sampler.unknown field number 31' '\022\002\010\004\032\003\370\001\001'
bytes 'sampler.steps' '\022\002\010\004\032\003\022\001x'
bytes 'prompt' '\022\002\010\004\062\003a\000b'
bytes 'prompt' '\022\002\010\004\062\001\351'
bytes 'sampler.steps: 0' '\022\002\010\004\032\002\020\000'
nan='\031\000\000\000\000\000\000\370\177'
bytes 'sampler.eta' '\022\002\010\004\032\011'"$nan"
bytes 'solver.method' '\022\002\010\004\042\010\012\006secand'
bytes 'pcm' '\022\002\010\004\052\000'
bytes 'gaussian.shape' '\022\000'
bytes 'model.path' '\012\003\012\001m\022\002\010\004'

# Ranges, choices, spelling.
while read -r text set; do
    [ -n "$text" ] && set_to "$text" "$set"
done <<'END'
sampler.steps sampler.steps=0
sampler.steps sampler.steps=10001
sampler.steps sampler.steps=fifty
sampler.steps sampler.steps=50x
sampler.steps sampler.steps=99999999999999999999
sampler.steps sampler.step=50
sampler.eta sampler.eta=-0.1
sampler.eta sampler.eta=nan
sampler.kind sampler.kind=heun
sampler.kind sampler.kind=dpmpp-4m
sampler.clip sampler.clip=yes
sampler.clip_range sampler.clip_range=0
sampler.spacing sampler.spacing=even
sampler.prediction sampler.prediction=noise
sampler.variance sampler.variance=learned
solver.method solver.method=gauss
solver.start_row solver.start_row=3
solver.start solver.start=trajectory
solver.restart solver.restart=-1
solver.tolerance solver.tolerance=0
solver.tolerance solver.tolerance=inf
solver.stop solver.stop=never
solver.window solver.window=-1
solver.max_rounds solver.max_rounds=-1
solver.history solver.history=-1
solver.slope solver.slope=bands
solver.start solver.start=warm
solver.start_from solver.start_from=somewhere
solver.entry solver.entry=zero
solver.statistics solver.statistics=s.npy
policy policy=late
random random=dice
seed seed=-1
seed seed=18446744073709551616
samples samples=0
block_rows block_rows=0
guidance_scale guidance_scale=0.5
guidance_scale guidance_scale=4
prompt prompt=heart
negative_prompt negative_prompt=heart
class_label class_label=1
class_label class_label=-1
class_label class_label=2147483648
class_label class_label=cat
environment environment=pusht
model.path model.path=folder.pb
model.backend model.backend=gpu
model.precision model.precision=float8
model.delay_ms model.delay_ms=-1
model.lora model.lora=x@0.5
pcm pcm.rounds=5
gaussian.modes gaussian.modes=0
gaussian.std gaussian.std=0
gaussian.shape gaussian.shape=0
gaussian gaussian=1
frobnicate frobnicate=1
FIELD=VALUE seed
FIELD=VALUE =1
END

# A model path that is not there, by a job without gaussian.
expect missing-model empty.pb --set model.path=missing-model
expect missing.npy good.pb --set noise=missing.npy

echo "$n_cases cases, $n_bad faults"
[ "$n_bad" -eq 0 ]
