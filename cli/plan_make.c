#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/plan.h"
#include "comm/message.h"
#include "scheduler/inflight.h"
#include "solvers/solver.h"

/* cli/plan_make.c: the numbers of a plan. */

/* Nothing is worth changing a job for below this share of its time. */
#define WORTH 0.05
/* What a prediction cannot tell apart. */
#define EQUAL 0.01

/* Memory. */

static bool adds_noise(const pdag_transition *tr)
{
    for (size_t i = 0; i < tr->n_rows; i++)
        if (tr->c[i] != 0.0)
            return true;
    return false;
}

/* States that one sample holds at rank 0, as scheduler/sample_make.c and
   solvers/history.c make them. */
static double states_of_sample(const pdag_plan *plan)
{
    const pdag_transition *tr = plan->setup->transition;
    const pdag_solver_ops *solver =
        pdag_solver_find(plan->setup->job->solver.method);
    double n = (double)tr->n_rows;
    double w = (double)plan->shape.window;
    double states = n + 1 + 2 * w + 4; /* x; f and x_new; e, z, scratch */
    double history = (double)plan->setup->job->solver.history;

    if (tr->n_terms > 1)
        states += n + w;
    if (adds_noise(tr))
        states += n;
    if (solver->uses_history && history > 1)
        states += 2 * w * (history - 1);
    return states;
}

/* Sets of weights that a worker prepares: the base's and, at most, those of each
   lambda (layers that a LoRA leaves alone are shared). */
static double weight_sets(const pdag_setup *setup)
{
    if (!setup->job->pcm.present)
        return 1.0;
    return strcmp(setup->job->pcm.mixing, "features") == 0
               ? 2.0 : 1.0 + (double)setup->n_lambda;
}

static void fill_memory(pdag_plan *plan)
{
    const pdag_setup *setup = plan->setup;
    pdag_plan_memory *m = &plan->memory;
    double state = (double)setup->dim * sizeof(float);
    double block = (double)plan->shape.block_rows * (state + sizeof(float)) +
                   sizeof(pdag_msg_header);
    double open = (double)plan->result.most_open;
    double weight = setup->precision == PDAG_PRECISION_BFLOAT16 ||
                            setup->precision == PDAG_PRECISION_FLOAT16
                        ? 2.0 : 4.0;
    bool evaluates = !plan->options.dedicated;
    pdag_run_setup run;

    pdag_setup_run(setup, &run);
    m->weights = setup->has_model ? weight * (double)setup->info.n_parameters
                                  : state * (double)setup->job->gaussian.modes;
    m->weights *= weight_sets(setup);
    m->samples = open * state * states_of_sample(plan);
    if (setup->noise != NULL)
        m->samples += state * (double)setup->job->samples;
    if (setup->start != NULL)
        m->samples += state * (double)setup->job->samples *
                      (double)(setup->transition->n_rows + 1);
    m->conditions = open * (double)run.cond_floats * sizeof(float);
    /* Two tasks and an answer for each worker on each side. */
    m->messages = (PDAG_TASKS_PER_WORKER + 1) * block;
    m->rank_0 = m->samples + m->conditions + m->messages * plan->n_workers;
    m->others = m->weights + m->conditions + m->messages;
    if (evaluates)
        m->rank_0 += m->others;
    if (plan->options.n_ranks == 1)
        m->others = 0.0;
}

/* Times. */

/* A row in sequence: to a worker and back, and its update. */
static double row_in_sequence(const pdag_plan *plan)
{
    return pdag_speeds_task(&plan->alone, 1) + 2 * plan->alone.local_latency +
           plan->alone.update;
}

static pdag_status forecast(const pdag_plan *plan, const pdag_shape *shape,
                            const pdag_paths *paths, double *seconds_out)
{
    pdag_sim_result result;
    pdag_status status = pdag_forecast(plan->setup, shape, paths, &plan->speeds,
                                       plan->n_workers, plan->options.dedicated,
                                       &result);

    if (status == PDAG_OK)
        *seconds_out = result.seconds_sample;
    if (status == PDAG_OK)
        pdag_sim_result_clear(&result);
    return status;
}

