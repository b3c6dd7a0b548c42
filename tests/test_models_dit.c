/* models: class-conditional transformers: a guided run against diffusers' own
   pipeline (tools/reference/make_dit.py), classes and their names, and what a
   stranger may have changed in config.json and model_index.json. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "models/labels.h"
#include "models/pipeline.h"
#include "tests/model_fixture.h"
#include "tests/temporary.h"

#define N_CLASSES 1000
#define DIM (3 * 10 * 10)
#define PICTURE (20 * 20 * 3)

static char folder[TEMPORARY_BYTES];

static void set_up(void)
{
    open_backends();
    temporary_folder(folder);
}

static void tear_down(void)
{
    close_backends();
    temporary_folder_remove(folder);
}

static pdag_pipeline *load(const char *name, pdag_backend *be, float guidance,
                           size_t channels)
{
    const pdag_pipeline_opts opts = {.guidance_scale = guidance,
                                     .guidance_channels = channels};
    char path[FIXTURE_PATH_BYTES];
    pdag_pipeline *pipeline;

    fixture_path(name, path);
    must(pdag_pipeline_load(path, be, &opts, &pipeline));
    return pipeline;
}

/* ---- a guided run ---- */

/* DDIM without noise, written once more. */
static void ddim(pdag_pipeline *pipeline, const pdag_condition *condition,
                 size_t n, const float *t, const float *alpha_bar, float *x)
{
    float *eps = fixture_poison(DIM);

    for (size_t i = 0; i < n; i++) {
        double a = (double)alpha_bar[i];
        double b = (double)alpha_bar[i + 1];

        must(pdag_pipeline_eval(pipeline, 1, x, t + i, condition, 0, eps));
        for (size_t d = 0; d < DIM; d++) {
            double e = (double)eps[d];
            double x0 = ((double)x[d] - sqrt(1.0 - a) * e) / sqrt(a);

            x[d] = (float)(sqrt(b) * x0 + sqrt(1.0 - b) * e);
        }
    }
    free(eps);
}

static void check_run(pdag_backend *be)
{
    static const char name[] = "dit-odd";
    pdag_pipeline *pipeline = load(name, be, 2.5f, 0);
    float cond[2] = {N_CLASSES, 0};
    pdag_condition *condition;
    size_t n;
    float *x = fixture_tensor(name, "noise", DIM, NULL);
    float *label = fixture_tensor(name, "label", 1, NULL);
    float *t = fixture_tensor(name, "timesteps", 0, &n);
    float *alpha_bar = fixture_tensor(name, "alpha_bar", n + 1, NULL);
    float *state = fixture_tensor(name, "state", DIM, NULL);
    float *picture = fixture_tensor(name, "picture", PICTURE, NULL);
    float *out = fixture_poison(PICTURE);

    cond[1] = label[0];
    ck_assert_uint_eq(pdag_pipeline_cond_floats(pipeline), 2);
    must(pdag_pipeline_condition(pipeline, cond, &condition));
    ddim(pipeline, condition, n, t, alpha_bar, x);
    fixture_compare("guided run", DIM, x, state, 1e-4);
    must(pdag_pipeline_decode(pipeline, x, out));
    fixture_compare("its picture", PICTURE, out, picture, 1e-4);
    pdag_pipeline_condition_destroy(pipeline, condition);
    pdag_pipeline_destroy(pipeline);
    free(x);
    free(label);
    free(t);
    free(alpha_bar);
    free(state);
    free(picture);
    free(out);
}

START_TEST(guided_run)
{
    for (size_t i = 0; i < n_backends; i++)
        check_run(backends[i]);
}
END_TEST

/* One row of the network for class `label`, unguided. */
static void eval_class(pdag_pipeline *pipeline, float label, const float *x,
                       float *eps)
{
    const float t = 321.0f;
    pdag_condition *condition;

    must(pdag_pipeline_condition(pipeline, &label, &condition));
    must(pdag_pipeline_eval(pipeline, 1, x, &t, condition, 0, eps));
    pdag_pipeline_condition_destroy(pipeline, condition);
}

