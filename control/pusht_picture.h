/** control/pusht_picture.h: PushT's scene as a picture. */
#ifndef PDAG_CONTROL_PUSHT_PICTURE_H
#define PDAG_CONTROL_PUSHT_PICTURE_H

#include "control/picture.h"
#include "control/pusht.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Goal, walls, block, agent, and the action [2] as a cross where it is not NULL;
 *  fills the whole of a square picture. */
void pdag_pusht_draw(const pdag_pusht_state *state, const float *action,
                     pdag_picture *picture);

#ifdef __cplusplus
}
#endif
#endif
