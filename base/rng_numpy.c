#include "base/rng_numpy.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng_streams.h"

struct pdag_rng_numpy {
    pdag_torch_cpu words; /* numpy and torch seed the same engine alike */
};

pdag_rng_numpy *pdag_rng_numpy_create(uint32_t seed)
{
    pdag_rng_numpy *rng = pdag_xcalloc(1, sizeof *rng);

    pdag_torch_cpu_seed(&rng->words, seed);
    return rng;
}

void pdag_rng_numpy_destroy(pdag_rng_numpy *rng)
{
    free(rng);
}

int64_t pdag_rng_numpy_integer(pdag_rng_numpy *rng, int64_t low, int64_t high)
{
    uint32_t last = (uint32_t)(high - low - 1);
    uint32_t mask = last;
    uint32_t word;

    if (last == 0) /* numpy draws nothing for it */
        return low;
    for (unsigned shift = 1; shift < 32; shift *= 2)
        mask |= mask >> shift;
    do {
        word = pdag_torch_cpu_word(&rng->words) & mask;
    } while (word > last);
    return low + (int64_t)word;
}

double pdag_rng_numpy_uniform(pdag_rng_numpy *rng)
{
    double high = pdag_torch_cpu_word(&rng->words) >> 5;
    double low = pdag_torch_cpu_word(&rng->words) >> 6;

    return (high * 0x1p26 + low) * 0x1p-53;
}

double pdag_rng_numpy_normal(pdag_rng_numpy *rng)
{
    double u;
    double v;
    double square;
    double factor;

    if (rng->words.has_cached) {
        rng->words.has_cached = false;
        return rng->words.cached;
    }
    do {
        u = 2 * pdag_rng_numpy_uniform(rng) - 1;
        v = 2 * pdag_rng_numpy_uniform(rng) - 1;
        square = u * u + v * v;
    } while (square >= 1 || square == 0);
    factor = sqrt(-2 * log(square) / square);
    rng->words.cached = factor * u;
    rng->words.has_cached = true;
    return factor * v;
}
