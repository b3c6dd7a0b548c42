#include "proto/job_fields.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/mem.h"

#define SHOWN_BYTES 64

static void *place(pdag_job *job, const pdag_job_field *field)
{
    return (char *)job + field->offset;
}

static const void *place_const(const pdag_job *job,
                               const pdag_job_field *field)
{
    return (const char *)job + field->offset;
}

bool *pdag_job_presence(pdag_job *job, const pdag_job_field *field)
{
    if (strncmp(field->name, "gaussian.", 9) == 0)
        return &job->gaussian.present;
    if (strncmp(field->name, "pcm.", 4) == 0)
        return &job->pcm.present;
    return NULL;
}

bool pdag_job_is_present(const pdag_job *job, const pdag_job_field *field)
{
    if (strncmp(field->name, "gaussian.", 9) == 0)
        return job->gaussian.present;
    if (strncmp(field->name, "pcm.", 4) == 0)
        return job->pcm.present;
    return true;
}

const char *pdag_job_text(const pdag_job *job, const pdag_job_field *field)
{
    char *const *text = place_const(job, field);

    return *text;
}

int64_t pdag_job_int(const pdag_job *job, const pdag_job_field *field)
{
    const int64_t *value = place_const(job, field);

    return *value;
}

uint64_t pdag_job_uint(const pdag_job *job, const pdag_job_field *field)
{
    const uint64_t *value = place_const(job, field);

    return *value;
}

double pdag_job_real(const pdag_job *job, const pdag_job_field *field)
{
    const double *value = place_const(job, field);

    return *value;
}

const pdag_text_list *pdag_job_texts(const pdag_job *job,
                                     const pdag_job_field *field)
{
    return place_const(job, field);
}

const pdag_number_list *pdag_job_ints(const pdag_job *job,
                                      const pdag_job_field *field)
{
    return place_const(job, field);
}

bool pdag_job_is_unset(const pdag_job *job, const pdag_job_field *field)
{
    switch (field->kind) {
    case PDAG_JOB_PATH:
    case PDAG_JOB_CHOICE:
    case PDAG_JOB_FLAG:
        return pdag_job_text(job, field)[0] == '\0';
    case PDAG_JOB_INT:
        return field->fallback == NULL &&
               pdag_job_int(job, field) == (int64_t)field->unset;
    case PDAG_JOB_REAL:
        /* `unset` lies outside the range, so no given value equals it. */
        return field->fallback == NULL &&
               !(pdag_job_real(job, field) > field->unset);
    case PDAG_JOB_UINT:
        return false;
    case PDAG_JOB_TEXTS:
        return pdag_job_texts(job, field)->n == 0;
    case PDAG_JOB_INTS:
        return pdag_job_ints(job, field)->n == 0;
    case PDAG_JOB_LORAS:
        return job->model.n_lora == 0;
    }
    return false;
}

static pdag_status misfit(const pdag_job_field *field, const char *value)
{
    char shown[SHOWN_BYTES];
    char *expected = pdag_job_expected(field);

    pdag_error_record("%s: %s: expected %s", field->name,
                      pdag_job_shown(value, shown), expected);
    free(expected);
    return PDAG_ERR_ARG;
}

static pdag_status check_utf8(const pdag_job_field *field, const char *text)
{
    char shown[SHOWN_BYTES];

    if (pdag_job_is_utf8(text, strlen(text)))
        return PDAG_OK;
    return pdag_error(PDAG_ERR_ARG, "%s: %s: the text is not UTF-8",
                      field->name, pdag_job_shown(text, shown));
}

static void mark_present(pdag_job *job, const pdag_job_field *field)
{
    bool *present = pdag_job_presence(job, field);

    if (present != NULL)
        *present = true;
}

static pdag_status check_room(const pdag_job_field *field, size_t n)
{
    if (n >= PDAG_JOB_MAX_LIST)
        return pdag_error(PDAG_ERR_ARG, "%s: more than %d entries",
                          field->name, PDAG_JOB_MAX_LIST);
    return PDAG_OK;
}

static void replace_text(char **at, char *text)
{
    free(*at);
    *at = text;
}

pdag_status pdag_job_put_text(pdag_job *job, const pdag_job_field *field,
                              const char *base, const char *text)
{
    pdag_text_list *list;
    pdag_status status;

    if ((status = check_utf8(field, text)) != PDAG_OK)
        return status;
    switch (field->kind) {
    case PDAG_JOB_PATH:
        if (text[0] == '\0')
            return pdag_error(PDAG_ERR_ARG, "%s: the path is empty",
                              field->name);
        replace_text(place(job, field), pdag_job_join(base, text));
        break;
    case PDAG_JOB_CHOICE:
    case PDAG_JOB_FLAG:
        if (!pdag_job_has_word(field->kind == PDAG_JOB_FLAG ? "true false"
                                                            : field->choices,
                               text))
            return misfit(field, text);
        replace_text(place(job, field), pdag_xstrdup(text));
        break;
    case PDAG_JOB_TEXTS:
        list = place(job, field);
        status = check_room(field, list->n);
        if (status != PDAG_OK)
            return status;
        list->item = pdag_xgrow(list->item, list->n, sizeof *list->item);
        list->item[list->n++] = pdag_xstrdup(text);
        break;
    default:
        PDAG_ASSERT(!"a text field");
    }
    mark_present(job, field);
    return PDAG_OK;
}

