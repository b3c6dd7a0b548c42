/** models/recordings.h: evaluations that are recorded once and run again, where the
 *  backend can (backend.h, record_begin): one for each number of rows, set of
 *  conditions and set of buffers. */
#ifndef PDAG_MODELS_RECORDINGS_H
#define PDAG_MODELS_RECORDINGS_H

#include <stddef.h>

#include "models/layers_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Zero it; of one network. */
typedef struct pdag_recordings {
    struct pdag_recorded *items; /* [n] */
    size_t n;
    uint64_t clock;
} pdag_recordings;

/** The part of an evaluation between the last copy from the host and the first to
 *  it: takes its buffers from the pass, and *y_out too. */
typedef pdag_status pdag_body(pdag_pass *pass, void *network, const pdag_map *x,
                              pdag_map *y_out);

/** body(), as it is, recorded, or run again.  What it does may depend on the pass
 *  (rows, kv), the network and x only; what it reads besides x is pass->time. */
pdag_status pdag_recordings_run(pdag_recordings *list, pdag_pass *pass,
                                pdag_body *body, void *network,
                                const pdag_map *x, pdag_map *y_out);

/** Forget all: a condition, or the network, goes away. */
void pdag_recordings_clear(pdag_recordings *list, pdag_backend *be);

#ifdef __cplusplus
}
#endif
#endif
