/** base/rng_numpy.h: numpy.random.RandomState, as far as public environments draw
 *  their start states from it: MT19937 words into bounded integers by masking and
 *  rejection, and normal values by Marsaglia's polar method. */
#ifndef PDAG_BASE_RNG_NUMPY_H
#define PDAG_BASE_RNG_NUMPY_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_rng_numpy pdag_rng_numpy;

/** RandomState(seed); never NULL.  numpy takes seeds below 2^32 only. */
pdag_rng_numpy *pdag_rng_numpy_create(uint32_t seed);
void pdag_rng_numpy_destroy(pdag_rng_numpy *rng);

/** randint(low, high): in [low, high), high - low in 1..2^31. */
int64_t pdag_rng_numpy_integer(pdag_rng_numpy *rng, int64_t low, int64_t high);

/** random_sample(): in [0, 1), 53 bits. */
double pdag_rng_numpy_uniform(pdag_rng_numpy *rng);

/** randn(): the values come in pairs, the second is kept for the next call. */
double pdag_rng_numpy_normal(pdag_rng_numpy *rng);

#ifdef __cplusplus
}
#endif
#endif
