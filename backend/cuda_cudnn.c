/* Convolutions through cuDNN, channels last. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/cuda_internal.h"
#include "base/mem.h"

#define DNN_WORKSPACE_BYTES ((size_t)256 << 20)
#define MAX_ALGORITHMS 16

struct pdag_cuda_conv_plan {
    pdag_cuda_conv_plan *next;
    size_t b, h, w;
    bool usable;
    bool pads; /* unequal pads: x gets its zeros before */
    cudnnTensorDescriptor_t x, y;
    cudnnFilterDescriptor_t filter;
    cudnnConvolutionDescriptor_t conv;
    cudnnConvolutionFwdAlgo_t algorithm;
    size_t workspace;
};

static bool is_unsupported(cudnnStatus_t code)
{
#if CUDNN_MAJOR >= 9
    return CUDNN_STATUS_CATEGORY(code) == CUDNN_STATUS_NOT_SUPPORTED;
#else
    return code == CUDNN_STATUS_NOT_SUPPORTED ||
           code == CUDNN_STATUS_ARCH_MISMATCH;
#endif
}

static pdag_status check(const pdag_cuda *cuda, cudnnStatus_t code,
                         const char *what)
{
    if (code == CUDNN_STATUS_SUCCESS)
        return PDAG_OK;
    return pdag_error(PDAG_ERR_BACKEND, "cuDNN: %s: %s", what,
                      cuda->dnn->cudnnGetErrorString(code));
}

/* A machine without cuDNN is served without: not an error. */
pdag_status pdag_cuda_dnn_open(pdag_cuda *cuda)
{
    if (pdag_cudnn_open(&cuda->dnn) != PDAG_OK)
        return PDAG_OK;
    if (cuda->dnn->cudnnCreate(&cuda->dnn_handle) != CUDNN_STATUS_SUCCESS) {
        cuda->dnn = NULL;
        return PDAG_OK;
    }
    return check(cuda,
                 cuda->dnn->cudnnSetStream(cuda->dnn_handle, cuda->stream),
                 "stream");
}

void pdag_cuda_dnn_close(pdag_cuda *cuda)
{
    if (cuda->dnn != NULL)
        cuda->dnn->cudnnDestroy(cuda->dnn_handle);
    cuda->dnn = NULL;
}

bool pdag_cuda_has_dnn(const pdag_cuda *cuda)
{
    return cuda->dnn != NULL;
}

void pdag_cuda_dnn_version(const pdag_cuda *cuda, size_t bytes, char *text)
{
    const size_t version =
        cuda->dnn != NULL ? cuda->dnn->cudnnGetVersion() : 0;
    const size_t unit = version >= 90000 ? 10000 : 1000; /* of the major */

    if (version == 0)
        snprintf(text, bytes, "no cuDNN");
    else
        snprintf(text, bytes, "cuDNN %zu.%zu.%zu", version / unit,
                 version % unit / 100, version % 100);
}

/* Plans. */

static void destroy_plan(const pdag_cuda *cuda, pdag_cuda_conv_plan *plan)
{
    if (plan->conv != NULL)
        cuda->dnn->cudnnDestroyConvolutionDescriptor(plan->conv);
    if (plan->filter != NULL)
        cuda->dnn->cudnnDestroyFilterDescriptor(plan->filter);
    if (plan->y != NULL)
        cuda->dnn->cudnnDestroyTensorDescriptor(plan->y);
    if (plan->x != NULL)
        cuda->dnn->cudnnDestroyTensorDescriptor(plan->x);
    free(plan);
}

void pdag_cuda_conv_plans_destroy(pdag_cuda *cuda, pdag_cuda_conv_plan *list)
{
    while (list != NULL) {
        pdag_cuda_conv_plan *next = list->next;

        destroy_plan(cuda, list);
        list = next;
    }
}

static cudnnDataType_t data_type(const pdag_cuda *cuda)
{
    switch (cuda->at.type) {
    case PDAG_CUDA_BFLOAT16:
        return CUDNN_DATA_BFLOAT16;
    case PDAG_CUDA_FLOAT16:
        return CUDNN_DATA_HALF;
    case PDAG_CUDA_FLOAT32:
        break;
    }
    return CUDNN_DATA_FLOAT;
}

/* Float32 stays float32; otherwise matrix units, without rounding what comes. */
static cudnnMathType_t math_type(const pdag_cuda *cuda)
{
    if (cuda->base.precision == PDAG_PRECISION_FLOAT32)
        return CUDNN_FMA_MATH;
    return cuda->base.precision == PDAG_PRECISION_TF32 ? CUDNN_DEFAULT_MATH
                                                       : CUDNN_TENSOR_OP_MATH;
}

