/* A block without friction or inertia of its own, pushed by a disc and stopped by
   walls: each physics step takes the contacts there are and solves for the block's
   velocity with sequential impulses, as Chipmunk does. */
#include "tools/train/pusht_model.h"

#include <math.h>
#include <stdbool.h>

#define MOST_CONTACTS 16

static const double seconds = 0.01;
static const double moment = 3000; /* about the centre of gravity, mass 1 */
static const double balance = 45;  /* the centre of gravity's y in the block */
static const double slop = 0.1;
static const double mend = 0.0613; /* of the overlap, each step */
static const double wall_low = 7, wall_high = 504;

/* A point of the block that may not move against `normal` slower than the other
   side does. */
typedef struct contact {
    pdag_point normal; /* from the other side into the block */
    pdag_point arm;    /* from the centre of gravity */
    double gap;
    double speed; /* of the other side along the normal */
    double turn;  /* of the arm and the normal */
    double impulse, mending;
} contact;

static const pdag_point low[2] = {{-60, 0}, {-15, 30}};
static const pdag_point high[2] = {{60, 30}, {15, 120}};

void pusht_model_start(pusht_model *model, const pdag_pusht_state *state)
{
    model->agent = state->agent;
    model->velocity = state->velocity;
    model->angle = state->block.angle;
    model->cosine = cos(model->angle);
    model->sine = sin(model->angle);
    model->centre = pdag_pose_apply(state->block, (pdag_point){0, balance});
    model->push = (pdag_point){0, 0};
    model->spin = 0;
}

static pdag_point turned(const pusht_model *model, double x, double y)
{
    return (pdag_point){model->cosine * x - model->sine * y,
                        model->sine * x + model->cosine * y};
}

pdag_point pusht_model_point(const pusht_model *model, pdag_point point)
{
    pdag_point arm = turned(model, point.x, point.y - balance);

    return (pdag_point){model->centre.x + arm.x, model->centre.y + arm.y};
}

static double between(double x, double a, double b)
{
    return x < a ? a : x > b ? b : x;
}

/* The agent's centre in the block's frame. */
static pdag_point agent_inside(const pusht_model *model)
{
    double x = model->agent.x - model->centre.x;
    double y = model->agent.y - model->centre.y;

    return (pdag_point){model->cosine * x + model->sine * y,
                        model->cosine * y - model->sine * x + balance};
}

double pusht_model_gap(const pusht_model *model)
{
    pdag_point at = agent_inside(model);
    double least = INFINITY;

    for (int part = 0; part < 2; part++) {
        double x = at.x - between(at.x, low[part].x, high[part].x);
        double y = at.y - between(at.y, low[part].y, high[part].y);

        least = fmin(least, sqrt(x * x + y * y));
    }
    return least - PDAG_PUSHT_AGENT_RADIUS;
}

/* Normal (in the block's frame, out of the part) and distance of the agent's centre
   that is inside the part: the nearest side. */
static double inside(pdag_point at, int part, pdag_point *normal, pdag_point *foot)
{
    double sides[4] = {at.x - low[part].x, high[part].x - at.x, at.y - low[part].y,
                       high[part].y - at.y};
    int best = 0;

    for (int j = 1; j < 4; j++)
        if (sides[j] < sides[best])
            best = j;
    normal->x = best == 0 ? -1 : best == 1 ? 1 : 0;
    normal->y = best == 2 ? -1 : best == 3 ? 1 : 0;
    foot->x = at.x + normal->x * sides[best];
    foot->y = at.y + normal->y * sides[best];
    return -sides[best];
}

static int touch_agent(const pusht_model *model, contact *contacts)
{
    pdag_point at = agent_inside(model);
    int n = 0;

    for (int part = 0; part < 2; part++) {
        pdag_point foot = {between(at.x, low[part].x, high[part].x),
                           between(at.y, low[part].y, high[part].y)};
        pdag_point away = {at.x - foot.x, at.y - foot.y};
        double square = away.x * away.x + away.y * away.y;
        double distance;
        contact *c = &contacts[n];

        if (square > (double)PDAG_PUSHT_AGENT_RADIUS * PDAG_PUSHT_AGENT_RADIUS)
            continue;
        distance = sqrt(square);
        if (distance > 0) {
            away.x /= distance;
            away.y /= distance;
        } else {
            distance = inside(at, part, &away, &foot);
        }
        c->normal = turned(model, -away.x, -away.y);
        c->arm = turned(model, foot.x, foot.y - balance);
        c->gap = distance - PDAG_PUSHT_AGENT_RADIUS;
        c->speed = model->velocity.x * c->normal.x +
                   model->velocity.y * c->normal.y;
        n++;
    }
    return n;
}

