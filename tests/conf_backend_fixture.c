#include "tests/conf_backend.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define GUARD 16
#define GUARD_VALUE 12352.0f /* exact in bfloat16 and float16 */
#define MAX_TENSORS 16

conf_variant conf_variants[CONF_MAX_VARIANTS];
int conf_n_variants;
pdag_backend *conf_ref;
pdag_backend *conf_test;
uint64_t conf_random_state;

static conf_tensor tensors[MAX_TENSORS];
static int n_tensors;

/* Relative RMS that float32 reordering, or one rounding of the output, gives.
 */
static double tolerance(void)
{
    switch (conf_test->precision) {
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

void conf_ok(pdag_status status)
{
    ck_assert_msg(status == PDAG_OK, "%s", pdag_error_text());
}

/* Uniform in [-1, 1): splitmix64. */
float conf_uniform(void)
{
    uint64_t z = (conf_random_state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (float)((double)(z >> 11) / 4503599627370496.0 - 1.0);
}

float conf_round(pdag_precision precision, float value)
{
    if (precision == PDAG_PRECISION_BFLOAT16)
        return pdag_bf16_to_f32(pdag_f32_to_bf16(value));
    if (precision == PDAG_PRECISION_FLOAT16)
        return pdag_f16_to_f32(pdag_f32_to_f16(value));
    return value;
}

/* To the 10 digits behind the point that a TF32 product sees; in memory such a
 * number is float32. */
static float round_tf32(float value)
{
    uint32_t bits;

    if (!isfinite(value))
        return value;
    memcpy(&bits, &value, sizeof bits);
    bits = (bits + 0x1000u) & ~(uint32_t)0x1fff;
    memcpy(&value, &bits, sizeof bits);
    return value;
}

float *conf_floats(size_t n, float scale, float offset)
{
    float *values = pdag_xcalloc(n, sizeof *values);

    for (size_t i = 0; i < n; i++) {
        values[i] =
            conf_round(conf_test->precision, offset + scale * conf_uniform());
        if (conf_test->precision == PDAG_PRECISION_TF32)
            values[i] = round_tf32(values[i]);
    }
    return values;
}

/* n elements of `values` (NaN if NULL) with the guard behind them. */
static pdag_buf make_buffer(pdag_backend *be, size_t n, const float *values)
{
    float *host = pdag_xcalloc(n + GUARD, sizeof *host);
    pdag_buf buf;

    for (size_t i = 0; i < n + GUARD; i++)
        host[i] = i >= n ? GUARD_VALUE : values != NULL ? values[i] : NAN;
    conf_ok(be->ops->alloc(be, (n + GUARD) * be->act_size, &buf));
    ck_assert_msg((uintptr_t)buf.ptr % 64 == 0, "alloc() is not aligned");
    conf_ok(be->ops->upload(be, n + GUARD, host, &buf));
    conf_ok(be->ops->sync(be));
    free(host);
    return buf;
}

conf_tensor *conf_tensor_of(size_t n, float *values)
{
    conf_tensor *t = &tensors[n_tensors++];

    ck_assert(n_tensors <= MAX_TENSORS);
    *t = (conf_tensor){n, values, make_buffer(conf_ref, n, values),
                       make_buffer(conf_test, n, values)};
    return t;
}

conf_tensor *conf_input(size_t n)
{
    return conf_tensor_of(n, conf_floats(n, 1.5f, 0.1f));
}

conf_tensor *conf_output(size_t n)
{
    return conf_tensor_of(n, NULL);
}

float *conf_fetch(pdag_backend *be, const pdag_buf *buf, size_t n)
{
    float *host = pdag_xcalloc(n + GUARD, sizeof *host);

    conf_ok(be->ops->download(be, n + GUARD, buf, host));
    conf_ok(be->ops->sync(be));
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
void conf_compare_within(const conf_tensor *y, const char *what, double factor)
{
    float *want = conf_fetch(conf_ref, &y->ref, y->n);
    float *got = conf_fetch(conf_test, &y->test, y->n);
    double error = relative_rms(y->n, got, want);

    if (getenv("CONF_BACKEND_VERBOSE") != NULL)
        printf("%-8s %-8s %-50s %.2e\n", conf_test->ops->name,
               pdag_precision_name(conf_test->precision), what, error);
    ck_assert_msg(error <= factor * tolerance(),
                  "%s %s: %s: relative RMS error %.3e", conf_test->ops->name,
                  pdag_precision_name(conf_test->precision), what, error);
    free(want);
    free(got);
}

void conf_compare(const conf_tensor *y, const char *what)
{
    conf_compare_within(y, what, 1.0);
}

/* Nobody changed an input; then forget all tensors. */
void conf_release(void)
{
    for (int i = 0; i < n_tensors; i++) {
        conf_tensor *t = &tensors[i];

        if (t->host != NULL) {
            float *now = conf_fetch(conf_test, &t->test, t->n);

            ck_assert_msg(memcmp(now, t->host, t->n * sizeof *now) == 0,
                          "an input was changed");
            free(now);
        }
        free(t->host);
        conf_ref->ops->free(conf_ref, &t->ref);
        conf_test->ops->free(conf_test, &t->test);
    }
    n_tensors = 0;
}

/* An input that the operation under test overwrites on purpose. */
void conf_give_up(conf_tensor *t)
{
    free(t->host);
    t->host = NULL;
}

void conf_open(int i)
{
    conf_random_state = 20240611u + (uint64_t)i;
    n_tensors = 0; /* a failed test leaves some behind */
    conf_ok(pdag_backend_open("ref", 0, PDAG_PRECISION_FLOAT32, &conf_ref));
    conf_ok(
        conf_variants[i].ops->open(0, conf_variants[i].precision, &conf_test));
}

void conf_close(void)
{
    conf_release();
    conf_ref->ops->close(conf_ref);
    conf_test->ops->close(conf_test);
}

void conf_weights_destroy(conf_weight w)
{
    conf_ref->ops->weight_destroy(conf_ref, w.ref);
    conf_test->ops->weight_destroy(conf_test, w.test);
}

/* The views and numbers go away before the weight is used. */
conf_weight conf_weights(const pdag_weight_desc *desc)
{
    conf_weight w;

    conf_ok(conf_ref->ops->weight_create(conf_ref, desc, &w.ref));
    conf_ok(conf_test->ops->weight_create(conf_test, desc, &w.test));
    return w;
}

conf_weight conf_linear(int parts, size_t in, const size_t *out, bool bias)
{
    pdag_tensor_view view[PDAG_WEIGHT_MAX_PARTS];
    pdag_tensor_view bias_view[PDAG_WEIGHT_MAX_PARTS];
    pdag_weight_desc desc = {.kind = PDAG_WEIGHT_LINEAR, .n_parts = parts};
    float *numbers[2 * PDAG_WEIGHT_MAX_PARTS];
    conf_weight w;

    for (int i = 0; i < parts; i++) {
        const float scale = 1.0f / sqrtf((float)in);

        numbers[2 * i] = conf_floats(out[i] * in, scale, 0.0f);
        numbers[2 * i + 1] = conf_floats(out[i], 1.0f, 0.0f);
        view[i] =
            (pdag_tensor_view){"w", numbers[2 * i], PDAG_F32, 2, {out[i], in}};
        bias_view[i] =
            (pdag_tensor_view){"b", numbers[2 * i + 1], PDAG_F32, 1, {out[i]}};
        desc.part[i] = &view[i];
        desc.bias[i] = bias ? &bias_view[i] : NULL;
    }
    w = conf_weights(&desc);
    for (int i = 0; i < 2 * parts; i++)
        free(numbers[i]);
    return w;
}

conf_weight conf_vector(size_t n, float offset)
{
    float *numbers = conf_floats(n, 0.5f, offset);
    const pdag_tensor_view view = {"v", numbers, PDAG_F32, 1, {n}};
    const pdag_weight_desc desc = {
        .kind = PDAG_WEIGHT_VECTOR, .n_parts = 1, .part = {&view}};
    conf_weight w = conf_weights(&desc);

    free(numbers);
    return w;
}

void conf_compare_bits(const conf_tensor *y, const char *what)
{
    float *want = conf_fetch(conf_ref, &y->ref, y->n);
    float *got = conf_fetch(conf_test, &y->test, y->n);

    ck_assert_msg(memcmp(want, got, y->n * sizeof *got) == 0, "%s", what);
    free(want);
    free(got);
}

pdag_slice conf_slice(const pdag_buf *buf, size_t offset, size_t batch_stride,
                      size_t row_stride)
{
    return (pdag_slice){buf, offset, batch_stride, row_stride};
}

void conf_run_linear(conf_weight w, size_t m, size_t in, size_t out,
                     pdag_activation act, conf_residual residual)
{
    char what[96];
    conf_tensor *x = conf_input(m * in);
    conf_tensor *plus = residual == NO_RESIDUAL ? NULL : conf_input(m * out);
    conf_tensor *y = residual == IN_PLACE ? plus : conf_output(m * out);

    if (residual == IN_PLACE)
        conf_give_up(plus);
    conf_ok(conf_ref->ops->linear(conf_ref, w.ref, m, &x->ref, act,
                                  plus != NULL ? &plus->ref : NULL, &y->ref));
    conf_ok(conf_test->ops->linear(conf_test, w.test, m, &x->test, act,
                                   plus != NULL ? &plus->test : NULL,
                                   &y->test));
    snprintf(what, sizeof what, "linear m %zu in %zu out %zu act %d res %d", m,
             in, out, (int)act, (int)residual);
    conf_compare(y, what);
    conf_release();
}
