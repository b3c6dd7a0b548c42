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

/* A float32 array of shape [rows, ...state], all finite. */
static pdag_status read_states(const char *path, size_t rows, int n_dims,
                               const size_t *dims, float **out)
{
    int n;
    size_t shape[PDAG_MAX_DIMS];
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
    return pdag_error(PDAG_ERR_SHAPE, "%s: %d dimensions, the first %zu: expected "
                      "%zu states of the model's shape", path, n,
                      n > 0 ? shape[0] : 0, rows);
}

pdag_status pdag_guess_statistics(const char *path, int n_dims,
                                  const size_t *dims, float **statistics_out,
                                  double *variance_out)
{
    size_t dim = count(n_dims, dims);
    float *statistics;
    double sum = 0.0;
    bool sound = true;
    pdag_status status = read_states(path, 2, n_dims, dims, &statistics);

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

/* What run.json says of the earlier run, where it is there. */
static pdag_status check_sampler(const pdag_job *job)
{
    char *path = pdag_xasprintf("%s/run.json", job->solver.start_from);
    const char *kind = NULL;
    pdag_json json;
    pdag_status status = PDAG_OK;

    bool there = access(path, R_OK) == 0;

    if (there)
        status = pdag_json_read(path, &json);
    if (there && status == PDAG_OK) {
        const json_t *theirs = json_object_get(json.root, "job");

        theirs = json_object_get(theirs, "sampler");
        kind = json_string_value(json_object_get(theirs, "kind"));
        if (kind != NULL && strcmp(kind, job->sampler.kind) != 0)
            status = pdag_error(PDAG_ERR_ARG, "solver.start_from: %s: a run of "
                                "sampler.kind %s, and this is %s", path, kind,
                                job->sampler.kind);
        pdag_json_clear(&json);
    }
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
    status = read_states(path, n_rows + 1, n_dims, dims, &states);
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
