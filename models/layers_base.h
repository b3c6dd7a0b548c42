/** models/layers_base.h: what networks are built from and run with.
 *
 *  Building: a pdag_builder holds one part's config.json, its tensors and the
 *  backend.  A layer's pdag_build_*() looks its tensors up under `prefix`,
 * checks their shapes and gives them to the backend; the weights belong to the
 * list of the network, so layers need no destructor of their own.  With no
 * backend the same calls only check, which is how `inspect` reads a model.
 *
 *  Running: a pdag_pass is one evaluation of `rows` independent rows.  Maps are
 *  activations [rows][h][w][c] in buffers of the network's workspace, which
 * keeps them for the next evaluation: after the first one nothing is allocated.
 */
#ifndef PDAG_MODELS_LAYERS_BASE_H
#define PDAG_MODELS_LAYERS_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"
#include "base/json.h"
#include "base/status.h"
#include "models/denoiser.h"
#include "models/mix.h"
#include "models/weights.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Leave the function with the status of a call that failed.  Only where
 * nothing has to be undone: buffers of a workspace need not be given back then.
 */
#define PDAG_TRY(call)                                                         \
    do {                                                                       \
        pdag_status try_status = (call);                                       \
        if (try_status != PDAG_OK)                                             \
            return try_status;                                                 \
    } while (0)

/** Longest "down_blocks.0.attentions.0..." that a layer may build. */
#define PDAG_PREFIX_BYTES 160

/** Weights of one network, freed together.  Zero it, set `be`.  Those that are
 *  in the same place of `base` (borrowed, must outlive the list; NULL: none)
 *  are shared with it and stay. */
typedef struct pdag_weight_list {
    pdag_backend *be;
    const struct pdag_weight_list *base;
    pdag_weight **items;
    size_t n_items, room;
} pdag_weight_list;
void pdag_weight_list_clear(pdag_weight_list *list);

/** What a part lacks or has too much; filled instead of stopping at the first
 *  fault.  Texts name the tensor and what is wrong.  Zero it. */
typedef struct pdag_findings {
    char **missing; /* [n_missing], owned */
    size_t n_missing;
    char **unused; /* [n_unused], owned */
    size_t n_unused;
} pdag_findings;
void pdag_findings_clear(pdag_findings *findings);

typedef struct pdag_builder {
    pdag_backend *be; /* borrowed; NULL: check only, build nothing */
    pdag_json config;
    pdag_weights *weights;
    size_t n_tokens;         /* of one condition; 0: the network's default */
    pdag_findings *findings; /* borrowed; NULL: the first fault ends the load */
    pdag_weight_list *list;  /* of the network being built; set by its load */
    pdag_mix *mix; /* borrowed; what is added to the weights; NULL: nothing */
    /* borrowed, may be NULL, must outlive what is built: a network of the same
       configuration and file, to share unmixed weights and work space with */
    const pdag_denoiser *base;
} pdag_builder;

/** Read DIR/config.json and open the weights (pdag_weights_open).  Sets all
 *  fields; close in any case. */
pdag_status pdag_builder_open(pdag_builder *b, const char *dir,
                              const char *weights_base, pdag_backend *be);
void pdag_builder_close(pdag_builder *b);
/** At the end of a part's load: PDAG_ERR_FORMAT for tensors that nobody asked
 *  for, or a note of them in the findings. */
pdag_status pdag_builder_finish(pdag_builder *b);

/** PREFIX.NAME into out, or NAME where the prefix is "". */
void pdag_join(const char *prefix, const char *name,
               char out[PDAG_PREFIX_BYTES]);

/** y = x W^T + b. */
typedef struct pdag_linear {
    pdag_weight *weight;
    size_t in, out; /* out: of all parts together */
} pdag_linear;

typedef struct pdag_conv {
    pdag_weight *weight;
    size_t in, out, kernel, stride, pad_before, pad_after;
} pdag_conv;

/** Group norm, or layer norm where groups is 0. */
typedef struct pdag_norm {
    pdag_weight *gamma, *beta;
    size_t channels, groups;
    float eps;
} pdag_norm;

/** PREFIX.weight [out][in] or [out][in][1][1], PREFIX.bias [out]. */
pdag_status pdag_build_linear(pdag_builder *b, const char *prefix, size_t in,
                              size_t out, bool bias, pdag_linear *linear_out);
/** The same for n <= 3 layers of `out` columns each, PREFIX.NAMES[i], that read
 *  the same input: one product instead of n. */
pdag_status pdag_build_linears(pdag_builder *b, const char *prefix,
                               const char *const *names, size_t n, size_t in,
                               size_t out, bool bias, pdag_linear *linear_out);
