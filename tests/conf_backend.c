/* The conformance suite of backend/backend.h: every backend that is built in and
 * opens here, in every precision it knows, against "ref"; and "ref" against
 * formulas written once more in this file.
 *
 * Inputs are rounded to the precision under test before both sides see them, so
 * that only an operation's own rounding is measured.  Outputs start as NaN and
 * have a guard behind them; inputs must come out unchanged. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/mem.h"

#define GUARD 16
#define GUARD_VALUE 12352.0f /* exact in bfloat16 and float16 */
#define MAX_VARIANTS 16
#define MAX_TENSORS 16

typedef struct variant {
    const pdag_backend_ops *ops;
    pdag_precision precision;
} variant;

static variant variants[MAX_VARIANTS];
static int n_variants;

/* A tensor on both sides; `host` is what was uploaded, NULL for an output. */
typedef struct tensor {
    size_t n;
    float *host;
    pdag_buf ref, test;
} tensor;

/* The pair under test. */
static pdag_backend *ref;
static pdag_backend *test;
static tensor tensors[MAX_TENSORS];
static int n_tensors;
static uint64_t random_state;

/* Relative RMS that float32 reordering, or one rounding of the output, gives. */
static double tolerance(void)
{
    switch (test->precision) {
    case PDAG_PRECISION_FLOAT32:
        return 4e-6;
    case PDAG_PRECISION_TF32:
        return 1e-3;
    case PDAG_PRECISION_FLOAT16:
        return 1e-3;
    case PDAG_PRECISION_BFLOAT16:
        return 4e-3;
    }
    return 0.0;
}

static void ok(pdag_status status)
{
    ck_assert_msg(status == PDAG_OK, "%s", pdag_error_text());
}

/* Uniform in [-1, 1): splitmix64. */
static float uniform(void)
{
    uint64_t z = (random_state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (float)((double)(z >> 11) / 4503599627370496.0 - 1.0);
}

static float round_to(pdag_precision precision, float value)
{
    if (precision == PDAG_PRECISION_BFLOAT16)
        return pdag_bf16_to_f32(pdag_f32_to_bf16(value));
    if (precision == PDAG_PRECISION_FLOAT16)
        return pdag_f16_to_f32(pdag_f32_to_f16(value));
    return value;
}

static float *random_floats(size_t n, float scale, float offset)
{
    float *values = pdag_xcalloc(n, sizeof *values);

    for (size_t i = 0; i < n; i++)
        values[i] = round_to(test->precision, offset + scale * uniform());
    return values;
}

/* n elements of `values` (NaN if NULL) with the guard behind them. */
static pdag_buf make_buffer(pdag_backend *be, size_t n, const float *values)
{
    float *host = pdag_xcalloc(n + GUARD, sizeof *host);
    pdag_buf buf;

    for (size_t i = 0; i < n + GUARD; i++)
        host[i] = i >= n           ? GUARD_VALUE
                  : values != NULL ? values[i]
                                   : NAN;
    ok(be->ops->alloc(be, (n + GUARD) * be->act_size, &buf));
    ck_assert_msg((uintptr_t)buf.ptr % 64 == 0, "alloc() is not aligned");
    ok(be->ops->upload(be, n + GUARD, host, &buf));
    ok(be->ops->sync(be));
    free(host);
    return buf;
}

static tensor *add_tensor(size_t n, float *values)
{
    tensor *t = &tensors[n_tensors++];

    ck_assert(n_tensors <= MAX_TENSORS);
    *t = (tensor){n, values, make_buffer(ref, n, values),
                  make_buffer(test, n, values)};
    return t;
}

static tensor *input(size_t n)
{
    return add_tensor(n, random_floats(n, 1.5f, 0.1f));
}

static tensor *output(size_t n)
{
    return add_tensor(n, NULL);
}

static float *fetch(pdag_backend *be, const pdag_buf *buf, size_t n)
{
    float *host = pdag_xcalloc(n + GUARD, sizeof *host);

    ok(be->ops->download(be, n + GUARD, buf, host));
    ok(be->ops->sync(be));
    for (size_t i = n; i < n + GUARD; i++)
        ck_assert_msg(host[i] == GUARD_VALUE,
                      "%s wrote behind the end of a buffer of %zu",
                      be->ops->name, n);
    return host;
}

static double relative_rms(size_t n, const float *got, const float *want)
{
    double difference = 0.0;
    double size = 0.0;

    for (size_t i = 0; i < n; i++) {
        double d = (double)got[i] - (double)want[i];

        difference += d * d;
        size += (double)want[i] * (double)want[i];
    }
    return sqrt(difference) / sqrt(size > 0.0 ? size : 1.0);
}

/* `y` on both sides, with the name of the case for the message; an ill
 * conditioned case may err by a factor more. */
static void compare_within(const tensor *y, const char *what, double factor)
{
    float *want = fetch(ref, &y->ref, y->n);
    float *got = fetch(test, &y->test, y->n);
    double error = relative_rms(y->n, got, want);

    if (getenv("CONF_BACKEND_VERBOSE") != NULL)
        printf("%-8s %-8s %-50s %.2e\n", test->ops->name,
               pdag_precision_name(test->precision), what, error);
    ck_assert_msg(error <= factor * tolerance(), "%s %s: %s: relative RMS error %.3e",
                  test->ops->name, pdag_precision_name(test->precision), what,
                  error);
    free(want);
    free(got);
}

static void compare(const tensor *y, const char *what)
{
    compare_within(y, what, 1.0);
}

/* Nobody changed an input; then forget all tensors. */
static void release(void)
{
    for (int i = 0; i < n_tensors; i++) {
        tensor *t = &tensors[i];

        if (t->host != NULL) {
            float *now = fetch(test, &t->test, t->n);

            ck_assert_msg(memcmp(now, t->host, t->n * sizeof *now) == 0,
                          "an input was changed");
            free(now);
        }
        free(t->host);
        ref->ops->free(ref, &t->ref);
        test->ops->free(test, &t->test);
    }
    n_tensors = 0;
}

/* An input that the operation under test overwrites on purpose. */
static void give_up_input(tensor *t)
{
    free(t->host);
    t->host = NULL;
}

static void open_pair(int i)
{
    random_state = 20240611u + (uint64_t)i;
    n_tensors = 0; /* a failed test leaves some behind */
    ok(pdag_backend_open("ref", 0, PDAG_PRECISION_FLOAT32, &ref));
    ok(variants[i].ops->open(0, variants[i].precision, &test));
}

static void close_pair(void)
{
    release();
    ref->ops->close(ref);
    test->ops->close(test);
}

/* A weight on both sides. */
typedef struct pair {
    pdag_weight *ref, *test;
} pair;

static void destroy_pair(pair w)
{
    ref->ops->weight_destroy(ref, w.ref);
    test->ops->weight_destroy(test, w.test);
}

/* The views and numbers go away before the weight is used. */
static pair create_pair(const pdag_weight_desc *desc)
{
    pair w;

    ok(ref->ops->weight_create(ref, desc, &w.ref));
    ok(test->ops->weight_create(test, desc, &w.test));
    return w;
}

static pair make_linear(int parts, size_t in, const size_t *out, bool bias)
{
    pdag_tensor_view view[PDAG_WEIGHT_MAX_PARTS];
    pdag_tensor_view bias_view[PDAG_WEIGHT_MAX_PARTS];
    pdag_weight_desc desc = {.kind = PDAG_WEIGHT_LINEAR, .n_parts = parts};
    float *numbers[2 * PDAG_WEIGHT_MAX_PARTS];
    pair w;

    for (int i = 0; i < parts; i++) {
        const float scale = 1.0f / sqrtf((float)in);

        numbers[2 * i] = random_floats(out[i] * in, scale, 0.0f);
        numbers[2 * i + 1] = random_floats(out[i], 1.0f, 0.0f);
        view[i] = (pdag_tensor_view){"w", numbers[2 * i], PDAG_F32, 2,
                                     {out[i], in}};
        bias_view[i] = (pdag_tensor_view){"b", numbers[2 * i + 1], PDAG_F32, 1,
                                          {out[i]}};
        desc.part[i] = &view[i];
        desc.bias[i] = bias ? &bias_view[i] : NULL;
    }
    w = create_pair(&desc);
    for (int i = 0; i < 2 * parts; i++)
        free(numbers[i]);
    return w;
}

static pair make_vector(size_t n, float offset)
{
    float *numbers = random_floats(n, 0.5f, offset);
    const pdag_tensor_view view = {"v", numbers, PDAG_F32, 1, {n}};
    const pdag_weight_desc desc = {
        .kind = PDAG_WEIGHT_VECTOR, .n_parts = 1, .part = {&view}};
    pair w = create_pair(&desc);

    free(numbers);
    return w;
}

/* ---- linear ---- */

typedef enum residual_case { NO_RESIDUAL, OTHER, IN_PLACE } residual_case;

static void run_linear(pair w, size_t m, size_t in, size_t out,
                       pdag_activation act, residual_case residual)
{
    char what[96];
    tensor *x = input(m * in);
    tensor *plus = residual == NO_RESIDUAL ? NULL : input(m * out);
    tensor *y = residual == IN_PLACE ? plus : output(m * out);

    if (residual == IN_PLACE)
        give_up_input(plus);
    ok(ref->ops->linear(ref, w.ref, m, &x->ref, act,
                        plus != NULL ? &plus->ref : NULL, &y->ref));
    ok(test->ops->linear(test, w.test, m, &x->test, act,
                         plus != NULL ? &plus->test : NULL, &y->test));
    snprintf(what, sizeof what, "linear m %zu in %zu out %zu act %d res %d", m,
             in, out, (int)act, (int)residual);
    compare(y, what);
    release();
}

START_TEST(test_linear)
{
    static const size_t shapes[][3] = {
        {1, 1, 1},   {1, 3, 5},      {2, 16, 16},   {3, 5, 7},
        {5, 7, 33},  {33, 33, 1},    {7, 320, 130}, {77, 65, 48},
        {2, 320, 1280}, {130, 40, 100}, {64, 64, 512}};

    open_pair(_i);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        const size_t *shape = shapes[s];

        for (int round = 0; round < 3; round++) {
            pair w = make_linear(1, shape[1], &shape[2], round != 1);

            run_linear(w, shape[0], shape[1], shape[2], PDAG_ACT_NONE,
                       (residual_case)round);
            destroy_pair(w);
        }
    }
    close_pair();
}
END_TEST

