/** models/labels.h: the names of a model's classes, from the model_index.json
 * of a DiTPipeline: "id2label", numbers to names, or "labels", names to
 * numbers. */
#ifndef PDAG_MODELS_LABELS_H
#define PDAG_MODELS_LABELS_H

#include <stddef.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** *names_out: [n_classes], NULL where a class has no name; or NULL where the
 * file in the folder `path` names none or is not there.  Several names of one
 * class are joined by ", ", as in id2label.  PDAG_ERR_FORMAT (a class that is
 * not below n_classes, a name that is no text). */
pdag_status pdag_labels_read(const char *path, size_t n_classes,
                             char ***names_out);
void pdag_labels_free(char **names, size_t n_classes); /* NULL is allowed */

#ifdef __cplusplus
}
#endif
#endif
