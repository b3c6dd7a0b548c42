/* Attention in float32 arithmetic, for every element type and any head_dim.
 *
 * A block takes 64 queries of one head and walks over the keys, 64 at a time; a
 * thread has 4 queries x 4 keys of the scores and 4 queries of every 64 columns
 * of the result.  Where the result is wider than 256 columns, blocks share it out
 * and each computes the scores anew. */
#include "backend/cuda_attention.cuh"

#define QUERIES 64 /* of a block; also the keys of a step */
#define DEPTH 16   /* columns of q and k, or keys of v, in one piece */
#define SIDE 16    /* threads: SIDE x SIDE */
#define EACH 4     /* queries, and keys, of a thread */
#define PITCH (QUERIES + 4)

template <int COLUMNS>
struct alignas(16) attention_shared { /* read 16 bytes at a time */
    float q[DEPTH][PITCH], k[DEPTH][PITCH]; /* [column][query or key] */
    float p[QUERIES][PITCH];                /* [key][query] */
    float v[DEPTH][COLUMNS];
};

/* What a thread knows of its queries. */
struct running {
    float top[EACH], sum[EACH]; /* sum: of this thread's keys alone */
};

/* Four neighbours of a row that has `left` elements from here on; zeros behind
 * its end. */
template <typename T>
static __device__ __forceinline__ pack<float, 4> load_four(const T *at,
                                                           size_t left,
                                                           bool aligned)
{
    pack<float, 4> four = {};

    if (aligned && left >= 4) {
        pack<T, 4> values = load<4>(at);

        for (int k = 0; k < 4; k++)
            four.v[k] = to_float(values.v[k]);
    } else
        for (int k = 0; k < 4; k++)
            if ((size_t)k < left)
                four.v[k] = to_float(at[k]);
    return four;
}

/* Columns [column, column + DEPTH) of `rows` rows into tile[column][row]. */
template <typename T>
static __device__ __forceinline__ void
load_columns(const T *from, size_t row_stride, size_t rows, size_t column,
             size_t columns, bool aligned, float (*tile)[PITCH])
{
    const unsigned row = threadIdx.x / 4;
    const unsigned first = threadIdx.x % 4 * 4;
    pack<float, 4> four = {};

    if (row < rows && column + first < columns)
        four = load_four(from + row * row_stride + column + first,
                         columns - column - first, aligned);
    for (int k = 0; k < 4; k++)
        tile[first + k][row] = four.v[k];
}

/* score[query][key] of this thread, for the step's keys. */
template <typename T, int COLUMNS>
static __device__ __forceinline__ void
score_keys(const pdag_cuda_attention &a, const T *q, size_t queries, const T *k,
           size_t keys, bool aligned, attention_shared<COLUMNS> &shared,
           float (&score)[EACH][EACH])
{
    const unsigned query = threadIdx.x / SIDE * EACH;
    const unsigned key = threadIdx.x % SIDE * EACH;

    for (int i = 0; i < EACH; i++)
        for (int j = 0; j < EACH; j++)
            score[i][j] = 0.0f;
    for (size_t column = 0; column < a.head_dim; column += DEPTH) {
        load_columns(q, a.q.row_stride, queries, column, a.head_dim, aligned,
                     shared.q);
        load_columns(k, a.k.row_stride, keys, column, a.head_dim, aligned,
                     shared.k);
        __syncthreads();
        PDAG_UNROLL
        for (int d = 0; d < DEPTH; d++) {
            pack<float, EACH> left = load<EACH>(&shared.q[d][query]);
            pack<float, EACH> right = load<EACH>(&shared.k[d][key]);

            for (int i = 0; i < EACH; i++)
                for (int j = 0; j < EACH; j++)
                    score[i][j] += left.v[i] * right.v[j];
        }
        __syncthreads();
    }
}

/* Largest of a query's scores in this step: its SIDE threads are neighbours. */
static __device__ __forceinline__ float side_max(float x)
{
    for (int distance = SIDE / 2; distance > 0; distance /= 2)
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, distance));
    return x;
}

