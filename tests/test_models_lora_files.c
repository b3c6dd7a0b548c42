/* models/lora and the second weights of a pipeline: files that do not fit, are
   broken or are of another kind; and a model directory as second weights. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "models/lora.h"
#include "models/pipeline.h"
#include "tests/model_fixture.h"
#include "tests/temporary.h"

#define PATH_BYTES FIXTURE_PATH_BYTES
#define NAME_BYTES 200

static char folder[TEMPORARY_BYTES];
static char model[FIXTURE_PATH_BYTES];

static void make_folder(void)
{
    temporary_folder(folder);
    fixture_path("sd-odd", model);
}

static void remove_folder(void)
{
    temporary_folder_remove(folder);
}

static void says(const char *text)
{
    ck_assert_msg(strstr(pdag_error_text(), text) != NULL, "\"%s\" not in: %s",
                  text, pdag_error_text());
}

static void path_of(const char *name, char out[PATH_BYTES])
{
    snprintf(out, PATH_BYTES, "%s/%s", folder, name);
}

/* A safetensors file of this header, whose data are n bytes. */
static void write_file(const char *name, const char *header, const void *data,
                       size_t n)
{
    uint64_t length = strlen(header);
    unsigned char bytes[8];
    char path[PATH_BYTES];
    FILE *file;

    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(length >> (8 * i));
    path_of(name, path);
    file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, 8, file), 8);
    ck_assert_uint_eq(fwrite(header, 1, (size_t)length, file), length);
    ck_assert_uint_eq(fwrite(data, 1, n, file), n);
    fclose(file);
}

/* Tensors of one byte-wise value: "NAME SHAPE-AS-JSON", NULL-terminated; extra is
   put into the header before them. */
#define MOST_TENSORS 32
static void write_lora(const char *extra, const char *const *tensors, int fill)
{
    static char header[MOST_TENSORS * NAME_BYTES];
    unsigned char data[20000];
    size_t used = (size_t)snprintf(header, sizeof header, "{%s", extra);
    size_t begin = 0;

    for (size_t i = 0; tensors[i] != NULL; i++) {
        const char *shape = strchr(tensors[i], ' ') + 1;
        size_t count = 1;

        for (const char *c = shape; *c != '\0'; c++)
            if (*c >= '0' && *c <= '9' && (c[-1] < '0' || c[-1] > '9'))
                count *= (size_t)strtoul(c, NULL, 10);
        used += (size_t)snprintf(
            header + used, sizeof header - used,
            "%s\"%.*s\":{\"dtype\":\"F32\",\"shape\":%s,\"data_offsets\":[%zu,"
            "%zu]}",
            i > 0 || extra[0] != '\0' ? "," : "", (int)(shape - 1 - tensors[i]),
            tensors[i], shape, begin, begin + 4 * count);
        begin += 4 * count;
    }
    snprintf(header + used, sizeof header - used, "}");
    ck_assert_uint_le(begin, sizeof data);
    memset(data, fill, sizeof data);
    write_file("lora.safetensors", header, data, begin);
}

#define A "unet.mid_block.resnets.0.conv1.lora_A.weight [2,16,3,3]"
#define B "unet.mid_block.resnets.0.conv1.lora_B.weight [16,2,1,1]"
#define META(text) "\"__metadata__\":{\"lora_adapter_metadata\":\"" text "\"}"

