/* Moving and resampling: conversions, transposes, the implicit matrix of a
 * convolution.  Channels last, so that neighbours of a warp are neighbours in
 * memory. */
#include "backend/cuda_device.cuh"

/* ---- float32 and elements ---- */

template <typename X, typename Y, int W>
static __global__ void convert_kernel(size_t packs, const X *x, Y *y)
{
    for (size_t at = first_work(); at < packs; at += work_stride()) {
        pack<X, W> in = load<W>(x + at * W);
        pack<Y, W> out;

        for (int k = 0; k < W; k++)
            from_float(to_float(in.v[k]), &out.v[k]);
        store<W>(y + at * W, out);
    }
}

template <typename X, typename Y>
static void start_convert(cudaStream_t stream, size_t n, const X *x, Y *y)
{
    const int W = 4;

    if (n % W == 0 && is_wide(x) && is_wide(y))
        PDAG_LAUNCH((convert_kernel<X, Y, W>),
                    pdag_index_blocks(n / W, PDAG_THREADS), PDAG_THREADS,
                    stream, n / W, x, y);
    else
        PDAG_LAUNCH((convert_kernel<X, Y, 1>),
                    pdag_index_blocks(n, PDAG_THREADS), PDAG_THREADS, stream,
                    n, x, y);
}

int pdag_cuda_narrow(pdag_cuda_at at, size_t n, const float *x, void *y)
{
    if (n == 0)
        return cudaSuccess;
    PDAG_BY_TYPE(at.type, start_convert(at.stream, n, x, (T *)y));
    return cudaGetLastError();
}

int pdag_cuda_widen(pdag_cuda_at at, size_t n, const void *x, float *y)
{
    if (n == 0)
        return cudaSuccess;
    PDAG_BY_TYPE(at.type, start_convert(at.stream, n, (const T *)x, y));
    return cudaGetLastError();
}

/* ---- transposes ---- */

#define TILE 32
#define TILE_ROWS 8 /* warps of a block */

/* images x[rows][columns] -> y[columns][rows], through a tile, so that reads and
 * writes both run along memory.  The 33rd column keeps a column's numbers in
 * different banks. */
template <typename X, typename Y>
static __global__ void transpose_kernel(size_t rows, size_t columns, const X *x,
                                        Y *y)
{
    PDAG_SHARED(float, tile, [TILE][TILE + 1]);
    const size_t row = (size_t)blockIdx.y * TILE;
    const size_t column = (size_t)blockIdx.x * TILE;
    const X *from = x + blockIdx.z * rows * columns;
    Y *to = y + blockIdx.z * rows * columns;

    for (unsigned i = threadIdx.y; i < TILE; i += TILE_ROWS)
        if (row + i < rows && column + threadIdx.x < columns)
            tile[i][threadIdx.x] =
                to_float(from[(row + i) * columns + column + threadIdx.x]);
    __syncthreads();
    for (unsigned i = threadIdx.y; i < TILE; i += TILE_ROWS)
        if (column + i < columns && row + threadIdx.x < rows)
            from_float(tile[threadIdx.x][i],
                       &to[(column + i) * rows + row + threadIdx.x]);
}

template <typename X, typename Y>
static int start_transpose(cudaStream_t stream, size_t images, size_t rows,
                           size_t columns, const X *x, Y *y)
{
    const size_t across = pdag_index_ceil(columns, TILE);
    const size_t down = pdag_index_ceil(rows, TILE);

    if (across > 2147483647 || down > 65535 || images > 65535)
        return cudaErrorInvalidConfiguration; /* a grid's limits */
    PDAG_LAUNCH((transpose_kernel<X, Y>),
                dim3((unsigned)across, (unsigned)down, (unsigned)images),
                dim3(TILE, TILE_ROWS, 1), stream, rows, columns, x, y);
    return cudaGetLastError();
}

int pdag_cuda_from_planes(pdag_cuda_at at, size_t b, size_t c, size_t p,
                          const float *x, void *y)
{
    if (b * c * p == 0)
        return cudaSuccess;
    PDAG_BY_TYPE(at.type,
                 return start_transpose(at.stream, b, c, p, x, (T *)y));
    return cudaErrorInvalidValue;
}

int pdag_cuda_to_planes(pdag_cuda_at at, size_t b, size_t c, size_t p,
                        const void *x, float *y)
{
    if (b * c * p == 0)
        return cudaSuccess;
    PDAG_BY_TYPE(at.type, return start_transpose(at.stream, b, p, c,
                                                 (const T *)x, y));
    return cudaErrorInvalidValue;
}

