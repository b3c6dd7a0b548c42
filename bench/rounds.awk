# What bench/rounds.sh reads from its results.
#
# -v want=missing   results, in_plan=1, a plan: the plan without what is there
# -v want=best      results, -v sampler=ddim-50 -v released=SPEC: ",SPEC" of the best
#                   triangular-anderson, nothing where that is the released one
# -v want=shortlist results, -v sampler=ddim-50: the five best of the first prompt
# -v want=estimate  a plan: how long it would take, -v row=SECONDS of one row
# -v want=table     results, -v released=SPEC: all tables
#
# Results: CSV with the header sampler,steps,guidance,solver,prompt,..; a plan: lines
# "sampler-steps|guidance|number|prompt|solver,solver,..".

BEGIN {
    FS = ","
    n_criteria = split("rounds_a rounds_b rounds_30db rounds_40db evaluations seconds",
                       criterion, " ")
    split("A|B|30 dB|40 dB|evaluations|seconds", title, "|")
}

want == "estimate" || in_plan { plan_line($0); next }

FNR == 1 {
    for (i = 1; i <= NF; i++)
        column[$i] = i
    next
}

# Two that started at once may both have written the header.
NF > 1 && $1 != "sampler" {
    setting = $1 "-" $2 "|" $3
    solver = $column["solver"]
    prompt = $column["prompt"]
    if ((setting, solver, prompt) in seen)
        next
    seen[setting, solver, prompt] = 1
    remember(setting, solver, prompt)
}

END {
    if (want == "estimate")
        print_estimate()
    else if (want == "best")
        print_best()
    else if (want == "shortlist")
        print_shortlist(sampler "|3")
    else if (want == "table")
        print_tables()
}

function remember(setting, solver, prompt,    i, name)
{
    if (!(setting in n_solvers))
        settings[++n_settings] = setting
    if (!((setting, solver) in has_solver)) {
        has_solver[setting, solver] = 1
        solvers[setting, ++n_solvers[setting]] = solver
    }
    if (!((setting, prompt) in has_prompt)) {
        has_prompt[setting, prompt] = 1
        prompts[setting, ++n_prompts[setting]] = prompt
    }
    for (name in column)
        value[setting, solver, prompt, name] = $column[name]
}

# --- plans -----------------------------------------------------------------------

function plan_line(text,    part, spec, n, i, rest)
{
    split(text, part, "|")
    n = split(part[5], spec, ",")
    rest = ""
    for (i = 1; i <= n; i++) {
        if ((part[1] "|" part[2], spec[i], part[4]) in seen)
            continue
        rest = rest (rest == "" ? "" : ",") spec[i]
        expect(part[1], part[2], spec[i])
    }
    if (rest == "")
        return
    # The sequential run that all are compared with.
    n_runs++
    rows += steps_of(part[1]) * (part[2] == 1 ? 0.5 : 1)
    if (want == "missing")
        print part[1] "|" part[2] "|" part[3] "|" part[4] "|" rest
}

function steps_of(sampler)
{
    return substr(sampler, index(sampler, "-") + 1) + 0
}

# Rows that a solver evaluates: a guess, within a third, for the estimate only.
function expect(sampler, guidance, spec,    n, rounds, width)
{
    n = steps_of(sampler)
    if (spec ~ /^secant/)
        rounds = sampler ~ /^ddpm/ ? 13 : 8 + n / 50
    else if (spec ~ /^picard/)
        rounds = sampler ~ /^ddpm/ ? 22 : 8 + n / 25
    else
        rounds = sampler ~ /^ddpm/ ? 28 : 12 + n / 15
    width = n * 0.5
    if (match(spec, /window=[0-9]+/)) {
        width = substr(spec, RSTART + 7, RLENGTH - 7) + 0
        rounds = 8 + n / width * (spec ~ /^picard/ && sampler ~ /^ddpm/ ? 1.6 : 1.1)
        width *= 0.85
    }
    n_runs++
    rows += rounds * width * (guidance == 1 ? 0.5 : 1)
}

