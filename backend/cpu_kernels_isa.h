/* backend/cpu_kernels_isa.h: both element types for one instruction set.  The
 * includer has set the target, PDAG_SIMD_LANES, PDAG_SIMD_ISA and PDAG_SIMD_TABLE
 * (the name of the exported table) and included the system headers. */
#include "backend/cpu_simd.h"

static __attribute__((noinline)) vf part_float(const float *x, size_t n)
{
    float part[LANES] = {0};

    memcpy(part, x, n * sizeof *x);
    return load_f32(part);
}

INLINE vf get_float(const float *x, size_t i, size_t n)
{
    return n - i >= LANES ? load_f32(x + i) : part_float(x + i, n - i);
}

INLINE void put_float(float *y, size_t i, size_t n, vf v)
{
    if (n - i >= LANES)
        store_f32(y + i, v);
    else
        memcpy(y + i, &v, (n - i) * sizeof *y);
}

/* Mask of lanes 0 .. n - 1. */
INLINE vi first_lanes(size_t n)
{
    static const int32_t number[16] = {0, 1, 2,  3,  4,  5,  6,  7,
                                       8, 9, 10, 11, 12, 13, 14, 15};
    vi lane;

    memcpy(&lane, number, sizeof lane);
    return lane < (int32_t)n;
}

/* Keys of this block that row r may see. */
INLINE size_t seen_by_row(const pdag_cpu_softmax *s, size_t r)
{
    if (s->visible >= s->n)
        return s->n;
    return s->visible + r < s->n ? s->visible + r : s->n;
}

/* Maximum of scale * scores[count] and of *old if there is one; count > 0. */
INLINE float row_max(const pdag_cpu_softmax *s, const float *scores,
                     size_t count, const float *old)
{
    size_t whole = count - count % LANES;
    vf low = splat(-INFINITY);
    vf max = old != NULL ? splat(*old) : low;

    for (size_t i = 0; i < whole; i += LANES)
        max = larger(max, load_f32(scores + i) * s->scale);
    if (whole < count) {
        vf v = get_float(scores, whole, count) * s->scale;

        max = larger(max, choose(first_lanes(count - whole), v, low));
    }
    return max_lanes(max);
}

#include "backend/cpu_attention.h"

/* Where the parts of a head's scratch space start, in floats. */
typedef struct head_space {
    size_t dim; /* head_dim in whole vectors */
    size_t keys, values, queries, scores, acc, max, sum, end;
} head_space;

static head_space head_layout(size_t n_q, size_t head_dim)
{
    const size_t rows = (n_q + TILE - 1) / TILE * TILE;
    head_space s;

    s.dim = n_vectors(head_dim) * LANES;
    s.keys = 0;
    s.values = s.keys + BLOCK * head_dim;
    s.queries = s.values + BLOCK * s.dim;
    s.scores = s.queries + TILE * s.dim;
    s.acc = s.scores + TILE * BLOCK;
    s.max = s.acc + rows * s.dim;
    s.sum = s.max + rows;
    s.end = s.sum + rows;
    return s;
}

static size_t head_scratch(size_t n_q, size_t head_dim)
{
    return head_layout(n_q, head_dim).end;
}

/* The softmax of one row of a block, on top of the blocks before it (`first`:
 * there are none): scores become terms, and max, sum and acc follow. */
INLINE void update_row(size_t count, size_t n, bool first, float *scores,
                       size_t dim, float *acc, float *max, float *sum)
{
    const float old = first ? -INFINITY : *max;
    const float top = largest_score(count, scores, old);
    float total = softmax_row(count, n, top, scores);

    if (!first && top > old) {
        const vf keep = exp2_f32(splat(old - top));

        total += keep[0] * *sum;
        for (size_t i = 0; i < dim; i += LANES)
            store_f32(acc + i, keep * load_f32(acc + i));
    } else if (!first) {
        total += *sum;
    }
    *max = top;
    *sum = total;
}

#define elem float
#define LOAD(p) load_f32(p)
#define STORE(p, v) store_f32(p, v)
#define NAME(function) f32_##function
INLINE float f32_scalar(const float *x)
{
    return *x;
}
#include "backend/cpu_kernels_body.h"
#undef elem
#undef LOAD
#undef STORE
#undef NAME

#define elem uint16_t
#define LOAD(p) load_bf16(p)
#define STORE(p, v) store_bf16(p, v)
#define NAME(function) bf16_##function
INLINE float bf16_scalar(const uint16_t *x)
{
    return pdag_bf16_to_f32(*x);
}
#include "backend/cpu_kernels_body.h"
#undef elem
#undef LOAD
#undef STORE
#undef NAME

const pdag_cpu_kernels *PDAG_SIMD_TABLE(bool bf16)
{
    return bf16 ? &bf16_kernels : &f32_kernels;
}
