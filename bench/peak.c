/* bench/peak [--backend NAME] [--precision NAME] [--side N] [--mib N]
 *
 * What a device can do at best, measured: "tflops X gbytes_per_second Y", of a
 * square matrix product and of reading and writing a large array; best of 10 after
 * a warm-up.  The floor that bench/gpu.sh compares evaluations with. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/mem.h"
#include "base/rng.h"
#include "comm/comm.h"

#define REPEATS 10
#define AT_ONCE 4 /* calls between two looks at the clock */

static void must(pdag_status status)
{
    if (status == PDAG_OK)
        return;
    fprintf(stderr, "bench/peak: %s\n", pdag_error_text());
    exit(1);
}

static float *random_floats(size_t n)
{
    float *values = pdag_xcalloc(n, sizeof *values);

    pdag_rng_counter_normal(1, 0, 0, n, values);
    return values;
}

static pdag_buf filled(pdag_backend *be, size_t n)
{
    const size_t piece = (size_t)1 << 22;
    float *values = random_floats(n < piece ? n : piece);
    pdag_buf buf;

    must(be->ops->alloc(be, n * be->act_size, &buf));
    for (size_t at = 0; at < n; at += piece) {
        const size_t left = n - at;
        pdag_buf part = {(char *)buf.ptr + at * be->act_size,
                         left * be->act_size, buf.mem, false};

        must(be->ops->upload(be, left < piece ? left : piece, values, &part));
    }
    free(values);
    return buf;
}

static double multiply_flops(pdag_backend *be, size_t side)
{
    float *numbers = random_floats(side * side);
    const pdag_tensor_view view = {"w", numbers, PDAG_F32, 2, {side, side}};
    const pdag_weight_desc desc = {
        .kind = PDAG_WEIGHT_LINEAR, .n_parts = 1, .part = {&view}};
    pdag_buf x = filled(be, side * side);
    pdag_buf y = filled(be, side * side);
    double best = INFINITY;
    pdag_weight *w;

    must(be->ops->weight_create(be, &desc, &w));
    free(numbers);
    for (int i = 0; i <= REPEATS; i++) {
        const double began = pdag_seconds();

        for (int k = 0; k < AT_ONCE; k++)
            must(be->ops->linear(be, w, side, &x, PDAG_ACT_NONE, NULL, &y));
        must(be->ops->sync(be));
        if (i > 0)
            best = fmin(best, pdag_seconds() - began);
    }
    be->ops->weight_destroy(be, w);
    be->ops->free(be, &y);
    be->ops->free(be, &x);
    return AT_ONCE * 2.0 * pow((double)side, 3.0) / best;
}

static double copy_bytes(pdag_backend *be, size_t bytes)
{
    const size_t n = bytes / be->act_size;
    pdag_buf x = filled(be, n);
    pdag_buf y = filled(be, n);
    double best = INFINITY;

    for (int i = 0; i <= REPEATS; i++) {
        const double began = pdag_seconds();

        for (int k = 0; k < AT_ONCE; k++)
            must(be->ops->scale(be, n, 1.5f, &x, &y));
        must(be->ops->sync(be));
        if (i > 0)
            best = fmin(best, pdag_seconds() - began);
    }
    be->ops->free(be, &y);
    be->ops->free(be, &x);
    return AT_ONCE * 2.0 * (double)bytes / best;
}

int main(int argc, char **argv)
{
    const char *backend = "auto";
    const char *name = "float32";
    size_t side = 4096;
    size_t mib = 256;
    pdag_precision precision;
    pdag_backend *be;

    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(argv[i], "--backend") == 0)
            backend = value;
        else if (strcmp(argv[i], "--precision") == 0)
            name = value;
        else if (strcmp(argv[i], "--side") == 0)
            side = strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--mib") == 0)
            mib = strtoul(value, NULL, 10);
        else
            side = 0;
    }
    if (side == 0 || mib == 0) {
        fprintf(stderr, "bench/peak [--backend NAME] [--precision NAME] "
                        "[--side N] [--mib N]\n");
        return 2;
    }
    must(pdag_precision_parse(name, &precision));
    must(pdag_backend_open(backend, 0, precision, &be));
    printf("tflops %.4g gbytes_per_second %.4g\n",
           multiply_flops(be, side) / 1e12,
           copy_bytes(be, mib << 20) / 1e9);
    be->ops->close(be);
    return 0;
}
