/** comm/message.h: what travels between the scheduler and its workers.
 *
 *  A message is one contiguous piece: a fixed, versioned header and a payload.
 *  Who sends what:
 *
 *      scheduler -> worker   JOB        bytes the command line understands
 *                            ENCODE     two texts: prompt, negative prompt
 *                            CONDITION  floats of one sample's condition; without
 *                                       payload: forget it
 *                            TASK       rows of x, then their t (float32)
 *                            DECODE     final state (float32)
 *                            STOP       status = exit status of the whole run
 *      worker -> scheduler   READY      text: host, newline, device; if it is one
 *                                       of several a newline and its number
 *                            RESULT     answer to ENCODE, TASK (rows of eps) or
 *                                       DECODE (picture); `task` says which
 *                            FAIL       status = pdag_status, payload = its text
 *                            GONE       last word after STOP: pdag_worker_stats
 *      the transport itself  LOST       the worker's process is no more; nothing
 *                                       of it follows
 *
 *  A RESULT repeats sample, round, block, first row and attempt of its task, so
 *  that a late or repeated one is recognised and dropped. */
#ifndef PDAG_COMM_MESSAGE_H
#define PDAG_COMM_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PDAG_MSG_MAGIC 0x50444147u /* "PDAG" */
#define PDAG_MSG_VERSION 2u

typedef enum pdag_msg_kind {
    PDAG_MSG_JOB = 1,
    PDAG_MSG_ENCODE,
    PDAG_MSG_CONDITION,
    PDAG_MSG_TASK,
    PDAG_MSG_DECODE,
    PDAG_MSG_STOP,
    PDAG_MSG_READY,
    PDAG_MSG_RESULT,
    PDAG_MSG_FAIL,
    PDAG_MSG_GONE,
    PDAG_MSG_LOST
} pdag_msg_kind;

/** How ranks are used. */
typedef enum pdag_msg_job_flags {
    PDAG_MSG_JOB_DEDICATED = 1,    /* rank 0 only schedules */
    PDAG_MSG_JOB_SHARE_DEVICES = 2 /* several ranks may have one device */
} pdag_msg_job_flags;

typedef struct pdag_msg_header {
    uint32_t magic, version;
    uint32_t kind;          /* pdag_msg_kind */
    uint32_t task;          /* RESULT and FAIL: kind of the message answered */
    uint64_t job;           /* number of the run, equal in all its messages */
    uint64_t payload_bytes;
    uint32_t sample, round, block, attempt;
    uint32_t first_row, n_rows;
    int32_t status;         /* STOP, FAIL: see above; JOB: pdag_msg_job_flags;
                               RESULT: parts that a task's rows were evaluated in
                               for lack of memory, or 0 */
    uint32_t mix;           /* TASK: which of the pipeline's mixed weights; 0: the
                               base's */
    double began;           /* RESULT: pdag_seconds() of the worker's machine when
                               the task began, */
    double seconds;         /* and how long it took */
} pdag_msg_header;

/** The payload follows the header at once; 16-byte aligned, since the header is
 *  a multiple of 16 bytes. */
typedef struct pdag_msg {
    pdag_msg_header header;
} pdag_msg;

static inline void *pdag_msg_payload(pdag_msg *msg)
{
    return msg + 1;
}

static inline const void *pdag_msg_payload_const(const pdag_msg *msg)
{
    return msg + 1;
}

/** Counters a worker sends with GONE. */
typedef struct pdag_worker_stats {
    uint64_t tasks, rows;
    double seconds_busy, seconds_waiting, seconds_messages, seconds_load;
} pdag_worker_stats;

/** Zeroed header of this kind with room for a payload, whose bytes are
 *  undefined; freed with pdag_msg_free().  PDAG_ERR_NOMEM. */
pdag_status pdag_msg_create(pdag_msg_kind kind, uint64_t payload_bytes,
                            pdag_msg **msg_out);
void pdag_msg_free(pdag_msg *msg); /* NULL is allowed */

/** Header is ours and its payload size fits `bytes` received; PDAG_ERR_COMM. */
pdag_status pdag_msg_check(const pdag_msg *msg, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
