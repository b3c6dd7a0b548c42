#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "cli/plan.h"
#include "cli/setup.h"

/* cli/cmd_plan.c: picard-dag plan JOB */

/* What a plan can be for. */
#define MOST_RANKS 4096
#define MOST_ROUNDS 10000
#define MOST_TASK_SECONDS 1e6

typedef enum format { TEXT, JSON, DOT } format;

typedef struct plan_options {
    pdag_options common;
    pdag_plan_options plan;
    format format;
} plan_options;

enum { OPTION_RANKS = PDAG_OPTION_OWN, OPTION_TASK_SECONDS, OPTION_ROUNDS,
       OPTION_JSON, OPTION_DOT };

static const struct option own_list[] = {
    {"ranks", required_argument, NULL, OPTION_RANKS},
    {"task-seconds", required_argument, NULL, OPTION_TASK_SECONDS},
    {"rounds", required_argument, NULL, OPTION_ROUNDS},
    {"json", no_argument, NULL, OPTION_JSON},
    {"dot", no_argument, NULL, OPTION_DOT},
    {NULL, 0, NULL, 0},
};

/* A whole number in 1..most. */
static int take_count(const char *option, const char *text, long most,
                      long *out)
{
    char *end;
    long value = strtol(text, &end, 10);
    char message[128];

    if (end != text && *end == '\0' && value >= 1 && value <= most) {
        *out = value;
        return -1;
    }
    snprintf(message, sizeof message, "%s: %.40s: expected a whole number from 1 "
             "to %ld", option, text, most);
    return pdag_cli_misuse(&pdag_command_plan, message, "");
}

static int take_option(void *user, int value, const char *argument)
{
    plan_options *o = user;
    long count = 0;
    int exit_status;

    switch (value) {
    case OPTION_RANKS:
        exit_status = take_count("--ranks", argument, MOST_RANKS, &count);
        o->plan.n_ranks = (int)count;
        return exit_status;
    case OPTION_TASK_SECONDS:
        return pdag_cli_real(&pdag_command_plan, "--task-seconds", argument, 1e-9,
                             MOST_TASK_SECONDS, &o->plan.task_seconds);
    case OPTION_ROUNDS:
        exit_status = take_count("--rounds", argument, MOST_ROUNDS, &count);
        o->plan.rounds = (size_t)count;
        return exit_status;
    case OPTION_JSON:
        o->format = JSON;
        return -1;
    default:
        o->format = DOT;
        return -1;
    }
}

static void print(const pdag_plan *plan, format wanted)
{
    pdag_text text = {NULL, 0, 0};

    if (wanted == JSON) {
        json_t *root = pdag_plan_json(plan);
        char *dump = json_dumps(root, JSON_INDENT(2));

        puts(dump != NULL ? dump : "null");
        free(dump);
        json_decref(root);
        return;
    }
    if (wanted == DOT)
        pdag_plan_add_dot(plan, &text);
    else
        pdag_plan_add_text(plan, &text);
    fputs(text.at, stdout);
    pdag_text_clear(&text);
}

/* With options that are sound. */
static int plan_job(const plan_options *o)
{
    pdag_setup setup;
    pdag_plan plan;
    pdag_status status =
        pdag_setup_create(o->common.job, o->common.n_set, o->common.set, &setup);

    if (status != PDAG_OK)
        return pdag_cli_fail(status);
    status = pdag_plan_make(&setup, &o->plan, &plan);
    if (status == PDAG_OK) {
        if (plan.costs.note != NULL && !o->common.quiet)
            fprintf(stderr, "picard-dag: %s\n", plan.costs.note);
        print(&plan, o->format);
        pdag_plan_clear(&plan);
    }
    pdag_setup_clear(&setup);
    return status == PDAG_OK ? PDAG_EXIT_OK : pdag_cli_fail(status);
}

static int command_plan(pdag_cli *cli, int argc, char **argv)
{
    pdag_own_options own = {own_list, take_option, NULL};
    plan_options o;
    int exit_status;

    memset(&o, 0, sizeof o);
    o.plan.n_ranks = cli->n_ranks;
    own.user = &o;
    /* How many ranks there will be is known after --ranks only. */
    exit_status = pdag_options_parse(&pdag_command_plan, &own, INT_MAX, argc,
                                     argv, &o.common);
    o.plan.dedicated = o.common.dedicated;
    if (exit_status < 0 && o.plan.dedicated && o.plan.n_ranks < 2)
        exit_status = pdag_cli_misuse(
            &pdag_command_plan, "--dedicated-scheduler needs at least two ranks",
            "");
    if (exit_status < 0)
        exit_status = plan_job(&o);
    pdag_options_clear(&o.common);
    return exit_status;
}

const pdag_command pdag_command_plan = {
    .name = "plan",
    .arguments = "JOB [options]",
    .summary = "Say what a run would take (rounds, time, memory) and what to set.",
    .options =
        "    --ranks N             for so many ranks (default: those it runs on)\n"
        "    --task-seconds S      what evaluating one block of rows takes\n"
        "    --rounds R            rounds of a sample\n"
        "    --json                for programs\n"
        "    --dot                 the task graph for Graphviz\n"
        "    --set FIELD=VALUE     override a field of the job (repeatable)\n"
        "    --dedicated-scheduler rank 0 schedules only\n"
        "    -q, --quiet           no notes\n"
        "\n"
        "What is not given comes from earlier runs of the model, kept in\n"
        "$XDG_CACHE_HOME/picard-dag or ~/.cache/picard-dag; else from a default,\n"
        "which is said.  Reads no weights and starts nothing.\n",
    .run = command_plan,
};