/* Found when the file is read. */
static const struct file_case {
    const char *extra;
    const char *tensors[5];
    int fill;
    pdag_status status;
    const char *text;
} file_cases[] = {
    {"", {A, NULL}, 0, PDAG_ERR_FORMAT, "lacks its other factor"},
    {"", {B, NULL}, 0, PDAG_ERR_FORMAT, "lacks its other factor"},
    {"", {A, B, "a.alpha []", NULL}, 0, PDAG_ERR_FORMAT, "a.alpha: the adapter"},
    {"", {A, B, "a.weight [1]", NULL}, 0, PDAG_ERR_FORMAT,
     "1 of 3 keys are not a LoRA's: a.weight"},
    {"", {A, B, "a.dora_scale [1]", NULL}, 0, PDAG_ERR_UNSUPPORTED,
     "1 of 3 keys are of adapters other than LoRA"},
    {"", {"lora_unet_a.hada_w1_a [1]", NULL}, 0, PDAG_ERR_UNSUPPORTED, "LoHa"},
    {"", {"lora_unet_a.lokr_w1 [1]", NULL}, 0, PDAG_ERR_UNSUPPORTED, "LoKr"},
    {"", {"lora_unet_a.lora_mid.weight [1]", NULL}, 0, PDAG_ERR_UNSUPPORTED,
     "LoCon"},
    {"", {"a.lora_A.weight [2,3]", "a.lora_B.weight [4,1]", NULL}, 0,
     PDAG_ERR_SHAPE, "its rank is 1"},
    {"", {"a.lora_A.weight [2,3]", "a.lora_B.weight [4,2,3,3]", NULL}, 0,
     PDAG_ERR_SHAPE, "4 dims"},
    {"", {"a.lora_A.weight [2]", "a.lora_B.weight [4,2]", NULL}, 0,
     PDAG_ERR_SHAPE, "a.lora_A.weight: 1 dims"},
    {"", {"a.lora_A.weight [0,3]", "a.lora_B.weight [4,0]", NULL}, 0,
     PDAG_ERR_SHAPE, "0 elements"},
    {"", {A, B, "unet.mid_block.resnets.0.conv1.alpha [2]", NULL}, 0,
     PDAG_ERR_SHAPE, "conv1.alpha: 2 elements"},
    {"", {A, B, "unet.mid_block.resnets.0.conv1.alpha []", NULL}, 0xff,
     PDAG_ERR_FORMAT, "must be finite"},
    {"", {A, "mid_block.resnets.0.conv1.lora_A.weight [2,16,3,3]", NULL}, 0,
     PDAG_ERR_FORMAT, "for the same weight"},
    {"", {NULL}, 0, PDAG_ERR_FORMAT, "no tensors"},
    {META("{"), {A, B, NULL}, 0, PDAG_ERR_FORMAT, "lora_adapter_metadata"},
    {META("{\\\"unet.lora_alpha\\\":\\\"x\\\"}"), {A, B, NULL}, 0,
     PDAG_ERR_FORMAT, "lora_alpha: not a number"},
    {META("{\\\"unet.alpha_pattern\\\":{\\\"conv.*\\\":1}}"), {A, B, NULL}, 0,
     PDAG_ERR_UNSUPPORTED, "alpha_pattern: conv.*"},
};

START_TEST(broken_files)
{
    const struct file_case *c = &file_cases[_i];
    char path[PATH_BYTES];
    pdag_lora *lora;

    write_lora(c->extra, c->tensors, c->fill);
    path_of("lora.safetensors", path);
    ck_assert_int_eq(pdag_lora_open(path, &lora), c->status);
    says(c->text);
    says("lora.safetensors");
}
END_TEST

static pdag_status check_with(const char *lora_path, const char *pcm_path)
{
    const double lambda[] = {0.5};
    const pdag_lora_opts lora = {lora_path, 1.0};
    const pdag_pipeline_opts opts = {
        .guidance_scale = 1.0f,
        .n_loras = lora_path != NULL,
        .loras = &lora,
        .pcm = {
            .path = pcm_path, .scale = 1.0, .n_mixes = 1, .lambda = lambda}};

    return pdag_pipeline_check(model, &opts);
}

