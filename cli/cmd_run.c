#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/npy.h"
#include "cli/cli.h"
#include "cli/iterates.h"
#include "cli/keeper.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/performance.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "cli/setup.h"
#include "cli/signals.h"
#include "cli/statistics.h"
#include "cli/trace.h"

/* cli/cmd_run.c: picard-dag run JOB */

/* Often enough that little is lost, rarely enough that the disk does not notice. */
#define CHECKPOINT_SECONDS 30.0
#define MOST_SECONDS 1e9

typedef struct run_options {
    pdag_options common;
    bool save_trajectory, save_iterates, resume, trace;
    const char *statistics; /* borrowed, or NULL */
    double checkpoint_seconds;
    double wall_seconds; /* 0: no limit */
    double task_seconds; /* 0: from measurements */
} run_options;

typedef struct run_state {
    run_options options;
    double began;
    pdag_setup setup;
    pdag_output output;
    pdag_keeper keeper;
    pdag_statistics statistics;
    pdag_progress_view view;
    pdag_session session;
    pdag_trace *trace;             /* or NULL */
    pdag_performance *performance; /* or NULL */
    pdag_iterates *iterates;       /* or NULL */
    bool over_time;
} run_state;

/* Options. */

enum { OPTION_TRAJECTORY = PDAG_OPTION_OWN, OPTION_STATISTICS, OPTION_START,
       OPTION_FIELDS, OPTION_RESUME, OPTION_CHECKPOINT, OPTION_WALL_TIME,
       OPTION_TASK_TIMEOUT, OPTION_TRACE, OPTION_ITERATES };

static const struct option own_list[] = {
    {"save-trajectory", no_argument, NULL, OPTION_TRAJECTORY},
    {"save-statistics", required_argument, NULL, OPTION_STATISTICS},
    {"start-from", required_argument, NULL, OPTION_START},
    {"fields", no_argument, NULL, OPTION_FIELDS},
    {"resume", no_argument, NULL, OPTION_RESUME},
    {"checkpoint-seconds", required_argument, NULL, OPTION_CHECKPOINT},
    {"max-wall-time", required_argument, NULL, OPTION_WALL_TIME},
    {"task-timeout", required_argument, NULL, OPTION_TASK_TIMEOUT},
    {"trace", no_argument, NULL, OPTION_TRACE},
    {"save-iterates", no_argument, NULL, OPTION_ITERATES},
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
    case OPTION_RESUME:
        o->resume = true;
        return -1;
    case OPTION_TRACE:
        o->trace = true;
        return -1;
    case OPTION_ITERATES:
        o->save_iterates = true;
        return -1;
    case OPTION_CHECKPOINT:
        return pdag_cli_real(&pdag_command_run, "--checkpoint-seconds", argument,
                             0.0, MOST_SECONDS, &o->checkpoint_seconds);
    case OPTION_WALL_TIME:
        return pdag_cli_real(&pdag_command_run, "--max-wall-time", argument, 0.0,
                             MOST_SECONDS, &o->wall_seconds);
    case OPTION_TASK_TIMEOUT:
        return pdag_cli_real(&pdag_command_run, "--task-timeout", argument, 0.0,
                             MOST_SECONDS, &o->task_seconds);
    default:
        return show_fields();
    }
}

/* The sink of the scheduler. */

static pdag_status sample_done(void *user, const pdag_sample_result *result)
{
    run_state *s = user;
    char stem[64];
    pdag_status status;

    pdag_statistics_add(&s->statistics, result->index,
                        result->trajectory + result->n_rows * result->dim);
    status = pdag_output_sample(&s->output, result);
    if (status == PDAG_OK && s->iterates != NULL &&
        result->stop != PDAG_STOPPED_STOPPED) {
        snprintf(stem, sizeof stem, "sample-%03zu", result->index);
        status = pdag_iterates_write(s->iterates, result->index, stem);
    }
    return status;
}

static pdag_status keep_states(void *user, const pdag_round_state *round)
{
    run_state *s = user;

    return pdag_iterates_add(s->iterates, round);
}

static void progress(void *user, const pdag_progress *p)
{
    run_state *s = user;

    pdag_progress_show(&s->view, p);
}

static void event(void *user, const pdag_event *e)
{
    run_state *s = user;

    if (s->trace != NULL)
        pdag_trace_event(s->trace, e);
    if (s->performance != NULL)
        pdag_performance_event(s->performance, e);
}

static void notice(void *user, const char *text)
{
    run_state *s = user;

    pdag_progress_close(&s->view);
    fprintf(stderr, "picard-dag: %s\n", text);
}

static pdag_status save(void *user, pdag_checkpoint *cp, bool last)
{
    run_state *s = user;

    return pdag_keeper_save(&s->keeper, cp, last);
}

