/* models/pipeline: a whole Stable Diffusion that save_pretrained wrote, against
   diffusers (prompt vectors, a guided DDIM run, its picture); unconditional
   models; wrapping; guidance. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/pipeline.h"
#include "tests/model_fixture.h"
#include "tests/temporary.h"

/* DDIM without noise: x0 = (x - sqrt(1-a) e) / sqrt(a), cut at `clip`, then to
   a'. */
static void ddim(pdag_pipeline *pipeline, const pdag_condition *condition,
                 size_t dim, size_t n, const float *t, const float *alpha_bar,
                 double clip, float *x)
{
    float *eps = fixture_poison(dim);

    for (size_t i = 0; i < n; i++) {
        double a = (double)alpha_bar[i];
        double b = (double)alpha_bar[i + 1];

        must(pdag_pipeline_eval(pipeline, 1, x, t + i, condition, 0, eps));
        for (size_t d = 0; d < dim; d++) {
            double e = (double)eps[d];
            double x0 = ((double)x[d] - sqrt(1.0 - a) * e) / sqrt(a);

            x0 = fmin(fmax(x0, -clip), clip);
            x[d] = (float)(sqrt(b) * x0 + sqrt(1.0 - b) * e);
        }
    }
    free(eps);
}

static void check_stable_diffusion(pdag_backend *be)
{
    static const char folder[] = "sd-odd";
    const pdag_pipeline_opts opts = {.guidance_scale = 2.5f};
    const size_t dim = 4 * 8 * 12;
    const size_t cond_floats = 2 * 9 * 20;
    char path[FIXTURE_PATH_BYTES];
    pdag_pipeline *pipeline;
    pdag_condition *condition;
    size_t n;
    float *expected_cond = fixture_tensor(folder, "cond", cond_floats, NULL);
    float *x = fixture_tensor(folder, "noise", dim, NULL);
    float *t = fixture_tensor(folder, "timesteps", 0, &n);
    float *alpha_bar = fixture_tensor(folder, "alpha_bar", n + 1, NULL);
    float *state = fixture_tensor(folder, "state", dim, NULL);
    float *picture = fixture_tensor(folder, "picture", 16 * 24 * 3, NULL);
    float *cond = fixture_poison(cond_floats);
    float *out = fixture_poison(16 * 24 * 3);

    fixture_path(folder, path);
    must(pdag_pipeline_load(path, be, &opts, &pipeline));
    ck_assert_uint_eq(pdag_pipeline_cond_floats(pipeline), cond_floats);
    must(pdag_pipeline_encode(pipeline, "Red cat, and a very long tail", "an",
                              cond));
    fixture_compare("prompt", cond_floats, cond, expected_cond, 1e-4);
    must(pdag_pipeline_condition(pipeline, cond, &condition));
    ddim(pipeline, condition, dim, n, t, alpha_bar, INFINITY, x);
    fixture_compare("state", dim, x, state, 1e-4);
    must(pdag_pipeline_decode(pipeline, x, out));
    fixture_compare("picture", 16 * 24 * 3, out, picture, 1e-4);
    pdag_pipeline_condition_destroy(pipeline, condition);
    pdag_pipeline_destroy(pipeline);
    free(expected_cond);
    free(x);
    free(t);
    free(alpha_bar);
    free(state);
    free(picture);
    free(cond);
    free(out);
}

START_TEST(stable_diffusion)
{
    for (size_t i = 0; i < n_backends; i++)
        check_stable_diffusion(backends[i]);
}
END_TEST

/* diffusers' Stable Diffusion decodes without a VAE's shift. */
START_TEST(shift_factor)
{
    const pdag_pipeline_opts opts = {.guidance_scale = 2.5f};
    char folder[TEMPORARY_BYTES];
    pdag_pipeline *pipeline;
    float *state = fixture_tensor("sd-odd", "state", 4 * 8 * 12, NULL);
    float *picture = fixture_tensor("sd-odd", "picture", 16 * 24 * 3, NULL);
    float *out = fixture_poison(16 * 24 * 3);

    temporary_folder(folder);
    fixture_copy("sd-odd", folder);
    fixture_change(folder, "vae/config.json", "shift_factor", "0.5");
    must(pdag_pipeline_load(folder, backends[0], &opts, &pipeline));
    must(pdag_pipeline_decode(pipeline, state, out));
    fixture_compare("picture", 16 * 24 * 3, out, picture, 1e-4);
    pdag_pipeline_destroy(pipeline);
    temporary_folder_remove(folder);
    free(state);
    free(picture);
    free(out);
}
END_TEST

