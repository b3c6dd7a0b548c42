/** control/pusht.h: PushT's world behind the environment of that name, for those
 *  who need more of it than a policy may see: demonstrations, tests, replays.
 *
 *  The task of Florence et al. 2021 (arXiv:2109.00137) in the form of Chi et al.
 *  2023 (arXiv:2303.04137): a round agent pushes a T-shaped block onto its goal
 *  pose, on a plane of 512 x 512 pixels seen from above (x right, y down).  There
 *  is no friction; a block that is not pushed stands still.  The agent follows its
 *  target with a PD controller at 100 Hz; the target changes at 10 Hz. */
#ifndef PDAG_CONTROL_PUSHT_H
#define PDAG_CONTROL_PUSHT_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "control/tee.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PDAG_PUSHT_SIZE 512         /* pixels */
#define PDAG_PUSHT_AGENT_RADIUS 15  /* pixels */
#define PDAG_PUSHT_SUCCESS 0.95     /* of coverage */
#define PDAG_PUSHT_MAX_STEPS 300    /* control steps of an episode */
#define PDAG_PUSHT_MAX_SEED 4294967295u /* numpy's */

typedef struct pdag_pusht pdag_pusht;

/** Everything that moves.  Contacts that the physics remembers are not in it: a
 *  world placed on another's state goes on nearly, not exactly, as that one. */
typedef struct pdag_pusht_state {
    pdag_point agent;
    pdag_point velocity; /* the agent's, pixels a second */
    pdag_pose block;
} pdag_pusht_state;

/** The state that numpy's RandomState(seed) draws, before the block is turned: see
 *  pdag_pusht_reset(). */
pdag_pusht_state pdag_pusht_start(uint32_t seed);

/** What a policy sees of a state, in pixels: PDAG_PUSHT_STATE_DIM numbers are agent
 *  (x, y), block (x, y) and its angle in [0, 2 pi); PDAG_PUSHT_KEYPOINTS_DIM are
 *  the nine points (x, y) of the block, then the agent.  Other lengths are not
 *  allowed. */
#define PDAG_PUSHT_STATE_DIM 5
#define PDAG_PUSHT_KEYPOINTS_DIM (2 * PDAG_TEE_KEYPOINTS + 2)
void pdag_pusht_observe(const pdag_pusht_state *state, size_t dim,
                        float *observation_out);

/** PDAG_ERR_UNSUPPORTED: built without Chipmunk.  Not yet reset. */
pdag_status pdag_pusht_create(pdag_pusht **world_out);
void pdag_pusht_destroy(pdag_pusht *world);

/** A fresh world at `start`.  As in the public evaluations the block is placed
 *  with angle 0 first and then turned about its centre of gravity, so that its
 *  origin ends elsewhere than at start.block; then 10 ms pass. */
void pdag_pusht_reset(pdag_pusht *world, const pdag_pusht_state *start);

/** The state now; the angle is not wrapped. */
pdag_pusht_state pdag_pusht_now(const pdag_pusht *world);

/** Set everything that moves, exactly; what the world remembers of contacts
 *  stays.  For planning, where many futures start from one state. */
void pdag_pusht_place(pdag_pusht *world, const pdag_pusht_state *state);

/** One control step of 0.1 s towards the target (x, y). */
void pdag_pusht_step(pdag_pusht *world, double x, double y);

#ifdef __cplusplus
}
#endif
#endif