START_TEST(test_linear_activations)
{
    const size_t out = 83;
    pair w;

    open_pair(_i);
    w = make_linear(1, 24, &out, true);
    for (int act = PDAG_ACT_NONE; act <= PDAG_ACT_RELU; act++) {
        run_linear(w, 19, 24, out, (pdag_activation)act, NO_RESIDUAL);
        run_linear(w, 19, 24, out, (pdag_activation)act, OTHER);
        run_linear(w, 19, 24, out, (pdag_activation)act, IN_PLACE);
    }
    destroy_pair(w);
    close_pair();
}
END_TEST

/* One weight with many numbers of rows, and parts of unequal height. */
START_TEST(test_linear_parts)
{
    const size_t out[3] = {40, 24, 9};
    pair w;

    open_pair(_i);
    for (int parts = 1; parts <= 3; parts++) {
        const size_t rows = out[0] + (parts > 1 ? out[1] : 0) +
                            (parts > 2 ? out[2] : 0);

        w = make_linear(parts, 30, out, parts != 2);
        for (size_t m = 1; m <= 300; m = 3 * m + 1)
            run_linear(w, m, 30, rows, PDAG_ACT_NONE, NO_RESIDUAL);
        run_linear(w, 4, 30, rows, PDAG_ACT_NONE, NO_RESIDUAL);
        destroy_pair(w);
    }
    close_pair();
}
END_TEST

/* ---- convolution ---- */

typedef struct conv_case {
    size_t b, h, w, in, out, kh, kw, stride;
    size_t pad[4]; /* top, left, bottom, right */
    bool bias;
} conv_case;

static pair make_conv(const conv_case *c)
{
    const size_t row = c->in * c->kh * c->kw;
    float *numbers = random_floats(c->out * row, 1.0f / sqrtf((float)row), 0);
    float *bias = random_floats(c->out, 1.0f, 0.0f);
    const pdag_tensor_view view = {
        "w", numbers, PDAG_F32, 4, {c->out, c->in, c->kh, c->kw}};
    const pdag_tensor_view bias_view = {"b", bias, PDAG_F32, 1, {c->out}};
    const pdag_weight_desc desc = {.kind = PDAG_WEIGHT_CONV2D,
                                   .n_parts = 1,
                                   .part = {&view},
                                   .bias = {c->bias ? &bias_view : NULL},
                                   .stride = c->stride,
                                   .pad_top = c->pad[0],
                                   .pad_left = c->pad[1],
                                   .pad_bottom = c->pad[2],
                                   .pad_right = c->pad[3]};
    pair w = create_pair(&desc);

    free(numbers);
    free(bias);
    return w;
}

