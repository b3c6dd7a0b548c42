/** proto/job.h: the job, plain C, checked; constant after pdag_job_resolve().
 *
 *  Outside names, units, ranges and defaults are those of proto/job.proto and
 *  docs/job-file.md; one table in proto/job_fields.c says them once and is what
 *  parses, --set, the range checks, run.json and the documentation come from.
 *
 *  In order: pdag_job_read() (file and --set), then, when the model has been
 *  looked at, pdag_job_resolve() fills the defaults that depend on it. */
#ifndef PDAG_PROTO_JOB_H
#define PDAG_PROTO_JOB_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_text_list {
    size_t n;
    char **item; /* owned */
} pdag_text_list;

typedef struct pdag_number_list {
    size_t n;
    int64_t *item; /* owned */
} pdag_number_list;

typedef struct pdag_lora_ref {
    char *path; /* owned, absolute */
    double scale;
} pdag_lora_ref;

/** Strings are owned and never NULL ("" = not given), paths absolute. */
typedef struct pdag_job {
    struct {
        char *path;
        char *backend;   /* auto ref onednn cuda */
        char *precision; /* float32 bfloat16 float16 tf32 */
        double delay_ms;
        size_t n_lora;
        pdag_lora_ref *lora; /* owned */
    } model;
    struct {
        bool present;
        pdag_number_list shape;
        int64_t modes;
        double std;
        uint64_t seed;
    } gaussian;
    struct {
        char *kind; /* "" until resolved */
        int64_t steps;
        double eta;
        char *spacing;    /* "" = the model's own, as for the next ones */
        char *prediction;
        char *clip;       /* "" "true" "false" */
        double clip_range;      /* 0: the model's own */
        int64_t steps_offset;   /* -1: the model's own */
        char *set_alpha_to_one; /* "" "true" "false" */
        char *variance;         /* DDPM: fixed_small fixed_large .. */
    } sampler;
    struct {
        char *method;
        double tolerance; /* 0 until resolved from stop */
        char *stop;
        int64_t window;   /* 0: all */
        int64_t max_rounds;
        int64_t history;  /* -1: per method, as order */
        int64_t order;
        char *slope;      /* "": per method, as start and entry */
        double variance;  /* 0: statistics, or per model */
        char *start;
        char *start_from;
        int64_t start_row;
        char *entry;
        char *statistics;
        double restart;         /* 0: never */
        char *measure_variance; /* "" "true" "false" */
    } solver;
    struct {
        bool present;
        char *path;
        double stiffness;
        int64_t rounds;
        char *mixing;
        double scale;
        double variance; /* 0 until resolved */
    } pcm;
    pdag_text_list prompt;
    pdag_text_list negative_prompt;
    pdag_number_list class_label; /* until resolved: below 0 for a name of the
                                     command line's, -1 - its index below */
    pdag_text_list class_name; /* no field of the file's: names given to --set */
    double guidance_scale; /* 0 until resolved (legal values are >= 1) */
    int64_t guidance_channels;
    char *environment;
    uint64_t seed;
    char *random;
    char *noise;
    int64_t samples;    /* 0 until resolved */
    int64_t block_rows; /* 0 until resolved */
    char *policy;
    char *output;
} pdag_job;

/** `path`: file, or "-" for standard input.  set[n_set]: "field=value" texts of
 *  the command line, applied in order (docs/job-file.md).  Everything that
 *  can be checked without the model is checked; the error names file, field,
 *  value and allowed range.  PDAG_ERR_INPUT, _FORMAT (not a job, unknown field
 *  number), _ARG (range, choice), _UNSUPPORTED (a legal value that this version
 *  cannot do yet).  The caller frees with pdag_job_destroy(). */
pdag_status pdag_job_read(const char *path, size_t n_set,
                          const char *const *set, pdag_job **job_out);
void pdag_job_destroy(pdag_job *job); /* NULL is allowed */

/** lambda(k) of the rounds 0 .. n - 1 in which it is over 0, falling; malloc'ed,
 *  NULL and 0 without pcm.  Resolved jobs. */
double *pdag_job_lambdas(const pdag_job *job, size_t *n_out);

/** What the defaults need to know of the model. */
typedef struct pdag_job_facts {
    bool has_text, has_classes, is_latent;
    size_t n_classes;         /* 0: not known */
    char *const *class_name_of; /* [n_classes], some NULL; or NULL */
    const char *sampler_kind; /* of the model's own scheduler config, or NULL */
    double variance; /* of final states, from the statistics file; 0: none */
    const char *statistics; /* the model's own file, or NULL */
} pdag_job_facts;

/** Fill sampler.kind, solver.tolerance, .variance and per-method choices,
 *  guidance_scale, samples, block_rows; check what needs the model (prompts for
 *  a model without text ..).  Twice gives the same. */
pdag_status pdag_job_resolve(pdag_job *job, const pdag_job_facts *facts);

/** Canonical bytes of the job with absolute paths (broadcast, checkpoint) and
 *  back.  A class_label that is still a name cannot travel: resolve first.
 *  *bytes_out is malloc'ed. */
pdag_status pdag_job_pack(const pdag_job *job, void **bytes_out,
                          size_t *n_bytes_out);
pdag_status pdag_job_unpack(const void *bytes, size_t n_bytes,
                            pdag_job **job_out);

/** Every field, nested as its name says (docs/job-file.md); a new reference. */
json_t *pdag_job_to_json(const pdag_job *job);

/** Text of docs/job-file.md's field table (Markdown), from the field table;
 *  malloc'ed. */
char *pdag_job_fields_markdown(void);
/** One line per field: name, type, default (for `run --help-fields`). */
char *pdag_job_fields_text(void);
/** Default of the field of this name, written as for --set; "" where it is nothing
 *  or depends on the model or the method; NULL: there is no such field. */
const char *pdag_job_field_default(const char *name);

#ifdef __cplusplus
}
#endif
#endif
