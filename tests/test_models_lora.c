/* models/lora, models/mix and the mixes of a pipeline: against diffusers and peft,
   and what must hold to the last bit. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/inspect.h"
#include "models/lora.h"
#include "models/pipeline.h"
#include "tests/model_fixture.h"

#define LORA "../lora"
#define DIM ((size_t)384)
#define ROWS ((size_t)3)
#define COUNT (ROWS * DIM)
#define COND ((size_t)180)
#define BOUND 1e-4

static float *x, *t, *cond;
static char model[FIXTURE_PATH_BYTES];

static void setup(void)
{
    open_backends();
    x = fixture_tensor(LORA, "x", COUNT, NULL);
    t = fixture_tensor(LORA, "t", ROWS, NULL);
    cond = fixture_tensor(LORA, "cond", COND, NULL);
    fixture_path("sd-odd", model);
}

static void teardown(void)
{
    close_backends();
    free(x);
    free(t);
    free(cond);
}

static void lora_path(const char *name, char out[FIXTURE_PATH_BYTES])
{
    char relative[200];

    snprintf(relative, sizeof relative, LORA "/%s.safetensors", name);
    fixture_path(relative, out);
}

/* eps of one mix, unguided or with the same condition for both halves; free(). */
static float *eval(pdag_pipeline *pipeline, size_t mix)
{
    size_t floats = pdag_pipeline_cond_floats(pipeline);
    float *both = calloc(2 * COND, sizeof *both);
    float *eps = fixture_poison(COUNT);
    pdag_condition *condition;

    ck_assert_ptr_nonnull(both);
    for (size_t i = 0; i < COND; i++) {
        both[i] = floats == COND ? cond[i] : -0.5f * cond[i];
        both[COND + i] = cond[i];
    }
    must(pdag_pipeline_condition(pipeline, both, &condition));
    must(pdag_pipeline_eval(pipeline, ROWS, x, t, condition, mix, eps));
    pdag_pipeline_condition_destroy(pipeline, condition);
    free(both);
    return eps;
}

static float *eval_opts(pdag_backend *be, const pdag_pipeline_opts *opts,
                        size_t mix)
{
    pdag_pipeline *pipeline;
    float *eps;

    must(pdag_pipeline_load(model, be, opts, &pipeline));
    eps = eval(pipeline, mix);
    pdag_pipeline_destroy(pipeline);
    return eps;
}

/* LoRA files merged into the model, with what diffusers makes of them. */
static const struct merged_case {
    const char *expected;
    const char *file[2];
    double scale[2];
} merged_cases[] = {
    {"base", {NULL}, {0}},
    {"base", {"diffusers"}, {0}},
    {"diffusers@0.25", {"diffusers"}, {0.25}},
    {"diffusers@0.5", {"diffusers"}, {0.5}},
    {"diffusers@1.0", {"diffusers"}, {1}},
    {"diffusers@-0.75", {"diffusers"}, {-0.75}},
    {"fused@0.8", {"diffusers"}, {0.8}},
    {"peft@1.0", {"peft/adapter_model"}, {1}},
    {"processor@0.25", {"processor"}, {0.25}},
    {"processor@1.0", {"processor"}, {1}},
    {"kohya@1.0", {"kohya"}, {1}},
    {"converted@1.0", {"converted"}, {1}},
    {"diffusers@0.5+kohya@-0.75", {"diffusers", "kohya"}, {0.5, -0.75}},
};

START_TEST(merged)
{
    const struct merged_case *c = &merged_cases[_i];
    float *expected = fixture_tensor(LORA, c->expected, COUNT, NULL);
    char paths[2][FIXTURE_PATH_BYTES];
    pdag_lora_opts loras[2];
    pdag_pipeline_opts opts = {.guidance_scale = 1.0f, .loras = loras};

    for (size_t i = 0; i < 2 && c->file[i] != NULL; i++) {
        lora_path(c->file[i], paths[i]);
        loras[i] = (pdag_lora_opts){paths[i], c->scale[i]};
        opts.n_loras = i + 1;
    }
    must(pdag_pipeline_check(model, &opts));
    for (size_t i = 0; i < n_backends; i++) {
        float *eps = eval_opts(backends[i], &opts, 0);

        fixture_compare(c->expected, COUNT, eps, expected, BOUND);
        free(eps);
    }
    free(expected);
}
END_TEST

START_TEST(text_encoder)
{
    static const char *const files[] = {"diffusers", "kohya"};

    for (size_t i = 0; i < 2; i++) {
        char path[FIXTURE_PATH_BYTES];
        char name[64];
        pdag_lora_opts lora = {path, 1.0};
        pdag_pipeline_opts opts = {
            .guidance_scale = 1.0f, .n_loras = 1, .loras = &lora};
        pdag_pipeline *pipeline;
        float *prompt = fixture_poison(COND);
        float *expected;

        lora_path(files[i], path);
        snprintf(name, sizeof name, "prompt-%s", files[i]);
        expected = fixture_tensor(LORA, name, COND, NULL);
        must(pdag_pipeline_load(model, backends[0], &opts, &pipeline));
        must(pdag_pipeline_encode(pipeline, "Red cat", NULL, prompt));
        fixture_compare(name, COND, prompt, expected, BOUND);
        pdag_pipeline_destroy(pipeline);
        free(prompt);
        free(expected);
    }
}
END_TEST

