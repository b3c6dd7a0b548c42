#!/bin/sh
# bench/rounds.sh --program build/picard-dag; bench/rounds.sh --table
#
# Rounds that every solver needs on examples/models/emoji-sd, by `picard-dag compare`.
# Results are appended to a CSV file run by run; what is there already is not run again,
# so it can be stopped and started at will, and two may run side by side with different
# --samplers.  --table prints the tables and ratios from that file (Markdown).
#
# Parts, in this order:
#   main     all solvers, full window, until every residual is <= 1e-3 (rounds_a)
#   sweep    triangular-anderson at all orders and histories on the first prompt, at
#            the five best of these on the second (--full: at all)
#   best     triangular-anderson at the best of the sweep, all prompts
#   windows  small windows: ParaDiGMS' rule beside the secant sweep
# Guidance 3 with 8 prompts (windows: 4), then the others with 2.
#
# Options:
#   --program FILE    the program (build/picard-dag)
#   --job FILE        the job (examples/sd.pb); sampler, prompt, solver are replaced
#   --csv FILE        the results (bench/results/rounds.csv)
#   --parts LIST      only these parts
#   --samplers LIST   of ddim-25,ddim-50,ddim-100,ddpm-100
#   --guidance LIST   (3,1,7.5)
#   --solvers LIST    instead of the solvers of `main`, as for `compare --solvers`
#   --prompts N       at most N prompts, 1 to 8
#   --full            8 prompts everywhere, all starts, the sweep for every sampler
#   --estimate        say how long it would take, and stop
#   --table           print the tables, and stop
set -u

top=$(cd "$(dirname "$0")/.." && pwd)
program=$top/build/picard-dag
job=$top/examples/sd.pb
csv=$top/bench/results/rounds.csv
parts=main,sweep,best,windows
samplers=ddim-50,ddpm-100,ddim-100,ddim-25
guidances=3,1,7.5
most_prompts=8
full=
mode=run

released=triangular-anderson:order=20:history=2:start=copies
solvers=picard:start=copies,order-k:order=20:start=copies,$released
for fields in one:history=4:start=copies gaussian:history=4:start=copies \
    bands:history=4:start=copies gaussian:history=4:start=gaussian \
    bands:history=4:start=gaussian bands:history=4:start=roll; do
    solvers=$solvers,secant:slope=$fields
done
more_solvers=secant:slope=one:history=4:start=gaussian
more_solvers=$more_solvers,secant:slope=one:history=4:start=roll
more_solvers=$more_solvers,secant:slope=gaussian:history=4:start=roll

die()
{
    echo "rounds.sh: $*" >&2
    exit 2
}

prompt_text()
{
    case $1 in
    1) echo "red heart" ;;
    2) echo "panda" ;;
    3) echo "watermelon" ;;
    4) echo "grinning face" ;;
    5) echo "red apple" ;;
    6) echo "soccer ball" ;;
    7) echo "cat face" ;;
    8) echo "snowman" ;;
    esac
}

while [ $# -gt 0 ]; do
    case $1 in
    --full | --estimate | --table) ;;
    --*) [ $# -ge 2 ] || die "$1: expected a value" ;;
    esac
    case $1 in
    --program) program=$2; shift ;;
    --job) job=$2; shift ;;
    --csv) csv=$2; shift ;;
    --parts) parts=$2; shift ;;
    --samplers) samplers=$2; shift ;;
    --guidance) guidances=$2; shift ;;
    --solvers) solvers=$2; more_solvers=; shift ;;
    --prompts) most_prompts=$2; shift ;;
    --full) full=yes ;;
    --estimate | --table) mode=${1#--} ;;
    *) die "$1: unknown, see the head of $0" ;;
    esac
    shift
done
case $most_prompts in
[1-8]) ;;
*) die "--prompts: $most_prompts: expected 1 to 8" ;;
esac
[ -z "$full" ] || solvers=$solvers${more_solvers:+,$more_solvers}

if [ "$mode" = table ]; then
    [ -f "$csv" ] || die "$csv: no results yet"
    exec awk -v want=table -v released="$released" -f "$top/bench/rounds.awk" "$csv"