START_TEST(inspect_stable_diffusion)
{
    char path[FIXTURE_PATH_BYTES];
    pdag_pipeline_info info;

    fixture_path("sd-odd", path);
    must(pdag_pipeline_inspect(path, &info));
    ck_assert_str_eq(info.class_name, "StableDiffusionPipeline");
    ck_assert_str_eq(info.network_class, "UNet2DConditionModel");
    ck_assert_ptr_nonnull(
        strstr(info.scheduler_config, "/scheduler/scheduler_config.json"));
    ck_assert_int_eq(info.n_state_dims, 3);
    ck_assert_uint_eq(info.state_dims[0], 4);
    ck_assert_uint_eq(info.state_dims[1], 8);
    ck_assert_uint_eq(info.state_dims[2], 12);
    ck_assert_uint_eq(info.dim, 384);
    ck_assert(info.has_text && info.has_picture && info.is_latent);
    ck_assert_uint_eq(info.picture_height, 16);
    ck_assert_uint_eq(info.picture_width, 24);
    ck_assert_uint_eq(info.picture_channels, 3);
    ck_assert_uint_eq(info.cond_dim, 9 * 20);
    ck_assert_uint_eq(info.n_tokens, 9);
    ck_assert_uint_gt(info.n_parameters, 50000);
    ck_assert_uint_gt(info.weight_bytes, 2 * info.n_parameters);
    pdag_pipeline_info_clear(&info);
}
END_TEST

/* google/ddpm-cifar10-32 has all files in the root; others have unet/. */
static void check_unconditional(const char *folder, size_t channels,
                                size_t height, size_t width)
{
    const pdag_pipeline_opts opts = {.guidance_scale = 7.5f}; /* not used */
    size_t dim = channels * height * width;
    char path[FIXTURE_PATH_BYTES];
    pdag_pipeline_info info;
    pdag_pipeline *pipeline;
    pdag_condition *condition;
    size_t n;
    float *t = fixture_tensor(folder, "t", 0, &n);
    float *x = fixture_tensor(folder, "x", n * dim, NULL);
    float *eps = fixture_tensor(folder, "eps", n * dim, NULL);
    float *out = fixture_poison(n * dim);
    float *picture = fixture_poison(dim);

    fixture_path(folder, path);
    must(pdag_pipeline_inspect(path, &info));
    ck_assert_str_eq(info.class_name, "DDPMPipeline");
    ck_assert_str_eq(info.network_class, "UNet2DModel");
    ck_assert_ptr_nonnull(info.scheduler_config);
    ck_assert(!info.has_text && info.has_picture && !info.is_latent);
    ck_assert_uint_eq(info.picture_channels, channels);
    ck_assert_uint_eq(info.cond_dim, 0);
    pdag_pipeline_info_clear(&info);
    must(pdag_pipeline_load(path, backends[0], &opts, &pipeline));
    ck_assert_uint_eq(pdag_pipeline_cond_floats(pipeline), 0);
    must(pdag_pipeline_condition(pipeline, NULL, &condition));
    ck_assert_ptr_null(condition);
    must(pdag_pipeline_eval(pipeline, n, x, t, condition, 0, out));
    fixture_compare(folder, n * dim, out, eps, 1e-4);
    must(pdag_pipeline_decode(pipeline, x, picture));
    for (size_t c = 0; c < channels; c++)
        for (size_t p = 0; p < height * width; p++) {
            float wanted = x[c * height * width + p] / 2.0f + 0.5f;

            wanted = fminf(fmaxf(wanted, 0.0f), 1.0f);
            ck_assert_float_eq_tol(picture[p * channels + c], wanted, 1e-6f);
        }
    pdag_pipeline_destroy(pipeline);
    free(t);
    free(x);
    free(eps);
    free(out);
    free(picture);
}

START_TEST(unconditional)
{
    check_unconditional("ddpm-root", 3, 8, 8);
    check_unconditional("ddpm-heads", 1, 12, 8);
}
END_TEST

/* Unconditional pipelines that diffusers has run: noise, final state, picture. */
typedef struct run_case {
    const char *folder, *class_name;
    size_t channels, side, picture_side;
    double clip; /* of the scheduler's config */
} run_case;

static const run_case run_cases[] = {
    {"ldm-odd", "LDMPipeline", 3, 8, 16, INFINITY},
    {"ddim-clipped", "DDIMPipeline", 3, 6, 6, 0.7},
};

