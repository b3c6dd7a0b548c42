/* models: every part against diffusers and transformers, on every backend,
   within 1e-4 of the RMS (tools/reference/make_fixtures.py made the expected
   values). */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "models/autoencoder_kl.h"
#include "models/clip_text.h"
#include "models/layout.h"
#include "models/registry.h"
#include "tests/model_fixture.h"

#define BOUND 1e-4

/* A fixture of a network: `part` is its folder inside, tokens 0 where it takes
   no condition. */
typedef struct network_case {
    const char *folder, *part;
    size_t tokens;
} network_case;

static const network_case network_cases[] = {
    {"unet-condition-odd", "", 5},       {"unet-condition-deep", "", 6},
    {"unet-condition-plain-mid", "", 3}, {"ddpm-root", "", 0},
    {"ddpm-heads", "/unet", 0},
    {"dit-odd", "/transformer", 1},      {"dit-pixels", "/transformer", 1},
    {"dit-one-head", "", 1},             {"dit-one-patch", "", 1},
};

static pdag_denoiser *load_network(const network_case *c, pdag_backend *be)
{
    char relative[256];
    char path[FIXTURE_PATH_BYTES];
    const pdag_network_class *class;
    pdag_denoiser *model;
    pdag_builder b;

    snprintf(relative, sizeof relative, "%s%s", c->folder, c->part);
    fixture_path(relative, path);
    must(pdag_builder_open(&b, path, PDAG_WEIGHTS_DIFFUSERS, be));
    b.n_tokens = c->tokens;
    must(pdag_network_find(&b.config, &class));
    must(class->load(&b, &model));
    pdag_builder_close(&b);
    return model;
}

/* All rows together, then each alone, then the first again: the workspace and
   the kept time embeddings must not show. */
static void check_evals(const network_case *c, pdag_denoiser *model, size_t n,
                        const float *x, const float *t, const float *expected,
                        const pdag_condition *const *cond)
{
    float *eps = fixture_poison(n * model->dim);

    must(model->ops->eval(model, n, x, t, cond, eps));
    fixture_compare(c->folder, n * model->dim, eps, expected, BOUND);
    for (size_t pass = 0; pass < 2 * n; pass++) {
        size_t row = pass % n;
        float *one = eps + row * model->dim;

        free(eps);
        eps = fixture_poison(n * model->dim);
        one = eps + row * model->dim;
        must(model->ops->eval(model, 1, x + row * model->dim, t + row,
                              cond != NULL ? cond + row : NULL, one));
        fixture_compare(c->folder, model->dim, one, expected + row * model->dim,
                        BOUND);
    }
    free(eps);
}

static void check_network(const network_case *c, pdag_backend *be)
{
    pdag_denoiser *model = load_network(c, be);
    const pdag_condition **cond = NULL;
    pdag_condition *both[2];
    size_t n;
    float *t = fixture_tensor(c->folder, "t", 0, &n);
    float *x = fixture_tensor(c->folder, "x", n * model->dim, NULL);
    float *eps = fixture_tensor(c->folder, "eps", n * model->dim, NULL);

    if (c->tokens > 0) {
        float *given =
            fixture_tensor(c->folder, "cond", 2 * model->cond_dim, NULL);

        cond = malloc(n * sizeof *cond);
        for (size_t i = 0; i < 2; i++)
            must(model->ops->condition_create(
                model, given + i * model->cond_dim, &both[i]));
        for (size_t i = 0; i < n; i++)
            cond[i] = both[i < n / 2 ? 0 : 1];
        free(given);
    }
    check_evals(c, model, n, x, t, eps, cond);
    for (size_t i = 0; cond != NULL && i < 2; i++)
        model->ops->condition_destroy(model, both[i]);
    free((void *)cond);
    free(t);
    free(x);
    free(eps);
    model->ops->destroy(model);
}

START_TEST(network)
{
    for (size_t i = 0; i < n_backends; i++)
        check_network(&network_cases[_i], backends[i]);
}
END_TEST

