#include "cli/options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "proto/job.h"

enum { OPTION_SET = 256, OPTION_FORCE, OPTION_DEDICATED, OPTION_SHARE };

static const struct option common[] = {
    {"set", required_argument, NULL, OPTION_SET},
    {"output", required_argument, NULL, 'o'},
    {"quiet", no_argument, NULL, 'q'},
    {"force", no_argument, NULL, OPTION_FORCE},
    {"dedicated-scheduler", no_argument, NULL, OPTION_DEDICATED},
    {"share-devices", no_argument, NULL, OPTION_SHARE},
    {"help", no_argument, NULL, 'h'},
};
#define N_COMMON (sizeof common / sizeof common[0])

int pdag_cli_misuse(const pdag_command *command, const char *text,
                    const char *what)
{
    fprintf(stderr, "picard-dag: %s: %s%s (see picard-dag %s --help)\n",
            command->name, text, what, command->name);
    return PDAG_EXIT_MISUSE;
}

int pdag_cli_real(const pdag_command *command, const char *option,
                  const char *text, double low, double high, double *out)
{
    char *end;
    double value;
    char *message;

    errno = 0;
    value = strtod(text, &end);
    if (end != text && *end == '\0' && errno == 0 && isfinite(value) &&
        value >= low && value <= high) {
        *out = value;
        return -1;
    }
    message = pdag_xasprintf("%s: %s: expected a number from %g to %g", option,
                             text, low, high);
    pdag_cli_misuse(command, message, "");
    free(message);
    return PDAG_EXIT_MISUSE;
}

/* Of a cluster of short options only the letter is known. */
static int unknown_option(const pdag_command *command, char **argv)
{
    char letter[3] = {'-', (char)optopt, '\0'};

    return pdag_cli_misuse(command, "unknown option: ",
                           optopt > 0 && optopt < 256 ? letter
                                                      : argv[optind - 1]);
}

/* The common options and the command's own, as getopt wants them. */
static struct option *whole_list(const pdag_own_options *own)
{
    size_t n_own = 0;
    struct option *list;

    while (own->list[n_own].name != NULL)
        n_own++;
    list = pdag_xcalloc(N_COMMON + n_own + 1, sizeof *list);
    memcpy(list, common, sizeof common);
    memcpy(list + N_COMMON, own->list, n_own * sizeof *list);
    return list;
}

static void add_set(pdag_options *o, const char *set)
{
    o->set = pdag_xrealloc(o->set, o->n_set + 1, sizeof *o->set);
    o->set[o->n_set++] = set;
}

/* -1 to go on, else the exit status. */
static int take_common(const pdag_command *command, pdag_options *o, int c,
                       char **argv, char **output_set)
{
    switch (c) {
    case OPTION_SET:
        add_set(o, optarg);
        break;
    case 'o':
        if (optarg[0] == '\0')
            return pdag_cli_misuse(command, "option needs a value: ", "-o");
        free(*output_set);
        *output_set = pdag_xasprintf("output=%s", optarg);
        break;
    case 'q':
        o->quiet = true;
        break;
    case OPTION_FORCE:
        o->force = true;
        break;
    case OPTION_DEDICATED:
        o->dedicated = true;
        break;
    case OPTION_SHARE:
        o->share_devices = true;
        break;
    case 'h':
        pdag_cli_usage(command, stdout);
        return PDAG_EXIT_OK;
    case ':':
        return pdag_cli_misuse(command, "option needs a value: ",
                               argv[optind - 1]);
    default:
        return unknown_option(command, argv);
    }
    return -1;
}

int pdag_options_parse(const pdag_command *command, const pdag_own_options *own,
                       int n_ranks, int argc, char **argv, pdag_options *o)
{
    struct option *list = whole_list(own);
    char *output_set = NULL;
    int status = -1;
    int c;

    memset(o, 0, sizeof *o);
    opterr = 0;
    optind = 1;
    while (status < 0 &&
           (c = getopt_long(argc, argv, ":o:qh", list, NULL)) != -1)
        status = c >= PDAG_OPTION_OWN
                     ? own->take(own->user, c, optarg)
                     : take_common(command, o, c, argv, &output_set);
    free(list);
    if (output_set != NULL)
        pdag_options_add(o, output_set);
    if (status >= 0)
        return status;
    if (optind + 1 != argc)
        return pdag_cli_misuse(command,
                               optind < argc ? "one job at a time, not also "
                                             : "no job file given",
                               optind < argc ? argv[optind + 1] : "");
    if (o->dedicated && n_ranks < 2)
        return pdag_cli_misuse(
            command, "--dedicated-scheduler needs at least two ranks", "");
    o->job = argv[optind];
    return -1;
}

void pdag_options_clear(pdag_options *o)
{
    for (size_t i = 0; i < o->n_owned; i++)
        free(o->owned[i]);
    free(o->owned);
    free(o->set);
    if (o->temporary != NULL)
        unlink(o->temporary);
    free(o->temporary);
    memset(o, 0, sizeof *o);
}

void pdag_options_add(pdag_options *o, char *set)
{
    add_set(o, set);
    o->owned = pdag_xrealloc(o->owned, o->n_owned + 1, sizeof *o->owned);
    o->owned[o->n_owned++] = set;
}

static pdag_status write_temporary(pdag_options *o, const void *bytes,
                                   size_t n_bytes)
{
    const char *folder = getenv("TMPDIR");
    int fd;
    FILE *file;
    bool written;

    o->temporary = pdag_xasprintf("%s/picard-dag-XXXXXX",
                                  folder != NULL ? folder : "/tmp");
    fd = mkstemp(o->temporary);
    file = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (file == NULL) {
        pdag_error_record("%s: %s", o->temporary, strerror(errno));
        if (fd >= 0)
            close(fd);
        return PDAG_ERR_IO;
    }
    written = fwrite(bytes, 1, n_bytes, file) == n_bytes;
    if (fclose(file) != 0 || !written)
        return pdag_error(PDAG_ERR_IO, "%s: %s", o->temporary, strerror(errno));
    return PDAG_OK;
}

pdag_status pdag_options_reread(pdag_options *o)
{
    pdag_job *job;
    void *bytes;
    size_t n_bytes;
    pdag_status status;

    if (strcmp(o->job, "-") != 0)
        return PDAG_OK;
    status = pdag_job_read(o->job, o->n_set, o->set, &job);
    if (status != PDAG_OK)
        return status;
    status = pdag_job_pack(job, &bytes, &n_bytes);
    pdag_job_destroy(job);
    if (status != PDAG_OK)
        return status;
    status = write_temporary(o, bytes, n_bytes);
    free(bytes);
    if (status == PDAG_OK)
        o->job = o->temporary;
    return status;
}
