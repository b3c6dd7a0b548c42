/** tests/fake_workers.h: workers as threads over the loopback transport, with an
 *  analytic network, delays and faults on request; no model is involved. */
#ifndef PDAG_TESTS_FAKE_WORKERS_H
#define PDAG_TESTS_FAKE_WORKERS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "comm/comm.h"
#include "scheduler/run.h"

#define FAKE_MAX_WORKERS 8
#define FAKE_MAX_SAMPLES 8

typedef struct fake_worker {
    pdag_comm *endpoint;
    pthread_t thread;
    size_t dim;
    unsigned jitter;    /* > 0: naps of 0..jitter - 1 times 0.1 ms before tasks */
    uint32_t random;
    int fail_at;        /* number of the task that fails, from 1; 0: none */
    int nan_at;         /* number of the task that gives a NaN */
    int repeat_results; /* every RESULT is sent twice */
    int parts;          /* that its rows were evaluated in, as RESULT says */
    const char *ready;  /* host and device as READY says; NULL: "here", "fake" */
    int die_at;         /* number of the task at which its process ends */
    int hang_at;        /* number of the task that takes hang_seconds longer */
    double hang_seconds;
    int exit_status;    /* what STOP said */
    float condition[FAKE_MAX_SAMPLES]; /* first number of each sample's, by the
                                          sample; 0: it holds none */
    int n_conditions;   /* that it was sent */
    int n_unconditioned; /* tasks whose sample's condition it did not hold */
    float first_condition; /* what that of sample 0 begins with; others 1 more */
    int n_other;        /* conditions that do not */
    int tasks;
    int dead;           /* the endpoint is gone */
} fake_worker;

typedef struct fake_crew {
    pdag_comm *scheduler;
    int n;
    fake_worker worker[FAKE_MAX_WORKERS];
} fake_crew;

/** eps(x, t) of the fake network. */
void fake_network(size_t dim, const float *x, float t, float *e);

/** READY, then work until STOP, then GONE. */
void fake_worker_loop(fake_worker *worker);

/** Create the star; set faults in crew->worker[], then start. */
void fake_crew_create(fake_crew *crew, int n, size_t dim);
void fake_crew_start(fake_crew *crew);
/** STOP with this status, join the threads, free the star.  result: of the run,
 *  which knows who is lost; NULL where nobody is. */
void fake_crew_end(fake_crew *crew, int exit_status, pdag_run_result *result);

#endif
