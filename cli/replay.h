/** cli/replay.h: what happened in a run, in figures, and the same run simulated
 *  from them: how far the simulation - and so every prediction - can be trusted
 *  here. */
#ifndef PDAG_CLI_REPLAY_H
#define PDAG_CLI_REPLAY_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/forecast.h"
#include "scheduler/event.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Tasks of one size on one worker. */
typedef struct pdag_record_tasks {
    size_t n;
    double sum, first; /* seconds; the first pays for what is made once */
} pdag_record_tasks;

typedef struct pdag_record_worker {
    size_t n_tasks;          /* sizes known */
    pdag_record_tasks *task; /* [n_tasks], by rows - 1; owned */
    pdag_record_tasks encode, decode;
    double ready;    /* pdag_seconds(); 0: it was before the run */
    double answered; /* when its last result was taken */
} pdag_record_worker;

typedef struct pdag_record_sample {
    size_t n_rounds, room;
    pdag_sim_round *round; /* owned */
} pdag_record_sample;

/** Half a task's way there and back, measured where the worker had nothing else. */
typedef struct pdag_record_link {
    size_t n_rows; /* of the tasks, the largest there were */
    size_t bytes;  /* of a message with them, the mean of both ways */
    size_t n, room;
    double *seconds; /* [n], owned */
} pdag_record_link;

/** All zero is empty. */
typedef struct pdag_record {
    int n_workers;
    pdag_record_worker *worker; /* [n_workers], owned */
    size_t n_samples;
    pdag_record_sample *sample; /* [n_samples], owned */
    pdag_record_link local, remote;
    double update_seconds;
    size_t update_rows;
    double first_sent; /* pdag_seconds(); 0: nothing was */
    bool disturbed; /* a worker hung or was lost */
} pdag_record;

/** Take down an event.  `local`: of rank 0's own thread. */
void pdag_record_event(pdag_record *record, const pdag_event *event, bool local);
void pdag_record_clear(pdag_record *record);

/** Mean seconds of tasks of n rows on the workers w with of[w], or on all (NULL);
 *  0 where there were none.  Without `first`, the first of each worker is left out
 *  where there are others. */
double pdag_record_task(const pdag_record *record, const bool *of, size_t n,
                        bool first);
/** Mean seconds of these workers' first task of n rows, or 0. */
double pdag_record_first(const pdag_record *record, const bool *of, size_t n);
/** The same of encode and decode tasks, with their first. */
double pdag_record_encode(const pdag_record *record, const bool *of);
double pdag_record_decode(const pdag_record *record, const bool *of);
/** Sizes of tasks known: 1 .. this. */
size_t pdag_record_most_rows(const pdag_record *record);
/** Median of the link's seconds, or 0. */
double pdag_record_latency(const pdag_record_link *link);
/** Seconds from the first task sent until worker w (from 0) was ready, or 0. */
double pdag_record_ready_after(const pdag_record *record, int w);

/** The run again, in virtual time.  PDAG_ERR_ARG where the record is not that of a
 *  whole run. */
pdag_status pdag_replay(const pdag_setup *setup, const pdag_record *record,
                        bool dedicated, pdag_sim_result *result_out);

#ifdef __cplusplus
}
#endif
#endif
