/* Attention on a CUDA device: on matrix units and without, aligned and not, every
 * width of head. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cuda_runtime_api.h>

#include "base/mem.h"
#include "tests/cuda_kernels.h"

typedef struct attention_case {
    size_t batch, heads, head_dim, n_q, n_kv;
    bool causal, shared;
    size_t shift; /* of all rows, in elements: 1 spoils every alignment */
} attention_case;

static double *expected_attention(const attention_case *c, size_t row,
                                  float scale, const float *q, const float *k,
                                  const float *v)
{
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
    free(p);
    return y;
}

static pdag_cuda_rows rows_of(pdag_cuda_type type, const cuda_numbers *from,
                              size_t shift, size_t batch_stride, size_t row)
{
    return (pdag_cuda_rows){(char *)from->device + shift * cuda_size_of(type),
                            batch_stride, row};
}

static void run_attention(pdag_cuda_type type, bool matrix_unit,
                          const attention_case *c)
{
    const size_t row = c->heads * c->head_dim + (c->shift == 0 ? 8 : 5);
    const size_t n_kv = (c->shared ? 1 : c->batch) * c->n_kv * row + c->shift;
    const size_t n_q = c->batch * c->n_q * row + c->shift;
    cuda_numbers q = cuda_make(type, n_q, 0.1f);
    cuda_numbers k = cuda_make(type, n_kv, 0.1f);
    cuda_numbers v = cuda_make(type, n_kv, 0.1f);
    cuda_numbers y = {n_q, NULL, NULL};
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

        cuda_set_order(order);
        y.device = cuda_device_bytes(n_q * cuda_size_of(type));
        a.y = rows_of(type, &y, c->shift, c->n_q * row, row);
        cuda_ok(pdag_cuda_attend((pdag_cuda_at){NULL, type}, &a));
        got = cuda_fetch(n_q * cuda_size_of(type), y.device);
        cuda_ok(cudaFree(y.device));
        if (first == NULL) {
            const double error = cuda_distance(type, n_q, got, want);

            ck_assert_msg(error <= cuda_tolerance(type),
                          "type %d unit %d head_dim %zu q %zu kv %zu: %.2e",
                          (int)type, (int)matrix_unit, c->head_dim, c->n_q,
                          c->n_kv, error);
            first = got;
            continue;
        }
        ck_assert_msg(memcmp(first, got, n_q * cuda_size_of(type)) == 0,
                      "type %d unit %d head_dim %zu: other bits in order %d",
                      (int)type, (int)matrix_unit, c->head_dim, order);
        free(got);
    }
    free(first);
    free(want);
    cuda_drop(&q);
    cuda_drop(&k);
    cuda_drop(&v);
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

void cuda_add_attention(TCase *tc)
{
    tcase_add_loop_test(tc, test_attention, 0,
                        (int)(sizeof attention_cases /
                              sizeof attention_cases[0]));
}