/* Found when the file meets the model; as model.lora and as pcm alike. */
static const struct fit_case {
    const char *tensors[5];
    pdag_status status;
    const char *text[2];
} fit_cases[] = {
    {{A, B, NULL}, PDAG_OK, {"", ""}},
    {{A, B, "unet.no.lora_A.weight [1,1]", "unet.no.lora_B.weight [1,1]", NULL},
     PDAG_ERR_FORMAT,
     {"1 of 2 adapters match no weight of", "unet.no.lora_A"}},
    {{"unet.mid_block.resnets.0.conv1.lora_A.weight [2,16]",
      "unet.mid_block.resnets.0.conv1.lora_B.weight [16,2]", NULL},
     PDAG_ERR_SHAPE,
     {"shape [2, 16], with up [16, 2]", "of shape [16, 16, 3, 3]"}},
    {{"unet.mid_block.resnets.0.conv1.lora_A.weight [2,16,3,3]",
      "unet.mid_block.resnets.0.conv1.lora_B.weight [17,2]", NULL},
     PDAG_ERR_SHAPE,
     {"with up [17, 2]", "mid_block.resnets.0.conv1.weight"}},
    {{"lora_te2_a.lora_down.weight [1,1]", "lora_te2_a.lora_up.weight [1,1]",
      NULL},
     PDAG_ERR_FORMAT,
     {"1 of 1 adapters", "lora_te2_a.lora_down"}},
};

START_TEST(does_not_fit)
{
    const struct fit_case *c = &fit_cases[_i];
    char path[PATH_BYTES];

    write_lora("", c->tensors, 0);
    path_of("lora.safetensors", path);
    for (int as_pcm = 0; as_pcm < 2; as_pcm++) {
        ck_assert_int_eq(check_with(as_pcm ? NULL : path, as_pcm ? path : NULL),
                         c->status);
        if (c->status == PDAG_OK)
            continue;
        says(path);
        says(c->text[0]);
        says(c->text[1]);
    }
}
END_TEST

START_TEST(many_do_not_fit)
{
    const char *tensors[25] = {NULL};
    char names[24][64];
    char path[PATH_BYTES];

    for (int i = 0; i < 24; i++) {
        snprintf(names[i], sizeof names[i], "unet.b%02d.lora_%c.weight [1,1]",
                 i / 2, i % 2 == 0 ? 'A' : 'B');
        tensors[i] = names[i];
    }
    write_lora("", tensors, 0);
    path_of("lora.safetensors", path);
    ck_assert_int_eq(check_with(path, NULL), PDAG_ERR_FORMAT);
    says("12 of 12 adapters match no weight");
    says("unet.b00.lora_A.weight, unet.b01.lora_A.weight");
    says("unet.b09.lora_A.weight, ..");
    ck_assert_ptr_null(strstr(pdag_error_text(), "b10"));
}
END_TEST

/* The text encoder is not PCM's: one condition serves all mixes. */
START_TEST(pcm_for_text)
{
    char path[FIXTURE_PATH_BYTES];

    fixture_path("../lora/kohya.safetensors", path);
    must(check_with(path, NULL));
    ck_assert_int_eq(check_with(NULL, path), PDAG_ERR_FORMAT);
    says("4 of 68 adapters match no weight");
    says("lora_te_text_model_encoder_layers_0_mlp_fc2.lora_down.weight");
}
END_TEST

START_TEST(bad_options)
{
    const double lambda[] = {NAN};
    char path[FIXTURE_PATH_BYTES];
    pdag_lora_opts lora = {path, NAN};
    pdag_pipeline_opts opts = {
        .guidance_scale = 1.0f, .n_loras = 1, .loras = &lora};

    fixture_path("../lora/processor.safetensors", path);
    ck_assert_int_eq(pdag_pipeline_check(model, &opts), PDAG_ERR_ARG);
    says("scale");
    opts.n_loras = 0;
    opts.pcm = (pdag_pcm_opts){.path = path, .scale = NAN};
    ck_assert_int_eq(pdag_pipeline_check(model, &opts), PDAG_ERR_ARG);
    says("pcm.scale");
    opts.pcm.scale = 1.0;
    ck_assert_int_eq(pdag_pipeline_check(model, &opts), PDAG_ERR_ARG);
    says("no mixes");
    opts.pcm.n_mixes = 1;
    opts.pcm.lambda = lambda;
    ck_assert_int_eq(pdag_pipeline_check(model, &opts), PDAG_ERR_ARG);
    says("lambda");
    ck_assert_int_eq(check_with(NULL, "/no/such/file"), PDAG_ERR_INPUT);
    ck_assert_int_eq(check_with("/no/such/file", NULL), PDAG_ERR_INPUT);
}
END_TEST

