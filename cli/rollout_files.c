#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/files.h"
#include "cli/rollout.h"

/* cli/rollout_files.c: the files of episodes and plans in the output folder. */

static char *stem_of(size_t episode, size_t plan)
{
    return pdag_xasprintf("episode-%03zu-plan-%03zu", episode, plan);
}

static pdag_status write_array(const pdag_rollout *r, const char *stem,
                               const char *what, const float *data, int n_dims,
                               const size_t *dims)
{
    char *name = pdag_xasprintf("%s.%s.npy", stem, what);
    pdag_status status = pdag_file_write_npy(r->setup.job->output, name, data,
                                             n_dims, dims);

    free(name);
    return status;
}

pdag_status pdag_rollout_keep_plan(pdag_rollout *r, size_t plan)
{
    const pdag_pipeline_info *info = &r->setup.info;
    size_t seen[] = {info->n_observations, info->observation_dim};
    size_t states[] = {r->setup.transition->n_rows + 1, r->horizon, r->action_dim};
    char *stem;
    pdag_status status;

    if (!r->save_trajectory && !r->save_iterates)
        return PDAG_OK;
    stem = stem_of(r->n_done, plan);
    status = write_array(r, stem, "observations", r->condition, 2, seen);
    if (status == PDAG_OK && r->save_trajectory)
        status = write_array(r, stem, "trajectory", r->trajectory, 3, states);
    if (status == PDAG_OK && r->save_iterates)
        status = pdag_iterates_write(r->iterates, 0, stem);
    free(stem);
    return status;
}

static bool is_there(const pdag_rollout *r, const char *stem, const char *ending)
{
    char *path = pdag_xasprintf("%s/%s%s", r->setup.job->output, stem, ending);
    bool there = access(path, R_OK) == 0;

    free(path);
    return there;
}

bool pdag_rollout_has_files(const pdag_rollout *r, size_t k, size_t n_plans)
{
    char *stem = pdag_xasprintf("episode-%03zu", k);
    bool all = is_there(r, stem, ".png");

    free(stem);
    for (size_t p = 0; p < n_plans && all; p++) {
        stem = stem_of(k, p);
        if (r->save_trajectory || r->save_iterates)
            all = is_there(r, stem, ".observations.npy");
        if (r->save_trajectory)
            all = all && is_there(r, stem, ".trajectory.npy");
        if (r->save_iterates)
            all = all && is_there(r, stem, ".iterates.npy");
        free(stem);
    }
    return all;
}

void pdag_rollout_remove(const pdag_rollout *r)
{
    const char *folder = r->setup.job->output;
    DIR *dir = opendir(folder);
    struct dirent *entry;
    size_t episode;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char *path;

        if (!pdag_output_of_episode(entry->d_name, &episode) ||
            episode < r->n_done)
            continue;
        path = pdag_xasprintf("%s/%s", folder, entry->d_name);
        unlink(path);
        free(path);
    }
    if (dir != NULL)
        closedir(dir);
}
