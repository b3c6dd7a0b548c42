#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/rollout.h"
#include "cli/signals.h"

/* cli/cmd_rollout.c: picard-dag rollout JOB: a policy in closed loop. */

#define MOST_EPISODES 100000

/* Options. */

enum { OPTION_EPISODES = PDAG_OPTION_OWN, OPTION_FIRST_SEED };

static const struct option own_list[] = {
    {"episodes", required_argument, NULL, OPTION_EPISODES},
    {"first-seed", required_argument, NULL, OPTION_FIRST_SEED},
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

    if (value == OPTION_EPISODES) {
        status = take_number("--episodes", argument, 1, MOST_EPISODES, &number);
        r->n_episodes = (size_t)number;
        return status;
    }
    r->has_first_seed = true;
    return take_number("--first-seed", argument, 0, UINT64_MAX, &r->first_seed);
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
        if (status == PDAG_OK && !r->stopped)
            say_episode(r);
    }
    return status;
}

/* Of a rollout before this one into the same folder, which had more episodes. */
static void remove_older(const pdag_rollout *r)
{
    bool there = true;

    for (size_t k = r->n_done; there; k++) {
        char *path = pdag_xasprintf("%s/episode-%03zu.png",
                                    r->setup.job->output, k);

        there = unlink(path) == 0;
        free(path);
    }
}

static pdag_status write_report(pdag_rollout *r, const pdag_session *session,
                                int exit_status)
{
    json_t *root = pdag_rollout_json(r, session, exit_status);
    pdag_status status = pdag_output_json(&r->output, "rollout.json", root);

    json_decref(root);
    return status;
}

/* With workers at hand. */
static int work(pdag_rollout *r, pdag_session *session)
{
    pdag_status status = run_all(r, session);
    int exit_status = r->stopped                    ? PDAG_EXIT_STOPPED
                      : r->n_converged < r->n_plans ? PDAG_EXIT_NOT_CONVERGED
                                                    : PDAG_EXIT_OK;

    if (status == PDAG_OK) {
        remove_older(r);
        status = write_report(r, session, exit_status);
    }
    if (status == PDAG_OK && r->stopped)
        fprintf(stderr, "picard-dag: stopped by a signal after %zu of %zu "
                "episodes\n", r->n_done, r->n_episodes);
    if (status != PDAG_OK) {
        exit_status = pdag_cli_fail(status);
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
        status = pdag_output_open(&r->setup, "rollout", false, o->force,
                                  PDAG_FOLDER_UNKNOWN, &r->output);
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