static void run_conv(pair w, const conv_case *c, residual_case residual)
{
    const size_t oh = (c->h + c->pad[0] + c->pad[2] - c->kh) / c->stride + 1;
    const size_t ow = (c->w + c->pad[1] + c->pad[3] - c->kw) / c->stride + 1;
    const size_t n = c->b * oh * ow * c->out;
    char what[96];
    tensor *x = input(c->b * c->h * c->w * c->in);
    tensor *plus = residual == NO_RESIDUAL ? NULL : input(n);
    tensor *y = residual == IN_PLACE ? plus : output(n);

    if (residual == IN_PLACE)
        give_up_input(plus);
    ok(ref->ops->conv2d(ref, w.ref, c->b, c->h, c->w, &x->ref,
                        plus != NULL ? &plus->ref : NULL, &y->ref));
    ok(test->ops->conv2d(test, w.test, c->b, c->h, c->w, &x->test,
                         plus != NULL ? &plus->test : NULL, &y->test));
    snprintf(what, sizeof what,
             "conv %zux%zux%zu %zu->%zu k %zux%zu s %zu res %d", c->b, c->h,
             c->w, c->in, c->out, c->kh, c->kw, c->stride, (int)residual);
    compare(y, what);
    release();
}

START_TEST(test_conv)
{
    static const conv_case cases[] = {
        {1, 1, 1, 1, 1, 1, 1, 1, {0, 0, 0, 0}, true},
        {1, 1, 1, 3, 5, 3, 3, 1, {1, 1, 1, 1}, true},
        {2, 5, 7, 3, 20, 3, 3, 1, {1, 1, 1, 1}, true},
        {5, 8, 8, 4, 64, 3, 3, 1, {1, 1, 1, 1}, true},
        {3, 7, 5, 33, 17, 3, 3, 1, {1, 1, 1, 1}, false},
        {2, 8, 8, 16, 32, 3, 3, 2, {1, 1, 1, 1}, true},
        {2, 8, 6, 16, 32, 3, 3, 2, {0, 0, 1, 1}, true},
        {1, 9, 9, 24, 24, 3, 3, 2, {0, 0, 1, 1}, false},
        {4, 4, 4, 128, 64, 3, 3, 1, {1, 1, 1, 1}, true},
        {2, 16, 16, 64, 64, 3, 3, 1, {1, 1, 1, 1}, true},
        {2, 16, 16, 64, 3, 3, 3, 1, {1, 1, 1, 1}, true},
        {3, 6, 6, 40, 24, 1, 1, 1, {0, 0, 0, 0}, true},
        {2, 9, 9, 7, 9, 5, 5, 1, {2, 2, 2, 2}, true},
        {2, 8, 8, 4, 48, 2, 2, 2, {0, 0, 0, 0}, true},
        {3, 1, 16, 20, 33, 1, 5, 1, {0, 2, 0, 2}, true},
        {3, 1, 16, 32, 32, 1, 3, 2, {0, 1, 0, 1}, true},
        {1, 12, 10, 96, 80, 3, 3, 1, {2, 0, 1, 3}, true}};

    open_pair(_i);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pair w = make_conv(&cases[i]);

        run_conv(w, &cases[i], NO_RESIDUAL);
        run_conv(w, &cases[i], OTHER);
        run_conv(w, &cases[i], IN_PLACE);
        destroy_pair(w);
    }
    close_pair();
}
END_TEST

/* One weight, many shapes, back and forth. */
START_TEST(test_conv_shapes)
{
    conv_case c = {1, 4, 4, 32, 48, 3, 3, 1, {1, 1, 1, 1}, true};
    pair w;

    open_pair(_i);
    w = make_conv(&c);
    for (int round = 0; round < 2; round++)
        for (c.b = 1; c.b <= 5; c.b += 2)
            for (c.h = c.w = 1; c.w <= 33; c.w = c.h = 2 * c.w + 1)
                run_conv(w, &c, NO_RESIDUAL);
    destroy_pair(w);
    close_pair();
}
END_TEST

/* ---- norms ---- */

typedef struct norm_case {
    size_t b, p, c, groups;
    float eps;
    bool add, affine, in_place;
    pdag_activation act;
    float offset; /* mean of the inputs: large means must not cancel */
} norm_case;

static void run_group_norm(const norm_case *c)
{
    char what[96];
    const size_t n = c->b * c->p * c->c;
    tensor *x = add_tensor(n, random_floats(n, 1.5f, c->offset));
    tensor *add = c->add ? input(c->b * c->c) : NULL;
    tensor *y = c->in_place ? x : output(n);
    pair gamma = c->affine ? make_vector(c->c, 1.0f) : (pair){NULL, NULL};
    pair beta = c->affine ? make_vector(c->c, 0.0f) : (pair){NULL, NULL};

    if (c->in_place)
        give_up_input(x);
    ok(ref->ops->group_norm(ref, c->b, c->p, c->c, c->groups, c->eps, gamma.ref,
                            beta.ref, add != NULL ? &add->ref : NULL, c->act,
                            &x->ref, &y->ref));
    ok(test->ops->group_norm(test, c->b, c->p, c->c, c->groups, c->eps,
                             gamma.test, beta.test,
                             add != NULL ? &add->test : NULL, c->act, &x->test,
                             &y->test));
    snprintf(what, sizeof what, "group norm %zux%zux%zu / %zu", c->b, c->p,
             c->c, c->groups);
    compare(y, what);
    release();
    if (c->affine) {
        destroy_pair(gamma);
        destroy_pair(beta);
    }
}

START_TEST(test_group_norm)
{
    static const norm_case cases[] = {
        {1, 16, 1, 1, 1e-5f, false, true, false, PDAG_ACT_NONE, 0},
        {2, 7, 6, 3, 1e-5f, false, true, false, PDAG_ACT_SILU, 0},
        {5, 16, 64, 32, 1e-5f, true, true, false, PDAG_ACT_SILU, 0},
        {3, 33, 33, 11, 1e-6f, true, true, true, PDAG_ACT_NONE, 0},
        {2, 64, 320, 32, 1e-5f, true, true, true, PDAG_ACT_SILU, 0},
        {2, 1025, 48, 8, 1e-5f, false, true, false, PDAG_ACT_SILU, 0},
        {2, 256, 64, 16, 1e-6f, false, true, false, PDAG_ACT_SILU, 50},
        {1, 5, 40, 1, 1e-5f, true, false, false, PDAG_ACT_NONE, 0},
        {4, 1, 32, 8, 1e-5f, false, true, false, PDAG_ACT_SILU, 0},
        {1, 4096, 20, 4, 1e-5f, true, true, false, PDAG_ACT_SILU, -3}};

    open_pair(_i);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        run_group_norm(&cases[i]);
    close_pair();
}
END_TEST

