/* The CUDA kernels one by one: what the conformance suite cannot see.  Values
 * against plain formulas at sizes that take every path (matrix units or not,
 * aligned or not, one launch or two); equal bits in any order of threads (under
 * tests/cuda_emulator), and for an image alone or in a batch.
 *
 * Skipped (77) where there is no device. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cuda_runtime_api.h>

#include "backend/cuda_kernels.h"
#include "base/mem.h"
#include "base/tensor.h"

#ifdef PDAG_CUDA_EMULATOR
#define ORDERS 3
#else
#define ORDERS 2 /* of equal runs */
#endif

static uint64_t state = 4711;

static float uniform(void)
{
    uint64_t z = (state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (float)((double)(z >> 11) / 4503599627370496.0 - 1.0);
}

static size_t size_of(pdag_cuda_type type)
{
    return type == PDAG_CUDA_FLOAT32 ? 4 : 2;
}

static float rounded(pdag_cuda_type type, float value)
{
    if (type == PDAG_CUDA_BFLOAT16)
        return pdag_bf16_to_f32(pdag_f32_to_bf16(value));
    if (type == PDAG_CUDA_FLOAT16)
        return pdag_f16_to_f32(pdag_f32_to_f16(value));
    return value;
}

static double tolerance(pdag_cuda_type type)
{
    static const double values[] = {4e-6, 4e-3, 1e-3};

    return values[type];
}

static void ok(int code)
{
    ck_assert_msg(code == cudaSuccess, "%s",
                  cudaGetErrorString((cudaError_t)code));
}

static void set_order(int order)
{
#ifdef PDAG_CUDA_EMULATOR
    pdag_emulator_set_order(order);
#else
    (void)order;
#endif
}

static void *device_bytes(size_t bytes)
{
    void *ptr;

    ok(cudaMalloc(&ptr, bytes));
    ok(cudaMemset(ptr, 0xff, bytes)); /* NaN in every type */
    return ptr;
}

/* Random numbers of a type, on the host as float32 and on the device. */
typedef struct numbers {
    size_t n;
    float *host;
    void *device;
} numbers;

static void *to_device(pdag_cuda_type type, size_t n, const float *host)
{
    void *device = device_bytes(n * size_of(type));
    unsigned char *bytes = pdag_xcalloc(n, size_of(type));

    for (size_t i = 0; i < n; i++) {
        uint16_t half = type == PDAG_CUDA_BFLOAT16 ? pdag_f32_to_bf16(host[i])
                                                   : pdag_f32_to_f16(host[i]);

        if (type == PDAG_CUDA_FLOAT32)
            memcpy(bytes + 4 * i, &host[i], 4);
        else
            memcpy(bytes + 2 * i, &half, 2);
    }
    ok(cudaMemcpy(device, bytes, n * size_of(type), cudaMemcpyHostToDevice));
    free(bytes);
    return device;
}

static numbers make(pdag_cuda_type type, size_t n, float offset)
{
    numbers made = {n, pdag_xcalloc(n, sizeof(float)), NULL};

    for (size_t i = 0; i < n; i++)
        made.host[i] = rounded(type, offset + 1.5f * uniform());
    made.device = to_device(type, n, made.host);
    return made;
}

static void drop(numbers *what)
{
    free(what->host);
    ok(cudaFree(what->device));
}

static unsigned char *fetch(size_t bytes, const void *device)
{
    unsigned char *host = pdag_xcalloc(bytes, 1);

    ok(cudaMemcpy(host, device, bytes, cudaMemcpyDeviceToHost));
    return host;
}

static float value_at(pdag_cuda_type type, const unsigned char *bytes, size_t i)
{
    float value;
    uint16_t half;

    if (type == PDAG_CUDA_FLOAT32) {
        memcpy(&value, bytes + 4 * i, 4);
        return value;
    }
    memcpy(&half, bytes + 2 * i, 2);
    return type == PDAG_CUDA_BFLOAT16 ? pdag_bf16_to_f32(half)
                                      : pdag_f16_to_f32(half);
}

/* Of n numbers; NaN in `want` must be NaN in `got`: it was not to be written. */
static double distance(pdag_cuda_type type, size_t n, const unsigned char *got,
                       const double *want)
{
    double difference = 0.0;
    double size = 1e-30;

    for (size_t i = 0; i < n; i++) {
        const double value = (double)value_at(type, got, i);

        if (isnan(want[i])) {
            if (!isnan(value))
                return HUGE_VAL;
            continue;
        }
        difference += (value - want[i]) * (value - want[i]);
        size += want[i] * want[i];
    }
    return sqrt(difference / size);
}

/* ---- attention ---- */

typedef struct attention_case {
    size_t batch, heads, head_dim, n_q, n_kv;
    bool causal, shared;
    size_t shift; /* of all rows, in elements: 1 spoils every alignment */
} attention_case;

static double *expected_attention(const attention_case *c, size_t row,
                                  float scale, const float *q, const float *k,
                                  const float *v)
{
    const size_t width = c->heads * c->head_dim;
    double *y = pdag_xcalloc(c->shift + c->batch * c->n_q * row, sizeof *y);
    double *p = pdag_xcalloc(c->n_kv, sizeof *p);

    for (size_t i = 0; i < c->shift + c->batch * c->n_q * row; i++)
        y[i] = NAN;
    for (size_t at = 0; at < c->batch * c->heads * c->n_q; at++) {
        const size_t m = at % c->n_q;
        const size_t h = at / c->n_q % c->heads;
        const size_t b = at / c->n_q / c->heads;
        const size_t first = c->shift + h * c->head_dim;
        const float *query = q + first + (b * c->n_q + m) * row;
        const size_t keys = c->causal ? m + 1 : c->n_kv;
        const size_t image = c->shared ? 0 : b * c->n_kv * row;
        double top = -HUGE_VAL;
        double sum = 0.0;

        for (size_t j = 0; j < keys; j++) {
            p[j] = 0.0;
            for (size_t d = 0; d < c->head_dim; d++)
                p[j] += (double)query[d] *
                        (double)k[first + image + j * row + d];
            p[j] *= (double)scale;
            top = p[j] > top ? p[j] : top;
        }
        for (size_t j = 0; j < keys; j++)
            sum += p[j] = exp(p[j] - top);
        for (size_t d = 0; d < c->head_dim; d++) {
            double value = 0.0;

            for (size_t j = 0; j < keys; j++)
                value += p[j] * (double)v[first + image + j * row + d];
            y[first + (b * c->n_q + m) * row + d] = value / sum;
        }
    }
    (void)width;
    free(p);
    return y;
}

static pdag_cuda_rows rows_of(pdag_cuda_type type, const numbers *from,
                              size_t shift, size_t batch_stride, size_t row)
{
    return (pdag_cuda_rows){(char *)from->device + shift * size_of(type),
                            batch_stride, row};
}

static void run_attention(pdag_cuda_type type, bool matrix_unit,
                          const attention_case *c)
{
    const size_t row = c->heads * c->head_dim + (c->shift == 0 ? 8 : 5);
    const size_t n_kv = (c->shared ? 1 : c->batch) * c->n_kv * row + c->shift;
    const size_t n_q = c->batch * c->n_q * row + c->shift;
    numbers q = make(type, n_q, 0.1f);
    numbers k = make(type, n_kv, 0.1f);
    numbers v = make(type, n_kv, 0.1f);
    numbers y = {n_q, NULL, NULL};
    const size_t kv_batch = c->shared ? 0 : c->n_kv * row;
    const float scale = 2.0f / sqrtf((float)c->head_dim);
    double *want = expected_attention(c, row, scale, q.host, k.host, v.host);
    unsigned char *first = NULL;

    for (int order = 0; order < ORDERS; order++) {
        pdag_cuda_attention a = {.batch = c->batch,
                                 .heads = c->heads,
                                 .head_dim = c->head_dim,
                                 .n_q = c->n_q,
                                 .n_kv = c->n_kv,
                                 .scale = scale,
                                 .causal = c->causal,
                                 .matrix_unit = matrix_unit,
                                 .q = rows_of(type, &q, c->shift,
                                              c->n_q * row, row),
                                 .k = rows_of(type, &k, c->shift, kv_batch, row),
                                 .v = rows_of(type, &v, c->shift, kv_batch,
                                              row)};
        unsigned char *got;

        set_order(order);
        y.device = device_bytes(n_q * size_of(type));
        a.y = rows_of(type, &y, c->shift, c->n_q * row, row);
        ok(pdag_cuda_attend((pdag_cuda_at){NULL, type}, &a));
        got = fetch(n_q * size_of(type), y.device);
        ok(cudaFree(y.device));
        if (first == NULL) {
            const double error = distance(type, n_q, got, want);

            ck_assert_msg(error <= tolerance(type),
                          "type %d unit %d head_dim %zu q %zu kv %zu: %.2e",
                          (int)type, (int)matrix_unit, c->head_dim, c->n_q,
                          c->n_kv, error);
            first = got;
            continue;
        }
        ck_assert_msg(memcmp(first, got, n_q * size_of(type)) == 0,
                      "type %d unit %d head_dim %zu: other bits in order %d",
                      (int)type, (int)matrix_unit, c->head_dim, order);
        free(got);
    }
    free(first);
    free(want);
    drop(&q);
    drop(&k);
    drop(&v);
}

static const attention_case attention_cases[] = {
    {1, 1, 1, 1, 1, false, false, 0},    {2, 2, 5, 3, 70, false, false, 0},
    {1, 2, 32, 65, 64, false, false, 0}, {1, 1, 33, 20, 65, false, false, 0},
    {2, 1, 40, 70, 77, false, true, 0},  {1, 2, 40, 16, 63, false, false, 1},
    {1, 1, 48, 63, 130, false, true, 1}, {1, 2, 64, 129, 129, true, false, 0},
    {1, 1, 72, 33, 65, false, false, 0}, {1, 1, 80, 66, 66, true, false, 1},
    {1, 1, 96, 17, 40, false, false, 0}, {1, 1, 128, 64, 33, false, false, 0},
    {1, 1, 160, 70, 70, true, false, 0}, {1, 1, 200, 33, 31, false, false, 0},
    {1, 1, 256, 34, 34, true, false, 1}, {1, 1, 300, 5, 66, false, false, 0},
    {1, 1, 512, 9, 20, false, false, 0}};

START_TEST(test_attention)
{
    const attention_case *c = &attention_cases[_i];

    for (int type = PDAG_CUDA_FLOAT32; type <= PDAG_CUDA_FLOAT16; type++) {
        run_attention((pdag_cuda_type)type, false, c);
        if (type != PDAG_CUDA_FLOAT32)
            run_attention((pdag_cuda_type)type, true, c);
    }
}
END_TEST

/* ---- group norm ---- */

typedef struct norm_case {
    size_t b, p, c, groups;
    float offset;
} norm_case;

static double *expected_norm(const norm_case *s, const float *x,
                             const float *add, const float *gamma,
                             const float *beta)
{
    const size_t size = s->c / s->groups;
    double *y = pdag_xcalloc(s->b * s->p * s->c, sizeof *y);

    for (size_t i = 0; i < s->b * s->groups; i++) {
        const size_t image = i / s->groups;
        const size_t first = i % s->groups * size;
        const double count = (double)(s->p * size);
        double mean = 0.0;
        double squares = 0.0;

        for (int pass = 0; pass < 3; pass++) {
            for (size_t j = 0; j < s->p * size; j++) {
                const size_t channel = first + j % size;
                const size_t at = (image * s->p + j / size) * s->c + channel;
                const double value =
                    (double)x[at] + (double)add[image * s->c + channel];
                const double unit = (value - mean) / sqrt(squares + 1e-5);

                if (pass == 0)
                    mean += value / count / 1.0;
                else if (pass == 1)
                    squares += (value - mean) * (value - mean) / count;
                else
                    y[at] = unit * (double)gamma[channel] +
                            (double)beta[channel];
            }
        }
    }
    return y;
}

static void run_norm(pdag_cuda_type type, const norm_case *s, bool in_place)
{
    const size_t n = s->b * s->p * s->c;
    const size_t floats =
        pdag_cuda_group_norm_floats(s->b, s->p, s->c, s->groups);
    numbers x = make(type, n, s->offset);
    numbers add = make(type, s->b * s->c, 0.0f);
    numbers gamma = make(PDAG_CUDA_FLOAT32, s->c, 1.0f);
    numbers beta = make(PDAG_CUDA_FLOAT32, s->c, 0.0f);
    double *want =
        expected_norm(s, x.host, add.host, gamma.host, beta.host);
    unsigned char *first = NULL;
    float *workspace = device_bytes(floats * sizeof(float) + 1);

    ck_assert_uint_le(floats, 193 * s->b * s->groups);
    for (int order = 0; order < ORDERS + 1; order++) {
        /* The last round: the last image alone. */
        const size_t skip = order == ORDERS ? s->b - 1 : 0;
        const size_t at = skip * s->p * s->c * size_of(type);
        void *from = to_device(type, n, x.host);
        void *y = in_place ? from : device_bytes(n * size_of(type));
        const pdag_cuda_group_norm norm = {
            .b = s->b - skip,
            .p = s->p,
            .c = s->c,
            .groups = s->groups,
            .eps = 1e-5f,
            .gamma = gamma.device,
            .beta = beta.device,
            .add = (char *)add.device + skip * s->c * size_of(type),
            .act = PDAG_ACT_NONE,
            .x = (char *)from + at,
            .y = (char *)y + at,
            .workspace = workspace};
        unsigned char *got;

        set_order(order);
        ok(pdag_cuda_group_normalise((pdag_cuda_at){NULL, type}, &norm));
        got = fetch(n * size_of(type), y);
        if (!in_place)
            ok(cudaFree(y));
        ok(cudaFree(from));
        if (first == NULL) {
            const double error = distance(type, n, got, want);

            ck_assert_msg(error <= tolerance(type),
                          "type %d %zux%zux%zu / %zu: %.2e", (int)type, s->b,
                          s->p, s->c, s->groups, error);
            first = got;
            continue;
        }
        ck_assert_msg(memcmp(first + at, got + at, n * size_of(type) - at) == 0,
                      "type %d %zux%zux%zu / %zu: other bits in round %d",
                      (int)type, s->b, s->p, s->c, s->groups, order);
        free(got);
    }
    free(first);
    free(want);
    ok(cudaFree(workspace));
    drop(&x);
    drop(&add);
    drop(&gamma);
    drop(&beta);
}

static const norm_case norm_cases[] = {
    {2, 300, 320, 32, 0.0f}, {1, 4, 10, 2, 0.0f},   {3, 16, 64, 32, 20.0f},
    {2, 5, 33, 11, 0.0f},    {1, 700, 280, 1, 0.0f}, {1, 3, 4000, 1, 0.0f},
    {2, 7, 2560, 8, -5.0f},  {1, 1031, 130, 2, 9.0f}, {1, 2, 96, 96, 0.0f}};

START_TEST(test_group_norm)
{
    for (int type = PDAG_CUDA_FLOAT32; type <= PDAG_CUDA_FLOAT16; type++) {
        run_norm((pdag_cuda_type)type, &norm_cases[_i], false);
        run_norm((pdag_cuda_type)type, &norm_cases[_i], true);
    }
}
END_TEST

/* ---- convolution as a matrix ---- */

/* Pieces of the implicit matrix, each element by its definition. */
START_TEST(test_gather)
{
    static const pdag_cuda_conv convs[] = {
        {.h = 6, .w = 5, .c = 8, .oh = 6, .ow = 5, .kh = 3, .kw = 3,
         .stride = 1, .pad_top = 1, .pad_left = 1},
        {.h = 7, .w = 8, .c = 3, .oh = 3, .ow = 4, .kh = 3, .kw = 2,
         .stride = 2, .pad_top = 0, .pad_left = 0},
        {.h = 1, .w = 16, .c = 40, .oh = 1, .ow = 16, .kh = 1, .kw = 5,
         .stride = 1, .pad_top = 0, .pad_left = 2}};
    const pdag_cuda_type type = (pdag_cuda_type)(_i % 3);
    const pdag_cuda_conv *c = &convs[_i / 3];
    const size_t taps = c->kh * c->kw;
    const size_t row = (taps * c->c + 15) / 16 * 16;
    const size_t first = c->oh * c->ow / 2;
    const size_t n = c->oh * c->ow; /* the second half and the next first */
    numbers x = make(type, 2 * c->h * c->w * c->c, 0.0f);
    void *y = device_bytes(n * row * size_of(type));
    double *want = pdag_xcalloc(n * row, sizeof *want);
    unsigned char *got;

    for (size_t at = 0; at < n * taps * c->c; at++) {
        const size_t position = first + at / (taps * c->c);
        const size_t tap = at / c->c % taps;
        const long i = (long)(position / c->ow % c->oh * c->stride +
                              tap / c->kw) -
                       (long)c->pad_top;
        const long j =
            (long)(position % c->ow * c->stride + tap % c->kw) -
            (long)c->pad_left;
        const size_t image = position / c->ow / c->oh;
        const bool inside =
            i >= 0 && j >= 0 && i < (long)c->h && j < (long)c->w;

        want[at / (taps * c->c) * row + at % (taps * c->c)] =
            inside ? (double)x.host[((image * c->h + (size_t)i) * c->w +
                                     (size_t)j) *
                                        c->c +
                                    at % c->c]
                   : 0.0;
    }
    set_order(0);
    ok(pdag_cuda_gather((pdag_cuda_at){NULL, type}, c, first, n, row, x.device,
                        y));
    got = fetch(n * row * size_of(type), y);
    ck_assert(distance(type, n * row, got, want) == 0.0);
    free(got);
    free(want);
    ok(cudaFree(y));
    drop(&x);
}
END_TEST

/* float32 in, elements out, with everything that follows a product. */
START_TEST(test_epilogue)
{
    static const size_t shapes[][2] = {{5, 64}, {3, 7}};
    const pdag_cuda_type type = (pdag_cuda_type)(_i % 3);
    const size_t m = shapes[_i / 3][0];
    const size_t n = shapes[_i / 3][1];
    numbers x = make(PDAG_CUDA_FLOAT32, m * n, 0.0f);
    numbers bias = make(PDAG_CUDA_FLOAT32, n, 0.0f);
    numbers plus = make(type, m * n, 0.0f);
    double *want = pdag_xcalloc(m * n, sizeof *want);
    unsigned char *got;

    for (size_t i = 0; i < m * n; i++) {
        const double sum = (double)x.host[i] + (double)bias.host[i % n];

        want[i] = sum / (1.0 + exp(-sum)) + (double)plus.host[i];
    }
    set_order(1);
    ok(pdag_cuda_epilogue((pdag_cuda_at){NULL, type}, m, n, PDAG_CUDA_FLOAT32,
                          x.device, bias.device, PDAG_ACT_SILU, plus.device,
                          plus.device));
    got = fetch(m * n * size_of(type), plus.device);
    ck_assert(distance(type, m * n, got, want) <= tolerance(type));
    free(got);
    free(want);
    drop(&x);
    drop(&bias);
    drop(&plus);
}
END_TEST

/* Nothing to do is no error, and launches nothing. */
START_TEST(test_empty)
{
    const pdag_cuda_at at = {NULL, PDAG_CUDA_FLOAT16};
    const pdag_cuda_attention a = {.batch = 0, .heads = 1, .head_dim = 1};
    const pdag_cuda_group_norm g = {.b = 0, .p = 4, .c = 4, .groups = 2};

    ok(pdag_cuda_narrow(at, 0, NULL, NULL));
    ok(pdag_cuda_widen(at, 0, NULL, NULL));
    ok(pdag_cuda_from_planes(at, 0, 3, 4, NULL, NULL));
    ok(pdag_cuda_concat(at, 0, 3, NULL, 4, NULL, NULL));
    ok(pdag_cuda_scale(at, 0, 2.0f, NULL, NULL));
    ok(pdag_cuda_geglu(at, 0, 4, NULL, NULL));
    ok(pdag_cuda_layer_norm(at, 0, 4, 1e-5f, NULL, NULL, NULL, NULL));
    ok(pdag_cuda_attend(at, &a));
    ok(pdag_cuda_group_normalise(at, &g));
}
END_TEST

#define COUNT(list) (int)(sizeof(list) / sizeof(list)[0])

int main(void)
{
    Suite *suite = suite_create("cuda kernels");
    TCase *tc = tcase_create("kernels");
    SRunner *runner;
    int devices = 0;
    int failed;

    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
        printf("no CUDA device\n");
        return 77;
    }
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, test_attention, 0, COUNT(attention_cases));
    tcase_add_loop_test(tc, test_group_norm, 0, COUNT(norm_cases));
    tcase_add_loop_test(tc, test_gather, 0, 9);
    tcase_add_loop_test(tc, test_epilogue, 0, 6);
    tcase_add_test(tc, test_empty);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* a GPU does not survive it */
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
