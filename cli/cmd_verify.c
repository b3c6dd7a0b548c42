#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/measure.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "cli/setup.h"

/* cli/cmd_verify.c: picard-dag verify JOB: the job's solver against the sequential
   sampler on the same noise. */

/* Of one sample. */
typedef struct facts {
    uint64_t seed;
    char *prompt; /* owned */
    pdag_stop_reason stop;
    size_t rounds, evaluations;
    double max_abs_error, relative_rms_error;
    double psnr_db; /* NaN: no picture */
    double residual_rms_max;
    bool passed;
} facts;

typedef struct verify_options {
    pdag_options common;
    double max_error, min_psnr;
} verify_options;

typedef struct verify_state {
    verify_options options;
    pdag_setup setup;       /* of the job */
    pdag_setup sequential;  /* the same with method sequential */
    pdag_setup certificate; /* one round of picard, to measure residuals */
    pdag_output output;
    pdag_progress_view view;
    pdag_session session;
    float *reference;  /* [samples][D] final states */
    float *pictures;   /* [samples][picture_floats] of them, or NULL */
    float *trajectory; /* [N + 1][D] of the sample at hand */
    size_t sample;     /* the one at hand */
    facts *facts;      /* [samples] */
} verify_state;

/* Options. */

enum { OPTION_MAX_ERROR = PDAG_OPTION_OWN, OPTION_MIN_PSNR };

static const struct option own_list[] = {
    {"max-error", required_argument, NULL, OPTION_MAX_ERROR},
    {"min-psnr", required_argument, NULL, OPTION_MIN_PSNR},
    {NULL, 0, NULL, 0},
};

static int take_option(void *user, int value, const char *argument)
{
    verify_options *o = user;

    if (value == OPTION_MAX_ERROR)
        return pdag_cli_real(&pdag_command_verify, "--max-error", argument, 0.0,
                             1e6, &o->max_error);
    return pdag_cli_real(&pdag_command_verify, "--min-psnr", argument, -1e3,
                         PDAG_MOST_PSNR, &o->min_psnr);
}

/* Setups. */

/* The job once more, with other words about its solver. */
static pdag_status setup_with(const verify_state *s, size_t n,
                              const char *const *words, pdag_setup *setup_out)
{
    /* What only some methods take.  Where a trajectory is given it belongs to
       the problem: its first rows may be kept. */
    static const char *const resets[] = {"pcm=", "solver.history=",
                                         "solver.order=", "solver.slope=",
                                         "solver.start="};
    bool keep = strcmp(s->setup.job->solver.start, "trajectory") == 0;
    const pdag_options *o = &s->options.common;
    const char **set = pdag_xcalloc(o->n_set + 5 + n, sizeof *set);
    size_t n_set = 0;
    pdag_status status;

    for (size_t i = 0; i < o->n_set; i++)
        set[n_set++] = o->set[i];
    for (size_t i = 0; i < (keep ? 4 : 5); i++)
        set[n_set++] = resets[i];
    for (size_t i = 0; i < n; i++)
        set[n_set++] = words[i];
    status = pdag_setup_create(o->job, n_set, set, setup_out);
    free(set);
    return status;
}

static pdag_status make_setups(verify_state *s)
{
    static const char *const sequential[] = {"solver.method=sequential",
                                             "solver.max_rounds="};
    static const char *const certificate[] = {
        "solver.method=picard", "solver.max_rounds=1", "solver.window=0",
        "solver.stop=residual"};
    const pdag_options *o = &s->options.common;
    pdag_status status;

    status = pdag_setup_create(o->job, o->n_set, o->set, &s->setup);
    if (status == PDAG_OK)
        status = setup_with(s, 2, sequential, &s->sequential);
    if (status == PDAG_OK)
        status = setup_with(s, 4, certificate, &s->certificate);
    return status;
}

