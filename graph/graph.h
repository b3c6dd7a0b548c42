/** graph/graph.h: the task graph of one sample: its rows, cut into blocks.
 *
 *      encode -> E(0,b) -> U(0,b) -> E(1,b) -> U(1,b) -> .. -> decode
 *                  U(k,b-1) -> U(k,b)     (carry)
 *
 *  E(k,b) evaluates the network on the rows of block b that lie in the window of
 *  round k; U(k,b) is the solver's update of those rows.  The cut is fixed by the
 *  job, never by the number of ranks, so the batch that a row is evaluated in -
 *  and with it the row's last bits - does not depend on who evaluates it. */
#ifndef PDAG_GRAPH_GRAPH_H
#define PDAG_GRAPH_GRAPH_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_graph {
    size_t n_rows;     /* N */
    size_t block_rows; /* 1..N; the last block may be shorter */
    size_t n_blocks;
} pdag_graph;

/** block_rows is clamped to 1..n_rows; n_rows >= 1. */
pdag_graph pdag_graph_make(size_t n_rows, size_t block_rows);

/** Block that holds a row. */
size_t pdag_graph_block_of(const pdag_graph *graph, size_t row);

/** Rows of block b within [begin, end): first row and number, 0 if none. */
size_t pdag_graph_block_rows(const pdag_graph *graph, size_t b, size_t begin,
                             size_t end, size_t *first_out);

/** The rows being worked on, [begin, end); everything before is final. */
typedef struct pdag_window {
    size_t n_rows; /* N */
    size_t width;  /* W, 1..N */
    size_t begin, end;
} pdag_window;

/** Rows [0, W).  width 0 or over n_rows: all rows. */
pdag_window pdag_window_make(size_t n_rows, size_t width);

/** Let the window begin at `row`, 0..N, and new rows enter at the back: those of
 *  [old end, new end) have.  N: nothing is left. */
void pdag_window_slide_to(pdag_window *window, size_t row);

#ifdef __cplusplus
}
#endif
#endif
