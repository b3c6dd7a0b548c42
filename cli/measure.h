/** cli/measure.h: how far a result is from the sequential one. */
#ifndef PDAG_CLI_MEASURE_H
#define PDAG_CLI_MEASURE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PDAG_MOST_PSNR 200.0 /* dB, of equal pictures too */

/** ||x - reference|| / ||reference||, sums in float64; where the reference is all
 *  zero ||x||.  Infinite where x is not finite. */
double pdag_relative_rms_error(size_t n, const float *x, const float *reference);

/** max |x - reference|. */
double pdag_max_abs_error(size_t n, const float *x, const float *reference);

/** 10 log10(1 / mean (p - q)^2) of pictures in [0, 1], at most PDAG_MOST_PSNR. */
double pdag_psnr(size_t n, const float *p, const float *q);

#ifdef __cplusplus
}
#endif
#endif
