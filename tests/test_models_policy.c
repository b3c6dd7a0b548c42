/* models/unet1d: the policy network against its torch definition, on every
   backend, alone and as a pipeline; and what is refused.  Expected values:
   tools/reference/make_policies.py. */
#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/layout.h"
#include "models/pipeline.h"
#include "models/registry.h"
#include "tests/model_fixture.h"
#include "tests/temporary.h"

#define BOUND 1e-4

typedef struct policy_case {
    const char *folder;
    size_t horizon, action_dim, n_observations, observation_dim, n_actions;
    size_t rows;
} policy_case;

static const policy_case cases[] = {
    {"policy-odd", 12, 3, 2, 7, 4, 4},
    {"policy-shift", 6, 2, 1, 5, 6, 3},
    {"policy-flat", 5, 1, 3, 2, 2, 2},
};

#define N_CASES ((int)(sizeof cases / sizeof cases[0]))

static pdag_denoiser *load_network(const policy_case *c, pdag_backend *be)
{
    char relative[256];
    char path[FIXTURE_PATH_BYTES];
    const pdag_network_class *class;
    pdag_denoiser *model;
    pdag_builder b;

    snprintf(relative, sizeof relative, "%s/unet", c->folder);
    fixture_path(relative, path);
    must(pdag_builder_open(&b, path, PDAG_WEIGHTS_DIFFUSERS, be));
    must(pdag_network_find(&b.config, &class));
    must(class->load(&b, &model));
    pdag_builder_close(&b);
    return model;
}

/* All rows together, then each alone: neither the workspace nor what is kept of
   the timesteps may show. */
static void check_rows(const policy_case *c, pdag_denoiser *model,
                       const float *x, const float *t, const float *expected,
                       const pdag_condition *const *cond)
{
    float *eps = fixture_poison(c->rows * model->dim);

    must(model->ops->eval(model, c->rows, x, t, cond, eps));
    fixture_compare(c->folder, c->rows * model->dim, eps, expected, BOUND);
    for (size_t pass = 0; pass < 2 * c->rows; pass++) {
        size_t row = pass % c->rows;
        float *one = fixture_poison(model->dim);

        must(model->ops->eval(model, 1, x + row * model->dim, t + row,
                              cond + row, one));
        fixture_compare(c->folder, model->dim, one, expected + row * model->dim,
                        BOUND);
        free(one);
    }
    free(eps);
}

static void check_network(const policy_case *c, pdag_backend *be)
{
    pdag_denoiser *model = load_network(c, be);
    pdag_condition *both[2];
    const pdag_condition *cond[8];
    float *t = fixture_tensor(c->folder, "t", c->rows, NULL);
    float *x = fixture_tensor(c->folder, "x", c->rows * model->dim, NULL);
    float *eps = fixture_tensor(c->folder, "eps", c->rows * model->dim, NULL);
    float *seen = fixture_tensor(c->folder, "cond", 2 * model->cond_dim, NULL);

    ck_assert_int_eq(model->n_state_dims, 2);
    ck_assert_uint_eq(model->state_dims[0], c->horizon);
    ck_assert_uint_eq(model->state_dims[1], c->action_dim);
    for (size_t i = 0; i < 2; i++)
        must(model->ops->condition_create(model, seen + i * model->cond_dim,
                                          &both[i]));
    for (size_t i = 0; i < c->rows; i++)
        cond[i] = both[i < c->rows / 2 ? 0 : 1];
    check_rows(c, model, x, t, eps, cond);
    for (size_t i = 0; i < 2; i++)
        model->ops->condition_destroy(model, both[i]);
    free(t);
    free(x);
    free(eps);
    free(seen);
    model->ops->destroy(model);
}

START_TEST(network)
{
    for (size_t i = 0; i < n_backends; i++)
        check_network(&cases[_i], backends[i]);
}
END_TEST

