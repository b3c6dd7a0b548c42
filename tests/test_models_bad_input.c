/* models: files from strangers.  Every case ends in a status of its own and a
   text that names the file and the field, tensor or value. */
#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "models/inspect.h"
#include "models/pipeline.h"
#include "models/safetensors.h"
#include "tests/model_fixture.h"
#include "tests/temporary.h"

static char folder[TEMPORARY_BYTES];

static void make_folder(void)
{
    temporary_folder(folder);
}

static void remove_folder(void)
{
    temporary_folder_remove(folder);
}

static void write_bytes(const char *name, const void *bytes, size_t n)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

static void write_text(const char *name, const char *text)
{
    write_bytes(name, text, strlen(text));
}

/* A file with this header and n zero bytes of data; length 0: the true one. */
static void write_tensors(const char *name, const char *header, uint64_t length,
                          size_t n)
{
    size_t bytes = strlen(header);
    unsigned char *file = calloc(8 + bytes + n, 1);

    if (length == 0)
        length = bytes;
    for (int i = 0; i < 8; i++)
        file[i] = (unsigned char)(length >> (8 * i));
    memcpy(file + 8, header, bytes);
    write_bytes(name, file, 8 + bytes + n);
    free(file);
}

static void says(const char *text)
{
    ck_assert_msg(strstr(pdag_error_text(), text) != NULL, "\"%s\" not in: %s",
                  text, pdag_error_text());
}

typedef struct tensor_case {
    const char *header;
    uint64_t length;
    size_t n;
    pdag_status status;
    const char *text;
} tensor_case;

#define F32(name, shape, begin, end)                                           \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":" shape                         \
    ",\"data_offsets\":[" #begin "," #end "]}"

static const tensor_case tensor_cases[] = {
    {"{}", UINT64_MAX, 8, PDAG_ERR_FORMAT, "header length"},
    {"{}", 100 * 1000 * 1000 + 1, 8, PDAG_ERR_FORMAT, "header length"},
    {"{}", 11, 8, PDAG_ERR_FORMAT, "header length"},
    {"{\"a\":", 0, 0, PDAG_ERR_FORMAT, "header"},
    {"[]", 0, 0, PDAG_ERR_FORMAT, "not a JSON object"},
    {"{\"a\":3}", 0, 0, PDAG_ERR_FORMAT, "a: not a JSON object"},
    {"{" F32("a", "[1]", 0, 4) "," F32("a", "[1]", 0, 4) "}", 0, 4,
     PDAG_ERR_FORMAT, "duplicate"},
    {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 0, 4, PDAG_ERR_FORMAT,
     "dtype missing"},
    {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[4],\"data_offsets\":[0,4]}}", 0,
     4, PDAG_ERR_UNSUPPORTED, "F8_E4M3"},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 0, 4,
     PDAG_ERR_FORMAT, "shape missing"},
    {"{" F32("a", "[-1]", 0, 4) "}", 0, 4, PDAG_ERR_FORMAT, "shape[0]"},
    {"{" F32("a", "[1.5]", 0, 4) "}", 0, 4, PDAG_ERR_FORMAT, "shape[0]"},
    {"{" F32("a", "[1,1,1,1,1,1,1,1,1]", 0, 4) "}", 0, 4, PDAG_ERR_UNSUPPORTED,
     "9 dims"},
    {"{" F32("a", "[4611686018427387904,4]", 0, 0) "}", 0, 0, PDAG_ERR_FORMAT,
     "overflows"},
    {"{" F32("a", "[2]", 0, 4) "}", 0, 4, PDAG_ERR_FORMAT, "make 8"},
    {"{" F32("a", "[1]", 4, 0) "}", 0, 4, PDAG_ERR_FORMAT, "data_offsets"},
    {"{" F32("a", "[2]", 0, 8) "}", 0, 4, PDAG_ERR_FORMAT,
     "the file has 4 bytes"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 0, 4,
     PDAG_ERR_FORMAT, "two sizes"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,\"4\"]}}", 0,
     4, PDAG_ERR_FORMAT, "two sizes"},
    {"{" F32("a", "[2]", 0, 8) "," F32("b", "[2]", 4, 12) "}", 0, 12,
     PDAG_ERR_FORMAT, "overlap"},
    {"{" F32("a", "[1]", 0, 4) "," F32("b", "[1]", 8, 12) "}", 0, 12,
     PDAG_ERR_FORMAT, "hole"},
    {"{" F32("a", "[1]", 0, 4) "}", 0, 8, PDAG_ERR_FORMAT,
     "end at byte 4 of 8"},
    {"{" F32("a", "[1]", 18446744073709551612, 18446744073709551616) "}", 0, 4,
     PDAG_ERR_FORMAT, "header"},
};

