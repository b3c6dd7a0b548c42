/** cli/costs.h: the stored performance model: what earlier runs of one model cost
 *  and how many rounds they took.  One JSON file for each model in
 *  $XDG_CACHE_HOME/picard-dag or $HOME/.cache/picard-dag, named by the model's
 *  name and a hash of its files' names and sizes.
 *
 *  A cache: it may be missing, broken or not writable, and never makes anything
 *  fail; a note says what was the matter.  Every figure is a list of the last runs'
 *  values, of which the median counts. */
#ifndef PDAG_CLI_COSTS_H
#define PDAG_CLI_COSTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "cli/setup.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Values and paths kept of each figure. */
#define PDAG_COSTS_KEPT 8

typedef struct pdag_costs {
    char *folder; /* NULL: there is no place for it */
    char *file;   /* name in it */
    char *note;   /* one line, or NULL */
    json_t *root; /* object, never NULL */
} pdag_costs;

/** What is stored of this job's model; empty where nothing is. */
pdag_costs pdag_costs_read(const pdag_setup *setup);
/** One more run is in it. */
void pdag_costs_count(pdag_costs *costs);
/** Into its file, which appears complete or not at all. */
void pdag_costs_write(pdag_costs *costs);
void pdag_costs_clear(pdag_costs *costs);

/** Where a job's figures are among those of its model; malloc'ed.  The first ends
 *  in a worker's device text; n_workers: how many there were, which may share the
 *  device. */
char *pdag_costs_worker_key(const pdag_setup *setup, int n_workers,
                            const char *device);
char *pdag_costs_rounds_key(const pdag_setup *setup);
char *pdag_costs_update_key(const pdag_setup *setup);

/** The object costs->root[section][key], made where it is not there; borrowed. */
json_t *pdag_costs_entry(pdag_costs *costs, const char *section, const char *key);
/** The object object[key], likewise. */
json_t *pdag_costs_member(json_t *object, const char *key);
/** Append to the list `name` of an object; the oldest of more than
 *  PDAG_COSTS_KEPT goes.  Takes `value`. */
void pdag_costs_append(json_t *object, const char *name, json_t *value);
void pdag_costs_add(json_t *object, const char *name, double value);
/** Median of a list of numbers that are not negative, or 0. */
double pdag_costs_median(const json_t *list);

/** What one kind of worker needs, as pdag_sim_worker has it. */
typedef struct pdag_cost {
    char *device;    /* owned */
    size_t n_runs;   /* the figures are of, at most */
    int n_workers;   /* that these runs had */
    size_t n_seconds;
    double *seconds; /* [n_seconds], owned; by rows, 0: not known */
    double *first;   /* [n_seconds], owned; of a worker's first such task, 0: not
                        known */
    double fixed, per_row; /* the line through them */
    double encode, decode; /* 0: not known */
} pdag_cost;

/** Of the kind of worker that this job's model ran on with the job's precision,
 *  guidance, delay and backend, in the runs whose number of workers is nearest to
 *  n_workers, which may share a machine; of these the last.  False where nothing is
 *  known.  Clear it. */
bool pdag_costs_worker(const pdag_costs *costs, const pdag_setup *setup,
                       int n_workers, pdag_cost *cost_out);
void pdag_cost_clear(pdag_cost *cost);

/** Seconds of a message's way and bytes a second on it, between rank 0 and its own
 *  thread (`local`) or another rank; 0, 0 where not known. */
void pdag_costs_link(const pdag_costs *costs, bool local, double *latency_out,
                     double *bytes_per_second_out);

/** Seconds of U per row; 0: not known. */
double pdag_costs_update(const pdag_costs *costs, const pdag_setup *setup);

#ifdef __cplusplus
}
#endif
#endif
