#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/rollout.h"
#include "cli/signals.h"

/* cli/cmd_rollout.c: picard-dag rollout JOB: a policy in closed loop. */

#define MOST_EPISODES 100000

/* Options. */

enum { OPTION_EPISODES = PDAG_OPTION_OWN, OPTION_FIRST_SEED, OPTION_TRAJECTORY,
       OPTION_ITERATES, OPTION_RESUME };

static const struct option own_list[] = {
    {"episodes", required_argument, NULL, OPTION_EPISODES},
    {"first-seed", required_argument, NULL, OPTION_FIRST_SEED},
    {"save-trajectory", no_argument, NULL, OPTION_TRAJECTORY},
    {"save-iterates", no_argument, NULL, OPTION_ITERATES},
    {"resume", no_argument, NULL, OPTION_RESUME},
    {NULL, 0, NULL, 0},
};

/* A whole number in [low, high], or the misuse. */
static int take_number(const char *option, const char *text, uint64_t low,
                       uint64_t high, uint64_t *out)
{
    char message[128];
    char *end;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (text[strspn(text, "0123456789")] == '\0' && end != text && errno == 0 &&
        value >= low && value <= high) {
        *out = value;
        return -1;
    }
    snprintf(message, sizeof message,
             "%s: expected a whole number from %llu to %llu, not ", option,
             (unsigned long long)low, (unsigned long long)high);
    return pdag_cli_misuse(&pdag_command_rollout, message, text);
}

static int take_option(void *user, int value, const char *argument)
{
    pdag_rollout *r = user;
    uint64_t number = 1;
    int status;

    switch (value) {
    case OPTION_EPISODES:
        status = take_number("--episodes", argument, 1, MOST_EPISODES, &number);
        r->n_episodes = (size_t)number;
        return status;
    case OPTION_TRAJECTORY:
        r->save_trajectory = true;
        return -1;
    case OPTION_ITERATES:
        r->save_iterates = true;
        return -1;
    case OPTION_RESUME:
        r->resume = true;
        return -1;
    default:
        r->has_first_seed = true;
        return take_number("--first-seed", argument, 0, UINT64_MAX,
                           &r->first_seed);
    }
}

/* Episodes. */

static void say_episode(const pdag_rollout *r)
{
    const pdag_episode *e = &r->episode[r->n_done - 1];

    if (r->options.quiet)
        return;
    fprintf(stderr, "episode %zu/%zu: seed %llu, score %.3f%s, %zu steps, %zu "
            "plans of %.1f rounds\n", r->n_done, r->n_episodes,
            (unsigned long long)e->seed, e->score, e->success ? ", success" : "",
            e->steps, e->plans, (double)e->rounds / (double)e->plans);
}

static pdag_status run_all(pdag_rollout *r, pdag_session *session)
{
    pdag_status status = PDAG_OK;

    while (status == PDAG_OK && r->n_done < r->n_episodes && !r->stopped) {
        status = pdag_rollout_episode(r, session);
        if (status != PDAG_OK || r->stopped)
            break;
        if (r->n_done < r->n_episodes)
            status = pdag_rollout_write(r, session, pdag_rollout_status(r));
        say_episode(r); /* of which nothing can be lost any more */
    }
    return status;
}

/* Also of a rollout that failed on its way. */
static pdag_status end_files(pdag_rollout *r, const pdag_session *session,
                             int exit_status)
{
    pdag_rollout_remove(r);
    return pdag_rollout_write(r, session, exit_status);
}

/* With workers at hand. */
static int work(pdag_rollout *r, pdag_session *session)
{
    pdag_status status = run_all(r, session);
    int exit_status = pdag_rollout_status(r);

    if (status == PDAG_OK)
        status = end_files(r, session, exit_status);
    if (status == PDAG_OK && r->stopped)
        fprintf(stderr, "picard-dag: stopped by a signal after %zu of %zu "
                "episodes; picard-dag rollout --resume goes on\n", r->n_done,
                r->n_episodes);
    if (status != PDAG_OK) {
        exit_status = pdag_cli_fail(status);
        if (r->begun)
            end_files(r, session, exit_status);
        pdag_output_withdraw(&r->output); /* goes only where it is empty */
    }
    pdag_session_release(session, exit_status);
    if (status == PDAG_OK)
        pdag_rollout_print(r);
    fflush(stdout);
    pdag_session_end(session, exit_status, status != PDAG_OK);
    return exit_status;
}

/* With options that are sound. */
static int rollout_job(pdag_rollout *r, pdag_cli *cli)
{
    const pdag_options *o = &r->options;
    pdag_session session;
    pdag_status status = pdag_setup_create(o->job, o->n_set, o->set, &r->setup);

    if (status == PDAG_OK)
        status = pdag_rollout_prepare(r);
    if (status == PDAG_OK)
        status = pdag_session_check(&r->setup, o->dedicated);
    if (status == PDAG_OK)
        status = pdag_rollout_find(r);
    if (status == PDAG_OK)
        status = pdag_output_open(&r->setup, "rollout", false, o->force,
                                  r->whose, &r->output);
    pdag_signals_install();
    if (status == PDAG_OK)
        status = pdag_session_open(cli, &r->setup, o->dedicated,
                                   o->share_devices, &session);
    return status == PDAG_OK ? work(r, &session) : pdag_cli_fail(status);
}

static int command_rollout(pdag_cli *cli, int argc, char **argv)
{
    pdag_own_options own = {own_list, take_option, NULL};
    pdag_rollout r;
    int exit_status;

    memset(&r, 0, sizeof r);
    r.n_episodes = 1;
    own.user = &r;
    exit_status = pdag_options_parse(&pdag_command_rollout, &own, cli->n_ranks,
                                     argc, argv, &r.options);
    if (exit_status < 0) {
        exit_status = rollout_job(&r, cli);
        pdag_rollout_clear(&r);
    }
    pdag_options_clear(&r.options);
    return exit_status;
}

const pdag_command pdag_command_rollout = {
    .name = "rollout",
    .arguments = "JOB [options]",
    .summary = "A policy in its environment, every plan sampled in parallel.",
    .options =
        "    --episodes N           how many (1)\n"
        "    --first-seed S         of the first, the next S + 1 .. (the job's)\n"
        "    --save-trajectory      also write every plan's trajectory\n"
        "    --save-iterates        also write every plan's states of all rounds\n"
        "    --resume               go on from the episodes in rollout.json there\n"
        "    --set FIELD=VALUE      override a field of the job (repeatable)\n"
        "    -o, --output DIR       folder for rollout.json and the pictures\n"
        "    --force                replace another job's results there\n"
        "    --dedicated-scheduler  rank 0 schedules only\n"
        "    --share-devices        several ranks may have one GPU\n"
        "    -q, --quiet            no progress\n"
        "\n"
        "With solver.start=trajectory a plan starts from the one before it.\n"
        "Exit status 3: the plans of some steps did not converge.\n",
    .run = command_rollout,
};
