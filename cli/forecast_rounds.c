#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/forecast.h"
#include "scheduler/sample.h"

/* cli/forecast_rounds.c: how many rounds, and which rows each of them has. */

/* Rounds = N / W + growth log2 W: the window must pass over all rows, and rows need
   some rounds before they are right.  Fitted to docs/rounds.md (windows 4 to 100;
   within a round for secant, within a quarter for the others); the methods that are
   not in it take what algorithms near them need. */
static const struct growth {
    const char *method;
    double plain, noisy; /* samplers without and with noise in their steps */
} growths[] = {
    {"secant", 1.0, 1.5},
    {"picard", 2.2, 4.5},
    {"triangular-anderson", 2.0, 3.6},
    {"anderson", 2.0, 3.6},
    {"order-k", 3.5, 6.0},
};

static double growth_of(const char *method, bool adds_noise)
{
    double growth = adds_noise ? growths[2].noisy : growths[2].plain;

    for (size_t i = 0; i < sizeof growths / sizeof growths[0]; i++)
        if (strcmp(growths[i].method, method) == 0)
            growth = adds_noise ? growths[i].noisy : growths[i].plain;
    return growth;
}

static bool is_noisy(const char *sampler, double eta)
{
    return eta > 0.0 || strcmp(sampler, "ddpm") == 0 ||
           strncmp(sampler, "sde-", 4) == 0 || strcmp(sampler, "euler-a") == 0;
}

/* Shapes. */

pdag_status pdag_shape_make(const pdag_setup *setup, pdag_shape *shape_out)
{
    const pdag_job *job = setup->job;
    pdag_sample_plan plan;
    pdag_run_setup run;
    pdag_shape shape;
    pdag_status status;

    pdag_setup_run(setup, &run);
    status = pdag_sample_plan_create(&run, &plan);
    if (status != PDAG_OK)
        return status;
    memset(&shape, 0, sizeof shape);
    shape.n_rows = plan.transition->n_rows;
    shape.window = plan.window_width;
    shape.block_rows = plan.graph.block_rows;
    shape.max_rounds = plan.max_rounds;
    shape.first_row = plan.start_row;
    shape.n_samples = (size_t)job->samples;
    shape.roll = plan.start == PDAG_START_ROLL && plan.window_width > 1;
    shape.barrier = plan.barrier;
    shape.adds_noise = is_noisy(job->sampler.kind, job->sampler.eta);
    shape.method = job->solver.method;
    shape.sampler = job->sampler.kind;
    if (plan.solver->probes)
        status = pdag_error(PDAG_ERR_UNSUPPORTED, "solver.method: %s: its "
                            "evaluations in sequence are not predicted",
                            plan.solver->name);
    pdag_sample_plan_clear(&plan);
    if (status == PDAG_OK)
        *shape_out = shape;
    return status;
}

static size_t rows_to_do(const pdag_shape *shape)
{
    return shape->n_rows - shape->first_row;
}

size_t pdag_shape_fewest_rounds(const pdag_shape *shape)
{
    size_t rows = rows_to_do(shape);
    size_t first = shape->roll && rows > 0 ? 1 : 0; /* a round and a row */

    return first + (rows - first + shape->window - 1) / shape->window;
}

size_t pdag_shape_most_rounds(const pdag_shape *shape)
{
    return rows_to_do(shape);
}

static double width_of(const pdag_shape *shape)
{
    size_t rows = rows_to_do(shape);

    return (double)(shape->window < rows ? shape->window : rows);
}

size_t pdag_shape_default_rounds(const pdag_shape *shape, double hardness)
{
    double width = width_of(shape);
    double fewest = (double)pdag_shape_fewest_rounds(shape);
    double most = (double)pdag_shape_most_rounds(shape);
    double rounds = (double)rows_to_do(shape) / width +
                    hardness * growth_of(shape->method, shape->adds_noise) *
                        log2(width);

    rounds = floor(rounds + 0.5);
    return (size_t)(rounds < fewest ? fewest : rounds > most ? most : rounds);
}

