/** cli/forecast.h: from a job and what is known of it - stored costs, given ones, a
 *  default - to a simulated run. */
#ifndef PDAG_CLI_FORECAST_H
#define PDAG_CLI_FORECAST_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/costs.h"
#include "cli/setup.h"
#include "scheduler/simulate.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Where a number comes from. */
typedef enum pdag_source {
    PDAG_SOURCE_EXACT,   /* follows from the job */
    PDAG_SOURCE_GIVEN,   /* on the command line */
    PDAG_SOURCE_STORED,  /* earlier runs */
    PDAG_SOURCE_NEAREST, /* earlier runs of the same model and another job */
    PDAG_SOURCE_DEFAULT  /* a guess */
} pdag_source;

const char *pdag_source_text(pdag_source source);

/** What of a job decides about its schedule. */
typedef struct pdag_shape {
    size_t n_rows;     /* N */
    size_t window;     /* W, 1..N */
    size_t block_rows; /* 1..N */
    size_t first_row;  /* rows before it are final from the start */
    size_t max_rounds;
    size_t n_samples;
    bool roll;         /* the first round evaluates one row */
    bool barrier;
    bool adds_noise;   /* the sampler does: more rounds */
    const char *method;  /* borrowed from the job, as the next */
    const char *sampler;
} pdag_shape;

/** PDAG_ERR_UNSUPPORTED for a method whose rounds are not made of blocks
 *  (newton). */
pdag_status pdag_shape_make(const pdag_setup *setup, pdag_shape *shape_out);

/** Fewest and most rounds that the window allows, whatever the numbers. */
size_t pdag_shape_fewest_rounds(const pdag_shape *shape);
size_t pdag_shape_most_rounds(const pdag_shape *shape);

/** Rounds of the shape's method by the default, N / W + growth log2 W, with its
 *  second term times `hardness`; within fewest and most. */
size_t pdag_shape_default_rounds(const pdag_shape *shape, double hardness);
/** The hardness with which the default says `rounds`; 1 where it has no say
 *  (a window of one row). */
double pdag_shape_hardness(const pdag_shape *shape, double rounds);

/** Paths of a job's samples. */
typedef struct pdag_paths {
    size_t n;
    pdag_sim_path *path; /* [n], owned with their rounds */
    size_t rounds;       /* of the typical one (the median) */
    size_t evaluations;  /* of it */
    pdag_source source;
    char *from;          /* more about it, owned */
} pdag_paths;

/** The job's paths: with `rounds` rounds where that is not 0 (PDAG_ERR_ARG where
 *  the window does not allow it), else those of earlier runs, else as many as the
 *  nearest earlier run or the default say. */
pdag_status pdag_paths_make(const pdag_setup *setup, const pdag_shape *shape,
                            const pdag_costs *costs, size_t rounds,
                            pdag_paths *paths_out);
void pdag_paths_clear(pdag_paths *paths);

/** Windows of rounds that begin at these rows: [n_rounds], malloc'ed. */
pdag_sim_round *pdag_shape_rounds(const pdag_shape *shape, size_t n_rounds,
                                  const size_t *begin);

/** What the workers cost. */
typedef struct pdag_speeds {
    pdag_cost cost;       /* of each worker */
    pdag_source source;
    char *from;           /* more about it, owned */
    double local_latency, local_bandwidth;
    double remote_latency, remote_bandwidth;
    bool links_known;
    double update;        /* seconds of U per row; 0: not known */
    double late;          /* mean of the workers' seconds from the first task until
                             they were ready */
} pdag_speeds;

/** task_seconds: of a task of a whole block, 0 where not given.  n_workers: for
 *  how many a stored start counts. */
pdag_speeds pdag_speeds_make(const pdag_setup *setup, const pdag_costs *costs,
                             double task_seconds, int n_workers);
void pdag_speeds_clear(pdag_speeds *speeds);
/** Seconds of a task of n rows. */
double pdag_speeds_task(const pdag_speeds *speeds, size_t n);

/** The simulation of `shape` on n_workers such workers, of which the first is rank
 *  0's own thread unless `dedicated`.  Borrows paths; worker_out: [n_workers],
 *  given by the caller. */
void pdag_forecast_setup(const pdag_setup *setup, const pdag_shape *shape,
                         const pdag_paths *paths, const pdag_speeds *speeds,
                         int n_workers, bool dedicated,
                         pdag_sim_worker *worker_out, pdag_sim_setup *sim_out);

/** The same, run. */
pdag_status pdag_forecast(const pdag_setup *setup, const pdag_shape *shape,
                          const pdag_paths *paths, const pdag_speeds *speeds,
                          int n_workers, bool dedicated,
                          pdag_sim_result *result_out);

#ifdef __cplusplus
}
#endif
#endif
