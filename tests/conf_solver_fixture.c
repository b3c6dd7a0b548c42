#include "tests/conf_solver.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

static double neighbours(const conf_chain *chain, const float *x, size_t d)
{
    size_t h = chain->height;
    size_t w = chain->width;
    size_t column = d % w;
    size_t row = d / w % h;
    const float *channel = x + d / (h * w) * (h * w);

    return 0.25 * ((double)channel[row * w + (column + 1) % w] +
                   (double)channel[row * w + (column + w - 1) % w] +
                   (double)channel[(row + 1) % h * w + column] +
                   (double)channel[(row + h - 1) % h * w + column]);
}

static double mix(const conf_chain *chain, const float *x, size_t d)
{
    if (chain->height > 0)
        return neighbours(chain, x, d);
    return (double)x[d] + 0.5 * (double)x[(d + 1) % chain->dim] -
           0.3 * (double)x[(d + 5) % chain->dim];
}

static void value_of(const conf_chain *chain, size_t i, const float *x, float *m)
{
    for (size_t d = 0; d < chain->dim; d++) {
        size_t at = i * chain->dim + d;
        double mixed = mix(chain, x, d);

        m[d] = (float)((double)chain->a[at] * (double)x[d] +
                       (double)chain->b[at] * (mixed - (double)x[d]) +
                       (double)chain->q[at] * tanh(mixed) +
                       (double)chain->s[at]);
    }
}

/* Derivative of V_i at x along delta. */
static void derivative(const conf_chain *chain, size_t i, const float *x,
                       const double *delta, float *out)
{
    size_t dim = chain->dim;

    for (size_t d = 0; d < dim; d++) {
        size_t at = i * dim + d;
        double t = tanh(mix(chain, x, d));
        double along = delta[d] + 0.5 * delta[(d + 1) % dim] -
                       0.3 * delta[(d + 5) % dim];

        out[d] = (float)((double)chain->a[at] * delta[d] +
                         (double)chain->b[at] * (along - delta[d]) +
                         (double)chain->q[at] * (1.0 - t * t) * along);
    }
}

/* (1) of solvers/solver.h; value: of all rows, [N][D]. */
static void step(const conf_chain *chain, size_t i, const float *x,
                 const float *value, float *f)
{
    size_t dim = chain->dim;

    if (chain->p == 1) {
        memcpy(f, value + i * dim, dim * sizeof *f);
        return;
    }
    for (size_t d = 0; d < dim; d++) {
        double sum = chain->own[i] * (double)x[d];

        for (size_t j = 0; j < chain->p && j <= i; j++)
            sum += chain->weight[i * chain->p + j] *
                   (double)value[(i - j) * dim + d];
        f[d] = (float)(sum + (double)chain->noise[i * dim + d]);
    }
}

void conf_chain_solve(conf_chain *chain)
{
    size_t dim = chain->dim;
    float *value = pdag_xcalloc(chain->n * dim, sizeof *value);

    for (size_t i = 0; i < chain->n; i++) {
        value_of(chain, i, chain->truth + i * dim, value + i * dim);
        step(chain, i, chain->truth + i * dim, value, chain->truth + (i + 1) * dim);
    }
    free(value);
}

/* Multistep weights: the first step of a history uses what there is. */
static void make_weights(conf_chain *chain, uint64_t seed)
{
    uint64_t state = seed;

    for (size_t i = 0; i < chain->n; i++) {
        double *weight = chain->weight + i * chain->p;

        chain->own[i] = chain->p == 1 ? 0.0 : conf_real(&state, 0.7, 1.05);
        weight[0] = chain->p == 1 ? 1.0 : conf_real(&state, 0.1, 0.6);
        for (size_t j = 1; j < chain->p && j <= i; j++)
            weight[j] = conf_real(&state, -0.3, 0.3) / (double)j;
    }
}

static void make_coefficients(conf_chain *chain, uint64_t seed, float nonlinear,
                              float mixing)
{
    size_t dim = chain->dim;
    bool own_slope = chain->p == 1;

    for (size_t i = 0; i < chain->n; i++) {
        for (size_t d = 0; d < dim; d++) {
            size_t at = i * dim + d;
            float draw[6];

            pdag_rng_counter_normal(seed, i, 6 * d, 6, draw);
            chain->a[at] = (own_slope ? 0.95f : 0.2f) + 0.05f * draw[0];
            chain->b[at] = mixing * (1.0f + 0.2f * draw[1]);
            chain->q[at] = nonlinear * draw[2];
            chain->s[at] = 0.1f * draw[3];
            chain->noise[at] = own_slope ? 0.0f : 0.05f * draw[4];
        }
    }
}