START_TEST(hostile_tensors)
{
    const tensor_case *c = &tensor_cases[_i];
    pdag_safetensors *file = NULL;
    char path[256];

    write_tensors("a.safetensors", c->header, c->length, c->n);
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
    ck_assert_msg(pdag_safetensors_open(path, &file) == c->status, "%s",
                  pdag_error_text());
    ck_assert_ptr_null(file);
    says(path);
    says(c->text);
}
END_TEST

START_TEST(deep_header)
{
    const size_t depth = 100000;
    char *header = malloc(depth + 1);
    pdag_safetensors *file = NULL;
    char path[256];

    memset(header, '[', depth);
    header[depth] = '\0';
    write_tensors("a.safetensors", header, 0, 0);
    free(header);
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
    ck_assert_int_eq(pdag_safetensors_open(path, &file), PDAG_ERR_FORMAT);
    ck_assert_int_eq(pdag_safetensors_open(folder, &file), PDAG_ERR_INPUT);
    says("not a regular file");
    write_bytes("a.safetensors", "1234567", 7);
    ck_assert_int_eq(pdag_safetensors_open(path, &file), PDAG_ERR_FORMAT);
    says("too short");
    snprintf(path, sizeof path, "%s/none", folder);
    ck_assert_int_eq(pdag_safetensors_open(path, &file), PDAG_ERR_INPUT);
}
END_TEST

/* Every proper prefix of a sound file is refused. */
START_TEST(truncated)
{
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"}," F32("a", "[2]", 0, 8) "}";
    const size_t whole = 8 + strlen(header) + 8;
    unsigned char bytes[256];
    pdag_safetensors *file = NULL;
    char path[256];
    FILE *in;

    write_tensors("a.safetensors", header, 0, 8);
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
    ck_assert_int_eq(pdag_safetensors_open(path, &file), PDAG_OK);
    ck_assert_uint_eq(pdag_safetensors_count(file), 1);
    pdag_safetensors_close(file);
    in = fopen(path, "rb");
    ck_assert_uint_eq(fread(bytes, 1, sizeof bytes, in), whole);
    fclose(in);
    for (size_t n = 0; n < whole; n++) {
        write_bytes("a.safetensors", bytes, n);
        ck_assert_int_eq(pdag_safetensors_open(path, &file), PDAG_ERR_FORMAT);
    }
}
END_TEST

static void index_refused(const char *text, pdag_status status,
                          const char *says_text)
{
    pdag_weights *weights = NULL;

    write_text("diffusion_pytorch_model.safetensors.index.json", text);
    ck_assert_msg(pdag_weights_open(folder, "diffusion_pytorch_model",
                                    &weights) == status,
                  "%s", pdag_error_text());
    says(says_text);
}

START_TEST(shards)
{
    index_refused("{}", PDAG_ERR_FORMAT, "weight_map");
    index_refused("{\"weight_map\":{\"a\":7}}", PDAG_ERR_FORMAT, "a:");
    index_refused("{\"weight_map\":{\"a\":\"../x.safetensors\"}}",
                  PDAG_ERR_FORMAT, "../x.safetensors");
    index_refused("{\"weight_map\":{\"a\":\"/etc/passwd\"}}", PDAG_ERR_FORMAT,
                  "/etc/passwd");
    index_refused("{\"weight_map\":{\"a\":\"..\"}}", PDAG_ERR_FORMAT, "..");
    index_refused("{\"weight_map\":{\"a\":\"gone.safetensors\"}}",
                  PDAG_ERR_INPUT, "gone.safetensors");
    write_tensors("1.safetensors", "{" F32("a", "[1]", 0, 4) "}", 0, 4);
    write_tensors("2.safetensors", "{" F32("a", "[1]", 0, 4) "}", 0, 4);
    index_refused("{\"weight_map\":{\"a\":\"1.safetensors\","
                  "\"b\":\"2.safetensors\"}}",
                  PDAG_ERR_FORMAT, "also in");
}
END_TEST

START_TEST(no_weights)
{
    pdag_weights *weights = NULL;

    ck_assert_int_eq(
        pdag_weights_open(folder, "diffusion_pytorch_model", &weights),
        PDAG_ERR_INPUT);
    says("diffusion_pytorch_model.safetensors");
    write_text("diffusion_pytorch_model.bin", "PK");
    ck_assert_int_eq(
        pdag_weights_open(folder, "diffusion_pytorch_model", &weights),
        PDAG_ERR_UNSUPPORTED);
    says("tools/convert/pickled.py");
}
END_TEST

/* ddpm-root with one key of a JSON file changed (value NULL: taken out), then
   inspected. */
