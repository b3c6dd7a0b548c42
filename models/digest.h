/** models/digest.h: what the files that a model is loaded from hold, in short, so
 *  that a run is not gone on with after they have changed. */
#ifndef PDAG_MODELS_DIGEST_H
#define PDAG_MODELS_DIGEST_H

#include "base/status.h"
#include "models/pipeline.h"

#ifdef __cplusplus
extern "C" {
#endif

/** One line for every configuration, tokenizer and weight file of the model in
 *  `path` and of the LoRAs and second weights of `opts`:
 *
 *      HASH SIZE FIELD: FILE
 *
 *  HASH of the whole of a file up to 1 MiB; of a larger one of 256 pieces of 4 KiB
 *  spread evenly from its first to its last byte, so that it takes no time: weights
 *  that were trained on are seen, a single number that was changed may not be.
 *  FIELD: the job's, FILE: as the job names it.  *text_out: free().  The model must
 *  have passed pdag_pipeline_check().  PDAG_ERR_INPUT, _FORMAT. */
pdag_status pdag_pipeline_digest(const char *path,
                                 const pdag_pipeline_opts *opts,
                                 char **text_out);

#ifdef __cplusplus
}
#endif
#endif
