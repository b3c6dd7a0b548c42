#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/compare.h"
#include "cli/files.h"
#include "cli/measure.h"

/* cli/compare_record.c: one run looked at round by round.  Final states are kept
   while the run goes on and decoded after it; only numbers, and small pictures of
   the first case, stay. */

#define DECODED_AT_ONCE 16 /* pictures of full size in memory */
#define SMALL_SIDE 128     /* pixels */

/* What the callbacks write. */
typedef struct recorder {
    pdag_compare_run *run;
    size_t n_rows, dim;
    bool keep_map;
    bool one_more;      /* the stop rule takes the first failing row too, since its
                           input passed */
    double *last;       /* [N] residual each row was last seen with, or infinity */
    size_t begin;       /* of the window last seen */
    bool any;           /* it was seen */
    size_t *state_of;   /* [n_round] index of x_N in `state`, or NO_STATE */
    size_t n_states;
    float **state;      /* [n_states], different ones */
} recorder;

#define NO_STATE SIZE_MAX

void pdag_compare_run_clear(pdag_compare_run *run)
{
    for (size_t k = 0; k < run->n_round; k++)
        free(run->round[k].picture);
    free(run->round);
    free(run->map);
    memset(run, 0, sizeof *run);
}

static void recorder_clear(recorder *r)
{
    for (size_t i = 0; i < r->n_states; i++)
        free(r->state[i]);
    free(r->state);
    free(r->state_of);
    free(r->last);
    memset(r, 0, sizeof *r);
}

/* While the run goes on. */

/* Rounds 1..n have an entry.  A round that nothing was told of, such as a probe of
   Newton's or a start's own evaluation, leaves the state as it was. */
static void open_rounds(recorder *r, size_t n)
{
    pdag_compare_run *run = r->run;

    if (n <= run->n_round)
        return;
    run->round = pdag_xrealloc(run->round, n, sizeof *run->round);
    r->state_of = pdag_xrealloc(r->state_of, n, sizeof *r->state_of);
    if (r->keep_map)
        run->map = pdag_xrealloc(run->map, n * r->n_rows, sizeof *run->map);
    for (size_t k = run->n_round; k < n; k++) {
        run->round[k] = (pdag_compare_round){NAN, NAN, NAN, NULL};
        r->state_of[k] = k > 0 ? r->state_of[k - 1] : NO_STATE;
        for (size_t i = 0; r->keep_map && i < r->n_rows; i++)
            run->map[k * r->n_rows + i] = NAN;
    }
    run->n_round = n;
}

/* Rows up to the new begin were accepted after the round before.  The first of
   them was exact, everything before it being final. */
static void accept_rows(recorder *r, size_t begin)
{
    if (!r->any) /* kept from the trajectory that was given */
        memset(r->last, 0, begin * sizeof *r->last);
    else if (begin > r->begin)
        r->last[r->begin] = 0.0;
    if (r->any && r->one_more && begin > r->begin)
        r->last[begin - 1] = 0.0;
    r->begin = begin;
    r->any = true;
}

static bool all_within(const recorder *r, size_t begin)
{
    for (size_t i = 0; i < r->n_rows; i++)
        if (i != begin && !(r->last[i] <= PDAG_CRITERION_A_RESIDUAL))
            return false;
    return true;
}

/* x_N of this round, kept once while it stays the same. */
static pdag_status keep_state(recorder *r, size_t k, const float *state)
{
    size_t bytes = r->dim * sizeof *state;
    void *memory;
    pdag_status status;

    if (r->n_states > 0 && memcmp(r->state[r->n_states - 1], state, bytes) == 0) {
        r->state_of[k] = r->n_states - 1;
        return PDAG_OK;
    }
    status = pdag_alloc_tensor(r->dim, sizeof *state, "final state", &memory);
    if (status != PDAG_OK)
        return status;
    memcpy(memory, state, bytes);
    r->state = pdag_xrealloc(r->state, r->n_states + 1, sizeof *r->state);
    r->state[r->n_states] = memory;
    r->state_of[k] = r->n_states++;
    return PDAG_OK;
}

static pdag_status round_done(void *user, const pdag_round_state *s)
{
    recorder *r = user;
    pdag_compare_run *run = r->run;
    size_t k = s->round - 1;
    double most = 0.0;

    open_rounds(r, s->round);
    accept_rows(r, s->begin);
    for (size_t i = 0; i < s->n; i++) {
        r->last[s->begin + i] = s->residual[i];
        most = fmax(most, s->residual[i]);
        if (run->map != NULL)
            run->map[k * r->n_rows + s->begin + i] = (float)s->residual[i];
    }
    run->round[k].residual = most;
    if (run->reached[PDAG_CRITERION_A] == 0 && all_within(r, s->begin))
        run->reached[PDAG_CRITERION_A] = s->round;
    return s->n_set == s->n_rows + 1
               ? keep_state(r, k, s->trajectory + s->n_rows * s->dim)
               : PDAG_OK;
}

