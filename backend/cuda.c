/* One NVIDIA device.  Everything is queued on one stream in call order: matrix
 * products through cuBLASLt, convolutions through cuDNN where it is there, the
 * rest our own kernels (cuda_kernels.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda_internal.h"
#include "base/mem.h"

static void close_space(pdag_cuda *cuda, pdag_cuda_space *space)
{
    pdag_cuda_give(cuda, space->ptr);
    *space = (pdag_cuda_space){NULL, 0};
}

static void cuda_close(pdag_backend *be)
{
    pdag_cuda *cuda = pdag_cuda_of(be);

    if (cuda == NULL)
        return;
    if (cuda->stream != NULL)
        cudaStreamSynchronize(cuda->stream);
    close_space(cuda, &cuda->staging);
    close_space(cuda, &cuda->work);
    close_space(cuda, &cuda->columns);
    close_space(cuda, &cuda->aside);
    close_space(cuda, &cuda->sums);
    pdag_cuda_dnn_close(cuda);
    pdag_cuda_lt_close(cuda);
    pdag_cuda_slots_destroy(cuda);
    if (cuda->stream != NULL)
        cudaStreamDestroy(cuda->stream);
    free(cuda);
}

static pdag_status count_devices(int *n_out)
{
    cudaError_t code = cudaGetDeviceCount(n_out);
    int driver = 0;

    if (code == cudaSuccess && *n_out > 0)
        return PDAG_OK;
    cudaGetLastError();
    /* CUDA says of a driver that is not there that it is too old. */
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "backend cuda: there is no NVIDIA driver");
    return pdag_error(PDAG_ERR_UNSUPPORTED, "backend cuda: %s",
                      cudaGetErrorString(code == cudaSuccess ? cudaErrorNoDevice
                                                             : code));
}

static int cuda_n_devices(void)
{
    int n;

    return count_devices(&n) == PDAG_OK ? n : 0;
}

static pdag_status check_device(int device, pdag_precision precision,
                                struct cudaDeviceProp *properties_out)
{
    int n;
    pdag_status status = count_devices(&n);

    if (status != PDAG_OK)
        return status;
    if (device < 0 || device >= n)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "backend cuda: there is no device %d, only %d of them",
                          device, n);
    status = pdag_cuda_check(cudaGetDeviceProperties(properties_out, device),
                             "properties");
    if (status != PDAG_OK)
        return status;
    if ((precision == PDAG_PRECISION_BFLOAT16 ||
         precision == PDAG_PRECISION_TF32) &&
        properties_out->major < 8)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "backend cuda: %s needs compute capability 8.0, %s "
                          "has %d.%d",
                          pdag_precision_name(precision), properties_out->name,
                          properties_out->major, properties_out->minor);
    return PDAG_OK;
}

/* Memory that is given back stays with the process: networks take the same
   buffers again. */
static pdag_status find_pool(pdag_cuda *cuda)
{
    unsigned long long keep = ~0ull;
    int supported = 0;
    cudaMemPool_t pool;
    pdag_status status = pdag_cuda_check(
        cudaDeviceGetAttribute(&supported, cudaDevAttrMemoryPoolsSupported,
                               cuda->device),
        "memory pools");

    if (status != PDAG_OK || !supported)
        return status;
    status = pdag_cuda_check(
        cudaDeviceGetDefaultMemPool(&pool, cuda->device), "memory pool");
    if (status == PDAG_OK)
        status = pdag_cuda_check(
            cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold,
                                    &keep),
            "memory pool");
    cuda->pooled = status == PDAG_OK;
    return status;
}

static void describe(pdag_cuda *cuda, const struct cudaDeviceProp *properties)
{
    const unsigned lt = (unsigned)cuda->lt->cublasLtGetVersion() % 1000000;
    char dnn[24];
    char device[40];
    int runtime = 0;

    cudaRuntimeGetVersion(&runtime);
    pdag_cuda_dnn_version(cuda, sizeof dnn, dnn);
    snprintf(device, sizeof device, "%.39s", properties->name);
    snprintf(cuda->base.description, sizeof cuda->base.description,
             "%s%s (sm_%d), CUDA %d.%d, cuBLASLt %u.%u.%u, %s",
             strncmp(device, "NVIDIA", 6) == 0 ? "" : "NVIDIA ", device,
             cuda->capability % 1000, runtime / 1000 % 100, runtime % 1000 / 10,
             lt / 10000, lt % 10000 / 100, lt % 100, dnn);
}

