#include "models/layers_base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/mem.h"

void pdag_weight_list_clear(pdag_weight_list *list)
{
    for (size_t i = 0; i < list->n_items; i++)
        if (list->base == NULL || list->items[i] != list->base->items[i])
            list->be->ops->weight_destroy(list->be, list->items[i]);
    free(list->items);
    list->items = NULL;
    list->n_items = 0;
    list->room = 0;
}

static void note(char ***texts, size_t *n, char *text)
{
    *texts = pdag_xgrow(*texts, *n, sizeof **texts);
    (*texts)[(*n)++] = text;
}

void pdag_findings_clear(pdag_findings *findings)
{
    for (size_t i = 0; i < findings->n_missing; i++)
        free(findings->missing[i]);
    for (size_t i = 0; i < findings->n_unused; i++)
        free(findings->unused[i]);
    free(findings->missing);
    free(findings->unused);
    memset(findings, 0, sizeof *findings);
}

pdag_status pdag_builder_open(pdag_builder *b, const char *dir,
                              const char *weights_base, pdag_backend *be)
{
    char *path = pdag_xasprintf("%s/config.json", dir);
    pdag_status status;

    memset(b, 0, sizeof *b);
    b->be = be;
    status = pdag_json_read(path, &b->config);
    free(path);
    if (status != PDAG_OK)
        return status;
    return pdag_weights_open(dir, weights_base, &b->weights);
}

void pdag_builder_close(pdag_builder *b)
{
    pdag_weights_close(b->weights);
    pdag_json_clear(&b->config);
    b->weights = NULL;
}

pdag_status pdag_builder_finish(pdag_builder *b)
{
    if (b->findings == NULL)
        return pdag_weights_check_used(b->weights);
    for (size_t i = 0; i < pdag_weights_count(b->weights); i++)
        if (!pdag_weights_is_used(b->weights, i))
            note(&b->findings->unused, &b->findings->n_unused,
                 pdag_xstrdup(pdag_weights_at(b->weights, i)->name));
    return PDAG_OK;
}

void pdag_join(const char *prefix, const char *name,
               char out[PDAG_PREFIX_BYTES])
{
    snprintf(out, PDAG_PREFIX_BYTES, "%s%s%s", prefix,
             prefix[0] != '\0' ? "." : "", name);
}

/* "[320, 4, 3, 3]" */
static const char *show_dims(int n_dims, const size_t *dims, char text[96])
{
    size_t used = 1;

    strcpy(text, "[");
    for (int d = 0; d < n_dims && used < 60; d++)
        used += (size_t)snprintf(text + used, 96 - used, "%s%zu",
                                 d > 0 ? ", " : "", dims[d]);
    snprintf(text + used, 96 - used, "]");
    return text;
}

/* The first fault ends the load; with findings kept it is only noted. */
static pdag_status fault(pdag_builder *b, pdag_status status,
                         const pdag_tensor_view **view_out)
{
    *view_out = NULL;
    if (b->findings == NULL)
        return status;
    note(&b->findings->missing, &b->findings->n_missing,
         pdag_xstrdup(pdag_error_text()));
    return PDAG_OK;
}

/* Look a tensor up and check its shape; trailing dims of one are let pass where
   `squeeze` says so (1x1 convolutions used as linear layers). */
static pdag_status lookup(pdag_builder *b, const char *name, int n_dims,
                          const size_t *dims, bool squeeze,
                          const pdag_tensor_view **view_out)
{
    const char *file = pdag_weights_path(b->weights);
    const pdag_tensor_view *view = pdag_weights_find(b->weights, name);
    char is[96];
    char wanted[96];
    int have;

    if (view == NULL)
        return fault(
            b,
            pdag_error(PDAG_ERR_FORMAT, "%s: %s: tensor missing", file, name),
            view_out);
    have = view->n_dims;
    while (squeeze && have > n_dims && view->dims[have - 1] == 1)
        have--;
    if (have != n_dims ||
        memcmp(view->dims, dims, (size_t)n_dims * sizeof *dims) != 0)
        return fault(b,
                     pdag_error(PDAG_ERR_SHAPE,
                                "%s: %s: shape %s, but the configuration "
                                "wants %s",
                                file, name,
                                show_dims(view->n_dims, view->dims, is),
                                show_dims(n_dims, dims, wanted)),
                     view_out);
    if (view->dtype == PDAG_I64 || view->dtype == PDAG_I32 ||
        view->dtype == PDAG_U8)
        return fault(b,
                     pdag_error(PDAG_ERR_UNSUPPORTED,
                                "%s: %s: dtype %s is not a weight's", file,
                                name, pdag_dtype_name(view->dtype)),
                     view_out);
    *view_out = view;
    return PDAG_OK;
}