/* As the original: two channels guided, the last that of the class. */
START_TEST(guided_channels)
{
    const float cond[2] = {N_CLASSES, 17};
    const float t = 321.0f;
    pdag_pipeline *plain = load("dit-odd", backends[0], 1.0f, 0);
    pdag_pipeline *guided = load("dit-odd", backends[0], 4.0f, 2);
    pdag_condition *condition;
    float *x = fixture_tensor("dit-odd", "noise", DIM, NULL);
    float *u = fixture_poison(DIM);
    float *c = fixture_poison(DIM);
    float *eps = fixture_poison(DIM);
    size_t differ = 0;

    eval_class(plain, cond[0], x, u);
    eval_class(plain, cond[1], x, c);
    must(pdag_pipeline_condition(guided, cond, &condition));
    must(pdag_pipeline_eval(guided, 1, x, &t, condition, 0, eps));
    for (size_t d = 0; d < DIM; d++) {
        float wanted = d < 200 ? u[d] + 4.0f * (c[d] - u[d]) : c[d];

        differ += fabsf(u[d] - c[d]) > 1e-2f;
        ck_assert_float_eq_tol(eps[d], wanted, 1e-4f);
    }
    ck_assert_uint_gt(differ, DIM / 2);
    pdag_pipeline_condition_destroy(guided, condition);
    pdag_pipeline_destroy(guided);
    pdag_pipeline_destroy(plain);
    free(x);
    free(u);
    free(c);
    free(eps);
}
END_TEST

START_TEST(bad_classes)
{
    static const float bad[] = {-1.0f, N_CLASSES + 1, 0.5f, NAN, INFINITY};
    pdag_pipeline *pipeline = load("dit-odd", backends[0], 1.0f, 0);
    pdag_condition *condition = NULL;

    ck_assert_uint_eq(pdag_pipeline_cond_floats(pipeline), 1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_int_eq(pdag_pipeline_condition(pipeline, &bad[i], &condition),
                         PDAG_ERR_ARG);
        ck_assert_ptr_nonnull(strstr(pdag_error_text(), "expected 0 to 1000"));
    }
    pdag_pipeline_destroy(pipeline);
}
END_TEST

/* Every weight of dit-pixels a little different: bfloat16, the low byte first. */
static void write_other(void)
{
    char path[FIXTURE_PATH_BYTES];
    unsigned char *bytes = malloc(1 << 20);
    size_t n;
    size_t data;
    FILE *file;

    fixture_copy("dit-pixels", folder);
    snprintf(path, sizeof path,
             "%s/transformer/diffusion_pytorch_model.safetensors", folder);
    file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    n = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    data = 8 + (size_t)bytes[0] + 256 * (size_t)bytes[1] + 65536 * (size_t)bytes[2];
    ck_assert_uint_lt(data, n);
    for (size_t i = data; i < n; i += 2)
        bytes[i] ^= 0x10;
    file = fopen(path, "wb");
    ck_assert_uint_eq(fwrite(bytes, 1, n, file), n);
    fclose(file);
    free(bytes);
}

static void eval_mix(pdag_pipeline *pipeline, size_t mix, float *eps)
{
    const float label = 2.0f;
    const float t = 77.0f;
    float *x = fixture_tensor("dit-pixels", "x", 2 * 81, NULL);
    pdag_condition *condition;

    must(pdag_pipeline_condition(pipeline, &label, &condition));
    must(pdag_pipeline_eval(pipeline, 1, x, &t, condition, mix, eps));
    pdag_pipeline_condition_destroy(pipeline, condition);
    free(x);
}

/* Weights mixed with another model's, which the classes' vectors are part of: all
   of them are the other model. */
START_TEST(mixed_with_another)
{
    static const double all = 1.0;
    pdag_pipeline_opts opts = {.guidance_scale = 1.0f};
    char path[FIXTURE_PATH_BYTES];
    pdag_pipeline *mixed;
    pdag_pipeline *other;
    float *a = fixture_poison(81);
    float *b = fixture_poison(81);

    write_other();
    fixture_path("dit-pixels", path);
    must(pdag_pipeline_load(folder, backends[0], &opts, &other));
    opts.pcm.path = folder;
    opts.pcm.scale = 1.0;
    opts.pcm.n_mixes = 1;
    opts.pcm.lambda = &all;
    must(pdag_pipeline_check(path, &opts));
    must(pdag_pipeline_load(path, backends[0], &opts, &mixed));
    eval_mix(other, 0, b);
    eval_mix(mixed, 1, a);
    fixture_compare("mixed", 81, a, b, 1e-6);
    eval_mix(mixed, 0, a);
    ck_assert(memcmp(a, b, 81 * sizeof *a) != 0);
    pdag_pipeline_destroy(mixed);
    pdag_pipeline_destroy(other);
    free(a);
    free(b);
}
END_TEST