START_TEST(test_layer_norm)
{
    static const size_t shapes[][2] = {{1, 3},   {5, 7},   {33, 64}, {3, 320},
                                       {77, 33}, {2, 768}, {7, 1281}};

    open_pair(_i);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int round = 0; round < 3; round++) {
            const size_t m = shapes[s][0];
            const size_t c = shapes[s][1];
            const bool affine = round != 1;
            char what[96];
            tensor *x = input(m * c);
            tensor *y = round == 2 ? x : output(m * c);
            pair gamma = affine ? make_vector(c, 1.0f) : (pair){NULL, NULL};
            pair beta = affine ? make_vector(c, 0.0f) : (pair){NULL, NULL};

            if (round == 2)
                give_up_input(x);
            ok(ref->ops->layer_norm(ref, m, c, 1e-5f, gamma.ref, beta.ref,
                                    &x->ref, &y->ref));
            ok(test->ops->layer_norm(test, m, c, 1e-5f, gamma.test, beta.test,
                                     &x->test, &y->test));
            snprintf(what, sizeof what, "layer norm %zux%zu case %d", m, c,
                     round);
            compare(y, what);
            release();
            if (affine) {
                destroy_pair(gamma);
                destroy_pair(beta);
            }
        }
    close_pair();
}
END_TEST

/* ---- attention ---- */

typedef struct attention_case {
    size_t batch, heads, head_dim, n_q, n_kv;
    bool causal, fused, shared;
    float gain; /* of the scores: large ones make the softmax sharp */
} attention_case;

static pdag_slice slice(const pdag_buf *buf, size_t offset, size_t batch_stride,
                        size_t row_stride)
{
    return (pdag_slice){buf, offset, batch_stride, row_stride};
}

/* Fused: q, k and v are columns of one buffer, as one linear layer gives them;
 * y's rows have 3 more elements, which stay NaN. */
static void run_attention(const attention_case *c)
{
    const size_t width = c->heads * c->head_dim;
    const size_t y_row = width + 3;
    const size_t row = c->fused ? 3 * width : width;
    const size_t kv_batch = c->shared ? 0 : c->n_kv * row;
    char what[96];
    tensor *q = input(c->batch * c->n_q * row);
    tensor *k = c->fused ? q : input((c->shared ? 1 : c->batch) * c->n_kv * row);
    tensor *v = c->fused ? q : input((c->shared ? 1 : c->batch) * c->n_kv * row);
    tensor *y = output(c->batch * c->n_q * y_row);
    pdag_attention a = {c->batch, c->heads, c->head_dim, c->n_q, c->n_kv,
                        c->gain / sqrtf((float)c->head_dim), c->causal,
                        slice(&q->ref, 0, c->n_q * row, row),
                        slice(&k->ref, c->fused ? width : 0, kv_batch, row),
                        slice(&v->ref, c->fused ? 2 * width : 0, kv_batch, row),
                        slice(&y->ref, 0, c->n_q * y_row, y_row)};
    float *got;

    ok(ref->ops->attention(ref, &a));
    a.q.buf = &q->test;
    a.k.buf = &k->test;
    a.v.buf = &v->test;
    a.y.buf = &y->test;
    ok(test->ops->attention(test, &a));
    snprintf(what, sizeof what, "attention b %zu heads %zu d %zu q %zu kv %zu",
             c->batch, c->heads, c->head_dim, c->n_q, c->n_kv);
    /* What lies between the rows must still be NaN; then it is made comparable. */
    got = fetch(test, &y->test, y->n);
    for (size_t i = 0; i < c->batch * c->n_q; i++)
        for (size_t j = width; j < y_row; j++) {
            ck_assert_msg(isnan(got[i * y_row + j]), "%s: wrote beside a row",
                          what);
            got[i * y_row + j] = 0.0f;
        }
    ok(test->ops->upload(test, y->n, got, &y->test));
    free(got);
    got = fetch(ref, &y->ref, y->n);
    for (size_t i = 0; i < c->batch * c->n_q; i++)
        memset(got + i * y_row + width, 0, 3 * sizeof *got);
    ok(ref->ops->upload(ref, y->n, got, &y->ref));
    free(got);
    compare_within(y, what, c->gain > 100.0f ? 8.0 : 1.0);
    release();
}

START_TEST(test_attention)
{
    static const attention_case cases[] = {
        {1, 1, 1, 1, 1, false, false, false, 1},
        {2, 3, 5, 7, 3, false, false, false, 1},
        {1, 1, 33, 5, 65, false, false, false, 1},
        {3, 4, 16, 16, 16, false, true, false, 1},
        {5, 2, 32, 16, 32, false, false, false, 1},
        {5, 2, 32, 33, 32, false, false, true, 1},
        {2, 8, 40, 64, 77, false, false, false, 1},
        {3, 8, 40, 64, 77, false, false, true, 1},
        {2, 4, 32, 256, 256, false, true, false, 1},
        {1, 2, 40, 600, 1100, false, false, false, 1},
        {1, 2, 24, 131, 700, false, false, false, 40},
        {2, 3, 20, 77, 77, true, true, false, 1},
        {1, 2, 16, 1, 1, true, false, false, 1},
        {1, 1, 12, 700, 700, true, true, false, 1},
        {2, 1, 160, 49, 49, false, true, false, 1},
        {1, 1, 512, 100, 100, false, false, false, 1}};

    open_pair(_i);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        run_attention(&cases[i]);
    close_pair();
}
END_TEST

/* Scores around -300 and +300 must neither vanish nor overflow. */
START_TEST(test_attention_extreme)
{
    const attention_case c = {1, 1, 64, 20, 600, false, false, false, 300};

    open_pair(_i);
    run_attention(&c);
    close_pair();
}
END_TEST

START_TEST(test_attention_64x64)
{
    const attention_case c = {1, 1, 40, 4096, 4096, false, true, false, 4};

    open_pair(_i);
    run_attention(&c);
    close_pair();
}
END_TEST

/* ---- element-wise ---- */

