#include "models/layers_attention.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fatal.h"
#include "base/mem.h"

static const char *const self_names[] = {"to_q", "to_k", "to_v"};

void pdag_kv_destroy(pdag_backend *be, pdag_kv *kv)
{
    if (kv == NULL)
        return;
    for (size_t i = 0; i < kv->n; i++)
        be->ops->free(be, &kv->bufs[i]);
    free(kv->bufs);
    free(kv);
}

static pdag_status fill_kv(pdag_pass *pass, const pdag_kv_layers *layers,
                           const pdag_buf *cond, pdag_kv *kv)
{
    pdag_backend *be = pass->be;

    for (size_t i = 0; i < layers->n; i++) {
        const pdag_linear *linear = &layers->items[i];

        PDAG_TRY(be->ops->alloc(be, kv->tokens * linear->out * be->act_size,
                                &kv->bufs[i]));
        kv->n = i + 1;
        PDAG_TRY(pdag_run_linear(pass, linear, kv->tokens, cond, PDAG_ACT_NONE,
                                 NULL, &kv->bufs[i]));
    }
    return be->ops->sync(be);
}

pdag_status pdag_kv_create(pdag_pass *pass, const pdag_kv_layers *layers,
                           size_t tokens, size_t width, const float *cond,
                           pdag_kv **kv_out)
{
    pdag_backend *be = pass->be;
    pdag_buf buf;
    pdag_kv *kv;
    pdag_status status =
        be->ops->alloc(be, tokens * width * be->act_size, &buf);

    if (status != PDAG_OK)
        return status;
    kv = pdag_xcalloc(1, sizeof *kv);
    kv->tokens = tokens;
    kv->bufs = pdag_xcalloc(layers->n, sizeof *kv->bufs);
    status = be->ops->upload(be, tokens * width, cond, &buf);
    if (status == PDAG_OK)
        status = fill_kv(pass, layers, &buf, kv);
    be->ops->free(be, &buf);
    if (status != PDAG_OK) {
        pdag_kv_destroy(be, kv);
        return status;
    }
    *kv_out = kv;
    return PDAG_OK;
}

/* Queries of all rows against their own keys. */
static pdag_status attend_self(pdag_pass *pass, const pdag_attn *attn,
                               size_t tokens, bool causal, const pdag_buf *qkv,
                               const pdag_buf *y)
{
    size_t inner = attn->heads * attn->head_dim;
    pdag_attention a = {.batch = pass->rows,
                        .heads = attn->heads,
                        .head_dim = attn->head_dim,
                        .n_q = tokens,
                        .n_kv = tokens,
                        .scale = 1.0f / sqrtf((float)attn->head_dim),
                        .causal = causal,
                        .q = {qkv, 0, tokens * 3 * inner, 3 * inner},
                        .k = {qkv, inner, tokens * 3 * inner, 3 * inner},
                        .v = {qkv, 2 * inner, tokens * 3 * inner, 3 * inner},
                        .y = {y, 0, tokens * inner, inner}};

    return pass->be->ops->attention(pass->be, &a);
}

/* Queries against the keys of the rows' conditions; neighbours that share one
   go together. */
static pdag_status attend_cross(pdag_pass *pass, const pdag_attn *attn,
                                size_t tokens, const pdag_buf *q,
                                const pdag_buf *y)
{
    size_t inner = attn->heads * attn->head_dim;
    size_t begin = 0;

    while (begin < pass->rows) {
        const pdag_kv *kv = (const pdag_kv *)pass->kv[begin];
        const pdag_buf *buf = &kv->bufs[attn->kv_index];
        size_t end = begin + 1;
        size_t first = begin * tokens * inner;

        while (end < pass->rows && pass->kv[end] == pass->kv[begin])
            end++;
        pdag_attention a = {.batch = end - begin,
                            .heads = attn->heads,
                            .head_dim = attn->head_dim,
                            .n_q = tokens,
                            .n_kv = kv->tokens,
                            .scale = 1.0f / sqrtf((float)attn->head_dim),
                            .q = {q, first, tokens * inner, inner},
                            .k = {buf, 0, 0, 2 * inner},
                            .v = {buf, inner, 0, 2 * inner},
                            .y = {y, first, tokens * inner, inner}};

        PDAG_TRY(pass->be->ops->attention(pass->be, &a));
        begin = end;
    }
    return PDAG_OK;
}