/* ---- descriptions ---- */

START_TEST(info_of_latents)
{
    char path[FIXTURE_PATH_BYTES];
    pdag_pipeline_info info;

    fixture_path("dit-odd", path);
    must(pdag_pipeline_inspect(path, &info));
    ck_assert_str_eq(info.class_name, "DiTPipeline");
    ck_assert_str_eq(info.network_class, "DiTTransformer2DModel");
    ck_assert(!info.has_text && info.has_picture && info.is_latent);
    ck_assert_uint_eq(info.dim, DIM);
    ck_assert_uint_eq(info.picture_height, 20);
    ck_assert_uint_eq(info.cond_dim, 1);
    ck_assert_uint_eq(info.n_classes, N_CLASSES);
    ck_assert_str_eq(info.class_name_of[0], "tench, Tinca tinca");
    ck_assert_str_eq(info.class_name_of[999], "toilet tissue");
    ck_assert_ptr_null(info.class_name_of[2]);
    pdag_pipeline_info_clear(&info);
}
END_TEST

START_TEST(info_of_pixels)
{
    char path[FIXTURE_PATH_BYTES];
    pdag_pipeline_info info;

    fixture_path("dit-pixels", path);
    must(pdag_pipeline_inspect(path, &info));
    ck_assert(info.has_picture && !info.is_latent);
    ck_assert_uint_eq(info.picture_channels, 1);
    ck_assert_uint_eq(info.picture_width, 9);
    ck_assert_uint_eq(info.n_classes, 4);
    ck_assert_str_eq(info.class_name_of[3], "bag");
    ck_assert_ptr_null(info.class_name_of[2]);
    pdag_pipeline_info_clear(&info);
    fixture_path("dit-one-head", path);
    must(pdag_pipeline_inspect(path, &info));
    ck_assert_str_eq(info.class_name, "DiTTransformer2DModel");
    ck_assert(!info.has_picture); /* two channels */
    ck_assert_uint_eq(info.n_classes, 2);
    ck_assert_ptr_null(info.class_name_of);
    pdag_pipeline_info_clear(&info);
}
END_TEST

/* ---- files from strangers ---- */

/* dit-pixels with one key of a JSON file changed (value NULL: taken out). */
static pdag_status inspect_changed(const char *file, const char *key,
                                   const char *value)
{
    pdag_pipeline_info info;
    pdag_status status;

    fixture_copy("dit-pixels", folder);
    fixture_change(folder, file, key, value);
    status = pdag_pipeline_inspect(folder, &info);
    if (status == PDAG_OK)
        pdag_pipeline_info_clear(&info);
    return status;
}

typedef struct change {
    const char *key, *value;
    pdag_status status;
    const char *text; /* in the message */
} change;

static void check_change(const char *file, const change *c)
{
    pdag_status status = inspect_changed(file, c->key, c->value);

    ck_assert_msg(status == c->status, "%s: %s: %s", c->key,
                  c->value != NULL ? c->value : "taken out", pdag_error_text());
    if (status != PDAG_OK)
        ck_assert_msg(strstr(pdag_error_text(), c->text) != NULL,
                      "\"%s\" not in: %s", c->text, pdag_error_text());
}