/* ---- convolution as a matrix product ---- */

template <typename T>
static __global__ void weight_rows_kernel(size_t n, size_t in, size_t taps,
                                          const float *x, size_t y_row, T *y)
{
    for (size_t at = first_work(); at < n; at += work_stride()) {
        size_t row = pdag_index_div(at, y_row);
        size_t column = at - row * y_row;
        size_t tap = pdag_index_div(column, in);
        float value = 0.0f;

        if (tap < taps)
            value = x[(row * in + column - tap * in) * taps + tap];
        from_float(value, &y[at]);
    }
}

int pdag_cuda_weight_rows(pdag_cuda_at at, size_t rows, size_t in, size_t taps,
                          const float *x, size_t y_row, void *y)
{
    if (rows * in * taps == 0)
        return cudaSuccess;
    PDAG_BY_TYPE(at.type,
                 PDAG_LAUNCH((weight_rows_kernel<T>),
                             pdag_index_blocks(rows * y_row, PDAG_THREADS),
                             PDAG_THREADS, at.stream, rows * y_row, in, taps, x,
                             y_row, (T *)y));
    return cudaGetLastError();
}

/* A warp copies the channels of one tap of one position; the place after the last
 * tap is the padding of the row. */
template <typename T, int W>
static __global__ void gather_kernel(pdag_cuda_conv conv, size_t first,
                                     size_t n, size_t y_row, const T *x, T *y)
{
    const size_t taps = conv.kh * conv.kw;
    const size_t places = taps * conv.c < y_row ? taps + 1 : taps;
    const pack<T, W> zeros = {};

    for (size_t at = (size_t)blockIdx.x * blockDim.y + threadIdx.y;
         at < n * places; at += (size_t)gridDim.x * blockDim.y) {
        size_t position = pdag_index_div(at, places);
        size_t tap = at - position * places;
        size_t ki = pdag_index_div(tap, conv.kw);
        pdag_index_place place =
            pdag_index_locate(first + position, conv.oh, conv.ow);
        size_t width = tap < taps ? conv.c : y_row - taps * conv.c;
        size_t element = 0;
        bool inside = tap < taps && pdag_index_tap(&conv, &place, ki,
                                                   tap - ki * conv.kw, &element);
        T *to = y + position * y_row + tap * conv.c;

        for (size_t c = threadIdx.x * W; c < width; c += PDAG_WARP * W)
            store<W>(to + c, inside ? load<W>(x + element + c) : zeros);
    }
}

int pdag_cuda_gather(pdag_cuda_at at, const pdag_cuda_conv *conv, size_t first,
                     size_t n, size_t y_row, const void *x, void *y)
{
    const unsigned warps = PDAG_THREADS / PDAG_WARP;
    const unsigned grid =
        pdag_index_blocks(n * (conv->kh * conv->kw + 1), warps);
    const dim3 block(PDAG_WARP, warps, 1);

    if (n * conv->c == 0)
        return cudaSuccess;
    PDAG_BY_TYPE(
        at.type,
        if (conv->c % wide<T>::n == 0 && y_row % wide<T>::n == 0 &&
            is_wide(x) && is_wide(y))
            PDAG_LAUNCH((gather_kernel<T, wide<T>::n>), grid, block, at.stream,
                        *conv, first, n, y_row, (const T *)x, (T *)y);
        else
            PDAG_LAUNCH((gather_kernel<T, 1>), grid, block, at.stream, *conv,
                        first, n, y_row, (const T *)x, (T *)y));
    return cudaGetLastError();
}

/* ---- channels beside each other, pictures of another size ---- */

template <typename T, int W>
static __global__ void concat_kernel(size_t packs, size_t a_packs,
                                     size_t b_packs, const T *a, const T *b,
                                     T *y)
{
    for (size_t at = first_work(); at < packs; at += work_stride()) {
        size_t row = pdag_index_div(at, a_packs + b_packs);
        size_t column = at - row * (a_packs + b_packs);
        const T *from = column < a_packs
                            ? a + (row * a_packs + column) * W
                            : b + (row * b_packs + column - a_packs) * W;

        store<W>(y + at * W, load<W>(from));
    }
}

template <typename T>
static void start_concat(cudaStream_t stream, size_t m, size_t ca, const T *a,
                         size_t cb, const T *b, T *y)
{
    const int W = wide<T>::n;
    const size_t n = m * (ca + cb);

    if (ca % W == 0 && cb % W == 0 && is_wide(a) && is_wide(b) && is_wide(y))
        PDAG_LAUNCH((concat_kernel<T, W>),
                    pdag_index_blocks(n / W, PDAG_THREADS), PDAG_THREADS,
                    stream, n / W, ca / W, cb / W, a, b, y);
    else
        PDAG_LAUNCH((concat_kernel<T, 1>), pdag_index_blocks(n, PDAG_THREADS),
                    PDAG_THREADS, stream, n, ca, cb, a, b, y);
}

