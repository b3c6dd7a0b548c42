/** models/layers_attention.h: attention over the positions of a map: the plain
 *  block of UNet2DModel and of autoencoders, and Transformer2DModel with its
 *  cross-attention.  Source: Vaswani et al. 2017, arXiv:1706.03762; names and
 *  order of layers are diffusers'.
 *
 *  Keys and values of a condition do not depend on state or time: they are made
 *  once per condition (pdag_kv), not once per evaluation. */
#ifndef PDAG_MODELS_LAYERS_ATTENTION_H
#define PDAG_MODELS_LAYERS_ATTENTION_H

#include "models/layers_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** softmax(q k^T / sqrt(head_dim)) v, then a linear layer, then + residual. */
typedef struct pdag_attn {
    size_t heads, head_dim; /* inner width: heads * head_dim */
    bool cross;             /* keys and values come from the condition */
    pdag_linear qkv;        /* fused; of cross-attention only q */
    pdag_linear kv;         /* of cross-attention: fused k, v */
    size_t kv_index;        /* of cross-attention: which of a pdag_kv */
    pdag_linear out;
} pdag_attn;

/** One condition's keys and values for every cross-attention of a network:
 *  buffer i is [tokens][2 * inner], keys beside values. */
typedef struct pdag_kv {
    size_t tokens;
    pdag_buf *bufs; /* [n] */
    size_t n;
} pdag_kv;

/** The cross-attentions of a network, in the order of their kv_index; the
 * layers are copied (their weights are handles).  Zero it. */
typedef struct pdag_kv_layers {
    pdag_linear *items; /* [n] */
    size_t n;
} pdag_kv_layers;

/** cond: host float32 [tokens][width]. */
pdag_status pdag_kv_create(pdag_pass *pass, const pdag_kv_layers *layers,
                           size_t tokens, size_t width, const float *cond,
                           pdag_kv **kv_out);
void pdag_kv_destroy(pdag_backend *be, pdag_kv *kv); /* NULL is allowed */

/** The block of UNet2DModel, AttnDownBlock2D and autoencoders. */
typedef struct pdag_attention_block {
    pdag_norm norm;
    pdag_attn attn;
    float scale; /* 1 / rescale_output_factor */
} pdag_attention_block;

/** head_dim 0: one head.  groups of the norm as given. */
pdag_status pdag_build_attention_block(pdag_builder *b, const char *prefix,
                                       size_t channels, size_t head_dim,
                                       size_t groups, double eps,
                                       double output_scale_factor,
                                       pdag_attention_block *block_out);
pdag_status pdag_run_attention_block(pdag_pass *pass,
                                     const pdag_attention_block *block,
                                     const pdag_map *x, pdag_map *y_out);

typedef struct pdag_transformer_layer {
    pdag_norm norm1, norm2, norm3;
    pdag_attn attn1, attn2;
    pdag_linear ff_in, ff_out; /* GEGLU between them */
} pdag_transformer_layer;

typedef struct pdag_transformer {
    pdag_norm norm;
    pdag_linear proj_in, proj_out;
    pdag_transformer_layer *layers; /* [n_layers], owned */
    size_t n_layers;
} pdag_transformer;

typedef struct pdag_transformer_style {
    size_t groups;
    size_t cross_dim;
    bool only_cross; /* attn1 reads the condition too */
    pdag_kv_layers *kv_layers;
} pdag_transformer_style;

/** heads must not exceed channels; proj_in and proj_out are read as linear
 *  layers or as 1x1 convolutions, whichever the file has. */
pdag_status pdag_build_transformer(pdag_builder *b, const char *prefix,
                                   size_t channels, size_t heads,
                                   size_t n_layers,
                                   const pdag_transformer_style *style,
                                   pdag_transformer *transformer_out);
void pdag_transformer_clear(pdag_transformer *transformer);
pdag_status pdag_run_transformer(pdag_pass *pass,
                                 const pdag_transformer *transformer,
                                 const pdag_map *x, pdag_map *y_out);

/** h[rows][tokens][width] += out(attention(x)); x as h, `causal` as in
 *  backend.h. */
pdag_status pdag_run_attn(pdag_pass *pass, const pdag_attn *attn, size_t tokens,
                          bool causal, const pdag_buf *x,
                          const pdag_buf *residual, pdag_buf *y);

#ifdef __cplusplus
}
#endif
#endif
