/* oneDNN on the CPU: dense operations are its primitives, the rest our own
 * loops (cpu_kernels.h).  Everything runs when it is called, so sync() has
 * nothing to wait for. */
#include "backend/backend.h"

#ifdef PDAG_HAVE_OMP
#include <omp.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/onednn_internal.h"
#include "base/mem.h"

static void onednn_close(pdag_backend *be)
{
    pdag_onednn *dnn = pdag_onednn_of(be);

    if (dnn == NULL)
        return;
    pdag_onednn_plans_destroy(dnn->products);
    if (dnn->stream != NULL)
        dnnl_stream_destroy(dnn->stream);
    if (dnn->engine != NULL)
        dnnl_engine_destroy(dnn->engine);
    free(dnn->scratch.ptr);
    free(dnn->work.ptr);
    free(dnn);
}

/* bfloat16 primitives exist from AVX-512 on. */
static bool has_isa(dnnl_cpu_isa_t isa)
{
    const unsigned needed = (unsigned)isa;

    return ((unsigned)dnnl_get_effective_cpu_isa() & needed) == needed;
}

static pdag_status check_open(int device, pdag_precision precision)
{
    if (device != 0)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "backend onednn: there is no device %d, only 0",
                          device);
    if (precision != PDAG_PRECISION_FLOAT32 &&
        precision != PDAG_PRECISION_BFLOAT16)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "backend onednn: %s is not supported on a CPU, only "
                          "float32 and bfloat16",
                          pdag_precision_name(precision));
    if (precision == PDAG_PRECISION_BFLOAT16 &&
        !has_isa(dnnl_cpu_isa_avx512_core))
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "backend onednn: bfloat16 needs a CPU with AVX-512");
    return PDAG_OK;
}

/* What oneDNN's kernels are chosen by: ranks that differ here may differ in their
   last bits, and run.json must say so. */
static const char *isa_name(void)
{
    if (has_isa(dnnl_cpu_isa_avx512_core_amx))
        return "AMX";
    if (has_isa(dnnl_cpu_isa_avx512_core_bf16))
        return "AVX512-BF16";
    if (has_isa(dnnl_cpu_isa_avx512_core))
        return "AVX-512";
    return has_isa(dnnl_cpu_isa_avx2) ? "AVX2" : "SSE or AVX";
}

/* One thread a process unless the user asks for more: ranks are the
   parallelism, threads that wait spin on the cores of other ranks, and their
   number must not change the bits. */
static void limit_threads(void)
{
#ifdef PDAG_HAVE_OMP
    if (getenv("OMP_NUM_THREADS") == NULL)
        omp_set_num_threads(1);
#endif
}

static pdag_status onednn_open(int device, pdag_precision precision,
                               pdag_backend **be_out)
{
    const bool bf16 = precision == PDAG_PRECISION_BFLOAT16;
    const dnnl_version_t *version = dnnl_version();
    pdag_onednn *dnn;
    pdag_status status = check_open(device, precision);

    if (status != PDAG_OK)
        return status;
    limit_threads();
    dnn = pdag_xcalloc(1, sizeof *dnn);
    dnn->base.ops = &pdag_backend_onednn;
    dnn->base.precision = precision;
    dnn->base.act_size = bf16 ? 2 : 4;
    dnn->type = bf16 ? dnnl_bf16 : dnnl_f32;
    dnn->kernels = pdag_cpu_kernels_select(bf16);
    dnn->matrix_unit = bf16 && has_isa(dnnl_cpu_isa_avx512_core_amx);
    dnn->winograd = !dnn->matrix_unit && has_isa(dnnl_cpu_isa_avx512_core);
    snprintf(dnn->base.description, sizeof dnn->base.description,
             "CPU (%s), oneDNN %d.%d.%d, %s loops", isa_name(), version->major,
             version->minor, version->patch, dnn->kernels->isa);
    status = pdag_dnn_check(dnnl_engine_create(&dnn->engine, dnnl_cpu, 0),
                            "CPU engine");
    if (status == PDAG_OK)
        status = pdag_dnn_check(
            dnnl_stream_create(&dnn->stream, dnn->engine, dnnl_stream_in_order),
            "stream");
    if (status != PDAG_OK) {
        onednn_close(&dnn->base);
        return status;
    }
    *be_out = &dnn->base;
    return PDAG_OK;
}

