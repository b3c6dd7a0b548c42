#include "cli/plan.h"

/* cli/plan_dot.c: the task graph of a plan for Graphviz: E and U nodes of every
   block in a cluster of their own, rounds from left to right. */

/* A drawing of more nodes than this is no use to anybody. */
#define MOST_NODES 400

typedef struct drawing {
    const pdag_plan *plan;
    const pdag_sim_path *path;
    pdag_graph graph;
    size_t n_rounds; /* drawn */
    pdag_text *text;
} drawing;

static size_t first_block(const drawing *d, size_t k)
{
    return pdag_graph_block_of(&d->graph, d->path->round[k].begin);
}

static size_t last_block(const drawing *d, size_t k)
{
    return pdag_graph_block_of(&d->graph, d->path->round[k].end - 1) + 1;
}

static bool has_block(const drawing *d, size_t k, size_t b)
{
    return b >= first_block(d, k) && b < last_block(d, k);
}

/* As many rounds as fit, one at least. */
static size_t count_rounds(const drawing *d)
{
    size_t nodes = 0;
    size_t k = 0;

    for (; k < d->path->n_rounds; k++) {
        nodes += 2 * (last_block(d, k) - first_block(d, k));
        if (k > 0 && nodes > MOST_NODES)
            break;
    }
    return k;
}

static void add_block(const drawing *d, size_t b)
{
    bool any = false;

    for (size_t k = 0; k < d->n_rounds; k++) {
        size_t first = 0;
        size_t n;

        if (!has_block(d, k, b))
            continue;
        if (!any)
            pdag_text_add(d->text, "  subgraph cluster_%zu {\n"
                          "    label=\"block %zu\";\n", b, b);
        any = true;
        n = pdag_graph_block_rows(&d->graph, b, d->path->round[k].begin,
                                  d->path->round[k].end, &first);
        pdag_text_add(d->text,
                      "    E_%zu_%zu [label=\"E(%zu,%zu)\\nrows %zu-%zu\"];\n"
                      "    U_%zu_%zu [label=\"U(%zu,%zu)\", shape=ellipse];\n", k,
                      b, k, b, first, first + n - 1, k, b, k, b);
    }
    if (any)
        pdag_text_add(d->text, "  }\n");
}

/* What E(k,b) waits for: its own update before; the end of the sweep where rows
   enter; or all of the round before under a barrier. */
static void add_needs(const drawing *d, size_t k, size_t b)
{
    size_t end = (b + 1) * d->graph.block_rows;
    size_t sweep_end;

    if (k == 0) {
        pdag_text_add(d->text, "  encode -> E_0_%zu;\n", b);
        return;
    }
    if (end > d->path->round[k].end)
        end = d->path->round[k].end;
    sweep_end = last_block(d, k - 1) - 1;
    if (d->plan->shape.barrier || end > d->path->round[k - 1].end)
        pdag_text_add(d->text, "  U_%zu_%zu -> E_%zu_%zu%s;\n", k - 1, sweep_end, k,
                      b, d->plan->shape.barrier ? "" : " [color=blue]");
    else
        pdag_text_add(d->text, "  U_%zu_%zu -> E_%zu_%zu;\n", k - 1, b, k, b);
}

static void add_round(const drawing *d, size_t k)
{
    for (size_t b = first_block(d, k); b < last_block(d, k); b++) {
        pdag_text_add(d->text, "  E_%zu_%zu -> U_%zu_%zu;\n", k, b, k, b);
        if (b > first_block(d, k))
            pdag_text_add(d->text, "  U_%zu_%zu -> U_%zu_%zu [style=dashed];\n", k,
                          b - 1, k, b);
        add_needs(d, k, b);
    }
}

static void add_end(const drawing *d)
{
    size_t n = d->n_rounds;

    if (n < d->path->n_rounds)
        pdag_text_add(d->text, "  more [label=\"%zu more rounds\", shape=none];\n"
                      "  U_%zu_%zu -> more -> decode [style=dotted];\n",
                      d->path->n_rounds - n, n - 1, last_block(d, n - 1) - 1);
    else if (n > 0)
        pdag_text_add(d->text, "  U_%zu_%zu -> decode;\n", n - 1,
                      last_block(d, n - 1) - 1);
    else
        pdag_text_add(d->text, "  encode -> decode;\n");
}

void pdag_plan_add_dot(const pdag_plan *plan, pdag_text *text)
{
    drawing d = {plan, &plan->paths.path[plan->paths.n / 2],
                 pdag_graph_make(plan->shape.n_rows, plan->shape.block_rows), 0,
                 text};

    d.n_rounds = count_rounds(&d);
    pdag_text_add(text, "// One sample: E evaluates a block's rows, U updates "
                  "them; dashed: the carry of the\n// sweep; blue: rows that enter "
                  "the window.  Draw with: dot -Tsvg\n"
                  "digraph plan {\n  rankdir=LR;\n  node [shape=box];\n"
                  "  label=\"%zu rounds of %zu predicted rounds drawn\";\n"
                  "  encode; decode;\n", d.n_rounds, d.path->n_rounds);
    for (size_t b = 0; b < d.graph.n_blocks; b++)
        add_block(&d, b);
    for (size_t k = 0; k < d.n_rounds; k++)
        add_round(&d, k);
    add_end(&d);
    pdag_text_add(text, "}\n");
}