static bool stop_asked(void *user)
{
    run_state *s = user;

    if (pdag_signals_requested() != 0)
        return true;
    s->over_time = s->options.wall_seconds > 0.0 &&
                   pdag_seconds() - s->began >= s->options.wall_seconds;
    return s->over_time;
}

static void fill_run(run_state *s, pdag_run_setup *run)
{
    pdag_setup_run(&s->setup, run);
    run->resume = s->keeper.resumed;
    run->ended = s->keeper.ended;
    run->checkpoint_seconds = s->options.checkpoint_seconds;
    run->task_seconds = s->options.task_seconds;
    run->sink.user = s;
    run->sink.sample_done = sample_done;
    run->sink.progress = progress;
    run->sink.event = event;
    if (s->iterates != NULL) {
        run->sink.sample_begun = keep_states;
        run->sink.round_done = keep_states;
    }
    run->sink.notice = notice;
    run->sink.save = save;
    run->sink.stop_asked = stop_asked;
}

/* The command. */

static void say_where(const run_state *s)
{
    const pdag_run_result *last = &s->session.last;

    if (last->stop == PDAG_STOPPED_STOPPED)
        fprintf(stderr, "picard-dag: stopped by %s; picard-dag run --resume goes "
                "on\n", s->over_time ? "the time limit" : "a signal");
    else if (!s->options.common.quiet)
        fprintf(stderr, "picard-dag: %lld sample%s (%s) in %s\n",
                (long long)s->setup.job->samples,
                s->setup.job->samples == 1 ? "" : "s",
                pdag_stop_reason_text(last->stop), s->setup.job->output);
}

/* Final states of the samples that had ended before: for the statistics. */
static pdag_status read_ended(run_state *s)
{
    for (size_t i = 0; s->options.statistics != NULL && s->keeper.ended != NULL &&
                       i < (size_t)s->setup.job->samples; i++) {
        size_t dims[PDAG_MAX_DIMS];
        int n_dims;
        size_t floats = 1;
        float *state;
        char *path;
        pdag_status status;

        if (!s->keeper.ended[i])
            continue;
        path = pdag_xasprintf("%s/sample-%03zu.npy", s->setup.job->output, i);
        status = pdag_npy_read(path, &state, &n_dims, dims);
        for (int d = 0; status == PDAG_OK && d < n_dims; d++)
            floats *= dims[d];
        if (status == PDAG_OK && floats != s->setup.dim) {
            status = pdag_error(PDAG_ERR_SHAPE, "%s: %zu numbers, expected %zu",
                                path, floats, s->setup.dim);
            free(state);
        }
        free(path);
        if (status != PDAG_OK)
            return status;
        pdag_statistics_add(&s->statistics, i, state);
        free(state);
    }
    return PDAG_OK;
}

static pdag_status write_statistics(run_state *s)
{
    pdag_stop_reason stop = s->session.last.stop;

    if (stop != PDAG_STOPPED_MAX_ROUNDS && stop != PDAG_STOPPED_STOPPED)
        return pdag_statistics_write(&s->statistics);
    if (s->options.statistics != NULL)
        fprintf(stderr, "picard-dag: %s is not written, since not every sample "
                "converged\n", s->options.statistics);
    return PDAG_OK;
}

static pdag_status sample_all(run_state *s)
{
    pdag_run_setup run;
    pdag_status status;

    fill_run(s, &run);
    status = pdag_session_run(&s->session, &run);
    pdag_progress_close(&s->view);
    if (status == PDAG_OK)
        status = pdag_output_flush(&s->output);
    return status == PDAG_OK ? write_statistics(s) : status;
}

static int exit_status_of(pdag_stop_reason stop)
{
    return stop == PDAG_STOPPED_STOPPED      ? PDAG_EXIT_STOPPED
           : stop == PDAG_STOPPED_MAX_ROUNDS ? PDAG_EXIT_NOT_CONVERGED
                                             : PDAG_EXIT_OK;
}

/* What the run's figures say about predictions, into run.json and, in a line, to
   the user. */
static void compare_with_prediction(run_state *s, bool whole)
{
    pdag_accuracy accuracy;

    pdag_performance_close(s->performance, whole ? &s->session.last : NULL,
                           &accuracy);
    s->performance = NULL;
    json_decref(s->output.prediction);
    s->output.prediction = pdag_accuracy_json(&accuracy);
    if (!s->options.common.quiet && accuracy.there)
        fprintf(stderr, "picard-dag: sampling took %.3g s; %s %.3g s (%+.1f %%)\n",
                accuracy.measured,
                accuracy.stored ? "predicted from earlier runs:"
                                : "its replay from its own figures:",
                accuracy.seconds, accuracy.error_percent);
    if (!s->options.common.quiet && accuracy.note != NULL)
        fprintf(stderr, "picard-dag: %s\n", accuracy.note);
    pdag_accuracy_clear(&accuracy);
}

