/* Element-wise operations.  All are bound by memory: wide accesses, one pass. */
#include "backend/cuda_device.cuh"

template <typename X, typename T, int W>
static __global__ void epilogue_kernel(size_t packs, size_t row_packs,
                                       const X *x, const float *bias,
                                       pdag_activation act, const T *residual,
                                       T *y)
{
    for (size_t at = first_work(); at < packs; at += work_stride()) {
        size_t column = at - pdag_index_div(at, row_packs) * row_packs;
        pack<X, W> in = load<W>(x + at * W);
        pack<T, W> plus = {};
        pack<T, W> out;

        if (residual != NULL)
            plus = load<W>(residual + at * W);
        for (int k = 0; k < W; k++) {
            float value = to_float(in.v[k]);

            if (bias != NULL)
                value += bias[column * W + k];
            value = activation(act, value);
            if (residual != NULL)
                value += to_float(plus.v[k]);
            from_float(value, &out.v[k]);
        }
        store<W>(y + at * W, out);
    }
}

template <typename X, typename T>
static void start_epilogue(cudaStream_t stream, size_t m, size_t n, const X *x,
                           const float *bias, pdag_activation act,
                           const T *residual, T *y)
{
    const int W = wide<T>::n;

    if (n % W == 0 && is_wide(x) && is_wide(residual) && is_wide(y))
        PDAG_LAUNCH((epilogue_kernel<X, T, W>),
                    pdag_index_blocks(m * n / W, PDAG_THREADS), PDAG_THREADS,
                    stream, m * n / W, n / W, x, bias, act, residual, y);
    else
        PDAG_LAUNCH((epilogue_kernel<X, T, 1>),
                    pdag_index_blocks(m * n, PDAG_THREADS), PDAG_THREADS,
                    stream, m * n, n, x, bias, act, residual, y);
}

int pdag_cuda_epilogue(pdag_cuda_at at, size_t m, size_t n,
                       pdag_cuda_type x_type, const void *x, const float *bias,
                       pdag_activation act, const void *residual, void *y)
{
    if (m == 0 || n == 0)
        return cudaSuccess;
    if (x_type == PDAG_CUDA_FLOAT32)
        PDAG_BY_TYPE(at.type, start_epilogue(at.stream, m, n, (const float *)x,
                                             bias, act, (const T *)residual,
                                             (T *)y));
    else
        PDAG_BY_TYPE(at.type, start_epilogue(at.stream, m, n, (const T *)x,
                                             bias, act, (const T *)residual,
                                             (T *)y));
    return cudaGetLastError();
}

int pdag_cuda_activate(pdag_cuda_at at, size_t n, pdag_activation act,
                       const void *x, void *y)
{
    return pdag_cuda_epilogue(at, 1, n, at.type, x, NULL, act, NULL, y);
}

int pdag_cuda_add(pdag_cuda_at at, size_t n, const void *a, const void *b,
                  void *y)
{
    return pdag_cuda_epilogue(at, 1, n, at.type, a, NULL, PDAG_ACT_NONE, b, y);
}

template <typename T, int W>
static __global__ void scale_kernel(size_t packs, float s, const T *x, T *y)
{
    for (size_t at = first_work(); at < packs; at += work_stride()) {
        pack<T, W> values = load<W>(x + at * W);

        for (int k = 0; k < W; k++)
            from_float(s * to_float(values.v[k]), &values.v[k]);
        store<W>(y + at * W, values);
    }
}

template <typename T>
static void start_scale(cudaStream_t stream, size_t n, float s, const T *x,
                        T *y)
{
    const int W = wide<T>::n;

    if (n % W == 0 && is_wide(x) && is_wide(y))
        PDAG_LAUNCH((scale_kernel<T, W>),
                    pdag_index_blocks(n / W, PDAG_THREADS), PDAG_THREADS,
                    stream, n / W, s, x, y);
    else
        PDAG_LAUNCH((scale_kernel<T, 1>), pdag_index_blocks(n, PDAG_THREADS),
                    PDAG_THREADS, stream, n, s, x, y);
}

int pdag_cuda_scale(pdag_cuda_at at, size_t n, float s, const void *x, void *y)
{
    if (n == 0)
        return cudaSuccess;
    PDAG_BY_TYPE(at.type,
                 start_scale(at.stream, n, s, (const T *)x, (T *)y));
    return cudaGetLastError();
}

template <typename T, int W>
static __global__ void geglu_kernel(size_t packs, size_t row_packs, const T *x,
                                    T *y)
{
    for (size_t at = first_work(); at < packs; at += work_stride()) {
        size_t row = pdag_index_div(at, row_packs);
        const T *from = x + (at + row * row_packs) * W;
        pack<T, W> values = load<W>(from);
        pack<T, W> gates = load<W>(from + row_packs * W);

        for (int k = 0; k < W; k++)
            from_float(to_float(values.v[k]) *
                           activation(PDAG_ACT_GELU, to_float(gates.v[k])),
                       &values.v[k]);
        store<W>(y + at * W, values);
    }
}

template <typename T>
static void start_geglu(cudaStream_t stream, size_t m, size_t n, const T *x,
                        T *y)
{
    const int W = wide<T>::n;

    if (n % W == 0 && is_wide(x) && is_wide(y))
        PDAG_LAUNCH((geglu_kernel<T, W>),
                    pdag_index_blocks(m * n / W, PDAG_THREADS), PDAG_THREADS,
                    stream, m * n / W, n / W, x, y);
    else
        PDAG_LAUNCH((geglu_kernel<T, 1>),
                    pdag_index_blocks(m * n, PDAG_THREADS), PDAG_THREADS,
                    stream, m * n, n, x, y);
}

