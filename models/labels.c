#include "models/labels.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"

void pdag_labels_free(char **names, size_t n_classes)
{
    for (size_t i = 0; names != NULL && i < n_classes; i++)
        free(names[i]);
    free(names);
}

/* One more name of a class. */
static void add(char **names, size_t class, const char *name)
{
    char *joined;

    if (names[class] == NULL) {
        names[class] = pdag_xstrdup(name);
        return;
    }
    joined = pdag_xasprintf("%s, %s", names[class], name);
    free(names[class]);
    names[class] = joined;
}

/* "17" below n. */
static bool parse_class(const char *text, size_t n, size_t *class_out)
{
    size_t value = 0;

    for (const char *c = text; *c != '\0'; c++) {
        if (*c < '0' || *c > '9' || value >= n)
            return false;
        value = 10 * value + (size_t)(*c - '0');
    }
    *class_out = value;
    return text[0] != '\0' && value < n;
}

/* {"0": "tench, Tinca tinca", ...} */
static pdag_status read_id2label(const pdag_json *index, json_t *table,
                                 size_t n, char **names)
{
    const char *key;
    json_t *value;

    json_object_foreach(table, key, value)
    {
        size_t class;

        if (!parse_class(key, n, &class))
            return pdag_error(
                PDAG_ERR_FORMAT,
                "%s: id2label: %.100s: expected a class from 0 to "
                "%zu, as the network has",
                index->path, key, n - 1);
        if (!json_is_string(value))
            return pdag_error(PDAG_ERR_FORMAT,
                              "%s: id2label: %s: its name is not a text",
                              index->path, key);
        add(names, class, json_string_value(value));
    }
    return PDAG_OK;
}

/* {"tench": 0, "Tinca tinca": 0, ...} */
static pdag_status read_labels(const pdag_json *index, json_t *table, size_t n,
                               char **names)
{
    const char *key;
    json_t *value;

    json_object_foreach(table, key, value)
    {
        if (!json_is_integer(value) || json_integer_value(value) < 0 ||
            json_integer_value(value) >= (json_int_t)n)
            return pdag_error(PDAG_ERR_FORMAT,
                              "%s: labels: %.100s: expected a class from 0 to "
                              "%zu, as the network has",
                              index->path, key, n - 1);
        add(names, (size_t)json_integer_value(value), key);
    }
    return PDAG_OK;
}

static pdag_status read_index(const pdag_json *index, size_t n,
                              char ***names_out)
{
    const char *key = "id2label";
    json_t *table = json_object_get(index->root, key);
    bool by_class = table != NULL && !json_is_null(table);
    char **names;
    pdag_status status;

    if (!by_class) {
        key = "labels";
        table = json_object_get(index->root, key);
    }
    if (table == NULL || json_is_null(table))
        return PDAG_OK;
    if (!json_is_object(table))
        return pdag_error(PDAG_ERR_FORMAT, "%s: %s: expected an object",
                          index->path, key);
    if (json_object_size(table) == 0)
        return PDAG_OK;
    names = pdag_xcalloc(n, sizeof *names);
    status = by_class ? read_id2label(index, table, n, names)
                      : read_labels(index, table, n, names);
    if (status != PDAG_OK) {
        pdag_labels_free(names, n);
        return status;
    }
    *names_out = names;
    return PDAG_OK;
}

pdag_status pdag_labels_read(const char *path, size_t n_classes,
                             char ***names_out)
{
    char *file = pdag_xasprintf("%s/model_index.json", path);
    char **names = NULL;
    pdag_json index;
    pdag_status status = PDAG_OK;

    if (access(file, F_OK) == 0) {
        status = pdag_json_read(file, &index);
        if (status == PDAG_OK) {
            status = read_index(&index, n_classes, &names);
            pdag_json_clear(&index);
        }
    }
    free(file);
    if (status == PDAG_OK)
        *names_out = names;
    return status;
}
