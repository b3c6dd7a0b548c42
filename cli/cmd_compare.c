#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/compare.h"
#include "cli/compare_page.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/setup.h"

/* cli/cmd_compare.c: picard-dag compare JOB: solvers side by side on the same
   noise. */

#define MOST_SEEDS 10000

/* Options. */

enum { OPTION_SOLVERS = PDAG_OPTION_OWN, OPTION_SEEDS };

static const struct option own_list[] = {
    {"solvers", required_argument, NULL, OPTION_SOLVERS},
    {"seeds", required_argument, NULL, OPTION_SEEDS},
    {NULL, 0, NULL, 0},
};

static int take_option(void *user, int value, const char *argument)
{
    pdag_compare *c = user;
    double seeds = 1.0;
    int status;

    if (value == OPTION_SOLVERS) {
        c->solver_list = argument;
        return -1;
    }
    status = pdag_cli_real(&pdag_command_compare, "--seeds", argument, 1.0,
                           MOST_SEEDS, &seeds);
    c->n_seeds = (size_t)seeds;
    if (status < 0 && (double)c->n_seeds < seeds)
        return pdag_cli_misuse(&pdag_command_compare,
                               "--seeds: expected a whole number, not ",
                               argument);
    return status;
}

/* Cases: every prompt (or class), with every seed. */

static char *case_name(const pdag_setup *setup, size_t prompt)
{
    const pdag_job *job = setup->job;
    const char *names;
    int64_t label;

    if (job->prompt.n > 0)
        return pdag_xstrdup(job->prompt.item[prompt % job->prompt.n]);
    if (!pdag_setup_class(setup, prompt, &label, &names))
        return pdag_xstrdup("");
    if (names[0] != '\0')
        return pdag_xstrdup(names);
    return pdag_xasprintf("class %lld", (long long)label);
}

static void make_cases(pdag_compare *c)
{
    const pdag_job *job = c->setup.job;
    size_t n_prompts = job->prompt.n > 0 ? job->prompt.n : job->class_label.n;

    if (n_prompts == 0)
        n_prompts = 1;
    c->n_cases = n_prompts * c->n_seeds;
    c->cases = pdag_xcalloc(c->n_cases, sizeof *c->cases);
    for (size_t k = 0; k < c->n_cases; k++) {
        pdag_compare_case *place = &c->cases[k];

        place->prompt = k / c->n_seeds;
        place->more_seed = k % c->n_seeds;
        place->name = case_name(&c->setup, place->prompt);
        place->seed = job->seed + place->more_seed;
    }
}

static pdag_status prepare(pdag_compare *c)
{
    pdag_run_setup run;
    pdag_status status = pdag_options_reread(&c->options);

    if (status == PDAG_OK)
        status = pdag_setup_create(c->options.job, c->options.n_set,
                                   c->options.set, &c->setup);
    if (status != PDAG_OK)
        return status;
    if (c->setup.noise != NULL && c->n_seeds > 1)
        return pdag_error(PDAG_ERR_ARG, "--seeds: %zu: the job's noise is a file, "
                          "the same for every seed", c->n_seeds);
    pdag_setup_run(&c->setup, &run);
    c->n_rows = c->setup.transition->n_rows;
    c->dim = c->setup.dim;
    c->picture_floats = run.picture_floats;
    make_cases(c);
    return pdag_compare_make_solvers(c);
}

static void clear(pdag_compare *c)
{
    pdag_compare_clear_solvers(c);
    for (size_t k = 0; k < c->n_cases; k++)
        free(c->cases[k].name);
    free(c->cases);
    free(c->reference_picture);
    pdag_setup_clear(&c->setup);
}

/* Runs. */

static void say_run(const pdag_compare *c, size_t solver, size_t k)
{
    const pdag_compare_run *run = &c->solver[solver].run[k];

    if (c->options.quiet)
        return;
    fprintf(stderr, "case %zu/%zu: %s: %zu rounds, %zu evaluations, %.2f s (%s)\n",
            k + 1, c->n_cases, c->solver[solver].name, run->rounds,
            run->evaluations, run->seconds, pdag_stop_reason_text(run->stop));
}

static pdag_status run_case(pdag_compare *c, pdag_session *session, size_t k)
{
    pdag_reference reference;
    pdag_status status;

    if (!c->options.quiet)
        fprintf(stderr, "case %zu/%zu: %s%sseed %llu: the sequential run\n", k + 1,
                c->n_cases, c->cases[k].name,
                c->cases[k].name[0] != '\0' ? ", " : "",
                (unsigned long long)c->cases[k].seed);
    status = pdag_compare_reference(c, session, k, &reference);
    if (status != PDAG_OK)
        return status;
    for (size_t i = 0; status == PDAG_OK && i < c->n_solvers; i++) {
        status = pdag_compare_record(c, session, i, k, &reference);
        if (status == PDAG_OK)
            say_run(c, i, k);
    }
    pdag_reference_clear(&reference);
    return status;
}

