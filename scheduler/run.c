#include "scheduler/run.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "scheduler/inflight.h"
#include "scheduler/ready.h"
#include "scheduler/sample.h"

/* scheduler/run.c: the main loop.  Everything that changes a sample's numbers is
   in sample.c and does not depend on what happens here: this file only decides
   who evaluates what, and when. */

/* How long the loop sleeps at most before it looks at its own duties again. */
#define WAIT_SECONDS 0.05
/* A node that comes after all rounds of its sample. */
#define LAST_ROUND UINT32_MAX

typedef enum phase { WAITING, ENCODING, SAMPLING, DECODING, ENDED } phase;

typedef struct slot { /* one sample's place in the run */
    phase phase;
    pdag_sample *sample;
    float *condition; /* [cond_floats], owned, or NULL */
    float *picture;   /* [picture_floats], owned, or NULL */
    double phase_began;
    double seconds[ENDED];
} slot;

typedef struct run {
    const pdag_run_setup *setup;
    pdag_comm *comm;
    pdag_sample_plan plan;
    pdag_ready ready;
    int n_workers;
    pdag_worker *worker; /* [n_workers] */
    size_t n_samples, next_sample, unfinished_samples;
    slot *slot; /* [n_samples] */
    uint32_t attempt;
    double began;
    double first_ready; /* when a worker first was, or 0 */
    size_t n_in_phase[ENDED];   /* samples there now */
    double phase_opened[ENDED]; /* when the first of them came */
    double phase_seconds[ENDED]; /* during which any sample was there */
    pdag_stop_reason worst;
} run;

/* Samples. */

static const char *text_for(const pdag_text_list *list, size_t index)
{
    return list->n > 0 ? list->item[index % list->n] : "";
}

static void enter_phase(run *r, slot *s, phase next)
{
    double now = pdag_seconds();
    phase last = s->phase;

    if (last != WAITING) {
        s->seconds[last] += now - s->phase_began;
        if (--r->n_in_phase[last] == 0)
            r->phase_seconds[last] += now - r->phase_opened[last];
    }
    s->phase = next;
    s->phase_began = now;
    if (next != ENDED && r->n_in_phase[next]++ == 0)
        r->phase_opened[next] = now;
}

static void push_node(run *r, pdag_msg_kind kind, size_t sample, uint32_t round,
                      size_t block)
{
    pdag_node node = {kind, (uint32_t)sample, round, (uint32_t)block};

    pdag_ready_push(&r->ready, node);
}

typedef struct ready_of {
    run *run;
    size_t sample;
} ready_of;

static void push_task(void *user, size_t round, size_t block)
{
    ready_of *of = user;

    push_node(of->run, PDAG_MSG_TASK, of->sample, (uint32_t)round, block);
}

static pdag_status finish_sample(run *r, size_t index);

/* The blocks that are ready now, or what comes after the last round. */
static pdag_status go_on(run *r, size_t index)
{
    slot *s = &r->slot[index];

    if (pdag_sample_stop(s->sample) == PDAG_STOPPED_NOT) {
        ready_of of = {r, index};

        pdag_sample_each_ready(s->sample, push_task, &of);
        return PDAG_OK;
    }
    if (r->setup->picture_floats == 0)
        return finish_sample(r, index);
    enter_phase(r, s, DECODING);
    push_node(r, PDAG_MSG_DECODE, index, LAST_ROUND, 0);
    return PDAG_OK;
}

static pdag_status begin_sampling(run *r, size_t index)
{
    slot *s = &r->slot[index];
    const pdag_run_setup *setup = r->setup;
    size_t states = (setup->transition->n_rows + 1) * setup->dim;
    pdag_status status = pdag_sample_create(
        &r->plan, index, setup->job->seed + index,
        setup->noise != NULL ? setup->noise + index * setup->dim : NULL,
        setup->start != NULL ? setup->start + index * states : NULL,
        &s->sample);

    if (status != PDAG_OK)
        return status;
    enter_phase(r, s, SAMPLING);
    return go_on(r, index);
}

/* Open the next sample while workers would otherwise have nothing to do, so that
   a run of many samples holds only a few in memory. */
static pdag_status open_samples(run *r)
{
    while (r->next_sample < r->n_samples && r->ready.n == 0 &&
           pdag_inflight_choose(r->worker, r->n_workers) != 0) {
        size_t index = r->next_sample++;
        pdag_status status = PDAG_OK;

        if (r->setup->has_text) {
            enter_phase(r, &r->slot[index], ENCODING);
            push_node(r, PDAG_MSG_ENCODE, index, 0, 0);
        } else {
            status = begin_sampling(r, index);
        }
        if (status != PDAG_OK)
            return status;
    }
    return PDAG_OK;
}

/* Sending. */

