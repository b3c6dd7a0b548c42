/* Fuzz target: messages to a worker.  Input: for each message a length byte and
   that many bytes: header and payload.  Header fields that say whose message it
   is are set right, so that those of the tasks are tried. */
#include <string.h>

#include "comm/comm.h"
#include "tests/fuzz.h"
#include "worker/worker.h"

/* A scheduler that hands the input out and looks at the answers. */
typedef struct fed_comm {
    pdag_comm base;
    const uint8_t *data;
    size_t size, at;
} fed_comm;

static pdag_status take_reply(pdag_comm *comm, int peer, pdag_msg *msg)
{
    (void)comm;
    FUZZ_CHECK(peer == 0);
    FUZZ_CHECK(pdag_msg_check(msg, sizeof *msg +
                              (size_t)msg->header.payload_bytes) == PDAG_OK);
    pdag_msg_free(msg);
    return PDAG_OK;
}

/* The next message as a transport would let it in, or NULL. */
static pdag_msg *next_message(fed_comm *fed)
{
    size_t n = fed->data[fed->at++];
    pdag_msg *msg;

    if (n > fed->size - fed->at)
        n = fed->size - fed->at;
    msg = calloc(1, n > 0 ? n : 1);
    FUZZ_CHECK(msg != NULL);
    memcpy(msg, fed->data + fed->at, n);
    fed->at += n;
    (void)pdag_msg_check(msg, n);
    if (n >= sizeof *msg) {
        msg->header.magic = PDAG_MSG_MAGIC;
        msg->header.version = PDAG_MSG_VERSION;
        msg->header.payload_bytes = n - sizeof *msg;
    }
    if (pdag_msg_check(msg, n) == PDAG_OK)
        return msg;
    pdag_msg_free(msg);
    return NULL;
}

static pdag_status hand_out(pdag_comm *comm, int *peer_out, pdag_msg **msg_out)
{
    fed_comm *fed = (fed_comm *)comm;
    pdag_msg *msg = NULL;

    while (msg == NULL && fed->at < fed->size)
        msg = next_message(fed);
    if (msg == NULL)
        FUZZ_CHECK(pdag_msg_create(PDAG_MSG_STOP, 0, &msg) == PDAG_OK);
    *peer_out = 0;
    *msg_out = msg;
    return PDAG_OK;
}

static pdag_status all_flushed(pdag_comm *comm, int *flushed_out)
{
    (void)comm;
    *flushed_out = 1;
    return PDAG_OK;
}

void fuzz_message(const uint8_t *data, size_t size)
{
    static const pdag_comm_ops ops = {.name = "fed", .send = take_reply,
                                      .receive = hand_out,
                                      .flushed = all_flushed};
    static const double alpha_bar[] = {0.99, 0.9, 0.5, 0.1};
    pdag_worker_config config = {.backend = "ref",
                                 .precision = PDAG_PRECISION_FLOAT32,
                                 .pipeline = {.guidance_scale = 1},
                                 .gaussian_shape = {2},
                                 .gaussian_dims = 1,
                                 .gaussian_modes = 2,
                                 .gaussian_std = 0.5,
                                 .alpha_bar = alpha_bar,
                                 .n_train = 4};
    fed_comm fed = {.base = {&ops, 1, 1}, .data = data, .size = size};
    int exit_status = 0;

    FUZZ_CHECK(pdag_worker_run(&config, &fed.base, &exit_status) == PDAG_OK);
}
