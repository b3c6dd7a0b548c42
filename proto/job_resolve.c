#include "proto/job_fields.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Rounds with weights of their own. */
#define MAX_PCM_ROUNDS 64
/* Largest state of the oracle: its means take modes * D floats. */
#define MAX_GAUSSIAN_FLOATS ((int64_t)1 << 28)

/* What this version can do of what the job file may say. */
static pdag_status check_available(const pdag_job *job,
                                   const pdag_job_field *field)
{
    char *list;

    if (field->available == NULL || pdag_job_is_unset(job, field) ||
        pdag_job_has_word(field->available, pdag_job_text(job, field)))
        return PDAG_OK;
    list = pdag_job_word_list(field->available);
    pdag_error_record("%s: %s: not available in this version (available: %s)",
                      field->name, pdag_job_text(job, field), list);
    free(list);
    return PDAG_ERR_UNSUPPORTED;
}

static pdag_status check_gaussian(const pdag_job *job)
{
    const pdag_number_list *shape = &job->gaussian.shape;
    int64_t floats = job->gaussian.modes;
    size_t i;

    if (shape->n < 1 || shape->n > 3)
        return pdag_error(PDAG_ERR_ARG,
                          "gaussian.shape: %zu numbers: expected 1 to 3",
                          shape->n);
    for (i = 0; i < shape->n; i++) {
        floats *= shape->item[i]; /* below 2^28 * 2^24 */
        if (floats > MAX_GAUSSIAN_FLOATS)
            return pdag_error(PDAG_ERR_ARG,
                              "gaussian.shape: with %" PRId64
                              " modes over %" PRId64 " numbers",
                              job->gaussian.modes, MAX_GAUSSIAN_FLOATS);
    }
    return PDAG_OK;
}

pdag_status pdag_job_check(const pdag_job *job)
{
    pdag_status status;
    size_t i;

    for (i = 0; i < pdag_job_n_fields; i++) {
        status = check_available(job, &pdag_job_fields[i]);
        if (status != PDAG_OK)
            return status;
    }
    if (job->gaussian.present && job->model.path[0] != '\0')
        return pdag_error(PDAG_ERR_ARG,
                          "model.path: given together with gaussian, which "
                          "stands instead of it (`gaussian=` removes it)");
    if (!job->gaussian.present && job->model.path[0] == '\0')
        return pdag_error(PDAG_ERR_ARG,
                          "model.path: required (a model directory; or give "
                          "gaussian)");
    return job->gaussian.present ? check_gaussian(job) : PDAG_OK;
}

static void fill(char **text, const char *value)
{
    if ((*text)[0] != '\0')
        return;
    free(*text);
    *text = pdag_xstrdup(value);
}

/* Per-method defaults: the published ones (ParaDiGMS' slope one; ParaTAA's
   released order 20, two snapshots), and for secant what measurements say. */
static void fill_solver(pdag_job *job, const pdag_job_facts *facts)
{
    const char *method = job->solver.method;
    bool secant = strcmp(method, "secant") == 0;
    bool plain = strcmp(method, "picard") == 0 ||
                 strcmp(method, "sequential") == 0;
    bool order_20 = strcmp(method, "order-k") == 0 ||
                    strcmp(method, "triangular-anderson") == 0;
    bool relative = strcmp(job->solver.stop, "relative") == 0 ||
                    strcmp(job->solver.stop, "paradigms") == 0;

    if (facts->statistics != NULL)
        fill(&job->solver.statistics, facts->statistics);
    fill(&job->solver.slope, plain ? "one" : secant ? "gaussian" : "sampler");
    fill(&job->solver.start,
         job->solver.start_from[0] != '\0' ? "trajectory" : "copies");
    fill(&job->solver.measure_variance, "false");
    if (job->solver.history < 0)
        job->solver.history = secant ? 4 : plain ? 0 : 2;
    if (job->solver.order < 0)
        job->solver.order = order_20 ? 20 : 0;
    if (!(job->solver.tolerance > 0))
        job->solver.tolerance = relative ? 0.1 : 1e-3;
    if (!(job->solver.variance > 0))
        job->solver.variance = facts->variance > 0 ? facts->variance
                               : facts->is_latent  ? 1.0
                                                   : 0.27;
}

/* Only what looks at later rows needs a barrier; the scheduler refuses it
   without. */
static void fill_policy(pdag_job *job)
{
    const char *method = job->solver.method;
    bool looks_ahead = strcmp(method, "anderson") == 0 ||
                       strcmp(method, "newton") == 0 ||
                       job->solver.restart > 0 ||
                       strcmp(job->solver.measure_variance, "true") == 0;

    fill(&job->policy, looks_ahead ? "barrier" : "dataflow");
}

/* Rounds k >= 0 with lambda(k) > 0; a real number, since it may be any. */
static double rounds_with_pcm(const pdag_job *job)
{
    return ceil((double)job->pcm.rounds / job->pcm.stiffness);
}

double *pdag_job_lambdas(const pdag_job *job, size_t *n_out)
{
    double *lambda;
    size_t n = 0;

    *n_out = 0;
    if (!job->pcm.present)
        return NULL;
    lambda = pdag_xcalloc((size_t)rounds_with_pcm(job) + 1, sizeof *lambda);
    for (;; n++) {
        double share = (double)n / (double)job->pcm.rounds;
        double next = 1.0 - job->pcm.stiffness * share;

        if (!(next > 0.0))
            break;
        lambda[n] = next;
    }
    *n_out = n;
    return lambda;
}

