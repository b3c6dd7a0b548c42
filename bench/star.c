#include "bench/star.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "comm/mpi.h"
#include "scheduler/inflight.h"

/* The probe. */

static pdag_status probe_send(pdag_comm *comm, int peer, pdag_msg *msg)
{
    star_probe *p = (star_probe *)comm;

    p->messages++;
    p->bytes += sizeof *msg + (size_t)msg->header.payload_bytes;
    p->work = true;
    if (msg->header.kind == PDAG_MSG_TASK && p->first_sent <= 0.0)
        p->first_sent = pdag_seconds();
    return p->inner->ops->send(p->inner, peer, msg);
}

static void count(star_probe *p, int peer, const pdag_msg_header *h)
{
    star_load *load = &p->load[peer - 1];

    p->messages++;
    p->bytes += sizeof(pdag_msg) + (size_t)h->payload_bytes;
    if (h->kind != PDAG_MSG_RESULT || h->task != PDAG_MSG_TASK)
        return;
    load->tasks++;
    load->rows += h->n_rows;
    load->seconds += h->seconds;
    p->last_taken = pdag_seconds();
    p->busy = p->busy_so_far;
}

static pdag_status probe_receive(pdag_comm *comm, int *peer_out,
                                 pdag_msg **msg_out)
{
    star_probe *p = (star_probe *)comm;
    double began = p->clock();
    pdag_status status = p->inner->ops->receive(p->inner, peer_out, msg_out);
    double ended = p->clock();

    if (p->work)
        p->busy_so_far += began - p->mark;
    p->work = status == PDAG_OK && *msg_out != NULL;
    if (p->work) {
        p->busy_so_far += ended - began;
        count(p, *peer_out, &(*msg_out)->header);
    }
    p->mark = ended;
    return status;
}

static pdag_status probe_flushed(pdag_comm *comm, int *flushed_out)
{
    star_probe *p = (star_probe *)comm;

    return p->inner->ops->flushed(p->inner, flushed_out);
}

static void probe_wait(pdag_comm *comm, double seconds)
{
    star_probe *p = (star_probe *)comm;

    p->inner->ops->wait(p->inner, seconds);
}

static void probe_destroy(pdag_comm *comm)
{
    star_probe *p = (star_probe *)comm;

    pdag_comm_destroy(p->inner);
    p->inner = NULL;
}

double star_cpu_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

star_probe *star_probe_create(pdag_comm *inner, double (*clock)(void))
{
    star_probe *p = pdag_xcalloc(1, sizeof *p);

    p->ops.name = "probe";
    p->ops.send = probe_send;
    p->ops.receive = probe_receive;
    p->ops.flushed = probe_flushed;
    p->ops.wait = inner->ops->wait != NULL ? probe_wait : NULL;
    p->ops.destroy = probe_destroy;
    p->comm.ops = &p->ops;
    p->comm.n_workers = inner->n_workers;
    p->inner = inner;
    p->clock = clock;
    p->load = pdag_xcalloc((size_t)inner->n_workers, sizeof *p->load);
    star_probe_reset(p);
    return p;
}

void star_probe_reset(star_probe *p)
{
    memset(p->load, 0, (size_t)p->comm.n_workers * sizeof *p->load);
    p->messages = 0;
    p->bytes = 0;
    p->first_sent = 0.0;
    p->last_taken = 0.0;
    p->busy = 0.0;
    p->busy_so_far = 0.0;
    p->mark = p->clock();
    p->work = true;
}

void star_probe_free(star_probe *p)
{
    free(p->load);
    free(p);
}

/* The star. */

void star_must(pdag_status status)
{
    if (status == PDAG_OK)
        return;
    fprintf(stderr, "bench: %s\n", pdag_error_text());
    pdag_mpi_abort(EXIT_FAILURE);
}

void star_open(const char *job, size_t n_set, const char *const *set,
               bool dedicated, star *s)
{
    memset(s, 0, sizeof *s);
    star_must(pdag_mpi_start(&s->rank, &s->size));
    star_must(pdag_mpi_comm_create(&s->ranks));
    s->dedicated = dedicated && s->size > 1;
    star_must(pdag_setup_create(job, n_set, set, &s->setup));
    pdag_setup_worker_config(&s->setup, &s->config);
}

int star_work(star *s)
{
    int exit_status;

    star_must(pdag_worker_run(&s->config, s->ranks, &exit_status));
    star_must(pdag_comm_flush(s->ranks, 30.0));
    pdag_comm_destroy(s->ranks);
    pdag_setup_clear(&s->setup);
    pdag_mpi_finish(exit_status);
    return exit_status;
}

static void *own_worker(void *argument)
{
    star *s = argument;
    int exit_status;

    star_must(pdag_worker_run(&s->config, s->own, &exit_status));
    return NULL;
}

static pdag_comm *join_all(star *s)
{
    pdag_comm *ends[2] = {NULL, NULL};
    pdag_comm *all;

    if (!s->dedicated) {
        star_must(pdag_loopback_create(1, ends));
        s->own = ends[1];
        if (pthread_create(&s->thread, NULL, own_worker, s) != 0)
            star_must(pdag_error(PDAG_ERR_NOMEM, "cannot start a thread"));
    }
    star_must(pdag_join_create(ends[0], s->ranks, &all));
    s->ranks = NULL;
    return all;
}

static void await_ready(star *s, pdag_comm *comm)
{
    size_t n = (size_t)comm->n_workers;

    s->before.n_workers = n;
    s->before.worker = pdag_xcalloc(n, sizeof *s->before.worker);
    for (size_t i = 0; i < n;) {
        int peer;
        pdag_msg *msg;

        star_must(pdag_comm_wait(comm, 1.0, &peer, &msg));
        if (msg == NULL)
            continue;
        if (msg->header.kind != PDAG_MSG_READY)
            star_must(pdag_error(PDAG_ERR_COMM, "worker %d is not ready", peer));
        pdag_inflight_ready(&s->before.worker[peer - 1], msg);
        pdag_msg_free(msg);
        i++;
    }
}

void star_gather(star *s, pdag_run_setup *run)
{
    pdag_comm *all = join_all(s);

    await_ready(s, all);
    s->probe = star_probe_create(all, pdag_seconds);
    pdag_setup_run(&s->setup, run);
    run->before = &s->before;
    run->first_rank = s->dedicated ? 1 : 0;
}

void star_dismiss(star *s)
{
    star_must(pdag_run_stop_workers(&s->probe->comm, 0, 30.0, NULL));
    if (s->own != NULL)
        pthread_join(s->thread, NULL);
    pdag_comm_destroy(&s->probe->comm);
    pdag_comm_destroy(s->own);
    pdag_mpi_finish(0);
}

void star_clear(star *s)
{
    star_probe_free(s->probe);
    pdag_run_result_clear(&s->before);
    pdag_setup_clear(&s->setup);
}
