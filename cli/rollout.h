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
 *  cmd_rollout.c is the command, rollout_episode.c the loop, rollout_report.c what
 *  is written about it. */
#ifndef PDAG_CLI_ROLLOUT_H
#define PDAG_CLI_ROLLOUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
} pdag_episode;

typedef struct pdag_rollout {
    pdag_options options;
    size_t n_episodes;
    bool has_first_seed;
    uint64_t first_seed;
    pdag_setup setup;
    pdag_environment *env;
    pdag_output output;
    size_t horizon, action_dim, first_action, n_actions;
    float *condition; /* [info.cond_dim] of the next plan */
    float *plan;      /* [horizon][action_dim] actions of the newest */
    float *guess;     /* [2][D]: mean and variance of the next plan as expected,
                         normalised; NULL without warm start */
    float *final;     /* [D]: the newest plan, normalised; NULL as `guess` */
    size_t rounds, evaluations; /* of the newest plan */
    bool converged;
    pdag_episode *episode; /* [n_episodes] */
    size_t n_done;
    double *latency; /* [n_plans], seconds, in order */
    size_t n_plans, n_converged;
    bool stopped; /* by a signal, in an episode that does not count */
} pdag_rollout;

/** Sizes, memory, environment, from the options and the setup; clear in any
 *  case. */
pdag_status pdag_rollout_prepare(pdag_rollout *r);
void pdag_rollout_clear(pdag_rollout *r);

/** Episode r->n_done, its picture into the output folder.  A signal stops it after
 *  the plan at hand: then it does not count, and r->stopped is set. */
pdag_status pdag_rollout_episode(pdag_rollout *r, pdag_session *session);

/** What rollout.json says; owned by the caller. */
json_t *pdag_rollout_json(const pdag_rollout *r, const pdag_session *session,
                          int exit_status);
/** The same in a few lines. */
void pdag_rollout_print(const pdag_rollout *r);

#ifdef __cplusplus
}
#endif
#endif
