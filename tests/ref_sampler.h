/** tests/ref_sampler.h: a sequential sampler that shares no code with graph/ or
 *  solvers/, for end-to-end tests: DDIM with eta 0 and DDPM (fixed_small),
 *  epsilon prediction, no clipping. */
#ifndef PDAG_TESTS_REF_SAMPLER_H
#define PDAG_TESTS_REF_SAMPLER_H

#include <stddef.h>

/** e[d] = eps(x[d], t). */
typedef void ref_network(void *context, const double *x, double t, double *e);

typedef struct ref_problem {
    size_t n;                 /* steps */
    size_t d;                 /* scalars in a state */
    const double *timesteps;  /* [n], descending */
    const double *a;          /* [n] alpha-bar at each timestep */
    const double *a_next;     /* [n] alpha-bar after each step */
    ref_network *network;
    void *context;
} ref_problem;

/** x[d]: noise in, clean state out. */
void ref_sample_ddim(const ref_problem *problem, double *x);

/** xi[n * d]: unit noise of each step; none is added at timestep 0. */
void ref_sample_ddpm(const ref_problem *problem, const double *xi, double *x);

#endif
