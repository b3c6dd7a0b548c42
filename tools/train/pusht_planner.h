/** tools/train/pusht_planner.h: actions for PushT by the cross-entropy method
 *  (Rubinstein 1999, doi:10.1023/A:1010091220143) on tools/train/pusht_model.h:
 *  many sequences of targets are tried, the best ones give the distribution that
 *  the next ones are drawn from. */
#ifndef PDAG_TOOLS_PUSHT_PLANNER_H
#define PDAG_TOOLS_PUSHT_PLANNER_H

#include <stdbool.h>

#include "control/pusht.h"

/** Control steps that one plan looks ahead. */
#define PUSHT_HORIZON 25

typedef struct pusht_planner pusht_planner;

/** Never NULL. */
pusht_planner *pusht_planner_create(uint32_t seed);
void pusht_planner_destroy(pusht_planner *planner);

/** Forget the plan of the episode before. */
void pusht_planner_reset(pusht_planner *planner);

/** The next targets from this state on, `last` being the target that the agent
 *  follows now, and `steps` of the plan before carried out since.  False: nothing
 *  was found that is better than standing still. */
bool pusht_planner_plan(pusht_planner *planner, const pdag_pusht_state *state,
                        pdag_point last, int steps,
                        pdag_point actions_out[PUSHT_HORIZON]);

#endif
