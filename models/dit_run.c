/* DiTTransformer2DModel: evaluation. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "models/dit.h"

#define ADA_EPS 1e-6f /* of the first norm of a block and of the last norm */

/* Parts of a block's modulation, in the order of its columns; the last layer
   has the first two. */
enum { SHIFT_1, SCALE_1, GATE_1, SHIFT_2, SCALE_2, GATE_2 };

/* Columns [column, column + width) of x [rows][n_columns], per row. */
static pdag_slice columns_of(const pdag_buf *x, size_t n_columns, size_t column)
{
    pdag_slice slice = {.buf = x, .offset = column, .batch_stride = n_columns};

    return slice;
}

/* y = norm(h) (1 + scale) + shift, with columns SHIFT and SCALE of
 * `modulation`. */
static pdag_status run_norm(pdag_pass *pass, const pdag_dit_config *c,
                            const pdag_norm *norm, const pdag_buf *modulation,
                            size_t n_parts, size_t shift, size_t scale,
                            const pdag_buf *h, pdag_buf *y)
{
    size_t tokens = c->grid * c->grid;
    pdag_slice by =
        columns_of(modulation, n_parts * c->width, scale * c->width);
    pdag_slice plus =
        columns_of(modulation, n_parts * c->width, shift * c->width);

    PDAG_TRY(pdag_run_layer_norm(pass, norm, pass->rows * tokens, h, y));
    return pass->be->ops->modulate(pass->be, pass->rows, tokens, c->width, 1.0f,
                                   &by, &plus, y, y);
}

/* h = h + gate y, with column `gate` of `modulation`. */
static pdag_status run_gate(pdag_pass *pass, const pdag_dit_config *c,
                            const pdag_buf *modulation, size_t gate,
                            const pdag_buf *y, pdag_buf *h)
{
    pdag_slice by =
        columns_of(modulation, PDAG_DIT_PARTS * c->width, gate * c->width);

    return pass->be->ops->gated_add(pass->be, pass->rows, c->grid * c->grid,
                                    c->width, &by, y, h, h);
}

/* What leads block `index`: silu(time + label) [rows][width], from pass->time, laid
   out as d->lead. */
static pdag_status run_embedding(pdag_pass *pass, const pdag_dit *d,
                                 size_t index, pdag_buf *out)
{
    const pdag_dit_block *block = &d->blocks[index];
    size_t count = pass->rows * d->config.width;
    size_t n_sinusoids = pass->rows * PDAG_DIT_TIME_CHANNELS;
    pdag_buf sinusoids = pdag_piece(pass->be, pass->time, 0, n_sinusoids);
    pdag_buf label =
        pdag_piece(pass->be, pass->time, n_sinusoids + index * count, count);
    pdag_buf *hidden;

    PDAG_TRY(pdag_take(pass, d->config.width, &hidden));
    PDAG_TRY(pdag_run_linear(pass, &block->time_1, pass->rows, &sinusoids,
                             PDAG_ACT_SILU, NULL, hidden));
    PDAG_TRY(pdag_run_linear(pass, &block->time_2, pass->rows, hidden,
                             PDAG_ACT_NONE, &label, out));
    pdag_give(pass, hidden);
    return pass->be->ops->activate(pass->be, count, PDAG_ACT_SILU, out, out);
}

/* y = ff(x); y may be x. */
static pdag_status run_feed_forward(pdag_pass *pass, const pdag_dit *d,
                                    const pdag_dit_block *block,
                                    const pdag_buf *x, pdag_buf *y)
{
    const pdag_dit_config *c = &d->config;
    size_t tokens = c->grid * c->grid;
    size_t m = pass->rows * tokens;
    pdag_buf *wide;
    pdag_buf *product;

    PDAG_TRY(pdag_take(pass, tokens * block->ff_in.out, &wide));
    PDAG_TRY(pdag_run_linear(pass, &block->ff_in, m, x, c->act, NULL, wide));
    product = wide;
    if (c->gated) {
        PDAG_TRY(pdag_take(pass, tokens * block->ff_out.in, &product));
        PDAG_TRY(
            pass->be->ops->geglu(pass->be, m, block->ff_out.in, wide, product));
        pdag_give(pass, wide);
    }
    PDAG_TRY(pdag_run_linear(pass, &block->ff_out, m, product, PDAG_ACT_NONE,
                             NULL, y));
    pdag_give(pass, product);
    return PDAG_OK;
}

/* h = h + gate_1 attn(norm_1 h); h = h + gate_2 ff(norm_2 h).  lead: what
   run_embedding() gave. */
