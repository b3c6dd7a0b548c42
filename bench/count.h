/** bench/count.h: what an evaluation must at least do: the operations of its
 *  matrix products, and the bytes of their weights, inputs and outputs, each read
 *  or written once.  Around a backend, between it and the network. */
#ifndef PDAG_BENCH_COUNT_H
#define PDAG_BENCH_COUNT_H

#include "backend/backend.h"

/** Sums over linear layers, convolutions and attention. */
typedef struct bench_count {
    double flops; /* multiplications and additions */
    double bytes;
} bench_count;

/** Count what `be` is asked to do from now on, beside doing it; one backend a
 *  process, before its weights are made. */
void bench_count_begin(pdag_backend *be);
void bench_count_reset(void);
bench_count bench_count_get(void);

#endif
