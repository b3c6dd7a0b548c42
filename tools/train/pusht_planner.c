#include "tools/train/pusht_planner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng_numpy.h"
#include "tools/train/pusht_model.h"

#define KNOTS 5
#define KNOT_STEPS (PUSHT_HORIZON / KNOTS)
#define SAMPLES 256
#define ELITE 16
#define ROUNDS 5
#define ATTEMPTS 12
#define N_CORNERS 6

/* Targets stay where the agent can push, and move slowly enough for a policy that
   sees the world only every eighth step. */
static const double target_low = 15, target_high = 497;
static const double knot_reach = 75;
static const double first_spread = 40, least_spread = 2;
static const double worth_moving = 0.05; /* cheaper than standing still */
static const double round_reach = 130; /* of a first guess, around the block */

static const pdag_point corners[N_CORNERS] = {{-60, 0},  {60, 0},   {60, 30},
                                              {-60, 30}, {15, 120}, {-15, 120}};

/* Targets at the ends of equal parts of the horizon, straight in between. */
typedef struct track {
    pdag_point knots[KNOTS];
    double cost;
} track;

struct pusht_planner {
    pdag_rng_numpy *rng;
    bool has_plan;
    pdag_point plan[PUSHT_HORIZON]; /* the last one */
    track tracks[SAMPLES];
    pdag_point goal[N_CORNERS];
};

pusht_planner *pusht_planner_create(uint32_t seed)
{
    pusht_planner *planner = pdag_xcalloc(1, sizeof *planner);

    planner->rng = pdag_rng_numpy_create(seed);
    for (int j = 0; j < N_CORNERS; j++)
        planner->goal[j] = pdag_pose_apply(pdag_tee_goal, corners[j]);
    return planner;
}

void pusht_planner_destroy(pusht_planner *planner)
{
    if (planner == NULL)
        return;
    pdag_rng_numpy_destroy(planner->rng);
    free(planner);
}

void pusht_planner_reset(pusht_planner *planner)
{
    planner->has_plan = false;
}

static double clamped(double x)
{
    return fmin(fmax(x, target_low), target_high);
}

/* Knots that a slow enough target can be at one after the other. */
static void hold_back(pdag_point last, track *t)
{
    for (int k = 0; k < KNOTS; k++) {
        pdag_point *at = &t->knots[k];
        double x = clamped(at->x) - last.x;
        double y = clamped(at->y) - last.y;
        double length = sqrt(x * x + y * y);
        double part = length > knot_reach ? knot_reach / length : 1;

        at->x = last.x + part * x;
        at->y = last.y + part * y;
        last = *at;
    }
}

static pdag_point target_at(const track *t, pdag_point last, int step)
{
    int k = step / KNOT_STEPS;
    double part = (double)(step % KNOT_STEPS + 1) / KNOT_STEPS;
    pdag_point from = k == 0 ? last : t->knots[k - 1];
    pdag_point to = t->knots[k];

    return (pdag_point){from.x + part * (to.x - from.x),
                        from.y + part * (to.y - from.y)};
}

/* Mean distance of the block's corners from where they belong, pixels. */
static double distance(const pusht_planner *planner, const pusht_model *model)
{
    double sum = 0;

    for (int j = 0; j < N_CORNERS; j++) {
        pdag_point at = pusht_model_point(model, corners[j]);
        double x = at.x - planner->goal[j].x;
        double y = at.y - planner->goal[j].y;

        sum += sqrt(x * x + y * y);
    }
    return sum / N_CORNERS;
}

/* What the end is worth, and a little of the way: early is better than late, a
   short way than a long one, an agent at the block than one far off. */
static double cost_of(const pusht_planner *planner, const pusht_model *start,
                      pdag_point last, const track *t)
{
    pusht_model model = *start;
    pdag_point before = last;
    double sum = 0, way = 0, end = 0;

    for (int step = 0; step < PUSHT_HORIZON; step++) {
        pdag_point target = target_at(t, last, step);

        pusht_model_step(&model, target);
        end = distance(planner, &model);
        sum += end;
        way += hypot(target.x - before.x, target.y - before.y);
        before = target;
    }
    return end + 0.5 * sum / PUSHT_HORIZON + 0.002 * way +
           0.01 * fmax(pusht_model_gap(&model), 0);
}

static double normal(pusht_planner *planner)
{
    return pdag_rng_numpy_normal(planner->rng);
}

