/** base/json.h: read JSON configuration files (Jansson inside), with typed
 *  getters that take the default of a missing key and name file, key and value
 *  when something does not fit.  base/ owns it because scheduler configs (graph),
 *  network configs (models) and reports (cli) all need it. */
#ifndef PDAG_BASE_JSON_H
#define PDAG_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** One parsed file: an object at the top. */
typedef struct pdag_json {
    char *path; /* owned */
    json_t *root;
} pdag_json;

/** PDAG_ERR_INPUT (cannot open), PDAG_ERR_FORMAT (not JSON, or no object at the
 *  top; the text has the line).  Files over 256 MiB are refused. */
pdag_status pdag_json_read(const char *path, pdag_json *json_out);
void pdag_json_clear(pdag_json *json);

/** Getters: `key` absent or null -> `fallback`.  Wrong type or outside
 *  [low, high] -> PDAG_ERR_FORMAT naming file, key, value and range. */
pdag_status pdag_json_int(const pdag_json *json, const char *key, long low,
                          long high, long fallback, long *out);
pdag_status pdag_json_real(const pdag_json *json, const char *key, double low,
                           double high, double fallback, double *out);
pdag_status pdag_json_bool(const pdag_json *json, const char *key,
                           bool fallback, bool *out);
/** Borrowed from `json`, or `fallback` itself. */
pdag_status pdag_json_string(const pdag_json *json, const char *key,
                             const char *fallback, const char **out);
/** Index into `choices` (NULL-terminated); another text is
 *  PDAG_ERR_UNSUPPORTED, listing the choices. */
pdag_status pdag_json_choice(const pdag_json *json, const char *key,
                             const char *const *choices, int fallback,
                             int *out);
/** Array member, or NULL when absent or null; another type is PDAG_ERR_FORMAT. */
pdag_status pdag_json_array(const pdag_json *json, const char *key,
                            json_t **out);

#ifdef __cplusplus
}
#endif
#endif
