/** cli/output.h: what a command leaves in its output folder (docs/outputs.md):
 *  sample-000.png, sample-000.npy, sample-000.trajectory.npy and run.json of a run;
 *  verify.json; compare.csv, .html and .json; rollout.json. */
#ifndef PDAG_CLI_OUTPUT_H
#define PDAG_CLI_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/session.h"
#include "cli/setup.h"
#include "cli/writer.h"
#include "scheduler/run.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_output {
    const pdag_setup *setup; /* borrowed */
    const char *command;
    bool save_trajectory;
    char started[32];   /* RFC 3339 */
    double began;       /* pdag_seconds() */
    json_t *samples;    /* array, in order of ending */
    json_t *verify;     /* block of run.json, owned, or NULL, as the next */
    json_t *prediction;
    size_t n_texts;     /* entries of `samples` that are text already */
    char **text;        /* [n_texts], owned */
    size_t n_residuals; /* entries of residual_history so far */
    int lock;           /* the folder, locked; -1: not */
    size_t n_resumed;   /* the first entries of `samples`: written before */
    pdag_writer *writer; /* NULL until a sample is written */
    bool made_folder;   /* the folder was not there before */
    bool replace;       /* remove the old results before the first new one */
} pdag_output;

/** Whether two resolved jobs have the same results: all fields but `output`,
 *  `policy` and `model.delay_ms` are the same. */
bool pdag_output_same_job(const pdag_job *a, const pdag_job *b);
/** The same of the `job` of two reports; false where one is none. */
bool pdag_output_same_json(const json_t *a, const json_t *b);

/** Whether a file of this name is one of an episode of rollout: episode-000.png, or
 *  of one of its plans, episode-000-plan-000.trajectory.npy and the like; and of
 *  which episode. */
bool pdag_output_of_episode(const char *name, size_t *episode_out);

/** Whose the checkpoint in a folder is, which says whose the results there are. */
typedef enum pdag_folder {
    PDAG_FOLDER_UNKNOWN, /* there is none */
    PDAG_FOLDER_OURS,
    PDAG_FOLDER_OTHERS
} pdag_folder;

/** Make the folder; refuse one that holds other results unless `force`, which
 *  removes those when the first new one is there.  PDAG_ERR_ARG names the
 *  folder. */
pdag_status pdag_output_open(const pdag_setup *setup, const char *command,
                             bool save_trajectory, bool force,
                             pdag_folder whose, pdag_output *output_out);
void pdag_output_clear(pdag_output *output);

/** Nothing was started: leave no empty folder behind. */
void pdag_output_withdraw(pdag_output *output);

/** Files of one sample, and its entry of run.json.  What it needs of the result is
 *  copied; a thread writes the files.  PDAG_ERR_IO, _NOMEM: of this or an earlier
 *  sample. */
pdag_status pdag_output_sample(pdag_output *output,
                               const pdag_sample_result *result);

/** Wait until the files of all samples are there; PDAG_ERR_IO where one could not
 *  be written. */
pdag_status pdag_output_flush(pdag_output *output);

/** Entries of samples whose files are there already, as the text of a JSON array;
 *  malloc'ed.  Each is made into text once, however many checkpoints have it. */
char *pdag_output_written(pdag_output *output);

/** run.json.  `failure`: text of what went wrong, or NULL.  Of the session, the
 *  workers of its last run and the seconds of all. */
pdag_status pdag_output_run(pdag_output *output, const pdag_session *session,
                            int exit_status, const char *failure);

/** A file of the command's own.  PDAG_ERR_IO. */
pdag_status pdag_output_file(pdag_output *output, const char *name,
                             const void *bytes, size_t n_bytes);
/** The same with this JSON as text. */
pdag_status pdag_output_json(pdag_output *output, const char *name,
                             const json_t *root);

/** A sample's entry of run.json; image, state: its files, or NULL.  Entries get
 *  no residual_history any more when there is too much of it.  A new reference. */
json_t *pdag_output_entry(pdag_output *output, const pdag_sample_result *result,
                          const char *image, const char *state);

/** A seed: an integer, or a text where it is too large for one. */
json_t *pdag_output_seed_json(uint64_t seed);

#ifdef __cplusplus
}
#endif
#endif
