#include "proto/job_fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static json_t *lora_json(const pdag_job *job)
{
    json_t *list = json_array();
    size_t i;

    for (i = 0; i < job->model.n_lora; i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:f}", "path",
                                        job->model.lora[i].path, "scale",
                                        job->model.lora[i].scale));
    return list;
}

/* Jansson's integers end at 2^63 - 1; a larger seed is written as text rather
   than rounded. */
static json_t *uint_json(uint64_t value)
{
    char text[24];

    if (value <= INT64_MAX)
        return json_integer((json_int_t)value);
    snprintf(text, sizeof text, "%" PRIu64, value);
    return json_string(text);
}

static json_t *value_json(const pdag_job *job, const pdag_job_field *field)
{
    json_t *list;
    size_t i;

    switch (field->kind) {
    case PDAG_JOB_TEXTS:
        list = json_array();
        for (i = 0; i < pdag_job_texts(job, field)->n; i++)
            json_array_append_new(
                list, json_string(pdag_job_texts(job, field)->item[i]));
        return list;
    case PDAG_JOB_INTS:
        list = json_array();
        for (i = 0; i < pdag_job_ints(job, field)->n; i++)
            json_array_append_new(
                list, json_integer(pdag_job_ints(job, field)->item[i]));
        return list;
    case PDAG_JOB_LORAS:
        return lora_json(job);
    default:
        break;
    }
    if (pdag_job_is_unset(job, field))
        return json_null();
    switch (field->kind) {
    case PDAG_JOB_INT:
        return json_integer(pdag_job_int(job, field));
    case PDAG_JOB_UINT:
        return uint_json(pdag_job_uint(job, field));
    case PDAG_JOB_REAL:
        return json_real(pdag_job_real(job, field));
    case PDAG_JOB_FLAG:
        return json_boolean(strcmp(pdag_job_text(job, field), "true") == 0);
    default:
        return json_string(pdag_job_text(job, field));
    }
}

json_t *pdag_job_to_json(const pdag_job *job)
{
    json_t *root = json_object();
    size_t i;

    for (i = 0; i < pdag_job_n_fields; i++) {
        const pdag_job_field *field = &pdag_job_fields[i];
        size_t length = pdag_job_group_length(field->name);
        char *group = pdag_xstrndup(field->name, length);
        json_t *object = length == 0 ? root : json_object_get(root, group);

        if (object == NULL) {
            object = pdag_job_is_present(job, field) ? json_object()
                                                     : json_null();
            json_object_set_new(root, group, object);
        }
        if (!json_is_null(object))
            json_object_set_new(object,
                                field->name + (length == 0 ? 0 : length + 1),
                                value_json(job, field));
        free(group);
    }
    return root;
}
