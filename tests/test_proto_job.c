/* proto/job: fields, --set, ranges, choices, defaults of the model. */
#include "tests/proto_job.h"

/* One --set on top of a sound job must fail so, with these texts in the
   error. */
static void refuse(const char *set, pdag_status expected, const char *one,
                   const char *two)
{
    pdag_job *job = NULL;
    pdag_status status = read_sets(SETS(MODEL, set), &job);
    const char *text = pdag_error_text();

    ck_assert_msg(status == expected, "%s: status %d: %s", set, status, text);
    ck_assert_ptr_null(job);
    ck_assert_msg(strstr(text, one) != NULL, "%s: no '%s' in: %s", set, one,
                  text);
    ck_assert_msg(strstr(text, two) != NULL, "%s: no '%s' in: %s", set, two,
                  text);
    ck_assert_msg(strchr(text, '\n') == NULL, "%s: two lines: %s", set, text);
}

/* The JSON text of one field of a job. */
static void expect_json(const pdag_job *job, const char *name,
                        const char *expected)
{
    json_t *root = pdag_job_to_json(job);
    json_t *value = member(root, name);
    char *text;

    ck_assert_msg(value != NULL, "%s is not in the JSON", name);
    text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    ck_assert_msg(strcmp(text, expected) == 0, "%s: %s, expected %s", name,
                  text, expected);
    free(text);
    json_decref(root);
}

/* Name, default before resolving, a --set value, the JSON it gives. */
static const struct {
    const char *name, *fallback, *set, *given;
} plain_fields[] = {
    {"model.backend", "\"auto\"", "onednn", "\"onednn\""},
    {"model.precision", "\"float32\"", "bfloat16", "\"bfloat16\""},
    {"model.delay_ms", "0.0", "2.5", "2.5"},
    {"sampler.kind", "null", "ddpm", "\"ddpm\""},
    {"sampler.steps", "50", "100", "100"},
    {"sampler.eta", "0.0", "0.25", "0.25"},
    {"sampler.spacing", "null", "trailing", "\"trailing\""},
    {"sampler.prediction", "null", "v_prediction", "\"v_prediction\""},
    {"sampler.clip", "null", "false", "false"},
    {"sampler.clip_range", "null", "1.5", "1.5"},
    {"sampler.steps_offset", "null", "0", "0"},
    {"sampler.set_alpha_to_one", "null", "true", "true"},
    {"sampler.variance", "null", "fixed_large", "\"fixed_large\""},
    {"solver.method", "\"secant\"", "sequential", "\"sequential\""},
    {"solver.tolerance", "null", "0.125", "0.125"},
    {"solver.stop", "\"error\"", "paradigms", "\"paradigms\""},
    {"solver.window", "0", "8", "8"},
    {"solver.max_rounds", "0", "20", "20"},
    {"solver.history", "null", "0", "0"},
    {"solver.order", "null", "20", "20"},
    {"solver.slope", "null", "bands", "\"bands\""},
    {"solver.variance", "null", "0.5", "0.5"},
    {"solver.start", "null", "roll", "\"roll\""},
    {"solver.start_from", "null", "/d", "\"/d\""},
    {"solver.start_row", "0", "7", "7"},
    {"solver.entry", "\"held-x0\"", "copies", "\"copies\""},
    {"solver.statistics", "null", "/s.npy", "\"/s.npy\""},
    {"solver.restart", "0.0", "2", "2.0"},
    {"solver.measure_variance", "null", "true", "true"},
    {"prompt", "[]", "red heart", "[\"red heart\"]"},
    {"negative_prompt", "[]", "blue", "[\"blue\"]"},
    {"class_label", "[]", NULL, NULL},
    {"guidance_scale", "null", "4", "4.0"},
    {"guidance_channels", "0", "3", "3"},
    {"environment", "null", NULL, NULL},
    {"seed", "0", "18446744073709551615", "\"18446744073709551615\""},
    {"seed", "0", "9223372036854775807", "9223372036854775807"},
    {"random", "\"counter\"", "torch-cpu", "\"torch-cpu\""},
    {"noise", "null", "/n.npy", "\"/n.npy\""},
    {"samples", "null", "3", "3"},
    {"block_rows", "null", "5", "5"},
    {"policy", "null", "barrier", "\"barrier\""},
    {"output", NULL, "/o", "\"/o\""},
    {"model.lora", "[]", "/x@0.5", "[{\"path\":\"/x\",\"scale\":0.5}]"},
    {"model.path", "\"/m\"", "/other", "\"/other\""},
    {"gaussian", "null", NULL, NULL},
    {"pcm", "null", NULL, NULL},
};

