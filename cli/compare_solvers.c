#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/compare.h"

/* cli/compare_solvers.c: from the words of --solvers to setups. */

/* ParaDiGMS; order k; ParaTAA as released and at its best on the shipped model;
   our own; the job's. */
static const char *const default_list[] = {
    "picard",
    "order-k:order=20",
    "triangular-anderson:order=20:history=2",
    "triangular-anderson:order=0:history=3",
    "secant",
    "job",
};
#define N_DEFAULT (sizeof default_list / sizeof default_list[0])

typedef struct words {
    size_t n;
    char **item; /* owned */
} words;

static void add_word(words *w, char *word)
{
    w->item = pdag_xrealloc(w->item, w->n + 1, sizeof *w->item);
    w->item[w->n++] = word;
}

static void words_clear(words *w)
{
    for (size_t i = 0; i < w->n; i++)
        free(w->item[i]);
    free(w->item);
    memset(w, 0, sizeof *w);
}

/* The parts of `text` between the separators. */
static words split(const char *text, char separator)
{
    words parts = {0, NULL};

    for (;;) {
        const char *end = strchr(text, separator);

        if (end == NULL)
            break;
        add_word(&parts, pdag_xstrndup(text, (size_t)(end - text)));
        text = end + 1;
    }
    add_word(&parts, pdag_xstrdup(text));
    return parts;
}

/* Whether a solver's name says METHOD+pcm. */
static bool wants_pcm(const char *method)
{
    size_t length = strlen(method);

    return length > 4 && strcmp(method + length - 4, "+pcm") == 0;
}

/* Edits of the job that make it this solver's: another method starts from its own
   defaults and without the job's Picard-consistency model ("+pcm" after it: with
   it), "job" from what the job says.  Where a trajectory is given as the
   start it belongs to the problem, since its first rows may be kept. */
static words edits_of(const pdag_compare *c, const words *parts)
{
    bool keep = strcmp(c->setup.job->solver.start, "trajectory") == 0;
    size_t length = strlen(parts->item[0]);
    bool pcm = wants_pcm(parts->item[0]);
    words edits = {0, NULL};

    if (strcmp(parts->item[0], "job") != 0) {
        if (!pcm)
            add_word(&edits, pdag_xstrdup("pcm="));
        add_word(&edits, pdag_xstrdup("solver.history="));
        add_word(&edits, pdag_xstrdup("solver.order="));
        add_word(&edits, pdag_xstrdup("solver.slope="));
        if (!keep)
            add_word(&edits, pdag_xstrdup("solver.start="));
        add_word(&edits, pdag_xasprintf("solver.method=%.*s",
                                        (int)(pcm ? length - 4 : length),
                                        parts->item[0]));
    }
    for (size_t i = 1; i < parts->n; i++)
        add_word(&edits, pdag_xasprintf("solver.%s", parts->item[i]));
    return edits;
}

static pdag_status make_setup(const pdag_compare *c, const char *name,
                              pdag_setup *setup_out)
{
    const pdag_options *o = &c->options;
    words parts = split(name, ':');
    words edits;
    const char **set;
    pdag_status status = PDAG_OK;

    for (size_t i = 0; status == PDAG_OK && i < parts.n; i++)
        if (parts.item[i][0] == '\0' ||
            (i > 0 && strchr(parts.item[i], '=') == NULL))
            status = pdag_error(PDAG_ERR_ARG, "'%s': expected METHOD or "
                                "METHOD:FIELD=VALUE:..", name);
    if (status == PDAG_OK && wants_pcm(parts.item[0]) &&
        !c->setup.job->pcm.present)
        status = pdag_error(PDAG_ERR_ARG, "'%s': the job has no pcm.path", name);
    for (size_t i = 1; status == PDAG_OK && i < parts.n; i++)
        if (strncmp(parts.item[i], "start_row", 9) == 0)
            status = pdag_error(PDAG_ERR_ARG, "'%s': start_row says from which row "
                                "on the problem is solved: only for all solvers, "
                                "with --set solver.start_row=ROW", name);
    if (status != PDAG_OK) {
        words_clear(&parts);
        return status;
    }
    edits = edits_of(c, &parts);
    words_clear(&parts);
    set = pdag_xcalloc(o->n_set + edits.n, sizeof *set);
    for (size_t i = 0; i < o->n_set; i++)
        set[i] = o->set[i];
    for (size_t i = 0; i < edits.n; i++)
        set[o->n_set + i] = edits.item[i];
    status = pdag_setup_create(o->job, o->n_set + edits.n, set, setup_out);
    free(set);
    words_clear(&edits);
    return status;
}