START_TEST(description)
{
    const policy_case *c = &cases[_i];
    char path[FIXTURE_PATH_BYTES];
    pdag_pipeline_info info;

    fixture_path(c->folder, path);
    must(pdag_pipeline_inspect(path, &info));
    ck_assert_str_eq(info.class_name, "DiffusionPolicyPipeline");
    ck_assert_str_eq(info.network_class, "ConditionalUnet1D");
    ck_assert_ptr_nonnull(info.scheduler_config);
    ck_assert(!info.has_text && !info.has_picture && !info.is_latent);
    ck_assert_uint_eq(info.dim, c->horizon * c->action_dim);
    ck_assert_uint_eq(info.n_observations, c->n_observations);
    ck_assert_uint_eq(info.observation_dim, c->observation_dim);
    ck_assert_uint_eq(info.cond_dim, c->n_observations * c->observation_dim);
    ck_assert_uint_eq(info.n_actions, c->n_actions);
    pdag_pipeline_info_clear(&info);
}
END_TEST

/* The state of a row, taken for a plan, as actions. */
START_TEST(actions)
{
    const policy_case *c = &cases[_i];
    const pdag_pipeline_opts opts = {.guidance_scale = 1.0f};
    size_t dim = c->horizon * c->action_dim;
    float *x = fixture_tensor(c->folder, "x", c->rows * dim, NULL);
    float *expected = fixture_tensor(c->folder, "actions", c->rows * dim, NULL);
    float *out = fixture_poison(c->rows * dim);
    char path[FIXTURE_PATH_BYTES];
    pdag_pipeline *pipeline;

    fixture_path(c->folder, path);
    must(pdag_pipeline_load(path, backends[0], &opts, &pipeline));
    ck_assert_uint_eq(pdag_pipeline_cond_floats(pipeline),
                      c->n_observations * c->observation_dim);
    for (size_t r = 0; r < c->rows; r++)
        must(pdag_pipeline_decode(pipeline, x + r * dim, out + r * dim));
    fixture_compare("actions", c->rows * dim, out, expected, 1e-6);
    pdag_pipeline_destroy(pipeline);
    free(x);
    free(expected);
    free(out);
}
END_TEST

/* What is refused: the configuration of policy-odd with one key changed, and its
   weights. */
static const struct {
    const char *key, *from, *to, *text;
    pdag_status status;
} bad[] = {
    {"horizon", "12", "14", "horizon: 14 cannot be halved 2 times",
     PDAG_ERR_UNSUPPORTED},
    {"horizon", "12", "0", "horizon", PDAG_ERR_FORMAT},
    {"n_obs_steps", "2", "13", "global_cond_dim: 14", PDAG_ERR_FORMAT},
    {"n_action_steps", "4", "12", "n_action_steps: 12, must be at most",
     PDAG_ERR_UNSUPPORTED},
    {"obs_dim", "7", "0", "obs_dim: missing or 0", PDAG_ERR_FORMAT},
    {"obs_dim", "7", "8", "global_cond_dim: 14", PDAG_ERR_FORMAT},
    {"obs_dim", "7", "-1", "obs_dim", PDAG_ERR_FORMAT},
    {"kernel_size", "5", "4", "kernel_size: 4, must be odd",
     PDAG_ERR_UNSUPPORTED},
    {"kernel_size", "5", "7", "shape", PDAG_ERR_SHAPE},
    {"n_groups", "3", "4", "n_groups: 4 does not divide 6",
     PDAG_ERR_UNSUPPORTED},
    {"diffusion_step_embed_dim", "10", "11", "must be even",
     PDAG_ERR_UNSUPPORTED},
    {"input_dim", "3", "2", "shape", PDAG_ERR_SHAPE},
    {"cond_predict_scale", "true", "false", "shape", PDAG_ERR_SHAPE},
    {"cond_predict_scale", "true", "1", "cond_predict_scale", PDAG_ERR_FORMAT},
    {"_class_name", "\"ConditionalUnet1D\"", "\"TransformerForDiffusion\"",
     "not a known network", PDAG_ERR_UNSUPPORTED},
};

#define N_BAD ((int)(sizeof bad / sizeof bad[0]))

#define MOST_BYTES 100000

/* A whole file, ended with a 0; malloc'ed. */
static char *read_whole(const char *path, size_t *n_out)
{
    FILE *file = fopen(path, "rb");
    char *bytes = calloc(1, MOST_BYTES);

    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(bytes);
    *n_out = fread(bytes, 1, MOST_BYTES - 1, file);
    ck_assert(feof(file));
    fclose(file);
    return bytes;
}