START_TEST(test_activate)
{
    static const size_t sizes[] = {1, 3, 16, 33, 1000};

    open_pair(_i);
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int act = PDAG_ACT_NONE; act <= PDAG_ACT_RELU; act++)
            for (int in_place = 0; in_place < 2; in_place++) {
                const size_t n = sizes[s];
                char what[96];
                tensor *x = add_tensor(n, random_floats(n, 12.0f, 0.0f));
                tensor *y = in_place ? x : output(n);

                if (in_place)
                    give_up_input(x);
                ok(ref->ops->activate(ref, n, (pdag_activation)act, &x->ref,
                                      &y->ref));
                ok(test->ops->activate(test, n, (pdag_activation)act, &x->test,
                                       &y->test));
                snprintf(what, sizeof what, "activation %d of %zu", act, n);
                compare(y, what);
                release();
            }
    close_pair();
}
END_TEST

/* Far out the functions are 0 or x, and NaN is never lost. */
START_TEST(test_activate_extreme)
{
    static const float points[] = {-3e38f, -1e4f, -100.0f, -30.0f, 0.0f,
                                   30.0f,  100.0f, 1e4f,   1e30f,  NAN};
    const size_t n = sizeof points / sizeof points[0];

    open_pair(_i);
    for (int act = PDAG_ACT_NONE; act <= PDAG_ACT_RELU; act++) {
        tensor *x = output(n);
        float *got;

        ok(test->ops->upload(test, n, points, &x->test));
        ok(test->ops->activate(test, n, (pdag_activation)act, &x->test,
                               &x->test));
        got = fetch(test, &x->test, n);
        for (size_t i = 0; i + 1 < n; i++) {
            const float whole = round_to(test->precision, points[i]);
            const float want =
                points[i] < 0.0f && act != PDAG_ACT_NONE ? 0.0f : whole;

            if (test->precision == PDAG_PRECISION_FLOAT16 &&
                fabsf(points[i]) > 60000.0f)
                continue;
            ck_assert_msg(fabsf(got[i] - want) <= 1e-5f + fabsf(want) * 0.01f,
                          "activation %d of %g is %g", act, (double)points[i],
                          (double)got[i]);
        }
        ck_assert_msg(isnan(got[n - 1]), "activation %d loses NaN", act);
        free(got);
        release();
    }
    close_pair();
}
END_TEST

START_TEST(test_geglu)
{
    static const size_t shapes[][2] = {{1, 1}, {3, 5}, {7, 33}, {64, 1280}};

    open_pair(_i);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        const size_t m = shapes[s][0];
        const size_t n = shapes[s][1];
        tensor *x = add_tensor(2 * m * n, random_floats(2 * m * n, 4.0f, 0));
        tensor *y = output(m * n);

        ok(ref->ops->geglu(ref, m, n, &x->ref, &y->ref));
        ok(test->ops->geglu(test, m, n, &x->test, &y->test));
        compare(y, "geglu");
        release();
    }
    close_pair();
}
END_TEST

START_TEST(test_add_scale)
{
    static const size_t sizes[] = {1, 5, 32, 77, 4099};

    open_pair(_i);
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int alias = 0; alias < 3; alias++) { /* y apart, is a, is b */
            const size_t n = sizes[s];
            tensor *a = input(n);
            tensor *b = input(n);
            tensor *y = alias == 0 ? output(n) : alias == 1 ? a : b;

            if (alias > 0)
                give_up_input(y);
            ok(ref->ops->add(ref, n, &a->ref, &b->ref, &y->ref));
            ok(test->ops->add(test, n, &a->test, &b->test, &y->test));
            compare(y, "add");
            release();
            a = input(n);
            y = alias == 0 ? output(n) : a;
            if (alias > 0)
                give_up_input(a);
            ok(ref->ops->scale(ref, n, -0.37f, &a->ref, &y->ref));
            ok(test->ops->scale(test, n, -0.37f, &a->test, &y->test));
            compare(y, "scale");
            release();
        }
    close_pair();
}
END_TEST

/* ---- moving data ---- */

/* Copies must be exact, whatever the precision. */
static void compare_bits(const tensor *y, const char *what)
{
    float *want = fetch(ref, &y->ref, y->n);
    float *got = fetch(test, &y->test, y->n);

    ck_assert_msg(memcmp(want, got, y->n * sizeof *got) == 0, "%s", what);
    free(want);
    free(got);
}

START_TEST(test_concat)
{
    static const size_t shapes[][3] = {
        {1, 1, 1}, {3, 5, 7}, {64, 320, 640}, {33, 16, 1}};

    open_pair(_i);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        const size_t m = shapes[s][0];
        const size_t ca = shapes[s][1];
        const size_t cb = shapes[s][2];
        tensor *a = input(m * ca);
        tensor *b = input(m * cb);
        tensor *y = output(m * (ca + cb));

        ok(ref->ops->concat(ref, m, ca, &a->ref, cb, &b->ref, &y->ref));
        ok(test->ops->concat(test, m, ca, &a->test, cb, &b->test, &y->test));
        compare_bits(y, "concat");
        release();
    }
    close_pair();
}
END_TEST

START_TEST(test_upsample)
{
    static const size_t shapes[][6] = {{1, 1, 1, 1, 2, 2},
                                       {2, 3, 5, 7, 6, 10},
                                       {3, 4, 4, 64, 7, 8},
                                       {1, 1, 4, 20, 1, 8},
                                       {5, 8, 8, 33, 16, 16}};

    open_pair(_i);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const size_t *s = shapes[i];
        tensor *x = input(s[0] * s[1] * s[2] * s[3]);
        tensor *y = output(s[0] * s[4] * s[5] * s[3]);

        ok(ref->ops->upsample(ref, s[0], s[1], s[2], s[3], s[4], s[5], &x->ref,
                              &y->ref));
        ok(test->ops->upsample(test, s[0], s[1], s[2], s[3], s[4], s[5],
                               &x->test, &y->test));
        compare_bits(y, "upsample");
        release();
    }
    close_pair();
}
END_TEST

START_TEST(test_avg_pool2)
{
    static const size_t shapes[][4] = {
        {1, 2, 2, 1}, {3, 4, 6, 5}, {2, 8, 8, 33}, {5, 2, 4, 64}};

    open_pair(_i);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const size_t *s = shapes[i];
        tensor *x = input(s[0] * s[1] * s[2] * s[3]);
        tensor *y = output(s[0] * s[1] * s[2] * s[3] / 4);

        ok(ref->ops->avg_pool2(ref, s[0], s[1], s[2], s[3], &x->ref, &y->ref));
        ok(test->ops->avg_pool2(test, s[0], s[1], s[2], s[3], &x->test,
                                &y->test));
        compare(y, "average pool");
        release();
    }
    close_pair();
}
END_TEST

