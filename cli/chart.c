#include "cli/chart.h"

#include <math.h>

/* cli/chart.c: curves. */

#define WIDTH 720.0
#define HEIGHT 340.0
#define LEFT 64.0
#define RIGHT 12.0
#define TOP 12.0
#define BOTTOM 44.0

static double decade(double value)
{
    return log10(fmax(value, PDAG_CHART_SMALLEST));
}

void pdag_axes_include(pdag_axes *axes, double value)
{
    if (!isfinite(value))
        return;
    axes->low = fmin(axes->low, floor(decade(value)));
    axes->high = fmax(axes->high, ceil(decade(value)));
}

double pdag_axes_x(const pdag_axes *axes, double round)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * (round - 1.0) /
                      fmax(axes->rounds - 1.0, 1.0);
}

double pdag_axes_y(const pdag_axes *axes, double value)
{
    double at = axes->logarithmic ? decade(value) : value;

    at = (at - axes->low) / fmax(axes->high - axes->low, 1e-30);
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * at;
}

/* The smallest of 1, 2, 5, 10 .. that divides `range` into at most `most`. */
static double step_for(double range, double most)
{
    static const double factor[] = {2.0, 2.5, 2.0};
    double step = 1.0;

    for (int i = 0; range / step > most; i++)
        step *= factor[i % 3];
    return step;
}

static void draw_level(const pdag_axes *axes, double value, const char *prefix,
                       double number, pdag_text *page)
{
    double y = pdag_axes_y(axes, value);

    pdag_text_add(page, "<line class=\"grid\" x1=\"%g\" x2=\"%g\" y1=\"%.1f\" "
                  "y2=\"%.1f\"/><text x=\"%g\" y=\"%.1f\" "
                  "text-anchor=\"end\">%s%g</text>\n", LEFT, WIDTH - RIGHT, y, y,
                  LEFT - 6.0, y + 4.0, prefix, number);
}

static void draw_grid(const pdag_axes *axes, pdag_text *page)
{
    double step = axes->logarithmic ? 1.0 : step_for(axes->high - axes->low, 6.0);

    for (double v = axes->low; v <= axes->high; v += step)
        draw_level(axes, axes->logarithmic ? pow(10.0, v) : v,
                   axes->logarithmic ? "1e" : "", v, page);
    step = step_for(axes->rounds, 12.0);
    for (double k = step; k <= axes->rounds; k += step)
        pdag_text_add(page, "<text x=\"%.1f\" y=\"%g\" "
                      "text-anchor=\"middle\">%g</text>\n", pdag_axes_x(axes, k),
                      HEIGHT - BOTTOM + 18.0, k);
}

void pdag_chart_open(const pdag_axes *axes, const char *label, const char *words,
                     pdag_text *page)
{
    pdag_text_add(page, "<svg viewBox=\"0 0 %g %g\" role=\"img\" aria-label=\"",
                  WIDTH, HEIGHT);
    pdag_text_add_escaped(page, words);
    pdag_text_add(page, "\">\n");
    draw_grid(axes, page);
    pdag_text_add(page, "<text x=\"%g\" y=\"%g\" text-anchor=\"middle\">round"
                  "</text><text transform=\"translate(14 %g) rotate(-90)\" "
                  "text-anchor=\"middle\">%s</text>\n", (LEFT + WIDTH - RIGHT) / 2,
                  HEIGHT - 6.0, (TOP + HEIGHT - BOTTOM) / 2, label);
}

void pdag_chart_close(pdag_text *page)
{
    pdag_text_add(page, "</svg>\n");
}

void pdag_chart_bound(const pdag_axes *axes, double value, const char *name,
                      pdag_text *page)
{
    double at = axes->logarithmic ? decade(value) : value;
    double y = pdag_axes_y(axes, value);

    if (!isfinite(value) || at < axes->low || at > axes->high)
        return;
    pdag_text_add(page, "<line class=\"bound\" x1=\"%g\" x2=\"%g\" y1=\"%.1f\" "
                  "y2=\"%.1f\"/><text x=\"%g\" y=\"%.1f\" "
                  "text-anchor=\"end\">", LEFT, WIDTH - RIGHT, y, y,
                  WIDTH - RIGHT - 4.0, y - 5.0);
    pdag_text_add_escaped(page, name);
    pdag_text_add(page, "</text>\n");
}

/* A mark with its own shape for every curve, so that colour is not all there is
   to tell them apart. */
static void draw_mark(size_t which, double x, double y, pdag_text *page)
{
    size_t colour = which % PDAG_CHART_COLOURS;

    switch (which % 4) {
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

static void end_mark(size_t which, pdag_text *page)
{
    pdag_text_add(page, which % 4 == 0 ? "</circle>" : "</path>");
}

void pdag_chart_curve(const pdag_axes *axes, size_t which, bool marks,
                      const char *name, size_t n, const double *value,
                      pdag_text *page)
{
    bool open = false;

    for (size_t k = 0; k < n; k++) {
        if (!isfinite(value[k]))
            continue;
        pdag_text_add(page, "%s%.1f,%.1f",
                      open ? " " : "<polyline class=\"curve\" points=\"",
                      pdag_axes_x(axes, (double)(k + 1)),
                      pdag_axes_y(axes, value[k]));
        open = true;
    }
    if (open)
        pdag_text_add(page, "\"/>\n");
    for (size_t k = 0; marks && k < n; k++) {
        if (!isfinite(value[k]))
            continue;
        draw_mark(which, pdag_axes_x(axes, (double)(k + 1)),
                  pdag_axes_y(axes, value[k]), page);
        pdag_text_add(page, "<title>");
        pdag_text_add_escaped(page, name);
        pdag_text_add(page, ", round %zu: %.3g</title>", k + 1, value[k]);
        end_mark(which, page);
        pdag_text_add(page, "\n");
    }
}

void pdag_chart_key(size_t which, pdag_text *page)
{
    pdag_text_add(page, "<svg class=\"key s%zu\" viewBox=\"0 0 32 14\" "
                  "aria-hidden=\"true\"><line class=\"curve\" x1=\"2\" x2=\"30\" "
                  "y1=\"7\" y2=\"7\"/>", which % PDAG_CHART_COLOURS);
    draw_mark(which, 16.0, 7.0, page);
    end_mark(which, page);
    pdag_text_add(page, "</svg>");
}
