/** cli/sampler.h: from the model's scheduler_config.json and the job's sampler.*
 *  fields to the schedule and the transition. */
#ifndef PDAG_CLI_SAMPLER_H
#define PDAG_CLI_SAMPLER_H

#include <stdbool.h>

#include "base/status.h"
#include "graph/transition.h"
#include "proto/job.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The sampler kind of this scheduler_config.json; NULL where there is none here
 *  and the job has `chosen` another, else PDAG_ERR_UNSUPPORTED. */
pdag_status pdag_sampler_own_kind(const char *scheduler_config, bool chosen,
                                  const char **kind_out);

/** Schedule and transition of the resolved job's sampler.  scheduler_config: NULL
 *  for a model without one and for the Gaussian oracle.  What was used is written
 *  into the job's sampler.* fields.  PDAG_ERR_ARG for fields that the kind does
 *  not take, naming the field. */
pdag_status pdag_sampler_make(pdag_job *job, const char *scheduler_config,
                              size_t dim, pdag_schedule **schedule_out,
                              pdag_transition **transition_out);

/** Whether this scheduler_config.json gives a sampler. */
pdag_status pdag_sampler_check(const char *scheduler_config);

#ifdef __cplusplus
}
#endif
#endif
