#include "solvers/hartley.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "solvers/vec.h"

/* Tables of one axis of n points. */
typedef struct axis {
    size_t n;
    size_t odd;                 /* the odd part of n */
    double *cosine, *sine;      /* [n] of 2 pi k / n */
    double *cas;                /* [odd][odd] cas(2 pi k r / odd) */
} axis;

struct pdag_hartley {
    size_t channels;
    axis height, width;
    double *half; /* [2][H][W], one axis done, as it is and transposed */
};

static void axis_clear(axis *a)
{
    free(a->cosine);
    free(a->sine);
    free(a->cas);
}

static pdag_status axis_create(size_t n, axis *axis_out)
{
    const double turn = 6.283185307179586476925;
    axis a = {.n = n, .odd = n};
    void *cas;
    pdag_status status;

    while (a.odd % 2 == 0)
        a.odd /= 2;
    status = pdag_alloc_tensor(a.odd, a.odd * sizeof(double), "frequency bands",
                               &cas);
    if (status != PDAG_OK)
        return status;
    a.cas = cas;
    a.cosine = pdag_xcalloc(n, sizeof *a.cosine);
    a.sine = pdag_xcalloc(n, sizeof *a.sine);
    for (size_t k = 0; k < n; k++) {
        a.cosine[k] = cos(turn * (double)k / (double)n);
        a.sine[k] = sin(turn * (double)k / (double)n);
    }
    for (size_t k = 0; k < a.odd; k++) {
        for (size_t r = 0; r < a.odd; r++) {
            double angle = turn * (double)(k * r % a.odd) / (double)a.odd;

            a.cas[k * a.odd + r] = cos(angle) + sin(angle);
        }
    }
    *axis_out = a;
    return PDAG_OK;
}

void pdag_hartley_destroy(pdag_hartley *hartley)
{
    if (hartley == NULL)
        return;
    axis_clear(&hartley->height);
    axis_clear(&hartley->width);
    free(hartley->half);
    free(hartley);
}

pdag_status pdag_hartley_create(size_t channels, size_t height, size_t width,
                                pdag_hartley **hartley_out)
{
    pdag_hartley *h = pdag_xcalloc(1, sizeof *h);
    void *half = NULL;
    pdag_status status = axis_create(height, &h->height);

    if (status == PDAG_OK)
        status = axis_create(width, &h->width);
    if (status == PDAG_OK)
        status = pdag_alloc_tensor(height, 2 * width * sizeof(double),
                                   "frequency bands", &half);
    h->channels = channels;
    h->half = half;
    if (status != PDAG_OK) {
        pdag_hartley_destroy(h);
        return status;
    }
    *hartley_out = h;
    return PDAG_OK;
}

static inline void product_lanes(size_t lanes, size_t n, const double *cas,
                                 size_t stride, const double *restrict in,
                                 double *restrict out)
{
    double sum[PDAG_LANES] = {0.0};

    for (size_t r = 0; r < n; r++)
        for (size_t l = 0; l < lanes; l++)
            sum[l] += cas[r] * in[r * stride + l];
    for (size_t l = 0; l < lanes; l++)
        out[l] = sum[l];
}

/* An odd number of rows by definition; rows of `in` are `stride` numbers apart. */
PDAG_WIDE static void transform_odd(const axis *a, size_t w, const double *in,
                                    size_t stride, double *out)
{
    for (size_t k = 0; k < a->odd; k++) {
        const double *cas = a->cas + k * a->odd;
        size_t c = 0;

        for (; c + PDAG_LANES <= w; c += PDAG_LANES)
            product_lanes(PDAG_LANES, a->odd, cas, stride, in + c, out + k * w + c);
        if (c < w)
            product_lanes(w - c, a->odd, cas, stride, in + c, out + k * w + c);
    }
}

/* Rows k and h - k of the even (e) and odd (o) half transforms become rows k, h +
   k, h - k and n - k of the whole one. */
static inline void merge_lanes(size_t lanes, double c, double s,
                               double *restrict e1, double *restrict o1,
                               double *restrict e2, double *restrict o2)
{
    for (size_t l = 0; l < lanes; l++) {
        double t1 = c * o1[l] + s * o2[l];
        double t2 = s * o1[l] - c * o2[l];
        double first = e1[l];
        double second = e2[l];

        e1[l] = first + t1;
        o1[l] = first - t1;
        e2[l] = second + t2;
        o2[l] = second - t2;
    }
}

/* Where k = h - k or k = 0. */
static inline void merge_lanes_alone(size_t lanes, double *restrict e,
                                     double *restrict o)
{
    for (size_t l = 0; l < lanes; l++) {
        double first = e[l];
        double t = o[l];

        e[l] = first + t;
        o[l] = first - t;
    }
}

PDAG_WIDE static void merge_alone(size_t w, double *e, double *o)
{
    size_t c = 0;

    for (; c + PDAG_LANES <= w; c += PDAG_LANES)
        merge_lanes_alone(PDAG_LANES, e + c, o + c);
    merge_lanes_alone(w - c, e + c, o + c);
}

PDAG_WIDE static void merge(size_t w, double c, double s, double *e1,
                            double *o1, double *e2, double *o2)
{
    size_t d = 0;

    for (; d + PDAG_LANES <= w; d += PDAG_LANES)
        merge_lanes(PDAG_LANES, c, s, e1 + d, o1 + d, e2 + d, o2 + d);
    merge_lanes(w - d, c, s, e1 + d, o1 + d, e2 + d, o2 + d);
}

/* Along the first axis of [n][w], unscaled; decimation in time (Bracewell 1984,
   doi:10.1109/PROC.1984.12968), n = a->n or that divided by a power of two. */
static void transform(const axis *a, size_t n, size_t w, const double *in,
                      size_t stride, double *out)
{
    size_t h = n / 2;
    size_t step = a->n / n;

    if (n == a->odd) {
        transform_odd(a, w, in, stride, out);
        return;
    }
    transform(a, h, w, in, 2 * stride, out);
    transform(a, h, w, in + stride, 2 * stride, out + h * w);
    merge_alone(w, out, out + h * w);
    for (size_t k = 1; k < h - k; k++)
        merge(w, a->cosine[k * step], a->sine[k * step], out + k * w,
              out + (h + k) * w, out + (h - k) * w, out + (n - k) * w);
    if (h % 2 == 0)
        merge_alone(w, out + h / 2 * w, out + (h + h / 2) * w);
}

/* Both axes of [rows][columns], the result transposed. */
static void transform_channel(const axis *rows, const axis *columns, double *half,
                              double *x)
{
    size_t m = rows->n;
    size_t n = columns->n;
    double scale = 1.0 / sqrt((double)(m * n));
    double *turned = half + m * n;

    transform(rows, m, n, x, n, half);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            turned[j * m + i] = scale * half[i * n + j];
    transform(columns, n, m, turned, m, x);
}

void pdag_hartley_forward(pdag_hartley *hartley, double *x)
{
    size_t pixels = hartley->height.n * hartley->width.n;

    for (size_t c = 0; c < hartley->channels; c++)
        transform_channel(&hartley->height, &hartley->width, hartley->half,
                          x + c * pixels);
}

void pdag_hartley_backward(pdag_hartley *hartley, double *x)
{
    size_t pixels = hartley->height.n * hartley->width.n;

    for (size_t c = 0; c < hartley->channels; c++)
        transform_channel(&hartley->width, &hartley->height, hartley->half,
                          x + c * pixels);
}
