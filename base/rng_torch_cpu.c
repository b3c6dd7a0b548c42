/* torch.randn on a CPU generator: the integers of its MT19937 engine in the
   order in which ATen's normal_fill and normal_distribution take them. */
#include <math.h>

#include "base/rng_streams.h"

#define WORDS 624
#define SHIFT 397

static const double two_pi = 6.28318530717958647692;

void pdag_torch_cpu_seed(pdag_torch_cpu *stream, uint64_t seed)
{
    stream->words[0] = (uint32_t)seed;
    for (uint32_t j = 1; j < WORDS; j++) {
        uint32_t last = stream->words[j - 1];

        stream->words[j] = 1812433253u * (last ^ (last >> 30)) + j;
    }
    stream->used = WORDS;
    stream->has_cached = false;
    stream->cached = 0;
}

static uint32_t twisted(uint32_t high, uint32_t low, uint32_t far)
{
    uint32_t mixed = (high & 0x80000000u) | (low & 0x7fffffffu);

    return far ^ (mixed >> 1) ^ ((low & 1u) != 0 ? 0x9908b0dfu : 0u);
}

uint32_t pdag_torch_cpu_word(pdag_torch_cpu *stream)
{
    uint32_t *w = stream->words;
    uint32_t y;

    if (stream->used == WORDS) {
        for (size_t j = 0; j < WORDS; j++)
            w[j] = twisted(w[j], w[(j + 1) % WORDS], w[(j + SHIFT) % WORDS]);
        stream->used = 0;
    }
    y = w[stream->used++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

/* 24 bits, in [0, 1). */
static float uniform_float(pdag_torch_cpu *stream)
{
    return (float)(pdag_torch_cpu_word(stream) & 0xffffffu) * 0x1p-24f;
}

/* 53 bits, in [0, 1); the first word is the upper half. */
static double uniform_double(pdag_torch_cpu *stream)
{
    uint64_t high = pdag_torch_cpu_word(stream);
    uint64_t low = pdag_torch_cpu_word(stream);

    return (double)((high << 32 | low) & 0x1fffffffffffffu) * 0x1p-53;
}

/* Sixteen uniform values into sixteen normal ones: j and j + 8 are a pair. */
static void transform_16(float *data)
{
    for (int j = 0; j < 8; j++) {
        float radius = sqrtf(-2.0f * logf(1.0f - data[j]));
        float theta = (float)two_pi * data[j + 8];

        data[j] = radius * cosf(theta);
        data[j + 8] = radius * sinf(theta);
    }
}

static void fill_blocks(pdag_torch_cpu *stream, size_t n, float *out)
{
    for (size_t j = 0; j < n; j++)
        out[j] = uniform_float(stream);
    for (size_t j = 0; j + 16 <= n; j += 16)
        transform_16(out + j);
    if (n % 16 != 0) { /* the last sixteen are drawn again */
        for (size_t j = n - 16; j < n; j++)
            out[j] = uniform_float(stream);
        transform_16(out + n - 16);
    }
}

static double next_scalar(pdag_torch_cpu *stream)
{
    double u;
    double v;
    double radius;

    if (stream->has_cached) {
        stream->has_cached = false;
        return stream->cached;
    }
    u = uniform_double(stream);
    v = uniform_double(stream);
    radius = sqrt(-2.0 * log1p(-v));
    stream->cached = radius * sin(two_pi * u);
    stream->has_cached = true;
    return radius * cos(two_pi * u);
}

void pdag_torch_cpu_normal(pdag_torch_cpu *stream, size_t n, float *out)
{
    if (n >= 16) {
        fill_blocks(stream, n, out);
        return;
    }
    for (size_t j = 0; j < n; j++)
        out[j] = (float)next_scalar(stream);
}
