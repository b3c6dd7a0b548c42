/** cli/report.h: parts of `picard-dag report`: what is known of a finished run,
 *  from the files in its output folder, and the sections of its page. */
#ifndef PDAG_CLI_REPORT_H
#define PDAG_CLI_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"
#include "cli/text.h"

#ifdef __cplusplus
extern "C" {
#endif

/** One sample; texts are borrowed from the JSON, "" where there is none. */
typedef struct pdag_report_sample {
    size_t index;
    const char *prompt; /* or the names of the class */
    const char *stop, *image, *state;
    const json_t *seed;        /* integer or text, or NULL */
    double rounds, evaluations; /* NaN: not known */
    double seconds;            /* of sampling; NaN: not known */
    size_t n_rounds, n_rows;   /* of the history; 0 and 0: none was kept */
    float *history;            /* [n_rounds][n_rows], owned, NaN: not evaluated */
} pdag_report_sample;

/** A task on a worker's lane; microseconds from the run's start. */
typedef struct pdag_report_task {
    double begin, end;
    size_t lane;
    unsigned sample, round, block;
    bool network; /* else encode or decode */
} pdag_report_task;

typedef struct pdag_report_lane {
    int rank;
    const char *name; /* borrowed from the trace's JSON */
    double busy;      /* microseconds */
} pdag_report_lane;

/** What trace.json says of the tasks. */
typedef struct pdag_timeline {
    pdag_json json;
    size_t n_lanes;
    pdag_report_lane *lane; /* by rank */
    size_t n_tasks;
    pdag_report_task *task;
    size_t n_updates;
    pdag_report_task *update; /* of the scheduler; lane is 0 */
    double end;               /* of the last task */
} pdag_timeline;

typedef struct pdag_report {
    const char *folder; /* borrowed */
    pdag_json run;      /* run.json */
    size_t n_rows;      /* N; 0: not known */
    size_t n_samples;
    pdag_report_sample *sample; /* [n_samples] */
    bool has_timeline;
    pdag_timeline timeline;
    pdag_text notes; /* what could not be shown and why, a line each */
} pdag_report;

/* report_read.c */

/** Read folder/run.json; keys that older versions did not write may be missing.
 *  PDAG_ERR_INPUT, _FORMAT naming the file and the key. */
pdag_status pdag_report_read(const char *folder, pdag_report *report_out);
void pdag_report_clear(pdag_report *report);

/** A number of run.json, path "seconds.total"; NaN where there is none. */
double pdag_report_number(const json_t *root, const char *path);
/** Likewise a text; "" where there is none. */
const char *pdag_report_text(const json_t *root, const char *path);

/** The window of round k (from 0): its rows evaluated, [begin, end); false where
 *  none was. */
bool pdag_report_window(const pdag_report_sample *sample, size_t k,
                        size_t *begin_out, size_t *end_out);
/** Largest residual of round k; NaN where none is known. */
double pdag_report_residual(const pdag_report_sample *sample, size_t k);

/* report_trace.c */

/** Read folder/trace.json, if it is there.  PDAG_ERR_FORMAT where it cannot be
 *  understood; *there_out: false where there is none. */
pdag_status pdag_timeline_read(const char *folder, pdag_timeline *timeline_out,
                               bool *there_out);
void pdag_timeline_clear(pdag_timeline *timeline);

/* The page's sections, each with its heading; nothing where there is nothing to
   show. */

/* report_facts.c */
void pdag_report_facts(const pdag_report *report, pdag_text *page);
void pdag_report_samples(const pdag_report *report, pdag_text *page);
void pdag_report_job(const pdag_report *report, pdag_text *page);

/* report_charts.c */
void pdag_report_curves(const pdag_report *report, pdag_text *page);
pdag_status pdag_report_maps(const pdag_report *report, pdag_text *page);

/* report_pictures.c */

/** May add to the notes what was left out. */
void pdag_report_pictures(pdag_report *report, pdag_text *page);

/* report_workers.c: the timeline or, without a trace, bars; then the table. */
pdag_status pdag_report_workers(const pdag_report *report, pdag_text *page);

#ifdef __cplusplus
}
#endif
#endif
