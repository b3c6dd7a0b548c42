/** cli/performance.h: a run's own figures: taken down as it goes, compared with
 *  what was predicted, kept for later ones (cli/costs.h).  Nothing here can fail
 *  the run. */
#ifndef PDAG_CLI_PERFORMANCE_H
#define PDAG_CLI_PERFORMANCE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "cli/setup.h"
#include "scheduler/event.h"
#include "scheduler/run.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_performance pdag_performance;

/** How the run's seconds of sampling compare with the simulation's. */
typedef struct pdag_accuracy {
    bool there;          /* else only the note is set */
    bool stored;         /* it was made from what was known before the run; else
                            the run is replayed from its own figures */
    double seconds, measured;
    double error_percent;  /* of `seconds`, by `measured` */
    double replay_seconds; /* whatever `seconds` is from; 0: there is none */
    double replay_error_percent;
    size_t rounds; /* predicted, of the typical sample */
    char *note;    /* a line on what became of the stored figures, or NULL */
} pdag_accuracy;

/** dedicated: rank 0 evaluates nothing.  Borrows the setup. */
pdag_performance *pdag_performance_open(const pdag_setup *setup, bool dedicated);

void pdag_performance_event(pdag_performance *performance,
                            const pdag_event *event);

/** Keep what the run says and free everything.  result: NULL for a run that broke,
 *  of which nothing is kept.  Clear the accuracy. */
void pdag_performance_close(pdag_performance *performance,
                            const pdag_run_result *result,
                            pdag_accuracy *accuracy_out);
void pdag_accuracy_clear(pdag_accuracy *accuracy);

/** For run.json: {seconds, measured, error_percent, source, rounds, replay_seconds,
 *  replay_error_percent}, or null.  A new reference. */
json_t *pdag_accuracy_json(const pdag_accuracy *accuracy);

#ifdef __cplusplus
}
#endif
#endif
