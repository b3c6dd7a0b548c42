/** cli/statistics.h: run --save-statistics: per-element mean and variance of a
 *  run's final states, as solver.statistics reads them. */
#ifndef PDAG_CLI_STATISTICS_H
#define PDAG_CLI_STATISTICS_H

#include <stddef.h>

#include "base/status.h"
#include "cli/setup.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_statistics {
    const pdag_setup *setup; /* borrowed */
    const char *path;        /* borrowed; NULL: nothing is kept */
    float *states;           /* [samples][D]: kept, so that the sums do not depend
                                on the order in which samples end */
} pdag_statistics;

/** path: where to write, or NULL.  Refuses fewer than two samples and a place
 *  that cannot be written to: PDAG_ERR_ARG. */
pdag_status pdag_statistics_open(const pdag_setup *setup, const char *path,
                                 pdag_statistics *statistics_out);
void pdag_statistics_add(pdag_statistics *statistics, size_t sample,
                         const float *state);

/** After all samples: .npy, float32, [2, ...state]: mean, then the mean squared
 *  deviation from it.  PDAG_ERR_IO. */
pdag_status pdag_statistics_write(const pdag_statistics *statistics);
void pdag_statistics_clear(pdag_statistics *statistics);

#ifdef __cplusplus
}
#endif
#endif
