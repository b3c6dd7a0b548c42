/* proto/job: job files, good and bad bytes, paths, packing. */
#include <sys/stat.h>
#include <unistd.h>

#include "tests/proto_job.h"

static void refuse_bytes(const void *bytes, size_t n_bytes,
                         pdag_status expected, const char *what)
{
    pdag_job *job = NULL;
    pdag_status status;

    write_job(bytes, n_bytes);
    status = pdag_job_read(job_path, 0, NULL, &job);
    ck_assert_msg(status == expected, "%s: status %d: %s", what, status,
                  pdag_error_text());
    ck_assert_ptr_null(job);
    ck_assert_msg(strstr(pdag_error_text(), what) != NULL,
                  "no '%s' in: %s", what, pdag_error_text());
    ck_assert_msg(strstr(pdag_error_text(), job_path) != NULL,
                  "no file name in: %s", pdag_error_text());
}

#define BYTES(text) text, sizeof text - 1

START_TEST(test_bad_bytes)
{
    refuse_bytes(BYTES(""), PDAG_ERR_ARG, "model.path: required");
    refuse_bytes(BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
                 PDAG_ERR_FORMAT, "not a picard-dag job");
    refuse_bytes(BYTES("\x00\x00"), PDAG_ERR_FORMAT, "not a picard-dag job");
    refuse_bytes(BYTES("\x0b"), PDAG_ERR_FORMAT, "not a picard-dag job");
    /* model { path: .. } promises five bytes and has four. */
    refuse_bytes(BYTES("\x0a\x05\x0a\x02/m"), PDAG_ERR_FORMAT, "cut short");
    refuse_bytes(BYTES("\x0a\x04\x0a\x03/m"), PDAG_ERR_FORMAT, "cut short");
    refuse_bytes(BYTES("\x0a"), PDAG_ERR_FORMAT, "cut short");
    refuse_bytes(BYTES("\x60"), PDAG_ERR_FORMAT, "cut short");
    refuse_bytes(BYTES("\x49\x00\x00"), PDAG_ERR_FORMAT, "cut short");
    refuse_bytes(BYTES("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
                 PDAG_ERR_FORMAT, "cut short");
    /* Unknown numbers: 99 at the top, 31 in sampler, 9 in a LoRA. */
    refuse_bytes(BYTES("\x98\x06\x01"), PDAG_ERR_FORMAT,
                 "unknown field number 99");
    refuse_bytes(BYTES("\x1a\x03\xf8\x01\x01"), PDAG_ERR_FORMAT,
                 "sampler.unknown field number 31");
    refuse_bytes(BYTES("\x0a\x04\x2a\x02\x48\x01"), PDAG_ERR_FORMAT,
                 "model.lora.unknown field number 9");
    /* sampler.steps as a string, seed as eight bytes. */
    refuse_bytes(BYTES("\x1a\x03\x12\x01x"), PDAG_ERR_FORMAT,
                 "sampler.steps: wrong wire type");
    refuse_bytes(BYTES("\x61\x01\x02\x03\x04\x05\x06\x07\x08"),
                 PDAG_ERR_FORMAT, "seed: wrong wire type");
    /* NUL and bad UTF-8 in a prompt; an overlong slash; a surrogate. */
    refuse_bytes(BYTES("\x0a\x04\x0a\x02/m\x32\x03"
                       "a\0b"),
                 PDAG_ERR_FORMAT, "prompt: the text holds a NUL byte");
    refuse_bytes(BYTES("\x32\x01\xe9"), PDAG_ERR_FORMAT, "prompt");
    refuse_bytes(BYTES("\x32\x02\xc0\xaf"), PDAG_ERR_FORMAT, "not UTF-8");
    refuse_bytes(BYTES("\x32\x03\xed\xa0\x80"), PDAG_ERR_FORMAT, "not UTF-8");
    refuse_bytes(BYTES("\x0a\x03\x0a\x01\xff"), PDAG_ERR_FORMAT, "model.path");
}
END_TEST

START_TEST(test_bad_values_in_bytes)
{
    /* model {path "/m"} and: steps 0; steps -1; eta NaN; method ""; noise "" */
    refuse_bytes(BYTES("\x0a\x04\x0a\x02/m\x1a\x02\x10\x00"), PDAG_ERR_ARG,
                 "sampler.steps: 0: expected integer from 1 to 10000");
    refuse_bytes(BYTES("\x1a\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
                 PDAG_ERR_ARG, "sampler.steps: -1: expected");
    refuse_bytes(BYTES("\x1a\x09\x19\x00\x00\x00\x00\x00\x00\xf8\x7f"),
                 PDAG_ERR_ARG, "sampler.eta");
    refuse_bytes(BYTES("\x49\x00\x00\x00\x00\x00\x00\xf0\x7f"), PDAG_ERR_ARG,
                 "guidance_scale: inf: expected number from 1 to 1000");
    refuse_bytes(BYTES("\x22\x02\x0a\x00"), PDAG_ERR_ARG, "solver.method");
    refuse_bytes(BYTES("\x72\x00"), PDAG_ERR_ARG, "noise: the path is empty");
    refuse_bytes(BYTES("\x0a\x04\x0a\x02/m\x2a\x02\x18\x00"), PDAG_ERR_ARG,
                 "pcm.rounds: 0: expected integer from 1 to 10000");
    refuse_bytes(BYTES("\x12\x00"), PDAG_ERR_ARG, "gaussian.shape");
    /* The text form by mistake. */
    refuse_bytes(BYTES("# comment\nmodel { path: \"m\" }\nseed: 1\n"),
                 PDAG_ERR_FORMAT, "protoc --encode=pdag.Job");
    refuse_bytes(BYTES("{\"model\": {\"path\": \"m\"}}\n"), PDAG_ERR_FORMAT,
                 "not a picard-dag job");
}
END_TEST

/* Little in the file that would be much in memory, or long work: protobuf-c copies
   a group's lists each time that the group comes again. */
START_TEST(test_swollen_jobs)
{
    const size_t n = 4u << 20;
    unsigned char *bytes = pdag_xcalloc(n + 1, 1);
    size_t i;

    for (i = 0; i < n; i += 4) /* model {lora {}}, a million times */
        memcpy(bytes + i, "\x0a\x02\x2a\x00", 4);
    refuse_bytes(bytes, n, PDAG_ERR_FORMAT, "model: more than 100 groups");
    for (i = 0; i < n; i += 2) /* prompts of no text */
        memcpy(bytes + i, "\x32\x00", 2);
    refuse_bytes(bytes, n, PDAG_ERR_ARG, "prompt: more than 1000000 entries");
    memcpy(bytes, "\x42\xfc\xff\xff\x01", 5); /* class labels 0, packed */
    memset(bytes + 5, 0, n - 4);
    refuse_bytes(bytes, n, PDAG_ERR_FORMAT, "cut short");
    refuse_bytes(bytes, n + 1, PDAG_ERR_FORMAT,
                 "class_label: more than 3000000 values");
    free(bytes);
}
END_TEST

/* Every cut and every changed byte of a real job ends in a status. */
START_TEST(test_mutations)
{
    pdag_job *job = job_of(SETS(
        "gaussian.shape=4", "gaussian.modes=8", "sampler.clip=true",
        "sampler.eta=0.5", "prompt=one", "prompt=two", "noise=n.npy"));
    void *bytes;
    unsigned char *copy;
    size_t n_bytes, i;
    unsigned flip;

    ck_assert_int_eq(pdag_job_pack(job, &bytes, &n_bytes), PDAG_OK);
    pdag_job_destroy(job);
    for (i = 0; i < n_bytes; i++) {
        copy = malloc(i + 1); /* exact, so that a checker sees an overrun */
        memcpy(copy, bytes, i);
        job = NULL;
        if (pdag_job_unpack(copy, i, &job) == PDAG_OK)
            pdag_job_destroy(job);
        else
            ck_assert_ptr_null(job);
        free(copy);
        for (flip = 1; flip < 256; flip *= 2) {
            copy = malloc(n_bytes);
            memcpy(copy, bytes, n_bytes);
            copy[i] ^= (unsigned char)flip;
            job = NULL;
            if (pdag_job_unpack(copy, n_bytes, &job) == PDAG_OK)
                pdag_job_destroy(job);
            free(copy);
        }
    }
    free(bytes);
}
END_TEST

START_TEST(test_bad_files)
{
    pdag_job *job = NULL;
    FILE *file;

    ck_assert_int_eq(pdag_job_read("no/such/job.pb", 0, NULL, &job),
                     PDAG_ERR_INPUT);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "no/such/job.pb"));
    ck_assert_int_eq(pdag_job_read(".", 0, NULL, &job), PDAG_ERR_INPUT);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "irectory"));

    /* Sparse: one byte over the limit. */
    file = fopen(job_path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(ftruncate(fileno(file), ((off_t)64 << 20) + 1), 0);
    fclose(file);
    ck_assert_int_eq(pdag_job_read(job_path, 0, NULL, &job), PDAG_ERR_INPUT);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "64 MiB"));
    ck_assert_ptr_null(job);
}
END_TEST

