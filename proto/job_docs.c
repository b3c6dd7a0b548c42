#include "proto/job_fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* A text that grows. */
typedef struct text {
    char *bytes;
    size_t used;
} text;

static void add(text *to, char *piece)
{
    size_t n = strlen(piece);

    to->bytes = pdag_xrealloc(to->bytes, to->used + n + 1, 1);
    memcpy(to->bytes + to->used, piece, n + 1);
    to->used += n;
    free(piece);
}

/* "count, 1..10000", "choice: a b c", "path": what a field takes. */
static char *type_text(const pdag_job_field *field)
{
    const char *unit =
        field->unit == NULL || field->unit[0] == '\0' ? NULL : field->unit;

    switch (field->kind) {
    case PDAG_JOB_PATH:
        return pdag_xstrdup("path");
    case PDAG_JOB_CHOICE:
        return pdag_xasprintf("choice: %s", field->choices);
    case PDAG_JOB_FLAG:
        return pdag_xstrdup("true or false");
    case PDAG_JOB_INT:
        return pdag_xasprintf("%s, %.0f..%.0f",
                              unit != NULL ? unit : "integer", field->low,
                              field->high);
    case PDAG_JOB_UINT:
        return pdag_xstrdup("integer, 0..2^64-1");
    case PDAG_JOB_REAL:
        return pdag_xasprintf(field->above ? "%s, above %g, to %.10g"
                                           : "%s, %g..%.10g",
                              unit != NULL ? unit : "real", field->low,
                              field->high);
    case PDAG_JOB_TEXTS:
        return pdag_xstrdup("text, repeated");
    case PDAG_JOB_INTS:
        return pdag_xasprintf("%s, %.0f..%.0f%s, repeated",
                              unit != NULL ? unit : "integer", field->low,
                              field->high, field->named ? ", or a name" : "");
    case PDAG_JOB_LORAS:
        return pdag_xasprintf("{path, scale %g..%g}, repeated", field->low,
                              field->high);
    }
    return pdag_xstrdup("");
}

static const char *default_text(const pdag_job_field *field)
{
    if (field->fallback_text != NULL)
        return field->fallback_text;
    return field->fallback != NULL ? field->fallback : "none";
}

/* "; available in this version: ..", or "". */
static char *available_text(const pdag_job_field *field)
{
    char *list;
    char *sentence;

    if (field->available == NULL)
        return pdag_xstrdup("");
    list = pdag_job_word_list(field->available);
    sentence = pdag_xasprintf("; available in this version: %s", list);
    free(list);
    return sentence;
}

static char *all_fields(const char *head, bool markdown)
{
    text out = {NULL, 0};
    size_t i;

    add(&out, pdag_xstrdup(head));
    for (i = 0; i < pdag_job_n_fields; i++) {
        const pdag_job_field *field = &pdag_job_fields[i];
        char *type = type_text(field);
        char *available = available_text(field);

        add(&out, markdown ? pdag_xasprintf("| `%s` | %s | %s | %s%s |\n",
                                            field->name, type,
                                            default_text(field),
                                            field->meaning, available)
                           : pdag_xasprintf("%-24s %s; default: %s%s\n",
                                            field->name, type,
                                            default_text(field), available));
        free(type);
        free(available);
    }
    return out.bytes;
}

char *pdag_job_fields_markdown(void)
{
    return all_fields("| field | type, unit, range | default | meaning |\n"
                      "| --- | --- | --- | --- |\n",
                      true);
}

char *pdag_job_fields_text(void)
{
    return all_fields("", false);
}

const char *pdag_job_field_default(const char *name)
{
    const pdag_job_field *field = pdag_job_field_find(name);

    if (field == NULL)
        return NULL;
    return field->fallback != NULL ? field->fallback : "";
}
