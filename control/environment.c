#include "control/environment.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/mem.h"

/* Physics takes any action, but no numbers that overflow in it. */
static const double far_outside = 1e6;

static const pdag_environment_ops *const variants[] = {&pdag_environment_pusht};
enum { n_variants = sizeof variants / sizeof variants[0] };

struct pdag_environment {
    const pdag_environment_ops *ops;
    void *state;
    float *action; /* [action_dim], the last one */
    bool acted;
};

static pdag_status unknown(const char *name)
{
    char known[256] = "";

    for (size_t j = 0; j < n_variants; j++) {
        size_t used = strlen(known);

        snprintf(known + used, sizeof known - used, "%s%s", used > 0 ? ", " : "",
                 variants[j]->info->name);
    }
    return pdag_error(PDAG_ERR_ARG, "environment \"%s\": there is %s", name, known);
}

pdag_status pdag_environment_open(const char *name, pdag_environment **env_out)
{
    for (size_t j = 0; j < n_variants; j++) {
        const pdag_environment_ops *ops = variants[j];
        pdag_environment *env;
        void *state = NULL;
        pdag_status status;

        if (strcmp(ops->info->name, name) != 0)
            continue;
        status = ops->create(&state);
        if (status != PDAG_OK)
            return status;
        env = pdag_xcalloc(1, sizeof *env);
        env->ops = ops;
        env->state = state;
        env->action = pdag_xcalloc(ops->info->action_dim, sizeof *env->action);
        *env_out = env;
        return PDAG_OK;
    }
    return unknown(name);
}

void pdag_environment_close(pdag_environment *env)
{
    if (env == NULL)
        return;
    env->ops->destroy(env->state);
    free(env->action);
    free(env);
}

const pdag_environment_info *pdag_environment_info_of(const pdag_environment *env)
{
    return env->ops->info;
}

pdag_status pdag_environment_reset(pdag_environment *env, uint64_t seed)
{
    const pdag_environment_info *info = env->ops->info;

    if (seed > info->max_seed)
        return pdag_error(PDAG_ERR_ARG,
                          "environment %s: seed %llu is over its largest, %llu",
                          info->name, (unsigned long long)seed,
                          (unsigned long long)info->max_seed);
    env->ops->reset(env->state, seed);
    env->acted = false;
    return PDAG_OK;
}

static bool has_observation(const pdag_environment_info *info, size_t dim)
{
    for (size_t j = 0; j < info->n_observation_dims; j++)
        if (info->observation_dims[j] == dim)
            return true;
    return false;
}

pdag_status pdag_environment_check_observation(const pdag_environment *env,
                                               size_t dim)
{
    const pdag_environment_info *info = env->ops->info;
    char known[128] = "";

    if (has_observation(info, dim))
        return PDAG_OK;
    for (size_t j = 0; j < info->n_observation_dims; j++) {
        size_t used = strlen(known);

        snprintf(known + used, sizeof known - used, "%s%zu", used > 0 ? " or " : "",
                 info->observation_dims[j]);
    }
    return pdag_error(PDAG_ERR_SHAPE,
                      "environment %s: observations have %s numbers, the policy "
                      "takes %zu",
                      info->name, known, dim);
}

void pdag_environment_observe(const pdag_environment *env, size_t dim,
                              float *observation_out)
{
    PDAG_ASSERT(has_observation(env->ops->info, dim));
    env->ops->observe(env->state, dim, observation_out);
}

pdag_status pdag_environment_step(pdag_environment *env, const float *action,
                                  pdag_environment_result *result_out)
{
    const pdag_environment_info *info = env->ops->info;

    for (size_t j = 0; j < info->action_dim; j++)
        if (!(fabs((double)action[j]) <= far_outside))
            return pdag_error(PDAG_ERR_NAN,
                              "environment %s: action %zu is %g; between %g and "
                              "%g is sensible",
                              info->name, j, (double)action[j], info->action_low,
                              info->action_high);
    memcpy(env->action, action, info->action_dim * sizeof *action);
    env->acted = true;
    env->ops->step(env->state, action, result_out);
    return PDAG_OK;
}

void pdag_environment_draw(const pdag_environment *env, pdag_picture *picture)
{
    env->ops->draw(env->state, env->acted ? env->action : NULL, picture);
}