static void inspect_changed(const char *file, const char *key,
                            const char *value, pdag_status status,
                            const char *text)
{
    char source[FIXTURE_PATH_BYTES];
    char command[3 * FIXTURE_PATH_BYTES];
    char path[256];
    pdag_pipeline_info info;

    fixture_path("ddpm-root", source);
    snprintf(command, sizeof command,
             "cp -f %s/*.json %s/*model.safetensors %s/", source, source,
             folder);
    ck_assert_int_eq(system(command), 0);
    snprintf(path, sizeof path, "%s/%s", folder, file);
    chmod(path, 0600);
    fixture_change(folder, file, key, value);
    ck_assert_msg(pdag_pipeline_inspect(folder, &info) == status, "%s: %s: %s",
                  key, value, pdag_error_text());
    if (status == PDAG_OK)
        pdag_pipeline_info_clear(&info);
    else
        says(text);
}

typedef struct config_case {
    const char *key, *value;
    pdag_status status;
    const char *text;
} config_case;

static const config_case config_cases[] = {
    {"unheard_of", "[1,2]", PDAG_OK, ""},
    {"downsample_type", NULL, PDAG_OK, ""},
    {"_class_name", "\"FluxTransformer2DModel\"", PDAG_ERR_UNSUPPORTED,
     "FluxTransformer2DModel"},
    {"sample_size", "null", PDAG_ERR_FORMAT, "sample_size"},
    {"sample_size", "0", PDAG_ERR_FORMAT, "sample_size"},
    {"sample_size", "[8,8,8]", PDAG_ERR_FORMAT, "sample_size"},
    {"in_channels", "-3", PDAG_ERR_FORMAT, "in_channels"},
    {"out_channels", "6", PDAG_ERR_UNSUPPORTED, "out_channels"},
    {"block_out_channels", "[]", PDAG_ERR_FORMAT, "block_out_channels"},
    {"block_out_channels", "[8,99999999999]", PDAG_ERR_FORMAT,
     "block_out_channels"},
    {"block_out_channels", "[8,16]", PDAG_ERR_SHAPE, "wants"},
    {"block_out_channels", "\"8\"", PDAG_ERR_FORMAT, "block_out_channels"},
    {"down_block_types", "[\"DownBlock2D\"]", PDAG_ERR_FORMAT,
     "down_block_types"},
    {"down_block_types", "[\"DownBlock2D\",\"KDownBlock2D\"]",
     PDAG_ERR_UNSUPPORTED, "KDownBlock2D"},
    {"up_block_types", "[\"UpBlock2D\",\"UpBlock2D\"]", PDAG_ERR_FORMAT,
     "no place"},
    {"layers_per_block", "3", PDAG_ERR_FORMAT, "tensor missing"},
    {"layers_per_block", "1", PDAG_ERR_SHAPE, "wants"},
    {"layers_per_block", "100000", PDAG_ERR_FORMAT, "layers_per_block"},
    {"norm_num_groups", "5", PDAG_ERR_UNSUPPORTED, "norm_num_groups"},
    {"norm_num_groups", "0", PDAG_ERR_FORMAT, "norm_num_groups"},
    {"norm_eps", "\"small\"", PDAG_ERR_FORMAT, "norm_eps"},
    {"act_fn", "\"swoosh\"", PDAG_ERR_UNSUPPORTED, "swoosh"},
    {"attention_head_dim", "13", PDAG_ERR_UNSUPPORTED, "attention_head_dim"},
    {"attention_head_dim", "5", PDAG_ERR_SHAPE, "wants"},
    {"time_embedding_type", "\"fourier\"", PDAG_ERR_UNSUPPORTED, "fourier"},
    {"resnet_time_scale_shift", "\"scale_shift\"", PDAG_ERR_UNSUPPORTED,
     "scale_shift"},
    {"class_embed_type", "\"timestep\"", PDAG_ERR_UNSUPPORTED,
     "class_embed_type"},
    {"center_input_sample", "true", PDAG_ERR_UNSUPPORTED,
     "center_input_sample"},
    {"downsample_padding", "2", PDAG_ERR_UNSUPPORTED, "downsample_padding"},
    {"freq_shift", "4", PDAG_ERR_FORMAT, "freq_shift"},
    {"mid_block_scale_factor", "0", PDAG_ERR_FORMAT, "mid_block_scale_factor"},
};

START_TEST(bad_config)
{
    const config_case *c = &config_cases[_i];

    inspect_changed("config.json", c->key, c->value, c->status, c->text);
}
END_TEST

