/** scheduler/run_internal.h: the inside of a run; private to scheduler/run*.c. */
#ifndef PDAG_SCHEDULER_RUN_INTERNAL_H
#define PDAG_SCHEDULER_RUN_INTERNAL_H

#include "scheduler/inflight.h"
#include "scheduler/ready.h"
#include "scheduler/run.h"
#include "scheduler/sample.h"

/** A node that comes after all rounds of its sample. */
#define PDAG_LAST_ROUND UINT32_MAX

typedef enum pdag_phase {
    PDAG_WAITING,
    PDAG_ENCODING,
    PDAG_SAMPLING,
    PDAG_DECODING,
    PDAG_ENDED
} pdag_phase;

typedef struct pdag_slot { /* one sample's place in the run */
    pdag_phase phase;
    pdag_sample *sample;
    float *condition; /* [cond_floats], owned: encoded; or NULL */
    float *picture;   /* [picture_floats], owned, or NULL */
    double phase_began;
    double seconds[PDAG_ENDED];
} pdag_slot;

typedef struct pdag_run {
    const pdag_run_setup *setup;
    pdag_comm *comm;
    pdag_sample_plan plan;
    pdag_ready ready;
    int n_workers;
    pdag_worker *worker; /* [n_workers] */
    size_t n_samples, next_sample, unfinished_samples;
    pdag_slot *slot; /* [n_samples] */
    uint32_t attempt;
    double began;
    double first_ready; /* when a worker first was, or 0 */
    double saved;       /* when the last checkpoint was taken */
    double watched;     /* when the workers were looked at last */
    double all_silent;  /* since when nobody can work, or 0 */
    size_t n_told_ready, n_told_flying; /* of the last QUEUE event */
    size_t n_in_phase[PDAG_ENDED];   /* samples there now */
    double phase_opened[PDAG_ENDED]; /* when the first of them came */
    double phase_seconds[PDAG_ENDED]; /* during which any sample was there */
    pdag_stop_reason worst;
    bool hashed;        /* `inputs` are known: of noise, start and statistics */
    uint64_t inputs[3];
    bool other_device; /* the part before a resume was on another kind */
    size_t resumed_samples;
} pdag_run;

/** Whether samples begin with an encode task. */
static inline bool pdag_run_encodes(const pdag_run *run)
{
    return run->setup->has_text && run->setup->conditions == NULL;
}

/* scheduler/run_samples.c */

/** Open samples while workers would otherwise have nothing to do, so that a run of
 *  many samples holds only a few in memory. */
pdag_status pdag_run_open_samples(pdag_run *run);
/** The condition is there (or not needed): make the sample. */
pdag_status pdag_run_begin_sampling(pdag_run *run, size_t index);
/** The blocks that are ready now, or what comes after the last round. */
pdag_status pdag_run_go_on(pdag_run *run, size_t index);
/** Tell of the sample's end and give its memory back. */
pdag_status pdag_run_finish_sample(pdag_run *run, size_t index);
void pdag_run_enter_phase(pdag_run *run, pdag_slot *slot, pdag_phase next);
void pdag_run_push(pdag_run *run, pdag_msg_kind kind, size_t sample,
                   uint32_t round, size_t block, size_t mix);
/** Whether the node's result is still wanted. */
bool pdag_run_wants(const pdag_run *run, const pdag_node *node);
const char *pdag_run_text_for(const pdag_text_list *list, size_t index);

/* scheduler/run_send.c */

/** Give nodes to workers as long as there are both. */
pdag_status pdag_run_dispatch(pdag_run *run);
/** An ended sample's condition leaves the workers' memory. */
pdag_status pdag_run_drop_conditions(pdag_run *run, size_t sample);

/* scheduler/run_receive.c */

/** Wait for one message, at most `seconds`, then take all that are there. */
pdag_status pdag_run_collect(pdag_run *run, double seconds);
/** Workers that are overdue: name them, give their blocks to others. */
pdag_status pdag_run_watch(pdag_run *run);

/* scheduler/run_save.c */

/** Hand a checkpoint to the sink. */
pdag_status pdag_run_save(pdag_run *run, bool last);
/** Put the run where setup->resume has left it. */
pdag_status pdag_run_resume(pdag_run *run);

static inline void pdag_run_tell(const pdag_run *run, const pdag_event *event)
{
    if (run->setup->sink.event != NULL)
        run->setup->sink.event(run->setup->sink.user, event);
}

static inline int pdag_run_rank_of(const pdag_run *run, int peer)
{
    return peer - 1 + run->setup->first_rank;
}

#endif
