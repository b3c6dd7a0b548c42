/* cuDNN of the emulator: convolutions channels last, by their definition.  It offers
 * algorithms that the backend must not take (other digits, other bits, too much
 * memory) before one that it may, and refuses some shapes, early or late. */
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "tests/cuda_emulator/emulator.h"
#include <cudnn.h>
#include "base/tensor.h"

struct cudnnContext {
    cudaStream_t stream;
};

struct cudnnTensorStruct {
    cudnnDataType_t type;
    size_t n, c, h, w;
};

struct cudnnFilterStruct {
    cudnnDataType_t type;
    size_t k, c, h, w;
};

struct cudnnConvolutionStruct {
    long pad_h, pad_w, stride_h, stride_w;
    cudnnMathType_t math;
};

static const size_t workspace_needed = 1000;

static float element(const void *from, size_t at, cudnnDataType_t type)
{
    switch (type) {
    case CUDNN_DATA_FLOAT:
        return static_cast<const float *>(from)[at];
    case CUDNN_DATA_HALF:
        return pdag_f16_to_f32(static_cast<const uint16_t *>(from)[at]);
    case CUDNN_DATA_BFLOAT16:
        return pdag_bf16_to_f32(static_cast<const uint16_t *>(from)[at]);
    }
    return 0.0f;
}

static void set_element(float value, void *to, size_t at, cudnnDataType_t type)
{
    switch (type) {
    case CUDNN_DATA_FLOAT:
        static_cast<float *>(to)[at] = value;
        break;
    case CUDNN_DATA_HALF:
        static_cast<uint16_t *>(to)[at] = pdag_f32_to_f16(value);
        break;
    case CUDNN_DATA_BFLOAT16:
        static_cast<uint16_t *>(to)[at] = pdag_f32_to_bf16(value);
        break;
    }
}

/* To 10 bits behind the point, as matrix units take float32. */
static float to_tf32(float value)
{
    uint32_t bits;

    if (!std::isfinite(value))
        return value;
    std::memcpy(&bits, &value, sizeof bits);
    bits = (bits + 0x1000u) & ~0x1fffu;
    std::memcpy(&value, &bits, sizeof bits);
    return value;
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle)
{
    *handle = new cudnnContext();
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
    delete handle;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    handle->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

size_t cudnnGetVersion(void)
{
    return 90000;
}

const char *cudnnGetErrorString(cudnnStatus_t status)
{
    return status == CUDNN_STATUS_SUCCESS ? "CUDNN_STATUS_SUCCESS"
                                          : "CUDNN_STATUS_BAD_PARAM";
}

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t *tensor)
{
    *tensor = new cudnnTensorStruct();
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t tensor,
                                         cudnnTensorFormat_t format,
                                         cudnnDataType_t type, int n, int c,
                                         int h, int w)
{
    if (format != CUDNN_TENSOR_NHWC || n < 1 || c < 1 || h < 1 || w < 1)
        return CUDNN_STATUS_BAD_PARAM;
    *tensor = {type, static_cast<size_t>(n), static_cast<size_t>(c),
               static_cast<size_t>(h), static_cast<size_t>(w)};
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t tensor)
{
    delete tensor;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t *filter)
{
    *filter = new cudnnFilterStruct();
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t filter,
                                         cudnnDataType_t type,
                                         cudnnTensorFormat_t format, int k,
                                         int c, int h, int w)
{
    if (format != CUDNN_TENSOR_NHWC || k < 1 || c < 1 || h < 1 || w < 1)
        return CUDNN_STATUS_BAD_PARAM;
    *filter = {type, static_cast<size_t>(k), static_cast<size_t>(c),
               static_cast<size_t>(h), static_cast<size_t>(w)};
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t filter)
{
    delete filter;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t *conv)
{
    *conv = new cudnnConvolutionStruct();
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t conv, int pad_h,
                                int pad_w, int u, int v, int dilation_h,
                                int dilation_w, cudnnConvolutionMode_t mode,
                                cudnnDataType_t type)
{
    if (pad_h < 0 || pad_w < 0 || u < 1 || v < 1 || dilation_h != 1 ||
        dilation_w != 1 || mode != CUDNN_CROSS_CORRELATION ||
        type != CUDNN_DATA_FLOAT)
        return CUDNN_STATUS_BAD_PARAM;
    *conv = {pad_h, pad_w, u, v, CUDNN_DEFAULT_MATH};
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t conv,
                                          cudnnMathType_t math)
{
    conv->math = math;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t
cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t conv)
{
    delete conv;
    return CUDNN_STATUS_SUCCESS;
}

/* Whether the four descriptions are of one convolution. */
static bool fits(cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t filter,
                 cudnnConvolutionDescriptor_t conv, cudnnTensorDescriptor_t y)
{
    const long h = static_cast<long>(x->h) + 2 * conv->pad_h -
                   static_cast<long>(filter->h);
    const long w = static_cast<long>(x->w) + 2 * conv->pad_w -
                   static_cast<long>(filter->w);

    return x->type == filter->type && x->type == y->type && x->n == y->n &&
           x->c == filter->c && y->c == filter->k && h >= 0 && w >= 0 &&
           static_cast<size_t>(h / conv->stride_h + 1) == y->h &&
           static_cast<size_t>(w / conv->stride_w + 1) == y->w;
}

cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(
    cudnnHandle_t, cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t filter,
    cudnnConvolutionDescriptor_t conv, cudnnTensorDescriptor_t y, int wanted,
    int *n_found, cudnnConvolutionFwdAlgoPerf_t *found)
{
    const cudnnConvolutionFwdAlgo_t plain =
        CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
    const cudnnConvolutionFwdAlgoPerf_t offers[] = {
        {CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD, CUDNN_STATUS_SUCCESS, 0.1f, 0,
         CUDNN_DETERMINISTIC, conv->math, {}},
        {plain, CUDNN_STATUS_SUCCESS, 0.2f, 0, CUDNN_NON_DETERMINISTIC,
         conv->math, {}},
        {plain, CUDNN_STATUS_SUCCESS, 0.3f, 0, CUDNN_DETERMINISTIC,
         CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION, {}},
        {CUDNN_CONVOLUTION_FWD_ALGO_GEMM, CUDNN_STATUS_SUCCESS, 0.4f, 0,
         CUDNN_DETERMINISTIC, conv->math, {}},
        {plain, CUDNN_STATUS_NOT_SUPPORTED, -1.0f, 0, CUDNN_DETERMINISTIC,
         conv->math, {}},
        {plain, CUDNN_STATUS_SUCCESS, 0.5f, 0, CUDNN_DETERMINISTIC,
         x->type == CUDNN_DATA_FLOAT ? CUDNN_DEFAULT_MATH
                                     : CUDNN_TENSOR_OP_MATH, {}}};
    const int n_offers = sizeof offers / sizeof offers[0];

    *n_found = 0;
    if (!fits(x, filter, conv, y))
        return CUDNN_STATUS_BAD_PARAM;
    if (filter->h == 5)
        return CUDNN_STATUS_NOT_SUPPORTED_LAYOUT;
    for (int i = 0; i < n_offers && i < wanted; i++)
        found[(*n_found)++] = offers[i];
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(
    cudnnHandle_t, cudnnTensorDescriptor_t, cudnnFilterDescriptor_t,
    cudnnConvolutionDescriptor_t, cudnnTensorDescriptor_t,
    cudnnConvolutionFwdAlgo_t algorithm, size_t *bytes)
{
    *bytes = algorithm == CUDNN_CONVOLUTION_FWD_ALGO_GEMM
                 ? static_cast<size_t>(1) << 40
                 : workspace_needed;
    return CUDNN_STATUS_SUCCESS;
}

/* One convolution, everything in it by value. */
struct convolution {
    cudnnTensorStruct x, y;
    cudnnFilterStruct filter;
    cudnnConvolutionStruct conv;
    const void *x_values, *w_values;
    void *y_values, *workspace;
    float alpha, beta;
};

/* The product of two numbers as the arithmetic asked for takes them. */
static float multiply(const convolution &c, float a, float b)
{
    if (c.x.type == CUDNN_DATA_FLOAT && c.conv.math != CUDNN_FMA_MATH)
        return to_tf32(a) * to_tf32(b);
    return a * b;
}

/* Output (i, j) of image n, channel k. */
static float position(const convolution &c, size_t n, size_t i, size_t j,
                      size_t k)
{
    double sum = 0.0;

    for (size_t a = 0; a < c.filter.h; a++)
        for (size_t b = 0; b < c.filter.w; b++) {
            const long row = static_cast<long>(i) * c.conv.stride_h +
                             static_cast<long>(a) - c.conv.pad_h;
            const long column = static_cast<long>(j) * c.conv.stride_w +
                                static_cast<long>(b) - c.conv.pad_w;

            if (row < 0 || column < 0 || row >= static_cast<long>(c.x.h) ||
                column >= static_cast<long>(c.x.w))
                continue;
            for (size_t m = 0; m < c.x.c; m++)
                sum += multiply(
                    c,
                    element(c.x_values,
                            ((n * c.x.h + static_cast<size_t>(row)) * c.x.w +
                             static_cast<size_t>(column)) * c.x.c + m,
                            c.x.type),
                    element(c.w_values,
                            ((k * c.filter.h + a) * c.filter.w + b) * c.x.c + m,
                            c.x.type));
        }
    return static_cast<float>(sum);
}

static void run(const convolution &c)
{
    size_t at = 0;

    std::memset(c.workspace, 0xff, workspace_needed);
    for (size_t n = 0; n < c.y.n; n++)
        for (size_t i = 0; i < c.y.h; i++)
            for (size_t j = 0; j < c.y.w; j++)
                for (size_t k = 0; k < c.y.c; k++, at++) {
                    float value = c.alpha * position(c, n, i, j, k);

                    if (c.beta != 0.0f)
                        value += c.beta * element(c.y_values, at, c.y.type);
                    set_element(value, c.y_values, at, c.y.type);
                }
}

cudnnStatus_t cudnnConvolutionForward(
    cudnnHandle_t handle, const void *alpha, cudnnTensorDescriptor_t x,
    const void *x_values, cudnnFilterDescriptor_t filter, const void *w_values,
    cudnnConvolutionDescriptor_t conv, cudnnConvolutionFwdAlgo_t algorithm,
    void *workspace, size_t workspace_bytes, const void *beta,
    cudnnTensorDescriptor_t y, void *y_values)
{
    convolution c = {*x,       *y,       *filter,   *conv, x_values,
                     w_values, y_values, workspace, 0.0f,  0.0f};

    if (!fits(x, filter, conv, y) || workspace_bytes < workspace_needed ||
        algorithm != CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM ||
        conv->math == CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION)
        return CUDNN_STATUS_BAD_PARAM;
    if (x->type != CUDNN_DATA_FLOAT && x->c % 8 == 1)
        return CUDNN_STATUS_NOT_SUPPORTED; /* only said now, as some do */
    std::memcpy(&c.alpha, alpha, sizeof c.alpha);
    std::memcpy(&c.beta, beta, sizeof c.beta);
    emulator::queue(handle->stream, [=] { run(c); });
    return CUDNN_STATUS_SUCCESS;
}