START_TEST(test_stdin)
{
    pdag_job *job = NULL;
    int saved = dup(0);

    write_job(BYTES("\x0a\x03\x0a\x01m"));
    ck_assert_ptr_nonnull(freopen(job_path, "rb", stdin));
    ck_assert_int_eq(pdag_job_read("-", 0, NULL, &job), PDAG_OK);
    ck_assert_int_eq(job->model.path[0], '/');
    ck_assert_str_eq(strrchr(job->model.path, '/'), "/m");
    pdag_job_destroy(job);
    dup2(saved, 0);
    close(saved);
}
END_TEST

START_TEST(test_paths)
{
    static const char in_folder[] = "test_proto_job.dir/j.pb";
    /* model.path "sub/./m//x/", output "out" */
    static const char bytes[] = "\x0a\x0d\x0a\x0bsub/./m//x/\x92\x01\x03out";
    char cwd[2048], expected[4096];
    pdag_job *job = NULL;
    FILE *file;

    ck_assert_ptr_nonnull(getcwd(cwd, sizeof cwd));
    mkdir("test_proto_job.dir", 0777);
    file = fopen(in_folder, "wb");
    ck_assert_ptr_nonnull(file);
    fwrite(bytes, 1, sizeof bytes - 1, file);
    fclose(file);

    ck_assert_int_eq(pdag_job_read(in_folder, 1, SETS("noise=./n.npy"), &job),
                     PDAG_OK);
    snprintf(expected, sizeof expected, "%s/test_proto_job.dir/sub/m/x", cwd);
    ck_assert_str_eq(job->model.path, expected);
    snprintf(expected, sizeof expected, "%s/test_proto_job.dir/out", cwd);
    ck_assert_str_eq(job->output, expected);
    snprintf(expected, sizeof expected, "%s/n.npy", cwd);
    ck_assert_str_eq(job->noise, expected);
    pdag_job_destroy(job);

    /* --set takes the current folder, and so does the default. */
    ck_assert_int_eq(pdag_job_read(in_folder, 1, SETS("output=a/../b"), &job),
                     PDAG_OK);
    snprintf(expected, sizeof expected, "%s/a/../b", cwd);
    ck_assert_str_eq(job->output, expected);
    pdag_job_destroy(job);
    ck_assert_int_eq(pdag_job_read(in_folder, 1, SETS("output="), &job),
                     PDAG_OK);
    snprintf(expected, sizeof expected, "%s/picard-dag-out", cwd);
    ck_assert_str_eq(job->output, expected);
    pdag_job_destroy(job);
    remove(in_folder);
    rmdir("test_proto_job.dir");

    job = job_of(SETS("model.path=/"));
    ck_assert_str_eq(job->model.path, "/");
    pdag_job_destroy(job);
    job = NULL;
    ck_assert_int_eq(read_sets(SETS(MODEL, "noise=a\xff"), &job),
                     PDAG_ERR_ARG);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "UTF-8"));
}
END_TEST

