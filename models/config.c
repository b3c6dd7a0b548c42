#include "models/config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_BYTES 100

/* A value as JSON text, cut to what a message can hold. */
static const char *show(const json_t *value, char shown[SHOWN_BYTES])
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

    snprintf(shown, SHOWN_BYTES, "%s", text != NULL ? text : "nothing");
    free(text);
    return shown;
}

static bool equals_text(const json_t *value, const char *text)
{
    json_t *wanted = json_loads(text, JSON_DECODE_ANY, NULL);
    bool same = json_equal(value, wanted) != 0;

    if (json_is_number(value) && json_is_number(wanted)) /* 1 and 1.0 */
        same = !(json_number_value(value) < json_number_value(wanted)) &&
               !(json_number_value(value) > json_number_value(wanted));
    json_decref(wanted);
    return same;
}

pdag_status pdag_config_require(const pdag_json *json,
                                const pdag_config_rule *rules)
{
    for (const pdag_config_rule *rule = rules; rule->key != NULL; rule++) {
        const json_t *value = json_object_get(json->root, rule->key);
        char shown[SHOWN_BYTES];
        bool fits = value == NULL || rule->allowed[0] == NULL;

        for (size_t i = 0; !fits && i < 3 && rule->allowed[i] != NULL; i++)
            fits = equals_text(value, rule->allowed[i]);
        if (!fits)
            return pdag_error(
                PDAG_ERR_UNSUPPORTED, "%s: %s: %s is not supported, only %s",
                json->path, rule->key, show(value, shown), rule->allowed[0]);
    }
    return PDAG_OK;
}

bool pdag_config_knows(const pdag_config_rule *rules, const char *key)
{
    if (key[0] == '_')
        return true;
    for (const pdag_config_rule *rule = rules; rule->key != NULL; rule++)
        if (strcmp(rule->key, key) == 0)
            return true;
    return false;
}

pdag_status pdag_config_size(const pdag_json *json, const char *key, size_t low,
                             size_t high, size_t fallback, size_t *out)
{
    long value;
    pdag_status status =
        pdag_json_int(json, key, (long)low, (long)high, (long)fallback, &value);

    if (status == PDAG_OK)
        *out = (size_t)value;
    return status;
}

static pdag_status misfit(const pdag_json *json, const char *key,
                          const json_t *value, size_t n, size_t low,
                          size_t high)
{
    char shown[SHOWN_BYTES];

    return pdag_error(PDAG_ERR_FORMAT,
                      "%s: %s: %s: expected %zu integers from %zu to %zu",
                      json->path, key, show(value, shown), n, low, high);
}

static bool in_range(const json_t *value, size_t low, size_t high)
{
    return json_is_integer(value) &&
           json_integer_value(value) >= (json_int_t)low &&
           json_integer_value(value) <= (json_int_t)high;
}

pdag_status pdag_config_sizes(const pdag_json *json, const char *key, size_t n,
                              size_t low, size_t high, size_t fallback,
                              size_t *out)
{
    const json_t *value = json_object_get(json->root, key);

    if (!json_is_array(value)) {
        size_t one;
        pdag_status status =
            pdag_config_size(json, key, low, high, fallback, &one);

        for (size_t i = 0; status == PDAG_OK && i < n; i++)
            out[i] = one;
        return status;
    }
    if (json_array_size(value) != n)
        return misfit(json, key, value, n, low, high);
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(value, i);

        if (!in_range(one, low, high))
            return misfit(json, key, value, n, low, high);
        out[i] = (size_t)json_integer_value(one);
    }
    return PDAG_OK;
}