START_TEST(styles)
{
    static const char *const cases[][2] = {
        {"converted", "diffusers"},
        {"peft/adapter_model", "peft"},
        {"processor", "attention-processor"},
        {"kohya", "kohya"},
    };

    for (size_t i = 0; i < 4; i++) {
        char path[FIXTURE_PATH_BYTES];
        pdag_lora *lora;

        lora_path(cases[i][0], path);
        must(pdag_lora_open(path, &lora));
        ck_assert_str_eq(pdag_lora_style(lora), cases[i][1]);
        ck_assert_uint_gt(pdag_lora_count(lora), 10);
        for (size_t a = 0; a < pdag_lora_count(lora); a++) {
            const pdag_lora_adapter *adapter = pdag_lora_at(lora, a);

            ck_assert(adapter->rank == 2 || (i == 0 && adapter->rank == 6));
            ck_assert(!adapter->used);
        }
        pdag_lora_close(lora);
    }
}
END_TEST

/* A LoRA as PCM: mix 0 is the base, and each mix is to the last bit the model with
   the LoRA merged at lambda scale, with and without guidance. */
START_TEST(mixes)
{
    const double lambda[] = {0.25, 0.5, 1.0, 0.0};
    const double scale = 0.5;
    const float guidance = _i == 0 ? 1.0f : 2.5f;
    pdag_backend *be = backends[(size_t)_i % n_backends];
    char path[FIXTURE_PATH_BYTES];
    pdag_lora_opts lora = {path, 0.0};
    const pdag_pipeline_opts base = {.guidance_scale = guidance};
    const pdag_pipeline_opts merged_opts = {
        .guidance_scale = guidance, .n_loras = 1, .loras = &lora};
    const pdag_pipeline_opts opts = {
        .guidance_scale = guidance,
        .pcm = {.path = path, .scale = scale, .n_mixes = 4, .lambda = lambda}};
    pdag_pipeline *pipeline;
    float *plain;

    lora_path("processor", path);
    must(pdag_pipeline_load(model, be, &opts, &pipeline));
    ck_assert_uint_eq(pdag_pipeline_n_mixes(pipeline), 4);
    plain = eval_opts(be, &base, 0);
    for (size_t m = 5; m-- > 0;) {
        float *eps = eval(pipeline, m);
        float *merged_eps;

        lora.scale = m == 0 ? 0.0 : lambda[m - 1] * scale;
        merged_eps = eval_opts(be, &merged_opts, 0);
        ck_assert_mem_eq(eps, merged_eps, COUNT * sizeof *eps);
        if (m == 0 || m == 4)
            ck_assert_mem_eq(eps, plain, COUNT * sizeof *eps);
        else
            ck_assert_mem_ne(eps, plain, COUNT * sizeof *eps);
        free(eps);
        free(merged_eps);
    }
    pdag_pipeline_destroy(pipeline);
    free(plain);
}
END_TEST

START_TEST(mixes_against_diffusers)
{
    static const char *const names[] = {"base", "processor@0.25",
                                        "processor@0.5", "processor@1.0"};
    const double lambda[] = {0.125, 0.25, 0.5};
    char path[FIXTURE_PATH_BYTES];
    const pdag_pipeline_opts opts = {
        .guidance_scale = 1.0f,
        .pcm = {.path = path, .scale = 2.0, .n_mixes = 3, .lambda = lambda}};

    lora_path("processor", path);
    must(pdag_pipeline_check(model, &opts));
    for (size_t i = 0; i < n_backends; i++) {
        pdag_pipeline *pipeline;

        must(pdag_pipeline_load(model, backends[i], &opts, &pipeline));
        for (size_t m = 0; m < 4; m++) {
            float *expected = fixture_tensor(LORA, names[m], COUNT, NULL);
            float *eps = eval(pipeline, m);

            fixture_compare(names[m], COUNT, eps, expected, BOUND);
            free(expected);
            free(eps);
        }
        pdag_pipeline_destroy(pipeline);
    }
}
END_TEST

/* model.lora is under every mix of PCM's LoRA. */
START_TEST(mixes_with_lora)
{
    const double lambda[] = {1.0};
    char pcm_path[FIXTURE_PATH_BYTES];
    char path[FIXTURE_PATH_BYTES];
    const pdag_lora_opts loras[] = {{path, 0.5}, {pcm_path, 1.0}};
    const pdag_pipeline_opts opts = {.guidance_scale = 1.0f,
                                     .n_loras = 1,
                                     .loras = loras,
                                     .pcm = {.path = pcm_path,
                                             .scale = 1.0,
                                             .n_mixes = 1,
                                             .lambda = lambda}};
    const pdag_pipeline_opts both = {
        .guidance_scale = 1.0f, .n_loras = 2, .loras = loras};
    float *expected = fixture_tensor(LORA, "diffusers@0.5", COUNT, NULL);
    pdag_pipeline *pipeline;
    float *eps;
    float *sum;

    lora_path("diffusers", path);
    lora_path("processor", pcm_path);
    must(pdag_pipeline_load(model, backends[0], &opts, &pipeline));
    eps = eval(pipeline, 0);
    fixture_compare("mix 0", COUNT, eps, expected, BOUND);
    free(eps);
    eps = eval(pipeline, 1);
    sum = eval_opts(backends[0], &both, 0);
    ck_assert_mem_eq(eps, sum, COUNT * sizeof *eps);
    pdag_pipeline_destroy(pipeline);
    free(eps);
    free(sum);
    free(expected);
}
END_TEST

