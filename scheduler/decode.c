#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/loops.h"
#include "scheduler/inflight.h"
#include "scheduler/sample.h"

/* scheduler/decode.c: pictures of many states, between two runs. */

#define WAIT_SECONDS 0.5

typedef struct batch {
    const pdag_run_setup *setup;
    pdag_comm *comm;
    pdag_worker *worker; /* [n_workers] */
    size_t n, n_sent, n_back;
    const float *const *state;
    float *picture;
} batch;

static pdag_status send_state(batch *b, int peer)
{
    size_t bytes = b->setup->dim * sizeof(float);
    pdag_flight flight = {.node = {PDAG_MSG_DECODE, (uint32_t)b->n_sent, 0, 0, 0},
                          .n_rows = 1, .sent = pdag_seconds()};
    pdag_msg *msg;
    pdag_status status = pdag_msg_create(PDAG_MSG_DECODE, bytes, &msg);

    if (status != PDAG_OK)
        return status;
    memcpy(pdag_msg_payload(msg), b->state[b->n_sent], bytes);
    msg->header.job = b->setup->run_number;
    msg->header.sample = flight.node.sample;
    flight.attempt = (uint32_t)++b->n_sent;
    msg->header.attempt = flight.attempt;
    pdag_inflight_add(&b->worker[peer - 1], &flight);
    return b->comm->ops->send(b->comm, peer, msg);
}

static pdag_status take(batch *b, int peer, const pdag_msg *msg)
{
    size_t floats = b->setup->picture_floats;
    pdag_flight flight;

    if (msg->header.kind == PDAG_MSG_FAIL)
        return pdag_error((pdag_status)msg->header.status < PDAG_OK
                              ? (pdag_status)msg->header.status : PDAG_ERR_COMM,
                          "decoding: %.*s", (int)msg->header.payload_bytes,
                          (const char *)pdag_msg_payload_const(msg));
    if (msg->header.kind == PDAG_MSG_LOST && b->worker[peer - 1].n_flights == 0) {
        b->worker[peer - 1].info.lost = true;
        b->setup->before->worker[peer - 1].lost = true;
        return PDAG_OK;
    }
    if (msg->header.kind == PDAG_MSG_GONE || msg->header.kind == PDAG_MSG_LOST)
        return pdag_error(PDAG_ERR_LOST, "a worker left while decoding");
    if (msg->header.kind == PDAG_MSG_READY) {
        pdag_inflight_ready(&b->worker[peer - 1].info, msg);
        b->setup->before->worker[peer - 1] = b->worker[peer - 1].info;
        return PDAG_OK;
    }
    if (msg->header.kind != PDAG_MSG_RESULT ||
        msg->header.job != b->setup->run_number ||
        !pdag_inflight_remove(&b->worker[peer - 1], &msg->header, &flight))
        return PDAG_OK; /* late */
    if (msg->header.payload_bytes != floats * sizeof(float))
        return pdag_error(PDAG_ERR_COMM, "picture of %llu bytes, expected %zu",
                          (unsigned long long)msg->header.payload_bytes,
                          floats * sizeof(float));
    if (!pdag_loop_all_finite(floats, pdag_msg_payload_const(msg)))
        return pdag_error(PDAG_ERR_NAN, "the decoder's output is not finite");
    pdag_inflight_measure(&b->worker[peer - 1], &flight, msg->header.seconds,
                          pdag_seconds());
    memcpy(b->picture + flight.node.sample * floats, pdag_msg_payload_const(msg),
           floats * sizeof(float));
    b->n_back++;
    return PDAG_OK;
}

pdag_status pdag_scheduler_decode(const pdag_run_setup *setup, pdag_comm *comm,
                                  size_t n, const float *const *states,
                                  float *pictures_out)
{
    batch b = {.setup = setup, .comm = comm, .n = n, .state = states,
               .picture = pictures_out};
    pdag_status status = PDAG_OK;

    if (setup->before == NULL || setup->picture_floats == 0)
        return pdag_error(PDAG_ERR_ARG, "nothing to decode with");
    b.worker = pdag_xcalloc((size_t)comm->n_workers, sizeof *b.worker);
    for (int w = 0; w < comm->n_workers; w++)
        b.worker[w].info = setup->before->worker[w];
    while (status == PDAG_OK && b.n_back < n) {
        pdag_offer offer = {PDAG_MSG_DECODE, 1, n - b.n_sent, pdag_seconds()};
        bool from_back;
        int peer = pdag_inflight_choose(b.worker, comm->n_workers, &offer,
                                        &from_back);
        pdag_msg *msg = NULL;

        if (peer != 0 && b.n_sent < n) {
            status = send_state(&b, peer);
            continue;
        }
        status = pdag_comm_wait(comm, WAIT_SECONDS, &peer, &msg);
        if (status == PDAG_OK && msg != NULL)
            status = take(&b, peer, msg);
        pdag_msg_free(msg);
    }
    free(b.worker);
    return status;
}