/* The same, with what is mixed into the tensor; for create(). */
static pdag_status look_up_mixed(pdag_builder *b, const char *name, int n_dims,
                                 const size_t *dims, bool squeeze,
                                 const pdag_tensor_view **view_out)
{
    PDAG_TRY(lookup(b, name, n_dims, dims, squeeze, view_out));
    if (b->mix == NULL || *view_out == NULL)
        return PDAG_OK;
    return pdag_mix_apply(b->mix, name, b->be == NULL, view_out);
}

pdag_status pdag_build_tensor(pdag_builder *b, const char *name, size_t rows,
                              size_t columns, const pdag_tensor_view **view_out)
{
    size_t dims[2] = {rows, columns};

    return lookup(b, name, columns > 0 ? 2 : 1, dims, false, view_out);
}

/* Give the parts to the backend, or take what the base network has made of the
   same: layers are built in the same order. */
static pdag_status prepare(pdag_builder *b, const pdag_weight_desc *desc,
                           pdag_weight **weight_out)
{
    const pdag_weight_list *list = b->list;
    bool mixed = b->mix != NULL && pdag_mix_is_pending(b->mix);
    pdag_status status;

    if (list->base != NULL && !mixed) {
        PDAG_ASSERT(list->n_items < list->base->n_items);
        *weight_out = list->base->items[list->n_items];
        return PDAG_OK;
    }
    status = b->be->ops->weight_create(b->be, desc, weight_out);
    if (status != PDAG_OK)
        return pdag_error_prefix(status, "%s", pdag_weights_path(b->weights));
    for (int i = 0; i < desc->n_parts; i++)
        pdag_weights_release(b->weights, desc->part[i]);
    if (mixed)
        pdag_mix_release(b->mix);
    return PDAG_OK;
}

static pdag_status create(pdag_builder *b, const pdag_weight_desc *desc,
                          pdag_weight **weight_out)
{
    pdag_weight_list *list = b->list;

    *weight_out = NULL;
    if (b->be == NULL)
        return PDAG_OK;
    PDAG_TRY(prepare(b, desc, weight_out));
    if (list->n_items == list->room) {
        list->room = 2 * list->room + 64;
        list->items =
            pdag_xrealloc(list->items, list->room, sizeof *list->items);
    }
    list->items[list->n_items++] = *weight_out;
    return PDAG_OK;
}

/* PREFIX.weight and, where wanted, PREFIX.bias into part `part` of a desc. */
static pdag_status look_up_part(pdag_builder *b, const char *prefix, int n_dims,
                                const size_t *dims, bool bias, int part,
                                pdag_weight_desc *desc)
{
    char name[PDAG_PREFIX_BYTES];

    pdag_join(prefix, "weight", name);
    PDAG_TRY(look_up_mixed(b, name, n_dims, dims, n_dims == 2,
                           &desc->part[part]));
    if (!bias)
        return PDAG_OK;
    pdag_join(prefix, "bias", name);
    return look_up_mixed(b, name, 1, dims, false, &desc->bias[part]);
}

pdag_status pdag_build_linear(pdag_builder *b, const char *prefix, size_t in,
                              size_t out, bool bias, pdag_linear *linear_out)
{
    pdag_weight_desc desc = {.kind = PDAG_WEIGHT_LINEAR, .n_parts = 1};
    size_t dims[2] = {out, in};

    linear_out->in = in;
    linear_out->out = out;
    PDAG_TRY(look_up_part(b, prefix, 2, dims, bias, 0, &desc));
    return create(b, &desc, &linear_out->weight);
}

pdag_status pdag_build_linears(pdag_builder *b, const char *prefix,
                               const char *const *names, size_t n, size_t in,
                               size_t out, bool bias, pdag_linear *linear_out)
{
    pdag_weight_desc desc = {.kind = PDAG_WEIGHT_LINEAR, .n_parts = (int)n};
    size_t dims[2] = {out, in};

    linear_out->in = in;
    linear_out->out = n * out;
    for (size_t i = 0; i < n; i++) {
        char name[PDAG_PREFIX_BYTES];

        pdag_join(prefix, names[i], name);
        PDAG_TRY(look_up_part(b, name, 2, dims, bias, (int)i, &desc));
    }
    return create(b, &desc, &linear_out->weight);
}

