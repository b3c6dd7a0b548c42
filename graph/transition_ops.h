/** graph/transition_ops.h: what a sampler family fills in for one step; private
 *  to graph/transition*.c. */
#ifndef PDAG_GRAPH_TRANSITION_OPS_H
#define PDAG_GRAPH_TRANSITION_OPS_H

#include "graph/transition.h"

/** Adding a sampler family: one file with one such table, its line in the list of
 *  transition.c, and its kinds in schedule_kinds.c. */
typedef struct pdag_transition_ops {
    pdag_value_kind multistep; /* the value of kinds that combine several */
    /** Set of row i: signal, sigma, parts, noise_std, draws_noise, c and, for
     *  multistep kinds, own and weight; input_scale where it is not 1.  config,
     *  t, dim, n_rows and n_terms are there. */
    void (*fill)(pdag_transition *tr, const pdag_schedule_kind *kind,
                 const pdag_schedule *schedule, double eta, size_t i);
} pdag_transition_ops;

extern const pdag_transition_ops pdag_transition_ddim;
extern const pdag_transition_ops pdag_transition_ddpm;
extern const pdag_transition_ops pdag_transition_dpm;
extern const pdag_transition_ops pdag_transition_euler;
extern const pdag_transition_ops pdag_transition_flow;
extern const pdag_transition_ops pdag_transition_pndm;

/** signal, sigma and the prediction parts of a row at alpha-bar `now`. */
void pdag_transition_fill_vp(pdag_transition *tr, size_t i, double now);

/** The same, and noise_std of the step from `now` to `next`. */
void pdag_transition_fill_step(pdag_transition *tr, size_t i, double now,
                               double next);

/** The network's output that makes a row predict the clean state z and the noise
 *  eps from x; by whichever of the two it weighs more in. */
double pdag_step_output(const pdag_step_parts *parts, double x, double z,
                        double eps);

#endif
