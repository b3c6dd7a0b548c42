/** scheduler/run.h: one run at the scheduler's side: samples, their rounds, and
 *  the workers that evaluate.  Rank 0 only; not collective: workers are reached
 *  through the comm endpoint and run worker/worker.h. */
#ifndef PDAG_SCHEDULER_RUN_H
#define PDAG_SCHEDULER_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "base/status.h"
#include "comm/comm.h"
#include "graph/graph.h"
#include "graph/transition.h"
#include "proto/checkpoint.h"
#include "proto/job.h"
#include "scheduler/event.h"
#include "solvers/stop.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Residuals of one round: rows [begin, begin + n). */
typedef struct pdag_round_record {
    size_t begin, n;
    double *residual; /* [n], owned by the sample */
} pdag_round_record;

/** What a sample ended with; borrowed from the run, valid in the callback. */
typedef struct pdag_sample_result {
    size_t index;
    uint64_t seed;
    const char *prompt; /* "" where none */
    pdag_stop_reason stop;
    size_t rounds, evaluations;
    size_t n_rows, dim;
    const double *residual_rms;       /* [N]; NaN: never measured */
    const pdag_round_record *history; /* [n_history] */
    size_t n_history;
    const float *trajectory; /* [N + 1][D]; the last row is the final state */
    const float *picture;    /* [H][W][C] in [0, 1], or NULL */
    double seconds_encode, seconds_sample, seconds_decode;
} pdag_sample_result;

typedef struct pdag_progress {
    size_t sample, n_samples;
    size_t rows_done, n_rows; /* of this sample */
    size_t round;             /* rounds finished */
    double residual;          /* largest in the window at that round */
    double seconds;           /* since the run began */
    bool sample_finished;
} pdag_progress;

/** A sample after a round; borrowed, valid in the callback. */
typedef struct pdag_round_state {
    size_t sample;
    size_t round;       /* rounds finished, from 1; grows by more than 1 where a
                           round waited for evaluations in sequence (newton) */
    size_t evaluations; /* so far */
    size_t begin, n;    /* the round's rows [begin, begin + n) */
    const double *residual;  /* [n], of the states before the round's update */
    const double *change;    /* [n], by that update */
    const float *trajectory; /* [N + 1][D] after it; rows that have not entered the
                                window are not set */
    size_t n_set;            /* states 0 .. n_set - 1 of it are */
    size_t n_rows, dim;      /* N, D */
} pdag_round_state;

/** Where results go; any entry may be NULL.  A status other than PDAG_OK ends the
 *  run with it. */
typedef struct pdag_run_sink {
    void *user;
    pdag_status (*sample_done)(void *user, const pdag_sample_result *result);
    pdag_status (*round_done)(void *user, const pdag_round_state *round);
    /** A sample's first guess: `round` 0, and no residuals. */
    pdag_status (*sample_begun)(void *user, const pdag_round_state *round);
    void (*progress)(void *user, const pdag_progress *progress);
    void (*event)(void *user, const pdag_event *event);
    /** What the user should know: a worker is silent, or lost; one line. */
    void (*notice)(void *user, const char *text);
    /** Keep this checkpoint, which the callee owns, also on failure; `last`: the
     *  run stops now, and nothing comes after it.  Called between messages, so it
     *  must not wait for a disk unless `last`. */
    pdag_status (*save)(void *user, pdag_checkpoint *checkpoint, bool last);
    /** Whether to stop at once (a signal, a time limit).  Asked at least twenty
     *  times a second. */
    bool (*stop_asked)(void *user);
} pdag_run_sink;

