#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "scheduler/run_internal.h"

/* scheduler/run_samples.c: what a sample goes through: encode, rounds, decode. */

const char *pdag_run_text_for(const pdag_text_list *list, size_t index)
{
    return list->n > 0 ? list->item[index % list->n] : "";
}

void pdag_run_enter_phase(pdag_run *r, pdag_slot *s, pdag_phase next)
{
    double now = pdag_seconds();
    pdag_phase last = s->phase;

    if (last != PDAG_WAITING) {
        s->seconds[last] += now - s->phase_began;
        if (--r->n_in_phase[last] == 0)
            r->phase_seconds[last] += now - r->phase_opened[last];
    }
    s->phase = next;
    s->phase_began = now;
    if (next != PDAG_ENDED && r->n_in_phase[next]++ == 0)
        r->phase_opened[next] = now;
}

void pdag_run_push(pdag_run *r, pdag_msg_kind kind, size_t sample, uint32_t round,
                   size_t block, size_t mix)
{
    pdag_node node = {kind, (uint32_t)sample, round, (uint32_t)block,
                      (uint32_t)mix};

    pdag_ready_push(&r->ready, node);
}

bool pdag_run_wants(const pdag_run *r, const pdag_node *node)
{
    const pdag_slot *s = &r->slot[node->sample];

    if (node->kind == PDAG_MSG_ENCODE)
        return s->phase == PDAG_ENCODING;
    if (node->kind == PDAG_MSG_DECODE)
        return s->phase == PDAG_DECODING;
    return s->phase == PDAG_SAMPLING &&
           pdag_sample_expects(s->sample, node->round, node->block, node->mix);
}

typedef struct ready_of {
    pdag_run *run;
    size_t sample;
} ready_of;

static void push_task(void *user, size_t round, size_t block, size_t mix)
{
    ready_of *of = user;

    pdag_run_push(of->run, PDAG_MSG_TASK, of->sample, (uint32_t)round, block,
                  mix);
}

pdag_status pdag_run_go_on(pdag_run *r, size_t index)
{
    pdag_slot *s = &r->slot[index];

    if (pdag_sample_stop(s->sample) == PDAG_STOPPED_NOT) {
        ready_of of = {r, index};

        pdag_sample_each_ready(s->sample, push_task, &of);
        return PDAG_OK;
    }
    if (r->setup->picture_floats == 0)
        return pdag_run_finish_sample(r, index);
    pdag_run_enter_phase(r, s, PDAG_DECODING);
    pdag_run_push(r, PDAG_MSG_DECODE, index, PDAG_LAST_ROUND, 0, 0);
    return PDAG_OK;
}

pdag_status pdag_run_begin_sampling(pdag_run *r, size_t index)
{
    pdag_slot *s = &r->slot[index];
    const pdag_run_setup *setup = r->setup;
    size_t states = (setup->transition->n_rows + 1) * setup->dim;
    pdag_round_state round;
    pdag_status status = pdag_sample_create(
        &r->plan, index, setup->job->seed + index,
        setup->noise != NULL ? setup->noise + index * setup->dim : NULL,
        setup->start != NULL ? setup->start + index * states : NULL,
        &s->sample);

    if (status != PDAG_OK)
        return status;
    pdag_run_enter_phase(r, s, PDAG_SAMPLING);
    if (setup->sink.sample_begun == NULL)
        return PDAG_OK;
    memset(&round, 0, sizeof round);
    pdag_sample_describe_states(s->sample, &round);
    return setup->sink.sample_begun(setup->sink.user, &round);
}

static pdag_status open_sample(pdag_run *r, size_t index)
{
    pdag_status status;

    if (pdag_run_encodes(r)) {
        pdag_run_enter_phase(r, &r->slot[index], PDAG_ENCODING);
        pdag_run_push(r, PDAG_MSG_ENCODE, index, 0, 0, 0);
        return PDAG_OK;
    }
    status = pdag_run_begin_sampling(r, index);
    return status == PDAG_OK ? pdag_run_go_on(r, index) : status;
}

pdag_status pdag_run_open_samples(pdag_run *r)
{
    pdag_status status = PDAG_OK;

    while (status == PDAG_OK && r->ready.n == 0 &&
           pdag_inflight_room(r->worker, r->n_workers)) {
        while (r->next_sample < r->n_samples &&
               r->slot[r->next_sample].phase != PDAG_WAITING)
            r->next_sample++; /* ended, or opened, before a resume */
        if (r->next_sample == r->n_samples)
            break;
        status = open_sample(r, r->next_sample++);
    }
    return status;
}

pdag_status pdag_run_finish_sample(pdag_run *r, size_t index)
{
    pdag_slot *s = &r->slot[index];
    pdag_event event = {.kind = PDAG_EVENT_SAMPLE, .sample = (uint32_t)index};
    pdag_sample_result result;
    pdag_status status = PDAG_OK;

    pdag_run_enter_phase(r, s, PDAG_ENDED);
    memset(&result, 0, sizeof result);
    pdag_sample_describe(s->sample, &result);
    result.prompt = pdag_run_text_for(&r->setup->job->prompt, index);
    result.picture = s->picture;
    result.seconds_encode = s->seconds[PDAG_ENCODING];
    result.seconds_sample = s->seconds[PDAG_SAMPLING];
    result.seconds_decode = s->seconds[PDAG_DECODING];
    if (r->setup->sink.sample_done != NULL)
        status = r->setup->sink.sample_done(r->setup->sink.user, &result);
    event.time = pdag_seconds();
    pdag_run_tell(r, &event);
    /* max-rounds outweighs converged: the run's exit status must say so. */
    if (r->worst != PDAG_STOPPED_MAX_ROUNDS)
        r->worst = result.stop;
    pdag_sample_destroy(s->sample);
    free(s->condition);
    free(s->picture);
    s->sample = NULL;
    s->condition = NULL;
    s->picture = NULL;
    r->unfinished_samples--;
    return status == PDAG_OK ? pdag_run_drop_conditions(r, index) : status;
}
