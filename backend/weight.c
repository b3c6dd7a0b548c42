#include "backend/weight.h"

#include "base/fatal.h"

static const char *view_name(const pdag_tensor_view *view)
{
    return view->name != NULL ? view->name : "(unnamed tensor)";
}

static pdag_status check_vector(const pdag_tensor_view *view, size_t n)
{
    if (view->n_dims != 1)
        return pdag_error(PDAG_ERR_SHAPE, "%s: has %d dims, wanted 1",
                          view_name(view), view->n_dims);
    if (view->dims[0] == 0 || (n != 0 && view->dims[0] != n))
        return pdag_error(PDAG_ERR_SHAPE, "%s: has %zu elements, wanted %zu",
                          view_name(view), view->dims[0], n);
    return PDAG_OK;
}

/* Dims 0 and 1 are out and in; 2 and 3 the kernel, a missing one counts 1. */
static pdag_status read_dims(const pdag_tensor_view *view, int min_dims,
                             pdag_weight_shape *shape_out)
{
    if (view->n_dims < min_dims || view->n_dims > 4)
        return pdag_error(PDAG_ERR_SHAPE, "%s: has %d dims, wanted %d to 4",
                          view_name(view), view->n_dims, min_dims);
    shape_out->out = view->dims[0];
    shape_out->in = view->dims[1];
    shape_out->kh = view->n_dims == 4 ? view->dims[2] : 1;
    shape_out->kw = view->n_dims > 2 ? view->dims[view->n_dims - 1] : 1;
    if (pdag_tensor_count(view) == 0)
        return pdag_error(PDAG_ERR_SHAPE, "%s: has no elements",
                          view_name(view));
    return PDAG_OK;
}

static pdag_status check_linear(const pdag_weight_desc *desc,
                                pdag_weight_shape *shape_out)
{
    pdag_weight_shape sum = {.kh = 1, .kw = 1};

    for (int i = 0; i < desc->n_parts; i++) {
        const pdag_tensor_view *view = desc->part[i];
        pdag_weight_shape one;
        pdag_status status = read_dims(view, 2, &one);

        if (status != PDAG_OK)
            return status;
        if (one.kh != 1 || one.kw != 1)
            return pdag_error(PDAG_ERR_SHAPE,
                              "%s: kernel is %zux%zu, wanted 1x1",
                              view_name(view), one.kh, one.kw);
        if (i > 0 && one.in != sum.in)
            return pdag_error(
                PDAG_ERR_SHAPE, "%s: has %zu inputs, but %s has %zu",
                view_name(view), one.in, view_name(desc->part[0]), sum.in);
        sum.in = one.in;
        sum.out += one.out;
    }
    *shape_out = sum;
    return PDAG_OK;
}

static pdag_status check_conv(const pdag_weight_desc *desc,
                              pdag_weight_shape *shape_out)
{
    const pdag_tensor_view *view = desc->part[0];

    if (desc->n_parts != 1)
        return pdag_error(PDAG_ERR_SHAPE, "%s: a convolution has one part",
                          view_name(view));
    if (desc->stride != 1 && desc->stride != 2)
        return pdag_error(PDAG_ERR_SHAPE, "%s: stride is %zu, wanted 1 or 2",
                          view_name(view), desc->stride);
    return read_dims(view, 3, shape_out);
}

static pdag_status check_bias(const pdag_weight_desc *desc)
{
    for (int i = 0; i < desc->n_parts; i++) {
        pdag_status status;

        if ((desc->bias[i] == NULL) != (desc->bias[0] == NULL))
            return pdag_error(PDAG_ERR_SHAPE,
                              "%s: all parts need a bias, or none",
                              view_name(desc->part[i]));
        if (desc->bias[i] == NULL)
            continue;
        status = check_vector(desc->bias[i], desc->part[i]->dims[0]);
        if (status != PDAG_OK)
            return status;
    }
    return PDAG_OK;
}

pdag_status pdag_weight_check(const pdag_weight_desc *desc,
                              pdag_weight_shape *shape_out)
{
    pdag_weight_shape shape = {.in = 1, .kh = 1, .kw = 1};
    pdag_status status = PDAG_ERR_INTERNAL;

    PDAG_ASSERT(desc->n_parts >= 1 && desc->n_parts <= PDAG_WEIGHT_MAX_PARTS);
    switch (desc->kind) {
    case PDAG_WEIGHT_LINEAR:
        status = check_linear(desc, &shape);
        break;
    case PDAG_WEIGHT_CONV2D:
        status = check_conv(desc, &shape);
        break;
    case PDAG_WEIGHT_VECTOR:
        PDAG_ASSERT(desc->n_parts == 1 && desc->bias[0] == NULL);
        status = check_vector(desc->part[0], 0);
        shape.out = desc->part[0]->dims[0];
        break;
    }
    if (status == PDAG_OK)
        status = check_bias(desc);
    if (status != PDAG_OK)
        return status;
    shape.stride = desc->stride;
    shape.pad_top = desc->pad_top;
    shape.pad_left = desc->pad_left;
    shape.pad_bottom = desc->pad_bottom;
    shape.pad_right = desc->pad_right;
    *shape_out = shape;
    return PDAG_OK;
}

void pdag_weight_read_bias(const pdag_weight_desc *desc, float *out)
{
    for (int i = 0; i < desc->n_parts; i++) {
        size_t n = pdag_tensor_count(desc->bias[i]);

        pdag_tensor_to_f32(desc->bias[i], 0, n, out);
        out += n;
    }
}

void pdag_weight_read_rows(const pdag_weight_desc *desc,
                           const pdag_weight_shape *shape, size_t first,
                           size_t n, float *out)
{
    size_t row = shape->in * shape->kh * shape->kw;

    for (int i = 0; i < desc->n_parts && n > 0; i++) {
        size_t rows = desc->part[i]->dims[0];
        size_t take;

        if (first >= rows) {
            first -= rows;
            continue;
        }
        take = n < rows - first ? n : rows - first;
        pdag_tensor_to_f32(desc->part[i], first * row, take * row, out);
        out += take * row;
        n -= take;
        first = 0;
    }
    PDAG_ASSERT(n == 0);
}

static size_t positions(size_t padded, size_t k, size_t stride)
{
    PDAG_ASSERT(padded >= k);
    return (padded - k) / stride + 1;
}

size_t pdag_conv_height(const pdag_weight_shape *s, size_t h)
{
    return positions(h + s->pad_top + s->pad_bottom, s->kh, s->stride);
}

size_t pdag_conv_width(const pdag_weight_shape *s, size_t width)
{
    return positions(width + s->pad_left + s->pad_right, s->kw, s->stride);
}
