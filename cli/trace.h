/** cli/trace.h: trace.json of a run: the events of scheduler/event.h, kept while it
 *  runs and written at its end in Chrome's trace event format, which the Perfetto
 *  UI and chrome://tracing open.
 *
 *  What is in it:
 *    - one process per rank: `pid` = rank, named "rank 3 on host"; its thread 1 is
 *      the device, where each task (network, text encoder, decoder) whose result
 *      was taken is one complete event `X`: E(k,b) is round k of block b;
 *    - rank 0's thread 0, the scheduler: the updates U(k,b) and checkpoints; and
 *      its thread 2, the moments of sending, from which an arrow leads to the task
 *      and on to the update that took its result;
 *    - counters of the window, the residual, the ready queue and the tasks in
 *      flight; instants for what is late, lost, dropped or ended.
 *  Scheduler's spans are pairs of `B` and `E`, so that `X` is the tasks alone.
 *
 *  Times are microseconds from the run's start on the scheduler's clock.  A worker
 *  on another host has another clock: its offset is estimated from all its tasks,
 *  since none began before it was sent nor ended after its result was taken.  If
 *  the bounds allow 0, it is 0, else their middle; `otherData` has the offset of
 *  each rank and how far it may be off.  Where clocks drift the bounds may
 *  contradict each other; a task is moved into its own bounds in any case.
 *
 *  Memory: 72 bytes for a task, 40 for an update, 16 for a change of the queue:
 *  about 150 MB for a run of a million tasks, whose file has about 1 GB.  Over
 *  PDAG_TRACE_MOST_BYTES, or without memory, later events are counted and left
 *  out. */
#ifndef PDAG_CLI_TRACE_H
#define PDAG_CLI_TRACE_H

#include <stddef.h>

#include "base/status.h"
#include "scheduler/event.h"
#include "scheduler/run.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PDAG_TRACE_MOST_BYTES ((size_t)2 << 30)

typedef struct pdag_trace pdag_trace;

/** first_rank: rank of worker 1: 0, or 1 where rank 0 only schedules.  began: the
 *  run's start, pdag_seconds(); what was earlier is shown there. */
pdag_trace *pdag_trace_create(int first_rank, double began);
void pdag_trace_destroy(pdag_trace *trace); /* NULL is allowed */

/** Keep an event (copied).  Never fails. */
void pdag_trace_event(pdag_trace *trace, const pdag_event *event);

/** Offset of a worker's clock: its times plus *offset_out are the scheduler's,
 *  give or take *uncertainty_out seconds; 0 and infinity without tasks. */
void pdag_trace_offset(const pdag_trace *trace, int peer, double *offset_out,
                       double *uncertainty_out);

/** Write folder/trace.json.  worker: [n_workers], worker[0] is peer 1, for the
 *  names of hosts and devices; workers that are not in it are named by rank.
 *  PDAG_ERR_IO, _NOMEM; then nothing is left behind. */
pdag_status pdag_trace_write(const pdag_trace *trace, const char *folder,
                             size_t n_workers, const pdag_worker_info *worker);

#ifdef __cplusplus
}
#endif
#endif
