/** tests/run_bench.h: examples/gaussian.pb with settings, made into what the
 *  scheduler takes, for a fake network of PDAG_BENCH_DIM scalars. */
#ifndef PDAG_TESTS_RUN_BENCH_H
#define PDAG_TESTS_RUN_BENCH_H

#include "scheduler/run.h"

#define PDAG_BENCH_DIM 12

typedef struct run_bench {
    pdag_job *job;
    pdag_schedule *schedule;
    pdag_transition *transition;
    pdag_run_setup setup; /* the sink is the caller's */
} run_bench;

/** Aborts with the error text when the settings are wrong. */
void run_bench_open(run_bench *b, size_t n_set, const char *const *set);
void run_bench_close(run_bench *b);

#endif
