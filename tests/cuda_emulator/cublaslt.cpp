/* cuBLASLt of the emulator: D = epilogue(alpha A^T B + beta C), columns first,
 * sums in float32.  Its workspace is filled with NaN, so that a caller that keeps
 * something there, or gives too little, is found out. */
#include <cmath>
#include <cstdlib>
#include <vector>

#include "tests/cuda_emulator/emulator.h"

#include <cublasLt.h>

#include "base/tensor.h"

static const uint64_t needed_workspace = 4096;

struct cublasLtContext {
    int unused;
};
struct cublasLtMatmulDescOpaque {
    cublasComputeType_t compute;
    cublasOperation_t trans_a, trans_b;
    cublasLtEpilogue_t epilogue;
    const void *bias;
};
struct cublasLtMatrixLayoutOpaque {
    cudaDataType_t type;
    size_t rows, columns, ld;
};
struct cublasLtMatmulPreferenceOpaque {
    uint64_t workspace;
    uint32_t reductions, alignment[4];
};

static size_t size_of(cudaDataType_t type)
{
    return type == CUDA_R_32F ? 4 : 2;
}

static float element(const void *from, size_t at, cudaDataType_t type)
{
    switch (type) {
    case CUDA_R_32F:
        return static_cast<const float *>(from)[at];
    case CUDA_R_16F:
        return pdag_f16_to_f32(static_cast<const uint16_t *>(from)[at]);
    case CUDA_R_16BF:
        return pdag_bf16_to_f32(static_cast<const uint16_t *>(from)[at]);
    }
    return 0.0f;
}

static void set_element(float value, void *to, size_t at, cudaDataType_t type)
{
    switch (type) {
    case CUDA_R_32F:
        static_cast<float *>(to)[at] = value;
        break;
    case CUDA_R_16F:
        static_cast<uint16_t *>(to)[at] = pdag_f32_to_f16(value);
        break;
    case CUDA_R_16BF:
        static_cast<uint16_t *>(to)[at] = pdag_f32_to_bf16(value);
        break;
    }
}

/* Ten bits behind the point. */
static float to_tf32(float value)
{
    uint32_t bits;

    std::memcpy(&bits, &value, sizeof bits);
    if (!std::isfinite(value))
        return value;
    bits = (bits + 0x1000u) & ~0x1fffu;
    std::memcpy(&value, &bits, sizeof bits);
    return value;
}

