/* The definition of every operation: float32 values, float64 sums, plain loops.
 * Slow on purpose where speed would cost a second look. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/ref_internal.h"
#include "base/mem.h"

static void ref_close(pdag_backend *be)
{
    pdag_ref *ref = (pdag_ref *)be;

    if (ref == NULL)
        return;
    free(ref->row);
    free(ref);
}

static pdag_status ref_open(int device, pdag_precision precision,
                            pdag_backend **be_out)
{
    pdag_ref *ref;

    if (precision != PDAG_PRECISION_FLOAT32)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "backend ref: %s is not supported, only float32",
                          pdag_precision_name(precision));
    if (device != 0)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "backend ref: there is no device %d, only 0", device);
    ref = pdag_xcalloc(1, sizeof *ref);
    ref->base.ops = &pdag_backend_ref;
    ref->base.precision = precision;
    ref->base.act_size = sizeof(float);
    snprintf(ref->base.description, sizeof ref->base.description,
             "CPU, plain C loops");
    *be_out = &ref->base;
    return PDAG_OK;
}

pdag_status pdag_ref_row(pdag_backend *be, size_t count, double **row_out)
{
    pdag_ref *ref = (pdag_ref *)be;

    if (count > ref->row_count) {
        void *row;
        pdag_status status = pdag_alloc_tensor(count, sizeof *ref->row,
                                               "backend ref: row", &row);

        if (status != PDAG_OK)
            return status;
        free(ref->row);
        ref->row = row;
        ref->row_count = count;
    }
    *row_out = ref->row;
    return PDAG_OK;
}

static pdag_status ref_alloc(pdag_backend *be, size_t bytes, pdag_buf *buf_out)
{
    void *memory;
    pdag_status status =
        pdag_alloc_tensor(bytes, 1, "backend ref: buffer", &memory);

    (void)be;
    if (status != PDAG_OK)
        return status;
    *buf_out = (pdag_buf){memory, bytes, PDAG_MEM_HOST, true};
    return PDAG_OK;
}

static void ref_free(pdag_backend *be, pdag_buf *buf)
{
    (void)be;
    if (buf == NULL || !buf->owned)
        return;
    free(buf->ptr);
    *buf = (pdag_buf){NULL, 0, PDAG_MEM_HOST, false};
}

static pdag_status ref_sync(pdag_backend *be)
{
    (void)be;
    return PDAG_OK;
}

static void ref_weight_destroy(pdag_backend *be, pdag_weight *weight)
{
    (void)be;
    if (weight == NULL)
        return;
    free(weight->values);
    free(weight->bias);
    free(weight);
}

/* [out][in][kh][kw] in the file, [kh][kw][in][out] here: the innermost loop of
 * a product runs over contiguous outputs. */
static void transpose_row(const pdag_weight_shape *s, size_t o,
                          const float *row, float *values)
{
    for (size_t i = 0; i < s->in; i++)
        for (size_t k = 0; k < s->kh * s->kw; k++)
            values[(k * s->in + i) * s->out + o] = row[i * s->kh * s->kw + k];
}

static pdag_status fill_weight(const pdag_weight_desc *desc, pdag_weight *w)
{
    size_t row = w->shape.in * w->shape.kh * w->shape.kw;
    const char *what = desc->part[0]->name;
    void *one_row;
    void *memory;
    pdag_status status =
        pdag_alloc_tensor(row * w->shape.out, sizeof(float), what, &memory);

    if (status != PDAG_OK)
        return status;
    w->values = memory;
    if (desc->bias[0] != NULL) {
        status = pdag_alloc_tensor(w->shape.out, sizeof(float), what, &memory);
        if (status != PDAG_OK)
            return status;
        w->bias = memory;
        pdag_weight_read_bias(desc, w->bias);
    }
    status = pdag_alloc_tensor(row, sizeof(float), what, &one_row);
    if (status != PDAG_OK)
        return status;
    for (size_t o = 0; o < w->shape.out; o++) {
        pdag_weight_read_rows(desc, &w->shape, o, 1, one_row);
        transpose_row(&w->shape, o, one_row, w->values);
    }
    free(one_row);
    return PDAG_OK;
}

static pdag_status ref_weight_create(pdag_backend *be,
                                     const pdag_weight_desc *desc,
                                     pdag_weight **weight_out)
{
    pdag_weight_shape shape;
    pdag_status status = pdag_weight_check(desc, &shape);
    pdag_weight *w;

    if (status != PDAG_OK)
        return status;
    w = pdag_xcalloc(1, sizeof *w);
    w->kind = desc->kind;
    w->shape = shape;
    status = fill_weight(desc, w);
    if (status != PDAG_OK) {
        ref_weight_destroy(be, w);
        return status;
    }
    *weight_out = w;
    return PDAG_OK;
}

