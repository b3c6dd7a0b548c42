#include <stdio.h>
#include <string.h>

#include "cli/plan.h"

/* cli/plan_text.c: a plan for programs and for people. */

/* JSON. */

static json_t *source_json(pdag_source source, const char *from)
{
    return json_pack("{s:s, s:s}", "source", pdag_source_text(source), "from",
                     from);
}

static const char *messages_from(const pdag_plan *plan)
{
    return plan->speeds.links_known ? "earlier runs" : "a default";
}

static const char *updates_from(const pdag_plan *plan)
{
    return plan->speeds.update > 0.0 ? "earlier runs" : "taken as nothing";
}

static pdag_source known(bool stored)
{
    return stored ? PDAG_SOURCE_STORED : PDAG_SOURCE_DEFAULT;
}

static json_t *sources_json(const pdag_plan *plan)
{
    return json_pack(
        "{s:o, s:o, s:o, s:o}", "rounds",
        source_json(plan->paths.source, plan->paths.from), "task_seconds",
        source_json(plan->speeds.source, plan->speeds.from), "messages",
        source_json(known(plan->speeds.links_known), messages_from(plan)),
        "updates", source_json(known(plan->speeds.update > 0.0),
                               updates_from(plan)));
}

static json_t *links_json(const pdag_plan *plan)
{
    json_t *links = json_array();

    for (int w = 0; w < plan->n_workers; w++) {
        const pdag_sim_load *load = &plan->result.worker[w];

        json_array_append_new(
            links,
            json_pack("{s:i, s:I, s:I, s:I, s:f}", "rank",
                      w + (plan->options.dedicated ? 1 : 0), "bytes_out",
                      (json_int_t)load->bytes_out, "bytes_in",
                      (json_int_t)load->bytes_in, "tasks",
                      (json_int_t)load->tasks, "seconds_busy", load->busy));
    }
    return links;
}

static double speedup(const pdag_plan *plan, double seconds)
{
    return seconds > 0.0 ? plan->sequential / seconds : 1.0;
}

static json_t *seconds_json(const pdag_plan *plan)
{
    const pdag_sim_result *r = &plan->result;

    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "sample",
                     r->seconds_sample, "sequential", plan->sequential,
                     "sequential_on_all", plan->sequential_on_all, "encode",
                     r->seconds_encode, "decode", r->seconds_decode, "total",
                     r->seconds, "scheduler", r->seconds_scheduler, "task",
                     pdag_speeds_task(&plan->speeds, plan->shape.block_rows),
                     "message", plan->n_workers > 1
                                    ? plan->speeds.remote_latency
                                    : plan->speeds.local_latency);
}

static json_t *memory_json(const pdag_plan_memory *m)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "rank_0",
                     (json_int_t)m->rank_0, "others", (json_int_t)m->others,
                     "weights", (json_int_t)m->weights, "samples",
                     (json_int_t)m->samples, "messages",
                     (json_int_t)m->messages, "conditions",
                     (json_int_t)m->conditions);
}

static double most_memory(const pdag_plan *plan)
{
    return plan->memory.rank_0 > plan->memory.others ? plan->memory.rank_0
                                                     : plan->memory.others;
}

json_t *pdag_plan_json(const pdag_plan *plan)
{
    const pdag_plan_choice *c = &plan->chosen;
    pdag_graph graph =
        pdag_graph_make(plan->shape.n_rows, plan->shape.block_rows);
    json_t *root = json_pack(
        "{s:i, s:i, s:I, s:I, s:I, s:I, s:o, s:f, s:f, s:I, s:o, s:I, s:s}",
        "ranks", plan->options.n_ranks, "workers", plan->n_workers, "samples",
        (json_int_t)plan->shape.n_samples, "rounds",
        (json_int_t)plan->paths.rounds, "evaluations",
        (json_int_t)plan->paths.evaluations, "tasks",
        (json_int_t)plan->result.tasks, "seconds", seconds_json(plan), "speedup",
        speedup(plan, plan->result.seconds_sample), "idle_share",
        plan->result.idle_share, "memory_bytes", (json_int_t)most_memory(plan),
        "memory", memory_json(&plan->memory), "window", (json_int_t)c->window,
        "advice", plan->advice);

    json_object_set_new(
        root, "recommended",
        json_pack("{s:I, s:I, s:I, s:f, s:f}", "window", (json_int_t)c->window,
                  "block_rows", (json_int_t)c->block_rows, "rounds",
                  (json_int_t)c->rounds, "seconds", c->seconds, "speedup",
                  speedup(plan, c->seconds)));
    json_object_set_new(
        root, "graph",
        json_pack("{s:I, s:I, s:I, s:I, s:s}", "rows", (json_int_t)graph.n_rows,
                  "blocks", (json_int_t)graph.n_blocks, "block_rows",
                  (json_int_t)graph.block_rows, "window",
                  (json_int_t)plan->shape.window, "policy",
                  plan->shape.barrier ? "barrier" : "dataflow"));
    json_object_set_new(root, "links", links_json(plan));
    json_object_set_new(root, "sources", sources_json(plan));
    if (plan->costs.note != NULL)
        json_object_set_new(root, "note", json_string(plan->costs.note));
    return root;
}

/* Text. */