pdag_status pdag_config_widths(const pdag_json *json, const char *key,
                               const size_t *fallback, size_t n_fallback,
                               size_t *out, size_t *n_out)
{
    const json_t *value = json_object_get(json->root, key);
    size_t n = json_array_size(value);
    char shown[SHOWN_BYTES];
    pdag_status status;

    if (value == NULL || json_is_null(value)) {
        memcpy(out, fallback, n_fallback * sizeof *out);
        *n_out = n_fallback;
        return PDAG_OK;
    }
    if (n < 1 || n > PDAG_CONFIG_MAX_BLOCKS)
        return pdag_error(
            PDAG_ERR_FORMAT, "%s: %s: %s: expected a list of 1 to %d integers",
            json->path, key, show(value, shown), PDAG_CONFIG_MAX_BLOCKS);
    status = pdag_config_sizes(json, key, n, 1, PDAG_CONFIG_MAX_WIDTH, 1, out);
    if (status == PDAG_OK)
        *n_out = n;
    return status;
}

static int index_of(const char *const *choices, const char *name)
{
    for (int i = 0; choices[i] != NULL; i++)
        if (name != NULL && strcmp(choices[i], name) == 0)
            return i;
    return -1;
}

pdag_status pdag_config_names(const pdag_json *json, const char *key, size_t n,
                              const char *const *choices, const int *fallback,
                              size_t n_fallback, int *out)
{
    const json_t *value = json_object_get(json->root, key);
    char shown[SHOWN_BYTES];

    if (value == NULL || json_is_null(value)) {
        if (n_fallback != n)
            return pdag_error(PDAG_ERR_FORMAT,
                              "%s: %s: missing; the default has %zu blocks, "
                              "block_out_channels %zu",
                              json->path, key, n_fallback, n);
        memcpy(out, fallback, n * sizeof *out);
        return PDAG_OK;
    }
    if (!json_is_array(value) || json_array_size(value) != n)
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: %s: %s: expected a list of %zu names, as "
                          "block_out_channels has",
                          json->path, key, show(value, shown), n);
    for (size_t i = 0; i < n; i++) {
        const json_t *name = json_array_get(value, i);

        out[i] = index_of(choices, json_string_value(name));
        if (out[i] < 0)
            return pdag_error(PDAG_ERR_UNSUPPORTED,
                              "%s: %s: %s is not supported", json->path, key,
                              show(name, shown));
    }
    return PDAG_OK;
}

pdag_status pdag_config_sample_size(const pdag_json *json, size_t *height_out,
                                    size_t *width_out)
{
    const json_t *value = json_object_get(json->root, "sample_size");
    size_t sides[2];
    pdag_status status;

    if (value == NULL || json_is_null(value))
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: sample_size: missing; needed to know the size "
                          "of a state",
                          json->path);
    status = pdag_config_sizes(json, "sample_size", 2, 1, 8192, 1, sides);
    if (status != PDAG_OK)
        return status;
    *height_out = sides[0];
    *width_out = sides[1];
    return PDAG_OK;
}

pdag_status pdag_config_activation(const pdag_json *json, const char *key,
                                   pdag_activation fallback,
                                   pdag_activation *out)
{
    static const struct {
        const char *name;
        pdag_activation act;
    } known[] = {{"silu", PDAG_ACT_SILU},
                 {"swish", PDAG_ACT_SILU},
                 {"gelu", PDAG_ACT_GELU},
                 {"gelu_new", PDAG_ACT_GELU_TANH},
                 {"gelu_pytorch_tanh", PDAG_ACT_GELU_TANH},
                 {"quick_gelu", PDAG_ACT_QUICK_GELU},
                 {"mish", PDAG_ACT_MISH},
                 {"relu", PDAG_ACT_RELU}};
    const char *text;
    char lower[32] = "";
    pdag_status status = pdag_json_string(json, key, NULL, &text);

    if (status != PDAG_OK)
        return status;
    if (text == NULL) {
        *out = fallback;
        return PDAG_OK;
    }
    for (size_t i = 0; text[i] != '\0' && i + 1 < sizeof lower; i++)
        lower[i] = (char)tolower((unsigned char)text[i]);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(lower, known[i].name) == 0) {
            *out = known[i].act;
            return PDAG_OK;
        }
    return pdag_error(PDAG_ERR_UNSUPPORTED,
                      "%s: %s: %.100s: no such activation", json->path, key,
                      text);
}
