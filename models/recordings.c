#include "models/recordings.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Rows come in few different numbers; the oldest recording makes room. */
#define MAX_RECORDINGS 16

struct pdag_recorded {
    /* what it is good for */
    size_t rows;
    uint64_t generation; /* of the workspace's buffers */
    const pdag_buf *x, *time;
    const void **kv; /* [rows], owned, or NULL */
    /* what it is */
    pdag_recording *recording; /* NULL: has been run, not recorded */
    bool refused;              /* cannot be recorded */
    pdag_map y;
    uint64_t used; /* when, by the list's clock */
};

static bool same_kv(const struct pdag_recorded *r, const pdag_pass *pass)
{
    if (r->kv == NULL || pass->kv == NULL)
        return r->kv == NULL && pass->kv == NULL;
    return memcmp((const void *)r->kv, (const void *)pass->kv,
                  r->rows * sizeof *r->kv) == 0;
}

static struct pdag_recorded *find(const pdag_recordings *list,
                                  const pdag_pass *pass, const pdag_map *x)
{
    for (size_t i = 0; i < list->n; i++) {
        struct pdag_recorded *r = &list->items[i];

        if (r->rows == pass->rows && r->generation == pass->ws->generation &&
            r->x == x->buf && r->time == pass->time && same_kv(r, pass))
            return r;
    }
    return NULL;
}

static void forget(struct pdag_recorded *r, pdag_backend *be)
{
    if (r->recording != NULL)
        be->ops->recording_destroy(be, r->recording);
    free((void *)r->kv);
    memset(r, 0, sizeof *r);
}

/* A place for what is about to be run for the first time. */
static void add(pdag_recordings *list, const pdag_pass *pass, const pdag_map *x)
{
    struct pdag_recorded *r;

    if (list->items == NULL)
        list->items = pdag_xcalloc(MAX_RECORDINGS, sizeof *list->items);
    r = &list->items[0];
    if (list->n < MAX_RECORDINGS) {
        r = &list->items[list->n++];
    } else {
        for (size_t i = 1; i < list->n; i++)
            if (list->items[i].used < r->used)
                r = &list->items[i];
        forget(r, pass->be);
    }
    r->rows = pass->rows;
    r->generation = pass->ws->generation;
    r->x = x->buf;
    r->time = pass->time;
    r->used = ++list->clock;
    if (pass->kv == NULL)
        return;
    r->kv = pdag_xcalloc(pass->rows, sizeof *r->kv);
    memcpy((void *)r->kv, (const void *)pass->kv, pass->rows * sizeof *r->kv);
}

/* r->recording is set, or r->refused. */
static void record(struct pdag_recorded *r, pdag_pass *pass, pdag_body *body,
                   void *network, const pdag_map *x)
{
    const pdag_backend_ops *ops = pass->be->ops;
    pdag_status status = ops->record_begin(pass->be);
    pdag_status ended = status;

    if (status == PDAG_OK) {
        status = body(pass, network, x, &r->y);
        ended = ops->record_end(pass->be, &r->recording);
    }
    if (ended == PDAG_OK && status != PDAG_OK) {
        ops->recording_destroy(pass->be, r->recording);
        r->recording = NULL;
    }
    r->refused = status != PDAG_OK || ended != PDAG_OK;
}

pdag_status pdag_recordings_run(pdag_recordings *list, pdag_pass *pass,
                                pdag_body *body, void *network,
                                const pdag_map *x, pdag_map *y_out)
{
    const pdag_backend_ops *ops = pass->be->ops;
    struct pdag_recorded *r;
    pdag_status status;

    if (ops->record_begin == NULL)
        return body(pass, network, x, y_out);
    r = find(list, pass, x);
    if (r == NULL)
        add(list, pass, x);
    if (r == NULL || r->refused)
        return body(pass, network, x, y_out);
    r->used = ++list->clock;
    if (r->recording == NULL)
        record(r, pass, body, network, x);
    status = r->refused ? PDAG_ERR_UNSUPPORTED
                        : ops->replay(pass->be, r->recording);
    if (status == PDAG_OK)
        *y_out = r->y;
    if (status != PDAG_ERR_UNSUPPORTED)
        return status;
    if (r->recording != NULL) /* recorded anew the next time */
        ops->recording_destroy(pass->be, r->recording);
    r->recording = NULL;
    pdag_pass_keep_only(pass, x->buf, pass->time);
    return body(pass, network, x, y_out);
}

void pdag_recordings_clear(pdag_recordings *list, pdag_backend *be)
{
    for (size_t i = 0; i < list->n; i++)
        forget(&list->items[i], be);
    free(list->items);
    memset(list, 0, sizeof *list);
}