static cudnnStatus_t describe_map(const pdag_cuda *cuda, size_t b, size_t c,
                                  size_t h, size_t w,
                                  cudnnTensorDescriptor_t *map_out)
{
    cudnnStatus_t code = cuda->dnn->cudnnCreateTensorDescriptor(map_out);

    if (code == CUDNN_STATUS_SUCCESS)
        code = cuda->dnn->cudnnSetTensor4dDescriptor(
            *map_out, CUDNN_TENSOR_NHWC, data_type(cuda), (int)b, (int)c,
            (int)h, (int)w);
    return code;
}

static cudnnStatus_t describe_filter(const pdag_cuda *cuda,
                                     const pdag_weight *w,
                                     pdag_cuda_conv_plan *plan)
{
    cudnnStatus_t code = cuda->dnn->cudnnCreateFilterDescriptor(&plan->filter);

    if (code == CUDNN_STATUS_SUCCESS)
        code = cuda->dnn->cudnnSetFilter4dDescriptor(
            plan->filter, data_type(cuda), CUDNN_TENSOR_NHWC, (int)w->shape.out,
            (int)w->shape.in, (int)w->shape.kh, (int)w->shape.kw);
    return code;
}

static cudnnStatus_t describe_conv(const pdag_cuda *cuda, const pdag_weight *w,
                                   pdag_cuda_conv_plan *plan)
{
    const int stride = (int)w->shape.stride;
    const int top = plan->pads ? 0 : (int)w->shape.pad_top;
    const int left = plan->pads ? 0 : (int)w->shape.pad_left;
    cudnnStatus_t code =
        cuda->dnn->cudnnCreateConvolutionDescriptor(&plan->conv);

    if (code == CUDNN_STATUS_SUCCESS)
        code = cuda->dnn->cudnnSetConvolution2dDescriptor(
            plan->conv, top, left, stride, stride, 1, 1,
            CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT);
    if (code == CUDNN_STATUS_SUCCESS)
        code = cuda->dnn->cudnnSetConvolutionMathType(plan->conv,
                                                      math_type(cuda));
    return code;
}

/* Algorithms that multiply out, whose sums are plain: those by transforms lose
   digits. */
static bool is_plain(cudnnConvolutionFwdAlgo_t algorithm)
{
    return algorithm == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM ||
           algorithm == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM ||
           algorithm == CUDNN_CONVOLUTION_FWD_ALGO_GEMM;
}

/* The arithmetic that an algorithm is to be used with; false where that would
   round what comes. */
static bool settle_math(const pdag_cuda *cuda, cudnnMathType_t *math)
{
    if (*math == CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION)
        return false;
    if (cuda->base.precision != PDAG_PRECISION_FLOAT32)
        return true;
    if (*math == CUDNN_TENSOR_OP_MATH)
        return false;
    *math = CUDNN_FMA_MATH;
    return true;
}

/* The first that suits of those that cuDNN orders by expected speed. */
static cudnnStatus_t choose(const pdag_cuda *cuda, pdag_cuda_conv_plan *plan)
{
    cudnnConvolutionFwdAlgoPerf_t found[MAX_ALGORITHMS];
    int n = 0;
    cudnnStatus_t code = cuda->dnn->cudnnGetConvolutionForwardAlgorithm_v7(
        cuda->dnn_handle, plan->x, plan->filter, plan->conv, plan->y,
        MAX_ALGORITHMS, &n, found);

    for (int i = 0; code == CUDNN_STATUS_SUCCESS && i < n; i++) {
        if (found[i].status != CUDNN_STATUS_SUCCESS ||
            found[i].determinism != CUDNN_DETERMINISTIC ||
            !is_plain(found[i].algo) || !settle_math(cuda, &found[i].mathType))
            continue;
        if (cuda->dnn->cudnnSetConvolutionMathType(
                plan->conv, found[i].mathType) != CUDNN_STATUS_SUCCESS ||
            cuda->dnn->cudnnGetConvolutionForwardWorkspaceSize(
                cuda->dnn_handle, plan->x, plan->filter, plan->conv, plan->y,
                found[i].algo, &plan->workspace) != CUDNN_STATUS_SUCCESS ||
            plan->workspace > DNN_WORKSPACE_BYTES)
            continue;
        plan->algorithm = found[i].algo;
        plan->usable = true;
        return CUDNN_STATUS_SUCCESS;
    }
    return code;
}

static cudnnStatus_t make_plan(const pdag_cuda *cuda, const pdag_weight *w,
                               const pdag_cuda_conv *conv,
                               pdag_cuda_conv_plan *plan)
{
    const size_t more_h = plan->pads ? w->shape.pad_top + w->shape.pad_bottom : 0;
    const size_t more_w = plan->pads ? w->shape.pad_left + w->shape.pad_right : 0;
    cudnnStatus_t code =
        describe_map(cuda, plan->b, w->shape.in, plan->h + more_h,
                     plan->w + more_w, &plan->x);

    if (code == CUDNN_STATUS_SUCCESS)
        code = describe_map(cuda, plan->b, w->shape.out, conv->oh, conv->ow,
                            &plan->y);
    if (code == CUDNN_STATUS_SUCCESS)
        code = describe_filter(cuda, w, plan);
    if (code == CUDNN_STATUS_SUCCESS)
        code = describe_conv(cuda, w, plan);
    if (code == CUDNN_STATUS_SUCCESS)
        code = choose(cuda, plan);
    return code;
}

