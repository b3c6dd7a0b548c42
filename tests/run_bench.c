#include "tests/run_bench.h"

#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/mem.h"

static void must(pdag_status status)
{
    if (status != PDAG_OK)
        pdag_fatal_at(__FILE__, __LINE__, "%s", pdag_error_text());
}

void run_bench_open(run_bench *b, size_t n_set, const char *const *set)
{
    const char *srcdir = getenv("srcdir");
    char *path = pdag_xasprintf("%s/examples/gaussian.pb",
                                srcdir != NULL ? srcdir : ".");
    pdag_job_facts facts = {.sampler_kind = NULL};
    pdag_schedule_config config;

    memset(b, 0, sizeof *b);
    must(pdag_job_read(path, n_set, set, &b->job));
    must(pdag_job_resolve(b->job, &facts));
    pdag_schedule_config_defaults(b->job->sampler.kind, &config);
    config.clip_sample = false;
    must(pdag_schedule_create(&config, b->job->sampler.kind,
                              (size_t)b->job->sampler.steps, &b->schedule));
    must(pdag_transition_create(b->job->sampler.kind, &config, b->schedule,
                                b->job->sampler.eta, PDAG_BENCH_DIM,
                                &b->transition));
    pdag_schedule_config_clear(&config);
    b->setup.job = b->job;
    b->setup.transition = b->transition;
    b->setup.dim = PDAG_BENCH_DIM;
    b->setup.n_state_dims = 1;
    b->setup.state_dims[0] = PDAG_BENCH_DIM;
    b->setup.run_number = 42;
    free(path);
}

void run_bench_close(run_bench *b)
{
    pdag_transition_destroy(b->transition);
    pdag_schedule_destroy(b->schedule);
    pdag_job_destroy(b->job);
}
