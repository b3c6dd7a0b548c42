#include "graph/graph.h"

#include "base/fatal.h"

pdag_graph pdag_graph_make(size_t n_rows, size_t block_rows)
{
    pdag_graph graph;

    PDAG_ASSERT(n_rows >= 1);
    if (block_rows < 1)
        block_rows = 1;
    if (block_rows > n_rows)
        block_rows = n_rows;
    graph.n_rows = n_rows;
    graph.block_rows = block_rows;
    graph.n_blocks = (n_rows + block_rows - 1) / block_rows;
    return graph;
}

size_t pdag_graph_block_of(const pdag_graph *graph, size_t row)
{
    return row / graph->block_rows;
}

size_t pdag_graph_block_rows(const pdag_graph *graph, size_t b, size_t begin,
                             size_t end, size_t *first_out)
{
    size_t first = b * graph->block_rows;
    size_t last = first + graph->block_rows;

    if (first < begin)
        first = begin;
    if (last > end)
        last = end;
    if (first >= last)
        return 0;
    *first_out = first;
    return last - first;
}

pdag_window pdag_window_make(size_t n_rows, size_t width)
{
    pdag_window window;

    window.n_rows = n_rows;
    window.width = width == 0 || width > n_rows ? n_rows : width;
    window.begin = 0;
    window.end = window.width;
    return window;
}

void pdag_window_slide_to(pdag_window *window, size_t row)
{
    PDAG_ASSERT(row <= window->n_rows);
    window->begin = row;
    window->end = row + window->width;
    if (window->end > window->n_rows)
        window->end = window->n_rows;
}