void pdag_plan_add_seconds(pdag_text *text, double seconds)
{
    static const struct unit {
        double from, seconds;
        const char *name;
    } units[] = {{7200.0, 3600.0, "h"}, {120.0, 60.0, "min"}, {1.0, 1.0, "s"},
                 {1e-3, 1e-3, "ms"}, {0.0, 1e-6, "us"}};
    size_t u = 0;

    while (seconds < units[u].from)
        u++;
    pdag_text_add(text, "%.3g %s", seconds / units[u].seconds, units[u].name);
}

static void add_bytes(pdag_text *text, double bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    int u = 0;

    for (; u < 4 && bytes >= 1000.0; u++)
        bytes /= 1000.0;
    pdag_text_add(text, "%.3g %s", bytes, units[u]);
}

static void add_graph(const pdag_plan *plan, pdag_text *text)
{
    const pdag_shape *s = &plan->shape;
    pdag_graph graph = pdag_graph_make(s->n_rows, s->block_rows);

    pdag_text_add(text, "graph         %zu rows in %zu blocks of %zu, a window of "
                  "%zu, %s, %s; %zu sample%s\n", s->n_rows, graph.n_blocks,
                  s->block_rows, s->window, s->method,
                  s->barrier ? "barrier" : "dataflow", s->n_samples,
                  s->n_samples == 1 ? "" : "s");
    pdag_text_add(text, "ranks         %d, %d of which evaluate\n",
                  plan->options.n_ranks, plan->n_workers);
    pdag_text_add(text, "rounds        %zu a sample, %zu evaluations\n"
                  "              %s: %s\n", plan->paths.rounds,
                  plan->paths.evaluations, pdag_source_text(plan->paths.source),
                  plan->paths.from);
    if (plan->setup->n_lambda > 0)
        pdag_text_add(text, "              the first %zu with weights of pcm.path, "
                      "the window not moving\n", plan->setup->n_lambda);
}

static void add_times(const pdag_plan *plan, pdag_text *text)
{
    const pdag_sim_result *r = &plan->result;

    pdag_text_add(text, "one task      ");
    pdag_plan_add_seconds(
        text, pdag_speeds_task(&plan->speeds, plan->shape.block_rows));
    pdag_text_add(text, " for %zu row%s\n              %s: %s\n",
                  plan->shape.block_rows, plan->shape.block_rows == 1 ? "" : "s",
                  pdag_source_text(plan->speeds.source), plan->speeds.from);
    pdag_text_add(text, "sampling      ");
    pdag_plan_add_seconds(text, r->seconds_sample);
    pdag_text_add(text, "; in sequence ");
    pdag_plan_add_seconds(text, plan->sequential);
    pdag_text_add(text, ": %.3g times as fast\n",
                  speedup(plan, r->seconds_sample));
    pdag_text_add(text, "whole run     ");
    pdag_plan_add_seconds(text, r->seconds);
    pdag_text_add(text, " without loading; workers idle %.1f %%, scheduler busy "
                  "%.1f %%\n", 100 * r->idle_share,
                  r->seconds > 0.0 ? 100 * r->seconds_scheduler / r->seconds
                                   : 0.0);
    pdag_text_add(text, "one message   ");
    pdag_plan_add_seconds(text, plan->n_workers > 1
                                    ? plan->speeds.remote_latency
                                    : plan->speeds.local_latency);
    pdag_text_add(text, " a way: %s; updates: %s\n", messages_from(plan),
                  updates_from(plan));
}

/* The link that carries most. */
static void add_links(const pdag_plan *plan, pdag_text *text)
{
    const pdag_sim_load *most = &plan->result.worker[0];
    int rank = 0;

    for (int w = 1; w < plan->n_workers; w++) {
        const pdag_sim_load *load = &plan->result.worker[w];

        if (load->bytes_out + load->bytes_in > most->bytes_out + most->bytes_in) {
            most = load;
            rank = w;
        }
    }
    pdag_text_add(text, "each link     ");
    add_bytes(text, (double)most->bytes_out);
    pdag_text_add(text, " out, ");
    add_bytes(text, (double)most->bytes_in);
    pdag_text_add(text, " back at most (rank 0 and rank %d)\n",
                  rank + (plan->options.dedicated ? 1 : 0));
}

static void add_memory(const pdag_plan *plan, pdag_text *text)
{
    const pdag_plan_memory *m = &plan->memory;

    pdag_text_add(text, "memory        rank 0 ");
    add_bytes(text, m->rank_0);
    if (m->others > 0.0) {
        pdag_text_add(text, ", others ");
        add_bytes(text, m->others);
    }
    pdag_text_add(text, " (weights ");
    add_bytes(text, m->weights);
    pdag_text_add(text, "); activations not counted\n");
}

void pdag_plan_add_text(const pdag_plan *plan, pdag_text *text)
{
    const pdag_plan_choice *c = &plan->chosen;

    add_graph(plan, text);
    add_times(plan, text);
    add_links(plan, text);
    add_memory(plan, text);
    pdag_text_add(text, "recommended   solver.window=%zu block_rows=%zu: %zu "
                  "rounds, ", c->window, c->block_rows, c->rounds);
    pdag_plan_add_seconds(text, c->seconds);
    pdag_text_add(text, "\nadvice        %s\n", plan->advice);
}