/* PCM's results for the scheduler to mix: one network beside the base. */
START_TEST(features)
{
    char path[FIXTURE_PATH_BYTES];
    const pdag_pipeline_opts opts = {
        .guidance_scale = 1.0f,
        .pcm = {.path = path, .features = true, .scale = 1.0}};
    float *expected = fixture_tensor(LORA, "processor@1.0", COUNT, NULL);
    pdag_pipeline *pipeline;
    float *eps;

    lora_path("processor", path);
    must(pdag_pipeline_load(model, backends[0], &opts, &pipeline));
    ck_assert_uint_eq(pdag_pipeline_n_mixes(pipeline), 1);
    eps = eval(pipeline, 1);
    fixture_compare("mix 1", COUNT, eps, expected, BOUND);
    pdag_pipeline_destroy(pipeline);
    free(eps);
    free(expected);
}
END_TEST

/* A backend that counts the weights that it holds. */
static const pdag_backend_ops *inner;
static int n_created, n_destroyed;

static pdag_status count_create(pdag_backend *be, const pdag_weight_desc *desc,
                                pdag_weight **weight_out)
{
    n_created++;
    return inner->weight_create(be, desc, weight_out);
}

static void count_destroy(pdag_backend *be, pdag_weight *weight)
{
    n_destroyed++;
    inner->weight_destroy(be, weight);
}

/* A mix makes only the weights that its LoRA changes: of each attention of the
   base 4 linear layers, q, k and v of a self-attention in one. */
START_TEST(shared_weights)
{
    const double lambda[] = {1.0, 0.5};
    char path[FIXTURE_PATH_BYTES];
    pdag_pipeline_opts opts = {
        .guidance_scale = 1.0f,
        .pcm = {.scale = 1.0, .n_mixes = 2, .lambda = lambda}};
    pdag_backend *be = backends[0];
    pdag_backend_ops counting = *be->ops;
    pdag_pipeline *pipeline;
    pdag_lora *lora;
    int n_base;
    int n_linear;

    lora_path("processor", path);
    must(pdag_lora_open(path, &lora));
    n_linear = (int)pdag_lora_count(lora);
    pdag_lora_close(lora);
    ck_assert_int_eq(n_linear % 8, 0);
    inner = be->ops;
    counting.weight_create = count_create;
    counting.weight_destroy = count_destroy;
    be->ops = &counting;
    for (int with_pcm = 0; with_pcm < 2; with_pcm++) {
        opts.pcm.path = with_pcm ? path : NULL;
        n_created = 0;
        n_destroyed = 0;
        must(pdag_pipeline_load(model, be, &opts, &pipeline));
        if (!with_pcm)
            n_base = n_created;
        else /* (qkv, out) and (q, kv, out) of 8 layers */
            ck_assert_int_eq(n_created, n_base + 2 * (n_linear / 8) * 5);
        pdag_pipeline_destroy(pipeline);
        ck_assert_int_eq(n_created, n_destroyed);
    }
    be->ops = inner;
}
END_TEST

START_TEST(inspect)
{
    char path[FIXTURE_PATH_BYTES];
    pdag_inspection in;

    lora_path("kohya", path);
    must(pdag_inspect(path, &in));
    ck_assert_str_eq(in.format, "lora");
    ck_assert_str_eq(in.class_name, "kohya");
    ck_assert(!in.runnable);
    ck_assert_ptr_nonnull(strstr(in.error, "model.lora"));
    ck_assert_uint_eq(in.lora.n_adapters, 68);
    ck_assert_uint_eq(in.lora.n_text, 4);
    ck_assert_uint_eq(in.lora.min_rank, 2);
    ck_assert_uint_eq(in.lora.max_rank, 2);
    pdag_inspection_clear(&in);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("models/lora");
    TCase *all = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(all, setup, teardown);
    tcase_set_timeout(all, 300);
    tcase_add_loop_test(all, merged, 0,
                        (int)(sizeof merged_cases / sizeof merged_cases[0]));
    tcase_add_test(all, text_encoder);
    tcase_add_test(all, styles);
    tcase_add_loop_test(all, mixes, 0, 2);
    tcase_add_test(all, mixes_against_diffusers);
    tcase_add_test(all, mixes_with_lora);
    tcase_add_test(all, features);
    tcase_add_test(all, shared_weights);
    tcase_add_test(all, inspect);
    suite_add_tcase(suite, all);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
