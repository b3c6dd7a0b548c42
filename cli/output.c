#include "cli/output.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/files.h"
#include "cli/text.h"
#include "comm/comm.h"
#include "comm/mpi.h"

#ifndef PDAG_VERSION
#define PDAG_VERSION "unknown"
#endif

static void time_text(char text[32])
{
    time_t now = time(NULL);
    struct tm utc;

    gmtime_r(&now, &utc);
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

/* The folder. */

/* Whether `name` goes on with `prefix` and digits, which it is moved behind. */
static bool take_number(const char **name, const char *prefix, size_t *out)
{
    size_t n = strlen(prefix);
    size_t digits;

    if (strncmp(*name, prefix, n) != 0)
        return false;
    digits = strspn(*name + n, "0123456789");
    *out = (size_t)strtoull(*name + n, NULL, 10);
    *name += n + digits;
    return digits > 0;
}

static bool is_one_of(const char *name, const char *const *list)
{
    for (; *list != NULL; list++)
        if (strcmp(name, *list) == 0)
            return true;
    return false;
}

bool pdag_output_of_episode(const char *name, size_t *episode_out)
{
    static const char *const endings[] = {".trajectory.npy", ".iterates.npy",
                                          ".observations.npy", NULL};
    size_t episode;
    size_t plan;

    if (!take_number(&name, "episode-", &episode))
        return false;
    if (strcmp(name, ".png") != 0 &&
        !(take_number(&name, "-plan-", &plan) && is_one_of(name, endings)))
        return false;
    *episode_out = episode;
    return true;
}

/* A command's own file, or "sample-", digits and one of our endings. */
static bool is_ours(const char *name)
{
    static const char *const files[] = {"run.json", "verify.json", "compare.csv",
                                        "compare-ends.csv", "compare.html",
                                        "compare.json", "trace.json",
                                        "report.html", "rollout.json", NULL};
    static const char *const endings[] = {".png", ".npy", ".trajectory.npy",
                                          ".iterates.npy", NULL};
    size_t number;

    return is_one_of(name, files) || pdag_output_of_episode(name, &number) ||
           (take_number(&name, "sample-", &number) && is_one_of(name, endings));
}

/* Call `take` for every result in the folder, or only count them. */
static size_t each_result(const char *folder, int (*take)(const char *path))
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    size_t n = 0;

    if (dir == NULL)
        return 0;
    while ((entry = readdir(dir)) != NULL) {
        if (is_ours(entry->d_name)) {
            char *path = pdag_xasprintf("%s/%s", folder, entry->d_name);

            n++;
            if (take != NULL)
                take(path);
            free(path);
        }
    }
    closedir(dir);
    return n;
}

/* Fields that change no value of a result go; both jobs are resolved. */
static void leave_values(json_t *job)
{
    json_object_del(job, "output");
    json_object_del(job, "policy");
    json_object_del(json_object_get(job, "model"), "delay_ms");
}

bool pdag_output_same_json(const json_t *a, const json_t *b)
{
    json_t *one = json_deep_copy(a);
    json_t *other = json_deep_copy(b);
    bool same;

    leave_values(one);
    leave_values(other);
    same = json_equal(one, other) == 1;
    json_decref(one);
    json_decref(other);
    return same;
}

bool pdag_output_same_job(const pdag_job *a, const pdag_job *b)
{
    json_t *one = pdag_job_to_json(a);
    json_t *other = pdag_job_to_json(b);
    bool same = pdag_output_same_json(one, other);

    json_decref(one);
    json_decref(other);
    return same;
}

/* Whether this report is of the same job, apart from what changes no value. */
static bool report_of_job(const char *path, const json_t *ours)
{
    pdag_json there;
    bool same;

    if (pdag_json_read(path, &there) != PDAG_OK)
        return false;
    same = pdag_output_same_json(ours, json_object_get(there.root, "job"));
    pdag_json_clear(&there);
    return same;
}

/* Whether the folder holds nothing of ours, or the results of the same job.
   Results without a report are of a run that was cut off: nobody knows of which
   job. */
static bool same_job(const char *folder, const pdag_job *job)
{
    static const char *const reports[] = {"run.json", "compare.json",
                                          "rollout.json"};
    json_t *ours = pdag_job_to_json(job);
    bool same = true;
    bool any = false;

    for (size_t i = 0; i < sizeof reports / sizeof reports[0]; i++) {
        char *path = pdag_xasprintf("%s/%s", folder, reports[i]);

        if (access(path, F_OK) == 0) {
            any = true;
            same = same && report_of_job(path, ours);
        }
        free(path);
    }
    json_decref(ours);
    return any ? same : each_result(folder, NULL) == 0;
}

