/* Fuzz target: job files and --set texts.  Input: a count byte, that many --set
   texts, each with a zero byte behind it, then the job file. */
#include <string.h>

#include "proto/job.h"
#include "tests/fuzz.h"

#define MAX_SETS 4

/* What is accepted can be written and read again, and then is the same. */
static void check_pack(const pdag_job *job)
{
    void *bytes, *again;
    size_t n_bytes, n_again;
    pdag_job *back;

    FUZZ_CHECK(pdag_job_pack(job, &bytes, &n_bytes) == PDAG_OK);
    FUZZ_CHECK(pdag_job_unpack(bytes, n_bytes, &back) == PDAG_OK);
    FUZZ_CHECK(pdag_job_pack(back, &again, &n_again) == PDAG_OK);
    FUZZ_CHECK(n_bytes == n_again && memcmp(bytes, again, n_bytes) == 0);
    pdag_job_destroy(back);
    free(bytes);
    free(again);
}

static void check_json(const pdag_job *job)
{
    json_t *root = pdag_job_to_json(job);
    char *text = json_dumps(root, 0);

    FUZZ_CHECK(text != NULL);
    free(text);
    json_decref(root);
}

static void check_resolve(pdag_job *job)
{
    static char tench[] = "tench, Tinca tinca", crane[] = "crane",
                gaps[] = " , crane ,";
    static char *const names[] = {tench, NULL, crane, gaps};
    const pdag_job_facts facts[2] = {
        {.has_text = true, .is_latent = true, .sampler_kind = "pndm",
         .variance = 0.9, .statistics = "/s.npy"},
        {.has_classes = true, .n_classes = 4, .class_name_of = names}};
    pdag_status status = pdag_job_resolve(
        job, &facts[job->prompt.n == 0 && job->negative_prompt.n == 0]);

    if (status != PDAG_OK) {
        FUZZ_CHECK(pdag_error_text()[0] != '\0');
        return;
    }
    check_json(job);
    check_pack(job);
}

void fuzz_job(const uint8_t *data, size_t size)
{
    size_t n = size > 0 ? data[0] % (MAX_SETS + 1) : 0;
    size_t at = size > 0 ? 1 : 0;
    const char *set[MAX_SETS];
    pdag_job *job;

    for (size_t i = 0; i < n; i++) {
        const uint8_t *end = memchr(data + at, 0, size - at);

        if (end == NULL)
            return;
        set[i] = (const char *)data + at;
        at = (size_t)(end - data) + 1;
    }
    fuzz_write("job.pb", data + at, size - at);
    if (pdag_job_read(fuzz_path("job.pb"), n, set, &job) == PDAG_OK) {
        check_json(job);
        if (job->class_name.n == 0) /* names become numbers before they travel */
            check_pack(job);
        check_resolve(job);
        pdag_job_destroy(job);
    } else {
        FUZZ_CHECK(pdag_error_text()[0] != '\0');
    }
}
