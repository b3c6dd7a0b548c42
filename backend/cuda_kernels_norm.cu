/* Group and layer normalisation.
 *
 * Sums run over differences from one element of the group, so that a large mean
 * costs no digits, and as Welford's (mean, sum of squares about it), merged by
 * Chan's formula in a fixed order (T. F. Chan, G. H. Golub, R. J. LeVeque,
 * "Algorithms for computing the sample variance", 1983). */
#include "backend/cuda_device.cuh"

/* Of some numbers: how many, their mean, and the sum of the squares about it. */
struct moments {
    float count, mean, squares;
};

static __device__ __forceinline__ moments merge(moments a, moments b)
{
    moments all = {a.count + b.count, a.mean, a.squares};

    if (b.count > 0.0f) {
        float difference = b.mean - a.mean;
        float share = b.count / all.count;

        all.mean += difference * share;
        all.squares += b.squares + difference * difference * a.count * share;
    }
    return all;
}

/* Over the lanes of a warp; right in lane 0. */
static __device__ moments merge_warp(moments own)
{
    for (int distance = PDAG_WARP / 2; distance > 0; distance /= 2) {
        moments other = {__shfl_xor_sync(0xffffffffu, own.count, distance),
                         __shfl_xor_sync(0xffffffffu, own.mean, distance),
                         __shfl_xor_sync(0xffffffffu, own.squares, distance)};

        own = merge(own, other);
    }
    return own;
}

/* ---- group norm ---- */

template <typename T>
struct norm_plan {
    size_t p, c, groups, size; /* size: channels of a group */
    pdag_index_norm cut;
    float eps;
    const float *gamma, *beta;
    const T *add;
    pdag_activation act;
    const T *x;
    T *y;
    float *workspace; /* [b][groups][1 + 3 chunks]: the reference, moments */
};

/* What one block works on: rows [row, last) of channels [first, first + span),
 * `lanes` threads side by side and `lines` rows at a time. */
struct norm_block {
    size_t image, group, first, row, last;
    unsigned groups, span, lanes, lines;
};

template <typename T, int W>
static __device__ norm_block locate_block(const norm_plan<T> &plan)
{
    norm_block at;

    at.image = pdag_index_div(blockIdx.x, plan.cut.spans);
    at.group = (blockIdx.x - at.image * plan.cut.spans) * plan.cut.groups;
    at.first = at.group * plan.size;
    at.row = blockIdx.y * plan.cut.rows;
    at.last = at.row + plan.cut.rows < plan.p ? at.row + plan.cut.rows : plan.p;
    at.groups = (unsigned)(plan.groups - at.group < plan.cut.groups
                               ? plan.groups - at.group
                               : plan.cut.groups);
    at.span = at.groups * (unsigned)plan.size;
    at.lanes = at.span / W < PDAG_NORM_THREADS ? at.span / W
                                               : (unsigned)PDAG_NORM_THREADS;
    at.lines = PDAG_NORM_THREADS / at.lanes;
    return at;
}

/* The memory that a block's threads share. */
template <int W>
struct norm_shared {
    float mean[PDAG_NORM_THREADS * W], squares[PDAG_NORM_THREADS * W];
    float count[PDAG_NORM_THREADS];
    float reference[PDAG_NORM_SPAN]; /* per group: subtracted first */
    float shift[PDAG_NORM_SPAN], factor[PDAG_NORM_SPAN];
};

template <typename T>
static __device__ __forceinline__ float added(const norm_plan<T> &plan,
                                              const norm_block &at,
                                              size_t channel)
{
    return plan.add != NULL ? to_float(plan.add[at.image * plan.c + channel])
                            : 0.0f;
}

/* An element of every group, before anyone overwrites it. */
template <typename T, int W>
static __device__ void read_references(const norm_plan<T> &plan,
                                       const norm_block &at,
                                       norm_shared<W> &shared)
{
    for (unsigned g = threadIdx.x; g < at.groups; g += blockDim.x) {
        size_t channel = at.first + g * plan.size;

        shared.reference[g] =
            to_float(plan.x[at.image * plan.p * plan.c + channel]) +
            added(plan, at, channel);
    }
    __syncthreads();
}

/* This thread's channels.  Where a thread has several columns the block has one
 * group, so that its numbers may be summed up together. */