/* What killed runs have left: files on their way to their names. */
static void remove_partial(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        const char *last = strrchr(entry->d_name, '.');
        char *name;
        char *path;

        if (entry->d_name[0] != '.' || last == entry->d_name || last[1] == '\0' ||
            last[1 + strspn(last + 1, "0123456789")] != '\0')
            continue;
        name = pdag_xstrndup(entry->d_name + 1,
                             (size_t)(last - entry->d_name) - 1);
        path = pdag_xasprintf("%s/%s", folder, entry->d_name);
        if (is_ours(name))
            unlink(path);
        free(path);
        free(name);
    }
    if (dir != NULL)
        closedir(dir);
}

pdag_status pdag_output_open(const pdag_setup *setup, const char *command,
                             bool save_trajectory, bool force,
                             pdag_folder whose, pdag_output *output_out)
{
    const char *folder = setup->job->output;
    bool same = whose == PDAG_FOLDER_UNKNOWN ? same_job(folder, setup->job)
                                             : whose == PDAG_FOLDER_OURS;
    bool there = access(folder, F_OK) == 0;
    pdag_output output;
    pdag_status status;

    int lock = -1;

    if (!same && !force)
        return pdag_error(PDAG_ERR_ARG, "output: %s: holds another job's "
                          "results, or those of a run that was cut off (use "
                          "another folder, %sor --force)", folder,
                          strcmp(command, "run") == 0
                              ? "--resume where it is this job's, "
                              : "");
    status = pdag_folder_make(folder);
    if (status == PDAG_OK)
        status = pdag_folder_lock(folder, &lock);
    if (status != PDAG_OK)
        return status;
    remove_partial(folder);
    memset(&output, 0, sizeof output);
    output.lock = lock;
    output.made_folder = !there;
    output.replace = !same;
    output.setup = setup;
    output.command = command;
    output.save_trajectory = save_trajectory;
    time_text(output.started);
    output.began = pdag_seconds();
    output.samples = json_array();
    *output_out = output;
    return PDAG_OK;
}

void pdag_output_clear(pdag_output *output)
{
    pdag_writer_close(output->writer);
    output->writer = NULL;
    for (size_t i = 0; i < output->n_texts; i++)
        free(output->text[i]);
    free(output->text);
    output->text = NULL;
    output->n_texts = 0;
    if (output->lock > 0)
        close(output->lock);
    output->lock = 0;
    json_decref(output->samples);
    json_decref(output->verify);
    json_decref(output->prediction);
    output->samples = NULL;
    output->verify = NULL;
    output->prediction = NULL;
}

void pdag_output_withdraw(pdag_output *output)
{
    if (output->made_folder)
        rmdir(output->setup->job->output);
}

/* The old results go when the first new one is about to be written. */
static void make_room(pdag_output *output)
{
    if (output->replace)
        each_result(output->setup->job->output, unlink);
    output->replace = false;
}

/* One sample. */

/* The files of one sample, on their way to the disk; arrays owned. */
typedef struct sample_files {
    const pdag_setup *setup;
    size_t index, n_states;
    float *state, *trajectory, *picture; /* each may be NULL */
} sample_files;

static void files_destroy(sample_files *files)
{
    free(files->state);
    free(files->trajectory);
    free(files->picture);
    free(files);
}

static pdag_status write_npy(const pdag_setup *setup, const char *name,
                             const float *data, size_t n_rows)
{
    size_t dims[PDAG_MAX_DIMS];
    int n_dims = 0;

    if (n_rows > 0)
        dims[n_dims++] = n_rows;
    for (int d = 0; d < setup->n_state_dims; d++)
        dims[n_dims++] = setup->state_dims[d];
    return pdag_file_write_npy(setup->job->output, name, data, n_dims, dims);
}

static pdag_status write_picture(const pdag_setup *setup, const char *name,
                                 const float *picture)
{
    const pdag_pipeline_info *info = &setup->info;
    void *bytes;
    size_t n_bytes;
    pdag_status status =
        pdag_png_encode(picture, info->picture_height, info->picture_width,
                        info->picture_channels, &bytes, &n_bytes);

    if (status != PDAG_OK)
        return status;
    status = pdag_file_write(setup->job->output, name, bytes, n_bytes);
    free(bytes);
    return status;
}