static pdag_status start(pdag_cuda *cuda)
{
    pdag_status status =
        pdag_cuda_check(cudaSetDevice(cuda->device), "device");

    if (status == PDAG_OK)
        status = pdag_cuda_check(
            cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking),
            "stream");
    cuda->at.stream = cuda->stream;
    if (status == PDAG_OK)
        status = find_pool(cuda);
    if (status == PDAG_OK)
        status = pdag_cuda_slots_create(cuda);
    if (status == PDAG_OK)
        status = pdag_cuda_lt_open(cuda);
    if (status == PDAG_OK)
        status = pdag_cuda_dnn_open(cuda);
    return status;
}

static pdag_status cuda_open(int device, pdag_precision precision,
                             pdag_backend **be_out)
{
    struct cudaDeviceProp properties;
    pdag_cuda *cuda;
    pdag_status status = check_device(device, precision, &properties);

    if (status != PDAG_OK)
        return status;
    cuda = pdag_xcalloc(1, sizeof *cuda);
    cuda->base.ops = &pdag_backend_cuda;
    cuda->base.precision = precision;
    cuda->at.type = precision == PDAG_PRECISION_BFLOAT16  ? PDAG_CUDA_BFLOAT16
                    : precision == PDAG_PRECISION_FLOAT16 ? PDAG_CUDA_FLOAT16
                                                          : PDAG_CUDA_FLOAT32;
    cuda->base.act_size = cuda->at.type == PDAG_CUDA_FLOAT32 ? 4 : 2;
    cuda->device = device;
    cuda->capability = 10 * properties.major + properties.minor;
    status = start(cuda);
    if (status != PDAG_OK) {
        cuda_close(&cuda->base);
        return status;
    }
    describe(cuda, &properties);
    *be_out = &cuda->base;
    return PDAG_OK;
}

/* Operations that are one kernel. */

static const float *vector(const pdag_weight *w, size_t n)
{
    if (w == NULL)
        return NULL;
    PDAG_ASSERT(w->kind == PDAG_WEIGHT_VECTOR && w->shape.out == n);
    return w->floats;
}

static pdag_status cuda_group_norm(pdag_backend *be, size_t b, size_t p,
                                   size_t c, size_t groups, float eps,
                                   const pdag_weight *gamma,
                                   const pdag_weight *beta, const pdag_buf *add,
                                   pdag_activation act, const pdag_buf *x,
                                   pdag_buf *y)
{
    pdag_cuda *cuda = pdag_cuda_of(be);
    pdag_cuda_group_norm norm = {.b = b,
                                 .p = p,
                                 .c = c,
                                 .groups = groups,
                                 .eps = eps,
                                 .gamma = vector(gamma, c),
                                 .beta = vector(beta, c),
                                 .act = act};
    void *sums;
    pdag_status status;

    PDAG_ASSERT(groups > 0 && c % groups == 0);
    norm.x = pdag_cuda_elements(be, x, b * p * c);
    norm.y = pdag_cuda_elements(be, y, b * p * c);
    norm.add = add != NULL ? pdag_cuda_elements(be, add, b * c) : NULL;
    status = pdag_cuda_reserve(
        cuda, &cuda->sums,
        pdag_cuda_group_norm_floats(b, p, c, groups) * sizeof(float),
        "group norm", &sums);
    if (status != PDAG_OK)
        return status;
    norm.workspace = sums;
    return pdag_cuda_check(pdag_cuda_group_normalise(cuda->at, &norm),
                           "group norm");
}

static pdag_status cuda_layer_norm(pdag_backend *be, size_t m, size_t c,
                                   float eps, const pdag_weight *gamma,
                                   const pdag_weight *beta, const pdag_buf *x,
                                   pdag_buf *y)
{
    return pdag_cuda_check(
        pdag_cuda_layer_norm(pdag_cuda_of(be)->at, m, c, eps, vector(gamma, c),
                             vector(beta, c), pdag_cuda_elements(be, x, m * c),
                             pdag_cuda_elements(be, y, m * c)),
        "layer norm");
}