START_TEST(test_each_field)
{
    const char *name = plain_fields[_i].name;
    const char *value = plain_fields[_i].set;
    char set[80], reset[80];
    pdag_job *job = job_of(SETS(MODEL));

    if (plain_fields[_i].fallback != NULL)
        expect_json(job, name, plain_fields[_i].fallback);
    pdag_job_destroy(job);
    if (value == NULL)
        return;
    snprintf(set, sizeof set, "%s=%s", name, value);
    snprintf(reset, sizeof reset, "%s=", name);
    job = job_of(SETS(MODEL, set));
    expect_json(job, name, plain_fields[_i].given);
    pdag_job_destroy(job);
    if (plain_fields[_i].fallback == NULL || strcmp(name, "model.path") == 0)
        return;
    job = job_of(SETS(MODEL, set, reset));
    expect_json(job, name, plain_fields[_i].fallback);
    pdag_job_destroy(job);
}
END_TEST

/* Both ends of a range are accepted, what lies just outside is not. */
static const struct {
    const char *name, *low, *high, *below, *beyond;
} ranges[] = {
    {"model.delay_ms", "0", "1000000", "-1", "1000001"},
    {"sampler.steps", "1", "10000", "0", "10001"},
    {"sampler.eta", "0", "1", "-0.0001", "1.0001"},
    {"sampler.clip_range", "1e-300", "1e6", "0", "1000001"},
    {"sampler.steps_offset", "0", "10000", "-1", "10001"},
    {"solver.tolerance", "1e-9", "1000000", "0", "1e7"},
    {"solver.window", "0", "1000000", "-1", "1000001"},
    {"solver.max_rounds", "0", "1000000", "-1", "1000001"},
    {"solver.history", "0", "64", "-1", "65"},
    {"solver.order", "0", "10000", "-1", "10001"},
    {"solver.variance", "0.001", "1e6", "0", "-1"},
    {"guidance_scale", "1", "1000", "0.999", "1000.5"},
    {"guidance_channels", "0", "65536", "-1", "65537"},
    {"seed", "0", "18446744073709551615", "-1", "18446744073709551616"},
    {"samples", "1", "1000000", "0", "1000001"},
    {"block_rows", "1", "10000", "0", "10001"},
};

START_TEST(test_range_ends)
{
    const char *name = ranges[_i].name;
    char set[80];
    char named[80];

    snprintf(set, sizeof set, "%s=%s", name, ranges[_i].low);
    pdag_job_destroy(job_of(SETS(MODEL, set)));
    snprintf(set, sizeof set, "%s=%s", name, ranges[_i].high);
    pdag_job_destroy(job_of(SETS(MODEL, set)));
    snprintf(named, sizeof named, "%s: %s: expected ", name, ranges[_i].below);
    snprintf(set, sizeof set, "%s=%s", name, ranges[_i].below);
    refuse(set, PDAG_ERR_ARG, named, "expected ");
    snprintf(set, sizeof set, "%s=%s", name, ranges[_i].beyond);
    refuse(set, PDAG_ERR_ARG, name, "expected ");
    snprintf(set, sizeof set, "%s=nan", name);
    refuse(set, PDAG_ERR_ARG, name, "nan: expected ");
    snprintf(set, sizeof set, "%s=inf", name);
    refuse(set, PDAG_ERR_ARG, name, "inf: expected ");
    snprintf(set, sizeof set, "%s=%sx", name, ranges[_i].low);
    refuse(set, PDAG_ERR_ARG, name, "expected ");
    snprintf(set, sizeof set, "%s= %s", name, ranges[_i].low);
    refuse(set, PDAG_ERR_ARG, name, "expected ");
    snprintf(set, sizeof set, "%s=0x1", name);
    refuse(set, PDAG_ERR_ARG, name, "0x1: expected ");
    snprintf(set, sizeof set, "%s=99999999999999999999999999", name);
    refuse(set, PDAG_ERR_ARG, name, "expected ");
}
END_TEST

