/* bench/network examples/models/emoji-sd/unet --rows 2 --precision bfloat16
 *
 * Seconds of one evaluation of a part of a model (U-Net, autoencoder's decoder,
 * text encoder), best of some repeats, peak memory, and what the matrix products of
 * one evaluation need at least (operations, bytes: bench/count.h); one thread with
 * OMP_NUM_THREADS=1.  --check compares with expected.safetensors beside the
 * weights (tools/reference/sd15_shape.py writes it) instead.  bench/network.py
 * runs the same in PyTorch and gives the ratio. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/mem.h"
#include "base/rng.h"
#include "bench/count.h"
#include "models/autoencoder.h"
#include "models/clip_text.h"
#include "models/layout.h"
#include "models/registry.h"

typedef struct options {
    const char *folder, *backend, *precision;
    size_t rows, repeats;
    bool check;
} options;

/* A part that can be evaluated; `in` and `out` are the fixture's or random. */
typedef struct part {
    pdag_denoiser *network;
    pdag_condition *cond[2]; /* of rows below and from n / 2 */
    const pdag_condition **per_row;
    pdag_autoencoder *vae;
    pdag_clip_text *clip;
    int32_t *ids;
    size_t height, width; /* of a latent */
    size_t rows, in_count, out_count;
    float *in, *t, *out;
} part;

static void must(pdag_status status)
{
    if (status == PDAG_OK)
        return;
    fprintf(stderr, "bench/network: %s\n", pdag_error_text());
    exit(1);
}

