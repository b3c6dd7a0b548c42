# tests/kill_lib.sh: for scripts that kill ranks; sourced, with $out a folder of the
# script's own.  Nothing is found by name: every rank writes down its own number.

# A whole number from 0 to $1 - 1 in $random; $random_state is the seed.
draw() {
    random_state=$(((random_state * 1103515245 + 12345) % 2147483648))
    random=$(((random_state / 65536) % $1))
}

nap_ms() {
    sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"
}

# The program that mpirun starts instead of the given one.
make_rank_wrapper() {
    cat > "$out/rank" <<'EOF'
#!/bin/sh
echo $$ > "$PID_FOLDER/pid.${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-0}}"
exec "$@"
EOF
    chmod +x "$out/rank"
    PID_FOLDER=$out
    export PID_FOLDER
}

# Whether process $1 runs; one that has ended and that nobody has asked about does
# not.
is_running() {
    kill -0 "$1" 2> /dev/null || return 1
    [ -r "/proc/$1/stat" ] || return 0
    case $(sed 's/.*) //' "/proc/$1/stat" 2> /dev/null) in
        Z* | '') return 1 ;;
    esac
    return 0
}

# Wait up to $1 tenths of a second until no rank runs any more.
ranks_are_gone() {
    tenths=$1
    while :; do
        left=
        for file in "$out"/pid.*; do
            [ -e "$file" ] && is_running "$(cat "$file")" && left=$file
        done
        [ -z "$left" ] && return 0
        [ "$tenths" -le 0 ] && return 1
        tenths=$((tenths - 1))
        nap_ms 100
    done
}

# Those that are left: by their numbers.
end_ranks() {
    for file in "$out"/pid.*; do
        [ -e "$file" ] && is_running "$(cat "$file")" &&
            kill -9 "$(cat "$file")"
    done
    rm -f "$out"/pid.*
}

# Wait up to $2 tenths of a second until file $1 has a line with $3.
wait_for_line() {
    tenths=$2
    until grep -q "$3" "$1" 2> /dev/null; do
        [ "$tenths" -le 0 ] && return 1
        tenths=$((tenths - 1))
        nap_ms 100
    done
}

# What run.json of folder $1 says of the samples, but for the time that they took.
sample_report() {
    sed -n '/^  "samples": /,/^  \]/{/"seconds": {/,/}/!p;}' "$1/run.json"
}

# What a run that was broken and resumed must share with an unbroken one: the final
# state, and all that run.json says of the sample.
same_results() {
    cmp "$1/sample-000.npy" "$2/sample-000.npy" || return 1
    sample_report "$1" > "$out/this"
    sample_report "$2" > "$out/that"
    grep -q '"rounds": [1-9]' "$out/this" && diff "$out/this" "$out/that"
}
