#include "bench/count.h"

#include "backend/weight.h"
#include "base/fatal.h"
#include "base/mem.h"

/* What the counts need to know of a weight. */
typedef struct known_weight {
    const pdag_weight *weight;
    pdag_weight_shape shape;
} known_weight;

static const pdag_backend_ops *inner;
static pdag_backend_ops counting;
static size_t n_known;
static known_weight *known;
static bench_count sums;

static const known_weight *find(const pdag_weight *w)
{
    for (size_t i = n_known; i-- > 0;)
        if (known[i].weight == w)
            return &known[i];
    PDAG_ASSERT(!"a weight made after bench_count_begin()");
    return NULL;
}

static pdag_status weight_create(pdag_backend *be, const pdag_weight_desc *desc,
                                 pdag_weight **weight_out)
{
    known_weight one;
    pdag_status status = inner->weight_create(be, desc, weight_out);

    if (status == PDAG_OK)
        status = pdag_weight_check(desc, &one.shape);
    if (status != PDAG_OK)
        return status;
    one.weight = *weight_out;
    known = pdag_xgrow(known, n_known, sizeof *known);
    known[n_known++] = one;
    return PDAG_OK;
}

/* m rows of a product with a weight, which reads `n_x` numbers. */
static void add_product(const pdag_backend *be, const pdag_weight_shape *s,
                        double m, double n_x)
{
    const double row = (double)(s->in * s->kh * s->kw);
    const double out = (double)s->out;

    sums.flops += 2.0 * m * row * out;
    sums.bytes += (double)be->act_size * (row * out + n_x + m * out);
}

static pdag_status linear(pdag_backend *be, const pdag_weight *w, size_t m,
                          const pdag_buf *x, pdag_activation act,
                          const pdag_buf *residual, pdag_buf *y)
{
    const known_weight *k = find(w);

    add_product(be, &k->shape, (double)m, (double)(m * k->shape.in));
    return inner->linear(be, w, m, x, act, residual, y);
}

static pdag_status conv2d(pdag_backend *be, const pdag_weight *w, size_t b,
                          size_t h, size_t width, const pdag_buf *x,
                          const pdag_buf *residual, pdag_buf *y)
{
    const known_weight *k = find(w);
    const size_t oh = pdag_conv_height(&k->shape, h);
    const size_t ow = pdag_conv_width(&k->shape, width);

    add_product(be, &k->shape, (double)(b * oh * ow),
                (double)(b * h * width * k->shape.in));
    return inner->conv2d(be, w, b, h, width, x, residual, y);
}

static pdag_status attention(pdag_backend *be, const pdag_attention *a)
{
    const double columns = (double)(a->heads * a->head_dim);
    const double queries = (double)(a->batch * a->n_q);
    const double keys = (double)(a->batch * a->n_kv);

    sums.flops += 4.0 * queries * (double)a->n_kv * columns;
    sums.bytes += (double)be->act_size * columns * 2.0 * (queries + keys);
    return inner->attention(be, a);
}

void bench_count_begin(pdag_backend *be)
{
    inner = be->ops;
    counting = *inner;
    counting.weight_create = weight_create;
    counting.linear = linear;
    counting.conv2d = conv2d;
    counting.attention = attention;
    be->ops = &counting;
}

void bench_count_reset(void)
{
    sums = (bench_count){0.0, 0.0};
}

bench_count bench_count_get(void)
{
    return sums;
}
