#include "tests/ref_sampler.h"

#include <math.h>
#include <stdlib.h>

void ref_sample_ddim(const ref_problem *problem, double *x)
{
    double *e = malloc(problem->d * sizeof *e);

    for (size_t i = 0; i < problem->n && e != NULL; i++) {
        double now = problem->a[i];
        double next = problem->a_next[i];

        problem->network(problem->context, x, problem->timesteps[i], e);
        for (size_t j = 0; j < problem->d; j++) {
            double clean = (x[j] - sqrt(1 - now) * e[j]) / sqrt(now);

            x[j] = sqrt(next) * clean + sqrt(1 - next) * e[j];
        }
    }
    free(e);
}

void ref_sample_ddpm(const ref_problem *problem, const double *xi, double *x)
{
    double *e = malloc(problem->d * sizeof *e);

    for (size_t i = 0; i < problem->n && e != NULL; i++) {
        double alpha = problem->a[i] / problem->a_next[i];
        double noise = 1 - problem->a[i];
        double variance = (1 - problem->a_next[i]) / noise * (1 - alpha);

        problem->network(problem->context, x, problem->timesteps[i], e);
        for (size_t j = 0; j < problem->d; j++) {
            x[j] = (x[j] - (1 - alpha) / sqrt(noise) * e[j]) / sqrt(alpha);
            if (problem->timesteps[i] > 0)
                x[j] += sqrt(variance) * xi[i * problem->d + j];
        }
    }
    free(e);
}
