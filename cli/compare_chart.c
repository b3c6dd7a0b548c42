#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cli/compare_page.h"
#include "cli/files.h"

/* cli/compare_chart.c: the drawings of compare.html.  Colours are classes s0, s1
   .. of the page's style sheet, so that they follow its light or dark theme. */

#define N_COLOURS 8
#define SMALLEST 1e-7 /* what a logarithmic axis shows of less, and of 0 */

/* Curves. */

#define WIDTH 720.0
#define HEIGHT 340.0
#define LEFT 64.0
#define RIGHT 12.0
#define TOP 12.0
#define BOTTOM 44.0

typedef struct axes {
    double rounds;    /* at the right end */
    double low, high; /* decades: log10 at the ends */
} axes;

static double x_of(const axes *a, double round)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * (round - 1.0) /
                      fmax(a->rounds - 1.0, 1.0);
}

static double y_of(const axes *a, double value)
{
    double at = (log10(fmax(value, SMALLEST)) - a->low) / (a->high - a->low);

    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * at;
}

static double value_of(const pdag_compare_run *run, size_t k,
                       pdag_chart_value value)
{
    const pdag_compare_round *round =
        &run->round[k < run->n_round ? k : run->n_round - 1];

    return value == PDAG_CHART_ERROR ? round->error : round->residual;
}

/* Geometric mean over the cases; NaN where one has no value in this round. */
static double mean_of(const pdag_compare *c, size_t solver, size_t k,
                      pdag_chart_value value)
{
    double sum = 0.0;
    size_t n = 0;

    for (size_t i = 0; i < c->n_cases; i++) {
        const pdag_compare_run *run = &c->solver[solver].run[i];
        double v;

        if (run->n_round == 0)
            continue; /* it failed */
        v = value_of(run, k, value);
        if (!isfinite(v))
            return NAN;
        sum += log10(fmax(v, SMALLEST));
        n++;
    }
    return n > 0 ? pow(10.0, sum / (double)n) : NAN;
}

size_t pdag_compare_longest(const pdag_compare *c, size_t solver, size_t n_cases)
{
    size_t most = 0;

    for (size_t i = 0; i < n_cases; i++) {
        const pdag_compare_run *run = &c->solver[solver].run[i];

        if (run->stop != PDAG_STOPPED_SEQUENTIAL && run->n_round > most)
            most = run->n_round;
    }
    return most < c->n_rows ? most : c->n_rows;
}

static axes fit_axes(const pdag_compare *c, pdag_chart_value value)
{
    axes a = {2.0, 0.0, -6.0};

    for (size_t s = 0; s < c->n_solvers; s++) {
        size_t n = pdag_compare_longest(c, s, c->n_cases);

        a.rounds = fmax(a.rounds, (double)n);
        for (size_t k = 0; k < n; k++) {
            double v = mean_of(c, s, k, value);

            if (!isfinite(v))
                continue;
            v = log10(v);
            a.low = fmin(a.low, floor(v));
            a.high = fmax(a.high, ceil(v));
        }
    }
    if (a.high - a.low < 1.0)
        a.high = a.low + 1.0;
    return a;
}

static void draw_axes(const axes *a, pdag_text *page, const char *label,
                      double bound, const char *bound_name)
{
    static const double steps[] = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000};
    size_t s = 0;

    for (double d = a->low; d <= a->high; d++) {
        double y = y_of(a, pow(10.0, d));

        pdag_text_add(page, "<line class=\"grid\" x1=\"%g\" x2=\"%g\" y1=\"%.1f\" "
                      "y2=\"%.1f\"/><text x=\"%g\" y=\"%.1f\" "
                      "text-anchor=\"end\">1e%g</text>\n", LEFT, WIDTH - RIGHT, y,
                      y, LEFT - 6.0, y + 4.0, d);
    }
    while (s + 1 < sizeof steps / sizeof steps[0] && a->rounds / steps[s] > 12.0)
        s++;
    for (double k = steps[s] > 1.0 ? steps[s] : 1.0; k <= a->rounds; k += steps[s])
        pdag_text_add(page, "<text x=\"%.1f\" y=\"%g\" "
                      "text-anchor=\"middle\">%g</text>\n", x_of(a, k),
                      HEIGHT - BOTTOM + 18.0, k);
    pdag_text_add(page, "<text x=\"%g\" y=\"%g\" text-anchor=\"middle\">round"
                  "</text><text transform=\"translate(14 %g) rotate(-90)\" "
                  "text-anchor=\"middle\">%s</text>\n", (LEFT + WIDTH - RIGHT) / 2,
                  HEIGHT - 6.0, (TOP + HEIGHT - BOTTOM) / 2, label);
    if (log10(bound) >= a->low && log10(bound) <= a->high)
        pdag_text_add(page, "<line class=\"bound\" x1=\"%g\" x2=\"%g\" y1=\"%.1f\" "
                      "y2=\"%.1f\"/><text x=\"%g\" y=\"%.1f\" "
                      "text-anchor=\"end\">%s</text>\n", LEFT, WIDTH - RIGHT,
                      y_of(a, bound), y_of(a, bound), WIDTH - RIGHT - 4.0,
                      y_of(a, bound) - 5.0, bound_name);
}

