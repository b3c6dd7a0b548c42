/* cli/trace: made-up runs, whose trace.json is read back: every task once, on its
   lane and in its time whatever the worker's clock says; arrows that begin and end
   in spans; names that JSON has to quote. */
#include <check.h>
#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/trace.h"
#include "tests/temporary.h"

#define MOST_WORKERS 5
#define MOST_SPANS 4000
#define BEGAN 5000.0 /* of the run, scheduler's clock */

static char folder[TEMPORARY_BYTES];

static unsigned long long state = 20260721;

static double uniform(void)
{
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (double)(state >> 11) / 9007199254740992.0;
}

/* The trace's file, read back and removed with its folder. */
static json_t *written(const pdag_trace *trace, size_t n_workers,
                       const pdag_worker_info *worker)
{
    char *path = pdag_xasprintf("%s/trace.json", folder);
    json_error_t error;
    json_t *root;
    pdag_status status = pdag_trace_write(trace, folder, n_workers, worker);

    ck_assert_msg(status == PDAG_OK, "%s", pdag_error_text());
    root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(root != NULL, "line %d: %s", error.line, error.text);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(folder), 0); /* and nothing else is in it */
    free(path);
    return root;
}

static const char *word(const json_t *event, const char *key)
{
    const char *text = json_string_value(json_object_get(event, key));

    return text != NULL ? text : "";
}

static double number(const json_t *event, const char *key)
{
    json_t *value = json_object_get(event, key);

    ck_assert_msg(json_is_number(value), "no number '%s' in %s", key,
                  json_dumps(event, 0));
    return json_number_value(value);
}

static size_t count(const json_t *root, const char *phase, const char *name)
{
    json_t *event;
    size_t i;
    size_t n = 0;

    json_array_foreach(json_object_get(root, "traceEvents"), i, event)
        n += strcmp(word(event, "ph"), phase) == 0 &&
             (name == NULL || strcmp(word(event, "name"), name) == 0);
    return n;
}

/* Spans. */

typedef struct span {
    double begin, end;
    int pid, tid;
    const json_t *event;
} span;

typedef struct spans {
    size_t n;
    span at[MOST_SPANS];
} spans;

static int by_lane(const void *a, const void *b)
{
    const span *p = a;
    const span *q = b;

    if (p->pid != q->pid)
        return p->pid < q->pid ? -1 : 1;
    if (p->tid != q->tid)
        return p->tid < q->tid ? -1 : 1;
    return (p->begin > q->begin) - (p->begin < q->begin);
}

static void take_span(spans *s, const json_t *event, double begin, double end)
{
    ck_assert_uint_lt(s->n, MOST_SPANS);
    ck_assert_double_ge(begin, 0.0);
    ck_assert_double_ge(end, begin);
    s->at[s->n++] = (span){begin, end, (int)number(event, "pid"),
                           (int)number(event, "tid"), event};
}

/* All of them, X and pairs of B and E, which are written one after the other; none
   overlaps another of its lane. */
static void take_spans(const json_t *root, spans *s)
{
    json_t *events = json_object_get(root, "traceEvents");
    json_t *event;
    size_t i;

    s->n = 0;
    json_array_foreach(events, i, event) {
        const char *phase = word(event, "ph");

        if (strcmp(phase, "X") == 0) {
            take_span(s, event, number(event, "ts"),
                      number(event, "ts") + number(event, "dur"));
        } else if (strcmp(phase, "B") == 0) {
            json_t *close = json_array_get(events, i + 1);

            ck_assert_str_eq(word(close, "ph"), "E");
            ck_assert(number(close, "tid") == number(event, "tid"));
            ck_assert(number(close, "pid") == number(event, "pid"));
            take_span(s, event, number(event, "ts"), number(close, "ts"));
        }
    }
    ck_assert_uint_eq(count(root, "B", NULL), count(root, "E", NULL));
    qsort(s->at, s->n, sizeof *s->at, by_lane);
    for (size_t k = 1; k < s->n; k++)
        if (s->at[k].pid == s->at[k - 1].pid && s->at[k].tid == s->at[k - 1].tid)
            ck_assert_msg(s->at[k].begin >= s->at[k - 1].end - 2e-4,
                          "%s of rank %d begins %.3f us, before %.3f",
                          word(s->at[k].event, "name"), s->at[k].pid,
                          s->at[k].begin, s->at[k - 1].end);
}

