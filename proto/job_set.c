#include "proto/job_fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define MAX_NAME 64 /* longer than any field's name */

/* Edit distance of two short names (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
    size_t row[MAX_NAME + 1];
    size_t n = strlen(b);
    size_t i, j;

    for (j = 0; j <= n; j++)
        row[j] = j;
    for (i = 0; a[i] != '\0'; i++) {
        size_t corner = row[0];

        row[0] = i + 1;
        for (j = 0; j < n; j++) {
            size_t best = corner + (a[i] != b[j]);

            corner = row[j + 1];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (corner + 1 < best)
                best = corner + 1;
            row[j + 1] = best;
        }
    }
    return row[n];
}

/* How far a wrong name is from a field's: of the whole name, or of the part
   behind the dot where somebody left the group out or took a wrong one. */
static size_t name_distance(const char *wrong, const char *name)
{
    const char *wrong_dot = strrchr(wrong, '.');
    const char *dot = strrchr(name, '.');
    const char *wrong_leaf = wrong_dot == NULL ? wrong : wrong_dot + 1;
    const char *leaf = dot == NULL ? name : dot + 1;
    size_t whole = distance(wrong, name);
    size_t part = distance(wrong_leaf, leaf);

    return whole < part ? whole : part;
}

static pdag_status unknown_field(const char *name)
{
    char shown[64];
    char near[256] = "";
    size_t best = strlen(name) / 4 + 1; /* farther ones would only confuse */
    size_t n_near = 0;
    size_t i;

    for (i = 0; i < pdag_job_n_fields; i++) {
        size_t d = name_distance(name, pdag_job_fields[i].name);

        best = d < best ? d : best;
    }
    for (i = 0; i < pdag_job_n_fields && n_near < 4; i++) {
        const char *other = pdag_job_fields[i].name;

        if (name_distance(name, other) != best)
            continue;
        strcat(near, n_near++ == 0 ? " (did you mean " : " or ");
        strcat(near, other);
    }
    return pdag_error(PDAG_ERR_ARG, "%s: unknown field%s%s",
                      pdag_job_shown(name, shown), near,
                      n_near == 0 ? "" : "?)");
}

/* "gaussian" and the like: `gaussian=` puts the whole group back. */
static bool is_group(const char *name)
{
    size_t length = strlen(name);
    size_t i;

    for (i = 0; i < pdag_job_n_fields; i++)
        if (pdag_job_group_length(pdag_job_fields[i].name) == length &&
            strncmp(pdag_job_fields[i].name, name, length) == 0)
            return length > 0;
    return false;
}

static pdag_status set_group(pdag_job *job, const char *cwd, const char *name,
                             const char *value)
{
    size_t length = strlen(name);
    size_t i;

    if (value[0] != '\0')
        return pdag_error(PDAG_ERR_ARG,
                          "%s: a group of fields: set %s.FIELD, or %s= to put "
                          "all of them back to their defaults",
                          name, name, name);
    for (i = 0; i < pdag_job_n_fields; i++) {
        const pdag_job_field *field = &pdag_job_fields[i];
        bool *present = pdag_job_presence(job, field);

        if (pdag_job_group_length(field->name) != length ||
            strncmp(field->name, name, length) != 0)
            continue;
        pdag_job_reset_field(job, field, cwd);
        if (present != NULL)
            *present = false;
    }
    return PDAG_OK;
}

static pdag_status set_field(pdag_job *job, const char *cwd, const char *name,
                             const char *value, bool *replaced)
{
    const pdag_job_field *field = pdag_job_field_find(name);

    if (field == NULL)
        return is_group(name) ? set_group(job, cwd, name, value)
                              : unknown_field(name);
    if (field->kind >= PDAG_JOB_TEXTS &&
        (!replaced[field - pdag_job_fields] || value[0] == '\0')) {
        pdag_job_clear_list(job, field);
        replaced[field - pdag_job_fields] = true;
    }
    if (value[0] == '\0') {
        pdag_job_reset_field(job, field, cwd);
        return PDAG_OK;
    }
    return pdag_job_put_parsed(job, field, cwd, value);
}

pdag_status pdag_job_set(pdag_job *job, const char *cwd, const char *text,
                         bool *replaced)
{
    const char *equals = strchr(text, '=');
    char shown[64];
    char *name;
    pdag_status status;

    if (equals == NULL || equals == text)
        return pdag_error(PDAG_ERR_ARG, "--set: %s: expected FIELD=VALUE",
                          pdag_job_shown(text, shown));
    name = pdag_xstrndup(text, (size_t)(equals - text));
    if (strlen(name) >= MAX_NAME)
        status = pdag_error(PDAG_ERR_ARG, "%s: unknown field",
                            pdag_job_shown(name, shown));
    else
        status = set_field(job, cwd, name, equals + 1, replaced);
    free(name);
    return status == PDAG_OK ? status : pdag_error_prefix(status, "--set");
}