pdag_status pdag_run_attn(pdag_pass *pass, const pdag_attn *attn, size_t tokens,
                          bool causal, const pdag_buf *x,
                          const pdag_buf *residual, pdag_buf *y)
{
    size_t inner = attn->heads * attn->head_dim;
    size_t m = pass->rows * tokens;
    pdag_buf *projected;
    pdag_buf *mixed;

    PDAG_TRY(pdag_take(pass, tokens * attn->qkv.out, &projected));
    PDAG_TRY(pdag_take(pass, tokens * inner, &mixed));
    PDAG_TRY(pdag_run_linear(pass, &attn->qkv, m, x, PDAG_ACT_NONE, NULL,
                             projected));
    if (attn->cross)
        PDAG_TRY(attend_cross(pass, attn, tokens, projected, mixed));
    else
        PDAG_TRY(attend_self(pass, attn, tokens, causal, projected, mixed));
    PDAG_TRY(pdag_run_linear(pass, &attn->out, m, mixed, PDAG_ACT_NONE,
                             residual, y));
    pdag_give(pass, projected);
    pdag_give(pass, mixed);
    return PDAG_OK;
}

pdag_status pdag_build_attention_block(pdag_builder *b, const char *prefix,
                                       size_t channels, size_t head_dim,
                                       size_t groups, double eps,
                                       double output_scale_factor,
                                       pdag_attention_block *block_out)
{
    char name[PDAG_PREFIX_BYTES];
    pdag_attention_block block = {.scale = (float)(1.0 / output_scale_factor)};
    size_t inner;

    if (head_dim == 0)
        head_dim = channels;
    if (head_dim > channels)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "%s: attention_head_dim: %zu is more than the %zu "
                          "channels of %s",
                          b->config.path, head_dim, channels, prefix);
    block.attn.heads = channels / head_dim;
    block.attn.head_dim = head_dim;
    inner = block.attn.heads * head_dim;
    pdag_join(prefix, "group_norm", name);
    PDAG_TRY(pdag_build_norm(b, name, channels, groups, eps, &block.norm));
    PDAG_TRY(pdag_build_linears(b, prefix, self_names, 3, channels, inner, true,
                                &block.attn.qkv));
    pdag_join(prefix, "to_out.0", name);
    PDAG_TRY(
        pdag_build_linear(b, name, inner, channels, true, &block.attn.out));
    *block_out = block;
    return PDAG_OK;
}

pdag_status pdag_run_attention_block(pdag_pass *pass,
                                     const pdag_attention_block *block,
                                     const pdag_map *x, pdag_map *y_out)
{
    pdag_map normed;
    pdag_map y;

    PDAG_TRY(pdag_take_map(pass, x->h, x->w, x->c, &normed));
    PDAG_TRY(pdag_take_map(pass, x->h, x->w, x->c, &y));
    PDAG_TRY(pdag_run_group_norm(pass, &block->norm, x, NULL, PDAG_ACT_NONE,
                                 normed.buf));
    PDAG_TRY(pdag_run_attn(pass, &block->attn, x->h * x->w, false, normed.buf,
                           x->buf, y.buf));
    pdag_give_map(pass, &normed);
    *y_out = y;
    if (block->scale == 1.0f)
        return PDAG_OK;
    return pass->be->ops->scale(pass->be, pass->rows * y.h * y.w * y.c,
                                block->scale, y.buf, y.buf);
}

