#include "worker/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "worker/evaluate.h"

/* Long enough that an idle worker wakes for nothing twenty times a second. */
#define WAIT_SECONDS 0.05

/* A result above this leaves only while MPI is called, with TCP: it is given the
   time of a scheduler that has something else to do, and of a network of 50 MB a
   second. */
#define PUSH_BYTES 60000
#define PUSH_SECONDS 5e-3
#define SLOW_NETWORK 5e7

typedef struct held_condition {
    uint32_t sample;
    pdag_condition *condition;
} held_condition;

typedef struct worker {
    const pdag_worker_config *config;
    pdag_comm *comm;
    pdag_backend *be;
    int device; /* its number, or -1 */
    pdag_pipeline *pipeline;
    size_t dim;
    size_t picture_floats;
    size_t most_rows; /* that memory has sufficed for; 0: no limit met */
    size_t n_held;
    held_condition *held; /* [n_held] */
    pdag_worker_stats stats;
} worker;

/* Loading. */

static pdag_status load_oracle(worker *w)
{
    const pdag_worker_config *c = w->config;
    pdag_denoiser *model;
    pdag_status status = pdag_gaussian_create(
        c->gaussian_shape, c->gaussian_dims, c->gaussian_modes, c->gaussian_std,
        c->gaussian_seed, c->alpha_bar, c->n_train, &model);

    if (status != PDAG_OK)
        return status;
    w->dim = model->dim;
    return pdag_pipeline_wrap(model, &c->pipeline, &w->pipeline);
}

static pdag_status load_model(worker *w)
{
    const pdag_worker_config *c = w->config;
    pdag_pipeline_info info;
    pdag_status status = pdag_pipeline_inspect(c->model_path, &info);

    if (status != PDAG_OK)
        return status;
    w->dim = info.dim;
    if (info.has_picture)
        w->picture_floats = info.picture_height * info.picture_width *
                            info.picture_channels;
    else if (info.n_observations > 0)
        w->picture_floats = info.dim; /* the plan's actions */
    pdag_pipeline_info_clear(&info);
    return pdag_pipeline_load(c->model_path, w->be, &c->pipeline, &w->pipeline);
}

static pdag_status load(worker *w)
{
    double began = pdag_seconds();
    pdag_status status = pdag_backend_open_local(
        w->config->backend, w->config->local, w->config->share_devices,
        w->config->precision, &w->be, &w->device);

    if (status == PDAG_OK)
        status = w->config->model_path != NULL ? load_model(w) : load_oracle(w);
    w->stats.seconds_load = pdag_seconds() - began;
    return pdag_worker_advise(status, "to load the model");
}

static void unload(worker *w)
{
    for (size_t i = 0; i < w->n_held; i++)
        pdag_pipeline_condition_destroy(w->pipeline, w->held[i].condition);
    free(w->held);
    pdag_pipeline_destroy(w->pipeline);
    if (w->be != NULL)
        w->be->ops->close(w->be);
}

/* Replies. */

static pdag_status send_text(pdag_comm *comm, pdag_msg_kind kind,
                             const pdag_msg_header *task, pdag_status failure,
                             const char *text)
{
    size_t bytes = strlen(text);
    pdag_msg *msg;
    pdag_status status = pdag_msg_create(kind, bytes, &msg);

    if (status != PDAG_OK)
        return status;
    if (task != NULL) {
        msg->header = *task;
        msg->header.kind = (uint32_t)kind;
        msg->header.task = task->kind;
        msg->header.payload_bytes = bytes;
    }
    msg->header.status = failure;
    memcpy(pdag_msg_payload(msg), text, bytes);
    return comm->ops->send(comm, 0, msg);
}

static pdag_status send_ready(worker *w)
{
    char host[64] = "";
    char text[256];
    int used;

    if (gethostname(host, sizeof host - 1) != 0)
        snprintf(host, sizeof host, "unknown");
    used = snprintf(text, sizeof text, "%s\n%s", host, w->be->description);
    if (w->device >= 0)
        snprintf(text + used, sizeof text - (size_t)used, "\n%d", w->device);
    return send_text(w->comm, PDAG_MSG_READY, NULL, PDAG_OK, text);
}

