#include "scheduler/simulate.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "scheduler/inflight.h"
#include "scheduler/ready.h"

/* scheduler/simulate.c: events are results on their way to rank 0, and workers that
   become ready; everything else happens at rank 0 between two of them, as in
   scheduler/run.c. */

/* A node that comes after all rounds of its sample. */
#define LAST_ROUND UINT32_MAX

typedef enum phase { WAITING, ENCODING, SAMPLING, DECODING, ENDED } phase;

typedef struct event { /* a result arrives */
    double time;
    uint64_t order; /* of sending: first come, first served */
    int peer;
    pdag_node node;
    double seconds; /* that the task took */
} event;

typedef struct sim_sample {
    phase phase;
    const pdag_sim_path *path;
    size_t *evaluated; /* [n_blocks]: rounds below have their result */
    size_t *swept;     /* [n_rounds]: blocks below are updated */
    size_t *pushed;    /* [n_rounds]: blocks below are in the queue or further */
    size_t n_done;     /* rounds swept */
} sim_sample;

typedef struct way { /* one direction of a link */
    double free_at;
} way;

typedef struct sim_lane { /* a worker in virtual time */
    double free_at;
    way out, in;
    unsigned char *has_condition; /* [n_samples] */
    unsigned char *has_done;      /* [n_seconds]: tasks of so many rows */
} sim_lane;

typedef struct sim {
    const pdag_sim_setup *setup;
    double now; /* of rank 0 */
    pdag_ready ready;
    sim_sample *sample; /* [n_samples] */
    size_t next_sample, n_open, unfinished;
    pdag_worker *worker; /* [n_workers], for the choice */
    sim_lane *lane;          /* [n_workers] */
    event *heap;
    size_t n_events, room;
    uint64_t order;
    size_t n_in_phase[ENDED];
    double phase_opened[ENDED];
    double phase_seconds[ENDED];
    pdag_sim_result result;
} sim;

double pdag_sim_task_seconds(const pdag_sim_worker *worker, size_t n)
{
    if (n <= worker->n_seconds && worker->seconds[n - 1] > 0.0)
        return worker->seconds[n - 1];
    return worker->fixed + worker->per_row * (double)n;
}

pdag_status pdag_sim_path_check(const pdag_graph *graph,
                                const pdag_sim_path *path)
{
    size_t begin = 0;
    size_t end = 0;

    for (size_t k = 0; k < path->n_rounds; k++) {
        const pdag_sim_round *r = &path->round[k];

        if (r->begin >= r->end || r->end > graph->n_rows || r->begin < begin ||
            r->end < end || (k > 0 && r->begin > end))
            return pdag_error(PDAG_ERR_ARG, "round %zu: rows %zu to %zu of %zu "
                              "cannot follow rows %zu to %zu", k, r->begin,
                              r->end, graph->n_rows, begin, end);
        begin = r->begin;
        end = r->end;
    }
    if (path->final < begin || path->final > graph->n_rows ||
        (path->n_rounds > 0 && path->final > end))
        return pdag_error(PDAG_ERR_ARG, "%zu rows final after rows %zu to %zu",
                          path->final, begin, end);
    return PDAG_OK;
}

/* Events. */

static bool event_before(const event *a, const event *b)
{
    return a->time < b->time || (a->time <= b->time && a->order < b->order);
}

static void swap_events(event *a, event *b)
{
    event kept = *a;

    *a = *b;
    *b = kept;
}

static void push_event(sim *s, double time, int peer, pdag_node node,
                       double seconds)
{
    size_t i = s->n_events++;

    if (s->n_events > s->room) {
        s->room = 2 * s->room + 64;
        s->heap = pdag_xrealloc(s->heap, s->room, sizeof *s->heap);
    }
    s->heap[i] = (event){time, s->order++, peer, node, seconds};
    for (; i > 0 && event_before(&s->heap[i], &s->heap[(i - 1) / 2]);
         i = (i - 1) / 2)
        swap_events(&s->heap[i], &s->heap[(i - 1) / 2]);
}

