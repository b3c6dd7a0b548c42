/** models/autoencoder_kl.h: AutoencoderKL, the picture autoencoder of latent
 *  diffusion.  Source: Rombach et al. 2022, arXiv:2112.10752, section 3.1; the
 *  layers and their names are diffusers'.
 *
 *  Pictures are host float32 [channels][height][width] in [-1, 1]; latents are
 *  host float32 [latent_channels][height / factor][width / factor], unscaled.
 */
#ifndef PDAG_MODELS_AUTOENCODER_KL_H
#define PDAG_MODELS_AUTOENCODER_KL_H

#include <stddef.h>

#include "base/status.h"
#include "models/config.h"
#include "models/layers_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Opaque; owned by the caller.  Not thread safe. */
typedef struct pdag_autoencoder_kl pdag_autoencoder_kl;

typedef struct pdag_autoencoder_kl_info {
    size_t in_channels, out_channels, latent_channels;
    size_t factor;         /* picture side over latent side */
    double scaling_factor; /* latents are divided by it before decoding */
    double shift_factor;   /* then this is added; 0: none */
} pdag_autoencoder_kl_info;

/** Build from the part that `b` reads; without a backend only checks.  Without
 *  `encoder` that half is checked but takes no memory, and cannot encode. */
pdag_status pdag_autoencoder_kl_load(pdag_builder *b, bool encoder,
                                     pdag_autoencoder_kl **vae_out);
void pdag_autoencoder_kl_destroy(pdag_autoencoder_kl *vae); /* NULL allowed */

/** Keys of its config.json, for inspect. */
extern const pdag_config_rule pdag_autoencoder_kl_keys[];

const pdag_autoencoder_kl_info *
pdag_autoencoder_kl_describe(const pdag_autoencoder_kl *vae);

/** latent: [latent_channels][height][width]; picture_out: [out_channels]
 *  [height * factor][width * factor], not clamped.  PDAG_ERR_BACKEND, _NOMEM.
 */
pdag_status pdag_autoencoder_kl_decode(pdag_autoencoder_kl *vae, size_t height,
                                       size_t width, const float *latent,
                                       float *picture_out);

/** picture: [in_channels][height][width], sides at least `factor`.  mean_out,
 *  logvar_out: [latent_channels][h][w] with h, w as
 * pdag_autoencoder_kl_latent() gives them; the log-variance is clamped to [-30,
 * 20].  logvar_out may be NULL.  PDAG_ERR_ARG, _BACKEND, _NOMEM. */
pdag_status pdag_autoencoder_kl_encode(pdag_autoencoder_kl *vae, size_t height,
                                       size_t width, const float *picture,
                                       float *mean_out, float *logvar_out);

/** Side of the latent of a picture side (a side that `factor` does not divide
 * is cut as the strided convolutions cut it). */
size_t pdag_autoencoder_kl_latent(const pdag_autoencoder_kl *vae, size_t side);

#ifdef __cplusplus
}
#endif
#endif
