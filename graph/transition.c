#include "graph/transition.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "graph/transition_ops.h"

static const pdag_transition_ops *const families[] = {
    [PDAG_FAMILY_DDIM] = &pdag_transition_ddim,
    [PDAG_FAMILY_DDPM] = &pdag_transition_ddpm,
    [PDAG_FAMILY_DPM] = &pdag_transition_dpm,
    [PDAG_FAMILY_EULER] = &pdag_transition_euler,
    [PDAG_FAMILY_EULER_A] = &pdag_transition_euler,
    [PDAG_FAMILY_FLOW] = &pdag_transition_flow,
    [PDAG_FAMILY_PNDM] = &pdag_transition_pndm,
};

const char *pdag_transition_kind(size_t index)
{
    const pdag_schedule_kind *kind = pdag_schedule_kind_at(index);

    return kind != NULL ? kind->name : NULL;
}

void pdag_transition_fill_vp(pdag_transition *tr, size_t i, double now)
{
    pdag_step_parts *parts = &tr->parts[i];
    double al = sqrt(now);
    double s = sqrt(1 - now);

    tr->signal[i] = al;
    tr->sigma[i] = s;
    switch (tr->config.prediction) {
    case PDAG_PREDICT_EPSILON:
        parts->z_x = 1 / al;
        parts->z_e = -s / al;
        parts->eps_x = 0;
        parts->eps_e = 1;
        break;
    case PDAG_PREDICT_SAMPLE:
        parts->z_x = 0;
        parts->z_e = 1;
        parts->eps_x = 1 / s;
        parts->eps_e = -al / s;
        break;
    case PDAG_PREDICT_V:
        parts->z_x = al;
        parts->z_e = -s;
        parts->eps_x = s;
        parts->eps_e = al;
        break;
    }
}

void pdag_transition_fill_step(pdag_transition *tr, size_t i, double now,
                               double next)
{
    pdag_transition_fill_vp(tr, i, now);
    tr->noise_std[i] = sqrt((1 - next) / (1 - now) * (1 - now / next));
}

/* The coefficients that follow from what the family filled in. */
static void finish_row(pdag_transition *tr, size_t i)
{
    const pdag_step_parts *parts = &tr->parts[i];
    double *weight = tr->weight + i * tr->n_terms;

    switch (tr->value_kind) {
    case PDAG_VALUE_STEP:
        tr->own[i] = 0;
        weight[0] = 1;
        tr->a[i] =
            parts->f_z * parts->z_x + parts->f_eps * parts->eps_x + parts->f_x;
        tr->b[i] = parts->f_z * parts->z_e + parts->f_eps * parts->eps_e;
        break;
    case PDAG_VALUE_CLEAN:
        tr->a[i] = tr->own[i] + weight[0] * parts->z_x;
        tr->b[i] = weight[0] * parts->z_e;
        break;
    case PDAG_VALUE_OUTPUT:
        tr->a[i] = tr->own[i];
        tr->b[i] = weight[0];
        break;
    }
}

/* Whether every number of step i is finite; schedules with alpha-bar 0 or 1,
   or one that does not fall, leave some undefined. */
static pdag_status check_row(const pdag_transition *tr, size_t i)
{
    const double *weight = tr->weight + i * tr->n_terms;
    bool defined = isfinite(tr->a[i]) && isfinite(tr->b[i]) &&
                   isfinite(tr->c[i]) && isfinite(tr->noise_std[i]) &&
                   isfinite(tr->own[i]);

    for (size_t j = 0; j < tr->n_terms; j++)
        defined = defined && isfinite(weight[j]);
    if (tr->signal[i] <= 0 && !isfinite(tr->parts[i].z_x))
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "noise schedule: alpha-bar is 0 at timestep %g, "
                          "where prediction_type epsilon does not determine "
                          "the clean state (rescale_betas_zero_snr needs "
                          "v_prediction or sample)",
                          tr->t[i]);
    if (!defined)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "noise schedule: the step from timestep %g is not "
                          "defined (noise %.9g, signal %.9g)",
                          tr->t[i], tr->sigma[i], tr->signal[i]);
    return PDAG_OK;
}

