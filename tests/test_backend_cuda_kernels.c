/* The CUDA kernels one by one: what the conformance suite cannot see.  Values
 * against plain formulas at sizes that take every path (matrix units or not,
 * aligned or not, one launch or two); equal bits in any order of threads (under
 * tests/cuda_emulator), and for an image alone or in a batch.
 *
 * Skipped (77) where there is no device. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cuda_runtime_api.h>

#include "base/mem.h"
#include "tests/cuda_kernels.h"

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
                    mean += value / count;
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
    cuda_numbers x = cuda_make(type, n, s->offset);
    cuda_numbers add = cuda_make(type, s->b * s->c, 0.0f);
    cuda_numbers gamma = cuda_make(PDAG_CUDA_FLOAT32, s->c, 1.0f);
    cuda_numbers beta = cuda_make(PDAG_CUDA_FLOAT32, s->c, 0.0f);
    double *want =
        expected_norm(s, x.host, add.host, gamma.host, beta.host);
    unsigned char *first = NULL;
    float *workspace = cuda_device_bytes(floats * sizeof(float) + 1);

    ck_assert_uint_le(floats, 193 * s->b * s->groups);
    for (int order = 0; order < ORDERS + 1; order++) {
        /* The last round: the last image alone. */
        const size_t skip = order == ORDERS ? s->b - 1 : 0;
        const size_t at = skip * s->p * s->c * cuda_size_of(type);
        void *from = cuda_to_device(type, n, x.host);
        void *y = in_place ? from : cuda_device_bytes(n * cuda_size_of(type));
        const pdag_cuda_group_norm norm = {
            .b = s->b - skip,
            .p = s->p,
            .c = s->c,
            .groups = s->groups,
            .eps = 1e-5f,
            .gamma = gamma.device,
            .beta = beta.device,
            .add = (char *)add.device + skip * s->c * cuda_size_of(type),
            .act = PDAG_ACT_NONE,
            .x = (char *)from + at,
            .y = (char *)y + at,
            .workspace = workspace};
        unsigned char *got;

        cuda_set_order(order);
        cuda_ok(pdag_cuda_group_normalise((pdag_cuda_at){NULL, type}, &norm));
        got = cuda_fetch(n * cuda_size_of(type), y);
        if (!in_place)
            cuda_ok(cudaFree(y));
        cuda_ok(cudaFree(from));
        if (first == NULL) {
            const double error = cuda_distance(type, n, got, want);

            ck_assert_msg(error <= cuda_tolerance(type),
                          "type %d %zux%zux%zu / %zu: %.2e", (int)type, s->b,
                          s->p, s->c, s->groups, error);
            first = got;
            continue;
        }
        ck_assert_msg(memcmp(first + at, got + at,
                             n * cuda_size_of(type) - at) == 0,
                      "type %d %zux%zux%zu / %zu: other bits in round %d",
                      (int)type, s->b, s->p, s->c, s->groups, order);
        free(got);
    }
    free(first);
    free(want);
    cuda_ok(cudaFree(workspace));
    cuda_drop(&x);
    cuda_drop(&add);
    cuda_drop(&gamma);
    cuda_drop(&beta);
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
    cuda_numbers x = cuda_make(type, 2 * c->h * c->w * c->c, 0.0f);
    void *y = cuda_device_bytes(n * row * cuda_size_of(type));
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
    cuda_set_order(0);
    cuda_ok(pdag_cuda_gather((pdag_cuda_at){NULL, type}, c, first, n, row, x.device,
                        y));
    got = cuda_fetch(n * row * cuda_size_of(type), y);
    ck_assert(cuda_distance(type, n * row, got, want) == 0.0);
    free(got);
    free(want);
    cuda_ok(cudaFree(y));
    cuda_drop(&x);
}
END_TEST

/* float32 in, elements out, with everything that follows a product. */
START_TEST(test_epilogue)
{
    static const size_t shapes[][2] = {{5, 64}, {3, 7}};
    const pdag_cuda_type type = (pdag_cuda_type)(_i % 3);
    const size_t m = shapes[_i / 3][0];
    const size_t n = shapes[_i / 3][1];
    cuda_numbers x = cuda_make(PDAG_CUDA_FLOAT32, m * n, 0.0f);
    cuda_numbers bias = cuda_make(PDAG_CUDA_FLOAT32, n, 0.0f);
    cuda_numbers plus = cuda_make(type, m * n, 0.0f);
    double *want = pdag_xcalloc(m * n, sizeof *want);
    unsigned char *got;

    for (size_t i = 0; i < m * n; i++) {
        const double sum = (double)x.host[i] + (double)bias.host[i % n];

        want[i] = sum / (1.0 + exp(-sum)) + (double)plus.host[i];
    }
    cuda_set_order(1);
    cuda_ok(pdag_cuda_epilogue((pdag_cuda_at){NULL, type}, m, n, PDAG_CUDA_FLOAT32,
                          x.device, bias.device, PDAG_ACT_SILU, plus.device,
                          plus.device));
    got = cuda_fetch(m * n * cuda_size_of(type), plus.device);
    ck_assert(cuda_distance(type, m * n, got, want) <= cuda_tolerance(type));
    free(got);
    free(want);
    cuda_drop(&x);
    cuda_drop(&bias);
    cuda_drop(&plus);
}
END_TEST

