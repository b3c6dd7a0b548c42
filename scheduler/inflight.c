#include "scheduler/inflight.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/mem.h"

/* What waiting in a worker's queue costs besides the time, as a share of the task:
   between workers of one kind it is better to start than to queue. */
#define QUEUE_SHARE 0.5
#define NEARLY_BEST 1.25 /* times the best one's finish: not worth waiting */
#define NEW_SHARE (1.0 / 3.0) /* of the newest task in the pace */

static int pace_of(pdag_msg_kind kind)
{
    return kind == PDAG_MSG_TASK ? 0 : kind == PDAG_MSG_ENCODE ? 1 : 2;
}

static bool is_usable(const pdag_worker *worker)
{
    return worker->info.ready && !worker->info.hung && !worker->info.lost;
}

/* Mean pace of the workers of one device (NULL: any); 0 where none has one. */
static double mean_pace(const pdag_worker *worker, int n_workers, int which,
                        const char *device)
{
    double sum = 0.0;
    size_t n = 0;

    for (int w = 0; w < n_workers; w++) {
        if (worker[w].pace[which].n == 0 ||
            (device != NULL && strcmp(worker[w].info.device, device) != 0))
            continue;
        sum += worker[w].pace[which].seconds;
        n++;
    }
    return n > 0 ? sum / (double)n : 0.0;
}

/* What the unmeasured worker of one device is taken for: the last such device,
   since a choice among hundreds of workers asks for each of them. */
typedef struct guess {
    const char *device; /* NULL: none yet */
    double pace;
} guess;

static double expect(const pdag_worker *worker, int n_workers, int peer,
                     pdag_msg_kind kind, size_t n_rows, guess *last)
{
    const pdag_worker *w = &worker[peer - 1];
    int which = pace_of(kind);

    if (w->pace[which].n > 0)
        return w->pace[which].seconds * (double)n_rows;
    if (last->device == NULL || strcmp(last->device, w->info.device) != 0) {
        last->device = w->info.device;
        last->pace = mean_pace(worker, n_workers, which, w->info.device);
        if (last->pace <= 0.0)
            last->pace = mean_pace(worker, n_workers, which, NULL);
    }
    return last->pace * (double)n_rows;
}

double pdag_inflight_expect(const pdag_worker *worker, int n_workers, int peer,
                            pdag_msg_kind kind, size_t n_rows)
{
    guess last = {NULL, 0.0};

    return expect(worker, n_workers, peer, kind, n_rows, &last);
}

double pdag_inflight_began(const pdag_worker *worker)
{
    return worker->flight[0].sent > worker->answered ? worker->flight[0].sent
                                                     : worker->answered;
}

/* Seconds until the worker is through with what it has. */
static double work_left(const pdag_worker *worker, double now)
{
    double left = 0.0;

    for (int i = 0; i < worker->n_flights; i++) {
        double one = worker->flight[i].expected;

        if (i == 0) {
            one -= now - pdag_inflight_began(worker);
            if (one < 0.0)
                one = 0.0;
        }
        left += one;
    }
    return left;
}

/* Seconds in which all others that can work do the nodes that wait. */
static double drain_time(const pdag_worker *worker, int n_workers, int but,
                         const pdag_offer *offer)
{
    guess last = {NULL, 0.0};
    double rate = 0.0;

    for (int peer = 1; peer <= n_workers; peer++) {
        double one = expect(worker, n_workers, peer, offer->kind, offer->n_rows,
                            &last);

        if (peer != but && is_usable(&worker[peer - 1]) && one > 0.0)
            rate += 1.0 / one;
    }
    return rate > 0.0 ? (double)offer->n_ready / rate : 0.0;
}

