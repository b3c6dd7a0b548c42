/* Weights: read once into the backend's element type, in the file's order, and
 * put into the order that the first primitive using them asks for; since a
 * network gives most of its weights one shape of input, there is one copy. */
#include <stdlib.h>
#include <string.h>

#include "backend/onednn_internal.h"
#include "base/mem.h"

void pdag_onednn_weight_destroy(pdag_backend *be, pdag_weight *weight)
{
    (void)be;
    if (weight == NULL)
        return;
    pdag_onednn_plans_destroy(weight->plans);
    for (size_t i = 0; i < weight->n_copies; i++) {
        pdag_md_clear(&weight->copy[i].md);
        free(weight->copy[i].data);
    }
    free(weight->copy);
    free(weight->vector);
    free(weight->bias);
    free(weight->name);
    free(weight);
}

/* Element type of the copy as in the file. */
static dnnl_data_type_t file_type(const pdag_onednn *dnn, const pdag_weight *w)
{
    return w->winograd ? dnnl_f32 : dnn->type;
}

/* The order of the file: [out][in] seen as the matrix [in][out] that a matmul
 * wants, or [out][in][kh][kw]. */
static pdag_status file_md(const pdag_onednn *dnn, const pdag_weight *w,
                           pdag_md *md_out)
{
    const dnnl_dim_t in = (dnnl_dim_t)w->shape.in;
    const dnnl_dim_t out = (dnnl_dim_t)w->shape.out;

    if (w->kind == PDAG_WEIGHT_LINEAR) {
        const dnnl_dims_t dims = {in, out};

        return pdag_md_init(2, dims, file_type(dnn, w), dnnl_ba, NULL, md_out);
    } else {
        const dnnl_dims_t dims = {out, in, (dnnl_dim_t)w->shape.kh,
                                  (dnnl_dim_t)w->shape.kw};

        return pdag_md_init(4, dims, file_type(dnn, w), dnnl_oihw, NULL,
                            md_out);
    }
}

/* Take over `made`; the copy of the file goes when nothing reads it. */
static void add_copy(pdag_weight *weight, pdag_onednn_copy made)
{
    if (weight->unused) {
        pdag_md_clear(&weight->copy[0].md);
        free(weight->copy[0].data);
        weight->copy[0] = made;
        weight->unused = false;
        return;
    }
    weight->copy =
        pdag_xrealloc(weight->copy, weight->n_copies + 1, sizeof *weight->copy);
    weight->copy[weight->n_copies++] = made;
}

/* Rows are read some at a time, so that a conversion needs no second copy of
 * the whole. */
static pdag_status read_rows(const pdag_onednn *dnn,
                             const pdag_weight_desc *desc, pdag_weight *w,
                             char *data)
{
    const size_t row = w->shape.in * w->shape.kh * w->shape.kw;
    const size_t step = row < 65536 ? 65536 / row : 1;
    void *rows;
    pdag_status status =
        pdag_alloc_tensor(row * step, sizeof(float), w->name, &rows);

    if (status != PDAG_OK)
        return status;
    for (size_t first = 0; first < w->shape.out; first += step) {
        size_t n = w->shape.out - first < step ? w->shape.out - first : step;

        pdag_weight_read_rows(desc, &w->shape, first, n, rows);
        if (file_type(dnn, w) == dnnl_f32)
            memcpy(data + first * row * sizeof(float), rows,
                   n * row * sizeof(float));
        else
            dnn->kernels->narrow(n * row, rows,
                                 data + first * row * dnn->base.act_size);
    }
    free(rows);
    return PDAG_OK;
}

static pdag_status read_matrix(const pdag_onednn *dnn,
                               const pdag_weight_desc *desc, pdag_weight *w)
{
    pdag_md md;
    void *data;
    pdag_status status = file_md(dnn, w, &md);

    if (status != PDAG_OK)
        return status;
    status = pdag_alloc_tensor(pdag_md_bytes(&md), 1, w->name, &data);
    if (status != PDAG_OK) {
        pdag_md_clear(&md);
        return status;
    }
    add_copy(w, (pdag_onednn_copy){md, data});
    w->unused = !w->winograd;
    return read_rows(dnn, desc, w, data);
}

static pdag_status read_floats(const pdag_weight_desc *desc, pdag_weight *w)
{
    void *memory;
    pdag_status status;

    if (w->kind != PDAG_WEIGHT_VECTOR && desc->bias[0] == NULL)
        return PDAG_OK;
    status = pdag_alloc_tensor(w->shape.out, sizeof(float), w->name, &memory);
    if (status != PDAG_OK)
        return status;
    if (w->kind == PDAG_WEIGHT_VECTOR) {
        w->vector = memory;
        pdag_tensor_to_f32(desc->part[0], 0, w->shape.out, w->vector);
    } else {
        w->bias = memory;
        pdag_weight_read_bias(desc, w->bias);
    }
    return PDAG_OK;
}

pdag_status pdag_onednn_weight_create(pdag_backend *be,
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
    w->winograd = pdag_onednn_winograd_suits(pdag_onednn_of(be), w);
    status = read_floats(desc, w);
    if (status == PDAG_OK && w->kind != PDAG_WEIGHT_VECTOR)
        status = read_matrix(pdag_onednn_of(be), desc, w);
    if (status != PDAG_OK) {
        pdag_onednn_weight_destroy(be, w);
        return status;
    }
    *weight_out = w;
    return PDAG_OK;
}

static pdag_status make_copy(pdag_onednn *dnn, pdag_weight *weight,
                             const pdag_md *wanted, void **data_out)
{
    void *data;
    pdag_status status =
        pdag_alloc_tensor(pdag_md_bytes(wanted), 1, weight->name, &data);

    if (status != PDAG_OK)
        return status;
    status = pdag_dnn_reorder(dnn->engine, dnn->stream, &weight->copy[0].md,
                              weight->copy[0].data, wanted, data);
    if (status != PDAG_OK) {
        free(data);
        return status;
    }
    add_copy(weight, (pdag_onednn_copy){*wanted, data});
    *data_out = data;
    return PDAG_OK;
}

pdag_status pdag_onednn_weight_layout(pdag_onednn *dnn, pdag_weight *weight,
                                      pdag_md *wanted, void **data_out)
{
    pdag_status status;

    for (size_t i = 0; i < weight->n_copies; i++)
        if (pdag_md_equal(&weight->copy[i].md, wanted)) {
            *data_out = weight->copy[i].data;
            weight->unused = weight->unused && i != 0;
            pdag_md_clear(wanted);
            return PDAG_OK;
        }
    status = make_copy(dnn, weight, wanted, data_out);
    if (status != PDAG_OK)
        pdag_md_clear(wanted);
    return status;
}
