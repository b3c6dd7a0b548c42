/* Matrix products through cuBLASLt, and linear layers.
 *
 * cuBLAS takes matrices columns first: our rows y[m][n] are its n x m matrix, the
 * weight [n][k] its k x n one, so that the product is y = w^T x. */
#include <stdint.h>
#include <stdlib.h>

#include "backend/cuda_internal.h"
#include "base/mem.h"

/* What NVIDIA recommends for its newest devices; older ones need less. */
#define LT_WORKSPACE_BYTES ((size_t)32 << 20)

static pdag_status check(const pdag_cuda *cuda, cublasStatus_t code,
                         const char *what)
{
    if (code == CUBLAS_STATUS_SUCCESS)
        return PDAG_OK;
    return pdag_error(code == CUBLAS_STATUS_ALLOC_FAILED ? PDAG_ERR_NOMEM
                                                         : PDAG_ERR_BACKEND,
                      "cuBLASLt: %s: %s", what,
                      cuda->lt->cublasLtGetStatusString(code));
}

static pdag_status prefer(pdag_cuda *cuda,
                          cublasLtMatmulPreferenceAttributes_t attribute,
                          const void *value, size_t bytes)
{
    return check(cuda,
                 cuda->lt->cublasLtMatmulPreferenceSetAttribute(
                     cuda->preference, attribute, value, bytes),
                 "preference");
}

pdag_status pdag_cuda_lt_open(pdag_cuda *cuda)
{
    const uint64_t workspace = LT_WORKSPACE_BYTES;
    /* Sums over parts of k in float32, in the workspace: the same bits every
       time, and no rounding in between. */
    const uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    void *work;
    pdag_status status = pdag_cublaslt_open(&cuda->lt);

    if (status == PDAG_OK)
        status = pdag_cuda_reserve(cuda, &cuda->work, LT_WORKSPACE_BYTES,
                                   "workspace", &work);
    if (status != PDAG_OK)
        return status;
    status = check(cuda, cuda->lt->cublasLtCreate(&cuda->lt_handle), "handle");
    if (status == PDAG_OK)
        status = check(
            cuda, cuda->lt->cublasLtMatmulPreferenceCreate(&cuda->preference),
            "preference");
    if (status == PDAG_OK)
        status = prefer(cuda, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                        &workspace, sizeof workspace);
    if (status == PDAG_OK)
        status = prefer(cuda, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                        &reductions, sizeof reductions);
    return status;
}

void pdag_cuda_lt_close(pdag_cuda *cuda)
{
    if (cuda->preference != NULL)
        cuda->lt->cublasLtMatmulPreferenceDestroy(cuda->preference);
    if (cuda->lt_handle != NULL)
        cuda->lt->cublasLtDestroy(cuda->lt_handle);
}

/* Plans. */

static void destroy_plan(const pdag_cuda *cuda, pdag_cuda_plan *plan)
{
    if (plan->y != NULL)
        cuda->lt->cublasLtMatrixLayoutDestroy(plan->y);
    if (plan->x != NULL)
        cuda->lt->cublasLtMatrixLayoutDestroy(plan->x);
    if (plan->w != NULL)
        cuda->lt->cublasLtMatrixLayoutDestroy(plan->w);
    if (plan->desc != NULL)
        cuda->lt->cublasLtMatmulDescDestroy(plan->desc);
    free(plan);
}

void pdag_cuda_plans_destroy(pdag_cuda *cuda, pdag_cuda_plan *list)
{
    while (list != NULL) {
        pdag_cuda_plan *next = list->next;

        destroy_plan(cuda, list);
        list = next;
    }
}

static bool same_product(const pdag_cuda_product *a, const pdag_cuda_product *b)
{
    return a->m == b->m && a->k == b->k && a->n == b->n &&
           a->align[0] == b->align[0] && a->align[1] == b->align[1] &&
           a->align[2] == b->align[2] && a->bias == b->bias &&
           a->residual == b->residual && a->gelu == b->gelu &&
           a->wide == b->wide;
}

static cudaDataType_t data_type(const pdag_cuda *cuda)
{
    switch (cuda->at.type) {
    case PDAG_CUDA_BFLOAT16:
        return CUDA_R_16BF;
    case PDAG_CUDA_FLOAT16:
        return CUDA_R_16F;
    case PDAG_CUDA_FLOAT32:
        break;
    }
    return CUDA_R_32F;
}

static cublasLtEpilogue_t epilogue_of(const pdag_cuda_product *p)
{
    if (p->gelu)
        return p->bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    return p->bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
}

static pdag_status set(const pdag_cuda *cuda, pdag_cuda_plan *plan,
                       cublasLtMatmulDescAttributes_t attribute,
                       const void *value, size_t bytes)
{
    return check(cuda,
                 cuda->lt->cublasLtMatmulDescSetAttribute(plan->desc, attribute,
                                                          value, bytes),
                 "description");
}