START_TEST(test_planes)
{
    static const size_t shapes[][3] = {
        {1, 1, 1}, {2, 4, 4096}, {5, 3, 35}, {1, 77, 33}};

    open_pair(_i);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const size_t b = shapes[i][0];
        const size_t c = shapes[i][1];
        const size_t p = shapes[i][2];
        float *host = random_floats(b * c * p, 3.0f, 0.0f);
        float *back = pdag_xcalloc(b * c * p, sizeof *back);
        tensor *y = output(b * c * p);
        float *rows;

        ok(test->ops->upload_planes(test, b, c, p, host, &y->test));
        rows = fetch(test, &y->test, y->n);
        for (size_t j = 0; j < y->n; j++) {
            const size_t image = j / (c * p);
            const size_t row = j / c % p;

            ck_assert(rows[j] == host[(image * c + j % c) * p + row]);
        }
        ok(test->ops->download_planes(test, b, c, p, &y->test, back));
        ok(test->ops->sync(test));
        ck_assert(memcmp(host, back, y->n * sizeof *host) == 0);
        free(rows);
        free(host);
        free(back);
        release();
    }
    close_pair();
}
END_TEST

/* Rounding of upload() is to nearest even, and NaN and infinity survive. */
START_TEST(test_upload_rounding)
{
    static const float points[] = {1.00390625f, 1.01171875f, -1.00390625f,
                                   3.0f,        0.0f,        INFINITY,
                                   -INFINITY,   NAN,         1e-3f};
    const size_t n = sizeof points / sizeof points[0];
    tensor *x;
    float *got;

    open_pair(_i);
    x = output(n);
    ok(test->ops->upload(test, n, points, &x->test));
    got = fetch(test, &x->test, n);
    for (size_t i = 0; i < n; i++) {
        const float want = round_to(test->precision, points[i]);

        ck_assert_msg(got[i] == want || (isnan(want) && isnan(got[i])),
                      "%g became %g", (double)points[i], (double)got[i]);
    }
    free(got);
    close_pair();
}
END_TEST

/* ---- weights ---- */

/* The file's element type does not matter, nor does a missing alignment. */
START_TEST(test_weight_types)
{
    enum { IN = 21, OUT = 18, N = IN * OUT };
    unsigned char bytes[N * 8 + 1];
    static const pdag_dtype types[] = {PDAG_F32, PDAG_F16, PDAG_BF16, PDAG_F64};

    open_pair(_i);
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        const pdag_tensor_view view = {
            "w", bytes + 1, types[t], 4, {OUT, IN, 1, 1}};
        const pdag_weight_desc desc = {
            .kind = PDAG_WEIGHT_LINEAR, .n_parts = 1, .part = {&view}};
        pair w;

        for (size_t i = 0; i < N; i++) {
            /* exact in every type */
            const float value = roundf(uniform() * 64.0f) / 64.0f;
            const uint16_t half = types[t] == PDAG_F16
                                      ? pdag_f32_to_f16(value)
                                      : pdag_f32_to_bf16(value);
            const double wide = (double)value;
            const void *from = types[t] == PDAG_F32   ? (const void *)&value
                               : types[t] == PDAG_F64 ? (const void *)&wide
                                                      : (const void *)&half;
            const size_t size = pdag_dtype_size(types[t]);

            memcpy(bytes + 1 + i * size, from, size);
        }
        w = create_pair(&desc);
        memset(bytes, 0xff, sizeof bytes); /* the views may go away */
        run_linear(w, 5, IN, OUT, PDAG_ACT_NONE, NO_RESIDUAL);
        destroy_pair(w);
    }
    close_pair();
}
END_TEST

static void expect_shape_error(const pdag_weight_desc *desc, const char *name)
{
    pdag_weight *w = NULL;

    ck_assert_int_eq(test->ops->weight_create(test, desc, &w), PDAG_ERR_SHAPE);
    ck_assert(w == NULL);
    ck_assert_msg(strstr(pdag_error_text(), name) != NULL, "%s",
                  pdag_error_text());
}

START_TEST(test_weight_errors)
{
    static const float zeros[256];
    const pdag_tensor_view good = {"good.w", zeros, PDAG_F32, 2, {4, 6}};
    const pdag_tensor_view narrow = {"narrow.w", zeros, PDAG_F32, 2, {4, 5}};
    const pdag_tensor_view flat = {"flat.w", zeros, PDAG_F32, 1, {24}};
    const pdag_tensor_view conv = {"conv.w", zeros, PDAG_F32, 4, {4, 6, 3, 3}};
    const pdag_tensor_view bias = {"good.b", zeros, PDAG_F32, 1, {4}};
    const pdag_tensor_view off = {"off.b", zeros, PDAG_F32, 1, {5}};
    pdag_weight_desc desc = {
        .kind = PDAG_WEIGHT_LINEAR, .n_parts = 2, .part = {&good, &narrow}};

    open_pair(_i);
    expect_shape_error(&desc, "narrow.w");
    desc.part[1] = &flat;
    expect_shape_error(&desc, "flat.w");
    desc.part[1] = &conv;
    expect_shape_error(&desc, "conv.w");
    desc.part[1] = &good;
    desc.bias[0] = &bias;
    expect_shape_error(&desc, "good.w"); /* the second part has no bias */
    desc.bias[1] = &off;
    expect_shape_error(&desc, "off.b");
    desc = (pdag_weight_desc){.kind = PDAG_WEIGHT_CONV2D,
                              .n_parts = 1,
                              .part = {&conv},
                              .stride = 3};
    expect_shape_error(&desc, "stride");
    desc.part[0] = &good;
    desc.stride = 1;
    expect_shape_error(&desc, "good.w");
    desc = (pdag_weight_desc){
        .kind = PDAG_WEIGHT_VECTOR, .n_parts = 1, .part = {&good}};
    expect_shape_error(&desc, "good.w");
    test->ops->weight_destroy(test, NULL);
    test->ops->free(test, NULL);
    test->ops->close(NULL);
    close_pair();
}
END_TEST