double pdag_shape_hardness(const pdag_shape *shape, double rounds)
{
    double width = width_of(shape);
    double over = rounds - (double)rows_to_do(shape) / width;

    if (width < 2.0)
        return 1.0;
    return over > 0.0 ? over / (growth_of(shape->method, shape->adds_noise) *
                                log2(width))
                      : 0.0;
}

static size_t end_of(const pdag_shape *shape, size_t round, size_t begin)
{
    size_t end = begin + (shape->roll && round == 0 ? 1 : shape->window);

    return end < shape->n_rows ? end : shape->n_rows;
}

pdag_sim_round *pdag_shape_rounds(const pdag_shape *shape, size_t n_rounds,
                                  const size_t *begin)
{
    pdag_sim_round *round = pdag_xcalloc(n_rounds + 1, sizeof *round);

    for (size_t k = 0; k < n_rounds; k++) {
        round[k].begin = begin[k];
        round[k].end = end_of(shape, k, begin[k]);
    }
    return round;
}

/* Paths. */

static size_t evaluations_of(const pdag_sim_path *path)
{
    size_t sum = 0;

    for (size_t k = 0; k < path->n_rounds; k++)
        sum += path->round[k].end - path->round[k].begin;
    return sum;
}

static void add_path(pdag_paths *paths, pdag_sim_path path)
{
    paths->path = pdag_xrealloc(paths->path, paths->n + 1, sizeof *paths->path);
    paths->path[paths->n++] = path;
}

void pdag_paths_clear(pdag_paths *paths)
{
    for (size_t p = 0; p < paths->n; p++)
        free((void *)(uintptr_t)paths->path[p].round);
    free(paths->path);
    free(paths->from);
    memset(paths, 0, sizeof *paths);
}

static int by_rounds(const void *a, const void *b)
{
    const pdag_sim_path *p = a;
    const pdag_sim_path *q = b;

    return (p->n_rounds > q->n_rounds) - (p->n_rounds < q->n_rounds);
}

/* The share of rows accepted by k of n rounds.  Slow, fast, slow: 3 s^2 - 2 s^3,
   where the first round counts half, since nothing but its first row is sure,
   follows full windows of emoji-sd (secant 7 and 8 rounds, picard 14) within a
   tenth.  Narrow windows are bounded by their width: half way from there to a
   steady pace, between those of emoji-sd and of the oracle. */
static double accepted_share(const pdag_shape *shape, size_t k, size_t n)
{
    double s = k > 0 ? ((double)k - 0.5) / ((double)n - 0.5) : 0.0;
    double curve = s * s * (3.0 - 2.0 * s);

    return 2 * shape->window < shape->n_rows ? (curve + s) / 2 : curve;
}

/* The same as in a path that was. */
static double share_in(const pdag_shape *shape, const pdag_sim_path *path,
                       double s)
{
    double at = s * (double)path->n_rounds;
    size_t k = (size_t)at;
    double low = (double)path->round[k].begin;
    double high = k + 1 < path->n_rounds ? (double)path->round[k + 1].begin
                                         : (double)path->final;

    return (low + (at - (double)k) * (high - low) - (double)shape->first_row) /
           (double)rows_to_do(shape);
}

/* A path of n rounds, which the window allows: every round takes a row at least
   and what the window held at most.  like: NULL for the default. */
static pdag_sim_path make_path(const pdag_shape *shape, size_t n,
                               const pdag_sim_path *like)
{
    size_t rows = rows_to_do(shape);
    size_t *begin = pdag_xcalloc(n + 1, sizeof *begin);
    pdag_sim_path path = {n, NULL, shape->n_rows};
    size_t at = shape->first_row;

    for (size_t k = 0; k < n; k++) {
        double share = like != NULL
                           ? share_in(shape, like, (double)k / (double)n)
                           : accepted_share(shape, k, n);
        size_t wanted = shape->first_row + (size_t)((double)rows * share + 0.5);
        size_t left = shape->window * (n - k); /* rows the rest can take */
        size_t least = left < shape->n_rows ? shape->n_rows - left : 0;
        size_t most = shape->n_rows - (n - k); /* each takes one */

        if (k > 0) {
            size_t end = end_of(shape, k - 1, at);

            if (least < at + 1)
                least = at + 1;
            if (most > end)
                most = end;
            at = wanted < least ? least : wanted;
            if (at > most)
                at = most;
        }
        begin[k] = at;
    }
    path.round = pdag_shape_rounds(shape, n, begin);
    free(begin);
    return path;
}

