/* CUDA C++ as far as the kernels use it, run on the CPU: see README.md. */
#ifndef PDAG_EMULATOR_CUDA_RUNTIME_H
#define PDAG_EMULATOR_CUDA_RUNTIME_H

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>

#include <cuda_runtime_api.h>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1)
        : x(x_), y(y_), z(z_)
    {
    }
};

struct uint3 {
    unsigned x, y, z;
};

/* Of the thread that is running. */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

namespace emulator {

/* Queue a kernel on a stream. */
void launch(dim3 grid, dim3 block, cudaStream_t stream,
            std::function<void()> body);
/* Called by every thread where a kernel declares shared memory: the first one of
 * a block fills it with 0xff (NaN). */
void shared(void *memory, size_t bytes);
void check_aligned(const void *ptr, size_t bytes);
void barrier(const char *file, int line);

/* What the lanes of a warp do together.  in and out: `bytes` per lane, at most
 * LANE_BYTES; compute() gets all 32 of each. */
enum { LANES = 32, LANE_BYTES = 64 };
typedef unsigned char lane_data[LANE_BYTES];
typedef void compute_function(const lane_data *in, lane_data *out, int argument);
void collective(const char *file, int line, compute_function *compute,
                int argument, const void *in, size_t in_bytes, void *out,
                size_t out_bytes);
void shuffle_xor(const lane_data *in, lane_data *out, int distance);
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Queue a kernel with the values that its arguments have now. */
template <typename... P, typename... A>
void call(dim3 grid, dim3 block, cudaStream_t stream, void (*kernel)(P...),
          const A &...arguments)
{
    const std::tuple<P...> values(arguments...);

    launch(grid, block, stream, [=] { std::apply(kernel, values); });
}

} // namespace emulator

#define PDAG_LAUNCH(kernel, grid, block, stream, ...)                         \
    emulator::call((grid), (block), (stream), (kernel), __VA_ARGS__)
#define PDAG_SHARED(type, name, dims)                                         \
    static type name dims;                                                    \
    emulator::shared(&name, sizeof name)
#define PDAG_ALIGNED(ptr, bytes) emulator::check_aligned(ptr, bytes)
#define PDAG_UNROLL

inline void __syncthreads(const char *file = __builtin_FILE(),
                          int line = __builtin_LINE())
{
    emulator::barrier(file, line);
}

template <typename T>
inline T __shfl_xor_sync(unsigned mask, T value, int distance,
                         const char *file = __builtin_FILE(),
                         int line = __builtin_LINE())
{
    T out;

    if (mask != 0xffffffffu)
        emulator::die("%s:%d: only whole warps are emulated", file, line);
    emulator::collective(file, line, emulator::shuffle_xor, distance, &value,
                         sizeof value, &out, sizeof out);
    return out;
}

inline float rsqrtf(float x)
{
    return 1.0f / std::sqrt(x);
}

inline float __uint_as_float(unsigned bits)
{
    float value;

    std::memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