static void write_whole(const char *path, const char *bytes, size_t n)
{
    FILE *file = fopen(path, "wb");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, n, file), n);
    ck_assert_int_eq(fclose(file), 0);
}

/* "key": from becomes "key": to; malloc'ed. */
static char *change(const char *text, const char *key, const char *from,
                    const char *to)
{
    char was[128];
    const char *at;
    char *changed = calloc(1, strlen(text) + 128);

    ck_assert_ptr_nonnull(changed);
    snprintf(was, sizeof was, "\"%s\": %s", key, from);
    at = strstr(text, was);
    ck_assert_msg(at != NULL, "no %s", was);
    memcpy(changed, text, (size_t)(at - text));
    sprintf(changed + strlen(changed), "\"%s\": %s%s", key, to,
            at + strlen(was));
    return changed;
}

/* A folder of its own with policy-odd's network. */
typedef struct copy {
    char folder[TEMPORARY_BYTES];
    char config[TEMPORARY_BYTES + 64], weights[TEMPORARY_BYTES + 64];
    char *config_text; /* ended with a 0 */
    char *bytes;       /* [n_bytes] of the weights */
    size_t n_bytes;
} copy;

static copy copy_create(void)
{
    copy c;
    char path[FIXTURE_PATH_BYTES];
    size_t n;

    temporary_folder(c.folder);
    snprintf(c.config, sizeof c.config, "%s/config.json", c.folder);
    snprintf(c.weights, sizeof c.weights,
             "%s/diffusion_pytorch_model.safetensors", c.folder);
    fixture_path("policy-odd/unet/config.json", path);
    c.config_text = read_whole(path, &n);
    fixture_path("policy-odd/unet/diffusion_pytorch_model.safetensors", path);
    c.bytes = read_whole(path, &c.n_bytes);
    return c;
}

/* Write it, look at it, and expect this; clears it. */
static void copy_refused(copy *c, pdag_status wanted, const char *text)
{
    pdag_pipeline_info info;
    pdag_status status;

    write_whole(c->config, c->config_text, strlen(c->config_text));
    write_whole(c->weights, c->bytes, c->n_bytes);
    status = pdag_pipeline_inspect(c->folder, &info);
    ck_assert_msg(status == wanted, "%d: %s", status, pdag_error_text());
    ck_assert_msg(strstr(pdag_error_text(), text) != NULL, "%s",
                  pdag_error_text());
    temporary_folder_remove(c->folder);
    free(c->config_text);
    free(c->bytes);
}

START_TEST(refusal)
{
    copy c = copy_create();
    char *changed = change(c.config_text, bad[_i].key, bad[_i].from, bad[_i].to);

    free(c.config_text);
    c.config_text = changed;
    copy_refused(&c, bad[_i].status, bad[_i].text);
}
END_TEST

/* Where tensor NAME is described in the header. */
static char *described(copy *c, const char *name)
{
    size_t length = strlen(name);

    for (size_t i = 0; i + length < c->n_bytes; i++)
        if (memcmp(c->bytes + i, name, length) == 0)
            return c->bytes + i;
    ck_abort_msg("no %s", name);
}

START_TEST(normaliser_missing)
{
    copy c = copy_create();

    described(&c, "params_dict.obs.offset")[0] = 'q';
    copy_refused(&c, PDAG_ERR_FORMAT,
                 "normalizer.params_dict.obs.offset: tensor missing");
}
END_TEST

/* Element 1 of a tensor whose elements are of value's type. */
static void set_element(copy *c, const char *name, const void *value, size_t size)
{
    char *at = strstr(described(c, name), "data_offsets");
    uint64_t header;
    size_t first;

    memcpy(&header, c->bytes, sizeof header);
    ck_assert_ptr_nonnull(at);
    ck_assert_int_eq(sscanf(at, "data_offsets\":[%zu", &first), 1);
    memcpy(c->bytes + 8 + header + first + size, value, size);
}

