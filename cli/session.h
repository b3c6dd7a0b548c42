/** cli/session.h: workers at hand: this process's own worker thread and the
 *  ranks, with the model loaded once, for one run or several. */
#ifndef PDAG_CLI_SESSION_H
#define PDAG_CLI_SESSION_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/cli.h"
#include "cli/setup.h"
#include "scheduler/run.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The worker thread of rank 0. */
typedef struct pdag_local_worker {
    pthread_t thread;
    bool started;
    pdag_worker_config config;
    pdag_comm *endpoint;
} pdag_local_worker;

/** Stays where it is while open: the thread looks at it. */
typedef struct pdag_session {
    const pdag_setup *setup; /* borrowed: what the workers were given */
    bool dedicated;          /* rank 0 only schedules */
    int n_ranks;
    pdag_local_worker local;
    pdag_comm *comm; /* all workers */
    uint64_t run_number;
    bool any_run;    /* `last` is of one */
    bool silent;     /* a worker did not answer at the end, */
    char silence[160]; /* as the user is told */
    pdag_run_result last;
    double seconds_load, seconds_encode, seconds_sample, seconds_decode; /* of all
                                                                     runs */
} pdag_session;

/** Known before anything is made or sent: the backend takes the precision. */
pdag_status pdag_session_check(const pdag_setup *setup, bool dedicated);

/** Start the thread and send the job to the ranks; takes cli->ranks.
 *  share_devices: several ranks of a machine may have one device. */
pdag_status pdag_session_open(pdag_cli *cli, const pdag_setup *setup,
                              bool dedicated, bool share_devices,
                              pdag_session *session);

/** pdag_scheduler_run() with the numbers of this session filled in; its result is
 *  session->last until the next run. */
pdag_status pdag_session_run(pdag_session *session, pdag_run_setup *run);

/** pdag_scheduler_decode(), likewise; after the first run. */
pdag_status pdag_session_decode(pdag_session *session, pdag_run_setup *run,
                                size_t n, const float *const *states,
                                float *pictures_out);

/** STOP to everyone; their counters come into session->last. */
void pdag_session_release(pdag_session *session, int exit_status);

/** After release.  A worker that stays silent takes the whole job along rather
 *  than leaving it hanging: then this does not return, and says so on standard
 *  error unless the user has been told of a failure already (`told`). */
void pdag_session_end(pdag_session *session, int exit_status, bool told);

/** Sample `index` of the setup's job as a run of its own, with `more_seed` added
 *  to its seed: *run_out, and *job_out, which it borrows and which borrows from
 *  the setup. */
void pdag_session_one_sample(const pdag_setup *setup, size_t index,
                             uint64_t more_seed, pdag_job *job_out,
                             pdag_run_setup *run_out);

#ifdef __cplusplus
}
#endif
#endif
