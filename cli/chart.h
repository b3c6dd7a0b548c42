/** cli/chart.h: drawings in pages (cli/page.h), as SVG: curves against the round,
 *  and maps of residuals, row x round.  Colours are classes s0, s1 .. of the page's
 *  style sheet, so that they follow its light or dark theme. */
#ifndef PDAG_CLI_CHART_H
#define PDAG_CLI_CHART_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "cli/text.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PDAG_CHART_COLOURS 8

/** What a logarithmic axis shows of less, and of 0. */
#define PDAG_CHART_SMALLEST 1e-7

typedef struct pdag_axes {
    double rounds;    /* at the right end, at least 2; 1 is at the left */
    bool logarithmic;
    double low, high; /* of the values; logarithmic: their decades, log10 */
} pdag_axes;

/** Round on a logarithmic axis to whole decades with these values in it; not
 *  finite: none. */
void pdag_axes_include(pdag_axes *axes, double value);

/** Where things are in the drawing. */
double pdag_axes_x(const pdag_axes *axes, double round);
double pdag_axes_y(const pdag_axes *axes, double value);

/** <svg> with grid and labels; `words` say what it shows to whom cannot see it. */
void pdag_chart_open(const pdag_axes *axes, const char *label, const char *words,
                     pdag_text *page);
void pdag_chart_close(pdag_text *page);

/** A dashed line at this value, if it is in the drawing. */
void pdag_chart_bound(const pdag_axes *axes, double value, const char *name,
                      pdag_text *page);

/** value[n] of rounds 1.., not finite: none.  The line in the colour of the group
 *  around it; with `marks` a mark at each value, with its number to be pointed at.
 *  which: chooses the marks' colour and shape. */
void pdag_chart_curve(const pdag_axes *axes, size_t which, bool marks,
                      const char *name, size_t n, const double *value,
                      pdag_text *page);

/** Mark and line of curve `which` in words, for legends. */
void pdag_chart_key(size_t which, pdag_text *page);

/* chart_map.c */

/** Colour of a residual, [4], opaque, 0..1. */
void pdag_map_colour(double value, float *rgba);

/** <svg> of value[n_rounds][n_rows], NaN: plain; name: what it is of; rounds are
 *  counted from 1, the first on top; cell: height of a round in the 440 units of
 *  the width. */
pdag_status pdag_map_draw(const char *name, size_t n_rounds, size_t n_rows,
                          const float *value, double cell, pdag_text *page);

/** <figure> of the colours and their numbers. */
void pdag_map_scale(pdag_text *page);

/** Height of a round with which maps up to `most` rounds are of like height. */
double pdag_map_cell(size_t most_rounds);

#ifdef __cplusplus
}
#endif
#endif
