/** cli/progress.h: what a person sees while a run goes on, on stderr: a bar on a
 *  terminal, one line per round otherwise, nothing when quiet. */
#ifndef PDAG_CLI_PROGRESS_H
#define PDAG_CLI_PROGRESS_H

#include <stdbool.h>

#include "scheduler/run.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_progress_view {
    bool quiet, terminal, bar_open;
    double sample_began;
    size_t sample; /* shown last, 1-based; 0: none */
} pdag_progress_view;

pdag_progress_view pdag_progress_make(bool quiet);
void pdag_progress_show(pdag_progress_view *view, const pdag_progress *p);
/** End an open bar before other text is written. */
void pdag_progress_close(pdag_progress_view *view);

#ifdef __cplusplus
}
#endif
#endif