conf_chain *conf_chain_make(uint64_t seed, size_t n, size_t dim, size_t p,
                            float nonlinear, float mixing)
{
    conf_chain *chain = pdag_xcalloc(1, sizeof *chain);
    size_t all = n * dim;

    *chain = (conf_chain){.n = n, .dim = dim, .p = p};
    chain->a = pdag_xcalloc(all, sizeof(float));
    chain->b = pdag_xcalloc(all, sizeof(float));
    chain->q = pdag_xcalloc(all, sizeof(float));
    chain->s = pdag_xcalloc(all, sizeof(float));
    chain->noise = pdag_xcalloc(all, sizeof(float));
    chain->own = pdag_xcalloc(n, sizeof(double));
    chain->weight = pdag_xcalloc(n * p, sizeof(double));
    chain->truth = pdag_xcalloc(all + dim, sizeof(float));
    make_weights(chain, seed);
    make_coefficients(chain, seed, nonlinear, mixing);
    pdag_rng_counter_normal(seed, n, 0, dim, chain->truth);
    conf_chain_solve(chain);
    return chain;
}

void conf_chain_free(conf_chain *chain)
{
    free(chain->a);
    free(chain->b);
    free(chain->q);
    free(chain->s);
    free(chain->noise);
    free(chain->own);
    free(chain->weight);
    free(chain->truth);
    free(chain);
}

const float *conf_truth(const conf_chain *chain, size_t i)
{
    return chain->truth + i * chain->dim;
}

static void fill_states(conf_run *run)
{
    size_t dim = run->chain->dim;

    for (size_t i = 0; i <= run->chain->n; i++)
        memcpy(run->x + i * dim, run->chain->truth, dim * sizeof *run->x);
}

conf_run *conf_run_begin(const conf_chain *chain, const pdag_solver_ops *ops,
                         const conf_setup *setup)
{
    conf_run *run = pdag_xcalloc(1, sizeof *run);
    size_t all = chain->n * chain->dim;
    size_t pixels = setup->height * setup->width;
    pdag_solver_opts opts = {.n_rows = chain->n,
                             .window = setup->window,
                             .dim = chain->dim,
                             .n_terms = chain->p,
                             .own = chain->p == 1 ? NULL : chain->own,
                             .weight = chain->p == 1 ? NULL : chain->weight,
                             .gain = setup->gain,
                             .history = setup->history,
                             .order = setup->order,
                             .bands = setup->bands,
                             .n_state_dims = 1,
                             .state_dims = {chain->dim, 0, 0}};

    if (pixels > 0) {
        opts.n_state_dims = 3;
        opts.state_dims[0] = chain->dim / pixels;
        opts.state_dims[1] = setup->height;
        opts.state_dims[2] = setup->width;
    }
    run->chain = chain;
    run->slope = pdag_xcalloc(chain->n, sizeof(double));
    for (size_t i = 0; i < chain->n; i++)
        run->slope[i] = setup->slopes != NULL ? setup->slopes[i] : setup->slope;
    opts.slope = run->slope;
    run->x = pdag_xcalloc(all + chain->dim, sizeof(float));
    run->value = pdag_xcalloc(all, sizeof(float));
    run->f = pdag_xcalloc(all, sizeof(float));
    run->x_new = pdag_xcalloc(all, sizeof(float));
    run->value_new = pdag_xcalloc(all, sizeof(float));
    run->residual = pdag_xcalloc(chain->n, sizeof(double));
    run->change = pdag_xcalloc(chain->n, sizeof(double));
    ck_assert_int_eq(ops->create(&opts, &run->solver), PDAG_OK);
    ck_assert_int_eq(pdag_carry_create(run->solver->carry_doubles, &run->carry),
                     PDAG_OK);
    ops->reset(run->solver);
    fill_states(run);
    return run;
}

void conf_run_again(conf_run *run, const conf_chain *chain)
{
    run->chain = chain;
    run->solver->ops->reset(run->solver);
    fill_states(run);
}