static pdag_status send_node(run *r, int peer, const pdag_node *node,
                             pdag_msg *msg)
{
    msg->header.job = r->setup->run_number;
    msg->header.sample = node->sample;
    msg->header.round = node->round;
    msg->header.block = node->block;
    msg->header.attempt = ++r->attempt;
    pdag_inflight_add(&r->worker[peer - 1], *node, msg->header.attempt);
    return r->comm->ops->send(r->comm, peer, msg);
}

static pdag_status send_encode(run *r, int peer, const pdag_node *node)
{
    const pdag_job *job = r->setup->job;
    const char *prompt = text_for(&job->prompt, node->sample);
    const char *negative = text_for(&job->negative_prompt, node->sample);
    size_t prompt_bytes = strlen(prompt) + 1;
    size_t negative_bytes = strlen(negative) + 1;
    pdag_msg *msg;
    pdag_status status = pdag_msg_create(PDAG_MSG_ENCODE,
                                         prompt_bytes + negative_bytes, &msg);
    char *text;

    if (status != PDAG_OK)
        return status;
    text = pdag_msg_payload(msg);
    memcpy(text, prompt, prompt_bytes);
    memcpy(text + prompt_bytes, negative, negative_bytes);
    return send_node(r, peer, node, msg);
}

/* The condition goes to a worker once, before its first task of the sample. */
static pdag_status send_condition(run *r, int peer, uint32_t sample)
{
    size_t bytes = r->setup->cond_floats * sizeof(float);
    pdag_msg *msg;
    pdag_status status;

    if (bytes == 0 || r->worker[peer - 1].has_condition[sample])
        return PDAG_OK;
    status = pdag_msg_create(PDAG_MSG_CONDITION, bytes, &msg);
    if (status != PDAG_OK)
        return status;
    memcpy(pdag_msg_payload(msg), r->slot[sample].condition, bytes);
    msg->header.job = r->setup->run_number;
    msg->header.sample = sample;
    r->worker[peer - 1].has_condition[sample] = 1;
    return r->comm->ops->send(r->comm, peer, msg);
}

/* An ended sample's condition leaves the workers' memory: the message without
   payload. */
static pdag_status drop_conditions(run *r, size_t sample)
{
    pdag_status status = PDAG_OK;

    for (int peer = 1; status == PDAG_OK && peer <= r->n_workers; peer++) {
        pdag_msg *msg;

        if (!r->worker[peer - 1].has_condition[sample])
            continue;
        status = pdag_msg_create(PDAG_MSG_CONDITION, 0, &msg);
        if (status != PDAG_OK)
            break;
        msg->header.job = r->setup->run_number;
        msg->header.sample = (uint32_t)sample;
        status = r->comm->ops->send(r->comm, peer, msg);
    }
    return status;
}

static pdag_status send_task(run *r, int peer, const pdag_node *node)
{
    size_t dim = r->setup->dim;
    const pdag_sample *sample = r->slot[node->sample].sample;
    size_t first = 0;
    size_t n = pdag_sample_task(sample, node->round, node->block, &first);
    pdag_msg *msg;
    pdag_status status = send_condition(r, peer, node->sample);

    if (status == PDAG_OK)
        status = pdag_msg_create(PDAG_MSG_TASK, n * (dim + 1) * sizeof(float),
                                 &msg);
    if (status != PDAG_OK)
        return status;
    pdag_sample_fill_task(sample, node->round, node->block,
                          pdag_msg_payload(msg));
    msg->header.first_row = (uint32_t)first;
    msg->header.n_rows = (uint32_t)n;
    return send_node(r, peer, node, msg);
}

static pdag_status send_decode(run *r, int peer, const pdag_node *node)
{
    size_t bytes = r->setup->dim * sizeof(float);
    pdag_msg *msg;
    pdag_status status = pdag_msg_create(PDAG_MSG_DECODE, bytes, &msg);

    if (status != PDAG_OK)
        return status;
    memcpy(pdag_msg_payload(msg),
           pdag_sample_final(r->slot[node->sample].sample), bytes);
    return send_node(r, peer, node, msg);
}

static pdag_status dispatch_ready_blocks(run *r)
{
    pdag_status status = open_samples(r);

    while (status == PDAG_OK) {
        int peer = pdag_inflight_choose(r->worker, r->n_workers);
        pdag_node node;

        if (peer == 0 || !pdag_ready_pop(&r->ready, &node))
            break;
        if (node.kind == PDAG_MSG_ENCODE)
            status = send_encode(r, peer, &node);
        else if (node.kind == PDAG_MSG_DECODE)
            status = send_decode(r, peer, &node);
        else
            status = send_task(r, peer, &node);
        if (status == PDAG_OK)
            status = open_samples(r);
    }
    return status;
}

/* Receiving. */

static int rank_of(const run *r, int peer)
{
    return peer - 1 + r->setup->first_rank;
}

