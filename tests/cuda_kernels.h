/* What the tests of the single CUDA kernels share.  See
 * test_backend_cuda_kernels.c. */
#ifndef PDAG_TESTS_CUDA_KERNELS_H
#define PDAG_TESTS_CUDA_KERNELS_H

#include <check.h>
#include <stddef.h>

#include "backend/cuda_kernels.h"

/* Rounds that must give equal bits: orders of threads under the emulator. */
#ifdef PDAG_CUDA_EMULATOR
#define ORDERS 3
#else
#define ORDERS 2
#endif

/* Random numbers of a type, on the host as float32 and on the device. */
typedef struct cuda_numbers {
    size_t n;
    float *host;
    void *device;
} cuda_numbers;

size_t cuda_size_of(pdag_cuda_type type);
/* Relative RMS that one rounding of the result, or another order of a float32 sum,
 * gives. */
double cuda_tolerance(pdag_cuda_type type);
/* `code` is cudaSuccess. */
void cuda_ok(int code);
void cuda_set_order(int order);
/* Device memory full of NaN. */
void *cuda_device_bytes(size_t bytes);
void *cuda_to_device(pdag_cuda_type type, size_t n, const float *host);
/* n numbers in offset + [-1.5, 1.5). */
cuda_numbers cuda_make(pdag_cuda_type type, size_t n, float offset);
void cuda_drop(cuda_numbers *what);
/* A copy on the host; the caller frees. */
unsigned char *cuda_fetch(size_t bytes, const void *device);
/* Relative RMS of n numbers; NaN in `want` must be NaN in `got`: it was not to be
 * written. */
double cuda_distance(pdag_cuda_type type, size_t n, const unsigned char *got,
                     const double *want);
/* The same between two results. */
double cuda_difference(pdag_cuda_type type, size_t n, const unsigned char *got,
                       const unsigned char *want);

void cuda_add_attention(TCase *tc);

#endif