static event pop_event(sim *s)
{
    event first = s->heap[0];
    size_t i = 0;

    s->heap[0] = s->heap[--s->n_events];
    for (;;) {
        size_t least = i;

        for (size_t child = 2 * i + 1; child <= 2 * i + 2; child++)
            if (child < s->n_events &&
                event_before(&s->heap[child], &s->heap[least]))
                least = child;
        if (least == i)
            return first;
        swap_events(&s->heap[i], &s->heap[least]);
        i = least;
    }
}

/* Rank 0 is busy for a while. */
static void spend(sim *s, double seconds)
{
    s->now += seconds;
    s->result.seconds_scheduler += seconds;
}

/* Samples. */

static void enter_phase(sim *s, sim_sample *sample, phase next)
{
    phase last = sample->phase;

    if (last != WAITING && --s->n_in_phase[last] == 0)
        s->phase_seconds[last] += s->now - s->phase_opened[last];
    sample->phase = next;
    if (next != ENDED && s->n_in_phase[next]++ == 0)
        s->phase_opened[next] = s->now;
}

static void push_node(sim *s, pdag_msg_kind kind, size_t index, uint32_t round,
                      size_t block)
{
    pdag_node node = {kind, (uint32_t)index, round, (uint32_t)block, 0};

    pdag_ready_push(&s->ready, node);
}

static void end_sample(sim *s, size_t index)
{
    sim_sample *sample = &s->sample[index];

    enter_phase(s, sample, ENDED);
    free(sample->evaluated);
    free(sample->swept);
    free(sample->pushed);
    sample->evaluated = NULL;
    sample->swept = NULL;
    sample->pushed = NULL;
    s->n_open--;
    s->unfinished--;
}

static void end_sampling(sim *s, size_t index)
{
    if (!s->setup->decodes) {
        end_sample(s, index);
        return;
    }
    enter_phase(s, &s->sample[index], DECODING);
    push_node(s, PDAG_MSG_DECODE, index, LAST_ROUND, 0);
}

/* Blocks [first, last) of a round. */
static size_t first_block(const sim *s, const sim_sample *sample, size_t k)
{
    return pdag_graph_block_of(&s->setup->graph, sample->path->round[k].begin);
}

static size_t last_block(const sim *s, const sim_sample *sample, size_t k)
{
    return pdag_graph_block_of(&s->setup->graph,
                               sample->path->round[k].end - 1) + 1;
}

static bool is_swept(const sim *s, const sim_sample *sample, size_t k)
{
    return sample->swept[k] == last_block(s, sample, k);
}

/* E(k,b) needs U(k-1,b) - by which the round's first row is known, since the sweep
   has passed it - and, for rows that enter in round k, the end of the sweep before:
   in order of blocks one comes true after the other. */
static void push_round(sim *s, size_t index, size_t k)
{
    sim_sample *sample = &s->sample[index];
    const pdag_graph *graph = &s->setup->graph;
    size_t last = last_block(s, sample, k);
    bool swept = k == 0 || is_swept(s, sample, k - 1);

    if (!swept && s->setup->barrier)
        return;
    for (; sample->pushed[k] < last; sample->pushed[k]++) {
        size_t b = sample->pushed[k];
        size_t block_end = (b + 1) * graph->block_rows;

        if (block_end > sample->path->round[k].end)
            block_end = sample->path->round[k].end;
        if (!swept && (b >= sample->swept[k - 1] ||
                       block_end > sample->path->round[k - 1].end))
            return;
        push_node(s, PDAG_MSG_TASK, index, (uint32_t)k, b);
    }
}

static void begin_sampling(sim *s, size_t index)
{
    sim_sample *sample = &s->sample[index];
    size_t n = sample->path->n_rounds;

    enter_phase(s, sample, SAMPLING);
    if (n == 0) {
        end_sampling(s, index);
        return;
    }
    sample->evaluated =
        pdag_xcalloc(s->setup->graph.n_blocks, sizeof *sample->evaluated);
    sample->swept = pdag_xcalloc(n, sizeof *sample->swept);
    sample->pushed = pdag_xcalloc(n, sizeof *sample->pushed);
    for (size_t k = 0; k < n; k++) {
        sample->swept[k] = first_block(s, sample, k);
        sample->pushed[k] = sample->swept[k];
    }
    push_round(s, index, 0);
}

