/* Device memory and comparison for the tests of the CUDA kernels. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cuda_runtime_api.h>

#include "base/mem.h"
#include "base/tensor.h"
#include "tests/cuda_kernels.h"

static uint64_t state = 4711;

static float uniform(void)
{
    uint64_t z = (state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (float)((double)(z >> 11) / 4503599627370496.0 - 1.0);
}

size_t cuda_size_of(pdag_cuda_type type)
{
    return type == PDAG_CUDA_FLOAT32 ? 4 : 2;
}

static float rounded(pdag_cuda_type type, float value)
{
    if (type == PDAG_CUDA_BFLOAT16)
        return pdag_bf16_to_f32(pdag_f32_to_bf16(value));
    if (type == PDAG_CUDA_FLOAT16)
        return pdag_f16_to_f32(pdag_f32_to_f16(value));
    return value;
}

double cuda_tolerance(pdag_cuda_type type)
{
    static const double values[] = {4e-6, 4e-3, 1e-3};

    return values[type];
}

void cuda_ok(int code)
{
    ck_assert_msg(code == cudaSuccess, "%s",
                  cudaGetErrorString((cudaError_t)code));
}

void cuda_set_order(int order)
{
#ifdef PDAG_CUDA_EMULATOR
    pdag_emulator_set_order(order);
#else
    (void)order;
#endif
}

void *cuda_device_bytes(size_t bytes)
{
    void *ptr;

    cuda_ok(cudaMalloc(&ptr, bytes));
    cuda_ok(cudaMemset(ptr, 0xff, bytes)); /* NaN in every type */
    return ptr;
}

void *cuda_to_device(pdag_cuda_type type, size_t n, const float *host)
{
    void *device = cuda_device_bytes(n * cuda_size_of(type));
    unsigned char *bytes = pdag_xcalloc(n, cuda_size_of(type));

    for (size_t i = 0; i < n; i++) {
        uint16_t half = type == PDAG_CUDA_BFLOAT16 ? pdag_f32_to_bf16(host[i])
                                                   : pdag_f32_to_f16(host[i]);

        if (type == PDAG_CUDA_FLOAT32)
            memcpy(bytes + 4 * i, &host[i], 4);
        else
            memcpy(bytes + 2 * i, &half, 2);
    }
    cuda_ok(cudaMemcpy(device, bytes, n * cuda_size_of(type),
                       cudaMemcpyHostToDevice));
    free(bytes);
    return device;
}

cuda_numbers cuda_make(pdag_cuda_type type, size_t n, float offset)
{
    cuda_numbers made = {n, pdag_xcalloc(n, sizeof(float)), NULL};

    for (size_t i = 0; i < n; i++)
        made.host[i] = rounded(type, offset + 1.5f * uniform());
    made.device = cuda_to_device(type, n, made.host);
    return made;
}

void cuda_drop(cuda_numbers *what)
{
    free(what->host);
    cuda_ok(cudaFree(what->device));
}

unsigned char *cuda_fetch(size_t bytes, const void *device)
{
    unsigned char *host = pdag_xcalloc(bytes, 1);

    cuda_ok(cudaMemcpy(host, device, bytes, cudaMemcpyDeviceToHost));
    return host;
}

static float value_at(pdag_cuda_type type, const unsigned char *bytes, size_t i)
{
    float value;
    uint16_t half;

    if (type == PDAG_CUDA_FLOAT32) {
        memcpy(&value, bytes + 4 * i, 4);
        return value;
    }
    memcpy(&half, bytes + 2 * i, 2);
    return type == PDAG_CUDA_BFLOAT16 ? pdag_bf16_to_f32(half)
                                      : pdag_f16_to_f32(half);
}

double cuda_distance(pdag_cuda_type type, size_t n, const unsigned char *got,
                       const double *want)
{
    double difference = 0.0;
    double size = 1e-30;

    for (size_t i = 0; i < n; i++) {
        const double value = (double)value_at(type, got, i);

        if (isnan(want[i])) {
            if (!isnan(value))
                return HUGE_VAL;
            continue;
        }
        difference += (value - want[i]) * (value - want[i]);
        size += want[i] * want[i];
    }
    return sqrt(difference / size);
}

double cuda_difference(pdag_cuda_type type, size_t n, const unsigned char *got,
                       const unsigned char *want)
{
    double *values = pdag_xcalloc(n, sizeof *values);
    double distance;

    for (size_t i = 0; i < n; i++)
        values[i] = (double)value_at(type, want, i);
    distance = cuda_distance(type, n, got, values);
    free(values);
    return distance;
}
