/** base/rng.h: three streams of standard normal numbers.
 *
 *  counter     our own: Philox4x32-10 keyed by (seed, step, element), so that no
 *              batch size, window or rank count changes a value.  Default.
 *  torch-cpu   torch.randn on a CPU generator after manual_seed(seed): MT19937,
 *              for 16 or more values the block-of-16 Box-Muller fill, shorter
 *              tensors the scalar path (float64, cached second value).  Same
 *              integers; values within 2e-6, since torch's own vector and plain
 *              kernels differ by that much.
 *  torch-cuda  torch.randn on a CUDA generator: Philox4x32-10, subsequence = the
 *              thread's index; for tensors in which every thread gives one value
 *              (up to 256 * SMs * (max threads per SM / 256) elements).
 *
 *  torch's streams have state: draw in the order that diffusers draws. */
#ifndef PDAG_BASE_RNG_H
#define PDAG_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pdag_rng_kind {
    PDAG_RNG_COUNTER,
    PDAG_RNG_TORCH_CPU,
    PDAG_RNG_TORCH_CUDA
} pdag_rng_kind;

/** Philox4x32-10 block function (Salmon et al. 2011, doi:10.1145/2063384.2063405). */
void pdag_philox4x32(const uint32_t counter[4], const uint32_t key[2],
                     uint32_t out[4]);

/** out[n]: elements first .. first + n - 1 of step `step` of the counter
 *  stream; step 0 is the initial noise, step i + 1 the noise of sampler step i.
 *  Independent of how a tensor is cut into calls.
 *
 *  A stable format: elements 2p and 2p + 1 come from the one Philox block with
 *  key (seed low, seed high) and counter (p low, p high, step low, step high),
 *  words w0..w3, all 32 bits.  In float64, u = ((w1 w0 >> 11) + 1) / 2^53 and
 *  v = (w3 w2 >> 11) / 2^53 (64-bit numbers, upper word first); the values are
 *  sqrt(-2 ln u) times cos(2 pi v), then sin(2 pi v), rounded to float32. */
void pdag_rng_counter_normal(uint64_t seed, uint64_t step, uint64_t first,
                             size_t n, float *out);

/** A stream with state (the torch kinds; the counter kind counts its draws as
 *  steps).  Opaque; owned by the caller. */
typedef struct pdag_rng pdag_rng;
pdag_status pdag_rng_create(pdag_rng_kind kind, uint64_t seed, pdag_rng **out);
void pdag_rng_destroy(pdag_rng *rng); /* NULL is allowed */
/** out[n] = torch.randn(n, generator=...), and the state advances as torch's.
 *  PDAG_ERR_UNSUPPORTED: torch-cuda with more elements than every card gives
 *  alike (40960, the smallest of the common cards). */
pdag_status pdag_rng_normal(pdag_rng *rng, size_t n, float *out);

/** "counter", "torch-cpu", "torch-cuda"; PDAG_ERR_ARG. */
pdag_status pdag_rng_kind_parse(const char *name, pdag_rng_kind *out);

#ifdef __cplusplus
}
#endif
#endif
