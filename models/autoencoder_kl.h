/** models/autoencoder_kl.h: AutoencoderKL, the picture autoencoder of latent
 *  diffusion, where it does more than models/autoencoder.h asks for: encode.
 *  Source: Rombach et al. 2022, arXiv:2112.10752, section 3.1; the layers and
 *  their names are diffusers'. */
#ifndef PDAG_MODELS_AUTOENCODER_KL_H
#define PDAG_MODELS_AUTOENCODER_KL_H

#include <stddef.h>

#include "base/status.h"
#include "models/autoencoder.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Of an autoencoder that pdag_autoencoder_class_kl has loaded.
 *  picture: [in_channels][height][width], sides at least `factor`.  mean_out,
 *  logvar_out: [latent_channels][h][w] with h, w as
 * pdag_autoencoder_kl_latent() gives them; the log-variance is clamped to [-30,
 * 20].  logvar_out may be NULL.  PDAG_ERR_ARG (also: loaded without its
 * encoder), _BACKEND, _NOMEM. */
pdag_status pdag_autoencoder_kl_encode(pdag_autoencoder *vae, size_t height,
                                       size_t width, const float *picture,
                                       float *mean_out, float *logvar_out);

/** Side of the latent of a picture side (a side that `factor` does not divide
 * is cut as the strided convolutions cut it). */
size_t pdag_autoencoder_kl_latent(const pdag_autoencoder *vae, size_t side);

#ifdef __cplusplus
}
#endif
#endif
