/** cli/writer.h: a thread that writes results, so that whoever made them - the
 *  scheduler between two messages - does not wait for a disk. */
#ifndef PDAG_CLI_WRITER_H
#define PDAG_CLI_WRITER_H

#include <stddef.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_writer pdag_writer;

/** Work of the thread; frees its argument. */
typedef pdag_status (*pdag_writer_job)(void *argument);

/** Jobs that may wait; memory is bounded by them. */
#define PDAG_WRITER_MOST_JOBS 16

/** Starts the thread.  PDAG_ERR_NOMEM. */
pdag_status pdag_writer_open(pdag_writer **writer_out);

/** Have `job` done after those put before; waits only where PDAG_WRITER_MOST_JOBS
 *  wait already.  Returns the first failure so far: then, and after it, jobs are
 *  still done (their results may be all that is left). */
pdag_status pdag_writer_put(pdag_writer *writer, pdag_writer_job job,
                            void *argument);

/** How many jobs, from the first one on, have been done without a failure. */
size_t pdag_writer_done(pdag_writer *writer);

/** Wait until all is done, and end the thread; the first failure.  NULL is
 *  allowed. */
pdag_status pdag_writer_close(pdag_writer *writer);

#ifdef __cplusplus
}
#endif
#endif