/* Whether an earlier solver of the list resolves to the same. */
static bool is_there(const pdag_compare *c, const pdag_setup *setup)
{
    json_t *ours = pdag_job_to_json(setup->job);
    bool found = false;

    for (size_t i = 0; !found && i < c->n_solvers; i++) {
        json_t *other = pdag_job_to_json(c->solver[i].setup.job);

        found = json_equal(json_object_get(ours, "solver"),
                           json_object_get(other, "solver")) == 1 &&
                json_equal(json_object_get(ours, "pcm"),
                           json_object_get(other, "pcm")) == 1;
        json_decref(other);
    }
    json_decref(ours);
    return found;
}

static void add_solver(pdag_compare *c, const char *name, pdag_setup setup)
{
    pdag_compare_solver *s;

    c->solver = pdag_xrealloc(c->solver, c->n_solvers + 1, sizeof *c->solver);
    s = &c->solver[c->n_solvers++];
    s->name = pdag_xstrdup(name);
    s->setup = setup;
    s->run = pdag_xcalloc(c->n_cases, sizeof *s->run);
}

static pdag_status add_default_list(pdag_compare *c)
{
    for (size_t i = 0; i < N_DEFAULT; i++) {
        pdag_setup setup;
        pdag_status status = make_setup(c, default_list[i], &setup);

        if (status == PDAG_OK && is_there(c, &setup))
            pdag_setup_clear(&setup);
        else if (status == PDAG_OK)
            add_solver(c, default_list[i], setup);
        else if (strcmp(default_list[i], "job") == 0)
            return status;
        else if (!c->options.quiet)
            fprintf(stderr, "picard-dag: %s is left out: %s\n", default_list[i],
                    pdag_error_text());
    }
    return PDAG_OK;
}

static pdag_status add_listed(pdag_compare *c)
{
    words names = split(c->solver_list, ',');
    pdag_status status = PDAG_OK;

    for (size_t i = 0; status == PDAG_OK && i < names.n; i++) {
        pdag_setup setup;

        status = make_setup(c, names.item[i], &setup);
        if (status == PDAG_OK)
            add_solver(c, names.item[i], setup);
        else
            pdag_error_prefix(status, "--solvers: %s", names.item[i]);
    }
    words_clear(&names);
    return status;
}

pdag_status pdag_compare_make_solvers(pdag_compare *c)
{
    /* The reference is the whole sequential run, however many rounds the solvers
       may take. */
    pdag_status status =
        make_setup(c, "sequential:max_rounds=0", &c->sequential);

    if (status != PDAG_OK)
        return status;
    return c->solver_list != NULL ? add_listed(c) : add_default_list(c);
}

void pdag_compare_clear_solvers(pdag_compare *c)
{
    for (size_t i = 0; i < c->n_solvers; i++) {
        for (size_t k = 0; k < c->n_cases; k++)
            pdag_compare_run_clear(&c->solver[i].run[k]);
        free(c->solver[i].run);
        free(c->solver[i].name);
        pdag_setup_clear(&c->solver[i].setup);
    }
    free(c->solver);
    c->solver = NULL;
    c->n_solvers = 0;
    pdag_setup_clear(&c->sequential);
}