static pdag_status run_block(pdag_pass *pass, const pdag_dit *d,
                             const pdag_dit_block *block, const pdag_buf *lead,
                             pdag_buf *h)
{
    const pdag_dit_config *c = &d->config;
    const pdag_norm norm_1 = {.channels = c->width, .eps = ADA_EPS};
    size_t tokens = c->grid * c->grid;
    pdag_buf *parts;
    pdag_buf *x;
    pdag_buf *y;

    PDAG_TRY(pdag_take(pass, PDAG_DIT_PARTS * c->width, &parts));
    PDAG_TRY(pdag_take(pass, tokens * c->width, &x));
    PDAG_TRY(pdag_take(pass, tokens * c->width, &y));
    PDAG_TRY(pdag_run_linear(pass, &block->modulation, pass->rows, lead,
                             PDAG_ACT_NONE, NULL, parts));
    PDAG_TRY(run_norm(pass, c, &norm_1, parts, PDAG_DIT_PARTS, SHIFT_1, SCALE_1,
                      h, x));
    PDAG_TRY(pdag_run_attn(pass, &block->attn, tokens, false, x, NULL, y));
    PDAG_TRY(run_gate(pass, c, parts, GATE_1, y, h));
    PDAG_TRY(run_norm(pass, c, &block->norm_2, parts, PDAG_DIT_PARTS, SHIFT_2,
                      SCALE_2, h, x));
    PDAG_TRY(run_feed_forward(pass, d, block, x, y));
    PDAG_TRY(run_gate(pass, c, parts, GATE_2, y, h));
    pdag_give(pass, parts);
    pdag_give(pass, x);
    pdag_give(pass, y);
    return PDAG_OK;
}

/* Patches to tokens h [rows][grid * grid][width]. */
static pdag_status run_patches(pdag_pass *pass, const pdag_dit *d,
                               const pdag_buf *patches, pdag_buf *h)
{
    size_t tokens = d->config.grid * d->config.grid;
    size_t count = tokens * d->config.width;

    PDAG_TRY(pdag_run_linear(pass, &d->embed, pass->rows * tokens, patches,
                             PDAG_ACT_NONE, NULL, h));
    for (size_t r = 0; r < pass->rows; r++) {
        pdag_buf row = pdag_piece(pass->be, h, r * count, count);

        PDAG_TRY(
            pass->be->ops->add(pass->be, count, &row, &d->positions, &row));
    }
    return PDAG_OK;
}

/* Tokens to patches; lead: block 0's. */
static pdag_status run_out(pdag_pass *pass, const pdag_dit *d,
                           const pdag_buf *lead, const pdag_buf *h,
                           pdag_map *y_out)
{
    const pdag_dit_config *c = &d->config;
    const pdag_norm norm = {.channels = c->width, .eps = ADA_EPS};
    size_t tokens = c->grid * c->grid;
    pdag_buf *parts;
    pdag_buf *x;

    PDAG_TRY(pdag_take(pass, 2 * c->width, &parts));
    PDAG_TRY(pdag_take(pass, tokens * c->width, &x));
    PDAG_TRY(pdag_take_map(pass, c->grid, c->grid, d->out.out, y_out));
    PDAG_TRY(pdag_run_linear(pass, &d->project, pass->rows, lead, PDAG_ACT_NONE,
                             NULL, parts));
    PDAG_TRY(run_norm(pass, c, &norm, parts, 2, SHIFT_1, SCALE_1, h, x));
    return pdag_run_linear(pass, &d->out, pass->rows * tokens, x, PDAG_ACT_NONE,
                           NULL, y_out->buf);
}

/* Patches to patches: a pdag_body. */
static pdag_status run_layers(pdag_pass *pass, void *network, const pdag_map *x,
                              pdag_map *y_out)
{
    const pdag_dit *d = network;
    const pdag_dit_config *c = &d->config;
    pdag_buf *first; /* leads block 0 and the last layer */
    pdag_buf *lead;
    pdag_buf *h;

    PDAG_TRY(pdag_take(pass, c->width, &first));
    PDAG_TRY(pdag_take(pass, c->width, &lead));
    PDAG_TRY(pdag_take(pass, c->grid * c->grid * c->width, &h));
    PDAG_TRY(run_patches(pass, d, x->buf, h));
    for (size_t i = 0; i < c->depth; i++) {
        pdag_buf *now = i == 0 ? first : lead;

        PDAG_TRY(run_embedding(pass, d, i, now));
        PDAG_TRY(run_block(pass, d, &d->blocks[i], now, h));
    }
    return run_out(pass, d, first, h, y_out);
}

