#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/signals.h"
#include "comm/mpi.h"
#include "scheduler/run.h"

#ifndef PDAG_VERSION
#define PDAG_VERSION "unknown"
#endif

static const pdag_command *const commands[] = {
    &pdag_command_run,
    &pdag_command_verify,
    &pdag_command_compare,
    &pdag_command_rollout,
    &pdag_command_plan,
    &pdag_command_inspect,
    &pdag_command_report,
    &pdag_command_info,
    NULL,
};

static void usage(FILE *where)
{
    fputs("usage: picard-dag COMMAND [JOB|PATH|DIR] [options]\n"
          "\n"
          "Samples diffusion models many timesteps at once, on many workers:\n"
          "    mpirun -np 8 picard-dag run examples/sd.pb\n"
          "\n"
          "commands:\n", where);
    for (size_t i = 0; commands[i] != NULL; i++)
        fprintf(where, "    %-8s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\n"
          "    --help, --version; picard-dag COMMAND --help\n"
          "\n"
          "exit status: 0 done, 1 failed while running, 2 misuse or bad input,\n"
          "3 ended without convergence, 4 not verified; 5 stopped, 6 no worker\n"
          "left: run --resume goes on.  More: man picard-dag.\n",
          where);
}

void pdag_cli_usage(const pdag_command *command, FILE *where)
{
    fprintf(where, "usage: picard-dag %s %s\n\n%s\n\n%s", command->name,
            command->arguments, command->summary, command->options);
}

int pdag_cli_fail(pdag_status status)
{
    fprintf(stderr, "picard-dag: %s\n", pdag_error_text());
    if (status == PDAG_ERR_LOST)
        return PDAG_EXIT_RANK_LOST;
    return pdag_status_is_misuse(status) ? PDAG_EXIT_MISUSE : PDAG_EXIT_FAILED;
}

double pdag_cli_patience(int exit_status)
{
    return exit_status == PDAG_EXIT_OK ? 120.0 : 10.0;
}

static int dispatch(pdag_cli *cli, int argc, char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return PDAG_EXIT_MISUSE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        usage(stdout);
        return PDAG_EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("picard-dag %s\n", PDAG_VERSION);
        return PDAG_EXIT_OK;
    }
    for (size_t i = 0; commands[i] != NULL; i++)
        if (strcmp(argv[1], commands[i]->name) == 0)
            return commands[i]->run(cli, argc - 1, argv + 1);
    fprintf(stderr, "picard-dag: %s: no such command (see picard-dag --help)\n",
            argv[1]);
    return PDAG_EXIT_MISUSE;
}

/* A pipe that closed early or a full disk behind stdout must not pass unseen. */
static int close_stdout(int exit_status)
{
    if (ferror(stdout) || fflush(stdout) != 0) {
        fprintf(stderr, "picard-dag: standard output: %s\n", strerror(errno));
        if (exit_status == PDAG_EXIT_OK)
            exit_status = PDAG_EXIT_FAILED;
    }
    return exit_status;
}

/* Ranks 1.. leave with this status too; a rank that does not answer is not
   waited for for ever. */
static int release_ranks(pdag_cli *cli, int exit_status)
{
    if (cli->ranks == NULL)
        return exit_status;
    if (pdag_run_stop_workers(cli->ranks, exit_status,
                              pdag_cli_patience(exit_status), NULL) !=
        PDAG_OK) {
        int failed = pdag_cli_fail(PDAG_ERR_COMM);

        pdag_mpi_abort(exit_status != PDAG_EXIT_OK ? exit_status : failed);
    }
    pdag_comm_destroy(cli->ranks);
    cli->ranks = NULL;
    return exit_status;
}

int main(int argc, char **argv)
{
    pdag_cli cli = {1, NULL};
    pdag_comm *comm = NULL;
    int rank;
    int exit_status;
    pdag_status status;

    pdag_signals_hold();
    status = pdag_mpi_start(&rank, &cli.n_ranks);
    if (status == PDAG_OK)
        status = pdag_mpi_comm_create(&comm);
    if (status != PDAG_OK) {
        exit_status = pdag_cli_fail(status);
        pdag_mpi_abort(exit_status);
    }
    if (rank > 0) {
        exit_status = pdag_cli_remote(comm);
    } else {
        pdag_signals_release();
        cli.ranks = comm;
        exit_status = dispatch(&cli, argc, argv);
        exit_status = close_stdout(exit_status);
        exit_status = release_ranks(&cli, exit_status);
    }
    pdag_mpi_finish(exit_status);
    return exit_status;
}