/* The slice must fit its buffer. */
static pdag_cuda_rows rows_of(const pdag_backend *be, const pdag_attention *a,
                              const pdag_slice *slice, size_t rows)
{
    const size_t last = slice->offset + (a->batch - 1) * slice->batch_stride +
                        (rows - 1) * slice->row_stride + a->heads * a->head_dim;
    char *ptr = pdag_cuda_elements(be, slice->buf, last);

    return (pdag_cuda_rows){ptr + slice->offset * be->act_size,
                            slice->batch_stride, slice->row_stride};
}

static bool has_matrix_unit(const pdag_cuda *cuda)
{
    switch (cuda->at.type) {
    case PDAG_CUDA_BFLOAT16:
        return cuda->capability >= 80;
    case PDAG_CUDA_FLOAT16:
        return cuda->capability >= 75;
    case PDAG_CUDA_FLOAT32:
        break;
    }
    return false;
}

static pdag_status cuda_attention(pdag_backend *be, const pdag_attention *a)
{
    pdag_cuda *cuda = pdag_cuda_of(be);
    const pdag_cuda_attention call = {.batch = a->batch,
                                      .heads = a->heads,
                                      .head_dim = a->head_dim,
                                      .n_q = a->n_q,
                                      .n_kv = a->n_kv,
                                      .scale = a->scale,
                                      .causal = a->causal,
                                      .matrix_unit = has_matrix_unit(cuda),
                                      .q = rows_of(be, a, &a->q, a->n_q),
                                      .k = rows_of(be, a, &a->k, a->n_kv),
                                      .v = rows_of(be, a, &a->v, a->n_kv),
                                      .y = rows_of(be, a, &a->y, a->n_q)};

    PDAG_ASSERT(!a->causal || a->n_q == a->n_kv);
    return pdag_cuda_check(pdag_cuda_attend(cuda->at, &call), "attention");
}

static pdag_status cuda_geglu(pdag_backend *be, size_t m, size_t n,
                              const pdag_buf *x, pdag_buf *y)
{
    return pdag_cuda_check(
        pdag_cuda_geglu(pdag_cuda_of(be)->at, m, n,
                        pdag_cuda_elements(be, x, m * 2 * n),
                        pdag_cuda_elements(be, y, m * n)),
        "geglu");
}

static pdag_status cuda_activate(pdag_backend *be, size_t n,
                                 pdag_activation act, const pdag_buf *x,
                                 pdag_buf *y)
{
    return pdag_cuda_check(pdag_cuda_activate(pdag_cuda_of(be)->at, n, act,
                                              pdag_cuda_elements(be, x, n),
                                              pdag_cuda_elements(be, y, n)),
                           "activation");
}

static pdag_status cuda_add(pdag_backend *be, size_t n, const pdag_buf *a,
                            const pdag_buf *b, pdag_buf *y)
{
    return pdag_cuda_check(pdag_cuda_add(pdag_cuda_of(be)->at, n,
                                         pdag_cuda_elements(be, a, n),
                                         pdag_cuda_elements(be, b, n),
                                         pdag_cuda_elements(be, y, n)),
                           "add");
}

static pdag_status cuda_scale(pdag_backend *be, size_t n, float s,
                              const pdag_buf *x, pdag_buf *y)
{
    return pdag_cuda_check(pdag_cuda_scale(pdag_cuda_of(be)->at, n, s,
                                           pdag_cuda_elements(be, x, n),
                                           pdag_cuda_elements(be, y, n)),
                           "scale");
}

/* Element 0 of image 0 of scale, shift or gate: [b][c]. */
static const void *image_row(const pdag_backend *be, const pdag_slice *slice,
                             size_t b, size_t c)
{
    const char *ptr = pdag_cuda_elements(
        be, slice->buf, slice->offset + (b - 1) * slice->batch_stride + c);

    return ptr + slice->offset * be->act_size;
}