pdag_status pdag_job_put_int(pdag_job *job, const pdag_job_field *field,
                             int64_t value)
{
    pdag_number_list *list;
    int64_t *at;
    char shown[32];

    if (value < (int64_t)field->low || value > (int64_t)field->high) {
        snprintf(shown, sizeof shown, "%lld", (long long)value);
        return misfit(field, shown);
    }
    if (field->kind == PDAG_JOB_INTS) {
        pdag_status status;

        list = place(job, field);
        status = check_room(field, list->n);
        if (status != PDAG_OK)
            return status;
        list->item = pdag_xgrow(list->item, list->n, sizeof *list->item);
        list->item[list->n++] = value;
    } else {
        PDAG_ASSERT(field->kind == PDAG_JOB_INT);
        at = place(job, field);
        *at = value;
    }
    mark_present(job, field);
    return PDAG_OK;
}

pdag_status pdag_job_put_uint(pdag_job *job, const pdag_job_field *field,
                              uint64_t value)
{
    uint64_t *at = place(job, field);

    PDAG_ASSERT(field->kind == PDAG_JOB_UINT);
    *at = value;
    mark_present(job, field);
    return PDAG_OK;
}

/* Also false for NaN. */
static bool in_range(const pdag_job_field *field, double value)
{
    return (field->above ? value > field->low : value >= field->low) &&
           value <= field->high;
}

static pdag_status misfit_real(const pdag_job_field *field, double value)
{
    char shown[32];

    snprintf(shown, sizeof shown, "%.15g", value);
    return misfit(field, shown);
}

pdag_status pdag_job_put_real(pdag_job *job, const pdag_job_field *field,
                              double value)
{
    double *at = place(job, field);

    PDAG_ASSERT(field->kind == PDAG_JOB_REAL);
    if (!in_range(field, value))
        return misfit_real(field, value);
    *at = value;
    mark_present(job, field);
    return PDAG_OK;
}

pdag_status pdag_job_put_lora(pdag_job *job, const pdag_job_field *field,
                              const char *base, const char *path, double scale)
{
    pdag_lora_ref *entry;
    pdag_status status = check_room(field, job->model.n_lora);

    if (status != PDAG_OK)
        return status;
    if (path[0] == '\0')
        return pdag_error(PDAG_ERR_ARG, "%s: the path is empty", field->name);
    if ((status = check_utf8(field, path)) != PDAG_OK)
        return status;
    if (!in_range(field, scale))
        return misfit_real(field, scale);
    job->model.lora = pdag_xgrow(job->model.lora, job->model.n_lora,
                                 sizeof *job->model.lora);
    entry = &job->model.lora[job->model.n_lora++];
    entry->path = pdag_job_join(base, path);
    entry->scale = scale;
    return PDAG_OK;
}

/* Digits only, so that strtoull's blanks, signs and wrap-around cannot pass. */
static bool parse_digits(const char *text, uint64_t *value_out)
{
    char *end;
    unsigned long long value;

    if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0')
        return false;
    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0')
        return false;
    *value_out = value;
    return true;
}

static bool parse_int(const char *text, int64_t *value_out)
{
    bool negative = text[0] == '-';
    uint64_t digits;

    if (!parse_digits(text + (negative ? 1 : 0), &digits) ||
        digits > INT64_MAX)
        return false;
    *value_out = negative ? -(int64_t)digits : (int64_t)digits;
    return true;
}

/* Decimal notation only: strtod would take "nan", "inf" and hexadecimal too. */
static bool parse_real(const char *text, double *value_out)
{
    char *end;
    double value;

    if (text[0] == '\0' || text[strspn(text, "0123456789+-.eE")] != '\0')
        return false;
    value = strtod(text, &end);
    if (*end != '\0' || !isfinite(value))
        return false;
    *value_out = value;
    return true;
}

/* PATH or PATH@SCALE.  A path may hold an @ itself: what follows the last one
   is a scale only where it can be a number. */
static pdag_status put_parsed_lora(pdag_job *job, const pdag_job_field *field,
                                   const char *base, const char *text)
{
    const char *at = strrchr(text, '@');
    double scale = 1.0;
    char *path;
    pdag_status status;

    if (at != NULL && (at[1] == '\0' || !strcmp(at + 1, "nan")))
        return misfit(field, text);
    if (at == NULL || !parse_real(at + 1, &scale))
        return pdag_job_put_lora(job, field, base, text, 1.0);
    path = pdag_xstrndup(text, (size_t)(at - text));
    status = pdag_job_put_lora(job, field, base, path, scale);
    free(path);
    return status;
}