static const span *span_at(const spans *s, const json_t *point)
{
    double ts = number(point, "ts");
    int pid = (int)number(point, "pid");
    int tid = (int)number(point, "tid");

    for (size_t k = 0; k < s->n; k++)
        if (s->at[k].pid == pid && s->at[k].tid == tid &&
            s->at[k].begin <= ts + 1e-9 && ts <= s->at[k].end + 1e-9)
            return &s->at[k];
    ck_abort_msg("an arrow (%s, rank %d, lane %d) is in no span",
                 word(point, "ph"), pid, tid);
}

/* Every arrow begins once, ends once, in this order and inside spans: that of its
   task, and at its end that of the update of the same node. */
static void check_arrows(const json_t *root, const spans *s, size_t n_tasks)
{
    json_t **begin = pdag_xcalloc(n_tasks + 1, sizeof *begin);
    json_t **end = pdag_xcalloc(n_tasks + 1, sizeof *end);
    json_t *event;
    size_t i;

    json_array_foreach(json_object_get(root, "traceEvents"), i, event) {
        const char *phase = word(event, "ph");
        json_t **list = strcmp(phase, "s") == 0   ? begin
                        : strcmp(phase, "f") == 0 ? end : NULL;
        size_t id;

        if (list == NULL && strcmp(phase, "t") != 0)
            continue;
        id = (size_t)number(event, "id");
        ck_assert(id >= 1 && id <= n_tasks);
        span_at(s, event);
        if (list != NULL) {
            ck_assert_ptr_null(list[id]);
            list[id] = event;
        } else {
            const json_t *args =
                json_object_get(span_at(s, event)->event, "args");
            char *update = pdag_xasprintf("U(%d,%d)", (int)number(args, "round"),
                                          (int)number(args, "block"));

            ck_assert_str_eq(word(span_at(s, event)->event, "ph"), "X");
            ck_assert_double_ge(number(event, "ts"), number(begin[id], "ts"));
            /* The end is the next event of the file. */
            json_t *taken = json_array_get(json_object_get(root, "traceEvents"),
                                           i + 1);

            ck_assert_str_eq(word(taken, "ph"), "f");
            ck_assert_str_eq(word(span_at(s, taken)->event, "name"), update);
            ck_assert_double_ge(number(taken, "ts"), number(event, "ts"));
            free(update);
        }
    }
    for (size_t id = 1; id <= n_tasks; id++) {
        ck_assert_ptr_nonnull(begin[id]);
        ck_assert_ptr_nonnull(end[id]);
    }
    free(end);
    free(begin);
}

/* A run. */

typedef struct run {
    pdag_trace *trace;
    int n_workers;
    double clock[MOST_WORKERS]; /* what a worker's clock shows less ours */
    double least;               /* latency of a message, seconds */
    double now[MOST_WORKERS];   /* when its last task ended, our clock */
    double scheduler;           /* when the last update ended */
    double true_began[MOST_SPANS];
    size_t n_tasks;
    char *truth[MOST_SPANS]; /* "rank/name/sample" of task i */
} run;

static void make_run(run *r, int n_workers, double least)
{
    memset(r, 0, sizeof *r);
    r->trace = pdag_trace_create(0, BEGAN);
    r->n_workers = n_workers;
    r->least = least;
    r->scheduler = BEGAN + 0.01;
    for (int w = 0; w < n_workers; w++)
        r->now[w] = BEGAN + 0.01;
    temporary_folder(folder);
}

static void end_run(run *r)
{
    pdag_trace_destroy(r->trace);
    for (size_t i = 0; i < r->n_tasks; i++)
        free(r->truth[i]);
}

