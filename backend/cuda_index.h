/** backend/cuda_index.h: where things are: the index arithmetic of the CUDA
 *  kernels, as plain C, so that tests/test_backend_cuda_index.c runs the same
 *  lines on a machine without a GPU.  For the backend's own files only.
 *
 *  Everything is counted in size_t: a batch of pictures passes 2^31 elements. */
#ifndef PDAG_BACKEND_CUDA_INDEX_H
#define PDAG_BACKEND_CUDA_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/cuda_kernels.h"

#ifdef __CUDACC__
#define PDAG_INDEX static inline __host__ __device__
#else
#define PDAG_INDEX static inline
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** n / d.  A GPU divides 64-bit numbers in some hundred instructions, 32-bit ones
 *  in twenty, and most are small. */
PDAG_INDEX size_t pdag_index_div(size_t n, size_t d)
{
    if (((n | d) >> 32) == 0)
        return (uint32_t)n / (uint32_t)d;
    return n / d;
}

/** ceil(n / d). */
PDAG_INDEX size_t pdag_index_ceil(size_t n, size_t d)
{
    return pdag_index_div(n + d - 1, d);
}

/** Blocks for `n` pieces of work, `per_block` each: at least 1, at most 2^20;
 *  kernels stride over what is left. */
PDAG_INDEX unsigned pdag_index_blocks(size_t n, size_t per_block)
{
    size_t blocks = pdag_index_ceil(n, per_block);

    if (blocks < 1)
        return 1;
    return blocks < 1048576 ? (unsigned)blocks : 1048576u;
}

/** A place of an activation [B][H][W][C]: image, row, column. */
typedef struct pdag_index_place {
    size_t image, i, j;
} pdag_index_place;

/** Place of position `at`, counted over b*h*w. */
PDAG_INDEX pdag_index_place pdag_index_locate(size_t at, size_t h, size_t w)
{
    pdag_index_place place;
    size_t row = pdag_index_div(at, w);

    place.j = at - row * w;
    place.image = pdag_index_div(row, h);
    place.i = row - place.image * h;
    return place;
}

/** The element [image][i'][j'][0] that output `place` reads through tap (ki, kj)
 *  of a convolution, into *element_out; false outside the picture. */
PDAG_INDEX bool pdag_index_tap(const pdag_cuda_conv *conv,
                               const pdag_index_place *place, size_t ki,
                               size_t kj, size_t *element_out)
{
    /* Unsigned: what lies above or left of the picture wraps to a huge number. */
    size_t i = place->i * conv->stride + ki - conv->pad_top;
    size_t j = place->j * conv->stride + kj - conv->pad_left;

    if (i >= conv->h || j >= conv->w)
        return false;
    *element_out = ((place->image * conv->h + i) * conv->w + j) * conv->c;
    return true;
}

/** The position of x, counted over b*h*w, whose value is output position `at` of
 *  a nearest-neighbour resampling to oh x ow. */
PDAG_INDEX size_t pdag_index_nearest(size_t at, size_t h, size_t w, size_t oh,
                                     size_t ow)
{
    pdag_index_place place = pdag_index_locate(at, oh, ow);

    return (place.image * h + pdag_index_div(place.i * h, oh)) * w +
           pdag_index_div(place.j * w, ow);
}

/** How one group norm is cut: a block takes `span` channels, whole groups of them
 *  (`groups` = span / group size), of `rows` positions. */
typedef struct pdag_index_norm {
    size_t span, groups; /* channels and groups of one block */
    size_t spans;        /* blocks that cover the channels */
    size_t rows, chunks; /* positions of one block, blocks that cover them */
} pdag_index_norm;

enum {
    PDAG_NORM_THREADS = 256,
    PDAG_NORM_PACK = 4,      /* channels that one thread reads at once */
    PDAG_NORM_SPAN = 256,    /* channels wanted in a block: 64 lanes of 4 */
    PDAG_NORM_SMALL = 65536, /* elements that one block takes alone */
    PDAG_NORM_CHUNKS = 64    /* pieces of a picture at most */
};

/** The cut for pictures of p positions and c channels.  It depends on one picture
 *  alone, so that a batch changes nothing. */
PDAG_INDEX pdag_index_norm pdag_index_norm_cut(size_t p, size_t c, size_t groups)
{
    pdag_index_norm cut;
    size_t size = c / groups;

    cut.groups = size >= PDAG_NORM_SPAN ? 1 : PDAG_NORM_SPAN / size;
    if (cut.groups > groups)
        cut.groups = groups;
    /* Whole packs where that is possible: then a block reads four channels at
     * once. */
    if (c % PDAG_NORM_PACK == 0)
        while (cut.groups * size % PDAG_NORM_PACK != 0 && cut.groups > 1)
            cut.groups--;
    cut.span = cut.groups * size;
    cut.spans = pdag_index_ceil(groups, cut.groups);
    cut.chunks = 1;
    if (p * cut.span > PDAG_NORM_SMALL) {
        cut.chunks = pdag_index_ceil(p * cut.span, PDAG_NORM_SMALL / 4);
        if (cut.chunks > PDAG_NORM_CHUNKS)
            cut.chunks = PDAG_NORM_CHUNKS;
        if (cut.chunks > p)
            cut.chunks = p;
    }
    cut.rows = pdag_index_ceil(p, cut.chunks);
    cut.chunks = pdag_index_ceil(p, cut.rows);
    return cut;
}

/** Keys that query `m` sees. */
PDAG_INDEX size_t pdag_index_visible(size_t m, size_t n_kv, bool causal)
{
    return causal && m + 1 < n_kv ? m + 1 : n_kv;
}

#ifdef __cplusplus
}
#endif
#endif
