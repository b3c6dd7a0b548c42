/* backend/cuda_mma.cuh: a warp's instructions for 16-bit matrices (PTX ISA,
 * "Warp Level Matrix Instructions").  The emulator has its own of these two.
 *
 * Lane l has of a 16x16 A: row l/4 and l/4 + 8, columns 2 (l%4) and the next, and
 * those + 8; of a 16x8 B: column l/4, rows 2 (l%4) and the next, and those + 8; of
 * the 16x8 result: row l/4 and l/4 + 8, columns 2 (l%4) and the next. */
#ifndef PDAG_BACKEND_CUDA_MMA_CUH
#define PDAG_BACKEND_CUDA_MMA_CUH

#include "backend/cuda_device.cuh"

#ifdef PDAG_CUDA_EMULATOR
#include <emulator_mma.h>
#else

/* Four 8x8 matrices from shared memory: lane l names row l%8 of matrix l/8 (8
 * elements, 16-byte aligned); to[i] is row l/4, columns 2 (l%4) and the next, of
 * matrix i. */
static __device__ __forceinline__ void load_matrices(const void *row,
                                                     unsigned (&to)[4])
{
    asm volatile(
        "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
        : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
        : "r"((unsigned)__cvta_generic_to_shared(row))
        : "memory");
}

/* The same, each matrix transposed. */
static __device__ __forceinline__ void load_transposed(const void *row,
                                                       unsigned (&to)[4])
{
    asm volatile(
        "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
        : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
        : "r"((unsigned)__cvta_generic_to_shared(row))
        : "memory");
}

/* sum[16][8] += a[16][16] b[16][8]. */
static __device__ __forceinline__ void
multiply(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1,
         pdag_f16)
{
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(b0));
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[2]), "r"(a[3]), "r"(b1));
#endif
}

static __device__ __forceinline__ void
multiply(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1,
         pdag_bf16)
{
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else /* matrix_unit is not set for it there */
    (void)a;
    (void)b0;
    (void)b1;
    sum[0] = NAN;
    __trap();
#endif
}

#endif
#endif