void conf_run_end(conf_run *run)
{
    run->solver->ops->destroy(run->solver);
    pdag_carry_clear(&run->carry);
    free(run->slope);
    free(run->x);
    free(run->value);
    free(run->f);
    free(run->x_new);
    free(run->value_new);
    free(run->residual);
    free(run->change);
    free(run);
}

static pdag_status update(conf_run *run, size_t begin, size_t first, size_t n)
{
    const pdag_solver_ops *ops = run->solver->ops;
    bool one_step = run->chain->p == 1;
    size_t at = first * run->chain->dim;
    float *product = NULL;
    pdag_status status;
    pdag_solver_block block = {
        .begin = begin,
        .first = first,
        .n = n,
        .x = run->x + at,
        .x_end = run->x + at + n * run->chain->dim,
        .f = one_step ? run->value + at : run->f + at,
        .value = run->value + at,
        .x_new = run->x_new + at,
        .value_new = one_step ? NULL : run->value_new + at,
        .residual = run->residual + first,
        .change = run->change + first,
    };

    if (ops->probes) {
        product = pdag_xcalloc(run->chain->dim, sizeof *product);
        derivative(run->chain, first, run->x + at, run->carry.v, product);
        block.product = product;
    }
    status = ops->update(run->solver, &block, &run->carry);
    free(product);
    return status;
}

pdag_status conf_round(conf_run *run, size_t first, size_t last, size_t rows)
{
    const conf_chain *chain = run->chain;
    size_t dim = chain->dim;
    size_t bytes = (last - first) * dim * sizeof(float);

    if (run->solver->ops->probes)
        rows = 1;
    else if (!run->solver->ops->triangular)
        rows = last - first;
    memset(run->x_new, 0xff, chain->n * dim * sizeof(float)); /* NaN */
    memset(run->value_new, 0xff, chain->n * dim * sizeof(float));
    for (size_t i = first; i < last; i++)
        value_of(chain, i, run->x + i * dim, run->value + i * dim);
    for (size_t i = first; i < last; i++)
        step(chain, i, run->x + i * dim, run->value, run->f + i * dim);
    pdag_carry_zero(&run->carry);
    for (size_t i = first; i < last; i += rows) {
        size_t n = last - i < rows ? last - i : rows;
        pdag_status status = update(run, first, i, n);

        if (status != PDAG_OK)
            return status;
    }
    memcpy(run->x + (first + 1) * dim, run->x_new + first * dim, bytes);
    if (chain->p > 1)
        memcpy(run->value + first * dim, run->value_new + first * dim, bytes);
    return PDAG_OK;
}

static bool all_within(const conf_run *run, double bound)
{
    size_t dim = run->chain->dim;

    for (size_t i = 1; i <= run->chain->n; i++) {
        const float *truth = conf_truth(run->chain, i);
        double error = 0.0;
        double size = 0.0;

        for (size_t d = 0; d < dim; d++) {
            double e = (double)run->x[i * dim + d] - (double)truth[d];

            error += e * e;
            size += (double)truth[d] * (double)truth[d];
        }
        if (!(error <= bound * bound * size))
            return false;
    }
    return true;
}

size_t conf_rounds_to(conf_run *run, double bound)
{
    for (size_t k = 1; k <= run->chain->n; k++) {
        ck_assert_int_eq(conf_round(run, 0, run->chain->n, 7), PDAG_OK);
        if (all_within(run, bound))
            return k;
    }
    ck_abort_msg("%s: not there after N rounds", run->solver->ops->name);
    return 0;
}

const pdag_solver_ops *conf_method(int i)
{
    return pdag_solver_list()[i];
}

int conf_n_methods(void)
{
    int n = 0;

    while (pdag_solver_list()[n] != NULL)
        n++;
    return n;
}

size_t conf_width(const pdag_solver_ops *ops, size_t n)
{
    return ops->max_window != 0 && ops->max_window < n ? ops->max_window : n;
}

/* splitmix64, Steele et al. 2014, doi:10.1145/2660193.2660195 */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

size_t conf_pick(uint64_t *state, size_t low, size_t high)
{
    return low + (size_t)(next(state) % (high - low + 1));
}

double conf_real(uint64_t *state, double low, double high)
{
    return low + (high - low) * (double)(next(state) >> 11) / 9007199254740992.0;
}
