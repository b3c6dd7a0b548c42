/* cli/sampler: job and scheduler_config.json to a sampler; fields that a kind
   does not take; what run.json and the other ranks are told. */
#include <math.h>

#include "cli/sampler.h"
#include "tests/proto_job.h"
#include "tests/temporary.h"

static const char sd[] =
    "{\"_class_name\": \"PNDMScheduler\", \"beta_start\": 0.00085,"
    " \"beta_end\": 0.012, \"beta_schedule\": \"scaled_linear\","
    " \"skip_prk_steps\": true, \"set_alpha_to_one\": false,"
    " \"steps_offset\": 1, \"clip_sample\": false}";

/* The job resolved for this kind, and its sampler or NULL. */
static pdag_transition *make(pdag_job *job, const char *text)
{
    const pdag_job_facts facts = {.sampler_kind = NULL};
    pdag_schedule *schedule = NULL;
    pdag_transition *tr = NULL;
    const char *config = text != NULL ? temporary_file(text) : NULL;
    pdag_status status = pdag_job_resolve(job, &facts);

    ck_assert_msg(status == PDAG_OK, "%s", pdag_error_text());
    if (pdag_sampler_make(job, config, 4, &schedule, &tr) != PDAG_OK) {
        ck_assert_ptr_null(schedule);
        ck_assert_ptr_null(tr);
    }
    pdag_schedule_destroy(schedule);
    return tr;
}

static void refuse(const char *kind, const char *set, const char *field)
{
    char *set_kind = pdag_xasprintf("sampler.kind=%s", kind);
    pdag_job *job = job_of(SETS(MODEL, set_kind, set));

    ck_assert_msg(make(job, sd) == NULL, "%s %s: not refused", kind, set);
    ck_assert_msg(strstr(pdag_error_text(), field) != NULL &&
                      strstr(pdag_error_text(), kind) != NULL,
                  "%s %s: %s", kind, set, pdag_error_text());
    pdag_job_destroy(job);
    free(set_kind);
}

START_TEST(test_fields_that_mean_nothing)
{
    static const char *const clips_not[] = {
        "dpmpp-1", "dpmpp-2m",   "sde-dpmpp-2m", "euler",
        "euler-a", "flow-euler", "pndm"};

    for (size_t i = 0; i < sizeof clips_not / sizeof clips_not[0]; i++) {
        refuse(clips_not[i], "sampler.clip=false", "sampler.clip");
        refuse(clips_not[i], "sampler.clip_range=2", "sampler.clip_range");
        refuse(clips_not[i], "sampler.variance=fixed_small",
               "sampler.variance");
    }
    refuse("ddim", "sampler.variance=fixed_large", "sampler.variance");
    refuse("ddpm", "sampler.set_alpha_to_one=true", "sampler.set_alpha_to_one");
    refuse("euler", "sampler.set_alpha_to_one=true",
           "sampler.set_alpha_to_one");
    refuse("flow-euler", "sampler.spacing=leading", "sampler.spacing");
    refuse("flow-euler", "sampler.prediction=epsilon", "sampler.prediction");
    refuse("flow-euler", "sampler.steps_offset=0", "sampler.steps_offset");
    refuse("pndm", "sampler.prediction=sample", "sampler.prediction");
    refuse("euler-a", "sampler.prediction=sample", "sampler.prediction");
}
END_TEST

/* The resolved job makes the same sampler again, as the other ranks do. */
START_TEST(test_resolved_job_again)
{
    for (size_t k = 0; pdag_transition_kind(k) != NULL; k++)
        for (int bare = 0; bare < 2; bare++) {
            char *set_kind =
                pdag_xasprintf("sampler.kind=%s", pdag_transition_kind(k));
            pdag_job *job = job_of(SETS(MODEL, set_kind, "sampler.steps=7"));
            pdag_job *copy = NULL;
            pdag_transition *first = make(job, bare ? NULL : sd);
            pdag_transition *second;
            char *text = dump(job);
            char *again;
            void *bytes;
            size_t n_bytes;

            ck_assert_msg(first != NULL, "%s", pdag_error_text());
            ck_assert_int_eq(pdag_job_pack(job, &bytes, &n_bytes), PDAG_OK);
            ck_assert_int_eq(pdag_job_unpack(bytes, n_bytes, &copy), PDAG_OK);
            second = make(copy, bare ? NULL : sd);
            ck_assert_msg(second != NULL, "%s", pdag_error_text());
            again = dump(copy);
            ck_assert_str_eq(again, text);
            ck_assert_uint_eq(first->n_rows, second->n_rows);
            ck_assert_mem_eq(first->a, second->a,
                             first->n_rows * sizeof *first->a);
            pdag_transition_destroy(first);
            pdag_transition_destroy(second);
            pdag_job_destroy(job);
            pdag_job_destroy(copy);
            free(bytes);
            free(text);
            free(again);
            free(set_kind);
        }
}
END_TEST