/* On the writer's thread. */
static pdag_status write_files(void *argument)
{
    sample_files *files = argument;
    char name[64];
    pdag_status status = PDAG_OK;

    snprintf(name, sizeof name, "sample-%03zu.npy", files->index);
    if (files->state != NULL)
        status = write_npy(files->setup, name, files->state, 0);
    snprintf(name, sizeof name, "sample-%03zu.trajectory.npy", files->index);
    if (status == PDAG_OK && files->trajectory != NULL)
        status = write_npy(files->setup, name, files->trajectory, files->n_states);
    snprintf(name, sizeof name, "sample-%03zu.png", files->index);
    if (status == PDAG_OK && files->picture != NULL)
        status = write_picture(files->setup, name, files->picture);
    files_destroy(files);
    return status;
}

static pdag_status copy_floats(const float *values, size_t rows, size_t dim,
                               float **out)
{
    size_t count;
    void *memory;
    pdag_status status = PDAG_ERR_NOMEM;

    if (pdag_mul_size(rows, dim, &count))
        status = pdag_alloc_tensor(count, sizeof(float), "result", &memory);
    if (status != PDAG_OK)
        return status;
    memcpy(memory, values, count * sizeof *values);
    *out = memory;
    return PDAG_OK;
}

static pdag_status copy_result(const pdag_output *o, const pdag_sample_result *r,
                               sample_files *files)
{
    const pdag_pipeline_info *info = &o->setup->info;
    pdag_status status = copy_floats(r->trajectory + r->n_rows * r->dim, 1, r->dim,
                                     &files->state);

    if (status == PDAG_OK && o->save_trajectory)
        status = copy_floats(r->trajectory, r->n_rows + 1, r->dim,
                             &files->trajectory);
    if (status == PDAG_OK && r->picture != NULL)
        status = copy_floats(r->picture, info->picture_height,
                             info->picture_width * info->picture_channels,
                             &files->picture);
    return status;
}

/* Hand the sample's files over; without any for one that did not end. */
static pdag_status put_files(pdag_output *o, const pdag_sample_result *r,
                             bool sound)
{
    sample_files *files;
    pdag_status status = PDAG_OK;

    if (o->writer == NULL)
        status = pdag_writer_open(&o->writer);
    if (status != PDAG_OK)
        return status;
    files = pdag_xcalloc(1, sizeof *files);
    files->setup = o->setup;
    files->index = r->index;
    files->n_states = r->n_rows + 1;
    if (sound)
        status = copy_result(o, r, files);
    if (status != PDAG_OK) {
        files_destroy(files);
        return status;
    }
    return pdag_writer_put(o->writer, write_files, files);
}

pdag_status pdag_output_flush(pdag_output *o)
{
    pdag_writer *writer = o->writer;

    o->writer = NULL;
    if (writer != NULL)
        o->n_resumed = json_array_size(o->samples);
    return pdag_writer_close(writer);
}

char *pdag_output_written(pdag_output *o)
{
    size_t n = o->n_resumed +
               (o->writer != NULL ? pdag_writer_done(o->writer) : 0);
    pdag_text all = {NULL, 0, 0};

    if (n > json_array_size(o->samples))
        n = json_array_size(o->samples);
    if (n > o->n_texts)
        o->text = pdag_xrealloc(o->text, n, sizeof(char *));
    for (; o->n_texts < n; o->n_texts++) {
        char *text = json_dumps(json_array_get(o->samples, o->n_texts),
                                JSON_COMPACT | JSON_REAL_PRECISION(17));

        o->text[o->n_texts] = text != NULL ? text : pdag_xstrdup("null");
    }
    pdag_text_add(&all, "[");
    for (size_t i = 0; i < n; i++)
        pdag_text_add(&all, "%s%s", i > 0 ? ",\n" : "", o->text[i]);
    pdag_text_add(&all, "]");
    return all.at;
}

pdag_status pdag_output_sample(pdag_output *o, const pdag_sample_result *r)
{
    bool sound = r->stop != PDAG_STOPPED_FAILED &&
                 r->stop != PDAG_STOPPED_STOPPED;
    char image[64];
    char state[64];
    pdag_status status;

    snprintf(image, sizeof image, "sample-%03zu.png", r->index);
    snprintf(state, sizeof state, "sample-%03zu.npy", r->index);
    make_room(o);
    status = put_files(o, r, sound);
    if (status == PDAG_OK)
        json_array_append_new(
            o->samples,
            pdag_output_entry(o, r, sound && r->picture != NULL ? image : NULL,
                              sound ? state : NULL));
    return status;
}

