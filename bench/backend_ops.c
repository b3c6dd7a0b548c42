/* OMP_NUM_THREADS=1 bench/backend_ops [-l] [-b BACKEND] [-p PRECISION] [-n
 * SECONDS] [FILTER]
 *
 * Microseconds of single operations at the shapes of Stable Diffusion 1.5
 * (64x64 latents, batch 2) and of the shipped emoji-sd: best of as many calls
 * as fit in SECONDS (0.3).  One line "precision,operation,microseconds" each on
 * stdout; -l prints the names only.  FILTER keeps operations whose name
 * contains it. bench/backend_ops.py runs this beside PyTorch.
 *
 * The clock is the processor time of this process: for one thread the same as
 * the time on the wall, less what other programs took meanwhile. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/backend.h"
#include "base/mem.h"

static pdag_backend *be;
static double seconds = 0.3;
static const char *filter = "";
static bool list_only;

static void ok(pdag_status status)
{
    if (status == PDAG_OK)
        return;
    fprintf(stderr, "backend_ops: %s\n", pdag_error_text());
    exit(EXIT_FAILURE);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Values in [-1, 1), different for every buffer and call of the program alike.
 */
static float *random_floats(size_t n)
{
    static unsigned state = 1;
    float *values = pdag_xcalloc(n, sizeof *values);

    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (float)(int)state / 2147483648.0f;
    }
    return values;
}

static pdag_buf random_buffer(size_t n)
{
    float *values = random_floats(n);
    pdag_buf buf;

    ok(be->ops->alloc(be, n * be->act_size, &buf));
    ok(be->ops->upload(be, n, values, &buf));
    free(values);
    return buf;
}

static pdag_weight *random_weight(pdag_weight_kind kind, size_t out, size_t in,
                                  size_t k, size_t stride)
{
    const size_t n = kind == PDAG_WEIGHT_VECTOR ? out : out * in * k * k;
    float *values = random_floats(n);
    float *bias = random_floats(out);
    pdag_tensor_view view = {"w", values, PDAG_F32, 4, {out, in, k, k}};
    const pdag_tensor_view bias_view = {"b", bias, PDAG_F32, 1, {out}};
    pdag_weight_desc desc = {.kind = kind,
                             .n_parts = 1,
                             .part = {&view},
                             .bias = {&bias_view},
                             .stride = stride,
                             .pad_top = k / 2,
                             .pad_left = k / 2,
                             .pad_bottom = k / 2,
                             .pad_right = k / 2};
    pdag_weight *w;

    if (kind == PDAG_WEIGHT_VECTOR) {
        view.n_dims = 1;
        desc.bias[0] = NULL;
    }
    ok(be->ops->weight_create(be, &desc, &w));
    free(values);
    free(bias);
    return w;
}

/* What a case runs on; unused members are zero. */
typedef struct setting {
    size_t a, b, c, d, e, f; /* meaning: see each function */
    pdag_weight *w, *v;
    pdag_buf x, y, z;
} setting;

/* a images of b x b, c -> d channels, k = e, stride f, without and with
 * residual */
static void run_conv(setting *s)
{
    ok(be->ops->conv2d(be, s->w, s->a, s->b, s->b, &s->x, NULL, &s->y));
}

static void run_conv_add(setting *s)
{
    ok(be->ops->conv2d(be, s->w, s->a, s->b, s->b, &s->x, &s->z, &s->y));
}

/* a rows, c -> d */
static void run_linear(setting *s)
{
    ok(be->ops->linear(be, s->w, s->a, &s->x, PDAG_ACT_NONE, NULL, &s->y));
}

static void run_linear_silu(setting *s)
{
    ok(be->ops->linear(be, s->w, s->a, &s->x, PDAG_ACT_SILU, NULL, &s->y));
}

static void run_linear_add(setting *s)
{
    ok(be->ops->linear(be, s->w, s->a, &s->x, PDAG_ACT_NONE, &s->z, &s->y));
}

/* a images, b queries, c keys, d heads of e */
static void run_attention(setting *s)
{
    const size_t row = s->d * s->e;
    const pdag_attention a = {s->a,
                              s->d,
                              s->e,
                              s->b,
                              s->c,
                              1.0f / sqrtf((float)s->e),
                              false,
                              {&s->x, 0, s->b * row, row},
                              {&s->z, 0, s->c * row, row},
                              {&s->z, 0, s->c * row, row},
                              {&s->y, 0, s->b * row, row}};

    ok(be->ops->attention(be, &a));
}

/* a images of b positions, c channels in d groups; add and SiLU */
static void run_group_norm(setting *s)
{
    ok(be->ops->group_norm(be, s->a, s->b, s->c, s->d, 1e-5f, s->w, s->v, NULL,
                           PDAG_ACT_NONE, &s->x, &s->y));
}

static void run_group_norm_silu(setting *s)
{
    ok(be->ops->group_norm(be, s->a, s->b, s->c, s->d, 1e-5f, s->w, s->v, &s->z,
                           PDAG_ACT_SILU, &s->x, &s->y));
}