pdag_status pdag_onednn_reserve(pdag_onednn_space *space, size_t bytes,
                                void **ptr_out)
{
    if (bytes > space->bytes) {
        void *ptr;
        pdag_status status =
            pdag_alloc_tensor(bytes, 1, "backend onednn: scratch", &ptr);

        if (status != PDAG_OK)
            return status;
        free(space->ptr);
        space->ptr = ptr;
        space->bytes = bytes;
    }
    *ptr_out = space->ptr;
    return PDAG_OK;
}

static pdag_status onednn_alloc(pdag_backend *be, size_t bytes,
                                pdag_buf *buf_out)
{
    void *memory;
    pdag_status status =
        pdag_alloc_tensor(bytes, 1, "backend onednn: buffer", &memory);

    (void)be;
    if (status != PDAG_OK)
        return status;
    *buf_out = (pdag_buf){memory, bytes, PDAG_MEM_HOST, true};
    return PDAG_OK;
}

static void onednn_free(pdag_backend *be, pdag_buf *buf)
{
    (void)be;
    if (buf == NULL || !buf->owned)
        return;
    free(buf->ptr);
    *buf = (pdag_buf){NULL, 0, PDAG_MEM_HOST, false};
}

static pdag_status onednn_sync(pdag_backend *be)
{
    return pdag_dnn_check(dnnl_stream_wait(pdag_onednn_of(be)->stream), "sync");
}

static pdag_status onednn_upload(pdag_backend *be, size_t n, const float *host,
                                 pdag_buf *y)
{
    pdag_onednn_of(be)->kernels->narrow(n, host,
                                        pdag_onednn_elements(be, y, n));
    return PDAG_OK;
}

static pdag_status onednn_download(pdag_backend *be, size_t n,
                                   const pdag_buf *x, float *host)
{
    pdag_onednn_of(be)->kernels->widen(n, pdag_onednn_elements(be, x, n), host);
    return PDAG_OK;
}

/* Pictures have few channels here (latents, pixels), so each is copied with a
 * stride. */
static pdag_status onednn_upload_planes(pdag_backend *be, size_t b, size_t c,
                                        size_t p, const float *host,
                                        pdag_buf *y)
{
    void *to = pdag_onednn_elements(be, y, b * c * p);

    for (size_t i = 0; i < b; i++)
        for (size_t j = 0; j < c; j++) {
            const float *plane = host + (i * c + j) * p;
            const size_t at = i * p * c + j;

            if (be->act_size == 4)
                for (size_t r = 0; r < p; r++)
                    ((float *)to)[at + r * c] = plane[r];
            else
                for (size_t r = 0; r < p; r++)
                    ((uint16_t *)to)[at + r * c] = pdag_f32_to_bf16(plane[r]);
        }
    return PDAG_OK;
}

static pdag_status onednn_download_planes(pdag_backend *be, size_t b, size_t c,
                                          size_t p, const pdag_buf *x,
                                          float *host)
{
    const void *from = pdag_onednn_elements(be, x, b * c * p);

    for (size_t i = 0; i < b; i++)
        for (size_t j = 0; j < c; j++) {
            float *plane = host + (i * c + j) * p;
            const size_t at = i * p * c + j;

            if (be->act_size == 4)
                for (size_t r = 0; r < p; r++)
                    plane[r] = ((const float *)from)[at + r * c];
            else
                for (size_t r = 0; r < p; r++)
                    plane[r] =
                        pdag_bf16_to_f32(((const uint16_t *)from)[at + r * c]);
        }
    return PDAG_OK;
}

static const float *vector(const pdag_weight *w, size_t n)
{
    if (w == NULL)
        return NULL;
    PDAG_ASSERT(w->kind == PDAG_WEIGHT_VECTOR && w->shape.out == n);
    return w->vector;
}

