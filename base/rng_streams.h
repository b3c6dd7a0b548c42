/** base/rng_streams.h: the streams behind pdag_rng, private to base/rng*.c. */
#ifndef PDAG_BASE_RNG_STREAMS_H
#define PDAG_BASE_RNG_STREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/** One MT19937 generator (Matsumoto and Nishimura 1998,
 *  doi:10.1145/272991.272995), and the value that torch's scalar path keeps. */
typedef struct pdag_torch_cpu {
    uint32_t words[624];
    size_t used; /* words handed out since the last twist */
    bool has_cached;
    double cached;
} pdag_torch_cpu;

/** torch seeds with the low 32 bits only. */
void pdag_torch_cpu_seed(pdag_torch_cpu *stream, uint64_t seed);
void pdag_torch_cpu_normal(pdag_torch_cpu *stream, size_t n, float *out);
/** The generator's next 32 bits. */
uint32_t pdag_torch_cpu_word(pdag_torch_cpu *stream);

/** Philox offset of torch's CUDA generator, counted in blocks of four. */
typedef struct pdag_torch_cuda {
    uint64_t seed;
    uint64_t blocks;
} pdag_torch_cuda;

/** PDAG_ERR_UNSUPPORTED: more than PDAG_TORCH_CUDA_MAX elements. */
#define PDAG_TORCH_CUDA_MAX 40960
pdag_status pdag_torch_cuda_normal(pdag_torch_cuda *stream, size_t n,
                                   float *out);

#endif