template <typename T, int W>
static __device__ void sum_columns(const norm_plan<T> &plan,
                                   const norm_block &at,
                                   norm_shared<W> &shared)
{
    const unsigned lane = threadIdx.x % at.lanes;
    const unsigned line = threadIdx.x / at.lanes;
    float mean[W] = {};
    float squares[W] = {};
    float count = 0.0f;

    for (unsigned column = lane * W; column < at.span && line < at.lines;
         column += at.lanes * W) {
        const T *x = plan.x + at.image * plan.p * plan.c + at.first + column;
        float shift[W];

        for (int k = 0; k < W; k++)
            shift[k] = added(plan, at, at.first + column + k);
        for (size_t row = at.row + line; row < at.last; row += at.lines) {
            pack<T, W> values = load<W>(x + row * plan.c);
            float weight;

            count += 1.0f;
            weight = 1.0f / count;
            for (int k = 0; k < W; k++) {
                float value =
                    to_float(values.v[k]) + shift[k] -
                    shared.reference[(column + k) / (unsigned)plan.size];
                float difference = value - mean[k];

                mean[k] += difference * weight;
                squares[k] += difference * (value - mean[k]);
            }
        }
    }
    for (int k = 0; k < W; k++) {
        shared.mean[threadIdx.x * W + k] = mean[k];
        shared.squares[threadIdx.x * W + k] = squares[k];
    }
    shared.count[threadIdx.x] = count;
    __syncthreads();
}

/* Column `slot` of the block: the lines merged. */
template <int W>
static __device__ moments merge_lines(const norm_block &at,
                                      const norm_shared<W> &shared,
                                      unsigned slot)
{
    moments sum = {0.0f, 0.0f, 0.0f};

    for (unsigned line = 0; line < at.lines; line++) {
        unsigned from = line * at.lanes * W + slot;
        moments one = {shared.count[from / W], shared.mean[from],
                       shared.squares[from]};

        sum = merge(sum, one);
    }
    return sum;
}

/* What remains of a group: its statistics as the later pass wants them. */
template <typename T, int W>
static __device__ void keep_group(const norm_plan<T> &plan,
                                  norm_shared<W> &shared, unsigned group,
                                  moments sum)
{
    shared.shift[group] = sum.mean;
    shared.factor[group] = rsqrtf(sum.squares / sum.count + plan.eps);
}

/* Moments of the block's rows into `shared` (one block has them all) or the
 * workspace: a warp for each group. */
template <typename T, int W>
static __device__ void sum_groups(const norm_plan<T> &plan,
                                  const norm_block &at,
                                  norm_shared<W> &shared, bool alone)
{
    const unsigned lane = threadIdx.x % PDAG_WARP;

    for (unsigned g = threadIdx.x / PDAG_WARP; g < at.groups;
         g += blockDim.x / PDAG_WARP) {
        unsigned first = at.groups == 1 ? 0 : g * (unsigned)plan.size;
        unsigned n = at.groups == 1 ? at.lanes * W : (unsigned)plan.size;
        moments sum = {0.0f, 0.0f, 0.0f};

        for (unsigned slot = lane; slot < n; slot += PDAG_WARP)
            sum = merge(sum, merge_lines(at, shared, first + slot));
        sum = merge_warp(sum);
        if (lane != 0)
            continue;
        if (alone)
            keep_group(plan, shared, g, sum);
        else {
            float *to = plan.workspace +
                        (at.image * plan.groups + at.group + g) *
                            (1 + 3 * plan.cut.chunks);

            if (blockIdx.y == 0)
                to[0] = shared.reference[g];
            to[1 + 3 * blockIdx.y] = sum.count;
            to[2 + 3 * blockIdx.y] = sum.mean;
            to[3 + 3 * blockIdx.y] = sum.squares;
        }
    }
    __syncthreads();
}

