#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/npy.h"
#include "cli/files.h"
#include "cli/report.h"

/* cli/report_pictures.c: the samples' pictures: the files that the run wrote, or
   states that are pixels themselves. */

#define MOST_BYTES ((size_t)32 << 20) /* of all pictures in one page */
#define MOST_FILE ((size_t)1 << 30)   /* of a .npy file that is read for them */
#define MOST_ROUNDS 24                /* pictures of one sample by round */
#define MOST_SIDE 4096

typedef struct gallery {
    pdag_report *report;
    pdag_text *page;
    size_t bytes;    /* of pictures so far */
    size_t left_out;
    bool open;       /* the heading is there */
} gallery;

/* A file of the run's own folder, not one elsewhere. */
static char *path_of(const gallery *g, const char *name)
{
    if (name[0] == '\0' || strchr(name, '/') != NULL)
        return NULL;
    return pdag_xasprintf("%s/%s", g->report->folder, name);
}

static void add_picture(gallery *g, const void *bytes, size_t n_bytes,
                        size_t sample, const char *words)
{
    if (n_bytes > MOST_BYTES - g->bytes) {
        g->left_out++;
        return;
    }
    g->bytes += n_bytes;
    if (!g->open)
        pdag_text_add(g->page, "<h2>Pictures</h2>\n<div class=\"gallery\">\n");
    g->open = true;
    pdag_text_add(g->page, "<figure><img src=\"data:image/png;base64,");
    pdag_text_add_base64(g->page, bytes, n_bytes);
    pdag_text_add(g->page, "\" alt=\"sample %zu\"/><figcaption>", sample);
    pdag_text_add_escaped(g->page, words);
    pdag_text_add(g->page, "</figcaption></figure>\n");
}

/* A file that is there and of a size that can be shown: its bytes, malloc'ed. */
static unsigned char *read_file(const char *path, size_t *n_bytes_out)
{
    struct stat there;
    unsigned char *bytes;
    FILE *file;

    if (stat(path, &there) != 0 || (file = fopen(path, "rb")) == NULL)
        return NULL;
    if (!S_ISREG(there.st_mode) || there.st_size <= 0 ||
        (size_t)there.st_size > MOST_BYTES) {
        fclose(file);
        errno = EFBIG;
        return NULL;
    }
    bytes = pdag_xcalloc((size_t)there.st_size, 1);
    *n_bytes_out = fread(bytes, 1, (size_t)there.st_size, file);
    fclose(file);
    return bytes;
}

/* The PNG file that the run wrote. */
static void add_image(gallery *g, const pdag_report_sample *s, const char *words)
{
    static const unsigned char png[8] = {137, 80, 78, 71, 13, 10, 26, 10};
    char *path = path_of(g, s->image);
    size_t n_bytes = 0;
    unsigned char *bytes = NULL;

    errno = EINVAL;
    if (path != NULL)
        bytes = read_file(path, &n_bytes);
    if (bytes == NULL)
        pdag_text_add(&g->report->notes, "sample %zu: no picture %s: %s\n",
                      s->index, s->image, strerror(errno));
    else if (n_bytes < sizeof png || memcmp(bytes, png, sizeof png) != 0)
        pdag_text_add(&g->report->notes, "sample %zu: %s is not a PNG file\n",
                      s->index, s->image);
    else
        add_picture(g, bytes, n_bytes, s->index, words);
    free(bytes);
    free(path);
}

/* Whether the last three dimensions are those of a picture: [1 or 3][H][W]. */
static bool is_picture(int n_dims, const size_t *dims)
{
    const size_t *d;

    if (n_dims < 3)
        return false;
    d = dims + n_dims - 3;
    return (d[0] == 1 || d[0] == 3) && d[1] >= 4 && d[2] >= 4 &&
           d[1] <= MOST_SIDE && d[2] <= MOST_SIDE;
}

/* State [C][H][W] in [-1, 1] as a picture; none where it is not finite. */
static void add_state(gallery *g, const float *state, const size_t *dims,
                      size_t sample, const char *words)
{
    size_t pixels = dims[1] * dims[2];
    float *picture = pdag_xcalloc(pixels * dims[0], sizeof *picture);
    bool finite = true;
    void *bytes;
    size_t n_bytes;

    for (size_t c = 0; c < dims[0]; c++)
        for (size_t p = 0; p < pixels; p++) {
            float value = state[c * pixels + p];

            finite = finite && isfinite(value);
            picture[p * dims[0] + c] =
                fminf(fmaxf(0.5f * value + 0.5f, 0.0f), 1.0f);
        }
    if (finite && pdag_png_encode(picture, dims[1], dims[2], dims[0], &bytes,
                                  &n_bytes) == PDAG_OK) {
        add_picture(g, bytes, n_bytes, sample, words);
        free(bytes);
    }
    free(picture);
}

/* A .npy file of the folder that is not too large; NULL where there is none. */
static float *read_array(const gallery *g, const char *name, int *n_dims,
                         size_t *dims)
{
    char *path = path_of(g, name);
    struct stat there;
    float *data = NULL;

    if (path != NULL && stat(path, &there) == 0 && there.st_size > 0 &&
        (size_t)there.st_size <= MOST_FILE &&
        pdag_npy_read(path, &data, n_dims, dims) != PDAG_OK)
        data = NULL;
    free(path);
    return data;
}

/* The last row's picture after each round, from a file of all rounds' states:
   [round][row][C][H][W]. */
static void add_rounds(gallery *g, const pdag_report_sample *s)
{
    char *name = pdag_xasprintf("sample-%03zu.iterates.npy", s->index);
    size_t dims[PDAG_MAX_DIMS];
    int n_dims = 0;
    float *data = read_array(g, name, &n_dims, dims);

    if (data != NULL && n_dims == 5 && is_picture(n_dims, dims) && dims[1] > 0) {
        size_t state = dims[2] * dims[3] * dims[4];
        size_t step = (dims[0] + MOST_ROUNDS - 1) / MOST_ROUNDS;

        for (size_t k = 0; k < dims[0]; k += step > 0 ? step : 1) {
            char words[64];

            snprintf(words, sizeof words, "sample %zu after round %zu", s->index,
                     k + 1);
            add_state(g, data + ((k + 1) * dims[1] - 1) * state, dims + 2,
                      s->index, words);
        }
    }
    free(data);
    free(name);
}

static void add_sample(gallery *g, const pdag_report_sample *s)
{
    char *words = s->prompt[0] != '\0'
                      ? pdag_xasprintf("%zu: %s", s->index, s->prompt)
                      : pdag_xasprintf("sample %zu", s->index);
    size_t dims[PDAG_MAX_DIMS];
    int n_dims = 0;
    float *state;

    if (s->image[0] != '\0') {
        add_image(g, s, words);
    } else if ((state = read_array(g, s->state, &n_dims, dims)) != NULL) {
        if (n_dims == 3 && is_picture(n_dims, dims))
            add_state(g, state, dims, s->index, words);
        free(state);
    }
    add_rounds(g, s);
    free(words);
}

void pdag_report_pictures(pdag_report *report, pdag_text *page)
{
    gallery g = {report, page, 0, 0, false};

    for (size_t i = 0; i < report->n_samples; i++)
        add_sample(&g, &report->sample[i]);
    if (g.open)
        pdag_text_add(page, "</div>\n");
    if (g.left_out > 0)
        pdag_text_add(&report->notes, "%zu pictures were left out: over %zu MiB "
                      "together\n", g.left_out, MOST_BYTES >> 20);
}