static pdag_status send_gone(pdag_comm *comm, const pdag_worker_stats *stats)
{
    pdag_msg *msg;
    pdag_status status = pdag_msg_create(PDAG_MSG_GONE, sizeof *stats, &msg);

    if (status != PDAG_OK)
        return status;
    memcpy(pdag_msg_payload(msg), stats, sizeof *stats);
    return comm->ops->send(comm, 0, msg);
}

/* Answer to `task` with room for `floats`, to be filled and sent. */
static pdag_status make_result(const pdag_msg_header *task, size_t floats,
                               pdag_msg **msg_out)
{
    pdag_status status =
        pdag_msg_create(PDAG_MSG_RESULT, floats * sizeof(float), msg_out);

    if (status == PDAG_OK) {
        (*msg_out)->header = *task;
        (*msg_out)->header.kind = PDAG_MSG_RESULT;
        (*msg_out)->header.task = task->kind;
        (*msg_out)->header.payload_bytes = floats * sizeof(float);
    }
    return status;
}

/* Tasks. */

static pdag_status encode(worker *w, const pdag_msg *msg, pdag_msg *reply)
{
    const char *prompt = pdag_msg_payload_const(msg);
    const char *negative = prompt + strlen(prompt) + 1;

    return pdag_pipeline_encode(w->pipeline, prompt, negative,
                                pdag_msg_payload(reply));
}

static const pdag_condition *find_condition(const worker *w, uint32_t sample)
{
    for (size_t i = 0; i < w->n_held; i++)
        if (w->held[i].sample == sample)
            return w->held[i].condition;
    return NULL;
}

static pdag_status evaluate(worker *w, const pdag_msg *msg, pdag_msg *reply)
{
    const size_t n = msg->header.n_rows;
    const float *x = pdag_msg_payload_const(msg);
    const pdag_worker_rows rows = {
        .n = n,
        .dim = w->dim,
        .x = x,
        .t = x + n * w->dim,
        .condition = find_condition(w, msg->header.sample),
        .mix = msg->header.mix};
    int parts = 0;
    pdag_status status = pdag_worker_evaluate(
        w->pipeline, &rows, &w->most_rows, pdag_msg_payload(reply), &parts);

    w->stats.rows += n;
    reply->header.status = parts > 1 ? parts : 0;
    return status;
}

static size_t reply_floats(const worker *w, const pdag_msg_header *task)
{
    if (task->kind == PDAG_MSG_ENCODE)
        return pdag_pipeline_cond_floats(w->pipeline);
    if (task->kind == PDAG_MSG_DECODE)
        return w->picture_floats;
    return task->n_rows * w->dim;
}

static pdag_status answer(worker *w, const pdag_msg *msg, pdag_msg *reply)
{
    const void *payload = pdag_msg_payload_const(msg);

    if (msg->header.kind == PDAG_MSG_ENCODE)
        return pdag_worker_advise(encode(w, msg, reply), "to encode a prompt");
    if (msg->header.kind == PDAG_MSG_DECODE)
        return pdag_worker_advise(pdag_pipeline_decode(w->pipeline, payload,
                                                       pdag_msg_payload(reply)),
                                  "to decode a picture");
    return pdag_worker_advise(evaluate(w, msg, reply), "to evaluate one row");
}

/* The payload must be what the kind says; the scheduler is another process. */
static pdag_status check_task(const worker *w, const pdag_msg *msg)
{
    const pdag_msg_header *h = &msg->header;
    const char *text = pdag_msg_payload_const(msg);
    size_t bytes = (size_t)h->payload_bytes;
    int fits = 0;

    if (h->kind == PDAG_MSG_TASK)
        fits = bytes == h->n_rows * (w->dim + 1) * sizeof(float);
    else if (h->kind == PDAG_MSG_DECODE)
        fits = bytes == w->dim * sizeof(float);
    else if (h->kind == PDAG_MSG_ENCODE)
        fits = bytes >= 2 && text[bytes - 1] == '\0' &&
               memchr(text, '\0', bytes - 1) != NULL;
    if (!fits)
        return pdag_error(PDAG_ERR_COMM,
                          "worker: message of kind %u with %zu bytes is no task",
                          h->kind, bytes);
    return PDAG_OK;
}

