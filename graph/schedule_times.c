/* Timesteps as diffusers' set_timesteps() of each class spaces them, in numpy's
   arithmetic. */
#include "graph/schedule_times.h"

#include <math.h>

/* The timesteps are spread over the first `end` training steps; DPM-Solver
   makes one more than it takes and leaves the smallest out. */
typedef struct spread {
    const pdag_schedule_config *config;
    size_t n;      /* sampler steps */
    size_t n_grid; /* points of leading and linspace */
    double end;
    bool whole; /* linspace is rounded to integers */
} spread;

/* Entry i of the ascending grid (leading, linspace) or, for trailing, of the
   descending list. */
static double spaced(const spread *s, size_t i)
{
    const pdag_schedule_config *config = s->config;
    double t;
    double stride;

    switch (config->spacing) {
    case PDAG_SPACING_LEADING:
        return (double)(i * ((size_t)s->end / s->n_grid)) +
               config->steps_offset;
    case PDAG_SPACING_LINSPACE:
        if (s->n_grid == 1)
            return 0;
        t = i == s->n_grid - 1
                ? s->end - 1
                : (double)i * ((s->end - 1) / (double)(s->n_grid - 1));
        return s->whole ? rint(t) : (double)(float)t;
    case PDAG_SPACING_TRAILING:
        /* numpy.arange's stride is the difference of its first two values. */
        stride = (s->end - (double)config->n_train / (double)s->n) - s->end;
        return rint(s->end + (double)i * stride) - 1;
    }
    return -1;
}

static pdag_status check_trailing(const spread *s)
{
    double n_train = (double)s->config->n_train;
    double count = ceil(s->end / (n_train / (double)s->n));

    /* For some counts the rounded stride is so short that numpy.arange gives
       one value more, just above 0, and diffusers a step at timestep -1. */
    if (count > (double)s->n)
        return pdag_error(PDAG_ERR_ARG,
                          "sampler.steps: %zu: trailing spacing of %zu "
                          "timesteps would end at timestep -1; take %zu or "
                          "another spacing",
                          s->n, s->config->n_train, s->n - 1);
    if (count < (double)s->n)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "sampler.spacing: trailing: lambda_min_clipped %g "
                          "leaves %g of %zu steps",
                          s->config->lambda_min, count, s->n);
    return PDAG_OK;
}

/* out[n], descending. */
static pdag_status fill_spread(const spread *s, double *out)
{
    bool trailing = s->config->spacing == PDAG_SPACING_TRAILING;
    double n_train = (double)s->config->n_train;
    pdag_status status = trailing ? check_trailing(s) : PDAG_OK;

    for (size_t i = 0; i < s->n && status == PDAG_OK; i++) {
        double t = spaced(s, trailing ? i : s->n_grid - 1 - i);

        if (t < 0 || t >= n_train)
            return pdag_error(PDAG_ERR_ARG,
                              "sampler.steps: %zu: step %zu would be at "
                              "timestep %g, outside 0 to %zu (steps_offset %d)",
                              s->n, i, t, s->config->n_train - 1,
                              s->config->steps_offset);
        out[i] = t;
    }
    return status;
}

/* Training steps left by lambda_min_clipped: torch.searchsorted over log(al /
   s) in float32, where al and s are those of the training steps. */
static double steps_above(const pdag_schedule_config *config,
                          const pdag_schedule *schedule)
{
    size_t n = schedule->n_train;

    if (!(config->lambda_min > -1e300))
        return (double)n;
    while (n > 0) {
        float now = (float)schedule->alpha_bar[n - 1];
        float lambda = logf(sqrtf(now)) - logf(sqrtf(1.0f - now));

        if (!(lambda < (float)config->lambda_min))
            break;
        n--;
    }
    return (double)n;
}

/* PNDM evaluates its second timestep twice. */
static void repeat_second(pdag_schedule *schedule)
{
    if (schedule->n_rows == schedule->n_steps)
        return;
    for (size_t i = schedule->n_rows - 1; i > 1; i--)
        schedule->timesteps[i] = schedule->timesteps[i - 1];
}

pdag_status pdag_schedule_fill_times(const pdag_schedule_config *config,
                                     const pdag_schedule_kind *kind,
                                     pdag_schedule *schedule)
{
    bool dpm = kind->family == PDAG_FAMILY_DPM;
    bool euler = kind->family == PDAG_FAMILY_EULER ||
                 kind->family == PDAG_FAMILY_EULER_A;
    spread s = {config, schedule->n_steps, schedule->n_steps + (dpm ? 1 : 0),
                (double)config->n_train, !euler};
    pdag_status status;

    schedule->initial_sigma = 1;
    if (kind->family != PDAG_FAMILY_FLOW) {
        if (dpm)
            s.end = steps_above(config, schedule);
        if (s.end < 1)
            return pdag_error(PDAG_ERR_UNSUPPORTED,
                              "lambda_min_clipped: %g: leaves no timestep",
                              config->lambda_min);
        status = fill_spread(&s, schedule->timesteps);
        if (status != PDAG_OK)
            return status;
    }
    if (kind->family == PDAG_FAMILY_PNDM)
        repeat_second(schedule);
    return schedule->sigmas == NULL
               ? PDAG_OK
               : pdag_schedule_fill_sigmas(config, kind, schedule);
}
