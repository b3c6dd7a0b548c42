/* Noise levels, as set_timesteps() of diffusers' DPMSolverMultistepScheduler,
   EulerDiscreteScheduler, EulerAncestralDiscreteScheduler (sigma = s / al of
   the training schedule) and FlowMatchEulerDiscreteScheduler (sigma = the
   noise's share) makes them: in float64, stored as float32. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "graph/schedule_times.h"

/* [n_train], of the training steps. */
static void fill_table(const pdag_schedule *schedule, float *table)
{
    for (size_t t = 0; t < schedule->n_train; t++) {
        float now = (float)schedule->alpha_bar[t];

        table[t] = sqrtf((1.0f - now) / now);
    }
}

/* numpy.interp over the training steps. */
static double interpolate(const float *table, size_t n, double t)
{
    size_t below = (size_t)t;
    double low;

    if (below + 1 >= n)
        return (double)table[n - 1];
    low = (double)table[below];
    return ((double)table[below + 1] - low) * (t - (double)below) + low;
}

/* The training step (not an integer) of a noise level: linear in log sigma. */
static double timestep_of(const float *table, size_t n, double sigma)
{
    double log_sigma = log(fmax(sigma, 1e-10));
    size_t below = 0;
    double low;
    double high;
    double w;

    while (below + 2 < n && (double)logf(table[below + 1]) <= log_sigma)
        below++;
    low = (double)logf(table[below]);
    high = (double)logf(table[below + 1]);
    w = (low - log_sigma) / (double)((float)low - (float)high);
    w = fmin(fmax(w, 0), 1);
    return (1 - w) * (double)below + w * (double)(below + 1);
}

/* sigmas[n] from `first` down to `last` by the config's rule. */
static void spread_sigmas(pdag_sigma_rule rule, double first, double last,
                          size_t n, double *sigmas)
{
    const double rho = 7; /* Karras et al. 2022, arXiv:2206.00364, eq. 5 */

    for (size_t i = 0; i < n; i++) {
        double u = n > 1 ? (double)i / (double)(n - 1) : 0;

        if (rule == PDAG_SIGMAS_KARRAS) {
            double high = pow(first, 1 / rho);
            double low = pow(last, 1 / rho);

            sigmas[i] = pow(high + u * (low - high), rho);
        } else {
            double high = log(first);
            double low = log(last);

            sigmas[i] =
                exp(i + 1 == n && n > 1 ? low : high + u * (low - high));
        }
    }
}

/* Sigmas by the rule between the ends that the config or the schedule gives,
   and the timesteps that belong to them. */
static void apply_rule(const pdag_schedule_config *config,
                       const pdag_schedule_kind *kind, const float *table,
                       double first, double last, pdag_schedule *schedule)
{
    /* DPM-Solver rounds: those steps are integers for the network. */
    bool dpm = kind->family == PDAG_FAMILY_DPM;
    bool rounds = dpm && config->sigma_rule != PDAG_SIGMAS_EXPONENTIAL &&
                  (config->beta_schedule != PDAG_BETA_SQUAREDCOS_CAP_V2);

    if (config->sigma_rule != PDAG_SIGMAS_LU) {
        first = config->sigma_max > 0 ? config->sigma_max : first;
        last = config->sigma_min > 0 ? config->sigma_min : last;
    }
    spread_sigmas(config->sigma_rule, first, last, schedule->n_steps,
                  schedule->sigmas);
    for (size_t i = 0; i < schedule->n_steps && table != NULL; i++) {
        double t = timestep_of(table, schedule->n_train, schedule->sigmas[i]);

        schedule->timesteps[i] = rounds ? rint(t)
                                 : dpm  ? trunc(t)
                                        : (double)(float)t;
    }
}

static void round_to_float(double *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        values[i] = (double)(float)values[i];
}

static void fill_log_linear(const float *table, pdag_schedule *schedule)
{
    size_t n = schedule->n_steps + 1;
    float *sigmas = pdag_xcalloc(n, sizeof *sigmas);

    pdag_linspace_float((double)logf(table[schedule->n_train - 1]),
                        (double)logf(table[0]), n, sigmas);
    for (size_t i = 0; i < n; i++)
        schedule->sigmas[i] = (double)expf(sigmas[i]);
    free(sigmas);
}

