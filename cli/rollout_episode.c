#include "cli/rollout.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/files.h"
#include "cli/observe.h"
#include "cli/signals.h"

/* The strip of an episode: a frame where a plan begins, and the end. */
#define FRAME_SIDE 160
#define FRAMES_IN_ROW 8
#define FRAME_GAP 4

/* Of what the next plan is expected to be, in normalised units. */
#define FIRST_VARIANCE 0.03f
#define LEAST_VARIANCE 1e-4f
#define NEWEST_SHARE 0.3f

/* Preparation. */

static pdag_status refuse(const pdag_rollout *r)
{
    const pdag_job *job = r->setup.job;

    if (r->setup.info.n_observations == 0)
        return pdag_error(PDAG_ERR_ARG, "environment: none; a rollout needs a "
                          "policy and its environment");
    if (job->samples > 1)
        return pdag_error(PDAG_ERR_ARG, "samples: %lld: expected 1, a rollout "
                          "samples one plan after the other",
                          (long long)job->samples);
    if (job->noise[0] != '\0')
        return pdag_error(PDAG_ERR_ARG, "noise: given, but every plan of a rollout "
                          "draws its own");
    if (job->solver.start_from[0] != '\0')
        return pdag_error(PDAG_ERR_ARG, "solver.start_from: given, but a rollout's "
                          "plans start from the one before (solver.start "
                          "trajectory alone)");
    return PDAG_OK;
}

static pdag_status check_seeds(const pdag_rollout *r)
{
    uint64_t most = pdag_environment_info_of(r->env)->max_seed;

    if (r->first_seed <= most && r->n_episodes - 1 <= most - r->first_seed)
        return PDAG_OK;
    return pdag_error(PDAG_ERR_ARG, "--first-seed %llu, --episodes %zu: %s has "
                      "seeds up to %llu", (unsigned long long)r->first_seed,
                      r->n_episodes, r->setup.job->environment,
                      (unsigned long long)most);
}

static pdag_status allocate_floats(size_t n, const char *what, float **out)
{
    void *memory;
    pdag_status status = pdag_alloc_tensor(n, sizeof(float), what, &memory);

    if (status == PDAG_OK)
        *out = memory;
    return status;
}

static pdag_status allocate_trajectory(pdag_rollout *r)
{
    size_t floats;

    if (!pdag_mul_size(r->setup.transition->n_rows + 1, r->setup.dim, &floats))
        return pdag_error(PDAG_ERR_NOMEM, "--save-trajectory: too many steps");
    return allocate_floats(floats, "trajectory", &r->trajectory);
}

pdag_status pdag_rollout_prepare(pdag_rollout *r)
{
    const pdag_pipeline_info *info = &r->setup.info;
    pdag_status status = refuse(r);

    if (status == PDAG_OK)
        status = pdag_observe_open(r->setup.job, info, &r->env);
    if (status != PDAG_OK)
        return status;
    if (!r->has_first_seed)
        r->first_seed = r->setup.job->seed;
    status = check_seeds(r);
    r->horizon = info->state_dims[0];
    r->action_dim = info->state_dims[1];
    r->first_action = info->n_observations - 1;
    r->n_actions = info->n_actions;
    r->episode = pdag_xcalloc(r->n_episodes, sizeof *r->episode);
    if (status == PDAG_OK)
        status = allocate_floats(info->cond_dim, "observations", &r->condition);
    if (status == PDAG_OK)
        status = allocate_floats(info->dim, "plan", &r->plan);
    if (status == PDAG_OK && r->setup.warm_start)
        status = allocate_floats(2 * info->dim, "plan", &r->guess);
    if (status == PDAG_OK && r->setup.warm_start)
        status = allocate_floats(info->dim, "plan", &r->final);
    if (status == PDAG_OK && r->save_trajectory)
        status = allocate_trajectory(r);
    if (r->save_iterates)
        r->iterates = pdag_iterates_open(&r->setup);
    return status;
}

