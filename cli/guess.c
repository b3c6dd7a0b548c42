#include "cli/guess.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/npy.h"
#include "base/tensor.h"

/* Product of the state's dims, which the setup has checked. */
static size_t count(int n_dims, const size_t *dims)
{
    size_t n = 1;

    for (int d = 0; d < n_dims; d++)
        n *= dims[d];
    return n;
}

/* "[2, 4, 16, 16]"; malloc'ed. */
static char *shape_text(size_t rows, int n_dims, const size_t *dims)
{
    char *text = pdag_xasprintf("[%zu", rows);

    for (int d = 0; d <= n_dims; d++) {
        char *longer = d < n_dims ? pdag_xasprintf("%s, %zu", text, dims[d])
                                  : pdag_xasprintf("%s]", text);

        free(text);
        text = longer;
    }
    return text;
}

static pdag_status wrong_shape(const char *path, int n, const size_t *shape,
                               size_t rows, int n_dims, const size_t *dims)
{
    char *is = shape_text(n > 0 ? shape[0] : 0, n > 0 ? n - 1 : 0, shape + 1);
    char *wanted = shape_text(rows, n_dims, dims);
    pdag_status status = pdag_error(PDAG_ERR_SHAPE, "%s: shape %s: expected %s",
                                    path, is, wanted);

    free(is);
    free(wanted);
    return status;
}

pdag_status pdag_guess_states(const char *path, size_t rows, int n_dims,
                              const size_t *dims, float **out)
{
    int n;
    size_t shape[PDAG_MAX_DIMS + 1];
    float *data;
    size_t total = rows * count(n_dims, dims);
    double sum = 0.0;
    bool fits;
    pdag_status status = pdag_npy_read(path, &data, &n, shape);

    if (status != PDAG_OK)
        return status;
    fits = n == n_dims + 1 && shape[0] == rows;
    for (int d = 0; fits && d < n_dims; d++)
        fits = shape[d + 1] == dims[d];
    for (size_t k = 0; fits && k < total; k++)
        sum += fabs((double)data[k]);
    if (fits && isfinite(sum)) {
        *out = data;
        return PDAG_OK;
    }
    free(data);
    if (fits)
        return pdag_error(PDAG_ERR_FORMAT, "%s: holds values that are not finite",
                          path);
    return wrong_shape(path, n, shape, rows, n_dims, dims);
}

pdag_status pdag_guess_statistics(const char *path, int n_dims,
                                  const size_t *dims, float **statistics_out,
                                  double *variance_out)
{
    size_t dim = count(n_dims, dims);
    float *statistics;
    double sum = 0.0;
    bool sound = true;
    pdag_status status = pdag_guess_states(path, 2, n_dims, dims, &statistics);

    if (status != PDAG_OK)
        return pdag_error_prefix(status, "solver.statistics");
    for (size_t k = 0; k < dim; k++) {
        sound = sound && statistics[dim + k] >= 0.0f;
        sum += (double)statistics[dim + k];
    }
    if (!sound || !(sum > 0.0)) {
        free(statistics);
        return pdag_error(PDAG_ERR_FORMAT, "solver.statistics: %s: variances must "
                          "not be negative, nor all 0", path);
    }
    *statistics_out = statistics;
    *variance_out = sum / (double)dim;
    return PDAG_OK;
}

/* Whether the earlier run's sampler was this one.  A mere first guess may come from
   other numbers of the same kind; rows that are kept may not. */
static pdag_status compare_samplers(const char *path, const json_t *theirs,
                                    json_t *ours, bool all)
{
    const char *field;
    const json_t *value;

    json_object_foreach(ours, field, value) {
        const json_t *other = json_object_get(theirs, field);
        char *is;
        char *was;
        pdag_status status;

        if (other == NULL || json_equal(value, other) ||
            (!all && strcmp(field, "kind") != 0))
            continue;
        is = json_dumps(value, JSON_ENCODE_ANY);
        was = json_dumps(other, JSON_ENCODE_ANY);
        status = pdag_error(PDAG_ERR_ARG, "solver.start_from: %s: sampler.%s was "
                            "%s, and this run's is %s", path, field,
                            was != NULL ? was : "?", is != NULL ? is : "?");
        free(is);
        free(was);
        return status;
    }
    return PDAG_OK;
}

/* What run.json says of the earlier run, where it is there. */
static pdag_status check_sampler(const pdag_job *job)
{
    char *path = pdag_xasprintf("%s/run.json", job->solver.start_from);
    json_t *ours = pdag_job_to_json(job);
    bool there = access(path, R_OK) == 0;
    pdag_json json;
    pdag_status status = PDAG_OK;

    if (there)
        status = pdag_json_read(path, &json);
    if (there && status == PDAG_OK) {
        const json_t *theirs = json_object_get(json.root, "job");

        status = compare_samplers(path, json_object_get(theirs, "sampler"),
                                  json_object_get(ours, "sampler"),
                                  job->solver.start_row > 0);
        pdag_json_clear(&json);
    }
    json_decref(ours);
    free(path);
    return status;
}

/* Trajectory of sample j into `to`. */
static pdag_status read_trajectory(const pdag_job *job, size_t j, size_t n_rows,
                                   int n_dims, const size_t *dims, float *to)
{
    char *path = pdag_xasprintf("%s/sample-%03zu.trajectory.npy",
                                job->solver.start_from, j);
    float *states;
    pdag_status status;

    if (j > 0 && access(path, F_OK) != 0) {
        free(path);
        return read_trajectory(job, 0, n_rows, n_dims, dims, to);
    }
    status = pdag_guess_states(path, n_rows + 1, n_dims, dims, &states);
    free(path);
    if (status != PDAG_OK)
        return pdag_error_prefix(status, "solver.start_from");
    memcpy(to, states, (n_rows + 1) * count(n_dims, dims) * sizeof *to);
    free(states);
    return PDAG_OK;
}

pdag_status pdag_guess_trajectories(const pdag_job *job, size_t n_rows,
                                    int n_dims, const size_t *dims,
                                    float **start_out)
{
    size_t samples = (size_t)job->samples;
    size_t floats = (n_rows + 1) * count(n_dims, dims);
    size_t total;
    void *memory;
    pdag_status status = check_sampler(job);

    if (status != PDAG_OK)
        return status;
    if (!pdag_mul_size(samples, floats, &total))
        return pdag_error(PDAG_ERR_NOMEM, "solver.start_from: too large");
    status = pdag_alloc_tensor(total, sizeof(float), "solver.start_from", &memory);
    if (status != PDAG_OK)
        return status;
    for (size_t j = 0; status == PDAG_OK && j < samples; j++)
        status = read_trajectory(job, j, n_rows, n_dims, dims,
                                 (float *)memory + j * floats);
    if (status != PDAG_OK) {
        free(memory);
        return status;
    }
    *start_out = memory;
    return PDAG_OK;
}