function print_estimate()
{
    printf "%d runs to do, about %.0f rows of %.0f ms: %.0f minutes\n", n_runs, rows,
           row * 1000, rows * row / 60
}

# --- means -----------------------------------------------------------------------

# Mean and spread of a column over prompts, of `among` too where given: sets mean,
# spread, n_reached, n_there.
function measure(setting, solver, name, among,    i, prompt, v, sum, squares)
{
    n_reached = n_there = sum = squares = 0
    for (i = 1; i <= n_prompts[setting]; i++) {
        prompt = prompts[setting, i]
        if (!((setting, solver, prompt) in seen))
            continue
        if (among != "" && !((setting, among, prompt) in seen))
            continue
        n_there++
        v = value[setting, solver, prompt, name]
        if (v == "")
            continue
        n_reached++
        sum += v
        squares += v * v
    }
    mean = n_reached > 0 ? sum / n_reached : 0
    spread = 0
    if (n_reached > 1)
        spread = squares / n_reached - mean * mean
    spread = spread > 0 ? sqrt(spread * n_reached / (n_reached - 1)) : 0
}

function cell(setting, solver, name)
{
    measure(setting, solver, name, "")
    if (n_reached == 0)
        return "-"
    return sprintf("%.1f ± %.1f", mean, spread) \
           (n_reached < n_there ? sprintf(" (%d of %d)", n_reached, n_there) : "")
}

# The triangular-anderson with the fewest rounds to A on the prompts of the sweep, those
# that at least five variants have; "" where there is no sweep.
function best_of(setting,    i, solver, total, smallest, best)
{
    best = ""
    for (i = 1; i <= n_solvers[setting]; i++) {
        solver = solvers[setting, i]
        if (!is_anderson(solver))
            continue
        total = swept_total(setting, solver)
        if (total != "" && (best == "" || total < smallest)) {
            best = solver
            smallest = total
        }
    }
    return best
}

# Rounds over the sweep's prompts, evaluations to break ties; "" where some are missing.
function swept_total(setting, solver,    j, prompt, total, v)
{
    total = ""
    for (j = 1; j <= n_prompts[setting]; j++) {
        prompt = prompts[setting, j]
        if (variants(setting, prompt) < 5)
            continue
        if (!((setting, solver, prompt) in seen))
            return ""
        v = value[setting, solver, prompt, "rounds_a"]
        total += (v == "" ? 1e6 : v) + \
                 value[setting, solver, prompt, "evaluations"] * 1e-6
    }
    return total
}

function variants(setting, prompt,    i, n)
{
    n = 0
    for (i = 1; i <= n_solvers[setting]; i++)
        n += is_anderson(solvers[setting, i]) &&
             (setting, solvers[setting, i], prompt) in seen
    return n
}

# The five variants with the fewest rounds on the first prompt, ",SPEC,SPEC..".
function print_shortlist(setting,    i, n, solver, prompt, v, taken, best, smallest)
{
    prompt = prompts[setting, 1]
    for (n = 1; n <= 5; n++) {
        best = ""
        for (i = 1; i <= n_solvers[setting]; i++) {
            solver = solvers[setting, i]
            if (!is_anderson(solver) || solver in taken ||
                !((setting, solver, prompt) in seen))
                continue
            v = value[setting, solver, prompt, "rounds_a"]
            v = (v == "" ? 1e6 : v + 0)
            if (best == "" || v < smallest) {
                best = solver
                smallest = v
            }
        }
        if (best == "")
            return
        taken[best] = 1
        printf ",%s", best
    }
}

function is_anderson(solver)
{
    return solver ~ /^triangular-anderson/ && solver !~ /window=/
}

# The sweep is made at guidance 3; its winner serves the others too.
function best_for(sampler)
{
    return best_of(sampler "|3")
}