/** `shape`: in, out, kernel, stride, pads as wanted; weight is set. */
pdag_status pdag_build_conv(pdag_builder *b, const char *prefix,
                            pdag_conv shape, pdag_conv *conv_out);
/** 3x3, stride 1, padding 1. */
pdag_status pdag_build_conv3(pdag_builder *b, const char *prefix, size_t in,
                             size_t out, pdag_conv *conv_out);
/** A weight whose file has it in another layout than the backend wants. */
typedef struct pdag_arrangement {
    pdag_weight_kind kind;
    int n_dims;     /* in the file: PREFIX.weight [dims], PREFIX.bias [n_bias] */
    size_t dims[4];
    size_t n_bias;
    int n_to_dims; /* as the backend takes it; its bias is [to_dims[0]] */
    size_t to_dims[4];
    bool without_bias;
    size_t stride, pad_left, pad_right; /* CONV2D */
    size_t first; /* for arrange() */
    /** Float32 in, float32 out; the outputs are zero before. */
    void (*arrange)(const struct pdag_arrangement *a, const float *weight,
                    const float *bias, float *to_weight, float *to_bias);
} pdag_arrangement;
pdag_status pdag_build_arranged(pdag_builder *b, const char *prefix,
                                const pdag_arrangement *a,
                                pdag_weight **weight_out);
/** groups > 0 must divide channels: PDAG_ERR_UNSUPPORTED. */
pdag_status pdag_build_norm(pdag_builder *b, const char *prefix,
                            size_t channels, size_t groups, double eps,
                            pdag_norm *norm_out);
/** Any tensor: *view_out is NULL where it is missing and findings are kept.
 *  n_dims 1 or 2. */
pdag_status pdag_build_tensor(pdag_builder *b, const char *name, size_t rows,
                              size_t columns,
                              const pdag_tensor_view **view_out);

/** Buffers for activations, kept between evaluations.  Zero it, set `be`. */
typedef struct pdag_workspace {
    pdag_backend *be;
    size_t rows; /* that the buffers are made for */
    bool failed; /* one of them did not fit: made anew for the next pass */
    uint64_t generation; /* counts how often they were made anew */
    struct pdag_workspace_slot **slots;
    size_t n_slots;
} pdag_workspace;
void pdag_workspace_clear(pdag_workspace *ws);

typedef struct pdag_pass {
    pdag_backend *be;
    pdag_workspace *ws;
    size_t rows;
    const pdag_buf *time;  /* projected time embeddings, see layers_time.h */
    const void *const *kv; /* [rows]: conditions, see layers_attention.h */
} pdag_pass;

/** Take all buffers back and make room for `rows` rows. */
void pdag_pass_begin(pdag_pass *pass, pdag_workspace *ws, size_t rows);

/** Give all buffers back but two, of which either may be NULL. */
void pdag_pass_keep_only(pdag_pass *pass, const pdag_buf *a, const pdag_buf *b);

/** A buffer of rows * elements activations. */
pdag_status pdag_take(pdag_pass *pass, size_t elements, pdag_buf **buf_out);
void pdag_give(pdag_pass *pass, pdag_buf *buf); /* NULL is allowed */

/** `count` activations of a buffer, which keeps them, from number `offset` on. */
pdag_buf pdag_piece(const pdag_backend *be, const pdag_buf *buf, size_t offset,
                    size_t count);

/** Activations [rows][h][w][c]. */
typedef struct pdag_map {
    pdag_buf *buf;
    size_t h, w, c;
} pdag_map;

pdag_status pdag_take_map(pdag_pass *pass, size_t h, size_t w, size_t c,
                          pdag_map *map_out);
void pdag_give_map(pdag_pass *pass, pdag_map *map);

/** Each takes a fresh map for its result; x stays the caller's.  residual:
 * NULL, or a map of the result's shape that is added. */
pdag_status pdag_run_conv(pdag_pass *pass, const pdag_conv *conv,
                          const pdag_map *x, const pdag_map *residual,
                          pdag_map *y_out);
/** Into y, which may be residual; m rows of a matrix. */
pdag_status pdag_run_linear(pdag_pass *pass, const pdag_linear *linear,
                            size_t m, const pdag_buf *x, pdag_activation act,
                            const pdag_buf *residual, pdag_buf *y);
/** Group norm and activation, into y (may be x's buffer).  add: NULL or
 *  [rows][c]. */
pdag_status pdag_run_group_norm(pdag_pass *pass, const pdag_norm *norm,
                                const pdag_map *x, const pdag_buf *add,
                                pdag_activation act, pdag_buf *y);
pdag_status pdag_run_layer_norm(pdag_pass *pass, const pdag_norm *norm,
                                size_t m, const pdag_buf *x, pdag_buf *y);

#ifdef __cplusplus
}
#endif
#endif
