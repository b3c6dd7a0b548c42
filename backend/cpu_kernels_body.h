/* backend/cpu_kernels_body.h: the kernels for one element type.  The includer
 * defines `elem`, LOAD(p), STORE(p, v), NAME(function) and undefines them after.
 * Included twice by each cpu_kernels_<isa>.c; no include guard. */

/* n elements in 1 .. LANES - 1; the other lanes are 0. */
static __attribute__((noinline)) vf NAME(load_part)(const elem *x, size_t n)
{
    elem part[LANES] = {0};

    memcpy(part, x, n * sizeof *x);
    return LOAD(part);
}

static __attribute__((noinline)) void NAME(store_part)(elem *y, vf v, size_t n)
{
    elem part[LANES];

    STORE(part, v);
    memcpy(y, part, n * sizeof *y);
}

/* The vector that starts at x[i] of x[n]. */
INLINE vf NAME(get)(const elem *x, size_t i, size_t n)
{
    return n - i >= LANES ? LOAD(x + i) : NAME(load_part)(x + i, n - i);
}

INLINE void NAME(put)(elem *y, size_t i, size_t n, vf v)
{
    if (n - i >= LANES)
        STORE(y + i, v);
    else
        NAME(store_part)(y + i, v, n - i);
}

static void NAME(narrow)(size_t n, const float *x, void *y)
{
    for (size_t i = 0; i < n; i += LANES)
        NAME(put)(y, i, n, get_float(x, i, n));
}

static void NAME(widen)(size_t n, const void *x, float *y)
{
    for (size_t i = 0; i < n; i += LANES)
        put_float(y, i, n, NAME(get)(x, i, n));
}

static void NAME(activate)(size_t n, pdag_activation act, const void *x,
                           void *y)
{
    for (size_t i = 0; i < n; i += LANES)
        NAME(put)(y, i, n, apply(act, NAME(get)(x, i, n)));
}

static void NAME(add)(size_t n, const void *a, const void *b, void *y)
{
    for (size_t i = 0; i < n; i += LANES)
        NAME(put)(y, i, n, NAME(get)(a, i, n) + NAME(get)(b, i, n));
}

static void NAME(scale)(size_t n, float s, const void *x, void *y)
{
    for (size_t i = 0; i < n; i += LANES)
        NAME(put)(y, i, n, s * NAME(get)(x, i, n));
}

static void NAME(geglu)(size_t m, size_t n, const void *x, void *y)
{
    const elem *value = x;
    elem *to = y;

    for (size_t r = 0; r < m; r++) {
        const elem *gate = value + n;

        for (size_t i = 0; i < n; i += LANES) {
            vf g = NAME(get)(gate, i, n);

            NAME(put)(to, i, n, NAME(get)(value, i, n) * (g * normal_cdf(g)));
        }
        value += 2 * n;
        to += n;
    }
}

/* Sum of (x - pivot)^power over a row, in lanes; absent elements count 0. */
INLINE float NAME(row_sum)(size_t c, const elem *x, float pivot, bool squares)
{
    size_t whole = c - c % LANES;
    vf sum = {0}, other = {0}; /* two chains hide the latency of an addition */
    size_t i = 0;

    for (; i + 2 * LANES <= whole; i += 2 * LANES) {
        vf v = LOAD(x + i) - pivot;
        vf w = LOAD(x + i + LANES) - pivot;

        sum += squares ? v * v : v;
        other += squares ? w * w : w;
    }
    sum += other;
    for (; i < whole; i += LANES) {
        vf v = LOAD(x + i) - pivot;

        sum += squares ? v * v : v;
    }
    if (whole < c) {
        vf v = NAME(load_part)(x + whole, c - whole) - pivot;

        v = choose(first_lanes(c - whole), v, (vf){0});
        sum += squares ? v * v : v;
    }
    return sum_lanes(sum);
}

static void NAME(layer_norm)(size_t m, size_t c, float eps, const float *gamma,
                             const float *beta, const void *x, void *y)
{
    const elem *from = x;
    elem *to = y;

    for (size_t r = 0; r < m; r++) {
        float mean = NAME(row_sum)(c, from, 0.0f, false) / (float)c;
        float var = NAME(row_sum)(c, from, mean, true) / (float)c;
        float factor = 1.0f / sqrtf(var + eps);

        for (size_t i = 0; i < c; i += LANES) {
            vf v = (NAME(get)(from, i, c) - mean) * factor;

            if (gamma != NULL)
                v *= get_float(gamma, i, c);
            if (beta != NULL)
                v += get_float(beta, i, c);
            NAME(put)(to, i, c, v);
        }
        from += c;
        to += c;
    }
}

