/** cli/guess.h: files that a solver may start from: statistics of final states and
 *  the trajectories of an earlier run. */
#ifndef PDAG_CLI_GUESS_H
#define PDAG_CLI_GUESS_H

#include <stddef.h>

#include "base/status.h"
#include "proto/job.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A `.npy` file of `rows` states, [rows, ...state], all finite; *out is owned by
 *  the caller.  PDAG_ERR_INPUT, _FORMAT, _SHAPE (with the shape wanted), naming the
 *  file. */
pdag_status pdag_guess_states(const char *path, size_t rows, int n_dims,
                              const size_t *dims, float **out);

/** [2][...state] of `path`: mean, then variance (each >= 0, not all 0).
 *  *statistics_out: [2][D], owned by the caller; *variance_out: mean variance.
 *  PDAG_ERR_INPUT, _FORMAT, _SHAPE, naming solver.statistics and the file. */
pdag_status pdag_guess_statistics(const char *path, int n_dims,
                                  const size_t *dims, float **statistics_out,
                                  double *variance_out);

/** Trajectories of the folder solver.start_from for all samples: sample j starts
 *  from trajectory j, or from trajectory 0 where the folder has no j.  n_rows: N.
 *  *start_out: [samples][N + 1][D], owned by the caller.  An earlier run of another
 *  sampler is refused. */
pdag_status pdag_guess_trajectories(const pdag_job *job, size_t n_rows,
                                    int n_dims, const size_t *dims,
                                    float **start_out);

#ifdef __cplusplus
}
#endif
#endif
