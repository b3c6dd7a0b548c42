#include "graph/schedule.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "graph/schedule_times.h"

static const double pi = 3.14159265358979323846;

/* torch.linspace(first, last, n, dtype=float32), as its vector kernels compute
   it: fused multiply-add, counted from the nearer end. */
void pdag_linspace_float(double first, double last, size_t n, float *out)
{
    float low = (float)first;
    float high = (float)last;
    float step = n > 1 ? (high - low) / (float)(n - 1) : 0.0f;

    for (size_t i = 0; i < n; i++)
        out[i] = n == 1 || i < n / 2 ? fmaf(step, (float)i, low)
                                     : fmaf(-step, (float)(n - 1 - i), high);
}

/* torch.cumprod of 1 - beta: sums in float64, each entry rounded to float32. */
static void cumulate(const float *betas, size_t n, float *alpha_bar)
{
    double product = 1.0;

    for (size_t t = 0; t < n; t++) {
        product *= (double)(1.0f - betas[t]);
        alpha_bar[t] = (float)product;
    }
}

static double cosine_alpha_bar(double u)
{
    double c = cos((u + 0.008) / 1.008 * pi / 2);

    return c * c;
}

static void fill_betas(const pdag_schedule_config *config, float *betas)
{
    size_t n = config->n_train;
    double b0 = config->beta_start;
    double b1 = config->beta_end;

    switch (config->beta_schedule) {
    case PDAG_BETA_LINEAR:
        pdag_linspace_float(b0, b1, n, betas);
        break;
    case PDAG_BETA_SCALED_LINEAR:
        pdag_linspace_float(sqrt(b0), sqrt(b1), n, betas);
        for (size_t t = 0; t < n; t++)
            betas[t] *= betas[t];
        break;
    case PDAG_BETA_SQUAREDCOS_CAP_V2:
        for (size_t t = 0; t < n; t++) {
            double low = cosine_alpha_bar((double)t / (double)n);
            double high = cosine_alpha_bar((double)(t + 1) / (double)n);

            betas[t] = (float)fmin(1 - high / low, 0.999);
        }
        break;
    case PDAG_BETA_SIGMOID:
        pdag_linspace_float(-6, 6, n, betas);
        for (size_t t = 0; t < n; t++)
            betas[t] =
                1.0f / (1.0f + expf(-betas[t])) * (float)(b1 - b0) + (float)b0;
        break;
    case PDAG_BETA_TRAINED:
        for (size_t t = 0; t < n; t++)
            betas[t] = (float)config->trained_betas[t];
        break;
    }
}

/* Lin et al. 2023, arXiv:2305.08891, algorithm 1: shift and scale sqrt(A) so
   that the last one is 0 and the first stays.  scratch: [n]. */
static void rescale_zero_snr(float *betas, size_t n, float *scratch)
{
    float first;
    float last;
    float scale;

    cumulate(betas, n, scratch);
    first = sqrtf(scratch[0]);
    last = sqrtf(scratch[n - 1]);
    scale = first / (first - last);
    for (size_t t = 0; t < n; t++) {
        float q = (sqrtf(scratch[t]) - last) * scale;

        scratch[t] = q * q;
    }
    betas[0] = 1.0f - scratch[0];
    for (size_t t = 1; t < n; t++)
        betas[t] = 1.0f - scratch[t] / scratch[t - 1];
}

static pdag_status fill_alpha_bar(const pdag_schedule_config *config,
                                  double *alpha_bar)
{
    size_t n = config->n_train;
    float *betas = pdag_xcalloc(n, sizeof *betas);
    float *product = pdag_xcalloc(n, sizeof *product);
    pdag_status status = PDAG_OK;

    fill_betas(config, betas);
    if (config->rescale_zero_snr)
        rescale_zero_snr(betas, n, product);
    cumulate(betas, n, product);
    for (size_t t = 0; t < n && status == PDAG_OK; t++) {
        alpha_bar[t] = (double)product[t];
        if (!(alpha_bar[t] >= 0) || !(alpha_bar[t] <= 1))
            status = pdag_error(
                PDAG_ERR_FORMAT,
                "noise schedule: the cumulative product at timestep %zu is %g, "
                "outside 0 to 1",
                t, alpha_bar[t]);
    }
    free(product);
    free(betas);
    return status;
}

/* What the job's own sampler.prediction may have made of a sound config. */
static pdag_status check_prediction(const pdag_schedule_config *config,
                                    const pdag_schedule_kind *kind)
{
    if (config->prediction == PDAG_PREDICT_SAMPLE &&
        (kind->family == PDAG_FAMILY_PNDM ||
         kind->family == PDAG_FAMILY_EULER_A))
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "sampler.prediction: sample: not available with "
                          "sampler.kind %s",
                          kind->name);
    return PDAG_OK;
}

static pdag_schedule *allocate(const pdag_schedule_config *config,
                               const pdag_schedule_kind *kind, size_t n_steps)
{
    pdag_schedule *schedule = pdag_xcalloc(1, sizeof *schedule);

    schedule->n_train = config->n_train;
    schedule->n_steps = n_steps;
    schedule->n_rows =
        kind->family == PDAG_FAMILY_PNDM && n_steps > 1 ? n_steps + 1 : n_steps;
    schedule->alpha_bar =
        pdag_xcalloc(config->n_train, sizeof *schedule->alpha_bar);
    schedule->timesteps =
        pdag_xcalloc(schedule->n_rows, sizeof *schedule->timesteps);
    if (kind->family != PDAG_FAMILY_DDIM && kind->family != PDAG_FAMILY_DDPM &&
        kind->family != PDAG_FAMILY_PNDM)
        schedule->sigmas = pdag_xcalloc(n_steps + 1, sizeof *schedule->sigmas);
    return schedule;
}

pdag_status pdag_schedule_create(const pdag_schedule_config *config,
                                 const char *kind, size_t n_steps,
                                 pdag_schedule **schedule_out)
{
    const pdag_schedule_kind *of;
    pdag_schedule *schedule;
    pdag_status status = pdag_schedule_kind_get(kind, &of);

    if (status == PDAG_OK)
        status = check_prediction(config, of);
    if (status != PDAG_OK)
        return status;
    if (n_steps < 1 || n_steps > config->n_train)
        return pdag_error(PDAG_ERR_ARG,
                          "sampler.steps: %zu: expected 1 to %zu, the training "
                          "steps of the model",
                          n_steps, config->n_train);
    schedule = allocate(config, of, n_steps);
    status = fill_alpha_bar(config, schedule->alpha_bar);
    /* Those schedulers stay just above 0, so that no noise level is infinite.
     */
    if (status == PDAG_OK && config->rescale_zero_snr &&
        schedule->sigmas != NULL)
        schedule->alpha_bar[config->n_train - 1] = 1.0 / 16777216;
    if (status == PDAG_OK)
        status = pdag_schedule_fill_times(config, of, schedule);
    if (status != PDAG_OK) {
        pdag_schedule_destroy(schedule);
        return status;
    }
    *schedule_out = schedule;
    return PDAG_OK;
}

void pdag_schedule_destroy(pdag_schedule *schedule)
{
    if (schedule == NULL)
        return;
    free(schedule->alpha_bar);
    free(schedule->timesteps);
    free(schedule->sigmas);
    free(schedule);
}
