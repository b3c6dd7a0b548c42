#include "cli/statistics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/files.h"

/* Folder of a path, malloc'ed, and the name in it. */
static char *split_path(const char *path, const char **name_out)
{
    const char *slash = strrchr(path, '/');

    *name_out = slash != NULL ? slash + 1 : path;
    if (slash == NULL)
        return pdag_xstrdup(".");
    return slash == path ? pdag_xstrdup("/")
                         : pdag_xstrndup(path, (size_t)(slash - path));
}

static pdag_status check_path(const char *path)
{
    const char *name;
    char *folder = split_path(path, &name);
    struct stat there;
    pdag_status status = PDAG_OK;

    if (name[0] == '\0' || (stat(path, &there) == 0 && S_ISDIR(there.st_mode)))
        status = pdag_error(PDAG_ERR_ARG, "--save-statistics: %s: names a folder",
                            path);
    else if (access(folder, W_OK | X_OK) != 0)
        status = pdag_error(PDAG_ERR_ARG, "--save-statistics: %s: %s", path,
                            strerror(errno));
    free(folder);
    return status;
}

pdag_status pdag_statistics_open(const pdag_setup *setup, const char *path,
                                 pdag_statistics *s)
{
    void *memory;
    size_t floats;
    pdag_status status;

    memset(s, 0, sizeof *s);
    s->setup = setup;
    s->path = path;
    if (path == NULL)
        return PDAG_OK;
    if (setup->job->samples < 2)
        return pdag_error(PDAG_ERR_ARG, "--save-statistics: needs at least 2 "
                          "samples, and the job has %lld",
                          (long long)setup->job->samples);
    status = check_path(path);
    if (status != PDAG_OK)
        return status;
    if (!pdag_mul_size((size_t)setup->job->samples, setup->dim, &floats))
        return pdag_error(PDAG_ERR_NOMEM, "--save-statistics: too many samples");
    status = pdag_alloc_tensor(floats, sizeof(float), "final states", &memory);
    if (status == PDAG_OK)
        s->states = memory;
    return status;
}

void pdag_statistics_add(pdag_statistics *s, size_t sample, const float *state)
{
    size_t d = s->setup->dim;

    if (s->states != NULL)
        memcpy(s->states + sample * d, state, d * sizeof *state);
}

/* table[2][D] of element k. */
static void one_element(const pdag_statistics *s, size_t k, float *table)
{
    size_t n = (size_t)s->setup->job->samples;
    size_t d = s->setup->dim;
    double mean = 0.0;
    double variance = 0.0;

    for (size_t j = 0; j < n; j++)
        mean += (double)s->states[j * d + k];
    mean /= (double)n;
    for (size_t j = 0; j < n; j++) {
        double off = (double)s->states[j * d + k] - mean;

        variance += off * off;
    }
    table[k] = (float)mean;
    table[d + k] = (float)(variance / (double)n);
}

pdag_status pdag_statistics_write(const pdag_statistics *s)
{
    size_t d = s->setup->dim;
    size_t dims[PDAG_MAX_DIMS] = {2};
    const char *name;
    char *folder;
    void *memory;
    pdag_status status;

    if (s->path == NULL)
        return PDAG_OK;
    status = pdag_alloc_tensor(2 * d, sizeof(float), "statistics", &memory);
    if (status != PDAG_OK)
        return status;
    for (size_t k = 0; k < d; k++)
        one_element(s, k, memory);
    for (int i = 0; i < s->setup->n_state_dims; i++)
        dims[i + 1] = s->setup->state_dims[i];
    folder = split_path(s->path, &name);
    status = pdag_file_write_npy(folder, name, memory, s->setup->n_state_dims + 1,
                                 dims);
    free(folder);
    free(memory);
    return status;
}

void pdag_statistics_clear(pdag_statistics *s)
{
    free(s->states);
    memset(s, 0, sizeof *s);
}