static const change config_changes[] = {
    {"unheard_of", "{}", PDAG_OK, ""},
    {"norm_type", NULL, PDAG_OK, ""},
    {"out_channels", "null", PDAG_OK, ""},
    {"freq_shift", "0", PDAG_OK, ""},
    {"freq_shift", "200", PDAG_ERR_FORMAT, "freq_shift"},
    {"_class_name", "\"Transformer2DModel\"", PDAG_OK, ""},
    {"_class_name", "\"FluxTransformer2DModel\"", PDAG_ERR_UNSUPPORTED,
     "FluxTransformer2DModel"},
    {"norm_type", "\"layer_norm\"", PDAG_ERR_UNSUPPORTED, "norm_type"},
    {"norm_type", "\"ada_norm_single\"", PDAG_ERR_UNSUPPORTED, "norm_type"},
    {"activation_fn", "\"swiglu\"", PDAG_ERR_UNSUPPORTED, "swiglu"},
    {"activation_fn", "\"swoosh\"", PDAG_ERR_UNSUPPORTED, "swoosh"},
    {"activation_fn", "\"gelu\"", PDAG_ERR_SHAPE, "wants"},
    {"in_channels", "0", PDAG_ERR_FORMAT, "in_channels"},
    {"in_channels", "3", PDAG_ERR_UNSUPPORTED, "out_channels"},
    {"out_channels", "3", PDAG_ERR_UNSUPPORTED, "out_channels"},
    {"out_channels", "2", PDAG_ERR_SHAPE, "proj_out_2"},
    {"sample_size", "10", PDAG_ERR_UNSUPPORTED, "patch_size"},
    {"sample_size", "[9, 9]", PDAG_ERR_FORMAT, "sample_size"},
    {"sample_size", "12", PDAG_OK, ""},
    {"patch_size", "0", PDAG_ERR_FORMAT, "patch_size"},
    {"patch_size", "1", PDAG_ERR_SHAPE, "pos_embed"},
    {"num_attention_heads", "3", PDAG_ERR_SHAPE, "wants"},
    {"num_attention_heads", "4", PDAG_ERR_SHAPE, "wants"},
    {"attention_head_dim", "1", PDAG_ERR_UNSUPPORTED, "multiple of 4"},
    {"attention_head_dim", "1e9", PDAG_ERR_FORMAT, "attention_head_dim"},
    {"num_layers", "4", PDAG_ERR_FORMAT, "transformer_blocks.3"},
    {"num_layers", "2", PDAG_ERR_FORMAT, "transformer_blocks.2"},
    {"num_layers", "100000", PDAG_ERR_FORMAT, "num_layers"},
    {"num_embeds_ada_norm", "null", PDAG_ERR_UNSUPPORTED, "without classes"},
    {"num_embeds_ada_norm", "5", PDAG_ERR_SHAPE, "embedding_table"},
    {"attention_bias", "true", PDAG_ERR_FORMAT, "to_q.bias"},
    {"norm_elementwise_affine", "false", PDAG_ERR_FORMAT, "norm3"},
    {"norm_eps", "\"small\"", PDAG_ERR_FORMAT, "norm_eps"},
    {"cross_attention_dim", "32", PDAG_ERR_UNSUPPORTED, "cross_attention_dim"},
    {"caption_channels", "4096", PDAG_ERR_UNSUPPORTED, "caption_channels"},
};

START_TEST(bad_config)
{
    check_change("transformer/config.json", &config_changes[_i]);
}
END_TEST

static const change index_changes[] = {
    {"labels", NULL, PDAG_OK, ""},
    {"labels", "null", PDAG_OK, ""},
    {"labels", "{\"a\": 0, \"b\": 0}", PDAG_OK, ""},
    {"labels", "[]", PDAG_ERR_FORMAT, "labels"},
    {"labels", "{\"a\": 4}", PDAG_ERR_FORMAT, "labels: a"},
    {"labels", "{\"a\": -1}", PDAG_ERR_FORMAT, "labels: a"},
    {"labels", "{\"a\": \"1\"}", PDAG_ERR_FORMAT, "labels: a"},
    {"id2label", "{\"0\": \"a\", \"3\": \"b\"}", PDAG_OK, ""},
    {"id2label", "{\"4\": \"a\"}", PDAG_ERR_FORMAT, "id2label: 4"},
    {"id2label", "{\"99999999999999999999999\": \"a\"}", PDAG_ERR_FORMAT,
     "id2label: 9999"},
    {"id2label", "{\"-1\": \"a\"}", PDAG_ERR_FORMAT, "id2label: -1"},
    {"id2label", "{\"\": \"a\"}", PDAG_ERR_FORMAT, "id2label"},
    {"id2label", "{\"1\": 1}", PDAG_ERR_FORMAT, "id2label: 1"},
    {"id2label", "3", PDAG_ERR_FORMAT, "id2label"},
    {"vae", NULL, PDAG_OK, ""},
    {"vae", "[\"diffusers\", \"AutoencoderDC\"]", PDAG_ERR_UNSUPPORTED,
     "AutoencoderDC"},
    {"vae", "[\"diffusers\", \"AutoencoderKL\"]", PDAG_ERR_INPUT, "vae"},
    {"scheduler", "[\"diffusers\", \"DDPMScheduler\"]", PDAG_ERR_UNSUPPORTED,
     "scheduler: DDPMScheduler, but"},
    {"scheduler", NULL, PDAG_OK, ""},
    {"transformer", NULL, PDAG_ERR_UNSUPPORTED, "transformer: missing"},
    {"transformer", "[\"diffusers\", \"PixArtTransformer2DModel\"]",
     PDAG_ERR_UNSUPPORTED, "PixArtTransformer2DModel"},
    {"_class_name", "\"PixArtAlphaPipeline\"", PDAG_ERR_UNSUPPORTED,
     "PixArtAlphaPipeline"},
};

