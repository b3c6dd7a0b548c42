/** solvers/hartley.h: the separable two-dimensional discrete Hartley transform of
 *  each channel of [C][H][W],
 *
 *      y_kl = sum_{rs} cas(2 pi k r / H) cas(2 pi l s / W) x_rs / sqrt(H W),
 *      cas a = cos a + sin a:
 *
 *  real, orthogonal and its own inverse, for any H and W (the odd parts of H and W
 *  take a matrix product).  Coefficients lie transposed, y_kl at [c][l][k]. */
#ifndef PDAG_SOLVERS_HARTLEY_H
#define PDAG_SOLVERS_HARTLEY_H

#include <stddef.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_hartley pdag_hartley;

/** PDAG_ERR_NOMEM. */
pdag_status pdag_hartley_create(size_t channels, size_t height, size_t width,
                                pdag_hartley **hartley_out);
void pdag_hartley_destroy(pdag_hartley *hartley); /* NULL is allowed */

/** In place, [C][H][W] to [C][W][H]. */
void pdag_hartley_forward(pdag_hartley *hartley, double *x);

/** In place, [C][W][H] to [C][H][W]. */
void pdag_hartley_backward(pdag_hartley *hartley, double *x);

#ifdef __cplusplus
}
#endif
#endif