static pdag_status build_self(pdag_builder *b, const char *prefix, size_t heads,
                              size_t head_dim, pdag_attn *attn)
{
    char name[PDAG_PREFIX_BYTES];
    size_t inner = heads * head_dim;

    attn->heads = heads;
    attn->head_dim = head_dim;
    PDAG_TRY(pdag_build_linears(b, prefix, self_names, 3, inner, inner, false,
                                &attn->qkv));
    pdag_join(prefix, "to_out.0", name);
    return pdag_build_linear(b, name, inner, inner, true, &attn->out);
}

static pdag_status build_cross(pdag_builder *b, const char *prefix,
                               size_t heads, size_t head_dim,
                               const pdag_transformer_style *style,
                               pdag_attn *attn)
{
    static const char *const kv_names[] = {"to_k", "to_v"};
    pdag_kv_layers *layers = style->kv_layers;
    char name[PDAG_PREFIX_BYTES];
    size_t inner = heads * head_dim;

    attn->heads = heads;
    attn->head_dim = head_dim;
    attn->cross = true;
    pdag_join(prefix, "to_q", name);
    PDAG_TRY(pdag_build_linear(b, name, inner, inner, false, &attn->qkv));
    PDAG_TRY(pdag_build_linears(b, prefix, kv_names, 2, style->cross_dim, inner,
                                false, &attn->kv));
    pdag_join(prefix, "to_out.0", name);
    PDAG_TRY(pdag_build_linear(b, name, inner, inner, true, &attn->out));
    attn->kv_index = layers->n;
    layers->items =
        pdag_xrealloc(layers->items, layers->n + 1, sizeof *layers->items);
    layers->items[layers->n++] = attn->kv;
    return PDAG_OK;
}

/* BasicTransformerBlock; its layer norms have eps 1e-5 in every U-Net. */
static pdag_status build_layer(pdag_builder *b, const char *prefix,
                               size_t heads, size_t head_dim,
                               const pdag_transformer_style *style,
                               pdag_transformer_layer *layer)
{
    const double eps = 1e-5;
    size_t inner = heads * head_dim;
    char name[PDAG_PREFIX_BYTES];

    pdag_join(prefix, "norm1", name);
    PDAG_TRY(pdag_build_norm(b, name, inner, 0, eps, &layer->norm1));
    pdag_join(prefix, "attn1", name);
    if (style->only_cross)
        PDAG_TRY(build_cross(b, name, heads, head_dim, style, &layer->attn1));
    else
        PDAG_TRY(build_self(b, name, heads, head_dim, &layer->attn1));
    pdag_join(prefix, "norm2", name);
    PDAG_TRY(pdag_build_norm(b, name, inner, 0, eps, &layer->norm2));
    pdag_join(prefix, "attn2", name);
    PDAG_TRY(build_cross(b, name, heads, head_dim, style, &layer->attn2));
    pdag_join(prefix, "norm3", name);
    PDAG_TRY(pdag_build_norm(b, name, inner, 0, eps, &layer->norm3));
    pdag_join(prefix, "ff.net.0.proj", name);
    PDAG_TRY(pdag_build_linear(b, name, inner, 8 * inner, true, &layer->ff_in));
    pdag_join(prefix, "ff.net.2", name);
    return pdag_build_linear(b, name, 4 * inner, inner, true, &layer->ff_out);
}

