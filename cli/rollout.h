/** cli/rollout.h: episodes of a policy in closed loop, receding horizon: observe,
 *  plan, do the first actions of the plan, again (Chi et al. 2023,
 *  arXiv:2303.04137, section 4).
 *
 *  Every plan is a run of the session with one sample.  Plan p of the episode with
 *  seed s draws its noise from seed 1024 s + p, so that it does not depend on how
 *  earlier plans were sampled.
 *
 *  A warm start (solver.start `trajectory`) expects of the next plan what the one
 *  before it has planned for the same times, and its last action after that: a
 *  Gaussian with that mean, whose variance is what such expectations have been off
 *  by in this episode.  The first guess is that Gaussian's own trajectory from the
 *  new noise (graph/entry.h); it moves no fixed point.
 *
 *  cmd_rollout.c is the command, rollout_episode.c the loop, rollout_files.c the
 *  files of its plans, rollout_report.c what is written about it, rollout_resume.c
 *  how one that was stopped goes on. */
#ifndef PDAG_CLI_ROLLOUT_H
#define PDAG_CLI_ROLLOUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/iterates.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/setup.h"
#include "control/environment.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PDAG_ROLLOUT_SEED_FACTOR 1024 /* more than plans in an episode */

typedef struct pdag_episode {
    uint64_t seed;
    double score; /* best reward of its steps */
    bool success;
    size_t steps, plans;
    size_t rounds, evaluations; /* of all its plans */
    size_t n_converged;         /* plans */
} pdag_episode;

typedef struct pdag_rollout {
    pdag_options options;
    size_t n_episodes;
    bool has_first_seed;
    uint64_t first_seed;
    bool save_trajectory, save_iterates, resume;
    pdag_setup setup;
    pdag_environment *env;
    pdag_output output;
    size_t horizon, action_dim, first_action, n_actions;
    float *condition; /* [info.cond_dim] of the next plan */
    float *plan;      /* [horizon][action_dim] actions of the newest */
    float *guess;     /* [2][D]: mean and variance of the next plan as expected,
                         normalised; NULL without warm start */
    float *final;     /* [D]: the newest plan, normalised; NULL as `guess` */
    float *trajectory; /* [N + 1][D]: the newest plan's, or NULL: not kept */
    pdag_iterates *iterates; /* of the plan at hand, or NULL: not kept */
    size_t rounds, evaluations; /* of the newest plan */
    bool converged;
    pdag_folder whose; /* the rollout in the output folder */
    json_t *before;    /* rollout.json as this start found it, where it goes on from
                          that; or NULL */
    bool begun;        /* rollout.json of this start is there */
    pdag_episode *episode; /* [n_episodes] */
    size_t n_done;
    double *latency; /* [n_timed], ms: plans of this start, in order */
    size_t n_timed;
    bool stopped; /* by a signal, in an episode that does not count */
} pdag_rollout;

/** Sizes, memory, environment, from the options and the setup; clear in any
 *  case. */
pdag_status pdag_rollout_prepare(pdag_rollout *r);
void pdag_rollout_clear(pdag_rollout *r);

/** Before the output folder is opened: whose the rollout.json in it is (r->whose).
 *  With r->resume the episodes there that have ended, up to the first whose files
 *  are not all there, are this rollout's first (r->n_done); without a rollout.json
 *  it starts anew, which is told on standard error.  PDAG_ERR_ARG: it is another
 *  job's, of other seeds, of other model files, or of more episodes than asked for;
 *  PDAG_ERR_INPUT, _FORMAT. */
pdag_status pdag_rollout_find(pdag_rollout *r);

/** Episode r->n_done; its picture and what is kept of its plans go into the output
 *  folder, and before the first of these a rollout.json, so that one that is killed
 *  can go on.  A signal stops the episode after the
 *  plan at hand: then it does not count, and r->stopped is set. */
pdag_status pdag_rollout_episode(pdag_rollout *r, pdag_session *session);

/** Files of plan `plan` of episode r->n_done, the newest: those that were asked
 *  for.  PDAG_ERR_IO. */
pdag_status pdag_rollout_keep_plan(pdag_rollout *r, size_t plan);

/** Whether the picture of episode k and what is kept of its plans are there. */
bool pdag_rollout_has_files(const pdag_rollout *r, size_t k, size_t n_plans);

/** Remove the files of episode r->n_done and those behind it: of a rollout before
 *  this one into the same folder, or of an episode that was stopped. */
void pdag_rollout_remove(const pdag_rollout *r);

/** The job as it was given: where plans start from the one before them, it says so;
 *  and the lines of setup.files.  New references. */
json_t *pdag_rollout_job_json(const pdag_rollout *r);
json_t *pdag_rollout_files_json(const pdag_rollout *r);

/** Exit status as far as it has come: not all episodes, or plans that did not
 *  converge, or neither. */
int pdag_rollout_status(const pdag_rollout *r);

/** rollout.json, of the episodes that have ended.  PDAG_ERR_IO. */
pdag_status pdag_rollout_write(pdag_rollout *r, const pdag_session *session,
                               int exit_status);
/** The same in a few lines. */
void pdag_rollout_print(const pdag_rollout *r);

#ifdef __cplusplus
}
#endif
#endif
