/** graph/schedule_times.h: which timesteps and noise levels a sampler visits;
 *  private to graph/schedule*.c. */
#ifndef PDAG_GRAPH_SCHEDULE_TIMES_H
#define PDAG_GRAPH_SCHEDULE_TIMES_H

#include "graph/schedule.h"

/** torch.linspace(first, last, n, dtype=float32). */
void pdag_linspace_float(double first, double last, size_t n, float *out);

/** schedule: n_train, alpha_bar, n_steps and n_rows are there; fills timesteps,
 *  sigmas where they are not NULL, and initial_sigma. */
pdag_status pdag_schedule_fill_times(const pdag_schedule_config *config,
                                     const pdag_schedule_kind *kind,
                                     pdag_schedule *schedule);

/** sigmas (and with a sigma rule the timesteps too) of the families that have
 *  noise levels; private to the two files that fill times. */
pdag_status pdag_schedule_fill_sigmas(const pdag_schedule_config *config,
                                      const pdag_schedule_kind *kind,
                                      pdag_schedule *schedule);

#endif