static pdag_status run_all(pdag_compare *c, pdag_session *session)
{
    pdag_status status = PDAG_OK;

    for (size_t k = 0; status == PDAG_OK && k < c->n_cases; k++)
        status = run_case(c, session, k);
    if (session->any_run && session->last.n_workers > 0)
        snprintf(c->device, sizeof c->device, "%s",
                 session->last.worker[0].device);
    return status;
}

/* Results. */

static pdag_status write_results(const pdag_compare *c, pdag_output *output)
{
    static const struct {
        const char *name;
        void (*fill)(const pdag_compare *, pdag_text *);
    } tables[] = {{"compare.csv", pdag_compare_csv},
                  {"compare-ends.csv", pdag_compare_ends_csv}};
    pdag_text text = {NULL, 0, 0};
    json_t *root = pdag_compare_json(c);
    pdag_status status = pdag_output_json(output, "compare.json", root);

    json_decref(root);
    for (size_t i = 0; status == PDAG_OK && i < sizeof tables / sizeof tables[0];
         i++) {
        tables[i].fill(c, &text);
        status = pdag_output_file(output, tables[i].name, text.at, text.used);
        pdag_text_clear(&text);
    }
    if (status == PDAG_OK)
        status = pdag_compare_page(c, &text);
    if (status == PDAG_OK)
        status = pdag_output_file(output, "compare.html", text.at, text.used);
    pdag_text_clear(&text);
    return status;
}

static void print_table(const pdag_compare *c)
{
    pdag_text text = {NULL, 0, 0};

    pdag_compare_table(c, &text);
    fputs(text.at, stdout);
    fflush(stdout);
    pdag_text_clear(&text);
    if (!c->options.quiet)
        fprintf(stderr, "picard-dag: compare.csv and compare.html in %s\n",
                c->setup.job->output);
}

/* With workers at hand. */
static int work(pdag_compare *c, pdag_session *session, pdag_output *output)
{
    int exit_status = PDAG_EXIT_OK;
    pdag_status status = run_all(c, session);

    if (status == PDAG_OK)
        status = write_results(c, output);
    if (status != PDAG_OK) {
        exit_status = pdag_cli_fail(status);
        pdag_output_withdraw(output); /* goes only where it is empty */
    }
    pdag_session_release(session, exit_status);
    if (exit_status == PDAG_EXIT_OK)
        print_table(c);
    pdag_session_end(session, exit_status, exit_status != PDAG_EXIT_OK);
    return exit_status;
}

/* With options that are sound. */
static int compare_job(pdag_compare *c, pdag_cli *cli)
{
    pdag_output output;
    pdag_session session;
    int exit_status;
    pdag_status status = prepare(c);

    if (status != PDAG_OK)
        return pdag_cli_fail(status);
    c->n_ranks = cli->n_ranks;
    status = pdag_session_check(&c->setup, c->options.dedicated);
    if (status == PDAG_OK)
        status = pdag_output_open(&c->setup, "compare", false, c->options.force,
                                  PDAG_FOLDER_UNKNOWN,
                                  &output);
    if (status != PDAG_OK)
        return pdag_cli_fail(status);
    status = pdag_session_open(cli, &c->setup, c->options.dedicated,
                               c->options.share_devices, &session);
    exit_status = status == PDAG_OK ? work(c, &session, &output)
                                    : pdag_cli_fail(status);
    pdag_output_clear(&output);
    return exit_status;
}

static int command_compare(pdag_cli *cli, int argc, char **argv)
{
    pdag_own_options own = {own_list, take_option, NULL};
    pdag_compare c;
    int exit_status;

    memset(&c, 0, sizeof c);
    c.n_seeds = 1;
    own.user = &c;
    exit_status = pdag_options_parse(&pdag_command_compare, &own, cli->n_ranks,
                                     argc, argv, &c.options);
    if (exit_status < 0) {
        exit_status = compare_job(&c, cli);
        clear(&c);
    }
    pdag_options_clear(&c.options);
    return exit_status;
}

const pdag_command pdag_command_compare = {
    .name = "compare",
    .arguments = "JOB [options]",
    .summary = "Solvers side by side on one job: rounds, evaluations, seconds.",
    .options =
        "    --solvers A,B,..       METHOD or METHOD:FIELD=VALUE:.., fields of\n"
        "                           solver, as secant:history=2:start=gaussian;\n"
        "                           `job`: the job's own.  Without it: picard,\n"
        "                           order-k, triangular-anderson as released and\n"
        "                           at full order, secant, and the job's own\n"
        "    --seeds N              seeds for every prompt, from the job's on (1)\n"
        "    --set FIELD=VALUE      override a field of the job (repeatable)\n"
        "    -o, --output DIR       folder for compare.csv, .html and .json\n"
        "    --force                replace another job's results there\n"
        "    --dedicated-scheduler  rank 0 schedules only\n"
        "    --share-devices        several ranks may have one GPU\n"
        "    -q, --quiet            no progress\n"
        "\n"
        "Rounds until A: all residuals at most 1e-3; B: final state within 1 % of\n"
        "the sequential run; 30 dB, 40 dB: PSNR of its picture.\n",
    .run = command_compare,
};
