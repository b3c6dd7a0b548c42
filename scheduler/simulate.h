/** scheduler/simulate.h: one run in virtual time: a discrete-event simulation of
 *  the scheduler's own rules - the ready queue, two tasks a worker, the choice of
 *  the worker, which node needs which - with given durations in place of networks,
 *  messages and clocks.  What `plan` predicts with and what a finished run is
 *  replayed with.
 *
 *  Which rows are accepted in which round is given: it depends on the numbers, not
 *  on the schedule. */
#ifndef PDAG_SCHEDULER_SIMULATE_H
#define PDAG_SCHEDULER_SIMULATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "graph/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/** One round's window [begin, end). */
typedef struct pdag_sim_round {
    size_t begin, end;
} pdag_sim_round;

/** The rounds of one sample: begin and end never fall, begin < end <= N. */
typedef struct pdag_sim_path {
    size_t n_rounds; /* 0: nothing is left to do */
    const pdag_sim_round *round; /* [n_rounds], borrowed */
    size_t final; /* rows final after the last round; N where it converged */
} pdag_sim_path;

typedef struct pdag_sim_worker {
    /** Seconds of a task of n rows: seconds[n - 1] where n <= n_seconds and that
     *  is over 0, else fixed + per_row n. */
    size_t n_seconds;
    const double *seconds; /* borrowed */
    const double *first;   /* [n_seconds] the same of its first task of n rows,
                              which pays for what is made once; or NULL; borrowed */
    double fixed, per_row;
    double encode, decode; /* seconds of one */
    int kind;              /* the same number: the same device */
    double ready_after;    /* seconds after the run begins */
    /** A message of n bytes takes latency + n / bytes_per_second either way, one
     *  at a time in each direction; bytes_per_second 0: no limit. */
    double latency, bytes_per_second;
} pdag_sim_worker;

typedef struct pdag_sim_setup {
    pdag_graph graph;
    size_t n_samples;
    size_t n_paths; /* sample j takes path[j % n_paths] */
    const pdag_sim_path *path;
    bool barrier; /* no block begins a round before all have ended the one before */
    bool encodes, decodes; /* a sample begins with one, ends with one */
    /** Rank 0, which does one thing at a time: U per row, and each message. */
    double seconds_per_row, seconds_per_message;
    size_t header_bytes; /* of each message */
    size_t row_bytes;    /* of one row in a RESULT; a TASK has 4 more, its time */
    size_t condition_bytes, encode_bytes, decode_bytes, picture_bytes;
    int n_workers;
    const pdag_sim_worker *worker; /* [n_workers], peers 1.. */
} pdag_sim_setup;

typedef struct pdag_sim_load {
    size_t tasks, rows; /* network tasks */
    double busy;        /* seconds of all kinds of tasks */
    size_t bytes_out, bytes_in; /* from and to rank 0, with headers */
} pdag_sim_load;

typedef struct pdag_sim_result {
    double seconds; /* makespan */
    /** During which any sample was there, as in run.json. */
    double seconds_encode, seconds_sample, seconds_decode;
    double seconds_scheduler; /* that rank 0 was busy with updates and messages */
    double idle_share;        /* of workers x makespan; 0 where that is 0 */
    size_t tasks, evaluations, rounds; /* of all samples */
    size_t most_open;                  /* samples in memory at once */
    int n_workers;
    pdag_sim_load *worker; /* [n_workers], owned */
} pdag_sim_result;

/** Seconds of a task of n >= 1 rows. */
double pdag_sim_task_seconds(const pdag_sim_worker *worker, size_t n);

/** PDAG_ERR_ARG for a path that no run can take. */
pdag_status pdag_sim_path_check(const pdag_graph *graph,
                                const pdag_sim_path *path);

/** PDAG_ERR_ARG as above, or without workers, samples or paths.  Clear the
 *  result. */
pdag_status pdag_simulate(const pdag_sim_setup *setup,
                          pdag_sim_result *result_out);
void pdag_sim_result_clear(pdag_sim_result *result); /* all zero is allowed */

#ifdef __cplusplus
}
#endif
#endif
