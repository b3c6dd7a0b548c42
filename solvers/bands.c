#include "solvers/bands.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "solvers/hartley.h"
#include "solvers/methods.h"
#include "solvers/vec.h"

#define SMALLEST_GAIN 1e-6
#define KEPT 0.1 /* of what a row learned before, with each new difference */
#define ROUNDING 1e-12 /* |dx|^2 / |x|^2 below which a difference is noise */

struct pdag_bands {
    pdag_solver_opts opts;
    size_t n_bands;        /* PDAG_BANDS, or 1: no transform */
    pdag_hartley *hartley; /* NULL where n_bands is 1 */
    unsigned char *band;   /* [W][H], of each coefficient */
    pdag_band_sums *sums;  /* [N] */
    double *v, *w;         /* [D] */
};

static void make_bands(pdag_bands *b, size_t height, size_t width)
{
    static const double edges[PDAG_BANDS - 1] = {0.5, 1.6, 2.6, 4.1, 6.1};

    for (size_t k = 0; k < height; k++) {
        for (size_t l = 0; l < width; l++) {
            double y = (double)(k < height - k ? k : height - k);
            double x = (double)(l < width - l ? l : width - l);
            double radius = 16.0 * hypot(y / (double)height, x / (double)width);
            unsigned char band = 0;

            while (band < PDAG_BANDS - 1 && radius >= edges[band])
                band++;
            b->band[l * height + k] = band;
        }
    }
}

void pdag_bands_destroy(pdag_bands *bands)
{
    if (bands == NULL)
        return;
    pdag_hartley_destroy(bands->hartley);
    free(bands->band);
    free(bands->sums);
    free(bands->v);
    free(bands->w);
    free(bands);
}

static pdag_status check(const pdag_solver_opts *opts)
{
    const size_t *dims = opts->state_dims;
    size_t pixels;
    size_t scalars;

    if (opts->n_terms == 1 && opts->gain == NULL)
        return pdag_error(PDAG_ERR_ARG, "solver.slope: bands need the sampler's "
                          "gain of the network's output");
    if (opts->n_state_dims == 3 &&
        (!pdag_mul_size(dims[1], dims[2], &pixels) ||
         !pdag_mul_size(dims[0], pixels, &scalars) || scalars != opts->dim))
        return pdag_error(PDAG_ERR_ARG, "solver.slope: bands: a state of %zu "
                          "scalars is not %zux%zux%zu", opts->dim, dims[0],
                          dims[1], dims[2]);
    return PDAG_OK;
}

pdag_status pdag_bands_create(const pdag_solver_opts *opts,
                              pdag_bands **bands_out)
{
    pdag_status status = check(opts);
    pdag_bands *b;
    void *v = NULL;
    void *w = NULL;

    if (status != PDAG_OK)
        return status;
    b = pdag_xcalloc(1, sizeof *b);
    b->opts = *opts;
    b->n_bands = opts->n_state_dims == 3 ? PDAG_BANDS : 1;
    b->sums = pdag_xcalloc(opts->n_rows, sizeof *b->sums);
    if (b->n_bands > 1) {
        const size_t *dims = opts->state_dims;

        b->band = pdag_xcalloc(dims[1] * dims[2], sizeof *b->band);
        make_bands(b, dims[1], dims[2]);
        status = pdag_hartley_create(dims[0], dims[1], dims[2], &b->hartley);
    }
    if (status == PDAG_OK)
        status = pdag_alloc_tensor(opts->dim, sizeof(double), "solver.slope", &v);
    if (status == PDAG_OK)
        status = pdag_alloc_tensor(opts->dim, sizeof(double), "solver.slope", &w);
    b->v = v;
    b->w = w;
    if (status != PDAG_OK) {
        pdag_bands_destroy(b);
        return status;
    }
    *bands_out = b;
    return PDAG_OK;
}

void pdag_bands_reset(pdag_bands *bands)
{
    memset(bands->sums, 0, bands->opts.n_rows * sizeof *bands->sums);
}

pdag_status pdag_bands_each_state(pdag_bands *bands, pdag_solver_visit visit,
                                  void *user)
{
    return visit(user, "bands", bands->sums,
                 bands->opts.n_rows * sizeof *bands->sums);
}

static double gain_of(const pdag_bands *bands, size_t row)
{
    return bands->opts.n_terms == 1 ? bands->opts.gain[row] : 1.0;
}

/* Row j's place in the carry. */
static pdag_band_sums *place(double *carry, size_t row)
{
    return (pdag_band_sums *)carry + row % PDAG_BANDS_ROWS;
}

