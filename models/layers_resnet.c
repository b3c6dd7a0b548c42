#include "models/layers_resnet.h"

pdag_status pdag_build_resnet(pdag_builder *b, const char *prefix, size_t in,
                              size_t out, const pdag_resnet_style *style,
                              pdag_resnet *resnet_out)
{
    char name[PDAG_PREFIX_BYTES];
    pdag_resnet r = {.has_shortcut = in != out,
                     .has_time = style->time != NULL,
                     .act = style->act,
                     .scale = (float)(1.0 / style->output_scale_factor)};

    pdag_join(prefix, "norm1", name);
    PDAG_TRY(pdag_build_norm(b, name, in, style->groups, style->eps, &r.norm1));
    pdag_join(prefix, "conv1", name);
    PDAG_TRY(pdag_build_conv3(b, name, in, out, &r.conv1));
    if (r.has_time) {
        pdag_join(prefix, "time_emb_proj", name);
        PDAG_TRY(pdag_build_time_slot(b, name, out, style->time, &r.time));
    }
    pdag_join(prefix, "norm2", name);
    PDAG_TRY(
        pdag_build_norm(b, name, out, style->groups, style->eps, &r.norm2));
    pdag_join(prefix, "conv2", name);
    PDAG_TRY(pdag_build_conv3(b, name, out, out, &r.conv2));
    if (r.has_shortcut) {
        pdag_join(prefix, "conv_shortcut", name);
        PDAG_TRY(pdag_build_linear(b, name, in, out, true, &r.shortcut));
    }
    *resnet_out = r;
    return PDAG_OK;
}

/* norm1, act, conv1: x stays, h is fresh. */
static pdag_status first_half(pdag_pass *pass, const pdag_resnet *r,
                              const pdag_map *x, pdag_map *h_out)
{
    pdag_map normed;

    PDAG_TRY(pdag_take_map(pass, x->h, x->w, x->c, &normed));
    PDAG_TRY(pdag_run_group_norm(pass, &r->norm1, x, NULL, r->act, normed.buf));
    PDAG_TRY(pdag_run_conv(pass, &r->conv1, &normed, NULL, h_out));
    pdag_give_map(pass, &normed);
    return PDAG_OK;
}

pdag_status pdag_run_resnet(pdag_pass *pass, const pdag_resnet *resnet,
                            const pdag_map *x, pdag_map *y_out)
{
    pdag_map h;
    pdag_map shortcut = {NULL, 0, 0, 0};
    pdag_buf time;

    PDAG_TRY(first_half(pass, resnet, x, &h));
    if (resnet->has_time)
        time = pdag_time_view(pass, &resnet->time);
    PDAG_TRY(pdag_run_group_norm(pass, &resnet->norm2, &h,
                                 resnet->has_time ? &time : NULL, resnet->act,
                                 h.buf));
    if (resnet->has_shortcut) {
        PDAG_TRY(pdag_take_map(pass, x->h, x->w, h.c, &shortcut));
        PDAG_TRY(pdag_run_linear(pass, &resnet->shortcut,
                                 pass->rows * x->h * x->w, x->buf,
                                 PDAG_ACT_NONE, NULL, shortcut.buf));
    }
    PDAG_TRY(pdag_run_conv(pass, &resnet->conv2, &h,
                           resnet->has_shortcut ? &shortcut : x, y_out));
    pdag_give_map(pass, &shortcut);
    pdag_give_map(pass, &h);
    if (resnet->scale == 1.0f)
        return PDAG_OK;
    return pass->be->ops->scale(pass->be,
                                pass->rows * y_out->h * y_out->w * y_out->c,
                                resnet->scale, y_out->buf, y_out->buf);
}

pdag_status pdag_build_downsample(pdag_builder *b, const char *prefix,
                                  size_t channels, size_t padding,
                                  pdag_conv *conv_out)
{
    pdag_conv shape = {.in = channels,
                       .out = channels,
                       .kernel = 3,
                       .stride = 2,
                       .pad_before = padding,
                       .pad_after = 1};

    return pdag_build_conv(b, prefix, shape, conv_out);
}

pdag_status pdag_run_upsample(pdag_pass *pass, const pdag_conv *conv,
                              const pdag_map *x, size_t h, size_t w,
                              pdag_map *y_out)
{
    pdag_map larger;

    PDAG_TRY(pdag_take_map(pass, h, w, x->c, &larger));
    PDAG_TRY(pass->be->ops->upsample(pass->be, pass->rows, x->h, x->w, x->c, h,
                                     w, x->buf, larger.buf));
    PDAG_TRY(pdag_run_conv(pass, conv, &larger, NULL, y_out));
    pdag_give_map(pass, &larger);
    return PDAG_OK;
}
