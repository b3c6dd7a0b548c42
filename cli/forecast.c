#include "cli/forecast.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "comm/message.h"

const char *pdag_source_text(pdag_source source)
{
    static const char *const texts[] = {"exact", "given", "stored", "nearest",
                                        "default"};

    return texts[source];
}

/* Speeds. */

/* A guess for one CPU core: what Stable Diffusion's U-Net (8.6e8 parameters on
   64 x 64 positions, about 0.8 TFLOP an evaluation) takes at 50 GFLOP/s. */
#define SECONDS_PER_WEIGHT_AND_POSITION 4.5e-12
/* The oracle's, per mode and scalar. */
#define SECONDS_PER_MODE_AND_SCALAR 2e-9
/* A message's way where it is not known: round numbers of the order that the naps
   of a waiting end give (comm/comm.c). */
#define LOCAL_SECONDS 1e-4
#define REMOTE_SECONDS 3e-4

static double guess_row_seconds(const pdag_setup *setup)
{
    const pdag_job *job = setup->job;
    double positions = 1.0;

    if (!setup->has_model)
        return SECONDS_PER_MODE_AND_SCALAR * (double)job->gaussian.modes *
               (double)setup->dim;
    for (int d = 1; d < setup->n_state_dims; d++)
        positions *= (double)setup->state_dims[d];
    return SECONDS_PER_WEIGHT_AND_POSITION * positions *
           (double)setup->info.n_parameters *
           (job->guidance_scale > 1.0 ? 2.0 : 1.0);
}

/* In proportion to the rows: nothing says what a batch saves. */
static void use_row_seconds(pdag_speeds *speeds, double row_seconds)
{
    free(speeds->cost.seconds);
    free(speeds->cost.first);
    speeds->cost.seconds = NULL;
    speeds->cost.first = NULL;
    speeds->cost.n_seconds = 0;
    speeds->cost.fixed = 0.0;
    speeds->cost.per_row = row_seconds;
}

static void fill_cost(const pdag_setup *setup, const pdag_costs *costs,
                      double task_seconds, int n_workers,
                      pdag_speeds *speeds)
{
    const pdag_job *job = setup->job;
    bool known = pdag_costs_worker(costs, setup, n_workers, &speeds->cost);

    if (task_seconds > 0.0) {
        use_row_seconds(speeds, task_seconds / (double)job->block_rows);
        speeds->source = PDAG_SOURCE_GIVEN;
        speeds->from = pdag_xstrdup("--task-seconds, in proportion to the rows");
    } else if (known) {
        speeds->source = PDAG_SOURCE_STORED;
        speeds->from = pdag_xasprintf("%zu earlier run%s of %d worker%s on %s",
                                      speeds->cost.n_runs,
                                      speeds->cost.n_runs == 1 ? "" : "s",
                                      speeds->cost.n_workers,
                                      speeds->cost.n_workers == 1 ? "" : "s",
                                      speeds->cost.device);
    } else if (job->model.delay_ms > 0.0 && !setup->has_model) {
        use_row_seconds(speeds, job->model.delay_ms / 1e3);
        speeds->source = PDAG_SOURCE_EXACT;
        speeds->from = pdag_xstrdup("model.delay_ms");
    } else {
        use_row_seconds(speeds, guess_row_seconds(setup) +
                                    job->model.delay_ms / 1e3);
        speeds->source = PDAG_SOURCE_DEFAULT;
        speeds->from = pdag_xstrdup(
            "a guess from the model's size, for one CPU core: run the job once, or "
            "give --task-seconds");
    }
}

pdag_speeds pdag_speeds_make(const pdag_setup *setup, const pdag_costs *costs,
                             double task_seconds, int n_workers)
{
    pdag_speeds speeds;
    char *ranks = pdag_xasprintf("%d", n_workers);

    memset(&speeds, 0, sizeof speeds);
    fill_cost(setup, costs, task_seconds, n_workers, &speeds);
    pdag_costs_link(costs, true, &speeds.local_latency, &speeds.local_bandwidth);
    pdag_costs_link(costs, false, &speeds.remote_latency,
                    &speeds.remote_bandwidth);
    speeds.links_known = speeds.local_latency > 0.0 &&
                         (speeds.remote_latency > 0.0 || n_workers == 1);
    if (speeds.local_latency <= 0.0)
        speeds.local_latency = LOCAL_SECONDS;
    if (speeds.remote_latency <= 0.0)
        speeds.remote_latency = REMOTE_SECONDS;
    speeds.update = pdag_costs_update(costs, setup);
    if (speeds.source == PDAG_SOURCE_STORED)
        speeds.late = pdag_costs_median(json_object_get(
            json_object_get(json_object_get(costs->root, "ready"), ranks),
            "late"));
    /* What comes and goes within a task is chance. */
    if (2 * speeds.late <
        pdag_speeds_task(&speeds, (size_t)setup->job->block_rows))
        speeds.late = 0.0;
    free(ranks);
    return speeds;
}

