#include "base/tensor.h"

#include <string.h>

size_t pdag_dtype_size(pdag_dtype dtype)
{
    switch (dtype) {
    case PDAG_F64:
    case PDAG_I64:
        return 8;
    case PDAG_F32:
    case PDAG_I32:
        return 4;
    case PDAG_F16:
    case PDAG_BF16:
        return 2;
    case PDAG_U8:
        return 1;
    }
    return 0;
}

const char *pdag_dtype_name(pdag_dtype dtype)
{
    static const char *const names[] = {"F64", "F32", "F16", "BF16",
                                        "I64", "I32", "U8"};

    return names[dtype];
}

size_t pdag_tensor_count(const pdag_tensor_view *view)
{
    size_t count = 1;

    for (int d = 0; d < view->n_dims; d++)
        count *= view->dims[d];
    return count;
}

float pdag_f16_to_f32(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = (half >> 10) & 0x1fu;
    uint32_t mantissa = half & 0x3ffu;
    uint32_t bits;
    float value;

    if (exponent == 0x1f) {
        bits = sign | 0x7f800000u | (mantissa << 13);
    } else if (exponent != 0) {
        bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
    } else if (mantissa == 0) {
        bits = sign;
    } else { /* subnormal: shift until the leading one is implicit */
        exponent = 113;
        while ((mantissa & 0x400u) == 0) {
            mantissa <<= 1;
            exponent--;
        }
        bits = sign | (exponent << 23) | ((mantissa & 0x3ffu) << 13);
    }
    memcpy(&value, &bits, sizeof value);
    return value;
}

float pdag_bf16_to_f32(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

uint16_t pdag_f32_to_bf16(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) /* NaN: keep it one */
        return (uint16_t)((bits >> 16) | 0x40u);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

uint16_t pdag_f32_to_f16(float value)
{
    uint32_t bits;
    uint32_t sign;
    uint32_t magnitude;
    uint32_t half;
    uint32_t rest;

    memcpy(&bits, &value, sizeof bits);
    sign = (bits >> 16) & 0x8000u;
    magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u);
    if (magnitude >= 0x47800000u) /* 65536 and more: infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) { /* subnormal half */
        uint32_t shift;

        if (magnitude < 0x33000000u) /* under half the smallest: zero */
            return (uint16_t)sign;
        shift = 126 - (magnitude >> 23);
        half = ((magnitude & 0x7fffffu) | 0x800000u);
        rest = half & ((1u << shift) - 1);
        half >>= shift;
        if (rest > (1u << (shift - 1)) ||
            (rest == (1u << (shift - 1)) && (half & 1u)))
            half++;
        return (uint16_t)(sign | half);
    }
    half = ((magnitude - 0x38000000u) >> 13);
    rest = magnitude & 0x1fffu;
    if (rest > 0x1000u || (rest == 0x1000u && (half & 1u)))
        half++; /* may carry into infinity, which is right */
    return (uint16_t)(sign | half);
}

static float element_to_f32(const unsigned char *bytes, pdag_dtype dtype)
{
    union {
        double f64;
        float f32;
        uint16_t u16;
        int64_t i64;
        int32_t i32;
        uint8_t u8;
    } value;

    memcpy(&value, bytes, pdag_dtype_size(dtype));
    switch (dtype) {
    case PDAG_F64:
        return (float)value.f64;
    case PDAG_F32:
        return value.f32;
    case PDAG_F16:
        return pdag_f16_to_f32(value.u16);
    case PDAG_BF16:
        return pdag_bf16_to_f32(value.u16);
    case PDAG_I64:
        return (float)value.i64;
    case PDAG_I32:
        return (float)value.i32;
    case PDAG_U8:
        return (float)value.u8;
    }
    return 0.0f;
}

/* Whole arrays of halves, without branches, so that the compiler vectorises: a
   large model has a thousand million of them.  The exponent is corrected by an
   exact multiplication, which also normalises subnormals. */
static void f16_to_f32(const unsigned char *bytes, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        uint32_t bits;
        uint32_t special;
        float value;

        memcpy(&half, bytes + 2 * i, sizeof half);
        bits = (uint32_t)(half & 0x7fffu) << 13;
        special = bits >= 0x0f800000u ? 0x7f800000u : 0; /* inf and NaN */
        memcpy(&value, &bits, sizeof value);
        value *= 0x1p112f;
        memcpy(&bits, &value, sizeof bits);
        bits |= special | (uint32_t)(half & 0x8000u) << 16;
        memcpy(out + i, &bits, sizeof bits);
    }
}

static void bf16_to_f32(const unsigned char *bytes, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        uint32_t bits;

        memcpy(&half, bytes + 2 * i, sizeof half);
        bits = (uint32_t)half << 16;
        memcpy(out + i, &bits, sizeof bits);
    }
}

void pdag_tensor_to_f32(const pdag_tensor_view *view, size_t first,
                        size_t count, float *out)
{
    size_t size = pdag_dtype_size(view->dtype);
    const unsigned char *bytes = (const unsigned char *)view->data;

    bytes += first * size;
    if (view->dtype == PDAG_F32) {
        memcpy(out, bytes, count * size);
        return;
    }
    if (view->dtype == PDAG_F16) {
        f16_to_f32(bytes, count, out);
        return;
    }
    if (view->dtype == PDAG_BF16) {
        bf16_to_f32(bytes, count, out);
        return;
    }
    for (size_t i = 0; i < count; i++)
        out[i] = element_to_f32(bytes + i * size, view->dtype);
}
