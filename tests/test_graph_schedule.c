/* graph/schedule: alpha-bar and timesteps against diffusers, from_config()
   semantics, and bad scheduler_config.json files. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "graph/schedule.h"
#include "tests/temporary.h"

static pdag_json cases;

static void load(void)
{
    const char *folder = getenv("srcdir");
    char path[1024];

    snprintf(path, sizeof path, "%s/tests/data/schedule/cases.json",
             folder != NULL ? folder : ".");
    ck_assert_msg(pdag_json_read(path, &cases) == PDAG_OK, "%s",
                  pdag_error_text());
}

static void unload(void)
{
    temporary_file_remove();
    pdag_json_clear(&cases);
}

static double number(const json_t *list, size_t i)
{
    return json_number_value(json_array_get(list, i));
}

static pdag_status read_text(const char *text, const char *kind,
                             pdag_schedule_config *config)
{
    return pdag_schedule_config_read(temporary_file(text), kind, config);
}

static void check_case(const json_t *entry, size_t number_of_case)
{
    const char *kind = json_string_value(json_object_get(entry, "kind"));
    size_t n = json_integer_value(json_object_get(entry, "steps"));
    const json_t *spots = json_object_get(entry, "alpha_spots");
    const json_t *rows = json_object_get(entry, "rows");
    char *text = json_dumps(json_object_get(entry, "config"), 0);
    pdag_schedule_config config;
    pdag_schedule *schedule;
    double sum = 0;
    double tolerance;

    ck_assert_msg(read_text(text, kind, &config) == PDAG_OK, "%s",
                  pdag_error_text());
    free(text);
    ck_assert_msg(pdag_schedule_create(&config, kind, n, &schedule) == PDAG_OK,
                  "case %zu: %s", number_of_case, pdag_error_text());
    /* Exact but for exp() and sqrt(), whose last bit torch's vector library
       gets wrong now and then. */
    tolerance =
        config.beta_schedule == PDAG_BETA_SIGMOID || config.rescale_zero_snr
            ? 3e-7
            : 0;
    for (size_t k = 0; k < json_array_size(spots); k++) {
        double expected = number(json_object_get(entry, "alpha_bar"), k);

        ck_assert_double_le(
            fabs(schedule->alpha_bar[(size_t)number(spots, k)] - expected),
            tolerance * expected);
    }
    for (size_t t = 0; t < schedule->n_train; t++)
        sum += schedule->alpha_bar[t];
    ck_assert_double_eq_tol(
        sum, json_number_value(json_object_get(entry, "alpha_sum")),
        tolerance * sum + 1e-10);
    sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += schedule->timesteps[i];
    ck_assert_double_eq(sum,
                        json_number_value(json_object_get(entry, "t_sum")));
    for (size_t k = 0; k < json_array_size(rows); k++)
        ck_assert_double_eq(schedule->timesteps[(size_t)number(rows, k)],
                            number(json_object_get(entry, "t"), k));
    pdag_schedule_destroy(schedule);
    pdag_schedule_config_clear(&config);
}

START_TEST(test_against_diffusers)
{
    json_t *list;

    ck_assert_int_eq(pdag_json_array(&cases, "cases", &list), PDAG_OK);
    ck_assert_uint_ge(json_array_size(list), 90);
    for (size_t i = 0; i < json_array_size(list); i++)
        check_case(json_array_get(list, i), i);
}
END_TEST

START_TEST(test_other_class_takes_its_own_defaults)
{
    pdag_schedule_config config;

    ck_assert_int_eq(
        read_text("{\"_class_name\": \"PNDMScheduler\", \"beta_start\": 0.1,"
                  "\"set_alpha_to_one\": false, \"skip_prk_steps\": true}",
                  "ddim", &config),
        PDAG_OK);
    ck_assert_str_eq(config.class_name, "PNDMScheduler");
    ck_assert(config.clip_sample);
    ck_assert(!config.set_alpha_to_one);
    ck_assert_double_eq(config.beta_start, 0.1);
    ck_assert_double_eq(config.beta_end, 0.02);
    /* DDIM has no variance_type: what DDPM could not do is no hindrance. */
    ck_assert_int_eq(
        read_text("{\"variance_type\": \"learned_range\"}", "ddim", &config),
        PDAG_OK);
    /* DDPM has no set_alpha_to_one. */
    ck_assert_int_eq(
        read_text("{\"set_alpha_to_one\": false}", "ddpm", &config), PDAG_OK);
    ck_assert(config.set_alpha_to_one);
}
END_TEST