/* a rows of c */
static void run_layer_norm(setting *s)
{
    ok(be->ops->layer_norm(be, s->a, s->c, 1e-5f, s->w, s->v, &s->x, &s->y));
}

static void run_geglu(setting *s)
{
    ok(be->ops->geglu(be, s->a, s->c, &s->x, &s->y));
}

/* a rows, c + d channels */
static void run_concat(setting *s)
{
    ok(be->ops->concat(be, s->a, s->c, &s->x, s->d, &s->z, &s->y));
}

/* a images of b x b to twice that, c channels */
static void run_upsample(setting *s)
{
    ok(be->ops->upsample(be, s->a, s->b, s->b, s->c, 2 * s->b, 2 * s->b, &s->x,
                         &s->y));
}

/* Seconds of one of `calls` calls. */
static double time_calls(int calls, setting *s, void (*run)(setting *))
{
    const double start = now();

    for (int i = 0; i < calls; i++)
        run(s);
    ok(be->ops->sync(be));
    return (now() - start) / calls;
}

/* Short operations run in groups of about a millisecond, for the clock. */
static void measure(const char *name, setting *s, void (*run)(setting *))
{
    const double start = now();
    double best = time_calls(3, s, run);
    const int calls = best < 1e-3 ? (int)(1e-3 / (best + 1e-7)) + 1 : 1;

    do {
        const double t = time_calls(calls, s, run);

        best = t < best ? t : best;
    } while (now() - start < seconds);
    printf("%s,%s,%.2f\n", pdag_precision_name(be->precision), name,
           1e6 * best);
    fflush(stdout);
}

static void finish(setting *s)
{
    be->ops->weight_destroy(be, s->w);
    be->ops->weight_destroy(be, s->v);
    be->ops->free(be, &s->x);
    be->ops->free(be, &s->y);
    be->ops->free(be, &s->z);
}

static bool wanted(const char *name)
{
    if (strstr(name, filter) == NULL)
        return false;
    if (list_only)
        puts(name);
    return !list_only;
}

static void bench_conv(const char *model, size_t b, size_t size, size_t in,
                       size_t out, size_t k, size_t stride, int add)
{
    setting s = {.a = b, .b = size, .c = in, .d = out, .e = k, .f = stride};
    const size_t n_out = b * (size / stride) * (size / stride) * out;
    char name[96];

    snprintf(name, sizeof name, "%s conv%s b%zu %zux%zu %zu->%zu k%zu s%zu",
             model, add ? "+add" : "", b, size, size, in, out, k, stride);
    if (!wanted(name))
        return;
    s.w = random_weight(PDAG_WEIGHT_CONV2D, out, in, k, stride);
    s.x = random_buffer(b * size * size * in);
    s.y = random_buffer(n_out);
    s.z = random_buffer(n_out);
    measure(name, &s, add ? run_conv_add : run_conv);
    finish(&s);
}

static void bench_linear(const char *model, size_t m, size_t in, size_t out,
                         const char *kind)
{
    setting s = {.a = m, .c = in, .d = out};
    char name[96];

    snprintf(name, sizeof name, "%s linear%s m%zu %zu->%zu", model, kind, m, in,
             out);
    if (!wanted(name))
        return;
    s.w = random_weight(PDAG_WEIGHT_LINEAR, out, in, 1, 1);
    s.x = random_buffer(m * in);
    s.y = random_buffer(m * out);
    s.z = random_buffer(m * out);
    measure(name, &s,
            strcmp(kind, "+silu") == 0  ? run_linear_silu
            : strcmp(kind, "+add") == 0 ? run_linear_add
                                        : run_linear);
    finish(&s);
}

static void bench_attention(const char *model, size_t b, size_t n_q,
                            size_t n_kv, size_t heads, size_t head_dim)
{
    setting s = {.a = b, .b = n_q, .c = n_kv, .d = heads, .e = head_dim};
    char name[96];

    snprintf(name, sizeof name, "%s attention b%zu q%zu kv%zu %zux%zu", model,
             b, n_q, n_kv, heads, head_dim);
    if (!wanted(name))
        return;
    s.x = random_buffer(b * n_q * heads * head_dim);
    s.y = random_buffer(b * n_q * heads * head_dim);
    s.z = random_buffer(b * n_kv * heads * head_dim);
    measure(name, &s, run_attention);
    finish(&s);
}

static void bench_norm(const char *model, const char *kind, size_t b, size_t p,
                       size_t c, size_t groups, void (*run)(setting *))
{
    setting s = {.a = b, .b = p, .c = c, .d = groups};
    char name[96];

    if (run == run_layer_norm)
        s.a = b * p;
    snprintf(name, sizeof name, "%s %s b%zu p%zu c%zu g%zu", model, kind, b, p,
             c, groups);
    if (!wanted(name))
        return;
    s.w = random_weight(PDAG_WEIGHT_VECTOR, c, 1, 1, 1);
    s.v = random_weight(PDAG_WEIGHT_VECTOR, c, 1, 1, 1);
    s.x = random_buffer(b * p * c);
    s.y = random_buffer(b * p * c);
    s.z = random_buffer(b * c);
    measure(name, &s, run);
    finish(&s);
}

