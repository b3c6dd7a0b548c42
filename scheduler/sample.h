/** scheduler/sample.h: one sample: trajectory, window, solver, stop test.  Knows
 *  no worker and no message; scheduler/run.c feeds it results. */
#ifndef PDAG_SCHEDULER_SAMPLE_H
#define PDAG_SCHEDULER_SAMPLE_H

#include "scheduler/run.h"
#include "solvers/solver.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pdag_start { /* solver.start */
    PDAG_START_COPIES,
    PDAG_START_ROLL,
    PDAG_START_GAUSSIAN,
    PDAG_START_TRAJECTORY
} pdag_start;

typedef enum pdag_slope { /* solver.slope */
    PDAG_SLOPE_ONE,
    PDAG_SLOPE_SAMPLER,
    PDAG_SLOPE_GAUSSIAN,
    PDAG_SLOPE_BANDS
} pdag_slope;

/** What all samples of a run share; constant. */
typedef struct pdag_sample_plan {
    const pdag_transition *transition;
    pdag_graph graph;
    const pdag_solver_ops *solver;
    pdag_solver_opts opts; /* but for the slopes */
    pdag_stop_rule rule;
    double tolerance;
    double restart;      /* growth of the residual that clears the history; 0: no */
    size_t window_width; /* 1..N */
    size_t max_rounds;   /* 1..N */
    pdag_start start;
    size_t start_row;
    bool barrier;        /* no round begins before the one before is complete */
    bool entry_held_x0;
    pdag_slope slope_kind;
    bool measure_variance;
    const float *statistics; /* [2][D] mean and variance; NULL where not needed */
    float *made_statistics;  /* owned, where no file gave them */
    pdag_rng_kind random;
    size_t n_lambda;
    double *lambda; /* [n_lambda] of the first rounds, over 0; then it is 0 */
    bool features;  /* outputs are mixed, not weights */
    double *scale; /* [N + 1] of the relative stop rules, or zeros */
    double *slope; /* [N], J_i */
    double *pcm_slope; /* [N], J_i while lambda is over 0 */
    double *gain;  /* [N], slope of x_{i+1} by the predicted clean state */
} pdag_sample_plan;

/** From a setup with a resolved job, which must outlive the plan.  PDAG_ERR_ARG,
 *  _UNSUPPORTED. */
pdag_status pdag_sample_plan_create(const pdag_run_setup *setup,
                                    pdag_sample_plan *plan_out);
/** J_i for Gaussian data of this variance (other slopes do not depend on it). */
void pdag_sample_plan_slopes(const pdag_sample_plan *plan, double variance,
                             double *slope_out);
void pdag_sample_plan_clear(pdag_sample_plan *plan);

typedef struct pdag_sample pdag_sample;

/** Draws (or copies from unit_noise[D]) the initial noise and the frozen noise
 *  of all steps; fills the first window, from start[N + 1][D] where the plan starts
 *  from a trajectory.  Borrows `plan`.  PDAG_ERR_NOMEM. */
pdag_status pdag_sample_create(const pdag_sample_plan *plan, size_t index,
                               uint64_t seed, const float *unit_noise,
                               const float *start, pdag_sample **sample_out);
void pdag_sample_destroy(pdag_sample *sample); /* NULL is allowed */

/** Rounds complete: all their blocks updated. */
size_t pdag_sample_round(const pdag_sample *sample);

/** E(k,b) that can be evaluated now and were not told of before: take() for each,
 *  lowest round and block first; one for each network where outputs are mixed.
 *  mix: which weights, 0: the base's. */
typedef void (*pdag_sample_ready)(void *user, size_t round, size_t block,
                                  size_t mix);
void pdag_sample_each_ready(pdag_sample *sample, pdag_sample_ready take,
                            void *user);

/** Whether E(k,b) was told of and has no result yet.  False for what came back
 *  before from another worker. */
bool pdag_sample_expects(const pdag_sample *sample, size_t round, size_t block,
                         size_t mix);

/** E(k,b), which is expected: first row and number of its rows. */
size_t pdag_sample_task(const pdag_sample *sample, size_t round, size_t block,
                        size_t *first_out);

/** What the network gets of them: inputs [n][D], then times [n]. */
void pdag_sample_fill_task(const pdag_sample *sample, size_t round, size_t block,
                           float *payload_out);

/** The network's output for E(k,b), [n][D], which is expected.  PDAG_ERR_NAN names
 *  row and round. */
pdag_status pdag_sample_result_in(pdag_sample *sample, size_t round, size_t block,
                                  size_t mix, const float *eps);

/** After a result of round k: every U(k,b) that can be done now, stop test, window
 *  slide, entry.  Afterwards other blocks are ready, or results are waited for, or
 *  pdag_sample_stop() says why there is nothing more.  At most one round becomes
 *  complete. */
pdag_status pdag_sample_advance(pdag_sample *sample, size_t round);

pdag_stop_reason pdag_sample_stop(const pdag_sample *sample);

/** Fills rows, rounds, residuals, trajectory of a result. */
void pdag_sample_describe(const pdag_sample *sample,
                          pdag_sample_result *result_out);

/** The round finished last, for the sink. */
void pdag_sample_describe_round(const pdag_sample *sample,
                                pdag_round_state *round_out);

/** Only the sample, its evaluations and its states as they are now. */
void pdag_sample_describe_states(const pdag_sample *sample,
                                 pdag_round_state *round_out);

/** Final state [D], borrowed. */
const float *pdag_sample_final(const pdag_sample *sample);

/** Rows final, and largest residual of the round finished last. */
size_t pdag_sample_rows_done(const pdag_sample *sample);
double pdag_sample_residual(const pdag_sample *sample);

#ifdef __cplusplus
}
#endif
#endif