typedef struct pdag_run_setup {
    const pdag_job *job; /* resolved */
    const pdag_transition *transition;
    size_t dim;            /* D */
    int n_state_dims;      /* 1..3 */
    size_t state_dims[3];
    bool has_text;         /* encode tasks are needed */
    size_t cond_floats;    /* of one condition, as the workers take it */
    const float *conditions; /* [samples][cond_floats] given (classes,
                              observations), or NULL: encoded where has_text */
    size_t picture_floats; /* of one decoded picture; 0: no decode tasks */
    const float *noise;    /* [samples][D] unit noise given by the user, or NULL */
    const float *start;    /* [samples][N + 1][D] first guess of the trajectories
                              (solver.start `trajectory`), or NULL */
    size_t start_row;      /* states 0..start_row of it are kept, from 1; 0: it is
                              all a guess and the noise is drawn */
    const float *statistics; /* [2][D] mean and variance of final states, or NULL */
    const char *files;     /* what the model's files hold: lines "HASH SIZE FIELD:
                              FILE", or NULL; a run goes on with no others */
    uint64_t run_number;   /* put into every message; differs between the runs of
                              one comm */
    struct pdag_run_result *before; /* the run before on the same comm, of which is
                              known who is ready (kept up to date); NULL for the
                              first */
    const pdag_checkpoint *resume; /* go on from there, or NULL; of the same job */
    const bool *ended;     /* [samples] of those that had ended then, which need not
                              be made again; NULL: all */
    double checkpoint_seconds; /* between two save() calls; 0: only when asked to
                              stop */
    double task_seconds;   /* a worker that takes longer for a task is taken for
                              hung; 0: many times what such tasks have taken */
    int first_rank;        /* rank of worker 1, for messages: 0, or 1 where rank 0
                              only schedules */
    pdag_run_sink sink;
} pdag_run_setup;

typedef struct pdag_worker_info {
    char host[64];
    char device[128];
    int device_number; /* on its host, where ranks have one each; else -1 */
    bool ready;
    bool cut;  /* has evaluated a block in parts, for lack of memory */
    bool hung; /* has let a deadline pass, and not answered since */
    bool lost; /* its process is dead */
    bool busy; /* at the end of a run: it has a task */
    pdag_worker_stats stats;
} pdag_worker_info;

/** What a run ended with. */
typedef struct pdag_run_result {
    pdag_stop_reason stop; /* worst of the samples; STOPPED: some have not ended */
    size_t n_workers;
    pdag_worker_info *worker; /* [n_workers], owned; worker[0] is peer 1 */
    double seconds_load, seconds_encode, seconds_sample, seconds_decode;
    bool reproducible; /* all workers of one kind, those before a resume too, and
                          none was short of memory */
    bool cut;          /* some worker was */
    size_t resumed_samples; /* ended before the checkpoint */
} pdag_run_result;

/** Whether this job can be run with this sampler: what pdag_scheduler_run() would
 *  refuse, without doing anything.  PDAG_ERR_ARG, _UNSUPPORTED. */
pdag_status pdag_scheduler_check(const pdag_run_setup *setup);

/** Work until every sample has ended, or stop_asked() says so, or something failed.
 *  Does not send STOP: see pdag_run_stop_workers().  The text of a worker's failure
 *  names it.  A worker that is lost or silent is done without: its blocks go to
 *  others, and PDAG_ERR_LOST comes only where nobody is left - after a last save()
 *  where checkpoint_seconds is over 0, as for any failure that a later run need not
 *  meet again (COMM, LOST, IO, NOMEM, BACKEND).  *result_out is set in any case;
 *  clear it. */
pdag_status pdag_scheduler_run(const pdag_run_setup *setup, pdag_comm *comm,
                               pdag_run_result *result_out);
void pdag_run_result_clear(pdag_run_result *result);

/** Pictures of n final states, decoded by all workers at once: between two runs on
 *  the same comm, with the setup of either and a run_number of its own.
 *  states: [n] pointers to [D]; pictures_out: [n][picture_floats], written in any
 *  order.  PDAG_ERR_NAN for a picture that is not finite. */
pdag_status pdag_scheduler_decode(const pdag_run_setup *setup, pdag_comm *comm,
                                  size_t n, const float *const *states,
                                  float *pictures_out);

/** Send STOP with the exit status to all workers and take what they still send
 *  until each has said GONE (whose counters go into `result`, which may be NULL)
 *  or is lost, or `seconds` are over: then PDAG_ERR_COMM, naming a silent worker.
 *  Workers that `result` calls hung are not waited for longer than a second, those
 *  without work not longer than ten. */
pdag_status pdag_run_stop_workers(pdag_comm *comm, int exit_status,
                                  double seconds, pdag_run_result *result);

#ifdef __cplusplus
}
#endif
#endif
