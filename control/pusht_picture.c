/* The public environment's scene and colours. */
#include "control/pusht_picture.h"

#include <math.h>

#include "base/fatal.h"

static const pdag_color goal_color = {144 / 255.0f, 238 / 255.0f, 144 / 255.0f};
static const pdag_color wall_color = {211 / 255.0f, 211 / 255.0f, 211 / 255.0f};
static const pdag_color block_color = {119 / 255.0f, 136 / 255.0f, 153 / 255.0f};
static const pdag_color agent_color = {65 / 255.0f, 105 / 255.0f, 225 / 255.0f};
static const pdag_color action_color = {0.86f, 0.08f, 0.08f};

static const double wall_inner = 7, wall_outer = 3; /* from the edges */
static const double cross_arm = 12;

/* A rectangle of the world. */
static void draw_box(pdag_picture *picture, double scale, pdag_point low,
                     pdag_point high, pdag_color color)
{
    const pdag_point corners[4] = {{scale * low.x, scale * low.y},
                                   {scale * high.x, scale * low.y},
                                   {scale * high.x, scale * high.y},
                                   {scale * low.x, scale * high.y}};

    pdag_picture_polygon(picture, corners, 4, color);
}

static void draw_walls(pdag_picture *picture, double scale)
{
    const double a = wall_outer, b = wall_inner;
    const double d = PDAG_PUSHT_SIZE - 1 - a, c = PDAG_PUSHT_SIZE - 1 - b;

    draw_box(picture, scale, (pdag_point){a, a}, (pdag_point){b, d}, wall_color);
    draw_box(picture, scale, (pdag_point){c, a}, (pdag_point){d, d}, wall_color);
    draw_box(picture, scale, (pdag_point){b, a}, (pdag_point){c, b}, wall_color);
    draw_box(picture, scale, (pdag_point){b, c}, (pdag_point){c, d}, wall_color);
}

static void draw_tee(pdag_picture *picture, double scale, pdag_pose pose,
                     pdag_color color)
{
    for (int part = 0; part < PDAG_TEE_PARTS; part++) {
        pdag_point corners[PDAG_TEE_CORNERS];

        for (int j = 0; j < PDAG_TEE_CORNERS; j++) {
            pdag_point at = pdag_pose_apply(pose, pdag_tee_parts[part][j]);

            corners[j] = (pdag_point){scale * at.x, scale * at.y};
        }
        pdag_picture_polygon(picture, corners, PDAG_TEE_CORNERS, color);
    }
}

static void draw_cross(pdag_picture *picture, double scale, double x, double y)
{
    double half = fmax(0.5 / scale, 1.5); /* at least a pixel wide */

    draw_box(picture, scale, (pdag_point){x - cross_arm, y - half},
             (pdag_point){x + cross_arm, y + half}, action_color);
    draw_box(picture, scale, (pdag_point){x - half, y - cross_arm},
             (pdag_point){x + half, y + cross_arm}, action_color);
}

void pdag_pusht_draw(const pdag_pusht_state *state, const float *action,
                     pdag_picture *picture)
{
    double scale = (double)picture->width / PDAG_PUSHT_SIZE;

    PDAG_ASSERT(picture->width == picture->height);
    pdag_picture_fill(picture, (pdag_color){1, 1, 1});
    draw_walls(picture, scale);
    draw_tee(picture, scale, pdag_tee_goal, goal_color);
    draw_tee(picture, scale, state->block, block_color);
    pdag_picture_disc(picture,
                      (pdag_point){scale * state->agent.x, scale * state->agent.y},
                      scale * PDAG_PUSHT_AGENT_RADIUS, agent_color);
    if (action != NULL)
        draw_cross(picture, scale, (double)action[0], (double)action[1]);
}