static pdag_status allocate(verify_state *s)
{
    size_t n = (size_t)s->setup.job->samples;
    size_t rows = s->setup.transition->n_rows + 1;
    size_t floats = 0;
    pdag_run_setup run;
    void *memory;
    pdag_status status = PDAG_OK;

    pdag_setup_run(&s->setup, &run);
    s->facts = pdag_xcalloc(n, sizeof *s->facts);
    if (!pdag_mul_size(n, s->setup.dim, &floats))
        return pdag_error(PDAG_ERR_NOMEM, "samples: too many");
    status = pdag_alloc_tensor(floats, sizeof(float), "reference", &memory);
    if (status != PDAG_OK)
        return status;
    s->reference = memory;
    status = pdag_alloc_tensor(rows * s->setup.dim, sizeof(float), "trajectory",
                               &memory);
    if (status != PDAG_OK)
        return status;
    s->trajectory = memory;
    if (run.picture_floats == 0)
        return PDAG_OK;
    if (!pdag_mul_size(n, run.picture_floats, &floats))
        return pdag_error(PDAG_ERR_NOMEM, "samples: too many");
    status = pdag_alloc_tensor(floats, sizeof(float), "pictures", &memory);
    if (status == PDAG_OK)
        s->pictures = memory;
    return status;
}

static void clear(verify_state *s)
{
    for (size_t j = 0; s->facts != NULL && j < (size_t)s->setup.job->samples; j++)
        free(s->facts[j].prompt);
    free(s->facts);
    free(s->trajectory);
    free(s->pictures);
    free(s->reference);
    pdag_output_clear(&s->output);
    pdag_setup_clear(&s->certificate);
    pdag_setup_clear(&s->sequential);
    pdag_setup_clear(&s->setup);
}

/* The three runs. */

static size_t picture_floats(const verify_state *s)
{
    const pdag_pipeline_info *info = &s->setup.info;

    return info->picture_height * info->picture_width * info->picture_channels;
}

static void progress(void *user, const pdag_progress *p)
{
    verify_state *s = user;

    pdag_progress_show(&s->view, p);
}

/* Each sample is a run of its own here. */
static void sample_progress(void *user, const pdag_progress *p)
{
    verify_state *s = user;
    pdag_progress shown = *p;

    shown.sample = s->sample;
    shown.n_samples = (size_t)s->setup.job->samples;
    pdag_progress_show(&s->view, &shown);
}

static pdag_status reference_done(void *user, const pdag_sample_result *r)
{
    verify_state *s = user;
    size_t pixels = picture_floats(s);

    memcpy(s->reference + r->index * r->dim, r->trajectory + r->n_rows * r->dim,
           r->dim * sizeof *s->reference);
    if (r->picture != NULL && s->pictures != NULL)
        memcpy(s->pictures + r->index * pixels, r->picture,
               pixels * sizeof *s->pictures);
    return PDAG_OK;
}

static pdag_status sample_done(void *user, const pdag_sample_result *r)
{
    verify_state *s = user;
    facts *f = &s->facts[s->sample];
    const float *final = r->trajectory + r->n_rows * r->dim;
    const float *reference = s->reference + s->sample * r->dim;
    size_t pixels = picture_floats(s);
    pdag_sample_result result = *r;

    result.index = s->sample;
    f->seed = r->seed;
    f->prompt = pdag_xstrdup(r->prompt);
    f->stop = r->stop;
    f->rounds = r->rounds;
    f->evaluations = r->evaluations;
    if (r->stop == PDAG_STOPPED_FAILED)
        return pdag_output_sample(&s->output, &result);
    f->max_abs_error = pdag_max_abs_error(r->dim, final, reference);
    f->relative_rms_error = pdag_relative_rms_error(r->dim, final, reference);
    f->psnr_db = r->picture != NULL && s->pictures != NULL
                     ? pdag_psnr(pixels, r->picture,
                                 s->pictures + s->sample * pixels)
                     : NAN;
    memcpy(s->trajectory, r->trajectory,
           (r->n_rows + 1) * r->dim * sizeof *s->trajectory);
    return pdag_output_sample(&s->output, &result);
}

static pdag_status residuals_done(void *user, const pdag_round_state *round)
{
    verify_state *s = user;
    facts *f = &s->facts[s->sample];

    for (size_t i = 0; i < round->n; i++)
        f->residual_rms_max = fmax(f->residual_rms_max, round->residual[i]);
    return PDAG_OK;
}

static void say(const verify_state *s, const char *text)
{
    if (!s->options.common.quiet)
        fprintf(stderr, "picard-dag: %s\n", text);
}

static pdag_status run_sequential(verify_state *s)
{
    pdag_run_setup run;
    pdag_status status;

    say(s, "the sequential run");
    pdag_setup_run(&s->sequential, &run);
    run.sink.user = s;
    run.sink.sample_done = reference_done;
    /* A line for each of its rounds would say nothing. */
    run.sink.progress = s->view.terminal ? progress : NULL;
    status = pdag_session_run(&s->session, &run);
    pdag_progress_close(&s->view);
    return status;
}