void pdag_rollout_clear(pdag_rollout *r)
{
    free(r->condition);
    free(r->plan);
    free(r->guess);
    free(r->final);
    free(r->trajectory);
    pdag_iterates_close(r->iterates);
    json_decref(r->before);
    free(r->episode);
    free(r->latency);
    pdag_environment_close(r->env);
    pdag_output_clear(&r->output);
    pdag_setup_clear(&r->setup);
}

/* One plan. */

/* Mean square of how far the newest plan is off the expected at position h. */
static float surprise(const pdag_rollout *r, size_t h)
{
    const float *is = r->final + h * r->action_dim;
    const float *expected = r->guess + h * r->action_dim;
    double square = 0.0;

    for (size_t c = 0; c < r->action_dim; c++) {
        double off = (double)is[c] - (double)expected[c];

        square += off * off;
    }
    return (float)(square / (double)r->action_dim);
}

/* Of the plan after the newest, which is the episode's `first` or not. */
static void expect(const pdag_rollout *r, bool first)
{
    size_t width = r->action_dim;
    float *variance = r->guess + r->setup.dim;

    for (size_t h = 0; h < r->horizon; h++) {
        float before = variance[h * width];
        float now = first ? FIRST_VARIANCE
                          : before + NEWEST_SHARE * (surprise(r, h) - before);

        for (size_t c = 0; c < width; c++)
            variance[h * width + c] = now > LEAST_VARIANCE ? now : LEAST_VARIANCE;
    }
    for (size_t h = 0; h < r->horizon; h++) {
        size_t same = h + r->n_actions;

        if (same >= r->horizon)
            same = r->horizon - 1;
        memcpy(r->guess + h * width, r->final + same * width,
               width * sizeof *r->guess);
    }
}

static pdag_status plan_done(void *user, const pdag_sample_result *result)
{
    pdag_rollout *r = user;

    if (result->picture == NULL)
        return PDAG_OK; /* a plan that broke: the run's error says how */
    memcpy(r->plan, result->picture, result->dim * sizeof *r->plan);
    if (r->final != NULL)
        memcpy(r->final, result->trajectory + result->n_rows * result->dim,
               result->dim * sizeof *r->final);
    if (r->trajectory != NULL)
        memcpy(r->trajectory, result->trajectory,
               (result->n_rows + 1) * result->dim * sizeof *r->trajectory);
    r->rounds = result->rounds;
    r->evaluations = result->evaluations;
    r->converged = result->stop == PDAG_STOPPED_CONVERGED ||
                   result->stop == PDAG_STOPPED_SEQUENTIAL;
    return PDAG_OK;
}

static pdag_status keep_states(void *user, const pdag_round_state *round)
{
    pdag_rollout *r = user;

    return pdag_iterates_add(r->iterates, round);
}

static pdag_status sample_plan(pdag_rollout *r, pdag_session *session,
                               const pdag_episode *e)
{
    char gaussian[] = "gaussian";
    pdag_job job = *r->setup.job;
    pdag_run_setup run;

    pdag_setup_run(&r->setup, &run);
    job.seed = e->seed * PDAG_ROLLOUT_SEED_FACTOR + e->plans;
    if (r->guess != NULL && e->plans > 0) {
        job.solver.start = gaussian;
        run.statistics = r->guess;
    }
    run.job = &job;
    run.conditions = r->condition;
    run.picture_floats = r->setup.dim;
    run.sink.user = r;
    run.sink.sample_done = plan_done;
    if (r->iterates != NULL) {
        run.sink.sample_begun = keep_states;
        run.sink.round_done = keep_states;
    }
    return pdag_session_run(session, &run);
}

/* Before the first file of this start. */
static pdag_status begin_files(pdag_rollout *r, const pdag_session *session)
{
    if (r->begun)
        return PDAG_OK;
    r->begun = true;
    pdag_rollout_remove(r);
    return pdag_rollout_write(r, session, pdag_rollout_status(r));
}

