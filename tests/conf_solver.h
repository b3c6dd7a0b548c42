/* What the files of the solver conformance suite share: random chains with their
 * sequential runs, and the rounds of a solver over them.  See conf_solver.c. */
#ifndef PDAG_TESTS_CONF_SOLVER_H
#define PDAG_TESTS_CONF_SOLVER_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "solvers/solver.h"

/* A sampler: states x_0 .. x_N of D scalars, values m_i = V_i(x_i) and steps
 * x_{i+1} = own_i x_i + sum_j weight_ij m_{i-j} + noise_i; where p = 1, own = 0,
 * weight = 1 and noise = 0.  V_i(x) = a x + b (mix(x) - x) + q tanh(mix(x)) + s,
 * mix(x)_d = x_d + x_{d+1} / 2 - 3 x_{d+5} / 10, cyclic; where height is not 0,
 * the mean of the four neighbours in a cyclic picture. */
typedef struct conf_chain {
    size_t n, dim, p;
    size_t height, width;
    float *a, *b, *q, *s; /* [N][D] */
    float *noise;         /* [N][D] */
    double *own;          /* [N] */
    double *weight;       /* [N][p] */
    float *truth;         /* [N + 1][D], the sequential run */
} conf_chain;

/* nonlinear: size of q; mixing: of b.  Freed by conf_chain_free(). */
conf_chain *conf_chain_make(uint64_t seed, size_t n, size_t dim, size_t p,
                            float nonlinear, float mixing);
void conf_chain_free(conf_chain *chain);
/* After a change of the coefficients: the sequential run anew. */
void conf_chain_solve(conf_chain *chain);
const float *conf_truth(const conf_chain *chain, size_t i);

/* How a solver is made; zero: all rows, no history, full order, slope 0. */
typedef struct conf_setup {
    double slope;        /* of all rows, unless slopes */
    const double *slopes;
    size_t window; /* of the solver; 0: all rows */
    size_t history, order;
    bool bands;
    const double *gain;
    size_t height, width; /* with channels = D / (height width): a picture */
} conf_setup;

typedef struct conf_run {
    const conf_chain *chain;
    pdag_solver *solver;
    pdag_carry carry;
    double *slope;      /* [N] */
    float *x;           /* [N + 1][D] */
    float *value, *f;   /* [N][D] */
    float *x_new, *value_new;
    double *residual, *change; /* [N] */
} conf_run;

/* All states copies of x_0. */
conf_run *conf_run_begin(const conf_chain *chain, const pdag_solver_ops *ops,
                         const conf_setup *setup);
/* The same solver after reset(), on another chain of the same sizes. */
void conf_run_again(conf_run *run, const conf_chain *chain);
void conf_run_end(conf_run *run);
/* One round over rows [first, last) in blocks of `rows` (solvers that need the
 * whole window, or one row, get that): evaluate, update, take the results. */
pdag_status conf_round(conf_run *run, size_t first, size_t last, size_t rows);
/* Full-window rounds until every state is within `bound` (relative RMS) of the
 * sequential run. */
size_t conf_rounds_to(conf_run *run, double bound);

/* The method under test in a loop test, and how many there are. */
const pdag_solver_ops *conf_method(int i);
int conf_n_methods(void);
/* Rows of the widest window up to n. */
size_t conf_width(const pdag_solver_ops *ops, size_t n);
/* Uniform integer in [low, high]; normal numbers. */
size_t conf_pick(uint64_t *state, size_t low, size_t high);
double conf_real(uint64_t *state, double low, double high);

/* Parts of the suite. */
TCase *conf_solver_definitions(void);
TCase *conf_solver_multistep(void);
TCase *conf_solver_gains(void);
TCase *conf_solver_bands(void);

#endif