int pdag_cuda_geglu(pdag_cuda_at at, size_t m, size_t n, const void *x, void *y)
{
    if (m == 0 || n == 0)
        return cudaSuccess;
    PDAG_BY_TYPE(at.type,
                 start_geglu(at.stream, m, n, (const T *)x, (T *)y));
    return cudaGetLastError();
}

/* One vector of c numbers per image: `stride` apart. */
template <typename T>
struct per_image {
    const T *values;
    size_t stride;
};

template <typename T>
static bool is_wide_vector(per_image<T> vector)
{
    return vector.stride % wide<T>::n == 0 && is_wide(vector.values);
}

template <typename T, int W>
static __global__ void modulate_kernel(size_t packs, size_t image_packs,
                                       size_t row_packs, float one,
                                       per_image<T> scale, per_image<T> shift,
                                       const T *x, T *y)
{
    for (size_t at = first_work(); at < packs; at += work_stride()) {
        size_t image = pdag_index_div(at, image_packs);
        size_t column = at - pdag_index_div(at, row_packs) * row_packs;
        pack<T, W> values = load<W>(x + at * W);
        pack<T, W> factor =
            load<W>(scale.values + image * scale.stride + column * W);
        pack<T, W> term =
            load<W>(shift.values + image * shift.stride + column * W);

        for (int k = 0; k < W; k++)
            from_float(to_float(values.v[k]) * (one + to_float(factor.v[k])) +
                           to_float(term.v[k]),
                       &values.v[k]);
        store<W>(y + at * W, values);
    }
}

template <typename T>
static void start_modulate(cudaStream_t stream, size_t b, size_t p, size_t c,
                           float one, per_image<T> scale, per_image<T> shift,
                           const T *x, T *y)
{
    const int W = wide<T>::n;
    const size_t n = b * p * c;

    if (c % W == 0 && is_wide(x) && is_wide(y) && is_wide_vector(scale) &&
        is_wide_vector(shift))
        PDAG_LAUNCH((modulate_kernel<T, W>),
                    pdag_index_blocks(n / W, PDAG_THREADS), PDAG_THREADS,
                    stream, n / W, p * c / W, c / W, one, scale, shift, x, y);
    else
        PDAG_LAUNCH((modulate_kernel<T, 1>), pdag_index_blocks(n, PDAG_THREADS),
                    PDAG_THREADS, stream, n, p * c, c, one, scale, shift, x, y);
}

int pdag_cuda_modulate(pdag_cuda_at at, size_t b, size_t p, size_t c, float one,
                       const void *scale, size_t scale_stride,
                       const void *shift, size_t shift_stride, const void *x,
                       void *y)
{
    if (b * p * c == 0)
        return cudaSuccess;
    PDAG_BY_TYPE(
        at.type,
        start_modulate(at.stream, b, p, c, one,
                       per_image<T>{(const T *)scale, scale_stride},
                       per_image<T>{(const T *)shift, shift_stride},
                       (const T *)x, (T *)y));
    return cudaGetLastError();
}

template <typename T, int W>
static __global__ void gated_add_kernel(size_t packs, size_t image_packs,
                                        size_t row_packs, per_image<T> gate,
                                        const T *h, const T *x, T *y)
{
    for (size_t at = first_work(); at < packs; at += work_stride()) {
        size_t image = pdag_index_div(at, image_packs);
        size_t column = at - pdag_index_div(at, row_packs) * row_packs;
        pack<T, W> values = load<W>(x + at * W);
        pack<T, W> update = load<W>(h + at * W);
        pack<T, W> factor =
            load<W>(gate.values + image * gate.stride + column * W);

        for (int k = 0; k < W; k++)
            from_float(to_float(values.v[k]) +
                           to_float(factor.v[k]) * to_float(update.v[k]),
                       &values.v[k]);
        store<W>(y + at * W, values);
    }
}

template <typename T>
static void start_gated_add(cudaStream_t stream, size_t b, size_t p, size_t c,
                            per_image<T> gate, const T *h, const T *x, T *y)
{
    const int W = wide<T>::n;
    const size_t n = b * p * c;

    if (c % W == 0 && is_wide(h) && is_wide(x) && is_wide(y) &&
        is_wide_vector(gate))
        PDAG_LAUNCH((gated_add_kernel<T, W>),
                    pdag_index_blocks(n / W, PDAG_THREADS), PDAG_THREADS,
                    stream, n / W, p * c / W, c / W, gate, h, x, y);
    else
        PDAG_LAUNCH((gated_add_kernel<T, 1>),
                    pdag_index_blocks(n, PDAG_THREADS), PDAG_THREADS, stream,
                    n, p * c, c, gate, h, x, y);
}

int pdag_cuda_gated_add(pdag_cuda_at at, size_t b, size_t p, size_t c,
                        const void *gate, size_t gate_stride, const void *h,
                        const void *x, void *y)
{
    if (b * p * c == 0)
        return cudaSuccess;
    PDAG_BY_TYPE(at.type,
                 start_gated_add(at.stream, b, p, c,
                                 per_image<T>{(const T *)gate, gate_stride},
                                 (const T *)h, (const T *)x, (T *)y));
    return cudaGetLastError();
}