static bool fits_int(const pdag_weight *w, size_t b, const pdag_cuda_conv *conv)
{
    const size_t h = conv->h + w->shape.pad_top + w->shape.pad_bottom;
    const size_t width = conv->w + w->shape.pad_left + w->shape.pad_right;

    return b <= INT_MAX && h <= INT_MAX && width <= INT_MAX &&
           w->shape.in <= INT_MAX && w->shape.out <= INT_MAX;
}

/* The weight is read-only for callers, its plans are this backend's own. */
static pdag_status find_plan(const pdag_cuda *cuda, const pdag_weight *weight,
                             size_t b, const pdag_cuda_conv *conv,
                             pdag_cuda_conv_plan **plan_out)
{
    union {
        const pdag_weight *shared;
        pdag_weight *own;
    } w = {weight};
    pdag_cuda_conv_plan *plan = weight->conv_plans;
    cudnnStatus_t code;

    while (plan != NULL &&
           (plan->b != b || plan->h != conv->h || plan->w != conv->w))
        plan = plan->next;
    if (plan == NULL) {
        plan = pdag_xcalloc(1, sizeof *plan);
        plan->b = b;
        plan->h = conv->h;
        plan->w = conv->w;
        plan->pads = weight->shape.pad_top != weight->shape.pad_bottom ||
                     weight->shape.pad_left != weight->shape.pad_right;
        code = fits_int(weight, b, conv) ? make_plan(cuda, weight, conv, plan)
                                         : CUDNN_STATUS_SUCCESS;
        if (code != CUDNN_STATUS_SUCCESS && !is_unsupported(code)) {
            destroy_plan(cuda, plan);
            return check(cuda, code, weight->name);
        }
        plan->next = w.own->conv_plans;
        w.own->conv_plans = plan;
    }
    *plan_out = plan;
    return PDAG_OK;
}

/* x[b][h][w][c] with its zeros around, a "convolution" with one tap. */
static pdag_status pad(pdag_cuda *cuda, const pdag_weight *w, size_t b,
                       const pdag_cuda_conv *conv, const void **x)
{
    pdag_cuda_conv copy = *conv;
    size_t n;
    void *padded;
    pdag_status status;

    copy.oh = conv->h + w->shape.pad_top + w->shape.pad_bottom;
    copy.ow = conv->w + w->shape.pad_left + w->shape.pad_right;
    copy.kh = copy.kw = copy.stride = 1;
    n = b * copy.oh * copy.ow;
    status = pdag_cuda_reserve(cuda, &cuda->columns,
                               n * conv->c * cuda->base.act_size, w->name,
                               &padded);
    if (status == PDAG_OK)
        status = pdag_cuda_check(
            pdag_cuda_gather(cuda->at, &copy, 0, n, conv->c, *x, padded),
            w->name);
    *x = padded;
    return status;
}

pdag_status pdag_cuda_dnn_conv(pdag_cuda *cuda, const pdag_weight *w, size_t b,
                               const pdag_cuda_conv *conv, const void *x,
                               const void *residual, void *y, bool *done_out)
{
    const float one = 1.0f;
    const float beta = residual == y ? 1.0f : 0.0f;
    pdag_cuda_conv_plan *plan;
    void *work;
    cudnnStatus_t code;
    pdag_status status = PDAG_OK;

    *done_out = false;
    if (cuda->dnn == NULL)
        return PDAG_OK;
    status = find_plan(cuda, w, b, conv, &plan);
    if (status != PDAG_OK || !plan->usable)
        return status;
    if (plan->pads)
        status = pad(cuda, w, b, conv, &x);
    if (status == PDAG_OK)
        status = pdag_cuda_reserve(cuda, &cuda->work, plan->workspace,
                                   "workspace", &work);
    if (status != PDAG_OK)
        return status;
    code = cuda->dnn->cudnnConvolutionForward(
        cuda->dnn_handle, &one, plan->x, x, plan->filter, w->matrix, plan->conv,
        plan->algorithm, work, plan->workspace, &beta, plan->y, y);
    if (is_unsupported(code)) {
        plan->usable = false;
        return PDAG_OK;
    }
    *done_out = true;
    status = check(cuda, code, w->name);
    if (residual == y)
        residual = NULL;
    if (status != PDAG_OK || (w->floats == NULL && residual == NULL))
        return status;
    return pdag_cuda_check(pdag_cuda_epilogue(cuda->at, b * conv->oh * conv->ow,
                                              w->shape.out, cuda->at.type, y,
                                              w->floats, PDAG_ACT_NONE,
                                              residual, y),
                           w->name);
}
