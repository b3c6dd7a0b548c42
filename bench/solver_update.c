/* OMP_NUM_THREADS=1 bench/solver_update [-n SECONDS] [-d D] [-r ROWS] [FILTER]
 *
 * What one round of each method's update costs at Stable Diffusion's size: D =
 * 16384 scalars, 100 rows in blocks of 4, beside memcpy and the triad of STREAM
 * on the same machine in the same run.  CSV on stdout: method, milliseconds per
 * round (best of as many as fit in SECONDS, 2), MB that must move, GB/s, and the
 * part of the triad's GB/s.
 *
 * "Must move" counts each float32 that a round reads or writes at least once in
 * main memory: x, f and x_new, and of the history all kept snapshots read and the
 * newest written; nothing that stays in a cache (carry, row workspace).  memcpy
 * and triad are counted the same way: 2 and 3 vectors.  States move by small
 * pseudo-random amounts from round to round, so that histories are full and used.
 * FILTER keeps methods whose name contains it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "solvers/solver.h"

#define BLOCK 4
#define ROUNDS 6 /* different inputs, used in turn; more than any history here */

static double seconds = 2.0;
static const char *filter = "";
static size_t dim = 16384;
static size_t n_rows = 100;

typedef struct subject {
    const char *label, *method;
    size_t history, order;
    bool bands;
} subject;

static const subject subjects[] = {
    {"picard", "picard", 0, 0, false},
    {"secant m=1", "secant", 1, 0, false},
    {"secant m=2", "secant", 2, 0, false},
    {"secant m=4", "secant", 4, 0, false},
    {"secant m=4 bands", "secant", 4, 0, true},
    {"order-k full", "order-k", 0, 0, false},
    {"order-k k=20", "order-k", 0, 20, false},
    {"triangular-anderson k=20 m=2", "triangular-anderson", 2, 20, false},
    {"triangular-anderson full m=3", "triangular-anderson", 3, 0, false},
    {"anderson full m=3", "anderson", 3, 0, false},
};

static void ok(pdag_status status)
{
    if (status == PDAG_OK)
        return;
    fprintf(stderr, "solver_update: %s\n", pdag_error_text());
    exit(EXIT_FAILURE);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *floats(size_t n, float scale)
{
    static unsigned state = 1;
    float *values = pdag_xcalloc(n, sizeof *values);

    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = scale * (float)(int)state / 2147483648.0f;
    }
    return values;
}

/* What all methods run on: ROUNDS sets of states and step results, each a little
 * smaller a distance from a common trajectory. */
typedef struct inputs {
    float *x[ROUNDS], *f[ROUNDS];
    float *x_new;
    double *slope, *gain, *residual, *change;
} inputs;

static void make_inputs(inputs *in)
{
    size_t all = n_rows * dim;
    float *base = floats(all + dim, 1.0f);

    for (int k = 0; k < ROUNDS; k++) {
        float scale = 0.1f / (float)(k + 1);

        in->x[k] = floats(all + dim, scale);
        in->f[k] = floats(all, scale);
        for (size_t d = 0; d < all + dim; d++)
            in->x[k][d] += base[d];
        for (size_t d = 0; d < all; d++)
            in->f[k][d] += base[d + dim];
    }
    free(base);
    in->x_new = floats(all, 1.0f);
    in->slope = pdag_xcalloc(n_rows, sizeof(double));
    in->gain = pdag_xcalloc(n_rows, sizeof(double));
    in->residual = pdag_xcalloc(n_rows, sizeof(double));
    in->change = pdag_xcalloc(n_rows, sizeof(double));
    for (size_t i = 0; i < n_rows; i++) {
        in->slope[i] = 0.9;
        in->gain[i] = -0.1;
    }
}

static void one_round(pdag_solver *solver, inputs *in, int k, pdag_carry *carry)
{
    size_t rows = solver->ops->triangular ? BLOCK : n_rows;

    pdag_carry_zero(carry);
    for (size_t first = 0; first < n_rows; first += rows) {
        size_t at = first * dim;
        pdag_solver_block block = {
            .first = first,
            .n = n_rows - first < rows ? n_rows - first : rows,
            .x = in->x[k] + at,
            .x_end = in->x[k] + (first + (n_rows - first < rows ? n_rows - first
                                                                : rows)) * dim,
            .f = in->f[k] + at,
            .value = in->f[k] + at,
            .x_new = in->x_new + at,
            .residual = in->residual + first,
            .change = in->change + first,
        };

        ok(solver->ops->update(solver, &block, carry));
    }
}