static pdag_status fill_sequential(pdag_plan *plan)
{
    pdag_shape shape = plan->shape;
    pdag_paths paths;
    pdag_status status;

    shape.window = 1;
    shape.block_rows = 1;
    shape.roll = false;
    shape.max_rounds = shape.n_rows;
    plan->sequential = (double)shape.n_samples *
                       (double)pdag_shape_most_rounds(&shape) *
                       row_in_sequence(plan);
    plan->sequential_on_all = plan->sequential;
    if (shape.n_samples == 1 || plan->n_workers == 1)
        return PDAG_OK;
    status = pdag_paths_make(plan->setup, &shape, &plan->costs, 0, &paths);
    if (status != PDAG_OK)
        return status;
    status = forecast(plan, &shape, &paths, &plan->sequential_on_all);
    pdag_paths_clear(&paths);
    return status;
}

/* The choice. */

/* The job with this window and these blocks: what it comes to.  Rounds as the
   default says for a job that is as hard as this one is known to be. */
static pdag_status try_choice(const pdag_plan *plan, size_t window,
                              size_t block_rows, pdag_plan_choice *choice_out)
{
    pdag_plan_choice choice = {window, block_rows, plan->paths.rounds, 0.0};
    pdag_shape shape = plan->shape;
    pdag_paths paths;
    pdag_status status;

    shape.window = window;
    shape.block_rows = block_rows;
    shape.roll = shape.roll && window > 1;
    shape.max_rounds = shape.n_rows;
    if (window != plan->shape.window)
        choice.rounds = pdag_shape_default_rounds(
            &shape, pdag_shape_hardness(&plan->shape,
                                        (double)plan->paths.rounds));
    status = pdag_paths_make(plan->setup, &shape, &plan->costs, choice.rounds,
                             &paths);
    if (status != PDAG_OK)
        return status;
    status = forecast(plan, &shape, &paths, &choice.seconds);
    pdag_paths_clear(&paths);
    if (status == PDAG_OK)
        *choice_out = choice;
    return status;
}

/* The window that P workers of b rows fill, W = P b, for every b whose cost is
   known; all rows at once where that is.  Of equals the first, which is the
   smallest.  With a Picard-consistency model only the job's own window: rows
   outside it in the first rounds get nothing from those. */
static pdag_status choose(pdag_plan *plan)
{
    const pdag_cost *cost = &plan->speeds.cost;
    size_t n = plan->shape.n_rows;
    size_t most = cost->n_seconds > 1 ? cost->n_seconds : 1;
    pdag_status status = PDAG_OK;

    for (size_t b = 1; status == PDAG_OK && b <= most && b <= n; b++) {
        bool known = b <= cost->n_seconds && cost->seconds[b - 1] > 0.0;
        size_t windows[2] = {(size_t)plan->n_workers * b, n};

        if (windows[0] > n)
            windows[0] = n;
        if (plan->setup->job->pcm.present)
            windows[0] = windows[1] = plan->shape.window;
        for (int i = 0; status == PDAG_OK && i < (known ? 2 : 1); i++) {
            pdag_plan_choice choice;

            if ((b > 1 && !known) || (i == 1 && windows[0] == windows[1]))
                continue;
            status = try_choice(plan, windows[i], b, &choice);
            if (status == PDAG_OK && (plan->chosen.window == 0 ||
                                      choice.seconds < plan->chosen.seconds))
                plan->chosen = choice;
        }
    }
    return status;
}

/* Words. */

static void add_times(pdag_text *text, double a, const char *between, double b,
                      const char *after)
{
    pdag_plan_add_seconds(text, a);
    pdag_text_add(text, "%s", between);
    pdag_plan_add_seconds(text, b);
    pdag_text_add(text, "%s", after);
}