/* The workspace's moments of all blocks into `shared`. */
template <typename T, int W>
static __device__ void read_groups(const norm_plan<T> &plan,
                                   const norm_block &at,
                                   norm_shared<W> &shared)
{
    const unsigned lane = threadIdx.x % PDAG_WARP;

    for (unsigned g = threadIdx.x / PDAG_WARP; g < at.groups;
         g += blockDim.x / PDAG_WARP) {
        const float *from = plan.workspace +
                            (at.image * plan.groups + at.group + g) *
                                (1 + 3 * plan.cut.chunks);
        moments sum = {0.0f, 0.0f, 0.0f};

        for (size_t chunk = lane; chunk < plan.cut.chunks; chunk += PDAG_WARP) {
            moments one = {from[1 + 3 * chunk], from[2 + 3 * chunk],
                           from[3 + 3 * chunk]};

            sum = merge(sum, one);
        }
        sum = merge_warp(sum);
        if (lane == 0) {
            shared.reference[g] = from[0];
            keep_group(plan, shared, g, sum);
        }
    }
    __syncthreads();
}

/* One of the three that may follow a norm. */
static __device__ __forceinline__ float finish(pdag_activation act, float x)
{
    if (act == PDAG_ACT_NONE)
        return x;
    return act == PDAG_ACT_MISH ? activation(PDAG_ACT_MISH, x)
                                : activation(PDAG_ACT_SILU, x);
}

template <typename T, int W>
static __device__ void apply_columns(const norm_plan<T> &plan,
                                     const norm_block &at,
                                     const norm_shared<W> &shared)
{
    const unsigned lane = threadIdx.x % at.lanes;
    const unsigned line = threadIdx.x / at.lanes;

    for (unsigned column = lane * W; column < at.span && line < at.lines;
         column += at.lanes * W) {
        size_t start = at.image * plan.p * plan.c + at.first + column;
        float plus[W], reference[W], shift[W], factor[W], beta[W];

        for (int k = 0; k < W; k++) {
            unsigned group = (column + k) / (unsigned)plan.size;
            size_t channel = at.first + column + k;

            plus[k] = added(plan, at, channel);
            reference[k] = shared.reference[group];
            shift[k] = shared.shift[group];
            factor[k] = shared.factor[group];
            if (plan.gamma != NULL)
                factor[k] *= plan.gamma[channel];
            beta[k] = plan.beta != NULL ? plan.beta[channel] : 0.0f;
        }
        for (size_t row = at.row + line; row < at.last; row += at.lines) {
            pack<T, W> values = load<W>(plan.x + start + row * plan.c);

            for (int k = 0; k < W; k++) {
                float value = to_float(values.v[k]) + plus[k] - reference[k];

                from_float(finish(plan.act, (value - shift[k]) * factor[k] +
                                                beta[k]),
                           &values.v[k]);
            }
            store<W>(plan.y + start + row * plan.c, values);
        }
    }
}

/* A block has whole groups of a picture: everything in one launch. */
template <typename T, int W>
static __global__ void __launch_bounds__(PDAG_NORM_THREADS)
    norm_small_kernel(norm_plan<T> plan)
{
    PDAG_SHARED(norm_shared<W>, shared, );
    const norm_block at = locate_block<T, W>(plan);

    read_references(plan, at, shared);
    sum_columns(plan, at, shared);
    sum_groups(plan, at, shared, true);
    apply_columns(plan, at, shared);
}

template <typename T, int W>
static __global__ void __launch_bounds__(PDAG_NORM_THREADS)
    norm_sum_kernel(norm_plan<T> plan)
{
    PDAG_SHARED(norm_shared<W>, shared, );
    const norm_block at = locate_block<T, W>(plan);

    read_references(plan, at, shared);
    sum_columns(plan, at, shared);
    sum_groups(plan, at, shared, false);
}

template <typename T, int W>
static __global__ void __launch_bounds__(PDAG_NORM_THREADS)
    norm_apply_kernel(norm_plan<T> plan)
{
    PDAG_SHARED(norm_shared<W>, shared, );
    const norm_block at = locate_block<T, W>(plan);

    read_groups(plan, at, shared);
    apply_columns(plan, at, shared);
}

size_t pdag_cuda_group_norm_floats(size_t b, size_t p, size_t c, size_t groups)
{
    const pdag_index_norm cut = pdag_index_norm_cut(p, c, groups);

    return cut.chunks > 1 ? b * groups * (1 + 3 * cut.chunks) : 0;
}

