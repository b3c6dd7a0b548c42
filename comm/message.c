#include "comm/message.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(pdag_msg) % 16 == 0, "payload must stay aligned");

pdag_status pdag_msg_create(pdag_msg_kind kind, uint64_t payload_bytes,
                            pdag_msg **msg_out)
{
    pdag_msg *msg = NULL;

    if (payload_bytes <= SIZE_MAX - sizeof *msg)
        msg = malloc(sizeof *msg + (size_t)payload_bytes);
    if (msg == NULL)
        return pdag_error(PDAG_ERR_NOMEM, "message of %llu bytes: no memory",
                          (unsigned long long)payload_bytes);
    memset(msg, 0, sizeof *msg);
    msg->header.magic = PDAG_MSG_MAGIC;
    msg->header.version = PDAG_MSG_VERSION;
    msg->header.kind = (uint32_t)kind;
    msg->header.payload_bytes = payload_bytes;
    *msg_out = msg;
    return PDAG_OK;
}

void pdag_msg_free(pdag_msg *msg)
{
    free(msg);
}

pdag_status pdag_msg_check(const pdag_msg *msg, size_t bytes)
{
    const pdag_msg_header *h = &msg->header;

    if (bytes < sizeof *msg)
        return pdag_error(PDAG_ERR_COMM, "message of %zu bytes, shorter than "
                          "its header", bytes);
    if (h->magic != PDAG_MSG_MAGIC || h->version != PDAG_MSG_VERSION)
        return pdag_error(PDAG_ERR_COMM, "message header %08x version %u is not "
                          "this program's (%08x, %u)", h->magic, h->version,
                          PDAG_MSG_MAGIC, PDAG_MSG_VERSION);
    if (h->kind < PDAG_MSG_JOB || h->kind > PDAG_MSG_LOST)
        return pdag_error(PDAG_ERR_COMM, "message of unknown kind %u", h->kind);
    if (h->payload_bytes != bytes - sizeof *msg)
        return pdag_error(PDAG_ERR_COMM, "message of %zu bytes says %llu bytes "
                          "of payload", bytes,
                          (unsigned long long)h->payload_bytes);
    return PDAG_OK;
}
