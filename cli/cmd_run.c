#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "cli/setup.h"
#include "cli/statistics.h"

/* cli/cmd_run.c: picard-dag run JOB */

typedef struct run_options {
    pdag_options common;
    bool save_trajectory;
    const char *statistics; /* borrowed, or NULL */
} run_options;

typedef struct run_state {
    run_options options;
    pdag_setup setup;
    pdag_output output;
    pdag_statistics statistics;
    pdag_progress_view view;
    pdag_session session;
} run_state;

/* Options. */

enum { OPTION_TRAJECTORY = PDAG_OPTION_OWN, OPTION_STATISTICS, OPTION_START,
       OPTION_FIELDS };

static const struct option own_list[] = {
    {"save-trajectory", no_argument, NULL, OPTION_TRAJECTORY},
    {"save-statistics", required_argument, NULL, OPTION_STATISTICS},
    {"start-from", required_argument, NULL, OPTION_START},
    {"fields", no_argument, NULL, OPTION_FIELDS},
    {NULL, 0, NULL, 0},
};

static int show_fields(void)
{
    char *text = pdag_job_fields_text();

    fputs(text, stdout);
    free(text);
    return PDAG_EXIT_OK;
}

static int take_option(void *user, int value, const char *argument)
{
    run_options *o = user;

    switch (value) {
    case OPTION_TRAJECTORY:
        o->save_trajectory = true;
        return -1;
    case OPTION_STATISTICS:
        o->statistics = argument;
        return -1;
    case OPTION_START:
        pdag_options_add(&o->common, pdag_xstrdup("solver.start=trajectory"));
        pdag_options_add(&o->common,
                         pdag_xasprintf("solver.start_from=%s", argument));
        return -1;
    default:
        return show_fields();
    }
}

/* The sink of the scheduler. */

static pdag_status sample_done(void *user, const pdag_sample_result *result)
{
    run_state *s = user;

    pdag_statistics_add(&s->statistics, result->index,
                        result->trajectory + result->n_rows * result->dim);
    return pdag_output_sample(&s->output, result);
}

static void progress(void *user, const pdag_progress *p)
{
    run_state *s = user;

    pdag_progress_show(&s->view, p);
}

/* The command. */

static void say_where(const run_state *s)
{
    if (s->options.common.quiet)
        return;
    fprintf(stderr, "picard-dag: %lld sample%s (%s) in %s\n",
            (long long)s->setup.job->samples,
            s->setup.job->samples == 1 ? "" : "s",
            pdag_stop_reason_text(s->session.last.stop), s->setup.job->output);
}

static pdag_status sample_all(run_state *s)
{
    pdag_run_setup run;
    pdag_status status;

    pdag_setup_run(&s->setup, &run);
    run.sink.user = s;
    run.sink.sample_done = sample_done;
    run.sink.progress = progress;
    status = pdag_session_run(&s->session, &run);
    pdag_progress_close(&s->view);
    if (status != PDAG_OK)
        return status;
    if (s->session.last.stop != PDAG_STOPPED_MAX_ROUNDS)
        return pdag_statistics_write(&s->statistics);
    if (s->options.statistics != NULL)
        fprintf(stderr, "picard-dag: %s is not written, since not every sample "
                "converged\n", s->options.statistics);
    return PDAG_OK;
}

/* With workers at hand: run, release, report. */
static int work(run_state *s)
{
    char *failure = NULL;
    int exit_status;
    pdag_status status = sample_all(s);

    if (status != PDAG_OK) {
        failure = pdag_xstrdup(pdag_error_text());
        exit_status = pdag_cli_fail(status);
    } else {
        exit_status = s->session.last.stop == PDAG_STOPPED_MAX_ROUNDS
                          ? PDAG_EXIT_NOT_CONVERGED : PDAG_EXIT_OK;
    }
    pdag_session_release(&s->session, exit_status);
    /* Nothing was started where the model could not be loaded. */
    if (exit_status == PDAG_EXIT_MISUSE) {
        pdag_output_withdraw(&s->output);
    } else {
        status = pdag_output_run(&s->output, &s->session, exit_status, failure);
        if (status != PDAG_OK && exit_status != PDAG_EXIT_FAILED)
            exit_status = pdag_cli_fail(status);
        else if (failure == NULL)
            say_where(s);
    }
    pdag_session_end(&s->session, exit_status, failure != NULL);
    free(failure);
    return exit_status;
}

/* With a job that is sound. */
static int run_job(run_state *s, pdag_cli *cli)
{
    const pdag_options *o = &s->options.common;
    pdag_status status = pdag_session_check(&s->setup, o->dedicated);

    if (status == PDAG_OK)
        status = pdag_statistics_open(&s->setup, s->options.statistics,
                                      &s->statistics);
    if (status == PDAG_OK)
        status = pdag_output_open(&s->setup, "run", s->options.save_trajectory,
                                  o->force, &s->output);
    if (status == PDAG_OK)
        status = pdag_session_open(cli, &s->setup, o->dedicated, &s->session);
    return status == PDAG_OK ? work(s) : pdag_cli_fail(status);
}

static int command_run(pdag_cli *cli, int argc, char **argv)
{
    pdag_own_options own = {own_list, take_option, NULL};
    run_state s;
    const pdag_options *o = &s.options.common;
    int exit_status;
    pdag_status status;

    memset(&s, 0, sizeof s);
    own.user = &s.options;
    exit_status = pdag_options_parse(&pdag_command_run, &own, cli->n_ranks, argc,
                                     argv, &s.options.common);
    if (exit_status < 0) {
        status = pdag_setup_create(o->job, o->n_set, o->set, &s.setup);
        if (status != PDAG_OK) {
            exit_status = pdag_cli_fail(status);
        } else {
            s.view = pdag_progress_make(o->quiet);
            exit_status = run_job(&s, cli);
            pdag_output_clear(&s.output);
            pdag_statistics_clear(&s.statistics);
            pdag_setup_clear(&s.setup);
        }
    }
    pdag_options_clear(&s.options.common);
    return exit_status;
}

const pdag_command pdag_command_run = {
    .name = "run",
    .arguments = "JOB [options]",
    .summary = "Sample what the job file says; JOB may be - for standard input.",
    .options =
        "    --set FIELD=VALUE       override a field of the job (repeatable)\n"
        "    -o, --output DIR        folder for the results\n"
        "    --force                 replace another job's results there\n"
        "    --start-from DIR        first guess: the trajectories of a run there\n"
        "    --save-trajectory       also write sample-000.trajectory.npy\n"
        "    --save-statistics FILE  mean and variance of the samples, .npy\n"
        "    --dedicated-scheduler   rank 0 schedules only\n"
        "    -q, --quiet             no progress\n"
        "    --fields                list the job's fields and their defaults\n"
        "\n"
        "Under mpirun every rank works: mpirun -np 8 picard-dag run JOB.\n",
    .run = command_run,
};