START_TEST(test_range_texts)
{
    refuse("sampler.steps=0", PDAG_ERR_ARG, "sampler.steps: 0: expected",
           "integer from 1 to 10000");
    refuse("sampler.eta=1.5", PDAG_ERR_ARG, "sampler.eta: 1.5: expected",
           "number from 0 to 1");
    refuse("solver.tolerance=0", PDAG_ERR_ARG, "solver.tolerance: 0: expected",
           "number above 0, at most 1000000");
    refuse("model.delay_ms=1000001", PDAG_ERR_ARG,
           "model.delay_ms: 1000001: expected", "number from 0 to 1000000");
    refuse("seed=-1", PDAG_ERR_ARG, "seed: -1: expected",
           "integer from 0 to 18446744073709551615");
    refuse("sampler.steps=1e2", PDAG_ERR_ARG, "sampler.steps: 1e2", "integer");
    refuse("sampler.eta=1e999", PDAG_ERR_ARG, "sampler.eta: 1e999", "number");
    refuse("gaussian.modes=0", PDAG_ERR_ARG, "gaussian.modes: 0", "integer");
    refuse("gaussian.std=0", PDAG_ERR_ARG, "gaussian.std: 0", "number above 0");
    refuse("gaussian.shape=0", PDAG_ERR_ARG, "gaussian.shape: 0", "integer");
}
END_TEST

START_TEST(test_choices)
{
    refuse("solver.method=picrad", PDAG_ERR_ARG, "solver.method: picrad",
           "expected one of: sequential, picard, order-k, anderson");
    refuse("solver.method=Picard", PDAG_ERR_ARG, "solver.method", "one of");
    refuse("solver.method=pic", PDAG_ERR_ARG, "solver.method", "one of");
    refuse("solver.method=order-k anderson", PDAG_ERR_ARG, "solver.method",
           "one of");
    refuse("sampler.kind=heun", PDAG_ERR_ARG, "sampler.kind: heun", "one of");
    refuse("sampler.clip=yes", PDAG_ERR_ARG, "sampler.clip: yes",
           "true or false");
    refuse("sampler.clip=1", PDAG_ERR_ARG, "sampler.clip: 1", "true or false");
    refuse("random=mt19937", PDAG_ERR_ARG, "random: mt19937", "torch-cpu");
    refuse("model.backend=gpu", PDAG_ERR_ARG, "model.backend: gpu", "cuda");
}
END_TEST

START_TEST(test_not_available)
{
    refuse("sampler.variance=learned", PDAG_ERR_UNSUPPORTED,
           "sampler.variance: learned", "fixed_large");
    /* A later --set may take back what cannot be done. */
    pdag_job_destroy(job_of(
        SETS(MODEL, "sampler.variance=learned", "sampler.variance=")));
}
END_TEST

/* Classes by number and by name, which the model knows. */
static char tench[] = "tench, Tinca tinca", boot[] = "Ankle boot";
static char crane[] = "crane", demoiselle[] = "crane, demoiselle";
static char *const class_names[] = {tench, NULL, boot, crane, demoiselle};

static void refuse_class(const pdag_job_facts *facts, const char *set,
                         const char *text)
{
    pdag_job *job = job_of(SETS(MODEL, set));

    ck_assert_int_eq(pdag_job_resolve(job, facts), PDAG_ERR_ARG);
    ck_assert_msg(strstr(pdag_error_text(), text) != NULL, "\"%s\" not in: %s",
                  text, pdag_error_text());
    pdag_job_destroy(job);
}