static pdag_status run_parallel(verify_state *s)
{
    pdag_run_setup run;
    pdag_job job;
    pdag_status status;

    pdag_session_one_sample(&s->setup, s->sample, s->sample, &job, &run);
    run.sink.user = s;
    run.sink.sample_done = sample_done;
    run.sink.progress = sample_progress;
    status = pdag_session_run(&s->session, &run);
    pdag_progress_close(&s->view);
    return status;
}

/* Residuals of the final trajectory, by a fresh evaluation of all its rows. */
static pdag_status run_certificate(verify_state *s)
{
    pdag_run_setup run;
    pdag_job job;
    char trajectory[] = "trajectory";

    pdag_session_one_sample(&s->certificate, s->sample, s->sample, &job, &run);
    job.solver.start = trajectory;
    run.start = s->trajectory;
    run.picture_floats = 0;
    run.sink.user = s;
    run.sink.round_done = residuals_done;
    return pdag_session_run(&s->session, &run);
}

static bool within_bounds(const verify_state *s, const facts *f)
{
    return (f->stop == PDAG_STOPPED_CONVERGED ||
            f->stop == PDAG_STOPPED_SEQUENTIAL) &&
           f->relative_rms_error <= s->options.max_error &&
           (isnan(f->psnr_db) || f->psnr_db >= s->options.min_psnr);
}

/* Everything for the samples one after the other, so that one trajectory is held
   at a time. */
static pdag_status run_all(verify_state *s)
{
    size_t n = (size_t)s->setup.job->samples;
    pdag_status status = run_sequential(s);

    if (status == PDAG_OK)
        say(s, "the job's solver");
    for (s->sample = 0; status == PDAG_OK && s->sample < n; s->sample++) {
        status = run_parallel(s);
        if (status == PDAG_OK)
            status = run_certificate(s);
        if (status == PDAG_OK)
            s->facts[s->sample].passed =
                within_bounds(s, &s->facts[s->sample]);
    }
    return status;
}

/* The report. */

/* The samples' worst. */
static facts summary(const verify_state *s)
{
    facts all = s->facts[0];

    for (size_t j = 1; j < (size_t)s->setup.job->samples; j++) {
        const facts *f = &s->facts[j];

        if (f->stop == PDAG_STOPPED_MAX_ROUNDS)
            all.stop = f->stop;
        all.rounds = f->rounds > all.rounds ? f->rounds : all.rounds;
        all.evaluations = f->evaluations > all.evaluations ? f->evaluations
                                                           : all.evaluations;
        all.max_abs_error = fmax(all.max_abs_error, f->max_abs_error);
        all.relative_rms_error =
            fmax(all.relative_rms_error, f->relative_rms_error);
        all.psnr_db = fmin(all.psnr_db, f->psnr_db);
        all.residual_rms_max = fmax(all.residual_rms_max, f->residual_rms_max);
        all.passed = all.passed && f->passed;
    }
    return all;
}

static json_t *real_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *facts_json(const facts *f)
{
    return json_pack("{s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:b}", "stop",
                     pdag_stop_reason_text(f->stop), "rounds",
                     (json_int_t)f->rounds, "evaluations",
                     (json_int_t)f->evaluations, "max_abs_error",
                     real_or_null(f->max_abs_error), "relative_rms_error",
                     real_or_null(f->relative_rms_error), "psnr_db",
                     real_or_null(f->psnr_db), "residual_rms_max",
                     real_or_null(f->residual_rms_max), "passed", f->passed);
}

static json_t *report_json(const verify_state *s, const facts *all)
{
    json_t *samples = json_array();
    json_t *root = facts_json(all);

    for (size_t j = 0; j < (size_t)s->setup.job->samples; j++) {
        const facts *f = &s->facts[j];
        json_t *entry = facts_json(f);

        json_object_set_new(entry, "index", json_integer((json_int_t)j));
        json_object_set_new(entry, "seed", pdag_output_seed_json(f->seed));
        json_object_set_new(entry, "prompt", json_string(f->prompt));
        json_array_append_new(samples, entry);
    }
    json_object_set_new(root, "max_error", json_real(s->options.max_error));
    json_object_set_new(root, "min_psnr", json_real(s->options.min_psnr));
    json_object_set_new(root, "samples", samples);
    return root;
}

