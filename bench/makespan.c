/* mpirun -np 4 bench/makespan -s 1,1,0.5 examples/gaussian.pb model.delay_ms=10
 *
 * Time of one run of the real scheduler and workers over the ideal, for a network
 * whose cost is a sleep; one line of CSV on stdout.  bench/makespan.sh runs a table
 * of them, bench/simgrid.sh the same program on simulated machines.
 *
 *   -d       rank 0 schedules only
 *   -s LIST  speeds of the workers, in their order: a row takes delay_ms / speed;
 *            1 where the list is too short
 *   -n       name the columns and stop
 *
 * seconds      from the first task sent to the last result taken, all workers ready
 * ideal        sum of task seconds / workers; unequal: sum of work / sum of speeds
 * graph        the same tasks in scheduler/simulate.h's virtual time: no time for
 *              messages and updates, so what the graph itself allows
 * rank0_busy   share of the time in which rank 0 was not waiting for messages */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bench/star.h"
#include "scheduler/simulate.h"

typedef struct options {
    bool dedicated;
    const char *speeds; /* "" where none */
    const char *job;
    size_t n_set;
    const char *const *set;
} options;

/* Windows of every sample's rounds, as they ended. */
typedef struct record {
    pdag_sim_path *path;    /* [n_samples] */
    pdag_sim_round **round; /* [n_samples], owned; what the paths borrow */
    size_t rounds, evaluations;
    pdag_stop_reason stop;
} record;

static void usage(void)
{
    fputs("usage: bench/makespan [-d] [-s SPEEDS] JOB [FIELD=VALUE ...]\n"
          "       bench/makespan -n\n", stderr);
    exit(2);
}

static void name_columns(void)
{
    puts("ranks,workers,speeds,delay_ms,policy,method,steps,window,block_rows,"
         "samples,rounds,evaluations,tasks,messages,bytes,seconds,ideal,graph,"
         "over_ideal,over_graph,rank0_busy");
    exit(0);
}

static options parse(int argc, char **argv)
{
    options o = {false, "", NULL, 0, NULL};
    int i = 1;

    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "-d") == 0)
            o.dedicated = true;
        else if (strcmp(argv[i], "-n") == 0)
            name_columns();
        else if (strcmp(argv[i], "-s") == 0 && i + 1 < argc)
            o.speeds = argv[++i];
        else
            usage();
    }
    if (i == argc)
        usage();
    o.job = argv[i++];
    o.n_set = (size_t)(argc - i);
    o.set = (const char *const *)(argv + i);
    return o;
}

static double speed_of(const char *list, int worker)
{
    for (int i = 0; *list != '\0'; i++) {
        char *rest;
        double speed = strtod(list, &rest);

        if (rest == list || !(speed > 0.0))
            usage();
        if (i == worker)
            return speed;
        list = *rest == ',' ? rest + 1 : rest;
    }
    return 1.0;
}

static pdag_status sample_done(void *user, const pdag_sample_result *result)
{
    record *r = user;
    pdag_sim_path *path = &r->path[result->index];
    pdag_sim_round *round = pdag_xcalloc(result->n_history, sizeof *round);

    for (size_t k = 0; k < result->n_history; k++) {
        const pdag_round_record *h = &result->history[k];

        round[k].begin = h->begin;
        round[k].end = h->begin + h->n;
    }
    path->n_rounds = result->n_history;
    r->round[result->index] = round;
    path->round = round;
    path->final = result->n_rows;
    r->rounds += result->rounds;
    r->evaluations += result->evaluations;
    r->stop = result->stop;
    return PDAG_OK;
}

/* What the graph allows with workers as fast as these were. */
static double graph_seconds(const star *s, const record *r)
{
    const star_probe *p = s->probe;
    pdag_sim_worker *worker =
        pdag_xcalloc((size_t)p->comm.n_workers, sizeof *worker);
    pdag_sim_setup setup;
    pdag_sim_result result;
    double seconds;

    memset(&setup, 0, sizeof setup);
    for (int w = 0; w < p->comm.n_workers; w++)
        if (p->load[w].rows > 0)
            worker[w].per_row =
                p->load[w].seconds / (double)p->load[w].rows;
        else
            worker[w].per_row = s->setup.job->model.delay_ms * 1e-3;
    setup.graph = pdag_graph_make(s->setup.transition->n_rows,
                                  (size_t)s->setup.job->block_rows);
    setup.n_samples = setup.n_paths = (size_t)s->setup.job->samples;
    setup.path = r->path;
    setup.barrier = strcmp(s->setup.job->policy, "barrier") == 0;
    setup.n_workers = p->comm.n_workers;
    setup.worker = worker;
    star_must(pdag_simulate(&setup, &result));
    seconds = result.seconds;
    pdag_sim_result_clear(&result);
    free(worker);
    return seconds;
}

static double ideal_seconds(const star *s, const char *speeds)
{
    double work = 0.0;
    double speed = 0.0;

    for (int w = 0; w < s->probe->comm.n_workers; w++) {
        work += s->probe->load[w].seconds * speed_of(speeds, w);
        speed += speed_of(speeds, w);
    }
    return work / speed;
}

static void print(const star *s, const options *o, const record *r)
{
    const pdag_job *job = s->setup.job;
    const star_probe *p = s->probe;
    double seconds = p->last_taken - p->first_sent;
    double ideal = ideal_seconds(s, o->speeds);
    double graph = graph_seconds(s, r);
    size_t tasks = 0;
    bool equal = true;

    for (int w = 0; w < p->comm.n_workers; w++) {
        tasks += p->load[w].tasks;
        if (speed_of(o->speeds, w) < speed_of(o->speeds, 0) ||
            speed_of(o->speeds, w) > speed_of(o->speeds, 0))
            equal = false;
    }
    printf("%d,%d,%s,%g,%s,%s,%lld,%lld,%lld,%lld,%zu,%zu,%zu,%zu,%zu,%.6f,%.6f,"
           "%.6f,%.4f,%.4f,%.4f\n",
           s->size, p->comm.n_workers, equal ? "equal" : "unequal",
           job->model.delay_ms, job->policy, job->solver.method,
           (long long)job->sampler.steps, (long long)job->solver.window,
           (long long)job->block_rows, (long long)job->samples, r->rounds,
           r->evaluations, tasks, p->messages, p->bytes, seconds, ideal, graph,
           seconds / ideal, seconds / graph, p->busy / seconds);
}

static void schedule(star *s, const options *o)
{
    size_t n = (size_t)s->setup.job->samples;
    pdag_run_setup run;
    pdag_run_result result;
    record r;

    memset(&r, 0, sizeof r);
    r.path = pdag_xcalloc(n, sizeof *r.path);
    r.round = pdag_xcalloc(n, sizeof *r.round);
    star_gather(s, &run);
    run.sink.user = &r;
    run.sink.sample_done = sample_done;
    star_must(pdag_scheduler_run(&run, &s->probe->comm, &result));
    pdag_run_result_clear(&result);
    star_dismiss(s);
    print(s, o, &r);
    for (size_t i = 0; i < n; i++)
        free(r.round[i]);
    free(r.round);
    free(r.path);
    star_clear(s);
}

int main(int argc, char **argv)
{
    options o = parse(argc, argv);
    star s;

    star_open(o.job, o.n_set, o.set, o.dedicated, &s);
    s.config.pipeline.delay_ms /=
        speed_of(o.speeds, s.dedicated ? s.rank - 1 : s.rank);
    if (s.rank > 0)
        return star_work(&s);
    schedule(&s, &o);
    return 0;
}
