#include "proto/job_fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define AT(member) .offset = offsetof(pdag_job, member)
#define PATH(member) .kind = PDAG_JOB_PATH, AT(member)
#define CHOICE(member, words)                                                 \
    .kind = PDAG_JOB_CHOICE, AT(member), .choices = words
#define FLAG(member) .kind = PDAG_JOB_FLAG, AT(member)
#define INT(member, least, most, of)                                          \
    .kind = PDAG_JOB_INT, AT(member), .low = least, .high = most, .unit = of
#define UINT(member) .kind = PDAG_JOB_UINT, AT(member)
#define REAL(member, least, most, of)                                         \
    .kind = PDAG_JOB_REAL, AT(member), .low = least, .high = most, .unit = of
#define ABOVE(member, limit, most, of)                                        \
    REAL(member, limit, most, of), .above = true

#define OF_MODEL .fallback_text = "the model's"

const pdag_job_field pdag_job_fields[] = {
    {"model.path", PATH(model.path), .fallback_text = "required",
     .meaning = "a model in the diffusers directory layout; required unless "
                "`gaussian` is given"},
    {"model.backend", CHOICE(model.backend, "auto ref onednn cuda"),
     .fallback = "auto", .meaning = "what evaluates the network"},
    {"model.precision",
     CHOICE(model.precision, "float32 bfloat16 float16 tf32"),
     .fallback = "float32",
     .meaning = "of the network; states and solver are float32 with float64 "
                "sums; `ref` has float32 only, `onednn` bfloat16 too"},
    {"model.delay_ms", REAL(model.delay_ms, 0, 1e6, "milliseconds per row"),
     .fallback = "0",
     .meaning = "extra time of every evaluation (a sleep), for scheduling "
                "benchmarks and fault tests"},
    {"model.lora", .kind = PDAG_JOB_LORAS, AT(model.lora), .low = -100,
     .high = 100,
     .meaning = "LoRA files added to the network, each with `path` and `scale` "
                "(default 1); `--set model.lora=PATH@0.7`"},
    {"gaussian.shape", .kind = PDAG_JOB_INTS, AT(gaussian.shape), .low = 1,
     .high = 16777216, .unit = "count",
     .meaning = "instead of `model.path`: the oracle, an equal mixture of "
                "Gaussians with states of this shape (1 to 3 numbers)"},
    {"gaussian.modes", INT(gaussian.modes, 1, 65536, "count"), .fallback = "1",
     .meaning = "Gaussians in the mixture; times the numbers of a state at most "
                "268435456"},
    {"gaussian.std", ABOVE(gaussian.std, 0, 1000, ""), .fallback = "0.5",
     .meaning = "deviation of every Gaussian"},
    {"gaussian.seed", UINT(gaussian.seed), .fallback = "0",
     .meaning = "draws the means, standard normal"},
    {"sampler.kind",
     CHOICE(sampler.kind,
            "ddim ddpm dpmpp-1 dpmpp-2m dpmpp-3m sde-dpmpp-1 sde-dpmpp-2m "
            "euler euler-a flow-euler pndm"),
     .fallback_text = "the model's scheduler config where available, else ddim",
     .meaning = "another kind than the model's own behaves as diffusers' "
                "`OtherScheduler.from_config` of the model's scheduler config"},
    {"sampler.steps", INT(sampler.steps, 1, 10000, "count"), .fallback = "50",
     .meaning = "N, the sampler's steps; at most the model's training steps"},
    {"sampler.eta", REAL(sampler.eta, 0, 1, ""), .fallback = "0",
     .meaning = "noise of DDIM: 0 none, 1 as much as DDPM; DDIM only"},
    {"sampler.spacing", CHOICE(sampler.spacing, "leading trailing linspace"),
     OF_MODEL, .meaning = "diffusers' `timestep_spacing`; not for flow-euler"},
    {"sampler.prediction",
     CHOICE(sampler.prediction, "epsilon sample v_prediction"), OF_MODEL,
     .meaning = "what the network predicts; diffusers' `prediction_type`; not "
                "for flow-euler"},
    {"sampler.clip", FLAG(sampler.clip), OF_MODEL,
     .meaning = "clip the predicted clean state; diffusers' `clip_sample`; "
                "ddim and ddpm only"},
    {"sampler.clip_range", ABOVE(sampler.clip_range, 0, 1e6, ""), OF_MODEL,
     .meaning = "where to clip; diffusers' `clip_sample_range`; ddim and ddpm "
                "only"},
    {"sampler.steps_offset", INT(sampler.steps_offset, 0, 10000, "count"),
     .unset = -1, OF_MODEL,
     .meaning = "added to every timestep of `leading` spacing; not for "
                "flow-euler"},
    {"sampler.set_alpha_to_one", FLAG(sampler.set_alpha_to_one), OF_MODEL,
     .meaning = "the last step's alpha-bar is 1 rather than that of timestep "
                "0; ddim and pndm only"},
    {"sampler.variance",
     CHOICE(sampler.variance, "fixed_small fixed_small_log fixed_large "
                              "fixed_large_log learned learned_range"),
     .available = "fixed_small fixed_small_log fixed_large", OF_MODEL,
     .meaning = "diffusers' `variance_type`; ddpm only"},
    {"solver.method",
     CHOICE(solver.method, "sequential picard order-k anderson "
                           "triangular-anderson secant newton"),
     .fallback = "secant",
     .meaning = "how the trajectory is solved; `sequential` is the sampler "
                "itself, one row after another"},
    {"solver.tolerance", ABOVE(solver.tolerance, 0, 1e6, ""),
     .fallback_text = "1e-3 for `error` and `residual`, 0.1 for `relative` and "
                      "`paradigms`",
     .meaning = "bound of the stop test, see `solver.stop`"},
    {"solver.stop", CHOICE(solver.stop, "error residual relative paradigms"),
     .fallback = "error",
     .meaning = "when a row may be accepted, rows in order. `error`: RMS of "
                "the residual and of the change that the sweep makes to the "
                "row; `residual`: the residual alone; `relative`: as `error`,"
                " tolerance times the step's DDPM deviation; `paradigms`: the"
                " published ParaDiGMS test"},
    {"solver.window", INT(solver.window, 0, 1e6, "rows"), .fallback = "0",
     .meaning = "rows worked on at once; 0 or N and more: all"},
    {"solver.max_rounds", INT(solver.max_rounds, 0, 1e6, "count"),
     .fallback = "0", .meaning = "rounds after which a run gives up; 0: N"},
    {"solver.history", INT(solver.history, 0, 64, "snapshots"), .unset = -1,
     .fallback_text = "4 for secant, 0 for picard and sequential, else 2",
     .meaning = "m, the newest included, so m - 1 differences; 0 and 1: none; "
                "not used by `picard` and `order-k`"},
    {"solver.order", INT(solver.order, 0, 10000, "rows"), .unset = -1,
     .fallback_text = "20 for order-k and triangular-anderson, else full",
     .meaning = "k, rows that one equation reaches back; 0: full; used by "
                "`order-k`, `anderson` and `triangular-anderson`"},
    {"solver.slope", CHOICE(solver.slope, "one sampler gaussian bands"),
     .fallback_text = "`one` for picard and sequential, `gaussian` for secant, "
                      "else `sampler`",
     .meaning = "slope of the step, by which a change of a row is carried to "
                "the next: `one`; `sampler`, with the network's output held; "
                "`gaussian`, for data of `solver.variance`; `bands`, that and "
                "what is learned on the way in frequency bands (`secant` "
                "only)"},
    {"solver.variance", ABOVE(solver.variance, 0, 1e6, ""),
     .fallback_text = "the statistics file's, else 1 for latents, 0.27 for "
                      "pixels and actions",
     .meaning = "c^2, variance of the data for the slope `gaussian`"},
    {"solver.start", CHOICE(solver.start, "copies roll gaussian trajectory"),
     .fallback_text = "`trajectory` where `solver.start_from` is given, else "
                      "`copies`",
     .meaning = "the first guess: copies of the noise; `roll`, the steps "
                "towards the clean state that one evaluation predicts; "
                "`gaussian`, those of data with the statistics' mean and "
                "variance; `trajectory`, an earlier run's, or with `environment` "
                "the plan before"},
    {"solver.start_from", PATH(solver.start_from),
     .meaning = "output folder of an earlier run with `--save-trajectory`, for "
                "`solver.start` `trajectory`"},
    {"solver.start_row", INT(solver.start_row, 0, 10000, "row"),
     .fallback = "0",
     .meaning = "rows up to it are kept from that trajectory, the rest is the "
                "first guess; 0: all is only a guess; at most N"},
    {"solver.entry", CHOICE(solver.entry, "copies held-x0"),
     .fallback = "held-x0",
     .meaning = "what a row starts from when it enters the window: a copy of "
                "the last state, or the sampler's steps towards the last "
                "predicted clean state"},
    {"solver.statistics", PATH(solver.statistics),
     .fallback_text = "the model's, if it has one",
     .meaning = "`.npy`, float32, [2, ...state]: per-element mean, then "
                "variance, of final states, for the slope and the start "
                "`gaussian`; `run --save-statistics` writes one"},
    {"solver.restart", REAL(solver.restart, 0, 1e6, "factor"),
     .fallback = "0",
     .meaning = "the solver forgets its history when a round's residual is so "
                "many times that of the round before; 0: never"},
    {"solver.measure_variance", FLAG(solver.measure_variance),
     .fallback_text = "false",
     .meaning = "`solver.variance` is measured on the sample's own first round "
                "instead"},
    {"pcm.path", PATH(pcm.path),
     .meaning = "Picard-consistency model: a LoRA file (`mixing` `weights`) or "
                "a model directory"},
    {"pcm.stiffness", ABOVE(pcm.stiffness, 0, 1000, ""), .fallback = "1",
     .meaning = "lambda(k) = max(0, 1 - stiffness k / rounds); rounds / "
                "stiffness at most 64"},
    {"pcm.rounds", INT(pcm.rounds, 1, 10000, "count"),
     .fallback = "1",
     .meaning = "K, rounds that the model was trained for"},
    {"pcm.mixing", CHOICE(pcm.mixing, "weights features"),
     .fallback = "weights",
     .meaning = "what is mixed by lambda"},
    {"pcm.scale", REAL(pcm.scale, -100, 100, ""), .fallback = "1",
     .meaning = "of the LoRA"},
    {"pcm.variance", ABOVE(pcm.variance, 0, 1e6, ""),
     .fallback_text = "`solver.variance`",
     .meaning = "c^2 of the Gaussian slope while lambda is over 0, as the model "
                "was trained"},
    {"prompt", .kind = PDAG_JOB_TEXTS, AT(prompt), .fallback_text = "\"\"",
     .meaning = "one sample for each, cycled over `samples`"},
    {"negative_prompt", .kind = PDAG_JOB_TEXTS, AT(negative_prompt),
     .fallback_text = "\"\"",
     .meaning = "what guidance leads away from; one for each sample, cycled"},
    {"class_label", .kind = PDAG_JOB_INTS, AT(class_label), .low = 0,
     .high = 2147483647, .named = true,
     .fallback_text = "no class",
     .meaning = "of class-conditional models: a class's number, or with `--set` "
                "also its name (as `inspect` shows it); one sample for each, "
                "cycled"},
    {"guidance_scale", REAL(guidance_scale, 1, 1000, ""),
     .fallback_text = "7.5 with text or classes, else 1",
     .meaning = "classifier-free guidance; 1: off"},
    {"guidance_channels", INT(guidance_channels, 0, 65536, "count"),
     .fallback = "0",
     .meaning = "the first channels of the state are guided, the others not; "
                "0: all are"},
    {"environment", CHOICE(environment, "pusht"),
     .meaning = "the task that a policy acts in, for `rollout`; other commands "
                "take its start for `seed` as what the policy sees"},
    {"seed", UINT(seed), .fallback = "0",
     .meaning = "sample j uses seed + j, each its own generator"},
    {"random", CHOICE(random, "counter torch-cpu torch-cuda"),
     .fallback = "counter",
     .meaning = "stream of random numbers: keyed by (seed + j, step, element), "
                "or torch's own generators in diffusers' order"},
    {"noise", PATH(noise),
     .meaning = "`.npy`, float32, [samples, ...state]: initial noise of unit "
                "variance, given instead of drawn"},
    {"samples", INT(samples, 1, PDAG_JOB_MAX_LIST, "count"),
     .fallback_text = "the larger of 1 and the number of prompts or class "
                      "labels",
     .meaning = "samples made"},
    {"block_rows", INT(block_rows, 1, 10000, "rows"),
     .fallback_text = "from N: N / 16 rounded down, at least 1, at most 16",
     .meaning = "rows evaluated as one batch; changes the last bits of a "
                "result, the rank count does not"},
    {"policy", CHOICE(policy, "dataflow barrier"),
     .fallback_text = "dataflow; barrier where the solver looks at later rows "
                      "(anderson, newton, restart, measure_variance)",
     .meaning = "whether a round waits for the whole round before it, or each "
                "block for what it reads; never changes a value"},
    {"output", PATH(output), .fallback = "picard-dag-out",
     .meaning = "folder of the results, also `-o`; the default is in the "
                "current folder"},
};

