/** worker/worker.h: one worker: load the model, then receive, evaluate, reply
 *  until STOP.  Runs on ranks 1.. and, as a thread, beside the scheduler on rank
 *  0.  Knows neither samples' state nor solvers: a task is rows in, rows out. */
#ifndef PDAG_WORKER_WORKER_H
#define PDAG_WORKER_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "comm/comm.h"
#include "models/pipeline.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What to load; borrowed while the worker runs. */
typedef struct pdag_worker_config {
    const char *backend;         /* "auto", "ref", ... */
    int local;                   /* number of this process among those that
                                    compute on its machine, from 0 */
    bool share_devices;          /* several of them may have one device */
    pdag_precision precision;
    const char *model_path;      /* a model directory, or NULL: the oracle below */
    pdag_pipeline_opts pipeline;
    size_t gaussian_shape[PDAG_STATE_MAX_DIMS];
    int gaussian_dims;
    size_t gaussian_modes;
    double gaussian_std;
    uint64_t gaussian_seed;
    const double *alpha_bar;     /* [n_train] of the training schedule */
    size_t n_train;
} pdag_worker_config;

/** Send READY (or FAIL) and work until STOP, whose status comes back in
 *  *exit_status_out.  A failure is reported to the scheduler, not printed; the
 *  worker then only waits for STOP.  PDAG_ERR_COMM when the scheduler cannot be
 *  reached. */
pdag_status pdag_worker_run(const pdag_worker_config *config, pdag_comm *comm,
                            int *exit_status_out);

/** Reply to everything but STOP with nothing: what a process does that cannot
 *  even start a worker.  `status` and the text recorded last are sent first. */
pdag_status pdag_worker_refuse(pdag_comm *comm, pdag_status status,
                               int *exit_status_out);

#ifdef __cplusplus
}
#endif
#endif
