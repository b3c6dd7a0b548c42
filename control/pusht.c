/* PushT's physics on Chipmunk.  The order of calls and of floating-point
   operations is that of the public environment, so that recorded episodes replay
   in it; see control/pusht.h. */
#include "control/pusht.h"

#include <chipmunk/chipmunk.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"

#define N_WALLS 4
#define SHAPES (N_WALLS + 1 + PDAG_TEE_PARTS)

static const double physics_seconds = 0.01;
static const int physics_steps = 10; /* of a control step */
static const double stiffness = 100;
static const double resistance = 20;

struct pdag_pusht {
    cpSpace *space; /* NULL before the first reset */
    cpBody *agent;
    cpBody *block;
    cpShape *shapes[SHAPES];
    int n_shapes;
};

/* Debug builds of Chipmunk, Debian's among them, greet on standard output when the
   first space is made; that may be a pipe which somebody reads. */
static void make_first_space(void)
{
    int saved;
    int nowhere;

    fflush(stdout);
    saved = dup(STDOUT_FILENO);
    nowhere = open("/dev/null", O_WRONLY);
    if (saved >= 0 && nowhere >= 0)
        dup2(nowhere, STDOUT_FILENO);
    cpSpaceFree(cpSpaceNew());
    fflush(stdout);
    if (saved >= 0) {
        dup2(saved, STDOUT_FILENO);
        close(saved);
    }
    if (nowhere >= 0)
        close(nowhere);
}

pdag_status pdag_pusht_create(pdag_pusht **world_out)
{
    static pthread_once_t first = PTHREAD_ONCE_INIT;

    pthread_once(&first, make_first_space);
    *world_out = pdag_xcalloc(1, sizeof **world_out);
    return PDAG_OK;
}

static void drop_space(pdag_pusht *world)
{
    if (world->space == NULL)
        return;
    for (int j = 0; j < world->n_shapes; j++) {
        cpSpaceRemoveShape(world->space, world->shapes[j]);
        cpShapeFree(world->shapes[j]);
    }
    world->n_shapes = 0;
    cpSpaceRemoveBody(world->space, world->agent);
    cpSpaceRemoveBody(world->space, world->block);
    cpBodyFree(world->agent);
    cpBodyFree(world->block);
    cpSpaceFree(world->space);
    world->space = NULL;
}

void pdag_pusht_destroy(pdag_pusht *world)
{
    if (world == NULL)
        return;
    drop_space(world);
    free(world);
}

static void add_shape(pdag_pusht *world, cpShape *shape)
{
    world->shapes[world->n_shapes++] = cpSpaceAddShape(world->space, shape);
}

static void add_walls(pdag_pusht *world)
{
    static const cpVect corners[N_WALLS][2] = {
        {{5, 506}, {5, 5}},
        {{5, 5}, {506, 5}},
        {{506, 5}, {506, 506}},
        {{5, 506}, {506, 506}},
    };
    cpBody *ground = cpSpaceGetStaticBody(world->space);

    for (int j = 0; j < N_WALLS; j++)
        add_shape(world,
                  cpSegmentShapeNew(ground, corners[j][0], corners[j][1], 2));
}

static void add_agent(pdag_pusht *world)
{
    world->agent = cpSpaceAddBody(world->space, cpBodyNewKinematic());
    add_shape(world, cpCircleShapeNew(world->agent, PDAG_PUSHT_AGENT_RADIUS,
                                      cpvzero));
}

/* The public environment takes the bar's moment for the stem's as well, and the
   mean of the two centres for the centre of gravity. */
static void add_block(pdag_pusht *world)
{
    cpVect corners[PDAG_TEE_PARTS][PDAG_TEE_CORNERS];
    cpShape *parts[PDAG_TEE_PARTS];
    double moment;

    for (int part = 0; part < PDAG_TEE_PARTS; part++)
        for (int j = 0; j < PDAG_TEE_CORNERS; j++)
            corners[part][j] =
                cpv(pdag_tee_parts[part][j].x, pdag_tee_parts[part][j].y);
    moment = cpMomentForPoly(1, PDAG_TEE_CORNERS, corners[0], cpvzero, 0);
    world->block = cpSpaceAddBody(world->space, cpBodyNew(1, moment + moment));
    for (int part = 0; part < PDAG_TEE_PARTS; part++)
        parts[part] = cpPolyShapeNew(world->block, PDAG_TEE_CORNERS, corners[part],
                                     cpTransformIdentity, 0);
    cpBodySetCenterOfGravity(
        world->block,
        cpvmult(cpvadd(cpShapeGetCenterOfGravity(parts[0]),
                       cpShapeGetCenterOfGravity(parts[1])),
                0.5));
    for (int part = 0; part < PDAG_TEE_PARTS; part++)
        add_shape(world, parts[part]);
}

void pdag_pusht_reset(pdag_pusht *world, const pdag_pusht_state *start)
{
    drop_space(world);
    world->space = cpSpaceNew();
    cpSpaceSetGravity(world->space, cpvzero);
    cpSpaceSetDamping(world->space, 0);
    add_walls(world);
    add_agent(world);
    add_block(world);
    cpBodySetPosition(world->agent, cpv(start->agent.x, start->agent.y));
    cpBodySetVelocity(world->agent, cpv(start->velocity.x, start->velocity.y));
    cpBodySetPosition(world->block, cpv(start->block.x, start->block.y));
    cpBodySetAngle(world->block, start->block.angle);
    cpSpaceStep(world->space, physics_seconds);
}

pdag_pusht_state pdag_pusht_now(const pdag_pusht *world)
{
    cpVect agent = cpBodyGetPosition(world->agent);
    cpVect velocity = cpBodyGetVelocity(world->agent);
    cpVect block = cpBodyGetPosition(world->block);

    return (pdag_pusht_state){
        .agent = {agent.x, agent.y},
        .velocity = {velocity.x, velocity.y},
        .block = {block.x, block.y, cpBodyGetAngle(world->block)},
    };
}

/* The angle first: turning is about the centre of gravity and moves the origin. */
void pdag_pusht_place(pdag_pusht *world, const pdag_pusht_state *state)
{
    cpBodySetPosition(world->agent, cpv(state->agent.x, state->agent.y));
    cpBodySetVelocity(world->agent, cpv(state->velocity.x, state->velocity.y));
    cpBodySetAngle(world->block, state->block.angle);
    cpBodySetPosition(world->block, cpv(state->block.x, state->block.y));
    cpBodySetVelocity(world->block, cpvzero);
    cpBodySetAngularVelocity(world->block, 0);
}

void pdag_pusht_step(pdag_pusht *world, double x, double y)
{
    for (int j = 0; j < physics_steps; j++) {
        cpVect at = cpBodyGetPosition(world->agent);
        cpVect velocity = cpBodyGetVelocity(world->agent);
        double pull_x = stiffness * (x - at.x) + resistance * (0 - velocity.x);
        double pull_y = stiffness * (y - at.y) + resistance * (0 - velocity.y);

        cpBodySetVelocity(world->agent,
                          cpv(velocity.x + pull_x * physics_seconds,
                              velocity.y + pull_y * physics_seconds));
        cpSpaceStep(world->space, physics_seconds);
    }
}
