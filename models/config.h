/** models/config.h: what config.json files need beyond base/json.h: numbers
 * that may be given once for all blocks or per block, lists of block names, and
 * keys that are only supported at one value. */
#ifndef PDAG_MODELS_CONFIG_H
#define PDAG_MODELS_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "backend/backend.h"
#include "base/json.h"
#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Bounds that keep a hostile config from asking for the impossible. */
#define PDAG_CONFIG_MAX_BLOCKS 16
#define PDAG_CONFIG_MAX_LAYERS 64
#define PDAG_CONFIG_MAX_WIDTH 131072

/** A key and the JSON texts it may have; absent counts as the first.  A row
 * with no texts is a known key without effect here.  Tables end with a NULL
 * key. */
typedef struct pdag_config_rule {
    const char *key;
    const char *allowed[3];
} pdag_config_rule;

/** PDAG_ERR_UNSUPPORTED naming file, key, value and what is supported. */
pdag_status pdag_config_require(const pdag_json *json,
                                const pdag_config_rule *rules);

/** Whether `key` is in a table; keys that start with '_' always are. */
bool pdag_config_knows(const pdag_config_rule *rules, const char *key);

pdag_status pdag_config_size(const pdag_json *json, const char *key, size_t low,
                             size_t high, size_t fallback, size_t *out);

/** One number for all, or a list of exactly n.  out: [n]. */
pdag_status pdag_config_sizes(const pdag_json *json, const char *key, size_t n,
                              size_t low, size_t high, size_t fallback,
                              size_t *out);

/** A list of 1..PDAG_CONFIG_MAX_BLOCKS numbers; absent: `fallback`
 * [n_fallback]. out: [PDAG_CONFIG_MAX_BLOCKS]. */
pdag_status pdag_config_widths(const pdag_json *json, const char *key,
                               const size_t *fallback, size_t n_fallback,
                               size_t *out, size_t *n_out);

/** A list of exactly n of the names in `choices` (NULL-terminated), as indices.
 *  absent: `fallback` [n_fallback], which then must be n. */
pdag_status pdag_config_names(const pdag_json *json, const char *key, size_t n,
                              const char *const *choices, const int *fallback,
                              size_t n_fallback, int *out);

/** sample_size: one side or [height, width]; PDAG_ERR_FORMAT where absent. */
pdag_status pdag_config_sample_size(const pdag_json *json, size_t *height_out,
                                    size_t *width_out);

/** An activation as diffusers and transformers name them. */
pdag_status pdag_config_activation(const pdag_json *json, const char *key,
                                   pdag_activation fallback,
                                   pdag_activation *out);

#ifdef __cplusplus
}
#endif
#endif
