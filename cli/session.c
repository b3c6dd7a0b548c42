#include "cli/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "cli/signals.h"
#include "comm/mpi.h"

pdag_status pdag_session_check(const pdag_setup *setup, bool dedicated)
{
    pdag_backend *be;
    pdag_status status;

    if (dedicated)
        return PDAG_OK; /* this rank evaluates nothing */
    status = pdag_backend_open(setup->job->model.backend, 0, setup->precision,
                               &be);
    if (status != PDAG_OK)
        return pdag_error_prefix(status, "model.backend, model.precision");
    be->ops->close(be);
    return PDAG_OK;
}

/* Workers. */

static void *local_worker_main(void *argument)
{
    pdag_local_worker *local = argument;
    int exit_status;

    pdag_signals_hold(); /* they are the main thread's */
    /* It reports its failures to the scheduler; one that keeps it from doing so
       leaves nothing to wait for. */
    if (pdag_worker_run(&local->config, local->endpoint, &exit_status) !=
        PDAG_OK)
        pdag_fatal_at(__FILE__, __LINE__, "%s", pdag_error_text());
    return NULL;
}

static pdag_status send_job_to_ranks(const pdag_setup *setup, int flags,
                                     pdag_cli *cli)
{
    void *bytes;
    size_t n_bytes;
    pdag_status status = PDAG_OK;

    if (cli->ranks == NULL)
        return PDAG_OK;
    status = pdag_job_pack(setup->job, &bytes, &n_bytes);
    if (status != PDAG_OK)
        return status;
    for (int peer = 1; status == PDAG_OK && peer <= cli->ranks->n_workers;
         peer++) {
        pdag_msg *msg;

        status = pdag_msg_create(PDAG_MSG_JOB, n_bytes, &msg);
        if (status != PDAG_OK)
            break;
        memcpy(pdag_msg_payload(msg), bytes, n_bytes);
        msg->header.status = flags;
        status = cli->ranks->ops->send(cli->ranks, peer, msg);
    }
    free(bytes);
    return status;
}

/* This process's own worker thread, and the ranks, as one list of workers. */
static pdag_status gather_workers(pdag_session *s, bool share_devices,
                                  pdag_cli *cli)
{
    pdag_comm *ends[2] = {NULL, NULL};
    pdag_status status = PDAG_OK;

    if (!s->dedicated) {
        status = pdag_loopback_create(1, ends);
        if (status != PDAG_OK)
            return status;
        s->local.endpoint = ends[1];
        pdag_setup_worker_config(s->setup, &s->local.config);
        s->local.config.local = pdag_mpi_local(1);
        s->local.config.share_devices = share_devices;
        if (pthread_create(&s->local.thread, NULL, local_worker_main,
                           &s->local) != 0) {
            pdag_comm_destroy(ends[0]);
            pdag_comm_destroy(ends[1]);
            return pdag_error(PDAG_ERR_NOMEM, "cannot start the worker thread");
        }
        s->local.started = true;
    }
    status = pdag_join_create(ends[0], cli->ranks, &s->comm);
    cli->ranks = NULL;
    return status;
}

pdag_status pdag_session_open(pdag_cli *cli, const pdag_setup *setup,
                              bool dedicated, bool share_devices,
                              pdag_session *s)
{
    int flags = (dedicated ? PDAG_MSG_JOB_DEDICATED : 0) |
                (share_devices ? PDAG_MSG_JOB_SHARE_DEVICES : 0);
    pdag_status status;

    memset(s, 0, sizeof *s);
    s->setup = setup;
    s->dedicated = dedicated;
    s->n_ranks = cli->n_ranks;
    status = send_job_to_ranks(setup, flags, cli);
    return status == PDAG_OK ? gather_workers(s, share_devices, cli) : status;
}

/* Runs. */

static void number(pdag_session *s, pdag_run_setup *run)
{
    run->run_number = ++s->run_number;
    run->before = s->any_run ? &s->last : NULL;
    run->first_rank = s->dedicated ? 1 : 0;
}

pdag_status pdag_session_run(pdag_session *s, pdag_run_setup *run)
{
    pdag_run_result result;
    pdag_status status;

    number(s, run);
    status = pdag_scheduler_run(run, s->comm, &result);
    if (s->any_run)
        pdag_run_result_clear(&s->last);
    s->any_run = true;
    s->last = result;
    s->seconds_load += result.seconds_load;
    s->seconds_encode += result.seconds_encode;
    s->seconds_sample += result.seconds_sample;
    s->seconds_decode += result.seconds_decode;
    return status;
}

pdag_status pdag_session_decode(pdag_session *s, pdag_run_setup *run, size_t n,
                                const float *const *states, float *pictures_out)
{
    double began = pdag_seconds();
    pdag_status status;

    number(s, run);
    status = pdag_scheduler_decode(run, s->comm, n, states, pictures_out);
    s->seconds_decode += pdag_seconds() - began;
    return status;
}

void pdag_session_release(pdag_session *s, int exit_status)
{
    if (pdag_run_stop_workers(s->comm, exit_status,
                              pdag_cli_patience(exit_status),
                              s->any_run ? &s->last : NULL) != PDAG_OK) {
        s->silent = true;
        snprintf(s->silence, sizeof s->silence, "%.150s", pdag_error_text());
        return;
    }
    if (s->local.started)
        pthread_join(s->local.thread, NULL);
    pdag_comm_destroy(s->comm);
    pdag_comm_destroy(s->local.endpoint);
    s->comm = NULL;
    s->local.endpoint = NULL;
}

void pdag_session_end(pdag_session *s, int exit_status, bool told)
{
    if (s->silent && !told)
        fprintf(stderr, "picard-dag: %s\n", s->silence);
    if (s->silent)
        pdag_mpi_abort(exit_status);
    if (s->any_run)
        pdag_run_result_clear(&s->last);
    s->any_run = false;
}

/* One sample. */

static void only_text(pdag_text_list *list, size_t index)
{
    if (list->n == 0)
        return;
    list->item += index % list->n;
    list->n = 1;
}

void pdag_session_one_sample(const pdag_setup *setup, size_t index,
                             uint64_t more_seed, pdag_job *job_out,
                             pdag_run_setup *run_out)
{
    size_t given = index % (size_t)setup->job->samples;
    size_t n_labels = setup->job->class_label.n;

    pdag_setup_run(setup, run_out);
    *job_out = *setup->job;
    job_out->samples = 1;
    job_out->seed += more_seed;
    only_text(&job_out->prompt, index);
    only_text(&job_out->negative_prompt, index);
    if (n_labels > 0) {
        job_out->class_label.item += index % n_labels;
        job_out->class_label.n = 1;
    }
    run_out->job = job_out;
    if (run_out->conditions != NULL)
        run_out->conditions +=
            (n_labels > 0 ? index % n_labels : given) * run_out->cond_floats;
    if (run_out->noise != NULL)
        run_out->noise += given * run_out->dim;
    if (run_out->start != NULL)
        run_out->start += given * (run_out->transition->n_rows + 1) *
                          run_out->dim;
}
