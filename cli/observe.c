#include "cli/observe.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

pdag_status pdag_observe_open(const pdag_job *job, const pdag_pipeline_info *info,
                              pdag_environment **env_out)
{
    pdag_environment *env;
    size_t actions;
    pdag_status status = pdag_environment_open(job->environment, &env);

    if (status != PDAG_OK)
        return status;
    actions = pdag_environment_info_of(env)->action_dim;
    if (info->state_dims[1] != actions)
        status = pdag_error(PDAG_ERR_SHAPE, "environment: %s takes actions of %zu "
                            "numbers, but %s plans actions of %zu",
                            job->environment, actions, job->model.path,
                            info->state_dims[1]);
    if (status == PDAG_OK)
        status = pdag_environment_check_observation(env, info->observation_dim);
    if (status != PDAG_OK) {
        pdag_environment_close(env);
        return status;
    }
    *env_out = env;
    return PDAG_OK;
}

void pdag_observe_first(const pdag_environment *env,
                        const pdag_pipeline_info *info, float *condition)
{
    size_t dim = info->observation_dim;

    pdag_environment_observe(env, dim, condition);
    for (size_t i = 1; i < info->n_observations; i++)
        memcpy(condition + i * dim, condition, dim * sizeof *condition);
}

void pdag_observe_next(const pdag_environment *env,
                       const pdag_pipeline_info *info, float *condition)
{
    size_t dim = info->observation_dim;
    size_t kept = (info->n_observations - 1) * dim;

    memmove(condition, condition + dim, kept * sizeof *condition);
    pdag_environment_observe(env, dim, condition + kept);
}

static uint64_t wrap(uint64_t seed, const pdag_environment *env)
{
    uint64_t most = pdag_environment_info_of(env)->max_seed;

    return most == UINT64_MAX ? seed : seed % (most + 1);
}

pdag_status pdag_observe_starts(const pdag_job *job,
                                const pdag_pipeline_info *info, float **out)
{
    size_t n = (size_t)job->samples;
    size_t floats;
    void *memory = NULL;
    pdag_environment *env;
    pdag_status status = pdag_observe_open(job, info, &env);

    if (status != PDAG_OK)
        return status;
    if (!pdag_mul_size(n, info->cond_dim, &floats))
        status = pdag_error(PDAG_ERR_NOMEM, "samples: too many");
    if (status == PDAG_OK)
        status = pdag_alloc_tensor(floats, sizeof(float), "observations", &memory);
    for (size_t j = 0; status == PDAG_OK && j < n; j++) {
        status = pdag_environment_reset(env, wrap(job->seed + j, env));
        if (status == PDAG_OK)
            pdag_observe_first(env, info, (float *)memory + j * info->cond_dim);
    }
    pdag_environment_close(env);
    if (status != PDAG_OK) {
        free(memory);
        return status;
    }
    *out = memory;
    return PDAG_OK;
}