/* Per channel over rows x[p][c]: sum and square sum of x - x[0], in float32
 * over blocks of 64 rows and in float64 over the blocks. */
static void NAME(channel_sums)(const pdag_cpu_norm *norm, float *sum,
                               float *square, double *sums, double *squares)
{
    const elem *x = norm->x;
    size_t c = norm->c;

    for (size_t i = 0; i < c; i++)
        sums[i] = squares[i] = 0.0;
    for (size_t block = 0; block < norm->p; block += 64) {
        size_t end = norm->p - block < 64 ? norm->p : block + 64;

        memset(sum, 0, c * sizeof *sum);
        memset(square, 0, c * sizeof *square);
        for (size_t r = block; r < end; r++)
            for (size_t i = 0; i < c; i += LANES) {
                vf v = NAME(get)(x + r * c, i, c) - NAME(get)(x, i, c);

                put_float(sum, i, c, get_float(sum, i, c) + v);
                put_float(square, i, c, get_float(square, i, c) + v * v);
            }
        for (size_t i = 0; i < c; i++) {
            sums[i] += (double)sum[i];
            squares[i] += (double)square[i];
        }
    }
}

/* Pivot of channel i: what channel_sums() subtracted, plus `add`. */
INLINE double NAME(pivot)(const pdag_cpu_norm *norm, size_t i)
{
    double pivot = (double)NAME(scalar)((const elem *)norm->x + i);

    if (norm->add != NULL)
        pivot += (double)NAME(scalar)((const elem *)norm->add + i);
    return pivot;
}

/* From the sums: y = (x - shift[c]) * factor[c] + beta[c]. */
static void NAME(norm_factors)(const pdag_cpu_norm *norm, const double *sums,
                               const double *squares, float *shift,
                               float *factor)
{
    size_t n = norm->c / norm->groups;
    double p = (double)norm->p;

    for (size_t first = 0; first < norm->c; first += n) {
        double mean = 0.0;
        double var = 0.0;
        double scale;

        for (size_t i = first; i < first + n; i++)
            mean += p * NAME(pivot)(norm, i) + sums[i];
        mean /= p * (double)n;
        for (size_t i = first; i < first + n; i++) {
            double d = mean - NAME(pivot)(norm, i);

            var += squares[i] - 2.0 * d * sums[i] + p * d * d;
        }
        var = var > 0.0 ? var / (p * (double)n) : 0.0 * var;
        scale = 1.0 / sqrt(var + (double)norm->eps);
        for (size_t i = first; i < first + n; i++) {
            double add = norm->add == NULL
                             ? 0.0
                             : (double)NAME(scalar)((const elem *)norm->add + i);

            shift[i] = (float)(mean - add);
            factor[i] = (float)scale;
            if (norm->gamma != NULL)
                factor[i] = (float)(scale * (double)norm->gamma[i]);
        }
    }
}

INLINE void NAME(norm_apply)(const pdag_cpu_norm *norm, const float *shift,
                             const float *factor, const float *beta,
                             pdag_activation act)
{
    size_t c = norm->c;

    for (size_t r = 0; r < norm->p; r++) {
        const elem *x = (const elem *)norm->x + r * c;
        elem *y = (elem *)norm->y + r * c;

        for (size_t i = 0; i < c; i += LANES) {
            vf v = NAME(get)(x, i, c) - get_float(shift, i, c);

            v = v * get_float(factor, i, c) + get_float(beta, i, c);
            NAME(put)(y, i, c, apply(act, v));
        }
    }
}

