/** models/layers_time.h: the timestep embedding of U-Nets and its projection
 * for every residual block.
 *
 *  Sinusoids of t, Linear, activation, Linear, activation, then one Linear per
 *  residual block.  None of it depends on the state, so a network keeps the
 *  projections of the timesteps it has seen (one row each, computed alone, so
 *  that their bits do not depend on the batch) and an evaluation only gathers
 *  them.  Sinusoids: Vaswani et al. 2017, arXiv:1706.03762, section 3.5, as
 *  diffusers' get_timestep_embedding computes them in float32. */
#ifndef PDAG_MODELS_LAYERS_TIME_H
#define PDAG_MODELS_LAYERS_TIME_H

#include <stddef.h>
#include <stdint.h>

#include "models/layers_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Columns [offset, offset + width) of the projections. */
typedef struct pdag_time_slot {
    size_t offset, width;
} pdag_time_slot;

typedef struct pdag_time {
    size_t channels; /* of the sinusoids */
    size_t width;    /* of the embedding */
    bool flip_sin_to_cos;
    float freq_shift;
    pdag_activation act;       /* between the two linear layers */
    pdag_activation block_act; /* of the residual blocks, before projecting */
    pdag_linear linear_1, linear_2;
    pdag_linear *projections; /* [n_projections], one per residual block */
    size_t n_projections;
    size_t total;         /* columns of all projections */
    float *known_t;       /* [n_known] */
    float **known;        /* [n_known]: [total] */
    size_t n_known, next; /* next: the one to replace when full */
    float *sinusoids;     /* [channels] on the host */
    float *staging;       /* [rows][total] on the host */
    size_t staging_room;
} pdag_time;

/** time->channels, width, flip_sin_to_cos, freq_shift, act and block_act are
 * set by the caller; reads PREFIX.linear_1 and PREFIX.linear_2. */
pdag_status pdag_build_time(pdag_builder *b, const char *prefix,
                            pdag_time *time);
/** The same with the layers `first` (hidden columns) and `second`. */
pdag_status pdag_build_time_layers(pdag_builder *b, const char *first,
                                   const char *second, size_t hidden,
                                   pdag_time *time);
void pdag_time_clear(pdag_time *time);

/** The projection of one residual block. */
pdag_status pdag_build_time_slot(pdag_builder *b, const char *prefix,
                                 size_t width, pdag_time *time,
                                 pdag_time_slot *slot_out);

/** The same for a projection that the caller has built. */
void pdag_time_add_slot(pdag_time *time, const pdag_linear *projection,
                        pdag_time_slot *slot_out);

/** Sinusoids of t: out [channels]. */
void pdag_time_sinusoids(const pdag_time *time, float t, float *out);

/** Sets pass->time to the projections of t[rows], by residual block:
 *  slot by slot [rows][width]. */
pdag_status pdag_time_gather(pdag_pass *pass, pdag_time *time, const float *t);
/** The same with add[row] [total] added; host. */
pdag_status pdag_time_gather_with(pdag_pass *pass, pdag_time *time,
                                  const float *t, const float *const *add);

/** The rows of one residual block: [rows][width], part of pass->time. */
pdag_buf pdag_time_view(const pdag_pass *pass, const pdag_time_slot *slot);

#ifdef __cplusplus
}
#endif
#endif
