#!/bin/sh
# bench/simgrid.sh [--ranks 8,32,128,512] [--csv bench/results/simgrid.csv] [--keep DIR]
#
# The scheduler's and the workers' own sources, unchanged, on simulated clusters:
# compiled with SimGrid's smpicc (Debian: libsimgrid-dev), run by smpirun on
# bench/simgrid/cluster.xml with bench/makespan.c as the program.  A network task of
# 10 ms is a simulated sleep; what rank 0 computes and copies is measured on this
# machine as it happens (also what a simulated worker adds to its sleep); messages
# take what the platform's links take.
#
# Per rank count: many samples (two for each worker) of small states, and of states of
# Stable Diffusion's size (16384 scalars, 64 KB a message); one sample alone, which
# its 100 rows bound.  --ranks counts workers; the scheduler is one rank more, since
# SimGrid wants no threads in a rank.  rank0_busy in the CSV is the share of the time
# in which rank 0 was not waiting, link_busy that of rank 0's link in its busier
# direction: the larger one saturates first.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
ranks=8,32,128,512
csv=$top/bench/results/simgrid.csv
keep=
platform=$top/bench/simgrid/cluster.xml
link_bytes=25e9 # as the platform says

die() {
    echo "simgrid.sh: $*" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --ranks) ranks=$2; shift 2 ;;
    --csv) csv=$2; shift 2 ;;
    --keep) keep=$2; shift 2 ;;
    *) die "$1: unknown option (see the head of this file)" ;;
    esac
done
command -v smpicc >/dev/null || die "no smpicc (Debian: libsimgrid-dev)"
[ -x "$top/configure" ] || die "no configure: run ./autogen.sh first"

work=${keep:-$(mktemp -d)}
mkdir -p "$work" || exit 1
[ -n "$keep" ] || trap 'rm -rf "$work"' EXIT

# The library without what a sleeping network has no use for, then the MPI transport
# with SimGrid's MPI.
build() {
    cd "$work" || exit 1
    [ -f Makefile ] ||
        "$top/configure" --quiet --without-mpi --without-onednn --without-cuda \
            --without-chipmunk > configure.out || return 1
    # smpicc would put its own malloc in place of the C library's.
    flags="-O2 -g -fPIC -DSMPI_NO_OVERRIDE_MALLOC"
    make -s proto/job.pb-c.h proto/checkpoint.pb-c.h &&
        make -s -j"$(nproc)" CC=smpicc CFLAGS="$flags" libpdag.a > make.out || return 1
    flags="-std=gnu11 $flags -I. -I$top $(pkg-config --cflags libprotobuf-c jansson)"
    # shellcheck disable=SC2086
    smpicc $flags -include "$top/bench/simgrid/gaps.h" -c "$top/comm/mpi.c" \
        -o simgrid_mpi.o || return 1
    objects=simgrid_mpi.o
    for file in comm/mpi_launch bench/makespan bench/star cli/setup cli/sampler \
        cli/guess cli/observe; do
        object=simgrid_$(basename $file).o
        # shellcheck disable=SC2086
        smpicc $flags -c "$top/$file.c" -o "$object" || return 1
        objects="$objects $object"
    done
    # shellcheck disable=SC2086
    smpicc -o makespan $objects libpdag.a \
        $(pkg-config --libs libprotobuf-c jansson libpng zlib) -lpthread -lm
}

# workers, then arguments of bench/makespan; one line of CSV without its end.
simulate() {
    n=$1
    shift
    # A poll costs what Open MPI's takes; it does not get dearer while it waits.  All
    # sends leave at once, as those below 64 KB do by default: SimGrid's tests of
    # requests get slower with each one that did not.
    PMI_RANK=0 smpirun -np $((n + 1)) -platform "$platform" \
        -hostfile "$work/hosts" --log=root.thres:error \
        --cfg=smpi/host-speed:1Gf --cfg=smpi/grow-injected-times:no \
        --cfg=smpi/iprobe:1e-6 --cfg=smpi/test:2e-7 \
        --cfg=smpi/send-is-detached-thresh:1000000000 \
        "$work/makespan" -d "$top/examples/gaussian.pb" model.delay_ms=10 \
        sampler.steps=100 solver.window=100 block_rows=1 "$@"
}

# Adds the size of a state, and the share of rank 0's link: tasks out or results
# back, of about the same size.
line() {
    dim=$1
    shift
    simulate "$@" "gaussian.shape=$dim" |
        awk -F, -v dim="$dim" -v link=$link_bytes '
            { printf "%d,%s,%.4f\n", dim, $0, $15 / 2 / $16 / link }' >> "$csv"
    tail -n 1 "$csv"
}

build >&2 || die "the simulated program does not build: see above"
seq -f node-%g 0 519 > "$work/hosts"
mkdir -p "$(dirname "$csv")"
printf 'dim,%s,link_busy\n' "$(smpirun -np 1 -platform "$platform" \
    -hostfile "$work/hosts" --log=root.thres:error "$work/makespan" -n)" | tee "$csv"
for n in $(echo "$ranks" | tr , ' '); do
    line 256 "$n" samples=$((2 * n))
    line 256 "$n" samples=1
    line 16384 "$n" samples=$((2 * n < 64 ? 2 * n : 64))
done