void pdag_bands_begin(const pdag_bands *bands, size_t begin, double *carry)
{
    size_t first = begin < PDAG_BANDS_ROWS ? 0 : begin - PDAG_BANDS_ROWS + 1;

    for (size_t j = first; j < begin; j++)
        *place(carry, j) = bands->sums[j];
}

/* To the coefficients that the bands are made of. */
static void transform(const pdag_bands *bands, double *v)
{
    if (bands->hartley != NULL)
        pdag_hartley_forward(bands->hartley, v);
}

static size_t band_at(const pdag_bands *bands, size_t d, size_t pixels)
{
    return bands->n_bands == 1 ? 0 : bands->band[d % pixels];
}

static size_t pixels_of(const pdag_bands *bands)
{
    return bands->n_bands == 1 ? bands->opts.dim
                               : bands->opts.state_dims[1] *
                                     bands->opts.state_dims[2];
}

static void learn(pdag_bands *bands, const pdag_history *history, size_t row,
                  const float *x, const float *value)
{
    size_t dim = bands->opts.dim;
    size_t pixels = pixels_of(bands);
    pdag_band_sums *sums = bands->sums + row;
    pdag_lanes dx_sq = {{0.0}};
    pdag_lanes x_sq = {{0.0}};

    if (pdag_history_age(history, row) > 0 &&
        fabs(gain_of(bands, row)) >= SMALLEST_GAIN) {
        pdag_vec_diff(dim, x, pdag_history_newest_a(history, row), bands->v);
        pdag_vec_diff(dim, value, pdag_history_newest_b(history, row), bands->w);
        pdag_vec_dot(dim, bands->v, bands->v, &dx_sq);
        pdag_vec_norm_sq(dim, x, &x_sq);
        if (pdag_lanes_sum(&dx_sq) > ROUNDING * pdag_lanes_sum(&x_sq)) {
            transform(bands, bands->v);
            transform(bands, bands->w);
            for (size_t b = 0; b < PDAG_BANDS; b++) {
                sums->cross[b] *= KEPT;
                sums->square[b] *= KEPT;
            }
            for (size_t d = 0; d < dim; d++) {
                size_t b = band_at(bands, d, pixels);

                sums->cross[b] += bands->w[d] * bands->v[d];
                sums->square[b] += bands->v[d] * bands->v[d];
            }
        }
    }
}

/* gain_i S_ib; returns whether any is not 0. */
static bool corrections(const pdag_bands *bands, size_t row, const double *carry,
                        double *out)
{
    const pdag_solver_opts *opts = &bands->opts;
    double cross[PDAG_BANDS] = {0.0};
    double square[PDAG_BANDS] = {0.0};
    bool any = false;

    for (size_t back = PDAG_BANDS_ROWS; back-- > 0;) {
        const pdag_band_sums *sums;
        double gain;
        double slope;

        if (back > row || fabs(gain_of(bands, row - back)) < SMALLEST_GAIN)
            continue;
        gain = gain_of(bands, row - back);
        slope = pdag_method_value_slope(opts, row - back);
        sums = (const pdag_band_sums *)carry + (row - back) % PDAG_BANDS_ROWS;
        for (size_t b = 0; b < bands->n_bands; b++) {
            cross[b] += (sums->cross[b] - slope * sums->square[b]) / gain;
            square[b] += sums->square[b];
        }
    }
    for (size_t b = 0; b < bands->n_bands; b++) {
        out[b] = square[b] > 0.0
                     ? gain_of(bands, row) * cross[b] / square[b]
                     : 0.0;
        if (!isfinite(out[b]))
            out[b] = 0.0;
        any = any || out[b] != 0.0;
    }
    return any;
}

const double *pdag_bands_row(pdag_bands *bands, const pdag_history *history,
                             size_t row, size_t n, const double *g,
                             const float *x, const float *value,
                             const double *delta, double *carry)
{
    size_t dim = bands->opts.dim;
    size_t pixels = pixels_of(bands);
    double factor[PDAG_BANDS];
    double minus_g[PDAG_SOLVER_MAX_HISTORY];

    learn(bands, history, row, x, value);
    *place(carry, row) = bands->sums[row];
    if (fabs(gain_of(bands, row)) < SMALLEST_GAIN ||
        !corrections(bands, row, carry, factor))
        return NULL;
    for (size_t h = 0; h < n; h++)
        minus_g[h] = -g[h];
    memcpy(bands->v, delta, dim * sizeof *delta);
    pdag_history_add_a(history, row, n, minus_g, x, 0, dim, bands->v);
    transform(bands, bands->v);
    for (size_t d = 0; d < dim; d++)
        bands->v[d] *= factor[band_at(bands, d, pixels)];
    if (bands->hartley != NULL)
        pdag_hartley_backward(bands->hartley, bands->v);
    return bands->v;
}