START_TEST(test_round_trip)
{
    pdag_job_facts facts = {
        .has_text = true, .is_latent = true, .sampler_kind = "ddim"};
    pdag_job *job = job_of(
        SETS(MODEL, "sampler.clip=true", "sampler.set_alpha_to_one=false",
             "sampler.steps_offset=1", "prompt=\xe2\x99\xa5 heart", "prompt=b",
             "prompt=", "prompt=\xf0\x9f\x98\x80", "negative_prompt=n",
             "solver.tolerance=0.1", "noise=n.npy",
             "seed=18446744073709551615", "guidance_channels=3"));
    int pass;

    for (pass = 0; pass < 2; pass++) { /* before and after resolving */
        pdag_job *again = NULL;
        void *bytes, *bytes_again;
        size_t n, n_again;
        char *text = dump(job), *text_again;

        ck_assert_int_eq(pdag_job_pack(job, &bytes, &n), PDAG_OK);
        ck_assert_int_eq(pdag_job_unpack(bytes, n, &again), PDAG_OK);
        text_again = dump(again);
        ck_assert_str_eq(text, text_again);
        ck_assert_int_eq(pdag_job_pack(again, &bytes_again, &n_again),
                         PDAG_OK);
        ck_assert_uint_eq(n, n_again);
        ck_assert_mem_eq(bytes, bytes_again, n);
        ck_assert(again->seed == UINT64_MAX);
        ck_assert(again->solver.tolerance == 0.1);
        ck_assert_str_eq(again->output, job->output);
        free(text);
        free(text_again);
        free(bytes);
        free(bytes_again);
        pdag_job_destroy(again);
        ck_assert_int_eq(pdag_job_resolve(job, &facts), PDAG_OK);
    }
    pdag_job_destroy(job);

    job = job_of(SETS("gaussian.shape=4", "gaussian.seed=9"));
    {
        pdag_job *again = NULL;
        void *bytes;
        size_t n;
        char *text = dump(job), *text_again;

        ck_assert_int_eq(pdag_job_pack(job, &bytes, &n), PDAG_OK);
        ck_assert_int_eq(pdag_job_unpack(bytes, n, &again), PDAG_OK);
        text_again = dump(again);
        ck_assert_str_eq(text, text_again);
        ck_assert(again->gaussian.present && !again->pcm.present);
        free(text);
        free(text_again);
        free(bytes);
        pdag_job_destroy(again);
    }
    pdag_job_destroy(job);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("proto_job_bytes");
    TCase *all = tcase_create("all");

    tcase_set_timeout(all, 60);
    tcase_add_test(all, test_bad_bytes);
    tcase_add_test(all, test_bad_values_in_bytes);
    tcase_add_test(all, test_swollen_jobs);
    tcase_add_test(all, test_mutations);
    tcase_add_test(all, test_bad_files);
    tcase_add_test(all, test_stdin);
    tcase_add_test(all, test_paths);
    tcase_add_test(all, test_round_trip);
    suite_add_tcase(suite, all);
    return run_job_suite(suite);
}
