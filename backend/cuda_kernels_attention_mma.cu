/* Attention in bfloat16 and float16 on matrix units, sums in float32.
 *
 * A warp takes 16 queries of one head; the warps of a block walk over the keys
 * together, KEYS at a time, which they share.  Scores stay in registers: what a
 * lane gets of a product q k^T is what it must hold of the weights in the product
 * with v (T. Dao, "FlashAttention-2", arXiv:2307.08691). */
#include "backend/cuda_attention.cuh"
#include "backend/cuda_mma.cuh"

#define STEP 16 /* inner dimension of one product; queries of a warp */
#define HALF 8  /* columns of one product */

/* COLUMNS: head_dim rounded up.  A row is 16 bytes longer, so that the eight rows
 * that a matrix load reads at once lie in different banks. */
template <int COLUMNS>
struct mma_tile {
    static const int warps = COLUMNS <= 160 ? 4 : 2;
    static const int keys = COLUMNS <= 80 ? 64 : COLUMNS <= 160 ? 32 : 16;
    static const int queries = warps * STEP;
    static const int threads = warps * PDAG_WARP;
    static const int pitch = COLUMNS + 8;
};

template <typename T, int COLUMNS>
struct alignas(16) mma_shared {
    T q[mma_tile<COLUMNS>::queries][mma_tile<COLUMNS>::pitch];
    T k[mma_tile<COLUMNS>::keys][mma_tile<COLUMNS>::pitch];
    T v[mma_tile<COLUMNS>::keys][mma_tile<COLUMNS>::pitch];
};

/* What a lane knows of its two queries, lane/4 and lane/4 + 8 of the warp's. */
struct two_queries {
    float top[2], sum[2]; /* sum: of this lane's keys alone */
};

/* `rows` rows, and zeros up to TOTAL, and to COLUMNS columns. */
template <typename T, int COLUMNS, int TOTAL>
static __device__ __forceinline__ void
load_tile(const T *from, size_t row_stride, size_t rows, size_t columns,
          bool aligned, T (&tile)[TOTAL][mma_tile<COLUMNS>::pitch])
{
    const unsigned packs = COLUMNS / 8;

    for (unsigned at = threadIdx.x; at < TOTAL * packs;
         at += mma_tile<COLUMNS>::threads) {
        unsigned row = at / packs;
        unsigned column = at % packs * 8;
        const T *x = from + row * row_stride + column;
        pack<T, 8> values = {};

        if (row < rows && aligned && column < columns)
            values = load<8>(x);
        else if (row < rows)
            for (int k = 0; k < 8; k++)
                if (column + k < columns)
                    values.v[k] = x[k];
        store<8>(&tile[row][column], values);
    }
}

/* score[key tile][4] = q k^T for this warp's queries. */
template <typename T, int COLUMNS>
static __device__ __forceinline__ void
score_keys(const mma_shared<T, COLUMNS> &shared,
           float (&score)[mma_tile<COLUMNS>::keys / HALF][4])
{
    const int keys = mma_tile<COLUMNS>::keys;
    const unsigned lane = threadIdx.x % PDAG_WARP;
    const unsigned query = threadIdx.x / PDAG_WARP * STEP;

    PDAG_UNROLL
    for (int tile = 0; tile < keys / HALF; tile++)
        for (int i = 0; i < 4; i++)
            score[tile][i] = 0.0f;
    PDAG_UNROLL
    for (int column = 0; column < COLUMNS; column += STEP) {
        unsigned a[4];

        load_matrices(&shared.q[query + lane % 16][column + lane / 16 * 8], a);
        PDAG_UNROLL
        for (int key = 0; key < keys; key += 2 * HALF) {
            unsigned b[4];

            load_matrices(&shared.k[key + lane / 16 * 8 + lane % 8]
                                   [column + lane / 8 % 2 * 8],
                          b);
            multiply(score[key / HALF], a, b[0], b[1], T());
            multiply(score[key / HALF + 1], a, b[2], b[3], T());
        }
    }
}