START_TEST(test_classes)
{
    const pdag_job_facts facts = {
        .has_classes = true, .n_classes = 5, .class_name_of = class_names};
    const pdag_job_facts nameless = {.has_classes = true, .n_classes = 5};
    pdag_job *job = job_of(
        SETS(MODEL, "class_label=tinca TINCA", "class_label=4",
             "class_label=ankle boot", "class_label=Tench, tinca tinca"));

    ck_assert_int_eq(pdag_job_resolve(job, &facts), PDAG_OK);
    ck_assert_uint_eq(job->class_label.n, 4);
    ck_assert_int_eq(job->class_label.item[0], 0);
    ck_assert_int_eq(job->class_label.item[1], 4);
    ck_assert_int_eq(job->class_label.item[2], 2);
    ck_assert_int_eq(job->class_label.item[3], 0);
    ck_assert_int_eq(job->samples, 4);
    ck_assert(job->guidance_scale == 7.5);
    pdag_job_destroy(job);
    /* A list that is replaced takes its names along. */
    job = job_of(SETS(MODEL, "class_label=no such", "class_label=",
                      "class_label=demoiselle"));
    ck_assert_int_eq(pdag_job_resolve(job, &facts), PDAG_OK);
    ck_assert_uint_eq(job->class_label.n, 1);
    ck_assert_int_eq(job->class_label.item[0], 4);
    pdag_job_destroy(job);
    refuse_class(&facts, "class_label=crane", "more than one class: 3 (crane), 4");
    refuse_class(&facts, "class_label=boot", "the model's; it has 2 (Ankle");
    refuse_class(&facts, "class_label=cat", "the model's; it has 0 (tench");
    refuse_class(&facts, "class_label=5", "expected 0 to 4");
    refuse_class(&nameless, "class_label=cat", "no names of classes");
    refuse_class(&nameless, "class_label=5", "expected 0 to 4");
    refuse("class_label=-1", PDAG_ERR_ARG, "class_label: -1", "integer from 0");
    refuse("class_label=cat\xff", PDAG_ERR_ARG, "class_label: cat?", "not UTF-8");
    refuse("model.lora=a\xff", PDAG_ERR_ARG, "model.lora: a?", "not UTF-8");
}
END_TEST

START_TEST(test_unknown_names)
{
    refuse("sampler.step=5", PDAG_ERR_ARG, "sampler.step: unknown field",
           "did you mean sampler.steps");
    refuse("steps=5", PDAG_ERR_ARG, "steps: unknown field", "sampler.steps");
    refuse("solver.steps=5", PDAG_ERR_ARG, "solver.steps", "sampler.steps");
    refuse("promt=x", PDAG_ERR_ARG, "promt", "did you mean prompt");
    refuse("xyzzy.frobnicate=1", PDAG_ERR_ARG, "xyzzy.frobnicate",
           "unknown field");
    refuse("gaussian=1", PDAG_ERR_ARG, "gaussian: a group", "gaussian.FIELD");
    refuse("gauss=", PDAG_ERR_ARG, "gauss: unknown field", "unknown");
    refuse("sampler.steps", PDAG_ERR_ARG, "sampler.steps", "FIELD=VALUE");
    refuse("=5", PDAG_ERR_ARG, "=5", "FIELD=VALUE");
    refuse("", PDAG_ERR_ARG, "--set", "FIELD=VALUE");
    refuse("two\nlines=5", PDAG_ERR_ARG, "two?lines", "unknown field");
    refuse("a.very.long.name.that.no.field.has.because.it.goes.on.and.on.and=1",
           PDAG_ERR_ARG, "a.very.long", "unknown field");
}
END_TEST

