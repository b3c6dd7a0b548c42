# tests/script_lib.sh: for scripts that run the program; sourced.  Gives $src, $out (a
# folder of the script's own, gone at its end), $failed, and what is below.
src=${srcdir:-.}
out=$(mktemp -d) || exit 1
trap 'rm -rf "$out"' EXIT
failed=0
script=$(basename "$0" .sh)

complain() { # text ..
    echo "$script: $*" >&2
    failed=1
}

# Run a command, with what it prints in $out/stdout and $out/stderr.
expect() { # status, command ..
    status=$1
    shift
    "$@" > "$out/stdout" 2> "$out/stderr"
    got=$?
    [ $got = "$status" ] ||
        complain "status $got, expected $status: $*: $(cat "$out/stderr")"
}

has() { # file, text
    grep -q -- "$2" "$out/$1" || complain "no '$2' in $1: $(head -n 4 "$out/$1")"
}

has_not() { # file, text
    grep -q -- "$2" "$out/$1" && complain "'$2' in $1"
}

# Sets $python ($PYTHON, or python3) for what runs tools/; ends the script as skipped
# where that lacks a module.
need_python() { # module ..
    python=${PYTHON:-python3}
    OMP_NUM_THREADS=1
    PYTHONDONTWRITEBYTECODE=1
    export OMP_NUM_THREADS PYTHONDONTWRITEBYTECODE
    "$python" -c 'import importlib, sys
for name in sys.argv[1:]: importlib.import_module(name)' "$@" 2> "$out/stderr" || {
        echo "$script: skipped, $python lacks a module of: $*"
        exit 77
    }
}
