/** control/picture.h: small pictures drawn with smooth edges: convex polygons and
 *  discs, and frames side by side. */
#ifndef PDAG_CONTROL_PICTURE_H
#define PDAG_CONTROL_PICTURE_H

#include <stddef.h>

#include "control/tee.h"

#ifdef __cplusplus
extern "C" {
#endif

/** pixels: [height][width][3], red, green, blue in [0, 1], as pdag_png_encode()
 *  takes them. */
typedef struct pdag_picture {
    size_t height, width;
    float *pixels;
} pdag_picture;

typedef struct pdag_color {
    float red, green, blue;
} pdag_color;

/** White; never NULL; sides of at least 1. */
pdag_picture *pdag_picture_create(size_t height, size_t width);
void pdag_picture_destroy(pdag_picture *picture);

void pdag_picture_fill(pdag_picture *picture, pdag_color color);

/** A convex polygon of 3..8 corners in pixels; (0, 0) is the outer corner of the
 *  first pixel, x to the right, y down.  A pixel takes as much of the colour as the
 *  polygon covers of it. */
void pdag_picture_polygon(pdag_picture *picture, const pdag_point *corners,
                          size_t n_corners, pdag_color color);

void pdag_picture_disc(pdag_picture *picture, pdag_point centre, double radius,
                       pdag_color color);

/** Frame by frame from the left, row by row, as many in a row as asked for;
 *  between them `gap` pixels of white. */
typedef struct pdag_strip pdag_strip;

/** For frames of `side` x `side`; never NULL. */
pdag_strip *pdag_strip_create(size_t side, size_t frames_in_row, size_t gap);
void pdag_strip_destroy(pdag_strip *strip);

/** Copies the frame. */
void pdag_strip_add(pdag_strip *strip, const pdag_picture *frame);

size_t pdag_strip_count(const pdag_strip *strip);

/** All frames so far, at least one; the caller destroys it. */
pdag_picture *pdag_strip_join(const pdag_strip *strip);

#ifdef __cplusplus
}
#endif
#endif