static double now(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* A tensor of expected.safetensors; free(). */
static float *expected(const options *o, const char *name, size_t *count_out)
{
    char *path = pdag_xasprintf("%s/expected.safetensors", o->folder);
    pdag_weights *file;
    const pdag_tensor_view *view;
    float *values;

    must(pdag_weights_open_file(path, &file));
    view = pdag_weights_find(file, name);
    if (view == NULL)
        must(pdag_error(PDAG_ERR_INPUT, "%s: no tensor %s", path, name));
    *count_out = pdag_tensor_count(view);
    values = pdag_xcalloc(*count_out, sizeof *values);
    pdag_tensor_to_f32(view, 0, *count_out, values);
    pdag_weights_close(file);
    free(path);
    return values;
}

static float *input(const options *o, const char *name, size_t count)
{
    float *values;
    size_t found;

    if (o->check) {
        values = expected(o, name, &found);
        if (found != count)
            must(pdag_error(PDAG_ERR_SHAPE, "%s: %zu elements, not %zu", name,
                            found, count));
        return values;
    }
    values = pdag_xcalloc(count, sizeof *values);
    pdag_rng_counter_normal(1, 0, 0, count, values);
    return values;
}

static void open_network(const options *o, pdag_builder *b, part *p)
{
    const pdag_network_class *network;
    pdag_denoiser *model;
    float *cond;

    must(pdag_network_find(&b->config, &network));
    must(network->load(b, &model));
    p->network = model;
    p->rows = o->rows;
    if (o->check)
        free(expected(o, "t", &p->rows));
    p->in_count = p->rows * model->dim;
    p->out_count = p->in_count;
    p->in = input(o, "x", p->in_count);
    p->t = o->check ? input(o, "t", p->rows) : pdag_xcalloc(p->rows, 4);
    for (size_t i = 0; !o->check && i < p->rows; i++)
        p->t[i] = 20.0f * (float)i + 1.0f;
    if (model->cond_dim == 0)
        return;
    cond = input(o, "cond", 2 * model->cond_dim);
    for (size_t i = 0; i < 2 && model->n_classes > 0 && !o->check; i++)
        cond[i] = i == 0 ? 0.0f : (float)model->n_classes; /* and no class */
    p->per_row = pdag_xcalloc(p->rows, sizeof *p->per_row);
    for (size_t i = 0; i < 2; i++)
        must(model->ops->condition_create(model, cond + i * model->cond_dim,
                                          &p->cond[i]));
    for (size_t i = 0; i < p->rows; i++)
        p->per_row[i] = p->cond[i < p->rows / 2 ? 0 : 1];
    free(cond);
}

static void open_vae(const options *o, pdag_builder *b, part *p)
{
    const pdag_autoencoder_info *info;
    long side;

    must(pdag_json_int(&b->config, "sample_size", 1, 65536, 512, &side));
    must(pdag_autoencoder_load(b, false, &p->vae));
    info = &p->vae->info;
    p->rows = 1;
    p->height = (size_t)side / info->factor;
    p->width = p->height;
    p->in_count = info->latent_channels * p->height * p->width;
    p->out_count = info->out_channels * (size_t)side * (size_t)side;
    p->in = input(o, "latent", p->in_count);
}

static void open_clip(const options *o, pdag_builder *b, part *p)
{
    const pdag_clip_text_info *info;

    must(pdag_clip_text_load(b, &p->clip));
    info = pdag_clip_text_describe(p->clip);
    p->rows = 1;
    p->in_count = info->max_tokens;
    p->out_count = info->max_tokens * info->width;
    p->in = input(o, "ids", p->in_count);
    p->ids = pdag_xcalloc(p->in_count, sizeof *p->ids);
    for (size_t i = 0; i < p->in_count; i++)
        p->ids[i] =
            o->check ? (int32_t)p->in[i] : (int32_t)(i % info->vocabulary);
}

static void open_part(const options *o, pdag_backend *be, part *p)
{
    pdag_builder b;
    char *plain = pdag_xasprintf("%s/model.safetensors", o->folder);
    FILE *file = fopen(plain, "rb");
    const char *name;

    if (file != NULL)
        fclose(file);
    free(plain);
    must(pdag_builder_open(
        &b, o->folder,
        file != NULL ? PDAG_WEIGHTS_TRANSFORMERS : PDAG_WEIGHTS_DIFFUSERS, be));
    must(pdag_json_string(&b.config, "_class_name", "", &name));
    if (file != NULL)
        open_clip(o, &b, p);
    else if (strcmp(name, "AutoencoderKL") == 0 || strcmp(name, "VQModel") == 0)
        open_vae(o, &b, p);
    else
        open_network(o, &b, p);
    pdag_builder_close(&b);
    p->out = pdag_xcalloc(p->out_count, sizeof *p->out);
}

static void close_part(part *p)
{
    for (size_t i = 0; i < 2 && p->network != NULL; i++)
        if (p->cond[i] != NULL)
            p->network->ops->condition_destroy(p->network, p->cond[i]);
    if (p->network != NULL)
        p->network->ops->destroy(p->network);
    pdag_autoencoder_destroy(p->vae);
    pdag_clip_text_destroy(p->clip);
    free((void *)p->per_row);
    free(p->ids);
    free(p->in);
    free(p->t);
    free(p->out);
}

static void evaluate(part *p)
{
    if (p->network != NULL)
        must(p->network->ops->eval(p->network, p->rows, p->in, p->t, p->per_row,
                                   p->out));
    else if (p->vae != NULL)
        must(p->vae->ops->decode(p->vae, p->height, p->width, p->in, p->out));
    else
        must(pdag_clip_text_encode(p->clip, p->in_count, p->ids, p->out));
}

/* Wall and processor seconds: the second is the better measure on one thread of
   a machine that others use too. */
static void best_seconds(part *p, size_t repeats, double *wall_out,
                         double *cpu_out)
{
    double wall = INFINITY;
    double cpu = INFINITY;

    for (size_t i = 0; i < repeats; i++) {
        double wall_begin = now(CLOCK_MONOTONIC);
        double cpu_begin = now(CLOCK_PROCESS_CPUTIME_ID);

        evaluate(p);
        wall = fmin(wall, now(CLOCK_MONOTONIC) - wall_begin);
        cpu = fmin(cpu, now(CLOCK_PROCESS_CPUTIME_ID) - cpu_begin);
    }
    *wall_out = wall;
    *cpu_out = cpu;
}

/* Largest difference over the RMS of what was expected. */
static double relative_error(const options *o, const part *p)
{
    const char *name = p->network != NULL ? "eps"
                       : p->vae != NULL   ? "decoded"
                                          : "vectors";
    size_t count;
    float *wanted = expected(o, name, &count);
    double worst = 0.0;
    double sum = 0.0;

    if (count != p->out_count)
        must(pdag_error(PDAG_ERR_SHAPE, "%s: %zu elements, not %zu", name,
                        count, p->out_count));
    for (size_t i = 0; i < count; i++) {
        worst = fmax(worst, fabs((double)p->out[i] - (double)wanted[i]));
        sum += (double)wanted[i] * (double)wanted[i];
    }
    free(wanted);
    return worst / sqrt(sum / (double)count);
}

/* Largest resident memory.  getrusage() would also count the program that
   started this one, so it only stands in where there is no /proc. */
static long peak_mib(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    struct rusage usage;
    char line[256];
    long kib = -1;

    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    if (file != NULL)
        fclose(file);
    if (kib >= 0)
        return kib / 1024;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss / 1024;
}

static void usage(void)
{
    fprintf(stderr,
            "bench/network FOLDER [--rows N] [--repeats N] [--backend NAME]\n"
            "    [--precision NAME] [--check]\n");
    exit(2);
}

static options parse(int argc, char **argv)
{
    options o = {
        .backend = "auto", .precision = "float32", .rows = 1, .repeats = 5};

    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (strcmp(argv[i], "--check") == 0) {
            o.check = true;
        } else if (argv[i][0] != '-') {
            o.folder = argv[i];
        } else if (value == NULL) {
            usage();
        } else {
            if (strcmp(argv[i], "--rows") == 0)
                o.rows = strtoul(value, NULL, 10);
            else if (strcmp(argv[i], "--repeats") == 0)
                o.repeats = strtoul(value, NULL, 10);
            else if (strcmp(argv[i], "--backend") == 0)
                o.backend = value;
            else if (strcmp(argv[i], "--precision") == 0)
                o.precision = value;
            else
                usage();
            i++;
        }
    }
    if (o.folder == NULL || o.rows == 0 || o.repeats == 0)
        usage();
    return o;
}