static pdag_status sample_done(void *user, const pdag_sample_result *s)
{
    recorder *r = user;
    pdag_compare_run *run = r->run;

    run->stop = s->stop;
    run->rounds = s->rounds;
    run->evaluations = s->evaluations;
    run->seconds = s->seconds_sample;
    if (s->stop == PDAG_STOPPED_FAILED || s->rounds == 0)
        return PDAG_OK;
    open_rounds(r, s->rounds);
    accept_rows(r, s->stop == PDAG_STOPPED_MAX_ROUNDS ? r->begin : r->n_rows);
    if (run->reached[PDAG_CRITERION_A] == 0 && all_within(r, r->n_rows))
        run->reached[PDAG_CRITERION_A] = s->rounds;
    return PDAG_OK;
}

/* After it. */

pdag_status pdag_compare_small_picture(const pdag_pipeline_info *info,
                                       const float *picture, char **text_out)
{
    size_t height = info->picture_height;
    size_t width = info->picture_width;
    size_t channels = info->picture_channels;
    size_t longest = height > width ? height : width;
    size_t by = (longest + SMALL_SIDE - 1) / SMALL_SIDE;
    size_t h = height / by;
    size_t w = width / by;
    float *small = pdag_xcalloc(h * w * channels, sizeof *small);
    pdag_text text = {NULL, 0, 0};
    void *bytes;
    size_t n_bytes;
    pdag_status status;

    /* Means of squares of `by` pixels; what is left at the edges is cut off. */
    for (size_t y = 0; y < h * by; y++)
        for (size_t k = 0; k < w * by * channels; k++) {
            size_t to = (y / by * w + k / channels / by) * channels + k % channels;

            small[to] += picture[y * width * channels + k] / (float)(by * by);
        }
    status = pdag_png_encode(small, h, w, channels, &bytes, &n_bytes);
    free(small);
    if (status != PDAG_OK)
        return status;
    pdag_text_add_base64(&text, bytes, n_bytes);
    free(bytes);
    *text_out = text.at;
    return PDAG_OK;
}

/* PSNR, and the picture where it is kept, for every round with this state. */
static pdag_status note_picture(const pdag_compare *c, const recorder *r,
                                const pdag_reference *reference, size_t state,
                                const float *picture)
{
    pdag_compare_run *run = r->run;
    double psnr = pdag_psnr(c->picture_floats, picture, reference->picture);
    pdag_status status = PDAG_OK;

    for (size_t k = 0; status == PDAG_OK && k < run->n_round; k++) {
        if (r->state_of[k] != state)
            continue;
        run->round[k].psnr = psnr;
        if (r->keep_map)
            status = pdag_compare_small_picture(&c->setup.info, picture,
                                                &run->round[k].picture);
    }
    return status;
}

/* States at .. at + n - 1.  One that has no finite picture, of a method that went
   astray on its way, has none here either; the others are found by themselves. */
static pdag_status decode_some(const pdag_compare *c, pdag_session *session,
                               pdag_run_setup *setup, const recorder *r,
                               const pdag_reference *reference, size_t at,
                               size_t n, float *pictures)
{
    const float *states[DECODED_AT_ONCE] = {NULL};
    pdag_status status;

    for (size_t i = 0; i < n; i++)
        states[i] = r->state[at + i];
    status = pdag_session_decode(session, setup, n, states, pictures);
    if (status == PDAG_ERR_NAN && n == 1)
        return PDAG_OK;
    if (status == PDAG_ERR_NAN) {
        status = PDAG_OK;
        for (size_t i = 0; status == PDAG_OK && i < n; i++)
            status = decode_some(c, session, setup, r, reference, at + i, 1,
                                 pictures);
        return status;
    }
    for (size_t i = 0; status == PDAG_OK && i < n; i++)
        status = note_picture(c, r, reference, at + i,
                              pictures + i * c->picture_floats);
    return status;
}

static pdag_status decode_states(const pdag_compare *c, pdag_session *session,
                                 pdag_run_setup *setup, const recorder *r,
                                 const pdag_reference *reference)
{
    void *pictures;
    pdag_status status;

    if (c->picture_floats == 0)
        return PDAG_OK;
    status = pdag_alloc_tensor(DECODED_AT_ONCE * c->picture_floats,
                               sizeof(float), "pictures", &pictures);
    if (status != PDAG_OK)
        return status;
    for (size_t at = 0; status == PDAG_OK && at < r->n_states;
         at += DECODED_AT_ONCE) {
        size_t n = r->n_states - at;

        status = decode_some(c, session, setup, r, reference, at,
                             n < DECODED_AT_ONCE ? n : DECODED_AT_ONCE,
                             pictures);
    }
    free(pictures);
    return status;
}

/* First round of the last stretch without a break; 0: the last one fails. */
static size_t from_here_on(const pdag_compare_run *run,
                           bool (*holds)(const pdag_compare_round *, double),
                           double bound)
{
    size_t k = run->n_round;

    while (k > 0 && holds(&run->round[k - 1], bound))
        k--;
    return k < run->n_round ? k + 1 : 0;
}