static void print_facts(const facts *f)
{
    printf("rounds              %zu\n", f->rounds);
    printf("evaluations         %zu\n", f->evaluations);
    printf("max_abs_error       %.6g\n", f->max_abs_error);
    printf("relative_rms_error  %.6g\n", f->relative_rms_error);
    if (isnan(f->psnr_db))
        printf("psnr_db             null\n");
    else
        printf("psnr_db             %.2f\n", f->psnr_db);
    printf("residual_rms_max    %.6g\n", f->residual_rms_max);
    printf("passed              %s\n", f->passed ? "true" : "false");
}

static int verdict(const facts *all)
{
    if (all->stop == PDAG_STOPPED_MAX_ROUNDS)
        return PDAG_EXIT_NOT_CONVERGED;
    return all->passed ? PDAG_EXIT_OK : PDAG_EXIT_OUT_OF_BOUNDS;
}

/* With workers at hand. */
static int work(verify_state *s)
{
    char *failure = NULL;
    int exit_status;
    facts all;
    pdag_status status = run_all(s);

    if (status == PDAG_OK)
        status = pdag_output_flush(&s->output);
    if (status == PDAG_OK) {
        all = summary(s);
        exit_status = verdict(&all);
    } else {
        failure = pdag_xstrdup(pdag_error_text());
        exit_status = pdag_cli_fail(status);
    }
    pdag_session_release(&s->session, exit_status);
    if (exit_status == PDAG_EXIT_MISUSE) {
        pdag_output_withdraw(&s->output);
    } else {
        if (failure == NULL) {
            s->output.verify = report_json(s, &all);
            status = pdag_output_json(&s->output, "verify.json",
                                      s->output.verify);
        }
        if (status == PDAG_OK || failure != NULL)
            status = pdag_output_run(&s->output, &s->session, exit_status,
                                     failure);
        if (status != PDAG_OK && failure == NULL)
            exit_status = pdag_cli_fail(status);
        else if (failure == NULL)
            print_facts(&all);
    }
    fflush(stdout);
    pdag_session_end(&s->session, exit_status, failure != NULL);
    free(failure);
    return exit_status;
}

/* With options that are sound. */
static int verify_job(verify_state *s, pdag_cli *cli)
{
    const pdag_options *o = &s->options.common;
    pdag_status status = pdag_options_reread(&s->options.common);

    if (status == PDAG_OK)
        status = make_setups(s);
    if (status != PDAG_OK)
        return pdag_cli_fail(status);
    s->view = pdag_progress_make(o->quiet);
    status = pdag_session_check(&s->setup, o->dedicated);
    if (status == PDAG_OK)
        status = allocate(s);
    if (status == PDAG_OK)
        status = pdag_output_open(&s->setup, "verify", false, o->force,
                                  PDAG_FOLDER_UNKNOWN,
                                  &s->output);
    if (status == PDAG_OK)
        status = pdag_session_open(cli, &s->setup, o->dedicated,
                                   o->share_devices, &s->session);
    return status == PDAG_OK ? work(s) : pdag_cli_fail(status);
}

static int command_verify(pdag_cli *cli, int argc, char **argv)
{
    pdag_own_options own = {own_list, take_option, NULL};
    verify_state s;
    int exit_status;

    memset(&s, 0, sizeof s);
    s.options.max_error = 0.01;
    s.options.min_psnr = 40.0;
    own.user = &s.options;
    exit_status = pdag_options_parse(&pdag_command_verify, &own, cli->n_ranks, argc,
                                     argv, &s.options.common);
    if (exit_status < 0) {
        exit_status = verify_job(&s, cli);
        clear(&s);
    }
    pdag_options_clear(&s.options.common);
    return exit_status;
}

const pdag_command pdag_command_verify = {
    .name = "verify",
    .arguments = "JOB [options]",
    .summary = "Run sequentially and in parallel; status 0 only where they agree.",
    .options =
        "    --max-error E          relative RMS error of the final state (0.01)\n"
        "    --min-psnr DB          of the pictures, where there are any (40)\n"
        "    --set FIELD=VALUE      override a field of the job (repeatable)\n"
        "    -o, --output DIR       folder for the results and verify.json\n"
        "    --force                replace another job's results there\n"
        "    --dedicated-scheduler  rank 0 schedules only\n"
        "    --share-devices        several ranks may have one GPU\n"
        "    -q, --quiet            no progress\n"
        "\n"
        "Exit status 4: not within these bounds; 3: the run did not converge.\n",
    .run = command_verify,
};
