#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/chart.h"
#include "cli/files.h"
#include "cli/report.h"

/* cli/report_workers.c: who did what when. */

#define WIDTH 1000.0
#define LEFT 76.0
#define RIGHT 8.0
#define BOTTOM 26.0
#define HIGHEST 20.0     /* a lane */
#define MOST_HEIGHT 900.0 /* all lanes */
#define MOST_SPANS 6000  /* drawn one by one; more are drawn as pixels */
#define COLUMNS 1600     /* pixels then */

/* Where things are: lanes below each other, the scheduler's first. */
typedef struct plot {
    const pdag_timeline *t;
    double lane;    /* height of one */
    double end;     /* microseconds at the right */
    bool by_sample; /* colours are of samples, else of rounds */
} plot;

static double x_of(const plot *p, double time)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * fmin(time / p->end, 1.0);
}

static double y_of(const plot *p, size_t line)
{
    return p->lane * (double)line;
}

/* The style sheet's colour of a task; PDAG_CHART_COLOURS: no network. */
static size_t colour_of(const plot *p, const pdag_report_task *task)
{
    if (!task->network)
        return PDAG_CHART_COLOURS;
    return (p->by_sample ? task->sample : task->round) % PDAG_CHART_COLOURS;
}

static void draw_span(const plot *p, const pdag_report_task *task, size_t line,
                      const char *name, pdag_text *page)
{
    double from = x_of(p, task->begin);
    double width = fmax(x_of(p, task->end) - from, 0.25);
    size_t colour = colour_of(p, task);

    pdag_text_add(page, "<rect ");
    if (colour < PDAG_CHART_COLOURS)
        pdag_text_add(page, "class=\"s%zu\" ", colour);
    pdag_text_add(page, "x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\">"
                  "<title>%s", from, y_of(p, line) + 0.1 * p->lane, width,
                  0.8 * p->lane, name);
    if (task->network || name[0] == 'U')
        pdag_text_add(page, "(%u,%u), sample %u", task->round, task->block,
                      task->sample);
    pdag_text_add(page, ", %.3f ms from %.3f</title></rect>\n",
                  (task->end - task->begin) / 1e3, task->begin / 1e3);
}

static void draw_spans(const plot *p, pdag_text *page)
{
    pdag_text_add(page, "<g class=\"spans\">\n");
    for (size_t i = 0; i < p->t->n_updates; i++)
        draw_span(p, &p->t->update[i], 0, "U", page);
    for (size_t i = 0; i < p->t->n_tasks; i++)
        draw_span(p, &p->t->task[i], p->t->task[i].lane + 1,
                  p->t->task[i].network ? "E" : "encode or decode", page);
    pdag_text_add(page, "</g>\n");
}

/* Colours of the style sheet in between its light and its dark ones. */
static const unsigned char middle[PDAG_CHART_COLOURS + 1][3] = {
    {60, 137, 224}, {210, 116, 46}, {56, 160, 84},  {172, 96, 213}, {224, 77, 115},
    {38, 156, 167}, {169, 144, 31}, {134, 137, 141}, {134, 137, 141}};

/* Add a span to its line of pixels, each column by how much of it is covered. */
static void paint(const plot *p, const pdag_report_task *task, float *line)
{
    double column = p->end / COLUMNS;
    size_t first = (size_t)fmin(task->begin / column, COLUMNS - 1.0);
    size_t last = (size_t)fmin(task->end / column, COLUMNS - 1.0);
    const unsigned char *colour = middle[colour_of(p, task)];

    for (size_t c = first; c <= last; c++) {
        double from = fmax(task->begin, column * (double)c);
        double to = fmin(task->end, column * (double)(c + 1));
        float share = (float)(fmax(to - from, 0.0) / column);
        float *pixel = line + 4 * c;

        for (int k = 0; k < 3; k++)
            pixel[k] += share * (float)colour[k] / 255.0f;
        pixel[3] += share;
    }
}

/* A line of pixels, painted: [COLUMNS][4], colours so far weighted by what they
   cover. */
static pdag_status draw_line(const plot *p, size_t line, float *rgba,
                             pdag_text *page)
{
    void *bytes;
    size_t n_bytes;
    pdag_status status;

    for (size_t c = 0; c < COLUMNS; c++) {
        float *pixel = rgba + 4 * c;

        for (int k = 0; k < 3 && pixel[3] > 0.0f; k++)
            pixel[k] = fminf(pixel[k] / pixel[3], 1.0f);
        pixel[3] = fminf(pixel[3], 1.0f);
    }
    status = pdag_png_encode(rgba, 1, COLUMNS, 4, &bytes, &n_bytes);
    if (status != PDAG_OK)
        return status;
    pdag_text_add(page, "<image x=\"%g\" y=\"%.2f\" width=\"%g\" height=\"%.2f\" "
                  "preserveAspectRatio=\"none\" href=\"data:image/png;base64,",
                  LEFT, y_of(p, line) + 0.1 * p->lane, WIDTH - LEFT - RIGHT,
                  0.8 * p->lane);
    pdag_text_add_base64(page, bytes, n_bytes);
    pdag_text_add(page, "\"/>\n");
    free(bytes);
    return PDAG_OK;
}