static void open_samples(sim *s)
{
    while (s->next_sample < s->setup->n_samples && s->ready.n == 0 &&
           pdag_inflight_room(s->worker, s->setup->n_workers)) {
        size_t index = s->next_sample++;

        if (++s->n_open > s->result.most_open)
            s->result.most_open = s->n_open;
        if (s->setup->encodes) {
            enter_phase(s, &s->sample[index], ENCODING);
            push_node(s, PDAG_MSG_ENCODE, index, 0, 0);
        } else {
            begin_sampling(s, index);
        }
    }
}

/* U(k,b) of all blocks that are next in the round's row and have their result. */
static void sweep(sim *s, size_t index, size_t k)
{
    sim_sample *sample = &s->sample[index];
    const pdag_sim_round *r = &sample->path->round[k];
    size_t last = last_block(s, sample, k);

    while (sample->swept[k] < last && sample->evaluated[sample->swept[k]] > k) {
        size_t first = 0;
        size_t n = pdag_graph_block_rows(&s->setup->graph, sample->swept[k],
                                         r->begin, r->end, &first);

        spend(s, s->setup->seconds_per_row * (double)n);
        sample->swept[k]++;
        if (k + 1 < sample->path->n_rounds)
            push_round(s, index, k + 1);
    }
    if (sample->swept[k] < last)
        return;
    s->result.rounds++;
    if (++sample->n_done == sample->path->n_rounds)
        end_sampling(s, index);
}

/* Of a TASK; else 1. */
static size_t rows_of(const sim *s, const pdag_node *node)
{
    const pdag_sim_round *r;
    size_t first = 0;

    if (node->kind != PDAG_MSG_TASK)
        return 1;
    r = &s->sample[node->sample].path->round[node->round];
    return pdag_graph_block_rows(&s->setup->graph, node->block, r->begin, r->end,
                                 &first);
}

/* Messages. */

/* When n bytes that leave at `time` are there. */
static double travel(const pdag_sim_worker *worker, way *direction, double time,
                     size_t n_bytes)
{
    double begin = time > direction->free_at ? time : direction->free_at;
    double seconds = worker->bytes_per_second > 0.0
                         ? (double)n_bytes / worker->bytes_per_second
                         : 0.0;

    direction->free_at = begin + seconds;
    return direction->free_at + worker->latency;
}

static double send(sim *s, int peer, size_t n_bytes)
{
    n_bytes += s->setup->header_bytes;
    spend(s, s->setup->seconds_per_message);
    s->result.worker[peer - 1].bytes_out += n_bytes;
    return travel(&s->setup->worker[peer - 1], &s->lane[peer - 1].out, s->now,
                  n_bytes);
}

/* The worker does it when it is there and those before are done, and answers. */
static void work(sim *s, int peer, pdag_node node, double there, double seconds,
                 size_t answer_bytes)
{
    sim_lane *lane = &s->lane[peer - 1];
    pdag_sim_load *load = &s->result.worker[peer - 1];
    double begin = there > lane->free_at ? there : lane->free_at;

    answer_bytes += s->setup->header_bytes;
    lane->free_at = begin + seconds;
    load->busy += seconds;
    load->bytes_in += answer_bytes;
    push_event(s, travel(&s->setup->worker[peer - 1], &lane->in, lane->free_at,
                         answer_bytes), peer, node, seconds);
}

