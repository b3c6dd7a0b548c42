#include "scheduler/run.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "scheduler/run_internal.h"

/* scheduler/run.c: the main loop.  Everything that changes a sample's numbers is
   in sample*.c and does not depend on what happens here: run*.c only decide who
   evaluates what, and when. */

/* How long the loop sleeps at most before it looks at its own duties again. */
#define WAIT_SECONDS 0.05

static pdag_status run_create(const pdag_run_setup *setup, pdag_comm *comm,
                              pdag_run *r)
{
    pdag_status status;

    memset(r, 0, sizeof *r);
    status = pdag_sample_plan_create(setup, &r->plan);
    if (status != PDAG_OK)
        return status;
    r->setup = setup;
    r->comm = comm;
    r->began = pdag_seconds();
    r->saved = r->began;
    r->n_samples = (size_t)setup->job->samples;
    r->unfinished_samples = r->n_samples;
    r->slot = pdag_xcalloc(r->n_samples, sizeof *r->slot);
    r->n_workers = comm->n_workers;
    r->worker = pdag_xcalloc((size_t)r->n_workers, sizeof *r->worker);
    for (int w = 0; w < r->n_workers; w++) {
        r->worker[w].has_condition = pdag_xcalloc(r->n_samples, 1);
        if (setup->before != NULL && (size_t)w < setup->before->n_workers)
            r->worker[w].info = setup->before->worker[w];
    }
    return PDAG_OK;
}

static void run_destroy(pdag_run *r)
{
    for (size_t i = 0; i < r->n_samples; i++) {
        pdag_sample_destroy(r->slot[i].sample);
        free(r->slot[i].condition);
        free(r->slot[i].picture);
    }
    for (int w = 0; w < r->n_workers; w++)
        free(r->worker[w].has_condition);
    free(r->slot);
    free(r->worker);
    pdag_ready_clear(&r->ready);
    pdag_sample_plan_clear(&r->plan);
}

static bool any_cut(const pdag_run *r)
{
    for (int w = 0; w < r->n_workers; w++)
        if (r->worker[w].info.cut)
            return true;
    return false;
}

/* Whether all workers that took part are of one kind. */
static bool one_kind(const pdag_run *r)
{
    const pdag_worker_info *first = NULL;

    for (int w = 0; w < r->n_workers; w++) {
        const pdag_worker_info *info = &r->worker[w].info;

        if (!info->ready)
            continue;
        if (first == NULL)
            first = info;
        if (strcmp(info->device, first->device) != 0)
            return false;
    }
    return !r->other_device;
}

static void describe_run(const pdag_run *r, pdag_run_result *result)
{
    result->stop = r->unfinished_samples > 0 ? PDAG_STOPPED_STOPPED : r->worst;
    result->n_workers = (size_t)r->n_workers;
    result->worker = pdag_xcalloc((size_t)r->n_workers, sizeof *result->worker);
    for (int w = 0; w < r->n_workers; w++) {
        result->worker[w] = r->worker[w].info;
        result->worker[w].busy = r->worker[w].n_flights > 0;
    }
    result->cut = any_cut(r);
    result->reproducible = one_kind(r) && !result->cut;
    result->resumed_samples = r->resumed_samples;
    result->seconds_load = r->first_ready > 0.0 ? r->first_ready - r->began
                                                : 0.0;
    result->seconds_encode = r->phase_seconds[PDAG_ENCODING];
    result->seconds_sample = r->phase_seconds[PDAG_SAMPLING];
    result->seconds_decode = r->phase_seconds[PDAG_DECODING];
}

pdag_status pdag_scheduler_check(const pdag_run_setup *setup)
{
    pdag_sample_plan plan;
    pdag_status status = pdag_sample_plan_create(setup, &plan);

    if (status == PDAG_OK)
        pdag_sample_plan_clear(&plan);
    return status;
}