START_TEST(test_job_over_config)
{
    pdag_job *job =
        job_of(SETS(MODEL, "sampler.kind=dpmpp-2m", "sampler.spacing=trailing",
                    "sampler.prediction=v_prediction"));
    pdag_transition *tr = make(job, sd);

    ck_assert_msg(tr != NULL, "%s", pdag_error_text());
    ck_assert_int_eq(tr->config.spacing, PDAG_SPACING_TRAILING);
    ck_assert_int_eq(tr->config.prediction, PDAG_PREDICT_V);
    ck_assert_double_eq(tr->t[0], 999);
    ck_assert_int_eq(job->sampler.steps_offset, 1);
    ck_assert_str_eq(job->sampler.clip, "");
    pdag_transition_destroy(tr);
    pdag_job_destroy(job);
    job = job_of(SETS(MODEL, "sampler.kind=pndm", "sampler.steps=10"));
    tr = make(job, sd);
    ck_assert_msg(tr != NULL, "%s", pdag_error_text());
    ck_assert_uint_eq(tr->n_rows, 11);
    ck_assert_str_eq(job->sampler.set_alpha_to_one, "false");
    pdag_transition_destroy(tr);
    pdag_job_destroy(job);
}
END_TEST

/* As DDPMScheduler.from_config(.., variance_type="fixed_small") of a model that
   learned a variance, which the network's loader drops. */
START_TEST(test_variance_over_config)
{
    static const char *const others[] = {"fixed_large_log", "learned",
                                         "learned_range"};
    pdag_job *job = job_of(SETS(MODEL, "sampler.kind=ddpm"));
    pdag_transition *plain = make(job, "{\"_class_name\": \"DDPMScheduler\"}");

    ck_assert_msg(plain != NULL, "%s", pdag_error_text());
    pdag_job_destroy(job);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        char *text = pdag_xasprintf("{\"_class_name\": \"DDPMScheduler\","
                                    " \"variance_type\": \"%s\"}",
                                    others[i]);
        pdag_transition *tr;

        job = job_of(SETS(MODEL, "sampler.kind=ddpm"));
        ck_assert_ptr_null(make(job, text));
        ck_assert_ptr_nonnull(strstr(pdag_error_text(), others[i]));
        ck_assert_ptr_nonnull(strstr(pdag_error_text(), "sampler.variance"));
        pdag_job_destroy(job);
        ck_assert_int_eq(pdag_sampler_check(temporary_file(text)),
                         PDAG_ERR_UNSUPPORTED);
        job = job_of(
            SETS(MODEL, "sampler.kind=ddpm", "sampler.variance=fixed_small"));
        tr = make(job, text);
        ck_assert_msg(tr != NULL, "%s", pdag_error_text());
        ck_assert_str_eq(job->sampler.variance, "fixed_small");
        ck_assert_mem_eq(tr->c, plain->c, plain->n_rows * sizeof *plain->c);
        pdag_transition_destroy(tr);
        pdag_job_destroy(job);
        free(text);
    }
    pdag_transition_destroy(plain);
}
END_TEST

START_TEST(test_own_kind)
{
    const char *kind = "?";
    const char *config = temporary_file(sd);

    ck_assert_int_eq(pdag_sampler_own_kind(config, false, &kind), PDAG_OK);
    ck_assert_str_eq(kind, "pndm");
    ck_assert_int_eq(pdag_sampler_check(config), PDAG_OK);
    temporary_file("{\"_class_name\": \"HeunDiscreteScheduler\"}");
    ck_assert_int_eq(pdag_sampler_own_kind(config, false, &kind),
                     PDAG_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "HeunDiscreteScheduler"));
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "sampler.kind"));
    ck_assert_int_eq(pdag_sampler_own_kind(config, true, &kind), PDAG_OK);
    ck_assert_ptr_null(kind);
    ck_assert_int_eq(pdag_sampler_check(config), PDAG_ERR_UNSUPPORTED);
    temporary_file("{\"_class_name\": \"DPMSolverMultistepScheduler\","
                   " \"algorithm_type\": \"dpmsolver\"}");
    ck_assert_int_eq(pdag_sampler_check(config), PDAG_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(
        strstr(pdag_error_text(), "algorithm_type dpmsolver"));
    temporary_file("{\"_class_name\": \"PNDMScheduler\"}");
    ck_assert_int_eq(pdag_sampler_check(config), PDAG_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "skip_prk_steps"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli/sampler");
    TCase *tcase = tcase_create("all");

    tcase_add_checked_fixture(tcase, NULL, temporary_file_remove);
    tcase_add_test(tcase, test_fields_that_mean_nothing);
    tcase_add_test(tcase, test_resolved_job_again);
    tcase_add_test(tcase, test_job_over_config);
    tcase_add_test(tcase, test_variance_over_config);
    tcase_add_test(tcase, test_own_kind);
    suite_add_tcase(suite, tcase);
    return run_job_suite(suite);
}
