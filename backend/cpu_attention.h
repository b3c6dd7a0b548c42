/* backend/cpu_attention.h: the float32 core of attention for one instruction set,
 * included by cpu_kernels_isa.h.
 *
 * Keys and values are packed block by block into panels of at most PANEL
 * vectors, so that a product of TILE query rows with a panel keeps its sums in
 * registers; scores of TILE rows against a block stay in the first-level cache
 * and are never stored elsewhere (Dao et al. 2022, arXiv:2205.14135). */
#ifndef PDAG_BACKEND_CPU_ATTENTION_H
#define PDAG_BACKEND_CPU_ATTENTION_H

/* Registers: TILE * PANEL sums, PANEL operands, one factor. */
#if PDAG_SIMD_LANES == 16
#define TILE 8
#define PANEL 3
#else
#define TILE 4
#define PANEL 2
#endif

/* Keys in a block, a multiple of every panel width. */
#define BLOCK 480

/* Vectors that n numbers need, and how many of them panel `i` has when they are
 * dealt out evenly over as few panels as will do. */
INLINE size_t n_vectors(size_t n)
{
    return (n + LANES - 1) / LANES;
}

INLINE size_t n_panels(size_t vectors)
{
    return (vectors + PANEL - 1) / PANEL;
}

INLINE size_t panel_vectors(size_t vectors, size_t i)
{
    const size_t panels = n_panels(vectors);

    return vectors / panels + (i < vectors % panels ? 1 : 0);
}

/* 2^x within 1e-7 for -126 < x, 0 below; x <= 127. */
INLINE vf exp2_f32(vf x)
{
#ifdef PDAG_SIMD_AVX512
    const vf n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT |
                                             _MM_FROUND_NO_EXC);
#else
    const vf magic = splat(12582912.0f);
    const vf bounded = choose(x < -127.0f, splat(-127.0f), x);
    const vf shifted = bounded + magic;
    const vi power = ((vi)shifted << 23) + (127 << 23);
    const vf n = shifted - magic;

    x = bounded;
#endif
    vf r = x - n;
    vf p = r * 1.3276472454890609e-3f + 9.675541892647743e-3f;

    p = p * r + 5.550713092088699e-2f;
    p = p * r + 2.4022120237350464e-1f;
    p = p * r + 6.931469440460205e-1f;
    p = p * r + 1.0f;
#ifdef PDAG_SIMD_AVX512
    return _mm512_scalef_ps(p, n);
#else
    return p * (vf)power;
#endif
}

/* c[TILE][c_stride] (+)= a[TILE][a_stride] b[k][width * LANES]: `width` vectors
 * of sums per row.  Always inlined with constants, so that sums are registers. */
INLINE void tile_product(size_t k, size_t width, bool accumulate,
                         const float *a, size_t a_stride, const float *b,
                         float *c, size_t c_stride)
{
    vf sum[TILE][PANEL];

#pragma GCC unroll 8
    for (size_t i = 0; i < TILE; i++)
#pragma GCC unroll 3
        for (size_t j = 0; j < width; j++)
            sum[i][j] = accumulate ? load_f32(c + i * c_stride + j * LANES)
                                   : (vf){0};
    for (size_t step = 0; step < k; step++) {
        vf right[PANEL];

#pragma GCC unroll 3
        for (size_t j = 0; j < width; j++)
            right[j] = load_f32(b + (step * width + j) * LANES);
#pragma GCC unroll 8
        for (size_t i = 0; i < TILE; i++) {
            const vf left = splat(a[i * a_stride + step]);

#pragma GCC unroll 3
            for (size_t j = 0; j < width; j++)
                sum[i][j] += left * right[j];
        }
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < TILE; i++)
#pragma GCC unroll 3
        for (size_t j = 0; j < width; j++)
            store_f32(c + i * c_stride + j * LANES, sum[i][j]);
}

static void panel_product(size_t k, size_t width, bool accumulate,
                          const float *a, size_t a_stride, const float *b,
                          float *c, size_t c_stride)
{
    if (width == 1)
        tile_product(k, 1, accumulate, a, a_stride, b, c, c_stride);
    else if (width == 2)
        tile_product(k, 2, accumulate, a, a_stride, b, c, c_stride);
    else
        tile_product(k, PANEL, accumulate, a, a_stride, b, c, c_stride);
}

/* c (+)= a b, b packed in panels for `vectors` vectors of columns. */
static void packed_product(size_t k, size_t vectors, bool accumulate,
                           const float *a, size_t a_stride, const float *b,
                           float *c, size_t c_stride)
{
    const size_t panels = n_panels(vectors);

    for (size_t i = 0; i < panels; i++) {
        const size_t width = panel_vectors(vectors, i);

        panel_product(k, width, accumulate, a, a_stride, b, c, c_stride);
        b += k * width * LANES;
        c += width * LANES;
    }
}

/* scores[0..count) -> 2^(score - max), and 0 to `n`; gives their sum. */
INLINE float softmax_row(size_t count, size_t n, float max, float *scores)
{
    const size_t whole = count - count % LANES;
    vf sum = {0};

    for (size_t i = 0; i < whole; i += LANES) {
        const vf v = exp2_f32(load_f32(scores + i) - max);

        sum += v;
        store_f32(scores + i, v);
    }
    if (whole < count) { /* rows have room for whole vectors */
        const vf v = exp2_f32(load_f32(scores + whole) - max);
        const vf kept = choose(first_lanes(count - whole), v, (vf){0});

        sum += kept;
        store_f32(scores + whole, kept);
    }
    for (size_t i = (count + LANES - 1) / LANES * LANES; i < n; i += LANES)
        store_f32(scores + i, (vf){0});
    return sum_lanes(sum);
}

INLINE float largest_score(size_t count, const float *scores, float start)
{
    const size_t whole = count - count % LANES;
    vf max = splat(start), other = max; /* two chains hide the latency */
    size_t i = 0;

    for (; i + 2 * LANES <= whole; i += 2 * LANES) {
        max = larger(max, load_f32(scores + i));
        other = larger(other, load_f32(scores + i + LANES));
    }
    max = larger(max, other);
    for (; i < whole; i += LANES)
        max = larger(max, load_f32(scores + i));
    if (whole < count)
        max = larger(max, choose(first_lanes(count - whole),
                                 load_f32(scores + whole), splat(start)));
    return max_lanes(max);
}

#endif