static void tell_queue(pdag_run *r)
{
    pdag_event event = {.kind = PDAG_EVENT_QUEUE};

    if (r->setup->sink.event == NULL)
        return;
    event.n_ready = r->ready.n;
    event.n_flying = pdag_inflight_count(r->worker, r->n_workers);
    if (event.n_ready == r->n_told_ready && event.n_flying == r->n_told_flying)
        return;
    r->n_told_ready = event.n_ready;
    r->n_told_flying = event.n_flying;
    event.time = pdag_seconds();
    pdag_run_tell(r, &event);
}

/* Samples that have not ended, where the run is stopped: told as such. */
static pdag_status tell_stopped(pdag_run *r)
{
    pdag_status status = PDAG_OK;

    for (size_t i = 0; status == PDAG_OK && i < r->n_samples; i++) {
        pdag_sample_result result;

        if (r->slot[i].sample == NULL || r->setup->sink.sample_done == NULL)
            continue;
        memset(&result, 0, sizeof result);
        pdag_sample_describe(r->slot[i].sample, &result);
        result.stop = PDAG_STOPPED_STOPPED;
        result.prompt = pdag_run_text_for(&r->setup->job->prompt, i);
        status = r->setup->sink.sample_done(r->setup->sink.user, &result);
    }
    return status;
}

/* One turn: results in, nodes out, and the run's other duties. */
static pdag_status turn(pdag_run *r)
{
    pdag_status status = pdag_run_dispatch(r);

    tell_queue(r);
    if (status == PDAG_OK)
        status = pdag_run_collect(r, WAIT_SECONDS);
    if (status == PDAG_OK)
        status = pdag_run_watch(r);
    if (status == PDAG_OK && r->setup->checkpoint_seconds > 0.0 &&
        pdag_seconds() - r->saved >= r->setup->checkpoint_seconds)
        status = pdag_run_save(r, false);
    return status;
}

static bool is_asked_to_stop(const pdag_run *r)
{
    const pdag_run_sink *sink = &r->setup->sink;

    return sink->stop_asked != NULL && sink->stop_asked(sink->user);
}

/* Whether the same job may succeed another time. */
static bool may_pass_later(pdag_status status)
{
    return status == PDAG_ERR_COMM || status == PDAG_ERR_LOST ||
           status == PDAG_ERR_IO || status == PDAG_ERR_NOMEM ||
           status == PDAG_ERR_BACKEND;
}

/* The run ends before its samples: keep what there is. */
static pdag_status stop(pdag_run *r, pdag_status status)
{
    char *cause = NULL;

    if (status == PDAG_OK) {
        status = pdag_run_save(r, true);
        return status == PDAG_OK ? tell_stopped(r) : status;
    }
    if (!may_pass_later(status) || r->setup->checkpoint_seconds <= 0.0)
        return status;
    cause = pdag_xstrdup(pdag_error_text());
    pdag_run_save(r, true); /* whose failure says less than the cause */
    pdag_error_record("%s", cause);
    free(cause);
    return status;
}

pdag_status pdag_scheduler_run(const pdag_run_setup *setup, pdag_comm *comm,
                               pdag_run_result *result_out)
{
    bool asked = false;
    bool begun;
    pdag_run r;
    pdag_status status;

    memset(result_out, 0, sizeof *result_out);
    status = run_create(setup, comm, &r);
    if (status != PDAG_OK)
        return status;
    /* The first checkpoint says whose the folder is; what could not be resumed is
       not saved over what it should have been resumed from. */
    status = setup->resume != NULL ? pdag_run_resume(&r) : pdag_run_save(&r, false);
    begun = status == PDAG_OK;
    while (status == PDAG_OK && r.unfinished_samples > 0 && !asked) {
        status = turn(&r);
        asked = is_asked_to_stop(&r);
    }
    if (r.unfinished_samples > 0 && begun)
        status = stop(&r, status);
    describe_run(&r, result_out);
    run_destroy(&r);
    return status;
}

void pdag_run_result_clear(pdag_run_result *result)
{
    free(result->worker);
    result->worker = NULL;
    result->n_workers = 0;
}