static void report(const char *label, double best, double vectors, double triad)
{
    double bytes = vectors * (double)n_rows * (double)dim * sizeof(float);

    printf("%s,%.3f,%.1f,%.2f,%.2f\n", label, 1e3 * best, 1e-6 * bytes,
           1e-9 * bytes / best, triad > 0.0 ? 1e-9 * bytes / best / triad : 1.0);
    fflush(stdout);
}

static void measure(const subject *what, inputs *in, double triad)
{
    const pdag_solver_ops *ops = pdag_solver_find(what->method);
    size_t side = 1;
    pdag_solver_opts opts = {.n_rows = n_rows,
                             .window = n_rows,
                             .dim = dim,
                             .n_terms = 1,
                             .slope = in->slope,
                             .gain = in->gain,
                             .history = what->history,
                             .order = what->order,
                             .bands = what->bands,
                             .n_state_dims = 3};
    pdag_solver *solver;
    pdag_carry carry;
    double best = 1e30;
    double start = now();
    int k = 0;

    while (4 * side * side < dim)
        side++;
    opts.n_state_dims = 4 * side * side == dim ? 3 : 1;
    opts.state_dims[0] = 4;
    opts.state_dims[1] = side;
    opts.state_dims[2] = side;
    ok(ops->create(&opts, &solver));
    ok(pdag_carry_create(solver->carry_doubles, &carry));
    for (; k < ROUNDS; k++)
        one_round(solver, in, k, &carry);
    do {
        double t = now();

        one_round(solver, in, k++ % ROUNDS, &carry);
        t = now() - t;
        best = t < best ? t : best;
    } while (now() - start < seconds);
    /* x, f, x_new; then 2 (m - 1) snapshots read, 2 written */
    report(what->label, best,
           3.0 + (what->history > 1 ? 2.0 * (double)what->history : 0.0), triad);
    pdag_carry_clear(&carry);
    ops->destroy(solver);
}

/* GB/s of a = b + s c over the arrays of a round. */
static double measure_machine(inputs *in)
{
    size_t all = n_rows * dim;
    double best_copy = 1e30;
    double best_triad = 1e30;
    double start = now();
    int k = 0;

    do {
        float *restrict a = in->x_new;
        const float *b = in->x[k % ROUNDS];
        const float *c = in->f[k++ % ROUNDS];
        double t = now();

        memcpy(a, b, all * sizeof *a);
        t = now() - t;
        best_copy = t < best_copy ? t : best_copy;
        t = now();
        for (size_t d = 0; d + 8 <= all; d += 8)
            for (size_t l = 0; l < 8; l++)
                a[d + l] = b[d + l] + 0.9f * c[d + l];
        t = now() - t;
        best_triad = t < best_triad ? t : best_triad;
    } while (now() - start < seconds);
    report("memcpy", best_copy, 2.0, 3.0 * 4e-9 * (double)all / best_triad);
    report("triad", best_triad, 3.0, 0.0);
    return 3.0 * 4e-9 * (double)all / best_triad;
}

int main(int argc, char **argv)
{
    inputs in;
    double triad;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-n") == 0 && i + 1 < argc)
            seconds = strtod(argv[++i], NULL);
        else if (strcmp(argv[i], "-d") == 0 && i + 1 < argc)
            dim = strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "-r") == 0 && i + 1 < argc)
            n_rows = strtoul(argv[++i], NULL, 10);
        else
            filter = argv[i];
    }
    make_inputs(&in);
    printf("update,ms,MB,GB/s,of triad\n");
    triad = measure_machine(&in);
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++)
        if (strstr(subjects[i].label, filter) != NULL)
            measure(subjects + i, &in, triad);
    for (int k = 0; k < ROUNDS; k++) {
        free(in.x[k]);
        free(in.f[k]);
    }
    free(in.x_new);
    free(in.slope);
    free(in.gain);
    free(in.residual);
    free(in.change);
    return EXIT_SUCCESS;
}
