#include "cli/keeper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#define REPORT "run.report"

/* The report of a checkpoint: entries of run.json's `samples`. */
static json_t *read_report(const pdag_checkpoint *cp)
{
    const void *bytes;
    size_t n;
    json_t *report;

    if (pdag_checkpoint_find(cp, REPORT, PDAG_CHECKPOINT_BYTES, &bytes, &n) !=
        PDAG_OK)
        return json_array();
    report = json_loadb(bytes, n, 0, NULL);
    if (json_is_array(report))
        return report;
    json_decref(report);
    return json_array();
}

/* Whether the files of an entry are still there. */
static bool has_files(const pdag_setup *setup, bool trajectory,
                      const json_t *entry)
{
    static const char *const keys[] = {"state", "image"};
    bool all = true;

    for (size_t i = 0; i < 2; i++) {
        const char *name = json_string_value(json_object_get(entry, keys[i]));
        char *path;

        if (name == NULL)
            continue;
        path = pdag_xasprintf("%s/%s", setup->job->output, name);
        all = all && access(path, R_OK) == 0;
        free(path);
    }
    if (trajectory) {
        char *path = pdag_xasprintf(
            "%s/sample-%03lld.trajectory.npy", setup->job->output,
            (long long)json_integer_value(json_object_get(entry, "index")));

        all = all && access(path, R_OK) == 0;
        free(path);
    }
    return all;
}

/* Keep the entries whose files are there, and mark their samples. */
static void take_report(pdag_keeper *k)
{
    json_t *report = read_report(k->resumed);
    size_t n = (size_t)k->setup->job->samples;

    k->report = json_array();
    k->ended = pdag_xcalloc(n, sizeof *k->ended);
    for (size_t i = 0; i < json_array_size(report); i++) {
        json_t *entry = json_array_get(report, i);
        json_t *index = json_object_get(entry, "index");

        if (!json_is_integer(index) || json_integer_value(index) < 0 ||
            (size_t)json_integer_value(index) >= n ||
            !has_files(k->setup, k->trajectory, entry))
            continue;
        k->ended[json_integer_value(index)] = true;
        json_array_append(k->report, entry);
    }
    json_decref(report);
}

/* Whose a checkpoint is; one whose job cannot be read is not ours. */
static pdag_folder whose(const pdag_setup *setup, const pdag_checkpoint *cp)
{
    const void *bytes;
    size_t n;
    pdag_job *job;
    bool same;

    bytes = pdag_checkpoint_job(cp, &n);
    if (pdag_job_unpack(bytes, n, &job) != PDAG_OK)
        return PDAG_FOLDER_OTHERS;
    same = pdag_output_same_job(setup->job, job);
    pdag_job_destroy(job);
    return same ? PDAG_FOLDER_OURS : PDAG_FOLDER_OTHERS;
}

/* A line each. */
static void tell_notes(const char *notes)
{
    while (notes != NULL && *notes != '\0') {
        size_t n = strcspn(notes, "\n");

        fprintf(stderr, "picard-dag: %.*s\n", (int)n, notes);
        notes += n + (notes[n] == '\n');
    }
}

static pdag_status go_on_from(pdag_keeper *k, const char *notes)
{
    const char *folder = k->setup->job->output;

    tell_notes(notes);
    if (k->whose == PDAG_FOLDER_OTHERS)
        return pdag_error(PDAG_ERR_ARG, "output: %s: its checkpoint is another "
                          "job's (use another folder, or --force without "
                          "--resume)", folder);
    if (k->whose == PDAG_FOLDER_UNKNOWN)
        fprintf(stderr, "picard-dag: no checkpoint in %s: starting anew\n",
                folder);
    else
        take_report(k);
    return PDAG_OK;
}

pdag_status pdag_keeper_find(const pdag_setup *setup, bool resume,
                             bool trajectory, pdag_keeper *k)
{
    char *notes = NULL;
    pdag_status status;

    memset(k, 0, sizeof *k);
    k->setup = setup;
    k->trajectory = trajectory;
    status = pdag_store_newest(setup->job->output, &k->resumed, &notes);
    if (status == PDAG_OK && k->resumed != NULL)
        k->whose = whose(setup, k->resumed);
    if (status == PDAG_OK && resume)
        status = go_on_from(k, notes);
    free(notes);
    if (status != PDAG_OK || !resume) {
        pdag_checkpoint_destroy(k->resumed);
        k->resumed = NULL;
    }
    return status;
}

pdag_status pdag_keeper_open(pdag_keeper *k, pdag_output *output)
{
    pdag_status status = PDAG_OK;

    k->setup = output->setup;
    k->output = output;
    if (output->replace)
        status = pdag_store_remove(output->setup->job->output);
    if (k->report != NULL)
        json_array_extend(output->samples, k->report);
    output->n_resumed = json_array_size(output->samples);
    return status == PDAG_OK
               ? pdag_store_open(output->setup->job->output, &k->store) : status;
}

static pdag_status add_report(const pdag_keeper *k, pdag_checkpoint *cp)
{
    char *text = pdag_output_written(k->output);
    void *room;
    pdag_status status =
        pdag_checkpoint_add(cp, REPORT, PDAG_CHECKPOINT_BYTES, strlen(text),
                                 &room);
    if (status == PDAG_OK)
        memcpy(room, text, strlen(text));
    free(text);
    return status;
}

pdag_status pdag_keeper_save(void *user, pdag_checkpoint *cp, bool last)
{
    pdag_keeper *k = user;
    pdag_status status = add_report(k, cp);

    if (status != PDAG_OK || k->store == NULL) {
        pdag_checkpoint_destroy(cp);
        return status;
    }
    status = pdag_store_put(k->store, cp);
    if (status == PDAG_OK)
        k->n_saved++;
    if (last) {
        pdag_status closed = pdag_store_close(k->store);

        /* An earlier failure does not matter once the last one is on the disk. */
        k->store = NULL;
        return closed;
    }
    /* A full disk now may not be full when it counts. */
    if (status != PDAG_OK && !k->told)
        fprintf(stderr, "picard-dag: a checkpoint could not be written: %s\n",
                pdag_error_text());
    k->told = k->told || status != PDAG_OK;
    return PDAG_OK;
}

void pdag_keeper_close(pdag_keeper *k, bool done)
{
    if (k->store != NULL && pdag_store_close(k->store) != PDAG_OK && !k->told &&
        !done)
        fprintf(stderr, "picard-dag: a checkpoint could not be written: %s\n",
                pdag_error_text());
    k->store = NULL;
    if (done && k->setup != NULL)
        pdag_store_remove(k->setup->job->output);
    pdag_checkpoint_destroy(k->resumed);
    json_decref(k->report);
    free(k->ended);
    memset(k, 0, sizeof *k);
}
