#include <math.h>

#include "base/rng.h"

static const double two_pi = 6.28318530717958647692;

void pdag_philox4x32(const uint32_t counter[4], const uint32_t key[2],
                     uint32_t out[4])
{
    uint32_t c0 = counter[0];
    uint32_t c1 = counter[1];
    uint32_t c2 = counter[2];
    uint32_t c3 = counter[3];
    uint32_t k0 = key[0];
    uint32_t k1 = key[1];

    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;

        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* The two normal values of one block, elements 2 * pair and 2 * pair + 1. */
static void normal_pair(uint64_t seed, uint64_t step, uint64_t pair,
                        float out[2])
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t counter[4] = {(uint32_t)pair, (uint32_t)(pair >> 32),
                                 (uint32_t)step, (uint32_t)(step >> 32)};
    uint32_t words[4];
    double u;
    double v;
    double radius;

    pdag_philox4x32(counter, key, words);
    u = (double)(((uint64_t)words[1] << 32 | words[0]) >> 11);
    v = (double)(((uint64_t)words[3] << 32 | words[2]) >> 11);
    /* u in (0, 1], so that the logarithm is finite; v in [0, 1). */
    radius = sqrt(-2.0 * log((u + 1.0) * 0x1p-53));
    out[0] = (float)(radius * cos(two_pi * (v * 0x1p-53)));
    out[1] = (float)(radius * sin(two_pi * (v * 0x1p-53)));
}

void pdag_rng_counter_normal(uint64_t seed, uint64_t step, uint64_t first,
                             size_t n, float *out)
{
    float two[2];
    size_t done = 0;

    while (done < n) {
        uint64_t element = first + done;

        normal_pair(seed, step, element / 2, two);
        out[done++] = two[element % 2];
        if (element % 2 == 0 && done < n)
            out[done++] = two[1];
    }
}