pdag_status pdag_build_conv(pdag_builder *b, const char *prefix,
                            pdag_conv shape, pdag_conv *conv_out)
{
    pdag_weight_desc desc = {.kind = PDAG_WEIGHT_CONV2D,
                             .n_parts = 1,
                             .stride = shape.stride,
                             .pad_top = shape.pad_before,
                             .pad_left = shape.pad_before,
                             .pad_bottom = shape.pad_after,
                             .pad_right = shape.pad_after};
    size_t dims[4] = {shape.out, shape.in, shape.kernel, shape.kernel};

    *conv_out = shape;
    PDAG_TRY(look_up_part(b, prefix, 4, dims, true, 0, &desc));
    return create(b, &desc, &conv_out->weight);
}

pdag_status pdag_build_conv3(pdag_builder *b, const char *prefix, size_t in,
                             size_t out, pdag_conv *conv_out)
{
    pdag_conv shape = {.in = in,
                       .out = out,
                       .kernel = 3,
                       .stride = 1,
                       .pad_before = 1,
                       .pad_after = 1};

    return pdag_build_conv(b, prefix, shape, conv_out);
}

/* Both tensors as float32 through arrange() into `to`: weight, then bias. */
static pdag_status rearrange(const pdag_arrangement *a,
                             const pdag_weight_desc *from, size_t n_to,
                             void **to_out)
{
    size_t n = pdag_tensor_count(from->part[0]);
    void *memory;
    float *to;
    float *is;

    PDAG_TRY(pdag_alloc_tensor(n_to + a->to_dims[0] + n + a->n_bias,
                               sizeof(float), from->part[0]->name, &memory));
    to = memory;
    is = to + n_to + a->to_dims[0];
    memset(to, 0, (n_to + a->to_dims[0]) * sizeof *to);
    pdag_tensor_to_f32(from->part[0], 0, n, is);
    pdag_tensor_to_f32(from->bias[0], 0, a->n_bias, is + n);
    a->arrange(a, is, is + n, to, to + n_to);
    *to_out = memory;
    return PDAG_OK;
}

pdag_status pdag_build_arranged(pdag_builder *b, const char *prefix,
                                const pdag_arrangement *a,
                                pdag_weight **weight_out)
{
    pdag_weight_desc from = {.n_parts = 1};
    pdag_tensor_view weight;
    pdag_tensor_view bias;
    pdag_weight_desc desc = {.kind = a->kind,
                             .n_parts = 1,
                             .part = {&weight},
                             .bias = {a->without_bias ? NULL : &bias},
                             .stride = a->stride,
                             .pad_left = a->pad_left,
                             .pad_right = a->pad_right};
    char name[PDAG_PREFIX_BYTES];
    size_t n_to = 1;
    void *memory;
    pdag_status status;

    *weight_out = NULL;
    PDAG_TRY(look_up_part(b, prefix, a->n_dims, a->dims, false, 0, &from));
    pdag_join(prefix, "bias", name);
    PDAG_TRY(look_up_mixed(b, name, 1, &a->n_bias, false, &from.bias[0]));
    if (b->be == NULL)
        return PDAG_OK;
    for (int d = 0; d < a->n_to_dims; d++)
        n_to *= a->to_dims[d];
    PDAG_TRY(rearrange(a, &from, n_to, &memory));
    weight = (pdag_tensor_view){.name = from.part[0]->name,
                                .data = memory,
                                .dtype = PDAG_F32,
                                .n_dims = a->n_to_dims};
    memcpy(weight.dims, a->to_dims, sizeof a->to_dims);
    bias = (pdag_tensor_view){.name = from.bias[0]->name,
                              .data = (float *)memory + n_to,
                              .dtype = PDAG_F32,
                              .n_dims = 1,
                              .dims = {a->to_dims[0]}};
    status = create(b, &desc, weight_out);
    free(memory);
    return status;
}

static pdag_status build_vector(pdag_builder *b, const char *prefix,
                                const char *name, size_t n,
                                pdag_weight **weight_out)
{
    pdag_weight_desc desc = {.kind = PDAG_WEIGHT_VECTOR, .n_parts = 1};
    char full[PDAG_PREFIX_BYTES];

    pdag_join(prefix, name, full);
    PDAG_TRY(look_up_mixed(b, full, 1, &n, false, &desc.part[0]));
    return create(b, &desc, weight_out);
}

pdag_status pdag_build_norm(pdag_builder *b, const char *prefix,
                            size_t channels, size_t groups, double eps,
                            pdag_norm *norm_out)
{
    if (groups > 0 && channels % groups != 0)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "%s: norm_num_groups: %zu does not divide the %zu "
                          "channels of %s",
                          b->config.path, groups, channels, prefix);
    norm_out->channels = channels;
    norm_out->groups = groups;
    norm_out->eps = (float)eps;
    PDAG_TRY(build_vector(b, prefix, "weight", channels, &norm_out->gamma));
    return build_vector(b, prefix, "bias", channels, &norm_out->beta);
}
