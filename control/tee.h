/** control/tee.h: the T-shaped block of PushT and how much of its goal it covers.
 *
 *  Plane geometry in the task's pixels: x to the right, y down, angles in radians
 *  from x towards y.  A pose is where the block's own origin (the middle of the
 *  bar's outer edge) is, and its angle. */
#ifndef PDAG_CONTROL_TEE_H
#define PDAG_CONTROL_TEE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_point {
    double x, y;
} pdag_point;

typedef struct pdag_pose {
    double x, y, angle;
} pdag_pose;

/** Bar and stem, convex, corners in order, in the block's own frame. */
#define PDAG_TEE_PARTS 2
#define PDAG_TEE_CORNERS 4
extern const pdag_point pdag_tee_parts[PDAG_TEE_PARTS][PDAG_TEE_CORNERS];

/** The public keypoint environment's nine points, in the block's own frame. */
#define PDAG_TEE_KEYPOINTS 9
extern const pdag_point pdag_tee_keypoints[PDAG_TEE_KEYPOINTS];

extern const pdag_pose pdag_tee_goal;

/** Where a point of the block's frame is in the world. */
pdag_point pdag_pose_apply(pdag_pose pose, pdag_point point);

/** Area that a block at `pose` shares with one at `goal`, over the block's area: 1
 *  where they lie on each other. */
double pdag_tee_coverage(pdag_pose pose, pdag_pose goal);

/** Area of the overlap of two convex polygons of 3..8 corners, given in the same
 *  direction of rotation; 0 where they do not overlap. */
double pdag_convex_overlap(const pdag_point *a, size_t n_a, const pdag_point *b,
                           size_t n_b);

#ifdef __cplusplus
}
#endif
#endif
