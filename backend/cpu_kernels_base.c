/* The loops for any machine. */
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "backend/cpu_kernels.h"
#include "backend/cpu_kernels_table.h"

#if defined(__clang__)
#pragma clang fp contract(fast)
#else
#pragma GCC optimize("O3", "fp-contract=fast")
#endif

#define PDAG_SIMD_LANES 4
#define PDAG_SIMD_ISA "baseline"
#define PDAG_SIMD_TABLE pdag_cpu_kernels_base
#include "backend/cpu_kernels_isa.inc"
