/* Demonstrations for PushT: episodes of the environment with a planner's actions.

       pusht_demos [--episodes N] [--first-seed S] [--noise PIXELS] [--output DIR]

   writes observations.npy [steps][5], keypoints.npy [steps][20], actions.npy
   [steps][2] and episode_ends.npy [episodes] (steps up to the end of each), all
   float32, again after every ten episodes.  Row t holds what was seen before the
   action of row t.  --noise is what the agent's target is disturbed by while it
   moves: the recorded action is the undisturbed one, so that a policy learns to
   come back.  Seeds are the environment's; evaluations use those from 100000 on. */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/npy.h"
#include "base/rng_numpy.h"
#include "control/pusht.h"
#include "tools/train/pusht_planner.h"

#define REPLAN 5 /* control steps carried out of a plan */
#define AFTER 8  /* steps recorded standing still at the end */
#define SAVE_EVERY 10
#define ATTEMPTS 4
/* Episodes that fail or dither are left out: a policy would learn just that. */
#define TOO_LONG 200

static const double good_enough = 0.96; /* coverage */
static const double drift = 0.8;        /* of the disturbance, from step to step */
static const double close_share = 0.3;  /* episodes that begin near the goal */

typedef struct recording {
    float *states, *keypoints, *actions, *ends;
    size_t n_steps, n_episodes, room;
} recording;

typedef struct options {
    long episodes;
    unsigned long first_seed;
    double noise;
    const char *output;
} options;

static void record(recording *r, const pdag_pusht_state *state, pdag_point action)
{
    if (r->n_steps == r->room) {
        r->room = r->room == 0 ? 4096 : 2 * r->room;
        r->states = pdag_xrealloc(r->states, r->room * PDAG_PUSHT_STATE_DIM,
                                  sizeof(float));
        r->keypoints = pdag_xrealloc(
            r->keypoints, r->room * PDAG_PUSHT_KEYPOINTS_DIM, sizeof(float));
        r->actions = pdag_xrealloc(r->actions, r->room * 2, sizeof(float));
    }
    pdag_pusht_observe(state, PDAG_PUSHT_STATE_DIM,
                       r->states + r->n_steps * PDAG_PUSHT_STATE_DIM);
    pdag_pusht_observe(state, PDAG_PUSHT_KEYPOINTS_DIM,
                       r->keypoints + r->n_steps * PDAG_PUSHT_KEYPOINTS_DIM);
    r->actions[2 * r->n_steps] = (float)action.x;
    r->actions[2 * r->n_steps + 1] = (float)action.y;
    r->n_steps++;
}

static bool save_one(const char *folder, const char *name, const float *data,
                     int n_dims, size_t rows, size_t columns)
{
    size_t dims[2] = {rows, columns};
    void *bytes = NULL;
    size_t n_bytes = 0;
    char *path = pdag_xasprintf("%s/%s", folder, name);
    char *draft = pdag_xasprintf("%s.part", path);
    FILE *file = NULL;
    bool done = false;

    if (pdag_npy_encode(data, n_dims, dims, &bytes, &n_bytes) == PDAG_OK)
        file = fopen(draft, "wb");
    if (file != NULL) {
        done = fwrite(bytes, 1, n_bytes, file) == n_bytes;
        done = fclose(file) == 0 && done && rename(draft, path) == 0;
    }
    if (!done)
        fprintf(stderr, "pusht_demos: cannot write %s\n", path);
    free(bytes);
    free(path);
    free(draft);
    return done;
}

static bool save(const recording *r, const char *folder)
{
    return save_one(folder, "observations.npy", r->states, 2, r->n_steps,
                    PDAG_PUSHT_STATE_DIM) &&
           save_one(folder, "keypoints.npy", r->keypoints, 2, r->n_steps,
                    PDAG_PUSHT_KEYPOINTS_DIM) &&
           save_one(folder, "actions.npy", r->actions, 2, r->n_steps, 2) &&
           save_one(folder, "episode_ends.npy", r->ends, 1, r->n_episodes, 1);
}

/* The environment's own start, or one near the goal, where the last pixels are to
   be learned. */
static void start(pdag_pusht *world, uint32_t seed, pdag_rng_numpy *rng)
{
    pdag_pusht_state state = pdag_pusht_start(seed);

    pdag_pusht_reset(world, &state);
    if (pdag_rng_numpy_uniform(rng) >= close_share)
        return;
    state.block.x = pdag_tee_goal.x + 30 * pdag_rng_numpy_normal(rng);
    state.block.y = pdag_tee_goal.y + 30 * pdag_rng_numpy_normal(rng);
    state.block.angle = pdag_tee_goal.angle + 0.4 * pdag_rng_numpy_normal(rng);
    pdag_pusht_place(world, &state);
    pdag_pusht_step(world, state.agent.x, state.agent.y);
}

static double coverage(const pdag_pusht *world)
{
    return pdag_tee_coverage(pdag_pusht_now(world).block, pdag_tee_goal);
}

static void disturb(pdag_rng_numpy *rng, double noise, pdag_point *off)
{
    off->x = drift * off->x + (1 - drift) * noise * pdag_rng_numpy_normal(rng);
    off->y = drift * off->y + (1 - drift) * noise * pdag_rng_numpy_normal(rng);
}

/* One episode; returns its best coverage, and whether it got there without a pause,
   in steps that a policy may learn from. */
