/** cli/compare.h: parts of `picard-dag compare`: the solvers, the record of one
 *  solver's run, the table.  The page is cli/compare_page.h. */
#ifndef PDAG_CLI_COMPARE_H
#define PDAG_CLI_COMPARE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/options.h"
#include "cli/session.h"
#include "cli/setup.h"
#include "cli/text.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What rounds are counted to. */
typedef enum pdag_criterion {
    PDAG_CRITERION_A,    /* every first-order residual RMS <= 1e-3: the published
                            test of arXiv:2402.09970, made on the states before the
                            round's update */
    PDAG_CRITERION_B,    /* relative RMS error of x_N <= 1 %, from here on */
    PDAG_CRITERION_30DB, /* PSNR of the decoded x_N, from here on */
    PDAG_CRITERION_40DB,
    PDAG_N_CRITERIA
} pdag_criterion;

#define PDAG_CRITERION_A_RESIDUAL 1e-3
#define PDAG_CRITERION_B_ERROR 1e-2

/** After a round; NaN where x_N has no value yet or there is no picture. */
typedef struct pdag_compare_round {
    double error;    /* of x_N, relative RMS, against the sequential run */
    double psnr;     /* dB */
    double residual; /* largest of the round's rows */
    char *picture;   /* base64 of a small PNG, owned; NULL: none kept */
} pdag_compare_round;

/** One solver on one prompt and seed. */
typedef struct pdag_compare_run {
    pdag_stop_reason stop;
    size_t rounds, evaluations;
    double seconds;
    size_t reached[PDAG_N_CRITERIA]; /* round, from 1; 0: not reached */
    size_t n_round;
    pdag_compare_round *round; /* [n_round]: of rounds 1.. */
    float *map; /* [n_round][N] residuals, NaN where not evaluated; kept for the
                   first case only, else NULL */
} pdag_compare_run;

typedef struct pdag_compare_solver {
    char *name; /* as written in --solvers */
    pdag_setup setup;
    pdag_compare_run *run; /* [n_cases] */
} pdag_compare_solver;

typedef struct pdag_compare_case {
    size_t prompt;      /* number of the prompt or class */
    uint64_t more_seed; /* added to the job's seed */
    char *name;         /* prompt, "class 7", or "" */
    uint64_t seed;
} pdag_compare_case;

typedef struct pdag_compare {
    pdag_options options;
    const char *solver_list; /* of --solvers, or NULL */
    size_t n_seeds;
    pdag_setup setup;        /* of the job as it is */
    pdag_setup sequential;   /* of the reference */
    size_t n_solvers;
    pdag_compare_solver *solver;
    size_t n_cases;
    pdag_compare_case *cases;
    size_t n_rows, dim;      /* N, D */
    size_t picture_floats;   /* 0: no pictures */
    char *reference_picture; /* of the first case, as in pdag_compare_round */
    int n_ranks;
    char device[128];        /* of worker 1 */
} pdag_compare;

/* compare_solvers.c */

/** Setups of the sequential reference and of every solver listed, or of the
 *  default list.  A method of the default list that this job cannot have is left
 *  out with a note; one that was asked for is an error. */
pdag_status pdag_compare_make_solvers(pdag_compare *c);
void pdag_compare_clear_solvers(pdag_compare *c);

/* compare_record.c */

/** The sequential reference of a case. */
typedef struct pdag_reference {
    size_t picture_floats;
    float *state;   /* [D] */
    float *picture; /* [picture_floats], or NULL */
} pdag_reference;

pdag_status pdag_compare_reference(pdag_compare *c, pdag_session *session,
                                   size_t case_index,
                                   pdag_reference *reference_out);
void pdag_reference_clear(pdag_reference *reference);

/** Run solver `which` on a case and fill its record.  A run that ends in
 *  not-a-number is a record too (`stop` failed), not an error. */
pdag_status pdag_compare_record(pdag_compare *c, pdag_session *session,
                                size_t which, size_t case_index,
                                const pdag_reference *reference);
void pdag_compare_run_clear(pdag_compare_run *run);

/** Base64 of a PNG of this picture, at most 128 pixels on a side. */
pdag_status pdag_compare_small_picture(const pdag_pipeline_info *info,
                                       const float *picture, char **text_out);

/* compare_table.c */

/** Mean and deviation over the cases that have a value; n of them. */
typedef struct pdag_spread {
    size_t n;
    double mean, deviation;
} pdag_spread;

pdag_spread pdag_compare_rounds(const pdag_compare *c, size_t solver,
                                pdag_criterion criterion);
pdag_spread pdag_compare_evaluations(const pdag_compare *c, size_t solver);
pdag_spread pdag_compare_seconds(const pdag_compare *c, size_t solver);

#define PDAG_SPREAD_TEXT 64 /* bytes */

/** "11.5 ±0.7", "11.0 (3/4)" where not every case has a value, "-" where none has;
 *  text: [PDAG_SPREAD_TEXT]. */
void pdag_spread_text(const pdag_spread *spread, size_t n_cases, int digits,
                      char *text);

#define PDAG_COMPARE_COLUMNS (PDAG_N_CRITERIA + 2)

/** The table's columns after the solver, and the text of a cell of it. */
extern const char *const pdag_compare_titles[PDAG_COMPARE_COLUMNS];
void pdag_compare_cell(const pdag_compare *c, size_t solver, int column,
                       char *text);

void pdag_compare_csv(const pdag_compare *c, pdag_text *text);
void pdag_compare_ends_csv(const pdag_compare *c, pdag_text *text);
void pdag_compare_table(const pdag_compare *c, pdag_text *text);
/** A new reference. */
json_t *pdag_compare_json(const pdag_compare *c);

#ifdef __cplusplus
}
#endif
#endif