/* One task of worker w, and where it is one, its update. */
static void do_task(run *r, int w, pdag_msg_kind kind, uint32_t sample,
                    uint32_t round, uint32_t block)
{
    pdag_event e = {.kind = PDAG_EVENT_TASK, .task = kind, .peer = w + 1,
                    .sample = sample, .round = round, .block = block,
                    .first_row = 4 * block, .n_rows = 4, .bytes_out = 1000,
                    .bytes_in = (size_t)1 << 40};
    double began;

    e.sent = fmax(r->scheduler, r->now[w] - 0.001 * uniform());
    began = fmax(e.sent + r->least * (1.0 + uniform()), r->now[w]);
    e.worker_seconds = 0.0002 + 0.003 * uniform();
    e.worker_began = began + r->clock[w];
    r->now[w] = began + e.worker_seconds;
    e.time = r->now[w] + r->least * (1.0 + uniform());
    if (uniform() < 0.25)
        e.time += 0.005 * uniform(); /* the scheduler was busy */
    pdag_trace_event(r->trace, &e);
    r->true_began[r->n_tasks] = began;
    r->truth[r->n_tasks++] =
        kind == PDAG_MSG_TASK
            ? pdag_xasprintf("%d/E(%u,%u)/%u", w, round, block, sample)
            : pdag_xasprintf("%d/%s/%u", w,
                             kind == PDAG_MSG_ENCODE ? "encode" : "decode", sample);
    if (kind != PDAG_MSG_TASK)
        return;
    e.kind = PDAG_EVENT_UPDATE;
    e.began = fmax(e.time, r->scheduler);
    e.time = r->scheduler = e.began + 1e-5 * uniform();
    pdag_trace_event(r->trace, &e);
}

static void do_sample(run *r, uint32_t sample, uint32_t rounds, uint32_t blocks)
{
    pdag_event e = {.kind = PDAG_EVENT_ROUND, .sample = sample};

    do_task(r, 0, PDAG_MSG_ENCODE, sample, 0, 0);
    for (uint32_t k = 0; k < rounds; k++) {
        for (uint32_t b = 0; b < blocks; b++)
            do_task(r, (int)((k + b) % (uint32_t)r->n_workers), PDAG_MSG_TASK,
                    sample, k, b);
        e.time = r->scheduler;
        e.round = k;
        e.begin = 4 * k;
        e.end = 4 * blocks;
        e.residual = k == 1 ? NAN : k == 2 ? 0.0 : pow(10.0, -(double)k);
        pdag_trace_event(r->trace, &e);
        pdag_trace_event(r->trace, &(pdag_event){.kind = PDAG_EVENT_QUEUE,
                                                 .time = r->scheduler,
                                                 .n_ready = 3, .n_flying = k});
        pdag_trace_event(r->trace, &(pdag_event){.kind = PDAG_EVENT_SAVED,
                                                 .began = r->scheduler,
                                                 .time = r->scheduler + 1e-4});
        r->scheduler += 1e-4;
    }
    do_task(r, 0, PDAG_MSG_DECODE, sample, 0, 0);
    pdag_trace_event(r->trace, &(pdag_event){.kind = PDAG_EVENT_SAMPLE,
                                             .time = r->scheduler,
                                             .sample = sample});
}

/* Each task of the run is an X of its rank, at its true time within `most`. */
static void check_tasks(const run *r, const json_t *root, double most)
{
    json_t *event;
    size_t i;
    size_t n = 0;

    json_array_foreach(json_object_get(root, "traceEvents"), i, event) {
        const json_t *args = json_object_get(event, "args");
        double error;
        char *name;

        if (strcmp(word(event, "ph"), "X") != 0)
            continue;
        ck_assert_uint_lt(n, r->n_tasks);
        name = pdag_xasprintf("%d/%s/%d", (int)number(event, "pid"),
                              word(event, "name"), (int)number(args, "sample"));
        ck_assert_str_eq(name, r->truth[n]);
        error = number(event, "ts") * 1e-6 - (r->true_began[n] - BEGAN);
        ck_assert_msg(fabs(error) <= most, "%s is %g s off", name, error);
        ck_assert(number(args, "bytes_in") == 4294967295.0);
        n++;
        free(name);
    }
    ck_assert_uint_eq(n, r->n_tasks);
}