static pdag_status write_trace(run_state *s)
{
    if (s->trace == NULL)
        return PDAG_OK;
    return pdag_trace_write(s->trace, s->setup.job->output,
                            s->session.last.n_workers, s->session.last.worker);
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
        exit_status = exit_status_of(s->session.last.stop);
    }
    pdag_session_release(&s->session, exit_status);
    compare_with_prediction(s, exit_status == PDAG_EXIT_OK);
    /* Nothing was started where the model could not be loaded. */
    if (exit_status == PDAG_EXIT_MISUSE) {
        pdag_keeper_close(&s->keeper, s->output.made_folder);
        pdag_output_withdraw(&s->output);
    } else {
        status = write_trace(s);
        if (status == PDAG_OK)
            status = pdag_output_run(&s->output, &s->session, exit_status,
                                     failure);
        if (status != PDAG_OK && failure == NULL)
            exit_status = pdag_cli_fail(status);
        else if (failure == NULL)
            say_where(s);
    }
    pdag_keeper_close(&s->keeper, exit_status == PDAG_EXIT_OK ||
                                      exit_status == PDAG_EXIT_NOT_CONVERGED);
    pdag_session_end(&s->session, exit_status, failure != NULL);
    free(failure);
    return exit_status;
}

static pdag_status open_all(run_state *s, pdag_cli *cli)
{
    const pdag_options *o = &s->options.common;
    pdag_status status = pdag_session_check(&s->setup, o->dedicated);

    if (status == PDAG_OK)
        status = pdag_statistics_open(&s->setup, s->options.statistics,
                                      &s->statistics);
    if (status == PDAG_OK)
        status = pdag_keeper_find(&s->setup, s->options.resume,
                                  s->options.save_trajectory, &s->keeper);
    if (status == PDAG_OK)
        status = pdag_output_open(&s->setup, "run", s->options.save_trajectory,
                                  o->force, s->keeper.whose, &s->output);
    if (status == PDAG_OK)
        status = pdag_keeper_open(&s->keeper, &s->output);
    if (status == PDAG_OK)
        status = read_ended(s);
    if (status != PDAG_OK)
        return status;
    if (s->options.save_iterates)
        s->iterates = pdag_iterates_open(&s->setup);
    if (s->options.trace)
        s->trace = pdag_trace_create(o->dedicated ? 1 : 0, pdag_seconds());
    s->performance = pdag_performance_open(&s->setup, o->dedicated);
    pdag_signals_install();
    return pdag_session_open(cli, &s->setup, o->dedicated, o->share_devices,
                             &s->session);
}

/* With a job that is sound. */
static int run_job(run_state *s, pdag_cli *cli)
{
    pdag_status status = open_all(s, cli);

    if (status == PDAG_OK)
        return work(s);
    return pdag_cli_fail(status);
}

static int command_run(pdag_cli *cli, int argc, char **argv)
{
    pdag_own_options own = {own_list, take_option, NULL};
    run_state s;
    const pdag_options *o = &s.options.common;
    int exit_status;
    pdag_status status;

    memset(&s, 0, sizeof s);
    s.began = pdag_seconds();
    s.options.checkpoint_seconds = CHECKPOINT_SECONDS;
    own.user = &s.options;
    exit_status = pdag_options_parse(&pdag_command_run, &own, cli->n_ranks, argc,
                                     argv, &s.options.common);
    if (exit_status < 0 && s.options.save_iterates && s.options.resume)
        exit_status = pdag_cli_misuse(
            &pdag_command_run, "--save-iterates: not with --resume, since the "
            "first rounds are gone", "");
    if (exit_status < 0) {
        status = pdag_setup_create(o->job, o->n_set, o->set, &s.setup);
        if (status != PDAG_OK) {
            exit_status = pdag_cli_fail(status);
        } else {
            s.view = pdag_progress_make(o->quiet);
            exit_status = run_job(&s, cli);
            pdag_keeper_close(&s.keeper, false);
            pdag_trace_destroy(s.trace);
            pdag_iterates_close(s.iterates);
            if (s.performance != NULL)
                compare_with_prediction(&s, false);
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
        "    --save-iterates         also write sample-000.iterates.npy\n"
        "    --save-statistics FILE  mean and variance of the samples, .npy\n"
        "    --resume                go on from the newest checkpoint there\n"
        "    --checkpoint-seconds S  between checkpoints (30; 0: none)\n"
        "    --max-wall-time S       stop and save after so many seconds\n"
        "    --task-timeout S        a silent worker is hung (from measurements)\n"
        "    --trace                 also write trace.json (Perfetto)\n"
        "    --dedicated-scheduler   rank 0 schedules only\n"
        "    --share-devices         several ranks may have one GPU\n"
        "    -q, --quiet             no progress\n"
        "    --fields                list the job's fields and their defaults\n"
        "\n"
        "Under mpirun every rank works: mpirun -np 8 picard-dag run JOB.\n",
    .run = command_run,
};