static pdag_status worker_failed(const run *r, int peer, const pdag_msg *msg)
{
    const pdag_worker_info *info = &r->worker[peer - 1].info;
    size_t bytes = (size_t)msg->header.payload_bytes;
    char *text = pdag_xstrndup(pdag_msg_payload_const(msg), bytes);
    pdag_status status = (pdag_status)msg->header.status;

    if (status >= PDAG_OK)
        status = PDAG_ERR_COMM;
    /* What every worker would say alike (a bad model) needs no name. */
    if (r->n_workers == 1 || pdag_status_is_misuse(status))
        status = pdag_error(status, "%s", text);
    else
        status = pdag_error(status, "rank %d%s%s: %s", rank_of(r, peer),
                            info->host[0] != '\0' ? " on " : "", info->host,
                            text);
    free(text);
    return status;
}

/* The payload must be `floats` long; anything else is not our worker. */
static pdag_status check_floats(const pdag_msg *msg, size_t floats)
{
    if (msg->header.payload_bytes != floats * sizeof(float))
        return pdag_error(PDAG_ERR_COMM, "result of %llu bytes, expected %zu",
                          (unsigned long long)msg->header.payload_bytes,
                          floats * sizeof(float));
    return PDAG_OK;
}

/* A copy of what was encoded or decoded, which must be finite. */
static pdag_status keep_floats(const pdag_msg *msg, size_t floats,
                               const char *whose, float **out)
{
    const float *values = pdag_msg_payload_const(msg);
    void *memory;
    pdag_status status = check_floats(msg, floats);

    if (status == PDAG_OK && !pdag_sample_all_finite(floats, values))
        status = pdag_error(PDAG_ERR_NAN, "sample %u: the %s's output is not "
                            "finite", msg->header.sample, whose);
    if (status == PDAG_OK)
        status = pdag_alloc_tensor(floats, sizeof(float), "result", &memory);
    if (status != PDAG_OK)
        return status;
    memcpy(memory, values, floats * sizeof(float));
    *out = memory;
    return PDAG_OK;
}

static void report_progress(run *r, size_t index)
{
    const pdag_sample *sample = r->slot[index].sample;
    pdag_progress p;

    if (r->setup->sink.progress == NULL)
        return;
    p.sample = index;
    p.n_samples = r->n_samples;
    p.rows_done = pdag_sample_rows_done(sample);
    p.n_rows = r->setup->transition->n_rows;
    p.round = pdag_sample_round(sample);
    p.residual = pdag_sample_residual(sample);
    p.seconds = pdag_seconds() - r->began;
    p.sample_finished = pdag_sample_stop(sample) != PDAG_STOPPED_NOT;
    r->setup->sink.progress(r->setup->sink.user, &p);
}

static pdag_status report_round(run *r, size_t index)
{
    pdag_round_state round;

    report_progress(r, index);
    if (r->setup->sink.round_done == NULL)
        return PDAG_OK;
    pdag_sample_describe_round(r->slot[index].sample, &round);
    return r->setup->sink.round_done(r->setup->sink.user, &round);
}

/* U nodes, after a result of round k. */
static pdag_status advance_blocks(run *r, size_t index, size_t k)
{
    slot *s = &r->slot[index];
    size_t round = pdag_sample_round(s->sample);
    pdag_status status = pdag_sample_advance(s->sample, k);

    if (status == PDAG_OK && pdag_sample_round(s->sample) > round)
        status = report_round(r, index);
    return status == PDAG_OK ? go_on(r, index) : status;
}

static pdag_status take_result(run *r, const pdag_node *node,
                               const pdag_msg *msg)
{
    slot *s = &r->slot[node->sample];
    size_t first = 0;
    pdag_status status;

    if (node->kind == PDAG_MSG_ENCODE) {
        status = keep_floats(msg, r->setup->cond_floats, "text encoder",
                             &s->condition);
        return status == PDAG_OK ? begin_sampling(r, node->sample) : status;
    }
    if (node->kind == PDAG_MSG_DECODE) {
        status = keep_floats(msg, r->setup->picture_floats, "decoder",
                             &s->picture);
        return status == PDAG_OK ? finish_sample(r, node->sample) : status;
    }
    status = check_floats(msg, r->setup->dim * pdag_sample_task(
                                   s->sample, node->round, node->block, &first));
    if (status == PDAG_OK)
        status = pdag_sample_result_in(s->sample, node->round, node->block,
                                       pdag_msg_payload_const(msg));
    if (status == PDAG_OK)
        status = advance_blocks(r, node->sample, node->round);
    /* A sample that broke is reported like one that ended; the cause stays the
       run's error. */
    if (status == PDAG_ERR_NAN)
        finish_sample(r, node->sample);
    return status;
}

