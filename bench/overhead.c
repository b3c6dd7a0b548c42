/* mpirun -np 2 bench/overhead examples/gaussian.pb [FIELD=VALUE ...]
 *
 * What one task costs rank 0 where the network costs nothing, beside the same
 * messages as plain MPI calls, in the same run.  Rank 0 schedules, the others
 * answer a task at once.  CSV on stdout, a line for each number of scalars in a
 * state and way of sending, best of seven:
 *
 *   raw        MPI_Isend, MPI_Improbe and MPI_Mrecv from and to fixed buffers, two
 *              tasks under way per worker, workers in MPI_Recv and MPI_Send
 *   comm       the same through comm/comm.h: memory for each message, waits
 *   scheduler  a whole run of scheduler/run.h: the queue, filling tasks, the
 *              solver's updates, residuals, records
 *
 * cpu_us is rank 0's time per task without polls that found nothing, by the
 * thread's own clock, and update_us the part of it in the solver's updates; wall_us
 * is the time per task, naps and waits for the other rank included. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bench/star.h"
#include "cli/setup.h"
#include "comm/mpi.h"
#include "scheduler/event.h"

#define FLIGHTS 2 /* as scheduler/inflight.h */
#define MOST_SETTINGS 32
#define REPEATS 7

static const size_t dims[] = {16, 1024, 16384, 65536};
#define N_DIMS (sizeof dims / sizeof dims[0])

typedef struct bench {
    pdag_comm *comm;   /* ranks 1.. */
    star_probe *probe; /* rank 0 */
    MPI_Comm raw;
    int n_workers;
    pdag_run_result before; /* everybody is ready */
    uint64_t run_number;
    size_t evaluations; /* of the last run */
    double update;      /* seconds of the last run's updates */
} bench;

typedef struct cost { /* seconds */
    double cpu, wall;
} cost;

static void must(pdag_status status)
{
    if (status == PDAG_OK)
        return;
    fprintf(stderr, "bench/overhead: %s\n", pdag_error_text());
    pdag_mpi_abort(EXIT_FAILURE);
}

static size_t task_bytes(size_t dim)
{
    return sizeof(pdag_msg) + (dim + 1) * sizeof(float);
}

static size_t result_bytes(size_t dim)
{
    return sizeof(pdag_msg) + dim * sizeof(float);
}

/* Plain MPI. */

/* Buffers of rank 0: two tasks a worker. */
typedef struct ring {
    int bytes; /* of a task */
    char *out, *in;
    MPI_Request *request;
    size_t *n_sent; /* [n_workers] */
    size_t n_slots;
} ring;

static void ring_create(const bench *b, size_t dim, ring *r)
{
    r->bytes = (int)task_bytes(dim);
    r->n_slots = (size_t)b->n_workers * FLIGHTS;
    r->out = pdag_xcalloc(r->n_slots, task_bytes(dim));
    r->in = pdag_xcalloc(1, task_bytes(dim));
    r->request = pdag_xcalloc(r->n_slots, sizeof(MPI_Request));
    r->n_sent = pdag_xcalloc((size_t)b->n_workers, sizeof *r->n_sent);
    for (size_t i = 0; i < r->n_slots; i++)
        r->request[i] = MPI_REQUEST_NULL;
}

static void ring_destroy(ring *r)
{
    free(r->out);
    free(r->in);
    free(r->request);
    free(r->n_sent);
}

static void ring_send(const bench *b, ring *r, int worker)
{
    size_t slot = (size_t)worker * FLIGHTS + r->n_sent[worker]++ % FLIGHTS;

    MPI_Wait(&r->request[slot], MPI_STATUS_IGNORE);
    MPI_Isend(r->out + slot * (size_t)r->bytes, r->bytes, MPI_BYTE, worker + 1, 1,
              b->raw, &r->request[slot]);
}

/* Takes one result and sends the next task, if there is one; false: nothing was
   there. */
static bool ring_turn(const bench *b, ring *r, bool more)
{
    MPI_Message matched;
    MPI_Status from;
    int there = 0;

    MPI_Improbe(MPI_ANY_SOURCE, 1, b->raw, &there, &matched, &from);
    if (!there)
        return false;
    MPI_Mrecv(r->in, r->bytes, MPI_BYTE, &matched, MPI_STATUS_IGNORE);
    if (more)
        ring_send(b, r, from.MPI_SOURCE - 1);
    return true;
}