START_TEST(test_lists)
{
    pdag_job *job = job_of(SETS(MODEL, "prompt=a", "prompt=b", "seed=3",
                                "prompt=c"));
    void *bytes;
    size_t n_bytes;

    expect_json(job, "prompt", "[\"a\",\"b\",\"c\"]");
    ck_assert_int_eq(pdag_job_pack(job, &bytes, &n_bytes), PDAG_OK);
    pdag_job_destroy(job);

    /* The job file's list goes with the first --set. */
    write_job(bytes, n_bytes);
    free(bytes);
    ck_assert_int_eq(
        pdag_job_read(job_path, 2, SETS("prompt=x", "prompt=y"), &job),
        PDAG_OK);
    expect_json(job, "prompt", "[\"x\",\"y\"]");
    pdag_job_destroy(job);
    ck_assert_int_eq(pdag_job_read(job_path, 0, NULL, &job), PDAG_OK);
    expect_json(job, "prompt", "[\"a\",\"b\",\"c\"]");
    pdag_job_destroy(job);
    ck_assert_int_eq(pdag_job_read(job_path, 1, SETS("prompt="), &job),
                     PDAG_OK);
    expect_json(job, "prompt", "[]");
    pdag_job_destroy(job);
    job = job_of(SETS(MODEL, "prompt=a", "prompt=", "prompt=b", "prompt=c=d"));
    expect_json(job, "prompt", "[\"b\",\"c=d\"]");
    pdag_job_destroy(job);
}
END_TEST

START_TEST(test_gaussian)
{
    pdag_job *job = job_of(SETS("gaussian.shape=4", "gaussian.shape=8",
                                "gaussian.shape=8", "gaussian.modes=3"));
    char *text;

    expect_json(job, "gaussian",
                "{\"shape\":[4,8,8],\"modes\":3,\"std\":0.5,\"seed\":0}");
    expect_json(job, "model.path", "null");
    text = dump(job);
    free(text);
    pdag_job_destroy(job);

    refuse("gaussian.shape=4", PDAG_ERR_ARG, "model.path", "gaussian");
    pdag_job_destroy(job_of(SETS(MODEL, "gaussian.shape=4", "gaussian=")));
    job = NULL;
    ck_assert_int_eq(read_sets(SETS("gaussian.modes=4"), &job), PDAG_ERR_ARG);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "gaussian.shape"));
    ck_assert_int_eq(read_sets(SETS("gaussian.shape=1", "gaussian.shape=1",
                                    "gaussian.shape=1", "gaussian.shape=1"),
                               &job),
                     PDAG_ERR_ARG);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "gaussian.shape"));
    ck_assert_int_eq(read_sets(SETS("gaussian.shape=16777216",
                                    "gaussian.shape=16777216",
                                    "gaussian.shape=16777216"),
                               &job),
                     PDAG_ERR_ARG);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "gaussian.shape"));
    ck_assert_ptr_null(job);
}
END_TEST

static pdag_job *resolved(const pdag_job_facts *facts, const char *one,
                          const char *two)
{
    pdag_job *job = job_of(SETS(MODEL, one, two));
    char *text, *again;

    ck_assert_msg(pdag_job_resolve(job, facts) == PDAG_OK, "%s",
                  pdag_error_text());
    text = dump(job);
    ck_assert_int_eq(pdag_job_resolve(job, facts), PDAG_OK);
    again = dump(job);
    ck_assert_str_eq(text, again);
    free(text);
    free(again);
    return job;
}

