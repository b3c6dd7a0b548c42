#include "cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BAR_CELLS 24

pdag_progress_view pdag_progress_make(bool quiet)
{
    pdag_progress_view view;

    memset(&view, 0, sizeof view);
    view.quiet = quiet;
    view.terminal = isatty(STDERR_FILENO) == 1;
    return view;
}

static void show_bar(const pdag_progress *p, double left)
{
    char bar[BAR_CELLS + 1];
    size_t full = p->rows_done * BAR_CELLS / p->n_rows;

    memset(bar, '.', BAR_CELLS);
    memset(bar, '#', full);
    bar[BAR_CELLS] = '\0';
    fprintf(stderr, "\rsample %zu/%zu [%s] %zu/%zu rows, round %zu, residual "
            "%.2e, ", p->sample + 1, p->n_samples, bar, p->rows_done, p->n_rows,
            p->round, p->residual);
    if (p->sample_finished)
        fprintf(stderr, "%.1f s      ", p->seconds);
    else
        fprintf(stderr, "%.0f s left ", left);
    fflush(stderr);
}

void pdag_progress_show(pdag_progress_view *view, const pdag_progress *p)
{
    double spent;
    double left;

    if (view->quiet)
        return;
    if (view->sample != p->sample + 1) {
        pdag_progress_close(view);
        view->sample = p->sample + 1;
        view->sample_began = p->seconds;
    }
    if (!view->terminal) {
        fprintf(stderr, "sample %zu/%zu: round %zu: rows = %zu/%zu residual = "
                "%.3e seconds = %.2f\n", p->sample + 1, p->n_samples, p->round,
                p->rows_done, p->n_rows, p->residual, p->seconds);
        return;
    }
    /* By rows, which come faster towards the end: an upper bound. */
    spent = p->seconds - view->sample_began;
    left = spent * (double)(p->n_rows - p->rows_done) / (double)p->rows_done;
    show_bar(p, left);
    view->bar_open = true;
    if (p->sample_finished)
        pdag_progress_close(view);
}

void pdag_progress_close(pdag_progress_view *view)
{
    if (view->bar_open)
        fputc('\n', stderr);
    view->bar_open = false;
}
