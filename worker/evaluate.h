/** worker/evaluate.h: rows through the network, in parts where memory is short. */
#ifndef PDAG_WORKER_EVALUATE_H
#define PDAG_WORKER_EVALUATE_H

#include <stddef.h>

#include "base/status.h"
#include "models/pipeline.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Rows of one sample: x [n][dim], t [n]. */
typedef struct pdag_worker_rows {
    size_t n, dim;
    const float *x, *t;
    const pdag_condition *condition; /* or NULL */
    size_t mix;
} pdag_worker_rows;

/** eps_out: [n][dim].  Where memory does not suffice for the rows at once they
 *  are halved, down to one.  *most_rows: rows that are tried at once, 0 for any
 *  number; lowered where memory was short, so that it is not tried again.
 *  *parts_out: evaluations made, set on success.  A row's last bits may differ
 *  from those of an evaluation in one part (docs/numerics.md).  PDAG_ERR_NOMEM
 *  where a single row does not fit; else as pdag_pipeline_eval(). */
pdag_status pdag_worker_evaluate(pdag_pipeline *pipeline,
                                 const pdag_worker_rows *rows,
                                 size_t *most_rows, float *eps_out,
                                 int *parts_out);

/** `status` as it is; of PDAG_ERR_NOMEM while doing `what` ("to decode a picture"),
 *  which nothing smaller can replace, the recorded text gets a way out. */
pdag_status pdag_worker_advise(pdag_status status, const char *what);

#ifdef __cplusplus
}
#endif
#endif