static pdag_status make_plan(pdag_rollout *r, pdag_session *session,
                             pdag_episode *e)
{
    double began = pdag_seconds();
    pdag_status status = sample_plan(r, session, e);

    if (status != PDAG_OK)
        return status;
    if (r->guess != NULL)
        expect(r, e->plans == 0);
    r->latency = pdag_xgrow(r->latency, r->n_timed, sizeof *r->latency);
    r->latency[r->n_timed++] = 1e3 * (pdag_seconds() - began);
    status = begin_files(r, session);
    if (status == PDAG_OK)
        status = pdag_rollout_keep_plan(r, e->plans);
    e->plans++;
    e->n_converged += r->converged;
    e->rounds += r->rounds;
    e->evaluations += r->evaluations;
    return status;
}

/* One episode. */

static void draw(const pdag_rollout *r, pdag_strip *strip)
{
    pdag_picture *frame = pdag_picture_create(FRAME_SIDE, FRAME_SIDE);

    pdag_environment_draw(r->env, frame);
    pdag_strip_add(strip, frame);
    pdag_picture_destroy(frame);
}

static pdag_status write_strip(pdag_rollout *r, const pdag_strip *strip)
{
    pdag_picture *picture = pdag_strip_join(strip);
    char name[64];
    void *bytes;
    size_t n_bytes;
    pdag_status status = pdag_png_encode(picture->pixels, picture->height,
                                         picture->width, 3, &bytes, &n_bytes);

    pdag_picture_destroy(picture);
    if (status != PDAG_OK)
        return status;
    snprintf(name, sizeof name, "episode-%03zu.png", r->n_done);
    status = pdag_output_file(&r->output, name, bytes, n_bytes);
    free(bytes);
    return status;
}

/* A plan that was cut off may ask for what cannot be done: to the nearest that
   can.  Not-a-number stays. */
static void limit(const pdag_environment_info *info, float *action)
{
    for (size_t c = 0; c < info->action_dim; c++) {
        if ((double)action[c] < info->action_low)
            action[c] = (float)info->action_low;
        if ((double)action[c] > info->action_high)
            action[c] = (float)info->action_high;
    }
}

/* The plan's actions, until the task is done or the time is over. */
static pdag_status act(pdag_rollout *r, pdag_episode *e)
{
    const pdag_environment_info *info = pdag_environment_info_of(r->env);
    float *action = r->plan + r->first_action * r->action_dim;
    pdag_environment_result result;

    for (size_t k = 0;
         k < r->n_actions && e->steps < info->max_steps && !e->success; k++) {
        pdag_status status;

        limit(info, action);
        status = pdag_environment_step(r->env, action, &result);
        if (status != PDAG_OK)
            return pdag_error_prefix(status, "episode %llu, plan %zu",
                                     (unsigned long long)e->seed, e->plans - 1);
        e->steps++;
        e->score = fmax(e->score, result.reward);
        e->success = result.success;
        pdag_observe_next(r->env, &r->setup.info, r->condition);
        action += r->action_dim;
    }
    return PDAG_OK;
}

pdag_status pdag_rollout_episode(pdag_rollout *r, pdag_session *session)
{
    size_t most = pdag_environment_info_of(r->env)->max_steps;
    pdag_episode *e = &r->episode[r->n_done];
    pdag_strip *strip;
    pdag_status status;

    e->seed = r->first_seed + r->n_done;
    status = pdag_environment_reset(r->env, e->seed);
    if (status != PDAG_OK)
        return status;
    strip = pdag_strip_create(FRAME_SIDE, FRAMES_IN_ROW, FRAME_GAP);
    pdag_observe_first(r->env, &r->setup.info, r->condition);
    while (status == PDAG_OK && e->steps < most && !e->success) {
        r->stopped = pdag_signals_requested() != 0;
        if (r->stopped)
            break;
        draw(r, strip);
        status = make_plan(r, session, e);
        if (status == PDAG_OK)
            status = act(r, e);
    }
    draw(r, strip);
    if (status == PDAG_OK && !r->stopped)
        status = write_strip(r, strip);
    pdag_strip_destroy(strip);
    if (status == PDAG_OK && !r->stopped)
        r->n_done++;
    return status;
}