static pdag_status onednn_group_norm(pdag_backend *be, size_t b, size_t p,
                                     size_t c, size_t groups, float eps,
                                     const pdag_weight *gamma,
                                     const pdag_weight *beta,
                                     const pdag_buf *add, pdag_activation act,
                                     const pdag_buf *x, pdag_buf *y)
{
    pdag_onednn *dnn = pdag_onednn_of(be);
    const size_t image = p * c * be->act_size;
    pdag_cpu_norm norm = {p,    c,   groups, eps,  NULL, NULL,
                          NULL, act, NULL,   NULL, NULL};
    const char *from = pdag_onednn_elements(be, x, b * p * c);
    char *to = pdag_onednn_elements(be, y, b * p * c);
    const char *plus =
        add != NULL ? pdag_onednn_elements(be, add, b * c) : NULL;
    void *scratch;
    pdag_status status = pdag_onednn_reserve(
        &dnn->work, PDAG_CPU_NORM_SCRATCH * c * sizeof(float), &scratch);

    if (status != PDAG_OK)
        return status;
    PDAG_ASSERT(groups > 0 && c % groups == 0);
    PDAG_ASSERT(act == PDAG_ACT_NONE || act == PDAG_ACT_SILU ||
                act == PDAG_ACT_MISH);
    norm.gamma = vector(gamma, c);
    norm.beta = vector(beta, c);
    norm.scratch = scratch;
    for (size_t i = 0; i < b; i++) {
        norm.x = from + i * image;
        norm.y = to + i * image;
        norm.add = plus != NULL ? plus + i * c * be->act_size : NULL;
        dnn->kernels->group_norm(&norm);
    }
    return PDAG_OK;
}

static pdag_status onednn_layer_norm(pdag_backend *be, size_t m, size_t c,
                                     float eps, const pdag_weight *gamma,
                                     const pdag_weight *beta, const pdag_buf *x,
                                     pdag_buf *y)
{
    pdag_onednn_of(be)->kernels->layer_norm(
        m, c, eps, vector(gamma, c), vector(beta, c),
        pdag_onednn_elements(be, x, m * c), pdag_onednn_elements(be, y, m * c));
    return PDAG_OK;
}

static pdag_status onednn_geglu(pdag_backend *be, size_t m, size_t n,
                                const pdag_buf *x, pdag_buf *y)
{
    pdag_onednn_of(be)->kernels->geglu(m, n,
                                       pdag_onednn_elements(be, x, m * 2 * n),
                                       pdag_onednn_elements(be, y, m * n));
    return PDAG_OK;
}

static pdag_status onednn_activate(pdag_backend *be, size_t n,
                                   pdag_activation act, const pdag_buf *x,
                                   pdag_buf *y)
{
    pdag_onednn_of(be)->kernels->activate(
        n, act, pdag_onednn_elements(be, x, n), pdag_onednn_elements(be, y, n));
    return PDAG_OK;
}

static pdag_status onednn_add(pdag_backend *be, size_t n, const pdag_buf *a,
                              const pdag_buf *b, pdag_buf *y)
{
    pdag_onednn_of(be)->kernels->add(n, pdag_onednn_elements(be, a, n),
                                     pdag_onednn_elements(be, b, n),
                                     pdag_onednn_elements(be, y, n));
    return PDAG_OK;
}

static pdag_status onednn_scale(pdag_backend *be, size_t n, float s,
                                const pdag_buf *x, pdag_buf *y)
{
    pdag_onednn_of(be)->kernels->scale(n, s, pdag_onednn_elements(be, x, n),
                                       pdag_onednn_elements(be, y, n));
    return PDAG_OK;
}

/* The [c] elements of image b of a slice. */
static const char *slice_row(const pdag_backend *be, const pdag_slice *slice,
                             size_t b, size_t c)
{
    const size_t first = slice->offset + b * slice->batch_stride;
    const char *from = pdag_onednn_elements(be, slice->buf, first + c);

    return from + first * be->act_size;
}

static pdag_status onednn_modulate(pdag_backend *be, size_t b, size_t p,
                                   size_t c, float one, const pdag_slice *scale,
                                   const pdag_slice *shift, const pdag_buf *x,
                                   pdag_buf *y)
{
    const size_t image = p * c * be->act_size;
    const char *from = pdag_onednn_elements(be, x, b * p * c);
    char *to = pdag_onednn_elements(be, y, b * p * c);

    for (size_t i = 0; i < b; i++)
        pdag_onednn_of(be)->kernels->modulate(
            p, c, one, slice_row(be, scale, i, c), slice_row(be, shift, i, c),
            from + i * image, to + i * image);
    return PDAG_OK;
}