static pdag_status fill_rows(pdag_transition *tr,
                             const pdag_schedule_kind *kind,
                             const pdag_schedule *schedule, double eta)
{
    pdag_status status = PDAG_OK;

    for (size_t i = 0; i < tr->n_rows && status == PDAG_OK; i++) {
        tr->t[i] = schedule->timesteps[i];
        tr->input_scale[i] = 1;
        families[kind->family]->fill(tr, kind, schedule, eta, i);
        finish_row(tr, i);
        status = check_row(tr, i);
    }
    return status;
}

static pdag_transition *allocate(const pdag_schedule_kind *kind,
                                 const pdag_schedule_config *config,
                                 size_t n_rows, size_t dim)
{
    pdag_transition *tr = pdag_xcalloc(1, sizeof *tr);

    tr->n_rows = n_rows;
    tr->dim = dim;
    tr->n_terms = (size_t)kind->order;
    tr->value_kind =
        kind->order == 1 ? PDAG_VALUE_STEP : families[kind->family]->multistep;
    tr->t = pdag_xcalloc(n_rows, sizeof *tr->t);
    tr->input_scale = pdag_xcalloc(n_rows, sizeof *tr->input_scale);
    tr->signal = pdag_xcalloc(n_rows, sizeof *tr->signal);
    tr->sigma = pdag_xcalloc(n_rows, sizeof *tr->sigma);
    tr->parts = pdag_xcalloc(n_rows, sizeof *tr->parts);
    tr->own = pdag_xcalloc(n_rows, sizeof *tr->own);
    tr->weight = pdag_xcalloc(n_rows * tr->n_terms, sizeof *tr->weight);
    tr->a = pdag_xcalloc(n_rows, sizeof *tr->a);
    tr->b = pdag_xcalloc(n_rows, sizeof *tr->b);
    tr->c = pdag_xcalloc(n_rows, sizeof *tr->c);
    tr->noise_std = pdag_xcalloc(n_rows, sizeof *tr->noise_std);
    tr->draws_noise = pdag_xcalloc(n_rows, sizeof *tr->draws_noise);
    tr->config = *config;
    tr->config.trained_betas = NULL;
    tr->linear = !config->clip_sample && !config->thresholding;
    return tr;
}

pdag_status pdag_transition_create(const char *kind,
                                   const pdag_schedule_config *config,
                                   const pdag_schedule *schedule, double eta,
                                   size_t dim, pdag_transition **transition_out)
{
    const pdag_schedule_kind *of;
    pdag_transition *tr;
    pdag_status status = pdag_schedule_kind_get(kind, &of);

    if (status != PDAG_OK)
        return status;
    if (!(eta >= 0) || !(eta <= 1))
        return pdag_error(PDAG_ERR_ARG, "sampler.eta: %g: expected 0 to 1",
                          eta);
    if ((of->takes & PDAG_TAKES_VARIANCE) != 0 &&
        config->variance == PDAG_VARIANCE_OTHER)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "scheduler_config.json: variance_type: "
                          "fixed_large_log, learned and learned_range are not "
                          "available with sampler.kind %s (sampler.variance "
                          "chooses another, such as fixed_small)",
                          kind);
    assert(of->order <= PDAG_MAX_TERMS);
    tr = allocate(of, config, schedule->n_rows, dim);
    tr->initial_sigma = schedule->initial_sigma;
    status = fill_rows(tr, of, schedule, eta);
    if (status != PDAG_OK) {
        pdag_transition_destroy(tr);
        return status;
    }
    *transition_out = tr;
    return PDAG_OK;
}

void pdag_transition_destroy(pdag_transition *tr)
{
    if (tr == NULL)
        return;
    free(tr->t);
    free(tr->input_scale);
    free(tr->signal);
    free(tr->sigma);
    free(tr->parts);
    free(tr->own);
    free(tr->weight);
    free(tr->a);
    free(tr->b);
    free(tr->c);
    free(tr->noise_std);
    free(tr->draws_noise);
    free(tr);
}