/* The first rounds of a path, where the job allows no more. */
static void cut(const pdag_shape *shape, pdag_paths *paths)
{
    for (size_t p = 0; p < paths->n; p++) {
        pdag_sim_path *path = &paths->path[p];

        if (path->n_rounds > shape->max_rounds) {
            path->final = path->round[shape->max_rounds].begin;
            path->n_rounds = shape->max_rounds;
        }
    }
}

/* Stored rows as a path, or false where they are not of this shape. */
static bool stored_path(const pdag_shape *shape, const json_t *list,
                        pdag_sim_path *path_out)
{
    pdag_graph graph = pdag_graph_make(shape->n_rows, shape->block_rows);
    size_t n = json_array_size(list);
    size_t *begin = pdag_xcalloc(n + 1, sizeof *begin);
    pdag_sim_path path = {n, NULL, shape->n_rows};
    bool sound = n > 0 && n <= rows_to_do(shape);

    for (size_t k = 0; sound && k < n; k++) {
        json_int_t row = json_integer_value(json_array_get(list, k));

        begin[k] = row >= 0 && row < (json_int_t)shape->n_rows ? (size_t)row : 0;
    }
    sound = sound && begin[0] == shape->first_row;
    if (sound) {
        path.round = pdag_shape_rounds(shape, n, begin);
        sound = pdag_sim_path_check(&graph, &path) == PDAG_OK;
        if (sound)
            *path_out = path;
        else
            free((void *)(uintptr_t)path.round);
    }
    free(begin);
    return sound;
}

static bool use_stored(const pdag_setup *setup, const pdag_shape *shape,
                       const pdag_costs *costs, pdag_paths *paths)
{
    char *key = pdag_costs_rounds_key(setup);
    json_t *entry = json_object_get(json_object_get(costs->root, "rounds"), key);
    json_t *lists = json_object_get(entry, "begin");

    free(key);
    for (size_t i = 0; i < json_array_size(lists); i++) {
        pdag_sim_path path;

        if (stored_path(shape, json_array_get(lists, i), &path))
            add_path(paths, path);
    }
    if (paths->n == 0)
        return false;
    paths->source = PDAG_SOURCE_STORED;
    paths->from = pdag_xasprintf("%zu earlier sample%s of this job", paths->n,
                                 paths->n == 1 ? "" : "s");
    return true;
}

/* How unlike two numbers of rows are. */
static double apart(double a, double b)
{
    return fabs(log2(a / b));
}

/* Mean rounds of an entry, or 0. */
static double mean_rounds(const json_t *entry)
{
    const json_t *lists = json_object_get(entry, "begin");
    double sum = 0.0;
    size_t n = json_array_size(lists);

    for (size_t i = 0; i < n; i++)
        sum += (double)json_array_size(json_array_get(lists, i));
    return n > 0 ? sum / (double)n : 0.0;
}

static double stored_number(const json_t *entry, const char *name)
{
    double value = json_number_value(json_object_get(entry, name));

    return value >= 1.0 && value <= 1e6 ? value : 0.0;
}

static bool stored_word(const json_t *entry, const char *name, const char *word)
{
    const char *its = json_string_value(json_object_get(entry, name));

    return its != NULL && strcmp(its, word) == 0;
}

/* The hardness of the nearest other job of this sampler and method; 1, and no
   *from_out, where there is none. */
