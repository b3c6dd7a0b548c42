/* bfloat16 of the emulator; rounding as in base/tensor.h. */
#ifndef PDAG_EMULATOR_CUDA_BF16_H
#define PDAG_EMULATOR_CUDA_BF16_H

#include "base/tensor.h"

struct __nv_bfloat16 {
    unsigned short bits;
};

inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x)
{
    return x.bits;
}

inline __nv_bfloat16 __float2bfloat16_rn(float x)
{
    return __nv_bfloat16{pdag_f32_to_bf16(x)};
}

#endif
