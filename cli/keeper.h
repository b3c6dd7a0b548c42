/** cli/keeper.h: what lets a run go on later (run --resume): its checkpoints, with
 *  the report of the samples that have ended, and finding them again. */
#ifndef PDAG_CLI_KEEPER_H
#define PDAG_CLI_KEEPER_H

#include <stdbool.h>

#include "cli/output.h"
#include "cli/setup.h"
#include "cli/store.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_keeper {
    const pdag_setup *setup; /* borrowed */
    pdag_output *output;     /* borrowed, once open */
    pdag_store *store;       /* NULL: not open, or closed by the last save */
    pdag_folder whose;       /* the checkpoint that was found */
    pdag_checkpoint *resumed; /* what the run goes on from, or NULL */
    json_t *report;          /* its samples that have ended, or NULL */
    bool *ended;             /* [samples] which of them are whole, or NULL */
    bool trajectory;         /* the run saves them */
    bool told;               /* that a checkpoint could not be written */
    size_t n_saved;
} pdag_keeper;

/** Look for the newest sound checkpoint in the job's output folder, and whose it
 *  is.  With `resume`: it is what the run goes on from; without one `resumed` stays
 *  NULL, and the run starts anew, which is told on standard error as are unsound
 *  checkpoints.  `trajectory`: samples count as ended only with theirs.
 *  PDAG_ERR_ARG: it is another job's. */
pdag_status pdag_keeper_find(const pdag_setup *setup, bool resume,
                             bool trajectory, pdag_keeper *keeper_out);

/** The run is about to begin: its output is open.  Without `resumed` and with
 *  another job's results replaced, old checkpoints go. */
pdag_status pdag_keeper_open(pdag_keeper *keeper, pdag_output *output);

/** sink.save of the scheduler, for a `user` that is the keeper.  A checkpoint that
 *  cannot be written is told once on standard error; only the last one's failure
 *  comes back. */
pdag_status pdag_keeper_save(void *keeper, pdag_checkpoint *cp, bool last);

/** After the run; `done`: there is nothing to go on with, the checkpoints go. */
void pdag_keeper_close(pdag_keeper *keeper, bool done);

#ifdef __cplusplus
}
#endif
#endif