/* Its number is known when the model is. */
static pdag_status put_class_name(pdag_job *job, const pdag_job_field *field,
                                  const char *text)
{
    pdag_number_list *list = place(job, field);
    pdag_text_list *names = &job->class_name;
    pdag_status status = check_utf8(field, text);

    if (status == PDAG_OK)
        status = check_room(field, list->n);
    if (status != PDAG_OK)
        return status;
    list->item = pdag_xgrow(list->item, list->n, sizeof *list->item);
    list->item[list->n++] = -1 - (int64_t)names->n;
    names->item = pdag_xgrow(names->item, names->n, sizeof *names->item);
    names->item[names->n++] = pdag_xstrdup(text);
    return PDAG_OK;
}

pdag_status pdag_job_put_parsed(pdag_job *job, const pdag_job_field *field,
                                const char *base, const char *text)
{
    int64_t integer;
    uint64_t natural;
    double real;

    switch (field->kind) {
    case PDAG_JOB_PATH:
    case PDAG_JOB_CHOICE:
    case PDAG_JOB_FLAG:
    case PDAG_JOB_TEXTS:
        return pdag_job_put_text(job, field, base, text);
    case PDAG_JOB_INT:
    case PDAG_JOB_INTS:
        if (parse_int(text, &integer))
            return pdag_job_put_int(job, field, integer);
        return field->named ? put_class_name(job, field, text)
                            : misfit(field, text);
    case PDAG_JOB_UINT:
        return parse_digits(text, &natural)
                   ? pdag_job_put_uint(job, field, natural)
                   : misfit(field, text);
    case PDAG_JOB_REAL:
        return parse_real(text, &real) ? pdag_job_put_real(job, field, real)
                                       : misfit(field, text);
    case PDAG_JOB_LORAS:
        return put_parsed_lora(job, field, base, text);
    }
    return PDAG_ERR_INTERNAL;
}

void pdag_job_clear_list(pdag_job *job, const pdag_job_field *field)
{
    size_t i;

    if (field->kind == PDAG_JOB_TEXTS) {
        pdag_text_list *list = place(job, field);

        for (i = 0; i < list->n; i++)
            free(list->item[i]);
        free(list->item);
        memset(list, 0, sizeof *list);
    } else if (field->kind == PDAG_JOB_INTS) {
        pdag_number_list *list = place(job, field);

        free(list->item);
        memset(list, 0, sizeof *list);
    } else if (field->kind == PDAG_JOB_LORAS) {
        for (i = 0; i < job->model.n_lora; i++)
            free(job->model.lora[i].path);
        free(job->model.lora);
        job->model.lora = NULL;
        job->model.n_lora = 0;
    }
}

static void store_unset(pdag_job *job, const pdag_job_field *field)
{
    switch (field->kind) {
    case PDAG_JOB_PATH:
    case PDAG_JOB_CHOICE:
    case PDAG_JOB_FLAG:
        replace_text(place(job, field), pdag_xstrdup(""));
        break;
    case PDAG_JOB_INT:
        *(int64_t *)place(job, field) = (int64_t)field->unset;
        break;
    case PDAG_JOB_UINT:
        *(uint64_t *)place(job, field) = 0;
        break;
    case PDAG_JOB_REAL:
        *(double *)place(job, field) = field->unset;
        break;
    case PDAG_JOB_TEXTS:
    case PDAG_JOB_INTS:
    case PDAG_JOB_LORAS:
        pdag_job_clear_list(job, field);
        break;
    }
}

void pdag_job_reset_field(pdag_job *job, const pdag_job_field *field,
                          const char *cwd)
{
    bool *present = pdag_job_presence(job, field);
    bool was_present = present != NULL && *present;
    pdag_status status = PDAG_OK;

    store_unset(job, field);
    if (field->fallback != NULL)
        status = pdag_job_put_parsed(job, field, cwd, field->fallback);
    PDAG_ASSERT(status == PDAG_OK);
    if (present != NULL)
        *present = was_present; /* a default does not make the group present */
}

pdag_job *pdag_job_new(const char *cwd)
{
    pdag_job *job = pdag_xcalloc(1, sizeof *job);
    size_t i;

    for (i = 0; i < pdag_job_n_fields; i++)
        pdag_job_reset_field(job, &pdag_job_fields[i], cwd);
    return job;
}

void pdag_job_destroy(pdag_job *job)
{
    size_t i;

    if (job == NULL)
        return;
    for (i = 0; i < pdag_job_n_fields; i++) {
        const pdag_job_field *field = &pdag_job_fields[i];

        if (field->kind <= PDAG_JOB_FLAG)
            free(*(char **)place(job, field));
        else
            pdag_job_clear_list(job, field);
    }
    for (i = 0; i < job->class_name.n; i++)
        free(job->class_name.item[i]);
    free(job->class_name.item);
    free(job);
}
