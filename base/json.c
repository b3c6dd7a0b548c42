#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

#define PDAG_JSON_MAX_BYTES ((size_t)256 << 20)

/* Whole file into memory, so that a huge file is refused before the parser sees
   it; what is no file before it is opened, which would wait for a pipe's writer. */
static pdag_status read_text(const char *path, char **text_out,
                             size_t *bytes_out)
{
    struct stat info;
    FILE *file;
    char *text = NULL;
    size_t used = 0;
    size_t room = 0;
    pdag_status status = PDAG_OK;

    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return pdag_error(PDAG_ERR_INPUT, "%s: not a regular file", path);
    file = fopen(path, "rb");
    if (file == NULL)
        return pdag_error(PDAG_ERR_INPUT, "%s: %s", path, strerror(errno));
    for (;;) {
        size_t got;

        if (used == room) {
            room = room == 0 ? 65536 : 2 * room;
            text = pdag_xrealloc(text, room, 1);
        }
        got = fread(text + used, 1, room - used, file);
        if (got == 0)
            break;
        used += got;
        if (used > PDAG_JSON_MAX_BYTES)
            break;
    }
    if (ferror(file))
        status = pdag_error(PDAG_ERR_INPUT, "%s: %s", path, strerror(errno));
    else if (used > PDAG_JSON_MAX_BYTES)
        status = pdag_error(PDAG_ERR_FORMAT, "%s: over %zu bytes of JSON", path,
                            PDAG_JSON_MAX_BYTES);
    fclose(file);
    if (status != PDAG_OK) {
        free(text);
        return status;
    }
    *text_out = text;
    *bytes_out = used;
    return PDAG_OK;
}

/* Python's json writes infinities, which JSON has not: diffusers saves
   `"lambda_min_clipped": -Infinity`.  Outside strings they become, in place,
   about the largest number. */
static void plain_numbers(char *text, size_t bytes)
{
    static const struct {
        const char *word, *number;
    } words[] = {{"-Infinity", "-1e308   "}, {"Infinity", "1e308   "}};
    bool quoted = false;

    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '"')
            quoted = !quoted;
        else if (quoted && text[i] == '\\')
            i++;
        for (size_t k = 0; k < 2 && !quoted && i < bytes; k++) {
            size_t length = strlen(words[k].word);

            if (bytes - i >= length &&
                memcmp(text + i, words[k].word, length) == 0)
                memcpy(text + i, words[k].number, length);
        }
    }
}

pdag_status pdag_json_read(const char *path, pdag_json *json_out)
{
    char *text;
    size_t bytes;
    json_error_t error;
    json_t *root;
    pdag_status status = read_text(path, &text, &bytes);

    if (status != PDAG_OK)
        return status;
    plain_numbers(text, bytes);
    root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    free(text);
    if (root == NULL)
        return pdag_error(PDAG_ERR_FORMAT, "%s: line %d: %s", path, error.line,
                          error.text);
    if (!json_is_object(root)) {
        json_decref(root);
        return pdag_error(PDAG_ERR_FORMAT, "%s: not a JSON object", path);
    }
    json_out->path = pdag_xstrdup(path);
    json_out->root = root;
    return PDAG_OK;
}

void pdag_json_clear(pdag_json *json)
{
    free(json->path);
    json_decref(json->root);
    json->path = NULL;
    json->root = NULL;
}

static json_t *find(const pdag_json *json, const char *key)
{
    json_t *value = json_object_get(json->root, key);

    return json_is_null(value) ? NULL : value;
}

/* One error text for every misfit: file, key, value, what was expected. */
static pdag_status misfit(pdag_status status, const pdag_json *json,
                          const char *key, const json_t *value,
                          const char *expected)
{
    char *shown = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

    pdag_error(status, "%s: %s: %.120s: expected %s", json->path, key,
               shown != NULL ? shown : "?", expected);
    free(shown);
    return status;
}

pdag_status pdag_json_int(const pdag_json *json, const char *key, long low,
                          long high, long fallback, long *out)
{
    json_t *value = find(json, key);
    char expected[80];

    if (value == NULL) {
        *out = fallback;
        return PDAG_OK;
    }
    if (!json_is_integer(value) || json_integer_value(value) < low ||
        json_integer_value(value) > high) {
        snprintf(expected, sizeof expected, "an integer from %ld to %ld", low,
                 high);
        return misfit(PDAG_ERR_FORMAT, json, key, value, expected);
    }
    *out = (long)json_integer_value(value);
    return PDAG_OK;
}

pdag_status pdag_json_real(const pdag_json *json, const char *key, double low,
                           double high, double fallback, double *out)
{
    json_t *value = find(json, key);
    char expected[80];

    if (value == NULL) {
        *out = fallback;
        return PDAG_OK;
    }
    if (!json_is_number(value) || !(json_number_value(value) >= low) ||
        !(json_number_value(value) <= high)) {
        snprintf(expected, sizeof expected, "a number from %g to %g", low,
                 high);
        return misfit(PDAG_ERR_FORMAT, json, key, value, expected);
    }
    *out = json_number_value(value);
    return PDAG_OK;
}

pdag_status pdag_json_bool(const pdag_json *json, const char *key,
                           bool fallback, bool *out)
{
    json_t *value = find(json, key);

    if (value != NULL && !json_is_boolean(value))
        return misfit(PDAG_ERR_FORMAT, json, key, value, "true or false");
    *out = value == NULL ? fallback : json_is_true(value);
    return PDAG_OK;
}

pdag_status pdag_json_string(const pdag_json *json, const char *key,
                             const char *fallback, const char **out)
{
    json_t *value = find(json, key);

    if (value != NULL && !json_is_string(value))
        return misfit(PDAG_ERR_FORMAT, json, key, value, "a string");
    *out = value == NULL ? fallback : json_string_value(value);
    return PDAG_OK;
}

pdag_status pdag_json_choice(const pdag_json *json, const char *key,
                             const char *const *choices, int fallback,
                             int *out)
{
    const char *text;
    char expected[400] = "one of";
    pdag_status status = pdag_json_string(json, key, NULL, &text);

    if (status != PDAG_OK)
        return status;
    if (text == NULL) {
        *out = fallback;
        return PDAG_OK;
    }
    for (int i = 0; choices[i] != NULL; i++) {
        size_t used = strlen(expected);

        if (strcmp(text, choices[i]) == 0) {
            *out = i;
            return PDAG_OK;
        }
        snprintf(expected + used, sizeof expected - used, " %s", choices[i]);
    }
    return misfit(PDAG_ERR_UNSUPPORTED, json, key, find(json, key), expected);
}

pdag_status pdag_json_array(const pdag_json *json, const char *key,
                            json_t **out)
{
    json_t *value = find(json, key);

    if (value != NULL && !json_is_array(value))
        return misfit(PDAG_ERR_FORMAT, json, key, value, "a list");
    *out = value;
    return PDAG_OK;
}