static double demonstrate(pdag_pusht *world, pusht_planner *planner, double noise,
                          pdag_rng_numpy *rng, recording *r, bool *fluent_out)
{
    pdag_point plan[PUSHT_HORIZON];
    pdag_point last = pdag_pusht_now(world).agent;
    pdag_point off = {0, 0};
    double best = coverage(world);
    int after = -1; /* steps since it was good enough */

    *fluent_out = false;
    pusht_planner_reset(planner);
    for (int step = 0; step < PDAG_PUSHT_MAX_STEPS && after < AFTER; step++) {
        pdag_pusht_state state = pdag_pusht_now(world);
        pdag_point action = last;

        if (after < 0 && step % REPLAN == 0 &&
            !pusht_planner_plan(planner, &state, last, REPLAN, plan)) {
            if (coverage(world) <= PDAG_PUSHT_SUCCESS)
                return best;
            after = 0;
        }
        if (after < 0) {
            action = plan[step % REPLAN];
            disturb(rng, noise, &off);
        } else {
            after++;
        }
        record(r, &state, action);
        pdag_pusht_step(world, (double)(float)(action.x + off.x),
                        (double)(float)(action.y + off.y));
        last = action;
        best = fmax(best, coverage(world));
        if (after < 0 && coverage(world) > good_enough)
            after = 0;
        if (after == 0) { /* stop where it is */
            last = pdag_pusht_now(world).agent;
            off = (pdag_point){0, 0};
        }
    }
    *fluent_out = after == AFTER;
    return best;
}

/* The episode of a seed, tried again while it is not one to learn from; its steps
   are in the recording then, and only then.  Returns the last try's best
   coverage. */
static double episode(pdag_pusht *world, uint32_t seed, double noise, recording *r)
{
    size_t before = r->n_steps;
    double best = 0;
    bool fluent = false;

    for (uint32_t attempt = 0; attempt < ATTEMPTS && !fluent; attempt++) {
        uint32_t own = seed * ATTEMPTS + attempt;
        pdag_rng_numpy *rng = pdag_rng_numpy_create(seed + 0x80000000u);
        pdag_rng_numpy *kicks = pdag_rng_numpy_create(own + 0x40000000u);
        pusht_planner *planner = pusht_planner_create(own);

        r->n_steps = before;
        start(world, seed, rng);
        best = demonstrate(world, planner, noise, kicks, r, &fluent);
        fluent = fluent && r->n_steps - before <= TOO_LONG;
        pusht_planner_destroy(planner);
        pdag_rng_numpy_destroy(kicks);
        pdag_rng_numpy_destroy(rng);
    }
    if (!fluent)
        r->n_steps = before;
    return best;
}

static int usage(void)
{
    fputs("usage: pusht_demos [--episodes N] [--first-seed S] [--noise PIXELS] "
          "[--output DIR]\n", stderr);
    return 2;
}

static bool parse(int argc, char **argv, options *o)
{
    for (int j = 1; j + 1 < argc; j += 2) {
        const char *value = argv[j + 1];

        if (strcmp(argv[j], "--episodes") == 0)
            o->episodes = strtol(value, NULL, 10);
        else if (strcmp(argv[j], "--first-seed") == 0)
            o->first_seed = strtoul(value, NULL, 10);
        else if (strcmp(argv[j], "--noise") == 0)
            o->noise = strtod(value, NULL);
        else if (strcmp(argv[j], "--output") == 0)
            o->output = value;
        else
            return false;
    }
    return argc % 2 == 1 && o->episodes > 0 &&
           o->first_seed + (unsigned long)o->episodes <= PDAG_PUSHT_MAX_SEED;
}

int main(int argc, char **argv)
{
    options o = {200, 0, 6, "."};
    recording r = {0};
    pdag_pusht *world = NULL;
    double sum = 0;
    bool saved = true;

    if (!parse(argc, argv, &o))
        return usage();
    if (mkdir(o.output, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "pusht_demos: %s: %s\n", o.output, strerror(errno));
        return 1;
    }
    if (pdag_pusht_create(&world) != PDAG_OK) {
        fprintf(stderr, "pusht_demos: %s\n", pdag_error_text());
        return 1;
    }
    r.ends = pdag_xcalloc((size_t)o.episodes, sizeof *r.ends);
    for (long j = 0; j < o.episodes && saved; j++) {
        uint32_t seed = (uint32_t)(o.first_seed + (unsigned long)j);
        size_t before = r.n_steps;
        double best = episode(world, seed, o.noise, &r);

        sum += fmin(best / PDAG_PUSHT_SUCCESS, 1);
        if (r.n_steps > before)
            r.ends[r.n_episodes++] = (float)r.n_steps;
        printf("seed %u: coverage %.3f, %zu steps kept; mean score %.3f, %zu "
               "episodes of %ld, %zu steps\n", seed, best, r.n_steps - before,
               sum / (double)(j + 1), r.n_episodes, j + 1, r.n_steps);
        fflush(stdout);
        if (r.n_episodes > 0 && ((j + 1) % SAVE_EVERY == 0 || j + 1 == o.episodes))
            saved = save(&r, o.output);
    }
    pdag_pusht_destroy(world);
    free(r.states);
    free(r.keypoints);
    free(r.actions);
    free(r.ends);
    return saved ? 0 : 1;
}
