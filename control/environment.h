/** control/environment.h: a task in which a policy acts, in closed loop.
 *
 *  An environment is reset from a seed, observed, and stepped with one action at a
 *  time; a variant is one ops table (pdag_environment_ops).  All of them are exact:
 *  the same seed and the same actions give the same bits on the same machine.
 *  Nothing is written to standard output.
 *
 *      pdag_environment_open("pusht", &env);
 *      pdag_environment_reset(env, seed);
 *      for (step = 0; step < info->max_steps && !result.success; step++) {
 *          pdag_environment_observe(env, dim, observation);
 *          ... choose an action ...
 *          pdag_environment_step(env, action, &result);
 *      }
 *      pdag_environment_close(env);
 *
 *  The score of an episode is the best reward of its steps. */
#ifndef PDAG_CONTROL_ENVIRONMENT_H
#define PDAG_CONTROL_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "control/picture.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_environment pdag_environment;

typedef struct pdag_environment_info {
    const char *name;
    size_t action_dim;
    double action_low, action_high; /* of every number of a sensible action; others
                                       are taken too, unless far outside */
    size_t max_steps;               /* of an episode */
    uint64_t max_seed;              /* inclusive */
    const size_t *observation_dims; /* [n_observation_dims]: the kinds of
                                       observation there are, by their length */
    size_t n_observation_dims;
} pdag_environment_info;

typedef struct pdag_environment_result {
    double reward;   /* in [0, 1] */
    double coverage; /* what the reward is made of, in the task's own terms */
    bool success;    /* the task is done; further steps are allowed */
} pdag_environment_result;

/** PDAG_ERR_ARG: no environment of this name (the text lists them);
 *  PDAG_ERR_UNSUPPORTED: not built in, the text says what is missing. */
pdag_status pdag_environment_open(const char *name, pdag_environment **env_out);
void pdag_environment_close(pdag_environment *env);

/** Borrowed, lives as long as the environment. */
const pdag_environment_info *
pdag_environment_info_of(const pdag_environment *env);

/** Start an episode.  PDAG_ERR_ARG: the seed is over info.max_seed. */
pdag_status pdag_environment_reset(pdag_environment *env, uint64_t seed);

/** Whether it has observations of `dim` numbers; PDAG_ERR_SHAPE listing those it
 *  has. */
pdag_status pdag_environment_check_observation(const pdag_environment *env,
                                               size_t dim);

/** What is there to be seen now: observation_out is [dim], raw numbers in the
 *  task's units; `dim` is one of info.observation_dims. */
void pdag_environment_observe(const pdag_environment *env, size_t dim,
                              float *observation_out);

/** One control step with action [action_dim].  PDAG_ERR_NAN: a number of it is not
 *  finite or absurdly far outside; then nothing moved. */
pdag_status pdag_environment_step(pdag_environment *env, const float *action,
                                  pdag_environment_result *result_out);

/** Draw the scene, with the last action since the reset, if any, onto the whole
 *  of a square picture. */
void pdag_environment_draw(const pdag_environment *env, pdag_picture *picture);

/** One variant.  `state` is what create() made; the functions are those above,
 *  with their arguments checked. */
typedef struct pdag_environment_ops {
    const pdag_environment_info *info;
    pdag_status (*create)(void **state_out);
    void (*destroy)(void *state);
    void (*reset)(void *state, uint64_t seed);
    void (*observe)(const void *state, size_t dim, float *observation_out);
    void (*step)(void *state, const float *action,
                 pdag_environment_result *result_out);
    void (*draw)(const void *state, const float *action, /* NULL: none yet */
                 pdag_picture *picture);
} pdag_environment_ops;

extern const pdag_environment_ops pdag_environment_pusht;

#ifdef __cplusplus
}
#endif
#endif