static void bench_geglu(const char *model, size_t m, size_t n)
{
    setting s = {.a = m, .c = n};
    char name[96];

    snprintf(name, sizeof name, "%s geglu m%zu n%zu", model, m, n);
    if (!wanted(name))
        return;
    s.x = random_buffer(2 * m * n);
    s.y = random_buffer(m * n);
    measure(name, &s, run_geglu);
    finish(&s);
}

static void bench_concat(const char *model, size_t m, size_t ca, size_t cb)
{
    setting s = {.a = m, .c = ca, .d = cb};
    char name[96];

    snprintf(name, sizeof name, "%s concat m%zu %zu+%zu", model, m, ca, cb);
    if (!wanted(name))
        return;
    s.x = random_buffer(m * ca);
    s.z = random_buffer(m * cb);
    s.y = random_buffer(m * (ca + cb));
    measure(name, &s, run_concat);
    finish(&s);
}

static void bench_upsample(const char *model, size_t b, size_t size, size_t c)
{
    setting s = {.a = b, .b = size, .c = c};
    char name[96];

    snprintf(name, sizeof name, "%s upsample b%zu %zux%zu c%zu", model, b, size,
             size, c);
    if (!wanted(name))
        return;
    s.x = random_buffer(b * size * size * c);
    s.y = random_buffer(4 * b * size * size * c);
    measure(name, &s, run_upsample);
    finish(&s);
}

/* One level of a U-Net: what its resnet and transformer blocks run. */
static void bench_level(const char *model, size_t b, size_t size, size_t c,
                        size_t groups, size_t heads, size_t n_text)
{
    const size_t p = size * size;

    bench_conv(model, b, size, c, c, 3, 1, 0);
    bench_conv(model, b, size, c, c, 3, 1, 1);
    bench_conv(model, b, size, 2 * c, c, 3, 1, 0);
    bench_conv(model, b, size, c, c, 3, 2, 0);
    bench_norm(model, "groupnorm", b, p, c, groups, run_group_norm);
    bench_norm(model, "groupnorm+add+silu", b, p, c, groups,
               run_group_norm_silu);
    bench_norm(model, "groupnorm+add+silu", b, p, 2 * c, groups,
               run_group_norm_silu);
    bench_norm(model, "layernorm", b, p, c, 1, run_layer_norm);
    bench_linear(model, b * p, c, c, "");
    bench_linear(model, b * p, c, 3 * c, "");
    bench_linear(model, b * p, c, 8 * c, "");
    bench_linear(model, b * p, 4 * c, c, "+add");
    bench_attention(model, b, p, p, heads, c / heads);
    bench_attention(model, b, p, n_text, heads, c / heads);
    bench_geglu(model, b * p, 4 * c);
    bench_concat(model, b * p, c, c);
    bench_upsample(model, b, size / 2, c);
}

int main(int argc, char **argv)
{
    const char *backend = "auto";
    pdag_precision precision = PDAG_PRECISION_FLOAT32;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-b") == 0 && i + 1 < argc)
            backend = argv[++i];
        else if (strcmp(argv[i], "-p") == 0 && i + 1 < argc)
            ok(pdag_precision_parse(argv[++i], &precision));
        else if (strcmp(argv[i], "-n") == 0 && i + 1 < argc)
            seconds = strtod(argv[++i], NULL);
        else if (strcmp(argv[i], "-l") == 0)
            list_only = true;
        else
            filter = argv[i];
    }
    ok(pdag_backend_open(backend, 0, precision, &be));
    fprintf(stderr, "%s\n", be->description);
    bench_level("sd15", 2, 64, 320, 32, 8, 77);
    bench_level("sd15", 2, 32, 640, 32, 8, 77);
    bench_level("sd15", 2, 16, 1280, 32, 8, 77);
    bench_conv("sd15", 2, 8, 1280, 1280, 3, 1, 0);
    bench_conv("sd15", 2, 8, 2560, 1280, 3, 1, 0);
    bench_conv("sd15", 2, 64, 4, 320, 3, 1, 0);
    bench_conv("sd15", 2, 64, 320, 4, 3, 1, 0);
    bench_linear("sd15", 2, 320, 1280, "+silu");
    bench_linear("sd15", 2, 1280, 1280, "");
    bench_linear("sd15", 154, 768, 640, "");
    for (size_t b = 2; b <= 16; b *= 8) {
        bench_level("emoji", b, 16, 64, 16, 4, 32);
        bench_level("emoji", b, 8, 128, 16, 4, 32);
        bench_level("emoji", b, 4, 256, 16, 4, 32);
    }
    be->ops->close(be);
    return EXIT_SUCCESS;
}