static cost raw_tasks(const bench *b, size_t dim, size_t n_tasks)
{
    cost c = {0.0, pdag_seconds()};
    double mark = star_cpu_seconds();
    size_t sent = 0;
    ring r;

    ring_create(b, dim, &r);
    for (; sent < r.n_slots && sent < n_tasks; sent++)
        ring_send(b, &r, (int)sent % b->n_workers);
    c.cpu += star_cpu_seconds() - mark;
    for (size_t taken = 0; taken < n_tasks;) {
        mark = star_cpu_seconds();
        if (!ring_turn(b, &r, sent < n_tasks))
            continue;
        c.cpu += star_cpu_seconds() - mark;
        taken++;
        if (sent < n_tasks)
            sent++;
    }
    MPI_Waitall((int)r.n_slots, r.request, MPI_STATUSES_IGNORE);
    c.wall = pdag_seconds() - c.wall;
    for (int w = 1; w <= b->n_workers; w++)
        MPI_Send(NULL, 0, MPI_BYTE, w, 1, b->raw);
    ring_destroy(&r);
    return c;
}

/* Until an empty message. */
static void raw_worker(const bench *b)
{
    size_t room = task_bytes(dims[N_DIMS - 1]);
    char *buffer = pdag_xcalloc(1, room);

    for (;;) {
        MPI_Status from;
        int bytes;

        MPI_Recv(buffer, (int)room, MPI_BYTE, 0, 1, b->raw, &from);
        MPI_Get_count(&from, MPI_BYTE, &bytes);
        if (bytes == 0)
            break;
        MPI_Send(buffer, bytes - (int)sizeof(float), MPI_BYTE, 0, 1, b->raw);
    }
    free(buffer);
}

/* Our messages. */

static pdag_msg *make_task(size_t dim)
{
    pdag_msg *msg;

    must(pdag_msg_create(PDAG_MSG_TASK, task_bytes(dim) - sizeof *msg, &msg));
    msg->header.n_rows = 1;
    memset(pdag_msg_payload(msg), 0, (size_t)msg->header.payload_bytes);
    return msg;
}

static cost comm_tasks(const bench *b, size_t dim, size_t n_tasks)
{
    pdag_comm *comm = &b->probe->comm;
    cost c = {0.0, pdag_seconds()};
    size_t sent = 0;

    star_probe_reset(b->probe);
    for (; sent < (size_t)b->n_workers * FLIGHTS && sent < n_tasks; sent++)
        must(comm->ops->send(comm, 1 + (int)sent % b->n_workers, make_task(dim)));
    for (size_t taken = 0; taken < n_tasks;) {
        int peer;
        pdag_msg *msg;

        must(pdag_comm_wait(comm, 1.0, &peer, &msg));
        if (msg == NULL)
            continue;
        pdag_msg_free(msg);
        taken++;
        if (sent < n_tasks) {
            must(comm->ops->send(comm, peer, make_task(dim)));
            sent++;
        }
    }
    c.wall = pdag_seconds() - c.wall;
    c.cpu = b->probe->busy;
    return c;
}

/* eps = 0.3 x, as soon as it comes; until STOP. */
static void comm_worker(const bench *b)
{
    for (;;) {
        int peer;
        pdag_msg *msg;
        pdag_msg *reply;
        size_t floats;

        must(pdag_comm_wait(b->comm, 1.0, &peer, &msg));
        if (msg == NULL)
            continue;
        if (msg->header.kind == PDAG_MSG_STOP) {
            pdag_msg_free(msg);
            return;
        }
        floats = (size_t)msg->header.payload_bytes / sizeof(float) -
                 msg->header.n_rows;
        must(pdag_msg_create(PDAG_MSG_RESULT, floats * sizeof(float), &reply));
        reply->header = msg->header;
        reply->header.kind = PDAG_MSG_RESULT;
        reply->header.task = PDAG_MSG_TASK;
        reply->header.payload_bytes = floats * sizeof(float);
        for (size_t i = 0; i < floats; i++)
            ((float *)pdag_msg_payload(reply))[i] =
                0.3f * ((const float *)pdag_msg_payload(msg))[i];
        pdag_msg_free(msg);
        must(b->comm->ops->send(b->comm, 0, reply));
    }
}

/* The scheduler. */

static pdag_status sample_done(void *user, const pdag_sample_result *result)
{
    ((bench *)user)->evaluations += result->evaluations;
    return PDAG_OK;
}

static void take_event(void *user, const pdag_event *event)
{
    if (event->kind == PDAG_EVENT_UPDATE)
        ((bench *)user)->update += event->time - event->began;
}

static cost scheduler_tasks(bench *b, const pdag_setup *setup)
{
    cost c = {0.0, pdag_seconds()};
    pdag_run_setup run;
    pdag_run_result result;

    pdag_setup_run(setup, &run);
    run.run_number = ++b->run_number;
    run.before = &b->before;
    run.first_rank = 1;
    run.sink.user = b;
    run.sink.sample_done = sample_done;
    run.sink.event = take_event;
    b->evaluations = 0;
    b->update = 0.0;
    star_probe_reset(b->probe);
    must(pdag_scheduler_run(&run, &b->probe->comm, &result));
    pdag_run_result_clear(&result);
    c.wall = pdag_seconds() - c.wall;
    c.cpu = b->probe->busy;
    return c;
}