static pdag_status draw_pixels(const plot *p, pdag_text *page)
{
    size_t lines = p->t->n_lanes + 1;
    float *rgba = pdag_xcalloc(lines * COLUMNS * 4, sizeof *rgba);
    pdag_status status = PDAG_OK;

    for (size_t i = 0; i < p->t->n_updates; i++)
        paint(p, &p->t->update[i], rgba);
    for (size_t i = 0; i < p->t->n_tasks; i++)
        paint(p, &p->t->task[i], rgba + 4 * COLUMNS * (p->t->task[i].lane + 1));
    for (size_t l = 0; status == PDAG_OK && l < lines; l++)
        status = draw_line(p, l, rgba + 4 * COLUMNS * l, page);
    free(rgba);
    return status;
}

/* The largest of 1, 2, 5, 10 .. that is at most `number`. */
static double round_down(double number)
{
    double step = pow(10.0, floor(log10(number)));

    if (number >= 5.0 * step)
        return 5.0 * step;
    return number >= 2.0 * step ? 2.0 * step : step;
}

static void draw_frame(const plot *p, pdag_text *page)
{
    size_t lines = p->t->n_lanes + 1;
    double bottom = p->lane * (double)lines;
    double seconds = p->end / 1e6;
    double step = round_down(fmax(seconds / 5.0, 1e-9));
    size_t every = (size_t)ceil(12.0 / p->lane);

    for (int i = 0; i * step <= seconds; i++)
        pdag_text_add(page, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"0\" "
                      "y2=\"%.1f\"/><text x=\"%.1f\" y=\"%.1f\" "
                      "text-anchor=\"middle\">%.4g s</text>\n",
                      x_of(p, i * step * 1e6), x_of(p, i * step * 1e6), bottom,
                      x_of(p, i * step * 1e6), bottom + 18.0, i * step);
    for (size_t l = 0; l < lines; l += l == 0 ? 1 : every) {
        double middle_y = y_of(p, l) + 0.5 * p->lane + 4.0;

        if (l == 0 && p->lane >= 10.0)
            pdag_text_add(page, "<text x=\"%g\" y=\"%.1f\" "
                          "text-anchor=\"end\">updates</text>\n", LEFT - 6.0,
                          middle_y);
        if (l == 0)
            continue;
        pdag_text_add(page, "<text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">rank %d"
                      "</text>\n", LEFT - 6.0, middle_y, p->t->lane[l - 1].rank);
    }
}

static pdag_status draw_timeline(const pdag_timeline *t, pdag_text *page)
{
    size_t n_spans = t->n_tasks + t->n_updates;
    plot p = {t, 0.0, fmax(t->end, 1.0), false};
    pdag_status status = PDAG_OK;

    p.lane = fmin(MOST_HEIGHT / (double)(t->n_lanes + 1), HIGHEST);
    for (size_t i = 0; i < t->n_tasks; i++)
        p.by_sample = p.by_sample || t->task[i].sample > 0;
    pdag_text_add(page, "<p>Every network evaluation on its worker, from the "
                  "run&#8217;s start; colours go by the %s, eight in turn, "
                  "encoding and decoding have none%s. trace.json has more: open it "
                  "at ui.perfetto.dev or in chrome://tracing.</p>\n"
                  "<div class=\"wide\" role=\"region\" "
                  "aria-label=\"timeline\" tabindex=\"0\"><svg class=\"timeline\" "
                  "viewBox=\"0 0 %g %.1f\" role=\"img\" aria-label=\"Tasks of each "
                  "worker against time\">\n", p.by_sample ? "sample" : "round",
                  n_spans <= MOST_SPANS ? "; point at one for its name" : "", WIDTH,
                  p.lane * (double)(t->n_lanes + 1) + BOTTOM);
    draw_frame(&p, page);
    if (n_spans <= MOST_SPANS)
        draw_spans(&p, page);
    else
        status = draw_pixels(&p, page);
    pdag_text_add(page, "</svg></div>\n");
    return status;
}

/* Without a trace. */

static const char *const parts[][2] = {{"seconds_busy", "busy"},
                                       {"seconds_messages", "messages"},
                                       {"seconds_waiting", "waiting"}};
#define N_PARTS (sizeof parts / sizeof parts[0])

static double part_of(const json_t *worker, size_t part)
{
    return fmax(pdag_report_number(worker, parts[part][0]), 0.0);
}

static double most_seconds(const json_t *workers)
{
    const json_t *worker;
    double most = 0.0;
    size_t i;

    json_array_foreach(workers, i, worker) {
        double sum = 0.0;

        for (size_t part = 0; part < N_PARTS; part++)
            sum += part_of(worker, part);
        most = fmax(most, sum);
    }
    return most;
}

