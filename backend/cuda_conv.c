/* Convolutions: 1x1 ones are linear layers, the others go through cuDNN where it
 * is there and has an algorithm, or are multiplied out piece by piece. */
#include "backend/cuda_internal.h"

/* Of a piece of the inputs that each output position reads. */
#define COLUMN_BYTES ((size_t)64 << 20)

pdag_cuda_conv pdag_cuda_describe_conv(const pdag_weight *w, size_t h,
                                       size_t width)
{
    const pdag_weight_shape *s = &w->shape;

    return (pdag_cuda_conv){.h = h,
                            .w = width,
                            .c = s->in,
                            .oh = pdag_conv_height(s, h),
                            .ow = pdag_conv_width(s, width),
                            .kh = s->kh,
                            .kw = s->kw,
                            .stride = s->stride,
                            .pad_top = s->pad_top,
                            .pad_left = s->pad_left};
}

static bool is_linear(const pdag_weight *w)
{
    const pdag_weight_shape *s = &w->shape;

    return s->kh == 1 && s->kw == 1 && s->stride == 1 &&
           s->pad_top + s->pad_left + s->pad_bottom + s->pad_right == 0;
}

/* y[n][out] for n output positions at a time. */
static pdag_status multiply_out(pdag_cuda *cuda, const pdag_weight *w,
                                const pdag_cuda_conv *conv, size_t positions,
                                const void *x, const void *residual, void *y)
{
    const size_t row_bytes = w->row * cuda->base.act_size;
    const size_t out_bytes = w->shape.out * cuda->base.act_size;
    const size_t most = row_bytes < COLUMN_BYTES ? COLUMN_BYTES / row_bytes : 1;
    const size_t step = positions < most ? positions : most;
    void *columns;
    pdag_status status = pdag_cuda_reserve(cuda, &cuda->columns,
                                           step * row_bytes, w->name, &columns);

    for (size_t first = 0; status == PDAG_OK && first < positions;
         first += step) {
        const size_t left = positions - first;
        const size_t n = left < step ? left : step;
        const void *plus = residual != NULL
                               ? (const char *)residual + first * out_bytes
                               : NULL;

        status = pdag_cuda_check(pdag_cuda_gather(cuda->at, conv, first, n,
                                                  w->row, x, columns),
                                 w->name);
        if (status == PDAG_OK)
            status = pdag_cuda_multiply(cuda, w, n, columns, false, plus,
                                        (char *)y + first * out_bytes);
    }
    return status;
}

pdag_status pdag_cuda_conv2d(pdag_backend *be, const pdag_weight *w, size_t b,
                             size_t h, size_t width, const pdag_buf *x,
                             const pdag_buf *residual, pdag_buf *y)
{
    pdag_cuda *cuda = pdag_cuda_of(be);
    const pdag_cuda_conv conv = pdag_cuda_describe_conv(w, h, width);
    const size_t positions = b * conv.oh * conv.ow;
    const size_t n_out = positions * w->shape.out;
    const void *from = pdag_cuda_elements(be, x, b * h * width * conv.c);
    const void *plus =
        residual != NULL ? pdag_cuda_elements(be, residual, n_out) : NULL;
    void *to = pdag_cuda_elements(be, y, n_out);
    bool done;
    pdag_status status;

    PDAG_ASSERT(w->kind == PDAG_WEIGHT_CONV2D);
    if (positions == 0)
        return PDAG_OK;
    if (is_linear(w))
        return pdag_cuda_multiply(cuda, w, positions, from, false, plus, to);
    status = pdag_cuda_dnn_conv(cuda, w, b, &conv, from, plus, to, &done);
    if (status != PDAG_OK || done)
        return status;
    return multiply_out(cuda, w, &conv, positions, from, plus, to);
}
