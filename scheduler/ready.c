#include "scheduler/ready.h"

#include <stdlib.h>

#include "base/mem.h"

static bool comes_before(const pdag_node *a, const pdag_node *b)
{
    if (a->sample != b->sample)
        return a->sample < b->sample;
    if (a->round != b->round)
        return a->round < b->round;
    if (a->block != b->block)
        return a->block < b->block;
    return a->mix < b->mix;
}

static void swap(pdag_ready *ready, size_t i, size_t j)
{
    pdag_node kept = ready->node[i];

    ready->node[i] = ready->node[j];
    ready->node[j] = kept;
}

static void sift_up(pdag_ready *ready, size_t i)
{
    while (i > 0 && comes_before(&ready->node[i], &ready->node[(i - 1) / 2])) {
        swap(ready, i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

void pdag_ready_push(pdag_ready *ready, pdag_node node)
{
    if (ready->n == ready->room) {
        ready->room = 2 * ready->room + 64;
        ready->node =
            pdag_xrealloc(ready->node, ready->room, sizeof *ready->node);
    }
    ready->node[ready->n++] = node;
    sift_up(ready, ready->n - 1);
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

bool pdag_ready_pop_back(pdag_ready *ready, pdag_node *node_out)
{
    size_t last = 0;

    if (ready->n == 0)
        return false;
    for (size_t i = 1; i < ready->n; i++)
        if (comes_before(&ready->node[last], &ready->node[i]))
            last = i;
    *node_out = ready->node[last];
    ready->node[last] = ready->node[--ready->n];
    /* It was a leaf, and the node in its place comes after no child. */
    if (last < ready->n)
        sift_up(ready, last);
    return true;
}

const pdag_node *pdag_ready_first(const pdag_ready *ready)
{
    return ready->n > 0 ? &ready->node[0] : NULL;
}

void pdag_ready_clear(pdag_ready *ready)
{
    free(ready->node);
    ready->node = NULL;
    ready->n = 0;
    ready->room = 0;
}