static pdag_status describe(const pdag_cuda *cuda, const pdag_weight *w,
                            pdag_cuda_plan *plan)
{
    const cublasComputeType_t compute =
        cuda->base.precision == PDAG_PRECISION_TF32
            ? CUBLAS_COMPUTE_32F_FAST_TF32
            : CUBLAS_COMPUTE_32F;
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const cublasLtEpilogue_t epilogue = epilogue_of(&plan->product);
    pdag_status status = check(cuda,
                               cuda->lt->cublasLtMatmulDescCreate(
                                   &plan->desc, compute, CUDA_R_32F),
                               "description");

    if (status == PDAG_OK)
        status = set(cuda, plan, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                     sizeof transposed);
    if (status == PDAG_OK)
        status = set(cuda, plan, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                     sizeof epilogue);
    if (status == PDAG_OK && plan->product.bias)
        status = set(cuda, plan, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &w->bias,
                     sizeof w->bias);
    return status;
}

static pdag_status lay_out(const pdag_cuda *cuda, pdag_cuda_plan *plan)
{
    const pdag_cuda_product *p = &plan->product;
    const cudaDataType_t type = data_type(cuda);
    pdag_status status =
        check(cuda,
              cuda->lt->cublasLtMatrixLayoutCreate(&plan->w, type, p->k, p->n,
                                                   (int64_t)p->k),
              "layout");

    if (status == PDAG_OK)
        status = check(cuda,
                       cuda->lt->cublasLtMatrixLayoutCreate(
                           &plan->x, type, p->k, p->m, (int64_t)p->k),
                       "layout");
    if (status == PDAG_OK)
        status = check(cuda,
                       cuda->lt->cublasLtMatrixLayoutCreate(
                           &plan->y, p->wide ? CUDA_R_32F : type, p->n, p->m,
                           (int64_t)p->n),
                       "layout");
    return status;
}

/* The fastest algorithm that cuBLASLt believes in, if any; its choice depends on
   shapes, alignment and the device only. */
static pdag_status choose(pdag_cuda *cuda, pdag_cuda_plan *plan)
{
    const pdag_cuda_product *p = &plan->product;
    const uint32_t whole = 256; /* what the device's memory begins at */
    const uint32_t x = p->align[0];
    const uint32_t y = p->align[1];
    const uint32_t c = p->align[2];
    cublasLtMatmulHeuristicResult_t found;
    cublasStatus_t code;
    int n_found = 0;
    pdag_status status =
        prefer(cuda, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &whole,
               sizeof whole);

    if (status == PDAG_OK)
        status = prefer(cuda, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &x,
                        sizeof x);
    if (status == PDAG_OK)
        status = prefer(cuda, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &c,
                        sizeof c);
    if (status == PDAG_OK)
        status = prefer(cuda, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &y,
                        sizeof y);
    if (status != PDAG_OK)
        return status;
    code = cuda->lt->cublasLtMatmulAlgoGetHeuristic(
        cuda->lt_handle, plan->desc, plan->w, plan->x, plan->y, plan->y,
        cuda->preference, 1, &found, &n_found);
    if (code == CUBLAS_STATUS_NOT_SUPPORTED)
        return PDAG_OK;
    status = check(cuda, code, "heuristic");
    if (status != PDAG_OK || n_found == 0)
        return status;
    plan->usable = true;
    plan->algorithm = found.algo;
    plan->workspace = found.workspaceSize;
    return PDAG_OK;
}

/* The weight is read-only for callers, its plans are this backend's own. */
static pdag_status find_plan(pdag_cuda *cuda, const pdag_weight *weight,
                             const pdag_cuda_product *product,
                             pdag_cuda_plan **plan_out)
{
    union {
        const pdag_weight *shared;
        pdag_weight *own;
    } w = {weight};
    pdag_cuda_plan *plan = weight->plans;
    pdag_status status;

    while (plan != NULL && !same_product(&plan->product, product))
        plan = plan->next;
    if (plan != NULL) {
        *plan_out = plan;
        return PDAG_OK;
    }
    plan = pdag_xcalloc(1, sizeof *plan);
    plan->product = *product;
    status = describe(cuda, weight, plan);
    if (status == PDAG_OK)
        status = lay_out(cuda, plan);
    if (status == PDAG_OK)
        status = choose(cuda, plan);
    if (status != PDAG_OK) {
        destroy_plan(cuda, plan);
        return pdag_error_prefix(status, "%s: product of %zu x %zu and %zu x %zu",
                                 weight->name, product->m, product->k,
                                 product->n, product->k);
    }
    plan->next = w.own->plans;
    w.own->plans = plan;
    *plan_out = plan;
    return PDAG_OK;
}