fi

[ -x "$program" ] || die "$program: no such program, build it or give --program"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
work=$(mktemp -d "${TMPDIR:-/tmp}/pdag-rounds.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$(dirname "$csv")"

words()
{
    echo "$1" | tr ',' ' '
}

has_part()
{
    case ,$parts, in
    *,"$1",*) return 0 ;;
    esac
    return 1
}

# Prompts of one part at one guidance: n_prompts PART GUIDANCE
n_prompts()
{
    n=8
    if [ -z "$full" ]; then
        [ "$2" = 3 ] || n=2
        [ "$1" != windows ] || [ "$n" -le 4 ] || n=4
    fi
    [ "$1" != sweep ] || n=2
    [ "$n" -le "$most_prompts" ] || n=$most_prompts
    echo "$n"
}

# An order of all steps and more is the full one, 0: sweep_specs SAMPLER
sweep_specs()
{
    for order in 0 10 20 30 50; do
        [ "$order" -lt "${1#*-}" ] || continue
        for history in 2 3 4; do
            printf ',triangular-anderson:order=%s:history=%s:start=copies' \
                "$order" "$history"
        done
    done
}

window_specs()
{
    published=picard:start=copies:entry=copies:stop=paradigms:tolerance=0.1
    secant=secant:slope=gaussian:history=3:start=copies:entry=held-x0
    bands=secant:slope=bands:history=3:start=copies:entry=held-x0
    for width in 4 8 16 32; do
        printf ',%s:window=%s' $published $width
        printf ',%s:stop=relative:tolerance=0.1:window=%s' $secant $width
        printf ',%s:stop=error:tolerance=0.01:window=%s' $secant $width
        printf ',%s:stop=error:tolerance=0.01:window=%s' $bands $width
    done
}

ask_results()
{
    [ ! -f "$csv" ] || awk -v want="$1" -v sampler="$2" -v released="$released" \
        -f "$top/bench/rounds.awk" "$csv"
}

# Solvers of one part, ",SPEC,SPEC..": specs_of PART SAMPLER NUMBER; nothing where it
# has none.
specs_of()
{
    case $1 in
    main) echo ",$solvers" ;;
    sweep)
        [ -n "$full" ] || [ "$2" != ddim-25 ] || return 0
        if [ -n "$full" ] || [ "$3" = 1 ]; then
            sweep_specs "$2"
        else
            ask_results shortlist "$2"
        fi ;;
    best) ask_results best "$2" ;;
    windows)
        [ -n "$full" ] || [ "$2" != ddim-25 ] || return 0
        window_specs ;;
    esac
}

# Lines "sampler-steps|guidance|prompt number|prompt|specs" of one part, one guidance
# and one prompt, all samplers: plan PART GUIDANCE NUMBER
plan()
{
    for sampler in $(words "$samplers"); do
        specs=$(specs_of "$1" "$sampler" "$3")
        [ -z "$specs" ] || echo "$sampler|$2|$3|$(prompt_text "$3")|${specs#,}"
    done
}

plan_all()
{
    number=1
    while [ "$number" -le "$(n_prompts "$1" "$2")" ]; do
        plan "$1" "$2" "$number"
        number=$((number + 1))
    done
}

# The plan's lines without what the results hold.
missing()
{
    if [ -f "$csv" ]; then
        awk -v want=missing -f "$top/bench/rounds.awk" "$csv" in_plan=1 -
    else
        cat
    fi
}

# Append DIR/compare.csv and how the runs ended to the results:
# append SAMPLER GUIDANCE DIR
append()
{
    header=
    [ ! -f "$csv" ] || header=$(sed -n 1p "$csv")
    cut -d, -f4- "$3/compare-ends.csv" | paste -d, "$3/compare.csv" - \
        >"$work/joined"
    awk -v first="${1%-*},${1#*-},$2" -v header="$header" '
        NR == 1 && header == "" { print "sampler,steps,guidance," $0; next }
        NR == 1 && header != "sampler,steps,guidance," $0 { exit bad = 1 }
        NR > 1 && NF { print first "," $0 }
        END { exit bad }' "$work/joined" >"$work/lines" ||
        die "$csv: other columns than compare.csv has: remove it or give --csv"
    cat "$work/lines" >>"$csv"
}

