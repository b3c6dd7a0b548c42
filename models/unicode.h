/** models/unicode.h: the text preparation of the CLIP tokenizer: UTF-8 to code
 *  points and back, canonical composition (Unicode Standard Annex 15), lower
 *  case, and the classes that its pattern asks for. */
#ifndef PDAG_MODELS_UNICODE_H
#define PDAG_MODELS_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Code points, growing; starts as all zeros, ends with pdag_points_clear(). */
typedef struct pdag_points {
    uint32_t *data;
    size_t n;
    size_t room;
} pdag_points;

void pdag_points_push(pdag_points *points, uint32_t point);
void pdag_points_clear(pdag_points *points);

/** Append bytes[n]; what is not UTF-8 (overlong, surrogates, cut off) becomes
 *  U+FFFD, one for each maximal wrong part. */
void pdag_points_decode(pdag_points *points, const char *bytes, size_t n);

/** UTF-8 of one code point; returns 1 to 4 bytes. */
size_t pdag_utf8_encode(uint32_t point, unsigned char out[4]);

/** Append CLIP's normal form of text[n]: NFC, each run of white space one
 *  space, lower case (point by point, so without the final sigma). */
void pdag_points_normalize(pdag_points *points, const uint32_t *text,
                           size_t n);

/** \p{L}, \p{N} and \s of the tokenizer's pattern. */
bool pdag_is_letter(uint32_t point);
bool pdag_is_number(uint32_t point);
bool pdag_is_space(uint32_t point);

#endif