static pdag_status ref_upload(pdag_backend *be, size_t n, const float *host,
                              pdag_buf *y)
{
    (void)be;
    memcpy(pdag_ref_floats(y, n), host, n * sizeof *host);
    return PDAG_OK;
}

static pdag_status ref_download(pdag_backend *be, size_t n, const pdag_buf *x,
                                float *host)
{
    (void)be;
    memcpy(host, pdag_ref_floats(x, n), n * sizeof *host);
    return PDAG_OK;
}

static pdag_status ref_upload_planes(pdag_backend *be, size_t b, size_t c,
                                     size_t p, const float *host, pdag_buf *y)
{
    float *to = pdag_ref_floats(y, b * c * p);

    (void)be;
    for (size_t i = 0; i < b; i++)
        for (size_t r = 0; r < p; r++)
            for (size_t j = 0; j < c; j++)
                to[(i * p + r) * c + j] = host[(i * c + j) * p + r];
    return PDAG_OK;
}

static pdag_status ref_download_planes(pdag_backend *be, size_t b, size_t c,
                                       size_t p, const pdag_buf *x, float *host)
{
    const float *from = pdag_ref_floats(x, b * c * p);

    (void)be;
    for (size_t i = 0; i < b; i++)
        for (size_t j = 0; j < c; j++)
            for (size_t r = 0; r < p; r++)
                host[(i * c + j) * p + r] = from[(i * p + r) * c + j];
    return PDAG_OK;
}

double pdag_ref_activation(pdag_activation act, double x)
{
    const double sqrt_half = 0.70710678118654752440;
    const double sqrt_2_over_pi = 0.79788456080286535588;

    switch (act) {
    case PDAG_ACT_NONE:
        return x;
    case PDAG_ACT_SILU:
        return x / (1.0 + exp(-x));
    case PDAG_ACT_GELU:
        return 0.5 * x * erfc(-x * sqrt_half);
    case PDAG_ACT_GELU_TANH:
        return 0.5 * x *
               (1.0 + tanh(sqrt_2_over_pi * (x + 0.044715 * x * x * x)));
    case PDAG_ACT_QUICK_GELU:
        return x / (1.0 + exp(-1.702 * x));
    case PDAG_ACT_MISH: /* for large x log1p(exp(x)) would overflow */
        return x * tanh(x > 30.0 ? x : log1p(exp(x)));
    case PDAG_ACT_RELU:
        return x < 0.0 ? 0.0 : x; /* NaN stays NaN */
    }
    return x;
}

static pdag_status ref_geglu(pdag_backend *be, size_t m, size_t n,
                             const pdag_buf *x, pdag_buf *y)
{
    const float *from = pdag_ref_floats(x, m * 2 * n);
    float *to = pdag_ref_floats(y, m * n);

    (void)be;
    for (size_t r = 0; r < m; r++)
        for (size_t c = 0; c < n; c++) {
            double gate = from[(2 * r + 1) * n + c];

            to[r * n + c] = (float)(from[2 * r * n + c] *
                                    pdag_ref_activation(PDAG_ACT_GELU, gate));
        }
    return PDAG_OK;
}

static pdag_status ref_activate(pdag_backend *be, size_t n, pdag_activation act,
                                const pdag_buf *x, pdag_buf *y)
{
    const float *from = pdag_ref_floats(x, n);
    float *to = pdag_ref_floats(y, n);

    (void)be;
    for (size_t i = 0; i < n; i++)
        to[i] = (float)pdag_ref_activation(act, from[i]);
    return PDAG_OK;
}

static pdag_status ref_add(pdag_backend *be, size_t n, const pdag_buf *a,
                           const pdag_buf *b, pdag_buf *y)
{
    const float *left = pdag_ref_floats(a, n);
    const float *right = pdag_ref_floats(b, n);
    float *to = pdag_ref_floats(y, n);

    (void)be;
    for (size_t i = 0; i < n; i++)
        to[i] = left[i] + right[i];
    return PDAG_OK;
}

static pdag_status ref_scale(pdag_backend *be, size_t n, float s,
                             const pdag_buf *x, pdag_buf *y)
{
    const float *from = pdag_ref_floats(x, n);
    float *to = pdag_ref_floats(y, n);

    (void)be;
    for (size_t i = 0; i < n; i++)
        to[i] = s * from[i];
    return PDAG_OK;
}

/* The [c] floats of image b of a slice. */
static const float *slice_row(const pdag_slice *slice, size_t b, size_t c)
{
    size_t first = slice->offset + b * slice->batch_stride;

    return pdag_ref_floats(slice->buf, first + c) + first;
}