/* The largest power of two up to 256 that divides an address. */
static unsigned alignment(const void *ptr)
{
    const uintptr_t address = (uintptr_t)ptr | 256;

    return (unsigned)(address & (~address + 1));
}

static pdag_status run_plan(pdag_cuda *cuda, const pdag_weight *w,
                            const pdag_cuda_plan *plan, const void *x,
                            const void *residual, void *y)
{
    const float one = 1.0f;
    const float beta = residual != NULL ? 1.0f : 0.0f;

    return check(cuda,
                 cuda->lt->cublasLtMatmul(
                     cuda->lt_handle, plan->desc, &one, w->matrix, plan->w, x,
                     plan->x, &beta, residual != NULL ? residual : y, plan->y, y,
                     plan->y, &plan->algorithm, cuda->work.ptr, plan->workspace,
                     cuda->stream),
                 w->name);
}

/* The product alone, in float32, and a kernel of our own behind it: act(x w^T +
   bias) + residual. */
static pdag_status multiply_apart(pdag_cuda *cuda, const pdag_weight *w, size_t m,
                                  const void *x, pdag_activation act,
                                  const void *residual, void *y)
{
    pdag_cuda_product product = {
        .m = m, .k = w->row, .n = w->shape.out, .wide = true};
    pdag_cuda_plan *plan = NULL;
    void *wide;
    pdag_status status = pdag_cuda_reserve(
        cuda, &cuda->aside, m * product.n * sizeof(float), w->name, &wide);

    if (status != PDAG_OK)
        return status;
    product.align[0] = alignment(x);
    product.align[1] = product.align[2] = alignment(wide);
    status = find_plan(cuda, w, &product, &plan);
    if (status == PDAG_OK && !plan->usable)
        status = pdag_error(PDAG_ERR_BACKEND,
                            "cuBLASLt: no algorithm for %s, a product of %zu x "
                            "%zu and %zu x %zu",
                            w->name, m, product.k, product.n, product.k);
    if (status == PDAG_OK)
        status = run_plan(cuda, w, plan, x, NULL, wide);
    if (status != PDAG_OK)
        return status;
    return pdag_cuda_check(pdag_cuda_epilogue(cuda->at, m, product.n,
                                              PDAG_CUDA_FLOAT32, wide,
                                              w->floats, act, residual, y),
                           w->name);
}

pdag_status pdag_cuda_multiply(pdag_cuda *cuda, const pdag_weight *w, size_t m,
                               const void *x, bool gelu, const void *residual,
                               void *y)
{
    const pdag_cuda_product product = {
        .m = m,
        .k = w->row,
        .n = w->shape.out,
        .align = {alignment(x), alignment(y),
                  alignment(residual != NULL ? residual : y)},
        .bias = w->bias != NULL,
        .residual = residual != NULL,
        .gelu = gelu};
    pdag_cuda_plan *plan = NULL;
    pdag_status status = find_plan(cuda, w, &product, &plan);

    if (status != PDAG_OK)
        return status;
    if (plan->usable)
        return run_plan(cuda, w, plan, x, residual, y);
    return multiply_apart(cuda, w, m, x,
                          gelu ? PDAG_ACT_GELU_TANH : PDAG_ACT_NONE, residual,
                          y);
}

/* cuBLASLt's own GELU is the tanh approximation; in float32 it may be a coarser
   one than ours. */
static bool fuses(const pdag_cuda *cuda, pdag_activation act,
                  const pdag_buf *residual)
{
    return act == PDAG_ACT_GELU_TANH && residual == NULL &&
           cuda->at.type != PDAG_CUDA_FLOAT32;
}

pdag_status pdag_cuda_linear(pdag_backend *be, const pdag_weight *w, size_t m,
                             const pdag_buf *x, pdag_activation act,
                             const pdag_buf *residual, pdag_buf *y)
{
    pdag_cuda *cuda = pdag_cuda_of(be);
    const size_t out = w->shape.out;
    const void *from = pdag_cuda_elements(be, x, m * w->shape.in);
    const void *plus =
        residual != NULL ? pdag_cuda_elements(be, residual, m * out) : NULL;
    void *to = pdag_cuda_elements(be, y, m * out);

    PDAG_ASSERT(w->kind == PDAG_WEIGHT_LINEAR);
    if (m == 0)
        return PDAG_OK;
    if (act == PDAG_ACT_NONE)
        return pdag_cuda_multiply(cuda, w, m, from, false, plus, to);
    if (fuses(cuda, act, residual))
        return pdag_cuda_multiply(cuda, w, m, from, true, NULL, to);
    return multiply_apart(cuda, w, m, from, act, plus, to);
}