/* A mark with its own shape for every solver, so that colour is not all there is
   to tell them apart. */
static void draw_mark(size_t solver, double x, double y, pdag_text *page)
{
    size_t colour = solver % N_COLOURS;

    switch (solver % 4) {
    case 0:
        pdag_text_add(page, "<circle class=\"mark s%zu\" cx=\"%.1f\" cy=\"%.1f\" "
                      "r=\"4\">", colour, x, y);
        break;
    case 1:
        pdag_text_add(page, "<path class=\"mark s%zu\" d=\"M%.1f %.1fh7v7h-7z\">",
                      colour, x - 3.5, y - 3.5);
        break;
    case 2:
        pdag_text_add(page, "<path class=\"mark s%zu\" "
                      "d=\"M%.1f %.1fl4.6 8h-9.2z\">", colour, x, y - 5.0);
        break;
    default:
        pdag_text_add(page, "<path class=\"mark s%zu\" "
                      "d=\"M%.1f %.1fl5 5l-5 5l-5 -5z\">", colour, x, y - 5.0);
    }
}

static void end_mark(size_t solver, pdag_text *page)
{
    pdag_text_add(page, solver % 4 == 0 ? "</circle>" : "</path>");
}

static void draw_curve(const pdag_compare *c, size_t solver,
                       pdag_chart_value value, const axes *a, pdag_text *page)
{
    size_t n = pdag_compare_longest(c, solver, c->n_cases);
    bool open = false;

    for (size_t k = 0; k < n; k++) {
        double v = mean_of(c, solver, k, value);

        if (!isfinite(v))
            continue;
        pdag_text_add(page, "%s%.1f,%.1f",
                      open ? " " : "<polyline class=\"curve\" points=\"",
                      x_of(a, (double)(k + 1)), y_of(a, v));
        open = true;
    }
    if (open)
        pdag_text_add(page, "\"/>\n");
    for (size_t k = 0; k < n; k++) {
        double v = mean_of(c, solver, k, value);

        if (!isfinite(v))
            continue;
        draw_mark(solver, x_of(a, (double)(k + 1)), y_of(a, v), page);
        pdag_text_add(page, "<title>");
        pdag_text_add_escaped(page, c->solver[solver].name);
        pdag_text_add(page, ", round %zu: %.3g</title>", k + 1, v);
        end_mark(solver, page);
        pdag_text_add(page, "\n");
    }
}

void pdag_compare_chart(const pdag_compare *c, pdag_chart_value value,
                        pdag_text *page)
{
    bool error = value == PDAG_CHART_ERROR;
    axes a = fit_axes(c, value);
    const char *label = error ? "relative RMS error of the final state"
                              : "largest residual RMS of the round";

    pdag_text_add(page, "<svg viewBox=\"0 0 %g %g\" role=\"img\" "
                  "aria-label=\"%s against round, one curve for every solver; the "
                  "numbers are in compare.json\">\n", WIDTH, HEIGHT, label);
    draw_axes(&a, page, label,
              error ? PDAG_CRITERION_B_ERROR : PDAG_CRITERION_A_RESIDUAL,
              error ? "B: 1 %" : "A: 1e-3");
    for (size_t s = 0; s < c->n_solvers; s++) {
        pdag_text_add(page, "<g class=\"s%zu\">\n", s % N_COLOURS);
        draw_curve(c, s, value, &a, page);
        pdag_text_add(page, "</g>\n");
    }
    pdag_text_add(page, "</svg>\n");
}

void pdag_compare_chart_key(size_t solver, pdag_text *page)
{
    pdag_text_add(page, "<svg class=\"key s%zu\" viewBox=\"0 0 32 14\" "
                  "aria-hidden=\"true\"><line class=\"curve\" x1=\"2\" x2=\"30\" "
                  "y1=\"7\" y2=\"7\"/>", solver % N_COLOURS);
    draw_mark(solver, 16.0, 7.0, page);
    end_mark(solver, page);
    pdag_text_add(page, "</svg>");
}

/* Maps. */

#define MAP_WIDTH 440.0
#define MAP_HEIGHT 220.0
#define MAP_LEFT 34.0
#define MAP_BOTTOM 34.0
#define LOW_DECADE (-6.0) /* darkest */
#define HIGH_DECADE 0.0   /* brightest */

/* The viridis scale of matplotlib (public domain, CC0), in nine pieces. */
static const unsigned char viridis[10][3] = {
    {68, 1, 84},    {72, 40, 120},  {62, 73, 137},   {49, 104, 142},
    {38, 130, 142}, {31, 158, 137}, {53, 183, 121},  {110, 206, 88},
    {181, 222, 43}, {253, 231, 37}};

