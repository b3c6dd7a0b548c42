#include "backend/cpu_kernels.h"

#include "backend/cpu_kernels_table.h"

size_t pdag_cpu_kernels_list(bool bf16, const pdag_cpu_kernels *tables_out[3])
{
    size_t n = 0;

#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        tables_out[n++] = pdag_cpu_kernels_avx512(bf16);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        tables_out[n++] = pdag_cpu_kernels_avx2(bf16);
#endif
    tables_out[n++] = pdag_cpu_kernels_base(bf16);
    return n;
}

const pdag_cpu_kernels *pdag_cpu_kernels_select(bool bf16)
{
    const pdag_cpu_kernels *tables[3];

    pdag_cpu_kernels_list(bf16, tables);
    return tables[0];
}