static void check_kind(const char *text, const char *wanted,
                       const char *described)
{
    char description[PDAG_SCHEDULE_TEXT];
    const char *kind = "?";

    ck_assert_msg(pdag_schedule_kind_read(temporary_file(text), &kind,
                                          description) == PDAG_OK,
                  "%s", pdag_error_text());
    ck_assert_pstr_eq(kind, wanted);
    ck_assert_msg(strstr(description, described) != NULL, "%s", description);
}

#define CLASS(name) "{\"_class_name\": \"" name "\", \"x\": [1]}"
#define DPM(rest) "{\"_class_name\": \"DPMSolverMultistepScheduler\"" rest "}"

START_TEST(test_kinds)
{
    const char *kind;
    const pdag_schedule_kind *kind_row;

    check_kind(CLASS("DDIMScheduler"), "ddim", "DDIMScheduler");
    check_kind(CLASS("DDIMParallelScheduler"), "ddim", "DDIMParallel");
    check_kind(CLASS("DDPMScheduler"), "ddpm", "DDPMScheduler");
    check_kind(CLASS("DDPMParallelScheduler"), "ddpm", "DDPMParallel");
    check_kind(CLASS("PNDMScheduler"), "pndm", "PNDM");
    check_kind(CLASS("EulerDiscreteScheduler"), "euler", "Euler");
    check_kind(CLASS("EulerAncestralDiscreteScheduler"), "euler-a", "Euler");
    check_kind(CLASS("FlowMatchEulerDiscreteScheduler"), "flow-euler", "Flow");
    check_kind(CLASS("HeunDiscreteScheduler"), NULL, "Heun");
    check_kind(DPM(""), "dpmpp-2m", "dpmsolver++, solver_order 2");
    check_kind(DPM(", \"solver_order\": 1"), "dpmpp-1", "solver_order 1");
    check_kind(DPM(", \"solver_order\": 3"), "dpmpp-3m", "solver_order 3");
    check_kind(DPM(", \"algorithm_type\": \"deis\""), "dpmpp-2m", "deis");
    check_kind(DPM(", \"algorithm_type\": \"sde-dpmsolver++\""), "sde-dpmpp-2m",
               "sde-dpmsolver++");
    check_kind(DPM(", \"algorithm_type\": \"sde-dpmsolver++\", "
                   "\"solver_order\": 1"),
               "sde-dpmpp-1", "solver_order 1");
    check_kind(DPM(", \"algorithm_type\": \"sde-dpmsolver++\", "
                   "\"solver_order\": 3"),
               NULL, "sde-dpmsolver++, solver_order 3");
    check_kind(DPM(", \"algorithm_type\": \"dpmsolver\""), NULL,
               "algorithm_type dpmsolver,");
    /* Python writes numbers that JSON does not have. */
    check_kind(DPM(", \"lambda_min_clipped\": -Infinity"), "dpmpp-2m", "");
    ck_assert_int_eq(pdag_schedule_kind_read("/nonexistent", &kind, NULL),
                     PDAG_ERR_INPUT);
    ck_assert_ptr_null(pdag_schedule_kind_find("dpm"));
    ck_assert_int_eq(pdag_schedule_kind_get("dpm", &kind_row),
                     PDAG_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "sde-dpmpp-2m"));
}
END_TEST

