/* PushT as an environment: what a policy sees and gets of control/pusht.h. */
#include <math.h>
#include <stdlib.h>

#include "base/fatal.h"
#include "base/rng_numpy.h"
#include "control/environment.h"
#include "control/pusht.h"
#include "control/pusht_picture.h"

static const double turn = 6.28318530717958647692;

static const size_t observation_dims[] = {PDAG_PUSHT_STATE_DIM,
                                          PDAG_PUSHT_KEYPOINTS_DIM};

static const pdag_environment_info info = {
    .name = "pusht",
    .action_dim = 2,
    .action_low = 0,
    .action_high = PDAG_PUSHT_SIZE,
    .max_steps = PDAG_PUSHT_MAX_STEPS,
    .max_seed = PDAG_PUSHT_MAX_SEED,
    .observation_dims = observation_dims,
    .n_observation_dims = sizeof observation_dims / sizeof observation_dims[0],
};

pdag_pusht_state pdag_pusht_start(uint32_t seed)
{
    pdag_rng_numpy *rng = pdag_rng_numpy_create(seed);
    pdag_pusht_state state = {{0, 0}, {0, 0}, {0, 0, 0}};

    state.agent.x = (double)pdag_rng_numpy_integer(rng, 50, 450);
    state.agent.y = (double)pdag_rng_numpy_integer(rng, 50, 450);
    state.block.x = (double)pdag_rng_numpy_integer(rng, 100, 400);
    state.block.y = (double)pdag_rng_numpy_integer(rng, 100, 400);
    state.block.angle = pdag_rng_numpy_normal(rng) * 2 * (turn / 2) - turn / 2;
    pdag_rng_numpy_destroy(rng);
    return state;
}

static pdag_status pusht_create(void **state_out)
{
    pdag_pusht *world = NULL;
    pdag_status status = pdag_pusht_create(&world);

    if (status == PDAG_OK)
        *state_out = world;
    return status;
}

static void pusht_destroy(void *state)
{
    pdag_pusht_destroy(state);
}

static void pusht_reset(void *state, uint64_t seed)
{
    pdag_pusht_state start = pdag_pusht_start((uint32_t)seed);

    pdag_pusht_reset(state, &start);
}

/* In [0, 2 pi), as Python's % does it. */
static double wrapped(double angle)
{
    double rest = fmod(angle, turn);

    return rest < 0 ? rest + turn : rest;
}

void pdag_pusht_observe(const pdag_pusht_state *state, size_t dim,
                        float *observation_out)
{
    size_t n = 0;

    if (dim == PDAG_PUSHT_STATE_DIM) {
        observation_out[0] = (float)state->agent.x;
        observation_out[1] = (float)state->agent.y;
        observation_out[2] = (float)state->block.x;
        observation_out[3] = (float)state->block.y;
        observation_out[4] = (float)wrapped(state->block.angle);
        return;
    }
    PDAG_ASSERT(dim == PDAG_PUSHT_KEYPOINTS_DIM);
    for (int j = 0; j < PDAG_TEE_KEYPOINTS; j++) {
        pdag_point point = pdag_pose_apply(state->block, pdag_tee_keypoints[j]);

        observation_out[n++] = (float)point.x;
        observation_out[n++] = (float)point.y;
    }
    observation_out[n++] = (float)state->agent.x;
    observation_out[n++] = (float)state->agent.y;
}

static void pusht_observe(const void *state, size_t dim, float *observation_out)
{
    pdag_pusht_state now = pdag_pusht_now(state);

    pdag_pusht_observe(&now, dim, observation_out);
}

static void pusht_step(void *state, const float *action,
                       pdag_environment_result *result_out)
{
    double coverage;

    pdag_pusht_step(state, (double)action[0], (double)action[1]);
    coverage = pdag_tee_coverage(pdag_pusht_now(state).block, pdag_tee_goal);
    result_out->coverage = coverage;
    result_out->reward = fmin(coverage / PDAG_PUSHT_SUCCESS, 1);
    result_out->success = coverage > PDAG_PUSHT_SUCCESS;
}

static void pusht_draw(const void *state, const float *action,
                       pdag_picture *picture)
{
    pdag_pusht_state now = pdag_pusht_now(state);

    pdag_pusht_draw(&now, action, picture);
}

const pdag_environment_ops pdag_environment_pusht = {
    .info = &info,
    .create = pusht_create,
    .destroy = pusht_destroy,
    .reset = pusht_reset,
    .observe = pusht_observe,
    .step = pusht_step,
    .draw = pusht_draw,
};