static void check_vae(pdag_backend *be)
{
    static const char folder[] = "vae-old-names";
    const size_t count = 3 * 4 * 3;
    char path[FIXTURE_PATH_BYTES];
    pdag_builder b;
    pdag_autoencoder *vae;
    float *picture = fixture_tensor(folder, "picture", 3 * 17 * 14, NULL);
    float *mean = fixture_tensor(folder, "mean", count, NULL);
    float *logvar = fixture_tensor(folder, "logvar", count, NULL);
    float *latent = fixture_tensor(folder, "latent", 3 * 5 * 3, NULL);
    float *decoded = fixture_tensor(folder, "decoded", 3 * 20 * 12, NULL);
    float *out = fixture_poison(3 * 20 * 12);
    float *mean_out = fixture_poison(count);
    float *logvar_out = fixture_poison(count);

    fixture_path(folder, path);
    must(pdag_builder_open(&b, path, PDAG_WEIGHTS_DIFFUSERS, be));
    must(pdag_autoencoder_load(&b, true, &vae));
    pdag_builder_close(&b);
    ck_assert_uint_eq(vae->info.factor, 4);
    ck_assert_uint_eq(pdag_autoencoder_kl_latent(vae, 17), 4);
    must(vae->ops->decode(vae, 5, 3, latent, out));
    fixture_compare("vae decode", 3 * 20 * 12, out, decoded, BOUND);
    must(
        pdag_autoencoder_kl_encode(vae, 17, 14, picture, mean_out, logvar_out));
    fixture_compare("vae mean", count, mean_out, mean, BOUND);
    fixture_compare("vae logvar", count, logvar_out, logvar, BOUND);
    ck_assert_int_eq(
        pdag_autoencoder_kl_encode(vae, 3, 14, picture, mean_out, NULL),
        PDAG_ERR_ARG);
    pdag_autoencoder_destroy(vae);
    free(picture);
    free(mean);
    free(logvar);
    free(latent);
    free(decoded);
    free(out);
    free(mean_out);
    free(logvar_out);
}

START_TEST(autoencoder)
{
    for (size_t i = 0; i < n_backends; i++)
        check_vae(backends[i]);
}
END_TEST

/* The codes of a latent [4][5][7], and what becomes of one that is not finite. */
static void check_vq(pdag_backend *be)
{
    static const char folder[] = "vq-odd";
    const size_t count = 10 * 14;
    char path[FIXTURE_PATH_BYTES];
    pdag_builder b;
    pdag_autoencoder *vq;
    float *latent = fixture_tensor(folder, "latent", 4 * 5 * 7, NULL);
    float *decoded = fixture_tensor(folder, "decoded", count, NULL);
    float *out = fixture_poison(count);

    fixture_path(folder, path);
    must(pdag_builder_open(&b, path, PDAG_WEIGHTS_DIFFUSERS, be));
    must(pdag_autoencoder_load(&b, false, &vq));
    pdag_builder_close(&b);
    ck_assert_str_eq(vq->ops->name, "VQModel");
    ck_assert_uint_eq(vq->info.factor, 2);
    ck_assert_uint_eq(vq->info.latent_channels, 4);
    ck_assert_double_eq_tol(vq->info.scaling_factor, 0.7, 1e-12);
    must(vq->ops->decode(vq, 5, 7, latent, out));
    fixture_compare("vq decode", count, out, decoded, BOUND);
    latent[17] = NAN;
    must(vq->ops->decode(vq, 5, 7, latent, out));
    ck_assert(isnan(out[0])); /* group norms spread it over the picture */
    pdag_autoencoder_destroy(vq);
    free(latent);
    free(decoded);
    free(out);
}

START_TEST(vq_model)
{
    for (size_t i = 0; i < n_backends; i++)
        check_vq(backends[i]);
}
END_TEST

static void check_clip(pdag_backend *be)
{
    static const char folder[] = "clip-old-names";
    char path[FIXTURE_PATH_BYTES];
    pdag_builder b;
    pdag_clip_text *clip;
    int32_t ids[9];
    float *given = fixture_tensor(folder, "ids", 9, NULL);
    float *vectors = fixture_tensor(folder, "vectors", 9 * 20, NULL);
    float *out = fixture_poison(9 * 20);

    for (size_t i = 0; i < 9; i++)
        ids[i] = (int32_t)given[i];
    fixture_path(folder, path);
    must(pdag_builder_open(&b, path, PDAG_WEIGHTS_TRANSFORMERS, be));
    must(pdag_clip_text_load(&b, &clip));
    pdag_builder_close(&b);
    must(pdag_clip_text_encode(clip, 9, ids, out));
    fixture_compare("clip", 9 * 20, out, vectors, BOUND);
    ids[4] = 50;
    ck_assert_int_eq(pdag_clip_text_encode(clip, 9, ids, out), PDAG_ERR_ARG);
    ck_assert_int_eq(pdag_clip_text_encode(clip, 12, ids, out), PDAG_ERR_ARG);
    pdag_clip_text_destroy(clip);
    free(given);
    free(vectors);
    free(out);
}

START_TEST(text_encoder)
{
    for (size_t i = 0; i < n_backends; i++)
        check_clip(backends[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("models parity");
    TCase *parts = tcase_create("parts");
    const int n = sizeof network_cases / sizeof network_cases[0];
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(parts, open_backends, close_backends);
    tcase_set_timeout(parts, 300);
    tcase_add_loop_test(parts, network, 0, n);
    tcase_add_test(parts, autoencoder);
    tcase_add_test(parts, vq_model);
    tcase_add_test(parts, text_encoder);
    suite_add_tcase(suite, parts);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