static void draw_bars(const json_t *workers, pdag_text *page)
{
    size_t n = json_array_size(workers);
    double most = most_seconds(workers);
    double lane = fmin(MOST_HEIGHT / (double)n, HIGHEST);
    const json_t *worker;
    size_t i;

    if (most <= 0.0)
        return;
    pdag_text_add(page, "<p>Seconds of each worker: <span class=\"s0\">busy"
                  "</span>, <span class=\"s1\">messages</span>, and waiting "
                  "(plain). A run with --trace has a timeline here.</p>\n"
                  "<svg class=\"timeline\" viewBox=\"0 0 %g %.1f\" role=\"img\" "
                  "aria-label=\"Seconds of each worker\">\n<g class=\"spans\">\n",
                  WIDTH, lane * (double)n);
    json_array_foreach(workers, i, worker) {
        double x = LEFT;

        for (size_t part = 0; part < N_PARTS; part++) {
            double width = (WIDTH - LEFT - RIGHT) * part_of(worker, part) / most;

            pdag_text_add(page, "<rect class=\"%s\" x=\"%.2f\" y=\"%.2f\" "
                          "width=\"%.2f\" height=\"%.2f\"><title>%s %.3f s</title>"
                          "</rect>\n", part == 0 ? "s0" : part == 1 ? "s1" : "idle",
                          x, lane * (double)i + 0.1 * lane, width, 0.8 * lane,
                          parts[part][1], part_of(worker, part));
            x += width;
        }
        if (lane >= 10.0)
            pdag_text_add(page, "<text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">"
                          "rank %.0f</text>\n", LEFT - 6.0,
                          lane * (double)i + 0.5 * lane + 4.0,
                          fmax(pdag_report_number(worker, "rank"), 0.0));
    }
    pdag_text_add(page, "</g></svg>\n");
}

/* The table. */

static void add_seconds(double seconds, pdag_text *page)
{
    if (isfinite(seconds))
        pdag_text_add(page, "<td>%.3f</td>", seconds);
    else
        pdag_text_add(page, "<td>&#8211;</td>");
}

static void add_count(const json_t *worker, const char *key, pdag_text *page)
{
    double value = pdag_report_number(worker, key);

    if (isfinite(value))
        pdag_text_add(page, "<td>%.0f</td>", value);
    else
        pdag_text_add(page, "<td>&#8211;</td>");
}

static void add_worker(const json_t *worker, double total, pdag_text *page)
{
    double busy = pdag_report_number(worker, "seconds_busy");

    pdag_text_add(page, "<tr><th scope=\"row\">%.0f</th><td class=\"words\">",
                  fmax(pdag_report_number(worker, "rank"), 0.0));
    pdag_text_add_escaped(page, pdag_report_text(worker, "host"));
    pdag_text_add(page, "</td><td class=\"words\">");
    pdag_text_add_escaped(page, pdag_report_text(worker, "device"));
    pdag_text_add(page, "</td>");
    add_count(worker, "tasks", page);
    add_count(worker, "rows", page);
    add_seconds(pdag_report_number(worker, "seconds_load"), page);
    add_seconds(busy, page);
    add_seconds(pdag_report_number(worker, "seconds_waiting"), page);
    add_seconds(pdag_report_number(worker, "seconds_messages"), page);
    if (isfinite(busy) && total > 0.0)
        pdag_text_add(page, "<td>%.0f&#160;%%</td></tr>\n",
                      fmin(100.0 * busy / total, 100.0));
    else
        pdag_text_add(page, "<td>&#8211;</td></tr>\n");
}

/* Seconds of encoding, sampling and decoding: what a busy worker is busy of. */
static double working_seconds(const json_t *root)
{
    static const char *const keys[] = {"seconds.encode", "seconds.sample",
                                       "seconds.decode"};
    double sum = 0.0;

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        sum += fmax(pdag_report_number(root, keys[i]), 0.0);
    return sum;
}

pdag_status pdag_report_workers(const pdag_report *r, pdag_text *page)
{
    const json_t *workers = json_object_get(r->run.root, "workers");
    double total = working_seconds(r->run.root);
    const json_t *worker;
    size_t i;
    pdag_status status = PDAG_OK;

    if (json_array_size(workers) == 0 && !r->has_timeline)
        return PDAG_OK;
    pdag_text_add(page, "<h2 id=\"workers\">Workers</h2>\n");
    if (r->has_timeline)
        status = draw_timeline(&r->timeline, page);
    else
        draw_bars(workers, page);
    if (json_array_size(workers) == 0)
        return status;
    pdag_text_add(page, "<div class=\"wide\" role=\"region\" "
                  "aria-labelledby=\"workers\" tabindex=\"0\"><table>\n<thead><tr>"
                  "<th scope=\"col\">rank</th>"
                  "<th scope=\"col\" class=\"words\">host</th>"
                  "<th scope=\"col\" class=\"words\">device</th>"
                  "<th scope=\"col\">tasks</th><th scope=\"col\">rows</th>"
                  "<th scope=\"col\">loading s</th><th scope=\"col\">busy s</th>"
                  "<th scope=\"col\">waiting s</th>"
                  "<th scope=\"col\">messages s</th>"
                  "<th scope=\"col\">busy</th></tr></thead>\n<tbody>\n");
    json_array_foreach(workers, i, worker)
        add_worker(worker, total, page);
    pdag_text_add(page, "</tbody></table></div>\n");
    return status;
}