const size_t pdag_job_n_fields =
    sizeof pdag_job_fields / sizeof pdag_job_fields[0];

const pdag_job_field *pdag_job_field_find(const char *name)
{
    size_t i;

    for (i = 0; i < pdag_job_n_fields; i++)
        if (strcmp(pdag_job_fields[i].name, name) == 0)
            return &pdag_job_fields[i];
    return NULL;
}

size_t pdag_job_group_length(const char *name)
{
    const char *dot = strchr(name, '.');

    return dot == NULL ? 0 : (size_t)(dot - name);
}

bool pdag_job_has_word(const char *words, const char *word)
{
    size_t length = strlen(word);

    while (*words != '\0') {
        size_t n = strcspn(words, " ");

        if (n == length && strncmp(words, word, n) == 0)
            return true;
        words += n + strspn(words + n, " ");
    }
    return false;
}

char *pdag_job_word_list(const char *words)
{
    char *list = pdag_xcalloc(2 * strlen(words) + 1, 1);
    char *to = list;

    for (; *words != '\0'; words++) {
        if (*words == ' ')
            *to++ = ',';
        *to++ = *words;
    }
    return list;
}

char *pdag_job_expected(const pdag_job_field *field)
{
    char *list;
    char *text;

    switch (field->kind) {
    case PDAG_JOB_CHOICE:
        list = pdag_job_word_list(field->choices);
        text = pdag_xasprintf("one of: %s", list);
        free(list);
        return text;
    case PDAG_JOB_FLAG:
        return pdag_xstrdup("true or false");
    case PDAG_JOB_INT:
    case PDAG_JOB_INTS:
        return pdag_xasprintf("integer from %.0f to %.0f", field->low,
                              field->high);
    case PDAG_JOB_UINT:
        return pdag_xasprintf("integer from 0 to 18446744073709551615");
    case PDAG_JOB_REAL:
        return field->above ? pdag_xasprintf("number above %g, at most %.10g",
                                             field->low, field->high)
                            : pdag_xasprintf("number from %g to %.10g",
                                             field->low, field->high);
    case PDAG_JOB_LORAS:
        return pdag_xasprintf("PATH@SCALE, scale from %g to %g", field->low,
                              field->high);
    case PDAG_JOB_PATH:
    case PDAG_JOB_TEXTS:
        break;
    }
    return pdag_xstrdup("UTF-8 text");
}