int main(int argc, char **argv)
{
    options o = parse(argc, argv);
    part p = {0};
    pdag_precision precision;
    pdag_backend *be;
    double begin;
    double loaded;
    double first;
    double wall;
    double cpu;
    bench_count count;

    must(pdag_precision_parse(o.precision, &precision));
    must(pdag_backend_open(o.backend, 0, precision, &be));
    bench_count_begin(be);
    begin = now(CLOCK_MONOTONIC);
    open_part(&o, be, &p);
    loaded = now(CLOCK_MONOTONIC) - begin;
    begin = now(CLOCK_MONOTONIC);
    evaluate(&p);
    first = now(CLOCK_MONOTONIC) - begin;
    if (o.check) {
        printf("relative error %.3e\n", relative_error(&o, &p));
    } else {
        bench_count_reset();
        best_seconds(&p, o.repeats, &wall, &cpu);
        count = bench_count_get();
        printf("rows %zu ms %.3f cpu_ms %.3f first_ms %.3f load_ms %.3f "
               "peak_mib %ld backend %s precision %s gflop %.4f mbyte %.4f\n",
               p.rows, 1e3 * wall, 1e3 * cpu, 1e3 * first, 1e3 * loaded,
               peak_mib(), be->ops->name, pdag_precision_name(be->precision),
               1e-9 * count.flops / (double)o.repeats,
               1e-6 * count.bytes / (double)o.repeats);
    }
    close_part(&p);
    be->ops->close(be);
    return 0;
}
