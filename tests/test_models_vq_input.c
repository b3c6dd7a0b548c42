/* models: an LDMPipeline from strangers.  tests/data/models/ldm-odd with one thing
   changed; every fault has a status of its own and a text that names it. */
#include <check.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "models/digest.h"
#include "models/inspect.h"
#include "models/pipeline.h"
#include "tests/model_fixture.h"
#include "tests/temporary.h"

#define VQVAE "vqvae/diffusion_pytorch_model.safetensors"

static char folder[TEMPORARY_BYTES];

static void make_folder(void)
{
    temporary_folder(folder);
    fixture_copy("ldm-odd", folder);
}

static void remove_folder(void)
{
    temporary_folder_remove(folder);
}

static void run(const char *command)
{
    char line[512];

    snprintf(line, sizeof line, "cd %s && %s", folder, command);
    ck_assert_int_eq(system(line), 0);
}

/* A whole file, its bytes and size; free(). */
static unsigned char *read_file(const char *name, size_t *n_out)
{
    char path[256];
    unsigned char *bytes;
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    *n_out = (size_t)ftell(file);
    rewind(file);
    bytes = malloc(*n_out);
    ck_assert_uint_eq(fread(bytes, 1, *n_out, file), *n_out);
    fclose(file);
    return bytes;
}

static void write_file(const char *name, const unsigned char *bytes, size_t n)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

static void refused(pdag_status status, const char *text)
{
    pdag_pipeline_info info;

    ck_assert_msg(pdag_pipeline_inspect(folder, &info) == status, "%s: %s", text,
                  pdag_error_text());
    ck_assert_msg(strstr(pdag_error_text(), text) != NULL, "\"%s\" not in: %s",
                  text, pdag_error_text());
}

typedef struct config_case {
    const char *key, *value;
    pdag_status status;
    const char *text;
} config_case;

static const config_case config_cases[] = {
    {"_class_name", "\"VQGAN\"", PDAG_ERR_UNSUPPORTED, "VQGAN"},
    {"_class_name", "7", PDAG_ERR_FORMAT, "_class_name"},
    {"norm_type", "\"spatial\"", PDAG_ERR_UNSUPPORTED, "norm_type: \"spatial\""},
    {"norm_type", "\"layer\"", PDAG_ERR_UNSUPPORTED, "norm_type"},
    {"num_vq_embeddings", "52", PDAG_ERR_SHAPE, "quantize.embedding.weight"},
    {"num_vq_embeddings", "0", PDAG_ERR_FORMAT, "num_vq_embeddings"},
    {"num_vq_embeddings", "1e9", PDAG_ERR_FORMAT, "num_vq_embeddings"},
    {"num_vq_embeddings", "4000000000000", PDAG_ERR_FORMAT, "num_vq_embeddings"},
    {"vq_embed_dim", "4", PDAG_ERR_SHAPE, "quant_conv"},
    {"vq_embed_dim", "\"wide\"", PDAG_ERR_FORMAT, "vq_embed_dim"},
    {"latent_channels", "4", PDAG_ERR_SHAPE, "wants"},
    {"scaling_factor", "0", PDAG_ERR_FORMAT, "scaling_factor"},
    {"scaling_factor", "\"x\"", PDAG_ERR_FORMAT, "scaling_factor"},
    {"layers_per_block", "2", PDAG_ERR_FORMAT, "tensor missing"},
    {"layers_per_block", "0", PDAG_ERR_FORMAT, "layers_per_block"},
    {"norm_num_groups", "3", PDAG_ERR_UNSUPPORTED, "norm_num_groups"},
    {"mid_block_add_attention", "false", PDAG_ERR_FORMAT, "no place"},
    {"mid_block_add_attention", "\"no\"", PDAG_ERR_FORMAT,
     "mid_block_add_attention"},
    {"act_fn", "\"swoosh\"", PDAG_ERR_UNSUPPORTED, "swoosh"},
    {"down_block_types", "[\"AttnDownEncoderBlock2D\",\"DownEncoderBlock2D\"]",
     PDAG_ERR_UNSUPPORTED, "AttnDownEncoderBlock2D"},
    {"up_block_types", "[\"UpDecoderBlock2D\"]", PDAG_ERR_FORMAT,
     "up_block_types"},
};

START_TEST(bad_config)
{
    const config_case *c = &config_cases[_i];

    fixture_change(folder, "vqvae/config.json", c->key, c->value);
    refused(c->status, c->text);
}
END_TEST

START_TEST(harmless_config)
{
    pdag_pipeline_info info;

    fixture_change(folder, "vqvae/config.json", "lookup_from_codebook", "true");
    fixture_change(folder, "vqvae/config.json", "force_upcast", "true");
    fixture_change(folder, "vqvae/config.json", "norm_type", "\"group\"");
    fixture_change(folder, "vqvae/config.json", "vq_embed_dim", "null");
    fixture_change(folder, "vqvae/config.json", "colour", "\"red\"");
    ck_assert_msg(pdag_pipeline_inspect(folder, &info) == PDAG_OK, "%s",
                  pdag_error_text());
    ck_assert_uint_eq(info.picture_height, 16);
    pdag_pipeline_info_clear(&info);
}
END_TEST