static pdag_status do_task(worker *w, const pdag_msg *msg)
{
    double began = pdag_seconds();
    uint64_t bytes;
    pdag_msg *reply = NULL;
    pdag_status status = check_task(w, msg);

    if (status == PDAG_OK)
        status = make_result(&msg->header, reply_floats(w, &msg->header),
                             &reply);
    if (status == PDAG_OK)
        status = answer(w, msg, reply);
    w->stats.tasks++;
    w->stats.seconds_busy += pdag_seconds() - began;
    if (status != PDAG_OK) {
        pdag_msg_free(reply);
        return send_text(w->comm, PDAG_MSG_FAIL, &msg->header, status,
                         pdag_error_text());
    }
    reply->header.began = began;
    reply->header.seconds = pdag_seconds() - began;
    began = pdag_seconds();
    bytes = reply->header.payload_bytes;
    status = w->comm->ops->send(w->comm, 0, reply);
    if (status == PDAG_OK && bytes > PUSH_BYTES)
        status = pdag_comm_push(w->comm,
                                PUSH_SECONDS + (double)bytes / SLOW_NETWORK);
    w->stats.seconds_messages += pdag_seconds() - began;
    return status;
}

static void forget_condition(worker *w, uint32_t sample)
{
    for (size_t i = 0; i < w->n_held; i++) {
        if (w->held[i].sample == sample) {
            pdag_pipeline_condition_destroy(w->pipeline, w->held[i].condition);
            w->held[i] = w->held[--w->n_held];
            return;
        }
    }
}

static pdag_status take_condition(worker *w, const pdag_msg *msg)
{
    pdag_condition *condition;
    pdag_status status = PDAG_OK;

    forget_condition(w, msg->header.sample);
    if (msg->header.payload_bytes == 0)
        return PDAG_OK;
    if (msg->header.payload_bytes !=
        pdag_pipeline_cond_floats(w->pipeline) * sizeof(float))
        status = pdag_error(PDAG_ERR_COMM, "condition of %llu bytes",
                            (unsigned long long)msg->header.payload_bytes);
    if (status == PDAG_OK)
        status = pdag_pipeline_condition(
            w->pipeline, pdag_msg_payload_const(msg), &condition);
    if (status != PDAG_OK)
        return send_text(w->comm, PDAG_MSG_FAIL, &msg->header, status,
                         pdag_error_text());
    w->held = pdag_xrealloc(w->held, w->n_held + 1, sizeof *w->held);
    w->held[w->n_held].sample = msg->header.sample;
    w->held[w->n_held++].condition = condition;
    return PDAG_OK;
}

/* Loops. */

static pdag_status work_until_stop(worker *w, int usable, int *exit_status_out)
{
    for (;;) {
        double before = pdag_seconds();
        int peer;
        pdag_msg *msg;
        pdag_status status = pdag_comm_wait(w->comm, WAIT_SECONDS, &peer, &msg);

        w->stats.seconds_waiting += pdag_seconds() - before;
        if (status != PDAG_OK)
            return status;
        if (msg == NULL)
            continue;
        if (msg->header.kind == PDAG_MSG_STOP) {
            *exit_status_out = msg->header.status;
            pdag_msg_free(msg);
            return PDAG_OK;
        }
        if (usable && msg->header.kind == PDAG_MSG_CONDITION)
            status = take_condition(w, msg);
        else if (usable)
            status = do_task(w, msg);
        pdag_msg_free(msg);
        if (status != PDAG_OK)
            return status;
    }
}

pdag_status pdag_worker_run(const pdag_worker_config *config, pdag_comm *comm,
                            int *exit_status_out)
{
    worker w;
    pdag_status loaded;
    pdag_status status;

    memset(&w, 0, sizeof w);
    w.config = config;
    w.comm = comm;
    loaded = load(&w);
    status = loaded == PDAG_OK
                 ? send_ready(&w)
                 : send_text(comm, PDAG_MSG_FAIL, NULL, loaded,
                             pdag_error_text());
    if (status == PDAG_OK)
        status = work_until_stop(&w, loaded == PDAG_OK, exit_status_out);
    unload(&w);
    return status == PDAG_OK ? send_gone(comm, &w.stats) : status;
}

pdag_status pdag_worker_refuse(pdag_comm *comm, pdag_status failure,
                               int *exit_status_out)
{
    worker w;
    pdag_status status = send_text(comm, PDAG_MSG_FAIL, NULL, failure,
                                   pdag_error_text());

    memset(&w, 0, sizeof w);
    w.comm = comm;
    if (status == PDAG_OK)
        status = work_until_stop(&w, 0, exit_status_out);
    return status == PDAG_OK ? send_gone(comm, &w.stats) : status;
}
