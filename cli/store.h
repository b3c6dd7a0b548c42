/** cli/store.h: the folder `checkpoint` of an output folder: checkpoints are
 *  written there beside the computation, by a thread of their own. */
#ifndef PDAG_CLI_STORE_H
#define PDAG_CLI_STORE_H

#include <stdbool.h>

#include "base/status.h"
#include "proto/checkpoint.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_store pdag_store;

/** Writes to <output>/checkpoint/, which is made with the first checkpoint:
 *  state-<number>.ckpt, written beside, flushed to disk, renamed; then the folder
 *  is flushed; the newest two are kept.  Numbers go on from those there. */
pdag_status pdag_store_open(const char *output, pdag_store **store_out);

/** Hand over a checkpoint (in any case).  Never waits for the disk: where the
 *  thread is still writing one, this becomes the next, in place of one that
 *  waits.  The failure of an earlier one comes back here once. */
pdag_status pdag_store_put(pdag_store *store, pdag_checkpoint *cp);

/** Whether the thread has nothing to do. */
bool pdag_store_idle(pdag_store *store);

/** Wait until all that was put is on disk, and end the thread; PDAG_ERR_IO for a
 *  failure not told yet.  The store is gone. */
pdag_status pdag_store_close(pdag_store *store);

/** The newest sound checkpoint in <output>/checkpoint; NULL where there is none.
 *  *notes_out: what is wrong with newer ones, a line each, or NULL; malloc'ed. */
pdag_status pdag_store_newest(const char *output, pdag_checkpoint **cp_out,
                              char **notes_out);

/** Remove what this program has put in <output>/checkpoint, and the folder if
 *  that leaves it empty. */
pdag_status pdag_store_remove(const char *output);

#ifdef __cplusplus
}
#endif
#endif