static pdag_status take_message(run *r, int peer, const pdag_msg *msg)
{
    pdag_node node;

    switch (msg->header.kind) {
    case PDAG_MSG_READY:
        pdag_inflight_ready(&r->worker[peer - 1].info, msg);
        if (r->first_ready <= 0.0)
            r->first_ready = pdag_seconds();
        return PDAG_OK;
    case PDAG_MSG_FAIL:
        return worker_failed(r, peer, msg);
    case PDAG_MSG_RESULT:
        if (msg->header.job != r->setup->run_number ||
            !pdag_inflight_remove(&r->worker[peer - 1], &msg->header, &node))
            return PDAG_OK; /* late or repeated */
        return take_result(r, &node, msg);
    case PDAG_MSG_GONE:
        return pdag_error(PDAG_ERR_COMM, "rank %d left the run",
                          rank_of(r, peer));
    default:
        return pdag_error(PDAG_ERR_COMM, "rank %d sent a message of kind %u",
                          rank_of(r, peer), msg->header.kind);
    }
}

/* Wait for one message, then take all that are there. */
static pdag_status collect_results(run *r)
{
    double patience = WAIT_SECONDS;

    for (;;) {
        int peer;
        pdag_msg *msg;
        pdag_status status = pdag_comm_wait(r->comm, patience, &peer, &msg);

        if (status != PDAG_OK || msg == NULL)
            return status;
        status = take_message(r, peer, msg);
        pdag_msg_free(msg);
        if (status != PDAG_OK)
            return status;
        patience = 0.0;
    }
}

static pdag_status finish_sample(run *r, size_t index)
{
    slot *s = &r->slot[index];
    pdag_sample_result result;
    pdag_status status = PDAG_OK;

    enter_phase(r, s, ENDED);
    memset(&result, 0, sizeof result);
    pdag_sample_describe(s->sample, &result);
    result.prompt = text_for(&r->setup->job->prompt, index);
    result.picture = s->picture;
    result.seconds_encode = s->seconds[ENCODING];
    result.seconds_sample = s->seconds[SAMPLING];
    result.seconds_decode = s->seconds[DECODING];
    if (r->setup->sink.sample_done != NULL)
        status = r->setup->sink.sample_done(r->setup->sink.user, &result);
    /* max-rounds outweighs converged: the run's exit status must say so. */
    if (r->worst != PDAG_STOPPED_MAX_ROUNDS)
        r->worst = result.stop;
    pdag_sample_destroy(s->sample);
    free(s->condition);
    free(s->picture);
    s->sample = NULL;
    s->condition = NULL;
    s->picture = NULL;
    r->unfinished_samples--;
    return status == PDAG_OK ? drop_conditions(r, index) : status;
}

/* The run. */

static pdag_status run_create(const pdag_run_setup *setup, pdag_comm *comm,
                              run *r)
{
    pdag_status status;

    memset(r, 0, sizeof *r);
    status = pdag_sample_plan_create(setup, &r->plan);
    if (status != PDAG_OK)
        return status;
    r->setup = setup;
    r->comm = comm;
    r->began = pdag_seconds();
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

static void run_destroy(run *r)
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

static void describe_run(const run *r, pdag_run_result *result)
{
    result->stop = r->worst;
    result->n_workers = (size_t)r->n_workers;
    result->worker = pdag_xcalloc((size_t)r->n_workers, sizeof *result->worker);
    result->reproducible = true;
    result->seconds_load = r->first_ready > 0.0 ? r->first_ready - r->began
                                                : 0.0;
    for (int w = 0; w < r->n_workers; w++) {
        result->worker[w] = r->worker[w].info;
        if (r->worker[w].info.ready && r->worker[0].info.ready &&
            strcmp(r->worker[w].info.device, r->worker[0].info.device) != 0)
            result->reproducible = false;
    }
    result->seconds_encode = r->phase_seconds[ENCODING];
    result->seconds_sample = r->phase_seconds[SAMPLING];
    result->seconds_decode = r->phase_seconds[DECODING];
}

pdag_status pdag_scheduler_check(const pdag_run_setup *setup)
{
    pdag_sample_plan plan;
    pdag_status status = pdag_sample_plan_create(setup, &plan);

    if (status == PDAG_OK)
        pdag_sample_plan_clear(&plan);
    return status;
}

pdag_status pdag_scheduler_run(const pdag_run_setup *setup, pdag_comm *comm,
                               pdag_run_result *result_out)
{
    run r;
    pdag_status status;

    memset(result_out, 0, sizeof *result_out);
    status = run_create(setup, comm, &r);
    if (status != PDAG_OK)
        return status;
    while (status == PDAG_OK && r.unfinished_samples > 0) {
        status = dispatch_ready_blocks(&r);
        if (status == PDAG_OK)
            status = collect_results(&r);
    }
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