static void send_task(sim *s, int peer, pdag_node node)
{
    const pdag_sim_setup *setup = s->setup;
    const pdag_sim_worker *worker = &setup->worker[peer - 1];
    sim_lane *lane = &s->lane[peer - 1];
    size_t n = rows_of(s, &node);
    double there;
    double seconds;

    if (setup->condition_bytes > 0 && !lane->has_condition[node.sample])
        send(s, peer, setup->condition_bytes);
    lane->has_condition[node.sample] = 1;
    there = send(s, peer, n * (setup->row_bytes + sizeof(float)));
    seconds = pdag_sim_task_seconds(worker, n);
    if (n <= worker->n_seconds && worker->first != NULL &&
        worker->first[n - 1] > 0.0 && !lane->has_done[n - 1]) {
        seconds = worker->first[n - 1];
        lane->has_done[n - 1] = 1;
    }
    s->result.tasks++;
    s->result.evaluations += n;
    s->result.worker[peer - 1].tasks++;
    s->result.worker[peer - 1].rows += n;
    work(s, peer, node, there, seconds, n * setup->row_bytes);
}

static void send_node(sim *s, int peer, pdag_node node)
{
    const pdag_sim_setup *setup = s->setup;
    const pdag_sim_worker *worker = &setup->worker[peer - 1];
    pdag_flight flight = {.node = node, .n_rows = rows_of(s, &node),
                          .sent = s->now};

    flight.expected = pdag_inflight_expect(s->worker, setup->n_workers, peer,
                                           node.kind, flight.n_rows);
    pdag_inflight_add(&s->worker[peer - 1], &flight);
    if (node.kind == PDAG_MSG_TASK)
        send_task(s, peer, node);
    else if (node.kind == PDAG_MSG_ENCODE)
        work(s, peer, node, send(s, peer, setup->encode_bytes), worker->encode,
             setup->condition_bytes);
    else
        work(s, peer, node, send(s, peer, setup->decode_bytes), worker->decode,
             setup->picture_bytes);
}

static void dispatch_ready_blocks(sim *s)
{
    open_samples(s);
    while (s->ready.n > 0) {
        const pdag_node *first = pdag_ready_first(&s->ready);
        pdag_offer offer = {first->kind, rows_of(s, first), s->ready.n, s->now};
        bool from_back;
        int peer = pdag_inflight_choose(s->worker, s->setup->n_workers, &offer,
                                        &from_back);
        pdag_node node;

        if (peer == 0 || !(from_back ? pdag_ready_pop_back(&s->ready, &node)
                                     : pdag_ready_pop(&s->ready, &node)))
            return;
        send_node(s, peer, node);
        open_samples(s);
    }
}

/* Take the answered task off the worker's list, and learn how fast it is. */
static void take_flight(sim *s, const event *e)
{
    pdag_worker *worker = &s->worker[e->peer - 1];
    pdag_msg_header header = {.task = e->node.kind, .sample = e->node.sample,
                              .round = e->node.round, .block = e->node.block};
    pdag_flight flight;

    if (pdag_inflight_remove(worker, &header, &flight))
        pdag_inflight_measure(worker, &flight, e->seconds, s->now);
}

static void await_worker(sim *s, int peer)
{
    double ready_after = s->setup->worker[peer - 1].ready_after;
    pdag_node ready = {PDAG_MSG_READY, 0, 0, 0, 0};

    s->worker[peer - 1].info.ready = !(ready_after > 0.0);
    if (ready_after > 0.0)
        push_event(s, ready_after, peer, ready, 0.0);
}

static void take_result(sim *s, const event *e)
{
    sim_sample *sample = &s->sample[e->node.sample];

    if (e->time > s->now)
        s->now = e->time;
    if (e->node.kind == PDAG_MSG_READY) {
        s->worker[e->peer - 1].info.ready = true;
        return;
    }
    spend(s, s->setup->seconds_per_message);
    take_flight(s, e);
    if (e->node.kind == PDAG_MSG_ENCODE) {
        begin_sampling(s, e->node.sample);
    } else if (e->node.kind == PDAG_MSG_DECODE) {
        end_sample(s, e->node.sample);
    } else {
        sample->evaluated[e->node.block] = e->node.round + 1;
        sweep(s, e->node.sample, e->node.round);
    }
}

