/** cli/observe.h: what a policy sees: the observations of an episode so far, as one
 *  condition of its network. */
#ifndef PDAG_CLI_OBSERVE_H
#define PDAG_CLI_OBSERVE_H

#include "base/status.h"
#include "control/environment.h"
#include "models/pipeline.h"
#include "proto/job.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The environment of the job, for a policy `info`: PDAG_ERR_ARG, _UNSUPPORTED,
 *  _SHAPE (its actions, or its observations, have other numbers). */
pdag_status pdag_observe_open(const pdag_job *job, const pdag_pipeline_info *info,
                              pdag_environment **env_out);

/** The newest observation, as all of a condition [info.cond_dim]: an episode's
 *  start is seen as if the world had stood still before. */
void pdag_observe_first(const pdag_environment *env,
                        const pdag_pipeline_info *info, float *condition);
/** The newest observation behind the others, the oldest goes. */
void pdag_observe_next(const pdag_environment *env,
                       const pdag_pipeline_info *info, float *condition);

/** Conditions of all samples: sample j sees the start of the episode with the
 *  job's seed + j, modulo the number of seeds that the environment has.
 *  *out: [samples][info.cond_dim], owned by the caller.  Errors as of open. */
pdag_status pdag_observe_starts(const pdag_job *job,
                                const pdag_pipeline_info *info, float **out);

#ifdef __cplusplus
}
#endif
#endif