static double nearest_hardness(const pdag_shape *shape, const pdag_costs *costs,
                               char **from_out)
{
    double least = HUGE_VAL;
    double hardness = 1.0;
    const char *key;
    json_t *entry;

    json_object_foreach(json_object_get(costs->root, "rounds"), key, entry) {
        double steps = stored_number(entry, "steps");
        double window = stored_number(entry, "window");
        double rounds = mean_rounds(entry);
        pdag_shape other = *shape;
        double distance;

        if (steps < 1.0 || window < 2.0 || window > steps || rounds < 1.0 ||
            !stored_word(entry, "method", shape->method) ||
            !stored_word(entry, "sampler", shape->sampler))
            continue;
        distance = apart(steps, (double)shape->n_rows) +
                   apart(window, (double)shape->window);
        if (distance >= least)
            continue;
        least = distance;
        other.n_rows = (size_t)steps;
        other.window = (size_t)window;
        other.first_row = 0;
        hardness = pdag_shape_hardness(&other, rounds);
        free(*from_out);
        *from_out = pdag_xasprintf("earlier runs with %g steps and a window of %g",
                                   steps, window);
    }
    return hardness;
}

static void use_default(const pdag_shape *shape, const pdag_costs *costs,
                        pdag_paths *paths)
{
    double hardness = nearest_hardness(shape, costs, &paths->from);

    paths->source = paths->from != NULL ? PDAG_SOURCE_NEAREST
                                        : PDAG_SOURCE_DEFAULT;
    if (paths->from == NULL)
        paths->from = pdag_xstrdup("N / W + g log2 W, as measured on emoji-sd "
                                   "(docs/rounds.md)");
    add_path(paths, make_path(shape, pdag_shape_default_rounds(shape, hardness),
                              NULL));
}

/* So many rounds, which take rows as in the typical earlier run. */
static pdag_status use_given(const pdag_setup *setup, const pdag_shape *shape,
                             const pdag_costs *costs, size_t rounds,
                             pdag_paths *paths)
{
    pdag_paths stored;
    size_t fewest = pdag_shape_fewest_rounds(shape);
    size_t most = pdag_shape_most_rounds(shape);

    if (rounds < fewest || rounds > most)
        return pdag_error(PDAG_ERR_ARG, "--rounds: %zu: expected %zu to %zu, since "
                          "a window of %zu rows passes over %zu", rounds, fewest,
                          most, shape->window, rows_to_do(shape));
    memset(&stored, 0, sizeof stored);
    if (use_stored(setup, shape, costs, &stored))
        qsort(stored.path, stored.n, sizeof *stored.path, by_rounds);
    add_path(paths, make_path(shape, rounds,
                              stored.n > 0 ? &stored.path[stored.n / 2] : NULL));
    pdag_paths_clear(&stored);
    paths->source = PDAG_SOURCE_GIVEN;
    paths->from = pdag_xstrdup("--rounds");
    return PDAG_OK;
}

pdag_status pdag_paths_make(const pdag_setup *setup, const pdag_shape *shape,
                            const pdag_costs *costs, size_t rounds,
                            pdag_paths *paths_out)
{
    pdag_paths paths;
    pdag_status status = PDAG_OK;
    const pdag_sim_path *typical;

    memset(&paths, 0, sizeof paths);
    if (rows_to_do(shape) <= 1 || shape->window == 1) {
        if (rounds > 0 && rounds != rows_to_do(shape))
            return use_given(setup, shape, costs, rounds, &paths);
        add_path(&paths, make_path(shape, rows_to_do(shape), NULL));
        paths.source = PDAG_SOURCE_EXACT;
        paths.from = pdag_xstrdup("one row a round");
    } else if (rounds > 0) {
        status = use_given(setup, shape, costs, rounds, &paths);
    } else if (!use_stored(setup, shape, costs, &paths)) {
        use_default(shape, costs, &paths);
    }
    if (status != PDAG_OK)
        return status;
    qsort(paths.path, paths.n, sizeof *paths.path, by_rounds);
    cut(shape, &paths);
    typical = &paths.path[paths.n / 2];
    paths.rounds = typical->n_rounds;
    paths.evaluations = evaluations_of(typical);
    *paths_out = paths;
    return PDAG_OK;
}
