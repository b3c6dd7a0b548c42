/** tools/train/pusht_model.h: PushT's physics in a few dozen operations a step, for
 *  planning: one thousand futures are tried for each action that is taken.  Close
 *  to control/pusht.h, not equal: what is planned here is carried out there. */
#ifndef PDAG_TOOLS_PUSHT_MODEL_H
#define PDAG_TOOLS_PUSHT_MODEL_H

#include "control/pusht.h"

typedef struct pusht_model {
    pdag_point agent, velocity; /* pixels, pixels a second */
    pdag_point centre;          /* of gravity */
    double angle, cosine, sine;
    pdag_point push; /* the block's velocity: it lasts one physics step */
    double spin;     /* likewise, radians a second */
} pusht_model;

void pusht_model_start(pusht_model *model, const pdag_pusht_state *state);

/** One control step of 0.1 s towards the target. */
void pusht_model_step(pusht_model *model, pdag_point target);

/** Where a point of the block's frame is. */
pdag_point pusht_model_point(const pusht_model *model, pdag_point point);

/** From the agent's edge to the block, pixels; below 0: they overlap. */
double pusht_model_gap(const pusht_model *model);

#endif
