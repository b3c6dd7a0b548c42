/* Linear layers, convolutions and attention by their definition. */
#include <math.h>
#include <string.h>

#include "backend/ref_internal.h"

/* row[out] += sum over the `n` inputs of x[i] * w[i][out]. */
static void add_products(size_t n, size_t out, const float *x, const float *w,
                         double *row)
{
    for (size_t i = 0; i < n; i++) {
        double scale = x[i];

        for (size_t o = 0; o < out; o++)
            row[o] += scale * w[i * out + o];
    }
}

static void start_row(const pdag_weight *w, double *row)
{
    for (size_t o = 0; o < w->shape.out; o++)
        row[o] = w->bias != NULL ? w->bias[o] : 0.0;
}

/* y[out] = act(row) + residual; residual may be y. */
static void finish_row(size_t out, const double *row, pdag_activation act,
                       const float *residual, float *y)
{
    for (size_t o = 0; o < out; o++) {
        double value = pdag_ref_activation(act, row[o]);

        if (residual != NULL)
            value += residual[o];
        y[o] = (float)value;
    }
}

pdag_status pdag_ref_linear(pdag_backend *be, const pdag_weight *w, size_t m,
                            const pdag_buf *x, pdag_activation act,
                            const pdag_buf *residual, pdag_buf *y)
{
    size_t in = w->shape.in;
    size_t out = w->shape.out;
    const float *from = pdag_ref_floats(x, m * in);
    float *to = pdag_ref_floats(y, m * out);
    const float *plus =
        residual != NULL ? pdag_ref_floats(residual, m * out) : NULL;
    double *row;
    pdag_status status = pdag_ref_row(be, out, &row);

    if (status != PDAG_OK)
        return status;
    PDAG_ASSERT(w->kind == PDAG_WEIGHT_LINEAR);
    for (size_t r = 0; r < m; r++) {
        start_row(w, row);
        add_products(in, out, from + r * in, w->values, row);
        finish_row(out, row, act, plus != NULL ? plus + r * out : NULL,
                   to + r * out);
    }
    return PDAG_OK;
}

/* One output position (i, j) of one image x[h][width][in]. */
static void conv_position(const pdag_weight *w, size_t h, size_t width,
                          const float *x, size_t i, size_t j, double *row)
{
    const pdag_weight_shape *s = &w->shape;

    for (size_t ki = 0; ki < s->kh; ki++) {
        size_t xi = i * s->stride + ki - s->pad_top; /* wraps above the top */

        if (xi >= h)
            continue;
        for (size_t kj = 0; kj < s->kw; kj++) {
            size_t xj = j * s->stride + kj - s->pad_left;

            if (xj >= width)
                continue;
            add_products(s->in, s->out, x + (xi * width + xj) * s->in,
                         w->values + (ki * s->kw + kj) * s->in * s->out, row);
        }
    }
}

pdag_status pdag_ref_conv2d(pdag_backend *be, const pdag_weight *w, size_t b,
                            size_t h, size_t width, const pdag_buf *x,
                            const pdag_buf *residual, pdag_buf *y)
{
    const pdag_weight_shape *s = &w->shape;
    size_t oh = pdag_conv_height(s, h);
    size_t ow = pdag_conv_width(s, width);
    const float *from = pdag_ref_floats(x, b * h * width * s->in);
    float *to = pdag_ref_floats(y, b * oh * ow * s->out);
    const float *plus = residual != NULL
                            ? pdag_ref_floats(residual, b * oh * ow * s->out)
                            : NULL;
    double *row;
    pdag_status status = pdag_ref_row(be, s->out, &row);

    if (status != PDAG_OK)
        return status;
    PDAG_ASSERT(w->kind == PDAG_WEIGHT_CONV2D);
    for (size_t at = 0; at < b * oh * ow; at++) {
        start_row(w, row);
        conv_position(w, h, width, from + at / (oh * ow) * h * width * s->in,
                      at / ow % oh, at % ow, row);
        finish_row(s->out, row, PDAG_ACT_NONE,
                   plus != NULL ? plus + at * s->out : NULL, to + at * s->out);
    }
    return PDAG_OK;
}

/* Start of row 0 of image b, head h; the slice must fit its buffer. */
static float *slice_head(const pdag_attention *a, const pdag_slice *slice,
                         size_t rows, size_t b, size_t h)
{
    size_t last = slice->offset + (a->batch - 1) * slice->batch_stride +
                  (rows - 1) * slice->row_stride + a->heads * a->head_dim;

    return pdag_ref_floats(slice->buf, last) + slice->offset +
           b * slice->batch_stride + h * a->head_dim;
}

/* p[0..n) becomes softmax(p); gives the sum by which it still has to be
 * divided, so that the division is one per output. */
static double softmax_terms(size_t n, double *p)
{
    double top = p[0];
    double sum = 0.0;

    for (size_t j = 1; j < n; j++)
        top = p[j] > top ? p[j] : top;
    for (size_t j = 0; j < n; j++) {
        p[j] = exp(p[j] - top);
        sum += p[j];
    }
    return sum;
}

/* One query row against `n` keys: p[n] and acc[head_dim] are scratch. */
static void attend(const pdag_attention *a, size_t n, const float *q,
                   const float *k, const float *v, double *p, double *acc,
                   float *y)
{
    double sum;

    for (size_t j = 0; j < n; j++) {
        p[j] = 0.0;
        for (size_t c = 0; c < a->head_dim; c++)
            p[j] += (double)q[c] * k[j * a->k.row_stride + c];
        p[j] *= a->scale;
    }
    sum = softmax_terms(n, p);
    memset(acc, 0, a->head_dim * sizeof *acc);
    for (size_t j = 0; j < n; j++)
        for (size_t c = 0; c < a->head_dim; c++)
            acc[c] += p[j] * v[j * a->v.row_stride + c];
    for (size_t c = 0; c < a->head_dim; c++)
        y[c] = (float)(acc[c] / sum);
}

pdag_status pdag_ref_attention(pdag_backend *be, const pdag_attention *a)
{
    double *row;
    pdag_status status = pdag_ref_row(be, a->n_kv + a->head_dim, &row);

    if (status != PDAG_OK)
        return status;
    PDAG_ASSERT(!a->causal || a->n_q == a->n_kv);
    for (size_t b = 0; b < a->batch; b++)
        for (size_t h = 0; h < a->heads; h++) {
            const float *q = slice_head(a, &a->q, a->n_q, b, h);
            const float *k = slice_head(a, &a->k, a->n_kv, b, h);
            const float *v = slice_head(a, &a->v, a->n_kv, b, h);
            float *y = slice_head(a, &a->y, a->n_q, b, h);

            for (size_t m = 0; m < a->n_q; m++)
                attend(a, a->causal ? m + 1 : a->n_kv, q + m * a->q.row_stride,
                       k, v, row, row + a->n_kv, y + m * a->y.row_stride);
        }
    return PDAG_OK;
}
