/** base/mem.h: two allocation policies.
 *
 *  Small metadata: pdag_xcalloc() and friends check the multiplication and end
 *  the program with the size when memory is gone.  Tensors and anything whose
 *  size comes from an input file: pdag_alloc_tensor(), which reports
 *  PDAG_ERR_NOMEM with the byte count.  Freeing NULL is always allowed. */
#ifndef PDAG_BASE_MEM_H
#define PDAG_BASE_MEM_H

#include <stddef.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Zeroed array of `count` elements of `size` bytes; never NULL. */
void *pdag_xcalloc(size_t count, size_t size);

/** Grow or shrink an array; new bytes are not initialised; never NULL. */
void *pdag_xrealloc(void *old, size_t count, size_t size);

/** Room for one more element behind `count`, for arrays that only grow so, one by
 *  one: doubles at powers of two, so that n elements take O(n); never NULL. */
void *pdag_xgrow(void *old, size_t count, size_t size);

/** Copy of a string, or of its first `bytes` bytes; never NULL. */
char *pdag_xstrdup(const char *text);
char *pdag_xstrndup(const char *text, size_t bytes);

/** printf into fresh memory; never NULL; the caller frees. */
char *pdag_xasprintf(const char *format, ...) PDAG_PRINTF(1, 2);

/** `count` elements of `size` bytes, 64-byte aligned and zeroed.  `what` names
 *  the thing in the error text.  PDAG_ERR_NOMEM, also when the product
 *  overflows.  Free with free(). */
pdag_status pdag_alloc_tensor(size_t count, size_t size, const char *what,
                              void **memory_out);

/** a * b into *product_out; 0 when it overflows size_t, else 1. */
int pdag_mul_size(size_t a, size_t b, size_t *product_out);

#ifdef __cplusplus
}
#endif
#endif
