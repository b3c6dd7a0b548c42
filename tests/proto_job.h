/* What the test programs of proto/job share: a scratch job file, jobs made from
   --set texts, a job's JSON. */
#ifndef PDAG_TESTS_PROTO_JOB_H
#define PDAG_TESTS_PROTO_JOB_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "proto/job.h"
#include "tests/temporary.h"

static char job_path[TEMPORARY_BYTES + 8];

static inline void write_job(const void *bytes, size_t n_bytes)
{
    FILE *file = fopen(job_path, "wb");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, n_bytes, file), n_bytes);
    ck_assert_int_eq(fclose(file), 0);
}

/* The job of an empty file and these --set texts, NULL-terminated. */
static inline pdag_status read_sets(const char *const *set, pdag_job **job_out)
{
    size_t n = 0;

    while (set[n] != NULL)
        n++;
    write_job("", 0);
    return pdag_job_read(job_path, n, set, job_out);
}

static inline pdag_job *job_of(const char *const *set)
{
    pdag_job *job = NULL;
    pdag_status status = read_sets(set, &job);

    ck_assert_msg(status == PDAG_OK, "%s", pdag_error_text());
    return job;
}

#define SETS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define MODEL "model.path=/m"

/* A member of the job's JSON by its dotted name; borrowed from root. */
static inline json_t *member(json_t *root, const char *name)
{
    char *group = pdag_xstrdup(name);
    char *dot = strchr(group, '.');
    json_t *found;

    if (dot != NULL)
        *dot = '\0';
    found = json_object_get(root, group);
    if (dot != NULL)
        found = json_object_get(found, dot + 1);
    free(group);
    return found;
}

static inline char *dump(const pdag_job *job)
{
    json_t *root = pdag_job_to_json(job);
    char *text = json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(17));

    ck_assert_ptr_nonnull(text);
    json_decref(root);
    return text;
}

static inline int run_job_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    char folder[TEMPORARY_BYTES];
    int n_failed;

    /* Before a test's own process: all write this one. */
    temporary_folder(folder);
    snprintf(job_path, sizeof job_path, "%s/job.pb", folder);
    srunner_run_all(runner, CK_NORMAL);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    temporary_folder_remove(folder);
    return n_failed == 0 ? 0 : 1;
}

#endif
