/** scheduler/sample_save.h: a sample as arrays of a checkpoint, and back. */
#ifndef PDAG_SCHEDULER_SAMPLE_SAVE_H
#define PDAG_SCHEDULER_SAMPLE_SAVE_H

#include "proto/checkpoint.h"
#include "scheduler/sample.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Arrays s<index>.*: all that the sample's numbers depend on but for what the job
 *  gives again (noise, coefficients).  Tasks given out count as not given out.
 *  PDAG_ERR_NOMEM. */
pdag_status pdag_sample_save(pdag_sample *sample, pdag_checkpoint *cp);

/** Put a sample that has just been created where the one saved was.  Afterwards
 *  pdag_sample_each_ready() tells of all that can be evaluated.  PDAG_ERR_FORMAT:
 *  not of this job; then only destroy may follow. */
pdag_status pdag_sample_load(pdag_sample *sample, const pdag_checkpoint *cp);

#ifdef __cplusplus
}
#endif
#endif