static pdag_status onednn_gated_add(pdag_backend *be, size_t b, size_t p,
                                    size_t c, const pdag_slice *gate,
                                    const pdag_buf *h, const pdag_buf *x,
                                    pdag_buf *y)
{
    const size_t image = p * c * be->act_size;
    const char *plus = pdag_onednn_elements(be, h, b * p * c);
    const char *from = pdag_onednn_elements(be, x, b * p * c);
    char *to = pdag_onednn_elements(be, y, b * p * c);

    for (size_t i = 0; i < b; i++)
        pdag_onednn_of(be)->kernels->gated_add(
            p, c, slice_row(be, gate, i, c), plus + i * image,
            from + i * image, to + i * image);
    return PDAG_OK;
}

static pdag_status onednn_concat(pdag_backend *be, size_t m, size_t ca,
                                 const pdag_buf *a, size_t cb,
                                 const pdag_buf *b, pdag_buf *y)
{
    const size_t left = ca * be->act_size;
    const size_t right = cb * be->act_size;
    const char *x = pdag_onednn_elements(be, a, m * ca);
    const char *z = pdag_onednn_elements(be, b, m * cb);
    char *to = pdag_onednn_elements(be, y, m * (ca + cb));

    for (size_t r = 0; r < m; r++) {
        memcpy(to, x + r * left, left);
        memcpy(to + left, z + r * right, right);
        to += left + right;
    }
    return PDAG_OK;
}

static pdag_status onednn_upsample(pdag_backend *be, size_t b, size_t h,
                                   size_t w, size_t c, size_t oh, size_t ow,
                                   const pdag_buf *x, pdag_buf *y)
{
    const size_t bytes = c * be->act_size;
    const char *from = pdag_onednn_elements(be, x, b * h * w * c);
    char *to = pdag_onednn_elements(be, y, b * oh * ow * c);

    for (size_t image = 0; image < b; image++)
        for (size_t i = 0; i < oh; i++)
            for (size_t j = 0; j < ow; j++) {
                const size_t at = (image * h + i * h / oh) * w + j * w / ow;

                memcpy(to, from + at * bytes, bytes);
                to += bytes;
            }
    return PDAG_OK;
}

static pdag_status onednn_avg_pool2(pdag_backend *be, size_t b, size_t h,
                                    size_t w, size_t c, const pdag_buf *x,
                                    pdag_buf *y)
{
    const size_t row = w * c * be->act_size;
    const char *from = pdag_onednn_elements(be, x, b * h * w * c);
    char *to = pdag_onednn_elements(be, y, b * (h / 2) * (w / 2) * c);

    PDAG_ASSERT(h % 2 == 0 && w % 2 == 0);
    for (size_t i = 0; i < b * (h / 2); i++)
        pdag_onednn_of(be)->kernels->avg_pool2(w / 2, c, from + 2 * i * row,
                                               from + (2 * i + 1) * row,
                                               to + i * (row / 2));
    return PDAG_OK;
}

const pdag_backend_ops pdag_backend_onednn = {
    .name = "onednn",
    .priority = 10,
    .open = onednn_open,
    .close = onednn_close,
    .alloc = onednn_alloc,
    .free = onednn_free,
    .sync = onednn_sync,
    .weight_create = pdag_onednn_weight_create,
    .weight_destroy = pdag_onednn_weight_destroy,
    .upload = onednn_upload,
    .download = onednn_download,
    .upload_planes = onednn_upload_planes,
    .download_planes = onednn_download_planes,
    .linear = pdag_onednn_linear,
    .conv2d = pdag_onednn_conv2d,
    .group_norm = onednn_group_norm,
    .layer_norm = onednn_layer_norm,
    .attention = pdag_onednn_attention,
    .geglu = onednn_geglu,
    .activate = onednn_activate,
    .add = onednn_add,
    .scale = onednn_scale,
    .modulate = onednn_modulate,
    .gated_add = onednn_gated_add,
    .concat = onednn_concat,
    .upsample = onednn_upsample,
    .avg_pool2 = onednn_avg_pool2,
};