static pdag_status cuda_modulate(pdag_backend *be, size_t b, size_t p, size_t c,
                                 float one, const pdag_slice *scale,
                                 const pdag_slice *shift, const pdag_buf *x,
                                 pdag_buf *y)
{
    return pdag_cuda_check(
        pdag_cuda_modulate(pdag_cuda_of(be)->at, b, p, c, one,
                           image_row(be, scale, b, c), scale->batch_stride,
                           image_row(be, shift, b, c), shift->batch_stride,
                           pdag_cuda_elements(be, x, b * p * c),
                           pdag_cuda_elements(be, y, b * p * c)),
        "modulate");
}

static pdag_status cuda_gated_add(pdag_backend *be, size_t b, size_t p,
                                  size_t c, const pdag_slice *gate,
                                  const pdag_buf *h, const pdag_buf *x,
                                  pdag_buf *y)
{
    return pdag_cuda_check(
        pdag_cuda_gated_add(pdag_cuda_of(be)->at, b, p, c,
                            image_row(be, gate, b, c), gate->batch_stride,
                            pdag_cuda_elements(be, h, b * p * c),
                            pdag_cuda_elements(be, x, b * p * c),
                            pdag_cuda_elements(be, y, b * p * c)),
        "gated add");
}

static pdag_status cuda_concat(pdag_backend *be, size_t m, size_t ca,
                               const pdag_buf *a, size_t cb, const pdag_buf *b,
                               pdag_buf *y)
{
    return pdag_cuda_check(
        pdag_cuda_concat(pdag_cuda_of(be)->at, m, ca,
                         pdag_cuda_elements(be, a, m * ca), cb,
                         pdag_cuda_elements(be, b, m * cb),
                         pdag_cuda_elements(be, y, m * (ca + cb))),
        "concat");
}

static pdag_status cuda_upsample(pdag_backend *be, size_t b, size_t h, size_t w,
                                 size_t c, size_t oh, size_t ow,
                                 const pdag_buf *x, pdag_buf *y)
{
    return pdag_cuda_check(
        pdag_cuda_upsample(pdag_cuda_of(be)->at, b, h, w, c, oh, ow,
                           pdag_cuda_elements(be, x, b * h * w * c),
                           pdag_cuda_elements(be, y, b * oh * ow * c)),
        "upsample");
}

static pdag_status cuda_avg_pool2(pdag_backend *be, size_t b, size_t h,
                                  size_t w, size_t c, const pdag_buf *x,
                                  pdag_buf *y)
{
    PDAG_ASSERT(h % 2 == 0 && w % 2 == 0);
    return pdag_cuda_check(
        pdag_cuda_avg_pool2(pdag_cuda_of(be)->at, b, h, w, c,
                            pdag_cuda_elements(be, x, b * h * w * c),
                            pdag_cuda_elements(be, y,
                                               b * (h / 2) * (w / 2) * c)),
        "pool");
}

const pdag_backend_ops pdag_backend_cuda = {
    .name = "cuda",
    .priority = 20,
    .open = cuda_open,
    .close = cuda_close,
    .alloc = pdag_cuda_alloc,
    .free = pdag_cuda_free,
    .sync = pdag_cuda_sync,
    .weight_create = pdag_cuda_weight_create,
    .weight_destroy = pdag_cuda_weight_destroy,
    .upload = pdag_cuda_upload,
    .download = pdag_cuda_download,
    .upload_planes = pdag_cuda_upload_planes,
    .download_planes = pdag_cuda_download_planes,
    .linear = pdag_cuda_linear,
    .conv2d = pdag_cuda_conv2d,
    .group_norm = cuda_group_norm,
    .layer_norm = cuda_layer_norm,
    .attention = cuda_attention,
    .geglu = cuda_geglu,
    .activate = cuda_activate,
    .add = cuda_add,
    .scale = cuda_scale,
    .modulate = cuda_modulate,
    .gated_add = cuda_gated_add,
    .concat = cuda_concat,
    .upsample = cuda_upsample,
    .avg_pool2 = cuda_avg_pool2,
    .n_devices = cuda_n_devices,
    .record_begin = pdag_cuda_record_begin,
    .record_end = pdag_cuda_record_end,
    .replay = pdag_cuda_replay,
    .recording_destroy = pdag_cuda_recording_destroy,
};
