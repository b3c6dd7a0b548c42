/* Weights on the device: matrices in the type of activations, vectors float32. */
#include <stdlib.h>

#include "backend/cuda_internal.h"
#include "base/mem.h"

/* Floats of a matrix that are read and converted at a time. */
#define PIECE ((size_t)1 << 20)

/* Row lengths that matrix units like, of a convolution that is multiplied out
   piece by piece; cuDNN takes what follows without gaps. */
#define ROW_MULTIPLE 8

void pdag_cuda_weight_destroy(pdag_backend *be, pdag_weight *weight)
{
    pdag_cuda *cuda = pdag_cuda_of(be);

    if (weight == NULL)
        return;
    pdag_cuda_plans_destroy(cuda, weight->plans);
    pdag_cuda_conv_plans_destroy(cuda, weight->conv_plans);
    if (weight->bias != weight->floats)
        pdag_cuda_give(cuda, weight->bias);
    pdag_cuda_give(cuda, weight->floats);
    pdag_cuda_give(cuda, weight->matrix);
    free(weight->name);
    free(weight);
}

static size_t row_of(const pdag_cuda *cuda, const pdag_weight *w)
{
    const size_t row = w->shape.in * w->shape.kh * w->shape.kw;

    if (w->shape.kh * w->shape.kw == 1 || pdag_cuda_has_dnn(cuda))
        return row;
    return (row + ROW_MULTIPLE - 1) / ROW_MULTIPLE * ROW_MULTIPLE;
}

/* [n][in][kh][kw] on the host to rows [first, first + n) of the matrix. */
static pdag_status put_rows(pdag_cuda *cuda, const pdag_weight *w, size_t first,
                            size_t n, const float *host)
{
    const size_t taps = w->shape.kh * w->shape.kw;
    const size_t count = n * w->shape.in * taps;
    char *to = (char *)w->matrix + first * w->row * cuda->base.act_size;
    void *staging;
    pdag_status status = pdag_cuda_reserve(
        cuda, &cuda->staging, count * sizeof *host, w->name, &staging);

    if (status == PDAG_OK)
        status = pdag_cuda_to_device(cuda, count * sizeof *host, host, staging);
    if (status != PDAG_OK)
        return status;
    return pdag_cuda_check(pdag_cuda_weight_rows(cuda->at, n, w->shape.in, taps,
                                                 staging, w->row, to),
                           w->name);
}

static pdag_status read_matrix(pdag_cuda *cuda, const pdag_weight_desc *desc,
                               pdag_weight *w)
{
    const size_t row = w->shape.in * w->shape.kh * w->shape.kw;
    const size_t step = row < PIECE ? PIECE / row : 1;
    size_t bytes;
    void *rows;
    pdag_status status;

    w->row = row_of(cuda, w);
    if (!pdag_mul_size(w->shape.out * w->row, cuda->base.act_size, &bytes))
        return pdag_error(PDAG_ERR_NOMEM, "%s: %zu x %zu numbers", w->name,
                          w->shape.out, w->row);
    status = pdag_cuda_take(cuda, bytes, w->name, &w->matrix);
    if (status == PDAG_OK)
        status = pdag_alloc_tensor(row * step, sizeof(float), w->name, &rows);
    if (status != PDAG_OK)
        return status;
    for (size_t first = 0; status == PDAG_OK && first < w->shape.out;
         first += step) {
        const size_t left = w->shape.out - first;
        const size_t n = left < step ? left : step;

        pdag_weight_read_rows(desc, &w->shape, first, n, rows);
        status = put_rows(cuda, w, first, n, rows);
    }
    free(rows);
    return status;
}

/* A copy of `floats` in the type of activations, for cuBLASLt. */
static pdag_status narrow_bias(pdag_cuda *cuda, pdag_weight *w)
{
    pdag_status status;

    if (cuda->at.type == PDAG_CUDA_FLOAT32) {
        w->bias = w->floats;
        return PDAG_OK;
    }
    status = pdag_cuda_take(cuda, w->shape.out * cuda->base.act_size, w->name,
                            &w->bias);
    if (status != PDAG_OK)
        return status;
    return pdag_cuda_check(
        pdag_cuda_narrow(cuda->at, w->shape.out, w->floats, w->bias), w->name);
}

static pdag_status read_floats(pdag_cuda *cuda, const pdag_weight_desc *desc,
                               pdag_weight *w)
{
    const size_t bytes = w->shape.out * sizeof(float);
    void *host;
    void *device;
    pdag_status status;

    if (w->kind != PDAG_WEIGHT_VECTOR && desc->bias[0] == NULL)
        return PDAG_OK;
    status = pdag_alloc_tensor(w->shape.out, sizeof(float), w->name, &host);
    if (status != PDAG_OK)
        return status;
    if (w->kind == PDAG_WEIGHT_VECTOR)
        pdag_tensor_to_f32(desc->part[0], 0, w->shape.out, host);
    else
        pdag_weight_read_bias(desc, host);
    status = pdag_cuda_take(cuda, bytes, w->name, &device);
    if (status == PDAG_OK) {
        w->floats = device;
        status = pdag_cuda_to_device(cuda, bytes, host, w->floats);
    }
    free(host);
    if (status != PDAG_OK || w->kind == PDAG_WEIGHT_VECTOR)
        return status;
    return narrow_bias(cuda, w);
}

pdag_status pdag_cuda_weight_create(pdag_backend *be,
                                    const pdag_weight_desc *desc,
                                    pdag_weight **weight_out)
{
    const char *name = desc->part[0]->name;
    pdag_weight_shape shape;
    pdag_weight *w;
    pdag_status status = pdag_weight_check(desc, &shape);

    if (status != PDAG_OK)
        return status;
    w = pdag_xcalloc(1, sizeof *w);
    w->kind = desc->kind;
    w->shape = shape;
    w->name = pdag_xstrdup(name != NULL ? name : "weight");
    status = read_floats(pdag_cuda_of(be), desc, w);
    if (status == PDAG_OK && w->kind != PDAG_WEIGHT_VECTOR)
        status = read_matrix(pdag_cuda_of(be), desc, w);
    if (status != PDAG_OK) {
        pdag_cuda_weight_destroy(be, w);
        return status;
    }
    *weight_out = w;
    return PDAG_OK;
}
