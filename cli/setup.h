/** cli/setup.h: from a job to what the scheduler and the workers are given.  The
 *  only place where model directory, scheduler config and job meet. */
#ifndef PDAG_CLI_SETUP_H
#define PDAG_CLI_SETUP_H

#include "base/status.h"
#include "graph/transition.h"
#include "models/pipeline.h"
#include "proto/job.h"
#include "scheduler/run.h"
#include "worker/worker.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A job made ready; everything owned. */
typedef struct pdag_setup {
    pdag_job *job; /* resolved */
    bool has_model; /* false: the Gaussian oracle */
    pdag_pipeline_info info;
    int n_state_dims;
    size_t state_dims[PDAG_STATE_MAX_DIMS];
    size_t dim;
    pdag_schedule *schedule;
    pdag_transition *transition;
    char *files;  /* models/digest.h of the model, or NULL; rank 0 */
    float *noise; /* [samples][D] or NULL */
    float *start; /* [samples][N + 1][D] or NULL */
    float *statistics; /* [2][D] or NULL */
    float *observations; /* [samples][info.cond_dim] of a policy, or NULL */
    float *classes; /* [samples or labels, whichever is more][cond_floats]: the
                       conditions of a network of classes, or NULL */
    bool warm_start; /* of a policy: a plan starts from the one before, where there
                        is one; job->solver.start is what the others start from */
    char *own_statistics; /* the model's own file, or NULL */
    pdag_precision precision;
    pdag_lora_opts *loras; /* [job->model.n_lora], of the job */
    double *lambda; /* [n_lambda]: of pcm, or NULL */
    size_t n_lambda;
} pdag_setup;

/** Read, look at the model, resolve, check everything that can be checked before
 *  anything runs.  Rank 0. */
pdag_status pdag_setup_create(const char *job_path, size_t n_set,
                              const char *const *set, pdag_setup *setup_out);

/** The same from the resolved job's bytes, without noise file: ranks 1... */
pdag_status pdag_setup_unpack(const void *bytes, size_t n_bytes,
                              pdag_setup *setup_out);
void pdag_setup_clear(pdag_setup *setup);

/** The class of sample `index`, and its names ("" where the model has none); false
 *  where the job gives it no class. */
bool pdag_setup_class(const pdag_setup *setup, size_t index, int64_t *label_out,
                      const char **names_out);

/** Whether this scheduler_config.json gives a sampler: its own kind, or DDIM where
 *  that kind is not in this version. */
pdag_status pdag_setup_check_scheduler(const char *scheduler_config);

/** Borrows from `setup`. */
void pdag_setup_worker_config(const pdag_setup *setup,
                              pdag_worker_config *config_out);
void pdag_setup_run(const pdag_setup *setup, pdag_run_setup *run_out);

#ifdef __cplusplus
}
#endif
#endif