/* Every length that a file may be cut to, and bytes of the header turned over. */
START_TEST(damaged)
{
    char path[FIXTURE_PATH_BYTES];
    char ours[PATH_BYTES];
    unsigned char *bytes;
    size_t n;
    FILE *file;

    fixture_path("../lora/processor.safetensors", path);
    path_of("cut.safetensors", ours);
    file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    bytes = malloc(1 << 20);
    n = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    for (size_t step = 0; step < 400; step++) {
        size_t keep = step < 200 ? n * step / 200 : n;
        size_t at = 8 + (step * 7919) % 6000;
        pdag_lora *lora = NULL;

        if (keep == n)
            bytes[at] ^= 0x11;
        file = fopen(ours, "wb");
        ck_assert_uint_eq(fwrite(bytes, 1, keep, file), keep);
        fclose(file);
        if (keep < n)
            ck_assert_int_ne(pdag_lora_open(ours, &lora), PDAG_OK);
        else if (pdag_lora_open(ours, &lora) == PDAG_OK)
            (void)check_with(ours, NULL);
        pdag_lora_close(lora);
        if (keep == n)
            bytes[at] ^= 0x11;
    }
    free(bytes);
}
END_TEST

/* A directory of second weights. */

/* In `name` a pipeline whose U-Net has (1 - lambda) W0 + lambda W1, with W0 that of
   sd-odd and W1 = 0.75 W0 + 0.001 i mod 7, i counting its elements; float32. */
static void write_model(const char *name, double lambda)
{
    static char header[200000];
    char command[4 * PATH_BYTES];
    char path[FIXTURE_PATH_BYTES];
    char file[256];
    pdag_weights *weights;
    float *data;
    size_t count = 0;
    size_t used = 1;

    snprintf(command, sizeof command,
             "cd '%s' && base=$(pwd) && mkdir -p %s/%s/unet && cd %s/%s && for "
             "part in text_encoder tokenizer vae scheduler model_index.json "
             "unet/config.json; do ln -s \"$base/$part\" $part; done",
             model, folder, name, folder, name);
    ck_assert_int_eq(system(command), 0);
    fixture_path("sd-odd/unet/diffusion_pytorch_model.safetensors", path);
    must(pdag_weights_open_file(path, &weights));
    data = malloc(pdag_weights_elements(weights) * sizeof *data);
    strcpy(header, "{");
    for (size_t t = 0; t < pdag_weights_count(weights); t++) {
        const pdag_tensor_view *view = pdag_weights_at(weights, t);
        size_t n = pdag_tensor_count(view);

        used += (size_t)snprintf(header + used, sizeof header - used,
                                 "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[",
                                 t > 0 ? "," : "", view->name);
        for (int d = 0; d < view->n_dims; d++)
            used += (size_t)snprintf(header + used, sizeof header - used,
                                     "%s%zu", d > 0 ? "," : "", view->dims[d]);
        used += (size_t)snprintf(header + used, sizeof header - used,
                                 "],\"data_offsets\":[%zu,%zu]}", 4 * count,
                                 4 * (count + n));
        pdag_tensor_to_f32(view, 0, n, data + count);
        for (size_t i = 0; i < n; i++) {
            float w1 = 0.75f * data[count + i] + 0.001f * (float)(i % 7);

            data[count + i] = (float)((1.0 - lambda) * (double)data[count + i] +
                                      lambda * (double)w1);
        }
        count += n;
    }
    snprintf(header + used, sizeof header - used, "}");
    snprintf(file, sizeof file, "%s/unet/diffusion_pytorch_model.safetensors",
             name);
    write_file(file, header, data, count * sizeof *data);
    free(data);
    pdag_weights_close(weights);
}

