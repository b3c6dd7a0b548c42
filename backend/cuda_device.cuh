/* backend/cuda_device.cuh: what the kernels share.  For cuda_kernels_*.cu only.
 *
 * The same files compile with nvcc and, against the headers in
 * tests/cuda_emulator, with a C++ compiler: hence PDAG_LAUNCH, PDAG_SHARED and
 * PDAG_UNROLL, which that folder's cuda_runtime.h defines in its own way. */
#ifndef PDAG_BACKEND_CUDA_DEVICE_CUH
#define PDAG_BACKEND_CUDA_DEVICE_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <math.h>
#include <stdint.h>

#include "backend/cuda_index.h"
#include "backend/cuda_kernels.h"

#ifndef PDAG_LAUNCH
#define PDAG_LAUNCH(kernel, grid, block, stream, ...)                         \
    (kernel)<<<(grid), (block), 0, (stream)>>>(__VA_ARGS__)
#define PDAG_SHARED(type, name, dims) __shared__ type name dims
#define PDAG_ALIGNED(ptr, bytes) ((void)0)
#define PDAG_UNROLL _Pragma("unroll")
#endif

#define PDAG_WARP 32
#define PDAG_THREADS 256 /* of a block without another wish */

/* ---- elements ---- */

/* Trivial types, so that a pack of them is one wide load. */
struct pdag_bf16 {
    unsigned short bits;
};
struct pdag_f16 {
    unsigned short bits;
};

static __device__ __forceinline__ float to_float(float x)
{
    return x;
}

static __device__ __forceinline__ float to_float(pdag_bf16 x)
{
    return __uint_as_float((unsigned)x.bits << 16);
}

static __device__ __forceinline__ float to_float(pdag_f16 x)
{
    return __half2float(__ushort_as_half(x.bits));
}

static __device__ __forceinline__ void from_float(float x, float *y)
{
    *y = x;
}

static __device__ __forceinline__ void from_float(float x, pdag_bf16 *y)
{
    y->bits = __bfloat16_as_ushort(__float2bfloat16_rn(x));
}

static __device__ __forceinline__ void from_float(float x, pdag_f16 *y)
{
    y->bits = __half_as_ushort(__float2half_rn(x));
}

/* N neighbours, read and written at once. */
template <typename T, int N>
struct alignas(N * sizeof(T) > 16 ? 16 : N * sizeof(T)) pack {
    T v[N];
};

/* Elements of one 16-byte access. */
template <typename T>
struct wide {
    static const int n = 16 / (int)sizeof(T);
};

template <int N, typename T>
static __device__ __forceinline__ pack<T, N> load(const T *at)
{
    PDAG_ALIGNED(at, alignof(pack<T, N>));
    return *reinterpret_cast<const pack<T, N> *>(at);
}

template <int N, typename T>
static __device__ __forceinline__ void store(T *at, const pack<T, N> &values)
{
    PDAG_ALIGNED(at, alignof(pack<T, N>));
    *reinterpret_cast<pack<T, N> *>(at) = values;
}

/* Whether a pointer (NULL too) may be read 16 bytes at a time. */
static inline bool is_wide(const void *ptr)
{
    return (uintptr_t)ptr % 16 == 0;
}

/* Do the statements that follow with T as the element type of `type`. */
#define PDAG_BY_TYPE(element_type, ...)                                       \
    do {                                                                      \
        switch (element_type) {                                               \
        case PDAG_CUDA_FLOAT32: {                                             \
            typedef float T;                                                  \
            __VA_ARGS__;                                                      \
        } break;                                                              \
        case PDAG_CUDA_BFLOAT16: {                                            \
            typedef pdag_bf16 T;                                              \
            __VA_ARGS__;                                                      \
        } break;                                                              \
        case PDAG_CUDA_FLOAT16: {                                             \
            typedef pdag_f16 T;                                               \
            __VA_ARGS__;                                                      \
        } break;                                                              \
        }                                                                     \
    } while (0)

/* ---- numbers ---- */

/* The definition is pdag_ref_activation(); here without cancellation, so that
 * float32 is enough. */
static __device__ __forceinline__ float activation(pdag_activation act, float x)
{
    switch (act) {
    case PDAG_ACT_NONE:
        return x;
    case PDAG_ACT_SILU:
        return x / (1.0f + expf(-x));
    case PDAG_ACT_GELU:
        return 0.5f * x * erfcf(-0.70710678118654752440f * x);
    case PDAG_ACT_GELU_TANH: /* (1 + tanh u)/2 is the sigmoid of 2u */
        return x / (1.0f + expf(-1.59576912160573071176f *
                                (x + 0.044715f * x * x * x)));
    case PDAG_ACT_QUICK_GELU:
        return x / (1.0f + expf(-1.702f * x));
    case PDAG_ACT_MISH: /* tanh(log(1 + e)) = (e^2 + 2e)/(e^2 + 2e + 2) */
        if (x > 20.0f)
            return x;
        else {
            float e = expf(x);
            float square = e * (e + 2.0f);

            return x * (square / (square + 2.0f));
        }
    case PDAG_ACT_RELU:
        return x < 0.0f ? 0.0f : x; /* NaN stays NaN */
    }
    return x;
}

/* Sum over the 32 lanes, the same bits in each. */
static __device__ __forceinline__ float warp_sum(float x)
{
    for (int distance = PDAG_WARP / 2; distance > 0; distance /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, distance);
    return x;
}

/* First piece of work of this thread, and how far the next one is, when a
 * one-dimensional grid shares it out. */
static __device__ __forceinline__ size_t first_work(void)
{
    return (size_t)blockIdx.x * blockDim.x + threadIdx.x;
}

static __device__ __forceinline__ size_t work_stride(void)
{
    return (size_t)gridDim.x * blockDim.x;
}

#endif