/* Equal calls give equal bits, also after other shapes were in between. */
START_TEST(test_repeatable)
{
    conv_case c = {3, 8, 8, 48, 40, 3, 3, 1, {1, 1, 1, 1}, true};
    float *first = NULL;
    pair w;

    open_pair(_i);
    w = make_conv(&c);
    for (int round = 0; round < 3; round++) {
        tensor *x, *y;
        float *got;

        random_state = 7;
        x = input(3 * 64 * 48);
        y = output(3 * 64 * 40);
        ok(test->ops->conv2d(test, w.test, 3, 8, 8, &x->test, NULL, &y->test));
        got = fetch(test, &y->test, y->n);
        if (first == NULL)
            first = got;
        else {
            ck_assert(memcmp(first, got, y->n * sizeof *got) == 0);
            free(got);
        }
        release();
        c.b = 1 + (size_t)round;
        c.h = 5;
        run_conv(w, &c, NO_RESIDUAL);
    }
    free(first);
    destroy_pair(w);
    close_pair();
}
END_TEST

/* ---- the definition itself, once more in float64 ---- */

/* y[m][out] by the textbook, for the linear layer of seed `seed`. */
START_TEST(test_ref_linear)
{
    enum { M = 3, IN = 5, OUT = 4 };
    const size_t out = OUT;
    float weight[OUT * IN], bias[OUT];
    const pdag_tensor_view view = {"w", weight, PDAG_F32, 2, {OUT, IN}};
    const pdag_tensor_view bias_view = {"b", bias, PDAG_F32, 1, {OUT}};
    const pdag_weight_desc desc = {.kind = PDAG_WEIGHT_LINEAR,
                                   .n_parts = 1,
                                   .part = {&view},
                                   .bias = {&bias_view}};
    tensor *x, *plus, *y;
    float *got;
    pair w;

    open_pair(0);
    for (size_t i = 0; i < OUT * IN; i++)
        weight[i] = uniform();
    for (size_t i = 0; i < OUT; i++)
        bias[i] = uniform();
    w = create_pair(&desc);
    x = input(M * IN);
    plus = input(M * OUT);
    y = output(M * out);
    ok(ref->ops->linear(ref, w.ref, M, &x->ref, PDAG_ACT_QUICK_GELU,
                        &plus->ref, &y->ref));
    got = fetch(ref, &y->ref, y->n);
    for (size_t i = 0; i < M; i++)
        for (size_t o = 0; o < OUT; o++) {
            double sum = (double)bias[o];

            for (size_t k = 0; k < IN; k++)
                sum += (double)x->host[i * IN + k] *
                       (double)weight[o * IN + k];
            sum *= 1.0 / (1.0 + exp(-1.702 * sum));
            sum += (double)plus->host[i * OUT + o];
            ck_assert_double_eq_tol((double)got[i * OUT + o], sum, 1e-6);
        }
    free(got);
    destroy_pair(w);
    close_pair();
}
END_TEST

START_TEST(test_ref_conv)
{
    enum { B = 2, H = 5, W = 4, IN = 3, OUT = 2, K = 3, OH = 3, OW = 2 };
    float weight[OUT * IN * K * K];
    const pdag_tensor_view view = {"w", weight, PDAG_F32, 4, {OUT, IN, K, K}};
    const pdag_weight_desc desc = {.kind = PDAG_WEIGHT_CONV2D,
                                   .n_parts = 1,
                                   .part = {&view},
                                   .stride = 2,
                                   .pad_top = 1,
                                   .pad_left = 0,
                                   .pad_bottom = 1,
                                   .pad_right = 1};
    tensor *x, *y;
    float *got;
    pair w;

    open_pair(0);
    for (size_t i = 0; i < OUT * IN * K * K; i++)
        weight[i] = uniform();
    w = create_pair(&desc);
    x = input(B * H * W * IN);
    y = output(B * OH * OW * OUT);
    ok(ref->ops->conv2d(ref, w.ref, B, H, W, &x->ref, NULL, &y->ref));
    got = fetch(ref, &y->ref, y->n);
    for (int at = 0; at < B * OH * OW * OUT; at++) {
        const int o = at % OUT, j = at / OUT % OW, i = at / OUT / OW % OH;
        const int b = at / OUT / OW / OH;
        double sum = 0.0;

        for (int tap = 0; tap < IN * K * K; tap++) {
            const int xi = 2 * i + tap / K % K - 1;
            const int xj = 2 * j + tap % K;
            const int c = tap / K / K;

            if (xi >= 0 && xi < H && xj >= 0 && xj < W)
                sum += (double)x->host[((b * H + xi) * W + xj) * IN + c] *
                       (double)weight[o * IN * K * K + tap];
        }
        ck_assert_double_eq_tol((double)got[at], sum, 1e-6);
    }
    free(got);
    destroy_pair(w);
    close_pair();
}
END_TEST

START_TEST(test_ref_group_norm)
{
    enum { P = 6, C = 8, G = 2 };
    tensor *x, *add, *y;
    float *got;

    open_pair(0);
    x = input(P * C);
    add = input(C);
    y = output(P * C);
    ok(ref->ops->group_norm(ref, 1, P, C, G, 1e-3f, NULL, NULL, &add->ref,
                            PDAG_ACT_SILU, &x->ref, &y->ref));
    got = fetch(ref, &y->ref, y->n);
    for (int at = 0; at < P * C; at++) {
        const int group = at % C / (C / G);
        double mean = 0.0, square = 0.0, value;

        for (int i = 0; i < P * C; i++)
            if (i % C / (C / G) == group) {
                const double v =
                    (double)x->host[i] + (double)add->host[i % C];

                mean += v / (P * C / G);
                square += v * v / (P * C / G);
            }
        value = (double)x->host[at] + (double)add->host[at % C] - mean;
        value /= sqrt(square - mean * mean + 1e-3);
        ck_assert_double_eq_tol((double)got[at], value / (1.0 + exp(-value)),
                                1e-6);
    }
    free(got);
    close_pair();
}
END_TEST

START_TEST(test_ref_attention)
{
    enum { T = 4, S = 4, D = 3, HEADS = 2, WIDTH = D * HEADS };
    tensor *q, *k, *v, *y;
    float *got;

    open_pair(0);
    q = input(T * WIDTH);
    k = input(S * WIDTH);
    v = input(S * WIDTH);
    y = output(T * WIDTH);
    for (int causal = 0; causal < 2; causal++) {
        const pdag_attention a = {1, HEADS, D, T, S, 0.7f, causal != 0,
                                  slice(&q->ref, 0, 0, WIDTH),
                                  slice(&k->ref, 0, 0, WIDTH),
                                  slice(&v->ref, 0, 0, WIDTH),
                                  slice(&y->ref, 0, 0, WIDTH)};

        ok(ref->ops->attention(ref, &a));
        got = fetch(ref, &y->ref, y->n);
        for (int at = 0; at < T * WIDTH; at++) {
            const int t = at / WIDTH, first = at % WIDTH / D * D;
            double sum = 0.0, value = 0.0;

            for (int s = 0; s < (causal ? t + 1 : S); s++) {
                double score = 0.0;

                for (int c = first; c < first + D; c++)
                    score += (double)q->host[t * WIDTH + c] *
                             (double)k->host[s * WIDTH + c];
                sum += exp((double)0.7f * score);
                value += exp((double)0.7f * score) *
                         (double)v->host[s * WIDTH + at % WIDTH];
            }
            ck_assert_double_eq_tol((double)got[at], value / sum, 1e-6);
        }
        free(got);
    }
    close_pair();
}
END_TEST