static void advise_sequence(const pdag_plan *plan, pdag_text *text)
{
    pdag_text_add(text, "sequential sampling is the better choice on %d worker%s",
                  plan->n_workers, plan->n_workers == 1 ? "" : "s");
    if (plan->shape.n_samples > 1)
        pdag_text_add(text, " for %zu samples", plan->shape.n_samples);
    pdag_text_add(text, ": ");
    add_times(text, plan->sequential_on_all,
              " with solver.method=sequential and ", plan->result.seconds_sample,
              " as it is");
}

static void advise_choice(const pdag_plan *plan, pdag_text *text)
{
    double now = plan->result.seconds_sample;
    const pdag_plan_choice *c = &plan->chosen;

    if (plan->sequential_on_all <= now) {
        pdag_text_add(text, "as it is, sequential sampling is faster (");
        add_times(text, plan->sequential_on_all, " and ", now, "): ");
    }
    pdag_text_add(text, "set solver.window=%zu and block_rows=%zu for about ",
                  c->window, c->block_rows);
    add_times(text, c->seconds, " instead of ", now, "");
    pdag_text_add(text, ", %.3g times as fast as in sequence",
                  plan->sequential / c->seconds);
}

static char *advise(const pdag_plan *plan)
{
    double now = plan->result.seconds_sample;
    double best = plan->chosen.seconds < now ? plan->chosen.seconds : now;
    pdag_text text = {NULL, 0, 0};

    if (now <= 0.0)
        pdag_text_add(&text, "there is nothing left to sample");
    else if (plan->shape.window == 1 && plan->sequential_on_all <= best)
        pdag_text_add(&text, "run it as it is: sequential sampling is the better "
                      "choice on %d worker%s", plan->n_workers,
                      plan->n_workers == 1 ? "" : "s");
    else if (plan->sequential_on_all <= best * (1 + EQUAL))
        advise_sequence(plan, &text);
    else if (plan->chosen.seconds < now * (1 - WORTH))
        advise_choice(plan, &text);
    else
        pdag_text_add(&text, "run it as it is: %.3g times as fast as in sequence",
                      plan->sequential / now);
    return text.at;
}

pdag_status pdag_plan_make(const pdag_setup *setup,
                           const pdag_plan_options *options,
                           pdag_plan *plan_out)
{
    pdag_plan plan;
    pdag_status status;

    memset(&plan, 0, sizeof plan);
    plan.setup = setup;
    plan.options = *options;
    plan.n_workers = options->n_ranks - (options->dedicated ? 1 : 0);
    status = pdag_shape_make(setup, &plan.shape);
    if (status != PDAG_OK)
        return status;
    plan.costs = pdag_costs_read(setup);
    plan.speeds = pdag_speeds_make(setup, &plan.costs, options->task_seconds,
                                   plan.n_workers);
    plan.alone = pdag_speeds_make(setup, &plan.costs, options->task_seconds, 1);
    status = pdag_paths_make(setup, &plan.shape, &plan.costs, options->rounds,
                             &plan.paths);
    if (status == PDAG_OK)
        status = pdag_forecast(setup, &plan.shape, &plan.paths, &plan.speeds,
                               plan.n_workers, options->dedicated, &plan.result);
    if (status == PDAG_OK)
        status = fill_sequential(&plan);
    if (status == PDAG_OK)
        status = choose(&plan);
    if (status != PDAG_OK) {
        pdag_plan_clear(&plan);
        return status;
    }
    fill_memory(&plan);
    plan.advice = advise(&plan);
    *plan_out = plan;
    return PDAG_OK;
}

void pdag_plan_clear(pdag_plan *plan)
{
    pdag_costs_clear(&plan->costs);
    pdag_paths_clear(&plan->paths);
    pdag_speeds_clear(&plan->speeds);
    pdag_speeds_clear(&plan->alone);
    pdag_sim_result_clear(&plan->result);
    free(plan->advice);
    memset(plan, 0, sizeof *plan);
}