static void check_run(const run_case *c, pdag_backend *be)
{
    const pdag_pipeline_opts opts = {.guidance_scale = 7.5f}; /* not used */
    size_t dim = c->channels * c->side * c->side;
    size_t count = 3 * c->picture_side * c->picture_side;
    char path[FIXTURE_PATH_BYTES];
    pdag_pipeline_info info;
    pdag_pipeline *pipeline;
    size_t n;
    float *x = fixture_tensor(c->folder, "noise", dim, NULL);
    float *t = fixture_tensor(c->folder, "timesteps", 0, &n);
    float *alpha_bar = fixture_tensor(c->folder, "alpha_bar", n + 1, NULL);
    float *state = fixture_tensor(c->folder, "state", dim, NULL);
    float *picture = fixture_tensor(c->folder, "picture", count, NULL);
    float *out = fixture_poison(count);

    fixture_path(c->folder, path);
    must(pdag_pipeline_inspect(path, &info));
    ck_assert_str_eq(info.class_name, c->class_name);
    ck_assert_str_eq(info.network_class, "UNet2DModel");
    ck_assert(!info.has_text && info.has_picture);
    ck_assert_int_eq(info.is_latent, c->picture_side != c->side);
    ck_assert_uint_eq(info.picture_height, c->picture_side);
    ck_assert_uint_eq(info.picture_channels, 3);
    pdag_pipeline_info_clear(&info);
    must(pdag_pipeline_load(path, be, &opts, &pipeline));
    ddim(pipeline, NULL, dim, n, t, alpha_bar, c->clip, x);
    fixture_compare(c->folder, dim, x, state, 1e-4);
    must(pdag_pipeline_decode(pipeline, x, out));
    fixture_compare(c->folder, count, out, picture, 1e-4);
    pdag_pipeline_destroy(pipeline);
    free(x);
    free(t);
    free(alpha_bar);
    free(state);
    free(picture);
    free(out);
}

START_TEST(unconditional_run)
{
    for (size_t i = 0; i < n_backends; i++)
        check_run(&run_cases[_i], backends[i]);
}
END_TEST

static pdag_denoiser *make_gaussian(void)
{
    static const size_t shape[] = {2, 3};
    static const double alpha_bar[] = {0.9, 0.5, 0.1};
    pdag_denoiser *model;

    must(pdag_gaussian_create(shape, 2, 3, 0.5, 7, alpha_bar, 3, &model));
    return model;
}

START_TEST(wrap)
{
    const pdag_pipeline_opts opts = {.guidance_scale = 7.5f};
    const float x[12] = {0.5f, -1.0f, 0.25f, 2.0f, 0.0f, 1.0f,
                         0.5f, -1.0f, 0.25f, 2.0f, 0.0f, 1.0f};
    const float t[2] = {1.5f, 1.5f};
    pdag_pipeline *pipeline;
    float eps[12];

    must(pdag_pipeline_wrap(make_gaussian(), &opts, &pipeline));
    ck_assert_uint_eq(pdag_pipeline_cond_floats(pipeline), 0);
    must(pdag_pipeline_eval(pipeline, 2, x, t, NULL, 0, eps));
    ck_assert_uint_eq(pdag_pipeline_n_mixes(pipeline), 0);
    ck_assert_int_eq(pdag_pipeline_eval(pipeline, 2, x, t, NULL, 1, eps),
                     PDAG_ERR_ARG);
    ck_assert_mem_eq(eps, eps + 6, 6 * sizeof *eps);
    ck_assert_int_eq(pdag_pipeline_decode(pipeline, x, eps), PDAG_ERR_ARG);
    must(pdag_pipeline_encode(pipeline, "nothing", NULL, NULL));
    pdag_pipeline_destroy(pipeline);
}
END_TEST

START_TEST(bad_options)
{
    pdag_pipeline_opts opts = {.guidance_scale = 1.0f, .delay_ms = -1.0};
    pdag_pipeline *pipeline;

    ck_assert_int_eq(pdag_pipeline_wrap(make_gaussian(), &opts, &pipeline),
                     PDAG_ERR_ARG);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "model.delay_ms"));
    opts = (pdag_pipeline_opts){.guidance_scale = NAN};
    ck_assert_int_eq(pdag_pipeline_wrap(make_gaussian(), &opts, &pipeline),
                     PDAG_ERR_ARG);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "guidance_scale"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("models/pipeline");
    TCase *all = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(all, open_backends, close_backends);
    tcase_set_timeout(all, 300);
    tcase_add_test(all, stable_diffusion);
    tcase_add_test(all, shift_factor);
    tcase_add_test(all, inspect_stable_diffusion);
    tcase_add_test(all, unconditional);
    tcase_add_loop_test(all, unconditional_run, 0,
                        sizeof run_cases / sizeof run_cases[0]);
    tcase_add_test(all, wrap);
    tcase_add_test(all, bad_options);
    suite_add_tcase(suite, all);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