function print_best(    best)
{
    best = best_for(sampler)
    if (best != "" && best != released)
        print "," best
}

# --- tables ----------------------------------------------------------------------

function print_tables(    i)
{
    for (i = 1; i <= n_settings; i++)
        print_setting(settings[i])
    print_ratios()
    for (i = 1; i <= n_settings; i++)
        print_sweep(settings[i])
    print_windows()
}

function sampler_of(setting)
{
    return substr(setting, 1, index(setting, "|") - 1)
}

function guidance_of(setting)
{
    return substr(setting, index(setting, "|") + 1)
}

function print_setting(setting,    i, c, best, solver, line, any)
{
    best = best_for(sampler_of(setting))
    for (i = 1; i <= n_solvers[setting]; i++) {
        solver = solvers[setting, i]
        if (solver ~ /window=/)
            continue
        if (is_anderson(solver) && solver != released && solver != best)
            continue
        if (!any) {
            any = 1
            print "### " sampler_of(setting) ", guidance " guidance_of(setting) "\n"
            line = "| solver | prompts |"
            for (c = 1; c <= n_criteria; c++)
                line = line " " title[c] " |"
            print line
            gsub(/[^|]+/, "---", line)
            print line
        }
        measure(setting, solver, "rounds_a", "")
        line = "| `" solver "`" (solver == best ? " (best)" : "") " | " n_there " |"
        for (c = 1; c <= n_criteria; c++)
            line = line " " cell(setting, solver, criterion[c]) " |"
        print line
    }
    if (any)
        print ""
}

# Mean rounds to A of one solver over that of another, on the prompts that both have;
# "" where there are none or one did not reach A.
function ratio(setting, solver, other,    own)
{
    if (other == "")
        return ""
    measure(setting, solver, "rounds_a", other)
    own = mean
    if (n_there == 0 || n_reached < n_there)
        return ""
    measure(setting, other, "rounds_a", solver)
    return n_reached < n_there ? "" : own / mean
}

# "0.53 pass"; bound 0: no bound.
function verdict(r, bound)
{
    if (r == "")
        return "-"
    if (bound == 0)
        return sprintf("%.2f", r)
    return sprintf("%.2f %s", r, r <= bound ? "pass" : "FAIL")
}

function print_ratios(    i, j, setting, sampler, solver, best, anderson, picard)
{
    print "### Rounds to A against the published solvers\n"
    print "Bounds: triangular-anderson 0.6 (DDIM-50, DDIM-100), 0.45 (DDPM-100);" \
          " picard 0.85 (DDIM), 0.5 (DDPM).\n"
    print "| sampler | guidance | solver | / triangular-anderson released" \
          " | / its best | / picard |"
    print "|---|---|---|---|---|---|"
    for (i = 1; i <= n_settings; i++) {
        setting = settings[i]
        sampler = sampler_of(setting)
        best = best_for(sampler)
        anderson = sampler ~ /^ddpm/ ? 0.45 : sampler == "ddim-25" ? 0 : 0.6
        picard = sampler ~ /^ddpm/ ? 0.5 : 0.85
        for (j = 1; j <= n_solvers[setting]; j++) {
            solver = solvers[setting, j]
            if (solver !~ /^secant/ || solver ~ /window=/)
                continue
            print "| " sampler " | " guidance_of(setting) " | `" solver "` | " \
                  verdict(ratio(setting, solver, released), anderson) " | " \
                  verdict(ratio(setting, solver, best), anderson) " | " \
                  verdict(ratio(setting, solver, "picard:start=copies"), picard) " |"
        }
    }
    print ""
}

# Rounds to A on the sweep's prompts, "21 / 23".
function swept_cell(setting, solver,    j, prompt, v, text)
{
    text = ""
    for (j = 1; j <= n_prompts[setting]; j++) {
        prompt = prompts[setting, j]
        if (variants(setting, prompt) < 5 || !((setting, solver, prompt) in seen))
            continue
        v = value[setting, solver, prompt, "rounds_a"]
        text = text (text == "" ? "" : " / ") (v == "" ? "-" : v)
    }
    return text
}

