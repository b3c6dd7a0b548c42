/** cli/options.h: the command line of the commands that run a job: run, verify,
 *  compare. */
#ifndef PDAG_CLI_OPTIONS_H
#define PDAG_CLI_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "cli/cli.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What these commands have in common. */
typedef struct pdag_options {
    const char *job; /* path, "-" for standard input */
    size_t n_set;
    const char **set; /* "field=value" texts for pdag_setup_create(); -o becomes
                         output=DIR, the last one */
    bool quiet, force, dedicated, share_devices;
    size_t n_owned;
    char **owned;    /* texts made here */
    char *temporary; /* file to remove, see pdag_options_reread(), or NULL */
} pdag_options;

/** A command's own options. */
typedef struct pdag_own_options {
    const struct option *list; /* ends with an entry without name; values from
                                  PDAG_OPTION_OWN */
    /** Take one; -1 to go on, else the exit status. */
    int (*take)(void *user, int value, const char *argument);
    void *user;
} pdag_own_options;

#define PDAG_OPTION_OWN 1000

/** -1 to go on, else the exit status: of --help and of misuse, which has been
 *  told on standard error.  n_ranks: ranks of this program, for what needs two.
 *  Clear `options` in any case. */
int pdag_options_parse(const pdag_command *command, const pdag_own_options *own,
                       int n_ranks, int argc, char **argv,
                       pdag_options *options_out);
void pdag_options_clear(pdag_options *options);

/** One more edit of the job; takes the text, which was malloc'ed. */
void pdag_options_add(pdag_options *options, char *set);

/** For commands that make several setups of one job: a job from standard input
 *  becomes a file that can be read again.  PDAG_ERR_IO, or what
 *  pdag_job_read() says. */
pdag_status pdag_options_reread(pdag_options *options);

/** "picard-dag: COMMAND: text what (see ...)" on standard error; returns
 *  PDAG_EXIT_MISUSE. */
int pdag_cli_misuse(const pdag_command *command, const char *text,
                    const char *what);

/** A real number in [low, high] from the command line, or the misuse. */
int pdag_cli_real(const pdag_command *command, const char *option,
                  const char *text, double low, double high, double *out);

#ifdef __cplusplus
}
#endif
#endif
