#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/mem.h"
#include "models/layers_base.h"

/* A buffer of the workspace; its size class decides who may take it, so that
   the same sequence of requests finds the same buffers every time. */
typedef struct pdag_workspace_slot {
    pdag_buf buf;
    size_t class_elements; /* per row */
    bool taken;
} slot;

void pdag_workspace_clear(pdag_workspace *ws)
{
    for (size_t i = 0; i < ws->n_slots; i++) {
        ws->be->ops->free(ws->be, &ws->slots[i]->buf);
        free(ws->slots[i]);
    }
    free(ws->slots);
    ws->slots = NULL;
    ws->n_slots = 0;
    ws->rows = 0;
    ws->failed = false;
    ws->generation++;
}

void pdag_pass_begin(pdag_pass *pass, pdag_workspace *ws, size_t rows)
{
    if (rows > ws->rows || ws->failed) {
        pdag_workspace_clear(ws);
        ws->rows = rows;
    }
    for (size_t i = 0; i < ws->n_slots; i++)
        ws->slots[i]->taken = false;
    memset(pass, 0, sizeof *pass);
    pass->be = ws->be;
    pass->ws = ws;
    pass->rows = rows;
}

void pdag_pass_keep_only(pdag_pass *pass, const pdag_buf *a, const pdag_buf *b)
{
    for (size_t i = 0; i < pass->ws->n_slots; i++) {
        slot *one = pass->ws->slots[i];

        one->taken = &one->buf == a || &one->buf == b;
    }
}

/* Round up to 1, 1.25, 1.5 or 1.75 times a power of two: neighbours in size
   share a buffer, at most a quarter is wasted. */
static size_t size_class(size_t elements)
{
    size_t quarter = 16;

    while (8 * quarter < elements)
        quarter *= 2;
    return (elements + quarter - 1) / quarter * quarter;
}

pdag_status pdag_take(pdag_pass *pass, size_t elements, pdag_buf **buf_out)
{
    pdag_workspace *ws = pass->ws;
    size_t wanted = size_class(elements);
    size_t bytes;
    slot *fresh;
    pdag_status status;

    for (size_t i = 0; i < ws->n_slots; i++)
        if (!ws->slots[i]->taken && ws->slots[i]->class_elements == wanted) {
            ws->slots[i]->taken = true;
            *buf_out = &ws->slots[i]->buf;
            return PDAG_OK;
        }
    if (!pdag_mul_size(wanted, ws->rows, &bytes) ||
        !pdag_mul_size(bytes, pass->be->act_size, &bytes))
        return pdag_error(PDAG_ERR_NOMEM, "activations of %zu x %zu elements",
                          ws->rows, elements);
    fresh = pdag_xcalloc(1, sizeof *fresh);
    status = pass->be->ops->alloc(pass->be, bytes, &fresh->buf);
    if (status != PDAG_OK) {
        ws->failed = true;
        free(fresh);
        return status;
    }
    fresh->class_elements = wanted;
    fresh->taken = true;
    ws->slots = pdag_xrealloc(ws->slots, ws->n_slots + 1, sizeof *ws->slots);
    ws->slots[ws->n_slots++] = fresh;
    *buf_out = &fresh->buf;
    return PDAG_OK;
}

void pdag_give(pdag_pass *pass, pdag_buf *buf)
{
    if (buf == NULL)
        return;
    for (size_t i = 0; i < pass->ws->n_slots; i++)
        if (&pass->ws->slots[i]->buf == buf) {
            PDAG_ASSERT(pass->ws->slots[i]->taken);
            pass->ws->slots[i]->taken = false;
            return;
        }
    PDAG_ASSERT(!"a buffer of this workspace");
}

pdag_buf pdag_piece(const pdag_backend *be, const pdag_buf *buf, size_t offset,
                    size_t count)
{
    pdag_buf part = *buf;

    part.ptr = (char *)buf->ptr + offset * be->act_size;
    part.bytes = count * be->act_size;
    part.owned = false;
    return part;
}

pdag_status pdag_take_map(pdag_pass *pass, size_t h, size_t w, size_t c,
                          pdag_map *map_out)
{
    map_out->h = h;
    map_out->w = w;
    map_out->c = c;
    return pdag_take(pass, h * w * c, &map_out->buf);
}

void pdag_give_map(pdag_pass *pass, pdag_map *map)
{
    pdag_give(pass, map->buf);
    map->buf = NULL;
}

static size_t conv_side(const pdag_conv *conv, size_t side)
{
    return (side + conv->pad_before + conv->pad_after - conv->kernel) /
               conv->stride +
           1;
}

pdag_status pdag_run_conv(pdag_pass *pass, const pdag_conv *conv,
                          const pdag_map *x, const pdag_map *residual,
                          pdag_map *y_out)
{
    pdag_map y;

    PDAG_ASSERT(x->c == conv->in);
    PDAG_TRY(pdag_take_map(pass, conv_side(conv, x->h), conv_side(conv, x->w),
                           conv->out, &y));
    PDAG_TRY(pass->be->ops->conv2d(
        pass->be, conv->weight, pass->rows, x->h, x->w, x->buf,
        residual != NULL ? residual->buf : NULL, y.buf));
    *y_out = y;
    return PDAG_OK;
}

pdag_status pdag_run_linear(pdag_pass *pass, const pdag_linear *linear,
                            size_t m, const pdag_buf *x, pdag_activation act,
                            const pdag_buf *residual, pdag_buf *y)
{
    return pass->be->ops->linear(pass->be, linear->weight, m, x, act, residual,
                                 y);
}

pdag_status pdag_run_group_norm(pdag_pass *pass, const pdag_norm *norm,
                                const pdag_map *x, const pdag_buf *add,
                                pdag_activation act, pdag_buf *y)
{
    const pdag_backend_ops *ops = pass->be->ops;
    bool fused = act == PDAG_ACT_NONE || act == PDAG_ACT_SILU;

    PDAG_ASSERT(x->c == norm->channels);
    PDAG_TRY(ops->group_norm(pass->be, pass->rows, x->h * x->w, x->c,
                             norm->groups, norm->eps, norm->gamma, norm->beta,
                             add, fused ? act : PDAG_ACT_NONE, x->buf, y));
    if (fused)
        return PDAG_OK;
    return ops->activate(pass->be, pass->rows * x->h * x->w * x->c, act, y, y);
}

pdag_status pdag_run_layer_norm(pdag_pass *pass, const pdag_norm *norm,
                                size_t m, const pdag_buf *x, pdag_buf *y)
{
    return pass->be->ops->layer_norm(pass->be, m, norm->channels, norm->eps,
                                     norm->gamma, norm->beta, x, y);
}
