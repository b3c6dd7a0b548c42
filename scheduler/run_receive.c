#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/loops.h"
#include "scheduler/run_internal.h"

/* scheduler/run_receive.c: what workers say, and what it means when they do not. */

/* How many times longer than expected a worker may take before it is taken for
   hung, by what was measured on its own kind of device or only on others; and the
   least that it gets in any case. */
#define PATIENCE 20.0
#define PATIENCE_WITH_OTHERS 200.0
#define LEAST_PATIENCE_SECONDS 30.0
#define WATCH_SECONDS 0.02 /* between two looks at all workers */

static void name_worker(const pdag_run *r, int peer, char *text, size_t bytes)
{
    const pdag_worker_info *info = &r->worker[peer - 1].info;

    snprintf(text, bytes, "rank %d%s%s", pdag_run_rank_of(r, peer),
             info->host[0] != '\0' ? " on " : "", info->host);
}

static void say(const pdag_run *r, const char *text)
{
    if (r->setup->sink.notice != NULL)
        r->setup->sink.notice(r->setup->sink.user, text);
}

static pdag_status worker_failed(const pdag_run *r, int peer, const pdag_msg *msg)
{
    size_t bytes = (size_t)msg->header.payload_bytes;
    char name[128];
    char *text = pdag_xstrndup(pdag_msg_payload_const(msg), bytes);
    pdag_status status = (pdag_status)msg->header.status;

    if (status >= PDAG_OK)
        status = PDAG_ERR_COMM;
    name_worker(r, peer, name, sizeof name);
    /* What every worker would say alike (a bad model) needs no name. */
    if (r->n_workers == 1 || pdag_status_is_misuse(status))
        status = pdag_error(status, "%s", text);
    else
        status = pdag_error(status, "%s: %s", name, text);
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

    if (status == PDAG_OK && !pdag_loop_all_finite(floats, values))
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

/* Rounds. */

static void report_progress(pdag_run *r, size_t index)
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

static pdag_status report_round(pdag_run *r, size_t index)
{
    pdag_event event = {.kind = PDAG_EVENT_ROUND, .sample = (uint32_t)index};
    pdag_round_state round;

    report_progress(r, index);
    pdag_sample_describe_round(r->slot[index].sample, &round);
    event.time = pdag_seconds();
    event.round = (uint32_t)(pdag_sample_round(r->slot[index].sample) - 1);
    event.begin = round.begin;
    event.end = round.begin + round.n;
    event.residual = pdag_sample_residual(r->slot[index].sample);
    pdag_run_tell(r, &event);
    if (r->setup->sink.round_done == NULL)
        return PDAG_OK;
    return r->setup->sink.round_done(r->setup->sink.user, &round);
}

/* U nodes, after the result of a task. */
static pdag_status advance_blocks(pdag_run *r, const pdag_node *node)
{
    pdag_sample *sample = r->slot[node->sample].sample;
    size_t round = pdag_sample_round(sample);
    pdag_event event = {.kind = PDAG_EVENT_UPDATE, .sample = node->sample,
                        .round = node->round, .block = node->block};
    pdag_status status;

    event.began = pdag_seconds();
    status = pdag_sample_advance(sample, node->round);
    event.time = pdag_seconds();
    pdag_run_tell(r, &event);
    if (status == PDAG_OK && pdag_sample_round(sample) > round)
        status = report_round(r, node->sample);
    return status == PDAG_OK ? pdag_run_go_on(r, node->sample) : status;
}

/* Results. */

static pdag_status take_result(pdag_run *r, const pdag_node *node,
                               const pdag_msg *msg)
{
    pdag_slot *s = &r->slot[node->sample];
    size_t first = 0;
    pdag_status status;

    if (node->kind == PDAG_MSG_ENCODE) {
        status = keep_floats(msg, r->setup->cond_floats, "text encoder",
                             &s->condition);
        if (status == PDAG_OK)
            status = pdag_run_begin_sampling(r, node->sample);
        return status == PDAG_OK ? pdag_run_go_on(r, node->sample) : status;
    }
    if (node->kind == PDAG_MSG_DECODE) {
        status = keep_floats(msg, r->setup->picture_floats, "decoder",
                             &s->picture);
        return status == PDAG_OK ? pdag_run_finish_sample(r, node->sample)
                                 : status;
    }
    status = check_floats(msg, r->setup->dim * pdag_sample_task(
                                   s->sample, node->round, node->block, &first));
    if (status == PDAG_OK)
        status = pdag_sample_result_in(s->sample, node->round, node->block,
                                       node->mix, pdag_msg_payload_const(msg));
    if (status == PDAG_OK)
        status = advance_blocks(r, node);
    /* A sample that broke is reported like one that ended; the cause stays the
       run's error. */
    if (status == PDAG_ERR_NAN)
        pdag_run_finish_sample(r, node->sample);
    return status;
}

static void tell_task(const pdag_run *r, int peer, const pdag_flight *flight,
                      const pdag_msg *msg, bool wanted)
{
    pdag_event event = {
        .kind = wanted ? PDAG_EVENT_TASK : PDAG_EVENT_DROPPED,
        .time = pdag_seconds(),
        .peer = peer,
        .task = flight->node.kind,
        .sample = flight->node.sample,
        .round = flight->node.round,
        .block = flight->node.block,
        .attempt = flight->attempt,
        .first_row = msg->header.first_row,
        .n_rows = msg->header.n_rows,
        .sent = flight->sent,
        .worker_began = msg->header.began,
        .worker_seconds = msg->header.seconds,
        .bytes_out = flight->bytes_out,
        .bytes_in = sizeof *msg + (size_t)msg->header.payload_bytes,
    };

    pdag_run_tell(r, &event);
}

/* A worker that was silent, and has spoken, is one of the crew again. */
static void take_back(pdag_run *r, int peer)
{
    pdag_worker *w = &r->worker[peer - 1];
    char text[160];

    if (!w->info.hung)
        return;
    w->info.hung = false;
    snprintf(text, sizeof text, "rank %d has answered again",
             pdag_run_rank_of(r, peer));
    say(r, text);
}

/* What the scheduler knows of a worker's work; its own word, with GONE, says
   more. */
static void count_task(pdag_worker_stats *stats, const pdag_flight *flight,
                       const pdag_msg *msg)
{
    stats->tasks++;
    if (flight->node.kind == PDAG_MSG_TASK)
        stats->rows += flight->n_rows;
    stats->seconds_busy += msg->header.seconds;
}

/* It evaluates rows in other batches than its like would, now and later. */
static void note_cut(pdag_run *r, int peer, int parts)
{
    pdag_worker *w = &r->worker[peer - 1];
    char name[128];
    char text[320];

    if (parts <= 1 || w->info.cut)
        return;
    w->info.cut = true;
    name_worker(r, peer, name, sizeof name);
    snprintf(text, sizeof text, "%s is short of memory and evaluates its blocks in "
             "%d parts: the run is not reproducible to the last bit", name, parts);
    say(r, text);
}

static pdag_status result_in(pdag_run *r, int peer, const pdag_msg *msg)
{
    pdag_flight flight;
    bool wanted;

    if (msg->header.job != r->setup->run_number ||
        !pdag_inflight_remove(&r->worker[peer - 1], &msg->header, &flight))
        return PDAG_OK; /* of a run before, or repeated */
    take_back(r, peer);
    if (flight.node.kind == PDAG_MSG_TASK)
        note_cut(r, peer, msg->header.status);
    pdag_inflight_measure(&r->worker[peer - 1], &flight, msg->header.seconds,
                          pdag_seconds());
    count_task(&r->worker[peer - 1].info.stats, &flight, msg);
    /* A probe has the node of the one before it: only an answer to the last
       question is one. */
    wanted = pdag_run_wants(r, &flight.node) &&
             !(flight.given_up && r->plan.solver->probes);
    tell_task(r, peer, &flight, msg, wanted);
    return wanted ? take_result(r, &flight.node, msg) : PDAG_OK;
}

/* A failure counts unless it is of a task that nobody waits for any more. */
static pdag_status fail_in(pdag_run *r, int peer, const pdag_msg *msg)
{
    pdag_flight flight;

    if (msg->header.task != 0 && msg->header.job != r->setup->run_number)
        return PDAG_OK; /* of a run before */
    if (msg->header.task != 0 &&
        pdag_inflight_remove(&r->worker[peer - 1], &msg->header, &flight) &&
        flight.given_up)
        return PDAG_OK; /* it stays hung: what it is given would fail again */
    return worker_failed(r, peer, msg);
}

/* Workers that are no more, or silent. */

/* What a worker holds goes into the queue again; at most once. */
static size_t send_again(pdag_run *r, int peer)
{
    pdag_worker *w = &r->worker[peer - 1];
    size_t n = 0;

    for (int i = 0; i < w->n_flights; i++) {
        pdag_flight *flight = &w->flight[i];

        if (flight->given_up || !pdag_run_wants(r, &flight->node))
            continue;
        flight->given_up = true;
        pdag_ready_push(&r->ready, flight->node);
        n++;
    }
    return n;
}

static void tell_worker(const pdag_run *r, int peer, pdag_event_kind kind,
                        const char *text)
{
    pdag_event event = {.kind = kind, .time = pdag_seconds(), .peer = peer};

    pdag_run_tell(r, &event);
    if (text != NULL)
        say(r, text);
}

static pdag_status worker_lost(pdag_run *r, int peer)
{
    pdag_worker *w = &r->worker[peer - 1];
    char name[128];
    char text[256];
    size_t n;

    if (w->info.lost)
        return PDAG_OK;
    name_worker(r, peer, name, sizeof name);
    w->info.lost = true;
    w->info.hung = false;
    n = send_again(r, peer);
    w->n_flights = 0;
    snprintf(text, sizeof text, "%s is lost; %zu block%s it held go%s to others",
             name, n, n == 1 ? "" : "s", n == 1 ? "es" : "");
    tell_worker(r, peer, PDAG_EVENT_LOST, text);
    if (pdag_inflight_usable(r->worker, r->n_workers) > 0 ||
        pdag_inflight_loading(r->worker, r->n_workers) > 0)
        return PDAG_OK;
    return pdag_error(PDAG_ERR_LOST, "%s is lost, and no worker is left", name);
}

/* Seconds that a worker may take for its first flight; 0: for ever. */
static double patience_with(const pdag_run *r, int peer)
{
    const pdag_worker *w = &r->worker[peer - 1];
    const pdag_flight *flight = &w->flight[0];
    bool own_kind = false;
    double expected;
    double seconds;

    if (r->setup->task_seconds > 0.0)
        return r->setup->task_seconds;
    expected = pdag_inflight_expect(r->worker, r->n_workers, peer,
                                    flight->node.kind, flight->n_rows);
    if (expected <= 0.0)
        return 0.0;
    for (int i = 0; i < r->n_workers && !own_kind; i++) {
        const pdag_worker *other = &r->worker[i];

        own_kind = other->pace[0].n > 0 &&
                   strcmp(other->info.device, w->info.device) == 0;
    }
    seconds = (own_kind ? PATIENCE : PATIENCE_WITH_OTHERS) * expected;
    return seconds > LEAST_PATIENCE_SECONDS ? seconds : LEAST_PATIENCE_SECONDS;
}

static void worker_hung(pdag_run *r, int peer, double seconds)
{
    pdag_worker *w = &r->worker[peer - 1];
    const pdag_flight *flight = &w->flight[0];
    char name[128];
    char text[320];
    size_t n;

    name_worker(r, peer, name, sizeof name);
    w->info.hung = true;
    n = send_again(r, peer);
    snprintf(text, sizeof text, "%s has not answered for %.3g s (sample %u, round "
             "%u, block %u; %.3g s were expected); %zu block%s it holds go%s to "
             "others", name, seconds, flight->node.sample, flight->node.round,
             flight->node.block, flight->expected, n, n == 1 ? "" : "s",
             n == 1 ? "es" : "");
    tell_worker(r, peer, PDAG_EVENT_HUNG, text);
}

pdag_status pdag_run_watch(pdag_run *r)
{
    double now = pdag_seconds();
    double longest = 0.0;

    /* Nobody else could do it, and this process's own thread does not die alone. */
    if ((r->n_workers == 1 && r->setup->first_rank == 0) ||
        now - r->watched < WATCH_SECONDS)
        return PDAG_OK;
    r->watched = now;
    for (int peer = 1; peer <= r->n_workers; peer++) {
        pdag_worker *w = &r->worker[peer - 1];
        double patience;

        if (w->n_flights == 0)
            continue;
        patience = patience_with(r, peer);
        if (patience > longest)
            longest = patience;
        if (!w->info.hung && patience > 0.0 &&
            now - pdag_inflight_began(w) > patience)
            worker_hung(r, peer, now - pdag_inflight_began(w));
    }
    if (pdag_inflight_usable(r->worker, r->n_workers) > 0 ||
        pdag_inflight_loading(r->worker, r->n_workers) > 0) {
        r->all_silent = 0.0;
        return PDAG_OK;
    }
    if (r->all_silent <= 0.0)
        r->all_silent = now;
    if (longest > 0.0 && now - r->all_silent > longest)
        return pdag_error(PDAG_ERR_LOST, "no worker answers any more");
    return PDAG_OK;
}

/* Messages. */

static void worker_ready(pdag_run *r, int peer, const pdag_msg *msg)
{
    const pdag_worker_info *info = &r->worker[peer - 1].info;
    char name[128];
    char text[320];

    pdag_inflight_ready(&r->worker[peer - 1].info, msg);
    if (info->device_number >= 0) {
        name_worker(r, peer, name, sizeof name);
        snprintf(text, sizeof text, "%s has device %d: %s", name,
                 info->device_number, info->device);
        say(r, text);
    }
    if (r->first_ready <= 0.0)
        r->first_ready = pdag_seconds();
    tell_worker(r, peer, PDAG_EVENT_READY, NULL);
}

static pdag_status take_message(pdag_run *r, int peer, const pdag_msg *msg)
{
    switch (msg->header.kind) {
    case PDAG_MSG_READY:
        worker_ready(r, peer, msg);
        return PDAG_OK;
    case PDAG_MSG_FAIL:
        return fail_in(r, peer, msg);
    case PDAG_MSG_RESULT:
        return result_in(r, peer, msg);
    case PDAG_MSG_LOST:
        return worker_lost(r, peer);
    case PDAG_MSG_GONE:
        return pdag_error(PDAG_ERR_COMM, "rank %d left the run",
                          pdag_run_rank_of(r, peer));
    default:
        return pdag_error(PDAG_ERR_COMM, "rank %d sent a message of kind %u",
                          pdag_run_rank_of(r, peer), msg->header.kind);
    }
}

pdag_status pdag_run_collect(pdag_run *r, double seconds)
{
    double patience = seconds;

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