int pdag_inflight_choose(const pdag_worker *worker, int n_workers,
                         const pdag_offer *offer, bool *from_back_out)
{
    int best = 0;      /* of all */
    int with_room = 0; /* of those that can take it now */
    guess last = {NULL, 0.0};
    double cost = 0.0;
    double room_cost = 0.0;

    *from_back_out = false;
    for (int w = 0; w < n_workers; w++)
        if (is_usable(&worker[w]) && worker[w].n_flights == 0 &&
            worker[w].pace[pace_of(offer->kind)].n == 0)
            return w + 1; /* its first task measures it */
    for (int peer = 1; peer <= n_workers; peer++) {
        const pdag_worker *w = &worker[peer - 1];
        double one = expect(worker, n_workers, peer, offer->kind, offer->n_rows,
                            &last);
        double c = work_left(w, offer->now) + one;

        if (!is_usable(w))
            continue;
        if (w->n_flights > 0)
            c += QUEUE_SHARE * one;
        if (best == 0 || c < cost ||
            (c <= cost && w->n_flights < worker[best - 1].n_flights)) {
            best = peer;
            cost = c;
        }
        if (w->n_flights < PDAG_TASKS_PER_WORKER &&
            (with_room == 0 || c < room_cost ||
             (c <= room_cost &&
              w->n_flights < worker[with_room - 1].n_flights))) {
            with_room = peer;
            room_cost = c;
        }
    }
    if (with_room == 0 || room_cost <= NEARLY_BEST * cost)
        return with_room;
    if (room_cost >= drain_time(worker, n_workers, with_room, offer))
        return 0;
    *from_back_out = true;
    return with_room;
}

bool pdag_inflight_room(const pdag_worker *worker, int n_workers)
{
    for (int w = 0; w < n_workers; w++)
        if (is_usable(&worker[w]) && worker[w].n_flights < PDAG_TASKS_PER_WORKER)
            return true;
    return false;
}

int pdag_inflight_usable(const pdag_worker *worker, int n_workers)
{
    int n = 0;

    for (int w = 0; w < n_workers; w++)
        n += is_usable(&worker[w]);
    return n;
}

int pdag_inflight_loading(const pdag_worker *worker, int n_workers)
{
    int n = 0;

    for (int w = 0; w < n_workers; w++)
        n += !worker[w].info.ready && !worker[w].info.lost;
    return n;
}

size_t pdag_inflight_count(const pdag_worker *worker, int n_workers)
{
    size_t n = 0;

    for (int w = 0; w < n_workers; w++)
        n += (size_t)worker[w].n_flights;
    return n;
}

/* Names go into reports: printable ASCII, whatever another machine sent. */
static void make_plain(char *text)
{
    for (; *text != '\0'; text++)
        if (*text < ' ' || *text > '~')
            *text = '?';
}

void pdag_inflight_ready(pdag_worker_info *info, const pdag_msg *msg)
{
    char *text = pdag_xstrndup(pdag_msg_payload_const(msg),
                               (size_t)msg->header.payload_bytes);
    char *device = strchr(text, '\n');
    char *number = device != NULL ? strchr(device + 1, '\n') : NULL;

    if (device != NULL)
        *device++ = '\0';
    if (number != NULL)
        *number++ = '\0';
    info->device_number = number != NULL ? (int)strtol(number, NULL, 10) : -1;
    snprintf(info->host, sizeof info->host, "%s", text);
    snprintf(info->device, sizeof info->device, "%s",
             device != NULL ? device : "");
    make_plain(info->host);
    make_plain(info->device);
    info->ready = true;
    free(text);
}

void pdag_inflight_add(pdag_worker *worker, const pdag_flight *flight)
{
    PDAG_ASSERT(worker->n_flights < PDAG_TASKS_PER_WORKER);
    worker->flight[worker->n_flights++] = *flight;
}

bool pdag_inflight_remove(pdag_worker *worker, const pdag_msg_header *header,
                          pdag_flight *flight_out)
{
    for (int i = 0; i < worker->n_flights; i++) {
        const pdag_flight *f = &worker->flight[i];

        if ((uint32_t)f->node.kind == header->task &&
            f->node.sample == header->sample &&
            f->node.round == header->round && f->node.block == header->block &&
            f->attempt == header->attempt) {
            *flight_out = *f;
            worker->n_flights--;
            memmove(worker->flight + i, worker->flight + i + 1,
                    (size_t)(worker->n_flights - i) * sizeof *f);
            return true;
        }
    }
    return false;
}

void pdag_inflight_measure(pdag_worker *worker, const pdag_flight *flight,
                           double seconds, double now)
{
    pdag_pace *pace = &worker->pace[pace_of(flight->node.kind)];
    double one = seconds / (double)flight->n_rows;

    if (pace->n < 2)
        pace->seconds = one;
    else
        pace->seconds += NEW_SHARE * (one - pace->seconds);
    pace->n++;
    worker->answered = now;
}