START_TEST(bad_index)
{
    check_change("model_index.json", &index_changes[_i]);
}
END_TEST

/* A scheduler that the index names, and files that would be waited for. */
START_TEST(missing_files)
{
    const struct {
        const char *file;
        bool pipe; /* in its place */
        const char *text;
    } cases[] = {
        {"scheduler/scheduler_config.json", false, "names a scheduler"},
        {"scheduler/scheduler_config.json", true, "names a scheduler"},
        {"transformer/config.json", false, "transformer/config.json"},
        {"transformer/config.json", true, "config.json: not a regular file"},
        {"model_index.json", true, "model_index.json: not a regular file"},
    };
    char path[TEMPORARY_BYTES + 64];
    pdag_pipeline_info info;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        must(inspect_changed("model_index.json", "unheard_of", "[]"));
        snprintf(path, sizeof path, "%s/%s", folder, cases[i].file);
        ck_assert_int_eq(remove(path), 0);
        if (cases[i].pipe)
            ck_assert_int_eq(mkfifo(path, 0600), 0);
        ck_assert_int_eq(pdag_pipeline_inspect(folder, &info), PDAG_ERR_INPUT);
        ck_assert_msg(strstr(pdag_error_text(), cases[i].text) != NULL,
                      "\"%s\" not in: %s", cases[i].text, pdag_error_text());
        if (cases[i].pipe)
            ck_assert_int_eq(remove(path), 0);
    }
}
END_TEST

/* The older class stands for many networks: its default norm is another one. */
START_TEST(older_class)
{
    pdag_pipeline_info info;

    ck_assert_int_eq(inspect_changed("transformer/config.json", "_class_name",
                                     "\"Transformer2DModel\""),
                     PDAG_OK);
    fixture_change(folder, "transformer/config.json", "norm_type", NULL);
    ck_assert_int_eq(pdag_pipeline_inspect(folder, &info), PDAG_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "norm_type: missing"));
}
END_TEST

/* Several names of a class are one text, whichever way round they stand. */
START_TEST(joined_names)
{
    char **names = NULL;
    char path[FIXTURE_PATH_BYTES];

    ck_assert_int_eq(inspect_changed("model_index.json", "labels",
                                     "{\"a\": 1, \"b\": 1, \"c\": 0}"),
                     PDAG_OK);
    must(pdag_labels_read(folder, 3, &names));
    ck_assert_str_eq(names[0], "c");
    ck_assert(strcmp(names[1], "a, b") == 0 || strcmp(names[1], "b, a") == 0);
    ck_assert_ptr_null(names[2]);
    pdag_labels_free(names, 3);
    names = NULL;
    must(inspect_changed("model_index.json", "labels", "{}"));
    must(pdag_labels_read(folder, 3, &names));
    ck_assert_ptr_null(names);
    fixture_path("none-there", path);
    must(pdag_labels_read(path, 3, &names));
    ck_assert_ptr_null(names);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("models dit");
    TCase *tc = tcase_create("dit");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, guided_run);
    tcase_add_test(tc, guided_channels);
    tcase_add_test(tc, bad_classes);
    tcase_add_test(tc, mixed_with_another);
    tcase_add_test(tc, info_of_latents);
    tcase_add_test(tc, info_of_pixels);
    tcase_add_loop_test(tc, bad_config, 0,
                        sizeof config_changes / sizeof config_changes[0]);
    tcase_add_loop_test(tc, bad_index, 0,
                        sizeof index_changes / sizeof index_changes[0]);
    tcase_add_test(tc, missing_files);
    tcase_add_test(tc, older_class);
    tcase_add_test(tc, joined_names);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
