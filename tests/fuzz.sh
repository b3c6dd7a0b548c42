#!/bin/sh
# make fuzz FUZZ_SECONDS=60: every target for so many seconds under libFuzzer with
# AddressSanitizer and UndefinedBehaviorSanitizer, in the folder fuzz/ of the build:
#
#   build/            the program's parts, configured once more for clang
#   corpus/<target>/  seeds of tests/fuzz/ and what libFuzzer has found worth keeping
#   found/            inputs that crashed, hung or ate memory; their fix brings them
#                     to tests/fuzz/<target>/ as crash-* or slow-*
#   <target>.log
#
# FUZZ_TARGETS="job message" runs only these.
set -u
srcdir=$(cd "${srcdir:-.}" && pwd) || exit 1
export srcdir
seconds=${FUZZ_SECONDS:-60}
targets=${FUZZ_TARGETS:-job safetensors lora config tokenizer checkpoint resume message}
clang=${CLANG:-clang}
flags='-g -O1 -fno-omit-frame-pointer -fno-sanitize-recover=undefined'
sanitizers=address,undefined
work=$PWD/fuzz

mkdir -p "$work/corpus" "$work/found" || exit 1
cd "$work" || exit 1
cat > probe.c <<'END'
int LLVMFuzzerTestOneInput(const unsigned char *data, unsigned long size);
int LLVMFuzzerTestOneInput(const unsigned char *data, unsigned long size)
{
    return data == 0 && size > 0;
}
END
if ! "$clang" -fsanitize=fuzzer,$sanitizers probe.c -o probe > probe.log 2>&1
then
    echo "fuzz: skipped: $clang has no libFuzzer ($work/probe.log)"
    exit 77
fi

if [ ! -f build/Makefile ]; then
    mkdir -p build
    (cd build && "$srcdir/configure" --quiet --without-mpi --without-onednn \
        CC="$clang" CFLAGS="$flags -fsanitize=fuzzer-no-link,$sanitizers") ||
        exit 1
fi
# shellcheck disable=SC2086
{ make -C build ${FUZZ_BUILT:-} && make -C build libpdag.a; } > make.log 2>&1 ||
    { tail make.log; exit 1; }

# Parsers that take paths read files from here.
TMPDIR=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo .)") || exit 1
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
trap 'exit 1' HUP INT TERM

failed=
for target in $targets; do
    extra=
    [ "$target" != resume ] || extra=$srcdir/tests/run_bench.c
    # shellcheck disable=SC2086
    "$clang" $flags -fsanitize=fuzzer,$sanitizers -std=c11 \
        -D_POSIX_C_SOURCE=200809L -DFUZZ_TARGET="fuzz_$target" \
        -I"$srcdir" -Ibuild ${FUZZ_CFLAGS:-} -o "fuzz_$target" \
        "$srcdir/tests/fuzz_entry.c" "$srcdir/tests/fuzz_files.c" \
        "$srcdir/tests/fuzz_$target.c" $extra build/libpdag.a \
        ${FUZZ_LIBS:--lprotobuf-c -ljansson -lpng -lz -lm -lpthread} || exit 1
    mkdir -p "corpus/$target"
    cp "$srcdir/tests/fuzz/$target"/* "corpus/$target/"
    echo "fuzz: $target: $seconds s"
    if "./fuzz_$target" -max_total_time="$seconds" -timeout=10 \
        -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1 \
        -artifact_prefix="found/$target-" "corpus/$target" > "$target.log" 2>&1
    then
        sed -n 's/^Done /fuzz: /p' "$target.log"
    else
        failed="$failed $target"
        grep -E '^SUMMARY|^==[0-9]+==|Test unit written' "$target.log"
        echo "fuzz: $target: see $work/$target.log"
    fi
done
[ -z "$failed" ] || { echo "fuzz: faults in:$failed"; exit 1; }