pdag_status pdag_build_transformer(pdag_builder *b, const char *prefix,
                                   size_t channels, size_t heads,
                                   size_t n_layers,
                                   const pdag_transformer_style *style,
                                   pdag_transformer *transformer_out)
{
    pdag_transformer *t = transformer_out; /* its layers are freed by clear() */
    char name[PDAG_PREFIX_BYTES];
    size_t head_dim = channels / heads;

    if (head_dim == 0)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "%s: attention_head_dim: %zu heads for the %zu "
                          "channels of %s",
                          b->config.path, heads, channels, prefix);
    pdag_join(prefix, "norm", name);
    PDAG_TRY(pdag_build_norm(b, name, channels, style->groups, 1e-6, &t->norm));
    pdag_join(prefix, "proj_in", name);
    PDAG_TRY(pdag_build_linear(b, name, channels, heads * head_dim, true,
                               &t->proj_in));
    pdag_join(prefix, "proj_out", name);
    PDAG_TRY(pdag_build_linear(b, name, heads * head_dim, channels, true,
                               &t->proj_out));
    t->layers = pdag_xcalloc(n_layers, sizeof *t->layers);
    t->n_layers = n_layers;
    for (size_t i = 0; i < n_layers; i++) {
        char number[40];

        snprintf(number, sizeof number, "transformer_blocks.%zu", i);
        pdag_join(prefix, number, name);
        PDAG_TRY(build_layer(b, name, heads, head_dim, style, &t->layers[i]));
    }
    return PDAG_OK;
}

void pdag_transformer_clear(pdag_transformer *transformer)
{
    free(transformer->layers);
    transformer->layers = NULL;
    transformer->n_layers = 0;
}

/* h = h + attn1(norm1 h); h = h + attn2(norm2 h); h = h + ff(norm3 h), in
   place; n: room for a normed h. */
static pdag_status run_layer(pdag_pass *pass,
                             const pdag_transformer_layer *layer, size_t tokens,
                             pdag_buf *h, pdag_buf *n)
{
    size_t m = pass->rows * tokens;
    size_t wide = layer->ff_out.in;
    pdag_buf *gates;
    pdag_buf *product;

    PDAG_TRY(pdag_run_layer_norm(pass, &layer->norm1, m, h, n));
    PDAG_TRY(pdag_run_attn(pass, &layer->attn1, tokens, false, n, h, h));
    PDAG_TRY(pdag_run_layer_norm(pass, &layer->norm2, m, h, n));
    PDAG_TRY(pdag_run_attn(pass, &layer->attn2, tokens, false, n, h, h));
    PDAG_TRY(pdag_run_layer_norm(pass, &layer->norm3, m, h, n));
    PDAG_TRY(pdag_take(pass, tokens * layer->ff_in.out, &gates));
    PDAG_TRY(pdag_take(pass, tokens * wide, &product));
    PDAG_TRY(
        pdag_run_linear(pass, &layer->ff_in, m, n, PDAG_ACT_NONE, NULL, gates));
    PDAG_TRY(pass->be->ops->geglu(pass->be, m, wide, gates, product));
    PDAG_TRY(
        pdag_run_linear(pass, &layer->ff_out, m, product, PDAG_ACT_NONE, h, h));
    pdag_give(pass, gates);
    pdag_give(pass, product);
    return PDAG_OK;
}

pdag_status pdag_run_transformer(pdag_pass *pass,
                                 const pdag_transformer *transformer,
                                 const pdag_map *x, pdag_map *y_out)
{
    size_t tokens = x->h * x->w;
    size_t m = pass->rows * tokens;
    pdag_map y;
    pdag_buf *h;
    pdag_buf *n;

    PDAG_TRY(pdag_take_map(pass, x->h, x->w, x->c, &y));
    PDAG_TRY(pdag_take(pass, tokens * transformer->proj_in.out, &h));
    PDAG_TRY(pdag_take(pass, tokens * transformer->proj_in.out, &n));
    PDAG_TRY(pdag_run_group_norm(pass, &transformer->norm, x, NULL,
                                 PDAG_ACT_NONE, y.buf));
    PDAG_TRY(pdag_run_linear(pass, &transformer->proj_in, m, y.buf,
                             PDAG_ACT_NONE, NULL, h));
    for (size_t i = 0; i < transformer->n_layers; i++)
        PDAG_TRY(run_layer(pass, &transformer->layers[i], tokens, h, n));
    PDAG_TRY(pdag_run_linear(pass, &transformer->proj_out, m, h, PDAG_ACT_NONE,
                             x->buf, y.buf));
    pdag_give(pass, h);
    pdag_give(pass, n);
    *y_out = y;
    return PDAG_OK;
}
