#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/setup.h"
#include "comm/mpi.h"

/* cli/cmd_run.c: picard-dag run JOB */

typedef struct options {
    const char *job;
    size_t n_set;
    const char **set; /* borrowed texts; -o becomes output=DIR */
    char *output_set; /* owned */
    bool quiet, force, save_trajectory, dedicated;
} options;

/* The worker thread of rank 0. */
typedef struct local_worker {
    pthread_t thread;
    bool started;
    pdag_worker_config config;
    pdag_comm *endpoint;
} local_worker;

typedef struct session {
    options options;
    pdag_setup setup;
    pdag_output output;
    pdag_progress_view view;
    local_worker local;
    pdag_comm *comm; /* all workers */
} session;

/* Options. */

enum { OPTION_SET = 256, OPTION_FORCE, OPTION_TRAJECTORY, OPTION_DEDICATED,
       OPTION_FIELDS };

static const struct option long_options[] = {
    {"set", required_argument, NULL, OPTION_SET},
    {"output", required_argument, NULL, 'o'},
    {"quiet", no_argument, NULL, 'q'},
    {"force", no_argument, NULL, OPTION_FORCE},
    {"save-trajectory", no_argument, NULL, OPTION_TRAJECTORY},
    {"dedicated-scheduler", no_argument, NULL, OPTION_DEDICATED},
    {"fields", no_argument, NULL, OPTION_FIELDS},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void options_clear(options *o)
{
    free(o->set);
    free(o->output_set);
}

static int misuse(const char *text, const char *what)
{
    fprintf(stderr, "picard-dag: run: %s%s (see picard-dag run --help)\n", text,
            what);
    return PDAG_EXIT_MISUSE;
}

/* Of a cluster of short options only the letter is known. */
static int unknown_option(char **argv)
{
    char letter[3] = {'-', (char)optopt, '\0'};

    return misuse("unknown option: ", optopt > 0 && optopt < 256
                                          ? letter : argv[optind - 1]);
}

static int show_fields(void)
{
    char *text = pdag_job_fields_text();

    fputs(text, stdout);
    free(text);
    return PDAG_EXIT_OK;
}

/* -1 to go on, else the exit status. */
static int parse_options(int argc, char **argv, options *o)
{
    int c;

    o->set = pdag_xcalloc((size_t)argc + 1, sizeof *o->set);
    opterr = 0;
    optind = 1;
    while ((c = getopt_long(argc, argv, ":o:qh", long_options, NULL)) != -1) {
        switch (c) {
        case OPTION_SET:
            o->set[o->n_set++] = optarg;
            break;
        case 'o':
            if (optarg[0] == '\0')
                return misuse("option needs a value: ", "-o");
            free(o->output_set);
            o->output_set = pdag_xasprintf("output=%s", optarg);
            break;
        case 'q':
            o->quiet = true;
            break;
        case OPTION_FORCE:
            o->force = true;
            break;
        case OPTION_TRAJECTORY:
            o->save_trajectory = true;
            break;
        case OPTION_DEDICATED:
            o->dedicated = true;
            break;
        case OPTION_FIELDS:
            return show_fields();
        case 'h':
            pdag_cli_usage(&pdag_command_run, stdout);
            return PDAG_EXIT_OK;
        case ':':
            return misuse("option needs a value: ", argv[optind - 1]);
        default:
            return unknown_option(argv);
        }
    }
    if (optind + 1 != argc)
        return misuse(optind < argc ? "one job at a time, not also "
                                    : "no job file given",
                      optind < argc ? argv[optind + 1] : "");
    o->job = argv[optind];
    if (o->output_set != NULL)
        o->set[o->n_set++] = o->output_set;
    return -1;
}

/* Workers. */

static void *local_worker_main(void *argument)
{
    local_worker *local = argument;
    int exit_status;

    /* It reports its failures to the scheduler; one that keeps it from doing so
       leaves nothing to wait for. */
    if (pdag_worker_run(&local->config, local->endpoint, &exit_status) !=
        PDAG_OK)
        pdag_fatal_at(__FILE__, __LINE__, "%s", pdag_error_text());
    return NULL;
}

/* This process's own worker thread, and the ranks, as one list of workers. */
static pdag_status gather_workers(session *s, pdag_cli *cli)
{
    pdag_comm *ends[2] = {NULL, NULL};
    pdag_status status = PDAG_OK;

    if (!s->options.dedicated) {
        status = pdag_loopback_create(1, ends);
        if (status != PDAG_OK)
            return status;
        s->local.endpoint = ends[1];
        pdag_setup_worker_config(&s->setup, &s->local.config);
        if (pthread_create(&s->local.thread, NULL, local_worker_main,
                           &s->local) != 0) {
            pdag_comm_destroy(ends[0]);
            pdag_comm_destroy(ends[1]);
            return pdag_error(PDAG_ERR_NOMEM, "cannot start the worker thread");
        }
        s->local.started = true;
    }
    status = pdag_join_create(ends[0], cli->ranks, &s->comm);
    cli->ranks = NULL;
    return status;
}

static pdag_status send_job_to_ranks(const session *s, pdag_cli *cli)
{
    void *bytes;
    size_t n_bytes;
    pdag_status status = PDAG_OK;

    if (cli->ranks == NULL)
        return PDAG_OK;
    status = pdag_job_pack(s->setup.job, &bytes, &n_bytes);
    if (status != PDAG_OK)
        return status;
    for (int peer = 1; status == PDAG_OK && peer <= cli->ranks->n_workers;
         peer++) {
        pdag_msg *msg;

        status = pdag_msg_create(PDAG_MSG_JOB, n_bytes, &msg);
        if (status != PDAG_OK)
            break;
        memcpy(pdag_msg_payload(msg), bytes, n_bytes);
        status = cli->ranks->ops->send(cli->ranks, peer, msg);
    }
    free(bytes);
    return status;
}

/* The sink of the scheduler. */

static pdag_status sample_done(void *user, const pdag_sample_result *result)
{
    session *s = user;

    return pdag_output_sample(&s->output, result);
}

static void progress(void *user, const pdag_progress *p)
{
    session *s = user;

    pdag_progress_show(&s->view, p);
}

/* The command. */

/* STOP to everyone, their counters back; false where a worker stays silent. */
static bool release_workers(session *s, int exit_status,
                            pdag_run_result *result)
{
    if (pdag_run_stop_workers(s->comm, exit_status,
                              pdag_cli_patience(exit_status), result) !=
        PDAG_OK)
        return false;
    if (s->local.started)
        pthread_join(s->local.thread, NULL);
    pdag_comm_destroy(s->comm);
    pdag_comm_destroy(s->local.endpoint);
    s->comm = NULL;
    s->local.endpoint = NULL;
    return true;
}

static void say_where(const session *s, const pdag_run_result *result)
{
    if (s->options.quiet)
        return;
    fprintf(stderr, "picard-dag: %lld sample%s (%s) in %s\n",
            (long long)s->setup.job->samples,
            s->setup.job->samples == 1 ? "" : "s",
            pdag_stop_reason_text(result->stop), s->setup.job->output);
}

/* With workers at hand: run, release, report. */
static int work(session *s, pdag_cli *cli)
{
    pdag_run_setup run;
    pdag_run_result result;
    char *failure = NULL;
    int exit_status;
    bool released;
    pdag_status status;

    pdag_setup_run(&s->setup, &run);
    run.first_rank = s->options.dedicated ? 1 : 0;
    run.sink.user = s;
    run.sink.sample_done = sample_done;
    run.sink.progress = progress;
    status = pdag_scheduler_run(&run, s->comm, &result);
    pdag_progress_close(&s->view);
    if (status != PDAG_OK) {
        failure = pdag_xstrdup(pdag_error_text());
        exit_status = pdag_cli_fail(status);
    } else {
        exit_status = result.stop == PDAG_STOPPED_MAX_ROUNDS
                          ? PDAG_EXIT_NOT_CONVERGED : PDAG_EXIT_OK;
    }
    released = release_workers(s, exit_status, &result);
    /* Nothing was started where the model could not be loaded. */
    if (exit_status == PDAG_EXIT_MISUSE) {
        pdag_output_withdraw(&s->output);
    } else {
        status = pdag_output_run(&s->output, &result, cli->n_ranks,
                                 s->options.dedicated, exit_status, failure);
        if (status != PDAG_OK && exit_status != PDAG_EXIT_FAILED)
            exit_status = pdag_cli_fail(status);
        else if (failure == NULL)
            say_where(s, &result);
    }
    /* A worker that stays silent takes the whole job along rather than leaving
       it hanging; what there is to keep has been written. */
    if (!released) {
        if (failure == NULL)
            fprintf(stderr, "picard-dag: a worker did not answer at the end\n");
        pdag_mpi_abort(exit_status);
    }
    pdag_run_result_clear(&result);
    free(failure);
    return exit_status;
}

/* Known before anything is made or sent: the backend takes the precision. */
static pdag_status try_backend(const session *s)
{
    pdag_backend *be;
    pdag_status status;

    if (s->options.dedicated)
        return PDAG_OK; /* this rank evaluates nothing */
    status = pdag_backend_open(s->setup.job->model.backend, 0,
                               s->setup.precision, &be);
    if (status != PDAG_OK)
        return pdag_error_prefix(status, "model.backend, model.precision");
    be->ops->close(be);
    return PDAG_OK;
}

/* The model's own sampler may be one that this version has not. */
static void say_sampler(const session *s)
{
    if (!s->options.quiet && s->setup.replaced_sampler[0] != '\0')
        fprintf(stderr, "picard-dag: the model's %s is not available in this "
                "version: sampler.kind is %s\n", s->setup.replaced_sampler,
                s->setup.job->sampler.kind);
}

static int run_session(session *s, pdag_cli *cli)
{
    pdag_status status;
    int exit_status;

    if (s->options.dedicated && cli->n_ranks < 2)
        return misuse("--dedicated-scheduler needs at least two ranks", "");
    status = pdag_setup_create(s->options.job, s->options.n_set, s->options.set,
                               &s->setup);
    if (status != PDAG_OK)
        return pdag_cli_fail(status);
    say_sampler(s);
    status = try_backend(s);
    if (status != PDAG_OK) {
        pdag_setup_clear(&s->setup);
        return pdag_cli_fail(status);
    }
    status = pdag_output_open(&s->setup, "run", s->options.save_trajectory,
                              s->options.force, &s->output);
    if (status == PDAG_OK)
        status = send_job_to_ranks(s, cli);
    if (status == PDAG_OK)
        status = gather_workers(s, cli);
    exit_status = status == PDAG_OK ? work(s, cli) : pdag_cli_fail(status);
    pdag_output_clear(&s->output);
    pdag_setup_clear(&s->setup);
    return exit_status;
}

static int command_run(pdag_cli *cli, int argc, char **argv)
{
    session s;
    int exit_status;

    memset(&s, 0, sizeof s);
    exit_status = parse_options(argc, argv, &s.options);
    if (exit_status < 0) {
        s.view = pdag_progress_make(s.options.quiet);
        exit_status = run_session(&s, cli);
    }
    options_clear(&s.options);
    return exit_status;
}

const pdag_command pdag_command_run = {
    .name = "run",
    .arguments = "JOB [options]",
    .summary = "Sample what the job file says; JOB may be - for standard input.",
    .options =
        "    --set FIELD=VALUE      override a field of the job (repeatable)\n"
        "    -o, --output DIR       folder for the results\n"
        "    --force                replace another job's results there\n"
        "    --save-trajectory      also write sample-000.trajectory.npy\n"
        "    --dedicated-scheduler  rank 0 schedules only\n"
        "    -q, --quiet            no progress\n"
        "    --fields               list the job's fields and their defaults\n"
        "\n"
        "Under mpirun every rank works: mpirun -np 8 picard-dag run JOB.\n",
    .run = command_run,
};