/* Numbers that nothing can be divided by, or that are none. */
START_TEST(normaliser_numbers)
{
    static const struct {
        const char *name;
        float value;
        const char *text;
    } numbers[] = {
        {"normalizer.params_dict.action.scale", 0.0f, "element 1 is 0"},
        {"normalizer.params_dict.action.scale", NAN, "finite and not 0"},
        {"normalizer.params_dict.obs.offset", INFINITY, "must be finite"},
    };
    copy c = copy_create();

    set_element(&c, numbers[_i].name, &numbers[_i].value, sizeof(float));
    copy_refused(&c, PDAG_ERR_FORMAT, numbers[_i].text);
}
END_TEST

/* A second model's weights: policy-odd's with another bias of the last layer, which
   its outputs are off by, and half of it where they are mixed half; with another
   normaliser they are refused. */
static float *eval_mix(const pdag_pipeline_opts *opts, size_t mix)
{
    const policy_case *c = &cases[0];
    size_t dim = c->horizon * c->action_dim;
    size_t observed = c->n_observations * c->observation_dim;
    float *x = fixture_tensor(c->folder, "x", c->rows * dim, NULL);
    float *t = fixture_tensor(c->folder, "t", c->rows, NULL);
    float *cond = fixture_tensor(c->folder, "cond", 2 * observed, NULL);
    float *eps = fixture_poison(dim);
    char path[FIXTURE_PATH_BYTES];

    fixture_path(c->folder, path);
    must(pdag_pipeline_check(path, opts));
    fixture_eval(path, backends[0], opts, 1, x, t, cond, mix, eps);
    free(x);
    free(t);
    free(cond);
    return eps;
}

static void second_is_refused(const pdag_pipeline_opts *opts, const char *text)
{
    char path[FIXTURE_PATH_BYTES];

    fixture_path(cases[0].folder, path);
    ck_assert_int_eq(pdag_pipeline_check(path, opts), PDAG_ERR_UNSUPPORTED);
    ck_assert_msg(strstr(pdag_error_text(), text) != NULL, "%s",
                  pdag_error_text());
}

START_TEST(second_weights)
{
    static const double lambda = 0.5;
    const uint16_t eight = 0x4800; /* float16 */
    const float other = 0.75f;
    size_t floats = cases[0].horizon * cases[0].action_dim;
    copy c = copy_create();
    pdag_pipeline_opts opts = {
        .guidance_scale = 1.0f,
        .pcm = {.path = c.folder, .scale = 1.0, .n_mixes = 1, .lambda = &lambda}};
    float *alone;
    float *half;
    float *whole;

    set_element(&c, "final_conv.1.bias", &eight, sizeof eight);
    write_whole(c.config, c.config_text, strlen(c.config_text));
    write_whole(c.weights, c.bytes, c.n_bytes);
    alone = eval_mix(&opts, 0);
    half = eval_mix(&opts, 1);
    opts.pcm.features = true;
    whole = eval_mix(&opts, 1);
    for (size_t i = 0; i < floats; i++) {
        bool moved = i % cases[0].action_dim == 1;

        ck_assert((fabsf(whole[i] - alone[i]) > 1.0f) == moved);
        alone[i] = 0.5f * (alone[i] + whole[i]);
    }
    fixture_compare("half", floats, half, alone, 1e-5);
    set_element(&c, "normalizer.params_dict.action.scale", &other, sizeof other);
    write_whole(c.weights, c.bytes, c.n_bytes);
    second_is_refused(&opts, "the actions' normaliser differs");
    opts.pcm.features = false;
    second_is_refused(&opts, "action.scale: differs from");
    temporary_folder_remove(c.folder);
    free(alone);
    free(half);
    free(whole);
    free(c.config_text);
    free(c.bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("models/policy");
    TCase *tc = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_unchecked_fixture(tc, open_backends, close_backends);
    tcase_add_loop_test(tc, network, 0, N_CASES);
    tcase_add_loop_test(tc, description, 0, N_CASES);
    tcase_add_loop_test(tc, actions, 0, N_CASES);
    tcase_add_loop_test(tc, refusal, 0, N_BAD);
    tcase_add_test(tc, normaliser_missing);
    tcase_add_loop_test(tc, normaliser_numbers, 0, 3);
    tcase_add_test(tc, second_weights);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