START_TEST(bad_index)
{
    fixture_change(folder, "model_index.json", "vqvae", NULL);
    refused(PDAG_ERR_UNSUPPORTED, "vqvae: missing; a LDMPipeline needs it");
    fixture_change(folder, "model_index.json", "vqvae", "[null,null]");
    refused(PDAG_ERR_UNSUPPORTED, "vqvae: missing");
    fixture_change(folder, "model_index.json", "vqvae",
                   "[\"diffusers\",\"AutoencoderTiny\"]");
    refused(PDAG_ERR_UNSUPPORTED, "AutoencoderTiny");
    fixture_change(folder, "model_index.json", "vqvae", "\"VQModel\"");
    refused(PDAG_ERR_FORMAT, "vqvae");
}
END_TEST

START_TEST(missing_files)
{
    run("mv vqvae/*.safetensors vqvae/diffusion_pytorch_model.bin");
    refused(PDAG_ERR_UNSUPPORTED, "tools/convert/pickled.py");
    run("rm vqvae/*.bin");
    refused(PDAG_ERR_INPUT, VQVAE);
    run("rm -r vqvae");
    refused(PDAG_ERR_INPUT, "vqvae/config.json");
}
END_TEST

/* Where in the file tensor `name` begins. */
static size_t find_data(const unsigned char *bytes, const char *name)
{
    json_t *header;
    const json_t *offsets;
    size_t begin;
    uint64_t length = 0;

    for (int i = 0; i < 8; i++)
        length |= (uint64_t)bytes[i] << (8 * i);
    header = json_loadb((const char *)bytes + 8, length, 0, NULL);
    ck_assert_ptr_nonnull(header);
    offsets = json_object_get(json_object_get(header, name), "data_offsets");
    ck_assert_ptr_nonnull(offsets);
    begin = 8 + length +
            (size_t)json_integer_value(json_array_get(offsets, 0));
    json_decref(header);
    return begin;
}

START_TEST(bad_codebook)
{
    static const unsigned char halves[2][2] = {{0x00, 0x7e}, {0x00, 0xfc}};
    static const char *const texts[2] = {"[3][1] is nan", "[3][1] is -inf"};
    size_t n;
    unsigned char *bytes = read_file(VQVAE, &n);
    size_t at = find_data(bytes, "quantize.embedding.weight");

    for (size_t i = 0; i < 2; i++) {
        memcpy(bytes + at + (3 * 3 + 1) * 2, halves[i], 2);
        write_file(VQVAE, bytes, n);
        refused(PDAG_ERR_FORMAT, texts[i]);
        refused(PDAG_ERR_FORMAT, "quantize.embedding.weight");
    }
    free(bytes);
}
END_TEST

START_TEST(missing_codebook)
{
    static const char name[] = "quantize.embedding.weight";
    size_t n;
    unsigned char *bytes = read_file(VQVAE, &n);
    size_t at = 8;

    while (at + sizeof name < n && memcmp(bytes + at, name, sizeof name - 1) != 0)
        at++;
    bytes[at] = 'Q';
    write_file(VQVAE, bytes, n);
    refused(PDAG_ERR_FORMAT, "quantize.embedding.weight: tensor missing");
    free(bytes);
}
END_TEST

/* A network of other states than the latents. */
START_TEST(parts_that_do_not_fit)
{
    char unet[FIXTURE_PATH_BYTES];
    char command[FIXTURE_PATH_BYTES + 2 * TEMPORARY_BYTES + 64];

    fixture_path("ddpm-heads/unet", unet);
    snprintf(command, sizeof command, "rm -r %s/unet && cp -R %s %s/unet", folder,
             unet, folder);
    ck_assert_int_eq(system(command), 0);
    refused(PDAG_ERR_SHAPE, "its latents have 3 channels");
}
END_TEST

static char *digest(const pdag_pipeline_opts *opts)
{
    char *text = NULL;

    ck_assert_msg(pdag_pipeline_digest(folder, opts, &text) == PDAG_OK, "%s",
                  pdag_error_text());
    return text;
}

/* Another byte at `at` of the file: whether the digest sees it; the file is as
   before afterwards. */
static bool is_seen(const pdag_pipeline_opts *opts, const char *name, size_t at)
{
    size_t n;
    unsigned char *bytes = read_file(name, &n);
    char *before = digest(opts);
    char *after;
    bool seen;

    ck_assert_uint_lt(at, n);
    bytes[at] ^= 1;
    write_file(name, bytes, n);
    after = digest(opts);
    seen = strcmp(before, after) != 0;
    bytes[at] ^= 1;
    write_file(name, bytes, n);
    free(after);
    after = digest(opts);
    ck_assert_str_eq(before, after);
    free(before);
    free(after);
    free(bytes);
    return seen;
}