START_TEST(test_ref_activations)
{
    tensor *x, *y;

    open_pair(0);
    x = add_tensor(200, random_floats(200, 8.0f, 0.0f));
    y = output(200);
    for (int act = PDAG_ACT_NONE; act <= PDAG_ACT_RELU; act++) {
        float *got;

        ok(ref->ops->activate(ref, 200, (pdag_activation)act, &x->ref,
                              &y->ref));
        got = fetch(ref, &y->ref, 200);
        for (int i = 0; i < 200; i++) {
            const double v = (double)x->host[i];
            const double want[] = {
                v,
                v / (1 + exp(-v)),
                v * (1 + erf(v / sqrt(2))) / 2,
                v * (1 + tanh(sqrt(2 / acos(-1)) * (v + 0.044715 * v * v * v))) /
                    2,
                v / (1 + exp(-1.702 * v)),
                v * tanh(log(1 + exp(v))),
                v > 0 ? v : 0};

            ck_assert_double_eq_tol((double)got[i], want[act], 1e-6);
        }
        free(got);
    }
    close_pair();
}
END_TEST

/* ---- opening ---- */

START_TEST(test_names)
{
    pdag_backend *be = NULL;
    pdag_precision precision;

    ck_assert_int_eq(pdag_backend_open("abacus", 0, PDAG_PRECISION_FLOAT32,
                                       &be),
                     PDAG_ERR_UNSUPPORTED);
    ck_assert_msg(strstr(pdag_error_text(), "ref") != NULL, "%s",
                  pdag_error_text());
    ck_assert_int_eq(pdag_backend_open("ref", 0, PDAG_PRECISION_FLOAT16, &be),
                     PDAG_ERR_UNSUPPORTED);
    ck_assert_int_eq(pdag_backend_open("ref", 1, PDAG_PRECISION_FLOAT32, &be),
                     PDAG_ERR_UNSUPPORTED);
    ck_assert_int_eq(pdag_backend_open("auto", 4321, PDAG_PRECISION_FLOAT32,
                                       &be),
                     PDAG_ERR_UNSUPPORTED);
    ck_assert(be == NULL);
    ok(pdag_backend_open("auto", 0, PDAG_PRECISION_FLOAT32, &be));
    for (int i = 0; pdag_backend_list()[i] != NULL; i++)
        ck_assert(pdag_backend_list()[i]->priority <= be->ops->priority ||
                  strcmp(pdag_backend_list()[i]->name, "cuda") == 0);
    be->ops->close(be);
    for (int p = PDAG_PRECISION_FLOAT32; p <= PDAG_PRECISION_TF32; p++) {
        const char *name = pdag_precision_name((pdag_precision)p);

        ok(pdag_precision_parse(name, &precision));
        ck_assert_int_eq((int)precision, p);
    }
    ck_assert_int_eq(pdag_precision_parse("int8", &precision), PDAG_ERR_ARG);
}
END_TEST

static void find_variants(void)
{
    const pdag_backend_ops *const *list = pdag_backend_list();

    for (int i = 0; list[i] != NULL; i++)
        for (int p = PDAG_PRECISION_FLOAT32; p <= PDAG_PRECISION_TF32; p++) {
            pdag_backend *be;

            if (list[i]->open(0, (pdag_precision)p, &be) != PDAG_OK)
                continue;
            printf("%s %s: %s\n", list[i]->name,
                   pdag_precision_name((pdag_precision)p), be->description);
            list[i]->close(be);
            variants[n_variants++] =
                (variant){list[i], (pdag_precision)p};
        }
}

static void add_definition(Suite *suite)
{
    TCase *tc = tcase_create("definition");

    tcase_add_test(tc, test_names);
    tcase_add_test(tc, test_ref_linear);
    tcase_add_test(tc, test_ref_conv);
    tcase_add_test(tc, test_ref_group_norm);
    tcase_add_test(tc, test_ref_attention);
    tcase_add_test(tc, test_ref_activations);
    suite_add_tcase(suite, tc);
}

static void add_variants(Suite *suite)
{
    TCase *tc = tcase_create("variants");

    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, test_linear, 0, n_variants);
    tcase_add_loop_test(tc, test_linear_activations, 0, n_variants);
    tcase_add_loop_test(tc, test_linear_parts, 0, n_variants);
    tcase_add_loop_test(tc, test_conv, 0, n_variants);
    tcase_add_loop_test(tc, test_conv_shapes, 0, n_variants);
    tcase_add_loop_test(tc, test_group_norm, 0, n_variants);
    tcase_add_loop_test(tc, test_layer_norm, 0, n_variants);
    tcase_add_loop_test(tc, test_attention, 0, n_variants);
    tcase_add_loop_test(tc, test_attention_extreme, 0, n_variants);
    tcase_add_loop_test(tc, test_attention_64x64, 0, n_variants);
    tcase_add_loop_test(tc, test_activate, 0, n_variants);
    tcase_add_loop_test(tc, test_activate_extreme, 0, n_variants);
    tcase_add_loop_test(tc, test_geglu, 0, n_variants);
    tcase_add_loop_test(tc, test_add_scale, 0, n_variants);
    tcase_add_loop_test(tc, test_concat, 0, n_variants);
    tcase_add_loop_test(tc, test_upsample, 0, n_variants);
    tcase_add_loop_test(tc, test_avg_pool2, 0, n_variants);
    tcase_add_loop_test(tc, test_planes, 0, n_variants);
    tcase_add_loop_test(tc, test_upload_rounding, 0, n_variants);
    tcase_add_loop_test(tc, test_weight_types, 0, n_variants);
    tcase_add_loop_test(tc, test_weight_errors, 0, n_variants);
    tcase_add_loop_test(tc, test_repeatable, 0, n_variants);
    suite_add_tcase(suite, tc);
}

int main(void)
{
    Suite *suite = suite_create("backend");
    SRunner *runner;
    int failed;

    find_variants();
    add_definition(suite);
    add_variants(suite);
    runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* a GPU does not survive it */
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
