/** cli/cli.h: the command line: a table of commands, what they share, and exit
 *  statuses (docs/picard-dag.1, EXIT STATUS). */
#ifndef PDAG_CLI_CLI_H
#define PDAG_CLI_CLI_H

#include <stdio.h>

#include "base/status.h"
#include "comm/comm.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pdag_exit {
    PDAG_EXIT_OK = 0,
    PDAG_EXIT_FAILED = 1,
    PDAG_EXIT_MISUSE = 2,
    PDAG_EXIT_NOT_CONVERGED = 3,
    PDAG_EXIT_OUT_OF_BOUNDS = 4,
    PDAG_EXIT_STOPPED = 5,
    PDAG_EXIT_RANK_LOST = 6
} pdag_exit;

/** The process as a command sees it; rank 0 only. */
typedef struct pdag_cli {
    int n_ranks;
    pdag_comm *ranks; /* endpoint to ranks 1.., or NULL in one process; owned by
                         main until a command takes it (and sets NULL) */
} pdag_cli;

typedef struct pdag_command {
    const char *name;
    const char *arguments; /* "JOB [options]" */
    const char *summary;   /* one line */
    const char *options;   /* lines of --help, each with its newline */
    /** argv[0] is the command's name.  Returns the exit status. */
    int (*run)(pdag_cli *cli, int argc, char **argv);
} pdag_command;

extern const pdag_command pdag_command_run;
extern const pdag_command pdag_command_verify;
extern const pdag_command pdag_command_compare;
extern const pdag_command pdag_command_rollout;
extern const pdag_command pdag_command_plan;
extern const pdag_command pdag_command_inspect;
extern const pdag_command pdag_command_report;
extern const pdag_command pdag_command_info;

/** Help of one command. */
void pdag_cli_usage(const pdag_command *command, FILE *where);

/** "picard-dag: text" on stderr, from pdag_error_text(), and the exit status
 *  that belongs to the failure. */
int pdag_cli_fail(pdag_status status);

/** Seconds that workers may take to answer STOP: one evaluation of a large
 *  network on a slow core; after a failure nobody wants to wait that long. */
double pdag_cli_patience(int exit_status);

/** Ranks 1..: wait for a job, work for it, end with rank 0's exit status. */
int pdag_cli_remote(pdag_comm *comm);

#ifdef __cplusplus
}
#endif
#endif