/* Keys of other classes are no hindrance, and the kind takes only its own. */
START_TEST(test_config_of_another_class)
{
    pdag_schedule_config config;

    ck_assert_int_eq(
        read_text(DPM(", \"lambda_min_clipped\": -Infinity, "
                      "\"use_flow_sigmas\": true, \"solver_type\": \"bh1\", "
                      "\"variance_type\": \"learned\", "
                      "\"clip_sample\": true, \"shift\": 7}"
                      "  \n"),
                  "euler", &config),
        PDAG_ERR_FORMAT); /* text after the end */
    ck_assert_int_eq(
        read_text(DPM(", \"lambda_min_clipped\": -Infinity, "
                      "\"use_flow_sigmas\": true, \"solver_type\": \"bh1\", "
                      "\"variance_type\": \"learned\", "
                      "\"clip_sample\": true, \"shift\": 7"),
                  "euler", &config),
        PDAG_OK);
    ck_assert(!config.clip_sample);
    ck_assert_double_eq(config.shift, 1);
    ck_assert_int_eq(config.spacing, PDAG_SPACING_LINSPACE);
    ck_assert_int_eq(
        read_text(DPM(", \"beta_start\": 0.1, \"beta_end\": 0.2, "
                      "\"_use_default_values\": [\"beta_end\", 5, \"none\"]"),
                  "dpmpp-3m", &config),
        PDAG_OK);
    ck_assert_double_eq(config.beta_start, 0.1);
    ck_assert_double_eq(config.beta_end, 0.02);
    ck_assert_int_eq(read_text("{\"skip_prk_steps\": true}", "pndm", &config),
                     PDAG_OK);
    ck_assert(!config.set_alpha_to_one);
    ck_assert_int_eq(config.spacing, PDAG_SPACING_LEADING);
}
END_TEST

