#include "tests/fake_workers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "scheduler/run.h"

void fake_network(size_t dim, const float *x, float t, float *e)
{
    for (size_t d = 0; d < dim; d++) {
        double mixed = (double)x[d] + 0.4 * (double)x[(d + 1) % dim];

        e[d] = (float)(tanh(mixed) * (0.6 + 0.3 * cos((double)t * 0.004)));
    }
}

static void reply(fake_worker *w, const pdag_msg *task)
{
    const float *x = pdag_msg_payload_const(task);
    size_t n = task->header.n_rows;
    pdag_msg *msg;
    float *e;

    PDAG_ASSERT(pdag_msg_create(PDAG_MSG_RESULT, n * w->dim * sizeof(float),
                                &msg) == PDAG_OK);
    e = pdag_msg_payload(msg);
    for (size_t i = 0; i < n; i++)
        fake_network(w->dim, x + i * w->dim, x[n * w->dim + i], e + i * w->dim);
    if (w->tasks == w->nan_at)
        e[n * w->dim / 2] = NAN;
    msg->header = task->header;
    msg->header.kind = PDAG_MSG_RESULT;
    msg->header.task = task->header.kind;
    msg->header.status = w->parts;
    msg->header.payload_bytes = n * w->dim * sizeof(float);
    if (w->repeat_results) {
        pdag_msg *twin;
        size_t bytes = sizeof *msg + (size_t)msg->header.payload_bytes;

        PDAG_ASSERT(pdag_msg_create(PDAG_MSG_RESULT,
                                    msg->header.payload_bytes,
                                    &twin) == PDAG_OK);
        memcpy(twin, msg, bytes);
        w->endpoint->ops->send(w->endpoint, 0, twin);
    }
    w->endpoint->ops->send(w->endpoint, 0, msg);
}

static void fail(fake_worker *w, const pdag_msg *task)
{
    static const char text[] = "the fake device is on fire";
    pdag_msg *msg;

    PDAG_ASSERT(pdag_msg_create(PDAG_MSG_FAIL, sizeof text - 1, &msg) ==
                PDAG_OK);
    msg->header = task->header;
    msg->header.kind = PDAG_MSG_FAIL;
    msg->header.task = task->header.kind;
    msg->header.payload_bytes = sizeof text - 1;
    msg->header.status = PDAG_ERR_BACKEND;
    memcpy(pdag_msg_payload(msg), text, sizeof text - 1);
    w->endpoint->ops->send(w->endpoint, 0, msg);
}

static void take_condition(fake_worker *w, const pdag_msg *msg)
{
    float *held = &w->condition[msg->header.sample % FAKE_MAX_SAMPLES];

    *held = 0.0f;
    if (msg->header.payload_bytes == 0)
        return;
    memcpy(held, pdag_msg_payload_const(msg), sizeof *held);
    if (fabsf(*held - w->first_condition - (float)msg->header.sample) > 0.0f)
        w->n_other++;
    w->n_conditions++;
}

static void do_task(fake_worker *w, const pdag_msg *task)
{
    w->tasks++;
    if (!(w->condition[task->header.sample % FAKE_MAX_SAMPLES] > 0.0f))
        w->n_unconditioned++;
    w->random = w->random * 1664525u + 1013904223u;
    if (w->jitter > 0)
        pdag_nap(1e-4 * (double)((w->random >> 16) % w->jitter));
    if (w->tasks == w->hang_at)
        pdag_nap(w->hang_seconds);
    if (w->tasks == w->die_at) {
        w->dead = 1;
        return;
    }
    if (w->tasks == w->fail_at)
        fail(w, task);
    else
        reply(w, task);
}

void fake_worker_loop(fake_worker *w)
{
    const char *text = w->ready != NULL ? w->ready : "here\nfake";
    pdag_msg *ready;
    int stopped = 0;

    PDAG_ASSERT(pdag_msg_create(PDAG_MSG_READY, strlen(text), &ready) ==
                PDAG_OK);
    memcpy(pdag_msg_payload(ready), text, strlen(text));
    w->endpoint->ops->send(w->endpoint, 0, ready);
    while (!stopped) {
        int peer;
        pdag_msg *msg;

        PDAG_ASSERT(pdag_comm_wait(w->endpoint, 1.0, &peer, &msg) == PDAG_OK);
        if (msg == NULL)
            continue;
        if (msg->header.kind == PDAG_MSG_STOP) {
            w->exit_status = msg->header.status;
            stopped = 1;
        } else if (msg->header.kind == PDAG_MSG_CONDITION) {
            take_condition(w, msg);
        } else if (msg->header.kind == PDAG_MSG_TASK) {
            do_task(w, msg);
        }
        pdag_msg_free(msg);
        if (w->dead) {
            pdag_comm_destroy(w->endpoint); /* as the process's end would */
            return;
        }
    }
    pdag_comm_send_plain(w->endpoint, 0, PDAG_MSG_GONE, 0);
}

static void *work(void *argument)
{
    fake_worker_loop(argument);
    return NULL;
}

void fake_crew_create(fake_crew *crew, int n, size_t dim)
{
    pdag_comm *end[FAKE_MAX_WORKERS + 1];

    memset(crew, 0, sizeof *crew);
    PDAG_ASSERT(pdag_loopback_create(n, end) == PDAG_OK);
    crew->scheduler = end[0];
    crew->n = n;
    for (int i = 0; i < n; i++) {
        crew->worker[i].endpoint = end[i + 1];
        crew->worker[i].dim = dim;
        crew->worker[i].random = 77u + (uint32_t)i;
        crew->worker[i].exit_status = -1;
    }
}

void fake_crew_start(fake_crew *crew)
{
    for (int i = 0; i < crew->n; i++)
        PDAG_ASSERT(pthread_create(&crew->worker[i].thread, NULL, work,
                                   &crew->worker[i]) == 0);
}

void fake_crew_end(fake_crew *crew, int exit_status, pdag_run_result *result)
{
    PDAG_ASSERT(pdag_run_stop_workers(crew->scheduler, exit_status, 30.0,
                                      result) == PDAG_OK);
    for (int i = 0; i < crew->n; i++) {
        pthread_join(crew->worker[i].thread, NULL);
        if (!crew->worker[i].dead)
            pdag_comm_destroy(crew->worker[i].endpoint);
    }
    pdag_comm_destroy(crew->scheduler);
}