/* The tail must be the base's: only then is the end the sequential sampler's. */
static pdag_status check_pcm(const pdag_job *job)
{
    double rounds;

    if (!job->pcm.present)
        return PDAG_OK;
    if (job->pcm.path[0] == '\0')
        return pdag_error(PDAG_ERR_ARG, "pcm.path: required with pcm (a LoRA file "
                          "or a model directory)");
    if (strcmp(job->solver.method, "sequential") == 0 ||
        strcmp(job->solver.method, "newton") == 0)
        return pdag_error(PDAG_ERR_ARG, "pcm: not with solver.method %s",
                          job->solver.method);
    rounds = rounds_with_pcm(job);
    if (rounds > MAX_PCM_ROUNDS)
        return pdag_error(PDAG_ERR_ARG, "pcm.stiffness: %g: with pcm.rounds "
                          "%" PRId64 " lambda would reach 0 after %.0f rounds, "
                          "and weights are prepared for %d at most",
                          job->pcm.stiffness, job->pcm.rounds, rounds,
                          MAX_PCM_ROUNDS);
    if (job->solver.max_rounds > 0 && (double)job->solver.max_rounds <= rounds)
        return pdag_error(PDAG_ERR_ARG, "solver.max_rounds: %" PRId64 ": expected "
                          "over %.0f, since lambda is over 0 until then "
                          "(pcm.rounds, pcm.stiffness)",
                          job->solver.max_rounds, rounds);
    return PDAG_OK;
}

/* At least two blocks for each of eight workers, so that a late one costs
   little (N = 50: 17 blocks of 3 rows); at most 16 rows, since a larger batch
   only takes more memory. */
static int64_t default_block_rows(int64_t n_steps)
{
    int64_t rows = n_steps / 16;

    return rows < 1 ? 1 : rows > 16 ? 16 : rows;
}

static int64_t default_samples(const pdag_job *job)
{
    size_t n = job->prompt.n;

    if (job->class_label.n > n)
        n = job->class_label.n;
    return n < 1 ? 1 : (int64_t)n;
}

/* What of the solver's fields goes together. */
static pdag_status check_solver(const pdag_job *job)
{
    bool trajectory = strcmp(job->solver.start, "trajectory") == 0;

    if (trajectory && job->solver.start_from[0] == '\0' &&
        job->environment[0] == '\0')
        return pdag_error(PDAG_ERR_ARG, "solver.start: trajectory: needs "
                          "solver.start_from, the folder of an earlier run");
    if (!trajectory && job->solver.start_from[0] != '\0')
        return pdag_error(PDAG_ERR_ARG, "solver.start_from: given, but "
                          "solver.start is %s", job->solver.start);
    if (!trajectory && job->solver.start_row > 0)
        return pdag_error(PDAG_ERR_ARG, "solver.start_row: %" PRId64 ": only with "
                          "solver.start trajectory", job->solver.start_row);
    if (strcmp(job->solver.slope, "bands") == 0 &&
        strcmp(job->solver.method, "secant") != 0)
        return pdag_error(PDAG_ERR_ARG, "solver.slope: bands: only with "
                          "solver.method secant, and this is %s",
                          job->solver.method);
    return PDAG_OK;
}

static pdag_status check_facts(const pdag_job *job,
                               const pdag_job_facts *facts)
{
    if (!facts->has_text && job->prompt.n > 0)
        return pdag_error(PDAG_ERR_ARG,
                          "prompt: given, but the model takes no text");
    if (!facts->has_text && job->negative_prompt.n > 0)
        return pdag_error(PDAG_ERR_ARG,
                          "negative_prompt: given, but the model takes no "
                          "text");
    if (!facts->has_classes && job->class_label.n > 0)
        return pdag_error(PDAG_ERR_ARG,
                          "class_label: given, but the model has no classes");
    if (!facts->has_text && !facts->has_classes && job->guidance_scale > 1)
        return pdag_error(PDAG_ERR_ARG,
                          "guidance_scale: %g: expected 1, since the model "
                          "takes neither text nor classes",
                          job->guidance_scale);
    if (job->sampler.eta > 0 && strcmp(job->sampler.kind, "ddim") != 0)
        return pdag_error(PDAG_ERR_ARG,
                          "sampler.eta: %g: only with sampler.kind ddim, and "
                          "this is %s",
                          job->sampler.eta, job->sampler.kind);
    return PDAG_OK;
}

pdag_status pdag_job_resolve(pdag_job *job, const pdag_job_facts *facts)
{
    const char *kind = facts->sampler_kind;
    pdag_status status;

    fill(&job->sampler.kind, kind != NULL ? kind : "ddim");
    fill_solver(job, facts);
    fill_policy(job);
    if (job->guidance_scale < 1)
        job->guidance_scale =
            facts->has_text || facts->has_classes ? 7.5 : 1.0;
    if (job->samples < 1)
        job->samples = default_samples(job);
    if (facts->has_classes) {
        status = pdag_job_resolve_classes(job, facts);
        if (status != PDAG_OK)
            return status;
    }
    if (job->block_rows < 1)
        job->block_rows = default_block_rows(job->sampler.steps);
    if (job->pcm.present && job->pcm.rounds < 1)
        job->pcm.rounds = 1;
    if (job->pcm.present && !(job->pcm.variance > 0))
        job->pcm.variance = job->solver.variance;
    status = check_solver(job);
    if (status == PDAG_OK)
        status = check_pcm(job);
    return status == PDAG_OK ? check_facts(job, facts) : status;
}