static __device__ __forceinline__ float side_sum(float x)
{
    for (int distance = SIDE / 2; distance > 0; distance /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, distance);
    return x;
}

/* Scores into weights exp(scale score - top), and what was summed up before into
 * the same unit: out is multiplied by exp(old top - new top). */
template <int COLUMNS>
static __device__ __forceinline__ void
weigh_keys(const pdag_cuda_attention &a, size_t first_query, size_t first_key,
           float (&score)[EACH][EACH], running &state,
           float (&out)[EACH][COLUMNS / SIDE], attention_shared<COLUMNS> &shared)
{
    const unsigned query = threadIdx.x / SIDE * EACH;
    const unsigned key = threadIdx.x % SIDE * EACH;

    for (int i = 0; i < EACH; i++) {
        size_t visible =
            pdag_index_visible(first_query + query + i, a.n_kv, a.causal);
        float top = PDAG_NO_SCORE;
        float correction;

        for (int j = 0; j < EACH; j++) {
            if (first_key + key + j >= visible)
                score[i][j] = PDAG_NO_SCORE;
            top = fmaxf(top, score[i][j] * a.scale);
        }
        top = fmaxf(side_max(top), state.top[i]);
        correction = expf(state.top[i] - top);
        state.top[i] = top;
        state.sum[i] *= correction;
        for (int c = 0; c < COLUMNS / SIDE; c++)
            out[i][c] *= correction;
        for (int j = 0; j < EACH; j++) {
            float weight = expf(fmaf(score[i][j], a.scale, -top));

            state.sum[i] += weight;
            shared.p[key + j][query + i] = weight;
        }
    }
}

/* out += weights times v, columns [column, column + COLUMNS). */
template <typename T, int COLUMNS>
static __device__ __forceinline__ void
add_values(const pdag_cuda_attention &a, const T *v, size_t keys,
           size_t column, bool aligned, float (&out)[EACH][COLUMNS / SIDE],
           attention_shared<COLUMNS> &shared)
{
    const unsigned query = threadIdx.x / SIDE * EACH;
    const unsigned mine = threadIdx.x % SIDE * 4;

    for (unsigned first = 0; first < QUERIES; first += DEPTH) {
        for (unsigned at = threadIdx.x; at < DEPTH * COLUMNS / 4;
             at += SIDE * SIDE) {
            unsigned key = at / (COLUMNS / 4);
            unsigned c = at % (COLUMNS / 4) * 4;
            pack<float, 4> four = {};

            if (first + key < keys && column + c < a.head_dim)
                four = load_four(v + (first + key) * a.v.row_stride + column + c,
                                 a.head_dim - column - c, aligned);
            store<4>(&shared.v[key][c], four);
        }
        __syncthreads(); /* also for the weights */
        PDAG_UNROLL
        for (int key = 0; key < DEPTH; key++) {
            pack<float, EACH> weight = load<EACH>(&shared.p[first + key][query]);

            for (int c = 0; c < COLUMNS / SIDE / 4; c++) {
                pack<float, 4> value =
                    load<4>(&shared.v[key][c * SIDE * 4 + mine]);

                for (int i = 0; i < EACH; i++)
                    for (int k = 0; k < 4; k++)
                        out[i][c * 4 + k] += weight.v[i] * value.v[k];
            }
        }
        __syncthreads();
    }
}

template <typename T, int COLUMNS>
static __device__ __forceinline__ void
write_rows(const pdag_cuda_attention &a, T *y, size_t queries, size_t column,
           const running &state, const float (&out)[EACH][COLUMNS / SIDE])
{
    const unsigned query = threadIdx.x / SIDE * EACH;
    const unsigned mine = threadIdx.x % SIDE * 4;

    for (int i = 0; i < EACH; i++) {
        float factor = 1.0f / side_sum(state.sum[i]);

        for (int c = 0; c < COLUMNS / SIDE; c++) {
            size_t to = column + c / 4 * SIDE * 4 + mine + c % 4;

            if (query + i < queries && to < a.head_dim)
                from_float(out[i][c] * factor,
                           &y[(query + i) * a.y.row_stride + to]);
        }
    }
}

