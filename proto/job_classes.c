#include "proto/job_fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* proto/job_classes.c: class_label against the model's classes.  Names that --set
   has given stand in the list as -1 - (index into job->class_name) until then. */

#define MOST_SHOWN 6 /* classes in a message */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Whether text[n] is `word`, whatever the case of its letters. */
static bool equals(const char *text, size_t n, const char *word)
{
    size_t i;

    for (i = 0; i < n && word[i] != '\0'; i++)
        if (lower(text[i]) != lower(word[i]))
            return false;
    return i == n && word[i] == '\0';
}

/* Whether `wanted` is the whole of "tench, Tinca tinca" or one of its parts, as
   diffusers' DiTPipeline takes them. */
static bool is_name_of(const char *names, const char *wanted)
{
    const char *part = names;

    if (equals(names, strlen(names), wanted))
        return true;
    while (*part != '\0') {
        size_t n = strcspn(part, ",");
        size_t first = strspn(part, " ");
        size_t end = n;

        while (end > first && part[end - 1] == ' ')
            end--;
        if (first < n && equals(part + first, end - first, wanted))
            return true;
        part += n + (part[n] == ',');
    }
    return false;
}

static bool contains(const char *names, const char *wanted)
{
    size_t n = strlen(wanted);

    for (; strlen(names) >= n; names++)
        if (equals(names, n, wanted))
            return true;
    return false;
}

/* Which classes an error speaks of. */
typedef bool (*test)(const char *names, const char *wanted);

static bool any(const char *names, const char *wanted)
{
    (void)names;
    (void)wanted;
    return true;
}

/* "134 (crane), 517 (crane)", of those that pass; malloc'ed. */
static char *list_classes(const pdag_job_facts *facts, test passes,
                          const char *wanted, size_t *n_out)
{
    char *list = pdag_xstrdup("");
    size_t n = 0;
    size_t i;

    for (i = 0; i < facts->n_classes; i++) {
        const char *names = facts->class_name_of[i];
        char shown[64];
        char *more;

        if (names == NULL || !passes(names, wanted) || ++n > MOST_SHOWN)
            continue;
        more = pdag_xasprintf("%s%s%zu (%s)", list, n > 1 ? ", " : "", i,
                              pdag_job_shown(names, shown));
        free(list);
        list = more;
    }
    *n_out = n;
    return list;
}

static pdag_status find_class(const pdag_job_facts *facts, const char *wanted,
                              int64_t *label_out)
{
    char shown[64];
    char *list;
    size_t n;
    size_t i;

    pdag_job_shown(wanted, shown);
    if (facts->class_name_of == NULL)
        return pdag_error(PDAG_ERR_ARG,
                          "class_label: %s: the model has no names of classes, "
                          "only numbers",
                          shown);
    list = list_classes(facts, is_name_of, wanted, &n);
    if (n > 1) {
        pdag_error_record("class_label: %s: more than one class: %s%s", shown, list,
                          n > MOST_SHOWN ? ", ..." : "");
        free(list);
        return PDAG_ERR_ARG;
    }
    free(list);
    for (i = 0; n == 1 && i < facts->n_classes; i++)
        if (facts->class_name_of[i] != NULL &&
            is_name_of(facts->class_name_of[i], wanted)) {
            *label_out = (int64_t)i;
            return PDAG_OK;
        }
    list = list_classes(facts, contains, wanted, &n);
    if (n == 0) {
        free(list);
        list = list_classes(facts, any, wanted, &n);
    }
    pdag_error_record("class_label: %s: no class of the model's; it has %s%s",
                      shown, list, n > MOST_SHOWN ? ", ..." : "");
    free(list);
    return PDAG_ERR_ARG;
}

pdag_status pdag_job_resolve_classes(pdag_job *job, const pdag_job_facts *facts)
{
    pdag_number_list *labels = &job->class_label;
    size_t i;

    for (i = 0; i < labels->n; i++) {
        int64_t *label = &labels->item[i];
        pdag_status status = PDAG_OK;

        if (*label < 0)
            status = find_class(facts, job->class_name.item[-1 - *label], label);
        if (status != PDAG_OK)
            return status;
        if (facts->n_classes > 0 && *label >= (int64_t)facts->n_classes)
            return pdag_error(PDAG_ERR_ARG, "class_label: %" PRId64
                              ": expected 0 to %zu, the model's classes",
                              *label, facts->n_classes - 1);
    }
    return PDAG_OK;
}