START_TEST(bad_index)
{
    inspect_changed("model_index.json", "_class_name", "\"FluxPipeline\"",
                    PDAG_ERR_UNSUPPORTED, "FluxPipeline");
    inspect_changed("model_index.json", "_class_name", NULL, PDAG_ERR_FORMAT,
                    "_class_name");
    inspect_changed("model_index.json", "unet", "[null,null]",
                    PDAG_ERR_UNSUPPORTED, "unet");
    inspect_changed("model_index.json", "unet", "[\"diffusers\"]",
                    PDAG_ERR_FORMAT, "unet");
    inspect_changed("model_index.json", "unet",
                    "[\"diffusers\",\"DiTTransformer2DModel\"]",
                    PDAG_ERR_UNSUPPORTED, "DiTTransformer2DModel");
}
END_TEST

START_TEST(bad_folder)
{
    pdag_pipeline_info info;
    pdag_inspection inspection;
    char path[FIXTURE_PATH_BYTES];

    ck_assert_int_eq(pdag_pipeline_inspect("/nonexistent/model", &info),
                     PDAG_ERR_INPUT);
    says("/nonexistent/model");
    ck_assert_int_eq(pdag_inspect("/nonexistent/model", &inspection),
                     PDAG_ERR_INPUT);
    ck_assert_int_eq(pdag_pipeline_inspect(folder, &info), PDAG_ERR_INPUT);
    says("model_index.json");
    write_text("model_index.json", "{\"_class_name\": ");
    ck_assert_int_eq(pdag_pipeline_inspect(folder, &info), PDAG_ERR_FORMAT);
    says("model_index.json");
    snprintf(path, sizeof path, "%s/model_index.json", folder);
    ck_assert_int_eq(pdag_pipeline_inspect(path, &info), PDAG_ERR_UNSUPPORTED);
    says("not a folder");
    fixture_path("unet-condition-odd", path);
    ck_assert_int_eq(pdag_pipeline_inspect(path, &info), PDAG_ERR_UNSUPPORTED);
    says("text encoder");
}
END_TEST

/* What `inspect` tells of a sound model, of one that lacks tensors, of a file.
 */
START_TEST(inspection)
{
    char path[FIXTURE_PATH_BYTES];
    pdag_inspection seen;

    fixture_path("sd-odd", path);
    ck_assert_int_eq(pdag_inspect(path, &seen), PDAG_OK);
    ck_assert_msg(seen.runnable, "%s", seen.error);
    ck_assert_str_eq(seen.class_name, "StableDiffusionPipeline");
    ck_assert_uint_eq(seen.n_parts, 4);
    ck_assert_str_eq(seen.parts[2].name, "unet");
    ck_assert_uint_eq(seen.parts[2].n_of_dtype[PDAG_F16],
                      seen.parts[2].n_tensors);
    for (size_t i = 0; i < seen.n_parts; i++)
        ck_assert_uint_eq(seen.parts[i].n_unknown_keys, 0);
    pdag_inspection_clear(&seen);

    inspect_changed("config.json", "layers_per_block", "3", PDAG_ERR_FORMAT,
                    "tensor missing");
    inspect_changed("config.json", "colour", "\"red\"", PDAG_OK, "");
    inspect_changed("config.json", "layers_per_block", "3", PDAG_ERR_FORMAT,
                    "tensor missing");
    ck_assert_int_eq(pdag_inspect(folder, &seen), PDAG_OK);
    ck_assert(!seen.runnable);
    ck_assert_uint_gt(seen.parts[0].findings.n_missing, 20);
    ck_assert_uint_eq(seen.parts[0].findings.n_unused, 0);
    pdag_inspection_clear(&seen);

    fixture_path("sd-odd/unet/diffusion_pytorch_model.safetensors", path);
    ck_assert_int_eq(pdag_inspect(path, &seen), PDAG_OK);
    ck_assert_str_eq(seen.format, "weights");
    ck_assert(!seen.runnable);
    ck_assert_uint_gt(seen.parts[0].n_parameters, 1000);
    pdag_inspection_clear(&seen);

    fixture_path("clip-old-names", path);
    ck_assert_int_eq(pdag_inspect(path, &seen), PDAG_OK);
    ck_assert_str_eq(seen.format, "part");
    ck_assert_ptr_null(seen.parts[0].error);
    pdag_inspection_clear(&seen);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("models bad input");
    TCase *all = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(all, make_folder, remove_folder);
    tcase_set_timeout(all, 300);
    tcase_add_loop_test(all, hostile_tensors, 0,
                        sizeof tensor_cases / sizeof tensor_cases[0]);
    tcase_add_test(all, deep_header);
    tcase_add_test(all, truncated);
    tcase_add_test(all, shards);
    tcase_add_test(all, no_weights);
    tcase_add_loop_test(all, bad_config, 0,
                        sizeof config_cases / sizeof config_cases[0]);
    tcase_add_test(all, bad_index);
    tcase_add_test(all, bad_folder);
    tcase_add_test(all, inspection);
    suite_add_tcase(suite, all);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