/* Grid: query tiles of all images, heads, pieces of COLUMNS columns. */
template <typename T, int COLUMNS>
static __global__ void __launch_bounds__(SIDE *SIDE)
    attention_kernel(pdag_cuda_attention a, bool aligned)
{
    PDAG_SHARED(attention_shared<COLUMNS>, shared, );
    const size_t tiles = pdag_index_ceil(a.n_q, QUERIES);
    const size_t image = pdag_index_div(blockIdx.x, tiles);
    const size_t first_query = (blockIdx.x - image * tiles) * QUERIES;
    const size_t queries =
        a.n_q - first_query < QUERIES ? a.n_q - first_query : QUERIES;
    const size_t last_key =
        pdag_index_visible(first_query + queries - 1, a.n_kv, a.causal);
    const size_t column = (size_t)blockIdx.z * COLUMNS;
    const T *q = head_of<T>(a, a.q, image, blockIdx.y) +
                 first_query * a.q.row_stride;
    const T *k = head_of<T>(a, a.k, image, blockIdx.y);
    const T *v = head_of<T>(a, a.v, image, blockIdx.y);
    T *y = head_of<T>(a, a.y, image, blockIdx.y) + first_query * a.y.row_stride;
    float out[EACH][COLUMNS / SIDE] = {};
    running state;

    for (int i = 0; i < EACH; i++) {
        state.top[i] = PDAG_NO_SCORE;
        state.sum[i] = 0.0f;
    }
    for (size_t first = 0; first < last_key; first += QUERIES) {
        size_t keys = last_key - first < QUERIES ? last_key - first : QUERIES;
        float score[EACH][EACH];

        score_keys(a, q, queries, k + first * a.k.row_stride, keys, aligned,
                   shared, score);
        weigh_keys<COLUMNS>(a, first_query, first, score, state, out, shared);
        add_values(a, v + first * a.v.row_stride, keys, column, aligned, out,
                   shared);
    }
    write_rows<T, COLUMNS>(a, y, queries, column, state, out);
}

template <typename T, int COLUMNS>
static void launch_attention(cudaStream_t stream, const pdag_cuda_attention *a)
{
    const size_t tiles = pdag_index_ceil(a->n_q, QUERIES);
    const size_t bytes = 4 * sizeof(T);
    const bool aligned = is_aligned(a, &a->q, sizeof(T), bytes) &&
                         is_aligned(a, &a->k, sizeof(T), bytes) &&
                         is_aligned(a, &a->v, sizeof(T), bytes);
    const dim3 grid((unsigned)(tiles * a->batch), (unsigned)a->heads,
                    (unsigned)pdag_index_ceil(a->head_dim, COLUMNS));

    PDAG_LAUNCH((attention_kernel<T, COLUMNS>), grid, SIDE * SIDE, stream, *a,
                aligned);
}

/* 16-bit types come here beyond 256 columns only, where the device has matrix
 * units: one width is enough for them. */
template <typename T>
static void start_attention(cudaStream_t stream, const pdag_cuda_attention *a)
{
    if constexpr (sizeof(T) == sizeof(float)) {
        if (a->head_dim <= 64)
            return launch_attention<T, 64>(stream, a);
        if (a->head_dim <= 128)
            return launch_attention<T, 128>(stream, a);
    }
    launch_attention<T, 256>(stream, a);
}

int pdag_cuda_attend(pdag_cuda_at at, const pdag_cuda_attention *a)
{
    if (a->batch * a->heads * a->head_dim * a->n_q == 0)
        return cudaSuccess;
    if (a->heads > 65535)
        return cudaErrorInvalidConfiguration;
    if (a->matrix_unit && at.type != PDAG_CUDA_FLOAT32 &&
        a->head_dim <= PDAG_MMA_COLUMNS)
        return pdag_cuda_attend_mma(at, a);
    PDAG_BY_TYPE(at.type, start_attention<T>(at.stream, a));
    return cudaGetLastError();
}