START_TEST(test_run)
{
    static const double clocks[][MOST_WORKERS] = {
        {0.0, 0.0, 0.0, 0.0, 0.0}, {0.0, 1000.0, -1000.0, 0.5, -86400.0}};
    static spans s;

    for (size_t c = 0; c < 2; c++) {
        for (int n = 1; n <= MOST_WORKERS; n += 2) {
            run r;
            json_t *root;

            make_run(&r, n, 1e-5);
            memcpy(r.clock, clocks[c], sizeof r.clock);
            do_sample(&r, 0, 6, 7);
            do_sample(&r, 1, 4, 3);
            root = written(r.trace, 0, NULL);
            check_tasks(&r, root, c == 0 ? 1e-6 : 3e-5);
            take_spans(root, &s);
            check_arrows(root, &s, r.n_tasks);
            ck_assert_uint_eq(count(root, "X", NULL), r.n_tasks);
            ck_assert_uint_eq(count(root, "B", "checkpoint"), 10);
            ck_assert_uint_eq(count(root, "B", "U(3,2)"), 2);
            ck_assert_uint_eq(count(root, "C", "window 0"), 6);
            ck_assert_uint_eq(count(root, "C", "residual 0"), 5);
            ck_assert_uint_eq(count(root, "C", "residual, decades 0"), 4);
            ck_assert_uint_eq(count(root, "C", "ready queue"), 10);
            ck_assert_uint_eq(count(root, "C", "in flight"), 10);
            ck_assert_uint_eq(count(root, "i", "sample 1 ended"), 1);
            json_decref(root);
            end_run(&r);
        }
    }
}
END_TEST

START_TEST(test_clocks)
{
    run r;
    double offset;
    double uncertainty;

    make_run(&r, 3, 2e-5);
    r.clock[1] = 1000.0;
    r.clock[2] = -3.25;
    pdag_trace_offset(r.trace, 2, &offset, &uncertainty);
    ck_assert(offset == 0.0 && isinf(uncertainty));
    do_sample(&r, 0, 8, 9);
    for (int w = 0; w < 3; w++) {
        pdag_trace_offset(r.trace, w + 1, &offset, &uncertainty);
        ck_assert(uncertainty > 0.0 && uncertainty < 1e-4);
        ck_assert_double_le(fabs(offset + r.clock[w]), uncertainty);
    }
    pdag_trace_offset(r.trace, 1, &offset, &uncertainty);
    ck_assert(offset == 0.0);
    json_decref(written(r.trace, 0, NULL));
    end_run(&r);
}
END_TEST

/* A clock that runs 1 % fast has no offset; the tasks still follow each other and
   lie where they can have been. */
START_TEST(test_drift)
{
    static spans s;
    run r;
    json_t *root;

    make_run(&r, 2, 1e-5);
    for (uint32_t b = 0; b < 200; b++) {
        r.clock[1] = 0.01 * (r.now[1] - BEGAN);
        do_task(&r, (int)(b % 2), PDAG_MSG_TASK, 0, 0, b);
    }
    root = written(r.trace, 0, NULL);
    take_spans(root, &s);
    check_tasks(&r, root, 7e-3); /* as long as it waits to be taken */
    check_arrows(root, &s, r.n_tasks);
    json_decref(root);
    end_run(&r);
}
END_TEST

