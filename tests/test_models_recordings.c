/* tests/test_models_recordings.c: evaluations recorded and run again over a backend
 * whose only device is a list of additions. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "models/recordings.h"

#define WIDTH 6
#define MAX_ADDS 8

/* An addition that was queued while recording. */
typedef struct queued_add {
    size_t n;
    pdag_buf a, b, y;
} queued_add;

struct pdag_recording {
    size_t n;
    queued_add add[MAX_ADDS];
};

static const pdag_backend_ops *ref_ops;
static pdag_backend_ops ops;
static pdag_backend *be;
static pdag_recording *open_recording; /* being made, or NULL */
static bool refuse_begin, refuse_end, refuse_add, refuse_replay;
static size_t n_begun, n_replayed, n_alive, n_bodies;

static pdag_status fake_add(pdag_backend *b, size_t n, const pdag_buf *x,
                            const pdag_buf *z, pdag_buf *y)
{
    if (open_recording == NULL)
        return ref_ops->add(b, n, x, z, y);
    if (refuse_add)
        return pdag_error(PDAG_ERR_BACKEND, "no additions today");
    ck_assert_uint_lt(open_recording->n, MAX_ADDS);
    open_recording->add[open_recording->n++] = (queued_add){n, *x, *z, *y};
    return PDAG_OK;
}

static pdag_status fake_begin(pdag_backend *b)
{
    (void)b;
    ck_assert_ptr_null(open_recording);
    if (refuse_begin)
        return pdag_error(PDAG_ERR_BACKEND, "no recordings today");
    n_begun++;
    open_recording = pdag_xcalloc(1, sizeof *open_recording);
    return PDAG_OK;
}

static pdag_status fake_end(pdag_backend *b, pdag_recording **recording_out)
{
    pdag_recording *made = open_recording;

    (void)b;
    ck_assert_ptr_nonnull(made);
    open_recording = NULL;
    if (refuse_end) {
        free(made);
        return pdag_error(PDAG_ERR_BACKEND, "the recording is broken");
    }
    n_alive++;
    *recording_out = made;
    return PDAG_OK;
}

static pdag_status fake_replay(pdag_backend *b, pdag_recording *recording)
{
    n_replayed++;
    if (refuse_replay)
        return pdag_error(PDAG_ERR_UNSUPPORTED, "an old recording");
    for (size_t i = 0; i < recording->n; i++) {
        queued_add *q = &recording->add[i];

        ck_assert_int_eq(ref_ops->add(b, q->n, &q->a, &q->b, &q->y), PDAG_OK);
    }
    return PDAG_OK;
}

static void fake_destroy(pdag_backend *b, pdag_recording *recording)
{
    (void)b;
    n_alive--;
    free(recording);
}

/* A network: y = 4 x + time, with a buffer of its own and one it gives back. */
typedef struct network {
    pdag_recordings recordings;
    pdag_workspace ws;
} network;

static pdag_status run_body(pdag_pass *pass, void *net, const pdag_map *x,
                            pdag_map *y_out)
{
    const size_t n = pass->rows * WIDTH;
    pdag_map twice;

    ck_assert_ptr_nonnull(net);
    n_bodies++;
    PDAG_TRY(pdag_take_map(pass, 1, 1, WIDTH, &twice));
    PDAG_TRY(be->ops->add(be, n, x->buf, x->buf, twice.buf));
    pdag_give(pass, x->buf);
    PDAG_TRY(pdag_take_map(pass, 1, 1, WIDTH, y_out));
    PDAG_TRY(be->ops->add(be, n, twice.buf, twice.buf, y_out->buf));
    pdag_give_map(pass, &twice);
    return be->ops->add(be, n, y_out->buf, pass->time, y_out->buf);
}

/* One evaluation with fresh numbers, which must come out right. */
static void evaluate(network *net, size_t rows, const void *const *kv)
{
    static float fresh = 1.0f;
    const size_t n = rows * WIDTH;
    float *host = pdag_xcalloc(n, sizeof *host);
    pdag_pass pass;
    pdag_buf *time;
    pdag_map x;
    pdag_map y;

    fresh += 0.5f;
    pdag_pass_begin(&pass, &net->ws, rows);
    pass.kv = kv;
    ck_assert_int_eq(pdag_take(&pass, WIDTH, &time), PDAG_OK);
    for (size_t i = 0; i < n; i++)
        host[i] = 100.0f * fresh;
    ck_assert_int_eq(be->ops->upload(be, n, host, time), PDAG_OK);
    pass.time = time;
    ck_assert_int_eq(pdag_take_map(&pass, 1, 1, WIDTH, &x), PDAG_OK);
    for (size_t i = 0; i < n; i++)
        host[i] = fresh + (float)i;
    ck_assert_int_eq(be->ops->upload(be, n, host, x.buf), PDAG_OK);
    ck_assert_int_eq(pdag_recordings_run(&net->recordings, &pass, run_body, net,
                                         &x, &y),
                     PDAG_OK);
    for (size_t i = 0; i < n; i++)
        host[i] = NAN;
    ck_assert_int_eq(be->ops->download(be, n, y.buf, host), PDAG_OK);
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(host[i] == 4.0f * (fresh + (float)i) + 100.0f * fresh,
                      "number %zu", i);
    free(host);
}