compare()
{
    "$program" compare "$job" --solvers "$5" --seeds 1 -o "$work/out" --force -q \
        --set sampler.kind="${1%-*}" --set sampler.steps="${1#*-}" \
        --set sampler.eta= --set guidance_scale="$2" \
        --set prompt="$4" --set negative_prompt= --set samples=1 \
        --set seed=$((100 + $3)) --set block_rows= \
        --set solver.window=0 --set solver.max_rounds=0 --set solver.history= \
        --set solver.order= --set solver.slope= --set solver.variance= \
        --set solver.start= --set solver.entry= \
        --set solver.stop=residual --set solver.tolerance=1e-3 \
        >"$work/stdout" 2>"$work/stderr" </dev/null
    code=$?
    [ $code -eq 0 ] || [ $code -eq 3 ]
}

# One line of a plan; a solver that is refused does not keep the others back.
run_line()
{
    if compare "$@"; then
        append "$1" "$2" "$work/out"
        return
    fi
    for spec in $(words "$5"); do
        if compare "$1" "$2" "$3" "$4" "$spec"; then
            append "$1" "$2" "$work/out"
        else
            echo "$1, guidance $2, $spec: status $code: $(sed -n 1p \
                "$work/stderr")" >>"$work/failed"
        fi
    done
}

# All samplers of a prompt before the next prompt: what is there after an hour is a
# small table of everything.
run_part()
{
    prompt_number=1
    while [ "$prompt_number" -le "$(n_prompts "$1" "$2")" ]; do
        plan "$1" "$2" $prompt_number | missing >"$work/plan"
        while IFS='|' read -r sampler at_guidance number prompt specs; do
            echo "$(date +%H:%M) $1: $sampler, guidance $at_guidance, $prompt:" \
                "$(words "$specs" | wc -w) solvers"
            run_line "$sampler" "$at_guidance" "$number" "$prompt" "$specs"
        done <"$work/plan"
        prompt_number=$((prompt_number + 1))
    done
}

# Results of other weights are not comparable.
check_weights()
{
    weights=$top/examples/models/emoji-sd/unet/diffusion_pytorch_model.safetensors
    [ -f "$weights" ] || return 0
    cksum <"$weights" >"$work/weights"
    if [ ! -f "$csv" ]; then
        cp "$work/weights" "$csv.weights"
    elif ! cmp -s "$work/weights" "$csv.weights"; then
        die "$csv was made with other weights of the model: remove it or give --csv"
    fi
}

# Seconds of one row at guidance above 1, by one short run in batches.
measure_row()
{
    "$program" run "$job" -o "$work/one" --force -q --set solver.method=picard \
        --set sampler.steps=25 --set guidance_scale=3 --set samples=1 \
        >"$work/stdout" 2>"$work/stderr" ||
        die "$program: $(sed -n 1p "$work/stderr")"
    awk -F '[:,]' '/"sample":/ && !seconds { seconds = $2 }
        /"evaluations":/ { print seconds / $2; exit }' "$work/one/run.json"
}

# All parts but `best` and the sweep's second half, which are chosen later and cost
# a tenth.
estimate()
{
    row=$(measure_row)
    for guidance in $(words "$guidances"); do
        for part in main sweep windows; do
            has_part $part || continue
            [ $part = main ] || [ "$guidance" = 3 ] || continue
            plan_all $part "$guidance"
        done
    done | missing | awk -v want=estimate -v row="$row" -f "$top/bench/rounds.awk" -
}

check_weights
estimate
[ "$mode" != estimate ] || exit 0

# The sweep and the windows belong to guidance 3.
: >"$work/failed"
for guidance in $(words "$guidances"); do
    for part in main sweep best windows; do
        has_part $part || continue
        case $part-$guidance in
        sweep-3 | windows-3 | main-* | best-*) run_part $part "$guidance" ;;
        esac
    done
done
if [ -s "$work/failed" ]; then
    echo "rounds.sh: not measured:" >&2
    sort -u "$work/failed" >&2
    exit 1
fi