int pdag_cuda_concat(pdag_cuda_at at, size_t m, size_t ca, const void *a,
                     size_t cb, const void *b, void *y)
{
    if (m * (ca + cb) == 0)
        return cudaSuccess;
    PDAG_BY_TYPE(at.type, start_concat(at.stream, m, ca, (const T *)a, cb,
                                       (const T *)b, (T *)y));
    return cudaGetLastError();
}

/* Pictures h x w in, oh x ow out, `packs` packs of channels. */
typedef struct resampling {
    size_t h, w, packs, oh, ow;
} resampling;

template <typename T, int W>
static __global__ void upsample_kernel(size_t n, resampling r, const T *x, T *y)
{
    for (size_t at = first_work(); at < n; at += work_stride()) {
        size_t position = pdag_index_div(at, r.packs);
        size_t column = at - position * r.packs;
        size_t from = pdag_index_nearest(position, r.h, r.w, r.oh, r.ow);

        store<W>(y + at * W, load<W>(x + (from * r.packs + column) * W));
    }
}

int pdag_cuda_upsample(pdag_cuda_at at, size_t b, size_t h, size_t w, size_t c,
                       size_t oh, size_t ow, const void *x, void *y)
{
    const size_t n = b * oh * ow * c;

    if (n == 0)
        return cudaSuccess;
    PDAG_BY_TYPE(
        at.type, const int W = wide<T>::n;
        if (c % W == 0 && is_wide(x) && is_wide(y))
            PDAG_LAUNCH((upsample_kernel<T, wide<T>::n>),
                        pdag_index_blocks(n / W, PDAG_THREADS), PDAG_THREADS,
                        at.stream, n / W, (resampling{h, w, c / W, oh, ow}),
                        (const T *)x, (T *)y);
        else
            PDAG_LAUNCH((upsample_kernel<T, 1>),
                        pdag_index_blocks(n, PDAG_THREADS), PDAG_THREADS,
                        at.stream, n, (resampling{h, w, c, oh, ow}),
                        (const T *)x, (T *)y));
    return cudaGetLastError();
}

template <typename T, int W>
static __global__ void avg_pool2_kernel(size_t n, resampling r, const T *x,
                                        T *y)
{
    for (size_t at = first_work(); at < n; at += work_stride()) {
        size_t position = pdag_index_div(at, r.packs);
        size_t row = pdag_index_div(position, r.ow); /* over all pictures */
        const T *top = x + ((2 * row * r.w + 2 * (position - row * r.ow)) *
                                r.packs +
                            at - position * r.packs) *
                               W;
        const T *low = top + r.w * r.packs * W;
        pack<T, W> corner[4] = {load<W>(top), load<W>(top + r.packs * W),
                                load<W>(low), load<W>(low + r.packs * W)};

        for (int k = 0; k < W; k++)
            from_float(0.25f * ((to_float(corner[0].v[k]) +
                                 to_float(corner[1].v[k])) +
                                (to_float(corner[2].v[k]) +
                                 to_float(corner[3].v[k]))),
                       &corner[0].v[k]);
        store<W>(y + at * W, corner[0]);
    }
}

int pdag_cuda_avg_pool2(pdag_cuda_at at, size_t b, size_t h, size_t w, size_t c,
                        const void *x, void *y)
{
    const size_t n = b * (h / 2) * (w / 2) * c;

    if (n == 0)
        return cudaSuccess;
    PDAG_BY_TYPE(
        at.type, const int W = wide<T>::n;
        if (c % W == 0 && is_wide(x) && is_wide(y))
            PDAG_LAUNCH((avg_pool2_kernel<T, wide<T>::n>),
                        pdag_index_blocks(n / W, PDAG_THREADS), PDAG_THREADS,
                        at.stream, n / W,
                        (resampling{h, w, c / W, h / 2, w / 2}), (const T *)x,
                        (T *)y);
        else
            PDAG_LAUNCH((avg_pool2_kernel<T, 1>),
                        pdag_index_blocks(n, PDAG_THREADS), PDAG_THREADS,
                        at.stream, n, (resampling{h, w, c, h / 2, w / 2}),
                        (const T *)x, (T *)y));
    return cudaGetLastError();
}
