/* The loops for x86-64 with avx512f, avx512bw, avx512dq, avx512vl, fma. */
#if defined(__x86_64__)

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <immintrin.h>

#include "backend/cpu_kernels.h"
#include "backend/cpu_kernels_table.h"

#if defined(__clang__)
#pragma clang attribute push(                                                  \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))),         \
    apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma")
#endif
#if defined(__clang__)
#pragma clang fp contract(fast)
#else
#pragma GCC optimize("O3", "fp-contract=fast")
#endif

#define PDAG_SIMD_LANES 16
#define PDAG_SIMD_AVX512
#define PDAG_SIMD_ISA "avx512"
#define PDAG_SIMD_TABLE pdag_cpu_kernels_avx512
#include "backend/cpu_kernels_isa.inc"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else /* an empty translation unit is not C */
typedef int pdag_not_x86_64;
#endif