static float gelu_tanh(float x)
{
    return 0.5f * x *
           (1.0f + std::tanh(0.7978845608f * (x + 0.044715f * x * x * x)));
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    *handle = new cublasLtContext();
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

size_t cublasLtGetVersion(void)
{
    return 130000;
}

const char *cublasLtGetStatusString(cublasStatus_t status)
{
    switch (status) {
    case CUBLAS_STATUS_SUCCESS:
        return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_SUPPORTED:
        return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_INVALID_VALUE:
        return "CUBLAS_STATUS_INVALID_VALUE";
    default:
        return "CUBLAS_STATUS_EXECUTION_FAILED";
    }
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc,
                                        cublasComputeType_t compute,
                                        cudaDataType_t scale)
{
    if (scale != CUDA_R_32F)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    *desc = new cublasLtMatmulDescOpaque{compute, CUBLAS_OP_N, CUBLAS_OP_N,
                                         CUBLASLT_EPILOGUE_DEFAULT, nullptr};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc)
{
    delete desc;
    return CUBLAS_STATUS_SUCCESS;
}

/* Copy a value whose size must fit. */
template <typename T>
static cublasStatus_t set_value(T *to, const void *value, size_t bytes)
{
    if (bytes != sizeof *to)
        return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(to, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(
    cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
    const void *value, size_t bytes)
{
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return set_value(&desc->trans_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
        return set_value(&desc->trans_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return set_value(&desc->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return set_value(&desc->bias, value, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout,
                                          cudaDataType_t type, uint64_t rows,
                                          uint64_t columns, int64_t ld)
{
    if (ld < 0 || (uint64_t)ld < rows || rows == 0 || columns == 0)
        return CUBLAS_STATUS_INVALID_VALUE;
    *layout = new cublasLtMatrixLayoutOpaque{type, rows, columns, size_t(ld)};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference)
{
    *preference =
        new cublasLtMatmulPreferenceOpaque{0, ~0u, {256, 256, 256, 256}};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference)
{
    delete preference;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(
    cublasLtMatmulPreference_t preference,
    cublasLtMatmulPreferenceAttributes_t attribute, const void *value,
    size_t bytes)
{
    switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        return set_value(&preference->workspace, value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
        return set_value(&preference->reductions, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
        return set_value(&preference->alignment[0], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
        return set_value(&preference->alignment[1], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
        return set_value(&preference->alignment[2], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        return set_value(&preference->alignment[3], value, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

/* Whether shapes and types go together, and the epilogue with the type: cuBLASLt
 * has no fused bias in float32 of another type than D's. */
static bool fits(cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                 cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                 cublasLtMatrixLayout_t d)
{
    return desc->trans_a == CUBLAS_OP_T && desc->trans_b == CUBLAS_OP_N &&
           a->rows == b->rows && d->rows == a->columns &&
           d->columns == b->columns && c->rows == d->rows &&
           c->columns == d->columns && a->type == b->type &&
           c->type == d->type &&
           (d->type == a->type || d->type == CUDA_R_32F);
}

/* What the emulator asks of pointers rides in the algorithm. */
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
    cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
    cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference,
    int wanted, cublasLtMatmulHeuristicResult_t results[], int *n_found)
{
    *n_found = 0;
    if (wanted < 1 || !fits(desc, a, b, c, d))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (desc->epilogue != CUBLASLT_EPILOGUE_DEFAULT &&
        std::getenv("PDAG_EMULATOR_NO_EPILOGUE") != nullptr)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    results[0] = cublasLtMatmulHeuristicResult_t();
    for (int i = 0; i < 4; i++) {
        if (preference->alignment[i] < size_of(a->type))
            return CUBLAS_STATUS_NOT_SUPPORTED;
        results[0].algo.data[i] = preference->alignment[i];
    }
    results[0].algo.data[4] = preference->workspace < needed_workspace
                                  ? preference->workspace
                                  : needed_workspace;
    results[0].workspaceSize = results[0].algo.data[4];
    results[0].state = CUBLAS_STATUS_SUCCESS;
    *n_found = 1;
    return CUBLAS_STATUS_SUCCESS;
}

/* One product, everything in it by value: the descriptions may be gone when the
 * queue gets here. */
struct product {
    cublasLtMatmulDescOpaque desc;
    cublasLtMatrixLayoutOpaque a, b, c, d;
    float alpha, beta;
    const void *a_values, *b_values, *c_values;
    void *d_values, *workspace;
    size_t workspace_bytes;
};

/* All columns of a matrix as float32, `rows` apart. */
static std::vector<float> read(const product &p, const void *values,
                               const cublasLtMatrixLayoutOpaque &layout)
{
    std::vector<float> out(layout.rows * layout.columns);

    for (size_t j = 0; j < layout.columns; j++)
        for (size_t i = 0; i < layout.rows; i++) {
            float value = element(values, j * layout.ld + i, layout.type);

            if (p.desc.compute == CUBLAS_COMPUTE_32F_FAST_TF32)
                value = to_tf32(value);
            out[j * layout.rows + i] = value;
        }
    return out;
}

static float dot(size_t n, const float *x, const float *y)
{
    float sum[8] = {};
    size_t i = 0;

    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++)
            sum[k] += x[i + k] * y[i + k];
    for (; i < n; i++)
        sum[0] += x[i] * y[i];
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) +
           ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

static void run(const product &p)
{
    const std::vector<float> a = read(p, p.a_values, p.a);
    const std::vector<float> b = read(p, p.b_values, p.b);
    const size_t n = p.a.rows;

    if (p.workspace_bytes > 0)
        std::memset(p.workspace, 0xff, p.workspace_bytes);
    for (size_t j = 0; j < p.d.columns; j++)
        for (size_t i = 0; i < p.d.rows; i++) {
            float value = p.alpha * dot(n, &a[i * n], &b[j * n]);

            if (p.beta != 0.0f)
                value += p.beta *
                         element(p.c_values, j * p.c.ld + i, p.c.type);
            if (p.desc.epilogue == CUBLASLT_EPILOGUE_BIAS ||
                p.desc.epilogue == CUBLASLT_EPILOGUE_GELU_BIAS)
                value += element(p.desc.bias, i, p.d.type);
            if (p.desc.epilogue == CUBLASLT_EPILOGUE_GELU ||
                p.desc.epilogue == CUBLASLT_EPILOGUE_GELU_BIAS)
                value = gelu_tanh(value);
            set_element(value, p.d_values, j * p.d.ld + i, p.d.type);
        }
}

static bool aligned(const void *ptr, uint64_t bytes)
{
    return reinterpret_cast<uintptr_t>(ptr) % bytes == 0;
}

cublasStatus_t cublasLtMatmul(
    cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void *alpha,
    const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
    cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
    cublasLtMatrixLayout_t c_layout, void *d, cublasLtMatrixLayout_t d_layout,
    const cublasLtMatmulAlgo_t *algorithm, void *workspace,
    size_t workspace_bytes, cudaStream_t stream)
{
    product p = {*desc,     *a_layout, *b_layout, *c_layout,
                 *d_layout, 0.0f,      0.0f,      a,
                 b,         c,         d,         workspace,
                 workspace_bytes};

    if (!fits(desc, a_layout, b_layout, c_layout, d_layout) ||
        workspace_bytes < algorithm->data[4] ||
        !aligned(a, algorithm->data[0]) || !aligned(b, algorithm->data[1]) ||
        !aligned(c, algorithm->data[2]) || !aligned(d, algorithm->data[3]))
        return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(&p.alpha, alpha, sizeof p.alpha);
    std::memcpy(&p.beta, beta, sizeof p.beta);
    if (p.beta != 0.0f && c == d && c_layout->ld != d_layout->ld)
        return CUBLAS_STATUS_INVALID_VALUE;
    emulator::queue(stream, [=] { run(p); });
    return CUBLAS_STATUS_SUCCESS;
}