template <typename T, int W>
static int launch_group_norm(cudaStream_t stream, dim3 grid,
                             const norm_plan<T> &plan)
{
    if (plan.cut.chunks == 1) {
        PDAG_LAUNCH((norm_small_kernel<T, W>), grid, PDAG_NORM_THREADS, stream,
                    plan);
        return cudaGetLastError();
    }
    PDAG_LAUNCH((norm_sum_kernel<T, W>), grid, PDAG_NORM_THREADS, stream, plan);
    PDAG_LAUNCH((norm_apply_kernel<T, W>), grid, PDAG_NORM_THREADS, stream,
                plan);
    return cudaGetLastError();
}

template <typename T>
static int start_group_norm(cudaStream_t stream, const pdag_cuda_group_norm *g)
{
    const norm_plan<T> plan = {
        g->p,
        g->c,
        g->groups,
        g->c / g->groups,
        pdag_index_norm_cut(g->p, g->c, g->groups),
        g->eps,
        g->gamma,
        g->beta,
        (const T *)g->add,
        g->act,
        (const T *)g->x,
        (T *)g->y,
        g->workspace};
    const dim3 grid((unsigned)(g->b * plan.cut.spans),
                    (unsigned)plan.cut.chunks, 1);

    if (g->c % PDAG_NORM_PACK == 0 && plan.cut.span % PDAG_NORM_PACK == 0 &&
        is_wide(g->x) && is_wide(g->y))
        return launch_group_norm<T, PDAG_NORM_PACK>(stream, grid, plan);
    return launch_group_norm<T, 1>(stream, grid, plan);
}

int pdag_cuda_group_normalise(pdag_cuda_at at, const pdag_cuda_group_norm *norm)
{
    if (norm->b * norm->p * norm->c == 0)
        return cudaSuccess;
    PDAG_BY_TYPE(at.type, return start_group_norm<T>(at.stream, norm));
    return cudaErrorInvalidValue;
}

/* ---- layer norm ---- */

#define ROWS 4 /* of a block: a warp for each */

template <typename T, int W>
static __global__ void layer_norm_kernel(size_t m, size_t c, float eps,
                                         const float *gamma, const float *beta,
                                         const T *x, T *y)
{
    for (size_t row = (size_t)blockIdx.x * ROWS + threadIdx.y; row < m;
         row += (size_t)gridDim.x * ROWS) {
        const T *from = x + row * c;
        const float reference = to_float(from[0]);
        float mean = 0.0f;
        float squares = 0.0f;
        float factor;

        for (size_t at = threadIdx.x * W; at < c; at += PDAG_WARP * W) {
            pack<T, W> values = load<W>(from + at);

            for (int k = 0; k < W; k++)
                mean += to_float(values.v[k]) - reference;
        }
        mean = warp_sum(mean) / (float)c;
        for (size_t at = threadIdx.x * W; at < c; at += PDAG_WARP * W) {
            pack<T, W> values = load<W>(from + at);

            for (int k = 0; k < W; k++) {
                float d = to_float(values.v[k]) - reference - mean;

                squares += d * d;
            }
        }
        factor = rsqrtf(warp_sum(squares) / (float)c + eps);
        for (size_t at = threadIdx.x * W; at < c; at += PDAG_WARP * W) {
            pack<T, W> values = load<W>(from + at);

            for (int k = 0; k < W; k++) {
                float value =
                    (to_float(values.v[k]) - reference - mean) * factor;

                if (gamma != NULL)
                    value *= gamma[at + k];
                if (beta != NULL)
                    value += beta[at + k];
                from_float(value, &values.v[k]);
            }
            store<W>(y + row * c + at, values);
        }
    }
}

int pdag_cuda_layer_norm(pdag_cuda_at at, size_t m, size_t c, float eps,
                         const float *gamma, const float *beta, const void *x,
                         void *y)
{
    const unsigned grid = pdag_index_blocks(m, ROWS);
    const dim3 block(PDAG_WARP, ROWS, 1);

    if (m * c == 0)
        return cudaSuccess;
    PDAG_BY_TYPE(
        at.type, if (c % wide<T>::n == 0 && is_wide(x) && is_wide(y))
                     PDAG_LAUNCH((layer_norm_kernel<T, wide<T>::n>), grid,
                                 block, at.stream, m, c, eps, gamma, beta,
                                 (const T *)x, (T *)y);
        else PDAG_LAUNCH((layer_norm_kernel<T, 1>), grid, block, at.stream, m,
                         c, eps, gamma, beta, (const T *)x, (T *)y));
    return cudaGetLastError();
}