static double spread(pusht_planner *planner, double reach)
{
    return reach * (2 * pdag_rng_numpy_uniform(planner->rng) - 1);
}

/* The rest of the last plan, its end held. */
static void carry_on(const pusht_planner *planner, int steps, track *t)
{
    for (int k = 0; k < KNOTS; k++) {
        int step = steps + (k + 1) * KNOT_STEPS - 1;

        if (step >= PUSHT_HORIZON)
            step = PUSHT_HORIZON - 1;
        t->knots[k] = planner->plan[step];
    }
}

static void guess(pusht_planner *planner, const pusht_model *start, track *t)
{
    pdag_point middle = pusht_model_point(start, (pdag_point){0, 40});

    for (int k = 0; k < KNOTS; k++) {
        t->knots[k].x = middle.x + spread(planner, round_reach);
        t->knots[k].y = middle.y + spread(planner, round_reach);
    }
}

static void draw_first(pusht_planner *planner, const pusht_model *start,
                       pdag_point last, int steps)
{
    track rest;

    for (int k = 0; k < KNOTS; k++)
        rest.knots[k] = last;
    if (planner->has_plan)
        carry_on(planner, steps, &rest);
    planner->tracks[0] = rest;
    for (int j = 1; j < SAMPLES; j++) {
        track *t = &planner->tracks[j];

        if (j % 2 == 0) {
            guess(planner, start, t);
            continue;
        }
        for (int k = 0; k < KNOTS; k++) {
            double wide = first_spread * (k + 1) / KNOTS;

            t->knots[k].x = rest.knots[k].x + wide * normal(planner);
            t->knots[k].y = rest.knots[k].y + wide * normal(planner);
        }
    }
}

static int by_cost(const void *a, const void *b)
{
    double x = ((const track *)a)->cost;
    double y = ((const track *)b)->cost;

    return x < y ? -1 : x > y;
}

/* New tracks around the elite, which stays. */
static void draw_next(pusht_planner *planner)
{
    double mean[2 * KNOTS] = {0};
    double square[2 * KNOTS] = {0};

    for (int j = 0; j < ELITE; j++)
        for (int k = 0; k < KNOTS; k++) {
            pdag_point at = planner->tracks[j].knots[k];

            mean[2 * k] += at.x / ELITE;
            mean[2 * k + 1] += at.y / ELITE;
            square[2 * k] += at.x * at.x / ELITE;
            square[2 * k + 1] += at.y * at.y / ELITE;
        }
    for (int c = 0; c < 2 * KNOTS; c++) {
        double variance = fmax(square[c] - mean[c] * mean[c], 0);

        square[c] = fmax(sqrt(variance), least_spread);
    }
    for (int j = ELITE; j < SAMPLES; j++)
        for (int k = 0; k < KNOTS; k++) {
            pdag_point *at = &planner->tracks[j].knots[k];

            at->x = mean[2 * k] + square[2 * k] * normal(planner);
            at->y = mean[2 * k + 1] + square[2 * k + 1] * normal(planner);
        }
}

/* The best of one search into tracks[0]. */
static void search(pusht_planner *planner, const pusht_model *start,
                   pdag_point last, int steps)
{
    for (int round = 0; round < ROUNDS; round++) {
        if (round == 0)
            draw_first(planner, start, last, steps);
        else
            draw_next(planner);
        for (int j = round == 0 ? 0 : ELITE; j < SAMPLES; j++) {
            track *t = &planner->tracks[j];

            hold_back(last, t);
            t->cost = cost_of(planner, start, last, t);
        }
        qsort(planner->tracks, SAMPLES, sizeof *planner->tracks, by_cost);
    }
}

bool pusht_planner_plan(pusht_planner *planner, const pdag_pusht_state *state,
                        pdag_point last, int steps,
                        pdag_point actions_out[PUSHT_HORIZON])
{
    pusht_model start;
    track still;
    bool better = false;

    pusht_model_start(&start, state);
    for (int k = 0; k < KNOTS; k++)
        still.knots[k] = last;
    still.cost = cost_of(planner, &start, last, &still);
    for (int attempt = 0; attempt < ATTEMPTS && !better; attempt++) {
        search(planner, &start, last, steps);
        better = planner->tracks[0].cost < still.cost - worth_moving;
        planner->has_plan = better;
    }
    for (int step = 0; step < PUSHT_HORIZON; step++)
        planner->plan[step] = target_at(&planner->tracks[0], last, step);
    memcpy(actions_out, planner->plan, sizeof planner->plan);
    return better;
}
