#include "scheduler/ready.h"

#include <stdlib.h>

#include "base/mem.h"

static bool comes_before(const pdag_node *a, const pdag_node *b)
{
    if (a->sample != b->sample)
        return a->sample < b->sample;
    if (a->round != b->round)
        return a->round < b->round;
    return a->block < b->block;
}

static void swap(pdag_ready *ready, size_t i, size_t j)
{
    pdag_node kept = ready->node[i];

    ready->node[i] = ready->node[j];
    ready->node[j] = kept;
}

void pdag_ready_push(pdag_ready *ready, pdag_node node)
{
    size_t i = ready->n;

    if (ready->n == ready->room) {
        ready->room = 2 * ready->room + 64;
        ready->node =
            pdag_xrealloc(ready->node, ready->room, sizeof *ready->node);
    }
    ready->node[ready->n++] = node;
    while (i > 0 && comes_before(&ready->node[i], &ready->node[(i - 1) / 2])) {
        swap(ready, i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

bool pdag_ready_pop(pdag_ready *ready, pdag_node *node_out)
{
    size_t i = 0;

    if (ready->n == 0)
        return false;
    *node_out = ready->node[0];
    ready->node[0] = ready->node[--ready->n];
    for (;;) {
        size_t least = i;

        for (size_t child = 2 * i + 1; child <= 2 * i + 2; child++)
            if (child < ready->n &&
                comes_before(&ready->node[child], &ready->node[least]))
                least = child;
        if (least == i)
            return true;
        swap(ready, i, least);
        i = least;
    }
}

void pdag_ready_clear(pdag_ready *ready)
{
    free(ready->node);
    ready->node = NULL;
    ready->n = 0;
    ready->room = 0;
}
