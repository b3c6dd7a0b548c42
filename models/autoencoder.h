/** models/autoencoder.h: what latent diffusion decodes its states with; one ops
 *  table per class.
 *
 *  Pictures are host float32 [channels][height][width] in [-1, 1]; latents are
 *  host float32 [latent_channels][height / factor][width / factor], unscaled. */
#ifndef PDAG_MODELS_AUTOENCODER_H
#define PDAG_MODELS_AUTOENCODER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "models/config.h"
#include "models/layers_base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_autoencoder_ops pdag_autoencoder_ops;

typedef struct pdag_autoencoder_info {
    size_t out_channels;    /* of a picture */
    size_t latent_channels; /* of a latent that decode() takes */
    size_t factor;          /* picture side over latent side */
    double scaling_factor;  /* latents are divided by it before decoding */
} pdag_autoencoder_info;

/** An implementation embeds this as its first member.  Not thread safe. */
typedef struct pdag_autoencoder {
    const pdag_autoencoder_ops *ops;
    pdag_autoencoder_info info;
} pdag_autoencoder;

struct pdag_autoencoder_ops {
    const char *name; /* `_class_name` of config.json */
    /** Keys it reads, or knows and ignores: inspect lists the others. */
    const pdag_config_rule *keys;
    /** Build from the part that `b` reads; without a backend only check.  Without
     *  `encoder` that half is checked but takes no memory. */
    pdag_status (*load)(pdag_builder *b, bool encoder,
                        pdag_autoencoder **autoencoder_out);
    /** latent: [latent_channels][height][width]; picture_out: [out_channels]
     *  [height * factor][width * factor], not clamped.  PDAG_ERR_BACKEND,
     *  _NOMEM. */
    pdag_status (*decode)(pdag_autoencoder *autoencoder, size_t height,
                          size_t width, const float *latent,
                          float *picture_out);
    void (*destroy)(pdag_autoencoder *autoencoder);
};

/** By the class name of `config`; where it has none, AutoencoderKL.
 *  PDAG_ERR_UNSUPPORTED naming it and what is known. */
pdag_status pdag_autoencoder_find(const pdag_json *config,
                                  const pdag_autoencoder_ops **ops_out);

/** Find the class and load(). */
pdag_status pdag_autoencoder_load(pdag_builder *b, bool encoder,
                                  pdag_autoencoder **autoencoder_out);
void pdag_autoencoder_destroy(pdag_autoencoder *autoencoder); /* NULL allowed */

extern const pdag_autoencoder_ops pdag_autoencoder_class_kl;
extern const pdag_autoencoder_ops pdag_autoencoder_class_vq;

#ifdef __cplusplus
}
#endif
#endif