static void open_all(network *net)
{
    ck_assert_int_eq(
        pdag_backend_open("ref", 0, PDAG_PRECISION_FLOAT32, &be), PDAG_OK);
    ref_ops = be->ops;
    ops = *ref_ops;
    ops.add = fake_add;
    ops.record_begin = fake_begin;
    ops.record_end = fake_end;
    ops.replay = fake_replay;
    ops.recording_destroy = fake_destroy;
    be->ops = &ops;
    memset(net, 0, sizeof *net);
    net->ws.be = be;
    refuse_begin = refuse_end = refuse_add = refuse_replay = false;
    n_begun = n_replayed = n_alive = n_bodies = 0;
}

static void close_all(network *net)
{
    pdag_recordings_clear(&net->recordings, be);
    ck_assert_uint_eq(n_alive, 0);
    pdag_workspace_clear(&net->ws);
    be->ops->close(be);
}

START_TEST(test_once_recorded)
{
    network net;

    open_all(&net);
    for (int i = 0; i < 5; i++)
        evaluate(&net, 3, NULL);
    ck_assert_uint_eq(n_bodies, 2); /* as it is, recorded; then no more */
    ck_assert_uint_eq(n_begun, 1);
    ck_assert_uint_eq(n_replayed, 4);
    evaluate(&net, 2, NULL);
    evaluate(&net, 3, NULL);
    evaluate(&net, 2, NULL);
    ck_assert_uint_eq(n_begun, 2);
    close_all(&net);
}
END_TEST

START_TEST(test_other_buffers)
{
    network net;

    open_all(&net);
    for (int i = 0; i < 3; i++)
        evaluate(&net, 2, NULL);
    evaluate(&net, 9, NULL); /* all buffers are made anew */
    for (int i = 0; i < 3; i++)
        evaluate(&net, 2, NULL);
    ck_assert_uint_eq(n_begun, 2);
    close_all(&net);
}
END_TEST

START_TEST(test_other_conditions)
{
    static const int what[2];
    const void *first[2] = {&what[0], &what[0]};
    const void *second[2] = {&what[0], &what[1]};
    network net;

    open_all(&net);
    for (int i = 0; i < 3; i++) {
        evaluate(&net, 2, first);
        evaluate(&net, 2, second);
        evaluate(&net, 2, NULL);
    }
    ck_assert_uint_eq(n_begun, 3);
    ck_assert_uint_eq(n_bodies, 6);
    pdag_recordings_clear(&net.recordings, be); /* one of them went away */
    ck_assert_uint_eq(n_alive, 0);
    evaluate(&net, 2, first);
    ck_assert_uint_eq(n_bodies, 7);
    close_all(&net);
}
END_TEST

/* Whatever fails, the numbers are right, and what cannot be recorded is not tried
   again. */
START_TEST(test_refusals)
{
    network net;

    for (int what = 0; what < 3; what++) {
        open_all(&net);
        refuse_begin = what == 0;
        refuse_end = what == 1;
        refuse_add = what == 2;
        for (int i = 0; i < 5; i++)
            evaluate(&net, 4, NULL);
        ck_assert_uint_le(n_begun, 1);
        ck_assert_uint_eq(n_replayed, 0);
        close_all(&net);
    }
    open_all(&net);
    refuse_replay = true;
    for (int i = 0; i < 4; i++)
        evaluate(&net, 4, NULL);
    refuse_replay = false;
    for (int i = 0; i < 4; i++)
        evaluate(&net, 4, NULL);
    close_all(&net);
}
END_TEST

START_TEST(test_many)
{
    network net;

    open_all(&net);
    for (int round = 0; round < 3; round++)
        for (size_t rows = 40; rows > 0; rows--) {
            evaluate(&net, rows, NULL);
            evaluate(&net, rows, NULL);
            ck_assert_uint_le(n_alive, 16);
        }
    close_all(&net);
}
END_TEST

START_TEST(test_without)
{
    network net;

    open_all(&net);
    ops.record_begin = NULL;
    for (int i = 0; i < 3; i++)
        evaluate(&net, 4, NULL);
    ck_assert_uint_eq(n_bodies, 3);
    close_all(&net);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("models recordings");
    TCase *tc = tcase_create("recordings");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, test_once_recorded);
    tcase_add_test(tc, test_other_buffers);
    tcase_add_test(tc, test_other_conditions);
    tcase_add_test(tc, test_refusals);
    tcase_add_test(tc, test_many);
    tcase_add_test(tc, test_without);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
