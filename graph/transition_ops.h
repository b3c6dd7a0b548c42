/** graph/transition_ops.h: what a sampler family fills in for one step; private
 *  to graph/transition*.c. */
#ifndef PDAG_GRAPH_TRANSITION_OPS_H
#define PDAG_GRAPH_TRANSITION_OPS_H

#include "graph/transition.h"

/** Adding a sampler family: one file with one such table, and its line in the
 *  list of transition.c. */
typedef struct pdag_transition_ops {
    const char *kind;
    /** alpha-bar of the state that step i leads to. */
    double (*alpha_bar_next)(const pdag_schedule_config *config,
                             const pdag_schedule *schedule, size_t i);
    /** Set parts[i].f_*, c[i] and draws_noise[i]; t, alpha_bar, alpha_bar_next
     *  and noise_std of the step are there already. */
    void (*fill)(pdag_transition *tr, size_t i, double eta);
} pdag_transition_ops;

extern const pdag_transition_ops pdag_transition_ddim;
extern const pdag_transition_ops pdag_transition_ddpm;

#endif
