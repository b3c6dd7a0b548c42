/* backend/cpu_simd.h: short vectors of float32 for cpu_kernels_*.c, which set
 * PDAG_SIMD_LANES (4, 8 or 16) and the target before they include it.  Vector
 * types of GCC and Clang, so the same text compiles on every architecture. */
#ifndef PDAG_BACKEND_CPU_SIMD_H
#define PDAG_BACKEND_CPU_SIMD_H

#define LANES PDAG_SIMD_LANES

typedef float vf __attribute__((vector_size(LANES * 4)));
typedef int32_t vi __attribute__((vector_size(LANES * 4)));
typedef uint32_t vu __attribute__((vector_size(LANES * 4)));
typedef uint16_t vh __attribute__((vector_size(LANES * 2)));

#define INLINE static inline __attribute__((always_inline))

INLINE vf splat(float value)
{
    return value - (vf){0};
}

INLINE vf load_f32(const float *x)
{
    vf v;

    memcpy(&v, x, sizeof v);
    return v;
}

INLINE void store_f32(float *y, vf v)
{
    memcpy(y, &v, sizeof v);
}

INLINE vf load_bf16(const uint16_t *x)
{
    vh half;

    memcpy(&half, x, sizeof half);
    return (vf)(__builtin_convertvector(half, vu) << 16);
}

/* a where mask is all ones, b where it is zero. */
INLINE vf choose(vi mask, vf a, vf b)
{
    return (vf)(((vi)a & mask) | ((vi)b & ~mask));
}

/* Round to nearest even; a NaN keeps its upper half and stays one, since the
 * quiet bit is set in every NaN that arithmetic gives. */
INLINE void store_bf16(uint16_t *y, vf v)
{
    vu bits = (vu)v;
    vu rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
    vu kept = (vu)choose(v == v, (vf)rounded, v);
    vh half = __builtin_convertvector(kept >> 16, vh);

    memcpy(y, &half, sizeof half);
}

INLINE vf larger(vf a, vf b)
{
#ifdef PDAG_SIMD_AVX512
    return _mm512_max_ps(a, b);
#else
    return choose(a > b, a, b);
#endif
}

INLINE float sum_lanes(vf v)
{
    float lane[LANES];

    memcpy(lane, &v, sizeof v);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

INLINE float max_lanes(vf v)
{
    float lane[LANES];

    memcpy(lane, &v, sizeof v);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] = lane[i] > lane[i + half] ? lane[i] : lane[i + half];
    return lane[0];
}

/* e^x within 1.5 units in the last place for -87.3 < x < 88.3, then 0 below and
 * infinity above.  NaN stays NaN.  Polynomial: Cephes expf (S. Moshier). */
INLINE vf exp_f32(vf x)
{
    const vf magic = splat(12582912.0f); /* 1.5 * 2^23: rounds to integers */
    vf bounded = choose(x < -88.0f, splat(-88.0f), x);
    vf n, r, p;
    vi power;

    bounded = choose(bounded > 88.8f, splat(88.8f), bounded);
    n = bounded * 1.44269504088896341f + magic;
    /* 2^n, magic's bits shifted out; n = -127 gives 0 and n = 128 infinity */
    power = ((vi)n << 23) + (127 << 23);
    n -= magic;
    r = bounded - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    return p * (vf)power;
}

INLINE vf sigmoid(vf x)
{
    return 1.0f / (1.0f + exp_f32(-x));
}

/* Standard normal distribution function, relative error about 2e-7 to x = -13:
 * erfc(z) = t exp(-z^2 + P(t)), t = 1/(1 + z/2) (Press et al., Numerical Recipes
 * in C, 2nd edition, section 6.2). */
INLINE vf normal_cdf(vf x)
{
    vf z = (vf)((vi)(x * 0.70710678118654752f) & 0x7fffffff);
    vf t = 1.0f / (1.0f + 0.5f * z);
    vf p = t * 0.17087277f - 0.82215223f;
    vf tail;

    p = p * t + 1.48851587f;
    p = p * t - 1.13520398f;
    p = p * t + 0.27886807f;
    p = p * t - 0.18628806f;
    p = p * t + 0.09678418f;
    p = p * t + 0.37409196f;
    p = p * t + 1.00002368f;
    p = p * t - 1.26551223f;
    tail = 0.5f * t * exp_f32(p - z * z);
    return choose(x > 0.0f, 1.0f - tail, tail);
}

/* x tanh(softplus(x)); with e = e^x that is x (e^2 + 2e)/(e^2 + 2e + 2). */
INLINE vf mish(vf x)
{
    vf e = exp_f32(choose(x > 20.0f, splat(20.0f), x));
    vf w = e * e + 2.0f * e;

    return x * (w / (w + 2.0f));
}

INLINE vf apply(pdag_activation act, vf x)
{
    switch (act) {
    case PDAG_ACT_NONE:
        return x;
    case PDAG_ACT_SILU:
        return x / (1.0f + exp_f32(-x));
    case PDAG_ACT_GELU:
        return x * normal_cdf(x);
    case PDAG_ACT_GELU_TANH: /* (1 + tanh u)/2 = sigmoid(2u) */
        return x * sigmoid(x * (1.5957691216057308f +
                                0.0713548162726009f * (x * x)));
    case PDAG_ACT_QUICK_GELU:
        return x * sigmoid(1.702f * x);
    case PDAG_ACT_MISH:
        return mish(x);
    case PDAG_ACT_RELU:
        return choose(x < 0.0f, (vf){0}, x);
    }
    return x;
}

#endif
