/** backend/cpu_kernels_table.h: what each cpu_kernels_<isa>.c exports. */
#ifndef PDAG_BACKEND_CPU_KERNELS_TABLE_H
#define PDAG_BACKEND_CPU_KERNELS_TABLE_H

#include <stdbool.h>

#include "backend/cpu_kernels.h"

const pdag_cpu_kernels *pdag_cpu_kernels_base(bool bf16);
#if defined(__x86_64__)
const pdag_cpu_kernels *pdag_cpu_kernels_avx2(bool bf16);
const pdag_cpu_kernels *pdag_cpu_kernels_avx512(bool bf16);
#endif

#endif
