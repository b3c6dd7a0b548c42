/** cli/iterates.h: every round's states of a sample, or of a plan, as a file
 *  sample-000.iterates.npy: what a Picard-consistency model is trained on
 *  (--save-iterates of run and rollout).
 *
 *  float32, [rounds + 1, N + 1, ...state]: entry 0 is the first guess, entry k the
 *  states after round k, row i the state x_i; NaN where a row had not entered the
 *  window. */
#ifndef PDAG_CLI_ITERATES_H
#define PDAG_CLI_ITERATES_H

#include "cli/setup.h"
#include "scheduler/run.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_iterates pdag_iterates;

/** Of the samples that a run of this job has under way at a time.  Borrows. */
pdag_iterates *pdag_iterates_open(const pdag_setup *setup);
void pdag_iterates_close(pdag_iterates *iterates); /* NULL is allowed */

/** One more round of a sample, as the sink's sample_begun and round_done are told
 *  of it.  PDAG_ERR_NOMEM. */
pdag_status pdag_iterates_add(pdag_iterates *iterates,
                              const pdag_round_state *round);

/** The sample has ended: write the job's output folder's `stem`.iterates.npy and
 *  forget it.  PDAG_ERR_IO. */
pdag_status pdag_iterates_write(pdag_iterates *iterates, size_t sample,
                                const char *stem);

#ifdef __cplusplus
}
#endif
#endif