/* Over the four lanes that share a query. */
static __device__ __forceinline__ float quad_max(float x)
{
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

static __device__ __forceinline__ float quad_sum(float x)
{
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

/* Keys that a query does not see. */
template <int KEYS>
static __device__ __forceinline__ void
hide_keys(const pdag_cuda_attention &a, size_t query, size_t first_key,
          float (&score)[KEYS / HALF][4])
{
    const unsigned lane = threadIdx.x % PDAG_WARP;

    PDAG_UNROLL
    for (int tile = 0; tile < KEYS / HALF; tile++)
        for (int i = 0; i < 4; i++) {
            size_t key = first_key + tile * HALF + lane % 4 * 2 + i % 2;

            if (key >= pdag_index_visible(query + i / 2 * 8, a.n_kv, a.causal))
                score[tile][i] = PDAG_NO_SCORE;
        }
}

/* Scores into weights 2^(scale score - top), rounded to T, since that is what the
 * next product uses; out and sum into the same unit. */
template <typename T, int COLUMNS>
static __device__ __forceinline__ void
weigh_keys(float scale, float (&score)[mma_tile<COLUMNS>::keys / HALF][4],
           two_queries &state, float (&out)[COLUMNS / HALF][4])
{
    const int tiles = mma_tile<COLUMNS>::keys / HALF;

    PDAG_UNROLL
    for (int half = 0; half < 2; half++) {
        float top = PDAG_NO_SCORE;
        float correction;

        PDAG_UNROLL
        for (int tile = 0; tile < tiles; tile++)
            for (int i = 2 * half; i < 2 * half + 2; i++)
                top = fmaxf(top, score[tile][i] * scale);
        top = fmaxf(quad_max(top), state.top[half]);
        correction = exp2f(state.top[half] - top);
        state.top[half] = top;
        state.sum[half] *= correction;
        PDAG_UNROLL
        for (int tile = 0; tile < COLUMNS / HALF; tile++)
            for (int i = 2 * half; i < 2 * half + 2; i++)
                out[tile][i] *= correction;
        PDAG_UNROLL
        for (int tile = 0; tile < tiles; tile++)
            for (int i = 2 * half; i < 2 * half + 2; i++) {
                T weight;

                from_float(exp2f(fmaf(score[tile][i], scale, -top)), &weight);
                score[tile][i] = to_float(weight);
                state.sum[half] += score[tile][i];
            }
    }
}

/* Two neighbours of a row in one register. */
template <typename T>
static __device__ __forceinline__ unsigned pair(float first, float second)
{
    T low, high;

    from_float(first, &low);
    from_float(second, &high);
    return (unsigned)low.bits | (unsigned)high.bits << 16;
}

/* out += weights v. */
template <typename T, int COLUMNS>
static __device__ __forceinline__ void
add_values(const mma_shared<T, COLUMNS> &shared,
           const float (&weight)[mma_tile<COLUMNS>::keys / HALF][4],
           float (&out)[COLUMNS / HALF][4])
{
    const int keys = mma_tile<COLUMNS>::keys;
    const unsigned lane = threadIdx.x % PDAG_WARP;

    PDAG_UNROLL
    for (int key = 0; key < keys; key += STEP) {
        const float(&low)[4] = weight[key / HALF];
        const float(&high)[4] = weight[key / HALF + 1];
        const unsigned a[4] = {pair<T>(low[0], low[1]), pair<T>(low[2], low[3]),
                               pair<T>(high[0], high[1]),
                               pair<T>(high[2], high[3])};

        PDAG_UNROLL
        for (int column = 0; column < COLUMNS; column += 2 * HALF) {
            unsigned b[4];

            load_transposed(&shared.v[key + lane % 16][column + lane / 16 * 8],
                            b);
            multiply(out[column / HALF], a, b[0], b[1], T());
            multiply(out[column / HALF + 1], a, b[2], b[3], T());
        }
    }
}

/* y: row 0 of the warp's queries, of which `rows` are there. */
template <typename T, int COLUMNS>
static __device__ __forceinline__ void
write_rows(const pdag_cuda_attention &a, T *y, size_t rows,
           const two_queries &state, const float (&out)[COLUMNS / HALF][4])
{
    const unsigned lane = threadIdx.x % PDAG_WARP;

    PDAG_UNROLL
    for (int half = 0; half < 2; half++) {
        float factor = 1.0f / quad_sum(state.sum[half]);
        size_t row = lane / 4 + half * 8;

        PDAG_UNROLL
        for (int tile = 0; tile < COLUMNS / HALF; tile++)
            for (int i = 0; i < 2; i++) {
                size_t column = tile * HALF + lane % 4 * 2 + i;

                if (row < rows && column < a.head_dim)
                    from_float(out[tile][2 * half + i] * factor,
                               &y[row * a.y.row_stride + column]);
            }
    }
}

/* Grid: query tiles of all images, heads.  scale: of the scores, in powers of 2. */
template <typename T, int COLUMNS>
static __global__ void __launch_bounds__(mma_tile<COLUMNS>::threads)
    mma_kernel(pdag_cuda_attention a, float scale, bool aligned)
{
    typedef mma_tile<COLUMNS> tile;
    typedef mma_shared<T, COLUMNS> shared_tiles;
    PDAG_SHARED(shared_tiles, shared, );
    const size_t tiles = pdag_index_ceil(a.n_q, tile::queries);
    const size_t image = pdag_index_div(blockIdx.x, tiles);
    const size_t first_query = (blockIdx.x - image * tiles) * tile::queries;
    const size_t queries = a.n_q - first_query < tile::queries
                               ? a.n_q - first_query
                               : tile::queries;
    const size_t last_key =
        pdag_index_visible(first_query + queries - 1, a.n_kv, a.causal);
    const size_t of_warp = threadIdx.x / PDAG_WARP * STEP;
    const size_t of_lane = of_warp + threadIdx.x % PDAG_WARP / 4;
    const T *k = head_of<T>(a, a.k, image, blockIdx.y);
    const T *v = head_of<T>(a, a.v, image, blockIdx.y);
    two_queries state = {{PDAG_NO_SCORE, PDAG_NO_SCORE}, {0.0f, 0.0f}};
    float out[COLUMNS / HALF][4] = {};

    load_tile<T, COLUMNS>(head_of<T>(a, a.q, image, blockIdx.y) +
                              first_query * a.q.row_stride,
                          a.q.row_stride, queries, a.head_dim, aligned,
                          shared.q);
    for (size_t first = 0; first < last_key; first += tile::keys) {
        size_t keys = last_key - first < tile::keys ? last_key - first
                                                    : (size_t)tile::keys;
        float score[tile::keys / HALF][4];

        load_tile<T, COLUMNS>(k + first * a.k.row_stride, a.k.row_stride, keys,
                              a.head_dim, aligned, shared.k);
        load_tile<T, COLUMNS>(v + first * a.v.row_stride, a.v.row_stride, keys,
                              a.head_dim, aligned, shared.v);
        __syncthreads();
        score_keys(shared, score);
        if (a.causal || keys < tile::keys)
            hide_keys<tile::keys>(a, first_query + of_lane, first, score);
        weigh_keys<T, COLUMNS>(scale, score, state, out);
        add_values(shared, score, out);
        __syncthreads();
    }
    write_rows<T, COLUMNS>(a,
                           head_of<T>(a, a.y, image, blockIdx.y) +
                               (first_query + of_warp) * a.y.row_stride,
                           queries > of_warp ? queries - of_warp : 0, state,
                           out);
}

template <typename T, int COLUMNS>
static void launch_mma(cudaStream_t stream, const pdag_cuda_attention *a)
{
    const float log2_e = 1.44269504088896340736f;
    const size_t tiles = pdag_index_ceil(a->n_q, mma_tile<COLUMNS>::queries);
    const bool aligned = is_aligned(a, &a->q, sizeof(T), 16) &&
                         is_aligned(a, &a->k, sizeof(T), 16) &&
                         is_aligned(a, &a->v, sizeof(T), 16);
    const dim3 grid((unsigned)(tiles * a->batch), (unsigned)a->heads, 1);

    PDAG_LAUNCH((mma_kernel<T, COLUMNS>), grid, mma_tile<COLUMNS>::threads,
                stream, *a, a->scale * log2_e, aligned);
}

template <typename T>
static int start_mma(cudaStream_t stream, const pdag_cuda_attention *a)
{
    if (a->head_dim <= 32)
        launch_mma<T, 32>(stream, a);
    else if (a->head_dim <= 48)
        launch_mma<T, 48>(stream, a);
    else if (a->head_dim <= 64)
        launch_mma<T, 64>(stream, a);
    else if (a->head_dim <= 80)
        launch_mma<T, 80>(stream, a);
    else if (a->head_dim <= 128)
        launch_mma<T, 128>(stream, a);
    else if (a->head_dim <= 160)
        launch_mma<T, 160>(stream, a);
    else
        launch_mma<T, PDAG_MMA_COLUMNS>(stream, a);
    return cudaGetLastError();
}

int pdag_cuda_attend_mma(pdag_cuda_at at, const pdag_cuda_attention *a)
{
    if (at.type == PDAG_CUDA_BFLOAT16)
        return start_mma<pdag_bf16>(at.stream, a);
    return start_mma<pdag_f16>(at.stream, a);
}