static pdag_status ref_modulate(pdag_backend *be, size_t b, size_t p, size_t c,
                                float one, const pdag_slice *scale,
                                const pdag_slice *shift, const pdag_buf *x,
                                pdag_buf *y)
{
    const float *from = pdag_ref_floats(x, b * p * c);
    float *to = pdag_ref_floats(y, b * p * c);

    (void)be;
    for (size_t r = 0; r < b * p; r++) {
        const float *factor = slice_row(scale, r / p, c);
        const float *plus = slice_row(shift, r / p, c);

        for (size_t i = 0; i < c; i++)
            to[r * c + i] =
                (float)(from[r * c + i] * ((double)one + factor[i]) + plus[i]);
    }
    return PDAG_OK;
}

static pdag_status ref_gated_add(pdag_backend *be, size_t b, size_t p, size_t c,
                                 const pdag_slice *gate, const pdag_buf *h,
                                 const pdag_buf *x, pdag_buf *y)
{
    const float *plus = pdag_ref_floats(h, b * p * c);
    const float *from = pdag_ref_floats(x, b * p * c);
    float *to = pdag_ref_floats(y, b * p * c);

    (void)be;
    for (size_t r = 0; r < b * p; r++) {
        const float *factor = slice_row(gate, r / p, c);

        for (size_t i = 0; i < c; i++)
            to[r * c + i] = (float)(from[r * c + i] +
                                    (double)factor[i] * plus[r * c + i]);
    }
    return PDAG_OK;
}

static pdag_status ref_concat(pdag_backend *be, size_t m, size_t ca,
                              const pdag_buf *a, size_t cb, const pdag_buf *b,
                              pdag_buf *y)
{
    const float *left = pdag_ref_floats(a, m * ca);
    const float *right = pdag_ref_floats(b, m * cb);
    float *to = pdag_ref_floats(y, m * (ca + cb));

    (void)be;
    for (size_t r = 0; r < m; r++) {
        memcpy(to + r * (ca + cb), left + r * ca, ca * sizeof *to);
        memcpy(to + r * (ca + cb) + ca, right + r * cb, cb * sizeof *to);
    }
    return PDAG_OK;
}

static pdag_status ref_upsample(pdag_backend *be, size_t b, size_t h, size_t w,
                                size_t c, size_t oh, size_t ow,
                                const pdag_buf *x, pdag_buf *y)
{
    const float *from = pdag_ref_floats(x, b * h * w * c);
    float *to = pdag_ref_floats(y, b * oh * ow * c);

    (void)be;
    for (size_t image = 0; image < b; image++)
        for (size_t i = 0; i < oh; i++)
            for (size_t j = 0; j < ow; j++) {
                size_t at = (image * h + i * h / oh) * w + j * w / ow;

                memcpy(to, from + at * c, c * sizeof *to);
                to += c;
            }
    return PDAG_OK;
}

static pdag_status ref_avg_pool2(pdag_backend *be, size_t b, size_t h, size_t w,
                                 size_t c, const pdag_buf *x, pdag_buf *y)
{
    const float *from = pdag_ref_floats(x, b * h * w * c);
    float *to = pdag_ref_floats(y, b * (h / 2) * (w / 2) * c);

    (void)be;
    PDAG_ASSERT(h % 2 == 0 && w % 2 == 0);
    for (size_t i = 0; i < b * (h / 2); i++)
        for (size_t j = 0; j < w / 2; j++)
            for (size_t k = 0; k < c; k++) {
                const float *top = from + (2 * i * w + 2 * j) * c + k;
                const float *low = top + w * c;

                to[(i * (w / 2) + j) * c + k] =
                    (float)(((double)top[0] + top[c] + low[0] + low[c]) / 4.0);
            }
    return PDAG_OK;
}

const pdag_backend_ops pdag_backend_ref = {
    .name = "ref",
    .priority = 0,
    .open = ref_open,
    .close = ref_close,
    .alloc = ref_alloc,
    .free = ref_free,
    .sync = ref_sync,
    .weight_create = ref_weight_create,
    .weight_destroy = ref_weight_destroy,
    .upload = ref_upload,
    .download = ref_download,
    .upload_planes = ref_upload_planes,
    .download_planes = ref_download_planes,
    .linear = pdag_ref_linear,
    .conv2d = pdag_ref_conv2d,
    .group_norm = pdag_ref_group_norm,
    .layer_norm = pdag_ref_layer_norm,
    .attention = pdag_ref_attention,
    .geglu = ref_geglu,
    .activate = ref_activate,
    .add = ref_add,
    .scale = ref_scale,
    .modulate = ref_modulate,
    .gated_add = ref_gated_add,
    .concat = ref_concat,
    .upsample = ref_upsample,
    .avg_pool2 = ref_avg_pool2,
};
