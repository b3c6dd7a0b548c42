#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cli/chart.h"
#include "cli/files.h"

/* cli/chart_map.c: maps of residuals. */

#define MAP_WIDTH 440.0
#define MAP_HEIGHT 220.0
#define MAP_LEFT 34.0
#define MAP_BOTTOM 34.0
#define LOW_DECADE (-6.0) /* darkest */
#define HIGH_DECADE 0.0   /* brightest */
#define MOST_SPOTS 1000   /* rounds to be pointed at */

/* The viridis scale of matplotlib (public domain, CC0), in nine pieces. */
static const unsigned char viridis[10][3] = {
    {68, 1, 84},    {72, 40, 120},  {62, 73, 137},   {49, 104, 142},
    {38, 130, 142}, {31, 158, 137}, {53, 183, 121},  {110, 206, 88},
    {181, 222, 43}, {253, 231, 37}};

void pdag_map_colour(double value, float *rgba)
{
    double at = 9.0 * (log10(fmax(value, 1e-30)) - LOW_DECADE) /
                (HIGH_DECADE - LOW_DECADE);
    int piece;

    at = fmin(fmax(at, 0.0), 9.0);
    piece = at < 8.0 ? (int)at : 8;
    at -= (double)piece;
    for (int k = 0; k < 3; k++)
        rgba[k] = (float)(((1.0 - at) * viridis[piece][k] +
                           at * viridis[piece + 1][k]) / 255.0);
    rgba[3] = 1.0f;
}

/* The map as a PNG of a pixel for every row and round, in base64; rows that were
   not evaluated are transparent. */
static pdag_status add_pixels(size_t n_rounds, size_t n_rows, const float *value,
                              pdag_text *page)
{
    size_t n = n_rounds * n_rows;
    float *rgba = pdag_xcalloc(4 * n, sizeof *rgba);
    void *bytes;
    size_t n_bytes;
    pdag_status status;

    for (size_t p = 0; p < n; p++)
        if (!isnan(value[p]))
            pdag_map_colour((double)value[p], rgba + 4 * p);
    status = pdag_png_encode(rgba, n_rounds, n_rows, 4, &bytes, &n_bytes);
    free(rgba);
    if (status != PDAG_OK)
        return status;
    pdag_text_add_base64(page, bytes, n_bytes);
    free(bytes);
    return PDAG_OK;
}

static double largest_of(size_t n, const float *value)
{
    double largest = NAN;

    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, (double)value[i]);
    return largest;
}

/* Names of the ends, and what each round did, to be pointed at. */
static void annotate(size_t n_rounds, size_t n_rows, const float *value,
                     double cell, pdag_text *page)
{
    double height = cell * (double)n_rounds;

    pdag_text_add(page, "<g text-anchor=\"end\"><text x=\"%g\" y=\"11\">1</text>"
                  "<text x=\"%g\" y=\"%.1f\">%zu</text></g>\n", MAP_LEFT - 5.0,
                  MAP_LEFT - 5.0, fmax(height, 24.0), n_rounds);
    pdag_text_add(page, "<text x=\"%g\" y=\"%.1f\">row 0</text><text x=\"%g\" "
                  "y=\"%.1f\" text-anchor=\"end\">%zu</text>\n", MAP_LEFT,
                  height + 16.0, MAP_WIDTH, height + 16.0, n_rows - 1);
    for (size_t k = 0; k < n_rounds && k < MOST_SPOTS; k++) {
        double largest = largest_of(n_rows, value + k * n_rows);

        if (isfinite(largest))
            pdag_text_add(page, "<rect class=\"spot\" x=\"%g\" y=\"%.2f\" "
                          "width=\"%g\" height=\"%.2f\"><title>round %zu: largest "
                          "residual %.3g</title></rect>\n", MAP_LEFT,
                          cell * (double)k, MAP_WIDTH - MAP_LEFT, cell, k + 1,
                          largest);
    }
}

double pdag_map_cell(size_t most_rounds)
{
    return fmin(MAP_HEIGHT / (double)(most_rounds > 0 ? most_rounds : 1), 14.0);
}

pdag_status pdag_map_draw(const char *name, size_t n_rounds, size_t n_rows,
                          const float *value, double cell, pdag_text *page)
{
    double height;
    pdag_status status;

    cell = fmin(cell, MAP_HEIGHT * 1.5 / (double)n_rounds);
    height = cell * (double)n_rounds;
    pdag_text_add(page, "<svg class=\"map\" viewBox=\"0 0 %g %.1f\" role=\"img\" "
                  "aria-label=\"Residuals of ", MAP_WIDTH,
                  fmax(height, 24.0) + MAP_BOTTOM);
    pdag_text_add_escaped(page, name);
    pdag_text_add(page, ": %zu rows across, %zu rounds down\"><rect "
                  "class=\"ground\" x=\"%g\" y=\"0\" width=\"%g\" height=\"%.1f\"/>"
                  "<image x=\"%g\" y=\"0\" width=\"%g\" height=\"%.1f\" "
                  "preserveAspectRatio=\"none\" href=\"data:image/png;base64,",
                  n_rows, n_rounds, MAP_LEFT, MAP_WIDTH - MAP_LEFT, height,
                  MAP_LEFT, MAP_WIDTH - MAP_LEFT, height);
    status = add_pixels(n_rounds, n_rows, value, page);
    pdag_text_add(page, "\"/>\n");
    annotate(n_rounds, n_rows, value, cell, page);
    pdag_text_add(page, "</svg>");
    return status;
}

void pdag_map_scale(pdag_text *page)
{
    pdag_text_add(page, "<figure class=\"scale\"><svg viewBox=\"0 0 440 40\" "
                  "shape-rendering=\"crispEdges\" role=\"img\" "
                  "aria-label=\"Colours from dark, 1e-6 and less, to bright, 1 and "
                  "more\">");
    for (int k = 0; k < 120; k++) {
        float rgba[4];

        pdag_map_colour(pow(10.0, LOW_DECADE + (HIGH_DECADE - LOW_DECADE) *
                                                   (k + 0.5) / 120.0), rgba);
        pdag_text_add(page, "<rect x=\"%g\" y=\"0\" width=\"3\" height=\"16\" "
                      "fill=\"#%02x%02x%02x\"/>", 34.0 + 3.0 * k,
                      (unsigned)(255.0f * rgba[0]), (unsigned)(255.0f * rgba[1]),
                      (unsigned)(255.0f * rgba[2]));
    }
    for (int d = (int)LOW_DECADE; d <= (int)HIGH_DECADE; d++)
        pdag_text_add(page, "<text x=\"%g\" y=\"32\" "
                      "text-anchor=\"middle\">1e%d</text>",
                      34.0 + 60.0 * (d - LOW_DECADE), d);
    pdag_text_add(page, "</svg></figure>\n");
}
