#include "control/picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/mem.h"

struct pdag_strip {
    size_t side, frames_in_row, gap;
    size_t n_frames;
    float *frames; /* [n_frames][side][side][3] */
};

pdag_picture *pdag_picture_create(size_t height, size_t width)
{
    pdag_picture *picture = pdag_xcalloc(1, sizeof *picture);

    PDAG_ASSERT(height > 0 && width > 0);
    picture->height = height;
    picture->width = width;
    picture->pixels = pdag_xcalloc(height * width, 3 * sizeof *picture->pixels);
    pdag_picture_fill(picture, (pdag_color){1, 1, 1});
    return picture;
}

void pdag_picture_destroy(pdag_picture *picture)
{
    if (picture == NULL)
        return;
    free(picture->pixels);
    free(picture);
}

/* `share` of the pixel in this colour. */
static void mix(float *pixel, pdag_color color, double share)
{
    float part = (float)share;

    pixel[0] += part * (color.red - pixel[0]);
    pixel[1] += part * (color.green - pixel[1]);
    pixel[2] += part * (color.blue - pixel[2]);
}

void pdag_picture_fill(pdag_picture *picture, pdag_color color)
{
    for (size_t j = 0; j < picture->height * picture->width; j++)
        mix(picture->pixels + 3 * j, color, 1);
}

/* First and last + 1 of the pixels that low..high touches, out of n. */
static void pixels_between(double low, double high, size_t n, size_t *first_out,
                           size_t *end_out)
{
    *first_out = (size_t)fmin(fmax(floor(low), 0), (double)n);
    *end_out = (size_t)fmin(fmax(ceil(high), 0), (double)n);
}

/* How far inside the polygon the point is: below 0 outside; a lower bound there. */
static double depth(const pdag_point *corners, size_t n, double sign, pdag_point at)
{
    double least = INFINITY;

    for (size_t j = 0; j < n; j++) {
        pdag_point a = corners[j];
        pdag_point b = corners[(j + 1) % n];
        double x = b.x - a.x;
        double y = b.y - a.y;
        double length = sqrt(x * x + y * y);

        if (length > 0)
            least = fmin(least, sign / length *
                                    (x * (at.y - a.y) - y * (at.x - a.x)));
    }
    return least;
}

static double polygon_share(const pdag_point *corners, size_t n, double sign,
                            double x, double y)
{
    const pdag_point pixel[4] = {{x, y}, {x + 1, y}, {x + 1, y + 1}, {x, y + 1}};
    double inside = depth(corners, n, sign, (pdag_point){x + 0.5, y + 0.5});

    if (inside >= 0.75) /* over half a pixel's diagonal */
        return 1;
    if (inside <= -0.75)
        return 0;
    return fmin(pdag_convex_overlap(pixel, 4, corners, n), 1);
}

static double direction(const pdag_point *corners, size_t n)
{
    double sum = 0;

    for (size_t j = 0; j < n; j++) {
        pdag_point a = corners[j];
        pdag_point b = corners[(j + 1) % n];

        sum += a.x * b.y - b.x * a.y;
    }
    return sum >= 0 ? 1 : -1;
}

void pdag_picture_polygon(pdag_picture *picture, const pdag_point *corners,
                          size_t n_corners, pdag_color color)
{
    double sign = direction(corners, n_corners);
    pdag_point low = corners[0];
    pdag_point high = corners[0];
    size_t first_x, end_x, first_y, end_y;

    for (size_t j = 1; j < n_corners; j++) {
        low.x = fmin(low.x, corners[j].x);
        low.y = fmin(low.y, corners[j].y);
        high.x = fmax(high.x, corners[j].x);
        high.y = fmax(high.y, corners[j].y);
    }
    pixels_between(low.x, high.x, picture->width, &first_x, &end_x);
    pixels_between(low.y, high.y, picture->height, &first_y, &end_y);
    for (size_t y = first_y; y < end_y; y++)
        for (size_t x = first_x; x < end_x; x++)
            mix(picture->pixels + 3 * (y * picture->width + x), color,
                polygon_share(corners, n_corners, sign, (double)x, (double)y));
}

void pdag_picture_disc(pdag_picture *picture, pdag_point centre, double radius,
                       pdag_color color)
{
    size_t first_x, end_x, first_y, end_y;

    pixels_between(centre.x - radius - 1, centre.x + radius + 1, picture->width,
                   &first_x, &end_x);
    pixels_between(centre.y - radius - 1, centre.y + radius + 1, picture->height,
                   &first_y, &end_y);
    for (size_t y = first_y; y < end_y; y++)
        for (size_t x = first_x; x < end_x; x++) {
            double away =
                hypot((double)x + 0.5 - centre.x, (double)y + 0.5 - centre.y);

            mix(picture->pixels + 3 * (y * picture->width + x), color,
                fmin(fmax(radius - away + 0.5, 0), 1));
        }
}

pdag_strip *pdag_strip_create(size_t side, size_t frames_in_row, size_t gap)
{
    pdag_strip *strip = pdag_xcalloc(1, sizeof *strip);

    PDAG_ASSERT(side > 0 && frames_in_row > 0);
    strip->side = side;
    strip->frames_in_row = frames_in_row;
    strip->gap = gap;
    return strip;
}

void pdag_strip_destroy(pdag_strip *strip)
{
    if (strip == NULL)
        return;
    free(strip->frames);
    free(strip);
}

void pdag_strip_add(pdag_strip *strip, const pdag_picture *frame)
{
    size_t floats = strip->side * strip->side * 3;

    PDAG_ASSERT(frame->height == strip->side && frame->width == strip->side);
    strip->frames = pdag_xgrow(strip->frames, strip->n_frames,
                               floats * sizeof *strip->frames);
    memcpy(strip->frames + strip->n_frames * floats, frame->pixels,
           floats * sizeof *strip->frames);
    strip->n_frames++;
}

size_t pdag_strip_count(const pdag_strip *strip)
{
    return strip->n_frames;
}

pdag_picture *pdag_strip_join(const pdag_strip *strip)
{
    size_t side = strip->side;
    size_t columns = strip->n_frames < strip->frames_in_row ? strip->n_frames
                                                            : strip->frames_in_row;
    size_t rows;
    pdag_picture *whole;

    PDAG_ASSERT(strip->n_frames > 0);
    rows = (strip->n_frames + columns - 1) / columns;
    whole = pdag_picture_create(rows * side + (rows - 1) * strip->gap,
                                columns * side + (columns - 1) * strip->gap);
    for (size_t j = 0; j < strip->n_frames; j++) {
        size_t top = j / columns * (side + strip->gap);
        size_t left = j % columns * (side + strip->gap);

        for (size_t y = 0; y < side; y++)
            memcpy(whole->pixels + 3 * ((top + y) * whole->width + left),
                   strip->frames + 3 * side * (j * side + y),
                   3 * side * sizeof *whole->pixels);
    }
    return whole;
}