START_TEST(test_resolve_defaults)
{
    const pdag_job_facts sd = {
        .has_text = true, .is_latent = true, .sampler_kind = "pndm"};
    const pdag_job_facts pixel = {.sampler_kind = "ddpm"};
    const pdag_job_facts bare = {.sampler_kind = NULL};
    const pdag_job_facts classes = {.has_classes = true, .is_latent = true};
    const pdag_job_facts known = {
        .is_latent = true, .variance = 0.6, .statistics = "/m/statistics.npy"};
    pdag_job *job = resolved(&sd, "prompt=a", "prompt=b");

    ck_assert_str_eq(job->sampler.kind, "pndm");
    ck_assert(job->guidance_scale == 7.5);
    ck_assert_int_eq(job->samples, 2);
    ck_assert_int_eq(job->block_rows, 3);
    ck_assert(job->solver.tolerance == 1e-3);
    ck_assert(job->solver.variance == 1.0);
    ck_assert_str_eq(job->solver.method, "secant");
    ck_assert_str_eq(job->solver.slope, "gaussian");
    ck_assert_str_eq(job->solver.start, "copies");
    ck_assert_str_eq(job->solver.statistics, "");
    ck_assert_int_eq(job->solver.history, 4);
    ck_assert_int_eq(job->solver.order, 0);
    pdag_job_destroy(job);

    job = resolved(&pixel, "solver.stop=relative", "sampler.steps=1000");
    ck_assert_str_eq(job->sampler.kind, "ddpm");
    ck_assert(job->guidance_scale == 1.0);
    ck_assert_int_eq(job->samples, 1);
    ck_assert_int_eq(job->block_rows, 16);
    ck_assert(job->solver.tolerance == 0.1);
    ck_assert(job->solver.variance == 0.27);
    pdag_job_destroy(job);

    job = resolved(&bare, "solver.stop=paradigms", "sampler.steps=5");
    ck_assert_str_eq(job->sampler.kind, "ddim");
    ck_assert_int_eq(job->block_rows, 1);
    ck_assert(job->solver.tolerance == 0.1);
    pdag_job_destroy(job);

    job = resolved(&classes, "solver.stop=residual", "samples=7");
    ck_assert(job->guidance_scale == 7.5);
    ck_assert(job->solver.tolerance == 1e-3);
    ck_assert_int_eq(job->samples, 7);
    pdag_job_destroy(job);

    job = resolved(&known, "solver.method=triangular-anderson", "seed=0");
    ck_assert(job->solver.variance == 0.6);
    ck_assert_str_eq(job->solver.statistics, "/m/statistics.npy");
    ck_assert_str_eq(job->solver.slope, "sampler");
    ck_assert_int_eq(job->solver.history, 2);
    ck_assert_int_eq(job->solver.order, 20);
    pdag_job_destroy(job);

    job = resolved(&known, "solver.method=picard", "solver.start_from=/d");
    ck_assert_str_eq(job->solver.slope, "one");
    ck_assert_str_eq(job->solver.start, "trajectory");
    pdag_job_destroy(job);

    /* What was given stays. */
    job = resolved(&pixel, "sampler.kind=ddim", "block_rows=9");
    ck_assert_str_eq(job->sampler.kind, "ddim");
    ck_assert_int_eq(job->block_rows, 9);
    pdag_job_destroy(job);
}
END_TEST

START_TEST(test_resolve_errors)
{
    static const struct {
        const char *one, *two, *field;
    } bad[] = {
        {"prompt=x", "seed=0", "prompt"},
        {"negative_prompt=x", "seed=0", "negative_prompt"},
        {"guidance_scale=4", "seed=0", "guidance_scale: 4"},
        {"sampler.kind=ddpm", "sampler.eta=0.5", "sampler.eta: 0.5"},
        {"solver.start=trajectory", "seed=0", "solver.start: trajectory"},
        {"solver.start=roll", "solver.start_from=/d", "solver.start_from"},
        {"solver.start_row=3", "seed=0", "solver.start_row: 3"},
        {"solver.slope=bands", "solver.method=picard", "solver.slope: bands"},
    };
    const pdag_job_facts bare = {.sampler_kind = NULL};
    size_t i;

    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        pdag_job *job = job_of(SETS(MODEL, bad[i].one, bad[i].two));

        ck_assert_int_eq(pdag_job_resolve(job, &bare), PDAG_ERR_ARG);
        ck_assert_msg(strstr(pdag_error_text(), bad[i].field) != NULL, "%s",
                      pdag_error_text());
        pdag_job_destroy(job);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("proto_job");
    TCase *all = tcase_create("all");

    tcase_set_timeout(all, 60);
    tcase_add_loop_test(all, test_each_field, 0,
                        (int)(sizeof plain_fields / sizeof plain_fields[0]));
    tcase_add_loop_test(all, test_range_ends, 0,
                        (int)(sizeof ranges / sizeof ranges[0]));
    tcase_add_test(all, test_range_texts);
    tcase_add_test(all, test_choices);
    tcase_add_test(all, test_not_available);
    tcase_add_test(all, test_classes);
    tcase_add_test(all, test_unknown_names);
    tcase_add_test(all, test_lists);
    tcase_add_test(all, test_gaussian);
    tcase_add_test(all, test_resolve_defaults);
    tcase_add_test(all, test_resolve_errors);
    suite_add_tcase(suite, all);
    return run_job_suite(suite);
}