enum { ALIGN_M = 6, ALIGN_N = 32 };

/* One of the operations on x[6][32] and the like; y[12][32] at most. */
static int run_aligned(int operation, pdag_cuda_at at, const void *x, void *y)
{
    const pdag_cuda_conv conv = {.h = 2, .w = 3, .c = ALIGN_N, .oh = 2,
                                 .ow = 2, .kh = 1, .kw = 2, .stride = 1};
    const pdag_cuda_group_norm norm = {.b = 2, .p = 3, .c = ALIGN_N,
                                       .groups = 4, .eps = 1e-5f, .x = x,
                                       .y = y};

    switch (operation) {
    case 0:
        return pdag_cuda_activate(at, ALIGN_M * ALIGN_N, PDAG_ACT_MISH, x, y);
    case 1:
        return pdag_cuda_scale(at, ALIGN_M * ALIGN_N, 0.5f, x, y);
    case 2:
        return pdag_cuda_geglu(at, ALIGN_M, ALIGN_N / 2, x, y);
    case 3:
        return pdag_cuda_modulate(at, 2, 3, ALIGN_N, 1.0f, x, ALIGN_N, x, 0, x,
                                  y);
    case 4:
        return pdag_cuda_gated_add(at, 2, 3, ALIGN_N, x, ALIGN_N, x, x, y);
    case 5:
        return pdag_cuda_layer_norm(at, ALIGN_M, ALIGN_N, 1e-5f, NULL, NULL, x,
                                    y);
    case 6:
        return pdag_cuda_group_normalise(at, &norm);
    case 7:
        return pdag_cuda_concat(at, ALIGN_M, ALIGN_N, x, ALIGN_N, x, y);
    case 8:
        return pdag_cuda_upsample(at, 1, 2, 3, ALIGN_N, 4, 3, x, y);
    case 9:
        return pdag_cuda_avg_pool2(at, 1, 2, 2, ALIGN_N, x, y);
    default:
        return pdag_cuda_gather(at, &conv, 0, 4, 2 * ALIGN_N, x, y);
    }
}

/* Buffers that start between two wide accesses: the same numbers, but for the
 * order of sums. */
START_TEST(test_alignment)
{
    const size_t n_x = ALIGN_M * ALIGN_N, n_y = 2 * ALIGN_M * ALIGN_N;

    cuda_set_order(0);
    for (int type = PDAG_CUDA_FLOAT32; type <= PDAG_CUDA_FLOAT16; type++) {
        const size_t size = cuda_size_of((pdag_cuda_type)type);
        const pdag_cuda_at at = {NULL, (pdag_cuda_type)type};
        cuda_numbers x = cuda_make(at.type, n_x, 0.2f);
        char *moved = cuda_device_bytes((n_x + 1) * size);
        char *y = cuda_device_bytes(n_y * size);
        char *odd = cuda_device_bytes((n_y + 1) * size);
        unsigned char *want, *got;

        cuda_ok(cudaMemcpy(moved + size, x.device, n_x * size,
                      cudaMemcpyDeviceToDevice));
        cuda_ok(run_aligned(_i, at, x.device, y));
        cuda_ok(run_aligned(_i, at, moved + size, odd + size));
        want = cuda_fetch(n_y * size, y);
        got = cuda_fetch(n_y * size, odd + size);
        ck_assert_msg(cuda_difference(at.type, n_y, got, want) <=
                          cuda_tolerance(at.type),
                      "operation %d of type %d", _i, type);
        free(want);
        free(got);
        cuda_ok(cudaFree(moved));
        cuda_ok(cudaFree(y));
        cuda_ok(cudaFree(odd));
        cuda_drop(&x);
    }
}
END_TEST

/* Nothing to do is no error, and launches nothing. */
START_TEST(test_empty)
{
    const pdag_cuda_at at = {NULL, PDAG_CUDA_FLOAT16};
    const pdag_cuda_attention a = {.batch = 0, .heads = 1, .head_dim = 1};
    const pdag_cuda_group_norm g = {.b = 0, .p = 4, .c = 4, .groups = 2};

    cuda_ok(pdag_cuda_narrow(at, 0, NULL, NULL));
    cuda_ok(pdag_cuda_widen(at, 0, NULL, NULL));
    cuda_ok(pdag_cuda_from_planes(at, 0, 3, 4, NULL, NULL));
    cuda_ok(pdag_cuda_concat(at, 0, 3, NULL, 4, NULL, NULL));
    cuda_ok(pdag_cuda_scale(at, 0, 2.0f, NULL, NULL));
    cuda_ok(pdag_cuda_geglu(at, 0, 4, NULL, NULL));
    cuda_ok(pdag_cuda_layer_norm(at, 0, 4, 1e-5f, NULL, NULL, NULL, NULL));
    cuda_ok(pdag_cuda_attend(at, &a));
    cuda_ok(pdag_cuda_group_normalise(at, &g));
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
    cuda_add_attention(tc);
    tcase_add_loop_test(tc, test_group_norm, 0, COUNT(norm_cases));
    tcase_add_loop_test(tc, test_gather, 0, 9);
    tcase_add_loop_test(tc, test_epilogue, 0, 6);
    tcase_add_loop_test(tc, test_alignment, 0, 11);
    tcase_add_test(tc, test_empty);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* a GPU does not survive it */
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
