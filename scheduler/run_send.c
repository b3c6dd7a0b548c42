#include <string.h>

#include "scheduler/run_internal.h"

/* scheduler/run_send.c: nodes to workers. */

static pdag_status send_node(pdag_run *r, int peer, const pdag_node *node,
                             pdag_msg *msg)
{
    pdag_worker *worker = &r->worker[peer - 1];
    pdag_flight flight = {.node = *node, .attempt = ++r->attempt, .n_rows = 1};

    if (node->kind == PDAG_MSG_TASK)
        flight.n_rows = msg->header.n_rows;
    flight.bytes_out = sizeof *msg + (size_t)msg->header.payload_bytes;
    flight.sent = pdag_seconds();
    flight.expected = pdag_inflight_expect(r->worker, r->n_workers, peer,
                                           node->kind, flight.n_rows);
    msg->header.job = r->setup->run_number;
    msg->header.sample = node->sample;
    msg->header.round = node->round;
    msg->header.block = node->block;
    msg->header.mix = node->mix;
    msg->header.attempt = flight.attempt;
    pdag_inflight_add(worker, &flight);
    return r->comm->ops->send(r->comm, peer, msg);
}

static pdag_status send_encode(pdag_run *r, int peer, const pdag_node *node)
{
    const pdag_job *job = r->setup->job;
    const char *prompt = pdag_run_text_for(&job->prompt, node->sample);
    const char *negative = pdag_run_text_for(&job->negative_prompt, node->sample);
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
static pdag_status send_condition(pdag_run *r, int peer, uint32_t sample)
{
    size_t floats = r->setup->cond_floats;
    size_t bytes = floats * sizeof(float);
    const float *condition = r->setup->conditions != NULL
                                 ? r->setup->conditions + sample * floats
                                 : r->slot[sample].condition;
    pdag_msg *msg;
    pdag_status status;

    if (bytes == 0 || r->worker[peer - 1].has_condition[sample])
        return PDAG_OK;
    status = pdag_msg_create(PDAG_MSG_CONDITION, bytes, &msg);
    if (status != PDAG_OK)
        return status;
    memcpy(pdag_msg_payload(msg), condition, bytes);
    msg->header.job = r->setup->run_number;
    msg->header.sample = sample;
    r->worker[peer - 1].has_condition[sample] = 1;
    return r->comm->ops->send(r->comm, peer, msg);
}

/* The message without payload. */
pdag_status pdag_run_drop_conditions(pdag_run *r, size_t sample)
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

static pdag_status send_task(pdag_run *r, int peer, const pdag_node *node)
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

static pdag_status send_decode(pdag_run *r, int peer, const pdag_node *node)
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

static size_t rows_of(const pdag_run *r, const pdag_node *node)
{
    size_t first;

    return node->kind == PDAG_MSG_TASK
               ? pdag_sample_task(r->slot[node->sample].sample, node->round,
                                  node->block, &first)
               : 1;
}

/* A node, and the worker that should have it; false where there is none now. */
static bool next_pair(pdag_run *r, int *peer_out, pdag_node *node_out)
{
    const pdag_node *first = pdag_ready_first(&r->ready);
    pdag_offer offer;
    bool from_back;

    /* What was sent again and has come back meanwhile is wanted no more. */
    while (first != NULL && !pdag_run_wants(r, first)) {
        pdag_ready_pop(&r->ready, node_out);
        first = pdag_ready_first(&r->ready);
    }
    if (first == NULL)
        return false;
    offer.kind = first->kind;
    offer.n_rows = rows_of(r, first);
    offer.n_ready = r->ready.n;
    offer.now = pdag_seconds();
    *peer_out = pdag_inflight_choose(r->worker, r->n_workers, &offer, &from_back);
    if (*peer_out == 0)
        return false;
    if (!from_back)
        return pdag_ready_pop(&r->ready, node_out);
    pdag_ready_pop_back(&r->ready, node_out);
    return pdag_run_wants(r, node_out) || next_pair(r, peer_out, node_out);
}

pdag_status pdag_run_dispatch(pdag_run *r)
{
    pdag_status status = pdag_run_open_samples(r);
    int peer;
    pdag_node node;

    while (status == PDAG_OK && next_pair(r, &peer, &node)) {
        if (node.kind == PDAG_MSG_ENCODE)
            status = send_encode(r, peer, &node);
        else if (node.kind == PDAG_MSG_DECODE)
            status = send_decode(r, peer, &node);
        else
            status = send_task(r, peer, &node);
        if (status == PDAG_OK)
            status = pdag_run_open_samples(r);
    }
    return status;
}
