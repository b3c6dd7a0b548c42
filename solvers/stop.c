#include "solvers/stop.h"

#include <string.h>

const char *pdag_stop_reason_text(pdag_stop_reason reason)
{
    static const char *const texts[] = {"running",    "converged",
                                        "max-rounds", "sequential",
                                        "failed",     "stopped"};

    return texts[reason];
}

pdag_status pdag_stop_rule_parse(const char *name, pdag_stop_rule *rule_out)
{
    static const char *const names[] = {"error", "residual", "relative",
                                        "paradigms"};

    for (int i = 0; i < 4; i++) {
        if (strcmp(name, names[i]) == 0) {
            *rule_out = (pdag_stop_rule)i;
            return PDAG_OK;
        }
    }
    return pdag_error(PDAG_ERR_ARG, "solver.stop: %s: expected error, residual, "
                      "relative or paradigms", name);
}

pdag_status pdag_stop_scales(size_t n_steps, const double *noise_std,
                             double *scale_out)
{
    double largest = 0.0;

    for (size_t j = 0; j < n_steps; j++) {
        scale_out[j] = noise_std[j];
        if (noise_std[j] > largest)
            largest = noise_std[j];
    }
    if (n_steps > 1 && !(largest > 0.0))
        return pdag_error(PDAG_ERR_ARG, "solver.stop: relative and paradigms "
                          "need a sampler whose steps have a noise deviation");
    scale_out[n_steps] = scale_out[n_steps - 1];
    if (n_steps >= 2) {
        scale_out[n_steps - 1] = scale_out[n_steps - 2];
        scale_out[n_steps] = scale_out[n_steps - 2];
    }
    return PDAG_OK;
}

static int row_passes(pdag_stop_rule rule, double tolerance, double residual,
                      double change, double scale)
{
    switch (rule) {
    case PDAG_STOP_ERROR:
        return residual <= tolerance && change <= tolerance;
    case PDAG_STOP_RESIDUAL:
        return residual <= tolerance;
    case PDAG_STOP_RELATIVE:
        return residual <= tolerance * scale && change <= tolerance * scale;
    case PDAG_STOP_PARADIGMS:
        return change <= tolerance * scale;
    }
    return 0;
}

size_t pdag_stop_passed(pdag_stop_rule rule, double tolerance, size_t n,
                        const double *residual, const double *change,
                        const double *scale)
{
    size_t passed = 0;

    while (passed < n && row_passes(rule, tolerance, residual[passed],
                                    change[passed], scale[passed]))
        passed++;
    return passed;
}

size_t pdag_stop_accept(pdag_stop_rule rule, size_t passed, size_t n)
{
    int one_more = rule == PDAG_STOP_RELATIVE || rule == PDAG_STOP_PARADIGMS;

    if (one_more && passed < n)
        passed++;
    return passed > 0 ? passed : 1;
}