START_TEST(changed_files)
{
    const size_t large = 5000000;
    char path[128];
    const pdag_lora_opts lora = {path, 1.0};
    const pdag_pipeline_opts opts = {
        .guidance_scale = 1.0f, .n_loras = 1, .loras = &lora};
    unsigned char *bytes = calloc(large, 1);
    char *text;

    snprintf(path, sizeof path, "%s/lora.safetensors", folder);
    write_file("lora.safetensors", bytes, large);
    free(bytes);
    ck_assert(is_seen(&opts, VQVAE, 90000));
    ck_assert(is_seen(&opts, "unet/config.json", 10));
    ck_assert(is_seen(&opts, "scheduler/scheduler_config.json", 10));
    ck_assert(is_seen(&opts, "lora.safetensors", 0));
    ck_assert(is_seen(&opts, "lora.safetensors", large - 1));
    write_file("README.md", (const unsigned char *)"text", 4);
    ck_assert(!is_seen(&opts, "README.md", 2)); /* not read */
    text = digest(&opts);
    ck_assert_ptr_nonnull(strstr(text, " model.path: "));
    ck_assert_ptr_nonnull(strstr(text, " 5000000 model.lora: "));
    free(text);
    run("rm lora.safetensors");
    text = NULL;
    ck_assert_int_eq(pdag_pipeline_digest(folder, &opts, &text), PDAG_ERR_INPUT);
    ck_assert_ptr_null(text);
}
END_TEST

/* Parts are ignored or not as the pipeline has a use for them. */
START_TEST(parts_without_use)
{
    static const char *const vae = "[\"diffusers\", \"AutoencoderKL\"]";
    static const char *const vq = "[\"diffusers\", \"VQModel\"]";
    pdag_inspection seen;

    fixture_change(folder, "model_index.json", "vae", vae);
    ck_assert_int_eq(pdag_inspect(folder, &seen), PDAG_OK);
    ck_assert_uint_eq(seen.n_parts, 2);
    ck_assert_uint_eq(seen.n_ignored, 1);
    ck_assert_str_eq(seen.ignored[0], "vae");
    pdag_inspection_clear(&seen);

    temporary_folder_remove(folder);
    temporary_folder(folder);
    fixture_copy("ddim-clipped", folder);
    fixture_change(folder, "model_index.json", "vqvae", vq);
    fixture_change(folder, "model_index.json", "tokenizer", "[null, null]");
    ck_assert_int_eq(pdag_inspect(folder, &seen), PDAG_OK);
    ck_assert_msg(seen.runnable, "%s", seen.error);
    ck_assert_uint_eq(seen.n_parts, 1);
    ck_assert_uint_eq(seen.n_ignored, 1);
    ck_assert_str_eq(seen.ignored[0], "vqvae");
    pdag_inspection_clear(&seen);
}
END_TEST

START_TEST(inspection)
{
    char part[128];
    pdag_inspection seen;

    ck_assert_int_eq(pdag_inspect(folder, &seen), PDAG_OK);
    ck_assert_msg(seen.runnable, "%s", seen.error);
    ck_assert_uint_eq(seen.n_parts, 2);
    ck_assert_str_eq(seen.parts[1].name, "vqvae");
    ck_assert_str_eq(seen.parts[1].class_name, "VQModel");
    ck_assert_uint_eq(seen.parts[1].n_unknown_keys, 0);
    ck_assert_uint_eq(seen.n_ignored, 0);
    pdag_inspection_clear(&seen);

    snprintf(part, sizeof part, "%s/vqvae", folder);
    ck_assert_int_eq(pdag_inspect(part, &seen), PDAG_OK);
    ck_assert_str_eq(seen.format, "part");
    ck_assert_ptr_null(seen.parts[0].error);
    pdag_inspection_clear(&seen);

    fixture_change(folder, "vqvae/config.json", "num_vq_embeddings", "50");
    ck_assert_int_eq(pdag_inspect(folder, &seen), PDAG_OK);
    ck_assert(!seen.runnable);
    ck_assert_uint_eq(seen.parts[1].findings.n_missing, 1);
    pdag_inspection_clear(&seen);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("models vq input");
    TCase *all = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(all, make_folder, remove_folder);
    tcase_set_timeout(all, 300);
    tcase_add_loop_test(all, bad_config, 0,
                        sizeof config_cases / sizeof config_cases[0]);
    tcase_add_test(all, harmless_config);
    tcase_add_test(all, bad_index);
    tcase_add_test(all, missing_files);
    tcase_add_test(all, bad_codebook);
    tcase_add_test(all, missing_codebook);
    tcase_add_test(all, parts_that_do_not_fit);
    tcase_add_test(all, changed_files);
    tcase_add_test(all, parts_without_use);
    tcase_add_test(all, inspection);
    suite_add_tcase(suite, all);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