/* d->patches and d->lead are filled; results go to d->patches. */
static pdag_status run(pdag_pass *pass, pdag_dit *d)
{
    const pdag_backend_ops *ops = pass->be->ops;
    const pdag_dit_config *c = &d->config;
    size_t n_lead = PDAG_DIT_TIME_CHANNELS + c->depth * c->width;
    size_t count = pass->rows * c->grid * c->grid * d->embed.in;
    pdag_map in;
    pdag_map out;
    pdag_buf *lead;

    PDAG_TRY(pdag_take(pass, n_lead, &lead));
    PDAG_TRY(ops->upload(pass->be, pass->rows * n_lead, d->lead, lead));
    pass->time = lead;
    PDAG_TRY(pdag_take_map(pass, c->grid, c->grid, d->embed.in, &in));
    PDAG_TRY(ops->upload(pass->be, count, d->patches, in.buf));
    PDAG_TRY(pdag_recordings_run(&d->recordings, pass, run_layers, d, &in, &out));
    PDAG_TRY(ops->download(pass->be, count, out.buf, d->patches));
    return ops->sync(pass->be);
}

/* States [n][channels][side][side] to or from patches [n][grid * grid][channels
   * patch * patch], line by line of a patch. */
static void move_patches(const pdag_dit_config *c, size_t n, bool from_states,
                         float *states, float *patches)
{
    size_t line = c->patch * sizeof *patches;

    for (size_t token = 0; token < n * c->grid * c->grid; token++) {
        size_t row = token / (c->grid * c->grid);
        size_t i = token / c->grid % c->grid;
        size_t j = token % c->grid;

        for (size_t k = 0; k < c->channels * c->patch; k++) {
            size_t plane = row * c->channels + k / c->patch;
            size_t y = i * c->patch + k % c->patch;
            float *state =
                states + (plane * c->side + y) * c->side + j * c->patch;

            memcpy(from_states ? patches : state, from_states ? state : patches,
                   line);
            patches += c->patch;
        }
    }
}

static pdag_status reserve(pdag_dit *d, size_t n)
{
    const pdag_dit_config *c = &d->config;
    const size_t counts[] = {c->channels * c->side * c->side,
                             PDAG_DIT_TIME_CHANNELS + c->depth * c->width};
    float **all[] = {&d->patches, &d->lead};

    if (n <= d->n_rows)
        return PDAG_OK;
    d->n_rows = 0;
    for (size_t i = 0; i < 2; i++) {
        void *memory;

        free(*all[i]);
        *all[i] = NULL;
        PDAG_TRY(pdag_alloc_tensor(n * counts[i], sizeof(float),
                                   "DiTTransformer2DModel: inputs", &memory));
        *all[i] = memory;
    }
    d->n_rows = n;
    return PDAG_OK;
}

/* d->lead of n rows, from their times and the rows of their labels. */
static void fill_lead(pdag_dit *d, size_t n, const float *t,
                      const pdag_condition *const *cond)
{
    const pdag_dit_config *c = &d->config;
    const pdag_time time = {.channels = PDAG_DIT_TIME_CHANNELS,
                            .flip_sin_to_cos = true,
                            .freq_shift = (float)c->freq_shift};
    float *labels = d->lead + n * PDAG_DIT_TIME_CHANNELS;

    for (size_t r = 0; r < n; r++) {
        const float *rows = (const float *)cond[r];

        pdag_time_sinusoids(&time, t[r], d->lead + r * PDAG_DIT_TIME_CHANNELS);
        for (size_t i = 0; i < c->depth; i++)
            memcpy(labels + (i * n + r) * c->width, rows + i * c->width,
                   c->width * sizeof *rows);
    }
}

pdag_status pdag_dit_eval(pdag_denoiser *model, size_t n, const float *x,
                          const float *t, const pdag_condition *const *cond,
                          float *eps)
{
    pdag_dit *d = (pdag_dit *)model;
    pdag_pass pass;

    if (n == 0)
        return PDAG_OK;
    PDAG_TRY(reserve(d, n));
    fill_lead(d, n, t, cond);
    memcpy(eps, x, n * model->dim * sizeof *x);
    move_patches(&d->config, n, true, eps, d->patches);
    pdag_pass_begin(&pass, d->room, n);
    PDAG_TRY(run(&pass, d));
    move_patches(&d->config, n, false, eps, d->patches);
    return PDAG_OK;
}