static bool error_at_most(const pdag_compare_round *round, double bound)
{
    return round->error <= bound;
}

static bool psnr_at_least(const pdag_compare_round *round, double bound)
{
    return round->psnr >= bound;
}

static void count_rounds(const recorder *r, const pdag_reference *reference)
{
    pdag_compare_run *run = r->run;

    for (size_t k = 0; k < run->n_round; k++)
        if (r->state_of[k] != NO_STATE)
            run->round[k].error = pdag_relative_rms_error(
                r->dim, r->state[r->state_of[k]], reference->state);
    run->reached[PDAG_CRITERION_B] =
        from_here_on(run, error_at_most, PDAG_CRITERION_B_ERROR);
    run->reached[PDAG_CRITERION_30DB] = from_here_on(run, psnr_at_least, 30.0);
    run->reached[PDAG_CRITERION_40DB] = from_here_on(run, psnr_at_least, 40.0);
}

static bool takes_one_more(const pdag_job *job)
{
    return strcmp(job->solver.stop, "relative") == 0 ||
           strcmp(job->solver.stop, "paradigms") == 0;
}

static pdag_status recorder_open(const pdag_compare *c, const pdag_setup *setup,
                                 recorder *r)
{
    void *memory;
    pdag_status status =
        pdag_alloc_tensor(c->n_rows, sizeof *r->last, "residuals", &memory);

    if (status != PDAG_OK)
        return status;
    r->n_rows = c->n_rows;
    r->dim = c->dim;
    r->one_more = takes_one_more(setup->job);
    r->last = memory;
    for (size_t i = 0; i < r->n_rows; i++)
        r->last[i] = INFINITY;
    return PDAG_OK;
}

pdag_status pdag_compare_record(pdag_compare *c, pdag_session *session,
                                size_t which, size_t case_index,
                                const pdag_reference *reference)
{
    const pdag_compare_case *place = &c->cases[case_index];
    pdag_compare_solver *solver = &c->solver[which];
    pdag_run_setup setup;
    pdag_job job;
    recorder r;
    pdag_status status;

    memset(&r, 0, sizeof r);
    r.run = &solver->run[case_index];
    r.keep_map = case_index == 0;
    status = recorder_open(c, &solver->setup, &r);
    if (status != PDAG_OK)
        return status;
    pdag_session_one_sample(&solver->setup, place->prompt, place->more_seed,
                            &job, &setup);
    setup.picture_floats = 0; /* decoded below, round by round */
    setup.sink.user = &r;
    setup.sink.sample_done = sample_done;
    setup.sink.round_done = round_done;
    status = pdag_session_run(session, &setup);
    if (status == PDAG_ERR_NAN) {
        r.run->stop = PDAG_STOPPED_FAILED;
        memset(r.run->reached, 0, sizeof r.run->reached);
        status = PDAG_OK;
    } else if (status == PDAG_OK) {
        setup.picture_floats = c->picture_floats;
        status = decode_states(c, session, &setup, &r, reference);
        count_rounds(&r, reference);
    }
    recorder_clear(&r);
    return status;
}

/* The reference. */

static pdag_status reference_done(void *user, const pdag_sample_result *s)
{
    pdag_reference *r = user;

    memcpy(r->state, s->trajectory + s->n_rows * s->dim,
           s->dim * sizeof *r->state);
    if (s->picture != NULL && r->picture != NULL)
        memcpy(r->picture, s->picture, r->picture_floats * sizeof *r->picture);
    return PDAG_OK;
}

pdag_status pdag_compare_reference(pdag_compare *c, pdag_session *session,
                                   size_t case_index, pdag_reference *out)
{
    const pdag_compare_case *place = &c->cases[case_index];
    pdag_reference r = {c->picture_floats, NULL, NULL};
    pdag_run_setup setup;
    pdag_job job;
    void *memory;
    pdag_status status =
        pdag_alloc_tensor(c->dim, sizeof(float), "reference", &memory);

    if (status != PDAG_OK)
        return status;
    r.state = memory;
    if (c->picture_floats > 0) {
        status = pdag_alloc_tensor(c->picture_floats, sizeof(float), "picture",
                                   &memory);
        if (status == PDAG_OK)
            r.picture = memory;
    }
    pdag_session_one_sample(&c->sequential, place->prompt, place->more_seed,
                            &job, &setup);
    setup.sink.user = &r;
    setup.sink.sample_done = reference_done;
    if (status == PDAG_OK)
        status = pdag_session_run(session, &setup);
    if (status == PDAG_OK && case_index == 0 && r.picture != NULL)
        status = pdag_compare_small_picture(&c->setup.info, r.picture,
                                            &c->reference_picture);
    if (status == PDAG_OK)
        *out = r;
    else
        pdag_reference_clear(&r);
    return status;
}

void pdag_reference_clear(pdag_reference *reference)
{
    free(reference->state);
    free(reference->picture);
    memset(reference, 0, sizeof *reference);
}