/* run.json */

static int by_index(const void *a, const void *b)
{
    json_int_t i = json_integer_value(
        json_object_get(*(json_t *const *)a, "index"));
    json_int_t j = json_integer_value(
        json_object_get(*(json_t *const *)b, "index"));

    return (i > j) - (i < j);
}

static json_t *sorted_samples(const json_t *samples)
{
    size_t n = json_array_size(samples);
    json_t **list = pdag_xcalloc(n, sizeof *list);
    json_t *sorted = json_array();

    for (size_t i = 0; i < n; i++)
        list[i] = json_array_get(samples, i);
    qsort(list, n, sizeof *list, by_index);
    for (size_t i = 0; i < n; i++)
        json_array_append(sorted, list[i]);
    free(list);
    return sorted;
}

static json_t *workers_json(const pdag_run_result *result, bool dedicated)
{
    json_t *workers = json_array();

    for (size_t w = 0; w < result->n_workers; w++) {
        const pdag_worker_info *info = &result->worker[w];

        json_array_append_new(
            workers,
            json_pack("{s:I, s:s, s:s, s:I, s:I, s:f, s:f, s:f, s:f}", "rank",
                      (json_int_t)(w + (dedicated ? 1 : 0)), "host", info->host,
                      "device", info->device, "tasks",
                      (json_int_t)info->stats.tasks, "rows",
                      (json_int_t)info->stats.rows, "seconds_busy",
                      info->stats.seconds_busy, "seconds_waiting",
                      info->stats.seconds_waiting, "seconds_messages",
                      info->stats.seconds_messages, "seconds_load",
                      info->stats.seconds_load));
    }
    return workers;
}

pdag_status pdag_output_run(pdag_output *o, const pdag_session *session,
                            int exit_status, const char *failure)
{
    const pdag_job *job = o->setup->job;
    const pdag_run_result *result = &session->last;
    pdag_graph graph = pdag_graph_make(o->setup->transition->n_rows,
                                       (size_t)job->block_rows);
    char finished[32];
    json_t *root;
    pdag_status status = pdag_output_flush(o);

    if (status != PDAG_OK && failure == NULL)
        return status;
    time_text(finished);
    root = json_pack(
        "{s:s, s:s, s:s, s:s, s:i, s:s?, s:o, s:i, s:o, s:{s:f, s:f, s:f, s:f, "
        "s:f}, s:{s:I, s:I, s:I}, s:b, s:s, s:{s:s, s:s}, s:o}",
        "version", PDAG_VERSION, "command", o->command, "started", o->started,
        "finished", finished, "exit_status", exit_status, "error", failure,
        "job", pdag_job_to_json(job), "ranks", session->n_ranks, "workers",
        workers_json(result, session->dedicated), "seconds", "total",
        pdag_seconds() - o->began, "load", session->seconds_load, "encode",
        session->seconds_encode, "sample", session->seconds_sample, "decode",
        session->seconds_decode, "graph", "rows", (json_int_t)graph.n_rows,
        "blocks", (json_int_t)graph.n_blocks, "block_rows",
        (json_int_t)graph.block_rows, "reproducible", result->reproducible,
        "reproducible_reason",
        result->reproducible ? "all workers are of one kind"
        : result->cut        ? "a worker was short of memory and evaluated blocks "
                               "in parts"
                             : "workers of unlike kind took part",
        "versions", "mpi", pdag_mpi_version(), "jansson", JANSSON_VERSION,
        "samples", sorted_samples(o->samples));
    if (root != NULL && o->verify != NULL)
        json_object_set(root, "verify", o->verify);
    if (root != NULL && o->prediction != NULL)
        json_object_set(root, "prediction", o->prediction);
    status = pdag_output_json(o, "run.json", root);
    json_decref(root);
    return status;
}

pdag_status pdag_output_file(pdag_output *o, const char *name, const void *bytes,
                             size_t n_bytes)
{
    make_room(o);
    return pdag_file_write(o->setup->job->output, name, bytes, n_bytes);
}

pdag_status pdag_output_json(pdag_output *o, const char *name,
                             const json_t *root)
{
    char *text;
    pdag_status status;

    if (root == NULL)
        return pdag_error(PDAG_ERR_INTERNAL, "%s cannot be made", name);
    text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    if (text == NULL)
        return pdag_error(PDAG_ERR_INTERNAL, "%s cannot be written as text: a "
                          "number is not finite", name);
    status = pdag_output_file(o, name, text, strlen(text));
    free(text);
    return status;
}