static float *eval(const char *path, pdag_backend *be,
                   const pdag_pipeline_opts *opts, size_t mix)
{
    size_t dim = 384;
    float *x = fixture_tensor("../lora", "x", 3 * dim, NULL);
    float *t = fixture_tensor("../lora", "t", 3, NULL);
    float *cond = fixture_tensor("../lora", "cond", 180, NULL);
    float *eps = fixture_poison(3 * dim);

    fixture_eval(path, be, opts, 3, x, t, cond, mix, eps);
    free(x);
    free(t);
    free(cond);
    return eps;
}

/* Every mix, biases and norms too, has the bits of a model of those weights; the
   folder may be a pipeline or a network. */
START_TEST(second_folder)
{
    static const double lambda[] = {1.0, 0.5, 0.25};
    static const char *const names[] = {"model", "w1", "w05", "w025"};
    const pdag_pipeline_opts plain = {.guidance_scale = 1.0f};
    char path[PATH_BYTES];
    char other[PATH_BYTES];
    pdag_pipeline_opts opts = {
        .guidance_scale = 1.0f,
        .pcm = {.path = other, .n_mixes = 3, .lambda = lambda}};

    open_backends();
    for (size_t m = 1; m < 4; m++)
        write_model(names[m], lambda[m - 1]);
    for (size_t m = 0; m < 4; m++) {
        float *mixed;
        float *alone;

        path_of(names[m], path);
        path_of(m % 2 == 0 ? "w1" : "w1/unet", other);
        opts.pcm.features = false;
        must(pdag_pipeline_check(model, &opts));
        mixed = eval(model, backends[m % n_backends], &opts, m);
        alone = eval(m == 0 ? model : path, backends[m % n_backends], &plain, 0);
        ck_assert_mem_eq(mixed, alone, 3 * 384 * sizeof *mixed);
        free(mixed);
        if (m == 1) {
            opts.pcm.features = true;
            mixed = eval(model, backends[m % n_backends], &opts, 1);
            ck_assert_mem_eq(mixed, alone, 3 * 384 * sizeof *mixed);
            free(mixed);
        }
        free(alone);
    }
    close_backends();
}
END_TEST

START_TEST(other_network)
{
    const char *tensors[] = {A, B, NULL};
    char path[FIXTURE_PATH_BYTES];
    char lora[PATH_BYTES];
    pdag_pipeline_opts opts = {
        .guidance_scale = 1.0f, .pcm = {.path = path, .features = true}};

    fixture_path("unet-condition-odd", path);
    ck_assert_int_eq(check_with(NULL, path), PDAG_ERR_UNSUPPORTED);
    says("their weights cannot be mixed");
    ck_assert_int_eq(pdag_pipeline_check(model, &opts), PDAG_ERR_SHAPE);
    says("unet-condition-odd");
    write_model("lacks", 0.5);
    write_lora("", tensors, 0);
    path_of("lacks/unet/diffusion_pytorch_model.safetensors", lora);
    ck_assert_int_eq(remove(lora), 0);
    path_of("lora.safetensors", path);
    ck_assert_int_eq(rename(path, lora), 0);
    path_of("lacks", lora);
    ck_assert_int_eq(check_with(NULL, lora), PDAG_ERR_FORMAT);
    says("tensor missing");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("models/lora files");
    TCase *all = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(all, make_folder, remove_folder);
    tcase_set_timeout(all, 300);
    tcase_add_loop_test(all, broken_files, 0,
                        (int)(sizeof file_cases / sizeof file_cases[0]));
    tcase_add_loop_test(all, does_not_fit, 0,
                        (int)(sizeof fit_cases / sizeof fit_cases[0]));
    tcase_add_test(all, many_do_not_fit);
    tcase_add_test(all, pcm_for_text);
    tcase_add_test(all, bad_options);
    tcase_add_test(all, damaged);
    tcase_add_test(all, second_folder);
    tcase_add_test(all, other_network);
    suite_add_tcase(suite, all);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
