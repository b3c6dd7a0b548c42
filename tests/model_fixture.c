#include "tests/model_fixture.h"

#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "tests/temporary.h"

pdag_backend *backends[FIXTURE_MAX_BACKENDS];
size_t n_backends;

void fixture_path(const char *name, char out[FIXTURE_PATH_BYTES])
{
    const char *folder = getenv("srcdir");

    snprintf(out, FIXTURE_PATH_BYTES, "%s/tests/data/models/%s",
             folder != NULL ? folder : ".", name);
}

float *fixture_tensor(const char *folder, const char *name, size_t count,
                      size_t *count_out)
{
    char relative[256];
    char path[FIXTURE_PATH_BYTES];
    pdag_weights *file;
    const pdag_tensor_view *view;
    float *values;
    size_t n;

    snprintf(relative, sizeof relative, "%s/expected.safetensors", folder);
    fixture_path(relative, path);
    ck_assert_msg(pdag_weights_open_file(path, &file) == PDAG_OK, "%s",
                  pdag_error_text());
    view = pdag_weights_find(file, name);
    ck_assert_msg(view != NULL, "%s: no %s", path, name);
    n = pdag_tensor_count(view);
    ck_assert_msg(count == 0 || n == count, "%s: %s: %zu elements, not %zu",
                  path, name, n, count);
    values = malloc(n * sizeof *values);
    ck_assert_ptr_nonnull(values);
    pdag_tensor_to_f32(view, 0, n, values);
    pdag_weights_close(file);
    if (count_out != NULL)
        *count_out = n;
    return values;
}

void open_backends(void)
{
    const pdag_backend_ops *const *list = pdag_backend_list();

    n_backends = 0;
    for (size_t i = 0; list[i] != NULL && n_backends < FIXTURE_MAX_BACKENDS;
         i++)
        if (list[i]->open(0, PDAG_PRECISION_FLOAT32, &backends[n_backends]) ==
            PDAG_OK)
            n_backends++;
    ck_assert_uint_gt(n_backends, 0);
}

void close_backends(void)
{
    for (size_t i = 0; i < n_backends; i++)
        backends[i]->ops->close(backends[i]);
}

void must(pdag_status status)
{
    ck_assert_msg(status == PDAG_OK, "%s", pdag_error_text());
}

void fixture_compare(const char *what, size_t count, const float *a,
                     const float *b, double bound)
{
    double sum = 0.0;
    double worst = 0.0;

    for (size_t i = 0; i < count; i++) {
        double gap = fabs((double)a[i] - (double)b[i]);

        sum += (double)b[i] * (double)b[i];
        if (!(gap <= worst)) /* not-a-number too */
            worst = gap;
    }
    sum = sqrt(sum / (double)count);
    if (getenv("PDAG_TEST_VERBOSE") != NULL)
        printf("%-40s %.2e of RMS %.3g\n", what, worst / sum, sum);
    ck_assert_msg(worst <= bound * sum, "%s: off by %g, RMS %g", what, worst,
                  sum);
}

float *fixture_poison(size_t count)
{
    float *values = malloc(count * sizeof *values);

    ck_assert_ptr_nonnull(values);
    for (size_t i = 0; i < count; i++)
        values[i] = NAN;
    return values;
}

void fixture_eval(const char *path, pdag_backend *be,
                  const pdag_pipeline_opts *opts, size_t rows, const float *x,
                  const float *t, const float *cond, size_t mix, float *eps_out)
{
    pdag_condition *condition;
    pdag_pipeline *pipeline;

    must(pdag_pipeline_load(path, be, opts, &pipeline));
    must(pdag_pipeline_condition(pipeline, cond, &condition));
    must(pdag_pipeline_eval(pipeline, rows, x, t, condition, mix, eps_out));
    pdag_pipeline_condition_destroy(pipeline, condition);
    pdag_pipeline_destroy(pipeline);
}

void fixture_copy(const char *name, const char *folder)
{
    char source[FIXTURE_PATH_BYTES];
    char command[FIXTURE_PATH_BYTES + 2 * TEMPORARY_BYTES + 64];

    fixture_path(name, source);
    snprintf(command, sizeof command, "cp -Rf '%s'/. '%s' && chmod -R u+w '%s'",
             source, folder, folder);
    ck_assert_int_eq(system(command), 0);
}

void fixture_change(const char *folder, const char *file, const char *key,
                    const char *value)
{
    char path[2 * TEMPORARY_BYTES];
    json_t *root;

    snprintf(path, sizeof path, "%s/%s", folder, file);
    root = json_load_file(path, 0, NULL);
    ck_assert_ptr_nonnull(root);
    if (value == NULL)
        json_object_del(root, key);
    else
        json_object_set_new(root, key,
                            json_loads(value, JSON_DECODE_ANY, NULL));
    ck_assert_int_eq(json_dump_file(root, path, 0), 0);
    json_decref(root);
}