static void fill_initial(const pdag_schedule_config *config,
                         const pdag_schedule_kind *kind,
                         pdag_schedule *schedule)
{
    float largest = 0;

    if (kind->family == PDAG_FAMILY_DPM)
        return;
    for (size_t i = 0; i <= schedule->n_steps; i++)
        largest = fmaxf(largest, (float)schedule->sigmas[i]);
    schedule->initial_sigma = (double)(config->spacing == PDAG_SPACING_LEADING
                                           ? sqrtf(largest * largest + 1.0f)
                                           : largest);
}

/* Families whose sigmas come from the training betas. */
static void fill_discrete(const pdag_schedule_config *config,
                          const pdag_schedule_kind *kind,
                          pdag_schedule *schedule)
{
    size_t n = schedule->n_steps;
    size_t n_train = schedule->n_train;
    bool dpm = kind->family == PDAG_FAMILY_DPM;
    bool rule = config->sigma_rule != PDAG_SIGMAS_OF_TIMESTEPS;
    float *table = pdag_xcalloc(n_train, sizeof *table);
    double *sigmas = schedule->sigmas;

    fill_table(schedule, table);
    for (size_t i = 0; i < n; i++)
        sigmas[i] = interpolate(table, n_train, schedule->timesteps[i]);
    sigmas[n] = config->end_at_sigma_min ? (double)table[0] : 0;
    if (config->log_linear) {
        fill_log_linear(table, schedule);
        if (rule) /* between its ends; the last one goes as in the others */
            apply_rule(config, kind, table, sigmas[0], sigmas[n], schedule);
        if (rule)
            sigmas[n] = config->end_at_sigma_min ? (double)table[0] : 0;
    } else if (rule) {
        apply_rule(config, kind, table,
                   dpm ? (double)table[n_train - 1] : sigmas[0],
                   dpm ? (double)table[0] : sigmas[n - 1], schedule);
    }
    round_to_float(sigmas, n + 1);
    free(table);
    fill_initial(config, kind, schedule);
}

/* Its shift is applied twice: once to the ends and once to every sigma between
   them. */
static void fill_flow(const pdag_schedule_config *config,
                      const pdag_schedule_kind *kind, pdag_schedule *schedule)
{
    size_t n = schedule->n_steps;
    double n_train = (double)config->n_train;
    double shift = config->shift;
    float bottom = 1.0f / (float)n_train;
    double low;
    double *sigmas = schedule->sigmas;

    bottom = (float)shift * bottom / (1.0f + (float)(shift - 1) * bottom);
    low = (double)bottom * n_train;
    for (size_t i = 0; i < n; i++) {
        double step = n > 1 ? (low - n_train) / (double)(n - 1) : 0;
        double t = i + 1 == n && n > 1 ? low : (double)i * step + n_train;
        double sigma = t / n_train;

        sigmas[i] = shift * sigma / (1 + (shift - 1) * sigma);
    }
    if (config->shift_terminal > 0) {
        double scale = (1 - sigmas[n - 1]) / (1 - config->shift_terminal);

        for (size_t i = 0; i < n; i++)
            sigmas[i] = 1 - (1 - sigmas[i]) / scale;
    }
    if (config->sigma_rule != PDAG_SIGMAS_OF_TIMESTEPS)
        apply_rule(config, kind, NULL, sigmas[0], sigmas[n - 1], schedule);
    sigmas[n] = 0;
    round_to_float(sigmas, n);
    for (size_t i = 0; i < n; i++)
        schedule->timesteps[i] = (double)((float)sigmas[i] * (float)n_train);
}

pdag_status pdag_schedule_fill_sigmas(const pdag_schedule_config *config,
                                      const pdag_schedule_kind *kind,
                                      pdag_schedule *schedule)
{
    if (config->sigma_rule != PDAG_SIGMAS_OF_TIMESTEPS && config->n_train < 2)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "num_train_timesteps: 1: use_karras_sigmas and its "
                          "like need 2");
    if (kind->family == PDAG_FAMILY_FLOW)
        fill_flow(config, kind, schedule);
    else
        fill_discrete(config, kind, schedule);
    for (size_t i = 0; i <= schedule->n_steps; i++)
        if (!isfinite(schedule->sigmas[i]))
            return pdag_error(PDAG_ERR_UNSUPPORTED,
                              "noise schedule: the noise level of step %zu is "
                              "not defined",
                              i);
    return PDAG_OK;
}