/* Wait for one result, then take all that have come. */
static void collect_results(sim *s)
{
    event e = pop_event(s);

    take_result(s, &e);
    while (s->n_events > 0 && s->heap[0].time <= s->now) {
        e = pop_event(s);
        take_result(s, &e);
    }
}

/* The whole. */

static pdag_status check(const pdag_sim_setup *setup)
{
    if (setup->n_workers < 1 || setup->n_samples < 1 || setup->n_paths < 1)
        return pdag_error(PDAG_ERR_ARG, "%d workers, %zu samples, %zu paths: "
                          "expected one or more", setup->n_workers,
                          setup->n_samples, setup->n_paths);
    for (size_t p = 0; p < setup->n_paths; p++) {
        pdag_status status = pdag_sim_path_check(&setup->graph, &setup->path[p]);

        if (status != PDAG_OK)
            return status;
    }
    return PDAG_OK;
}

static void sim_create(const pdag_sim_setup *setup, sim *s)
{
    size_t n = (size_t)setup->n_workers;

    memset(s, 0, sizeof *s);
    s->setup = setup;
    s->unfinished = setup->n_samples;
    s->sample = pdag_xcalloc(setup->n_samples, sizeof *s->sample);
    for (size_t j = 0; j < setup->n_samples; j++)
        s->sample[j].path = &setup->path[j % setup->n_paths];
    s->worker = pdag_xcalloc(n, sizeof *s->worker);
    s->lane = pdag_xcalloc(n, sizeof *s->lane);
    for (size_t w = 0; w < n; w++) {
        /* Workers of one kind are measured together. */
        snprintf(s->worker[w].info.device, sizeof s->worker[w].info.device,
                 "kind %d", setup->worker[w].kind);
        s->lane[w].has_condition = pdag_xcalloc(setup->n_samples, 1);
        s->lane[w].has_done = pdag_xcalloc(setup->worker[w].n_seconds + 1, 1);
    }
    s->result.n_workers = setup->n_workers;
    s->result.worker = pdag_xcalloc(n, sizeof *s->result.worker);
}

static void sim_destroy(sim *s)
{
    for (int w = 0; w < s->setup->n_workers; w++) {
        free(s->lane[w].has_condition);
        free(s->lane[w].has_done);
    }
    for (size_t j = 0; j < s->setup->n_samples; j++)
        if (s->sample[j].evaluated != NULL)
            end_sample(s, j);
    free(s->lane);
    free(s->worker);
    free(s->sample);
    free(s->heap);
    pdag_ready_clear(&s->ready);
}

static void describe(sim *s)
{
    pdag_sim_result *r = &s->result;
    double busy = 0.0;
    double all;

    r->seconds = s->now;
    r->seconds_encode = s->phase_seconds[ENCODING];
    r->seconds_sample = s->phase_seconds[SAMPLING];
    r->seconds_decode = s->phase_seconds[DECODING];
    for (int w = 0; w < r->n_workers; w++)
        busy += r->worker[w].busy;
    all = r->seconds * (double)r->n_workers;
    r->idle_share = all > 0.0 && busy < all ? 1.0 - busy / all : 0.0;
}

pdag_status pdag_simulate(const pdag_sim_setup *setup,
                          pdag_sim_result *result_out)
{
    pdag_status status = check(setup);
    sim s;

    if (status != PDAG_OK)
        return status;
    sim_create(setup, &s);
    for (int peer = 1; peer <= setup->n_workers; peer++)
        await_worker(&s, peer);
    dispatch_ready_blocks(&s);
    while (s.n_events > 0) {
        collect_results(&s);
        dispatch_ready_blocks(&s);
    }
    if (s.unfinished > 0)
        status = pdag_error(PDAG_ERR_INTERNAL, "simulation: %zu samples cannot "
                            "go on", s.unfinished);
    describe(&s);
    sim_destroy(&s);
    if (status == PDAG_OK)
        *result_out = s.result;
    else
        pdag_sim_result_clear(&s.result);
    return status;
}

void pdag_sim_result_clear(pdag_sim_result *result)
{
    free(result->worker);
    memset(result, 0, sizeof *result);
}
