/** models/layers_resnet.h: the residual block, and changes of resolution.
 *  ResnetBlock2D, Downsample2D and Upsample2D of diffusers. */
#ifndef PDAG_MODELS_LAYERS_RESNET_H
#define PDAG_MODELS_LAYERS_RESNET_H

#include "models/layers_base.h"
#include "models/layers_time.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_resnet {
    pdag_norm norm1, norm2;
    pdag_conv conv1, conv2;
    bool has_shortcut; /* 1x1, where the widths differ */
    pdag_linear shortcut;
    bool has_time;
    pdag_time_slot time; /* its part of the time embedding */
    pdag_activation act;
    float scale; /* 1 / output_scale_factor */
} pdag_resnet;

/** What all residual blocks of a network share. */
typedef struct pdag_resnet_style {
    size_t groups;
    double eps;
    pdag_activation act;
    double output_scale_factor;
    pdag_time *time; /* NULL: no time embedding (autoencoders) */
} pdag_resnet_style;

pdag_status pdag_build_resnet(pdag_builder *b, const char *prefix, size_t in,
                              size_t out, const pdag_resnet_style *style,
                              pdag_resnet *resnet_out);
pdag_status pdag_run_resnet(pdag_pass *pass, const pdag_resnet *resnet,
                            const pdag_map *x, pdag_map *y_out);

/** 3x3 with stride 2.  padding 1: on all sides; 0: one row below and one column
 *  to the right, as diffusers pads then. */
pdag_status pdag_build_downsample(pdag_builder *b, const char *prefix,
                                  size_t channels, size_t padding,
                                  pdag_conv *conv_out);

/** Nearest neighbour to h x w, then `conv` (3x3). */
pdag_status pdag_run_upsample(pdag_pass *pass, const pdag_conv *conv,
                              const pdag_map *x, size_t h, size_t w,
                              pdag_map *y_out);

#ifdef __cplusplus
}
#endif
#endif
