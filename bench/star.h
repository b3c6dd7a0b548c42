/** bench/star.h: scheduler and workers of a run without the command line around
 *  them, as the scheduling benchmarks want them: every worker's cost can be set,
 *  all workers are ready before the clock starts, and a probe between the scheduler
 *  and its transport counts what passes. */
#ifndef PDAG_BENCH_STAR_H
#define PDAG_BENCH_STAR_H

#include <pthread.h>

#include "cli/setup.h"
#include "comm/comm.h"

/** What went to and came from one worker. */
typedef struct star_load {
    size_t tasks, rows; /* network tasks answered */
    double seconds;     /* that they took, by the worker's own clock */
} star_load;

/** A transport that passes everything on to another one, and counts. */
typedef struct star_probe {
    pdag_comm comm;
    pdag_comm_ops ops;
    pdag_comm *inner; /* owned */
    star_load *load;  /* [n_workers], owned */
    size_t messages, bytes; /* both ways, with headers */
    double first_sent, last_taken; /* network tasks; 0: none yet */
    /** Seconds by `clock` that were not spent waiting: receives that found
     *  something, what followed them, and what led to a send; until last_taken. */
    double (*clock)(void);
    double busy, busy_so_far;
    double mark; /* when receive last ended */
    bool work;   /* something was found or sent since */
} star_probe;

/** Owns `inner`.  clock: pdag_seconds, or star_cpu_seconds. */
star_probe *star_probe_create(pdag_comm *inner, double (*clock)(void));
/** Forget what was counted. */
void star_probe_reset(star_probe *probe);
/** After pdag_comm_destroy(&probe->comm), which leaves the counters. */
void star_probe_free(star_probe *probe);

/** Of this thread. */
double star_cpu_seconds(void);

typedef struct star {
    int rank, size;
    bool dedicated; /* rank 0 evaluates nothing itself */
    pdag_setup setup;
    pdag_comm *ranks; /* ranks 1..: this rank's endpoint */
    pdag_comm *own;   /* rank 0: its own worker's endpoint, or NULL */
    pthread_t thread;
    pdag_worker_config config; /* of this rank's worker */
    star_probe *probe;         /* rank 0 */
    pdag_run_result before;    /* rank 0: who is ready */
} star;

/** End the program with pdag_error()'s text where status is not PDAG_OK. */
void star_must(pdag_status status);

/** Start MPI, where a launcher did, and read the job: each rank for itself. */
void star_open(const char *job, size_t n_set, const char *const *set,
               bool dedicated, star *s);

/** Ranks 1..: work until STOP and leave; returns the exit status. */
int star_work(star *s);

/** Rank 0: start its own worker, wait until all are ready, wrap the transport.
 *  `run` is what to give to the scheduler, with s->probe as its comm. */
void star_gather(star *s, pdag_run_setup *run);

/** Rank 0: the workers leave, and MPI ends.  Counters stay until star_clear(). */
void star_dismiss(star *s);
void star_clear(star *s);

#endif