static void colour_of(double value, float *rgba)
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
static pdag_status add_pixels(const pdag_compare *c,
                              const pdag_compare_run *run, pdag_text *page)
{
    size_t n = run->n_round * c->n_rows;
    float *rgba = pdag_xcalloc(4 * n, sizeof *rgba);
    void *bytes;
    size_t n_bytes;
    pdag_status status;

    for (size_t p = 0; p < n; p++)
        if (!isnan(run->map[p]))
            colour_of((double)run->map[p], rgba + 4 * p);
    status = pdag_png_encode(rgba, run->n_round, c->n_rows, 4, &bytes, &n_bytes);
    free(rgba);
    if (status != PDAG_OK)
        return status;
    pdag_text_add_base64(page, bytes, n_bytes);
    free(bytes);
    return PDAG_OK;
}

/* Names of the ends, and what each round did, to be pointed at. */
static void annotate_map(const pdag_compare *c, const pdag_compare_run *run,
                         double cell, pdag_text *page)
{
    double height = cell * (double)run->n_round;

    pdag_text_add(page, "<g text-anchor=\"end\"><text x=\"%g\" y=\"11\">1</text>"
                  "<text x=\"%g\" y=\"%.1f\">%zu</text></g>\n", MAP_LEFT - 5.0,
                  MAP_LEFT - 5.0, fmax(height, 24.0), run->n_round);
    pdag_text_add(page, "<text x=\"%g\" y=\"%.1f\">row 0</text><text x=\"%g\" "
                  "y=\"%.1f\" text-anchor=\"end\">%zu</text>\n", MAP_LEFT,
                  height + 16.0, MAP_WIDTH, height + 16.0, c->n_rows - 1);
    for (size_t k = 0; k < run->n_round; k++)
        if (isfinite(run->round[k].residual))
            pdag_text_add(page, "<rect class=\"spot\" x=\"%g\" y=\"%.2f\" "
                          "width=\"%g\" height=\"%.2f\"><title>round %zu: largest "
                          "residual %.3g</title></rect>\n", MAP_LEFT,
                          cell * (double)k, MAP_WIDTH - MAP_LEFT, cell, k + 1,
                          run->round[k].residual);
}

static pdag_status draw_map(const pdag_compare *c, size_t solver, double cell,
                            pdag_text *page)
{
    const pdag_compare_run *run = &c->solver[solver].run[0];
    double height;
    pdag_status status;

    if (run->n_round == 0)
        return PDAG_OK;
    cell = fmin(cell, MAP_HEIGHT * 1.5 / (double)run->n_round);
    height = cell * (double)run->n_round;
    pdag_text_add(page, "<figure><figcaption>");
    pdag_compare_chart_key(solver, page);
    pdag_text_add_escaped(page, c->solver[solver].name);
    pdag_text_add(page, ", %zu rounds</figcaption>\n<svg class=\"map\" "
                  "viewBox=\"0 0 %g %.1f\" role=\"img\" aria-label=\"Residuals of ",
                  run->n_round, MAP_WIDTH, fmax(height, 24.0) + MAP_BOTTOM);
    pdag_text_add_escaped(page, c->solver[solver].name);
    pdag_text_add(page, ": %zu rows across, %zu rounds down\"><rect "
                  "class=\"ground\" x=\"%g\" y=\"0\" width=\"%g\" height=\"%.1f\"/>"
                  "<image x=\"%g\" y=\"0\" width=\"%g\" height=\"%.1f\" "
                  "preserveAspectRatio=\"none\" href=\"data:image/png;base64,",
                  c->n_rows, run->n_round, MAP_LEFT, MAP_WIDTH - MAP_LEFT, height,
                  MAP_LEFT, MAP_WIDTH - MAP_LEFT, height);
    status = add_pixels(c, run, page);
    pdag_text_add(page, "\"/>\n");
    annotate_map(c, run, cell, page);
    pdag_text_add(page, "</svg></figure>\n");
    return status;
}

static void draw_colours(pdag_text *page)
{
    pdag_text_add(page, "<figure class=\"scale\"><svg viewBox=\"0 0 440 40\" "
                  "shape-rendering=\"crispEdges\" role=\"img\" "
                  "aria-label=\"Colours from dark, 1e-6 and less, to bright, 1 and "
                  "more\">");
    for (int k = 0; k < 120; k++) {
        float rgba[4];

        colour_of(pow(10.0, LOW_DECADE + (HIGH_DECADE - LOW_DECADE) *
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

pdag_status pdag_compare_maps(const pdag_compare *c, pdag_text *page)
{
    size_t most = 1;
    pdag_status status = PDAG_OK;

    for (size_t s = 0; s < c->n_solvers; s++) {
        size_t n = pdag_compare_longest(c, s, 1);

        most = n > most ? n : most;
    }
    pdag_text_add(page, "<div class=\"maps\">\n");
    for (size_t s = 0; status == PDAG_OK && s < c->n_solvers; s++)
        status = draw_map(c, s, fmin(MAP_HEIGHT / (double)most, 14.0), page);
    pdag_text_add(page, "</div>\n");
    draw_colours(page);
    return status;
}