static void NAME(group_norm)(const pdag_cpu_norm *norm)
{
    size_t c = norm->c;
    double *sums = (double *)(void *)norm->scratch;
    double *squares = sums + c;
    float *shift = (float *)(squares + c);
    float *factor = shift + c;
    float *beta = factor + c;

    NAME(channel_sums)(norm, shift, factor, sums, squares);
    NAME(norm_factors)(norm, sums, squares, shift, factor);
    if (norm->beta != NULL)
        memcpy(beta, norm->beta, c * sizeof *beta);
    else
        memset(beta, 0, c * sizeof *beta);
    if (norm->act == PDAG_ACT_SILU)
        NAME(norm_apply)(norm, shift, factor, beta, PDAG_ACT_SILU);
    else
        NAME(norm_apply)(norm, shift, factor, beta, PDAG_ACT_NONE);
}

static void NAME(avg_pool2)(size_t n, size_t c, const void *top,
                            const void *low, void *y)
{
    const elem *a = top;
    const elem *b = low;
    elem *to = y;

    for (size_t j = 0; j < n; j++) {
        for (size_t i = 0; i < c; i += LANES) {
            vf upper = NAME(get)(a, i, c) + NAME(get)(a + c, i, c);
            vf lower = NAME(get)(b, i, c) + NAME(get)(b + c, i, c);

            NAME(put)(to, i, c, 0.25f * (upper + lower));
        }
        a += 2 * c;
        b += 2 * c;
        to += c;
    }
}

/* Terms of one row; gives their sum. */
INLINE float NAME(row_terms)(const pdag_cpu_softmax *s, const float *scores,
                             size_t count, float max, elem *terms)
{
    size_t whole = count - count % LANES;
    vf sum = {0};

    for (size_t i = 0; i < whole; i += LANES) {
        vf v = exp_f32(load_f32(scores + i) * s->scale - max);

        sum += v;
        STORE(terms + i, v);
    }
    if (whole < count) {
        vf v = get_float(scores, whole, count);

        v = exp_f32(v * s->scale - max);
        sum += choose(first_lanes(count - whole), v, (vf){0});
        NAME(store_part)(terms + whole, v, count - whole);
    }
    if (count < s->n)
        memset(terms + count, 0, (s->n - count) * sizeof *terms);
    return sum_lanes(sum);
}

static void NAME(softmax)(const pdag_cpu_softmax *s)
{
    for (size_t r = 0; r < s->rows; r++) {
        const float *scores = s->scores + r * s->stride;
        elem *terms = (elem *)s->terms + r * s->terms_stride;
        float *acc = s->acc + r * s->head_dim;
        size_t count = seen_by_row(s, r);
        float max = row_max(s, scores, count, s->first ? NULL : &s->max[r]);
        float sum = NAME(row_terms)(s, scores, count, max, terms);

        if (!s->first) {
            vf keep = exp_f32(splat(s->max[r] - max));

            sum += keep[0] * s->sum[r];
            for (size_t i = 0; i < s->head_dim; i += LANES)
                put_float(acc, i, s->head_dim,
                          keep * get_float(acc, i, s->head_dim));
        }
        s->max[r] = max;
        s->sum[r] = sum;
    }
}

static void NAME(softmax_end)(size_t rows, size_t c, const float *acc,
                              const float *sum, void *y, size_t y_stride)
{
    for (size_t r = 0; r < rows; r++) {
        float factor = 1.0f / sum[r];

        for (size_t i = 0; i < c; i += LANES)
            NAME(put)((elem *)y + r * y_stride, i, c,
                      factor * get_float(acc + r * c, i, c));
    }
}

/* Keys [k0, k0 + n) as columns: panels of [head_dim][width * LANES], columns
 * past n zero. */
static void NAME(pack_keys)(const pdag_cpu_head *h, size_t k0, size_t n,
                            float *to)
{
    const elem *from = (const elem *)h->k + k0 * h->k_row;
    const size_t vectors = n_vectors(n);

    for (size_t i = 0; i < n_panels(vectors); i++) {
        const size_t width = panel_vectors(vectors, i) * LANES;
        const size_t columns = n < width ? n : width;

        if (columns < width)
            memset(to, 0, h->head_dim * width * sizeof *to);
        for (size_t j = 0; j < columns; j++)
            for (size_t c = 0; c < h->head_dim; c++)
                to[c * width + j] = NAME(scalar)(from + j * h->k_row + c);
        from += columns * h->k_row;
        to += h->head_dim * width;
        n -= columns;
    }
}

/* Values [k0, k0 + n): panels of [n][width * LANES], columns past head_dim
 * zero. */