static const struct {
    const char *text;
    const char *kind;
    pdag_status status;
    const char *named; /* must be in the message */
} bad[] = {
    {"{", "ddim", PDAG_ERR_FORMAT, "pdag-test-"},
    {"[]", "ddim", PDAG_ERR_FORMAT, "pdag-test-"},
    {"{\"num_train_timesteps\": 0}", "ddim", PDAG_ERR_FORMAT,
     "num_train_timesteps"},
    {"{\"num_train_timesteps\": 1e3}", "ddim", PDAG_ERR_FORMAT,
     "num_train_timesteps"},
    {"{\"num_train_timesteps\": 100001}", "ddim", PDAG_ERR_FORMAT,
     "num_train_timesteps"},
    {"{\"beta_schedule\": \"laplace\"}", "ddpm", PDAG_ERR_UNSUPPORTED,
     "laplace"},
    {"{\"beta_start\": \"0.1\"}", "ddim", PDAG_ERR_FORMAT, "beta_start"},
    {"{\"beta_end\": 2}", "ddim", PDAG_ERR_FORMAT, "beta_end"},
    {"{\"clip_sample\": 1}", "ddim", PDAG_ERR_FORMAT, "clip_sample"},
    {"{\"clip_sample_range\": 0}", "ddim", PDAG_ERR_FORMAT,
     "clip_sample_range"},
    {"{\"prediction_type\": \"flow\"}", "ddim", PDAG_ERR_UNSUPPORTED,
     "prediction_type"},
    {"{\"timestep_spacing\": \"karras\"}", "ddim", PDAG_ERR_UNSUPPORTED,
     "timestep_spacing"},
    {"{\"steps_offset\": -1}", "ddim", PDAG_ERR_FORMAT, "steps_offset"},
    {"{\"variance_type\": \"fixed_medium\"}", "ddpm", PDAG_ERR_UNSUPPORTED,
     "fixed_medium"},
    {"{\"trained_betas\": [0.1]}", "ddim", PDAG_ERR_FORMAT, "trained_betas"},
    {"{\"num_train_timesteps\": 2, \"trained_betas\": [0.1, null]}", "ddim",
     PDAG_ERR_FORMAT, "element 1"},
    {"{\"num_train_timesteps\": 2, \"trained_betas\": [0.1, 1.5]}", "ddim",
     PDAG_ERR_FORMAT, "element 1"},
    {"{\"_class_name\": 5}", "ddim", PDAG_ERR_FORMAT, "_class_name"},
    {"{\"_class_name\": \"0123456789012345678901234567890123456789012345678901"
     "23456789abcd\"}",
     "ddim", PDAG_ERR_FORMAT, "_class_name"},
    {"{}", "heun", PDAG_ERR_UNSUPPORTED, "heun"},
    {"{}", "pndm", PDAG_ERR_UNSUPPORTED, "skip_prk_steps"},
    {"{\"skip_prk_steps\": false}", "pndm", PDAG_ERR_UNSUPPORTED,
     "skip_prk_steps"},
    {"{\"skip_prk_steps\": true, \"prediction_type\": \"sample\"}", "pndm",
     PDAG_ERR_UNSUPPORTED, "prediction_type"},
    {"{\"prediction_type\": \"sample\"}", "euler-a", PDAG_ERR_UNSUPPORTED,
     "prediction_type"},
    {"{\"prediction_type\": \"flow_prediction\"}", "dpmpp-2m",
     PDAG_ERR_UNSUPPORTED, "flow_prediction"},
    {"{\"prediction_type\": \"original_sample\"}", "dpmpp-2m",
     PDAG_ERR_UNSUPPORTED, "original_sample"},
    {"{\"use_flow_sigmas\": true}", "dpmpp-2m", PDAG_ERR_UNSUPPORTED,
     "use_flow_sigmas"},
    {"{\"use_beta_sigmas\": true}", "euler", PDAG_ERR_UNSUPPORTED,
     "use_beta_sigmas"},
    {"{\"use_dynamic_shifting\": true}", "flow-euler", PDAG_ERR_UNSUPPORTED,
     "use_dynamic_shifting"},
    {"{\"invert_sigmas\": true}", "flow-euler", PDAG_ERR_UNSUPPORTED,
     "invert_sigmas"},
    {"{\"shift\": 0}", "flow-euler", PDAG_ERR_FORMAT, "shift"},
    {"{\"shift_terminal\": 1}", "flow-euler", PDAG_ERR_FORMAT,
     "shift_terminal"},
    {"{\"variance_type\": \"learned_range\"}", "dpmpp-3m", PDAG_ERR_UNSUPPORTED,
     "learned_range"},
    {"{\"solver_type\": \"rk4\"}", "dpmpp-2m", PDAG_ERR_UNSUPPORTED, "rk4"},
    {"{\"final_sigmas_type\": \"one\"}", "euler", PDAG_ERR_UNSUPPORTED,
     "final_sigmas_type"},
    {"{\"interpolation_type\": \"cubic\"}", "euler", PDAG_ERR_UNSUPPORTED,
     "cubic"},
    {"{\"timestep_type\": \"continuous\", "
     "\"prediction_type\": \"v_prediction\"}",
     "euler", PDAG_ERR_UNSUPPORTED, "timestep_type"},
    {"{\"use_karras_sigmas\": true, \"use_exponential_sigmas\": true}", "euler",
     PDAG_ERR_FORMAT, "use_karras_sigmas"},
    {"{\"use_karras_sigmas\": 1}", "dpmpp-2m", PDAG_ERR_FORMAT,
     "use_karras_sigmas"},
    {"{\"lower_order_final\": \"yes\"}", "dpmpp-2m", PDAG_ERR_FORMAT,
     "lower_order_final"},
    {"{\"lambda_min_clipped\": true}", "dpmpp-2m", PDAG_ERR_FORMAT,
     "lambda_min_clipped"},
    {"{\"_use_default_values\": 3}", "dpmpp-2m", PDAG_ERR_FORMAT,
     "_use_default_values"},
};

START_TEST(test_bad_files)
{
    pdag_schedule_config config;
    pdag_schedule_config untouched;

    memset(&config, 0x5a, sizeof config);
    untouched = config;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        pdag_status status = read_text(bad[i].text, bad[i].kind, &config);

        ck_assert_msg(status == bad[i].status, "%s: %d: %s", bad[i].text,
                      (int)status, pdag_error_text());
        ck_assert_msg(strstr(pdag_error_text(), bad[i].named) != NULL, "%s: %s",
                      bad[i].text, pdag_error_text());
        ck_assert_mem_eq(&config, &untouched, sizeof config);
    }
    ck_assert_int_eq(
        pdag_schedule_config_read("/nonexistent/x.json", "ddim", &config),
        PDAG_ERR_INPUT);
}
END_TEST

