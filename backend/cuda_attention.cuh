/* backend/cuda_attention.cuh: what the two attention kernels share. */
#ifndef PDAG_BACKEND_CUDA_ATTENTION_CUH
#define PDAG_BACKEND_CUDA_ATTENTION_CUH

#include "backend/cuda_device.cuh"

/* Lowest running maximum: of a query that has seen no key yet. */
#define PDAG_NO_SCORE (-INFINITY)

/* Start of row 0 of one image's head. */
template <typename T>
static __device__ __forceinline__ T *head_of(const pdag_cuda_attention &a,
                                             const pdag_cuda_rows &rows,
                                             size_t image, size_t head)
{
    return (T *)rows.ptr + image * rows.batch_stride + head * a.head_dim;
}

/* Whether rows may be read `bytes` at a time. */
static inline bool is_aligned(const pdag_cuda_attention *a,
                              const pdag_cuda_rows *rows, size_t size,
                              size_t bytes)
{
    return (uintptr_t)rows->ptr % bytes == 0 &&
           rows->batch_stride * size % bytes == 0 &&
           rows->row_stride * size % bytes == 0 &&
           a->head_dim * size % bytes == 0;
}

/* cuda_kernels_attention_mma.cu: bfloat16 and float16 on matrix units, at most
 * PDAG_MMA_COLUMNS columns; the size of the heads was checked. */
#define PDAG_MMA_COLUMNS 256

int pdag_cuda_attend_mma(pdag_cuda_at at, const pdag_cuda_attention *a);

#endif