void pdag_speeds_clear(pdag_speeds *speeds)
{
    pdag_cost_clear(&speeds->cost);
    free(speeds->from);
    memset(speeds, 0, sizeof *speeds);
}

static pdag_sim_worker worker_of(const pdag_speeds *speeds, bool local)
{
    const pdag_cost *cost = &speeds->cost;
    pdag_sim_worker worker = {
        .n_seconds = cost->n_seconds,
        .seconds = cost->seconds,
        .first = cost->first,
        .fixed = cost->fixed,
        .per_row = cost->per_row,
        .encode = cost->encode,
        .decode = cost->decode,
        .latency = local ? speeds->local_latency : speeds->remote_latency,
        .bytes_per_second = local ? speeds->local_bandwidth
                                  : speeds->remote_bandwidth,
    };

    return worker;
}

double pdag_speeds_task(const pdag_speeds *speeds, size_t n)
{
    pdag_sim_worker worker = worker_of(speeds, true);

    return pdag_sim_task_seconds(&worker, n);
}

/* Simulations. */

/* Two texts with their zero bytes, as scheduler/run.c sends them. */
static size_t prompt_bytes(const pdag_job *job)
{
    size_t bytes = 2;

    if (job->prompt.n > 0)
        bytes += strlen(job->prompt.item[0]);
    if (job->negative_prompt.n > 0)
        bytes += strlen(job->negative_prompt.item[0]);
    return bytes;
}

void pdag_forecast_setup(const pdag_setup *setup, const pdag_shape *shape,
                         const pdag_paths *paths, const pdag_speeds *speeds,
                         int n_workers, bool dedicated,
                         pdag_sim_worker *worker_out, pdag_sim_setup *sim_out)
{
    pdag_run_setup run;

    pdag_setup_run(setup, &run);
    for (int w = 0; w < n_workers; w++) {
        worker_out[w] = worker_of(speeds, w == 0 && !dedicated);
        if (n_workers > 1) /* one after the other, the first at once */
            worker_out[w].ready_after =
                2 * speeds->late * w / (double)(n_workers - 1);
    }
    memset(sim_out, 0, sizeof *sim_out);
    sim_out->graph = pdag_graph_make(shape->n_rows, shape->block_rows);
    sim_out->n_samples = shape->n_samples;
    sim_out->n_paths = paths->n;
    sim_out->path = paths->path;
    sim_out->barrier = shape->barrier;
    sim_out->encodes = run.has_text && run.conditions == NULL;
    sim_out->decodes = run.picture_floats > 0;
    sim_out->seconds_per_row = speeds->update;
    sim_out->header_bytes = sizeof(pdag_msg_header);
    sim_out->row_bytes = setup->dim * sizeof(float);
    sim_out->condition_bytes = run.cond_floats * sizeof(float);
    sim_out->encode_bytes = prompt_bytes(setup->job);
    sim_out->decode_bytes = setup->dim * sizeof(float);
    sim_out->picture_bytes = run.picture_floats * sizeof(float);
    sim_out->n_workers = n_workers;
    sim_out->worker = worker_out;
}

pdag_status pdag_forecast(const pdag_setup *setup, const pdag_shape *shape,
                          const pdag_paths *paths, const pdag_speeds *speeds,
                          int n_workers, bool dedicated,
                          pdag_sim_result *result_out)
{
    pdag_sim_worker *worker = pdag_xcalloc((size_t)n_workers, sizeof *worker);
    pdag_sim_setup sim;
    pdag_paths one = *paths;
    pdag_status status;

    /* One sample is the typical one. */
    if (shape->n_samples == 1) {
        one.path = &paths->path[paths->n / 2];
        one.n = 1;
    }
    pdag_forecast_setup(setup, shape, &one, speeds, n_workers, dedicated, worker,
                        &sim);
    status = pdag_simulate(&sim, result_out);
    free(worker);
    return status;
}
