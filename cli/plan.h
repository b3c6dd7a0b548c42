/** cli/plan.h: what `plan` says of a job; private to cli/cmd_plan.c and
 *  cli/plan_*.c. */
#ifndef PDAG_CLI_PLAN_H
#define PDAG_CLI_PLAN_H

#include <jansson.h>

#include "cli/forecast.h"
#include "cli/text.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What the command line gives. */
typedef struct pdag_plan_options {
    int n_ranks;
    bool dedicated;
    double task_seconds; /* of a task of a whole block; 0: not given */
    size_t rounds;       /* 0: not given */
} pdag_plan_options;

/** Bytes that are known before anything runs; activations are not. */
typedef struct pdag_plan_memory {
    double weights; /* of every rank that evaluates, in the job's precision */
    double samples; /* trajectories, windows and histories, at rank 0 */
    double messages, conditions;
    double rank_0, others; /* sums; others 0 where there is one rank */
} pdag_plan_memory;

/** Window and block rows, and what they come to. */
typedef struct pdag_plan_choice {
    size_t window, block_rows, rounds;
    double seconds; /* of sampling */
} pdag_plan_choice;

typedef struct pdag_plan {
    const pdag_setup *setup; /* borrowed */
    pdag_plan_options options;
    int n_workers;
    pdag_costs costs;
    pdag_shape shape;
    pdag_paths paths;
    pdag_speeds speeds;
    pdag_sim_result result;
    pdag_speeds alone;        /* of a worker that is the only one */
    double sequential;        /* its seconds of sampling one row after the other */
    double sequential_on_all; /* samples in sequence, but on all workers at once */
    pdag_plan_choice chosen;  /* the best window and block rows for these ranks */
    pdag_plan_memory memory;
    char *advice; /* a sentence */
} pdag_plan;

/** PDAG_ERR_ARG for rounds that the window does not allow, PDAG_ERR_UNSUPPORTED
 *  for a method that is not predicted. */
pdag_status pdag_plan_make(const pdag_setup *setup,
                           const pdag_plan_options *options,
                           pdag_plan *plan_out);
void pdag_plan_clear(pdag_plan *plan);

/** A new reference. */
json_t *pdag_plan_json(const pdag_plan *plan);
/** "1.23 s", "12.3 ms"; seconds >= 0. */
void pdag_plan_add_seconds(pdag_text *text, double seconds);
void pdag_plan_add_text(const pdag_plan *plan, pdag_text *text);
/** The task graph of the typical sample in the language of Graphviz, of as many
 *  rounds as fit a page. */
void pdag_plan_add_dot(const pdag_plan *plan, pdag_text *text);

#ifdef __cplusplus
}
#endif
#endif
