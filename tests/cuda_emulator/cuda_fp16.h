/* float16 of the emulator; rounding as in base/tensor.h. */
#ifndef PDAG_EMULATOR_CUDA_FP16_H
#define PDAG_EMULATOR_CUDA_FP16_H

#include "base/tensor.h"

struct __half {
    unsigned short bits;
};

inline __half __ushort_as_half(unsigned short bits)
{
    return __half{bits};
}

inline unsigned short __half_as_ushort(__half x)
{
    return x.bits;
}

inline float __half2float(__half x)
{
    return pdag_f16_to_f32(x.bits);
}

inline __half __float2half_rn(float x)
{
    return __half{pdag_f32_to_f16(x)};
}

#endif
