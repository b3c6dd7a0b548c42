/** proto/job_fields.h: the one table of job fields, inside proto/ only.
 *
 *  A row says name, kind, place in struct pdag_job, range or choices, what this
 *  version can do of them, default and meaning.  Decoding, --set, the checks,
 *  run.json and the documentation all walk this table; a new field is a line in
 *  job.proto, a member in job.h and a row here. */
#ifndef PDAG_PROTO_JOB_FIELDS_H
#define PDAG_PROTO_JOB_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "proto/job.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pdag_job_kind {
    PDAG_JOB_PATH,   /* char *, absolute once stored */
    PDAG_JOB_CHOICE, /* char * */
    PDAG_JOB_FLAG,   /* char *: "", "true", "false" */
    PDAG_JOB_INT,    /* int64_t */
    PDAG_JOB_UINT,   /* uint64_t, the whole range */
    PDAG_JOB_REAL,   /* double, finite */
    PDAG_JOB_TEXTS,  /* pdag_text_list */
    PDAG_JOB_INTS,   /* pdag_number_list */
    PDAG_JOB_LORAS   /* model.lora and model.n_lora */
} pdag_job_kind;

typedef struct pdag_job_field {
    const char *name; /* path in pdag.Job: "sampler.steps" */
    pdag_job_kind kind;
    size_t offset;    /* in pdag_job */
    const char *unit; /* of a number, "" where it has none */
    double low, high; /* of INT, INTS, REAL and a LoRA's scale */
    bool above;       /* the value must be above `low`, not just reach it */
    double unset;     /* stored in an INT or REAL without `fallback` */
    bool named;            /* INTS: --set also takes a class's name */
    const char *choices;   /* CHOICE: blank-separated */
    const char *available; /* the choices that work in this version; NULL: all */
    const char *fallback;  /* default, written as for --set; NULL: unset */
    const char *fallback_text; /* what the documentation says of the default */
    const char *meaning;
} pdag_job_field;

/** Most entries of a repeated field, and most samples. */
#define PDAG_JOB_MAX_LIST 1000000

extern const pdag_job_field pdag_job_fields[];
extern const size_t pdag_job_n_fields;

/** The row of a name, or NULL. */
const pdag_job_field *pdag_job_field_find(const char *name);
/** Bytes of the group part: 7 for "sampler.steps", 0 for "seed". */
size_t pdag_job_group_length(const char *name);
/** Whether `word` is one of the blank-separated `words`. */
bool pdag_job_has_word(const char *words, const char *word);
/** "a b c" as "a, b, c"; the caller frees. */
char *pdag_job_word_list(const char *words);
/** "integer from 1 to 10000", "one of: a, b": what a value must be; the caller
 *  frees. */
char *pdag_job_expected(const pdag_job_field *field);

/** Presence flag of the field's group (gaussian, pcm), or NULL for a field that
 *  is always there. */
bool *pdag_job_presence(pdag_job *job, const pdag_job_field *field);
bool pdag_job_is_present(const pdag_job *job, const pdag_job_field *field);
/** No value: "" or an empty list or the `unset` number. */
bool pdag_job_is_unset(const pdag_job *job, const pdag_job_field *field);

/** Stored values; the kind must fit. */
const char *pdag_job_text(const pdag_job *job, const pdag_job_field *field);
int64_t pdag_job_int(const pdag_job *job, const pdag_job_field *field);
uint64_t pdag_job_uint(const pdag_job *job, const pdag_job_field *field);
double pdag_job_real(const pdag_job *job, const pdag_job_field *field);
const pdag_text_list *pdag_job_texts(const pdag_job *job,
                                     const pdag_job_field *field);
const pdag_number_list *pdag_job_ints(const pdag_job *job,
                                      const pdag_job_field *field);

/** Check a value and store it (append it, for a repeated field).  `base`:
 *  absolute folder that a relative path starts from.  The error names field,
 *  value and what is allowed; PDAG_ERR_ARG. */
pdag_status pdag_job_put_text(pdag_job *job, const pdag_job_field *field,
                              const char *base, const char *text);
pdag_status pdag_job_put_int(pdag_job *job, const pdag_job_field *field,
                             int64_t value);
pdag_status pdag_job_put_uint(pdag_job *job, const pdag_job_field *field,
                              uint64_t value);
pdag_status pdag_job_put_real(pdag_job *job, const pdag_job_field *field,
                              double value);
pdag_status pdag_job_put_lora(pdag_job *job, const pdag_job_field *field,
                              const char *base, const char *path, double scale);
/** The same from a command line's text: strict numbers, PATH@SCALE. */
pdag_status pdag_job_put_parsed(pdag_job *job, const pdag_job_field *field,
                                const char *base, const char *text);
/** Empty a repeated field. */
void pdag_job_clear_list(pdag_job *job, const pdag_job_field *field);
/** Back to the default; `cwd` is what a default path starts from. */
void pdag_job_reset_field(pdag_job *job, const pdag_job_field *field,
                          const char *cwd);
/** A job of nothing but defaults. */
pdag_job *pdag_job_new(const char *cwd);

/** One --set text.  replaced[pdag_job_n_fields]: which repeated fields an
 *  earlier --set has emptied; kept up to date.  PDAG_ERR_ARG. */
pdag_status pdag_job_set(pdag_job *job, const char *cwd, const char *text,
                         bool *replaced);

/** Names in class_label to numbers, and their range.  PDAG_ERR_ARG. */
pdag_status pdag_job_resolve_classes(pdag_job *job, const pdag_job_facts *facts);

/** Everything about the values that needs no model: what this version can do,
 *  and fields that exclude or need each other. */
pdag_status pdag_job_check(const pdag_job *job);

/** base + "/" + path without empty and "." parts (".." stays: a link may be in
 *  front of it); an absolute path ignores base.  The caller frees. */
char *pdag_job_join(const char *base, const char *path);
/** Valid UTF-8 without surrogates and overlong forms. */
bool pdag_job_is_utf8(const void *bytes, size_t n_bytes);
/** `text` in at most 60 bytes of printable characters, for a message.
 *  buffer: at least 64 bytes. */
const char *pdag_job_shown(const char *text, char *buffer);

#ifdef __cplusplus
}
#endif
#endif