/* Rank 0. */

static void make_setup(int n_set, char **set, size_t dim, pdag_setup *setup)
{
    char shape[64];
    const char *settings[MOST_SETTINGS] = {
        shape, "sampler.steps=100", "block_rows=1", "solver.max_rounds=20",
        "solver.tolerance=1e-9", "gaussian.modes=1"};
    size_t n = 6;

    snprintf(shape, sizeof shape, "gaussian.shape=%zu", dim);
    for (int i = 1; i < n_set && n < MOST_SETTINGS; i++)
        settings[n++] = set[i];
    must(pdag_setup_create(set[0], n, settings, setup));
}

typedef struct round_costs {
    cost raw, comm, scheduler;
    double update;
} round_costs;

/* Tasks of each kind once, then the workers turn to the next. */
static void once(bench *b, const pdag_setup *setup, size_t n_tasks, round_costs *r)
{
    MPI_Barrier(b->raw);
    r->raw = raw_tasks(b, setup->dim, n_tasks);
    r->comm = comm_tasks(b, setup->dim, n_tasks);
    r->scheduler = scheduler_tasks(b, setup);
    r->update = b->update;
    for (int w = 1; w <= b->n_workers; w++)
        must(pdag_comm_send_plain(&b->probe->comm, w, PDAG_MSG_STOP, 0));
}

static cost least(cost a, cost b)
{
    cost c = {a.cpu < b.cpu ? a.cpu : b.cpu, a.wall < b.wall ? a.wall : b.wall};

    return c;
}

static void print(const bench *b, size_t dim, const char *way, cost c, cost raw,
                  double update)
{
    double us = 1e6 / (double)b->evaluations;

    printf("%d,%zu,%zu,%zu,%zu,%s,%.2f,%.2f,%.2f,%.2f,%.2f\n", b->n_workers, dim,
           task_bytes(dim), result_bytes(dim), b->evaluations, way, c.cpu * us,
           update * us, c.wall * us, c.cpu / raw.cpu, c.wall / raw.wall);
    fflush(stdout);
}

static void measure(bench *b, const pdag_setup *setup)
{
    round_costs best;

    once(b, setup, 1, &best); /* warm, and tells how many tasks there are */
    for (int i = 0; i < REPEATS; i++) {
        round_costs r;

        once(b, setup, b->evaluations, &r);
        if (i == 0)
            best = r;
        best.raw = least(best.raw, r.raw);
        best.comm = least(best.comm, r.comm);
        best.scheduler = least(best.scheduler, r.scheduler);
        best.update = r.update < best.update ? r.update : best.update;
    }
    print(b, setup->dim, "raw", best.raw, best.raw, 0.0);
    print(b, setup->dim, "comm", best.comm, best.raw, 0.0);
    print(b, setup->dim, "scheduler", best.scheduler, best.raw, best.update);
}

static void lead(bench *b, int n_set, char **set)
{
    size_t n = (size_t)b->n_workers;

    b->before.n_workers = n;
    b->before.worker = pdag_xcalloc(n, sizeof *b->before.worker);
    for (size_t w = 0; w < n; w++)
        b->before.worker[w].ready = true;
    b->probe = star_probe_create(b->comm, star_cpu_seconds);
    printf("workers,dim,task_bytes,result_bytes,tasks,way,cpu_us,update_us,wall_us,"
           "cpu_over_raw,wall_over_raw\n");
    for (size_t i = 0; i < N_DIMS; i++) {
        pdag_setup setup;

        make_setup(n_set, set, dims[i], &setup);
        measure(b, &setup);
        pdag_setup_clear(&setup);
    }
    pdag_run_result_clear(&b->before);
    star_probe_free(b->probe);
}

static void follow(const bench *b)
{
    for (size_t i = 0; i < N_DIMS * (REPEATS + 1); i++) {
        MPI_Barrier(b->raw);
        raw_worker(b);
        comm_worker(b);
    }
}

int main(int argc, char **argv)
{
    bench b;
    int rank;
    int size;

    memset(&b, 0, sizeof b);
    must(pdag_mpi_start(&rank, &size));
    if (argc < 2 || size < 2) {
        fputs("usage: mpirun -np 2 bench/overhead JOB [FIELD=VALUE ...]\n", stderr);
        pdag_mpi_abort(2);
    }
    must(pdag_mpi_comm_create(&b.comm));
    MPI_Comm_dup(MPI_COMM_WORLD, &b.raw);
    b.n_workers = size - 1;
    if (rank == 0)
        lead(&b, argc - 1, argv + 1);
    else
        follow(&b);
    must(pdag_comm_flush(b.comm, 30.0));
    pdag_comm_destroy(b.comm);
    MPI_Comm_free(&b.raw);
    pdag_mpi_finish(0);
    return 0;
}
