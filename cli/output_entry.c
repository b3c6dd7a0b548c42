#include <math.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/output.h"

/* cli/output_entry.c: what run.json says of one sample. */

/* Of one sample: a sequential run of 10000 steps would be 100 million entries,
   nearly all null; and of all samples, since they stay in memory until the end. */
#define MOST_HISTORY 2000000
#define MOST_OF_ALL 8000000

/* Residuals of all rounds as rows of N numbers, null where not evaluated; empty
   where that were too many. */
static json_t *history_json(pdag_output *o, const pdag_sample_result *r)
{
    json_t *rounds = json_array();
    size_t n = r->n_history * r->n_rows;

    if (n > MOST_HISTORY || o->n_residuals + n > MOST_OF_ALL)
        return rounds;
    o->n_residuals += n;
    for (size_t k = 0; k < r->n_history; k++) {
        const pdag_round_record *record = &r->history[k];
        json_t *row = json_array();

        for (size_t i = 0; i < r->n_rows; i++) {
            bool there = i >= record->begin && i < record->begin + record->n &&
                         isfinite(record->residual[i - record->begin]);

            json_array_append_new(
                row, there ? json_real(record->residual[i - record->begin])
                           : json_null());
        }
        json_array_append_new(rounds, row);
    }
    return rounds;
}

/* JSON integers here are signed: larger seeds are texts, as in the job. */
json_t *pdag_output_seed_json(uint64_t seed)
{
    char text[24];

    if (seed <= INT64_MAX)
        return json_integer((json_int_t)seed);
    snprintf(text, sizeof text, "%llu", (unsigned long long)seed);
    return json_string(text);
}

json_t *pdag_output_entry(pdag_output *o, const pdag_sample_result *r,
                          const char *image, const char *state)
{
    json_t *residuals = json_array();
    json_t *sample;
    const char *names;
    int64_t label;

    for (size_t i = 0; i < r->n_rows; i++)
        json_array_append_new(residuals, isfinite(r->residual_rms[i])
                                             ? json_real(r->residual_rms[i])
                                             : json_null());
    sample = json_pack(
        "{s:I, s:o, s:s, s:s, s:I, s:I, s:o, s:o, s:s?, s:s?, s:{s:f, s:f, s:f}}",
        "index", (json_int_t)r->index, "seed", pdag_output_seed_json(r->seed),
        "prompt", r->prompt, "stop", pdag_stop_reason_text(r->stop), "rounds",
        (json_int_t)r->rounds, "evaluations", (json_int_t)r->evaluations,
        "residual_rms", residuals, "residual_history", history_json(o, r), "image",
        image, "state", state, "seconds", "encode", r->seconds_encode, "sample",
        r->seconds_sample, "decode", r->seconds_decode);
    if (!pdag_setup_class(o->setup, r->index, &label, &names))
        return sample;
    json_object_set_new(sample, "class_label", json_integer(label));
    json_object_set_new(sample, "class_name", json_string(names));
    return sample;
}
