#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "models/denoiser.h"

typedef struct gaussian {
    pdag_denoiser base;
    size_t modes;
    double variance; /* std^2 */
    float *means;    /* [modes][D] */
    size_t n_train;
    double *log_alpha; /* [n_train]: log of alpha_bar */
    double *weights;   /* [modes]: scratch of one evaluation */
} gaussian;

static void gaussian_destroy(pdag_denoiser *model)
{
    gaussian *g = (gaussian *)model;

    if (g == NULL)
        return;
    free(g->means);
    free(g->log_alpha);
    free(g->weights);
    free(g);
}

/* alpha_bar at a fractional training step; log-linear between the steps and
   constant beyond the last. */
static double alpha_bar_at(const gaussian *g, double t)
{
    double last = (double)(g->n_train - 1);
    double low = floor(t);
    size_t step;

    if (!(t > 0.0))
        return exp(g->log_alpha[0]);
    if (t >= last)
        return exp(g->log_alpha[g->n_train - 1]);
    step = (size_t)low;
    return exp(g->log_alpha[step] +
               (t - low) * (g->log_alpha[step + 1] - g->log_alpha[step]));
}

/* Responsibilities of the modes at x, in g->weights: softmax of
   -|x - root_alpha mean|^2 / (2 variance), shifted by its largest exponent. */
static void mode_weights(gaussian *g, const float *x, double root_alpha,
                         double variance)
{
    size_t dim = g->base.dim;
    double largest = -INFINITY;
    double sum = 0.0;

    for (size_t m = 0; m < g->modes; m++) {
        const float *mean = g->means + m * dim;
        double distance_sq = 0.0;

        for (size_t d = 0; d < dim; d++) {
            double gap = (double)x[d] - root_alpha * (double)mean[d];

            distance_sq += gap * gap;
        }
        g->weights[m] = -0.5 * distance_sq / variance;
        largest = fmax(largest, g->weights[m]);
    }
    for (size_t m = 0; m < g->modes; m++) {
        g->weights[m] = exp(g->weights[m] - largest);
        sum += g->weights[m];
    }
    for (size_t m = 0; m < g->modes; m++)
        g->weights[m] /= sum;
}

/* p_t is the mixture of N(sqrt(A) mean_m, (A std^2 + 1 - A) I), so
   -grad log p_t(x) = (x - sqrt(A) sum_m w_m mean_m) / (A std^2 + 1 - A). */
static void eval_row(gaussian *g, const float *x, float t, float *eps)
{
    size_t dim = g->base.dim;
    double alpha = alpha_bar_at(g, (double)t);
    double root_alpha = sqrt(alpha);
    double variance = alpha * g->variance + 1.0 - alpha;
    double factor = sqrt(1.0 - alpha) / variance;

    mode_weights(g, x, root_alpha, variance);
    for (size_t d = 0; d < dim; d++) {
        double mean = 0.0;

        for (size_t m = 0; m < g->modes; m++)
            mean += g->weights[m] * (double)g->means[m * dim + d];
        eps[d] = (float)(factor * ((double)x[d] - root_alpha * mean));
    }
}

static pdag_status gaussian_eval(pdag_denoiser *model, size_t n, const float *x,
                                 const float *t,
                                 const pdag_condition *const *cond, float *eps)
{
    gaussian *g = (gaussian *)model;
    size_t dim = model->dim;

    (void)cond;
    for (size_t i = 0; i < n; i++)
        eval_row(g, x + i * dim, t[i], eps + i * dim);
    return PDAG_OK;
}

static const pdag_denoiser_ops gaussian_ops = {
    .name = "gaussian",
    .eval = gaussian_eval,
    .destroy = gaussian_destroy,
};

static pdag_status check_arguments(const size_t *shape, int n_dims,
                                   size_t modes, double std,
                                   const double *alpha_bar, size_t n_train,
                                   size_t *dim_out)
{
    size_t dim = 1;

    if (n_dims < 1 || n_dims > PDAG_STATE_MAX_DIMS)
        return pdag_error(PDAG_ERR_ARG, "gaussian.shape: %d numbers, not 1..%d",
                          n_dims, PDAG_STATE_MAX_DIMS);
    for (int d = 0; d < n_dims; d++)
        if (shape[d] == 0 || !pdag_mul_size(dim, shape[d], &dim))
            return pdag_error(PDAG_ERR_ARG, "gaussian.shape: %zu: out of range",
                              shape[d]);
    if (modes == 0)
        return pdag_error(PDAG_ERR_ARG, "gaussian.modes: 0, must be positive");
    if (!(std > 0.0) || !isfinite(std))
        return pdag_error(PDAG_ERR_ARG, "gaussian.std: %g, must be positive",
                          std);
    if (n_train == 0)
        return pdag_error(PDAG_ERR_ARG, "gaussian: empty noise schedule");
    for (size_t i = 0; i < n_train; i++)
        if (!(alpha_bar[i] > 0.0) || !(alpha_bar[i] <= 1.0))
            return pdag_error(PDAG_ERR_ARG,
                              "gaussian: alpha_bar[%zu] = %g, not in (0, 1]", i,
                              alpha_bar[i]);
    *dim_out = dim;
    return PDAG_OK;
}

pdag_status pdag_gaussian_create(const size_t *shape, int n_dims, size_t modes,
                                 double std, uint64_t seed,
                                 const double *alpha_bar, size_t n_train,
                                 pdag_denoiser **model_out)
{
    gaussian *g;
    void *memory;
    size_t dim;
    size_t count;
    pdag_status status =
        check_arguments(shape, n_dims, modes, std, alpha_bar, n_train, &dim);

    if (status != PDAG_OK)
        return status;
    if (!pdag_mul_size(modes, dim, &count))
        return pdag_error(PDAG_ERR_ARG, "gaussian.modes: %zu: out of range",
                          modes);
    status = pdag_alloc_tensor(count, sizeof(float), "gaussian means", &memory);
    if (status != PDAG_OK)
        return status;

    g = pdag_xcalloc(1, sizeof *g);
    g->base.ops = &gaussian_ops;
    g->base.dim = dim;
    g->base.n_state_dims = n_dims;
    memcpy(g->base.state_dims, shape, (size_t)n_dims * sizeof *shape);
    g->modes = modes;
    g->variance = std * std;
    g->means = memory;
    g->n_train = n_train;
    g->log_alpha = pdag_xcalloc(n_train, sizeof *g->log_alpha);
    g->weights = pdag_xcalloc(modes, sizeof *g->weights);
    for (size_t m = 0; m < modes; m++)
        pdag_rng_counter_normal(seed, m, 0, dim, g->means + m * dim);
    for (size_t i = 0; i < n_train; i++)
        g->log_alpha[i] = log(alpha_bar[i]);
    *model_out = &g->base;
    return PDAG_OK;
}