static void NAME(pack_values)(const pdag_cpu_head *h, size_t k0, size_t n,
                              float *to)
{
    const elem *from = (const elem *)h->v + k0 * h->v_row;
    const size_t vectors = n_vectors(h->head_dim);
    size_t column = 0;

    for (size_t i = 0; i < n_panels(vectors); i++) {
        const size_t end = column + panel_vectors(vectors, i) * LANES;

        for (size_t j = 0; j < n; j++)
            for (size_t c = column; c < end; c += LANES) {
                store_f32(to, NAME(get)(from + j * h->v_row, c, h->head_dim));
                to += LANES;
            }
        column = end;
    }
}

/* TILE queries from q0, times scale and log2(e); the last one repeats where
 * there are fewer. */
static void NAME(pack_queries)(const pdag_cpu_head *h, size_t q0, size_t dim,
                               float *to)
{
    const float factor = h->scale * 1.44269504088896341f;

    for (size_t r = 0; r < TILE; r++) {
        const size_t row = q0 + r < h->n_q ? q0 + r : h->n_q - 1;
        const elem *from = (const elem *)h->q + row * h->q_row;

        for (size_t c = 0; c < h->head_dim; c += LANES)
            store_f32(to + r * dim + c,
                      factor * NAME(get)(from, c, h->head_dim));
    }
}

/* TILE queries from q0 against the packed keys [k0, k0 + n). */
static void NAME(attend_tile)(const pdag_cpu_head *h, const head_space *s,
                              size_t q0, size_t k0, size_t n)
{
    float *scores = h->scratch + s->scores;
    float *acc = h->scratch + s->acc + q0 * s->dim;
    float *max = h->scratch + s->max + q0;
    float *sum = h->scratch + s->sum + q0;

    NAME(pack_queries)(h, q0, s->dim, h->scratch + s->queries);
    packed_product(h->head_dim, n_vectors(n), false, h->scratch + s->queries,
                   s->dim, h->scratch + s->keys, scores, BLOCK);
    for (size_t r = 0; r < TILE; r++) {
        const size_t seen = q0 + r + 1 - k0;
        const size_t count = h->causal && seen < n ? seen : n;

        update_row(count, n, k0 == 0, scores + r * BLOCK, s->dim,
                   acc + r * s->dim, max + r, sum + r);
    }
    packed_product(n, s->dim / LANES, k0 > 0, scores, BLOCK,
                   h->scratch + s->values, acc, s->dim);
}

/* Blocks of keys outside, queries inside.  A causal tile starts at or after its
 * block's first key: BLOCK is a multiple of TILE. */
static void NAME(attend)(const pdag_cpu_head *h)
{
    const head_space s = head_layout(h->n_q, h->head_dim);

    for (size_t k0 = 0; k0 < h->n_kv; k0 += BLOCK) {
        const size_t n = h->n_kv - k0 < BLOCK ? h->n_kv - k0 : BLOCK;

        NAME(pack_keys)(h, k0, n, h->scratch + s.keys);
        NAME(pack_values)(h, k0, n, h->scratch + s.values);
        for (size_t q0 = h->causal ? k0 : 0; q0 < h->n_q; q0 += TILE)
            NAME(attend_tile)(h, &s, q0, k0, n);
    }
    for (size_t r = 0; r < h->n_q; r++) {
        const vf factor = splat(1.0f / h->scratch[s.sum + r]);
        const float *acc = h->scratch + s.acc + r * s.dim;
        elem *y = (elem *)h->y + r * h->y_row;

        for (size_t c = 0; c < h->head_dim; c += LANES)
            NAME(put)(y, c, h->head_dim, factor * load_f32(acc + c));
    }
}

static const pdag_cpu_kernels NAME(kernels) = {
    .isa = PDAG_SIMD_ISA,
    .narrow = NAME(narrow),
    .widen = NAME(widen),
    .activate = NAME(activate),
    .add = NAME(add),
    .scale = NAME(scale),
    .geglu = NAME(geglu),
    .layer_norm = NAME(layer_norm),
    .group_norm = NAME(group_norm),
    .avg_pool2 = NAME(avg_pool2),
    .attend = NAME(attend),
    .head_scratch = head_scratch,
    .softmax = NAME(softmax),
    .softmax_end = NAME(softmax_end),
};