static int touch_walls(const pusht_model *model, contact *contacts)
{
    static const pdag_point corners[6] = {{-60, 0}, {60, 0},   {60, 30},
                                          {-60, 30}, {15, 120}, {-15, 120}};
    int n = 0;

    if (fabs(model->centre.x - 256) < 150 && fabs(model->centre.y - 256) < 150)
        return 0;
    for (int j = 0; j < 6; j++) {
        pdag_point arm = turned(model, corners[j].x, corners[j].y - balance);
        double x = model->centre.x + arm.x;
        double y = model->centre.y + arm.y;

        if (x < wall_low)
            contacts[n++] = (contact){.normal = {1, 0}, .arm = arm,
                                      .gap = x - wall_low};
        if (x > wall_high)
            contacts[n++] = (contact){.normal = {-1, 0}, .arm = arm,
                                      .gap = wall_high - x};
        if (y < wall_low)
            contacts[n++] = (contact){.normal = {0, 1}, .arm = arm,
                                      .gap = y - wall_low};
        if (y > wall_high)
            contacts[n++] = (contact){.normal = {0, -1}, .arm = arm,
                                      .gap = wall_high - y};
    }
    return n;
}

/* One impulse more at this contact, so that the block's velocity (push, spin) there
   is `speed` along the normal, or more. */
static void press(const contact *c, double speed, double *total, pdag_point *push,
                  double *spin)
{
    double now = push->x * c->normal.x + push->y * c->normal.y + *spin * c->turn;
    double before = *total;
    double change;

    *total = fmax(before + (speed - now) / (1 + c->turn * c->turn / moment), 0);
    change = *total - before;
    push->x += change * c->normal.x;
    push->y += change * c->normal.y;
    *spin += change * c->turn / moment;
}

static void solve(pusht_model *model, contact *contacts, int n)
{
    pdag_point push = {0, 0}, shift = {0, 0};
    double spin = 0, twist = 0;

    for (int j = 0; j < n; j++) {
        contact *c = &contacts[j];

        c->turn = c->arm.x * c->normal.y - c->arm.y * c->normal.x;
        c->impulse = c->mending = 0;
    }
    for (int round = 0; round < (n > 1 ? 8 : 1); round++)
        for (int j = 0; j < n; j++) {
            contact *c = &contacts[j];

            press(c, -mend * fmin(c->gap + slop, 0) / seconds, &c->mending, &shift,
                  &twist);
            press(c, c->speed, &c->impulse, &push, &spin);
        }
    model->push = (pdag_point){push.x + shift.x, push.y + shift.y};
    model->spin = spin + twist;
}

static void physics_step(pusht_model *model)
{
    contact contacts[MOST_CONTACTS];
    int n;

    model->agent.x += model->velocity.x * seconds;
    model->agent.y += model->velocity.y * seconds;
    if (model->push.x != 0 || model->push.y != 0 || model->spin != 0) {
        model->centre.x += model->push.x * seconds;
        model->centre.y += model->push.y * seconds;
        model->angle += model->spin * seconds;
        model->cosine = cos(model->angle);
        model->sine = sin(model->angle);
    }
    n = touch_agent(model, contacts);
    n += touch_walls(model, contacts + n);
    if (n > 0) {
        solve(model, contacts, n);
    } else {
        model->push = (pdag_point){0, 0};
        model->spin = 0;
    }
}

void pusht_model_step(pusht_model *model, pdag_point target)
{
    for (int j = 0; j < 10; j++) {
        model->velocity.x += (100 * (target.x - model->agent.x) -
                              20 * model->velocity.x) * seconds;
        model->velocity.y += (100 * (target.y - model->agent.y) -
                              20 * model->velocity.y) * seconds;
        physics_step(model);
    }
}