static pdag_status create(pdag_spacing spacing, int offset, size_t n)
{
    pdag_schedule_config config;
    pdag_schedule *schedule = NULL;
    pdag_status status;

    pdag_schedule_config_defaults("ddim", &config);
    config.spacing = spacing;
    config.steps_offset = offset;
    status = pdag_schedule_create(&config, "ddim", n, &schedule);
    pdag_schedule_destroy(schedule);
    return status;
}

START_TEST(test_step_counts)
{
    ck_assert_int_eq(create(PDAG_SPACING_LEADING, 0, 0), PDAG_ERR_ARG);
    ck_assert_int_eq(create(PDAG_SPACING_LEADING, 0, 1001), PDAG_ERR_ARG);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "sampler.steps"));
    ck_assert_int_eq(create(PDAG_SPACING_LEADING, 0, 1000), PDAG_OK);
    /* Timestep 1000 of 0..999, where diffusers' table ends too. */
    ck_assert_int_eq(create(PDAG_SPACING_LEADING, 1, 1000), PDAG_ERR_ARG);
    ck_assert_int_eq(create(PDAG_SPACING_LEADING, 1, 999), PDAG_OK);
    ck_assert_int_eq(create(PDAG_SPACING_TRAILING, 1, 1000), PDAG_OK);
    /* numpy.arange(1000, 0, -1000/61) has 62 values. */
    ck_assert_int_eq(create(PDAG_SPACING_TRAILING, 0, 61), PDAG_ERR_ARG);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "trailing"));
    ck_assert_int_eq(create(PDAG_SPACING_TRAILING, 0, 60), PDAG_OK);
    ck_assert_int_eq(create(PDAG_SPACING_LINSPACE, 0, 61), PDAG_OK);
}
END_TEST

static pdag_status create_of(const char *kind, size_t n, const char *text)
{
    pdag_schedule_config config;
    pdag_schedule *schedule = NULL;
    pdag_status status = read_text(text, kind, &config);

    ck_assert_msg(status == PDAG_OK, "%s", pdag_error_text());
    status = pdag_schedule_create(&config, kind, n, &schedule);
    pdag_schedule_destroy(schedule);
    pdag_schedule_config_clear(&config);
    return status;
}

START_TEST(test_undefined_schedules)
{
    pdag_schedule_config config;
    pdag_schedule *schedule;

    ck_assert_int_eq(create_of("dpmpp-2m", 10, "{\"lambda_min_clipped\": 99}"),
                     PDAG_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "lambda_min_clipped"));
    ck_assert_int_eq(create_of("dpmpp-2m", 10,
                               "{\"lambda_min_clipped\": -1.0, "
                               "\"timestep_spacing\": \"trailing\"}"),
                     PDAG_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "lambda_min_clipped"));
    ck_assert_int_eq(create_of("euler", 1,
                               "{\"num_train_timesteps\": 1, "
                               "\"use_karras_sigmas\": true}"),
                     PDAG_ERR_UNSUPPORTED);
    ck_assert_int_eq(create_of("flow-euler", 1, "{\"shift_terminal\": 0.1}"),
                     PDAG_ERR_UNSUPPORTED);
    ck_assert_int_eq(create_of("flow-euler", 1001, "{}"), PDAG_ERR_ARG);
    ck_assert_int_eq(create_of("flow-euler", 1000, "{}"), PDAG_OK);
    ck_assert_int_eq(create_of("euler", 1000, "{}"), PDAG_OK);
    ck_assert_int_eq(create_of("dpmpp-2m", 1000, "{}"), PDAG_OK);
    pdag_schedule_config_defaults("pndm", &config);
    config.prediction = PDAG_PREDICT_SAMPLE;
    ck_assert_int_eq(pdag_schedule_create(&config, "pndm", 10, &schedule),
                     PDAG_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "sampler.prediction"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("graph/schedule");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, load, unload);
    tcase_add_test(tcase, test_against_diffusers);
    tcase_add_test(tcase, test_other_class_takes_its_own_defaults);
    tcase_add_test(tcase, test_kinds);
    tcase_add_test(tcase, test_config_of_another_class);
    tcase_add_test(tcase, test_undefined_schedules);
    tcase_add_test(tcase, test_bad_files);
    tcase_add_test(tcase, test_step_counts);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