START_TEST(test_names)
{
    static const char *const devices[] = {
        "CPU \"AVX\\512\", </script>", "H\xc3\xbcpfer \xe2\x98\x83 #1\n\x01",
        "cut off \xe2\x98"};
    static const char *const shown[] = {
        "CPU \"AVX\\512\", </script>", "H\xc3\xbcpfer \xe2\x98\x83 #1\n\x01",
        "cut off ??"};
    pdag_worker_info worker[3];
    json_t *root;
    run r;

    memset(worker, 0, sizeof worker);
    for (size_t w = 0; w < 3; w++) {
        strcpy(worker[w].host, "node\"7\"");
        strcpy(worker[w].device, devices[w]);
    }
    make_run(&r, 4, 1e-5); /* one more than has said its name */
    do_sample(&r, 0, 2, 4);
    root = written(r.trace, 3, worker);
    for (size_t w = 0; w < 3; w++) {
        json_t *event;
        size_t i;
        size_t n = 0;

        json_array_foreach(json_object_get(root, "traceEvents"), i, event) {
            const char *name = word(json_object_get(event, "args"), "name");
            char *process = pdag_xasprintf("rank %zu on node\"7\"", w);

            if (strcmp(word(event, "name"), "thread_name") == 0 &&
                number(event, "pid") == (double)w && number(event, "tid") == 1.0) {
                ck_assert_str_eq(name, shown[w]);
                n++;
            }
            if (strcmp(word(event, "name"), "process_name") == 0 &&
                number(event, "pid") == (double)w) {
                ck_assert_str_eq(name, process);
                n++;
            }
            free(process);
        }
        ck_assert_uint_eq(n, 2);
    }
    ck_assert_uint_eq(count(root, "M", "process_name"), 4);
    json_decref(root);
    end_run(&r);
}
END_TEST

START_TEST(test_faults)
{
    pdag_event e = {.kind = PDAG_EVENT_HUNG, .time = BEGAN + 1.0, .peer = 2};
    pdag_trace *trace = pdag_trace_create(1, BEGAN);
    json_t *event;
    json_t *root;
    size_t i;
    size_t n = 0;

    temporary_folder(folder);
    pdag_trace_event(trace, &e);
    e.kind = PDAG_EVENT_LOST;
    pdag_trace_event(trace, &e);
    e.kind = PDAG_EVENT_READY;
    e.time = BEGAN - 1.0; /* before the start: drawn there */
    pdag_trace_event(trace, &e);
    e.kind = PDAG_EVENT_DROPPED;
    e.task = PDAG_MSG_TASK;
    e.round = 3;
    e.block = 4;
    pdag_trace_event(trace, &e);
    /* What no worker can have done is left out. */
    e.kind = PDAG_EVENT_TASK;
    e.peer = 0;
    pdag_trace_event(trace, &e);
    e.peer = -5;
    pdag_trace_event(trace, &e);
    e.peer = 1;
    e.worker_began = NAN;
    pdag_trace_event(trace, &e);
    root = written(trace, 0, NULL);
    ck_assert_uint_eq(count(root, "X", NULL), 0);
    ck_assert_uint_eq(count(root, "i", "rank 2 hangs"), 1);
    ck_assert_uint_eq(count(root, "i", "rank 2 lost"), 1);
    ck_assert_uint_eq(count(root, "i", "ready"), 1);
    ck_assert_uint_eq(count(root, "i", "late result dropped"), 1);
    ck_assert_uint_eq(count(root, "M", "process_name"), 3); /* 0: scheduler */
    json_array_foreach(json_object_get(root, "traceEvents"), i, event) {
        ck_assert_double_ge(number(event, "ts"), 0.0);
        n += strcmp(word(event, "ph"), "i") == 0 && number(event, "pid") == 2.0;
    }
    ck_assert_uint_eq(n, 4);
    json_decref(root);
    pdag_trace_destroy(trace);
}
END_TEST

START_TEST(test_nothing)
{
    pdag_trace *trace = pdag_trace_create(0, BEGAN);
    json_t *root;

    temporary_folder(folder);
    root = written(trace, 0, NULL);
    ck_assert(json_is_array(json_object_get(root, "traceEvents")));
    ck_assert_uint_eq(count(root, "X", NULL), 0);
    json_decref(root);
    ck_assert_int_eq(pdag_trace_write(trace, folder, 0, NULL), PDAG_ERR_IO);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "trace.json"));
    pdag_trace_destroy(trace);
    pdag_trace_destroy(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli/trace");
    TCase *tc = tcase_create("trace.json");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, test_run);
    tcase_add_test(tc, test_clocks);
    tcase_add_test(tc, test_drift);
    tcase_add_test(tc, test_names);
    tcase_add_test(tc, test_faults);
    tcase_add_test(tc, test_nothing);
    tcase_set_timeout(tc, 60);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