function print_sweep(setting,    i, m, k, order, solver, line, orders)
{
    if (best_of(setting) == "" || guidance_of(setting) != 3)
        return
    print "### The sweep of triangular-anderson: " sampler_of(setting) "\n"
    print "Rounds to A for each prompt of the sweep; orders down (0: full), snapshots" \
          " across.\n"
    print "| order | 2 | 3 | 4 |\n|---|---|---|---|"
    k = split("0 10 20 30 50", orders, " ")
    for (i = 1; i <= k; i++) {
        line = "| " orders[i] " |"
        for (m = 2; m <= 4; m++) {
            solver = "triangular-anderson:order=" orders[i] ":history=" m \
                     ":start=copies"
            line = line " " swept_cell(setting, solver) " |"
        }
        print line
    }
    print "\nBest: `" best_of(setting) "`\n"
}

function print_windows(    i, j, setting, solver, any, width, published, bound, r)
{
    for (i = 1; i <= n_settings; i++) {
        setting = settings[i]
        for (j = 1; j <= n_solvers[setting]; j++) {
            solver = solvers[setting, j]
            if (!match(solver, /window=[0-9]+/))
                continue
            width = substr(solver, RSTART + 7, RLENGTH - 7)
            if (!any) {
                any = 1
                print "### Windows smaller than the trajectory\n"
                print "Bounds at a window of 8: rounds 0.85 (DDIM), 0.65 (DDPM) of" \
                      " ParaDiGMS', 40 dB or more.\n"
                print "| sampler | window | solver | prompts | rounds | evaluations" \
                      " | PSNR, dB | least PSNR | / ParaDiGMS |"
                print "|---|---|---|---|---|---|---|---|---|"
            }
            published = published_at(setting, width)
            bound = width != 8 ? 0 : sampler_of(setting) ~ /^ddpm/ ? 0.65 : 0.85
            print "| " sampler_of(setting) " | " width " | `" short_name(solver) \
                  "` | " window_cells(setting, solver, published, bound) " |"
        }
    }
}

# ParaDiGMS' own rule at the same window.
function published_at(setting, width,    j, solver)
{
    for (j = 1; j <= n_solvers[setting]; j++) {
        solver = solvers[setting, j]
        if (solver ~ /stop=paradigms/ && solver ~ ("window=" width "$"))
            return solver
    }
    return ""
}

function short_name(solver)
{
    sub(/:window=[0-9]+/, "", solver)
    return solver
}

function window_cells(setting, solver, published, bound,    line, own, quality, r)
{
    quality = least(setting, solver, "psnr_db")
    r = ""
    if (solver != published && published != "") {
        measure(setting, solver, "rounds", published)
        own = mean
        measure(setting, published, "rounds", solver)
        r = n_reached > 0 ? own / mean : ""
    }
    line = cell(setting, solver, "rounds") " | " \
           cell(setting, solver, "evaluations") " | " \
           cell(setting, solver, "psnr_db") " | " \
           (quality == "" ? "-" : sprintf("%.1f", quality)) " | "
    measure(setting, solver, "psnr_db", "")
    if (solver == published)
        line = line "1"
    else if (bound > 0 && r != "" && n_reached > 0)
        line = line sprintf("%.2f %s", r, r <= bound && mean >= 40 ? "pass" : "FAIL")
    else
        line = line verdict(r, 0)
    return n_there " | " line
}

function least(setting, solver, name,    i, v, result)
{
    result = ""
    for (i = 1; i <= n_prompts[setting]; i++) {
        v = value[setting, solver, prompts[setting, i], name]
        if (v != "" && (result == "" || v + 0 < result))
            result = v + 0
    }
    return result
}
